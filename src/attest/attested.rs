//! SLSA provenance v1 of `reprov attest`: what somebody says, after the fact, of a build that reprov did not see
//! (WIRE.md §1; `attestations/attested/v1`).
//!
//! Nothing in it was watched. Each dependency says who claims it and what reprov looked at; what a rebuild would need
//! and nobody named stands in `missing`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    provenance::{ProvenanceError, Read, read_definition},
    statement::{Statement, Subject},
    strict::{shown, to_value},
};
use crate::model::{
    Digest, ResourceDescriptor, json,
    names::{ATTESTED_TYPE, SLSA_PROVENANCE},
    rfc3339,
    time::parse_rfc3339,
};

/// What is said of a build.
#[derive(Debug, Clone, PartialEq)]
pub struct Attested {
    /// What the build is said to have been told.
    pub external: AttestedParameters,
    /// What this program added.
    pub internal: AttestedInternals,
    /// What the build is said to have been made of, each with a role.
    pub dependencies: Vec<ResourceDescriptor>,
    /// How it is said to have gone.
    pub run: AttestedRun,
}

/// What the build is said to have been told; nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttestedParameters {
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ClaimedSource>,
    /// The Dockerfile, as its builder named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The build context in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The stage that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `os/arch[/variant]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Build arguments.
    pub build_args: BTreeMap<String, String>,
    /// Where packages came from.
    pub repositories: Vec<ClaimedRepository>,
    /// What else the builder was told, under the builder's own names.
    pub parameters: BTreeMap<String, String>,
    /// Who is said to have run the build. It did not sign this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<ClaimedBuilder>,
}

impl AttestedParameters {
    /// The names of all parameters there are.
    pub const NAMES: &[&str] = &[
        "source",
        "dockerfile",
        "context",
        "target",
        "platform",
        "buildArgs",
        "repositories",
        "parameters",
        "builder",
    ];
}

/// A commit, as somebody names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimedSource {
    /// `git+https://…`; none if only the commit is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The commit's id, 40 or 64 hex digits; none if only the place is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Branch or tag, as asked for.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Where packages are said to have come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimedRepository {
    /// Its URL.
    pub url: String,
    /// Digest of its signed list (`InRelease`, `repomd.xml`), if it is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// Who is said to have run the build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimedBuilder {
    /// As it calls itself; a URI where its format asks for one.
    pub id: String,
    /// Programs and their versions.
    pub version: BTreeMap<String, String>,
}

/// What this program added. Unknown fields are ignored when read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttestedInternals {
    /// Version of this program.
    pub reprov: String,
    /// Whether the subject is one image or an index of several.
    pub subject: SubjectKind,
    /// Of an index: its images, by platform.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<String, Digest>,
    /// What it was put together from, in the order in which it counts.
    pub evidence: Vec<EvidenceRef>,
    /// What a rebuild would need and nobody named.
    pub missing: Vec<Missing>,
}

/// What a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// The image of one platform.
    Manifest,
    /// A list of images, one a platform.
    Index,
}

impl SubjectKind {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Index => "index",
        }
    }
}

/// A document, or the caller's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceRef {
    /// `caller`, or what wrote it (`buildkit-v1`, `koji-v0`, …).
    pub kind: String,
    /// Digest of its bytes; none of the caller's word and of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Whether the document itself names the image it is about.
    pub names: Names,
}

/// Whether a document says what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// The subject, by digest.
    Subject,
    /// The index that the subject is in.
    Index,
    /// Nothing: the caller says that it is about the subject.
    Nothing,
}

/// A part of a recipe that nobody named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// The commit.
    Source,
    /// The Dockerfile.
    Dockerfile,
    /// Build arguments.
    Parameters,
    /// Base images.
    Bases,
    /// Engine, runtime, and the image they were in.
    Buildroot,
    /// Where packages came from.
    Repositories,
    /// Every file that was fetched.
    Inputs,
}

impl Missing {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Source,
        Self::Dockerfile,
        Self::Parameters,
        Self::Bases,
        Self::Buildroot,
        Self::Repositories,
        Self::Inputs,
    ];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Dockerfile => "dockerfile",
            Self::Parameters => "parameters",
            Self::Bases => "bases",
            Self::Buildroot => "buildroot",
            Self::Repositories => "repositories",
            Self::Inputs => "inputs",
        }
    }

    /// Why it counts as missing, a sentence without a full stop.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::Source => "no whole commit id in a repository that is named",
            Self::Dockerfile => "nothing names the Dockerfile, by path or by its bytes",
            Self::Parameters => "nothing says that the build arguments are complete",
            Self::Bases => "no base image is named by digest, or one that is not",
            Self::Buildroot => "what ran the build is not named by digest",
            Self::Repositories => "nothing names the repositories that packages came from",
            Self::Inputs => "what the build fetched was not recorded",
        }
    }
}

