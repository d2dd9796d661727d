//! SLSA provenance v1 of our build type: [`BuildDefinition`] and what came of it (FORMATS.md §8, WIRE.md §2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    attested::Attested,
    definition::{BuildDefinition, is_defining},
    imported::Imported,
    statement::{Statement, Subject},
    strict::{shown, to_value, without_nulls},
};
use crate::model::{
    Digest, ResourceDescriptor,
    limits::INLINE_INPUTS_MAX,
    names::{ATTESTED_TYPE, BUILD_TYPE, IMPORT_TYPE, SLSA_PROVENANCE, TRANSCRIPT},
    rfc3339,
    time::parse_rfc3339,
};

/// What is known only after the run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDetails {
    /// URI of who ran it.
    pub builder_id: String,
    /// Version of this program at that builder.
    pub reprov_version: String,
    /// Names this run; may be empty when read.
    pub invocation_id: String,
    /// Seconds since 1970.
    pub started_on_s: i64,
    /// Seconds since 1970.
    pub finished_on_s: i64,
    /// What came through the gateway: roles `input`, `repository-index`; or the transcript in their place.
    pub inputs: Vec<ResourceDescriptor>,
    /// `log`, `events`, `transcript`, `dockerfile-lowered`, `layers`, `packages`, by name.
    pub byproducts: Vec<ResourceDescriptor>,
    /// Why the transcript may not be the whole truth; empty if it is.
    pub tainted: Vec<String>,
}

/// A provenance of ours, read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// What was to be built.
    pub definition: BuildDefinition,
    /// How that went.
    pub run: RunDetails,
}

/// Why a statement is not a provenance that can be run again.
#[derive(Debug, thiserror::Error)]
pub enum ProvenanceError {
    /// It says something else.
    #[error("predicate type is `{0}`, not `{SLSA_PROVENANCE}`")]
    PredicateType(String),
    /// Another build type; its parameters mean something else, or nothing to us.
    #[error("build type is `{found}`, not `{wanted}`{}", other_build(found))]
    BuildType {
        /// What it is.
        found: String,
        /// What was to be read.
        wanted: &'static str,
    },
    /// A field is missing, unknown or of another type.
    #[error("provenance is not of the shape of its build type")]
    Shape(#[from] serde_json::Error),
    /// The parameters can be read, but are not written as the build type writes them.
    #[error(
        "externalParameters are not as `{0}` writes them: a default is left out, or a list stands for an object"
    )]
    Parameters(&'static str),
    /// An import of nothing, or of several things.
    #[error("provenance of an import does not name one root file system by its sha256")]
    Rootfs,
    /// No builder id.
    #[error("provenance names no builder")]
    Builder,
    /// `startedOn` or `finishedOn`.
    #[error("provenance time `{0}` is not RFC 3339")]
    Time(String),
    /// A dependency of an attested build without a role.
    #[error("provenance names a dependency without saying what it was to the build")]
    Role,
}

/// Says that `subject` was built as `definition` by `run`.
///
/// More than [`INLINE_INPUTS_MAX`] inputs are replaced by one descriptor of the transcript, if there is one among the
/// byproducts, beside those that only the builder keeps; if even these are more, the transcript's says `kept: local`. `reprov_tainted` stands there only if the transcript is tainted.
#[must_use]
pub fn provenance(definition: &BuildDefinition, run: &RunDetails, subject: &[Subject]) -> Statement {
    let dependencies: Vec<_> =
        definition.dependencies.iter().chain(&inline_inputs(run)).map(to_value).collect();
    let (external, internal) = (to_value(&definition.external), to_value(&definition.internal));
    let predicate = predicate(BUILD_TYPE, &external, &internal, &dependencies, run);
    Statement { subject: subject.to_vec(), predicate_type: SLSA_PROVENANCE.to_owned(), predicate }
}

/// What else an unreadable build type may be.
fn other_build(found: &str) -> &'static str {
    match found {
        IMPORT_TYPE => {
            ": it was imported, not built; `reprov import` of the same root file system makes it again"
        }
        ATTESTED_TYPE => {
            ": it was attested after the fact, not built by reprov; `reprov trace` says what its recipe lacks"
        }
        _ => ": only images built by reprov can be rebuilt",
    }
}

