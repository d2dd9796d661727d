//! Provenance of Tekton Chains, v0.2 and v1 (tektoncd/chains, `docs/slsa-provenance.md`, `docs/predicate/slsa/v2.md`).

use serde_json::Value;

use super::{
    claims::Claims,
    slsa::{Slsa, Version, items, material_of, members, text},
    uri,
};
use crate::model::{Digest, ResourceDescriptor};

pub(super) fn is(build_type: &str) -> bool {
    ["tekton.dev/", "https://tekton.dev/"].iter().any(|prefix| build_type.starts_with(prefix))
}

/// What it says. Images without a name are those that steps ran in, so each is a buildroot; definitions of tasks and
/// pipelines are no source of the image.
pub(super) fn read(slsa: &Slsa, subjects: &[Digest]) -> Claims {
    let (mut claims, predicate) = (slsa.claims("tekton", subjects), &slsa.predicate);
    claims.parameter("buildType", Some(&Value::from(slsa.build_type.clone())));
    match slsa.version {
        Version::V02 => {
            members(predicate, "/invocation/parameters")
                .for_each(|(name, value)| told(&mut claims, name, value));
            let config = predicate.pointer("/invocation/configSource").unwrap_or(&Value::Null);
            claims.parameter("pipeline", config.get("uri"));
            claims.parameter("pipeline:entryPoint", config.get("entryPoint"));
        }
        Version::V1 => {
            let run = "/buildDefinition/externalParameters/runSpec";
            for parameter in items(predicate, &format!("{run}/params")) {
                if let (Some(name), Some(value)) = (text(parameter, "/name"), parameter.get("value")) {
                    told(&mut claims, name, value);
                }
            }
            let config = predicate.pointer("/buildDefinition/externalParameters/buildConfigSource");
            claims.parameter("pipeline", config.and_then(|config| config.get("repository")));
            claims.parameter("pipeline:entryPoint", config.and_then(|config| config.get("path")));
        }
    }
    let pipeline = claims.parameters.get("pipeline").cloned();
    for material in &slsa.materials {
        dependency(&mut claims, material, pipeline.as_deref());
    }
    claims
}

fn dependency(claims: &mut Claims, material: &ResourceDescriptor, pipeline: Option<&str>) {
    let named = material.name.as_str();
    if matches!(named, "task" | "pipeline" | "pipelineTask") || pipeline == Some(material.uri.as_str()) {
        claims.depend(
            "pipeline",
            "no",
            ResourceDescriptor { uri: uri::public(&material.uri), ..material.clone() },
        );
        return;
    }
    match uri::git(&material.uri, &material.digest) {
        Some((source, _)) if claims.source.is_none() => claims.built_from(source, "no"),
        None if uri::is_image(&material.uri) && named.is_empty() => {
            claims.image("buildroot", &material.uri, &material.digest);
        }
        _ => material_of(claims, material),
    }
}

/// A parameter of the run. The names that Chains and the usual tasks give to Dockerfile and context are understood.
fn told(claims: &mut Claims, name: &str, value: &Value) {
    let text = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match name.to_ascii_lowercase().as_str() {
        "dockerfile" => claims.dockerfile = claims.dockerfile.take().or(text),
        "context" | "path-context" => claims.context = claims.context.take().or(text),
        _ => claims.parameter(name, Some(value)),
    }
}
