use std::{fs, process::Command};

use super::fake::{EPOCH_S, Fake, lines};
use crate::source::{Checkout, Options, SourceError, Wanted};

fn pack(checkout: &Checkout) -> Vec<u8> {
    let mut bytes = Vec::new();
    checkout.pack(&mut bytes).unwrap();
    bytes
}

fn wanted(checkout: &Checkout) -> Wanted {
    Wanted {
        uri: None,
        commit: checkout.commit(),
        tree: checkout.tree(),
        subdir: checkout.subdir().to_owned(),
    }
}

fn sample() -> Fake {
    let fake = Fake::with(&[("a", "1"), ("sub/b", "2"), ("sub/same", "1")]);
    fake.file("large", &"0123456789abcdef".repeat(10_000));
    fake.file("empty", "");
    fake.executable("sub/b");
    fake.link("l", "a");
    fake.commit();
    fake
}

#[test]
fn holds_one_commit_and_gives_it_back() {
    let fake = sample();
    let checkout = fake.open().unwrap();
    let bytes = pack(&checkout);
    assert_eq!(bytes, pack(&fake.open().unwrap()));
    assert_eq!(u32::from_be_bytes(bytes[8..12].try_into().unwrap()), 1 + 2 + 5);
    let other = Fake::new();
    let back = Checkout::from_pack(&bytes[..], &wanted(&checkout), &other.options()).unwrap();
    assert_eq!((back.commit(), back.tree(), back.epoch_s()), (checkout.commit(), checkout.tree(), EPOCH_S));
    assert_eq!(lines(&other.export_of(&back).unwrap()), lines(&fake.export().unwrap()));
    assert_eq!(pack(&back), bytes);
    drop(back);
    assert_eq!(fs::read_dir(other.store.tmp()).unwrap().count(), 0);
}

#[test]
fn does_not_depend_on_how_objects_are_stored() {
    let fake = sample();
    let loose = pack(&fake.open().unwrap());
    let status =
        Command::new("git").args(["-c", "gc.auto=0", "repack", "-adfq"]).current_dir(fake.root()).status();
    assert!(status.unwrap().success());
    assert_eq!(pack(&fake.open().unwrap()), loose);
}

#[test]
fn git_reads_it() {
    let fake = sample();
    let file = fake.dir.path().join("source.pack");
    fs::write(&file, pack(&fake.open().unwrap())).unwrap();
    let output = Command::new("git").arg("index-pack").arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn uncommitted_changes_travel_in_it() {
    let fake = sample();
    fake.file("sub/b", "changed");
    let checkout = Checkout::open(
        &format!("{}/sub", fake.source()),
        "HEAD",
        &Options { allow_dirty: true, ..fake.options() },
    );
    let checkout = checkout.unwrap();
    let back = Checkout::from_pack(&pack(&checkout)[..], &wanted(&checkout), &fake.options()).unwrap();
    assert_eq!(back.subdir(), "sub");
    assert_eq!(back.read("b", 100).unwrap().unwrap(), b"changed");
}

#[test]
fn anything_else_is_refused() {
    let fake = sample();
    let checkout = fake.open().unwrap();
    let (bytes, wanted) = (pack(&checkout), wanted(&checkout));
    let read = |bytes: &[u8], wanted: &Wanted| Checkout::from_pack(bytes, wanted, &fake.options());
    for at in [0, 9, 30, bytes.len() / 2, bytes.len() - 1] {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(read(&altered, &wanted).is_err(), "byte {at}");
    }
    assert!(read(&bytes[..bytes.len() - 30], &wanted).is_err());
    assert!(read(b"", &wanted).is_err());
    let zeros = "0".repeat(40);
    let refused = read(&bytes, &Wanted { tree: zeros.clone(), ..wanted.clone() });
    assert!(matches!(refused, Err(SourceError::TreeDiffers { .. })), "{refused:?}");
    let refused = read(&bytes, &Wanted { commit: zeros, ..wanted.clone() });
    assert!(matches!(refused, Err(SourceError::Rev { .. })), "{refused:?}");
    let refused = read(&bytes, &Wanted { subdir: "none".into(), ..wanted });
    assert!(matches!(refused, Err(SourceError::Path { .. })), "{refused:?}");
}

#[test]
fn a_pack_without_all_files_is_refused() {
    let fake = sample();
    let checkout = fake.open().unwrap();
    let mut builder = fake.repo.packbuilder().unwrap();
    builder.insert_object(checkout.commit().parse::<git2::Oid>().unwrap(), None).unwrap();
    builder.insert_object(checkout.tree().parse::<git2::Oid>().unwrap(), None).unwrap();
    let mut bytes = git2::Buf::new();
    builder.write_buf(&mut bytes).unwrap();
    let refused = Checkout::from_pack(&bytes[..], &wanted(&checkout), &fake.options());
    assert!(matches!(refused, Err(SourceError::Git { .. })), "{refused:?}");
}
