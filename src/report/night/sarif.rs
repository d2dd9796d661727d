//! The report as SARIF 2.1.0: a finding or cause is a rule, an image that has it a result.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    super::explain::{Entry, Explain},
    Image, Report,
};
use crate::model::{Digest, path::printable};

pub(super) fn render(report: &Report) -> String {
    let wrong = || report.images.iter().filter(|image| image.standing != "good" || image.overdue);
    let found: Vec<(&Image, BTreeSet<String>)> = wrong().map(|image| (image, codes(image))).collect();
    let rules: BTreeSet<&String> = found.iter().flat_map(|(_, codes)| codes).collect();
    let rules: Vec<&String> = rules.into_iter().collect();
    let pages: BTreeMap<&str, Entry> = Explain::all().map(|entry| (entry.code, entry)).collect();
    let results = found.iter().flat_map(|(image, codes)| {
        codes.iter().map(|code| result(image, code, rules.iter().position(|rule| *rule == code)))
    });
    let results: Vec<Value> = results.collect();
    let unknown = report.images.iter().filter(|image| image.standing == "unknown");
    let notes = unknown.filter_map(|image| {
        let text = format!("{}: {}", printable(&image.image), printable(image.error.as_ref()?));
        Some(json!({"level": "error", "message": {"text": text}}))
    });
    super::super::json(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "reprov",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|code| described(code, &pages)).collect::<Vec<_>>(),
            }},
            "invocations": [{
                "executionSuccessful": report.whole.standing["unknown"] == 0,
                "toolExecutionNotifications": notes.collect::<Vec<_>>(),
            }],
            "results": results,
            "columnKind": "unicodeCodePoints",
        }],
    }))
}

/// What is wrong with an image, by code: what it has, or how it stands where that does not say it. What a good one has is
/// accepted.
fn codes(image: &Image) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    if image.standing != "good" {
        codes.extend(image.codes.iter().cloned());
        if codes.is_empty() || image.standing == "unknown" || image.said == "gone" {
            codes.insert(image.said.clone());
        }
    }
    if image.overdue {
        codes.insert("overdue".to_owned());
    }
    codes
}

fn described(code: &str, pages: &BTreeMap<&str, Entry>) -> Value {
    let Some(page) = pages.get(code) else {
        return json!({"id": printable(code), "shortDescription": {"text": printable(code)}});
    };
    json!({
        "id": code,
        "shortDescription": {"text": page.meaning.split_inclusive(". ").next().unwrap_or_default().trim_end()},
        "fullDescription": {"text": page.meaning},
        "help": {"text": page.remedy},
    })
}

fn result(image: &Image, code: &str, rule: Option<usize>) -> Value {
    let (name, code) = (printable(&image.image), printable(code));
    let level = match image.standing {
        "wrong" => "error",
        _ => "warning",
    };
    let said = printable(&image.said);
    let mut result = json!({
        "ruleId": code,
        "level": level,
        "message": {"text": format!("{name}: {code} ({said})")},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": name, "kind": "resource"}]}],
        "partialFingerprints": {"image/v1": Digest::of(format!("{code}\0{name}").as_bytes()).hex()},
        "properties": {
            "digest": image.digest,
            "owner": image.owner,
            "group": image.group,
            "judged": image.judged,
            "report": image.report,
        },
    });
    if let Some(rule) = rule {
        result["ruleIndex"] = rule.into();
    }
    result
}
