//! Tags that move: again, back, to older builds, under other hands.

use serde_json::{Value, json};

use super::stand::{HEAD, Staged, denials, only, promote, statement, undo};
use crate::{
    jobs::copy::Shelf,
    support::{ApiRegistry, Fault, Faulty, Lab},
    verify::stand::{By, SUMMARY},
};
use reprov::model::{Digest, rfc3339};

/// Whatever was asked of the target but reading.
fn written(api: &ApiRegistry) -> Vec<String> {
    api.requests("prod/app").into_iter().filter(|line| !line.starts_with("GET ")).collect()
}

#[test]
fn what_is_promoted_already_is_left_alone() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let staged = Staged::new(&api, "staging/app", "a layer");
    staged.built(1, 2);
    let (from, to) = (api.name("staging/app"), api.name("prod/app"));
    let first = only(&promote(&lab, &from, &to, HEAD, &[]).exits(0));
    api.forget_requests();
    let again = only(&promote(&lab, &from, &to, HEAD, &[]).exits(0));
    assert_eq!((&again["outcome"], &again["attestation"]), (&"unchanged".into(), &first["attestation"]));
    assert_eq!(written(&api), Vec::<String>::new());
    promote(&lab, &from, &to, HEAD, &["--format", "text"]).exits(0).says("unchanged");
    // Judged it is all the same.
    let ran = promote(&lab, &from, &to, &format!("{HEAD}[tests]\n"), &[]).exits(1);
    assert_eq!(denials(&ran), ["tests-missing"]);

    // Somebody put the image there without its evidence: that is brought, and the tag needs no writing.
    let other = Staged::new(&api, "prod/other", "a layer");
    assert_eq!(other.digest(), staged.digest());
    let ran = promote(&lab, &from, &api.name("prod/other"), HEAD, &[]).exits(0);
    assert_eq!(only(&ran)["outcome"], "completed");
    assert_eq!(api.referrers("prod/other", &staged.digest()).len(), 2);
}

#[test]
fn a_tag_that_somebody_moves_meanwhile_is_left_to_them() {
    // When it is moved: while the image is judged, and while it is brought.
    for moment in ["GET /v2/staging/app/referrers/", "PUT /v2/prod/app/manifests/sha256:"] {
        for before in [true, false] {
            let (lab, api) = (Lab::new(), &*Box::leak(Box::new(ApiRegistry::start())));
            Staged::new(api, "staging/app", "a layer").built(5, 5);
            let theirs = Staged::new(api, "prod/app", "theirs").digest();
            let old = Staged::new(api, "prod/app", "old").digest();
            if !before {
                api.set_tag("prod/app", "2", &old);
            }
            let tag = if before { "1" } else { "3" };
            let moved = theirs.clone();
            let faulty = Faulty::before(api, move |line, _| {
                if line.starts_with(moment) {
                    api.set_tag("prod/app", tag, &moved);
                }
                Fault::None
            });
            let to = format!("{}/prod/app:{tag}", faulty.host);
            let ran = promote(&lab, &faulty.name("staging/app"), &to, HEAD, &[]).exits(1);
            assert_eq!(denials(&ran), ["promotion-tag-moved"], "{moment}: {ran}");
            assert_eq!(api.tag("prod/app", tag), Some(theirs));
        }
    }
}

#[test]
fn an_older_build_follows_a_newer_one_only_if_that_is_said() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let new = Staged::new(&api, "staging/app", "new");
    new.built(2000, 5);
    let (from, to) = (api.name("staging/app"), api.name("prod/app"));
    promote(&lab, &from, &to, HEAD, &[]).exits(0);
    // Of an earlier commit, though built later.
    let old = Staged::new(&api, "staging/app", "old");
    old.built(1000, 9);
    let ran = promote(&lab, &from, &to, HEAD, &[]).exits(1).says("its commit is of 1970-01-01T00:16:40Z");
    assert_eq!(denials(&ran), ["promotion-downgrade"]);
    assert_eq!(api.tag("prod/app", "1"), Some(new.digest()));
    let moved = only(&promote(&lab, &from, &to, HEAD, &["--allow-downgrade"]).exits(0));
    assert_eq!(moved["overridden"][0], "promotion-downgrade");
    let said = statement(&api, "prod/app", moved["attestation"].as_str().unwrap());
    assert_eq!(said["predicate"]["overridden"][0], "promotion-downgrade");
    assert_eq!(said["predicate"]["before"], new.digest());

    // What nobody attested may be older or newer: that is said, and refuses nothing.
    let unknown = Staged::new(&api, "prod/app", "by hand");
    assert_eq!(api.tag("prod/app", "1"), Some(unknown.digest()));
    let ran = promote(&lab, &from, &to, HEAD, &[]).exits(0);
    assert_eq!(only(&ran)["findings"][0]["code"], "promotion-age-unknown");
}

