//! Summaries (VSA): written as SLSA 1.2 has them, and standing in for verifying again.

use serde_json::{Value, json};

use super::{
    By, Stand, sources,
    stand::{BUILDER, PROVENANCE, REPOSITORY, SUMMARY, all_codes, denials},
};

const VERIFIER: &str = "https://verify.example.org/v1";

fn policy(more: &str) -> String {
    format!(
        "builders = [\"{BUILDER}\"]\n[[trust]]\nkey = \"{}\"\nbuilders = []\nverifiers = [\"{VERIFIER}\"]\nlevel = 2\n\
         [summaries]\nmax-age = \"7d\"\n{more}",
        By::Other.public()
    )
}

/// A private key file of the other signer, closed to others.
fn key(stand: &Stand) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = stand.lab.path("verifier.key");
    std::fs::copy(crate::support::fixtures("interop/keys/TEST-ONLY-ed25519.pem"), &path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Verifies now, and has a summary attached; the answer.
fn summarised(stand: &Stand, text: &str, code: i32) -> Value {
    let path = stand.lab.path("policy.toml");
    std::fs::write(&path, text).unwrap();
    let (store, trusted, key) = (stand.lab.path("store"), By::Ours.public(), key(stand));
    let args = [
        "verify",
        &stand.name(),
        "--store",
        &store,
        "--trust",
        &trusted,
        "--policy",
        &path,
        "--key",
        &key,
        "--verifier-id",
        VERIFIER,
        "--format",
        "json",
    ];
    stand.lab.reprov(&args).exits(code).json()
}

/// What a registry still has when only summaries were copied there.
fn only(stand: &Stand, summaries: &[Value]) -> Stand {
    let other = Stand::new();
    assert_eq!(other.image, stand.image);
    for summary in summaries {
        other.attach(By::Other, SUMMARY, summary);
    }
    other
}

/// The predicate of the summary that was attached.
fn attached(stand: &Stand, answer: &Value) -> Value {
    let digest = answer["images"][0]["attestation"].as_str().unwrap();
    let manifest: Value =
        serde_json::from_slice(&stand.registry.manifest(REPOSITORY, digest).unwrap().1).unwrap();
    let bundle = stand.registry.blob(manifest["layers"][0]["digest"].as_str().unwrap()).unwrap();
    let bundle = reprov::attest::Bundle::parse(&bundle).unwrap();
    bundle.envelope.statement().unwrap().predicate
}

#[test]
fn a_summary_has_the_fields_of_slsa_1_2_and_stands_in() {
    let stand = Stand::new();
    let referrer = stand.honest();
    let text = policy("");
    let answer = summarised(&stand, &text, 0);
    let summary = attached(&stand, &answer);
    let digest = reprov::model::Digest::of(text.as_bytes()).hex();
    let hex = referrer.strip_prefix("sha256:").unwrap();
    assert_eq!(summary["verifier"]["id"], VERIFIER);
    assert_eq!(summary["policy"]["digest"]["sha256"], digest);
    assert_eq!(summary["inputAttestations"][0]["digest"]["sha256"], hex);
    assert_eq!(summary["inputAttestations"].as_array().unwrap().len(), 1);
    assert_eq!((&summary["verificationResult"], &summary["slsaVersion"]), (&json!("PASSED"), &json!("1.2")));
    assert_eq!(summary["verifiedLevels"], json!(["SLSA_BUILD_LEVEL_1"]));
    assert_eq!(summary["resourceUri"], format!("docker://{}", stand.name()));
    assert!(summary["timeVerified"].is_string() && summary["dependencyLevels"].is_null());

    let other = only(&stand, std::slice::from_ref(&summary));
    let ran = other.by_policy(&text, &["--as-of", summary["timeVerified"].as_str().unwrap()]).exits(0);
    assert_eq!(ran.json()["images"][0]["summary"], ran.json()["images"][0]["attestations"][0]["digest"]);
    assert_eq!(all_codes(&ran), ["summary-used"]);
}

#[test]
fn a_summary_rests_on_what_was_said_of_the_commit_and_takes_no_level_from_it() {
    let stand = Stand::new();
    stand.honest();
    let of_commit = sources::attach(&stand, By::Other, |_| {});
    let inputs = |source: &str| {
        let text = format!("builders = [\"{BUILDER}\"]\n{}{source}", sources::trust(""));
        let summary = attached(&stand, &summarised(&stand, &text, 0));
        assert_eq!(summary["verifiedLevels"], json!(["SLSA_BUILD_LEVEL_1"]));
        summary["inputAttestations"].to_string()
    };
    let hex = of_commit.strip_prefix("sha256:").unwrap();
    assert!(inputs("[source]\nlevel = 3\n").contains(hex));
    assert!(!inputs("").contains(hex), "nobody asked");
}

fn summary() -> Value {
    json!({"verifier": {"id": VERIFIER}, "timeVerified": "2026-01-02T00:00:00Z", "resourceUri": "docker://r.example.org/app:1",
        "policy": {"uri": "x", "digest": {"sha256": reprov::model::Digest::of(policy("").as_bytes()).hex()}},
        "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_2"], "slsaVersion": "1.2"})
}

