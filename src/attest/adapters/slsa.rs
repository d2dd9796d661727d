//! SLSA provenance v0.2 and v1 of any builder, taken apart into one form; and what is said of a build type that no
//! adapter knows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{claims::Claims, uri};
use crate::{
    attest::ClaimedBuilder,
    model::{
        Digest, ResourceDescriptor,
        names::{SLSA_PROVENANCE, SLSA_PROVENANCE_V02},
        time::parse_rfc3339,
    },
};

/// Which SLSA provenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V02,
    V1,
}

impl Version {
    /// That of a predicate type.
    pub(super) fn of_type(predicate_type: &str) -> Option<Self> {
        match predicate_type {
            SLSA_PROVENANCE_V02 => Some(Self::V02),
            SLSA_PROVENANCE => Some(Self::V1),
            _ => None,
        }
    }

    /// That of a bare predicate, told by its fields.
    pub(super) fn of_shape(predicate: &Value) -> Option<Self> {
        if predicate.get("buildDefinition").is_some_and(Value::is_object) {
            return Some(Self::V1);
        }
        let v02 =
            predicate.get("buildType").is_some_and(Value::is_string) && predicate.get("builder").is_some();
        v02.then_some(Self::V02)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V02 => "v0.2",
            Self::V1 => "v1",
        }
    }
}

/// A provenance, whichever version it is.
#[derive(Debug)]
pub(super) struct Slsa {
    pub version: Version,
    /// The predicate, without null members.
    pub predicate: Value,
    pub build_type: String,
    pub materials: Vec<ResourceDescriptor>,
}

/// The string at a JSON pointer, unless it is empty.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Whether `true` stands at a JSON pointer.
pub(super) fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// The members of the object at a JSON pointer.
pub(super) fn members<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// The items of the list at a JSON pointer.
pub(super) fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The `digest` of a material, digests by other names left as they are.
pub(super) fn digests(value: &Value) -> BTreeMap<String, String> {
    let text = |(name, hex): (&String, &Value)| Some((name.clone(), hex.as_str()?.to_owned()));
    members(value, "/digest").filter_map(text).collect()
}

impl Slsa {
    pub(super) fn new(version: Version, predicate: Value) -> Self {
        let (build_type, list) = match version {
            Version::V02 => ("/buildType", "/materials"),
            Version::V1 => ("/buildDefinition/buildType", "/buildDefinition/resolvedDependencies"),
        };
        let material = |item: &Value| ResourceDescriptor {
            name: text(item, "/name").unwrap_or_default().to_owned(),
            uri: text(item, "/uri").unwrap_or_default().to_owned(),
            digest: digests(item),
            media_type: text(item, "/mediaType").unwrap_or_default().to_owned(),
            annotations: members(item, "/annotations")
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        };
        Self {
            version,
            build_type: text(&predicate, build_type).unwrap_or_default().to_owned(),
            materials: items(&predicate, list).map(material).collect(),
            predicate,
        }
    }

    /// What every provenance says: who, which run, when. `kind` is the builder's name, without the version.
    pub(super) fn claims(&self, kind: &str, subjects: &[Digest]) -> Claims {
        let predicate = &self.predicate;
        let first = |pointers: &[&str]| pointers.iter().find_map(|pointer| text(predicate, pointer));
        let [id, started, finished, invocation]: [&[&str]; 4] = match self.version {
            Version::V02 => [
                &["/builder/id"],
                &["/metadata/buildStartedOn"],
                &["/metadata/buildFinishedOn"],
                &["/metadata/buildInvocationId", "/metadata/buildInvocationID"],
            ],
            Version::V1 => [
                // OBS leaves `builder` out.
                &["/runDetails/builder/id", "/runDetails/id"],
                &["/runDetails/metadata/startedOn"],
                &["/runDetails/metadata/finishedOn"],
                &["/runDetails/metadata/invocationId", "/runDetails/metadata/invocationID"],
            ],
        };
        let version = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        Claims {
            subjects: subjects.to_vec(),
            builder: first(id).map(|id| ClaimedBuilder {
                id: id.to_owned(),
                version: members(predicate, "/runDetails/builder/version").filter_map(version).collect(),
            }),
            started_on_s: first(started).and_then(parse_rfc3339),
            finished_on_s: first(finished).and_then(parse_rfc3339),
            invocation_id: first(invocation).map(str::to_owned),
            ..Claims::of(&format!("{kind}-{}", self.version.name()))
        }
    }

    /// A build type that no adapter knows: what it names is taken as it is, and a commit only if there is just one.
    pub(super) fn unknown(&self, subjects: &[Digest]) -> Claims {
        let mut claims = self.claims("slsa", subjects);
        claims.parameter("buildType", Some(&Value::from(self.build_type.clone())));
        let is_git = |material: &&ResourceDescriptor| uri::git(&material.uri, &material.digest).is_some();
        let only = self.materials.iter().filter(is_git).count() == 1;
        for material in &self.materials {
            match uri::git(&material.uri, &material.digest) {
                Some((source, subdir)) if only => {
                    claims.built_from(source, "no");
                    claims.context = subdir;
                }
                _ => material_of(&mut claims, material),
            }
        }
        claims
    }
}

/// A material that is no commit of the source: an image is taken for a base, the rest for what it is.
pub(super) fn material_of(claims: &mut Claims, material: &ResourceDescriptor) {
    if uri::is_image(&material.uri) {
        claims.image("base", &material.uri, &material.digest);
        return;
    }
    let uri = uri::public(&material.uri);
    claims.depend("material", "no", ResourceDescriptor { uri, ..material.clone() });
}
