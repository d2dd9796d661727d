//! JSON from strangers, bounded; and the few ways we take it apart.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::{json, limits::JSON_VALUES_MAX, path::printable};

/// Why bytes are not JSON we read.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Longer than its bound.
    #[error("{size_bytes} bytes are more than the {size_bytes_max} allowed")]
    Size {
        /// How long it is.
        size_bytes: usize,
        /// How long it may be.
        size_bytes_max: u64,
    },
    /// So many values that they would take too much memory.
    #[error("more than {JSON_VALUES_MAX} values")]
    Values,
    /// Not JSON, or JSON that could be read two ways.
    #[error("not strict JSON")]
    Syntax(#[from] serde_json::Error),
}

impl JsonError {
    /// Whether some key stands twice in one object.
    #[must_use]
    pub fn stands_twice(&self) -> bool {
        // What `json::parse` refuses comes as a message of serde's, which has no kinds of its own.
        matches!(self, Self::Syntax(error) if error.to_string().contains(json::STANDS_TWICE))
    }
}

/// Reads JSON strictly ([`json::parse`]), of a size and a number of values that are bounded.
pub(super) fn read(bytes: &[u8], size_bytes_max: u64) -> Result<Value, JsonError> {
    if bytes.len() as u64 > size_bytes_max {
        return Err(JsonError::Size { size_bytes: bytes.len(), size_bytes_max });
    }
    json::parse_at_most(bytes, JSON_VALUES_MAX)?.ok_or(JsonError::Values)
}

/// Takes the string `field` out of `map`.
pub(super) fn text(map: &mut Map<String, Value>, field: &str) -> Option<String> {
    match map.remove(field) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Takes the array `field` out of `map`.
pub(super) fn array(map: &mut Map<String, Value>, field: &str) -> Option<Vec<Value>> {
    match map.remove(field) {
        Some(Value::Array(items)) => Some(items),
        _ => None,
    }
}

/// Takes the object `field` out of `map`.
pub(super) fn object(map: &mut Map<String, Value>, field: &str) -> Option<Map<String, Value>> {
    match map.remove(field) {
        Some(Value::Object(map)) => Some(map),
        _ => None,
    }
}

/// `value` without null members, at every depth: unset, null and empty mean the same (FORMATS.md §2).
pub(super) fn without_nulls(value: &Value) -> Cow<'_, Value> {
    bare(value).map_or(Cow::Borrowed(value), Cow::Owned)
}

/// [`without_nulls`], if that is another.
pub(super) fn bare(value: &Value) -> Option<Value> {
    has_nulls(value).then(|| others(value))
}

fn has_nulls(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().any(|value| value.is_null() || has_nulls(value)),
        Value::Array(items) => items.iter().any(has_nulls),
        _ => false,
    }
}

fn others(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), others(value)))
            .collect(),
        Value::Array(items) => items.iter().map(others).collect(),
        scalar => scalar.clone(),
    }
}

/// `value` as JSON.
pub(super) fn to_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("our predicates have string keys and no failing serializers")
}

/// A stranger's text as an error message may show it: printable, and no longer than a line.
pub(super) fn shown(text: &str) -> String {
    printable(&text.chars().take(100).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_too_much() {
        assert!(matches!(read(b"[1,2,3]", 3), Err(JsonError::Size { size_bytes: 7, .. })));
        let many = format!("[{}0]", "{},".repeat(JSON_VALUES_MAX));
        assert!(matches!(read(many.as_bytes(), 1 << 30), Err(JsonError::Values)));
        assert!(matches!(read(b"{", 10), Err(JsonError::Syntax(_))));
    }

    #[test]
    fn shows_no_control_characters() {
        assert_eq!(shown("a\u{1b}]0;x\u{7}"), "a\\u{1b}]0;x\\u{7}");
        assert_eq!(shown(&"x".repeat(1000)).len(), 100);
    }
}
