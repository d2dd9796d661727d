//! SLSA provenance v1 of `reprov import`: which root file system became a base image (WIRE.md §1;
//! `attestations/import/v1`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    provenance::{ProvenanceError, RunDetails, predicate, read_predicate},
    statement::{Statement, Subject},
    strict::to_value,
};
use crate::model::{
    Digest, ResourceDescriptor, json,
    names::{IMPORT_TYPE, SLSA_PROVENANCE},
};

/// A base image's origin: what was imported, how, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// What the caller chose.
    pub external: ImportParameters,
    /// What this program added.
    pub internal: ImportInternals,
    /// The root file system (role `rootfs`).
    pub rootfs: ResourceDescriptor,
    /// How it went; byproduct `packages`.
    pub run: RunDetails,
}

/// What the caller of `import` chose; nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportParameters {
    /// `--source`: where the caller says it came from. Nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `--platform`; else it was found in the root file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// `--epoch`, seconds since 1970; else the newest time in the root file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
}

/// What this program added. Unknown fields are ignored when read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportInternals {
    /// Version of this program.
    pub reprov: String,
    /// Format of the layer ([`crate::model::names::WRITER`]).
    pub writer: String,
    /// The image's platform, `os/arch[/variant]`.
    pub platform: String,
    /// The image's time, seconds since 1970; no file is younger.
    pub epoch: i64,
    /// Entries left out, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// The dependency on a root file system: digest of the file, or of the canonical archive of a directory; `form` is
/// `tar` or `directory`, `source` where it is said to come from.
#[must_use]
pub fn rootfs(digest: &Digest, form: &str, compression: &str, source: Option<&str>) -> ResourceDescriptor {
    let mut annotations = json!({"role": ROOTFS, "form": form, "compression": compression});
    if source.is_some() {
        annotations["origin"] = "claimed".into();
    }
    ResourceDescriptor {
        uri: source.unwrap_or_default().to_owned(),
        digest: BTreeMap::from([("sha256".to_owned(), digest.hex())]),
        annotations: annotations.as_object().cloned().unwrap_or_default(),
        ..ResourceDescriptor::default()
    }
}

const ROOTFS: &str = "rootfs";

impl Imported {
    /// Says this of `subject`.
    #[must_use]
    pub fn statement(&self, subject: Subject) -> Statement {
        let dependencies = [to_value(&self.rootfs)];
        let (external, internal) = (to_value(&self.external), to_value(&self.internal));
        Statement {
            subject: vec![subject],
            predicate_type: SLSA_PROVENANCE.to_owned(),
            predicate: predicate(IMPORT_TYPE, &external, &internal, &dependencies, &self.run),
        }
    }

    /// Reads a provenance of build type [`IMPORT_TYPE`]. Unknown external parameters are refused, unknown fields
    /// elsewhere ignored.
    ///
    /// # Errors
    /// If it is another predicate or build type, a field is missing or of another type, or it does not name exactly
    /// one root file system by its sha256.
    pub fn read(statement: &Statement) -> Result<Self, ProvenanceError> {
        let read = read_predicate::<ImportParameters, ImportInternals>(statement, IMPORT_TYPE)?;
        let mut named = read.dependencies.into_iter().filter(|dependency| dependency.role() == ROOTFS);
        match (named.next(), named.next()) {
            (Some(rootfs), None) if rootfs.sha256().is_some() => {
                Ok(Self { external: read.external, internal: read.internal, rootfs, run: read.run })
            }
            _ => Err(ProvenanceError::Rootfs),
        }
    }

    /// The import's identity, as [`super::BuildDefinition::digest`] is a build's.
    #[must_use]
    pub fn definition(&self) -> Digest {
        Digest::of(&json::canonical(&json!({
            "buildType": IMPORT_TYPE,
            "externalParameters": to_value(&self.external),
            "internalParameters": to_value(&self.internal),
            "resolvedDependencies": [to_value(&self.rootfs)],
        })))
    }
}
