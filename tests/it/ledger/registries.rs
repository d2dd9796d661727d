//! A ledger that was lost comes back from the registries.

use std::fs;

use reprov::{
    entry::{Entry, Kind},
    ledger::{Filter, Ledger, Place},
};
use serde_json::{Value, json};

use super::{Somewhere, wait};
use crate::{
    support::{Lab, Registry},
    verify::stand::{BUILDER, BUNDLE, By, REBUILD, REPOSITORY, SUMMARY, Stand},
};

const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
const PROMOTION: &str = "https://reprov.example/promotion/v1";

fn entries(place: &Place) -> Vec<Entry> {
    let mut entries = Vec::new();
    wait(async {
        let ledger = Ledger::open_existing(place).await.unwrap();
        assert_eq!(ledger.check(None).await.unwrap().faults, []);
        ledger.rows(&Filter::default(), |row| entries.push(row.entry)).await.unwrap();
        ledger.close().await;
    });
    entries
}

fn rebuilt() -> Value {
    let text =
        fs::read_to_string(crate::support::fixtures("../attestations/rebuild/v1/example.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["predicate"].take()
}

#[test]
fn every_kind_of_attestation_is_an_entry() {
    let stand = Stand::new();
    stand.honest();
    stand.attach(By::Ours, REBUILD, &rebuilt());
    let mut live = rebuilt();
    live["inputs"] = "live".into();
    stand.attach(By::Ours, REBUILD, &live);
    let verifier = "https://reprov.example/verifier/local-unverified/v1";
    let name = stand.name();
    stand.attach(
        By::Ours,
        SUMMARY,
        &json!({
            "verifier": {"id": verifier, "version": {"reprov": "0.1.0"}},
            "timeVerified": "2026-02-01T00:00:00Z",
            "resourceUri": format!("docker://{name}"),
            "policy": {"uri": "reprov:policy/x", "digest": {"sha256": "a".repeat(64)}},
            "verificationResult": "FAILED",
            "verifiedLevels": ["FAILED"],
        }),
    );
    stand.attach(
        By::Ours,
        TEST_RESULT,
        &json!({
            "result": "FAILED", "configuration": [], "passedTests": ["a"], "failedTests": ["b", "c"],
            "tester": {"id": "https://tester.example.org", "version": {"reprov": "0.1.0"}},
            "finishedOn": "2026-02-02T00:00:00Z",
        }),
    );
    stand.attach(By::Ours, TEST_RESULT, &json!({"result": "PASSED", "configuration": []})); // Nobody says when.
    stand.attach(By::Stranger, REBUILD, &rebuilt());
    let place = Somewhere::sqlite();
    let (at, key) = (place.written(), By::Ours.public());
    let args = ["ledger", "rebuild", &name, "--ledger", &at, "--trust", &key, "--format", "json"];
    let answer = stand.lab.reprov(&args).exits(0).json();
    assert_eq!(answer["rows"], 5);
    let entries = entries(&place.place);
    let told: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.outcome.as_str())).collect();
    assert!(
        told.contains(&(Kind::Verified, "failed")) && told.contains(&(Kind::Tested, "failed")),
        "{told:?}"
    );
    assert!(told.contains(&(Kind::Built, "built")), "{told:?}");
    for kind in [Kind::Rebuilt, Kind::RebuiltLive] {
        assert_eq!(told.iter().filter(|(own, _)| *own == kind).count(), 1, "{told:?}");
    }
    assert!(entries.is_sorted_by_key(|entry| entry.at_s));
    let of = |kind: Kind| entries.iter().find(|entry| entry.kind == kind).unwrap();
    assert_eq!(of(Kind::Built).by, BUILDER);
    assert_eq!(of(Kind::Verified).tag.as_deref(), Some("1"));
    assert_eq!(of(Kind::Verified).policy.unwrap().hex(), "a".repeat(64));
    assert_eq!(of(Kind::Tested).codes["test-failed"], 2);
    assert_eq!(of(Kind::Tested).tool, "reprov 0.1.0");
    assert!(entries.iter().all(|entry| entry.attested().is_some() && entry.signer.is_some()));
    let again = stand.lab.reprov(&args).exits(2);
    assert!(again.err.contains("has 5 rows already") && again.err.contains("hint: "), "{again}");
}

