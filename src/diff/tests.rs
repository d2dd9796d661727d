use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Write as _},
};

use serde_json::{Value, json};

use super::*;
use crate::{
    layer::fake::{FakeLayer, Heap, Lossy},
    model::{
        Descriptor, ReadSeek, ReadWriteSeek, Scratch,
        names::{OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD},
    },
    oci::manifest_bytes,
};

/// Blobs in memory.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// Whether scratch files lose what is written to them.
    loses: bool,
}

impl Scratch for Shelf {
    fn file(&self) -> io::Result<Box<dyn ReadWriteSeek>> {
        if self.loses { Lossy.file() } else { Heap::default().file() }
    }
}

impl Blobs for Shelf {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn ReadSeek>> {
        let bytes = self.blobs.get(digest).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(bytes.clone())))
    }
}

impl Shelf {
    /// One whose scratch files cannot be read.
    pub(crate) fn lossy() -> Self {
        Self { loses: true, ..Self::default() }
    }

    /// Makes an image of `layers`, the config with `extra` fields.
    pub(crate) fn image(&mut self, layers: &[FakeLayer], extra: &Value) -> Image {
        let blobs: Vec<_> = layers.iter().map(|layer| (OCI_LAYER, layer.tar(), layer.tar())).collect();
        self.image_of(&blobs, extra)
    }

    fn image_of(&mut self, layers: &[(&str, Vec<u8>, Vec<u8>)], extra: &Value) -> Image {
        let mut config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers"}});
        for (key, value) in extra.as_object().unwrap() {
            config[key] = value.clone();
        }
        let diff_ids: Vec<_> = layers.iter().map(|(_, tar, _)| Digest::of(tar)).collect();
        config["rootfs"]["diff_ids"] = json!(diff_ids);
        let config = config.to_string().into_bytes();
        let descriptors: Vec<_> =
            layers.iter().map(|(media_type, _, blob)| Descriptor::of(media_type, blob)).collect();
        for (_, _, blob) in layers {
            self.blobs.insert(Digest::of(blob), blob.clone());
        }
        let manifest = manifest_bytes(&Descriptor::of(OCI_CONFIG, &config), &descriptors, &BTreeMap::new());
        Image::parse(&manifest, &config).unwrap()
    }
}

/// Compares two images that have nothing but layers.
pub(crate) fn compare(a: &[FakeLayer], b: &[FakeLayer]) -> Comparison {
    let mut shelf = Shelf::default();
    let (a, b) = (shelf.image(a, &json!({})), shelf.image(b, &json!({})));
    images(&shelf, &a, &b).unwrap()
}

