//! One request of the build, read whole.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Method, Request,
    body::{Body as _, Bytes, Incoming},
    header,
};
use url::Url;

use super::{IDLE_TIMEOUT, StepRef, allow::Refused, headers, ledger::Flight};
use crate::{
    model::{Digest, Reason, limits::REQUEST_BODY_SIZE_BYTES_MAX},
    transcript::{canonical_url, redact_url},
};

/// Longest part of a URL shown where it was refused.
const SHOWN_CHARS_MAX: usize = 1024;

/// What is asked, without secrets in `url`.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Canonical and redacted: the key.
    pub(super) url: String,
    /// Canonical, as asked.
    pub(super) asked: Url,
    pub(super) headers: HeaderMap,
    pub(super) accept: String,
    pub(super) body: Bytes,
    pub(super) request: Option<Digest>,
    pub(super) step: Option<StepRef>,
}

impl Ask {
    /// Reads the request's body, at most [`REQUEST_BODY_SIZE_BYTES_MAX`] bytes.
    pub(super) async fn read(
        request: Request<Incoming>,
        asked: Url,
        step: Option<StepRef>,
    ) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let body = read(body).await?;
        Ok(Self {
            method: parts.method,
            url: redact_url(&asked),
            asked,
            accept: headers::all(&parts.headers, &header::ACCEPT),
            headers: parts.headers,
            request: (!body.is_empty()).then(|| Digest::of(&body)),
            body,
            step,
        })
    }

    /// What must not be asked upstream twice at a time.
    pub(super) fn flight(&self) -> Flight {
        let method = if self.is_head() { "GET" } else { self.method.as_str() };
        (self.url.clone(), method.to_owned(), self.request)
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Whether the whole answer may go to the client as it comes.
    pub(super) fn wants_whole(&self) -> bool {
        let partial = [header::RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
        !self.is_head() && !partial.iter().any(|name| self.headers.contains_key(name))
    }
}

/// Whether there is a body to wait for.
pub(super) fn has_body(request: &Request<Incoming>) -> bool {
    !request.body().is_end_stream()
}

async fn read(mut body: Incoming) -> Result<Bytes, Refused> {
    let large =
        || Refused::new(Reason::Size, format!("has a body of more than {REQUEST_BODY_SIZE_BYTES_MAX} bytes"));
    let broken = || Refused::new(Reason::Form, "has a body that ended early or did not come");
    if body.size_hint().lower() > REQUEST_BODY_SIZE_BYTES_MAX {
        return Err(large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = within(IDLE_TIMEOUT, body.frame()).await.ok_or_else(broken)? {
        let Ok(chunk) = frame.map_err(|_| broken())?.into_data() else { continue };
        if (bytes.len() + chunk.len()) as u64 > REQUEST_BODY_SIZE_BYTES_MAX {
            return Err(large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}

/// The absolute URL of a request: as written on a plain connection, below `origin` in a tunnel. The `Host` header
/// says nothing.
pub(super) fn url_of(request: &Request<Incoming>, origin: Option<&Url>) -> Result<Url, Refused> {
    let uri = request.uri();
    let text = match origin {
        None if uri.scheme_str() == Some("http") => uri.to_string(),
        None => {
            return Err(Refused::new(
                Reason::Form,
                "is not a proxy request; ask for an absolute http URL or CONNECT",
            ));
        }
        Some(_) if uri.authority().is_some() => {
            return Err(Refused::new(Reason::Form, "names a host inside a tunnel"));
        }
        Some(origin) => {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            format!("{}{path}", origin.origin().ascii_serialization())
        }
    };
    canonical_url(&text).map_err(|error| Refused::new(Reason::Url, format!("is not let through: {error}")))
}

/// What may be said of a URL that may not even be one: no userinfo, no query, not too long.
pub(super) fn shown(text: &str) -> String {
    let text = canonical_url(text).map_or_else(
        |_| {
            let path = text.split(['?', '#']).next().unwrap_or_default();
            path.rsplit_once('@').map_or(path, |(_, rest)| rest).to_owned()
        },
        |url| redact_url(&url),
    );
    text.chars().filter(|char| !char.is_control()).take(SHOWN_CHARS_MAX).collect()
}
