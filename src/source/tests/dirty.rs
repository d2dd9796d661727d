use std::fs;

use super::fake::{EPOCH_S, Fake, lines};
use crate::source::{Checkout, Options, SourceError};

fn allowed(fake: &Fake) -> Checkout {
    let options = Options { allow_dirty: true, ..fake.options() };
    Checkout::open(&fake.source(), "HEAD", &options).unwrap()
}

#[track_caller]
fn dirty(fake: &Fake, expected: &str) {
    let error = fake.open().unwrap_err();
    assert!(matches!(error, SourceError::Dirty { .. }), "{error}");
    let message = error.to_string();
    assert_eq!(
        message,
        format!("uncommitted changes in {expected}; commit them, or build them with `--allow-dirty`")
    );
}

#[test]
fn every_kind_of_change_is_one() {
    let fake = Fake::with(&[("a", "1"), ("d/b", "1"), (".gitignore", "ignored\n")]);
    fake.file("ignored", "");
    fake.open().unwrap();
    fake.file("d/new\u{1b}", "");
    dirty(&fake, "`d/new\\u{1b}`");
    fs::remove_file(fake.root().join("d/new\u{1b}")).unwrap();
    fake.executable("d/b");
    dirty(&fake, "`d/b`");
    fake.commit();
    fake.file("a", "2");
    dirty(&fake, "`a`");
    let mut index = fake.repo.index().unwrap();
    index.add_path(std::path::Path::new("a")).unwrap();
    index.write().unwrap();
    dirty(&fake, "`a`");
    fake.commit();
    fs::remove_file(fake.root().join("a")).unwrap();
    dirty(&fake, "`a`");
}

#[test]
fn a_long_list_is_cut() {
    let fake = Fake::with(&[("a", "1")]);
    for n in 0..12 {
        fake.file(&format!("n{n:02}"), "");
    }
    dirty(&fake, "`n00`, `n01`, `n02`, `n03`, `n04`, `n05`, `n06`, `n07`, `n08`, `n09` and 2 more");
}

#[test]
fn only_changes_under_the_directory_and_at_head_count() {
    let fake = Fake::with(&[("sub/a", "1"), ("subway/b", "1"), ("[s]ub/c", "1")]);
    let first = fake.repo.head().unwrap().target().unwrap().to_string();
    fake.file("subway/b", "2");
    fake.file("sub/a", "1");
    Checkout::open(&format!("{}/sub", fake.source()), "HEAD", &fake.options()).unwrap();
    Checkout::open(&format!("{}/[s]ub", fake.source()), "HEAD", &fake.options()).unwrap();
    let refused = Checkout::open(&format!("{}/subway", fake.source()), "HEAD", &fake.options());
    assert!(matches!(refused, Err(SourceError::Dirty { .. })), "{refused:?}");
    fake.commit();
    fake.file("subway/b", "3");
    Checkout::open(&fake.source(), &first, &fake.options()).unwrap();
}

#[test]
fn changes_become_a_commit_that_leaves_the_repository_alone() {
    let fake = Fake::with(&[("a", "1"), ("gone", "1"), ("d/only", "1"), ("x/y/z", "1"), ("keep/me", "1")]);
    fake.file(".gitignore", "ignored\n");
    fake.file(".gitattributes", "* text eol=lf\n");
    fake.commit();
    let head = fake.repo.head().unwrap().target().unwrap().to_string();
    fake.file("a", "2\r\n");
    fake.executable("a");
    fake.file("ignored", "never");
    fake.file("new/deep/file", "3");
    fake.link("new/link", "/etc/passwd");
    for path in ["gone", "d/only", "x/y/z"] {
        fs::remove_file(fake.root().join(path)).unwrap();
    }
    fs::remove_dir_all(fake.root().join("x")).unwrap();
    fake.file("x", "a file now");
    fake.file("gone/is", "a directory now");
    let objects = || super::fake::listing(&fake.root().join(".git/objects")).len();
    let before = objects();
    let checkout = allowed(&fake);
    assert!(checkout.dirty());
    assert_eq!((checkout.epoch_s(), checkout.uri()), (EPOCH_S, None));
    insta::assert_snapshot!(lines(&fake.export_of(&checkout).unwrap()), @r"
    .gitattributes: 644 * text eol=lf\n
    .gitignore: 644 ignored\n
    a: 755 2\r\n
    gone: 755 /
    gone/is: 644 a directory now
    keep: 755 /
    keep/me: 644 1
    new: 755 /
    new/deep: 755 /
    new/deep/file: 644 3
    new/link: -> /etc/passwd
    x: 644 a file now
    ");
    assert_eq!(checkout.commit(), allowed(&fake).commit());
    assert_ne!(checkout.commit(), head);
    assert_eq!(objects(), before);
    assert_eq!(fake.repo.head().unwrap().target().unwrap().to_string(), head);
    drop(checkout);
    assert_eq!(fs::read_dir(fake.store.tmp()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_became_a_link_is_not_followed() {
    let fake = Fake::with(&[("d/a", "1"), ("b", "1")]);
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("a"), "not ours").unwrap();
    fs::remove_dir_all(fake.root().join("d")).unwrap();
    fake.link("d", elsewhere.path().to_str().unwrap());
    let listing = fake.export_of(&allowed(&fake)).unwrap();
    assert_eq!(lines(&listing), format!("b: 644 1\nd: -> {}\n", elsewhere.path().display()));
}

#[test]
fn what_another_repository_holds_is_not_ours() {
    let fake = Fake::with(&[("a", "1")]);
    git2::Repository::init(fake.root().join("inner")).unwrap();
    fake.file("inner/b", "1");
    fake.file("c", "1");
    assert_eq!(lines(&fake.export_of(&allowed(&fake)).unwrap()), "a: 644 1\nc: 644 1\n");
}

#[test]
fn all_files_may_be_gone() {
    let fake = Fake::with(&[("d/a", "1")]);
    fs::remove_dir_all(fake.root().join("d")).unwrap();
    assert_eq!(lines(&fake.export_of(&allowed(&fake)).unwrap()), "");
}