/// How the build is said to have gone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttestedRun {
    /// Who vouches for the build, if somebody does.
    pub builder_id: String,
    /// Programs and their versions, as the caller names them.
    pub builder_version: BTreeMap<String, String>,
    /// What the builder called this run.
    pub invocation_id: Option<String>,
    /// Seconds since 1970.
    pub started_on_s: Option<i64>,
    /// Seconds since 1970.
    pub finished_on_s: Option<i64>,
    /// `log`, `evidence`, `packages`; bound by sha256 where they are kept beside the image.
    pub byproducts: Vec<ResourceDescriptor>,
}

impl Attested {
    /// Says this of `subject`.
    #[must_use]
    pub fn statement(&self, subject: Subject) -> Statement {
        Statement {
            subject: vec![subject],
            predicate_type: SLSA_PROVENANCE.to_owned(),
            predicate: json!({
                "buildDefinition": {
                    "buildType": ATTESTED_TYPE,
                    "externalParameters": to_value(&self.external),
                    "internalParameters": to_value(&self.internal),
                    "resolvedDependencies": to_value(&self.dependencies),
                },
                "runDetails": self.run.to_value(),
            }),
        }
    }

    /// Reads a provenance of build type [`ATTESTED_TYPE`]. Unknown external parameters are refused, unknown fields
    /// elsewhere ignored.
    ///
    /// # Errors
    /// If it is another predicate or build type, a field is missing or of another type, or a dependency has no role.
    pub fn read(statement: &Statement) -> Result<Self, ProvenanceError> {
        let Read { external, internal, dependencies, run } = read_definition(statement, ATTESTED_TYPE)?;
        if dependencies.iter().any(|dependency: &ResourceDescriptor| dependency.role().is_empty()) {
            return Err(ProvenanceError::Role);
        }
        Ok(Self { external, internal, dependencies, run: AttestedRun::read(run)? })
    }

    /// The identity of what is said, as [`super::BuildDefinition::digest`] is a build's.
    #[must_use]
    pub fn definition(&self) -> Digest {
        Digest::of(&json::canonical(&json!({
            "buildType": ATTESTED_TYPE,
            "externalParameters": to_value(&self.external),
            "internalParameters": to_value(&self.internal),
            "resolvedDependencies": to_value(&self.dependencies),
        })))
    }

    /// The dependencies of one role.
    pub fn role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a ResourceDescriptor> {
        self.dependencies.iter().filter(move |dependency| dependency.role() == role)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    builder: Builder,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    byproducts: Vec<ResourceDescriptor>,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
    #[serde(default)]
    version: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    // cosign writes the older spelling.
    #[serde(default, alias = "invocationID")]
    invocation_id: Option<String>,
    #[serde(default)]
    started_on: Option<String>,
    #[serde(default)]
    finished_on: Option<String>,
}

impl AttestedRun {
    fn to_value(&self) -> Value {
        let mut builder = Map::from_iter([("id".to_owned(), self.builder_id.clone().into())]);
        if !self.builder_version.is_empty() {
            builder.insert("version".to_owned(), to_value(&self.builder_version));
        }
        let fields = [
            ("invocationId", self.invocation_id.clone()),
            ("startedOn", self.started_on_s.map(rfc3339)),
            ("finishedOn", self.finished_on_s.map(rfc3339)),
        ];
        let named = |(name, text): (&str, Option<String>)| Some((name.to_owned(), Value::from(text?)));
        let metadata: Map<String, Value> = fields.into_iter().filter_map(named).collect();
        let mut run = json!({"builder": builder, "byproducts": to_value(&self.byproducts)});
        if !metadata.is_empty() {
            run["metadata"] = metadata.into();
        }
        run
    }

    fn read(value: Value) -> Result<Self, ProvenanceError> {
        let run: Run = serde_json::from_value(value)?;
        if run.builder.id.is_empty() {
            return Err(ProvenanceError::Builder);
        }
        let seconds = |text: Option<String>| {
            text.map(|text| parse_rfc3339(&text).ok_or_else(|| ProvenanceError::Time(shown(&text))))
                .transpose()
        };
        Ok(Self {
            builder_id: run.builder.id,
            builder_version: run.builder.version,
            invocation_id: run.metadata.invocation_id,
            started_on_s: seconds(run.metadata.started_on)?,
            finished_on_s: seconds(run.metadata.finished_on)?,
            byproducts: run.byproducts,
        })
    }
}
