//! What is drawn from entropy, and what nobody may explain away.

use super::{check, check_layers, drifts, fake};
use crate::{
    diff::tests::compare,
    drift::{Cause, Context, Security, explain},
    layer::fake::FakeLayer,
    model::Verdict,
};

#[test]
fn privileges_are_never_explained() {
    let file = || fake().file("a", b"1");
    let capability = |value: &[u8]| file().pax(&[("SCHILY.xattr.security.capability", value)]);
    check_layers(file(), file().mode(0o4644), "a unexplained!");
    check_layers(file(), file().owner(1), "a unexplained!");
    check_layers(file().at(1), file().at(2).owner(1), "a unexplained!");
    check_layers(capability(b"\x01"), capability(b"\x02").at(9), "a unexplained!");
    check_layers(file(), capability(b"\x01"), "a unexplained!");
    let raw = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let shown = drifts(file(), capability(raw), &Context::default()).remove(0).evidence;
    assert_eq!(shown, "xattr:security.capability none → cap_net_raw=ep");
    let lies = file().mode(0o040_644);
    check_layers(file(), lies, "a unexplained");
    check_layers(fake(), file().mode(0o4755), "a unexplained!");
    check_layers(fake(), fake().entry(b'3', "n", "", b""), "n unexplained!");
    check_layers(
        fake(),
        fake().file("root/.npm/_logs/x", b"0 x").mode(0o4755),
        "root/.npm/_logs/x unexplained!",
    );
    let log = |time: &str| fake().file("var/log/dpkg.log", format!("{time} startup\n").as_bytes());
    check_layers(
        log("2026-11-24 21:15:12"),
        log("2026-11-24 22:15:12").owner(5),
        "var/log/dpkg.log unexplained!",
    );
}

#[test]
fn entropy() {
    let id = |digit: &str| digit.repeat(32) + "\n";
    check("etc/machine-id", id("a"), id("b"), "machine-id");
    let uuids = ("6f1d3c52-9a0e-4b58-8c1d-2f7e6a5b4c3d\n", "0b9e8d7c-1f2a-4c3b-9e5d-7a6f8b9c0d1e\n");
    check("etc/machine-id", uuids.0, uuids.1, "machine-id");
    check("etc/machine-id", id("a"), "uninitialized\n", "unexplained");
    check_layers(
        fake().file("tmp/tmp.Ab3dE6gH9j", b"x"),
        fake().file("tmp/tmp.zY8xW5vU2t", b"x"),
        "tmp/tmp.Ab3dE6gH9j random-name; tmp/tmp.zY8xW5vU2t random-name",
    );
    check_layers(fake().file("tmp/tmp.Ab3dE6gH9j", b"x"), fake(), "tmp/tmp.Ab3dE6gH9j unexplained");
    // Several of one form: each finds its like.
    check_layers(
        fake().dir("tmp/tmp.Ab3dE6gH9j/").file("tmp/tmp.Cd3dE6gH9k", b"x"),
        fake().dir("tmp/tmp.pZ8xW5vU2t/").file("tmp/tmp.zY8xW5vU2t", b"x"),
        "tmp/tmp.Ab3dE6gH9j random-name; tmp/tmp.Cd3dE6gH9k random-name; \
         tmp/tmp.pZ8xW5vU2t random-name; tmp/tmp.zY8xW5vU2t random-name",
    );
}

/// Which kind of security the only drift between two layers is.
#[track_caller]
fn check_kind(a: FakeLayer, b: FakeLayer, expected: Security) {
    let found = drifts(a, b, &Context::default());
    assert_eq!((found.len(), found[0].security_kind), (1, Some(expected)), "{}", found[0].path);
    assert!(found[0].security);
    assert_eq!(found[0].cause, Cause::Unexplained);
}

