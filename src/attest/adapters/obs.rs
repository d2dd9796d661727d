//! Provenance of the Open Build Service's worker, v0.2 and v1 (openSUSE/open-build-service, `bs_worker`).

use serde_json::{Value, json};

use super::{
    claims::Claims,
    slsa::{Slsa, Version, is_true, text},
    uri,
};
use crate::{
    attest::ClaimedSource,
    model::{Digest, ResourceDescriptor},
};

const WORKER: &str = "https://open-build-service.org/worker";

pub(super) fn is(build_type: &str) -> bool {
    build_type == WORKER
}

/// What it says. Its sources are files of its own source server, not a commit; its build environment is named package
/// by package.
pub(super) fn read(slsa: &Slsa, subjects: &[Digest]) -> Claims {
    let (mut claims, predicate) = (slsa.claims("obs", subjects), &slsa.predicate);
    let (place, recipe) = match slsa.version {
        Version::V02 => ("/invocation/configSource/uri", "/invocation/configSource/entryPoint"),
        Version::V1 => {
            ("/buildDefinition/externalParameters/source", "/buildDefinition/externalParameters/recipeFile")
        }
    };
    claims.dockerfile = text(predicate, recipe).map(str::to_owned);
    if let Some(place) = text(predicate, place) {
        let uri = Some(uri::public(place));
        claims.built_from(ClaimedSource { uri, ..ClaimedSource::default() }, "no");
    }
    for material in &slsa.materials {
        match intent(material) {
            "buildenv" => claims.packages.push(package(material)),
            "containers" => claims.image("base", &material.uri, &material.digest),
            "repos" => claims.depend("repository", "no", material.clone()),
            intent => {
                let mut material = material.clone();
                material.annotations.insert("intent".to_owned(), intent.into());
                claims.depend("material", "no", material);
            }
        }
    }
    // Only v0.2 says so.
    claims.parameters_complete = is_true(predicate, "/metadata/completeness/parameters");
    claims.hermetic = is_true(predicate, "/metadata/completeness/materials");
    claims
}

/// What a material was for; v0.2 does not say, but its URIs do.
fn intent(material: &ResourceDescriptor) -> &str {
    let said = material.annotations.get("intent").and_then(Value::as_str);
    said.unwrap_or_else(|| {
        if material.uri.contains("/slsa/") && material.uri.contains(".rpm/") {
            "buildenv"
        } else if uri::is_image(&material.uri) {
            "containers"
        } else {
            "source"
        }
    })
}

fn package(material: &ResourceDescriptor) -> Value {
    // …/aaa_base.rpm/DIGEST
    let file = material.uri.rsplit('/').nth(1).unwrap_or_default();
    let name = if material.name.is_empty() { file } else { &material.name };
    let kind = name.rsplit_once('.').map_or("rpm", |(_, ending)| ending);
    let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
    let mut package = json!({"kind": kind, "name": name});
    if let Some(sha256) = material.sha256() {
        package["sha256"] = sha256.hex().into();
    }
    package
}
