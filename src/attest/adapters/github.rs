//! GitHub's provenance: `actions/attest-build-provenance` (v1) and slsa-github-generator (v0.2, v1).

use serde_json::Value;

use super::{
    claims::Claims,
    slsa::{Slsa, Version, digests, material_of, members, text},
    uri,
};
use crate::model::Digest;

const WORKFLOW: [&str; 2] = [
    "https://actions.github.io/buildtypes/workflow/v1",
    "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
];
const GENERATOR: &str = "https://github.com/slsa-framework/slsa-github-generator/";
const EARLY: &str = "https://github.com/Attestations/GitHubActionsWorkflow@v1";

pub(super) fn is(build_type: &str) -> bool {
    WORKFLOW.contains(&build_type) || build_type.starts_with(GENERATOR) || build_type == EARLY
}

/// What it says: which workflow ran at which commit. What the workflow then did is in none of these formats.
pub(super) fn read(slsa: &Slsa, subjects: &[Digest]) -> Claims {
    let kind =
        if WORKFLOW.contains(&slsa.build_type.as_str()) { "github-actions" } else { "slsa-github-generator" };
    let (mut claims, predicate) = (slsa.claims(kind, subjects), &slsa.predicate);
    let source = match slsa.version {
        Version::V02 => {
            let config = predicate.pointer("/invocation/configSource").unwrap_or(&Value::Null);
            claims.parameter("workflow.path", config.get("entryPoint"));
            for name in ["github_event_name", "github_run_id", "github_run_attempt"] {
                claims.parameter(name, predicate.pointer(&format!("/invocation/environment/{name}")));
            }
            members(predicate, "/invocation/parameters/event_inputs")
                .for_each(|(name, value)| claims.parameter(&format!("input.{name}"), Some(value)));
            uri::git(text(config, "/uri").unwrap_or_default(), &digests(config))
        }
        Version::V1 => {
            let external = "/buildDefinition/externalParameters";
            for field in ["path", "ref", "repository"] {
                let value = predicate.pointer(&format!("{external}/workflow/{field}"));
                claims.parameter(&format!("workflow.{field}"), value);
            }
            members(predicate, &format!("{external}/inputs"))
                .for_each(|(name, value)| claims.parameter(&format!("input.{name}"), Some(value)));
            members(predicate, "/buildDefinition/internalParameters/github")
                .for_each(|(name, value)| claims.parameter(&format!("github.{name}"), Some(value)));
            None
        }
    };
    let source = source.map(|(source, _)| source);
    if let Some(source) = source.clone() {
        claims.built_from(source, "no");
    }
    for material in &slsa.materials {
        match uri::git(&material.uri, &material.digest) {
            Some((found, _)) if Some(&found) == source.as_ref() => {}
            Some((found, _)) if claims.source.is_none() => claims.built_from(found, "no"),
            _ => material_of(&mut claims, material),
        }
    }
    claims
}
