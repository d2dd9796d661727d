//! Summaries of commits (SLSA 1.2, source track): which of them say something of the image's source, and for what they
//! must never pass.

use reprov::model::Digest;
use serde_json::{Value, json};

use super::{
    By, Stand,
    stand::{BUILDER, BUNDLE, ENVELOPE, NOW, PROVENANCE, SUMMARY, all_codes, codes, denials},
};
use crate::support::{Ran, Sigstore};

/// Who verifies sources.
const VERIFIER: &str = "https://forge.example.org/source-verifier";
/// The commit and the repository of the honest provenance.
const COMMIT: &str = "4015b57a143aec5156fd1444a017a32137a3fd0f";
const RESOURCE: &str = "git+https://git.example.org/shop/checkout";

/// A `[[trust]]` in the verifier's key, and whatever else it says.
pub(crate) fn trust(more: &str) -> String {
    let key = By::Other.public();
    format!("[[trust]]\nkey = \"{key}\"\nbuilders = []\nverifiers = [\"{VERIFIER}\"]\n{more}\n")
}

/// A policy that asks for the source.
fn policy(source: &str) -> String {
    format!("builders = [\"{BUILDER}\"]\n{}[source]\n{source}", trust(""))
}

/// What a verifier says of the commit, as SLSA 1.2 wants it.
fn statement() -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "uri": format!("https://git.example.org/shop/checkout/commit/{COMMIT}"),
            "digest": {"gitCommit": COMMIT},
            "annotations": {"sourceRefs": ["refs/heads/release", "refs/tags/v1.4.0"]},
        }],
        "predicateType": SUMMARY,
        "predicate": {
            "verifier": {"id": VERIFIER},
            "timeVerified": "2026-01-02T00:00:00.123456789Z",
            "resourceUri": RESOURCE,
            "policy": {"uri": "https://forge.example.org/policies/checkout.json"},
            "verificationResult": "PASSED",
            "verifiedLevels": ["SLSA_SOURCE_LEVEL_3", "ORG_SOURCE_TESTED"],
            "slsaVersion": "1.2",
        },
    })
}

/// The same, changed.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut statement = statement();
    change(&mut statement);
    statement.to_string()
}

/// Attaches it; the digest of its referrer.
pub(crate) fn attach(stand: &Stand, by: By, change: impl FnOnce(&mut Value)) -> String {
    stand.attach_bytes(by, changed(change).as_bytes())
}

/// An attack: the commit instead of the image as the subject of a provenance.
pub(super) fn provenance_of_the_commit() -> Ran {
    let stand = Stand::new();
    let mut provenance = stand.statement(PROVENANCE, &stand.predicate());
    provenance["subject"] = statement()["subject"].take();
    stand.attach_bytes(By::Ours, provenance.to_string().as_bytes());
    stand.verify(&[])
}

/// An attack: the good word of a trusted verifier for another commit.
pub(super) fn summary_of_another_commit() -> Ran {
    let stand = Stand::new();
    stand.honest();
    attach(&stand, By::Other, |it| it["subject"][0]["digest"]["gitCommit"] = "7".repeat(40).into());
    stand.by_policy(&policy(""), &[])
}

/// An attack: the good word for this commit in somebody's copy of the repository.
pub(super) fn summary_of_another_repository() -> Ran {
    let stand = Stand::new();
    stand.honest();
    attach(&stand, By::Other, |it| {
        it["predicate"]["resourceUri"] = "git+https://git.example.org/eve/checkout".into();
    });
    stand.by_policy(&policy(""), &[])
}

/// The facts of the image's answer by this name: value and status.
fn vouched(ran: &Ran) -> Vec<(String, String)> {
    let facts = ran.json()["images"][0]["facts"].take();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ours = facts.as_array().unwrap().iter().filter(|fact| fact["name"] == "source VSA");
    ours.map(|fact| (text(&fact["value"]), text(&fact["status"]))).collect()
}

#[test]
fn a_verifiers_word_for_the_commit_is_enough() {
    let stand = Stand::new();
    let provenance = stand.honest();
    let referrer = attach(&stand, By::Other, |_| {});
    let ran = stand.by_policy(&policy("level = 3\nmax-age = \"2d\"\nrefs = [\"refs/tags/*\"]"), &[]).exits(0);
    assert_eq!(vouched(&ran), [(format!("SLSA source level 3, by {VERIFIER}"), "checked".to_owned())]);
    let answer = ran.json();
    let lines = answer["images"][0]["attestations"].as_array().unwrap();
    for digest in [&provenance, &referrer] {
        let line = lines.iter().find(|line| line["digest"] == **digest).unwrap();
        assert_eq!(line["verified"], true, "{answer:#}");
    }
    assert_eq!(all_codes(&ran), [""; 0]);
    stand
        .by_policy(&policy(""), &["--format", "text"])
        .exits(0)
        .says("source VSA  SLSA source level 3, by https");
}