fn fake() -> FakeLayer {
    FakeLayer::default()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn check(a: &FakeLayer, b: &FakeLayer, expected: &str) {
    let comparison = compare(std::slice::from_ref(a), std::slice::from_ref(b));
    let shown: Vec<_> = comparison.layers[0]
        .changes
        .iter()
        .map(|change| {
            let fields: Vec<_> = change.fields.iter().map(|field| field.name.as_str()).collect();
            format!("{} {:?} {}", change.path, change.kind, fields.join(","))
        })
        .collect();
    assert_eq!(shown.join("; ").trim_end(), expected);
}

#[test]
fn sees_every_difference() {
    let file = || fake().file("a", b"1");
    check(&file(), &file(), "");
    check(&file(), &fake().file("a", b"2"), "a Content content");
    check(&file(), &fake().file("a", b"22"), "a Content size,content");
    check(&file(), &file().mode(0o4755), "a Metadata mode");
    check(&file(), &file().mode(0o100_644), "a Metadata mode-type");
    check(&file(), &file().owner(7), "a Metadata uid");
    check(&file(), &file().put(265, b"root"), "a Metadata uname");
    check(&file(), &file().at(7), "a Metadata mtime");
    check(&file(), &file().pax(&[("mtime", b"0.5")]), "a Metadata mtime");
    check(&file(), &file().pax(&[("atime", b"5")]), "a Metadata pax:atime");
    let capability = |value: &[u8]| file().pax(&[("SCHILY.xattr.security.capability", value)]);
    check(&file(), &capability(b"\x01"), "a Metadata xattr:security.capability");
    check(&capability(b"\x01"), &capability(b"\x02"), "a Metadata xattr:security.capability");
    check(&capability(b"\x01"), &file().at(7), "a Metadata mtime,xattr:security.capability");
    check(&file(), &fake().dir("a/"), "a Type type,mode,size");
    check(&fake().symlink("s", "a"), &fake().symlink("s", "b"), "s Metadata link");
    let device = |minor: &[u8]| fake().entry(b'3', "n", "", b"").put(337, minor);
    check(&device(b"0000001"), &device(b"0000002"), "n Metadata device");
    check(&file(), &file().dir("d/"), "d OnlyInB");
    check(&file().file("d/.wh.x", b""), &file(), "d/.wh.x OnlyInA");
    check(&file().file("b", b"2"), &fake().file("b", b"2").file("a", b"1"), "");
}

#[test]
fn captures_contents() {
    let a = fake().file("z", b"one").file("a", b"1").dir("d/");
    let b = fake().file("a", b"2").file("z", b"other");
    let comparison = compare(&[a], &[b]);
    let contents = |at: usize| comparison.layers[0].changes[at].read().unwrap();
    assert_eq!(contents(0), (b"1".into(), b"2".into()));
    assert_eq!(contents(2), (b"one".into(), b"other".into()));
    let big = vec![0; (8 << 20) + 1];
    let comparison = compare(&[fake().file("a", &big)], &[fake().file("a", b"")]);
    assert!(comparison.layers[0].changes[0].contents.is_none());
}

#[test]
fn equal_layers_are_not_opened() {
    let mut shelf = Shelf::default();
    let base = fake().file("base", b"");
    let a = shelf.image(&[base.clone(), fake().file("a", b"1")], &json!({}));
    let b = shelf.image(&[base.clone(), fake().file("a", b"2")], &json!({}));
    shelf.blobs.remove(&Digest::of(&base.tar()));
    let comparison = images(&shelf, &a, &b).unwrap();
    assert!(comparison.layers[0].equal() && !comparison.layers[1].equal() && !comparison.same_filesystem);
    let c = shelf.image(&[base.clone(), fake().file("a", b"1").file("c", b"")], &json!({}));
    shelf.blobs.remove(&Digest::of(&base.tar()));
    assert!(!images(&shelf, &a, &c).unwrap().same_filesystem);
    shelf.blobs.clear();
    assert!(images(&shelf, &a, &a).unwrap().same_manifest);
    let refused = images(&shelf, &a, &b).unwrap_err().to_string();
    assert!(refused.starts_with("cannot open layer 1 (sha256:"), "{refused}");
}

#[test]
fn compression_is_checked_not_believed() {
    let mut shelf = Shelf::default();
    let tar = fake().file("a", b"1").tar();
    let zstd = zstd::encode_all(&tar[..], 1).unwrap();
    let a = shelf.image_of(&[(OCI_LAYER_GZIP, tar.clone(), gzip(&tar))], &json!({}));
    let b = shelf.image_of(&[(OCI_LAYER_ZSTD, tar.clone(), zstd)], &json!({}));
    let comparison = images(&shelf, &a, &b).unwrap();
    assert!(comparison.layers[0].equal() && !comparison.layers[0].same_blob() && comparison.same_filesystem);
    assert_eq!(comparison.config, []);
    assert_eq!(
        whole(&comparison),
        "compression gzip → zstd, gzip-level 4 → none, gzip-system 255 → none, gzip-time 0 → none, zstd-frame none → 60"
    );
    let lie = gzip(&fake().file("a", b"2").tar());
    let c = shelf.image_of(&[(OCI_LAYER_GZIP, tar, lie)], &json!({}));
    assert!(matches!(images(&shelf, &a, &c), Err(DiffError::DiffId { image: 'b', layer: 0, .. })));
}

fn whole(comparison: &Comparison) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
    let shown = comparison.layers[0].whole.iter();
    let shown = shown.map(|field| format!("{} {} → {}", field.name, value(&field.a), value(&field.b)));
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn how_an_archive_is_written_shows_whatever_else_differs() {
    let two = || fake().file("a", b"1").file("b", b"2");
    let names = |a: &FakeLayer, b: &FakeLayer| {
        let comparison = compare(std::slice::from_ref(a), std::slice::from_ref(b));
        let names: Vec<_> = comparison.layers[0].whole.iter().map(|field| field.name.clone()).collect();
        (names.join(","), comparison.layers[0].changes.len())
    };
    let turned = || fake().file("b", b"2").file("a", b"1");
    for (at, changes) in [(0, 0), (9, 1)] {
        assert_eq!(names(&two().at(at), &two().at(at)), (String::new(), 0));
        assert_eq!(names(&two(), &two().at(at)), (String::new(), changes));
        assert_eq!(names(&two(), &fake().file("b", b"2").file("a", b"1").at(at)), ("order".into(), changes));
        let gnu = || fake().file("a", b"1").put(257, b"ustar  \0").file("b", b"2").at(at);
        assert_eq!(names(&two(), &gnu()), ("dialect".into(), changes));
        let commented = two().extension(b'g', b"15 comment=abc\n").at(at);
        assert_eq!(names(&two(), &commented), ("comment".into(), changes));
        let long = |last: &str| {
            let text = format!("comment={}{last}\n", "x".repeat(120));
            two().extension(b'g', format!("{} {text}", text.len() + 4).as_bytes()).at(at)
        };
        assert_eq!(names(&long("a").at(0), &long("b")), ("comment".into(), changes));
    }
    assert_eq!(names(&two(), &turned().file("c", b"3")), (String::new(), 1), "of other entries");
    let padded = [two().tar(), vec![0; 512]].concat();
    let mut shelf = Shelf::default();
    let a = shelf.image(&[two()], &json!({}));
    let b = shelf.image_of(&[(OCI_LAYER, padded.clone(), padded)], &json!({}));
    assert_eq!(whole(&images(&shelf, &a, &b).unwrap()), "padding 1024 → 1536");
}

#[test]
fn of_a_path_that_comes_twice_the_last_counts() {
    let once = || fake().file("a", b"1").file("b", b"");
    let (changes, whole) = seen(&once(), &once().file("a", b"2"));
    assert_eq!((changes.as_str(), whole.as_str()), ("a Content content", "repeated,order"));
    let (changes, whole) = seen(&once(), &fake().file("a", b"2").file("b", b"").file("a", b"1"));
    assert_eq!((changes.as_str(), whole.as_str()), ("", "repeated,order"));
    let (changes, whole) = seen(&once().file("a", b"2"), &once().file("a", b"2"));
    assert_eq!((changes.as_str(), whole.as_str()), ("", ""));
    assert!(compare(&[once()], &[fake().file("a", b"2").file("b", b"").file("a", b"1")]).same_filesystem);
    assert!(!compare(&[once()], &[once().file("a", b"2")]).same_filesystem);
}

/// What differs of two layers: the changes, and the names of what differs as a whole.
fn seen(a: &FakeLayer, b: &FakeLayer) -> (String, String) {
    let comparison = compare(std::slice::from_ref(a), std::slice::from_ref(b));
    let pair = &comparison.layers[0];
    let names =
        |fields: &[Field]| fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>().join(",");
    let change = |change: &Change| format!("{} {:?} {}", change.path, change.kind, names(&change.fields));
    (pair.changes.iter().map(change).collect::<Vec<_>>().join("; "), names(&pair.whole))
}

#[test]
fn bytes_after_the_end_are_seen() {
    let tar = fake().file("a", b"1").tar();
    let mut shelf = Shelf::default();
    let a = shelf.image(&[fake().file("a", b"1")], &json!({}));
    let hidden = [&tar[..], &[0; 512], b"payload"].concat();
    let b = shelf.image_of(&[(OCI_LAYER, hidden.clone(), hidden)], &json!({}));
    let comparison = images(&shelf, &a, &b).unwrap();
    assert!(whole(&comparison).starts_with("trailing none → 7 bytes ("), "{}", whole(&comparison));
    assert!(!comparison.same_filesystem && comparison.layers[0].changes.is_empty(), "some read on");
    let open = fake().file("a", b"1").open_end();
    for (blob, expected) in
        [(open.clone(), "padding 1024 → 0"), ([open, vec![0; 512]].concat(), "padding 1024 → 512")]
    {
        let b = shelf.image_of(&[(OCI_LAYER, blob.clone(), blob)], &json!({}));
        let comparison = images(&shelf, &a, &b).unwrap();
        assert!(comparison.same_filesystem && whole(&comparison) == expected, "{}", whole(&comparison));
    }
}

#[test]
fn sparse_files_are_what_they_are_when_unpacked() {
    let dense = fake().file("s", b"\0\0\0\0ab\0\0");
    let records = |map: &str| {
        let records: [(&str, &[u8]); 3] =
            [("GNU.sparse.size", b"8"), ("GNU.sparse.name", b"s"), ("GNU.sparse.map", map.as_bytes())];
        fake().file("GNUSparseFile.1/s", b"ab").pax(&records)
    };
    let (changes, _) = seen(&dense, &records("4,2"));
    assert_eq!(changes, "s Metadata pax:GNU.sparse.map");
    assert!(compare(std::slice::from_ref(&dense), &[records("4,2")]).same_filesystem);
    assert_eq!(seen(&dense, &records("3,2")).0, "s Content pax:GNU.sparse.map,content");
    let form_1: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"s"),
        ("GNU.sparse.realsize", b"8"),
    ];
    let mut content = b"1\n4\n2\n".to_vec();
    content.resize(512, 0);
    content.extend_from_slice(b"ab");
    assert_eq!(
        seen(&records("4,2"), &fake().file("x", &content).pax(&form_1)),
        (String::new(), String::new())
    );
    let old = fake()
        .entry(b'S', "s", "", b"ab")
        .put(257, b"ustar  \0")
        .put(345, &[0; 41])
        .put(386, b"00000000004\x0000000000002\0")
        .put(483, b"00000000010\0");
    assert_eq!(seen(&records("4,2"), &old), (String::new(), "dialect".into()));
    let mut shelf = Shelf::default();
    let a = shelf.image(&[dense], &json!({}));
    for wrong in ["4,3", "7,2", "4,1,4,1", "4"] {
        let b = shelf.image(&[records(wrong)], &json!({}));
        let refused = images(&shelf, &a, &b).unwrap_err().to_string();
        assert!(refused.starts_with("cannot read layer 0 of image b"), "{refused}");
    }
}

