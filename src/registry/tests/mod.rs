//! A real registry, hostile ones, and what all tests share.
#![allow(clippy::disallowed_methods, reason = "tests start a registry and touch files")]

mod faults;
mod hostile;
mod layout;
mod legacy;
mod logins;
mod proxy;
mod real;
mod server;
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::model::names::{BUNDLE, OCI_CONFIG, OCI_EMPTY, OCI_EMPTY_BYTES, OCI_LAYER};

/// The waits of the contract, without pauses between tries.
fn registries() -> Registries {
    with(Options::default())
}

fn with(options: Options) -> Registries {
    let waits = Waits { retry_pause: Duration::from_millis(1), ..options.waits };
    Registries::new(Options { waits, ..options })
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

fn name(text: impl AsRef<str>) -> ImageName {
    text.as_ref().parse().unwrap()
}

/// A blob in `store`.
fn blob(store: &Store, media_type: &str, bytes: &[u8]) -> Descriptor {
    store.put(bytes).unwrap();
    Descriptor::of(media_type, bytes)
}

/// Pushes an image with one layer, tagged as `name` says; its descriptor.
async fn push_image(registries: &Registries, store: &Store, name: &ImageName, layer: &[u8]) -> Descriptor {
    let config = blob(
        store,
        OCI_CONFIG,
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
    );
    let layer = blob(store, OCI_LAYER, layer);
    for wanted in [&config, &layer] {
        registries.push_blob(name, wanted, store, None).await.unwrap();
    }
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]})
            .to_string();
    let pushed = registries.push_manifest(name, OCI_MANIFEST, manifest.as_bytes()).await.unwrap();
    registries.tag(name, OCI_MANIFEST, manifest.as_bytes()).await.unwrap();
    pushed
}

/// The manifest of a bundle about `subject`, its blobs pushed.
async fn bundle(
    registries: &Registries,
    store: &Store,
    name: &ImageName,
    subject: &Descriptor,
    text: &str,
) -> Vec<u8> {
    let config = blob(store, OCI_EMPTY, OCI_EMPTY_BYTES);
    let layer = blob(store, BUNDLE, text.as_bytes());
    for wanted in [&config, &layer] {
        registries.push_blob(name, wanted, store, None).await.unwrap();
    }
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE, "config": config,
        "layers": [layer], "annotations": {"a": text}, "subject": subject})
    .to_string()
    .into_bytes()
}

async fn attach(
    registries: &Registries,
    store: &Store,
    name: &ImageName,
    subject: &Descriptor,
    text: &str,
) -> Attached {
    let manifest = bundle(registries, store, name, subject, text).await;
    let annotations = BTreeMap::from([("a".to_owned(), text.to_owned())]);
    registries.attach(name, subject, &manifest, BUNDLE, &annotations).await.unwrap()
}

async fn listed(registries: &Registries, name: &ImageName, subject: &Descriptor) -> Vec<String> {
    let found = registries.referrers(name, &subject.digest).await.unwrap();
    let mut texts: Vec<_> = found.into_iter().map(|entry| entry.annotations["a"].clone()).collect();
    texts.sort();
    texts
}

#[test]
fn futures_may_move_between_threads() {
    fn check<T: Send>(_: &T) {}
    let (registries, (_dir, store)) = (registries(), store());
    let (name, descriptor) = (name("127.0.0.1:1/r"), Descriptor::of(OCI_LAYER, b""));
    check(&registries.manifest(&name));
    check(&registries.fetch_blob(&name, &descriptor, &store));
    check(&registries.push_blob(&name, &descriptor, &store, None));
    check(&registries.referrers(&name, &descriptor.digest));
    check(&registries.attach(&name, &descriptor, b"", "", &BTreeMap::new()));
    check(&registries.tag(&name, "", b""));
}