#[test]
fn wherever_it_lies_beside_the_image_and_whatever_its_tool_calls_its_refs() {
    let envelope = |text: &str| By::Other.envelope(text.as_bytes()).to_string().into_bytes();
    let old = changed(|it| {
        it["subject"][0] =
            json!({"digest": {"gitCommit": COMMIT}, "annotations": {"source_refs": ["refs/heads/main"]}});
    });
    let referrer = Stand::new();
    referrer.attach_blob(ENVELOPE, &envelope(&old));
    let legacy = Stand::new();
    legacy.legacy(&[envelope(&old)]);
    for stand in [referrer, legacy] {
        stand.honest();
        stand.by_policy(&policy("refs = [\"refs/heads/main\"]"), &[]).exits(0);
        let ran = stand.by_policy(&policy("refs = [\"refs/heads/release\"]"), &[]).exits(1);
        assert_eq!(denials(&ran), ["source-ref-not-allowed"]);
    }
}

/// in-toto lets one thing be a subject more than once, here for each of its names.
#[test]
fn one_commit_may_stand_there_for_each_of_its_branches_and_tags() {
    let stand = Stand::new();
    stand.honest();
    attach(&stand, By::Other, |it| {
        let names = ["refs/heads/main", "refs/tags/v1.4.0"];
        let subject = |name| json!({"digest": {"gitCommit": COMMIT}, "annotations": {"sourceRefs": [name]}});
        it["subject"] = names.map(subject).to_vec().into();
    });
    for fits in ["refs/heads/main", "refs/tags/*"] {
        stand.by_policy(&policy(&format!("refs = [\"{fits}\"]")), &[]).exits(0);
    }
    let ran = stand.by_policy(&policy("refs = [\"refs/heads/release\"]"), &[]).exits(1);
    assert_eq!(denials(&ran), ["source-ref-not-allowed"]);
}

#[test]
fn one_repository_has_several_names() {
    for same in ["https://git.example.org/shop/checkout.git", "git+ssh://git@GIT.example.org/shop/checkout/"]
    {
        let stand = Stand::new();
        stand.honest();
        attach(&stand, By::Other, |it| it["predicate"]["resourceUri"] = same.into());
        stand.by_policy(&policy("level = 3"), &[]).exits(0);
    }
}

#[test]
fn a_policy_that_does_not_ask_is_told_and_makes_no_more_requests() {
    let stand = Stand::new();
    stand.honest();
    attach(&stand, By::Other, |_| {});
    attach(&stand, By::Other, |it| it["predicate"]["verificationResult"] = "FAILED".into());
    let silent = format!("builders = [\"{BUILDER}\"]\n{}", trust(""));
    stand.registry.forget_requests();
    let ran = stand.by_policy(&silent, &[]).exits(0);
    let requests = stand.registry.requests(super::stand::REPOSITORY).len();
    assert_eq!(vouched(&ran), [(format!("SLSA source level 3, by {VERIFIER}"), "claimed".to_owned())]);
    assert_eq!(all_codes(&ran), [""; 0]);
    stand.registry.forget_requests();
    stand.by_policy(&policy(""), &[]).exits(0);
    assert_eq!(stand.registry.requests(super::stand::REPOSITORY).len(), requests);
    // Nobody else's policy hears of it but as of something that is about something else.
    let ran = stand.verify(&["--trust", &By::Ours.public()]).exits(0);
    assert_eq!(vouched(&ran), []);
}

