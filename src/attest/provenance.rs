//! SLSA provenance v1 of our build type: [`BuildDefinition`] and what came of it (FORMATS.md §8, WIRE.md §2).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    definition::{BuildDefinition, ExternalParameters, InternalParameters, is_defining},
    statement::{Statement, Subject},
    strict::{shown, to_value, without_nulls},
};
use crate::model::{
    Digest, ResourceDescriptor,
    limits::INLINE_INPUTS_MAX,
    names::{BUILD_TYPE, SLSA_PROVENANCE, TRANSCRIPT},
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
    /// Somebody else's build; its parameters mean nothing to us.
    #[error("build type is `{0}`, not `{BUILD_TYPE}`: only images built by reprov can be rebuilt")]
    BuildType(String),
    /// A field is missing, unknown or of another type.
    #[error("provenance is not of the shape of `{BUILD_TYPE}`")]
    Shape(#[from] serde_json::Error),
    /// The parameters can be read, but are not written as this build type writes them.
    #[error(
        "externalParameters are not as `{BUILD_TYPE}` writes them: a default is left out, or a list stands for an object"
    )]
    Parameters,
    /// No builder id.
    #[error("provenance names no builder")]
    Builder,
    /// `startedOn` or `finishedOn`.
    #[error("provenance time `{0}` is not RFC 3339")]
    Time(String),
}

/// Says that `subject` was built as `definition` by `run`.
///
/// More than [`INLINE_INPUTS_MAX`] inputs are replaced by one descriptor of the transcript, if there is one among the
/// byproducts, beside those that only the builder keeps; if even these are more, the transcript's says `kept: local`. `reprov_tainted` stands there only if the transcript is tainted.
#[must_use]
pub fn provenance(definition: &BuildDefinition, run: &RunDetails, subject: &[Subject]) -> Statement {
    let dependencies: Vec<Value> =
        definition.dependencies.iter().chain(&inline_inputs(run)).map(to_value).collect();
    let mut predicate = json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": to_value(&definition.external),
            "internalParameters": to_value(&definition.internal),
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
    Statement { subject: subject.to_vec(), predicate_type: SLSA_PROVENANCE.to_owned(), predicate }
}

fn inline_inputs(run: &RunDetails) -> Vec<ResourceDescriptor> {
    let Some(transcript) =
        named(&run.byproducts, "transcript").filter(|_| run.inputs.len() > INLINE_INPUTS_MAX)
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

fn named<'a>(byproducts: &'a [ResourceDescriptor], name: &str) -> Option<&'a ResourceDescriptor> {
    byproducts.iter().find(|byproduct| byproduct.name == name)
}

/// The `builder.id` of any SLSA provenance v1, also of a build type that is not ours; a stranger's text.
#[must_use]
pub fn builder_id(statement: &Statement) -> Option<&str> {
    let id = statement.predicate.pointer("/runDetails/builder/id").and_then(Value::as_str);
    id.filter(|id| statement.predicate_type == SLSA_PROVENANCE && !id.is_empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: Definition,
    run_details: Run,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    external_parameters: Value,
    internal_parameters: InternalParameters,
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
        if statement.predicate_type != SLSA_PROVENANCE {
            return Err(ProvenanceError::PredicateType(shown(&statement.predicate_type)));
        }
        let predicate = without_nulls(statement.predicate.clone());
        let build_type = predicate.pointer("/buildDefinition/buildType").and_then(Value::as_str);
        if build_type != Some(BUILD_TYPE) {
            return Err(ProvenanceError::BuildType(shown(build_type.unwrap_or_default())));
        }
        let Predicate { build_definition, run_details } = serde_json::from_value(predicate)?;
        let external = external(&build_definition.external_parameters)?;
        let (dependencies, inputs) =
            build_definition.resolved_dependencies.into_iter().partition(is_defining);
        Ok(Self {
            definition: BuildDefinition {
                external,
                internal: build_definition.internal_parameters,
                dependencies,
            },
            run: run(run_details, inputs)?,
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
        named(&self.run.byproducts, name).and_then(ResourceDescriptor::sha256)
    }
}

fn external(value: &Value) -> Result<ExternalParameters, ProvenanceError> {
    let external = ExternalParameters::deserialize(value)?;
    if to_value(&external) == *value { Ok(external) } else { Err(ProvenanceError::Parameters) }
}

fn run(run: Run, inputs: Vec<ResourceDescriptor>) -> Result<RunDetails, ProvenanceError> {
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
        inputs,
        byproducts: run.byproducts,
        tainted: run.tainted,
    })
}
