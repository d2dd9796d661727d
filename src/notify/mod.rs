//! Telling people: a message to a webhook, a mail server or a tracker. One attempt at a time; that messages are kept until
//! they are delivered, and tried again, is the business of whoever calls. Redirects are never followed: what is sent holds
//! secrets, and was meant for one place.

mod http;
mod mail;

use std::collections::BTreeMap;

use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use url::Url;

use crate::{
    inventory::notify::{Address, Receiver, Variable, Way, address},
    model::{Network, Secret},
    report::night::Letter,
};
use http::Post;

/// Names a delivery, the same however often it is tried: receivers know by it what they have.
pub const DELIVERY: &str = "x-reprov-delivery";
/// `sha256=` and HMAC-SHA-256 of the body's bytes, in hex.
pub const SIGNATURE: &str = "x-reprov-signature-256";

/// Why a message was not delivered. No text of it holds a secret or a URL.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// What it takes is not there.
    #[error("the environment variable `{0}` is not set")]
    Variable(String),
    /// A variable that should hold a URL.
    #[error("the environment variable `{variable}` holds no address: {reason}")]
    Address {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A secret that no header can carry.
    #[error("the environment variable `{0}` holds what no header can carry")]
    Header(String),
    /// It could not be reached, or broke off.
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// No answer in time.
    #[error("no answer within {0} s")]
    Timeout(u64),
    /// It sends us elsewhere.
    #[error("it answers {0}, which sends elsewhere; redirects are not followed, name the place itself")]
    Redirect(u16),
    /// It said no.
    #[error("it answers {status}{}{said}", if said.is_empty() { "" } else { ": " })]
    Refused {
        /// HTTP status.
        status: u16,
        /// The beginning of what it says.
        said: String,
    },
    /// A certificate that cannot be read, a proxy that is none.
    #[error("the network cannot be used as it is configured")]
    Network(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The mail server, or the way to it.
    #[error("the mail server did not take it: {said}")]
    Mail {
        /// What it said, or what went wrong.
        said: String,
        /// Whether it may take it later.
        passes: bool,
    },
}

impl NotifyError {
    /// Whether it makes sense to try again soon.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Mail { passes: true, .. } => true, // Silence was waited for once.
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    /// Whether another message would fare no better: otherwise it is this one that is not taken.
    #[must_use]
    pub fn is_the_receivers(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 401 | 403 | 404 | 429) || *status >= 500,
            _ => true,
        }
    }
}

/// What it takes to reach receivers.
#[derive(Debug, Clone)]
pub struct Courier {
    network: Network,
    secrets: BTreeMap<String, Secret>,
}

impl Courier {
    /// `secrets` are the values of the environment's variables that receivers name.
    #[must_use]
    pub fn new(network: Network, secrets: BTreeMap<String, Secret>) -> Self {
        Self { network, secrets }
    }

    fn secret(&self, variable: &Variable) -> Result<&Secret, NotifyError> {
        self.secrets.get(&variable.0).ok_or_else(|| NotifyError::Variable(variable.0.clone()))
    }

    fn url(&self, place: &Address) -> Result<Url, NotifyError> {
        match place {
            Address::Written(url) => Ok(url.clone()),
            Address::From(variable) => address(&self.secret(variable)?.text())
                .map_err(|reason| NotifyError::Address { variable: variable.0.clone(), reason }),
        }
    }

    /// A header that nobody is shown.
    fn header(&self, before: &str, variable: &Variable) -> Result<HeaderValue, NotifyError> {
        let value = [before.as_bytes(), self.secret(variable)?.expose()].concat();
        let mut value =
            HeaderValue::from_bytes(&value).map_err(|_| NotifyError::Header(variable.0.clone()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Delivers `letter` to `receiver`, once.
    ///
    /// # Errors
    /// [`NotifyError`]: it was not delivered, as far as can be known.
    pub async fn deliver(&self, receiver: &Receiver, letter: &Letter) -> Result<(), NotifyError> {
        let mut headers = HeaderMap::new();
        let key = letter.key().to_string();
        headers.insert(
            HeaderName::from_static(DELIVERY),
            HeaderValue::from_str(&key).map_err(|_| NotifyError::Header(key))?,
        );
        match &receiver.way {
            Way::Webhook { url, secret } => {
                let body = bytes(&letter.webhook());
                if let Some(secret) = secret {
                    let signature = signature(self.secret(secret)?, &body);
                    headers.insert(HeaderName::from_static(SIGNATURE), signature);
                }
                let hidden = matches!(url, Address::From(_));
                self.post(Post { url: self.url(url)?, headers, body, hidden }).await
            }
            Way::Slack { url } => {
                let (hidden, body) = (matches!(url, Address::From(_)), bytes(&letter.slack()));
                self.post(Post { url: self.url(url)?, headers, body, hidden }).await
            }
            Way::Github { api, repository, token, labels } => {
                headers.insert("authorization", self.header("Bearer ", token)?);
                headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
                headers.insert("x-github-api-version", HeaderValue::from_static("2022-11-28"));
                let path = format!("repos/{repository}/issues");
                let body =
                    bytes(&json!({"title": letter.subject(), "body": letter.markdown(), "labels": labels}));
                self.post(Post { url: below(api, &path), headers, body, hidden: false }).await
            }
            Way::Gitlab { api, project, token, labels } => {
                headers.insert("private-token", self.header("", token)?);
                let project: String = url::form_urlencoded::byte_serialize(project.as_bytes()).collect();
                let path = format!("projects/{}/issues", project.replace('+', "%20"));
                let labels = labels.join(",");
                let body = bytes(
                    &json!({"title": letter.subject(), "description": letter.markdown(), "labels": labels}),
                );
                self.post(Post { url: below(api, &path), headers, body, hidden: false }).await
            }
            Way::Email { host, port, tls, from, to, login } => {
                let login = match login {
                    None => None,
                    Some((user, password)) => Some(self.login(user, password)?),
                };
                let server = mail::Server { host, port: *port, tls: *tls, login };
                mail::send(&self.network, server, from, to, letter).await
            }
        }
    }

    fn login(
        &self,
        user: &crate::inventory::notify::Login,
        password: &Variable,
    ) -> Result<(String, Secret), NotifyError> {
        use crate::inventory::notify::Login;
        let user = match user {
            Login::Written(user) => user.clone(),
            Login::From(variable) => self.secret(variable)?.text().into_owned(),
        };
        Ok((user, self.secret(password)?.clone()))
    }

    async fn post(&self, post: Post) -> Result<(), NotifyError> {
        http::post(&self.network, post).await
    }
}

/// The bytes that are sent and signed.
fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// `path` below the base of an API, whether that ends in a slash or not.
fn below(api: &Url, path: &str) -> Url {
    let mut url = api.clone();
    let base = api.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/{path}"));
    url
}

/// HMAC-SHA-256 of `body`, as the header has it.
fn signature(secret: &Secret, body: &[u8]) -> HeaderValue {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    let tag = hmac::sign(&key, body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("sha256={hex}")).expect("letters and digits are a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_rfc_4231() {
        // Test case 2 of RFC 4231.
        let header = signature(&Secret::new("Jefe"), b"what do ya want for nothing?");
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(header.to_str().unwrap(), expected);
    }

    #[test]
    fn an_api_may_end_in_a_slash() {
        for base in ["https://git.example.org/api/v4", "https://git.example.org/api/v4/"] {
            let url = below(&base.parse().unwrap(), "projects/a%2Fb/issues");
            assert_eq!(url.as_str(), "https://git.example.org/api/v4/projects/a%2Fb/issues");
        }
    }
}