/// What is changed of the summary, and what the answer says of it.
type Change = fn(&mut Value);
const UNATTESTED: &[(&str, &str, Change)] = &[
    ("another commit", "is about another commit (7777777777", |it| {
        it["subject"][0]["digest"]["gitCommit"] = "7".repeat(40).into();
    }),
    ("an id of SHA-256 that begins alike", "is about another commit (4015b57a143aec51", |it| {
        it["subject"][0]["digest"]["gitCommit"] = format!("{COMMIT}{}", "0".repeat(24)).into();
    }),
    ("half an id", "is not believed: no subject has", |it| {
        it["subject"][0]["digest"]["gitCommit"] = COMMIT[..20].into();
    }),
    ("an id in capitals", "is not believed: no subject has", |it| {
        it["subject"][0]["digest"]["gitCommit"] = COMMIT.to_uppercase().into();
    }),
    ("another repository", "is about it in `git+https://git.example.org/eve/checkout`", |it| {
        it["predicate"]["resourceUri"] = "git+https://git.example.org/eve/checkout".into();
    }),
    ("a host that begins alike", "is about it in `git+https://git.example.org.evil", |it| {
        it["predicate"]["resourceUri"] = "git+https://git.example.org.evil.example/shop/checkout".into();
    }),
    ("the tree's id", "is not believed: no subject has", |it| {
        it["subject"][0]["digest"] = json!({"gitTree": COMMIT});
    }),
    ("an id by the uri alone", "is not believed: subject 0: no `digest`", |it| {
        it["subject"][0]["digest"] = json!({});
    }),
    ("a commit and a file in one", "is not believed: it is about", |it| {
        it["subject"][0]["digest"]["sha256"] = "7".repeat(64).into();
    }),
    ("a commit beside a file", "is not believed: it is about", |it| {
        it["subject"].as_array_mut().unwrap().push(json!({"digest": {"sha256": "7".repeat(64)}}));
    }),
    ("two ids of one commit", "is not believed: no subject has", |it| {
        it["subject"][0]["digest"]["sha1"] = "7".repeat(40).into();
    }),
    ("another verifier", "may not speak for the verifier", |it| {
        it["predicate"]["verifier"]["id"] = "https://forge.example.org/source-verifier/x".into();
    }),
    ("two levels of one track", "is not believed: `verifiedLevels`", |it| {
        it["predicate"]["verifiedLevels"] = json!(["SLSA_SOURCE_LEVEL_1", "SLSA_SOURCE_LEVEL_3"]);
    }),
    ("no repository", "is not believed: summary is not of its shape", |it| {
        drop(it["predicate"].as_object_mut().unwrap().remove("resourceUri"));
    }),
];

#[test]
fn what_is_not_about_this_commit_of_this_repository_says_nothing_of_it() {
    for (what, said, change) in UNATTESTED {
        let stand = Stand::new();
        stand.honest();
        attach(&stand, By::Other, change);
        let ran = stand.by_policy(&policy(""), &[]).exits(1);
        assert_eq!(denials(&ran), ["source-unattested"], "{what}: {ran}");
        let found = ran.json()["images"][0]["findings"][0].take();
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(said), "{what}: {message}");
        assert!(message.contains(COMMIT) && found["remedy"].as_str().unwrap().contains("verifiers"));
        assert_eq!(vouched(&ran), [], "{what}");
        // Nor is it anything else: a policy that asks for summaries of the image has none.
        let kinds = format!("predicates = [\"{PROVENANCE}\", \"{SUMMARY}\"]\n{}", policy(""));
        let ran = stand.by_policy(&kinds, &[]).exits(1);
        assert!(denials(&ran).contains(&"predicate-missing".to_owned()), "{what}: {ran}");
    }
}

#[test]
fn a_stranger_or_whoever_may_not_vouches_for_no_commit() {
    let stand = Stand::new();
    stand.honest();
    stand.attach_blob(BUNDLE, By::Stranger.bundle(statement().to_string().as_bytes()).to_string().as_bytes());
    attach(&stand, By::Ours, |_| {}); // May speak for the builder, not for the verifier.
    let ran = stand.by_policy(&policy(""), &[]).exits(1);
    assert_eq!(denials(&ran), ["source-unattested"]);
    for code in ["signature-invalid", "verifier-not-allowed"] {
        assert!(all_codes(&ran).contains(&code.to_owned()), "{code}: {ran}");
    }
    let narrow = policy("").replace("builders = []", "builders = []\npredicates = [\"https://spdx.dev/*\"]");
    attach(&stand, By::Other, |_| {});
    let ran = stand.by_policy(&narrow, &[]).exits(1);
    assert!(all_codes(&ran).contains(&"predicate-not-allowed".to_owned()), "{ran}");
    stand.by_policy(&policy(""), &[]).exits(0);
}

#[test]
fn keys_that_stand_twice_say_nothing() {
    let stand = Stand::new();
    stand.honest();
    let own = format!("\"gitCommit\":\"{COMMIT}\"");
    let twice = statement().to_string().replace(&own, &format!("\"gitCommit\":\"{}\",{own}", "7".repeat(40)));
    stand.attach_bytes(By::Other, twice.as_bytes());
    let ran = stand.by_policy(&policy(""), &[]).exits(1);
    assert_eq!(denials(&ran), ["source-unattested"]);
    assert!(all_codes(&ran).contains(&"json-duplicate-key".to_owned()), "{ran}");
}

