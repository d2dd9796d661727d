//! What must pass: ours, the world's, and ours among anything.

use serde_json::{Value, json};

use super::{
    By, Stand,
    stand::{self, BUILDER, BUNDLE, PROVENANCE, REPOSITORY, all_codes, denials},
};
use crate::support::{Fault, Faulty, Settings};

#[track_caller]
fn passes(stand: &Stand, more: &[&str]) -> Value {
    let ran = stand.verify(more).exits(0);
    let answer = ran.json();
    assert_eq!(answer["images"][0]["verdict"], "passed", "{ran}");
    answer
}

#[test]
fn a_signed_provenance_passes_and_says_that_no_policy_was_applied() {
    let stand = Stand::new();
    let referrer = stand.honest();
    let answer = passes(&stand, &[]);
    let image = &answer["images"][0];
    assert_eq!(image["image"], format!("{}@{}", stand.name(), stand.image));
    assert_eq!((&image["judged"], &image["level"]), (&json!("manifest"), &json!(1)));
    let codes: Vec<&Value> = image["findings"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["no-policy"]);
    let attestation = &image["attestations"][0];
    assert_eq!((&attestation["digest"], &attestation["verified"]), (&json!(referrer), &json!(true)));
    assert_eq!(attestation["predicate_type"], PROVENANCE);
    let claimed = image["facts"].as_array().unwrap().iter().all(|fact| fact["status"] == "claimed");
    assert!(claimed, "{image:#}");
    stand.verify(&["--format", "text"]).exits(0).says("(claimed)").says("no policy was applied");
}

#[test]
fn the_starters_pass() {
    let stand = Stand::new();
    stand.honest();
    for name in ["slsa-l1", "slsa-l2", "slsa-l3", "release"] {
        let answer = passes(&stand, &["--policy", name]);
        assert_eq!(answer["policy"]["name"], name);
    }
}

#[test]
fn few_requests_are_made() {
    let stand = Stand::new();
    stand.honest();
    for _ in 0..9 {
        stand.artifact("application/vnd.reprov.log.v1", b"more");
    }
    stand.registry.forget_requests();
    passes(&stand, &[]);
    let requests = stand.registry.requests(REPOSITORY);
    assert!(requests.len() <= 6, "{requests:#?}"); // image, list (and its tag), `.att`, manifest, bundle
    stand.registry.set(Settings::default().apiless());
    let tag = stand.image.replace(':', "-");
    let entry = stand.registry.referrers(REPOSITORY, &stand.image);
    let (_, digest) = entry.iter().find(|(kind, _)| kind == BUNDLE).unwrap();
    let size = stand.registry.manifest(REPOSITORY, digest).unwrap().1.len();
    let index = stand.registry.put_manifest(REPOSITORY, &json!({"schemaVersion": 2, "mediaType": stand::INDEX,
        "manifests": [{"mediaType": stand::MANIFEST, "digest": digest, "size": size, "artifactType": "application/vnd.oci.empty.v1+json"}]}));
    stand.registry.set_tag(REPOSITORY, &tag, &index);
    stand.registry.forget_requests();
    passes(&stand, &[]);
    let requests = stand.registry.requests(REPOSITORY);
    assert!(requests.len() <= 6, "{requests:#?}");
}

#[test]
fn both_versions_of_statements_and_both_places() {
    let stand = Stand::new();
    let old =
        stand.statement(PROVENANCE, &stand.predicate()).to_string().replace("Statement/v1", "Statement/v0.1");
    stand.legacy(&[b"junk".to_vec(), By::Ours.envelope(old.as_bytes()).to_string().into_bytes()]);
    let answer = passes(&stand, &[]);
    assert_eq!(answer["images"][0]["attestations"].as_array().unwrap().len(), 2);
}

#[test]
fn row_49_a_good_one_among_strangers_junk_and_foreign_artifacts() {
    let stand = Stand::new();
    for at in 0..5 {
        stand.attach(By::Stranger, PROVENANCE, &json!({"at": at}));
        stand.attach_blob(BUNDLE, format!("junk {at}").as_bytes());
        stand.attach_blob("application/vnd.example.sbom", format!("foreign {at}").as_bytes());
    }
    stand.honest();
    let ran = stand.verify(&[]).exits(0);
    assert_eq!(denials(&ran), [""; 0]);
    assert!(all_codes(&ran).contains(&"json-malformed".to_owned()), "{ran}");
}

#[test]
fn row_50_a_good_att_beside_a_strangers_bundle() {
    let stand = Stand::new();
    stand.attach(By::Stranger, PROVENANCE, &stand.predicate());
    let statement = stand.statement(PROVENANCE, &stand.predicate()).to_string();
    stand.legacy(&[By::Ours.envelope(statement.as_bytes()).to_string().into_bytes()]);
    passes(&stand, &[]);
}

#[test]
fn row_51_a_good_one_on_page_three() {
    let stand = Stand::of(Settings::default().page(2));
    for at in 0..4 {
        stand.attach(By::Stranger, PROVENANCE, &json!({"at": at}));
    }
    stand.honest();
    passes(&stand, &[]);
}

