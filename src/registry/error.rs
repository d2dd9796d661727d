//! What can go wrong with a place where images live.

use std::{error::Error, path::PathBuf};

use oci_distribution::errors::OciEnvelope;

use crate::{
    model::{Digest, path::printable},
    store::StoreError,
};

/// A cause that is only ever shown.
pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// A failure to read or write at a place of images. Only [`RegistryError::NotFound`] means "it is not there"; all
/// others mean "could not look" (exit 3).
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The place was asked and has no such thing.
    #[error("{what} is not there")]
    NotFound {
        /// What was asked for, with its place.
        what: String,
    },
    /// The registry wants a login that we do not have, or does not take ours.
    #[error("{host} wants a login it accepts; {remedy}")]
    Unauthorized {
        /// Which registry.
        host: String,
        /// What to do.
        remedy: String,
    },
    /// No connection, or it was cut.
    #[error("cannot reach {host}")]
    Unreachable {
        /// Which host.
        host: String,
        /// Why not.
        source: Cause,
    },
    /// Any other status than the one hoped for.
    #[error("{what}: the registry answered {status} {message}")]
    Refused {
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// The registry's own words: `CODE: message`, printable, at most 300 characters.
        message: String,
    },
    /// Other bytes than promised.
    #[error("{what}: expected {expected}, got {actual}")]
    Mismatch {
        /// What was asked for.
        what: String,
        /// The digest promised.
        expected: String,
        /// The digest of the bytes that came.
        actual: Digest,
    },
    /// Past a bound of `model::limits`, or longer than its descriptor says.
    #[error("{what}: more than {most} {unit}")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The bound.
        most: u64,
        /// Of what.
        unit: &'static str,
    },
    /// Nothing came for too long.
    #[error("{what}: {host} did not answer in time")]
    Timeout {
        /// What was asked for.
        what: String,
        /// Which host.
        host: String,
    },
    /// An answer that does not follow the protocol.
    #[error("{what}: {problem}")]
    Answer {
        /// What was asked for.
        what: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// An index without the wanted platform.
    #[error("{image} has no single manifest for {wanted}; it has {available}")]
    Platform {
        /// Which image.
        image: String,
        /// The platform asked for.
        wanted: String,
        /// All it has, comma-separated.
        available: String,
    },
    /// The manifest of an attachment is in the registry, but the fallback tag does not name it.
    #[error("attachment {digest} is pushed but not listed for {subject}; run the same command again")]
    Unlisted {
        /// The attachment.
        digest: Digest,
        /// What it is attached to.
        subject: Digest,
        /// Why not; nothing if others kept writing at the same time.
        source: Option<Box<RegistryError>>,
    },
    /// A directory that is not an OCI layout, or cannot be read or written.
    #[error("cannot use OCI layout `{}`", path.display())]
    Layout {
        /// Which directory or file.
        path: PathBuf,
        /// Why not.
        source: Cause,
    },
    /// A program that should know the login, and gives none.
    #[error("credential program `{program}` gives no login for {host}")]
    CredentialProgram {
        /// Which program.
        program: String,
        /// For which registry.
        host: String,
        /// Why not.
        source: Cause,
    },
    /// A file of credentials that cannot be read.
    #[error("cannot read credentials from `{}`", path.display())]
    AuthFile {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: Cause,
    },
    /// `registries.conf` says that nothing is read from there.
    #[error("{what} is blocked by registries.conf")]
    Blocked {
        /// The place.
        what: String,
    },
    /// A place that `registries.conf` names.
    #[error("registries.conf")]
    Conf(#[from] super::ConfError),
    /// Neither a mirror nor the place itself.
    #[error("mirrors failed ({mirrors}), and then the place itself")]
    Mirrors {
        /// Each with its error.
        mirrors: String,
        /// What the place itself said.
        source: Box<RegistryError>,
    },
    /// The local store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// Whether the place was asked and has no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the place could not be asked at all: network, login, refusal, time. A later try may go well.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unauthorized { .. }
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::Timeout { .. }
            | Self::Unlisted { .. } => true,
            Self::Mirrors { source, .. } => source.is_unavailable(),
            Self::NotFound { .. }
            | Self::Mismatch { .. }
            | Self::TooLarge { .. }
            | Self::Answer { .. }
            | Self::Platform { .. }
            | Self::Layout { .. }
            | Self::AuthFile { .. }
            | Self::CredentialProgram { .. }
            | Self::Blocked { .. }
            | Self::Conf(_)
            | Self::Store(_) => false,
        }
    }

    /// [`RegistryError::Refused`] with what `body` says, made fit for a terminal.
    pub(super) fn refused(what: &str, status: u16, body: &[u8]) -> Self {
        Self::Refused { what: what.to_owned(), status, message: words(body) }
    }

    /// Adds when the registry wants to be asked again: `Retry-After`, seconds or a date.
    pub(super) fn come_back(&mut self, after: &str) {
        if let Self::Refused { message, .. } = self {
            let unit = if after.bytes().all(|byte| byte.is_ascii_digit()) { " s" } else { "" };
            *message = shortened(&format!("{message} (it asks to come back after {after}{unit})"));
        }
    }

    /// [`RegistryError::Answer`].
    pub(super) fn answer(what: &str, problem: impl Into<String>) -> Self {
        Self::Answer { what: what.to_owned(), problem: shortened(&problem.into()) }
    }

    /// Whether the registry gave `code` (distribution-spec, "Error Codes") as its reason.
    pub(super) fn says(&self, code: &str) -> bool {
        matches!(self, Self::Refused { message, .. } if message.contains(code))
    }
}

/// The registry's own words: code and message of its first errors, else the text.
fn words(body: &[u8]) -> String {
    let Ok(envelope) = serde_json::from_slice::<OciEnvelope>(body) else {
        return shortened(String::from_utf8_lossy(body).trim());
    };
    let errors = envelope.errors.iter().map(|error| {
        let code = serde_json::to_value(&error.code).unwrap_or_default();
        format!("{}: {}", code.as_str().unwrap_or("UNKNOWN"), error.message)
    });
    shortened(&errors.collect::<Vec<_>>().join("; "))
}

fn shortened(text: &str) -> String {
    printable(&text.chars().take(300).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short_and_printable() {
        let check = |body: &str, expected: &str| assert_eq!(words(body.as_bytes()), expected);
        check(r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, "DENIED: no");
        check(r#"{"errors":[{"code":"OWN_CODE","message":"a\u001b[1m"}]}"#, "OWN_CODE: a\\u{1b}[1m");
        check("<html>\u{202e}x", "<html>\\u{202e}x");
        assert_eq!(words(&[b'a'; 9999]).len(), 300);
    }

    #[test]
    fn says_its_code() {
        let body = br#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#;
        assert!(RegistryError::refused("x", 400, body).says("MANIFEST_BLOB_UNKNOWN"));
        assert!(!RegistryError::NotFound { what: "x".into() }.says("x"));
    }
}
