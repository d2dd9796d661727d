//! DSSE envelopes: signed bytes and their signatures (DSSE v1.0.2; FORMATS.md §1).

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value, json};

use super::{
    key::PublicKey,
    statement::{Statement, StatementError},
    strict::{self, JsonError, shown},
};
use crate::model::{
    json,
    limits::{BUNDLE_SIZE_BYTES_MAX, ENVELOPE_SIGNATURES_MAX},
    names::IN_TOTO_JSON,
};

/// A payload and signatures over it. What it holds is believed only after [`Envelope::verified_by`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The signed bytes: a statement.
    pub payload: Vec<u8>,
    /// Always [`IN_TOTO_JSON`] in an envelope that was read.
    pub payload_type: String,
    /// Raw signatures; at most [`ENVELOPE_SIGNATURES_MAX`]. Key ids are hints and not kept.
    pub signatures: Vec<Vec<u8>>,
}

/// Why bytes are not an envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON, too much of it, or JSON that could be read two ways.
    #[error("envelope cannot be read")]
    Json(#[from] JsonError),
    /// A field that is not there or is no such thing.
    #[error("envelope has no {0}")]
    Field(&'static str),
    /// The payload is something else than a statement.
    #[error("payload type is `{0}`, not `{IN_TOTO_JSON}`")]
    PayloadType(String),
    /// None, or too many.
    #[error("envelope has {0} signatures; 1 to {ENVELOPE_SIGNATURES_MAX} are allowed")]
    Signatures(usize),
    /// Foreign characters, wrong padding, or bits left over.
    #[error("{0} is not base64")]
    Base64(&'static str),
}

/// The bytes that are signed: `DSSEv1 SP LEN(type) SP type SP LEN(payload) SP payload` (DSSE, "PAE").
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

impl Envelope {
    /// Reads an envelope. Base64 may be standard or url-safe, padded or not; nothing else may stand in it.
    ///
    /// # Errors
    /// If it is not JSON that can be read one way only, not an envelope, or not of a statement.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Self::from_value(strict::read(bytes, BUNDLE_SIZE_BYTES_MAX)?)
    }

    /// Reads an envelope that was read as JSON, strictly, before.
    pub(super) fn from_value(value: Value) -> Result<Self, EnvelopeError> {
        let Value::Object(mut map) = value else { return Err(EnvelopeError::Field("object at its top")) };
        let payload_type =
            strict::text(&mut map, "payloadType").ok_or(EnvelopeError::Field("`payloadType`"))?;
        if payload_type != IN_TOTO_JSON {
            return Err(EnvelopeError::PayloadType(shown(&payload_type)));
        }
        let items = strict::array(&mut map, "signatures").ok_or(EnvelopeError::Field("`signatures` list"))?;
        if items.is_empty() || items.len() > ENVELOPE_SIGNATURES_MAX {
            return Err(EnvelopeError::Signatures(items.len()));
        }
        let signatures = items.into_iter().map(signature).collect::<Result<_, _>>()?;
        let payload = decoded(&mut map, "payload", "`payload`")?;
        Ok(Self { payload, payload_type, signatures })
    }

    /// Its bytes: canonical JSON, standard base64 with padding, no `keyid` (cosign refuses one in bundles).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::canonical(&self.to_value())
    }

    pub(super) fn to_value(&self) -> Value {
        let signatures: Vec<Value> =
            self.signatures.iter().map(|raw| json!({"sig": STANDARD.encode(raw)})).collect();
        json!({
            "payload": STANDARD.encode(&self.payload),
            "payloadType": self.payload_type,
            "signatures": signatures,
        })
    }

    /// The index of the first of `keys` that made one of the signatures, if any.
    #[must_use]
    pub fn verified_by(&self, keys: &[PublicKey]) -> Option<usize> {
        let message = pae(&self.payload_type, &self.payload);
        let tried = self.signatures.iter().take(ENVELOPE_SIGNATURES_MAX);
        keys.iter().position(|key| tried.clone().any(|signature| key.verify(&message, signature)))
    }

    /// The statement it holds, signed by whomever.
    ///
    /// # Errors
    /// Those of [`Statement::parse`].
    pub fn statement(&self) -> Result<Statement, StatementError> {
        Statement::parse(&self.payload)
    }
}

fn signature(item: Value) -> Result<Vec<u8>, EnvelopeError> {
    let Value::Object(mut map) = item else { return Err(EnvelopeError::Field("object for a signature")) };
    decoded(&mut map, "sig", "`sig`")
}

pub(super) fn decoded(
    map: &mut Map<String, Value>,
    field: &str,
    what: &'static str,
) -> Result<Vec<u8>, EnvelopeError> {
    let text = strict::text(map, field).filter(|text| !text.is_empty()).ok_or(EnvelopeError::Field(what))?;
    // A text that both alphabets read means the same in both.
    let [usual, of_urls] =
        if text.ends_with('=') { [STANDARD, URL_SAFE] } else { [STANDARD_NO_PAD, URL_SAFE_NO_PAD] };
    usual.decode(&text).or_else(|_| of_urls.decode(&text)).map_err(|_| EnvelopeError::Base64(what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pae_is_as_the_spec_says() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[track_caller]
    fn check(payload: &str, expected: Option<&[u8]>) {
        let text = json!({"payload": payload, "payloadType": IN_TOTO_JSON, "signatures": [{"sig": "AA=="}]});
        let read = Envelope::parse(text.to_string().as_bytes());
        assert_eq!(read.ok().map(|envelope| envelope.payload).as_deref(), expected, "{payload}");
    }

    #[test]
    fn either_base64_is_read() {
        check("++//", Some(b"\xfb\xef\xff"));
        check("--__", Some(b"\xfb\xef\xff"));
        check("_w==", Some(b"\xff"));
        check("/w", Some(b"\xff"));
    }

    #[test]
    fn other_base64_is_refused() {
        for payload in ["+-//", "/w=", "/x==", "/w==\n", " /w==", "/w==AAAA", "!", "=", "A", "/w==="] {
            check(payload, None);
        }
    }

    proptest! {
        #[test]
        fn round_trips(payload in proptest::collection::vec(any::<u8>(), 1..200), signature in "[a-z]{1,80}") {
            let envelope = Envelope {
                payload,
                payload_type: IN_TOTO_JSON.into(),
                signatures: vec![signature.into_bytes()],
            };
            prop_assert_eq!(Envelope::parse(&envelope.to_bytes()).unwrap(), envelope);
        }
    }
}