#[test]
fn only_a_summary_may_be_about_a_commit() {
    let ran = provenance_of_the_commit().exits(1);
    assert_eq!(denials(&ran), ["predicate-missing", "subject-mismatch"]);
    let stand = Stand::new();
    // Of the image without a provenance nobody knows the commit.
    attach(&stand, By::Other, |_| {});
    let ran = stand.by_policy(&policy(""), &[]).exits(1);
    assert!(denials(&ran).contains(&"predicate-missing".to_owned()), "{ran}");
    assert_eq!(vouched(&ran), []);
}

#[test]
fn levels_of_the_source_in_a_summary_of_the_image_are_none() {
    let stand = Stand::new();
    stand.honest();
    attach(&stand, By::Other, |it| it["subject"] = stand.subject());
    // Nor is one a summary of the image that stands in for judging.
    attach(&stand, By::Other, |it| it["predicate"]["verifiedLevels"] = json!(["SLSA_BUILD_LEVEL_3"]));
    let ran = stand.by_policy(&policy(""), &[]).exits(1);
    assert_eq!(denials(&ran), ["source-level-low"], "{ran}");
    assert_eq!(vouched(&ran), []);
    let only = Stand::new();
    only.honest();
    attach(&only, By::Other, |it| it["subject"] = only.subject());
    let ran = only.by_policy(&policy(""), &[]).exits(1);
    assert_eq!(denials(&ran), ["source-unattested"]);
    ran.says("is about the image");
}

#[test]
fn a_summary_of_a_commit_stands_in_for_nothing() {
    let stand = Stand::new();
    let text = format!("{}\n[summaries]\nmax-age = \"7d\"\n", policy(""));
    attach(&stand, By::Other, |it| {
        it["predicate"]["policy"]["digest"] = json!({"sha256": Digest::of(text.as_bytes()).hex()});
        it["predicate"]["verifiedLevels"] = json!(["SLSA_BUILD_LEVEL_3", "SLSA_SOURCE_LEVEL_3"]);
    });
    let ran = stand.by_policy(&text, &[]).exits(1);
    assert_eq!(ran.json()["images"][0]["summary"], Value::Null, "{ran}");
}

/// Whoever may speak for a verifier may verify images too, unless the policy says that its word is good for no build level.
#[test]
fn who_is_granted_no_build_level_stands_in_for_no_judging() {
    for (level, code) in [(1, 0), (0, 1)] {
        let stand = Stand::new();
        let trust = trust(&format!("level = {level}"));
        let text = format!("builders = [\"{BUILDER}\"]\n{trust}[source]\n[summaries]\nmax-age = \"7d\"\n");
        attach(&stand, By::Other, |it| {
            it["subject"] = stand.subject();
            it["predicate"]["policy"]["digest"] = json!({"sha256": Digest::of(text.as_bytes()).hex()});
            it["predicate"]["verifiedLevels"] = json!(["SLSA_BUILD_LEVEL_3"]);
        });
        let ran = stand.by_policy(&text, &[]).exits(code);
        assert_eq!(ran.json()["images"][0]["summary"].is_string(), code == 0, "{ran}");
        assert_eq!(all_codes(&ran).contains(&"summary-level".to_owned()), code == 1, "{ran}");
    }
}

#[test]
fn a_signer_vouches_for_no_more_than_it_is_granted() {
    let stand = Stand::new();
    stand.honest();
    attach(&stand, By::Other, |_| {});
    let granted = |level: u8, wanted: u8| {
        let only = format!("level = 0\npredicates = [\"{SUMMARY}\"]"); // As docs/verification.md has it.
        let trust = trust(&format!("source-level = {level}\n{only}"));
        stand.by_policy(&format!("builders = [\"{BUILDER}\"]\n{trust}[source]\nlevel = {wanted}"), &[])
    };
    let ran = granted(2, 3).exits(1);
    assert_eq!(denials(&ran), ["source-level-low"]);
    ran.says("the policy grants its signer no more");
    let ran = granted(2, 2).exits(0);
    assert_eq!(vouched(&ran)[0].0, format!("SLSA source level 2, by {VERIFIER}"));
    granted(3, 3).exits(0);
}

