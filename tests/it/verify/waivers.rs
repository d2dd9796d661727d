//! What a policy puts off, tones down and puts up with; and judging the past.

use super::{
    By, Stand,
    stand::{PROVENANCE, all_codes, codes, denials},
};

const HEAD: &str = "builders = [\"https://ci.example.org/reprov@v1\"]\n";

/// The policy asks for a list of contents, which is not there; a waiver of that with these dates.
fn waived(dates: &str) -> String {
    format!(
        "{HEAD}[sbom]\n[[waiver]]\ncode = \"sbom-missing\"\nowner = \"ops@example.org\"\nreason = \"the tool comes in spring\"\n{dates}\n"
    )
}

/// Which of the words about waivers there are, and whether the image passes.
#[track_caller]
fn state(stand: &Stand, dates: &str, as_of: &str) -> (bool, Vec<String>) {
    let ran = stand.by_policy(&waived(dates), &["--as-of", as_of]);
    let told = all_codes(&ran).into_iter().filter(|code| code.starts_with("waiver-")).collect();
    (ran.code == Some(0), told)
}

#[test]
fn each_state_of_a_waiver() {
    let stand = Stand::new();
    stand.honest();
    let check = |dates, as_of, passes: bool, told: &[&str]| {
        let told: Vec<String> = told.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(state(&stand, dates, as_of), (passes, told), "{dates} {as_of}");
    };
    check("until = \"2027-06-30\"", "2026-01-03T00:00:00Z", true, &[]);
    check("until = \"2026-01-20\"", "2026-01-03T00:00:00Z", true, &["waiver-expiring"]);
    check("until = \"2026-01-03\"", "2026-01-03T23:59:59Z", true, &["waiver-expiring"]);
    check("until = \"2026-01-03\"", "2026-01-04T00:00:00Z", false, &["waiver-expired"]);
    check(
        "from = \"2026-01-04\"\nuntil = \"2027-01-01\"",
        "2026-01-03T00:00:00Z",
        false,
        &["waiver-pending"],
    );
    check("from = \"2026-01-04\"\nuntil = \"2027-01-01\"", "2026-01-04T00:00:00Z", true, &[]);
    check("image = \"sha256:0000\"\nuntil = \"2027-01-01\"", "2026-01-03T00:00:00Z", false, &[]);
    check(
        "about = \"something else\"\nuntil = \"2027-01-01\"",
        "2026-01-03T00:00:00Z",
        false,
        &["waiver-unused"],
    );
    check(&format!("image = \"{}\"\nuntil = \"2027-01-01\"", stand.image), "2026-01-03T00:00:00Z", true, &[]);
    for without in ["owner", "reason", "until", "code"] {
        let text: String = waived("until = \"2027-01-01\"")
            .lines()
            .filter(|line| !line.starts_with(without))
            .map(|line| format!("{line}\n"))
            .collect();
        stand.by_policy(&text, &[]).exits(2).says(&format!("[[waiver]] 1 has no `{without}`"));
    }
}

#[test]
fn a_waived_finding_is_told_with_its_owner() {
    let stand = Stand::new();
    stand.honest();
    let ran = stand.by_policy(&waived("until = \"2027-06-30\""), &[]).exits(0);
    assert_eq!(codes(&ran, |one| one["waived_by"] == "ops@example.org"), ["sbom-missing"]);
    stand
        .by_policy(&waived("until = \"2027-06-30\""), &["--format", "text"])
        .exits(0)
        .says("(waived by ops@example.org)");
}

#[test]
fn no_waiver_makes_a_stranger_trusted() {
    let stand = Stand::new();
    stand.attach(By::Stranger, PROVENANCE, &stand.predicate());
    for code in ["signer-untrusted", "signature-invalid", "evidence-unread", "no-policy"] {
        let text = waived("until = \"2027-01-01\"").replace("sbom-missing", code);
        stand.by_policy(&text, &[]).exits(2).says("no finding that a policy may change");
    }
}

#[test]
fn a_rule_that_holds_later_warns_until_then() {
    let stand = Stand::new();
    stand.honest();
    let policy = format!("{HEAD}[sbom]\n[[rule]]\ncode = \"sbom-missing\"\neffective-on = \"2026-02-01\"\n");
    let ran = stand.by_policy(&policy, &["--as-of", "2026-01-31T23:59:59Z"]).exits(0);
    assert_eq!(codes(&ran, |one| one["severity"] == "warn"), ["sbom-missing"]);
    let ran = stand.by_policy(&policy, &["--as-of", "2026-02-01T00:00:00Z"]).exits(1);
    assert_eq!(denials(&ran), ["sbom-missing"]);
    let toned = format!("{HEAD}[sbom]\n[[rule]]\ncode = \"sbom-missing\"\nseverity = \"warn\"\n");
    stand.by_policy(&toned, &[]).exits(0);
}

#[test]
fn yesterday_is_judged_as_yesterday() {
    let stand = Stand::new();
    stand.honest();
    let policy = format!("{HEAD}max-age = \"2d\"");
    stand.by_policy(&policy, &["--as-of", "2026-01-04T04:00:00Z"]).exits(0);
    let ran = stand.by_policy(&policy, &["--as-of", "2026-01-05T00:00:00Z"]).exits(1);
    assert_eq!(denials(&ran), ["stale"]);
    let answer = stand.by_policy(&policy, &["--as-of", "2026-01-04T04:00:00Z"]).exits(0).json();
    assert_eq!(answer["as_of"], "2026-01-04T04:00:00Z");
    stand.verify(&["--as-of", "yesterday"]).exits(2);
}

#[test]
fn what_is_waived_for_one_is_not_for_another() {
    let stand = Stand::new();
    stand.honest();
    let result =
        serde_json::json!({"result": "FAILED", "configuration": [], "failedTests": ["flaky", "auth"]});
    stand.attach(By::Ours, "https://in-toto.io/attestation/test-result/v0.1", &result);
    let waiver = |about: &str| {
        format!(
            "[[waiver]]\ncode = \"tests-failed\"\nabout = \"{about}\"\nowner = \"ops\"\nreason = \"known\"\nuntil = \"2027-06-30\"\n"
        )
    };
    let one = format!("{HEAD}[tests]\n{}", waiver("flaky"));
    let ran = stand.by_policy(&one, &[]).exits(1);
    assert_eq!(denials(&ran), ["tests-failed"], "{ran}");
    stand.by_policy(&(one + &waiver("auth")), &[]).exits(0);
}

#[test]
fn a_stranger_undoes_no_waiver() {
    let stand = Stand::new();
    stand.honest();
    let waived = format!(
        "predicates = [\"{PROVENANCE}\", \"https://x.example/v1\"]\n{HEAD}[[waiver]]\ncode = \"predicate-missing\"\nowner = \"ops\"\nreason = \"soon\"\nuntil = \"2027-06-30\"\n"
    );
    stand.by_policy(&waived, &[]).exits(0);
    stand.attach(By::Stranger, "https://x.example/v1", &serde_json::json!({"a": 1}));
    let ran = stand.by_policy(&waived, &[]).exits(0);
    assert!(all_codes(&ran).contains(&"signature-invalid".to_owned()), "{ran}");
}
