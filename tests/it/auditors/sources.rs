//! `evidence` of an image for whose commit a verifier vouches: the requirements of SLSA's source track are shown, and the
//! archive alone shows them again.

use std::fs;

use serde_json::Value;

use super::{
    archive::{read, verify},
    keyless::rewritten,
};
use crate::verify::{
    sources::{attach, trust},
    stand::{BUILDER, By, NOW, PROVENANCE, Stand},
};

/// Makes `one.tar` of an image with these levels of its commit, by a policy that asks for `wanted`; the answer.
fn made(stand: &Stand, level: u8, wanted: &str, code: i32) -> Value {
    let mut predicate = stand.predicate();
    let below = |one: &Value| ["base", "buildroot"].iter().any(|role| one["annotations"]["role"] == *role);
    let dependencies = &mut predicate["buildDefinition"]["resolvedDependencies"];
    dependencies.as_array_mut().unwrap().retain(|one| !below(one));
    stand.attach(By::Ours, PROVENANCE, &predicate);
    attach(stand, By::Other, |it| {
        it["predicate"]["verifiedLevels"] = serde_json::json!([format!("SLSA_SOURCE_LEVEL_{level}")]);
    });
    let (lab, ours) = (&stand.lab, By::Ours.public());
    let (policy, out, store) = (lab.path("policy.toml"), lab.path("one.tar"), lab.path("auditor"));
    fs::write(&policy, format!("builders = [\"{BUILDER}\"]\n{}{wanted}", trust(""))).unwrap();
    let args = ["evidence", &stand.name(), "--out", &out, "--policy", &policy, "--trust", &ours];
    lab.reprov(&[&args[..], &["--store", &store, "--as-of", NOW, "--format", "json"]].concat())
        .exits(code)
        .json()
}

/// Which rows of the source track are met.
fn met(stand: &Stand) -> Vec<String> {
    let index = read(&stand.lab, "one.tar", "index.json");
    let rows = index["requirements"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["framework"] == "SLSA 1.2 Source" && row["met"] == "met");
    rows.map(|row| row["id"].as_str().unwrap()[..2].to_owned()).collect()
}

#[test]
fn a_verifiers_level_is_shown_and_stands_alone() {
    let stand = Stand::new();
    let answer = made(&stand, 3, "[source]\nlevel = 3\n", 0);
    assert_eq!((&answer["verdict"], &answer["judged"][0]["source_level"]), (&"passed".into(), &3.into()));
    assert_eq!(met(&stand), ["L1", "L2", "L3"]);
    let Stand { lab, registry, .. } = stand;
    drop(registry); // From here on there is nobody to ask.
    let checked = verify(&lab, "one.tar", &[]).exits(0).json();
    assert_eq!((&checked["judged"], &checked["differs"]), (&answer["judged"], &serde_json::json!([])));
    // One who claims more than the summary in it says is found out.
    rewritten(&lab, |contents, _| contents.judged[0].source_level = 4);
    let differs = verify(&lab, "changed.tar", &[]).exits(1).json()["differs"].take();
    assert!(differs[0].as_str().unwrap().contains("source level 4"), "{differs}");
    assert!(differs[0].as_str().unwrap().contains("source level 3"), "{differs}");
}

#[test]
fn what_is_not_vouched_for_is_unmet() {
    let low = Stand::new();
    let answer = made(&low, 2, "[source]\nlevel = 4\n", 1);
    assert!(
        answer["judged"][0]["codes"].as_array().unwrap().contains(&"source-level-low".into()),
        "{answer:#}"
    );
    assert_eq!(met(&low), ["L1", "L2"]);
    verify(&low.lab, "one.tar", &[]).exits(1);
    let stale = Stand::new();
    made(&stale, 4, "[source]\nmax-age = \"1h\"\n", 1);
    assert_eq!(met(&stale), [""; 0]);
    let unasked = Stand::new();
    made(&unasked, 4, "", 0);
    assert_eq!(met(&unasked), ["L1", "L2", "L3", "L4"]);
}