#[test]
fn of_several_words_one_that_will_do_is_enough_and_a_no_is_told() {
    let stand = Stand::new();
    stand.honest();
    attach(&stand, By::Other, |it| it["predicate"]["verifiedLevels"] = json!(["SLSA_SOURCE_LEVEL_1"]));
    attach(&stand, By::Other, |it| it["predicate"]["timeVerified"] = "2025-01-01T00:00:00Z".into());
    attach(&stand, By::Other, |it| it["predicate"]["verificationResult"] = "FAILED".into());
    let strict = policy("level = 3\nmax-age = \"2d\"");
    let found = denials(&stand.by_policy(&strict, &[]).exits(1));
    let mut sorted = found.clone();
    sorted.sort();
    assert_eq!(sorted, ["source-failed", "source-level-low", "source-stale"]);
    attach(&stand, By::Other, |_| {});
    let ran = stand.by_policy(&strict, &[]).exits(0);
    assert_eq!(codes(&ran, |finding| finding["severity"] == "warn"), ["source-failed"]);
    assert_eq!(vouched(&ran)[0].0, format!("SLSA source level 3, by {VERIFIER}"));
}

#[test]
fn what_no_commit_has_no_commit_vouches_for() {
    for (code, change) in [
        ("source-dirty", (|it| it["externalParameters"]["source"]["dirty"] = true.into()) as Change),
        ("source-missing", |it| {
            it["resolvedDependencies"]
                .as_array_mut()
                .unwrap()
                .retain(|one| one["digest"]["gitCommit"].is_null());
        }),
    ] {
        let stand = Stand::new();
        let mut predicate = stand.predicate();
        change(&mut predicate["buildDefinition"]);
        stand.attach(By::Ours, PROVENANCE, &predicate);
        attach(&stand, By::Other, |_| {});
        let ran = stand.by_policy(&policy(""), &[]).exits(1);
        assert_eq!(denials(&ran), [code]);
        assert_eq!(vouched(&ran), []);
    }
}

#[test]
fn a_lack_is_put_off_or_waived_like_any_other() {
    let stand = Stand::new();
    stand.honest();
    let put_off = "[[rule]]\ncode = \"source-unattested\"\neffective-on = \"2027-01-01\"\n";
    let ran = stand.by_policy(&policy(&format!("level = 2\n{put_off}")), &[]).exits(0);
    assert_eq!(codes(&ran, |finding| finding["severity"] == "warn"), ["source-unattested"]);
    let waiver = "[[waiver]]\ncode = \"source-unattested\"\nowner = \"ops\"\nreason = \"soon\"\nuntil = \"2026-12-31\"\n";
    stand.by_policy(&policy(&format!("level = 2\n{waiver}")), &[]).exits(0);
}

/// Verifiers of sources sign as identities, too: no file has the digest of a commit, so what the log knows must be the
/// signature over the frame.
#[test]
fn an_identity_vouches_for_a_commit() {
    const IDENTITY: &str = "https://forge.example.org/verify/.github/workflows/source.yml@refs/heads/main";
    const ISSUER: &str = "https://token.example.org";
    let sigstore = Sigstore::new();
    let text = format!(
        "trusted-root = \"root.json\"\nbuilders = [\"{BUILDER}\"]\n[[trust]]\nidentity = \"{IDENTITY}\"\n\
         issuer = \"{ISSUER}\"\nbuilders = []\nverifiers = [\"{VERIFIER}\"]\n[source]\nlevel = 3\n"
    );
    let judged = |bundle: &Value| {
        let stand = Stand::new();
        stand.honest();
        stand.attach_blob(BUNDLE, bundle.to_string().as_bytes());
        std::fs::write(stand.lab.path("root.json"), sigstore.trusted_root().to_string()).unwrap();
        stand.by_policy(&text, &["--as-of", NOW])
    };
    let payload = statement().to_string();
    judged(&sigstore.bundle_as_file(IDENTITY, ISSUER, payload.as_bytes())).exits(0);
    let other = "https://forge.example.org/eve/.github/workflows/source.yml@refs/heads/main";
    let ran = judged(&sigstore.bundle_as_file(other, ISSUER, payload.as_bytes())).exits(1);
    assert!(all_codes(&ran).contains(&"certificate-untrusted".to_owned()), "{ran}");
    let mut spoilt = sigstore.bundle_as_file(IDENTITY, ISSUER, payload.as_bytes());
    let forged = sigstore.bundle_as_file(other, ISSUER, changed(|it| it["subject"] = json!([])).as_bytes());
    spoilt["dsseEnvelope"]["payload"] = forged["dsseEnvelope"]["payload"].clone();
    assert_eq!(denials(&judged(&spoilt).exits(1)), ["source-unattested"]);
    let ran = judged(&sigstore.bundle(IDENTITY, ISSUER, payload.as_bytes())).exits(1);
    ran.says("its log entry is of kind dsse 0.0.1");
}
