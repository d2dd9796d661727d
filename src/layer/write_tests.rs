use std::io::{Cursor, Read as _};

use bstr::ByteSlice as _;

use super::*;
use crate::layer::{
    Index,
    fake::{FakeLayer, Heap},
    index,
};
use crate::model::Digest;

/// The blob, and the archive in it.
fn write_all(layer: &FakeLayer, epoch_s: i64) -> (Vec<u8>, Vec<u8>) {
    let mut blob = Vec::new();
    let archived = write(&layer.layer(), &mut Cursor::new(layer.tar()), epoch_s, &mut blob).unwrap();
    let mut tar = Vec::new();
    flate2::bufread::GzDecoder::new(&blob[..]).read_to_end(&mut tar).unwrap();
    assert_eq!((archived.diff_id.0, archived.size_bytes), (Digest::of(&tar), tar.len() as u64));
    (blob, tar)
}

fn again(layer: &FakeLayer, epoch_s: i64) -> Vec<Entry> {
    index(&write_all(layer, epoch_s).1[..]).unwrap()
}

fn sample() -> FakeLayer {
    let long = "d/".repeat(90) + &"f".repeat(80);
    FakeLayer::default()
        .file("usr/b.txt", &[b'x'; 1000])
        .mode(0o104_755)
        .at(50)
        .dir("usr/")
        .hardlink("usr/a.txt", "usr/b.txt")
        .file("long", b"1")
        .pax(&[("path", long.as_bytes()), ("SCHILY.xattr.user.b", b"2"), ("SCHILY.xattr.user.a", b"\0")])
        .file("big", b"")
        .pax(&[("uid", b"3000000"), ("mtime", b"-5.5"), ("atime", b"1")])
        .symlink("s", "../x")
        .entry(b'3', "null", "", b"")
        .put(329, b"0000001\x000000003\0")
}

#[test]
fn golden() {
    let (blob, tar) = write_all(&sample(), 100);
    insta::assert_snapshot!(format!("{}\n{}", Digest::of(&tar), Digest::of(&blob)), @r#"
        sha256:6e02506e99a5ecf11edae92039f9ee4ddcbec3e67d4d2860ce4304ce0e1b6fb0
        sha256:776abaabe14c776ea4b5e3831f8c37e736d49c4773b546e4a3f92245f4bfe1fc
        "#);
    let (empty, tar) = write_all(&FakeLayer::default(), 0);
    assert_eq!(tar, [0; 1024]);
    insta::assert_snapshot!(Digest::of(&empty).to_string(), @"sha256:75eb48369c0d0b1260b7db5c5f831d5f8b1b9b322b64191c96cb147437e7f404");
}

#[test]
fn is_the_same_from_any_input_that_means_the_same() {
    let (blob, tar) = write_all(&sample(), 100);
    let layer = Layer::read(&tar[..], &Heap::default()).unwrap();
    let mut out = Vec::new();
    write(&layer, &mut Cursor::new(&tar), 100, &mut out).unwrap();
    assert_eq!(out, blob);
    let a = FakeLayer::default().file("a", b"1").hardlink("b", "a").hardlink("c", "b").file("d/e", b"2");
    let b = FakeLayer::default().file("./d/e", b"2").file("c", b"1").hardlink("./b", "c").hardlink("a", "c");
    assert_eq!(write_all(&a, 0), write_all(&b, 0));
}

#[test]
fn keeps_what_matters() {
    let entries = again(&sample(), 100);
    let shown: Vec<_> = entries
        .iter()
        .map(|e| {
            let path = e.path.to_str_lossy().replace(&"d/".repeat(90), "D/");
            format!("{path:.20} {} {:o} {} {} [{}]", e.kind.name(), e.mode, e.uid, e.mtime_s, e.link)
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
        big file 644 3000000 -6 []
        D/ffffffffffffffffff file 644 0 0 []
        null character-device 644 0 0 []
        s symlink 644 0 0 [../x]
        usr directory 755 0 0 []
        usr/a.txt file 4755 0 50 []
        usr/b.txt hardlink 4755 0 50 [usr/a.txt]
        "#);
    let long = entries.iter().find(|e| e.path.len() > 200).unwrap();
    assert_eq!(long.xattrs.len(), 2);
    assert!(entries.iter().all(|e| e.raw_mode_type == 0 && e.pax.is_empty() && e.uname.is_empty()));
}

#[test]
fn clamps() {
    let pyc = [&[0xa7, 0x0d, 13, 10, 0, 0, 0, 0, 200, 0, 0, 0][..], &[7; 600]].concat();
    let layer = FakeLayer::default().file("a.pyc", &pyc).at(500).file("b", b"").at(50);
    let (_, tar) = write_all(&layer, 100);
    let entries = index(&tar[..]).unwrap();
    assert_eq!(entries.iter().map(|e| e.mtime_s).collect::<Vec<_>>(), [100, 50]);
    let content = &tar[512..512 + 612];
    assert_eq!((content[8], &content[12..]), (100, &pyc[12..]));
}

#[test]
fn a_link_to_a_lower_layer_stays() {
    let entries = again(&FakeLayer::default().hardlink("b", "a").hardlink("c", "c"), 0);
    assert_eq!((entries[0].link.as_bytes(), entries[1].link.as_bytes()), (&b"a"[..], &b"c"[..]));
}

#[test]
fn paths_of_every_length_come_back() {
    for length in [99, 100, 101, 155, 156, 157, 200, 255, 256, 257, 300] {
        for shape in
            ["f".repeat(length), "d/".repeat(length / 2) + "f", "f/".to_owned() + &"g".repeat(length)]
        {
            let layer = FakeLayer::default()
                .file("x", b"")
                .pax(&[("path", shape.as_bytes())])
                .dir("y/")
                .pax(&[("path", format!("{shape}.d/").as_bytes())]);
            let paths: Vec<_> = again(&layer, 0).into_iter().map(|e| e.path.to_string()).collect();
            assert_eq!(paths, [shape.clone(), format!("{shape}.d")], "{length}");
        }
    }
}

#[test]
fn refuses_what_cannot_be_said() {
    let mut entry = Entry::new("null", Kind::Char, 0o666, 0);
    entry.device = (1, 1 << 22);
    let layer = Index::of([entry], &Heap::default()).unwrap().canonical(&Heap::default()).unwrap();
    let refused = write(&layer, &mut Cursor::new(vec![]), 0, Vec::new());
    assert!(matches!(refused, Err(LayerError::Refused { .. })), "{refused:?}");
    let short =
        write(&FakeLayer::default().file("a", b"abc").layer(), &mut Cursor::new(vec![]), 0, Vec::new());
    assert!(matches!(short, Err(LayerError::Read(_))), "{short:?}");
}
