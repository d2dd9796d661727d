use super::*;
use crate::layer::fake::{FakeLayer, Heap};

fn merged(layers: &[&FakeLayer]) -> Lower {
    let mut lower = Lower::default();
    for layer in layers {
        lower.apply(&layer.layer(), &Heap::default()).unwrap();
    }
    lower
}

fn paths(lower: &Lower) -> String {
    let (mut nodes, mut paths) = (lower.nodes.read().unwrap(), Vec::new());
    while let Some(node) = nodes.next().unwrap() {
        paths.push(BString::from(node.key).to_string());
    }
    paths.join(" ")
}

fn fake() -> FakeLayer {
    FakeLayer::default()
}

/// What of `layer` is not there yet.
fn left(lower: &Lower, layer: &FakeLayer, epoch_s: i64) -> String {
    let layer = lower.without_equal(layer.layer(), epoch_s, &Heap::default()).unwrap();
    layer.entries().unwrap().map(|entry| entry.unwrap().path.to_string()).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(upper: &FakeLayer, expected: &str) {
    let base = fake().dir("d/").file("d/a", b"1").file("d/b", b"2").file("d.x", b"3").file("e", b"4");
    assert_eq!(paths(&merged(&[&base, upper])), expected);
}

#[test]
fn merges() {
    check(&fake(), "d d/a d/b d.x e");
    check(&fake().file("d/.wh.a", b""), "d d/b d.x e");
    check(&fake().file(".wh.d", b""), "d.x e");
    check(&fake().file("d/.wh..wh..opq", b"").file("d/c", b""), "d d/c d.x e");
    check(&fake().file("d/c", b"").file("d/.wh..wh..opq", b""), "d d/c d.x e");
    check(&fake().file(".wh..wh..opq", b"").file("z", b""), "z");
    check(&fake().file("d", b"now a file"), "d d.x e");
    check(&fake().hardlink("f", "d/a"), "d d/a d/b d.x e f");
}

#[test]
fn directories() {
    let lower = merged(&[&fake().dir("d/").file("implied/a", b"").file("implied.b", b"")]);
    let kinds = lower.kinds([&b"none"[..], b"implied/a", b"implied", b"impl", b"d", b"zz"]).unwrap();
    let kinds: Vec<_> = kinds.iter().map(|(path, kind)| format!("{path} {}", kind.name())).collect();
    assert_eq!(kinds, ["d directory", "implied directory", "implied/a file"]);
}

#[test]
fn equal_after_clamping_both() {
    let lower =
        merged(&[&fake().file("a", b"1").at(500).dir("d/").at(50).file("x", b"9").hardlink("y", "x")]);
    let has = |layer: FakeLayer| left(&lower, &layer, 100).is_empty();
    assert!(has(fake().file("a", b"1").at(700)));
    assert!(!has(fake().file("a", b"1").at(99)));
    assert!(!has(fake().file("a", b"2").at(500)));
    assert!(!has(fake().file("a", b"1").at(500).mode(0o4644)));
    assert!(!has(fake().file("a", b"1").at(500).pax(&[("SCHILY.xattr.security.capability", b"x")])));
    assert!(!has(fake().file("b", b"1")));
    assert!(has(fake().dir("d/").at(50)));
    assert!(has(fake().hardlink("y", "x")));
    assert!(!has(fake().hardlink("y", "a")));
}

#[test]
fn without_equal_keeps_names_and_parents_together() {
    let base = fake().dir("d/").dir("e/").file("x", b"1").hardlink("y", "x").file("d/old", b"2");
    let lower = merged(&[&base]);
    let left = |layer: &FakeLayer| left(&lower, layer, 0);
    assert_eq!(left(&base), "");
    assert_eq!(left(&fake().dir("d/").dir("e/").file("d/new", b"").file("d/old", b"2")), "d d/new");
    assert_eq!(left(&fake().file("x", b"1").hardlink("y", "x").hardlink("z", "x")), "x y z");
    assert_eq!(left(&fake().dir("d/").file("d/.wh.old", b"")), "d d/.wh.old");
}

#[test]
fn same_whichever_name_is_the_link() {
    let a = merged(&[&fake().file("a", b"1").hardlink("b", "a").hardlink("c", "b")]);
    let b = merged(&[&fake().file("c", b"1").hardlink("a", "c"), &fake().hardlink("b", "a")]);
    let copies = merged(&[&fake().file("a", b"1").file("b", b"1").file("c", b"1")]);
    assert!(a.same(&b).unwrap() && !a.same(&copies).unwrap());
    let once = merged(&[&fake().file("a", b"1").hardlink("b", "a"), &fake().file(".wh.b", b"")]);
    assert!(once.same(&merged(&[&fake().file("a", b"1")])).unwrap());
    assert!(!once.same(&merged(&[&fake().file("a", b"2")])).unwrap());
    assert!(once.contradicts(&merged(&[&fake().file("a", b"2")])).unwrap());
}

#[test]
fn links_to_nowhere_and_in_circles_end() {
    let lower = merged(&[&fake().hardlink("a", "b").hardlink("b", "a").hardlink("c", "none")]);
    assert_eq!(paths(&lower), "a b c");
}
