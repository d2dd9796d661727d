//! Images with evidence in a staging repository, and the program that promotes them.

use std::{cell::RefCell, fs};

use serde_json::{Value, json};

use crate::{
    jobs::copy::{Shelf, bundle_manifest, list, manifest},
    support::{Lab, Ran, fixtures, sha256},
    verify::stand::{BUNDLE, By, MANIFEST, PROVENANCE, REBUILD},
};

pub(super) const HEAD: &str = "builders = [\"https://ci.example.org/reprov@v1\"]\n";
pub(super) const TESTS: &str = "https://in-toto.io/attestation/test-result/v0.1";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image in a registry, and what is attached to it.
pub(super) struct Staged<'a> {
    shelf: &'a dyn Shelf,
    repository: String,
    /// Its descriptor.
    pub(super) image: Value,
    entries: RefCell<Vec<Value>>,
}

/// The predicate of a published example.
fn example(name: &str) -> Value {
    let text = fs::read_to_string(fixtures(&format!("../attestations/{name}/v1/example.json"))).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["predicate"].take()
}

impl<'a> Staged<'a> {
    /// An image of one layer, with the tag `1`.
    pub(super) fn new(shelf: &'a dyn Shelf, repository: &str, layer: &str) -> Self {
        let image = manifest(shelf, repository, &[layer.as_bytes()]);
        let staged = Self::of(shelf, repository, image);
        shelf.set_tag(repository, "1", &staged.digest());
        staged
    }

    pub(super) fn of(shelf: &'a dyn Shelf, repository: &str, image: Value) -> Self {
        Self { shelf, repository: repository.to_owned(), image, entries: RefCell::default() }
    }

    pub(super) fn digest(&self) -> String {
        self.image["digest"].as_str().unwrap().to_owned()
    }

    /// Attaches a statement; the digest of its referrer.
    pub(super) fn attach(&self, by: By, kind: &str, predicate: &Value) -> String {
        let digest = self.digest();
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "app", "digest": {"sha256": digest.strip_prefix("sha256:").unwrap()}}],
            "predicateType": kind, "predicate": predicate,
        });
        let bundle = by.bundle(statement.to_string().as_bytes()).to_string();
        self.shelf.put_blob(&self.repository, b"{}");
        self.shelf.put_blob(&self.repository, bundle.as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(b"{}"), "size": 2},
            "layers": [{"mediaType": BUNDLE, "digest": sha256(bundle.as_bytes()), "size": bundle.len()}],
            "subject": self.image,
        });
        let entry = bundle_manifest(self.shelf, &self.repository, &manifest);
        let own = entry["digest"].as_str().unwrap().to_owned();
        self.entries.borrow_mut().push(entry);
        list(self.shelf, &self.repository, &digest, &self.entries.borrow());
        own
    }

    /// Attaches a provenance of a commit of this time (seconds since 1970), finished on this day of January 2026.
    pub(super) fn built(&self, commit_s: i64, day: u8) -> String {
        let mut predicate = example("build");
        predicate["runDetails"].as_object_mut().unwrap().remove("reprov_tainted");
        predicate["buildDefinition"]["internalParameters"]["epoch"] = commit_s.into();
        predicate["runDetails"]["metadata"]["startedOn"] = format!("2026-01-{day:02}T00:00:00Z").into();
        predicate["runDetails"]["metadata"]["finishedOn"] = format!("2026-01-{day:02}T01:00:00Z").into();
        self.attach(By::Ours, PROVENANCE, &predicate)
    }

    /// Attaches a rebuilder's word.
    pub(super) fn rebuilt(&self, by: By, rebuilder: &str, verdict: &str) -> String {
        let mut predicate = example("rebuild");
        predicate["rebuilder"]["id"] = rebuilder.into();
        predicate["verdict"] = verdict.into();
        self.attach(by, REBUILD, &predicate)
    }

    /// Attaches what came of testing it.
    pub(super) fn tested(&self, result: &str) -> String {
        let failed: &[&str] = if result == "FAILED" { &["starts"] } else { &[] };
        let predicate =
            json!({"result": result, "configuration": [], "passedTests": [], "failedTests": failed});
        self.attach(By::Ours, TESTS, &predicate)
    }
}

/// Promotes by a policy of this text, JSON on standard output.
pub(super) fn promote(lab: &Lab, from: &str, to: &str, policy: &str, more: &[&str]) -> Ran {
    run(lab, &[from, to], policy, more)
}

/// Goes back.
pub(super) fn undo(lab: &Lab, to: &str, policy: &str, more: &[&str]) -> Ran {
    run(lab, &["--undo", to], policy, more)
}

pub(super) fn arguments(lab: &Lab, images: &[&str], policy: &str, more: &[&str]) -> Vec<String> {
    let path = lab.path("policy.toml");
    fs::write(&path, policy).unwrap();
    let mut args = vec!["promote"];
    args.extend(images);
    let (store, trust, key) = (lab.path("store"), By::Ours.public(), lab.path("signer.key"));
    args.extend(["--policy", &path, "--trust", &trust, "--store", &store]);
    if !more.contains(&"--format") {
        args.extend(["--format", "json"]);
    }
    if !more.contains(&"--no-key") && !more.contains(&"--dry-run") {
        args.extend(["--key", &key]);
    }
    args.extend(more.iter().filter(|word| **word != "--no-key"));
    args.into_iter().map(str::to_owned).collect()
}

fn run(lab: &Lab, images: &[&str], policy: &str, more: &[&str]) -> Ran {
    let args = arguments(lab, images, policy, more);
    lab.reprov(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The one promotion of an answer.
pub(super) fn only(ran: &Ran) -> Value {
    let answer = ran.json();
    assert_eq!(answer["promotions"].as_array().unwrap().len(), 1);
    answer["promotions"][0].clone()
}

/// Codes that refuse it, of the promotion and of its images.
pub(super) fn denials(ran: &Ran) -> Vec<String> {
    let promotion = only(ran);
    let own = promotion["findings"].as_array().unwrap().iter();
    let images = promotion["images"].as_array().unwrap().iter();
    let all = own.chain(images.flat_map(|one| one["image"]["findings"].as_array().unwrap()));
    let denied = all.filter(|finding| finding["severity"] == "deny" && finding["waived_by"].is_null());
    let mut codes: Vec<String> = denied.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect();
    codes.dedup();
    codes
}

/// What the bundle that is this referrer's only layer says.
pub(super) fn statement(shelf: &dyn Shelf, repository: &str, referrer: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let manifest = shelf.opened(repository, referrer);
    let bundle: Value =
        serde_json::from_slice(&shelf.blob(manifest["layers"][0]["digest"].as_str().unwrap())).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    serde_json::from_slice(&STANDARD.decode(payload).unwrap()).unwrap()
}

/// Promotes what an inventory names, which stands in `more`.
pub(super) fn many(lab: &Lab, template: &str, policy: &str, more: &[&str]) -> Ran {
    run(lab, &[template], policy, more)
}
