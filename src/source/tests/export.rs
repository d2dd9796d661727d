use std::{fs, os::unix::fs::MetadataExt as _};

use super::fake::{EPOCH_S, Fake, lines};
use crate::source::SourceError;

#[test]
fn writes_the_bytes_of_the_objects() {
    let fake = Fake::with(&[
        (".gitattributes", "* text eol=crlf ident\nsecret export-ignore\nx.bin filter=evil -text\n"),
        ("unix.txt", "a\nb\n$Id$\n"),
        ("dos.txt", "a\r\nb\r\n"),
        ("secret", "kept\n"),
        ("x.bin", "raw"),
        ("bin/run", "#!/bin/sh\n"),
    ]);
    fake.executable("bin/run");
    fake.link("outside", "/etc/passwd");
    fake.link("up", "../../..");
    let config = &mut fake.repo.config().unwrap();
    config.set_str("filter.evil.smudge", "touch /tmp/never; cat").unwrap();
    config.set_str("core.autocrlf", "true").unwrap();
    fake.commit();
    insta::assert_snapshot!(lines(&fake.export().unwrap()), @r"
    .gitattributes: 644 * text eol=crlf ident\nsecret export-ignore\nx.bin filter=evil -text\n
    bin: 755 /
    bin/run: 755 #!/bin/sh\n
    dos.txt: 644 a\r\nb\r\n
    outside: -> /etc/passwd
    secret: 644 kept\n
    unix.txt: 644 a\nb\n$Id$\n
    up: -> ../../..
    x.bin: 644 raw
    ");
}

#[test]
fn everything_has_the_time_of_the_commit() {
    let fake = Fake::with(&[("a", "1"), ("d/e/b", "2")]);
    fake.link("l", "nowhere");
    fake.commit();
    let out = fake.dir.path().join("out");
    fake.open().unwrap().export(&out, ".", "Dockerfile").unwrap();
    for path in ["", "a", "d", "d/e", "d/e/b", "l"] {
        let metadata = fs::symlink_metadata(out.join(path)).unwrap();
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (EPOCH_S, 0), "{path}");
    }
    assert_eq!(fs::metadata(&out).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn only_the_context_is_written() {
    let fake = Fake::with(&[("app/src/a", "1"), ("app/Dockerfile", ""), ("b", "2")]);
    let checkout = fake.open().unwrap();
    let out = fake.dir.path().join("out");
    checkout.export(&out, "app/src", "app/Dockerfile").unwrap();
    assert_eq!(lines(&super::fake::listing(&out)), "a: 644 1\n");
    let refused = checkout.export(&fake.dir.path().join("other"), "none", "Dockerfile");
    assert!(matches!(refused, Err(SourceError::Path { what: "a directory", .. })), "{refused:?}");
    let refused = checkout.export(&out, "app", "Dockerfile");
    assert!(matches!(refused, Err(SourceError::Io { action: "export to", .. })), "{refused:?}");
}

#[test]
fn never_writes_through_a_link() {
    let fake = Fake::with(&[("a", "1")]);
    let elsewhere = tempfile::tempdir().unwrap();
    let out = fake.dir.path().join("out");
    std::os::unix::fs::symlink(elsewhere.path(), &out).unwrap();
    assert!(fake.open().unwrap().export(&out, ".", "Dockerfile").is_err());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn honours_dockerignore() {
    let files = [
        ("Dockerfile", "FROM x"),
        (".dockerignore", "Dockerfile\n.dockerignore\n*.log\nsecrets\n!secrets/public\nempty/*\n"),
        ("a.log", ""),
        ("deep/a.log", ""),
        ("secrets/key", ""),
        ("secrets/public", ""),
        ("other/secrets", ""),
        ("empty/x", ""),
    ];
    let fake = Fake::with(&files);
    insta::assert_snapshot!(lines(&fake.export().unwrap()), @r"
    deep: 755 /
    deep/a.log: 644
    empty: 755 /
    other: 755 /
    other/secrets: 644
    secrets: 755 /
    secrets/public: 644
    ");
    assert_eq!(fake.open().unwrap().read("Dockerfile", 100).unwrap().unwrap(), b"FROM x");
}

#[test]
fn a_dockerfiles_own_dockerignore_wins() {
    let fake = Fake::with(&[
        ("build/Dockerfile", ""),
        ("build/Dockerfile.dockerignore", "a\nbuild"),
        (".dockerignore", "b"),
        ("a", ""),
        ("b", ""),
    ]);
    let out = fake.dir.path().join("out");
    fake.open().unwrap().export(&out, ".", "build/Dockerfile").unwrap();
    assert_eq!(lines(&super::fake::listing(&out)), ".dockerignore: 644 b\nb: 644\n");
}

#[test]
fn a_bad_dockerignore_is_refused() {
    let fake = Fake::with(&[(".dockerignore", "a\n[b\n")]);
    let error = fake.export().unwrap_err();
    assert!(matches!(&error, SourceError::Ignore { path, .. } if path == ".dockerignore"), "{error}");
}
