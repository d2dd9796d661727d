//! `reprov attest`: images that something else built, on both kinds of registry and in a directory.

mod adapters;
mod evidence;
mod koji;
mod requests;
mod statements;

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::copy::Shelf;
use crate::support::{ApiRegistry, Lab, Ran, Registry, sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const COMMIT: &str = "4b220de5058abfd01ff619c9d2ff6b09a049bea0";

/// Both kinds of registry.
fn both() -> [Box<dyn Shelf>; 2] {
    [Box::new(Registry::start(&[])), Box::new(ApiRegistry::start())]
}

/// The hex digits of a digest.
fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()})
}

/// An image of some platform that nothing of ours made, without a tag; what an index says of it.
fn image(shelf: &dyn Shelf, repository: &str, arch: &str, labels: &Value) -> Value {
    let config = json!({
        "architecture": arch,
        "os": "linux",
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [sha256(b"a layer")]},
    })
    .to_string();
    shelf.put_blob(repository, config.as_bytes());
    shelf.put_blob(repository, b"a layer");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", b"a layer")],
    });
    shelf.put_manifest(repository, &manifest);
    let mut entry = descriptor(MANIFEST, manifest.to_string().as_bytes());
    entry["platform"] = json!({"os": "linux", "architecture": arch});
    entry
}

/// Such an image behind tag 1; its digest.
fn tagged(shelf: &dyn Shelf, repository: &str, labels: &Value) -> String {
    let digest = image(shelf, repository, "amd64", labels)["digest"].as_str().unwrap().to_owned();
    shelf.set_tag(repository, "1", &digest);
    digest
}

/// Attests `image` with the lab's key and store, JSON on standard output.
fn attest(lab: &Lab, image: &str, more: &[&str]) -> Ran {
    let (key, store) = (lab.path("signer.key"), lab.path("store"));
    let mut args = vec!["attest", image, "--store", &store, "--format", "json"];
    if !more.contains(&"--key") && !more.contains(&"--dry-run") {
        args.extend(["--key", &key]);
    }
    args.extend(more);
    lab.reprov(&args)
}

/// A file in the lab.
fn file(lab: &Lab, name: &str, text: &str) -> String {
    let path = lab.path(name);
    fs::write(&path, text).unwrap();
    path
}

/// The payloads of all bundles beside `subject`.
fn payloads(
    shelf: &dyn Shelf,
    read: &dyn Fn(&str) -> Vec<u8>,
    repository: &str,
    subject: &str,
) -> Vec<Vec<u8>> {
    let referrers = shelf.referrers(repository, subject);
    let manifests = referrers.iter().map(|digest| shelf.manifest(repository, digest).unwrap());
    let bundles = manifests.filter(|manifest| manifest["artifactType"] == BUNDLE);
    bundles
        .map(|manifest| {
            let bundle: Value =
                serde_json::from_slice(&read(manifest["layers"][0]["digest"].as_str().unwrap())).unwrap();
            STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap()
        })
        .collect()
}

/// A document of `fixtures/provenance` about `subject`.
fn fixture(lab: &Lab, name: &str, subject: &str) -> String {
    let text = fs::read_to_string(crate::support::fixtures(&format!("provenance/{name}.json"))).unwrap();
    file(lab, &format!("{name}-{}.json", &hex(subject)[..8]), &text.replace("SUBJECT", hex(subject)))
}

fn names(missing: &Value) -> Vec<&str> {
    missing.as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect()
}
