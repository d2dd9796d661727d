//! What cannot reproduce is explained: file, instruction, cause.

use std::process::Command;

use serde_json::Value;

use crate::support::{Lab, Registry, must, schemas};

#[test]
fn a_clock_and_a_random_number() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let to = registry.name("drift");
    lab.build(registry, &lab.fixture("drift"), &to, &[]).exits(0);
    let key = lab.path("signer.key");
    let ran = lab.rebuild(&to, &["--key", &key]).exits(1);
    let answer = ran.json();
    let image = &answer["images"][0];
    assert_eq!(image["verdict"], "explained", "{ran}");
    let drift = |path: &str| -> Value {
        let found = image["drifts"].as_array().unwrap().iter().find(|drift| drift["path"] == path);
        found.unwrap_or_else(|| panic!("no drift at {path}: {ran}")).clone()
    };
    let date = drift("etc/build-date");
    assert_eq!((&date["cause"], &date["instruction"]["line"]), (&"clock-in-text".into(), &3.into()), "{ran}");
    let id = drift("etc/build-id");
    assert_eq!((&id["cause"], &id["instruction"]["line"]), (&"random-token".into(), &4.into()), "{ran}");
    assert_eq!(image["drifts"].as_array().unwrap().len(), 2, "{ran}");
    let attestation = image["attestation"].as_str().expect("a bad verdict is signed too");
    assert_eq!(id["excerpt"]["hunks"][0]["rows"][0]["equal"], false, "{id:#}");
    kept_report(registry, "drift", attestation, image);

    let accepted = lab.rebuild(&to, &["--accept", "explained", "--format", "text"]).exits(0);
    assert!(accepted.out.contains("--accept"), "{accepted}");
    for words in ["etc/build-date", "clock-in-text", "etc/build-id", "random-token"] {
        assert!(accepted.out.contains(words), "`{words}`: {accepted}");
    }
}

/// The verdict names the whole answer, which is kept beside the image; `image` is what was printed of it.
fn kept_report(registry: &Registry, repository: &str, attestation: &str, image: &Value) {
    let layer = |manifest: &str| registry.blob_json(manifest)["layers"][0].clone();
    let bundle = registry.blob_json(layer(attestation)["digest"].as_str().unwrap());
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let payload = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, payload).unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    let named = &statement["predicate"]["report"];
    assert_eq!(named["mediaType"], "application/vnd.reprov.report.v1+json");
    let original = registry.image(repository).digest;
    let artifact = registry.referrer(repository, &original, "report.v1");
    assert_eq!(registry.blob_json(&artifact)["subject"]["digest"], original.as_str());
    assert_eq!(layer(&artifact)["digest"], named["digest"]);
    let mut kept = registry.blob_json(named["digest"].as_str().unwrap());
    assert_eq!(schemas::violations(&kept), [""; 0]);
    assert_eq!(kept["summary"], serde_json::json!({"explained": 1}));
    assert_eq!(kept["images"][0]["attestation"], Value::Null, "it was not there yet");
    kept["images"][0]["attestation"] = attestation.into();
    assert_eq!(&kept["images"][0], image);
}

#[test]
fn two_images_side_by_side() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let (one, two) = (registry.name("side-one"), registry.name("side-two"));
    let files =
        [("Dockerfile", "FROM base.example/tiny:1\nARG WORD\nRUN echo $WORD > /word; echo same > /same\n")];
    let source = lab.source("side", &files);
    lab.build(registry, &source, &one, &["--build-arg", "WORD=one"]).exits(0);
    lab.build(registry, &source, &two, &["--build-arg", "WORD=two"]).exits(0);
    let store = lab.path("fresh");
    let diff = |a: &str, b: &str| lab.reprov(&["diff", a, b, "--store", &store, "--format", "json"]);
    assert_eq!(diff(&one, &one).exits(0).json()["verdict"], "reproduced");
    let ran = diff(&one, &two).exits(1);
    let answer = ran.json();
    let paths: Vec<_> =
        answer["drifts"].as_array().unwrap().iter().map(|drift| drift["path"].clone()).collect();
    assert_eq!(paths, ["word"], "{ran}");
    let made_by = &answer["drifts"][0]["instruction"];
    assert_eq!(made_by["line"], Value::Null, "{ran}");
    assert!(made_by["text"].as_str().unwrap().starts_with("RUN echo $WORD > /word"), "{ran}");
    assert_eq!(
        answer["layers"].as_array().unwrap().iter().filter(|layer| layer["equal"] == false).count(),
        1
    );
}

