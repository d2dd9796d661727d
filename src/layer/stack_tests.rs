//! Layers upon layers, as the streams have it and as plainly as can be: all in memory, one path after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Read},
};

use bstr::BString;
use proptest::prelude::*;

use super::{
    Around, Entry, Index, Kind, Layer, LayerError, Lower, Profile, compare_paths,
    fake::{FakeLayer, Heap},
    index,
    order::is_below,
    write,
};

/// What is at a path: everything but the time, the time, and which file it is a name of.
type Node = (Entry, i64, u64);

#[derive(Default, Clone)]
struct Plain {
    nodes: BTreeMap<BString, Node>,
    files: u64,
}

fn hides(path: &BString) -> Option<(BString, bool)> {
    let at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    match path[at..].strip_prefix(b".wh.")? {
        b".wh..opq" => Some((path[..at.saturating_sub(1)].into(), false)),
        name => Some(([&path[..at], name].concat().into(), true)),
    }
}

/// The file that `entry` is a name of.
fn holder<'a>(entries: &'a [Entry], entry: &'a Entry) -> Option<&'a Entry> {
    let mut at = entry;
    for _ in 0..64 {
        match at.kind {
            Kind::File => return Some(at),
            Kind::Hardlink => at = entries.iter().find(|other| other.path == at.link)?,
            _ => return None,
        }
    }
    None
}

/// What a layer says of a path, however it was written.
fn meaning(entry: &Entry) -> Entry {
    let mut same = Entry { offset: 0, peek: Vec::new(), mtime_s: 0, ..entry.clone() };
    same.path = BString::default();
    if same.kind == Kind::File {
        same.link = BString::default();
    }
    same
}

impl Plain {
    fn apply(&mut self, entries: &[Entry]) {
        for (hidden, itself) in entries.iter().filter_map(|entry| hides(&entry.path)) {
            self.nodes.retain(|path, _| !(is_below(path, &hidden) || itself && *path == hidden));
        }
        let visible: Vec<&Entry> = entries.iter().filter(|entry| hides(&entry.path).is_none()).collect();
        for entry in visible.iter().filter(|entry| entry.kind != Kind::Directory) {
            let added = |path: &BString| entries.iter().any(|other| other.path == *path);
            self.nodes.retain(|path, _| !is_below(path, &entry.path) || added(path));
        }
        for entry in visible.iter().filter(|entry| entry.kind != Kind::Hardlink) {
            self.files += 1;
            self.nodes.insert(entry.path.clone(), (meaning(entry), entry.mtime_s, self.files));
        }
        let links: Vec<_> = visible.iter().filter(|entry| entry.kind == Kind::Hardlink).collect();
        let mut named = Vec::new();
        for link in &links {
            let mut end = &link.link;
            while let Some(next) = links.iter().find(|other| other.path == *end) {
                end = &next.link;
            }
            self.files += 1;
            let nowhere =
                || (Entry { link: end.clone(), ..Entry::new("", Kind::Hardlink, 0, 0) }, 0, self.files);
            named.push((link.path.clone(), self.nodes.get(end).cloned().unwrap_or_else(nowhere)));
        }
        self.nodes.extend(named);
    }

    fn has(&self, entry: &Entry, epoch_s: i64) -> bool {
        let file = |path: &BString| self.nodes.get(path).map_or(0, |(_, _, file)| *file);
        match (entry.kind, self.nodes.get(&entry.path)) {
            (Kind::Hardlink, _) => file(&entry.path) != 0 && file(&entry.path) == file(&entry.link),
            (_, None) => false,
            (_, Some((known, mtime_s, _))) => {
                *known == meaning(entry) && *mtime_s.min(&epoch_s) == entry.mtime_s.min(epoch_s)
            }
        }
    }

    fn without_equal(&self, entries: &[Entry], epoch_s: i64) -> Vec<Entry> {
        let file = |entry: &Entry| holder(entries, entry).unwrap_or(&entry.clone()).path.clone();
        let changed = entries.iter().filter(|entry| entry.is_whiteout() || !self.has(entry, epoch_s));
        let files: BTreeSet<BString> = changed.map(file).collect();
        let stays: Vec<_> = entries.iter().filter(|entry| files.contains(&file(entry))).collect();
        let above =
            |path: &BString| stays.iter().any(|entry| is_below(&entry.path, path) || entry.path == *path);
        entries.iter().filter(|entry| above(&entry.path)).cloned().collect()
    }
}

