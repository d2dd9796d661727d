//! What differs in config and manifest, in words.

use serde_json::Value;

use crate::{diff::Of, drift::ConfigDrift, model::path::printable};

/// The longest value shown, in characters.
const VALUE_CHARS_MAX: usize = 2_000;

/// `config /config/Env/0`, fit to print.
pub(super) fn said(drift: &ConfigDrift) -> String {
    let of = match drift.of {
        Of::Config => "config",
        Of::Manifest => "manifest",
    };
    format!("{of} {}", printable(&drift.pointer))
}

/// A value as JSON, shortened, fit to print.
pub(super) fn value(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let mut shown: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    printable(&shown)
}
