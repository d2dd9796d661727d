//! sigstore bundles v0.3 that hold a DSSE envelope signed by a key (FORMATS.md §3).

use serde_json::{Value, json};

use super::{
    envelope::{Envelope, EnvelopeError},
    strict::{self, JsonError, shown},
};
use crate::model::{json, limits::BUNDLE_SIZE_BYTES_MAX, names::BUNDLE};

/// An envelope and a hint of who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What is signed. cosign wants exactly one signature.
    pub envelope: Envelope,
    /// Base64 of the SHA-256 of the signer's SPKI ([`super::PublicKey::hint`]); empty if the bundle brings
    /// none. Never trusted, nor is any key or certificate inside a bundle.
    pub hint: String,
}

/// Why bytes are not a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not JSON, too much of it, or JSON that could be read two ways.
    #[error("bundle cannot be read")]
    Json(#[from] JsonError),
    /// Another version, or something else.
    #[error("media type is `{0}`, not `{BUNDLE}`")]
    Version(String),
    /// A field that is not there or is no such thing.
    #[error("bundle has no {0}")]
    Field(&'static str),
    /// A field a bundle does not have, or a content other than an envelope.
    #[error("bundle has a field `{0}`, which is not read")]
    Unknown(String),
    /// What stands in `dsseEnvelope` is not one.
    #[error("bundle holds a bad envelope")]
    Envelope(#[from] EnvelopeError),
}

impl Bundle {
    /// Its bytes: canonical JSON, with exactly the fields cosign needs (it refuses unknown ones).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::canonical(&json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self.hint}},
            "dsseEnvelope": self.envelope.to_value(),
        }))
    }

    /// Reads a bundle that holds an envelope and nothing else.
    ///
    /// # Errors
    /// If it is not JSON that can be read one way only, another version, or holds another content.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let Value::Object(mut map) = strict::read(bytes, BUNDLE_SIZE_BYTES_MAX)? else {
            return Err(BundleError::Field("object at its top"));
        };
        let media_type = strict::text(&mut map, "mediaType").unwrap_or_default();
        if media_type != BUNDLE {
            return Err(BundleError::Version(shown(&media_type)));
        }
        let material = strict::object(&mut map, "verificationMaterial");
        let material = material.ok_or(BundleError::Field("`verificationMaterial`"))?;
        let envelope = map.remove("dsseEnvelope").ok_or(BundleError::Field("`dsseEnvelope`"))?;
        if let Some(field) = map.keys().next() {
            return Err(BundleError::Unknown(shown(field)));
        }
        let hint = material.get("publicKey").and_then(|key| key.get("hint")).and_then(Value::as_str);
        Ok(Self { envelope: Envelope::from_value(envelope)?, hint: hint.unwrap_or_default().to_owned() })
    }
}
