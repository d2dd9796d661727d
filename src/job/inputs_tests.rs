#![expect(clippy::disallowed_methods, reason = "alters files behind the store's back")]

use super::*;

fn packed(entries: &[(Digest, &[u8])]) -> Vec<u8> {
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

fn alter(store: &Store, digest: &Digest, bytes: &[u8]) {
    store.remove(digest).unwrap();
    std::fs::write(store.path(digest), bytes).unwrap();
}

#[test]
fn a_strangers_pack_hides_no_good_one() {
    let (_dir, store) = store();
    let (a, b) = (Digest::of(b"a"), Digest::of(b"bb"));
    let mut missing = Missing([a, b].map(|digest| (digest, NOWHERE.to_owned())).into());
    let good = packed(&[(a, b"a"), (b, b"bb")]);
    missing.unpack(&store, &[7; 3000]).unwrap();
    missing.unpack(&store, &good[..512]).unwrap();
    assert_eq!(missing.0[&b], NOWHERE);
    missing.unpack(&store, &packed(&[(a, b"x"), (Digest::of(b"other"), b"other")])).unwrap();
    assert!(missing.0[&a].contains("expected"), "{missing:?}");
    assert_eq!(store.size(&Digest::of(b"other")), None);
    missing.blame("the pack is gone");
    assert_eq!(missing.0[&b], "the pack is gone");
    assert!(missing.0[&a].contains("expected"), "a better reason was lost: {missing:?}");
    missing.unpack(&store, &good).unwrap();
    assert_eq!(missing.left(), []);
    assert_eq!((store.size(&a), store.size(&b)), (Some(1), Some(2)));
}

#[tokio::test]
async fn what_the_store_lacks_or_holds_altered_is_missing() {
    let (_dir, store) = store();
    let digests = [&b"whole"[..], b"short", b"altered", b"gone"].map(|bytes| store.put(bytes).unwrap());
    alter(&store, &digests[1], b"shor");
    alter(&store, &digests[2], b"Altered");
    store.remove(&digests[3]).unwrap();
    let wanted = digests.into_iter().zip([5, 5, 7, 4]).collect();
    let missing: Vec<_> =
        Missing::of(&store, &wanted).await.left().into_iter().map(|(digest, _)| digest).collect();
    let mut expected = digests[1..].to_vec();
    expected.sort_unstable();
    assert_eq!(missing, expected);
}

#[test]
fn a_pack_depends_on_its_bodies_alone_and_holds_no_altered_one() {
    let (_dir, store) = store();
    let mut bodies = [&b"a"[..], b"bb"].map(|bytes| (store.put(bytes).unwrap(), bytes.len() as u64));
    bodies.sort_unstable();
    let [first] = pack(&store, &bodies).unwrap().try_into().unwrap();
    assert_eq!(pack(&store, &bodies).unwrap(), std::slice::from_ref(&first));
    let mut missing = Missing(bodies.map(|(digest, _)| (digest, String::new())).into());
    missing.unpack(&store, &store.read(&first.digest, first.size).unwrap()).unwrap();
    assert_eq!(missing.left(), []);
    alter(&store, &bodies[0].0, b"x");
    let altered = pack(&store, &bodies);
    assert!(matches!(altered, Err(PublishError::Store(_))), "{altered:?}");
}

#[test]
fn packs_are_bounded() {
    let (_dir, store) = store();
    let body = vec![7; usize::try_from(limits::INPUT_OWN_LAYER_BYTES - 1).unwrap()];
    let bodies: Vec<_> = (0..70_u8)
        .map(|number| (store.put(&[&body[1..], &[number]].concat()).unwrap(), body.len() as u64))
        .collect();
    let packs = pack(&store, &bodies).unwrap();
    assert_eq!(packs.len(), 2);
    assert!(packs.iter().all(|pack| pack.size <= limits::PACK_SIZE_BYTES_MAX), "{packs:?}");
}

#[test]
fn private_bodies_stay_and_with_none_all_do() {
    let [private, public] = [&b"private"[..], b"public"].map(Digest::of);
    let all = BTreeMap::from([(private, 7), (public, 6)]);
    let sorted = |to: &InputsTo| {
        let bodies = Bodies::sort(all.clone(), to, |digest| *digest == private);
        (bodies.pushed.into_keys().collect::<Vec<_>>(), bodies.local.len())
    };
    assert_eq!(sorted(&InputsTo::Same), (vec![public], 1));
    assert_eq!(sorted(&InputsTo::Nowhere), (vec![], 2));
}
