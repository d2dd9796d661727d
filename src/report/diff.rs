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
    /// How the second image stands to the first: of several platforms the worst; with a platform that only one image has,
    /// `unexplained`.
    pub verdict: Verdict,
    /// What was compared; of several platforms the one with the worst verdict.
    #[serde(flatten)]
    pub compared: Compared,
    /// The other platforms that both images have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_platforms: Vec<Other>,
    /// Platforms that only one image has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent_platforms: Vec<Absent>,
}

/// Two images of one platform.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// `os/architecture[/variant]`, where one of several was chosen.
    pub platform: Option<String>,
    /// What they are called.
    pub images: Images,
    /// How the second stands to the first.
    #[serde(skip)]
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

/// Another platform.
#[derive(Debug, Serialize)]
pub struct Other {
    /// How the second image stands to the first.
    pub verdict: Verdict,
    /// What was compared.
    #[serde(flatten)]
    pub compared: Compared,
}

/// A platform that only one image has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// `a` or `b`.
    pub only_in: &'static str,
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

impl Compared {
    /// Forgets what differs in the layers of two different bases: no instruction of these images made it. The verdict
    /// stays.
    pub fn leave_out_bases(&mut self) {
        if let Some([a, b]) = self.inherited.two() {
            self.drifts.retain(|drift| drift.layer >= a.layers.min(b.layers));
        }
    }

    /// Nothing of two images that have no platform in common.
    fn nothing(images: Images) -> Self {
        Self {
            platform: None,
            images,
            verdict: Verdict::Unexplained,
            inherited: Inherited { a: None, b: None },
            layers: Vec::new(),
            config: Vec::new(),
            drifts: Vec::new(),
        }
    }

    fn pair(&self) -> Pair<'_> {
        let equal = self.layers.iter().filter(|pair| pair.equal).count();
        let names = vec![("image a", printable(&self.images.a)), ("image b", printable(&self.images.b))];
        let platform = self.platform.as_ref().map(|platform| ("platform", printable(platform)));
        let bases = self.inherited.two().map(|[a, b]| {
            let text = format!("the bases differ: {} and {}; only own layers are listed", a.base, b.base);
            ("bases", text)
        });
        Pair {
            headline: format!("{equal} of {} layers equal", self.layers.len()),
            sides: ["image a", "image b"],
            verdict: Some(self.verdict),
            facts: names.iter().cloned().chain(platform).chain(bases).collect(),
            names,
            layers: &self.layers,
            config: &self.config,
            drifts: &self.drifts,
            ..Pair::empty()
        }
    }
}

impl Diff {
    /// The answer on all platforms that were compared, and those that could not be. `images` are the names that were asked for.
    #[must_use]
    pub fn new(mut compared: Vec<Compared>, absent: Vec<Absent>, images: Images) -> Self {
        let worst = (0..compared.len()).max_by_key(|at| (compared[*at].verdict, std::cmp::Reverse(*at)));
        let worst = worst.map_or_else(|| Compared::nothing(images), |at| compared.remove(at));
        let verdict = if absent.is_empty() { worst.verdict } else { Verdict::Unexplained };
        let other = |compared: Compared| Other { verdict: compared.verdict, compared };
        Self {
            schema: "reprov.diff/v1",
            verdict,
            compared: worst,
            other_platforms: compared.into_iter().map(other).collect(),
            absent_platforms: absent,
        }
    }
}

impl Compares for Diff {
    fn pairs(&self) -> Vec<Pair<'_>> {
        let others = self.other_platforms.iter().map(|other| other.compared.pair());
        let mut pairs: Vec<_> = std::iter::once(self.compared.pair()).chain(others).collect();
        let absent = self.absent_platforms.iter().map(|absent| {
            let Absent { platform, only_in } = absent;
            ("absent", format!("only image {only_in} has {}", printable(platform)))
        });
        pairs[0].facts.extend(absent);
        pairs[0].verdict = Some(self.verdict);
        pairs
    }

    fn text(&self, verbose: bool) -> String {
        let mut out = String::new();
        for pair in self.pairs() {
            pair.write(&mut out, verbose);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(platform: &str, verdict: Verdict) -> Compared {
        let images = Images { a: "a".into(), b: "b".into() };
        Compared { platform: Some(platform.into()), verdict, ..Compared::nothing(images) }
    }

    #[test]
    fn the_worst_platform_decides_and_absent_ones_are_said() {
        let images = Images { a: "a".into(), b: "b".into() };
        let both = || vec![compared("x/1", Verdict::Reproduced), compared("x/2", Verdict::Explained)];
        let answer = Diff::new(both(), Vec::new(), images.clone());
        assert_eq!((answer.verdict, answer.compared.platform.as_deref()), (Verdict::Explained, Some("x/2")));
        assert_eq!(answer.other_platforms[0].verdict, Verdict::Reproduced);
        let absent = vec![Absent { platform: "x/3".into(), only_in: "a" }];
        let answer = Diff::new(both(), absent, images);
        assert_eq!(answer.verdict, Verdict::Unexplained);
        assert!(answer.text(false).contains("only image a has x/3"), "{}", answer.text(false));
    }
}