/// One line for each path, for people and for comparing.
fn shown(entries: impl Iterator<Item = Entry>) -> Vec<String> {
    let line = |entry: Entry| {
        let content = entry.content.filter(|_| entry.kind == Kind::File).map(|digest| digest.short());
        let link = if entry.kind == Kind::File { "" } else { &entry.link.to_string() };
        format!(
            "{} {} [{link}] {:o} {} {content:?}",
            entry.kind.name(),
            entry.path,
            entry.mode,
            entry.mtime_s
        )
    };
    entries.map(line).collect()
}

/// The canonical form, plainly.
fn canonical(entries: &[Entry]) -> Vec<Entry> {
    let mut sorted = entries.to_vec();
    sorted.sort_by(|a, b| compare_paths(&a.path, &b.path));
    let names = |file: &Entry| {
        let of_file = |other: &&Entry| holder(entries, other).is_some_and(|found| found.path == file.path);
        sorted.iter().filter(of_file).map(|name| name.path.clone()).collect::<Vec<_>>()
    };
    let turned = |entry: &Entry| match holder(entries, entry) {
        Some(file) if names(file)[0] == entry.path => Entry { path: entry.path.clone(), ..file.clone() },
        Some(file) => {
            let link = names(file)[0].clone();
            Entry { path: entry.path.clone(), kind: Kind::Hardlink, link, ..file.clone() }
        }
        None => entry.clone(),
    };
    sorted.iter().map(turned).collect()
}

/// One step: which path, what, and where a link leads.
type Step = (String, u8, String, u8);

fn paths() -> impl Strategy<Value = String> {
    let name = prop::sample::select(&["a", "b", "c", "+", "a.b", "d"][..]);
    prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((paths(), 0_u8..10, paths(), 0_u8..3), 0..14)
}

/// A layer as a file system could have given it: no path twice, nothing below what is no directory, no link to itself.
fn layer(steps: &[Step]) -> FakeLayer {
    let mut used: BTreeMap<String, bool> = BTreeMap::new(); // Whether it is a directory.
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    let mut layer = FakeLayer::default();
    for (path, what, target, value) in steps {
        let path = match what {
            0 | 1 => {
                path.rsplit_once('/').map_or(format!(".wh.{path}"), |(dir, name)| format!("{dir}/.wh.{name}"))
            }
            2 => path
                .rsplit_once('/')
                .map_or(".wh..wh..opq".to_owned(), |(dir, _)| format!("{dir}/.wh..wh..opq")),
            _ => path.clone(),
        };
        let directory = matches!(what, 3 | 4);
        let below = |upper: &str, lower: &str| is_below(lower.as_bytes(), upper.as_bytes());
        let clash = used.iter().any(|(other, is_directory)| {
            *other == path || (below(other, &path) && !is_directory) || (below(&path, other) && !directory)
        });
        let is_link = matches!(what, 5 | 6);
        let circle = std::iter::successors(Some(target), |at| links.get(*at)).any(|at| *at == path);
        // What it links to may be in another layer, but not where this one puts something that is no directory.
        if clash || (is_link && circle) {
            continue;
        }
        used.insert(path.clone(), directory);
        let content = vec![b'0' + value; 3 * usize::from(*value)];
        layer = match what {
            3 | 4 => layer.dir(&path).mode(0o755 - u32::from(value / 2)),
            5 | 6 => {
                links.insert(path.clone(), target.clone());
                layer.hardlink(&path, target)
            }
            7 => layer.symlink(&path, target),
            _ => layer.file(&path, if *what < 3 { b"" } else { &content }),
        };
        layer = layer.at(100 + 30 * u64::from(value / 2));
    }
    layer
}

/// Whether a file system could be so: nothing lies below what is no directory, now or while links are made, and no
/// directory has two names.
fn sane(plain: &Plain, entries: &[Entry]) -> bool {
    let mut after = plain.clone();
    after.apply(entries);
    let file = |node: &Node| node.0.kind != Kind::Directory;
    let files: Vec<_> = after.nodes.iter().filter(|(_, node)| file(node)).map(|(path, _)| path).collect();
    let links: Vec<_> = entries.iter().filter(|entry| entry.kind == Kind::Hardlink).collect();
    if links.iter().any(|link| after.nodes.get(&link.path).is_some_and(|node| !file(node))) {
        return false;
    }
    let links = links.into_iter().map(|entry| &entry.link);
    !after.nodes.keys().chain(links).any(|path| files.iter().any(|file| is_below(path, file)))
}

const EPOCH_S: i64 = 110;

