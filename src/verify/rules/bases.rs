//! What it stands on: base images and the buildroot.

use serde_json::Value;

use super::super::{
    Code, Finding, Judgement, Verdict,
    judge::{Case, Told},
};
use crate::{
    model::{Location, ResourceDescriptor, names::BUILD_TYPE, path::printable, reference},
    policy::Pattern,
};

/// Registries that bases may come from, and whether each is written by digest.
pub(super) fn named(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    let bases = &case.policy.bases;
    let mut findings = Vec::new();
    for base in told.view.dependencies.iter().filter(|dependency| is_base(dependency)) {
        let place = told.place("buildDefinition/resolvedDependencies");
        let shown = name(base);
        if let Some(allowed) = &bases.registries {
            let whence = whence(&base.uri);
            let fits = |whence: &String| allowed.iter().any(|pattern| within(pattern, whence));
            if !whence.as_ref().is_some_and(fits) {
                let text = format!("base image `{shown}` is from no registry that is allowed");
                findings.push(Finding::new(Code::BaseNotAllowed, text).at(&place));
            }
        }
        if bases.pinned && !is_pinned(base) {
            let text =
                format!("base image `{shown}` is not written by digest, so the next build may get another");
            findings.push(Finding::new(Code::BaseUnpinned, text).at(&place));
        }
    }
    findings
}

/// Whether it was built in an image that is named by digest.
pub(super) fn buildroot(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    let named = told.view.role("buildroot").any(|buildroot| buildroot.sha256().is_some());
    if !case.policy.bases.buildroot || named {
        return Vec::new();
    }
    let text = "it was built with programs of the builder's machine, or with what nobody named";
    vec![Finding::new(Code::BuildrootMissing, text).at(told.place("buildDefinition/resolvedDependencies"))]
}

/// Whether what it stands on was verified too, as deep as the policy says.
pub(super) fn verified(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    if case.policy.depth == 0 {
        return Vec::new();
    }
    let found = case.evidence.dependencies.get(&told.opened.at.digest());
    let mut findings = Vec::new();
    for dependency in found.into_iter().flatten() {
        let why = match &dependency.outcome {
            Ok(judgement) if judgement.verdict == Verdict::Passed => continue,
            Ok(judgement) => first_denial(judgement),
            Err(why) => why.clone(),
        };
        let code =
            if dependency.role == "buildroot" { Code::BuildrootUnverified } else { Code::BaseUnverified };
        let text = format!("{} `{}`: {why}", dependency.role, name(&dependency.named));
        let place = match &dependency.outcome {
            Ok(judgement) => judgement.image.clone(),
            Err(_) => told.place("buildDefinition/resolvedDependencies"),
        };
        findings.push(Finding::new(code, text).at(place));
    }
    findings
}

fn first_denial(judgement: &Judgement) -> String {
    let denial = judgement.findings.iter().find(|finding| finding.denies());
    denial.map_or_else(
        || judgement.verdict.name().to_owned(),
        |finding| format!("{}: {}", finding.code, finding.message),
    )
}

/// What came of each that was looked at.
pub(in crate::verify) fn judgements(case: &Case<'_>, told: &Told<'_>) -> Vec<(String, Judgement)> {
    let found = case.evidence.dependencies.get(&told.opened.at.digest());
    let judged = found.into_iter().flatten().filter_map(|dependency| {
        Some((dependency.role.clone(), dependency.outcome.as_ref().ok()?.as_ref().clone()))
    });
    judged.collect()
}

/// By its role, or in other builders' words by its URI.
fn is_base(dependency: &ResourceDescriptor) -> bool {
    match dependency.role() {
        "base" => true,
        "" => ["docker://", "oci://", "pkg:docker/", "pkg:oci/"]
            .iter()
            .any(|start| dependency.uri.starts_with(start)),
        _ => false,
    }
}

