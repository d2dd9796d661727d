//! SLSA provenance of any builder, v1 or v0.2, as far as a verifier reads it (FORMATS.md §8). Not a recipe: that is
//! [`super::Provenance`].

use serde_json::{Map, Value};

use super::{
    statement::Statement,
    strict::{bare, shown},
};
use crate::model::{
    ResourceDescriptor,
    names::{SLSA_PROVENANCE, SLSA_PROVENANCE_V02},
    time::parse_rfc3339,
};

/// What a provenance says. Nobody checked it.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// What the parameters mean.
    pub build_type: String,
    /// Who built; never empty.
    pub builder_id: String,
    /// What the caller chose.
    pub external: Map<String, Value>,
    /// What the builder added.
    pub internal: Map<String, Value>,
    /// What went in.
    pub dependencies: Vec<ResourceDescriptor>,
    /// What else came out.
    pub byproducts: Vec<ResourceDescriptor>,
    /// Seconds since 1970.
    pub started_on_s: Option<i64>,
    /// Seconds since 1970.
    pub finished_on_s: Option<i64>,
    /// Why the transcript may not be the whole truth.
    pub tainted: Vec<String>,
    /// Of v0.2: the commit the build was configured from, if said.
    pub configured_from: Option<ResourceDescriptor>,
    /// The builder's own word that the build is reproducible or hermetic (`buildkit_reproducible`, `metadata.reproducible`).
    pub boasts: Vec<&'static str>,
}

/// Why a predicate is not provenance.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// It says something else.
    #[error("predicate type is `{0}`, not SLSA provenance")]
    PredicateType(String),
    /// A field that must be there, or is no such thing.
    #[error("provenance has no `{0}`")]
    Missing(&'static str),
    /// A field of another shape.
    #[error("`{field}` of the provenance cannot be read: {why}")]
    Shape {
        /// Which.
        field: &'static str,
        /// Why not.
        why: String,
    },
    /// No builder id.
    #[error("provenance names no builder")]
    Builder,
}

impl View {
    /// Reads either version. Null, empty and absent mean the same; unknown fields are ignored.
    ///
    /// # Errors
    /// [`ViewError`], naming the first field that a provenance must have and this one has not.
    pub fn read(statement: &Statement) -> Result<Self, ViewError> {
        Self::take(&mut statement.clone())
    }

    /// [`View::read`], but what went in and what came out are moved out of `statement`, not copied: they may be thousands.
    ///
    /// # Errors
    /// Those of [`View::read`].
    pub fn take(statement: &mut Statement) -> Result<Self, ViewError> {
        let read = match statement.predicate_type.as_str() {
            SLSA_PROVENANCE => Self::v1,
            SLSA_PROVENANCE_V02 => Self::v02,
            other => return Err(ViewError::PredicateType(shown(other))),
        };
        if let Some(bare) = bare(&statement.predicate) {
            statement.predicate = bare;
        }
        read(&mut statement.predicate)
    }

    fn v1(predicate: &mut Value) -> Result<Self, ViewError> {
        let external =
            map(predicate, "/buildDefinition/externalParameters", "buildDefinition.externalParameters")?;
        let boasted = |pointer| predicate.pointer(pointer) == Some(&Value::Bool(true));
        let boasts = [
            ("reproducible", "/runDetails/metadata/buildkit_reproducible"),
            ("hermetic", "/runDetails/metadata/buildkit_hermetic"),
        ];
        let boasts = boasts.into_iter().filter(|(_, at)| boasted(at)).map(|(word, _)| word).collect();
        Ok(Self {
            build_type: text(predicate, "/buildDefinition/buildType", "buildDefinition.buildType")?,
            builder_id: builder(predicate, "/runDetails/builder/id")?,
            external: external.ok_or(ViewError::Missing("buildDefinition.externalParameters"))?,
            internal: map(
                predicate,
                "/buildDefinition/internalParameters",
                "buildDefinition.internalParameters",
            )?
            .unwrap_or_default(),
            dependencies: descriptors(
                predicate,
                "/buildDefinition/resolvedDependencies",
                "buildDefinition.resolvedDependencies",
            )?,
            byproducts: descriptors(predicate, "/runDetails/byproducts", "runDetails.byproducts")?,
            started_on_s: time(predicate, "/runDetails/metadata/startedOn", "startedOn")?,
            finished_on_s: time(predicate, "/runDetails/metadata/finishedOn", "finishedOn")?,
            tainted: tainted(predicate)?,
            configured_from: None,
            boasts,
        })
    }

