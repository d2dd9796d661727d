//! One mail, to a server that is known by its certificate.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::header::{ContentType, HeaderName, HeaderValue},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};

use super::NotifyError;
use crate::{
    inventory::notify,
    model::{Network, Secret, path::printable},
    report::night::Letter,
};

/// How long one answer of the server may take.
const ANSWER: Duration = Duration::from_secs(15);
/// How long all of it may take.
const TOTAL_S: u64 = 20;

/// Where mail is handed in.
pub(super) struct Server<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) tls: notify::Tls,
    pub(super) login: Option<(String, Secret)>,
}

/// Hands it in.
pub(super) async fn send(
    network: &Network,
    server: Server<'_>,
    from: &str,
    to: &[String],
    letter: &Letter,
) -> Result<(), NotifyError> {
    let message = message(from, to, letter).map_err(|error| said(error, false))?;
    let tls = match server.tls {
        notify::Tls::Loopback => Tls::None,
        notify::Tls::Starttls => Tls::Required(parameters(network, server.host)?),
        notify::Tls::Whole => Tls::Wrapper(parameters(network, server.host)?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host)
        .port(server.port)
        .tls(tls)
        .timeout(Some(ANSWER));
    if let Some((user, password)) = server.login {
        builder = builder.credentials(Credentials::new(user, password.text().into_owned()));
    }
    let transport = builder.build();
    match tokio::time::timeout(Duration::from_secs(TOTAL_S), transport.send(message)).await {
        Err(_) => Err(NotifyError::Timeout(TOTAL_S)),
        Ok(sent) => sent.map(|_| ()).map_err(|error| {
            let passes = !(error.is_permanent() || error.is_client());
            said(error, passes)
        }),
    }
}

/// The error with its causes, in which no password stands.
fn said(error: impl std::error::Error, passes: bool) -> NotifyError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    NotifyError::Mail { said: printable(&text), passes }
}

fn parameters(network: &Network, host: &str) -> Result<TlsParameters, NotifyError> {
    let failed = |error: lettre::transport::smtp::Error| NotifyError::Network(error.into());
    let mut builder = TlsParameters::builder(host.to_owned());
    for pem in &network.roots {
        builder = builder.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(failed)?);
    }
    builder.build_rustls().map_err(failed)
}

/// The letter as a mail. Its id is its key, so that a mail that comes twice is known as one.
fn message(from: &str, to: &[String], letter: &Letter) -> Result<Message, NotifyError> {
    let mailbox = |text: &str| text.parse::<lettre::message::Mailbox>().map_err(|error| said(error, false));
    let key = letter.key().to_string();
    let domain = from.rsplit('@').next().unwrap_or("localhost");
    let id = format!("<{}@{domain}>", key.trim_start_matches("sha256:"));
    let delivery =
        HeaderName::new_from_ascii("X-Reprov-Delivery".to_owned()).map_err(|error| said(error, false))?;
    let mut builder = Message::builder()
        .from(mailbox(from)?)
        .subject(letter.subject())
        .message_id(Some(id))
        .raw_header(HeaderValue::new(delivery, key))
        .header(ContentType::TEXT_PLAIN);
    for address in to {
        builder = builder.to(mailbox(address)?);
    }
    builder.body(letter.text()).map_err(|error| said(error, false))
}
