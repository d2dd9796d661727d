//! Image manifests, indexes and configs: strict bytes to typed views that lose no field, and back.
//!
//! Raw JSON is kept beside every view, so that a field this program has never heard of still counts when
//! two images are compared. Knows no registry, file or layer content.

mod config;
mod history;
mod image;
mod index;
mod manifest;
mod write;

pub use config::{Config, platform_name};
pub use image::Image;
pub use index::{Index, usual as usual_platform};
pub use manifest::Manifest;
pub use write::{artifact_bytes, manifest_bytes};

use serde::Deserialize as _;
use serde_json::Value;

use crate::model::{Descriptor, json, limits::BLOB_SIZE_BYTES_MAX};

/// Why bytes are not the OCI object they should be.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// Not strict JSON.
    #[error("the {what} is not well-formed JSON")]
    Json {
        /// Manifest, index or config.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Over a bound of `model::limits`.
    #[error("the {what} has {actual}, more than the {max} allowed")]
    TooMuch {
        /// Of what there is too much.
        what: &'static str,
        /// How much there is.
        actual: u64,
        /// How much may be.
        max: u64,
    },
    /// JSON of another shape.
    #[error("the {what} is not one: {why}")]
    Shape {
        /// Manifest, index or config.
        what: &'static str,
        /// What is wrong, with its place.
        why: String,
    },
    /// The index has nothing for this platform.
    #[error("the index has no image for `{wanted}`; it has {}", listed(has))]
    Platform {
        /// As asked for.
        wanted: String,
        /// What could be asked for.
        has: Vec<String>,
    },
}

fn listed(platforms: &[String]) -> String {
    if platforms.is_empty() { "none".to_owned() } else { platforms.join(", ") }
}

/// Reads `bytes` as a JSON object of at most `max` bytes.
fn object(what: &'static str, bytes: &[u8], max: u64) -> Result<Value, OciError> {
    let actual = bytes.len() as u64;
    if actual > max {
        return Err(OciError::TooMuch { what, actual, max });
    }
    let value = json::parse(bytes).map_err(|source| OciError::Json { what, source })?;
    if value.is_object() { Ok(value) } else { Err(shape(what, "it is not a JSON object")) }
}

fn shape(what: &'static str, why: impl Into<String>) -> OciError {
    OciError::Shape { what, why: why.into() }
}

/// Reads one descriptor and holds its size against the bound.
fn descriptor(what: &'static str, place: &str, value: &Value) -> Result<Descriptor, OciError> {
    let descriptor = Descriptor::deserialize(value)
        .map_err(|error| shape(what, format!("`{place}` is no descriptor of ours: {error}")))?;
    if descriptor.size > BLOB_SIZE_BYTES_MAX {
        return Err(shape(what, format!("`{place}` claims {} bytes", descriptor.size)));
    }
    Ok(descriptor)
}

/// Checks that a field is absent, null, or a list of strings.
fn strings_or_nothing(what: &'static str, place: &str, value: Option<&Value>) -> Result<(), OciError> {
    match value {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => Ok(()),
        Some(_) => Err(shape(what, format!("`{place}` is not a list of strings"))),
    }
}

/// Checks that a field is absent, null, or a string.
fn string_or_nothing(what: &'static str, place: &str, value: Option<&Value>) -> Result<(), OciError> {
    match value {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(_) => Err(shape(what, format!("`{place}` is not a string"))),
    }
}
