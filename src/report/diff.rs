//! `reprov.diff/v1`.

use serde::Serialize;

use super::{LayerPair, form::Compares, pair::Pair};
use crate::{
    drift::{ConfigDrift, Drift},
    model::{Digest, Verdict, path::printable},
};

/// The answer of `diff`.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// `reprov.diff/v1`.
    pub schema: &'static str,
    /// What they are called.
    pub images: Images,
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

/// Two images by name and digest.
#[derive(Debug, Clone, Serialize)]
pub struct Images {
    /// The first.
    pub a: String,
    /// The second.
    pub b: String,
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
}

impl Compares for Diff {
    fn pairs(&self) -> Vec<Pair<'_>> {
        let equal = self.layers.iter().filter(|pair| pair.equal).count();
        let names = vec![("image a", printable(&self.images.a)), ("image b", printable(&self.images.b))];
        let bases = self.inherited.two().map(|[a, b]| {
            let text = format!("the bases differ: {} and {}; only own layers are listed", a.base, b.base);
            ("bases", text)
        });
        vec![Pair {
            headline: format!("{equal} of {} layers equal", self.layers.len()),
            sides: ["image a", "image b"],
            verdict: Some(self.verdict),
            facts: names.iter().cloned().chain(bases).collect(),
            names,
            ends: Vec::new(),
            error: None,
            tail: None,
            dockerfile: None,
            layers: &self.layers,
            config: &self.config,
            drifts: &self.drifts,
            logs: &[],
        }]
    }

    fn text(&self, verbose: bool) -> String {
        let mut out = String::new();
        for pair in self.pairs() {
            pair.write(&mut out, verbose);
        }
        out
    }
}
