//! BuildKit's provenance, v0.2 and v1 (moby/buildkit, `docs/attestations/slsa-definitions.md`).

use serde_json::Value;

use super::{
    claims::Claims,
    slsa::{Slsa, Version, digests, is_true, items, material_of, members, text},
    uri,
};
use crate::{attest::ClaimedSource, model::Digest};

const V02: &str = "https://mobyproject.org/buildkit@v1";
const V1: &str = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";

pub(super) fn is(build_type: &str) -> bool {
    matches!(build_type, V02 | V1)
}

/// Where BuildKit writes what, by version.
struct Places {
    config: &'static str,
    path: &'static str,
    request: &'static str,
    platform: &'static str,
    request_complete: &'static str,
    materials_complete: &'static str,
    hermetic: &'static str,
    vcs: &'static str,
}

const PLACES_V02: Places = Places {
    config: "/invocation/configSource",
    path: "/entryPoint",
    request: "/invocation/parameters",
    platform: "/invocation/environment/platform",
    request_complete: "/metadata/completeness/parameters",
    materials_complete: "/metadata/completeness/materials",
    hermetic: "/metadata/https:~1~1mobyproject.org~1buildkit@v1#hermetic",
    vcs: "/metadata/https:~1~1mobyproject.org~1buildkit@v1#metadata/vcs",
};

const PLACES_V1: Places = Places {
    config: "/buildDefinition/externalParameters/configSource",
    path: "/path",
    request: "/buildDefinition/externalParameters/request",
    platform: "/buildDefinition/internalParameters/builderPlatform",
    request_complete: "/runDetails/metadata/buildkit_completeness/request",
    materials_complete: "/runDetails/metadata/buildkit_completeness/resolvedDependencies",
    hermetic: "/runDetails/metadata/buildkit_hermetic",
    vcs: "/runDetails/metadata/buildkit_metadata/vcs",
};

/// What it says. The `reproducible` that a user may set is not read: a rebuild tells.
pub(super) fn read(slsa: &Slsa, subjects: &[Digest]) -> Claims {
    let places = match slsa.version {
        Version::V02 => PLACES_V02,
        Version::V1 => PLACES_V1,
    };
    let (mut claims, predicate) = (slsa.claims("buildkit", subjects), &slsa.predicate);
    let config = predicate.pointer(places.config).unwrap_or(&Value::Null);
    claims.dockerfile = text(config, places.path).map(str::to_owned);
    let request = predicate.pointer(places.request).unwrap_or(&Value::Null);
    let frontend = arguments(&mut claims, request);
    claims.parameter("builderPlatform", predicate.pointer(places.platform));
    claims.parameters_complete = is_true(predicate, places.request_complete);
    claims.hermetic = is_true(predicate, places.hermetic) && is_true(predicate, places.materials_complete);
    let config_uri = text(config, "/uri").unwrap_or_default();
    match uri::git(config_uri, &digests(config)) {
        Some((source, subdir)) => {
            claims.built_from(source, "no");
            claims.context = claims.context.or(subdir);
        }
        None => vcs(&mut claims, predicate.pointer(places.vcs)),
    }
    for material in
        slsa.materials.iter().filter(|material| material.uri != config_uri || config_uri.is_empty())
    {
        if frontend.as_deref().is_some_and(|frontend| same_image(frontend, &material.uri)) {
            claims.image("frontend", &material.uri, &material.digest);
        } else {
            material_of(&mut claims, material);
        }
    }
    claims
}

/// What the frontend was told; the image it is in, if it is one.
fn arguments(claims: &mut Claims, request: &Value) -> Option<String> {
    for (name, value) in members(request, "/args") {
        let Some(value) = value.as_str() else { continue };
        match name.as_str() {
            "target" => claims.target = Some(value.to_owned()),
            "filename" => claims.dockerfile = Some(value.to_owned()),
            "source" | "cmdline" => {}
            name => match name.strip_prefix("build-arg:") {
                Some(argument) => drop(claims.build_args.insert(argument.to_owned(), value.to_owned())),
                None => claims.parameter(name, Some(&Value::from(value))),
            },
        }
    }
    claims.parameter("frontend", request.get("frontend"));
    for kind in ["secrets", "ssh", "locals"] {
        let names: Vec<_> = items(request, &format!("/{kind}"))
            .filter_map(|item| text(item, "/id").or_else(|| text(item, "/name")))
            .collect();
        claims.parameter(kind, Some(&Value::from(names.join(", "))));
    }
    let named = text(request, "/args/source").or_else(|| text(request, "/args/cmdline"));
    named.map(str::to_owned)
}

/// What the client says of a directory that was sent: BuildKit never looked, so it is a hint like a label.
fn vcs(claims: &mut Claims, vcs: Option<&Value>) {
    let Some(vcs) = vcs else { return };
    let source = text(vcs, "/source").map(|place| Value::from(uri::public(place)));
    claims.parameter("vcs:source", source.as_ref());
    claims.parameter("vcs:revision", vcs.get("revision"));
    let Some((found, _)) = text(vcs, "/source").and_then(|place| {
        let place = if place.starts_with("git") { place.to_owned() } else { format!("git+{place}") };
        uri::git(&place, &std::collections::BTreeMap::new())
    }) else {
        return;
    };
    // A changed work tree has `-dirty` behind the id: then no commit holds what was built.
    let commit = text(vcs, "/revision").filter(|revision| uri::is_commit(revision)).map(str::to_owned);
    claims.built_from(ClaimedSource { commit, ..found }, "no");
}

/// Whether a material is the image that a frontend's reference names.
fn same_image(frontend: &str, material: &str) -> bool {
    let repository = |uri: &str| {
        let (used, _) = uri::image(uri, None);
        let name = used.split('@').next().unwrap_or_default().to_owned();
        match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
            _ => name,
        }
    };
    uri::is_image(material) && repository(&format!("docker://{frontend}")) == repository(material)
}
