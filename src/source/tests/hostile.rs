//! Trees that git itself would not write.

use super::fake::{EPOCH_S, Fake, lines};
use crate::source::SourceError;

/// Commits a tree of raw entries over one blob and exports it.
fn export(entries: &[(&str, &[u8])]) -> Result<String, SourceError> {
    let fake = Fake::new();
    let blob = fake.repo.blob(b"owned").unwrap();
    let link = fake.repo.blob(b"/tmp").unwrap();
    let inner = fake.raw_tree(&[("100644", b"x", blob)]);
    let id = |mode: &str| match mode {
        "40000" => inner,
        "120000" => link,
        _ => blob,
    };
    let entries: Vec<_> = entries.iter().map(|(mode, name)| (*mode, *name, id(mode))).collect();
    let tree = fake.raw_tree(&entries);
    fake.commit_tree(tree, EPOCH_S);
    Ok(lines(&fake.export()?))
}

#[track_caller]
fn refuses(entries: &[(&str, &[u8])], expected: &str) {
    let error = export(entries).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn names_that_lead_elsewhere() {
    for mode in ["100644", "40000", "120000", "160000"] {
        refuses(&[(mode, b"..")], "refusing `..` of the commit: such a name leads elsewhere");
        refuses(&[(mode, b".")], "leads elsewhere");
        refuses(&[(mode, b"a/../../x")], "leads elsewhere");
        refuses(&[(mode, b"/etc")], "leads elsewhere");
        for name in [b".git", b".GIT", b".Git"] {
            refuses(&[(mode, name)], "a commit cannot hold a repository");
        }
    }
    refuses(&[("100644", &[b'a'; 256])], "too long");
}

#[test]
fn a_link_and_a_directory_of_one_name() {
    let error = export(&[("120000", b"a"), ("40000", b"a")]).unwrap_err();
    assert!(matches!(error, SourceError::Io { action: "create", .. }), "{error}");
    let error = export(&[("120000", b"a"), ("100644", b"a")]).unwrap_err();
    assert!(matches!(error, SourceError::Io { action: "create", .. }), "{error}");
}

#[test]
fn modes_are_made_plain() {
    let listing = export(&[("104755", b"setuid"), ("100600", b"private"), ("100777", b"all")]).unwrap();
    assert_eq!(listing, "all: 755 owned\nprivate: 644 owned\nsetuid: 755 owned\n");
    refuses(&[("20666", b"dev")], "its mode is none of git's");
    refuses(&[("10644", b"pipe")], "its mode is none of git's");
}

#[test]
fn submodules_are_named() {
    refuses(&[("160000", b"vendor")], "`vendor` is a submodule that was not fetched");
}

#[test]
fn an_ignored_submodule_is_no_trouble() {
    let fake = Fake::new();
    let ignore = fake.repo.blob(b"vendor\n").unwrap();
    let tree = fake.raw_tree(&[("100644", b".dockerignore", ignore), ("160000", b"vendor", ignore)]);
    fake.commit_tree(tree, EPOCH_S);
    assert_eq!(lines(&fake.export().unwrap()), ".dockerignore: 644 vendor\\n\n");
}

#[test]
fn lfs_pointers_are_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    let fake = Fake::with(&[("models/a.bin", pointer)]);
    let error = fake.export().unwrap_err().to_string();
    assert!(
        error.starts_with("`models/a.bin` is a Git LFS pointer to sha256:00 (5 bytes), which"),
        "{error}"
    );
    assert!(error.contains("`git lfs migrate export --include=models/a.bin`"), "{error}");
    let cut = Fake::with(&[("a", "version https://git-lfs.github.com/spec/v1\noid \u{1b}[2J")]);
    let error = cut.export().unwrap_err().to_string();
    assert!(error.contains("to \\u{1b}[2J (? bytes)"), "{error}");
    let fake = Fake::with(&[("doc", &format!("{pointer}{}", "x".repeat(1024)))]);
    fake.export().unwrap();
}

#[test]
fn a_tree_of_trees_ends_at_the_bound() {
    let fake = Fake::new();
    let blob = fake.repo.blob(b"").unwrap();
    let mut tree = fake.raw_tree(&[("100644", b"x", blob)]);
    for _ in 0..300 {
        tree = fake.raw_tree(&[("40000", b"d", tree)]);
    }
    fake.commit_tree(tree, EPOCH_S);
    let error = fake.export().unwrap_err().to_string();
    assert!(error.contains("it lies too deep"), "{error}");
}

#[test]
fn names_that_are_not_utf8_are_written_as_they_are() {
    use std::os::unix::ffi::OsStrExt as _;
    let fake = Fake::new();
    let blob = fake.repo.blob(b"1").unwrap();
    let tree = fake.raw_tree(&[("100644", b"a\xff", blob)]);
    fake.commit_tree(tree, EPOCH_S);
    let checkout = fake.open_bare().unwrap();
    let out = fake.dir.path().join("out");
    checkout.export(&out, ".", "Dockerfile").unwrap();
    let name = std::ffi::OsStr::from_bytes(b"a\xff");
    assert_eq!(std::fs::read(out.join(name)).unwrap(), b"1");
}
