//! What builds make: compressed files, programs, databases, checksums, caches, keys.

use super::*;

#[test]
fn inside_compressed_files() {
    let tar = |time: u64, content: &[u8]| fake().file("a", content).at(time).tar();
    check("a.tar.gz", gzip(1, 6, &tar(1, b"x")), gzip(9, 6, &tar(2, b"x")), "tar-timestamp");
    check("a.tar.gz", gzip(1, 6, &tar(1, b"x")), gzip(1, 6, &tar(2, b"y")), "unexplained");
    check("a.gz", gzip(1, 6, b"at 1795554912\n"), gzip(1, 6, b"at 1795554999\n"), "clock-in-text");
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    check("a.tar.zst", zstd(&tar(1, b"x")), zstd(&tar(2, b"x")), "tar-timestamp");
    let first = gzip(1, 6, &tar(1, b"x"));
    let found = drifts(
        fake().file("a.tar.gz", &first),
        fake().file("a.tar.gz", &gzip(1, 6, &tar(2, b"x"))),
        &Context::default(),
    );
    assert!(found[0].evidence.starts_with("decompressed: "), "{}", found[0].evidence);
}

#[test]
fn cpio() {
    let newc = |inode: u32, time: u32, mode: u32, body: &str| {
        let member = |name: &str, body: &str| {
            let fields = [inode, mode, 0, 0, 1, time];
            let more =
                [u32::try_from(body.len()).unwrap(), 8, 1, 0, 0, u32::try_from(name.len()).unwrap() + 1, 0];
            let hex = fields.iter().chain(&more).map(|field| format!("{field:08X}")).collect::<String>();
            let head = format!("070701{hex}{name}\0");
            let padded =
                |text: String| text.clone() + &"\0".repeat(text.len().next_multiple_of(4) - text.len());
            padded(head) + &padded(body.to_owned())
        };
        member("a", body) + &member("TRAILER!!!", "")
    };
    check("a.cpio", newc(1, 1, 0o644, "body"), newc(2, 2, 0o644, "body"), "cpio-timestamp");
    check("a.cpio", newc(1, 1, 0o644, "body"), newc(1, 2, 0o644, "hody"), "unexplained");
    check("a.cpio", newc(1, 1, 0o644, "body"), newc(1, 2, 0o4755, "body"), "unexplained");
    check(
        "initrd",
        gzip(1, 6, newc(1, 1, 0o644, "b").as_bytes()),
        gzip(1, 6, newc(2, 1, 0o644, "b").as_bytes()),
        "cpio-timestamp",
    );
    let odc = |inode: u32, time: u32| {
        let member = |name: &str| {
            format!(
                "070707{:06o}{inode:06o}{:06o}{:06o}{:06o}{:06o}{:06o}{time:011o}{:06o}{:011o}{name}\0",
                1,
                0o644,
                0,
                0,
                1,
                0,
                name.len() + 1,
                0
            )
        };
        member("a") + &member("TRAILER!!!")
    };
    check("a.cpio", odc(1, 1), odc(2, 2), "cpio-timestamp");
    check("a.cpio", odc(1, 1), &odc(2, 2)[..100], "unexplained");
    let binary = |inode: u8, time: u8, body: &[u8; 2]| {
        let member = |name: &[u8], body: &[u8]| {
            let header = [0xc7, 0x71, 1, 0, inode, 0, 0xa4, 0x81, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, time, 0];
            let size = |of: &[u8]| u8::try_from(of.len()).unwrap();
            let sizes = [size(name), 0, 0, 0, size(body), 0];
            let padding = &[0][..name.len() % 2];
            [&header[..], &sizes, name, padding, body].concat()
        };
        [member(b"ab\0", body), member(b"TRAILER!!!\0", b"")].concat()
    };
    check("a.cpio", binary(1, 1, b"xy"), binary(2, 2, b"xy"), "cpio-timestamp");
    check("a.cpio", binary(1, 1, b"xy"), binary(2, 2, b"xz"), "unexplained");
}

