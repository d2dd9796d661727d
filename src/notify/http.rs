//! One POST: over TLS that is checked, through the proxies we were told of, nowhere else.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use super::NotifyError;
use crate::model::{Network, path::printable};

/// Who asks.
const USER_AGENT: &str = concat!("reprov/", env!("CARGO_PKG_VERSION"));
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long all of it may take.
const TOTAL_S: u64 = 15;
/// As much of a refusal is read.
const REFUSAL_BYTES_MAX: usize = 300;

/// What is sent where.
pub(super) struct Post {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether the URL is a secret itself: what an answer says may repeat it.
    pub(super) hidden: bool,
}

/// Sends it; any answer but 2xx is an error.
pub(super) async fn post(network: &Network, post: Post) -> Result<(), NotifyError> {
    let hidden = post.hidden;
    let client = client(network).map_err(|error| NotifyError::Network(error.without_url().into()))?;
    let request = client.post(post.url).headers(post.headers).body(post.body);
    let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let sent = async {
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return Ok(()); // What it says besides is of no use, however long it is.
        }
        if status.is_redirection() {
            return Err(NotifyError::Redirect(status.as_u16()));
        }
        let mut said = Vec::new();
        while !hidden
            && said.len() < REFUSAL_BYTES_MAX
            && let Ok(Some(piece)) = response.chunk().await
        {
            said.extend_from_slice(&piece[..piece.len().min(REFUSAL_BYTES_MAX - said.len())]);
        }
        let said = printable(String::from_utf8_lossy(&said).trim());
        Err(NotifyError::Refused { status: status.as_u16(), said })
    };
    let waited = tokio::time::timeout(Duration::from_secs(TOTAL_S), sent).await;
    waited.unwrap_or(Err(NotifyError::Timeout(TOTAL_S)))
}

/// An error without the URL, which may be a secret itself.
fn failed(error: reqwest::Error) -> NotifyError {
    if error.is_timeout() {
        return NotifyError::Timeout(CONNECT.as_secs());
    }
    NotifyError::Unreachable(error.without_url())
}

fn client(network: &Network) -> reqwest::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT)
        .no_proxy();
    for pem in &network.roots {
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem.as_bytes())?);
    }
    let direct = reqwest::NoProxy::from_string(&network.proxies.direct());
    if let Some(url) = &network.proxies.http {
        builder = builder.proxy(reqwest::Proxy::http(&*url.text())?.no_proxy(direct.clone()));
    }
    if let Some(url) = &network.proxies.https {
        builder = builder.proxy(reqwest::Proxy::https(&*url.text())?.no_proxy(direct));
    }
    builder.build()
}
