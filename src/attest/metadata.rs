//! Files of in-toto's own tools: a link or a layout and signatures over it, classic or in DSSE (FORMATS.md §10).
//!
//! Classic: `{"signatures":[{"keyid","sig"}],"signed":{…}}`, signed over OLPC canonical JSON of `signed`. DSSE: an envelope whose
//! payload is that object. Both name the key of each signature, and a verifier goes by that name alone.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    envelope::{EnvelopeError, decoded, pae},
    functionary::{Functionary, FunctionaryError, hex, unhex},
    layout::Layout,
    link::Link,
    olpc,
    strict::{self, JsonError, shown},
};
use crate::model::{
    limits::{BUNDLE_SIZE_BYTES_MAX, ENVELOPE_SIGNATURES_MAX, STATEMENT_SIZE_BYTES_MAX},
    names::IN_TOTO_JSON,
};

/// How such a file is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Over canonical JSON, signatures in hex beside it.
    Classic,
    /// In an envelope.
    Dsse,
}

/// What such a file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// What was done in a step.
    Link(Link),
    /// What is to be done.
    Layout(Layout),
}

/// A file of in-toto's. What it says is believed only after [`Metadata::signed_by`].
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// What it says.
    pub body: Body,
    /// How it is signed.
    pub form: Form,
    message: Vec<u8>,
    signatures: Vec<(String, Vec<u8>)>,
}

/// Why bytes are not a link or a layout.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Not JSON, too much of it, or JSON that could be read two ways.
    #[error("it cannot be read")]
    Json(#[from] JsonError),
    /// A bad envelope.
    #[error("its envelope cannot be read")]
    Envelope(#[from] EnvelopeError),
    /// Neither `signed` nor `payload`.
    #[error("it is neither a classic in-toto file nor a DSSE envelope")]
    Form,
    /// A statement, or something else.
    #[error("it holds a `{0}`, neither a link nor a layout")]
    Type(String),
    /// A field that is not there or is no such thing.
    #[error("it has no {0}")]
    Field(&'static str),
    /// A field that the reference implementation does not know, and so would drop.
    #[error("the {what} has a field `{field}`, which in-toto does not know")]
    Unknown {
        /// Of what.
        what: &'static str,
        /// Which.
        field: String,
    },
    /// A field that the reference implementation would fill in, and so break the signature.
    #[error("the {what} has no field `{field}`")]
    Missing {
        /// Of what.
        what: &'static str,
        /// Which.
        field: String,
    },
    /// Two signatures under one key id.
    #[error("two signatures name the key `{0}`")]
    SignedTwice(String),
    /// More signatures than are tried.
    #[error("it has {0} signatures; {ENVELOPE_SIGNATURES_MAX} are the most")]
    Signatures(usize),
    /// A number that canonical JSON cannot say.
    #[error("it holds a number that is not an integer, so it cannot have been signed")]
    Number,
    /// A key in a layout that cannot be used.
    #[error("its key `{id}`")]
    Key {
        /// Under which id.
        id: String,
        /// Why not.
        source: FunctionaryError,
    },
    /// A rule about artifacts that is none.
    #[error("`{name}` has a rule that is none: {rule}")]
    Rule {
        /// Of which step or inspection.
        name: String,
        /// As written.
        rule: String,
    },
    /// Two steps or inspections of one name.
    #[error("the layout has two steps or inspections named `{0}`")]
    NamedTwice(String),
    /// A step's name that is no part of a file name.
    #[error("`{0}` cannot be a step's name: links are files named after their step")]
    StepName(String),
    /// A step that asks for nobody, or a number that is none.
    #[error("step `{0}` has no threshold of 1 or more")]
    Threshold(String),
    /// Not a time as layouts write it.
    #[error("it expires at `{0}`, which is not a time like 2027-01-31T00:00:00Z")]
    Expires(String),
    /// More than are judged.
    #[error("the layout has more than {max} {what}")]
    Many {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
}

impl Metadata {
    /// Reads a link or a layout, classic or in DSSE, strictly: no key twice, exactly the fields of its type.
    ///
    /// # Errors
    /// Whatever breaks one of these, or a bound of [`crate::model::limits`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        let Value::Object(map) = strict::read(bytes, BUNDLE_SIZE_BYTES_MAX)? else {
            return Err(MetadataError::Form);
        };
        match (map.contains_key("payload"), map.contains_key("signed")) {
            (true, _) => Self::dsse(map),
            (false, true) => Self::classic(map),
            (false, false) => Err(MetadataError::Form),
        }
    }

    fn classic(mut map: Map<String, Value>) -> Result<Self, MetadataError> {
        let signed = map.remove("signed").ok_or(MetadataError::Form)?;
        let signatures = signatures(map, |signature| {
            // A signature without `sig` is one by OpenPGP, which nobody here checks.
            let text = strict::text(signature, "sig")?;
            Some(unhex(&text).ok_or(MetadataError::Field("hex in `sig`")))
        })?;
        let message = olpc::canonical(&signed).ok_or(MetadataError::Number)?;
        Ok(Self { body: body(&signed)?, form: Form::Classic, message, signatures })
    }

    fn dsse(mut map: Map<String, Value>) -> Result<Self, MetadataError> {
        let payload_type = strict::text(&mut map, "payloadType").unwrap_or_default();
        if payload_type != IN_TOTO_JSON {
            return Err(EnvelopeError::PayloadType(shown(&payload_type)).into());
        }
        let payload = decoded(&mut map, "payload", "`payload`")?;
        let signatures = signatures(map, |signature| {
            Some(decoded(signature, "sig", "`sig`").map_err(MetadataError::from))
        })?;
        let message = pae(&payload_type, &payload);
        let signed = strict::read(&payload, STATEMENT_SIZE_BYTES_MAX)?;
        Ok(Self { body: body(&signed)?, form: Form::Dsse, message, signatures })
    }

    /// Whether `functionary` signed it: a signature that names it, and is by its key.
    #[must_use]
    pub fn signed_by(&self, functionary: &Functionary) -> bool {
        let named = self.signatures.iter().find(|(id, _)| id == functionary.id());
        named.is_some_and(|(_, signature)| functionary.verify(&self.message, signature))
    }

    /// The ids of the keys that its signatures name; nothing is checked.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|(id, _)| id.as_str())
    }
}