    fn v02(predicate: &mut Value) -> Result<Self, ViewError> {
        let configured = predicate.pointer("/invocation/configSource").cloned();
        let boasted = predicate.pointer("/metadata/reproducible") == Some(&Value::Bool(true));
        Ok(Self {
            build_type: text(predicate, "/buildType", "buildType")?,
            builder_id: builder(predicate, "/builder/id")?,
            external: map(predicate, "/invocation/parameters", "invocation.parameters")?.unwrap_or_default(),
            internal: map(predicate, "/invocation/environment", "invocation.environment")?
                .unwrap_or_default(),
            dependencies: descriptors(predicate, "/materials", "materials")?,
            byproducts: Vec::new(),
            started_on_s: time(predicate, "/metadata/buildStartedOn", "metadata.buildStartedOn")?,
            finished_on_s: time(predicate, "/metadata/buildFinishedOn", "metadata.buildFinishedOn")?,
            tainted: Vec::new(),
            configured_from: configured.map(|value| shaped(value, "invocation.configSource")).transpose()?,
            boasts: if boasted { vec!["reproducible"] } else { Vec::new() },
        })
    }

    /// The dependencies of one role (`annotations.role`).
    pub fn role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a ResourceDescriptor> {
        self.dependencies.iter().filter(move |dependency| dependency.role() == role)
    }

    /// The byproduct `name`, if there is one.
    #[must_use]
    pub fn byproduct(&self, name: &str) -> Option<&ResourceDescriptor> {
        self.byproducts.iter().find(|byproduct| byproduct.name == name)
    }

    /// What was built from: the dependency of role `source`; without roles, what it was configured from, else the first
    /// that is a git commit.
    #[must_use]
    pub fn source(&self) -> Option<&ResourceDescriptor> {
        let git = |descriptor: &&ResourceDescriptor| commit(descriptor).is_some();
        let named = self.dependencies.iter().find(|dependency| dependency.role() == "source");
        named.or(self.configured_from.as_ref()).or_else(|| self.dependencies.iter().find(git))
    }
}

/// The git commit a descriptor names: 40 or 64 lower-case hex digits.
#[must_use]
pub fn commit(descriptor: &ResourceDescriptor) -> Option<&str> {
    let git =
        descriptor.uri.starts_with("git+") || descriptor.uri.is_empty() || descriptor.uri.ends_with(".git");
    let sha1 = descriptor.digest.get("sha1").filter(|_| git);
    let hex = |text: &&String| {
        matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    descriptor.digest.get("gitCommit").or(sha1).filter(hex).map(String::as_str)
}

fn text(predicate: &Value, pointer: &str, field: &'static str) -> Result<String, ViewError> {
    let found = predicate.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    found.map(str::to_owned).ok_or(ViewError::Missing(field))
}

fn builder(predicate: &Value, pointer: &str) -> Result<String, ViewError> {
    text(predicate, pointer, "builder.id").map_err(|_| ViewError::Builder)
}

fn map(
    predicate: &Value,
    pointer: &str,
    field: &'static str,
) -> Result<Option<Map<String, Value>>, ViewError> {
    match predicate.pointer(pointer) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map.clone())),
        Some(_) => Err(ViewError::Shape { field, why: "not an object".to_owned() }),
    }
}

/// The list there, taken out.
fn descriptors(
    predicate: &mut Value,
    pointer: &str,
    field: &'static str,
) -> Result<Vec<ResourceDescriptor>, ViewError> {
    predicate.pointer_mut(pointer).map_or(Ok(Vec::new()), |value| shaped(value.take(), field))
}

fn shaped<T: serde::de::DeserializeOwned>(value: Value, field: &'static str) -> Result<T, ViewError> {
    serde_json::from_value(value).map_err(|error| ViewError::Shape { field, why: shown(&error.to_string()) })
}

fn time(predicate: &Value, pointer: &str, field: &'static str) -> Result<Option<i64>, ViewError> {
    let Some(value) = predicate.pointer(pointer) else { return Ok(None) };
    let seconds = value.as_str().and_then(parse_rfc3339);
    seconds
        .map(Some)
        .ok_or_else(|| ViewError::Shape { field, why: "not a time as RFC 3339 has it".to_owned() })
}

fn tainted(predicate: &Value) -> Result<Vec<String>, ViewError> {
    let value = predicate.pointer("/runDetails/reprov_tainted").cloned();
    value.map_or(Ok(Vec::new()), |value| shaped(value, "runDetails.reprov_tainted"))
}