#[test]
fn an_order_that_is_not_common_changes_nothing() {
    let one = || fake().file("b", b"1").file("a", b"2").file("c", b"3");
    assert_eq!(seen(&one(), &one().file("d", b"4")).0, "d OnlyInB ");
    assert_eq!(seen(&one(), &fake().file("b", b"1").file("c", b"x").file("a", b"2")).0, "c Content content");
    // Byte by byte `a-b` comes before `a/b`, component by component after it.
    let by_bytes = || fake().dir("a/").file("a-b", b"").file("a/b", b"");
    assert_eq!(seen(&by_bytes(), &by_bytes().file("a/c", b"")).0, "a/c OnlyInB ");
    assert_eq!(
        seen(&by_bytes(), &fake().dir("a/").file("a/b", b"").file("a-b", b"")),
        (String::new(), "order".into())
    );
}

#[test]
fn deletions_that_come_to_something_else_say_so() {
    let base = fake().dir("d/").file("d/a", b"1").file("d/b", b"2");
    let opaque = fake().dir("d/").file("d/.wh..wh..opq", b"");
    let some = |names: &[&str]| names.iter().fold(fake().dir("d/"), |layer, name| layer.file(name, b""));
    let deletes = |other: &FakeLayer| {
        let comparison = compare(&[base.clone(), opaque.clone()], &[base.clone(), other.clone()]);
        let fields = comparison.layers[1].changes.iter().flat_map(|change| change.fields.clone());
        fields.map(|field| (field.name, field.a, field.b)).collect::<BTreeSet<_>>()
    };
    assert_eq!(deletes(&some(&["d/.wh.a", "d/.wh.b"])), BTreeSet::new());
    let only_a = ("deletes".to_owned(), Some("d/b".to_owned()), None);
    assert_eq!(deletes(&some(&["d/.wh.a"])), BTreeSet::from([only_a]));
}

