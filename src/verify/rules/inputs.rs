//! What came in while it was built: from where, under which keys, and whether all of it is on record.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::{
    Code, Finding,
    evidence::Said,
    judge::{Case, Told},
};
use crate::{
    attest::View,
    model::{Digest, Repository, names::BUILD_TYPE},
    policy::{self, Refused, RefusedInput},
    transcript::{Package, Transcript},
};

/// Repositories that may be fetched from, and the keys that pin them.
pub(super) fn repositories(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    let Some(allowed) = &case.policy.repositories else { return Vec::new() };
    let place = || told.place("buildDefinition/externalParameters/repositories");
    let Some(used) = used(told.view) else {
        let text = "provenance does not say from which repositories it could fetch";
        return vec![Finding::new(Code::RepositoriesUnknown, text).at(place())];
    };
    let mut findings = Vec::new();
    for repository in used {
        let named: Vec<&policy::Repository> =
            allowed.iter().filter(|allowed| covers(&allowed.url, &repository.url)).collect();
        let key = repository.key.as_ref().map(|key| key.digest);
        let fits = |allowed: &&&policy::Repository| match &allowed.keys {
            None => true,
            Some(keys) => key.is_some_and(|key| keys.contains(&key)),
        };
        if named.is_empty() {
            let text = format!("repository `{}` ({}) is not allowed", repository.name, repository.url);
            findings.push(Finding::new(Code::RepositoryNotAllowed, text).at(place()));
        } else if !named.iter().any(|allowed| fits(&allowed)) {
            let pinned = key.map_or_else(|| "no key".to_owned(), |key| format!("the keys {key}"));
            let text = format!(
                "repository `{}` is pinned by {pinned}, which the policy does not name",
                repository.name
            );
            findings.push(Finding::new(Code::RepositoryKeyNotAllowed, text).at(place()));
        }
    }
    findings
}

/// Whether a repository's prefix is within a pattern: itself, or what would be under it.
fn covers(pattern: &policy::Pattern, url: &str) -> bool {
    pattern.matches(url) || pattern.matches(&format!("{url}/"))
}

/// What a build of ours could fetch from; none: it is another's build, or does not say.
fn used(view: &View) -> Option<Vec<Repository>> {
    let listed = view.external.get("repositories").filter(|_| view.build_type == BUILD_TYPE)?;
    serde_json::from_value(listed.clone()).ok()
}

/// Inputs that no image may have.
pub(super) fn refused(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    if case.policy.refused.is_empty() {
        return Vec::new();
    }
    let transcript = transcript(case, told.view);
    let listed = listed_packages(case);
    let mut findings = Vec::new();
    let place = told.place("buildDefinition/resolvedDependencies");
    let mut urls: Vec<&str> = told.view.dependencies.iter().map(|input| input.uri.as_str()).collect();
    match &transcript {
        Some((_, Ok(transcript))) => {
            urls.extend(transcript.exchanges().map(|exchange| exchange.url.as_str()));
        }
        Some((_, Err(why))) => findings.push(Finding::new(Code::InputsUnknown, *why).at(&place)),
        None if listed.is_empty() => {
            let text = "neither provenance nor a list of contents says all that came in";
            findings.push(Finding::new(Code::InputsUnknown, text).at(&place));
        }
        None => {}
    }
    let fetched: Vec<Package> = urls.iter().filter_map(|url| Package::of(url)).collect();
    let fetched = fetched.iter().map(|package| (package.name.as_str(), package.version.as_str()));
    let packages: Vec<(&str, &str)> =
        fetched.chain(listed.iter().map(|(name, version)| (name.as_str(), version.as_str()))).collect();
    for refused in &case.policy.refused {
        findings.extend(found(refused, &urls, &packages).into_iter().map(|finding| finding.at(&place)));
    }
    findings
}

/// One finding for each, so that a waiver of one waives no other.
fn found(refused: &Refused, urls: &[&str], packages: &[(&str, &str)]) -> Vec<Finding> {
    let because = &refused.because;
    let (code, messages): (Code, BTreeSet<String>) = match &refused.what {
        RefusedInput::Url(pattern) => {
            let fits = urls.iter().filter(|url| !url.is_empty() && pattern.matches(url));
            (Code::InputRefused, fits.map(|url| format!("`{url}` came in: {because}")).collect())
        }
        RefusedInput::Package { name, version } => {
            let fits = |(own, has): &&(&str, &str)| {
                name.matches(own) && version.as_ref().is_none_or(|version| version.matches(has))
            };
            let fits = packages.iter().filter(fits);
            let message = |(name, version): &(&str, &str)| format!("`{name}` {version} is in it: {because}");
            (Code::PackageRefused, fits.map(message).collect())
        }
    };
    messages.into_iter().map(|message| Finding::new(code, message)).collect()
}

/// The transcript that provenance names, if somebody looked.
fn transcript<'a>(case: &Case<'a>, view: &View) -> Option<(Digest, Result<&'a Transcript, &'a str>)> {
    let digest = view.byproduct("transcript")?.sha256()?;
    let read = case.evidence.transcripts.get(&digest)?;
    Some((digest, read.as_ref().map(AsRef::as_ref).map_err(String::as_str)))
}

/// Names and versions of believed lists of contents (SPDX, `CycloneDX`).
fn listed_packages(case: &Case<'_>) -> Vec<(String, String)> {
    let others = case.evidence.believed().filter(|(_, believed)| believed.said == Said::Other);
    others.flat_map(|(_, believed)| super::contents::packages(&believed.statement)).collect()
}

/// Whether everything that came in is on record, nothing was refused, nothing let through to learn.
pub(super) fn hermetic(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    if !case.policy.hermetic {
        return Vec::new();
    }
    let view = told.view;
    if view.build_type != BUILD_TYPE {
        let text = "its builder keeps no record of what came in that could be held against anything";
        return vec![Finding::new(Code::NotHermetic, text).at(told.place("buildDefinition/buildType"))];
    }
    let mut findings = Vec::new();
    if view.external.get("learn") == Some(&Value::Bool(true)) {
        let text = "it was built with --learn, which lets everything through";
        findings.push(
            Finding::new(Code::Learned, text).at(told.place("buildDefinition/externalParameters/learn")),
        );
    }
    let place = told.place("runDetails/byproducts");
    let mut tainted = view.tainted.clone();
    match transcript(case, view) {
        Some((digest, Ok(transcript))) => {
            tainted.extend(transcript.tainted().iter().cloned());
            for url in strays(view, transcript) {
                let text = format!("`{url}` came from no repository that the build names");
                findings.push(Finding::new(Code::NotHermetic, text).at(digest.to_string()));
            }
        }
        Some((_, Err(why))) => findings.push(Finding::new(Code::TranscriptMissing, why).at(place)),
        None => {
            let text = "provenance names no transcript of what came in";
            findings.push(Finding::new(Code::TranscriptMissing, text).at(place));
        }
    }
    tainted.sort();
    tainted.dedup();
    for why in tainted {
        let text = format!("not everything that came in is on record: {why}");
        findings.push(Finding::new(Code::Tainted, text).at(told.place("runDetails/reprov_tainted")));
    }
    findings
}

/// Exchanges of repositories that the definition does not name, each URL once.
fn strays<'a>(view: &View, transcript: &'a Transcript) -> BTreeSet<&'a str> {
    let Some(used) = used(view) else { return BTreeSet::new() };
    let named: BTreeSet<String> = used.into_iter().map(|repository| repository.name).collect();
    let strays = transcript.exchanges().filter(|exchange| !named.contains(&exchange.repository));
    strays.map(|exchange| exchange.url.as_str()).collect()
}
