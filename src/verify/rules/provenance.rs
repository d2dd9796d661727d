//! How it was built, and by whom.

use serde_json::{Map, Value};

use super::super::{
    Code, Finding, Status, age as ages,
    judge::{Built, Case, Fact, Told},
};
use super::ask_provenance;
use crate::{
    attest::{AttestedParameters, ExternalParameters, commit},
    model::{
        names::{ATTESTED_TYPE, BUILD_TYPE, IMPORT_TYPE, SLSA_PROVENANCE, SLSA_PROVENANCE_V02},
        rfc3339,
    },
    policy::{Pattern, Severity},
};

/// The level that the policy grants to whoever vouches for it.
pub(in crate::verify) fn level(case: &Case<'_>, told: &Told<'_>) -> u8 {
    told.believed.roots.iter().map(|index| case.evidence.roots.0[*index].level).max().unwrap_or_default()
}

pub(super) fn level_wanted(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    let (level, wanted) = (level(case, told), case.policy.least_level);
    if level >= wanted {
        return Vec::new();
    }
    let text = format!("SLSA build level {level}, {wanted} wanted: the policy grants its signer no more");
    vec![Finding::new(Code::LevelLow, text).at(told.place("runDetails/builder/id"))]
}

pub(super) fn age(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    let kind = &told.believed.statement.predicate_type;
    // Of whatever version: one that is asked for must not be stood in for by a stale one of another.
    let asked = |kind: &str| case.policy.predicates.contains(kind);
    let asked = asked(SLSA_PROVENANCE) || asked(SLSA_PROVENANCE_V02) || ask_provenance(case.policy);
    let wanted = case.policy.max_age_s.filter(|_| asked);
    let made_s = told.view.finished_on_s.or(told.view.started_on_s);
    let found = ages::check(kind, made_s, wanted, case.now_s);
    found.map(|finding| finding.at(told.place("runDetails/metadata/finishedOn"))).into_iter().collect()
}

pub(super) fn build_type(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    let found = &told.view.build_type;
    match &case.policy.build_types {
        Some(allowed) if !allowed.contains(found) => {
            let text = format!("build type `{found}` is not allowed");
            vec![Finding::new(Code::BuildTypeNotAllowed, text).at(told.place("buildDefinition/buildType"))]
        }
        _ => Vec::new(),
    }
}

/// What BuildKit's users say of their own builds is a boast; a verdict is another thing.
pub(super) fn boasts(_: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    let finding = |word: &&str| {
        let text = format!("provenance says of itself that the build is {word}; that was not looked at");
        Finding::new(Code::ClaimUnchecked, text).at(told.place("runDetails/metadata"))
    };
    told.view.boasts.iter().map(finding).collect()
}

/// Parameters that nobody knows, and those whose value is agreed on.
pub(super) fn parameters(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    let wanted = &case.policy.parameters;
    let place = |name: &str| told.place(&format!("buildDefinition/externalParameters/{name}"));
    let severity = if wanted.strict { Severity::Deny } else { Severity::Warn };
    let unknown = unknown(told).into_iter().filter(|name| !wanted.known.contains(name)).map(|name| {
        let text = format!("external parameter `{name}` is not known");
        Finding::new(Code::ParameterUnknown, text).at(place(&name)).counting(severity)
    });
    let unexpected = wanted.expected.iter().filter_map(|(name, pattern)| {
        let why = unexpected(&told.view.external, name, pattern)?;
        Some(Finding::new(Code::ParameterUnexpected, why).at(place(&name.replace('.', "/"))))
    });
    unknown.chain(unexpected).collect()
}

/// The top-level parameters that are none of our build types'; of another's build type all are unknown.
fn unknown(told: &Told<'_>) -> Vec<String> {
    let external = &told.view.external;
    let of_ours: &[&str] = match told.view.build_type.as_str() {
        BUILD_TYPE => ExternalParameters::NAMES,
        IMPORT_TYPE => &["source", "platform", "epoch"],
        ATTESTED_TYPE => AttestedParameters::NAMES,
        _ => &[],
    };
    external.keys().filter(|name| !of_ours.contains(&name.as_str())).cloned().collect()
}

fn unexpected(external: &Map<String, Value>, name: &str, pattern: &Pattern) -> Option<String> {
    let mut parts = name.split('.');
    let first = external.get(parts.next()?);
    let found = parts.fold(first, |value, part| value.and_then(|value| value.get(part)));
    let text = match found {
        None | Some(Value::Null) => return Some(format!("`{name}` is not set; `{pattern}` is expected")),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    (!pattern.matches(&text)).then(|| format!("`{name}` is `{text}`, not `{pattern}`"))
}

/// When and of what it was built.
pub(in crate::verify) fn built(told: &Told<'_>) -> Built {
    let source = told.view.source();
    let uri = source.map(|source| source.uri.as_str()).filter(|uri| !uri.is_empty());
    let ours = told.view.build_type == BUILD_TYPE;
    let epoch = told.view.internal.get("epoch").and_then(Value::as_i64);
    Built {
        source: uri.map(|uri| without_revision(uri).to_owned()),
        commit: source.and_then(commit).map(str::to_owned),
        commit_s: epoch.filter(|_| ours),
        finished_s: told.view.finished_on_s,
    }
}

/// A source's URI without the `@REVISION` behind its path.
fn without_revision(uri: &str) -> &str {
    let path = uri.find("://").map_or(0, |at| at + 3);
    let path = uri[path..].find('/').map_or(uri.len(), |at| path + at);
    uri[path..].rfind('@').map_or(uri, |at| &uri[..path + at])
}

/// What the provenance says, each with what it is worth.
pub(in crate::verify) fn facts(case: &Case<'_>, told: &Told<'_>) -> Vec<Fact> {
    let policy = case.policy;
    let worth = |checked: bool| if checked { Status::Checked } else { Status::Claimed };
    let any = told
        .believed
        .roots
        .iter()
        .any(|index| case.evidence.roots.0[*index].builders == crate::policy::Allowed::Any);
    let mut facts = vec![
        Fact { name: "builder", value: told.view.builder_id.clone(), status: worth(!any) },
        Fact {
            name: "build type",
            value: told.view.build_type.clone(),
            status: worth(policy.build_types.is_some()),
        },
    ];
    if let Some(source) = told.view.source() {
        let status = worth(policy.sources.is_some());
        if !source.uri.is_empty() {
            facts.push(Fact { name: "source", value: source.uri.clone(), status });
        }
        let commit = commit(source).map(str::to_owned);
        facts.extend(commit.map(|value| Fact { name: "commit", value, status }));
        facts.extend(super::commit::fact(case, told));
    }
    let finished = told.view.finished_on_s.map(rfc3339);
    let status = worth(policy.max_age_s.is_some());
    facts.extend(finished.map(|value| Fact { name: "finished", value, status }));
    facts
}
