//! Against docker-registry, which has no referrers API, so the fallback tag is ours.

use super::{server::DockerRegistry, *};
use crate::model::names::OCI_INDEX;

#[tokio::test]
async fn an_image_goes_and_comes_back() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, ours), (_other_dir, theirs)) = (registries(), store(), store());
    let image = name(format!("{}/app:v1", registry.host));
    let layer = vec![7; 3 << 20];
    let pushed = push_image(&registries, &ours, &image, &layer).await;
    assert_eq!(registries.resolve(&image).await.unwrap(), pushed);
    let by_digest = name(format!("{}/app@{}", registry.host, pushed.digest));
    let (descriptor, bytes) = registries.manifest(&by_digest).await.unwrap();
    assert_eq!((descriptor.media_type.as_str(), Digest::of(&bytes)), (OCI_MANIFEST, pushed.digest));

    let wanted = Descriptor::of(OCI_LAYER, &layer);
    assert!(registries.blob_exists(&image, &wanted.digest).await.unwrap());
    assert!(!registries.blob_exists(&image, &Digest::of(b"?")).await.unwrap());
    registries.fetch_blob(&image, &wanted, &theirs).await.unwrap();
    assert_eq!(theirs.read(&wanted.digest, 4 << 20).unwrap(), layer);
    // Once more without a registry: it is in the store.
    drop(registry);
    registries.fetch_blob(&image, &wanted, &theirs).await.unwrap();
    let gone = registries.manifest(&image).await.unwrap_err();
    assert!(gone.is_unavailable() && !gone.is_not_found(), "{gone:?}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, store)) = (registries(), store());
    let absent = name(format!("{}/app:v1", registry.host));
    assert!(registries.manifest(&absent).await.unwrap_err().is_not_found());
    let blob = Descriptor::of(OCI_LAYER, b"x");
    assert!(registries.fetch_blob(&absent, &blob, &store).await.unwrap_err().is_not_found());
    assert_eq!(registries.referrers(&absent, &blob.digest).await.unwrap(), []);
}

#[tokio::test]
async fn a_blob_is_sent_once_then_mounted() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, store)) = (registries(), store());
    let (one, two) = (name(format!("{}/one", registry.host)), name(format!("{}/two", registry.host)));
    let wanted = blob(&store, OCI_LAYER, b"layer");
    let push = async |to: &ImageName, from| registries.push_blob(to, &wanted, &store, from).await.unwrap();
    assert_eq!(push(&one, None).await, Pushed::Sent);
    assert_eq!(push(&one, None).await, Pushed::Existing);
    assert_eq!(push(&two, Some(&one)).await, Pushed::Mounted);
    let other = blob(&store, OCI_LAYER, b"nobody has it");
    assert_eq!(registries.push_blob(&two, &other, &store, Some(&one)).await.unwrap(), Pushed::Sent);
    let empty = blob(&store, OCI_LAYER, b"");
    assert_eq!(registries.push_blob(&one, &empty, &store, None).await.unwrap(), Pushed::Sent);
}

#[tokio::test]
async fn an_altered_blob_is_not_sent() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, store)) = (registries(), store());
    let image = name(format!("{}/app", registry.host));
    let wanted = blob(&store, OCI_LAYER, b"layer");
    std::fs::write(store.path(&wanted.digest), b"LAYER").unwrap();
    let error = registries.push_blob(&image, &wanted, &store, None).await.unwrap_err();
    assert!(matches!(error, RegistryError::Store(_)), "{error:?}");
    assert!(!registries.blob_exists(&image, &wanted.digest).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_blob_from_many_sides_at_once() {
    let registry = DockerRegistry::start();
    let (_dir, store) = store();
    let wanted = blob(&store, OCI_LAYER, &vec![3; 1 << 20]);
    let pushes = (0..6).map(|_| {
        let (registries, image) = (registries(), name(format!("{}/app", registry.host)));
        let (store, wanted) = (store.clone(), wanted.clone());
        tokio::spawn(async move { registries.push_blob(&image, &wanted, &store, None).await })
    });
    for push in pushes.collect::<Vec<_>>() {
        push.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn attaches_by_the_fallback_tag_and_again_changes_nothing() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, store)) = (registries(), store());
    let image = name(format!("{}/app:v1", registry.host));
    let subject = push_image(&registries, &store, &image, b"layer").await;
    let first = attach(&registries, &store, &image, &subject, "one").await;
    assert_eq!((first.listed, first.dropped), (Listed::FallbackTag, vec![]));
    attach(&registries, &store, &image, &subject, "two").await;
    attach(&registries, &store, &image, &subject, "one").await;
    assert_eq!(listed(&registries, &image, &subject).await, ["one", "two"]);
    let found = registries.referrers(&image, &subject.digest).await.unwrap();
    assert!(found.iter().all(|entry| entry.artifact_type.as_deref() == Some(BUNDLE)));
}

