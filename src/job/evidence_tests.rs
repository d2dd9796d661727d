#![expect(clippy::disallowed_methods, reason = "alters files behind the store's back")]

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{job::publish::Publisher, progress::Silent, registry::Registries};

const EXAMPLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/attestations/build/v1/example.json"));

fn pack(entries: &[(Digest, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (digest, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, digest.hex(), *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

#[test]
fn a_strangers_pack_hides_no_good_one() {
    let (_dir, store) = store();
    let (a, b) = (Digest::of(b"a"), Digest::of(b"bb"));
    let mut missing = BTreeMap::from([(a, "not there".to_owned()), (b, "not there".to_owned())]);
    let good = pack(&[(a, b"a"), (b, b"bb")]);
    unpack(&store, &[7; 3000], &mut missing).unwrap();
    unpack(&store, &good[..512], &mut missing).unwrap();
    assert_eq!(missing[&b], "not there");
    unpack(&store, &pack(&[(a, b"x"), (Digest::of(b"other"), b"other")]), &mut missing).unwrap();
    assert!(missing[&a].contains("expected"), "{missing:?}");
    assert_eq!(store.size(&Digest::of(b"other")), None);
    unpack(&store, &good, &mut missing).unwrap();
    assert_eq!(missing, BTreeMap::new());
    assert_eq!((store.size(&a), store.size(&b)), (Some(1), Some(2)));
}

#[tokio::test]
async fn what_the_store_lacks_or_holds_altered_is_absent() {
    let (_dir, store) = store();
    let digests = [&b"whole"[..], b"short", b"altered", b"gone"].map(|bytes| store.put(bytes).unwrap());
    for (digest, bytes) in [(&digests[1], &b"shor"[..]), (&digests[2], b"Altered")] {
        store.remove(digest).unwrap();
        std::fs::write(store.path(digest), bytes).unwrap();
    }
    store.remove(&digests[3]).unwrap();
    let wanted = digests.into_iter().zip([5, 5, 7, 4]).collect();
    let absent: Vec<_> = absent(&store, &wanted).await.into_keys().collect();
    let mut expected = digests[1..].to_vec();
    expected.sort_unstable();
    assert_eq!(absent, expected);
}

fn believed(finished_on_s: i64, referrer: &[u8]) -> Believed {
    let statement = Statement::parse(EXAMPLE.as_bytes()).unwrap();
    let mut provenance = Provenance::read(&statement).unwrap();
    provenance.run.finished_on_s = finished_on_s;
    Believed { provenance, referrer: Digest::of(referrer), statement }
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
    let ports = Ports { store: store.clone(), registries, progress: Arc::new(Silent), cancel };
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