#[test]
fn archives_of_images_are_read() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let to = registry.name("archives");
    lab.build(
        registry,
        &lab.source("archives", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo 1 > /a\n")]),
        &to,
        &[],
    )
    .exits(0);
    let store = lab.path("fresh");
    let diff = |a: &str, b: &str| lab.reprov(&["diff", a, b, "--store", &store, "--format", "json"]);
    let (oci, docker) = (lab.path("image.oci.tar"), lab.path("image.docker.tar"));
    let from = format!("docker://{to}");
    for dest in
        [format!("oci-archive:{oci}:one"), format!("docker-archive:{docker}:example.org/archives:two")]
    {
        must(Command::new("skopeo").args(["copy", "--quiet", "--src-tls-verify=false", &from, &dest]));
    }
    let same = diff(&to, &format!("oci-archive:{oci}:one")).exits(0);
    assert_eq!(same.json()["verdict"], "reproduced", "{same}");
    assert!(same.json()["images"]["b"].as_str().unwrap().starts_with("oci-archive:"), "{same}");
    for name in [format!("docker-archive:{docker}"), format!("docker-archive:{docker}:two")] {
        // docker's layers are not compressed, and its manifest is another.
        assert_eq!(diff(&to, &name).exits(1).json()["verdict"], "compression-only");
    }
    diff(&to, &format!("docker-archive:{docker}:three")).exits(3).says("it has example.org/archives:two");
    diff(&to, &format!("oci-archive:{oci}:two")).exits(3).says("one");
    diff(&to, "oci-archive:nothing.tar").exits(3).says("cannot unpack `nothing.tar`");
    lab.reprov(&["trace", &format!("oci-archive:{oci}")])
        .exits(2)
        .says("transport `oci-archive:` is not supported here");
    assert_eq!(std::fs::read_dir(format!("{store}/tmp")).unwrap().count(), 0, "unpacked layouts are gone");
}

#[test]
fn what_is_accepted_is_marked_and_stays() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/tiny:1\nRUN date > /a; date > /b; date > /c; sleep 1\n";
    let recipe = |cause: &str| {
        format!(
            "[drift]\naccept = [\n  {{ cause = \"{cause}\", path = \"a\", because = \"known\", owner = \"me\" }},\n  \
             {{ path = \"b\", because = \"once\", until = \"2020-01-01\" }},\n]\n"
        )
    };
    let source =
        |cause: &str| lab.source(cause, &[("Dockerfile", dockerfile), ("reprov.toml", &recipe(cause))]);
    let to = registry.name("accepted");
    let wrong = lab.build(registry, &source("no-such-cause"), &to, &[]).exits(2);
    wrong.says("line 3: `cause = \"no-such-cause\"`: no cause of drift has this code");
    let built = lab.build(registry, &source("clock-in-text"), &to, &["--check"]).exits(1);
    let of = |image: &Value| -> Vec<Value> {
        let drifts = image["drifts"].as_array().unwrap().iter();
        drifts.map(|drift| drift["accepted"]["because"].clone()).collect()
    };
    assert_eq!(of(&built.json()["check"]), [Value::from("known"), Value::Null, Value::Null], "{built}");

    let ran = lab.rebuild(&to, &["--ignore", "c", "--because", "not read"]).exits(1);
    let image = &ran.json()["images"][0];
    assert_eq!(image["verdict"], "explained", "{ran}");
    assert_eq!(of(image), [Value::from("known"), Value::Null, Value::from("not read")], "{ran}");
    ran.says("drift that was accepted until 2020-01-01 is still there: b");
    let text = lab.rebuild(&to, &["--format", "text"]).exits(1);
    text.says("    accepted  known (me)").says("  1 of 3 drift(s) accepted; the verdict stays");
    lab.rebuild(&to, &["--ignore", "c"]).exits(2).says("--because");
}

#[test]
fn one_failing_image_does_not_stop_the_others() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("several", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo x > /x\n")]);
    let (good, absent) = (registry.name("several"), registry.name("absent"));
    lab.build(registry, &source, &good, &[]).exits(0);
    let ran = lab.rebuild(&good, &[&absent]).exits(3);
    let answer = ran.json();
    assert_eq!(answer["images"][0]["verdict"], "reproduced", "{ran}");
    assert!(answer["images"][1]["error"].is_string(), "{ran}");
    assert_eq!(answer["summary"]["reproduced"], 1);
}
