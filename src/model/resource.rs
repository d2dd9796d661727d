//! Pointers to bytes: in-toto's resource descriptor and OCI's descriptor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Digest;

/// in-toto `ResourceDescriptor` (attestation spec v1, `resource_descriptor`); empty fields are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDescriptor {
    /// What the statement calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it is identified.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// Algorithm to hex digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// Media type of its bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Whatever else is known; `role` says what kind of dependency it is.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
}

impl ResourceDescriptor {
    /// Its sha256, if it has a well-formed one.
    #[must_use]
    pub fn sha256(&self) -> Option<Digest> {
        self.digest.get("sha256").and_then(|hex| Digest::from_hex(hex))
    }

    /// `annotations.role`, or nothing.
    #[must_use]
    pub fn role(&self) -> &str {
        self.annotations.get("role").and_then(Value::as_str).unwrap_or_default()
    }
}

/// OCI content descriptor (image-spec, "Content Descriptors").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the bytes.
    pub media_type: String,
    /// Their digest.
    pub digest: Digest,
    /// Their size in bytes.
    pub size: u64,
    /// For an artifact's manifest in an index: what artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Unsigned hints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Platform of a manifest in an index, raw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Value>,
}

impl Descriptor {
    /// The descriptor of `bytes`.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// A descriptor without annotations.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            annotations: BTreeMap::new(),
            platform: None,
        }
    }
}
