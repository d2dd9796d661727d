//! Images in directories.

use std::os::unix::fs::symlink;

use super::*;
use crate::model::names::OCI_INDEX;

fn layout() -> (tempfile::TempDir, String, Store) {
    let (dir, store) = store();
    let out = format!("oci:{}/out", dir.path().display());
    (dir, out, store)
}

#[tokio::test]
async fn an_image_goes_and_comes_back() {
    let (dir, out, ours) = layout();
    let (_other, theirs) = store();
    let registries = registries();
    let image = name(format!("{out}:v1"));
    let pushed = push_image(&registries, &ours, &image, b"layer").await;
    for text in [format!("{out}:v1"), out.clone(), format!("{out}@{}", pushed.digest)] {
        assert_eq!(registries.resolve(&name(&text)).await.unwrap(), pushed, "{text}");
    }
    let wanted = Descriptor::of(OCI_LAYER, b"layer");
    assert!(registries.blob_exists(&image, &wanted.digest).await.unwrap());
    registries.fetch_blob(&image, &wanted, &theirs).await.unwrap();
    assert_eq!(theirs.read(&wanted.digest, 9).unwrap(), b"layer");
    assert_eq!(registries.push_blob(&image, &wanted, &ours, None).await.unwrap(), Pushed::Existing);
    let out = dir.path().join("out");
    assert_eq!(std::fs::read(out.join("oci-layout")).unwrap(), br#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut names: Vec<_> = std::fs::read_dir(&out).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
}

#[tokio::test]
async fn a_tag_moves_and_says_what_there_is() {
    let (_dir, out, store) = layout();
    let registries = registries();
    let (v1, v2) = (name(format!("{out}:v1")), name(format!("{out}:v2")));
    push_image(&registries, &store, &v1, b"one").await;
    let second = push_image(&registries, &store, &v1, b"two").await;
    assert_eq!(registries.resolve(&v1).await.unwrap(), second);
    assert_eq!(registries.resolve(&name(&out)).await.unwrap(), second);
    push_image(&registries, &store, &v2, b"three").await;
    let error = registries.resolve(&name(format!("{out}:v3"))).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("it has v1, v2"), "{error}");
    let error = registries.resolve(&name(&out)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Layout { .. }), "{error:?}");
    let latest = push_image(&registries, &store, &name(&out), b"four").await;
    assert_eq!(registries.resolve(&name(&out)).await.unwrap(), latest);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (_dir, out, store) = layout();
    let wanted = Descriptor::of(OCI_LAYER, b"x");
    assert!(registries().resolve(&name(&out)).await.unwrap_err().is_not_found());
    let fetched = registries().fetch_blob(&name(&out), &wanted, &store).await;
    assert!(fetched.unwrap_err().is_not_found());
}

