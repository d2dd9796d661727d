//! One byte changed anywhere must be noticed, and named.

use serde_json::{Value, json};

use super::fetch;
use crate::support::{Base, Lab, Mirror, Ran, Registry};

/// An image that fetched, in a registry of its own.
struct Built {
    lab: Lab,
    registry: Registry,
    digest: String,
}

const REPOSITORY: &str = "app";

impl Built {
    fn new(word: &str) -> Self {
        let (lab, registry) = (Lab::new(), Registry::start(&[Base::Tiny]));
        fetch::build(&lab, &registry, &Mirror::start(word), &registry.name(REPOSITORY));
        let digest = registry.image(REPOSITORY).digest;
        Self { lab, registry, digest }
    }

    fn referrer(&self, kind: &str) -> (String, Value) {
        let digest = self.registry.referrer(REPOSITORY, &self.digest, kind);
        let manifest = self.registry.blob_json(&digest);
        (digest, manifest)
    }

    fn rebuild(&self, more: &[&str]) -> Ran {
        self.lab.rebuild(&self.registry.name(REPOSITORY), more)
    }

    /// Puts another bundle in the place of the signed one, every digest on the way made right again.
    fn replace_bundle(&self, change: impl FnOnce(&mut Value)) {
        let (old, mut manifest) = self.referrer("sigstore.bundle");
        let mut bundle = self.registry.blob_json(manifest["layers"][0]["digest"].as_str().unwrap());
        change(&mut bundle);
        let bytes = bundle.to_string().into_bytes();
        manifest["layers"][0]["digest"] = self.registry.put_blob(REPOSITORY, &bytes).into();
        manifest["layers"][0]["size"] = bytes.len().into();
        let new = self.registry.put_manifest(REPOSITORY, &manifest);
        let tag = self.digest.replace(':', "-");
        let mut list = self.registry.blob_json(&self.registry.tag(REPOSITORY, &tag).unwrap());
        for entry in list["manifests"].as_array_mut().unwrap() {
            if entry["digest"] == old.as_str() {
                entry["digest"] = new.as_str().into();
                entry["size"] = manifest.to_string().len().into();
            }
        }
        let list = self.registry.put_manifest(REPOSITORY, &list);
        self.registry.set_tag(REPOSITORY, &tag, &list);
    }
}

#[track_caller]
fn verdict(ran: &Ran) -> Value {
    ran.json()["images"][0]["verdict"].clone()
}

#[test]
fn an_input() {
    let built = Built::new("altered input");
    let (_, inputs) = built.referrer("inputs");
    let layers = inputs["layers"].as_array().unwrap();
    let large = layers.iter().find(|layer| layer["size"].as_u64().unwrap() >= 1 << 20).unwrap();
    let digest = large["digest"].as_str().unwrap();
    built.registry.spoil(digest);
    let ran = built.rebuild(&[]).exits(3);
    assert_eq!(verdict(&ran), "inputs-missing", "{ran}");
    ran.says(digest);
}

#[test]
fn a_pack_of_small_inputs() {
    let built = Built::new("altered pack");
    let (_, inputs) = built.referrer("inputs");
    let layers = inputs["layers"].as_array().unwrap();
    let pack = layers.iter().find(|layer| layer["mediaType"].as_str().unwrap().contains("pack")).unwrap();
    let digest = pack["digest"].as_str().unwrap();
    built.registry.spoil(digest);
    let ran = built.rebuild(&[]).exits(3);
    assert_eq!(verdict(&ran), "inputs-missing", "{ran}");
    ran.says(digest);
}

#[test]
fn the_bytes_of_the_bundle() {
    let built = Built::new("altered bundle");
    let (_, manifest) = built.referrer("sigstore.bundle");
    built.registry.spoil(manifest["layers"][0]["digest"].as_str().unwrap());
    let ran = built.rebuild(&[]).exits(1);
    assert_eq!(verdict(&ran), "unverifiable", "{ran}");
}

#[test]
fn the_statement() {
    let built = Built::new("altered statement");
    built.replace_bundle(|bundle| {
        let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
        let text = String::from_utf8(decode(payload)).unwrap();
        assert!(text.contains("/greeting"), "{text}");
        bundle["dsseEnvelope"]["payload"] = encode(text.replace("/greeting", "/grEeting").as_bytes()).into();
    });
    let ran = built.rebuild(&[]).exits(1);
    assert_eq!(verdict(&ran), "unverifiable", "{ran}");
}

#[test]
fn the_signature() {
    let built = Built::new("altered signature");
    built.replace_bundle(|bundle| {
        let signature = &mut bundle["dsseEnvelope"]["signatures"][0]["sig"];
        let mut bytes = decode(signature.as_str().unwrap());
        *bytes.last_mut().unwrap() ^= 1;
        *signature = encode(&bytes).into();
    });
    let ran = built.rebuild(&[]).exits(1);
    assert_eq!(verdict(&ran), "unverifiable", "{ran}");
}

#[test]
fn a_signature_over_another_image() {
    let built = Built::new("the one");
    let other = Built::new("the other");
    let (_, manifest) = other.referrer("sigstore.bundle");
    let theirs = other.registry.blob_json(manifest["layers"][0]["digest"].as_str().unwrap());
    built.replace_bundle(|bundle| *bundle = theirs);
    let key = other.lab.path("signer.pub");
    let ran = built.rebuild(&["--trust", &key]).exits(1);
    assert_eq!(verdict(&ran), "unverifiable", "{ran}");
}

#[test]
fn somebody_elses_key() {
    let built = Built::new("stranger");
    let stranger = Lab::new();
    let key = stranger.path("signer.pub");
    let ran = built.rebuild(&["--trust", &key]).exits(1);
    assert_eq!(verdict(&ran), "unverifiable", "{ran}");
}

#[test]
fn the_source() {
    let built = Built::new("another commit");
    let other = built.lab.source("other", &[("Dockerfile", "FROM base.example/tiny:1\n")]);
    let ran = built.rebuild(&["--source", other.to_str().unwrap()]).exits(1);
    assert!(ran.out.contains("tree"), "{ran}");
    assert_ne!(verdict(&ran), "reproduced");
}

#[test]
fn the_base() {
    let built = Built::new("altered base");
    let base = built.registry.image_at("base/tiny", "1").layer_digests();
    built.registry.spoil(&base[0]);
    let ran = built.rebuild(&[]).exits(3);
    assert!(ran.out.contains(&base[0]) || ran.err.contains(&base[0]), "does not name {}: {ran}", base[0]);
}

#[test]
fn unsigned_is_loud_and_needs_a_loud_flag() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("unsigned", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo x > /x\n")]);
    let to = registry.name("unsigned");
    let built = lab.build(registry, &source, &to, &["--no-sign"]).exits(0);
    assert_eq!(built.json()["provenance"]["signed"], json!(false));
    assert!(built.err.contains("--no-sign") || built.err.contains("not signed"), "{built}");
    let ran = lab.rebuild(&to, &[]).exits(1);
    assert_eq!(verdict(&ran), "unverifiable", "{ran}");
    let ran = lab.rebuild(&to, &["--insecure-skip-verify"]).exits(0);
    assert_eq!(verdict(&ran), "reproduced");
    assert!(ran.err.contains("--insecure-skip-verify"), "{ran}");
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