#[test]
fn build_paths() {
    let elf = |path: &str, id: u8, body: u8| {
        let note = [b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0", &[id; 20][..]].concat();
        [b"\x7fELF\0\0", &note[..], b"\0", path.as_bytes(), b"\0", &[body; 8]].concat()
    };
    let pip = |random: &str| format!("/tmp/pip-install-{random}/markupsafe_0123/src/_speedups.c");
    check("x.so", elf(&pip("x3k9q_2a"), 1, 0), elf(&pip("m0b_7dzw"), 2, 0), "build-path");
    check("x.so", elf(&pip("x3k9q_2a"), 1, 0), elf(&pip("m0b_7dzw"), 2, 9), "unexplained");
    check("x.so", elf("/opt/x3k9q_2a/a.c", 1, 0), elf("/opt/m0b_7dzw/a.c", 2, 0), "unexplained");
    check("x.so", elf("/tmp/one/a.c", 1, 0), elf("/tmp/two/a.c", 2, 0), "unexplained");
    let uv = |random: &str| format!("/root/.cache/uv/sdists-v11/pypi/markupsafe/3.0.4/{random}/src/a.c");
    check("x.so", elf(&uv("Tz6QOv9Pw-1bcp6h"), 1, 0), elf(&uv("1GESpwkbMYYTr9J9"), 2, 0), "build-path");
    check("x.o", format!("\0{}\0", pip("x3k9q_2a")), format!("\0{}\0", pip("m0b_7dzw")), "build-path");
}

#[test]
fn checksums_of_what_drifted() {
    let sha = |content: &str| crate::model::Digest::of(content.as_bytes()).hex();
    let both = |sums: &dyn Fn(&str) -> String, content: &str| {
        fake().file("opt/x.gz", content.as_bytes()).file("opt/x.gz.sha256", sums(content).as_bytes())
    };
    let of = "opt/x.gz unexplained; opt/x.gz.sha256 record-consequence<opt/x.gz";
    let named = |content: &str| format!("{}  x.gz\n", sha(content));
    check_layers(both(&named, "\0a"), both(&named, "\0b"), of);
    let absolute = |content: &str| format!("SHA256 (/opt/x.gz) = {}\n", sha(content));
    check_layers(both(&absolute, "\0a"), both(&absolute, "\0b"), of);
    let from_above = |content: &str| format!("{} *opt/x.gz\n", sha(content));
    check_layers(both(&from_above, "\0a"), both(&from_above, "\0b"), of);
    check_layers(both(&sha, "\0a"), both(&sha, "\0b"), of);
    let md5 = |content: &str| format!("{}  x.gz\n", &sha(content)[..32]);
    check_layers(both(&md5, "\0a"), both(&md5, "\0b"), of);
    let of_another = "opt/x.gz unexplained; opt/x.gz.sha256 unexplained";
    let wrong = |content: &str| format!("{}  x.gz\n", sha(&format!("{content}!")));
    check_layers(both(&wrong, "\0a"), both(&wrong, "\0b"), of_another);
    let elsewhere = |content: &str| format!("{}  y.gz\n", sha(content));
    check_layers(both(&elsewhere, "\0a"), both(&elsewhere, "\0b"), of_another);
    check("opt/y.md5", &sha("a")[..32], &sha("b")[..32], "unexplained");
}

#[test]
fn caches_and_links_into_them() {
    let installed = |random: &str| {
        let cached = format!("root/.cache/uv/archive-v0/{random}/six.py");
        let link = format!("root/.cache/uv/wheels-v8/{random}");
        fake()
            .file(&cached, b"code")
            .symlink(&link, &format!("../archive-v0/{random}"))
            .hardlink("v/six.py", &cached)
    };
    let found = drifts(installed("hVTLoBErU8Fp4ghJ"), installed("fzcaGJVZRzrm9lHm"), &Context::default());
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|drift| drift.cause.code() == "tool-cache"), "{found:#?}");
    let link = |target: &str| fake().symlink("root/.cache/uv/wheels-v8/x", target);
    check_layers(link("../archive-v0/a"), link("/etc/shadow"), "root/.cache/uv/wheels-v8/x unexplained");
    let action = |time: u64| fake().file("root/.cache/go-build/fe/x-a", format!("v1 {time}\n").as_bytes());
    check_layers(action(1), action(2), "root/.cache/go-build/fe/x-a tool-cache");
    let xattr = |value: &[u8]| {
        fake().file("var/cache/dnf/x", b"").pax(&[("SCHILY.xattr.user.Librepo.checksum.mtime", value)])
    };
    check_layers(xattr(b"1"), xattr(b"2"), "var/cache/dnf/x tool-cache");
    let timer = |time: &str, ms: u32| format!("2026-11-24T{time}+0000 DDEBUG timer: config: {ms} ms\n");
    check("var/log/dnf.log", timer("21:15:12", 75), timer("21:16:12", 168), "package-log");
    check("var/log/dnf.log", "x: 75 ms\n", "x: 76 ms\n", "unexplained");
}

