//! `ledger check` and `history`, as people use them.

use reprov::{entry::Kind, ledger::Ledger};

use super::{Somewhere, entry, wait};
use crate::support::Lab;

/// A ledger in which a tag moved to another image and back.
fn moved(somewhere: &Somewhere) {
    wait(async {
        let ledger = Ledger::open(&somewhere.place).await.unwrap();
        let at = |minutes: i64| 1_800_000_000 + minutes * 60;
        let mut promoted = entry(Kind::Promoted, "promoted", "1", "b", at(3));
        promoted.before = entry(Kind::Built, "", "", "a", 0).digest;
        promoted.from = Some("registry.example.org/staging:1".to_owned());
        let mut drifts = entry(Kind::Rebuilt, "explained", "", "b", at(4));
        drifts.codes.insert("build-time".to_owned(), 3);
        for entry in [
            entry(Kind::Built, "built", "1", "a", at(0)),
            entry(Kind::Verified, "passed", "1", "a", at(1)),
            entry(Kind::Verified, "passed", "2", "c", at(2)), // Of another tag.
            promoted,
            drifts,
            entry(Kind::Undone, "promoted", "1", "a", at(5)),
        ] {
            ledger.append(&entry).await.unwrap();
        }
        ledger.close().await;
    });
}

#[test]
fn the_life_of_a_tag_and_of_an_image() {
    let lab = Lab::new();
    for somewhere in Somewhere::both() {
        moved(&somewhere);
        let at = somewhere.written();
        let told = lab.reprov(&["history", "registry.example.org/app:1", "--ledger", &at]).exits(0);
        let lines: Vec<&str> = told.out.lines().map(str::trim).collect();
        assert_eq!(lines.iter().filter(|line| line.contains("the tag names")).count(), 3, "{told}");
        assert!(lines.iter().any(|line| line.contains("build-time ×3")), "{told}");
        assert!(
            lines.iter().any(|line| line.starts_with("from registry.example.org/staging:1, before ")),
            "{told}"
        );
        let json = |more: &[&str]| {
            let args = [&["history"], more, &["--ledger", &at, "--format", "json"]].concat();
            lab.reprov(&args).exits(0).json()
        };
        let answer = json(&["registry.example.org/app:1"]);
        let numbers = |answer: &serde_json::Value| -> Vec<u64> {
            answer["entries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["number"].as_u64().unwrap())
                .collect()
        };
        assert_eq!(numbers(&answer), [1, 2, 4, 5, 6]);
        assert_eq!(answer["names"], answer["entries"][0]["digest"]);
        let of_b = format!("registry.example.org/app@{}", answer["entries"][2]["digest"].as_str().unwrap());
        assert_eq!(numbers(&json(&[&of_b])), [4, 5]);
        assert_eq!(numbers(&json(&["registry.example.org/app"])), [1, 2, 3, 4, 5, 6]);
        let later =
            json(&["registry.example.org/app:1", "--since", answer["entries"][3]["at"].as_str().unwrap()]);
        assert_eq!(numbers(&later), [5, 6], "what is about an image that the tag named before is told too");
        assert_eq!(numbers(&json(&["registry.example.org/nothing:1"])), [0_u64; 0]);
    }
}

#[test]
fn a_check_says_the_head_and_what_is_wrong() {
    let lab = Lab::new();
    for somewhere in Somewhere::both() {
        moved(&somewhere);
        let at = somewhere.written();
        let check = |more: &[&str]| {
            lab.reprov(&[&["ledger", "check", "--ledger", &at, "--format", "json"], more].concat())
        };
        let answer = check(&[]).exits(0).json();
        assert_eq!((&answer["rows"], &answer["faults_count"]), (&6.into(), &0.into()));
        let head = format!("{}:{}", answer["head"]["number"], answer["head"]["digest"].as_str().unwrap());
        let text = lab.reprov(&["ledger", "check", "--ledger", &at]).exits(0);
        assert!(
            text.out.contains(&format!("head {head}")) && text.out.contains("the chain is whole"),
            "{text}"
        );
        check(&["--head", &head]).exits(0);
        check(&["--head", "6"]).exits(2);
        wait(somewhere.meddle("DELETE FROM reprov_entries WHERE number = 6"));
        wait(somewhere.meddle("DELETE FROM reprov_newest_images; DELETE FROM reprov_newest_tags"));
        let codes = |answer: &serde_json::Value| -> Vec<String> {
            let faults = answer["faults"].as_array().unwrap().iter();
            faults.map(|fault| fault["code"].as_str().unwrap().to_owned()).collect()
        };
        let answer = check(&["--head", &head]).exits(1).json();
        assert_eq!(codes(&answer), ["ledger-truncated", "column-changed"]);
        for code in codes(&answer) {
            lab.reprov(&["explain", &code]).exits(0);
        }
    }
}

#[test]
fn a_ledger_that_is_not_there_is_not_made_by_looking() {
    let lab = Lab::new();
    let store = lab.path("store");
    for command in [&["ledger", "check"][..], &["history", "registry.example.org/app:1"]] {
        let ran = lab.reprov(&[command, &["--store", &store]].concat()).exits(2);
        assert!(ran.err.contains("there is no ledger at") && ran.err.contains("hint: "), "{ran}");
        assert!(!std::path::Path::new(&lab.path("ledger.sqlite")).exists());
    }
    let url = "postgres://reprov:sesame@127.0.0.1:1/audit";
    let ran = lab.reprov(&["history", "registry.example.org/app:1", "--ledger", url]).exits(3);
    assert!(
        ran.err.contains("cannot be reached") && !ran.to_string().replace(url, "").contains("sesame"),
        "{ran}"
    );
    let ran = lab.reprov(&["ledger", "check", "--ledger", "mysql://x:sesame@y/z"]).exits(2);
    assert!(!format!("{}{}", ran.out, ran.err).contains("sesame"), "{}", ran.err);
    assert!(ran.err.contains("is neither"), "{ran}");
}
