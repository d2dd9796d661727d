//! Statements about what is in it, and about tests of it.

use serde_json::Value;

use super::super::{Believed, Code, Finding, Opened, age, evidence::made_s, judge::Case};
use crate::{attest::Statement, model::Digest, policy};

const SPDX: &str = "https://spdx.dev/Document";
const CYCLONEDX: &str = "https://cyclonedx.org/bom";
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/";

/// Whether a type is that of a list of contents, of whatever version.
fn is_list(kind: &str) -> bool {
    [SPDX, CYCLONEDX]
        .iter()
        .any(|own| kind.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Names and versions in a list of contents; nothing in other statements.
pub(super) fn packages(statement: &Statement) -> Vec<(String, String)> {
    if !is_list(&statement.predicate_type) {
        return Vec::new();
    }
    let predicate = &statement.predicate;
    // cosign wraps some.
    let document = predicate.get("Data").filter(|data| data.is_object()).unwrap_or(predicate);
    let spdx = document.get("packages").and_then(Value::as_array);
    let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let from_spdx = spdx.into_iter().flatten().map(|item| (text(item, "name"), text(item, "versionInfo")));
    // Components may have components; how deep, the reader of JSON bounds.
    let (mut components, mut left) = (Vec::new(), vec![document]);
    while let Some(above) = left.pop() {
        for item in above.get("components").and_then(Value::as_array).into_iter().flatten() {
            components.push((text(item, "name"), text(item, "version")));
            left.push(item);
        }
    }
    from_spdx.chain(components).filter(|(name, _)| !name.is_empty()).collect()
}

/// A list of contents: there, fresh, and with something in it. Of several the latest counts.
pub(super) fn sbom(case: &Case<'_>, used: &mut Vec<Digest>) -> Vec<Finding> {
    let Some(wanted) = &case.policy.sbom else { return Vec::new() };
    let check = |opened: &Opened, believed: &Believed| list(case, wanted, opened, believed);
    let missing =
        || Finding::new(Code::SbomMissing, "no list of contents (SPDX, CycloneDX) by a trusted signer");
    one_good(case, used, is_list, check, missing)
}

fn list(case: &Case<'_>, wanted: &policy::Sbom, opened: &Opened, believed: &Believed) -> Vec<Finding> {
    let kind = &believed.statement.predicate_type;
    let mut findings: Vec<Finding> =
        age::check(kind, made_s(believed), wanted.max_age_s, case.now_s).into_iter().collect();
    let predicate = &believed.statement.predicate;
    let document = predicate.get("Data").filter(|data| data.is_object()).unwrap_or(predicate);
    let shaped = document.get("spdxVersion").is_some_and(Value::is_string)
        || document.get("bomFormat") == Some(&Value::from("CycloneDX"));
    if !shaped {
        findings
            .push(Finding::new(Code::SbomMalformed, format!("what is signed as {kind} is no such document")));
    }
    let count = packages(&believed.statement).len();
    if count < wanted.packages_min {
        let text = format!("the list has {count} packages; {} are the least", wanted.packages_min);
        findings.push(Finding::new(Code::SbomEmpty, text));
    }
    let place = opened.at.digest().to_string();
    findings.into_iter().map(|finding| finding.at(&place)).collect()
}

/// Tests: run, fresh, passed, and those among them that must be. Of several results the latest counts.
pub(super) fn tests(case: &Case<'_>, used: &mut Vec<Digest>) -> Vec<Finding> {
    let Some(wanted) = &case.policy.tests else { return Vec::new() };
    let check = |opened: &Opened, believed: &Believed| result(case, wanted, opened, believed);
    let missing = || Finding::new(Code::TestsMissing, "no test result by a trusted signer");
    one_good(case, used, |kind| kind.starts_with(TEST_RESULT), check, missing)
}

fn result(case: &Case<'_>, wanted: &policy::Tests, opened: &Opened, believed: &Believed) -> Vec<Finding> {
    let predicate = &believed.statement.predicate;
    let kind = &believed.statement.predicate_type;
    let mut findings: Vec<Finding> =
        age::check(kind, made_s(believed), wanted.max_age_s, case.now_s).into_iter().collect();
    let names = |key: &str| -> Vec<&str> {
        predicate.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let failed = names("failedTests");
    match predicate.get("result").and_then(Value::as_str) {
        Some("PASSED") if failed.is_empty() => {}
        Some("WARNED") if failed.is_empty() && !wanted.strict => {}
        Some("WARNED") if failed.is_empty() => {
            findings.extend(each(Code::TestsWarned, &names("warnedTests"), |name| {
                format!("test warned: {name}")
            }));
        }
        Some("PASSED" | "WARNED" | "FAILED") => {
            findings.extend(each(Code::TestsFailed, &failed, |name| format!("test failed: {name}")));
        }
        other => {
            let text = format!("the test result is `{}`, which is none", other.unwrap_or_default());
            findings.push(Finding::new(Code::TestsFailed, text));
        }
    }
    let passed = names("passedTests");
    let absent: Vec<&str> =
        wanted.required.iter().map(String::as_str).filter(|name| !passed.contains(name)).collect();
    if !absent.is_empty() {
        findings.extend(each(Code::TestAbsent, &absent, |name| {
            format!("not among the tests that passed: {name}")
        }));
    }
    let place = opened.at.digest().to_string();
    findings.into_iter().map(|finding| finding.at(&place)).collect()
}

/// A finding for each name, so that a waiver of one waives no other; one if nobody says which.
pub(super) fn each(code: Code, names: &[&str], message: impl Fn(&str) -> String) -> Vec<Finding> {
    let mut names: Vec<&str> = names.to_vec();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return vec![Finding::new(code, message("nobody says which"))];
    }
    names.into_iter().map(|name| Finding::new(code, message(name))).collect()
}

/// The findings of the best statement of a kind: none if one is good. A later failure counts more than an older pass.
fn one_good(
    case: &Case<'_>,
    used: &mut Vec<Digest>,
    of_kind: impl Fn(&str) -> bool,
    check: impl Fn(&Opened, &Believed) -> Vec<Finding>,
    missing: impl Fn() -> Finding,
) -> Vec<Finding> {
    let all = case.evidence.believed().filter(|(_, believed)| of_kind(&believed.statement.predicate_type));
    let checked: Vec<_> =
        all.map(|(opened, believed)| (made_s(believed), opened, check(opened, believed))).collect();
    let latest = checked.iter().filter_map(|(made, ..)| *made).max();
    // Without times nobody knows which is later: then each must be good.
    let counted =
        checked.into_iter().filter(|(made, ..)| latest.is_none() || *made == latest || made.is_none());
    let mut findings = Vec::new();
    let mut any = false;
    for (_, opened, found) in counted {
        any = true;
        if found.is_empty() {
            used.push(opened.at.digest());
        }
        findings.extend(found);
    }
    if any { findings } else { vec![missing()] }
}