#[test]
fn what_some_take_for_another_thing_is_no_form() {
    let misleads = |a: &[FakeLayer], b: &[FakeLayer]| {
        let comparison = compare(a, b);
        assert!(!comparison.same_filesystem);
        let whole = comparison.layers.iter().flat_map(|pair| &pair.whole);
        whole.filter(|field| field.misleads()).map(|field| field.name.clone()).collect::<Vec<_>>().join(",")
    };
    let root = |mode| fake().dir("./").mode(mode).file("a", b"");
    assert_eq!(misleads(&[root(0o755)], &[root(0o777)]), "root");
    assert!(compare(&[root(0o755)], &[fake().file("a", b"")]).same_filesystem);
    // A link to the first of two files of one path is to another file than the last.
    let good = || fake().file("a", b"good").hardlink("b", "a");
    let evil = fake().file("a", b"evil").hardlink("b", "a").file("a", b"good");
    assert_eq!(misleads(&[good()], &[evil]), "repeated");
    assert_eq!(
        misleads(
            &[good(), fake().file("z", b"")],
            &[fake().file("a", b"evil").hardlink("b", "a").file("a", b"good").file("z", b"")]
        ),
        "repeated"
    );
    // Names of one file in one layer, and in another.
    let one = [fake().file("a", b"1").hardlink("b", "a"), fake().file("a", b"2").file("x", b"")];
    assert_eq!(misleads(&one, &[fake().file("a", b"2").hardlink("b", "a").file("x", b"")]), "merged");
    let base = fake().dir("d/").file("d/x", b"").file("d/y", b"");
    let some = [base.clone(), fake().file("d/.wh.x", b""), fake().file("z", b"")];
    let all = [base, fake().dir("d/").file("d/.wh..wh..opq", b"").file("z", b"")];
    let comparison = compare(&some, &all);
    assert!(!comparison.same_filesystem);
    assert!(comparison.layers.iter().any(|pair| pair.changes.iter().any(|change| change.has("deletes"))));
}

