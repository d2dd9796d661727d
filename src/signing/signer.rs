//! Who signs: a private key in memory, or a command of the user's that reaches one (a KMS, an HSM).

use std::time::Duration;

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{PrivateKey, words};
use crate::{
    attest::{Checked, Envelope, PublicKey, Statement, pae},
    model::{Digest, limits::SIGNER_ANSWER_SIZE_BYTES_MAX, names::IN_TOTO_JSON},
    process::{self, ProcessError},
};

/// Makes signatures. Every one was checked with the public key before it is handed out.
#[derive(Debug)]
pub enum Signer {
    /// A private key.
    Key(PrivateKey),
    /// A command.
    Command(SignerCommand),
}

/// A command that is given the bytes to sign on standard input, and answers with the signature, raw or in base64.
#[derive(Debug)]
pub struct SignerCommand {
    words: Vec<String>,
    public: PublicKey,
    timeout: Duration,
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The command line cannot be taken apart.
    #[error("--signer-command: {0}")]
    Words(&'static str),
    /// It could not be run, failed, or took too long.
    #[error("the signer command made no signature")]
    Command(#[source] ProcessError),
    /// What it said is no signature over the bytes by the key.
    #[error(
        "`{program}` answered with {size_bytes} bytes that are not a signature over what was to be signed by the key sha256:{key}; nothing is attached. Is --key the public key of the one it signs with?"
    )]
    Foreign {
        /// Which command.
        program: String,
        /// How long its answer is.
        size_bytes: usize,
        /// The public key's fingerprint, hex.
        key: String,
    },
    /// A good signature by an algorithm that other tools do not check.
    #[error("`{program}` signed with {0}, which cosign does not verify; {1}", made.0, made.1)]
    Unportable {
        /// Which command.
        program: String,
        /// What it used, and what to use.
        made: (&'static str, &'static str),
    },
}

impl SignerCommand {
    /// Takes `line` apart into words as a shell does, but runs no shell: `'…'`, `"…"` and backslashes quote, nothing is
    /// expanded. `public` is the key it signs with.
    ///
    /// # Errors
    /// [`SignError::Words`] if a quote is open at the end, or there is no word.
    pub fn new(line: &str, public: PublicKey, timeout: Duration) -> Result<Self, SignError> {
        let words = words::split(line).map_err(SignError::Words)?;
        Ok(Self { words, public, timeout })
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let said = process::converse(&self.words, message, self.timeout, SIGNER_ANSWER_SIZE_BYTES_MAX);
        let said = said.await.map_err(SignError::Command)?;
        let program = || self.words.first().cloned().unwrap_or_default();
        for signature in [Some(said.clone()), decoded(&said)].into_iter().flatten() {
            match self.public.check(message, &signature) {
                Checked::No => {}
                Checked::Portable => return Ok(signature),
                Checked::Unportable(used, instead) => {
                    return Err(SignError::Unportable { program: program(), made: (used, instead) });
                }
            }
        }
        let key = Digest::hex(&self.public.fingerprint());
        Err(SignError::Foreign { program: program(), size_bytes: said.len(), key })
    }
}

impl Signer {
    /// The public half of the key it signs with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Key(key) => key.public(),
            Self::Command(command) => command.public.clone(),
        }
    }

    /// Signs `message` as it is: the caller frames it ([`pae`]).
    ///
    /// # Errors
    /// [`SignError`]; a key in memory has none.
    pub async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Key(key) => Ok(key.sign(message)),
            Self::Command(command) => command.sign(message).await,
        }
    }

    /// Signs `statement` into an envelope with this one signature.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn sign_envelope(&self, statement: &Statement) -> Result<Envelope, SignError> {
        self.sign_payload(statement.to_bytes()).await
    }

    /// Signs the bytes of a statement, whoever wrote them, into an envelope with this one signature.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn sign_payload(&self, payload: Vec<u8>) -> Result<Envelope, SignError> {
        let signatures = vec![self.sign(&pae(IN_TOTO_JSON, &payload)).await?];
        Ok(Envelope { payload, payload_type: IN_TOTO_JSON.to_owned(), signatures })
    }
}

impl From<PrivateKey> for Signer {
    fn from(key: PrivateKey) -> Self {
        Self::Key(key)
    }
}

/// Base64 in either alphabet, in lines or not, padded or not: as `base64`, `openssl base64` and the cloud's tools print it.
fn decoded(said: &[u8]) -> Option<Vec<u8>> {
    let text: String = std::str::from_utf8(said).ok()?.split_ascii_whitespace().collect();
    let alphabet = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&alphabet, config).decode(text).ok()
}

#[cfg(test)]
mod tests;