#[test]
fn a_summary_that_stands_in_hides_no_age() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let verifier = "https://verify.example.org/v1";
    let policy = format!(
        "{HEAD}[[trust]]\nkey = \"{}\"\nbuilders = []\nverifiers = [\"{verifier}\"]\n[summaries]\nmax-age = \"7d\"\n",
        By::Other.public()
    );
    let summary = json!({
        "verifier": {"id": verifier}, "timeVerified": rfc3339(reprov::host::now_s()), "resourceUri": "docker://app:1",
        "policy": {"uri": "x", "digest": {"sha256": Digest::of(policy.as_bytes()).hex()}},
        "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_1"],
    });
    for (repository, commit_s) in [("prod/app", 2000), ("staging/app", 1000)] {
        let staged = Staged::new(&api, repository, repository);
        staged.built(commit_s, 5);
        staged.attach(By::Other, SUMMARY, &summary);
    }
    let (from, to) = (api.name("staging/app"), api.name("prod/app"));
    let ran = promote(&lab, &from, &to, &policy, &[]).exits(1);
    assert_eq!(only(&ran)["images"][0]["image"]["findings"][0]["code"], "summary-used", "{ran}");
    assert_eq!(denials(&ran), ["promotion-downgrade"]);
    promote(&lab, &from, &to, &policy, &["--allow-downgrade"]).exits(0);
}

/// Promotes an image of this layer, a day later each time; its digest.
fn promoted(lab: &Lab, api: &ApiRegistry, layer: &str, day: u8) -> String {
    let staged = Staged::new(api, "staging/app", layer);
    staged.built(i64::from(day), day);
    promote(lab, &api.name("staging/app"), &api.name("prod/app"), HEAD, &[]).exits(0);
    staged.digest()
}

#[test]
fn undo_goes_back_step_by_step() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let to = api.name("prod/app");
    let ran = undo(&lab, &to, HEAD, &[]).exits(1).says("there is no tag");
    assert_eq!(denials(&ran), ["promotion-nothing-to-undo"]);
    let [one, two, three] =
        [("one", 1), ("two", 2), ("three", 3)].map(|(layer, day)| promoted(&lab, &api, layer, day));

    let dry = only(&undo(&lab, &to, HEAD, &["--dry-run"]).says("promotion-nothing-to-undo"));
    assert_eq!(dry["outcome"], "refused", "without the key nobody believes its promotions");
    let back = only(&undo(&lab, &to, HEAD, &[]).exits(0));
    assert_eq!((&back["outcome"], &back["undo"]), (&"promoted".into(), &true.into()));
    assert_eq!((&back["digest"], &back["before"]), (&two.clone().into(), &three.clone().into()));
    assert_eq!(api.tag("prod/app", "1"), Some(two.clone()));
    let said = statement(&api, "prod/app", back["attestation"].as_str().unwrap())["predicate"].clone();
    assert_eq!((&said["action"], &said["before"]), (&"undo".into(), &three.into()));

    // Not forward again: one more step back, and then there is nothing more.
    undo(&lab, &to, HEAD, &[]).exits(0);
    assert_eq!(api.tag("prod/app", "1"), Some(one.clone()));
    undo(&lab, &to, HEAD, &[]).exits(1).says("there was no tag");
    // The policy is asked there too.
    promoted(&lab, &api, "four", 4);
    let ran = undo(&lab, &to, &format!("{HEAD}[tests]\n"), &[]).exits(1);
    assert_eq!(denials(&ran), ["tests-missing"]);
    // Somebody moved it by hand: nobody knows what was meant.
    api.set_tag("prod/app", "1", &two);
    let hand = Staged::new(&api, "prod/app", "by hand").digest();
    undo(&lab, &to, HEAD, &[]).exits(1).says(&format!("names {hand}, and no trusted signer"));
    assert_eq!(api.tag("prod/app", "1"), Some(hand));
}

