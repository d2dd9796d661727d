//! in-toto links: what went into one step and what came out (in-toto specification v1.0 §4.4; FORMATS.md §10).
//!
//! A link is exactly seven fields: the reference verifier re-serialises what it knows, so one more or one less breaks its
//! signature. `reprov verify --layout` reads them; the tests write some for the reference implementation.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    metadata::MetadataError,
    strict::{self, shown},
};
use crate::model::limits::LINK_ARTIFACTS_MAX;

/// Names of files to their digests: algorithm to hex.
pub type Artifacts = BTreeMap<String, BTreeMap<String, String>>;

const FIELDS: [&str; 7] = ["_type", "byproducts", "command", "environment", "materials", "name", "products"];

/// What somebody says of a step that they did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Link {
    /// Of the step.
    pub name: String,
    /// What was run; may be empty.
    pub command: Vec<String>,
    /// What went in.
    pub materials: Artifacts,
    /// What came out.
    pub products: Artifacts,
    /// `return-value`, `stdout`, `stderr`; not judged.
    pub byproducts: Map<String, Value>,
    /// Not judged.
    pub environment: Map<String, Value>,
}

impl Link {
    /// The seven fields; what is signed.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!({
            "_type": "link",
            "name": self.name,
            "command": self.command,
            "materials": self.materials,
            "products": self.products,
            "byproducts": self.byproducts,
            "environment": self.environment,
        })
    }

    /// Takes the seven fields apart.
    pub(super) fn from_value(value: &Value) -> Result<Self, MetadataError> {
        let mut map = exactly(value, &FIELDS, "link")?;
        let name = strict::text(&mut map, "name").ok_or(MetadataError::Field("`name` of the link"))?;
        let command =
            strings(map.remove("command")).ok_or(MetadataError::Field("`command` list of strings"))?;
        Ok(Self {
            name,
            command,
            materials: artifacts(&mut map, "materials")
                .ok_or(MetadataError::Field("`materials` with digests"))?,
            products: artifacts(&mut map, "products")
                .ok_or(MetadataError::Field("`products` with digests"))?,
            byproducts: strict::object(&mut map, "byproducts")
                .ok_or(MetadataError::Field("`byproducts` object"))?,
            environment: strict::object(&mut map, "environment")
                .ok_or(MetadataError::Field("`environment` object"))?,
        })
    }

    /// The name that verifiers look for it under: `STEP.KEYID8.link`.
    #[must_use]
    pub fn file_name(step: &str, key_id: &str) -> String {
        format!("{step}.{}.link", key_id.chars().take(8).collect::<String>())
    }
}

/// The members of `value`, which must be `fields` and no others.
pub(super) fn exactly(
    value: &Value,
    fields: &[&str],
    what: &'static str,
) -> Result<Map<String, Value>, MetadataError> {
    let map = value.as_object().ok_or(MetadataError::Field("object"))?;
    if let Some(field) = map.keys().find(|field| !fields.contains(&field.as_str())) {
        return Err(MetadataError::Unknown { what, field: shown(field) });
    }
    if let Some(field) = fields.iter().find(|field| !map.contains_key(**field)) {
        return Err(MetadataError::Missing { what, field: (*field).to_owned() });
    }
    Ok(map.clone())
}

/// A list of strings.
pub(super) fn strings(value: Option<Value>) -> Option<Vec<String>> {
    let Some(Value::Array(items)) = value else { return None };
    let text = |item| match item {
        Value::String(text) => Some(text),
        _ => None,
    };
    items.into_iter().map(text).collect()
}

fn artifacts(map: &mut Map<String, Value>, field: &str) -> Option<Artifacts> {
    let members = strict::object(map, field).filter(|members| members.len() <= LINK_ARTIFACTS_MAX)?;
    let digests = |(path, value): (String, Value)| {
        let Value::Object(digests) = value else { return None };
        Some((path, digests.into_iter().map(digest).collect::<Option<_>>()?))
    };
    members.into_iter().map(digests).collect()
}

fn digest((algorithm, hex): (String, Value)) -> Option<(String, String)> {
    match hex {
        Value::String(hex) if !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Some((algorithm, hex))
        }
        _ => None,
    }
}
