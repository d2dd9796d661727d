use bstr::{BStr, ByteSlice as _};

use super::*;
use crate::{layer::fake::FakeLayer, model::Digest};

#[test]
fn a_walk_digests_contents() {
    let layer = FakeLayer::default().file("a", b"hi").file("b", b"").symlink("c", "a");
    let mut found = Vec::new();
    let each = |entry: Entry| {
        found.push(entry.content);
        Ok(())
    };
    walk(&layer.tar()[..], Reading::Strict, |_, _| {}, each).unwrap();
    assert_eq!(found, [Some(Digest::of(b"hi")), Some(Digest::of(b"")), None]);
}

#[test]
fn reads_every_kind() {
    let layer = FakeLayer::default()
        .dir("./")
        .dir("./etc/")
        .file("./etc/motd", b"hi")
        .mode(0o104_755)
        .owner(7)
        .at(9)
        .hardlink("etc/motd2", "./etc/motd")
        .symlink("etc/link", "../x")
        .entry(b'3', "dev/null", "", b"")
        .put(329, b"0000001\x000000003\0")
        .entry(b'6', "fifo", "", b"");
    let entries = layer.index();
    let shown: Vec<_> =
        entries.iter().map(|e| format!("{} {} -> [{}]", e.kind.name(), e.path, e.link)).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
        directory etc -> []
        file etc/motd -> []
        hardlink etc/motd2 -> [etc/motd]
        symlink etc/link -> [../x]
        character-device dev/null -> []
        fifo fifo -> []
        "#);
    let motd = &entries[1];
    assert_eq!((motd.mode, motd.raw_mode_type, motd.uid, motd.mtime_s), (0o4755, 0o100_000, 7, 9));
    assert_eq!((motd.content, motd.size_bytes, motd.offset), (None, 2, 1536));
    assert_eq!(motd.peek, b"hi");
    assert_eq!(entries[4].device, (1, 3));
}

#[test]
fn pax_wins() {
    let long = "d/".repeat(150) + "f";
    let entries = FakeLayer::default()
        .file("short", b"x")
        .pax(&[
            ("path", long.as_bytes()),
            ("mtime", b"-1.25"),
            ("uid", b"3000000"),
            ("SCHILY.xattr.user.a", b"\0\xff"),
            ("comment", b"c"),
            ("uname", b"root"),
        ])
        .index();
    let entry = &entries[0];
    assert_eq!((entry.path.as_bytes(), entry.uid), (long.as_bytes(), 3_000_000));
    assert_eq!((entry.mtime_s, entry.mtime_rest_ns), (-2, 750_000_000));
    assert_eq!(entry.xattrs[BStr::new("user.a")], b"\0\xff");
    assert_eq!((entry.pax.len(), entry.uname.as_bytes()), (1, &b"root"[..]));
}

#[test]
fn long_names_of_both_kinds() {
    let gnu =
        FakeLayer::default().symlink("s", "t").extension(b'L', b"n/long\0").extension(b'K', b"target\0");
    assert_eq!((&gnu.index()[0].path, &gnu.index()[0].link), (&"n/long".into(), &"target".into()));
    let split = FakeLayer::default().file("name", b"").put(345, b"a/prefix");
    assert_eq!(split.index()[0].path, "a/prefix/name");
    let comment = FakeLayer::default().file("f", b"").extension(b'g', b"13 comment=x\n");
    assert_eq!(comment.index().len(), 1);
}