/// What a build makes of each layer, with runs of this size: the blob, and its entries in lines.
fn built(layers: &[FakeLayer], run_size_bytes: usize) -> Vec<(Vec<u8>, Vec<String>, String)> {
    let scratch = Heap { run_size_bytes };
    let mut lower = Lower::default();
    let profile = Profile::named("none").unwrap().with_drops(vec![("**/a.b".to_owned(), String::new())]);
    let each = |layer: &FakeLayer| {
        let tar = layer.tar();
        let read = Layer::read(&tar[..], &scratch).unwrap();
        let mut open = |_: &Entry| -> std::io::Result<Box<dyn Read>> { unreachable!("no rule asks") };
        let (mounts, none) = (["b", "b/c", "d"].map(BString::from).into(), BTreeSet::new());
        let around = Around { lower: &lower, mounts: &mounts, reached: &none, epoch_s: EPOCH_S };
        let applied = profile.apply(read, &around, &mut open, &scratch).unwrap();
        let (left, counts) = (applied.layer, applied.counts);
        let left = lower.without_equal(left, EPOCH_S, &scratch).unwrap();
        let mut blob = Vec::new();
        write(&left, &mut Cursor::new(&tar), EPOCH_S, &mut blob).unwrap();
        lower.apply(&left, &scratch).unwrap();
        (blob, shown(left.entries().unwrap().map(Result::unwrap)), format!("{counts:?}"))
    };
    layers.iter().map(each).collect()
}

proptest! {
    #[test]
    fn runs_of_any_size_give_the_same_bytes(
        stack in prop::collection::vec(steps(), 1..5),
        run_size_bytes in 0_usize..2000,
    ) {
        let layers: Vec<_> = stack.iter().map(|steps| layer(steps)).collect();
        prop_assert_eq!(built(&layers, run_size_bytes), built(&layers, usize::MAX));
    }

    #[test]
    fn streams_say_what_memory_says(
        stack in prop::collection::vec(steps(), 1..5),
        run_size_bytes in 0_usize..2000,
    ) {
        let scratch = Heap { run_size_bytes };
        let (mut lower, mut plain) = (Lower::default(), Plain::default());
        for layer in stack.iter().map(|steps| layer(steps)) {
            let entries = layer.index();
            if !sane(&plain, &entries) {
                continue;
            }
            let expected = canonical(&entries);
            let read = Index::of(&entries, &scratch).unwrap().canonical(&scratch).unwrap();
            let found: Vec<_> = read.entries().unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(shown(found.into_iter()), shown(expected.iter().cloned()));
            let left = lower.without_equal(read, EPOCH_S, &scratch).unwrap();
            let found: Vec<_> = left.entries().unwrap().map(Result::unwrap).collect();
            let expected = canonical(&plain.without_equal(&entries, EPOCH_S));
            prop_assert_eq!(shown(found.into_iter()), shown(expected.into_iter()));
            lower.apply(&left, &scratch).unwrap();
            plain.apply(&plain.without_equal(&entries, EPOCH_S));
            let kinds = lower.kinds(plain.nodes.keys().map(|path| path.as_slice())).unwrap();
            let kinds: Vec<_> = kinds.into_iter().collect();
            let expected: Vec<_> = plain.nodes.iter().map(|(path, node)| (path.clone(), node.0.kind)).collect();
            prop_assert_eq!(kinds, expected);
            prop_assert_eq!(lower.nodes.count(), plain.nodes.len());
        }
    }
}

#[test]
fn one_path_twice_is_refused_across_runs() {
    let layer = FakeLayer::default().file("b", b"1").file("a", b"").file("c", b"").file("./b", b"2");
    for run_size_bytes in [0, usize::MAX] {
        let read = Layer::read(&layer.tar()[..], &Heap { run_size_bytes });
        assert!(matches!(read, Err(LayerError::Duplicate(path)) if path == "b"));
    }
}

#[test]
fn chains_of_links_are_followed_across_runs() {
    let layer = FakeLayer::default()
        .hardlink("e", "d")
        .hardlink("d", "z")
        .file("z", b"1")
        .hardlink("c", "e")
        .hardlink("y", "below")
        .hardlink("x", "y")
        .hardlink("p", "q")
        .hardlink("q", "p");
    for run_size_bytes in [0, 200, usize::MAX] {
        let read = Layer::read(&layer.tar()[..], &Heap { run_size_bytes }).unwrap();
        let entries = read.entries().unwrap().map(Result::unwrap);
        let links: Vec<_> = entries.map(|entry| format!("{} {}", entry.path, entry.link)).collect();
        assert_eq!(links, ["c ", "d c", "e c", "p q", "q p", "x y", "y below", "z c"]);
    }
    assert!(index(&layer.tar()[..]).is_ok());
}