#[test]
fn which_name_is_the_link_is_no_difference_of_files() {
    let one = || fake().file("p", b"1").hardlink("q", "p");
    let turned = || fake().file("q", b"1").hardlink("p", "q");
    assert_eq!(seen(&one(), &turned()), (String::new(), "order,links".into()));
    let (changes, whole) = seen(&one().file("z", b"").at(1), &turned().file("z", b"").at(2));
    assert_eq!((changes.as_str(), whole.as_str()), ("z Metadata mtime", "order,links"));
    assert_eq!(seen(&one(), &fake().file("p", b"1").file("q", b"1")).0, "q Type type,size,link");
    assert_eq!(seen(&one(), &fake().file("q", b"2").hardlink("p", "q")).0, "p Content content");
}

#[test]
fn other_numbers_of_layers_are_compared_as_what_they_come_to() {
    let (one, two) =
        (fake().dir("d/").file("d/a", b"1").file("d/b", b"2"), fake().dir("d/").file("d/c", b"3"));
    let whole = fake().dir("d/").file("d/a", b"1").file("d/b", b"2").file("d/c", b"3");
    let base = fake().file("base", b"");
    let seen = |a: &[FakeLayer], b: &[FakeLayer]| {
        let with_base = |layers: &[FakeLayer]| [std::slice::from_ref(&base), layers].concat();
        let comparison = compare(&with_base(a), &with_base(b));
        let shown: Vec<_> = comparison
            .layers
            .iter()
            .flat_map(|pair| pair.changes.iter().map(|change| (pair.index, change)))
            .map(|(pair, change)| {
                assert_eq!(pair, change.layer);
                format!("{pair} {} {:?} {}", change.path, change.kind, change.contents.is_some())
            })
            .collect();
        (shown.join("; "), comparison.same_filesystem)
    };
    assert_eq!(seen(&[one.clone(), two.clone()], std::slice::from_ref(&whole)), (String::new(), true));
    let drifted = fake().dir("d/").file("d/a", b"1").file("d/b", b"x").file("d/c", b"3").file("d/e", b"");
    assert_eq!(
        seen(&[one.clone(), two.clone()], std::slice::from_ref(&drifted)),
        ("1 d/b Content true; 1 d/e OnlyInB false".into(), false)
    );
    let deleting = [drifted.clone(), fake().file("d/.wh.e", b"").file("d/b", b"2")];
    assert_eq!(seen(std::slice::from_ref(&whole), &deleting), (String::new(), true));
    let of_base = [one, two, fake().file(".wh.base", b"")];
    assert_eq!(seen(&[whole], &of_base), ("3 .wh.base OnlyInB false".into(), false));
}