#[tokio::test]
async fn many_are_listed_at_once() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, store)) = (registries(), store());
    let image = name(format!("{}/app:v1", registry.host));
    let subject = push_image(&registries, &store, &image, b"layer").await;
    attach(&registries, &store, &image, &subject, "before").await;
    let mut put = Vec::new();
    for text in ["one", "two"] {
        let manifest = bundle(&registries, &store, &image, &subject, text).await;
        let annotations = BTreeMap::from([("a".to_owned(), text.to_owned())]);
        let one = registries.put_attachment(&image, &manifest, BUNDLE, &annotations).await.unwrap();
        assert_eq!(one.listed, Listed::FallbackTag);
        put.push(one.descriptor);
    }
    assert_eq!(listed(&registries, &image, &subject).await, ["before"]);
    let dropped = registries.list_attachments(&image, &subject, &put, None).await.unwrap();
    assert_eq!(dropped, []);
    assert_eq!(listed(&registries, &image, &subject).await, ["before", "one", "two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn six_at_once_keep_all_six() {
    let registry = DockerRegistry::start();
    let (_dir, store) = store();
    let image = name(format!("{}/app:v1", registry.host));
    let subject = push_image(&registries(), &store, &image, b"layer").await;
    let attaches = (0..6).map(|number| {
        let (store, image, subject) = (store.clone(), image.clone(), subject.clone());
        tokio::spawn(
            async move { attach(&registries(), &store, &image, &subject, &number.to_string()).await },
        )
    });
    for attached in attaches.collect::<Vec<_>>() {
        attached.await.unwrap();
    }
    assert_eq!(listed(&registries(), &image, &subject).await, ["0", "1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn an_image_at_the_fallback_tag_is_no_list_and_is_replaced() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, store)) = (registries(), store());
    let image = name(format!("{}/app:v1", registry.host));
    let subject = push_image(&registries, &store, &image, b"layer").await;
    let (_, bytes) = registries.manifest(&image).await.unwrap();
    let spoilt = name(format!("{}/app:{}", registry.host, fallback_tag(&subject.digest)));
    registries.tag(&spoilt, OCI_MANIFEST, &bytes).await.unwrap();
    assert_eq!(registries.referrers(&image, &subject.digest).await.unwrap(), []);
    attach(&registries, &store, &image, &subject, "one").await;
    assert_eq!(listed(&registries, &image, &subject).await, ["one"]);
}

#[tokio::test]
async fn a_dead_entry_does_not_block_the_tag() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, store)) = (registries(), store());
    let image = name(format!("{}/app:v1", registry.host));
    let subject = push_image(&registries, &store, &image, b"layer").await;
    let dead = attach(&registries, &store, &image, &subject, "dead").await.descriptor.digest;
    attach(&registries, &store, &image, &subject, "alive").await;
    let url = format!("http://{}/v2/app/manifests/{dead}", registry.host);
    let deleted = reqwest::Client::new().delete(url).send().await.unwrap();
    assert_eq!(deleted.status(), 202);
    let attached = attach(&registries, &store, &image, &subject, "new").await;
    assert_eq!(attached.dropped, [dead]);
    assert_eq!(listed(&registries, &image, &subject).await, ["alive", "new"]);
}

#[tokio::test]
async fn selects_a_platform_from_an_index() {
    let registry = DockerRegistry::start();
    let (registries, (_dir, store)) = (registries(), store());
    let image = name(format!("{}/app:child", registry.host));
    let child = push_image(&registries, &store, &image, b"layer").await;
    let platform = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
    let entry = Descriptor { platform: Some(platform.clone()), ..child.clone() };
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).to_string();
    let list = name(format!("{}/app:list", registry.host));
    registries.tag(&list, OCI_INDEX, index.as_bytes()).await.unwrap();
    assert_eq!(registries.resolve(&list).await.unwrap().media_type, OCI_INDEX);
    let (chosen, _) = registries.platform_manifest(&list, "linux/arm64").await.unwrap();
    assert_eq!((chosen.digest, chosen.platform), (child.digest, Some(platform)));
    let error = registries.platform_manifest(&list, "linux/amd64").await.unwrap_err().to_string();
    assert!(error.ends_with("it has linux/arm64"), "{error}");
    let (alone, _) = registries.platform_manifest(&image, "linux/amd64").await.unwrap();
    assert_eq!(alone.digest, child.digest);
}

#[tokio::test]
async fn a_manifest_whose_blobs_are_missing_is_refused() {
    let registry = DockerRegistry::start();
    let registries = registries();
    let image = name(format!("{}/app:v1", registry.host));
    let layer = Descriptor::of(OCI_LAYER, b"never sent");
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": layer, "layers": [layer]})
        .to_string();
    let error = registries.tag(&image, OCI_MANIFEST, manifest.as_bytes()).await.unwrap_err();
    assert!(error.to_string().contains("400 MANIFEST_BLOB_UNKNOWN: "), "{error}");
    let large = vec![b' '; (4 << 20) + 1];
    let error = registries.tag(&image, OCI_MANIFEST, &large).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error:?}");
}