#[test]
fn git() {
    let index = |version: u8, time: u8, hash: u8, path: &[u8], extension: &[u8]| {
        let entry = [&[time; 24][..], &[0, 0, 0x81, 0xa4], &[time; 8], &[7; 4], &[hash; 20], &[0, 3], path];
        let entry = entry.concat();
        let (count, header) = (2, [b"DIRC\0\0\0", &[version][..], &[0, 0, 0, 2]].concat());
        [header, entry.repeat(count), extension.to_vec(), vec![time; 20]].concat()
    };
    let padded = b"abc\0\0\0\0\0\0\0";
    let v2 = |time, hash, extension: &[u8]| index(2, time, hash, padded, extension);
    check("srv/.git/index", v2(1, 5, b"TREE"), v2(2, 5, b"TREE"), "git-metadata");
    check("srv/.git/modules/x/index", v2(1, 5, b""), v2(2, 5, b""), "git-metadata");
    check("srv/.git/index", index(4, 1, 5, b"\0abc\0", b""), index(4, 2, 5, b"\0abc\0", b""), "git-metadata");
    check("srv/.git/index", v2(1, 5, b""), v2(2, 6, b""), "unexplained");
    check("srv/.git/index", v2(1, 5, b"TREE"), v2(2, 5, b"TREF"), "unexplained");
    check("srv/.git/index", v2(1, 5, b""), index(2, 2, 5, b"abd\0\0\0\0\0\0\0", b""), "unexplained");
    check("srv/.git/index", v2(1, 5, b""), index(5, 2, 5, padded, b""), "unexplained");
    check("srv/.git/index", &v2(1, 5, b"")[..90], &v2(2, 5, b"")[..90], "unexplained");
    check("srv/index", v2(1, 5, b""), v2(2, 5, b""), "unexplained");
    let log =
        |id: &str, time: &str| format!("{} {} A <a@b> {time} +0000\tclone\n", "0".repeat(40), id.repeat(20));
    check("srv/.git/logs/HEAD", log("a1", "1795554912"), log("b2", "1795554999"), "git-metadata");
    check("srv/.git/refs/heads/main", "a1".repeat(20), "b2".repeat(20), "git-metadata");
    check("srv/.git/config", "url = a\n", "url = b\n", "unexplained");
    check("srv/.git/hooks/post-commit", "#!/bin/sh\na\n", "#!/bin/sh\nb\n", "unexplained");
    let clone = |id: &str, host: &str| log(id, "1795554912").replace("a@b", &format!("a@{host}.(none)"));
    check("srv/.git/logs/HEAD", clone("a1", "9061460bf065"), clone("b2", "bcd9e7c821d2"), "git-metadata");
    let packed = |id: &str| format!("# pack-refs with: peeled \n{0} refs/heads/main\n^{0}\n", id.repeat(20));
    check("srv/.git/packed-refs", packed("a1"), packed("b2"), "git-metadata");
    check("srv/.git/packed-refs", packed("a1"), packed("b2").replace("main", "evil"), "unexplained");
    check("srv/.git/info/refs", format!("{}\tx\n", "a1".repeat(20)), format!("{}\tx\n", "b2".repeat(20)), "git-metadata");
    let packs = |id: &str| format!("P pack-{}.pack\n\n", id.repeat(20));
    check("srv/.git/objects/info/packs", packs("a1"), packs("b2"), "git-metadata");
    check("srv/.git/objects/info/commit-graph", b"CGPH\x01a", b"CGPH\x01b", "git-metadata");
    let zlib = |text: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, text).unwrap();
        encoder.finish().unwrap()
    };
    let commit = zlib(&[b"commit 234\0tree ", &b"0123456789abcdef".repeat(20)[..]].concat());
    let object = |id: &str| fake().file(&format!("srv/.git/objects/{id}/{}", id.repeat(19)), &commit);
    let other = fake().file(&format!("srv/.git/objects/a1/{}", "a1".repeat(19)), b"#!/bin/sh\nx");
    check_layers(other, fake(), &format!("srv/.git/objects/a1/{} unexplained", "a1".repeat(19)));
    let found = drifts(object("a1"), object("b2"), &Context::default());
    assert!(found.len() == 2 && found.iter().all(|drift| drift.cause.code() == "git-metadata"), "{found:#?}");
    check_layers(object("zz"), fake(), &format!("srv/.git/objects/zz/{} unexplained", "zz".repeat(19)));
}

#[test]
fn where_uv_installed_from() {
    let json = |s: u64, ns: u64| {
        format!("{{\"timestamp\":{{\"secs_since_epoch\":{s},\"nanos_since_epoch\":{ns}}},\"commit\":null}}")
    };
    let path = "v/lib/p-1.dist-info/uv_cache.json";
    check(path, json(1_795_554_912, 419), json(1_795_554_999, 5), "clock-in-text");
    check(path, json(1_795_554_912, 419), json(1_795_554_999, 5).replace("null", "1"), "unexplained");
}

#[test]
fn keys_of_gpg() {
    let home = |grip: &str, print: &str, ring: u8| {
        fake()
            .file(
                &format!("root/.gnupg/private-keys-v1.d/{}.key", grip.repeat(20)),
                b"Key: (private-key (rsa",
            )
            .file(
                &format!("root/.gnupg/openpgp-revocs.d/{}.rev", print.repeat(20)),
                b"This is a revocation certificate",
            )
            .file("root/.gnupg/pubring.kbx", &[ring; 99])
    };
    let found = drifts(home("0A", "B1", 0), home("C2", "D3", 1), &Context::default());
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|drift| drift.cause.code() == "key-material"), "{found:#?}");
    let ring = |ring: u8| fake().file("root/.gnupg/pubring.kbx", &[ring; 99]);
    check_layers(ring(0), ring(1), "root/.gnupg/pubring.kbx unexplained");
    let key = fake().file(&format!("root/.gnupg/private-keys-v1.d/{}.key", "0A".repeat(20)), b"Key: x");
    assert_eq!(drifts(key, fake(), &Context::default())[0].cause.code(), "unexplained");
}
