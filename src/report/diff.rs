//! `reprov.diff/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{LayerPair, drift_lines};
use crate::{
    diff::Of,
    drift::{ConfigDrift, Drift},
    model::{Digest, Verdict, path::printable},
};

/// The answer of `diff`.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// `reprov.diff/v1`.
    pub schema: &'static str,
    /// How the second image stands to the first.
    pub verdict: Verdict,
    /// Which layers are a base's.
    pub inherited: Inherited,
    /// Layers side by side; the second image stands under `rebuilt`.
    pub layers: Vec<LayerPair>,
    /// What differs in config and manifest.
    pub config: Vec<ConfigDrift>,
    /// What differs in layers; not in those of two different bases.
    pub drifts: Vec<Drift>,
}

/// Which of their layers two images have from a base that their provenance names.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Inherited {
    /// Of the first image, if that is known.
    pub a: Option<OfBase>,
    /// Of the second.
    pub b: Option<OfBase>,
}

/// The lowest layers of an image, the same as its base's by digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OfBase {
    /// The base's manifest.
    pub base: Digest,
    /// How many.
    pub layers: usize,
}

impl Inherited {
    /// Both bases, if they are two.
    fn two(&self) -> Option<[OfBase; 2]> {
        let (a, b) = self.a.zip(self.b)?;
        (a.base != b.base).then_some([a, b])
    }
}

impl Diff {
    /// Forgets what differs in the layers of two different bases: no instruction of these images made it. The verdict
    /// stays.
    pub fn leave_out_bases(&mut self) {
        if let Some([a, b]) = self.inherited.two() {
            self.drifts.retain(|drift| drift.layer >= a.layers.min(b.layers));
        }
    }

    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let equal = self.layers.iter().filter(|pair| pair.equal).count();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}  {equal} of {} layers equal", self.verdict, self.layers.len());
        if let Some([a, b]) = self.inherited.two() {
            let _ =
                writeln!(out, "  the bases differ: {} and {}; only own layers are listed", a.base, b.base);
        }
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
