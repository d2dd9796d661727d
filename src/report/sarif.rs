//! The report as SARIF 2.1.0 (OASIS): a cause is a rule, a drift a result at its line of the Dockerfile.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    config::{said, value},
    pair::{Pair, place},
    text::said_accepted,
};
use crate::{
    drift::{Cause, Class, ConfigDrift, Drift},
    model::{Digest, path::printable},
};

/// Where lines are, if nothing tells.
const DOCKERFILE: &str = "Dockerfile";

/// All of it: one run with the results of every image.
pub(super) fn render(pairs: &[Pair<'_>]) -> String {
    let of_drifts = pairs.iter().flat_map(|pair| pair.drifts).map(|drift| drift.cause);
    let of_config = pairs.iter().flat_map(|pair| pair.config).map(|drift| drift.cause);
    let causes: BTreeSet<Cause> = of_drifts.chain(of_config).collect();
    let causes: Vec<Cause> = causes.into_iter().collect();
    let rule = |cause: Cause| causes.iter().position(|other| *other == cause);
    let of_pair = |pair: &Pair<'_>| -> Vec<Value> {
        let drifts = pair.drifts.iter().map(|drift| result(pair, drift, rule(drift.cause)));
        drifts
            .chain(pair.config.iter().map(|drift| of_config_result(pair, drift, rule(drift.cause))))
            .collect()
    };
    let results: Vec<Value> = pairs.iter().flat_map(of_pair).collect();
    super::json(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "reprov",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": causes.iter().map(|cause| described(*cause)).collect::<Vec<_>>(),
            }},
            "invocations": [{
                "executionSuccessful": pairs.iter().all(|pair| pair.verdict.is_some_and(|verdict| !verdict.undecided())),
                "toolExecutionNotifications": pairs.iter().filter_map(notification).collect::<Vec<_>>(),
            }],
            "results": results,
            "columnKind": "unicodeCodePoints",
        }],
    }))
}

fn notification(pair: &Pair<'_>) -> Option<Value> {
    let text = format!("{}: {}: {}", pair.headline, pair.said(), printable(pair.error?));
    Some(json!({"level": "error", "message": {"text": text}}))
}

fn described(cause: Cause) -> Value {
    json!({
        "id": cause.code(),
        "shortDescription": {"text": cause.meaning().split_inclusive(". ").next().unwrap_or_default().trim_end()},
        "fullDescription": {"text": cause.meaning()},
        "help": {"text": cause.remedy()},
        "defaultConfiguration": {"level": of_class(cause.class())},
        "properties": {"class": cause.class().name()},
    })
}

fn of_class(class: Class) -> &'static str {
    match class {
        Class::Unexplained => "error",
        Class::Entropy | Class::Package => "warning",
        Class::Known => "note",
    }
}

fn level(drift: &Drift) -> &'static str {
    if drift.consequence_of.is_some() {
        "note"
    } else if drift.security {
        "error"
    } else {
        of_class(drift.class)
    }
}

fn result(pair: &Pair<'_>, drift: &Drift, rule: Option<usize>) -> Value {
    let path = if drift.path.is_empty() { "the layer as a whole".to_owned() } else { printable(&drift.path) };
    let mut text = format!("{path} drifts: {}", printable(&drift.evidence));
    if let Some(kind) = drift.security_kind {
        text = format!("security ({}): {text}", kind.words());
    }
    if let Some(of) = &drift.consequence_of {
        text.push_str(&format!("; it follows from {}", printable(of)));
    }
    let mut location = json!({"logicalLocations": [{"fullyQualifiedName": path, "kind": "resource"}]});
    if let Some(line) = drift.instruction.as_ref().and_then(|instruction| instruction.line) {
        let uri = uri(pair.dockerfile.unwrap_or(DOCKERFILE));
        location["physicalLocation"] = json!({"artifactLocation": {"uri": uri, "uriBaseId": "%SRCROOT%"}, "region": {"startLine": line.max(1)}});
    }
    let identity = format!("{}\0{}\0{}", drift.cause.code(), place(drift), drift.path);
    let mut result = json!({
        "ruleId": drift.cause.code(),
        "level": level(drift),
        "message": {"text": text},
        "locations": [location],
        "partialFingerprints": {"drift/v1": Digest::of(identity.as_bytes()).hex()},
        "properties": {
            "layer": drift.layer,
            "place": place(drift),
            "security": drift.security,
            "confidence": drift.confidence,
            "remedy": drift.remedy,
        },
    });
    if let Some(rule) = rule {
        result["ruleIndex"] = rule.into();
    }
    if let Some(accepted) = &drift.accepted {
        result["suppressions"] = json!([{"kind": "external", "justification": said_accepted(accepted)}]);
    }
    result
}

fn of_config_result(pair: &Pair<'_>, drift: &ConfigDrift, rule: Option<usize>) -> Value {
    let (name, a, b) = (said(drift), value(drift.a.as_ref()), value(drift.b.as_ref()));
    let identity = format!("{}\0{name}", drift.cause.code());
    json!({
        "ruleId": drift.cause.code(),
        "ruleIndex": rule,
        "level": of_class(drift.class),
        "message": {"text": format!("{name} drifts in {}: {a} → {b}", pair.headline)},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": name, "kind": "property"}]}],
        "partialFingerprints": {"drift/v1": Digest::of(identity.as_bytes()).hex()},
    })
}

/// A path as a relative URI reference (RFC 3986): whatever could mean something else is percent-encoded.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_');
    let encoded = path
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    encoded.collect()
}