#[test]
fn large_files_are_compared_and_not_held() {
    let mut large = vec![7; (8 << 20) + 5];
    let a = fake().file("a", &large);
    large[5_000_000] = 8;
    let comparison = compare(&[a], &[fake().file("a", &large)]);
    let change = &comparison.layers[0].changes[0];
    let delta = change.delta.as_ref().unwrap();
    assert_eq!((delta.bytes, delta.complete, delta.runs[0].offset), (1, true, 5_000_000));
    assert_eq!((&delta.runs[0].a[..], &delta.runs[0].b[..]), (&[7; 8][..], &[8, 7, 7, 7, 7, 7, 7, 7][..]));
    assert_eq!(change.fields[0].b.as_deref(), Some("08 from byte 5000000"));
    assert!(change.contents.is_none() && change.has("content"));
}

#[track_caller]
fn check_merged(a: &[FakeLayer], b: &[FakeLayer], expected: bool) {
    assert_eq!(compare(a, b).same_filesystem, expected);
}

#[test]
fn same_filesystem() {
    let base = fake().dir("d/").file("d/a", b"1").file("d/b", b"2");
    let one = fake().file("x", b"1").file("y", b"2");
    check_merged(
        &[base.clone(), one.clone()],
        &[base.clone(), fake().file("x", b"1"), fake().file("y", b"2")],
        true,
    );
    let opaque = fake().dir("d/").file("d/.wh..wh..opq", b"");
    let each = fake().dir("d/").file("d/.wh.a", b"").file("d/.wh.b", b"");
    check_merged(&[base.clone(), opaque.clone()], &[base.clone(), each.clone()], true);
    check_merged(&[base.clone(), opaque], &[base.clone(), fake().dir("d/").file("d/.wh.a", b"")], false);
    let swapped = [fake().file("p", b"1").hardlink("q", "p")];
    check_merged(&swapped, &[fake().file("q", b"1").hardlink("p", "q")], true);
    check_merged(&swapped, &[fake().file("p", b"1").file("q", b"1")], false);
    let drift = |content| [base.clone(), fake().file("t", content), fake().file(".wh.t", b"")];
    check_merged(&drift(b"1"), &drift(b"2"), true);
    check_merged(&[base.clone(), one.clone(), each.clone()], &[base, each, one.at(5)], false);
}

#[test]
fn documents_without_end_are_bounded() {
    let mut shelf = Shelf::default();
    let many = |value: u64| json!({ "n".repeat(5000): vec![value; 20_000], "m": vec![value; 20_000] });
    let (a, b) = (shelf.image(&[], &many(1)), shelf.image(&[], &many(2)));
    let config = images(&shelf, &a, &b).unwrap().config;
    assert_eq!(config.len(), 10_001);
    assert_eq!((config[10_000].pointer.as_str(), &config[10_000].b), ("", &None));
}

#[test]
fn config_and_manifest_as_raw_json() {
    let mut shelf = Shelf::default();
    let layer = [fake().file("a", b"1")];
    let a = shelf.image(&layer, &json!({"config": {"Env": ["A=1", "B=2"], "Healthcheck": {"Test": ["x"]}}}));
    let b = shelf.image(&layer, &json!({"config": {"Env": ["B=2", "A=1"]}, "x/y~": 1}));
    let shown: Vec<_> = images(&shelf, &a, &b)
        .unwrap()
        .config
        .iter()
        .map(|change| serde_json::to_string(change).unwrap())
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
        {"of":"config","pointer":"/config/Env/0","a":"A=1","b":"B=2"}
        {"of":"config","pointer":"/config/Env/1","a":"B=2","b":"A=1"}
        {"of":"config","pointer":"/config/Healthcheck","a":{"Test":["x"]},"b":null}
        {"of":"config","pointer":"/x~1y~0","a":null,"b":1}
        "#);
}