#[test]
fn a_trusted_key_speaks_for_its_builder_only() {
    let stand = Stand::new();
    stand.attach(By::Other, PROVENANCE, &stand.predicate());
    let trust = |by: By, builder: &str| {
        format!("[[trust]]\nkey = \"{}\"\nbuilders = [\"{builder}\"]\nlevel = 3\n", by.public())
    };
    let crossed = trust(By::Ours, BUILDER) + &trust(By::Other, "https://ci.example.org/other");
    let ran = stand.by_policy(&crossed, &["--untrusting"]).exits(1);
    assert!(denials(&ran).contains(&"builder-not-allowed".to_owned()), "{ran}");
    let right = trust(By::Ours, "https://ci.example.org/other") + &trust(By::Other, BUILDER);
    let answer = stand.by_policy(&right, &["--untrusting"]).exits(0).json();
    assert_eq!(answer["images"][0]["level"], 3);
    assert_eq!(answer["images"][0]["facts"][0]["status"], "checked");
}

#[test]
fn several_images_answer_each_for_itself() {
    let (good, bad) = (Stand::new(), Stand::new());
    good.honest();
    let key = By::Ours.public();
    let names = [good.name(), bad.name(), "127.0.0.1:1/no/where:1".to_owned()];
    let store = good.lab.path("store");
    let args =
        ["verify", &names[0], &names[1], &names[2], "--trust", &key, "--store", &store, "--format", "json"];
    let answer = good.lab.reprov(&args).exits(1).json();
    let verdicts: Vec<&Value> =
        answer["images"].as_array().unwrap().iter().map(|one| &one["verdict"]).collect();
    assert_eq!(verdicts, ["passed", "failed", "unknown"]);
    let args = ["verify", &names[0], &names[2], "--trust", &key, "--store", &store];
    good.lab.reprov(&args).exits(3).says("cannot reach");
}

#[test]
fn nobody_is_trusted_by_default() {
    let stand = Stand::new();
    stand.honest();
    stand.verify(&["--untrusting", "--policy", "slsa-l1"]).exits(2).says("nobody is trusted");
}

#[test]
fn an_oci_layout_is_verified_like_a_registry() {
    let stand = Stand::new();
    let layout = crate::support::fixtures("interop/cosign3-layout");
    let key = crate::support::fixtures("interop/keys/TEST-ONLY-p256-v3.pub");
    let name = format!("oci:{}:1", layout.display());
    let ran = stand.verify_name(&name, &["--trust", key.to_str().unwrap()]).exits(0);
    assert_eq!(ran.json()["images"][0]["attestations"][0]["verified"], true, "{ran}");
    stand.verify_name(&name, &["--trust", &By::Ours.public()]).exits(1);
}

#[test]
fn what_cosign_2_left_is_read() {
    let stand = Stand::new();
    let layout = crate::support::fixtures("interop/cosign2-layout");
    let key = crate::support::fixtures("interop/keys/TEST-ONLY-p256-v2.pub");
    let name = format!("oci:{}:1", layout.display());
    let ran = stand.verify_name(&name, &["--trust", key.to_str().unwrap()]).exits(0);
    assert_eq!(ran.json()["images"][0]["attestations"][0]["verified"], true, "{ran}");
}

#[test]
fn row_51_a_registry_that_stumbles_once() {
    let stand = Stand::new();
    stand.honest();
    for stumble in [
        Fault::Answer("429 Too Many Requests", "Retry-After: 0\r\n".to_owned(), "later".to_owned()),
        Fault::Cut(0),
        Fault::Cut(20),
    ] {
        let faulty = Faulty::before(
            &stand.registry,
            move |_, before| {
                if before == 0 { stumble.clone() } else { Fault::None }
            },
        );
        stand.verify_name(&faulty.name(REPOSITORY), &[]).exits(0);
    }
}

/// Provenance that stands on the image of `base` alone.
fn standing_on(stand: &Stand, base: &str, digest: &str) -> Value {
    let mut predicate = stand.predicate();
    let dependencies = predicate["buildDefinition"]["resolvedDependencies"].as_array_mut().unwrap();
    dependencies.retain(|one| !matches!(one["annotations"]["role"].as_str(), Some("base" | "buildroot")));
    let hex = digest.strip_prefix("sha256:").unwrap();
    dependencies.push(json!({"uri": format!("docker://{base}"), "digest": {"sha256": hex},
        "annotations": {"role": "base", "written": base, "used": base, "stage": 0, "line": 1}}));
    predicate
}

#[test]
fn bases_are_verified_as_deep_as_asked() {
    let (stand, base) = (Stand::new(), Stand::new());
    stand.attach(By::Ours, PROVENANCE, &standing_on(&stand, &base.name(), &base.image));
    stand.verify(&[]).exits(0);
    let ran = stand.verify(&["--depth", "1"]).exits(1);
    assert_eq!(denials(&ran), ["base-unverified"]);
    base.attach(By::Ours, PROVENANCE, &standing_on(&base, "127.0.0.1:1/no/where", &base.image));
    let answer = stand.verify(&["--depth", "1"]).exits(0).json();
    let below = &answer["images"][0]["dependencies"][0];
    assert_eq!((&below["role"], &below["image"]["verdict"]), (&json!("base"), &json!("passed")));
    // The base's own base cannot be reached.
    let ran = stand.verify(&["--depth", "2"]).exits(3);
    assert!(all_codes(&ran).contains(&"evidence-unread".to_owned()), "{ran}");
    stand.verify(&["--depth", "2", "--format", "text"]).exits(3).says("base 127.0.0.1");
}

#[test]
fn an_image_that_stands_on_itself_comes_to_an_end() {
    let stand = Stand::new();
    stand.attach(By::Ours, PROVENANCE, &standing_on(&stand, &stand.name(), &stand.image));
    stand.verify(&["--depth", "16"]).exits(0);
}
