//! Whether what provenance names is still there, byte for byte.

use super::super::{
    Code, Finding, Presence,
    judge::{Case, Told},
};
use crate::model::names::INPUTS;

/// The log: named, there, and its bytes those of its digest.
pub(super) fn log(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    if !case.policy.log {
        return Vec::new();
    }
    let place = told.place("runDetails/byproducts");
    let named = told.view.byproduct("log").and_then(crate::model::ResourceDescriptor::sha256);
    let Some(digest) = named else {
        return vec![Finding::new(Code::LogMissing, "provenance names no log").at(place)];
    };
    let finding = match case.evidence.presence.get(&digest) {
        Some(Presence::There) => return Vec::new(),
        Some(Presence::Altered(why)) => {
            Finding::new(Code::LogAltered, format!("the log is not the one that was signed: {why}"))
        }
        Some(Presence::Unread(why)) => {
            Finding::new(Code::LogGone, format!("the log could not be read: {why}"))
        }
        Some(Presence::Gone) | None => {
            Finding::new(Code::LogGone, format!("the log {digest} is not beside the image any more"))
        }
    };
    vec![finding.at(digest.to_string())]
}

/// Everything else that is named.
pub(super) fn present(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    if !case.policy.evidence {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for named in told.view.byproducts.iter().filter(|named| named.name != "log" || !case.policy.log) {
        let Some(digest) = named.sha256() else { continue };
        let what = if named.name.is_empty() { "a byproduct" } else { &named.name };
        let finding = match case.evidence.presence.get(&digest) {
            Some(Presence::There) | None => continue,
            Some(Presence::Gone) => {
                Finding::new(Code::EvidenceGone, format!("{what} {digest} is not beside the image any more"))
            }
            Some(Presence::Altered(why)) => Finding::new(Code::EvidenceAltered, format!("{what}: {why}")),
            Some(Presence::Unread(why)) => {
                Finding::new(Code::EvidenceGone, format!("{what} could not be looked at: {why}"))
            }
        };
        findings.push(finding.at(digest.to_string()));
    }
    let kept = |input: &&crate::model::ResourceDescriptor| {
        input.annotations.get("kept").is_some_and(|kept| kept == "registry")
    };
    let elsewhere = told.view.byproducts.iter().any(|named| named.name == "inputs");
    let listed = case.evidence.artifact_types.contains(INPUTS);
    let first = told.view.dependencies.iter().find(kept).filter(|_| !listed && !elsewhere);
    findings.extend(first.map(|input| {
        let text = "provenance says that the inputs are kept in the registry, and no list of inputs is beside the image";
        Finding::new(Code::InputsGone, text).at(input.sha256().map(|digest| digest.to_string()).unwrap_or_default())
    }));
    findings
}
