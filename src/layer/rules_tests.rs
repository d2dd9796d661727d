use std::io::Cursor;

use super::*;
use crate::layer::fake::{FakeLayer, Heap};

fn apply(profile: &Profile, layer: &FakeLayer, mounts: &[&str], lower: &Lower) -> (String, String) {
    let tar = layer.tar();
    let mounts = mounts.iter().map(|path| BString::from(*path)).collect();
    let mut open = |entry: &Entry| -> io::Result<Box<dyn Read>> {
        let start = usize::try_from(entry.offset).unwrap();
        Ok(Box::new(Cursor::new(tar[start..start + usize::try_from(entry.size_bytes).unwrap()].to_vec())))
    };
    let (layer, counts) = profile.apply(layer.layer(), &mounts, lower, &mut open, &Heap::default()).unwrap();
    let entries = layer.entries().unwrap().map(Result::unwrap);
    let left = entries.map(|entry| format!("{}:{}", entry.path, entry.kind.name())).collect::<Vec<_>>();
    let counts = counts.iter().map(|count| format!("{}={}", count.rule, count.entries)).collect::<Vec<_>>();
    (left.join(" "), counts.join(" "))
}

/// What becomes of one file under `default-1`.
#[track_caller]
fn check(path: &str, content: &[u8], expected: &str) {
    let profile = Profile::named("default-1").unwrap();
    let (_, counts) = apply(&profile, &FakeLayer::default().file(path, content), &[], &Lower::default());
    assert_eq!(counts, if expected.is_empty() { String::new() } else { format!("{expected}=1") }, "{path}");
}

#[test]
fn drops_what_it_names() {
    check("var/log/apt/history.log", b"\nStart-Date: 2026-11-24  21:15:12\n", "apt-log");
    check("var/log/apt/term.log", b"Log started: 2026-11-24  21:15:12\n", "apt-log");
    check("var/log/apt/term.log.1.gz", b"\x1f\x8b\x08", "apt-log");
    check("var/log/apt/eipp.log.xz", b"\xfd7zXZ\0", "apt-log");
    check("var/log/dpkg.log", b"2026-11-24 21:15:12 startup\n2026-11-24 21:15:13 done\n", "dpkg-log");
    check("var/log/alternatives.log", b"update-alternatives 2026-11-24 21:15:12: run\n", "alternatives-log");
    check("var/cache/apt/srcpkgcache.bin", b"\xdc\x76\xfe\x98..", "apt-cache");
    check("var/cache/ldconfig/aux-cache", b"glibc-ld.so.auxcache-1.0\0", "ldconfig-cache");
    check("root/.npm/_logs/2026-debug-0.log", b"0 verbose cli\n", "npm-log");
    let index = b"\n0123456789abcdef0123456789abcdef01234567\t{\"key\":1}";
    check("root/.npm/_cacache/index-v5/ab/cd/x", index, "npm-index");
    check("root/.cache/pip/selfcheck/x", b"{}", "pip-cache");
    check(&format!("root/.cache/pip/http-v2/a/{}.body", "0".repeat(56)), b"any", "pip-cache");
    check("etc/.pwd.lock", b"", "pwd-lock");
}

#[test]
fn keeps_what_only_looks_alike() {
    check("var/log/apt/history.log", b"my own notes", "");
    check("var/log/dpkg.log", b"2026-11-24 21:15:12 startup\nmy own notes\n", "");
    check("var/log/dpkg.log", &vec![b'x'; 70_000], "");
    check("var/log/alternatives.log", b"x", "");
    check("var/cache/apt/pkgcache.bin", b"not a cache", "");
    check("srv/var/cache/apt/pkgcache.bin", b"\xdc\x76\xfe\x98", "");
    check("var/cache/ldconfig/aux-cache", b"", "");
    check("root/.npm/_cacache/index-v5/x", b"{}", "");
    check("root/.npm/_cacache/content-v2/x", b"", "");
    check("root/.cache/pip/notes.txt", b"{}", "");
    check("etc/.pwd.lock", b"x", "");
    check("var/log/.wh.dpkg.log", b"", "");
    let none = Profile::named("none").unwrap();
    let lock = FakeLayer::default().file("etc/.pwd.lock", b"");
    assert_eq!(apply(&none, &lock, &["etc/.pwd.lock"], &Lower::default()).1, "");
    assert!(matches!(Profile::named("default-0"), Err(LayerError::Profile(_))));
}

#[test]
fn never_drops_what_is_no_file() {
    let layer = FakeLayer::default().symlink("etc/.pwd.lock", "x").dir("root/.cache/pip/selfcheck/x/");
    let profile = Profile::named("default-1").unwrap();
    assert_eq!(apply(&profile, &layer, &[], &Lower::default()).1, "");
}

#[test]
fn drops_mount_points_the_engine_made() {
    let layer = FakeLayer::default()
        .dir("run/")
        .dir("run/secrets/")
        .file("etc/hosts", b"")
        .file("etc/resolv.conf", b"user's")
        .dir("etc/")
        .dir("proc/")
        .file("proc/x", b"")
        .dir("sys/");
    let mut lower = Lower::default();
    lower.apply(&FakeLayer::default().dir("sys/").layer(), &Heap::default()).unwrap();
    let mounts = ["run", "run/secrets", "etc/hosts", "etc/resolv.conf", "proc", "sys"];
    let (left, counts) = apply(&Profile::named("default-1").unwrap(), &layer, &mounts, &lower);
    assert_eq!(left, "etc:directory etc/resolv.conf:file proc:directory proc/x:file sys:directory");
    assert_eq!(counts, "engine-mount-point=3");
    let (left, counts) = apply(&Profile::named("none").unwrap(), &layer, &mounts, &lower);
    assert!(!left.contains("run/secrets"), "{left}");
    assert_eq!(counts, "engine-mount-point=1");
}

#[test]
fn the_next_name_takes_the_bytes() {
    let layer = FakeLayer::default()
        .file("etc/.pwd.lock", b"")
        .hardlink("z", "b")
        .hardlink("b", "etc/.pwd.lock")
        .hardlink("c", "etc/.pwd.lock");
    let (left, counts) = apply(&Profile::named("default-1").unwrap(), &layer, &[], &Lower::default());
    assert_eq!((left.as_str(), counts.as_str()), ("b:file c:hardlink z:hardlink", "pwd-lock=1"));
}

#[test]
fn the_users_own_drops() {
    let drops = vec![("opt/**.log".to_owned(), "noise".to_owned())];
    let profile = Profile::named("none").unwrap().with_drops(drops);
    let layer = FakeLayer::default().file("opt/a/x.log", b"1").dir("opt/b.log/").file("opt/x.txt", b"2");
    let (left, counts) = apply(&profile, &layer, &[], &Lower::default());
    assert_eq!((left.as_str(), counts.as_str()), ("opt/b.log:directory opt/x.txt:file", "drop:opt/**.log=1"));
}
