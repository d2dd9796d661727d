use super::*;
use crate::layer::fake::FakeLayer;

fn root() -> FakeLayer {
    FakeLayer::default().dir("./").dir("bin").dir("dev").dir("etc")
}

fn device(layer: FakeLayer, flag: u8, path: &str) -> FakeLayer {
    layer.entry(flag, path, "", b"").put(329, b"0000001\x000000003\0")
}

#[track_caller]
fn refused(layer: &FakeLayer, path: &str, why: &str) {
    match whole(layer.index()) {
        Err(LayerError::Refused { path: found, why: said }) => {
            assert!(found == path && said.contains(why), "{found}: {said}");
        }
        other => panic!("{path} is not refused: {other:?}"),
    }
}

#[test]
fn takes_a_root_file_system() {
    let layer = root()
        .file("bin/busybox", b"\x7fELF")
        .mode(0o4755)
        .pax(&[("SCHILY.xattr.security.capability", b"\x01"), ("SCHILY.xattr.user.a", b"1")])
        .hardlink("bin/sh", "bin/busybox")
        .hardlink("bin/again", "bin/sh")
        .symlink("etc/mtab", "/proc/mounts")
        .symlink("etc/up", "../../../../x")
        .hardlink("etc/mtab2", "etc/mtab")
        .entry(b'6', "dev/initctl", "", b"")
        .symlink("dev/fd", "/proc/self/fd")
        .file("etc/tagged", b"x")
        .pax(&[("SCHILY.xattr.security.selinux", b"s0"), ("SCHILY.acl.access", b"user::rwx")]);
    let layer = device(device(layer, b'3', "dev/null"), b'4', "./dev/sda");
    let Root { entries, dropped } = whole(layer.index()).unwrap();
    let names: Vec<_> = entries.iter().map(|entry| format!("{} {}", entry.kind.name(), entry.path)).collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    directory bin
    directory dev
    directory etc
    file bin/busybox
    hardlink bin/sh
    hardlink bin/again
    symlink etc/mtab
    symlink etc/up
    symlink etc/mtab2
    fifo dev/initctl
    symlink dev/fd
    file etc/tagged
    ");
    let counts: Vec<_> = dropped.iter().map(|count| (count.rule.as_str(), count.entries)).collect();
    assert_eq!(counts, [("device-node", 2), ("attribute", 1)]);
    assert_eq!((entries[3].xattrs.len(), entries[11].xattrs.len(), entries[11].pax.len()), (2, 0, 0));
    assert_eq!((entries[8].path.as_bstr(), &entries[8].link), ("etc/mtab2".into(), &entries[6].link));
    assert_eq!(whole(Vec::new()).unwrap(), Root { entries: Vec::new(), dropped: Vec::new() });
}

#[test]
fn refuses_hostile_archives() {
    refused(&device(root(), b'3', "etc/null"), "etc/null", "device outside of dev/");
    refused(&device(root(), b'4', "development"), "development", "device outside of dev/");
    refused(&device(FakeLayer::default(), b'4', "dev"), "dev", "device outside of dev/");
    refused(&device(root(), b'3', "dev/null").file("dev/null/x", b""), "dev/null/x", "not in the archive");
    refused(&device(root(), b'3', "dev/null").hardlink("etc/n", "dev/null"), "etc/n", "not in the archive");
    refused(&root().file("bin/.wh.sh", b""), "bin/.wh.sh", "deletion");
    refused(&root().file(".wh..wh..opq", b""), ".wh..wh..opq", "deletion");
    refused(&root().symlink("lib", "/etc").file("lib/passwd", b""), "lib/passwd", "below a symbolic link");
    refused(&root().file("x", b"").file("x/y", b""), "x/y", "no directory");
    refused(&root().file("bin/sh", b"").hardlink("s", "bin/sh").file("s/y", b""), "s/y", "no directory");
    refused(&root().file("usr/bin/sh", b""), "usr/bin/sh", "not in the archive");
    refused(&root().dir("usr/bin"), "usr/bin", "not in the archive");
    refused(&root().hardlink("etc/x", "etc/shadow"), "etc/x", "not in the archive");
    refused(&root().hardlink("etc/x", "bin"), "etc/x", "no file");
    refused(&root().hardlink("etc/x", "etc/x"), "etc/x", "no file");
    refused(&root().hardlink("etc/x", "etc/y").hardlink("etc/y", "etc/x"), "etc/x", "no file");
    refused(&root().symlink("etc/x", ""), "etc/x", "link to nothing");
    refused(&root().file("etc/x", b"").owner(65_536), "etc/x", "beyond the 65,536 ids");
    for name in ["SCHILY.xattr.trusted.overlay.redirect", "SCHILY.xattr.user.overlay.opaque"] {
        refused(&root().dir("etc/x").pax(&[(name, b"y")]), "etc/x", "overlay");
    }
}
