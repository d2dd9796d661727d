//! Our rebuild predicate: what came of building an image again (WIRE.md §5).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    definition::Tool,
    statement::{Statement, Subject},
    strict::{shown, to_value, without_nulls},
};
use crate::model::{
    DiffId, Digest, Verdict, limits::REBUILT_LAYERS_MAX, names::REBUILD_PREDICATE, rfc3339,
    time::parse_rfc3339,
};

/// The predicate `rebuild/v1`. Its statement's only subject is the original manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebuilt {
    /// The rung reached.
    pub verdict: Verdict,
    /// The provenance it was rebuilt from.
    pub provenance: ProvenanceRef,
    /// What came out; none if nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<RebuiltImage>,
    /// Where its inputs came from.
    pub inputs: InputsFrom,
    /// What those answered otherwise than was recorded; none if they were not asked.
    #[serde(default, rename = "inputsCompared", skip_serializing_if = "Option::is_none")]
    pub compared: Option<InputsCompared>,
    /// Requests that went out to repositories.
    pub upstream_requests: u64,
    /// Requests the transcript had no answer for.
    pub undeclared_inputs: Vec<UndeclaredInput>,
    /// Layers side by side; at most [`REBUILT_LAYERS_MAX`] are written.
    pub layers: Vec<LayerPair>,
    /// How many drifts, of what kinds.
    pub drifts: DriftCounts,
    /// The whole report, kept beside the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportRef>,
    /// What `--vary` changed.
    pub varied: Vec<String>,
    /// What came of changing it; none if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variations: Option<VariationsRun>,
    /// Who rebuilt it.
    pub rebuilder: Rebuilder,
    /// With which engine.
    pub engine: Tool,
    /// Format of the rebuilt layers.
    pub writer: String,
    /// Seconds since 1970; RFC 3339 in JSON.
    #[serde(rename = "startedOn", serialize_with = "to_time", deserialize_with = "from_time")]
    pub started_on_s: i64,
    /// Seconds since 1970; RFC 3339 in JSON.
    #[serde(rename = "finishedOn", serialize_with = "to_time", deserialize_with = "from_time")]
    pub finished_on_s: i64,
}

/// A provenance in storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenanceRef {
    /// Digest of its referrer manifest (WIRE.md §7).
    pub digest: Digest,
}

/// The rebuilt image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuiltImage {
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Digest of its config.
    pub config: Digest,
}

/// Where a rebuild's inputs came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputsFrom {
    /// The transcript.
    Replay,
    /// The repositories of the day.
    Live,
}

/// How many answers of repositories are others, and what replays say of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputsCompared {
    /// Asked for today alone.
    pub added: u64,
    /// Asked for then alone.
    pub removed: u64,
    /// Answered otherwise.
    pub changed: u64,
    /// Packages of other versions.
    pub packages: u64,
    /// The verdict of a replay of the recorded inputs; none: there was no need for one, or it was not possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Verdict>,
    /// How a replay of today's inputs stands to their first run; none likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub third: Option<Verdict>,
}

/// A request the transcript had no answer for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndeclaredInput {
    /// HTTP method.
    pub method: String,
    /// URL.
    pub url: String,
}

/// One place in the stack of layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerPair {
    /// Which, from 0.
    pub index: usize,
    /// What made it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<Instruction>,
    /// The original's layer, if it has one here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<LayerId>,
    /// The rebuilt image's, if it has one here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<LayerId>,
    /// Whether both are the same blob.
    pub equal: bool,
}

/// A line of the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// Where it starts, from 1.
    pub line: u32,
    /// As written.
    pub text: String,
}

/// Both names of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerId {
    /// Of the blob.
    pub digest: Digest,
    /// Of the uncompressed layer.
    pub diff_id: DiffId,
}

/// How many drifts, of what kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftCounts {
    /// In all.
    pub count: u64,
    /// By code of the cause.
    pub by_cause: BTreeMap<String, u64>,
    /// By class: known, entropy, package, unexplained.
    pub by_class: BTreeMap<String, u64>,
}

/// What came of varying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VariationsRun {
    /// The verdict of a replay with nothing varied; none: there was no need for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Verdict>,
    /// How many replays there were in all.
    pub replays: u64,
    /// What was asked for and could not be done.
    pub not_possible: Vec<NotPossible>,
    /// Which of them changed what.
    pub blamed: Vec<Blamed>,
}

/// A variation that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotPossible {
    /// Its name.
    pub name: String,
    /// Why not.
    pub reason: String,
}

/// Variations that change the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blamed {
    /// These; several: only all of them together.
    pub together: Vec<String>,
    /// `narrowed`, `among` or `chance`.
    pub certainty: String,
    /// How many places differ then, and do not without.
    pub count: u64,
    /// The first of them; at most [`VARY_PLACES_MAX`](crate::model::limits::VARY_PLACES_MAX) are written.
    pub places: Vec<String>,
}

/// A report in storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportRef {
    /// Its media type.
    pub media_type: String,
    /// Digest of its bytes.
    pub digest: Digest,
}

/// Who rebuilt it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilder {
    /// URI, as a builder id.
    pub id: String,
    /// Version of this program.
    pub version: String,
}

/// Why a statement is not a rebuild statement.
#[derive(Debug, thiserror::Error)]
pub enum RebuiltError {
    /// It says something else.
    #[error("predicate type is `{0}`, not `{REBUILD_PREDICATE}`")]
    PredicateType(String),
    /// A field is missing or of another type.
    #[error("rebuild predicate is not of its shape")]
    Shape(#[from] serde_json::Error),
}

impl Rebuilt {
    /// Says this of the original image `subject`.
    #[must_use]
    pub fn statement(&self, subject: Subject) -> Statement {
        let layers = self.layers.iter().take(REBUILT_LAYERS_MAX).cloned().collect();
        let predicate = to_value(&Self { layers, ..self.clone() });
        Statement { subject: vec![subject], predicate_type: REBUILD_PREDICATE.to_owned(), predicate }
    }

    /// Reads a rebuild statement; unknown fields are ignored.
    ///
    /// # Errors
    /// If it is another predicate, or a field is missing or of another type.
    pub fn read(statement: &Statement) -> Result<Self, RebuiltError> {
        if statement.predicate_type != REBUILD_PREDICATE {
            return Err(RebuiltError::PredicateType(shown(&statement.predicate_type)));
        }
        Ok(Self::deserialize(&*without_nulls(&statement.predicate))?)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) fn to_time<S: Serializer>(epoch_s: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*epoch_s))
}

pub(super) fn from_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_rfc3339(&text).ok_or_else(|| de::Error::custom(format_args!("`{}` is not RFC 3339", shown(&text))))
}
