//! What cosign 2 attaches, written and added to (FORMATS.md §6), in a registry and in a layout.

use super::{server::DockerRegistry, *};
use crate::model::names::{COSIGN_SIGNATURE, OCI_INDEX, SLSA_PROVENANCE};

/// Where the attachments of `subject` are, read as a manifest.
async fn attachments(registries: &Registries, image: &ImageName, subject: &Digest) -> serde_json::Value {
    let mut tag = image.clone();
    tag.selector.tag = Some(legacy_tag(subject));
    let (_, bytes) = registries.manifest(&tag).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

async fn append(registries: &Registries, store: &Store, image: &ImageName, subject: &Digest, text: &str) {
    let appended =
        registries.append_legacy(image, subject, text.as_bytes(), SLSA_PROVENANCE, store).await.unwrap();
    let manifest = attachments(registries, image, subject).await;
    assert_eq!(appended.digest, Digest::of(manifest.to_string().as_bytes()));
}

async fn appends(image: ImageName) {
    let (registries, (_dir, store)) = (registries(), store());
    let subject = push_image(&registries, &store, &image, b"layer").await.digest;
    append(&registries, &store, &image, &subject, "one").await;
    let one = attachments(&registries, &image, &subject).await;
    assert_eq!(one["layers"][0]["annotations"][COSIGN_SIGNATURE], "");
    assert_eq!(one["layers"][0]["annotations"]["predicateType"], SLSA_PROVENANCE);
    assert_eq!(one.get("subject"), None);
    append(&registries, &store, &image, &subject, "two").await;
    append(&registries, &store, &image, &subject, "one").await;
    let both = attachments(&registries, &image, &subject).await;
    assert_eq!(both["layers"][0], one["layers"][0]);
    assert_eq!(both["layers"].as_array().unwrap().len(), 2);
    let config: Descriptor = serde_json::from_value(both["config"].clone()).unwrap();
    let (_other, theirs) = super::store();
    registries.fetch_blob(&image, &config, &theirs).await.unwrap();
    let config: serde_json::Value =
        serde_json::from_slice(&theirs.read(&config.digest, 4096).unwrap()).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][1], both["layers"][1]["digest"]);
}

#[tokio::test]
async fn appends_in_a_registry() {
    let registry = DockerRegistry::start();
    appends(name(format!("{}/app:v1", registry.host))).await;
}

#[tokio::test]
async fn appends_in_a_layout() {
    let dir = tempfile::tempdir().unwrap();
    appends(name(format!("oci:{}:v1", dir.path().join("layout").display()))).await;
}

#[tokio::test]
async fn a_strangers_layers_stay_as_they_are() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, store)) = (registries(), store());
    let image = name(format!("{}/app:v1", registry.host));
    let subject = push_image(&registries, &store, &image, b"layer").await.digest;
    let theirs = blob(&store, "application/x-own", b"theirs");
    let config = blob(&store, OCI_CONFIG, b"{}");
    for wanted in [&theirs, &config] {
        registries.push_blob(&image, wanted, &store, None).await.unwrap();
    }
    let mut layer = serde_json::to_value(&theirs).unwrap();
    layer["odd"] = json!([1, {"b": null}]);
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer],
        "annotations": {"kept": "yes"}});
    let mut tag = image.clone();
    tag.selector.tag = Some(legacy_tag(&subject));
    registries.tag(&tag, OCI_MANIFEST, manifest.to_string().as_bytes()).await.unwrap();
    append(&registries, &store, &image, &subject, "ours").await;
    let both = attachments(&registries, &image, &subject).await;
    assert_eq!((&both["layers"][0], &both["annotations"]["kept"]), (&layer, &json!("yes")));
    assert_eq!(both["layers"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_tag_that_holds_something_else_is_left_alone() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, store)) = (registries(), store());
    let image = name(format!("{}/app:v1", registry.host));
    let subject = push_image(&registries, &store, &image, b"layer").await;
    let (_, manifest) = registries.manifest(&image).await.unwrap();
    let index =
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [subject]}).to_string().into_bytes();
    let mut tag = image.clone();
    tag.selector.tag = Some(legacy_tag(&subject.digest));
    for (media_type, bytes) in [(OCI_MANIFEST, manifest), (OCI_INDEX, index)] {
        registries.tag(&tag, media_type, &bytes).await.unwrap();
        let refused = registries.append_legacy(&image, &subject.digest, b"x", SLSA_PROVENANCE, &store).await;
        assert!(matches!(refused, Err(RegistryError::Answer { .. })), "{refused:?}");
        assert_eq!(registries.manifest(&tag).await.unwrap().1, bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn six_at_once_keep_all_six() {
    let registry = DockerRegistry::start();
    let (_dir, store) = store();
    let image = name(format!("{}/app:v1", registry.host));
    let subject = push_image(&registries(), &store, &image, b"layer").await.digest;
    let appends = (0..6).map(|number| {
        let (store, image) = (store.clone(), image.clone());
        tokio::spawn(async move {
            let envelope = number.to_string();
            let registries = registries();
            registries.append_legacy(&image, &subject, envelope.as_bytes(), SLSA_PROVENANCE, &store).await
        })
    });
    for appended in appends.collect::<Vec<_>>() {
        appended.await.unwrap().unwrap();
    }
    let all = attachments(&registries(), &image, &subject).await;
    assert_eq!(all["layers"].as_array().unwrap().len(), 6);
}