/// What is changed, and the word that comes of it.
type Change = fn(&mut Value);
const REFUSED: &[(&str, Change)] = &[
    ("summary-stale", |it| it["timeVerified"] = "2025-12-20T00:00:00Z".into()),
    ("summary-stale", |it| it["timeVerified"] = "2026-12-20T00:00:00Z".into()),
    ("summary-stale", |it| it["timeVerified"] = Value::Null),
    ("summary-policy", |it| it["policy"]["digest"]["sha256"] = "7".repeat(64).into()),
    ("summary-policy", |it| it["policy"] = json!({"uri": "x"})),
    ("summary-failed", |it| it["verificationResult"] = "FAILED".into()),
    ("summary-failed", |it| it["verifiedLevels"] = json!(["FAILED"])),
    ("verifier-not-allowed", |it| it["verifier"]["id"] = "https://verify.example.org/v2".into()),
    ("summary-malformed", |it| it["verificationResult"] = "passed".into()),
    ("summary-malformed", |it| it["verifiedLevels"] = json!(["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_3"])),
    ("summary-malformed", |it| drop(it.as_object_mut().unwrap().remove("resourceUri"))),
];

#[test]
fn a_summary_that_will_not_do_stands_in_for_nothing() {
    let good = Stand::new();
    good.attach(By::Other, SUMMARY, &summary());
    good.by_policy(&policy(""), &[]).exits(0);
    for (code, change) in REFUSED {
        let stand = Stand::new();
        let mut changed = summary();
        change(&mut changed);
        stand.attach(By::Other, SUMMARY, &changed);
        let ran = stand.by_policy(&policy(""), &[]).exits(1);
        assert!(all_codes(&ran).contains(&(*code).to_owned()), "{code}: {ran}");
        // The image itself may still be good.
        stand.honest();
        stand.by_policy(&policy(""), &[]).exits(0);
    }
}

#[test]
fn a_summary_of_another_subject_or_signer_is_not_believed() {
    let stand = Stand::new();
    let text = stand.statement(SUMMARY, &summary()).to_string();
    stand.attach_bytes(
        By::Other,
        text.replace(stand.image.strip_prefix("sha256:").unwrap(), &"7".repeat(64)).as_bytes(),
    );
    stand.attach(By::Stranger, SUMMARY, &summary());
    stand.attach(By::Ours, SUMMARY, &summary());
    let ran = stand.by_policy(&policy(""), &[]).exits(1);
    for code in ["subject-mismatch", "signature-invalid", "verifier-not-allowed"] {
        assert!(denials(&ran).contains(&code.to_owned()), "{code}: {ran}");
    }
}

#[test]
fn a_summary_vouches_for_no_more_than_its_signer_is_granted() {
    let stand = Stand::new();
    let mut text = policy("");
    text.insert_str(0, "least-level = 3\n");
    let mut high = summary();
    high["verifiedLevels"] = json!(["SLSA_BUILD_LEVEL_3"]);
    high["policy"]["digest"]["sha256"] = reprov::model::Digest::of(text.as_bytes()).hex().into();
    stand.attach(By::Other, SUMMARY, &high);
    let ran = stand.by_policy(&text, &[]).exits(1);
    assert!(all_codes(&ran).contains(&"summary-level".to_owned()), "{ran}");
}

#[test]
fn a_refused_image_gets_a_summary_that_says_so() {
    let stand = Stand::new();
    stand.attach(By::Stranger, PROVENANCE, &stand.predicate());
    let answer = summarised(&stand, &policy(""), 1);
    let summary = attached(&stand, &answer);
    assert_eq!(
        (&summary["verificationResult"], &summary["verifiedLevels"]),
        (&json!("FAILED"), &json!(["FAILED"]))
    );
}

#[test]
fn a_summary_without_a_policy_or_of_the_past_is_not_written() {
    let stand = Stand::new();
    let key = key(&stand);
    stand.lab.reprov(&["verify", &stand.name(), "--trust", &By::Ours.public(), "--key", &key]).exits(2);
    stand.verify(&["--policy", "slsa-l1", "--key", &key]).exits(2);
}

#[test]
fn a_summary_that_stood_in_is_not_renewed() {
    let stand = Stand::new();
    stand.honest();
    let first = summarised(&stand, &policy(""), 0);
    assert!(first["images"][0]["attestation"].is_string(), "{first:#}");
    let again = summarised(&stand, &policy(""), 0);
    assert_eq!(again["images"][0]["attestation"], Value::Null, "{again:#}");
}
