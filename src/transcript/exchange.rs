//! One question, one answer; and all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{UrlError, canonical_url, redact_url};
use crate::model::{
    Digest, ResourceDescriptor,
    limits::{EXCHANGES_MAX, INPUT_SIZE_BYTES_MAX},
};

/// A recorded answer and what it answers (WIRE.md §3).
///
/// A `HEAD` has no body: its `body` is the digest of nothing, its `size` 0, and the length that was announced
/// stands in `headers` as `content-length`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// `GET`, `HEAD` or `POST`.
    pub method: String,
    /// Canonical and redacted, as the build asked for it.
    pub url: String,
    /// Digest of the request's body, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Digest>,
    /// The request headers named by the answer's `Vary`; only `accept` is looked at, absent is empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vary: BTreeMap<String, String>,
    /// HTTP status.
    pub status: u16,
    /// Kept headers, names in lower case, sorted.
    pub headers: Vec<(String, String)>,
    /// Digest of the answer's body.
    pub body: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Name of the repository that allowed it.
    pub repository: String,
    /// The URL whose `Location` allowed it, if no repository does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

/// What tells one exchange from another; its order is the transcript's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Canonical, redacted URL.
    pub url: String,
    /// HTTP method.
    pub method: String,
    /// Digest of the request's body.
    pub request: Option<Digest>,
    /// The request headers the answer depends on.
    pub vary: BTreeMap<String, String>,
}

/// All exchanges of one build, one answer a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    pub(super) tainted: Vec<String>,
    pub(super) exchanges: BTreeMap<Key, Exchange>,
}

/// Why bytes are no transcript, or an exchange cannot join one.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// Not the JSON that was expected.
    #[error("line {line} of the transcript is not what `reprov.transcript/v1` says")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Why not.
        source: serde_json::Error,
    },
    /// Another schema, or a newer one.
    #[error("transcript has schema `{0}`; this version reads `reprov.transcript/v1`")]
    Schema(String),
    /// The same thing can be said in one way only.
    #[error("line {0} of the transcript is not in canonical form and order")]
    Canonical(usize),
    /// A URL that no recording writes.
    #[error("transcript holds a URL that is not canonical and redacted: `{0}`")]
    Url(String),
    /// A URL that is none.
    #[error("transcript holds an invalid URL")]
    InvalidUrl(#[from] UrlError),
    /// A header that HTTP cannot carry, or that is not kept.
    #[error("transcript holds header `{name}` with a name or value that cannot be sent for {url}")]
    Header {
        /// As written.
        name: String,
        /// Whose answer.
        url: String,
    },
    /// A method, status or size out of range.
    #[error("exchange {method} {url} has {what} out of range")]
    Range {
        /// Its method.
        method: String,
        /// Its URL.
        url: String,
        /// Which field.
        what: &'static str,
    },
    /// Two answers to one question.
    #[error("transcript answers {method} {url} twice")]
    Twice {
        /// The method.
        method: String,
        /// The URL.
        url: String,
    },
    /// Past the bound.
    #[error("transcript has more than {EXCHANGES_MAX} exchanges")]
    TooMany,
}

impl Exchange {
    /// What it answers.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            url: self.url.clone(),
            method: self.method.clone(),
            request: self.request,
            vary: self.vary.clone(),
        }
    }

    /// The first value of the kept header `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn check(&self) -> Result<(), TranscriptError> {
        let range =
            |what| TranscriptError::Range { method: self.method.clone(), url: self.url.clone(), what };
        if !matches!(self.method.as_str(), "GET" | "HEAD" | "POST") {
            return Err(range("a method"));
        }
        if !(200..600).contains(&self.status) {
            return Err(range("a status"));
        }
        if self.size > INPUT_SIZE_BYTES_MAX || (self.method == "HEAD" && self.size != 0) {
            return Err(range("a size"));
        }
        if self.vary.keys().any(|name| name != "accept") || !self.vary.values().all(|value| sendable(value)) {
            return Err(range("a `vary`"));
        }
        for url in [Some(&self.url), self.via.as_ref()].into_iter().flatten() {
            if redact_url(&canonical_url(url)?) != *url {
                return Err(TranscriptError::Url(url.clone()));
            }
        }
        self.check_headers()
    }

    fn check_headers(&self) -> Result<(), TranscriptError> {
        let wrong = self.headers.iter().find(|(name, value)| !nameable(name) || !sendable(value));
        match wrong {
            Some((name, _)) => Err(TranscriptError::Header { name: name.clone(), url: self.url.clone() }),
            None => Ok(()),
        }
    }
}