#[test]
fn what_is_gone_cannot_be_gone_back_to() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let [one, _] = [("one", 1), ("two", 2)].map(|(layer, day)| promoted(&lab, &api, layer, day));
    let gone = one.clone();
    let faulty = Faulty::before(&api, move |line, _| {
        if line.contains(&format!("prod/app/manifests/{gone}")) {
            let body = Value::from("gone").to_string();
            Fault::Answer("404 Not Found", String::new(), body)
        } else {
            Fault::None
        }
    });
    // Promotions name the registry by the name it was promoted under.
    let ran = undo(&lab, &faulty.name("prod/app"), HEAD, &[]).exits(1);
    assert_eq!(denials(&ran), ["promotion-nothing-to-undo"]);
    let staged = Staged::new(&api, "staging/app", "three");
    staged.built(3, 3);
    api.set_tag("prod/app", "1", &one);
    let to = faulty.name("prod/app");
    promote(&lab, &api.name("staging/app"), &to, HEAD, &[]).exits(0);
    let ran = undo(&lab, &to, HEAD, &[]).exits(1).says(&one);
    assert_eq!(denials(&ran), ["promotion-undo-gone"]);
    assert_eq!(Shelf::tag(&api, "prod/app", "1"), Some(staged.digest()));
}

/// What the ledger has of the target's tag, by `reprov history`.
fn history(lab: &Lab, to: &str, ledger: &str) -> Vec<Value> {
    let ran = lab.reprov(&["history", to, "--ledger", ledger, "--format", "json"]).exits(0);
    ran.json()["entries"].as_array().unwrap().clone()
}

#[test]
fn the_ledger_has_each_promotion_once_and_is_rebuilt_from_the_statements() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let (from, to) = (api.name("staging/app"), api.name("prod/app"));
    let [one, two] = ["one", "two"].map(|layer| {
        let staged = Staged::new(&api, "staging/app", layer);
        staged.built(1, 2);
        staged.digest()
    });
    let ledger = lab.path("ledger.sqlite");
    let noting = ["--ledger", ledger.as_str()];
    api.set_tag("staging/app", "1", &one);
    promote(&lab, &from, &to, HEAD, &["--dry-run", "--ledger", &ledger]).exits(0);
    // The first is noted late: the run that moved the tag had no ledger.
    promote(&lab, &from, &to, HEAD, &[]).exits(0);
    for _ in 0..2 {
        assert_eq!(only(&promote(&lab, &from, &to, HEAD, &noting).exits(0))["outcome"], "unchanged");
    }
    api.set_tag("staging/app", "1", &two);
    promote(&lab, &from, &to, &format!("{HEAD}[tests]\n"), &noting).exits(1);
    promote(&lab, &from, &to, HEAD, &noting).exits(0);
    undo(&lab, &to, HEAD, &noting).exits(0);
    let entries = history(&lab, &to, &ledger);
    let told: Vec<(&str, &str, &str)> = entries
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap();
            (text("kind"), text("outcome"), text("digest"))
        })
        .collect();
    let (one, two) = (one.as_str(), two.as_str());
    let expected = [
        ("promoted", "promoted", one),
        ("promoted", "refused", two),
        ("promoted", "promoted", two),
        ("undone", "promoted", one),
    ];
    assert_eq!(told, expected, "{entries:#?}");
    lab.reprov(&["ledger", "check", "--ledger", &ledger]).exits(0);

    // What was signed comes back from the registry alone.
    let again = lab.path("again.sqlite");
    let (ours, signer, store) = (By::Ours.public(), lab.path("signer.pub"), lab.path("store"));
    let args = ["ledger", "rebuild", &to, "--ledger", &again, "--trust", &ours, "--trust", &signer];
    lab.reprov(&[&args[..], &["--store", &store]].concat()).exits(0);
    let signed = |entries: Vec<Value>| -> Vec<Value> {
        let moves = entries.into_iter().filter(|entry| {
            ["promoted", "undone"].contains(&entry["kind"].as_str().unwrap()) && !entry["evidence"].is_null()
        });
        let mut moves: Vec<Value> = moves.collect();
        for entry in &mut moves {
            drop(entry.as_object_mut().unwrap().remove("number"));
        }
        moves.sort_by_key(|entry| entry["evidence"].to_string());
        moves
    };
    let (first, second) = (signed(entries), signed(history(&lab, &to, &again)));
    assert_eq!((first.len(), &first), (3, &second));
}