#[tokio::test]
async fn referrers_by_the_index_then_among_the_blobs() {
    let (_dir, out, store) = layout();
    let registries = registries();
    let image = name(format!("{out}:v1"));
    let subject = push_image(&registries, &store, &image, b"layer").await;
    let attached = attach(&registries, &store, &image, &subject, "z-listed").await;
    assert_eq!(attached.listed, Listed::Index);
    attach(&registries, &store, &image, &subject, "z-listed").await;
    let unlisted = bundle(&registries, &store, &image, &subject, "a-unlisted").await;
    registries.push_manifest(&image, OCI_MANIFEST, &unlisted).await.unwrap();
    let other = Descriptor::of(OCI_MANIFEST, b"another image");
    let foreign = bundle(&registries, &store, &image, &other, "foreign").await;
    registries.push_manifest(&image, OCI_MANIFEST, &foreign).await.unwrap();
    let found = registries.referrers(&image, &subject.digest).await.unwrap();
    let texts: Vec<_> = found.iter().map(|entry| entry.annotations["a"].as_str()).collect();
    assert_eq!(texts, ["z-listed", "a-unlisted"]);
    assert!(found.iter().all(|entry| entry.artifact_type.as_deref() == Some(BUNDLE)));
    // An attachment is no image: `oci:DIR` still means the only one.
    assert_eq!(registries.resolve(&name(&out)).await.unwrap(), subject);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_lose_nothing() {
    let (_dir, out, store) = layout();
    let writes = (0..12).map(|number| {
        let (store, image) = (store.clone(), name(format!("{out}:v{number}")));
        tokio::spawn(async move { push_image(&registries(), &store, &image, &[number]).await })
    });
    for (number, write) in writes.collect::<Vec<_>>().into_iter().enumerate() {
        let pushed = write.await.unwrap();
        assert_eq!(registries().resolve(&name(format!("{out}:v{number}"))).await.unwrap(), pushed);
    }
}

#[tokio::test]
async fn altered_blobs_and_links_leading_out_are_refused() {
    let (dir, out, store) = layout();
    let (_other, empty) = super::store();
    let registries = registries();
    let image = name(format!("{out}:v1"));
    let pushed = push_image(&registries, &store, &image, b"layer").await;
    let layer = Descriptor::of(OCI_LAYER, b"layer");
    let path = dir.path().join("out/blobs/sha256").join(layer.digest.hex());
    std::fs::write(&path, b"LAYER").unwrap();
    let error = registries.fetch_blob(&image, &layer, &empty).await.unwrap_err();
    assert!(matches!(error, RegistryError::Mismatch { .. }), "{error:?}");

    std::fs::write(dir.path().join("outside"), b"layer").unwrap();
    std::fs::remove_file(&path).unwrap();
    symlink(dir.path().join("outside"), &path).unwrap();
    let error = registries.fetch_blob(&image, &layer, &empty).await.unwrap_err();
    assert!(matches!(error, RegistryError::Layout { .. }), "{error:?}");

    let manifest = dir.path().join("out/blobs/sha256").join(pushed.digest.hex());
    std::fs::write(&manifest, b"{}").unwrap();
    let error = registries.manifest(&image).await.unwrap_err();
    assert!(matches!(error, RegistryError::Mismatch { .. }), "{error:?}");
}

#[tokio::test]
async fn a_listed_attachment_that_cannot_be_read_is_never_none() {
    let (dir, out, store) = layout();
    let registries = registries();
    let image = name(format!("{out}:v1"));
    let subject = push_image(&registries, &store, &image, b"layer").await;
    let digest = attach(&registries, &store, &image, &subject, "one").await.descriptor.digest;
    let path = dir.path().join("out/blobs/sha256").join(digest.hex());
    std::fs::write(&path, b"{}").unwrap();
    let error = registries.referrers(&image, &subject.digest).await.unwrap_err();
    assert!(matches!(error, RegistryError::Mismatch { .. }), "{error:?}");
    std::fs::remove_file(&path).unwrap();
    assert!(registries.referrers(&image, &subject.digest).await.is_err());
}

#[tokio::test]
async fn an_existing_index_keeps_what_others_wrote() {
    let (dir, out, store) = layout();
    let path = dir.path().join("out/index.json");
    let foreign =
        json!({"mediaType": OCI_MANIFEST, "digest": "sha512:aa", "size": 1, "odd": [1], "annotations": 7});
    std::fs::create_dir_all(dir.path().join("out/blobs/sha256")).unwrap();
    std::fs::write(&path, json!({"schemaVersion": 2, "x": 1, "manifests": [foreign]}).to_string()).unwrap();
    push_image(&registries(), &store, &name(format!("{out}:v1")), b"layer").await;
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&index["manifests"][0], &index["x"]), (&foreign, &json!(1)));
    for broken in ["[]", "{\"manifests\":{}}", "{"] {
        std::fs::write(&path, broken).unwrap();
        let tagged = registries().tag(&name(format!("{out}:v1")), OCI_INDEX, br#"{"manifests":[]}"#).await;
        assert!(matches!(tagged, Err(RegistryError::Layout { .. })), "{broken}: {tagged:?}");
        assert_eq!(std::fs::read(&path).unwrap(), broken.as_bytes());
    }
}
