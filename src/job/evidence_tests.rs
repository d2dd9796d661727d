#![expect(clippy::disallowed_methods, reason = "alters files behind the store's back")]

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{job::publish::Publisher, progress::Silent, registry::Registries, store::Store};

const EXAMPLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/attestations/build/v1/example.json"));

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

fn believed(finished_on_s: i64, referrer: &[u8]) -> Believed {
    let statement = Statement::parse(EXAMPLE.as_bytes()).unwrap();
    let mut provenance = Provenance::read(&statement).unwrap();
    provenance.run.finished_on_s = finished_on_s;
    Believed { provenance, referrer: Digest::of(referrer), statement, by: By::Key }
}

#[test]
fn the_latest_is_used_unless_one_is_wanted() {
    let candidates = || Candidates {
        believed: vec![believed(1, b"early"), believed(3, b"late"), believed(2, b"between")],
        refused: vec!["a stranger's".into()],
        unread: Some("gone".into()),
    };
    let first = |wanted| match candidates().settle(wanted) {
        Ok(Found::Believed(all)) => all[0].referrer,
        other => panic!("{other:?}"),
    };
    assert_eq!(first(None), Digest::of(b"late"));
    assert_eq!(first(Some(Digest::of(b"early"))), Digest::of(b"early"));
    let absent = Candidates { unread: None, ..candidates() }.settle(Some(Digest::of(b"no such")));
    let Ok(Found::Refused(reasons)) = absent else { panic!("{absent:?}") };
    assert!(reasons[1].contains(&Digest::of(b"early").to_string()), "{reasons:?}");
}

#[test]
fn what_cannot_be_read_may_be_the_good_one() {
    let not_there = RegistryError::NotFound { what: "blob".into() };
    let mismatch =
        RegistryError::Mismatch { what: "blob".into(), expected: "sha256:0".into(), actual: Digest::of(b"") };
    let mut candidates = Candidates::<Provenance>::default();
    candidates.unread(Digest::of(b"a"), &mismatch);
    assert_eq!((candidates.refused.len(), &candidates.unread), (1, &None));
    candidates.unread(Digest::of(b"b"), &not_there);
    assert!(candidates.settle(None).unwrap_err().contains("not there"));
    let nothing = Candidates::<Provenance>::default().settle(None);
    assert!(
        matches!(nothing, Ok(Found::Refused(reasons)) if reasons == ["there is no provenance beside the image"])
    );
}

#[tokio::test]
async fn a_blob_altered_in_the_store_is_fetched_again() {
    let (dir, store) = store();
    let registries = Arc::new(Registries::new(crate::registry::Options::default()));
    let cancel = CancellationToken::new();
    let ports = Ports {
        store: store.clone(),
        registries,
        network: crate::model::Network::default(),
        progress: Arc::new(Silent),
        cancel,
    };
    let image: ImageName = format!("oci:{}:t", dir.path().join("layout").display()).parse().unwrap();
    let digest = store.put(b"log").unwrap();
    let subject = Descriptor::of(names::OCI_MANIFEST, b"{}");
    let kept = crate::job::execute::Kept { digest, size: 3 };
    Publisher::new(&ports, &image, subject.clone()).kept(names::LOG, kept).await.unwrap();
    let evidence = Evidence::gather(&ports, &image, subject.digest).await.unwrap();
    store.remove(&digest).unwrap();
    std::fs::write(store.path(&digest), b"lag").unwrap();
    assert_eq!(evidence.read(&ports, &digest, 10).await.unwrap().unwrap(), b"log");
    assert_eq!(evidence.read(&ports, &digest, 2).await.unwrap(), None);
    assert_eq!(evidence.read(&ports, &Digest::of(b"other"), 10).await.unwrap(), None);
}
