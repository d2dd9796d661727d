//! `reprov.diff/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{LayerPair, drift_lines};
use crate::{
    diff::Of,
    drift::{ConfigDrift, Drift},
    model::{Verdict, path::printable},
};

/// The answer of `diff`.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// `reprov.diff/v1`.
    pub schema: &'static str,
    /// How the second image stands to the first.
    pub verdict: Verdict,
    /// Layers side by side; the second image stands under `rebuilt`.
    pub layers: Vec<LayerPair>,
    /// What differs in config and manifest.
    pub config: Vec<ConfigDrift>,
    /// What differs in layers.
    pub drifts: Vec<Drift>,
}

impl Diff {
    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let equal = self.layers.iter().filter(|pair| pair.equal).count();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}  {equal} of {} layers equal", self.verdict, self.layers.len());
        for drift in &self.config {
            let _ = writeln!(out, "  {}", config_line(drift));
        }
        out.push_str(&drift_lines(&self.drifts));
        out
    }
}

/// One line of what differs in config or manifest.
pub(super) fn config_line(drift: &ConfigDrift) -> String {
    let shown = |value: &Option<serde_json::Value>| {
        let text = value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        printable(&text.chars().take(120).collect::<String>())
    };
    let pointer = printable(&drift.pointer);
    let of = match drift.of {
        Of::Config => "config",
        Of::Manifest => "manifest",
    };
    format!("{of} {pointer}: {} → {} ({})", shown(&drift.a), shown(&drift.b), drift.cause.code())
}