impl Link {
    /// The bytes to be signed for a file of this form.
    ///
    /// # Errors
    /// If it holds a number that is not an integer, and the form is classic.
    pub fn signed_bytes(&self, form: Form) -> Result<Vec<u8>, MetadataError> {
        match form {
            Form::Classic => olpc::canonical(&self.to_value()).ok_or(MetadataError::Number),
            Form::Dsse => Ok(pae(IN_TOTO_JSON, self.to_value().to_string().as_bytes())),
        }
    }

    /// The file: this link and the signature that the key `key_id` made over [`Link::signed_bytes`] of the same form.
    #[must_use]
    pub fn file(&self, form: Form, key_id: &str, signature: &[u8]) -> Vec<u8> {
        let file = match form {
            Form::Classic => json!({
                "signatures": [{"keyid": key_id, "sig": hex(signature)}],
                "signed": self.to_value(),
            }),
            Form::Dsse => json!({
                "payload": STANDARD.encode(self.to_value().to_string()),
                "payloadType": IN_TOTO_JSON,
                "signatures": [{"keyid": key_id, "sig": STANDARD.encode(signature)}],
            }),
        };
        file.to_string().into_bytes()
    }
}

fn signatures(
    mut map: Map<String, Value>,
    read: impl Fn(&mut Map<String, Value>) -> Option<Result<Vec<u8>, MetadataError>>,
) -> Result<Vec<(String, Vec<u8>)>, MetadataError> {
    let items = strict::array(&mut map, "signatures").ok_or(MetadataError::Field("`signatures` list"))?;
    if items.len() > ENVELOPE_SIGNATURES_MAX {
        return Err(MetadataError::Signatures(items.len()));
    }
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for item in items {
        let Value::Object(mut map) = item else { return Err(MetadataError::Field("object for a signature")) };
        let id = strict::text(&mut map, "keyid").ok_or(MetadataError::Field("`keyid` of a signature"))?;
        let Some(signature) = read(&mut map) else { continue };
        if all.iter().any(|(other, _)| *other == id) {
            return Err(MetadataError::SignedTwice(shown(&id)));
        }
        all.push((id, signature?));
    }
    Ok(all)
}

fn body(signed: &Value) -> Result<Body, MetadataError> {
    match signed.get("_type").and_then(Value::as_str).unwrap_or_default() {
        "link" => Link::from_value(signed).map(Body::Link),
        "layout" => Layout::from_value(signed).map(Body::Layout),
        other => Err(MetadataError::Type(shown(other))),
    }
}