#[track_caller]
fn check(layer: &FakeLayer, expected: &str) {
    let error = index(&layer.tar()[..]).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn refuses_hostile_paths() {
    let file = |path| FakeLayer::default().file(path, b"");
    check(&file("/etc/passwd"), "its path is absolute");
    check(&file("a/../../b"), "goes up");
    check(&file("a/.."), "goes up");
    check(&file("./"), "ends in `/`");
    check(&file("."), "it has no name");
    check(&file("a").pax(&[("path", b"a\0b")]), "NUL");
    check(&file("a").pax(&[("path", &[b'a'; 5000])]), "too long");
    check(&file("a").file("./a", b""), "holds `a` more than once");
    for name in ["a/.wh.", "a/.wh..", ".wh..."] {
        check(&file(name), "a whiteout of nothing");
    }
    check(&file("a").put(263, b"01"), "of an unknown version");
    check(
        &file("e\x1b[2J").put(156, b"Z"),
        "entry `e\\u{1b}[2J` of the archive is refused: its type is unknown",
    );
    check(&FakeLayer::default().hardlink("a", "../b"), "hard link");
    check(&FakeLayer::default().hardlink("a", ""), "hard link");
}

#[test]
fn refuses_what_can_be_read_two_ways() {
    let file = || FakeLayer::default().file("a", b"abc");
    check(&file().pax(&[("size", b"2")]), "contradicts");
    check(&file().pax(&[("size", b"0x3")]), "no number");
    check(&file().extension(b'x', b"6 a=b\n6 a=c\n"), "twice");
    check(&file().pax(&[("path", b"b")]).extension(b'L', b"c\0"), "beside a GNU long name");
    check(&file().extension(b'L', b"c\0").pax(&[("path", b"b")]), "beside a GNU long name");
    check(&file().extension(b'L', b"c\0").extension(b'L', b"d\0"), "two GNU long names");
    check(&file().extension(b'g', b"8 path=b\n"), "malformed");
    check(&file().extension(b'g', b"9 path=b\n"), "global");
    check(&file().pax(&[("GNU.sparse.major", b"1")]), "sparse");
    check(&file().put(156, b"S"), "sparse");
    check(&FakeLayer::default().entry(b'1', "a", "b", b"content"), "claims content");
    check(&FakeLayer::default().entry(b'5', "a", "", b"content"), "claims content");
    check(&file().put(124, b"0000000009x"), "size is no number");
    check(&file().put(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "size is no number");
    check(&file().put(100, b"rw-r--r"), "mode");
    check(&file().pax(&[("mtime", b"soon")]), "mtime");
}

#[test]
fn refuses_a_bad_end() {
    let whole = FakeLayer::default().file("a", b"abc").tar();
    for cut in [0, 100, 512, 600, 1024, 1536] {
        assert!(matches!(index(&whole[..cut]), Err(LayerError::Truncated(_))), "{cut}");
    }
    assert_eq!(index(&[whole.clone(), vec![0; 9000]].concat()[..]).unwrap().len(), 1);
    for junk in [1, 512, 5000] {
        let mut longer = [whole.clone(), vec![0; junk]].concat();
        *longer.last_mut().unwrap() = 1;
        assert!(matches!(index(&longer[..]), Err(LayerError::Trailing(_))), "{junk}");
    }
    let mut flipped = whole;
    flipped[0] ^= 1;
    assert!(index(&flipped[..]).unwrap_err().to_string().contains("checksum"));
    let dangling = [FakeLayer::default().entry(b'x', "p", "", b"6 a=b\n").open_end(), vec![0; 1024]].concat();
    assert!(matches!(index(&dangling[..]), Err(LayerError::Truncated(_))));
}

#[test]
fn an_index_is_bounded() {
    assert!(bounds(LAYER_ENTRIES_MAX, LAYER_NAMES_SIZE_BYTES_MAX).is_ok());
    assert!(matches!(bounds(LAYER_ENTRIES_MAX + 1, 0), Err(LayerError::TooMany { what: "entries", .. })));
    assert!(matches!(bounds(1, LAYER_NAMES_SIZE_BYTES_MAX + 1), Err(LayerError::TooMany { .. })));
}

proptest::proptest! {
    #[test]
    fn never_panics(flips in proptest::collection::vec((0_usize..3000, 0_u8..=255), 1..6)) {
        let layer = FakeLayer::default().file("a", b"abc").pax(&[("path", b"b")]).dir("d/").hardlink("l", "a");
        let mut bytes = layer.tar();
        for (at, value) in flips {
            bytes[at] = value;
        }
        let _ = index(&bytes[..]);
    }
}