/// A SLSA provenance predicate.
pub(super) fn predicate(
    build_type: &str,
    external: &Value,
    internal: &Value,
    dependencies: &[Value],
    run: &RunDetails,
) -> Value {
    let mut predicate = json!({
        "buildDefinition": {
            "buildType": build_type,
            "externalParameters": external,
            "internalParameters": internal,
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {"id": run.builder_id, "version": {"reprov": run.reprov_version}},
            "metadata": {
                "invocationId": run.invocation_id,
                "startedOn": rfc3339(run.started_on_s),
                "finishedOn": rfc3339(run.finished_on_s),
            },
            "byproducts": to_value(&run.byproducts),
        },
    });
    if !run.tainted.is_empty() {
        predicate["runDetails"]["reprov_tainted"] = to_value(&run.tainted);
    }
    predicate
}

fn inline_inputs(run: &RunDetails) -> Vec<ResourceDescriptor> {
    let Some(transcript) = run.byproduct("transcript").filter(|_| run.inputs.len() > INLINE_INPUTS_MAX)
    else {
        return run.inputs.clone();
    };
    let stayed =
        |input: &&ResourceDescriptor| input.annotations.get("kept").is_some_and(|kept| kept == "local");
    let mut listed: Vec<_> = run.inputs.iter().filter(stayed).cloned().collect();
    let kept = if listed.len() > INLINE_INPUTS_MAX { "local" } else { "registry" };
    if kept == "local" {
        listed.clear(); // Too many to name: any may have stayed.
    }
    listed.push(ResourceDescriptor {
        name: "inputs".to_owned(),
        media_type: TRANSCRIPT.to_owned(),
        digest: transcript.digest.clone(),
        annotations: [("kept".to_owned(), kept.into())].into_iter().collect(),
        ..ResourceDescriptor::default()
    });
    listed
}

impl RunDetails {
    /// The byproduct `name`, if there is one.
    #[must_use]
    pub fn byproduct(&self, name: &str) -> Option<&ResourceDescriptor> {
        self.byproducts.iter().find(|byproduct| byproduct.name == name)
    }
}

