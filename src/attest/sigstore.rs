//! sigstore bundles of every version, with whatever they hold (sigstore protobuf specs, `bundle.v1`; FORMATS.md §3).
//!
//! [`super::Bundle`] is the one form that we write and read beside images. Here is what others keep in files: envelopes or
//! signatures over files, by keys or certificates, with entries of logs and timestamps. What those prove is not looked at.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{
    envelope::{Envelope, EnvelopeError},
    strict::{self, JsonError, shown},
};
use crate::model::{limits::BUNDLE_SIZE_BYTES_MAX, names::BUNDLE};

/// How bundles call their version: 0.1, 0.2, and 0.3 in two spellings.
const VERSIONS: [(&str, Version); 4] = [
    ("application/vnd.dev.sigstore.bundle+json;version=0.1", Version::V01),
    ("application/vnd.dev.sigstore.bundle+json;version=0.2", Version::V02),
    ("application/vnd.dev.sigstore.bundle+json;version=0.3", Version::V03),
    (BUNDLE, Version::V03),
];
/// Most certificates, log entries or timestamps of one bundle.
const MATERIAL_MAX: usize = 32;

/// A bundle's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1: entries carry a promise.
    V01,
    /// 0.2: entries carry a proof.
    V02,
    /// 0.3: one certificate, not a chain.
    V03,
}

/// What a bundle says who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// A key, named by a hint that binds nobody.
    Key(String),
    /// A certificate, the signer's first.
    Certificates(Vec<Vec<u8>>),
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A statement.
    Envelope(Envelope),
    /// The bytes of a file.
    Message(Message),
}

/// A signature over the bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What its digest is said to be: the algorithm's name and the bytes. Never needed, but must be true.
    pub digest: Option<(String, Vec<u8>)>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// A bundle that was read, and not verified in any part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigstoreBundle {
    /// Its version.
    pub version: Version,
    /// Who signed, by its own word.
    pub material: Material,
    /// What.
    pub content: Content,
    /// How many log entries it has.
    pub entries: usize,
    /// How many timestamps it has.
    pub timestamps: usize,
}

