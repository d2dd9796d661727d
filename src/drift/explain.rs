//! From a comparison to drifts and a verdict.

use bstr::ByteSlice as _;
use rayon::prelude::*;
use serde::Serialize;

use super::{
    Cause, Class, ConfigDrift,
    accounts::Accounts,
    archive::Budget,
    config, evidence,
    excerpt::{self, Excerpt},
    hidden,
    origin::{FromStage, Origin},
    rules::{self, Finding},
    security::{self, Security},
    view::{Context, InstructionRef, Siblings, View},
};
use crate::{
    diff::{Change, ChangeKind, Comparison, DiffError, Field, Kept, LayerPair, LayerRef},
    model::{Verdict, limits::READ_BACK_SIZE_BYTES_MAX, path::encode},
};

/// How sure a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The bytes themselves say so.
    Certain,
    /// Path and shape say so.
    Likely,
}

/// Why a drift is put up with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// The reason given.
    pub because: String,
    /// The last day it holds.
    pub until: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
}

/// One path that differs, explained (CLI.md, DRIFT).
#[derive(Debug, Clone, Serialize)]
pub struct Drift {
    /// Which pair of layers, lowest is 0.
    pub layer: usize,
    /// The instruction that made the layer.
    pub instruction: Option<InstructionRef>,
    /// Where; empty if it is the layer's archive as a whole.
    pub path: String,
    /// Whether `path` is percent-encoded.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub path_encoded: bool,
    /// How it differs.
    pub change: ChangeKind,
    /// What exactly.
    pub fields: Vec<Field>,
    /// Why.
    pub cause: Cause,
    /// What that means for the verdict.
    pub class: Class,
    /// The drifted path this one follows from.
    pub consequence_of: Option<String>,
    /// What to do about it.
    pub remedy: &'static str,
    /// What was tried and cures it: `clock=commit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cured_by: Option<&'static str>,
    /// The difference, shortened.
    pub evidence: String,
    /// A part of it to be shown side by side, but of what must not be shown, or follows from another drift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<Excerpt>,
    /// Whether privileges differ, a program, or what decides whom the system trusts.
    pub security: bool,
    /// Which of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_kind: Option<Security>,
    /// How sure the cause is.
    pub confidence: Confidence,
    /// Set by those who know the recipe's `[drift]` table.
    pub accepted: Option<Accepted>,
    /// Whose doing it is, where a rebuild with today's inputs was split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Where it begins, if that is in another stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<FromStage>,
}

#[cfg(test)]
impl Drift {
    /// One with nothing special about it.
    pub(crate) fn sample(path: &str, change: ChangeKind, cause: Cause) -> Self {
        Self {
            layer: 0,
            instruction: None,
            path: path.to_owned(),
            path_encoded: false,
            change,
            fields: Vec::new(),
            cause,
            class: cause.class(),
            consequence_of: None,
            remedy: cause.remedy(),
            cured_by: None,
            evidence: "a → b".to_owned(),
            excerpt: None,
            security: false,
            security_kind: None,
            confidence: Confidence::Certain,
            accepted: None,
            origin: None,
            from: None,
        }
    }
}

/// A comparison, explained.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Every path that differs, by layer and path.
    pub drifts: Vec<Drift>,
    /// Every place of config and manifest that differs.
    pub config: Vec<ConfigDrift>,
    /// Which layers stood beside each other, by their index in each image.
    pub layers: Vec<[Option<usize>; 2]>,
    /// The rung of the ladder.
    pub verdict: Verdict,
}

/// Names the cause of everything that differs and says which rung of the ladder that is (CLI.md, "Verdicts").
///
/// 1. The first rule that owns a change names its cause; none owns what concerns [`Security`].
/// 2. A layer that differs without any entry differing is `layer-shape`; so is what else has no cause where
///    the merged file systems are equal.
/// 3. The verdict is the best that holds.
///
/// # Errors
/// A content that cannot be read back: what it is then taken for would be a guess.
pub fn explain(comparison: &Comparison, context: &Context) -> Result<Explained, DiffError> {
    let accounts = Accounts::of(&comparison.layers);
    let of_layer = |pair| layer(pair, comparison.same_filesystem, &accounts, context);
    let drifts: Vec<Drift> = comparison.layers.iter().flat_map(of_layer).collect();
    let same_base = comparison.layers.first().is_some_and(LayerPair::equal);
    let explained = |change| config::explain(change, same_base, context);
    let config: Vec<_> = comparison.config.iter().map(explained).collect();
    comparison.read_back()?;
    let verdict = verdict(comparison, &drifts, &config);
    let index = |layer: Option<LayerRef>| layer.map(|layer| layer.index);
    let layers = comparison.layers.iter().map(|pair| [index(pair.a), index(pair.b)]).collect();
    Ok(Explained { drifts, config, layers, verdict })
}

fn verdict(comparison: &Comparison, drifts: &[Drift], config: &[ConfigDrift]) -> Verdict {
    let explained =
        drifts.iter().all(|drift| drift.consequence_of.is_some() || drift.class != Class::Unexplained)
            && config.iter().all(|drift| drift.class != Class::Unexplained);
    let builder = |cause: Cause| {
        matches!(
            cause,
            Cause::ModeTypeBits | Cause::BuilderMountPoint | Cause::BuilderLabel | Cause::Compression
        )
    };
    if comparison.same_manifest {
        Verdict::Reproduced
    } else if config.is_empty() && comparison.layers.iter().all(LayerPair::equal) {
        Verdict::CompressionOnly
    } else if drifts.iter().all(|drift| builder(drift.cause))
        && config.iter().all(|drift| builder(drift.cause))
    {
        Verdict::BuilderNormalised
    } else if explained && config.is_empty() && comparison.same_filesystem {
        Verdict::SameFilesystem
    } else if explained {
        Verdict::Explained
    } else {
        Verdict::Unexplained
    }
}