/// The `builder.id` of any SLSA provenance v1, also of a build type that is not ours; a stranger's text.
#[must_use]
pub fn builder_id(statement: &Statement) -> Option<&str> {
    let id = statement.predicate.pointer("/runDetails/builder/id").and_then(Value::as_str);
    id.filter(|id| statement.predicate_type == SLSA_PROVENANCE && !id.is_empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<I> {
    build_definition: Definition<I>,
    run_details: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition<I> {
    external_parameters: Value,
    internal_parameters: I,
    #[serde(default)]
    resolved_dependencies: Vec<ResourceDescriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    builder: Builder,
    metadata: Metadata,
    #[serde(default)]
    byproducts: Vec<ResourceDescriptor>,
    #[serde(default, rename = "reprov_tainted")]
    tainted: Vec<String>,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
    #[serde(default)]
    version: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    // cosign writes the older spelling.
    #[serde(default, alias = "invocationID")]
    invocation_id: String,
    started_on: String,
    finished_on: String,
}

impl Provenance {
    /// Reads a provenance of our build type. Unknown external parameters are refused (SLSA, "verifying");
    /// unknown fields elsewhere are ignored; log and transcript may be missing.
    ///
    /// # Errors
    /// If it is another predicate or build type, or a field is missing or of another type.
    pub fn read(statement: &Statement) -> Result<Self, ProvenanceError> {
        let read = read_predicate(statement, BUILD_TYPE)?;
        let (dependencies, inputs) = read.dependencies.into_iter().partition(is_defining);
        Ok(Self {
            definition: BuildDefinition { external: read.external, internal: read.internal, dependencies },
            run: RunDetails { inputs, ..read.run },
        })
    }

    /// Digest of the transcript's bytes, if it names one.
    #[must_use]
    pub fn transcript(&self) -> Option<Digest> {
        self.byproduct("transcript")
    }

    /// Digest of the byproduct `name`, if there is one.
    #[must_use]
    pub fn byproduct(&self, name: &str) -> Option<Digest> {
        self.run.byproduct(name).and_then(ResourceDescriptor::sha256)
    }
}

/// A predicate taken apart; the run has no inputs yet.
pub(super) struct Read<E, I, R = RunDetails> {
    pub(super) external: E,
    pub(super) internal: I,
    pub(super) dependencies: Vec<ResourceDescriptor>,
    pub(super) run: R,
}

/// Reads a provenance of `build_type`, whose external parameters must be exactly those that `E` writes.
pub(super) fn read_predicate<E: DeserializeOwned + Serialize, I: DeserializeOwned>(
    statement: &Statement,
    build_type: &'static str,
) -> Result<Read<E, I>, ProvenanceError> {
    let Read { external, internal, dependencies, run } = read_definition(statement, build_type)?;
    Ok(Read { external, internal, dependencies, run: self::run(serde_json::from_value(run)?)? })
}

/// [`read_predicate`], but for `runDetails`, which are as they came, without null members.
pub(super) fn read_definition<E: DeserializeOwned + Serialize, I: DeserializeOwned>(
    statement: &Statement,
    build_type: &'static str,
) -> Result<Read<E, I, Value>, ProvenanceError> {
    if statement.predicate_type != SLSA_PROVENANCE {
        return Err(ProvenanceError::PredicateType(shown(&statement.predicate_type)));
    }
    let predicate = without_nulls(&statement.predicate);
    let found = predicate.pointer("/buildDefinition/buildType").and_then(Value::as_str).unwrap_or_default();
    if found != build_type {
        return Err(ProvenanceError::BuildType { found: shown(found), wanted: build_type });
    }
    let Predicate { build_definition, run_details } = Predicate::deserialize(&*predicate)?;
    let external = E::deserialize(&build_definition.external_parameters)?;
    if to_value(&external) != build_definition.external_parameters {
        return Err(ProvenanceError::Parameters(build_type));
    }
    Ok(Read {
        external,
        internal: build_definition.internal_parameters,
        dependencies: build_definition.resolved_dependencies,
        run: run_details,
    })
}

fn run(run: Run) -> Result<RunDetails, ProvenanceError> {
    if run.builder.id.is_empty() {
        return Err(ProvenanceError::Builder);
    }
    let seconds = |text: &str| parse_rfc3339(text).ok_or_else(|| ProvenanceError::Time(shown(text)));
    Ok(RunDetails {
        builder_id: run.builder.id,
        reprov_version: run.builder.version.get("reprov").cloned().unwrap_or_default(),
        invocation_id: run.metadata.invocation_id,
        started_on_s: seconds(&run.metadata.started_on)?,
        finished_on_s: seconds(&run.metadata.finished_on)?,
        inputs: Vec::new(),
        byproducts: run.byproducts,
        tainted: run.tainted,
    })
}

/// Where an image came from, whichever of our build types says so.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// `build`.
    Built(Box<Provenance>),
    /// `import`.
    Imported(Box<Imported>),
    /// `attest`: what somebody says of a build that reprov did not see.
    Attested(Box<Attested>),
}

impl Origin {
    /// Reads any of them.
    ///
    /// # Errors
    /// Those of the one its build type names; of [`Provenance::read`] for any other.
    pub fn read(statement: &Statement) -> Result<Self, ProvenanceError> {
        match statement.predicate.pointer("/buildDefinition/buildType").and_then(Value::as_str) {
            Some(IMPORT_TYPE) => Imported::read(statement).map(|imported| Self::Imported(Box::new(imported))),
            Some(ATTESTED_TYPE) => Attested::read(statement).map(|said| Self::Attested(Box::new(said))),
            _ => Provenance::read(statement).map(|provenance| Self::Built(Box::new(provenance))),
        }
    }

    /// How the build or import went; nothing of one that reprov did not see.
    #[must_use]
    pub fn run(&self) -> Option<&RunDetails> {
        match self {
            Self::Built(provenance) => Some(&provenance.run),
            Self::Imported(imported) => Some(&imported.run),
            Self::Attested(_) => None,
        }
    }

    /// `builder.id`.
    #[must_use]
    pub fn builder_id(&self) -> &str {
        match self {
            Self::Built(provenance) => &provenance.run.builder_id,
            Self::Imported(imported) => &imported.run.builder_id,
            Self::Attested(said) => &said.run.builder_id,
        }
    }

    /// Begin and end, seconds since 1970, where they are known.
    #[must_use]
    pub fn times_s(&self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Attested(said) => (said.run.started_on_s, said.run.finished_on_s),
            Self::Built(_) | Self::Imported(_) => {
                let run = self.run();
                (run.map(|run| run.started_on_s), run.map(|run| run.finished_on_s))
            }
        }
    }

    /// The first byproduct called `name`, if there is one.
    #[must_use]
    pub fn byproduct(&self, name: &str) -> Option<&ResourceDescriptor> {
        let byproducts = match self {
            Self::Built(provenance) => &provenance.run.byproducts,
            Self::Imported(imported) => &imported.run.byproducts,
            Self::Attested(said) => &said.run.byproducts,
        };
        byproducts.iter().find(|byproduct| byproduct.name == name)
    }

    /// The digest of what it was told.
    #[must_use]
    pub fn definition(&self) -> Digest {
        match self {
            Self::Built(provenance) => provenance.definition.digest(),
            Self::Imported(imported) => imported.definition(),
            Self::Attested(said) => said.definition(),
        }
    }
}