#[test]
fn attributes_in_other_forms_are_attributes() {
    let file = || fake().file("a", b"1");
    for record in ["LIBARCHIVE.xattr.security.capability", "SCHILY.acl.access", "RHT.security.selinux"] {
        check_kind(file(), file().pax(&[(record, b"x")]).at(5), Security::Attribute);
        check_kind(file().pax(&[(record, b"x")]), file().pax(&[(record, b"y")]), Security::Attribute);
        check_kind(fake(), file().pax(&[(record, b"y")]), Security::Attribute);
    }
    check_layers(file(), file().pax(&[("LIBARCHIVE.xattr.user.x", b"eA")]), "a unexplained");
    check_layers(file(), file().pax(&[("comment", b"x")]), "a layer-shape");
}

#[test]
fn whom_the_system_trusts_is_never_explained() {
    let date = |time: &str| format!("# {time}\nx\n");
    for (path, kind) in [
        ("root/.ssh/authorized_keys", Security::Login),
        ("etc/sudoers.d/app", Security::Login),
        ("etc/ld.so.preload", Security::Preload),
        ("usr/local/share/ca-certificates/x.crt", Security::TrustedCertificate),
    ] {
        let of = |time: &str| fake().file(path, date(time).as_bytes());
        check_kind(of("2026-11-24 21:15:12"), of("2026-11-24 22:15:12"), kind);
        check_kind(fake(), of("2026-11-24 22:15:12"), kind);
        let mtime = |at| fake().file(path, b"1").at(at);
        check_layers(mtime(1_700_000_000), mtime(1_700_000_001), &format!("{path} mtime"));
    }
    check_layers(fake(), fake().dir("etc/sudoers.d/"), "etc/sudoers.d unexplained");
    let keys = "root/.ssh/authorized_keys";
    check_kind(fake().dir("root/.ssh/authorized_keys/"), fake().file(keys, b"x"), Security::Login);
}

#[test]
fn programs_are_never_explained_away() {
    let program = |path: &str, content: &[u8]| fake().file(path, content).mode(0o755);
    check_kind(fake(), program("usr/bin/x", b"#!/bin/sh\n"), Security::NewProgram);
    check_kind(program("opt/a/bin/tmp.Ab3dE6gH9j", b"\x7fELF"), fake(), Security::NewProgram);
    check_layers(fake(), fake().file("usr/bin/x", b"#!/bin/sh\n"), "usr/bin/x unexplained");
    check_layers(fake(), program("usr/share/x", b"\x7fELF"), "usr/share/x unexplained");
    check_kind(program("x", b"\x7fELF\0a"), program("x", b"\x7fELF\0b"), Security::ChangedProgram);
    let library = |content: &[u8]| fake().file("usr/lib/libx.so", content);
    check_kind(library(b"\x7fELF\0a"), library(b"\x7fELF\0b"), Security::ChangedProgram);
    let packaged = |sum: &str, content: &[u8]| {
        let sums = format!("{sum}  usr/share/x\n");
        fake().file("usr/share/x", content).file("var/lib/dpkg/info/x.md5sums", sums.as_bytes())
    };
    check_layers(
        packaged("11", b"a"),
        packaged("22", b"b"),
        "usr/share/x unexplained!; var/lib/dpkg/info/x.md5sums unexplained!",
    );
    let dated = |time: &str| program("x", format!("#!/bin/sh\n# {time}\n").as_bytes());
    check_layers(dated("2026-11-24 21:15:12"), dated("2026-11-24 22:15:12"), "x clock-in-text");
}

/// What the layers come to counts, not in which of them it lies.
#[test]
fn a_privilege_in_another_layer_is_none_that_differs() {
    let (one, other) = (fake().file("a", b"1").mode(0o4755), fake().file("b", b"2"));
    let both = fake().file("a", b"1").mode(0o4755).file("b", b"2");
    let explained = explain(&compare(&[one, other], &[both, fake()]), &Context::default()).unwrap();
    assert_eq!(explained.verdict, Verdict::SameFilesystem);
    assert!(explained.drifts.iter().all(|drift| !drift.security && drift.cause == Cause::LayerShape));
}