/// A header name that says nothing about framing, connections or credentials.
fn nameable(name: &str) -> bool {
    let token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_' || byte == b'.'
    };
    let banned = ["transfer-encoding", "connection", "set-cookie", "authorization", "upgrade", "trailer"];
    !name.is_empty() && name.len() <= 256 && name.bytes().all(token) && !banned.contains(&name)
}

/// A value without line breaks or other control characters.
fn sendable(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

impl Transcript {
    /// Why the recording may not be the whole story; sorted codes, empty if it is.
    #[must_use]
    pub fn tainted(&self) -> &[String] {
        &self.tainted
    }

    /// Sets the reasons for taint, sorted, each once.
    pub fn taint(&mut self, reasons: impl IntoIterator<Item = String>) {
        self.tainted.extend(reasons);
        self.tainted.sort();
        self.tainted.dedup();
    }

    /// Every exchange, in the transcript's order.
    pub fn exchanges(&self) -> impl ExactSizeIterator<Item = &Exchange> {
        self.exchanges.values()
    }

    /// Adds an exchange.
    ///
    /// # Errors
    /// If its key is answered already, a field is out of range, or there are [`EXCHANGES_MAX`].
    pub fn insert(&mut self, exchange: Exchange) -> Result<(), TranscriptError> {
        exchange.check()?;
        if self.exchanges.len() >= EXCHANGES_MAX {
            return Err(TranscriptError::TooMany);
        }
        let key = exchange.key();
        if self.exchanges.contains_key(&key) {
            return Err(TranscriptError::Twice { method: key.method, url: key.url });
        }
        self.exchanges.insert(key, exchange);
        Ok(())
    }

    /// The answer to a request: exactly for this `accept` if the answer varied by it, else for any. A `HEAD` is
    /// answered from a recorded `HEAD`, else from a `GET`.
    #[must_use]
    pub fn find(&self, method: &str, url: &str, request: Option<Digest>, accept: &str) -> Option<&Exchange> {
        let mut key = Key { url: url.to_owned(), method: method.to_owned(), request, vary: BTreeMap::new() };
        let any = self.exchanges.get(&key);
        key.vary.insert("accept".to_owned(), accept.to_owned());
        let found = self.exchanges.get(&key).or(any);
        match method {
            "HEAD" => found.or_else(|| self.find("GET", url, request, accept)),
            _ => found,
        }
    }

    /// Every exchange as a resolved dependency of role `input` (WIRE.md §2).
    #[must_use]
    pub fn inputs(&self) -> Vec<ResourceDescriptor> {
        self.exchanges().map(input).collect()
    }

    /// Digest and size in bytes of every recorded body.
    #[must_use]
    pub fn bodies(&self) -> BTreeMap<Digest, u64> {
        self.exchanges().map(|exchange| (exchange.body, exchange.size)).collect()
    }
}

fn input(exchange: &Exchange) -> ResourceDescriptor {
    let annotations = [
        ("role", "input".into()),
        ("method", exchange.method.clone().into()),
        ("status", exchange.status.into()),
        ("size", exchange.size.into()),
        ("repository", exchange.repository.clone().into()),
        ("kept", "registry".into()),
    ];
    ResourceDescriptor {
        name: exchange.url.clone(),
        uri: exchange.url.clone(),
        digest: [("sha256".to_owned(), exchange.body.hex())].into(),
        media_type: String::new(),
        annotations: annotations.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}
