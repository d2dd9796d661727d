//! What other builders wrote becomes a statement of ours that says what is missing.

use super::*;

#[test]
fn documents_of_every_builder() {
    let (lab, registry) = (Lab::new(), Registry::start(&[]));
    let digest = tagged(&registry, "app", &json!({}));
    let table: [(&str, &str, &[&str]); 9] = [
        ("buildkit-v0.2", "--from-provenance", &["buildroot"]),
        ("buildkit-v1", "--from-provenance", &["buildroot", "repositories", "inputs"]),
        ("tekton-v0.2", "--from-provenance", &["parameters", "bases", "repositories", "inputs"]),
        ("tekton-v1", "--from-provenance", &["parameters", "repositories", "inputs"]),
        (
            "github-actions-v1",
            "--from-provenance",
            &["dockerfile", "parameters", "bases", "buildroot", "repositories", "inputs"],
        ),
        (
            "slsa-github-generator-v0.2",
            "--from-provenance",
            &["dockerfile", "parameters", "bases", "buildroot", "repositories", "inputs"],
        ),
        ("obs-v0.2", "--from-provenance", &["source", "bases"]),
        ("obs-v1", "--from-provenance", &["source", "parameters", "repositories", "inputs"]),
        ("koji-v0", "--koji", &["dockerfile", "parameters", "bases", "inputs"]),
    ];
    for (name, flag, missing) in table {
        let path = fixture(&lab, name, &digest);
        let ran = attest(&lab, &registry.name("app"), &[flag, &path, "--dry-run"]).exits(0);
        let answer = ran.json();
        assert_eq!(names(&answer["missing"]), missing, "{name}");
        let subject = &answer["subjects"][0];
        let source = &subject["sources"][0];
        assert_eq!((&source["kind"], &source["names"]), (&name.into(), &"subject".into()), "{answer:#}");
        assert_eq!(source["digest"], sha256(&fs::read(&path).unwrap()));
        let predicate = &subject["body"]["predicate"];
        assert_eq!(predicate["buildDefinition"]["buildType"], "https://reprov.example/attested/v1");
        let id = &predicate["runDetails"]["builder"]["id"];
        assert_eq!(id, "https://reprov.example/builder/attested-unverified/v1", "never the document's");
        // The same about another image is refused.
        let foreign = fixture(&lab, name, &sha256(b"another"));
        let refused = attest(&lab, &registry.name("app"), &[flag, &foreign, "--dry-run"]).exits(1);
        refused.says("is about another image");
    }
    // Attached, shown, and kept with the list of the buildroot's packages.
    let path = fixture(&lab, "koji-v0", &digest);
    let answer = attest(&lab, &registry.name("app"), &["--koji", &path]).exits(0).json();
    let kept = registry.blob_json(answer["subjects"][0]["evidence"].as_str().unwrap());
    let layers = kept["layers"].as_array().unwrap();
    let titles: Vec<_> = layers
        .iter()
        .map(|layer| layer["annotations"]["org.opencontainers.image.title"].as_str().unwrap())
        .collect();
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(titles.contains(&"buildroot-packages.json"));
    let store = lab.path("elsewhere");
    lab.reprov(&["trace", &registry.name("app"), "--store", &store])
        .exits(0)
        .says("after the fact, from koji-v0")
        .says("koji:content-generator/osbs (claimed; it did not sign this)")
        .says("recipe incomplete: dockerfile, parameters, bases, inputs");
}

#[test]
fn pieces_that_disagree_about_the_commit_are_refused() {
    let (lab, registry) = (Lab::new(), Registry::start(&[]));
    let digest = tagged(&registry, "app", &json!({}));
    let path = fixture(&lab, "github-actions-v1", &digest);
    let other = "http://127.0.0.1:1/x@ffffffffffffffffffffffffffffffffffffffff";
    let ran = attest(&lab, &registry.name("app"), &["--commit", other, "--from-provenance", &path]).exits(1);
    ran.says("the evidence disagrees about the commit").says("github-actions-v1");
    // Labels are hints: they are passed over.
    let labelled = json!({"vcs-type": "git", "vcs-ref": "ffffffffffffffffffffffffffffffffffffffff", "com.redhat.component": "x"});
    let digest = tagged(&registry, "app", &labelled);
    let path = fixture(&lab, "github-actions-v1", &digest);
    let args = ["--from-provenance", &path, "--from-image", "--dry-run"];
    let answer = attest(&lab, &registry.name("app"), &args).exits(0).says("they may be its base's").json();
    let source =
        &answer["subjects"][0]["body"]["predicate"]["buildDefinition"]["externalParameters"]["source"];
    assert_eq!(source["commit"], COMMIT);
}

#[test]
fn what_the_image_itself_carries() {
    for shelf in both() {
        let (lab, shelf) = (Lab::new(), shelf.as_ref());
        let labels = json!({"vcs-type": "git", "vcs-ref": COMMIT, "vcs-url": "https://git.example.org/app", "com.redhat.component": "app-container"});
        let entry = image(shelf, "app", "amd64", &labels);
        let digest = entry["digest"].as_str().unwrap();
        let text = fs::read_to_string(crate::support::fixtures("provenance/buildkit-v0.2.json")).unwrap();
        let statement = text.replace("SUBJECT", hex(digest));
        let mut layer = descriptor("application/vnd.in-toto+json", statement.as_bytes());
        layer["annotations"] = json!({"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"});
        shelf.put_blob("app", statement.as_bytes());
        shelf.put_blob("app", b"{}");
        let attestation = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
            "layers": [layer],
        });
        shelf.put_manifest("app", &attestation);
        let mut kept = descriptor(MANIFEST, attestation.to_string().as_bytes());
        kept["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        kept["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry, kept]});
        let root = shelf.put_manifest("app", &index);
        shelf.set_tag("app", "1", &root);
        let answer = attest(&lab, &shelf.name("app"), &["--from-image", "--all-platforms"]).exits(0).json();
        let subjects = answer["subjects"].as_array().unwrap();
        assert_eq!(subjects.len(), 2, "the attestation is no platform: {answer:#}");
        let kinds: Vec<_> =
            subjects[0]["sources"].as_array().unwrap().iter().map(|source| &source["kind"]).collect();
        assert_eq!(kinds, [&json!("buildkit-v0.2"), &json!("osbs-labels")]);
        assert_eq!(
            (&subjects[1]["kind"], subjects[1]["sources"].as_array().unwrap().len()),
            (&"index".into(), 0)
        );
        assert_eq!(names(&subjects[0]["missing"]), ["buildroot"]);

        tagged(shelf, "bare", &json!({"maintainer": "somebody"}));
        attest(&lab, &shelf.name("bare"), &["--from-image"]).exits(1).says("carries no provenance");
    }
}