fn layer(pair: &LayerPair, same_filesystem: bool, accounts: &Accounts, context: &Context) -> Vec<Drift> {
    let siblings = Siblings::new(&pair.changes, Some(accounts));
    let of_entry = |change: &Change| {
        let (held, budget) = (change.read(), Budget::default());
        let held = held.as_ref().map(|(a, b)| (&**a, &**b));
        drift(View { change, held, siblings: &siblings, context, depth: 0, budget: &budget }, same_filesystem)
    };
    let mut drifts = whole(pair, context);
    if same_filesystem && pair.alone() && !pair.changes.is_empty() {
        // All of it is in other layers, or covered.
        let finding = Finding::certain(Cause::LayerShape).shown(format!("{} entries", pair.changes.len()));
        let change = if pair.a.is_none() { ChangeKind::OnlyInB } else { ChangeKind::OnlyInA };
        drifts.push(make(pair.index, (String::new(), false), change, &[], finding, None, context));
    } else {
        for together in together(&pair.changes) {
            drifts.par_extend(together.par_iter().map(of_entry));
        }
    }
    drifts
}

/// Parts of `changes` of which as much has to be read back as may lie in memory at once.
fn together(changes: &[Change]) -> Vec<&[Change]> {
    let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, change) in changes.iter().enumerate() {
        let more = change.contents.as_ref().map_or(0, Kept::aside_bytes);
        if bytes + more > READ_BACK_SIZE_BYTES_MAX && at > from {
            parts.push(&changes[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += more;
    }
    parts.push(&changes[from..]);
    parts
}

/// What differs of a layer as a whole: its compression, and how its archive is written.
fn whole(pair: &LayerPair, context: &Context) -> Vec<Drift> {
    let (compressed, written): (Vec<_>, Vec<_>) =
        pair.whole.iter().cloned().partition(|field| is_compression(&field.name));
    let one = |cause, change, fields: &[Field], otherwise: &str| {
        let shown = if fields.is_empty() { otherwise.to_owned() } else { evidence::fields(fields) };
        let finding = Finding::certain(cause).shown(shown);
        make(pair.index, (String::new(), false), change, fields, finding, None, context)
    };
    let mut found = Vec::new();
    if !compressed.is_empty() || (pair.equal() && !pair.same_blob()) {
        let otherwise = "one archive, compressed by another program, version or level";
        found.push(one(Cause::Compression, ChangeKind::Metadata, &compressed, otherwise));
    }
    if !written.is_empty() || (!pair.equal() && pair.changes.is_empty()) {
        let (change, otherwise) = match (pair.a, pair.b) {
            (Some(_), None) => (ChangeKind::OnlyInA, "the layer is empty and only the first image has it"),
            (None, Some(_)) => (ChangeKind::OnlyInB, "the layer is empty and only the second image has it"),
            _ => (ChangeKind::Metadata, "all entries are equal; the headers' form or the padding differ"),
        };
        // What some programs read and others do not is more than a form.
        let hidden = written.iter().any(Field::misleads);
        let cause = if hidden { Cause::Unexplained } else { Cause::LayerShape };
        found.push(one(cause, change, &written, otherwise));
    }
    found
}

fn is_compression(field: &str) -> bool {
    field == "compression" || field.starts_with("gzip-") || field.starts_with("zstd-")
}

fn drift(view: View<'_>, same_filesystem: bool) -> Drift {
    let change = view.change;
    // What the layers come to decides, not in which of them it lies.
    let security = if same_filesystem { None } else { security::of(&view) };
    let lies = rules::lies(change);
    let silent = security.is_some() || lies;
    let finding = if silent { None } else { rules::RULES.iter().find_map(|rule| rule(&view)) };
    // That a program was fetched says where its bytes are from, not that they are good.
    let known = finding.as_ref().is_some_and(|finding| finding.cause != Cause::InputChanged);
    let security =
        security.or_else(|| security::of_unexplained(&view).filter(|_| !known && !same_filesystem));
    let otherwise = if same_filesystem && !lies { Cause::LayerShape } else { Cause::Unexplained };
    let finding = finding.unwrap_or_else(|| Finding::certain(otherwise));
    let secret = view.held.and_then(|held| hidden::evidence(change.path.as_bstr(), held, finding.cause));
    let shown = secret.is_none() && finding.consequence_of.is_none();
    let excerpt = shown.then(|| excerpt::of(&view, finding.cause == Cause::Unexplained)).flatten();
    let evidence = finding.evidence.or(secret).or_else(|| Some(evidence::show(&view)));
    let finding = Finding { evidence, ..finding };
    let drift = make(
        change.layer,
        encode(&change.path),
        change.kind,
        &change.fields,
        finding,
        security,
        view.context,
    );
    Drift { excerpt, ..drift }
}

fn make(
    layer: usize,
    (path, path_encoded): (String, bool),
    change: ChangeKind,
    fields: &[Field],
    finding: Finding,
    security: Option<Security>,
    context: &Context,
) -> Drift {
    Drift {
        layer,
        instruction: context.instruction(layer).cloned(),
        path,
        path_encoded,
        change,
        fields: fields.to_vec(),
        cause: finding.cause,
        class: finding.cause.class(),
        consequence_of: finding.consequence_of,
        remedy: finding.cause.remedy(),
        cured_by: None,
        evidence: finding.evidence.unwrap_or_default(),
        excerpt: None,
        security: security.is_some(),
        security_kind: security,
        confidence: finding.confidence,
        accepted: None,
        origin: None,
        from: None,
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