fn text<'a>(base: &'a ResourceDescriptor, key: &str) -> Option<&'a str> {
    base.annotations.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn name(base: &ResourceDescriptor) -> String {
    printable(text(base, "used").or_else(|| text(base, "written")).unwrap_or(&base.uri))
}

/// By digest in the Dockerfile or what it was swapped for; where nobody says how it was written, by its digest.
fn is_pinned(base: &ResourceDescriptor) -> bool {
    match text(base, "used").or_else(|| text(base, "written")) {
        Some(written) => written.contains("@sha256:"),
        None => base.sha256().is_some(),
    }
}

/// `host/repository`.
fn whence(uri: &str) -> Option<String> {
    if let Some(package) = uri.strip_prefix("pkg:docker/").or_else(|| uri.strip_prefix("pkg:oci/")) {
        let (path, query) = package.split_once('?').unwrap_or((package, ""));
        let url = query.split('&').find_map(|pair| pair.strip_prefix("repository_url="));
        let path = path.split('@').next().unwrap_or_default();
        let place = url.map_or_else(
            || path.to_owned(),
            |url| url.replace("%2F", "/").replace("%2f", "/").replace("%3A", ":"),
        );
        let full = reference::normalised(&place);
        return Some(full.rsplit_once(':').map_or(full.clone(), |(place, _)| place.to_owned()));
    }
    match reference::from_uri(uri.strip_prefix("oci://").unwrap_or(uri)).ok()?.location {
        Location::Registry { host, repository } => Some(format!("{host}/{repository}")),
        Location::Layout(_) => None,
    }
}

/// Whether `host/repository` is in the registry, or under the path, that `pattern` names. The host is matched for itself.
fn within(pattern: &Pattern, whence: &str) -> bool {
    if pattern.is_any() {
        return true;
    }
    let written = pattern.to_string();
    let (host, path) = written.split_once('/').unwrap_or((&written, "*"));
    let (own_host, own_path) = whence.split_once('/').unwrap_or((whence, ""));
    let fits = |pattern: &str, text: &str| Pattern::parse(pattern).is_ok_and(|pattern| pattern.matches(text));
    fits(host, own_host) && fits(path, own_path)
}

/// Images that a provenance stands on, each with its role and name: those with a place and a digest.
#[must_use]
pub fn below(view: &crate::attest::View) -> Vec<&ResourceDescriptor> {
    let buildroots = view.role("buildroot").filter(|_| view.build_type == BUILD_TYPE);
    view.dependencies.iter().filter(|dependency| is_base(dependency)).chain(buildroots).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_a_base_is_from() {
        let check = |uri, expected: Option<&str>| assert_eq!(whence(uri).as_deref(), expected, "{uri}");
        check("docker://r.example.org/base/debian@sha256:1", None);
        check("docker://r.example.org:5000/base/debian:12", Some("r.example.org:5000/base/debian"));
        check("pkg:docker/debian@12?platform=linux%2Famd64", Some("docker.io/library/debian"));
        check("pkg:docker/r.example.org/a/b@1", Some("r.example.org/a/b"));
        check("pkg:oci/b@sha256%3A11?repository_url=r.example.org%2Fa%2Fb", Some("r.example.org/a/b"));
        check("oci:dir", None);
    }

    #[test]
    fn a_registry_is_matched_for_itself() {
        let check = |pattern: &str, whence: &str, expected| {
            assert_eq!(within(&Pattern::parse(pattern).unwrap(), whence), expected, "{pattern} {whence}");
        };
        check("r.example.org", "r.example.org/any/thing", true);
        check("r.example.org", "r.example.org.evil.example/any", false);
        check("r.example.org/base/*", "r.example.org/base/debian", true);
        check("r.example.org/base/*", "r.example.org/other/debian", false);
        check("*.example.org/base", "evil.example/x.example.org/base", false);
        check("*.example.org", "r.example.org/x", true);
        check("*", "anything/x", true);
    }
}