#[test]
fn a_tag_that_was_moved_has_its_life_back() {
    let stand = Stand::new();
    stand.honest();
    let old = stand.image.clone();
    let promotion = |before: Option<&str>| {
        json!({
            "action": "promote", "from": "registry.example.org/staging:1", "to": stand.name().trim_end_matches(":1"),
            "tag": "1", "before": before, "policy": {"name": "x", "digest": old}, "decision": old,
            "images": [{"digest": old, "evidence": []}],
            "waived": [{"code": "x", "owner": "y", "until": "2030-01-01", "image": old}],
            "promoter": {"id": "https://promoter.example.org", "key": old, "version": {"reprov": "0.1.0"}},
            "promotedOn": "2026-02-03T00:00:00Z",
        })
    };
    stand.attach(By::Ours, PROMOTION, &promotion(None));
    let place = Somewhere::sqlite();
    let (at, key, name) = (place.written(), By::Ours.public(), stand.name());
    stand.lab.reprov(&["ledger", "rebuild", &name, "--ledger", &at, "--trust", &key]).exits(0);
    let told = entries(&place.place);
    let promoted = told.iter().find(|entry| entry.kind == Kind::Promoted).unwrap();
    assert_eq!(
        (promoted.repository.as_str(), promoted.tag.as_deref()),
        (name.trim_end_matches(":1"), Some("1"))
    );
    assert_eq!((promoted.waived.len(), promoted.before), (1, None));
    assert_eq!(promoted.outcome, "promoted");
}

#[test]
fn what_cannot_be_read_makes_no_history() {
    let stand = Stand::new();
    stand.honest();
    let place = Somewhere::sqlite();
    let (at, key) = (place.written(), By::Ours.public());
    let gone = stand.name().replace(":1", ":none");
    let args = ["ledger", "rebuild", &gone, "--ledger", &at, "--trust", &key];
    stand.lab.reprov(&args).exits(3);
    assert!(!std::path::Path::new(&at).exists(), "nothing is written");
    stand
        .lab
        .reprov(&["ledger", "rebuild", &stand.name(), "--ledger", &at])
        .exits(2)
        .says("nobody is trusted");
}

#[test]
fn an_attestation_that_is_too_large_is_named_and_makes_no_history() {
    let stand = Stand::new();
    stand.honest();
    let blob = stand.registry.put_blob(REPOSITORY, b"{}");
    let place = Somewhere::sqlite();
    let (at, key, name) = (place.written(), By::Ours.public(), stand.name());
    // More than any attestation has, and less than the registry gives.
    for size_bytes in [17 << 20, 1] {
        let stand = Stand::new();
        stand.honest();
        stand.registry.put_blob(REPOSITORY, b"{}");
        let layer = json!({"mediaType": BUNDLE, "digest": blob, "size": size_bytes});
        let large = stand.attach_layers(BUNDLE, &json!([layer]), &json!({}));
        let args = ["ledger", "rebuild", &stand.name(), "--ledger", &at, "--trust", &key];
        stand.lab.reprov(&args).exits(3).says(&format!("cannot read attestation {large}"));
        assert!(!std::path::Path::new(&at).exists(), "nothing is written");
    }
    stand.lab.reprov(&["ledger", "rebuild", &name, "--ledger", &at, "--trust", &key]).exits(0);
}

#[test]
fn what_was_done_and_noted_is_what_the_registry_says() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("app", &[("Dockerfile", "FROM base.example/tiny:1\nCOPY Dockerfile /x\n")]);
    let image = registry.name("remembered");
    for kept in Somewhere::both() {
        let at = kept.written();
        lab.build(registry, &source, &image, &["--ledger", &at]).exits(0);
        let noted = entries(&kept.place);
        assert_eq!(noted.len(), 1);
        assert_eq!((noted[0].kind, noted[0].tag.as_deref()), (Kind::Built, Some("1")));
        let again = Somewhere::sqlite();
        let (new, key) = (again.written(), lab.path("signer.pub"));
        let by_digest = format!("{}@{}", registry.name("remembered"), noted[0].digest.unwrap());
        lab.reprov(&["ledger", "rebuild", &by_digest, "--ledger", &new, "--trust", &key]).exits(0);
        let attested: Vec<_> = noted.iter().filter_map(Entry::attested).collect();
        let told: Vec<_> = entries(&again.place).iter().filter_map(Entry::attested).collect();
        // The same image may have been built twice: what was noted is among what is told.
        assert!(attested.iter().all(|entry| told.contains(entry)), "{attested:#?} {told:#?}");
    }
}

#[test]
fn an_inventory_says_which_images_and_whom_to_believe() {
    let stand = Stand::new();
    stand.honest();
    stand.attach(By::Other, REBUILD, &rebuilt());
    let place = Somewhere::sqlite();
    let at = place.written();
    let inventory = format!(
        "[[group]]\nname = \"web\"\nowner = \"web@example.org\"\nimages = [\"{}\"]\ntrust = [\"{}\"]\nevery = \"7d\"\n",
        stand.name(),
        By::Other.public()
    );
    fs::write(stand.lab.path("inventory.toml"), inventory).unwrap();
    let args = ["ledger", "rebuild", &stand.lab.path("inventory.toml"), "--ledger", &at];
    stand.lab.reprov(&args).exits(0);
    let entries = entries(&place.place);
    assert_eq!(entries.len(), 1, "the other key's word alone: {entries:#?}");
    assert_eq!((entries[0].kind, entries[0].group.as_deref()), (Kind::Rebuilt, Some("web")));
    assert_eq!(entries[0].owner.as_deref(), Some("web@example.org"));
}