/// Why bytes are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum SigstoreError {
    /// Not JSON, too much of it, or JSON that could be read two ways.
    #[error("bundle cannot be read")]
    Json(#[from] JsonError),
    /// Another version, or something else.
    #[error("media type is `{0}`; bundles of versions 0.1, 0.2 and 0.3 are read")]
    Version(String),
    /// A field that is not there or is no such thing.
    #[error("bundle has no {0}")]
    Field(&'static str),
    /// A field that bundles do not have.
    #[error("bundle has a field `{0}`, which is not read")]
    Unknown(String),
    /// Two contents, or two answers to who signed.
    #[error("bundle has {0}; exactly one is allowed")]
    Several(&'static str),
    /// More than anybody needs.
    #[error("bundle has {0} {1}; {MATERIAL_MAX} are allowed")]
    TooMany(usize, &'static str),
    /// Version 0.3 has one certificate.
    #[error("a bundle of version 0.3 has one certificate, not a chain")]
    Chain,
    /// Not base64.
    #[error("{0} is not base64")]
    Base64(&'static str),
    /// What stands in `dsseEnvelope` is not one.
    #[error("bundle holds a bad envelope")]
    Envelope(#[from] EnvelopeError),
    /// Bundles have one signature; which of several an entry or a timestamp speaks of, nobody could tell.
    #[error("envelope has {0} signatures; a bundle has one")]
    Signatures(usize),
}

impl SigstoreBundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// If it is not JSON that can be read one way only, of another version, lacks a part, or has two of one.
    pub fn parse(bytes: &[u8]) -> Result<Self, SigstoreError> {
        let Value::Object(mut map) = strict::read(bytes, BUNDLE_SIZE_BYTES_MAX)? else {
            return Err(SigstoreError::Field("object at its top"));
        };
        let media_type = strict::text(&mut map, "mediaType").unwrap_or_default();
        let version = VERSIONS.into_iter().find(|(name, _)| *name == media_type).map(|(_, version)| version);
        let version = version.ok_or_else(|| SigstoreError::Version(shown(&media_type)))?;
        let mut material = strict::object(&mut map, "verificationMaterial")
            .ok_or(SigstoreError::Field("`verificationMaterial`"))?;
        let content = content(&mut map)?;
        none_left(&map)?;
        let entries = listed(&mut material, "tlogEntries", "log entries")?;
        let timestamps = match strict::object(&mut material, "timestampVerificationData") {
            None => 0,
            Some(mut data) => listed(&mut data, "rfc3161Timestamps", "timestamps")?,
        };
        let who = who(&mut material)?;
        material.retain(|field, value| !(field == "timestampVerificationData" && value.is_null()));
        none_left(&material)?;
        if version == Version::V03 && matches!(&who, (_, true)) {
            return Err(SigstoreError::Chain);
        }
        Ok(Self { version, material: who.0, content, entries, timestamps })
    }
}

/// Unset, null and absent are the same to protobuf.
fn taken(map: &mut Map<String, Value>, field: &str) -> Option<Value> {
    map.remove(field).filter(|value| !value.is_null())
}

fn none_left(map: &Map<String, Value>) -> Result<(), SigstoreError> {
    map.keys().next().map_or(Ok(()), |field| Err(SigstoreError::Unknown(shown(field))))
}

fn content(map: &mut Map<String, Value>) -> Result<Content, SigstoreError> {
    match (taken(map, "dsseEnvelope"), taken(map, "messageSignature")) {
        (Some(_), Some(_)) => Err(SigstoreError::Several("an envelope and a message signature")),
        (None, None) => Err(SigstoreError::Field("`dsseEnvelope` or `messageSignature`")),
        (Some(envelope), None) => {
            let envelope = Envelope::from_value(envelope)?;
            match envelope.signatures.len() {
                1 => Ok(Content::Envelope(envelope)),
                several => Err(SigstoreError::Signatures(several)),
            }
        }
        (None, Some(message)) => message_signature(message).map(Content::Message),
    }
}

fn message_signature(value: Value) -> Result<Message, SigstoreError> {
    let Value::Object(mut map) = value else {
        return Err(SigstoreError::Field("object as `messageSignature`"));
    };
    let signature = bytes(&mut map, "signature", "`signature`")?;
    let digest = match taken(&mut map, "messageDigest") {
        None => None,
        Some(Value::Object(mut digest)) => {
            let algorithm = strict::text(&mut digest, "algorithm");
            let algorithm = algorithm.ok_or(SigstoreError::Field("`messageDigest.algorithm`"))?;
            let bytes = bytes(&mut digest, "digest", "`messageDigest.digest`")?;
            none_left(&digest)?;
            Some((algorithm, bytes))
        }
        Some(_) => return Err(SigstoreError::Field("object as `messageDigest`")),
    };
    none_left(&map)?;
    Ok(Message { digest, signature })
}

/// Who signed, and whether it is a chain.
fn who(material: &mut Map<String, Value>) -> Result<(Material, bool), SigstoreError> {
    let kinds = ["publicKey", "certificate", "x509CertificateChain"].map(|field| taken(material, field));
    if kinds.iter().flatten().count() > 1 {
        return Err(SigstoreError::Several("several of a key, a certificate and a chain"));
    }
    let object = |value: Value| match value {
        Value::Object(map) => Ok(map),
        _ => Err(SigstoreError::Field("object that says who signed")),
    };
    match kinds {
        [Some(key), None, None] => {
            let mut key = object(key)?;
            let hint = strict::text(&mut key, "hint").unwrap_or_default();
            none_left(&key)?;
            Ok((Material::Key(hint), false))
        }
        [None, Some(one), None] => Ok((Material::Certificates(vec![certificate(object(one)?)?]), false)),
        [None, None, Some(chain)] => {
            let mut chain = object(chain)?;
            let items = strict::array(&mut chain, "certificates").unwrap_or_default();
            none_left(&chain)?;
            if items.is_empty() {
                return Err(SigstoreError::Field("certificate in its chain"));
            }
            if items.len() > MATERIAL_MAX {
                return Err(SigstoreError::TooMany(items.len(), "certificates"));
            }
            let read = items.into_iter().map(|item| object(item).and_then(certificate));
            Ok((Material::Certificates(read.collect::<Result<_, _>>()?), true))
        }
        _ => Err(SigstoreError::Field("`publicKey` or `certificate`")),
    }
}

fn certificate(mut map: Map<String, Value>) -> Result<Vec<u8>, SigstoreError> {
    let der = bytes(&mut map, "rawBytes", "`rawBytes`")?;
    none_left(&map)?;
    Ok(der)
}

fn bytes(map: &mut Map<String, Value>, field: &str, what: &'static str) -> Result<Vec<u8>, SigstoreError> {
    let text = strict::text(map, field).filter(|text| !text.is_empty()).ok_or(SigstoreError::Field(what))?;
    STANDARD.decode(text).map_err(|_| SigstoreError::Base64(what))
}

/// How long a list is; one that is not there has nothing.
fn listed(map: &mut Map<String, Value>, field: &str, what: &'static str) -> Result<usize, SigstoreError> {
    match taken(map, field) {
        None => Ok(0),
        Some(Value::Array(items)) if items.len() <= MATERIAL_MAX => Ok(items.len()),
        Some(Value::Array(items)) => Err(SigstoreError::TooMany(items.len(), what)),
        Some(_) => Err(SigstoreError::Field("list where one belongs")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bundle() -> Value {
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": [], "timestampVerificationData": null},
            "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": "AA=="}, "signature": "AQ=="},
        })
    }

    #[track_caller]
    fn check(edit: impl FnOnce(&mut Value), expected: &str) {
        let mut value = bundle();
        edit(&mut value);
        let error = SigstoreBundle::parse(value.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn each_version_is_read_by_its_name() {
        for (name, version) in VERSIONS {
            let mut value = bundle();
            value["mediaType"] = name.into();
            assert_eq!(SigstoreBundle::parse(value.to_string().as_bytes()).unwrap().version, version);
        }
        check(|value| value["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.4+json".into(), "0.4");
    }

    #[test]
    fn what_is_no_bundle_says_why() {
        check(|value| value["surprise"] = 1.into(), "`surprise`");
        check(|value| value["verificationMaterial"]["publicKey"]["rawBytes"] = "AA==".into(), "`rawBytes`");
        check(|value| value["verificationMaterial"]["certificate"] = json!({"rawBytes": "AA=="}), "several");
        check(|value| value["verificationMaterial"] = json!({}), "`publicKey` or");
        check(|value| value["dsseEnvelope"] = json!({}), "exactly one");
        check(|value| value["messageSignature"] = Value::Null, "`dsseEnvelope` or");
        check(|value| value["messageSignature"]["signature"] = "".into(), "`signature`");
        check(|value| value["messageSignature"]["signature"] = "AQ".into(), "base64");
        check(|value| value["messageSignature"]["messageDigest"] = json!({"digest": "AA=="}), "algorithm");
        let entries = json!(vec![json!({}); MATERIAL_MAX + 1]);
        check(|value| value["verificationMaterial"]["tlogEntries"] = entries, "33 log entries");
        let chain = |count: usize| json!({"x509CertificateChain": {"certificates": vec![json!({"rawBytes": "AA=="}); count]}});
        check(|value| value["verificationMaterial"] = chain(2), "not a chain");
        check(|value| value["verificationMaterial"] = chain(0), "certificate in its chain");
        check(|value| value["verificationMaterial"] = chain(33), "33 certificates");
    }

    #[test]
    fn an_envelope_has_one_signature() {
        for (count, good) in [(0, false), (1, true), (2, false)] {
            let mut value = bundle();
            value.as_object_mut().unwrap().remove("messageSignature");
            let signatures = vec![json!({"sig": "AQ=="}); count];
            value["dsseEnvelope"] = json!({"payload": "e30=", "payloadType": crate::model::names::IN_TOTO_JSON, "signatures": signatures});
            assert_eq!(SigstoreBundle::parse(value.to_string().as_bytes()).is_ok(), good, "{count}");
        }
    }
}
