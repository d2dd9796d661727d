//! What is at some paths of an image, read from its layers: nothing is unpacked, and links lead nowhere else.
#![expect(clippy::disallowed_methods, reason = "reads layers in the store")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufReader, Read},
};

use bstr::{BStr, BString, ByteSlice as _};

use super::{Base, Ports, TestError};
use crate::{
    compute,
    job::bases,
    layer::{Entry, Kind, LayerError, Reading, inflate, walk},
    model::{
        Descriptor,
        limits::{TEST_ENTRIES_MAX, TEST_FILES_KEPT_MAX, TEST_KEPT_SIZE_BYTES_MAX, TEST_LINKS_MAX},
        path::printable,
    },
    recipe::exam::{Facts, FileKind, Found, Kept},
    store::Store,
};

/// What is at `paths`.
///
/// # Errors
/// Those of the layers: altered, unreadable.
pub(super) async fn look(
    ports: &Ports,
    base: &Base,
    paths: Vec<String>,
) -> Result<BTreeMap<String, Found>, TestError> {
    bases::check_layers(&ports.store, base).await?;
    let (store, layers) = (ports.store.clone(), base.image.manifest.layers().to_vec());
    let looked = compute::run(move || found(&layers, &paths, |layer| open(&store, layer))).await;
    looked.map_err(|source| TestError::Layer { image: base.name.to_string(), source })
}

fn open(store: &Store, layer: &Descriptor) -> Result<Box<dyn Read + Send>, LayerError> {
    let file = fs::File::open(store.path(&layer.digest)).map_err(LayerError::Read)?;
    Ok(Box::new(inflate(&layer.media_type, BufReader::with_capacity(1 << 20, file))?))
}

/// What the layers have at a path, and where its content is: the layer and the path in it.
#[derive(Debug, Clone)]
struct Node {
    facts: Facts,
    size_bytes: u64,
    link: BString,
    at: (usize, u64),
}

/// All paths of an image, without slashes at their ends; the root is empty.
#[derive(Default)]
struct Tree(BTreeMap<BString, Node>);

fn found(
    layers: &[Descriptor],
    paths: &[String],
    open: impl Fn(&Descriptor) -> Result<Box<dyn Read + Send>, LayerError>,
) -> Result<BTreeMap<String, Found>, LayerError> {
    let mut tree = Tree::default();
    for (index, layer) in layers.iter().enumerate() {
        let mut entries = Vec::new();
        walk(
            open(layer)?,
            Reading::Lenient,
            |_, _| {},
            |entry| {
                entries.push(entry);
                if entries.len() > TEST_ENTRIES_MAX {
                    return Err(LayerError::TooMany { what: "entries", max: TEST_ENTRIES_MAX as u64 });
                }
                Ok(())
            },
        )?;
        tree.apply(index, entries)?;
    }
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    let mut wanted: BTreeMap<(usize, u64), Vec<String>> = BTreeMap::new();
    for path in paths {
        let own = tree.resolve(path.as_bytes().as_bstr(), false).and_then(|at| tree.node(&at));
        let led = tree.resolve(path.as_bytes().as_bstr(), true).and_then(|at| tree.node(&at));
        let link = own.as_ref().filter(|node| node.facts.kind == FileKind::Symlink);
        if let Some(file) = led.as_ref().filter(|node| node.facts.kind == FileKind::File) {
            wanted.entry(file.at).or_default().push(path.clone());
        }
        let content = led
            .as_ref()
            .filter(|node| node.facts.kind == FileKind::File)
            .map(|node| Kept { bytes: Vec::new(), whole_bytes: node.size_bytes });
        let link = link.map(|node| node.link.to_vec());
        let (own, led) = (own.map(|node| node.facts), led.map(|node| node.facts));
        found.insert(path.clone(), Found { own, led, link, content });
    }
    if wanted.len() > TEST_FILES_KEPT_MAX {
        return Err(LayerError::TooMany {
            what: "files whose contents are asked for",
            max: TEST_FILES_KEPT_MAX as u64,
        });
    }
    let of: BTreeSet<usize> = wanted.keys().map(|(layer, _)| *layer).collect();
    for index in of {
        let mut contents: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let keep = |entry: &Entry, chunk: &[u8]| {
            // By where it begins: of one path that comes twice the last counts, and both have contents.
            if wanted.contains_key(&(index, entry.offset)) {
                let kept = contents.entry(entry.offset).or_default();
                let room = usize::try_from(TEST_KEPT_SIZE_BYTES_MAX)
                    .unwrap_or(usize::MAX)
                    .saturating_sub(kept.len());
                kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
        };
        walk(open(&layers[index])?, Reading::Lenient, keep, |_| Ok(()))?;
        for (offset, bytes) in contents {
            for asked in wanted.get(&(index, offset)).into_iter().flatten() {
                if let Some(kept) = found.get_mut(asked).and_then(|found| found.content.as_mut()) {
                    kept.bytes.clone_from(&bytes);
                }
            }
        }
    }
    Ok(found)
}

impl Tree {
    /// Puts a layer on top: first what it deletes of those below, then what it has.
    fn apply(&mut self, layer: usize, entries: Vec<Entry>) -> Result<(), LayerError> {
        for entry in entries.iter().filter(|entry| entry.is_whiteout()) {
            let name = entry.name();
            let dir = BString::from(&entry.path[..entry.path.len() - name.len()]);
            let dir = BString::from(dir.trim_end_with(|c| c == '/'));
            if name == b".wh..wh..opq" {
                self.clear(&dir);
            } else {
                let mut path = dir;
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(&name[b".wh.".len()..]);
                self.clear(&path);
                self.0.remove(&path);
            }
        }
        for entry in entries.into_iter().filter(|entry| !entry.is_whiteout()) {
            let node = match entry.kind {
                Kind::Hardlink => match self.0.get(&entry.link) {
                    Some(target) => target.clone(),
                    None => continue, // It names nothing: no unpacker makes it.
                },
                _ => node(layer, &entry),
            };
            // What lies in a link or a file lies where nobody can tell, and each unpacker puts it elsewhere.
            let above = entry.path.rfind_byte(b'/').map_or(&b""[..], |at| &entry.path[..at]);
            if !above.is_empty() && self.leads_away(above) {
                let path = printable(&entry.path.to_str_lossy());
                return Err(LayerError::Refused { path, why: "what it lies in is no directory" });
            }
            if node.facts.kind != FileKind::Directory {
                self.clear(&entry.path);
            }
            self.0.insert(entry.path, node);
        }
        if self.0.len() > TEST_ENTRIES_MAX {
            return Err(LayerError::TooMany { what: "entries", max: TEST_ENTRIES_MAX as u64 });
        }
        Ok(())
    }

    /// Whether `path`, or something above it, is there and no directory.
    fn leads_away(&self, path: &[u8]) -> bool {
        let ends = path.find_iter(b"/").chain([path.len()]);
        let mut above = ends.map(|end| BString::from(&path[..end]));
        above.any(|path| self.0.get(&path).is_some_and(|node| node.facts.kind != FileKind::Directory))
    }

    /// Takes away all that lies below `path`.
    fn clear(&mut self, path: &BString) {
        if path.is_empty() {
            return self.0.clear();
        }
        let (mut from, mut to) = (path.clone(), path.clone());
        from.push(b'/');
        to.push(b'/' + 1);
        let below: Vec<_> = self.0.range(from..to).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.0.remove(&path);
        }
    }

    /// What is at a path without links in it; a directory that only its entries name is one.
    fn node(&self, path: &BString) -> Option<Node> {
        if let Some(node) = self.0.get(path) {
            return Some(node.clone());
        }
        let mut below = path.clone();
        if !path.is_empty() {
            below.push(b'/');
        }
        let implied = path.is_empty()
            || self.0.range(below.clone()..).next().is_some_and(|(path, _)| path.starts_with(&below));
        let facts = Facts { kind: FileKind::Directory, mode: 0o755, uid: 0, gid: 0 };
        implied.then(|| Node { facts, size_bytes: 0, link: BString::default(), at: (0, 0) })
    }

    /// Where `path` leads, as seen from the image's root; with `follow`, a link at its end too.
    fn resolve(&self, path: &BStr, follow: bool) -> Option<BString> {
        let parts = |path: &BStr| -> Vec<BString> {
            path.rsplit_str("/").filter(|part| !part.is_empty() && *part != b".").map(BString::from).collect()
        };
        let (mut at, mut left, mut links) = (BString::default(), parts(path), 0);
        while let Some(part) = left.pop() {
            if part == ".." {
                let above = at.rfind_byte(b'/').unwrap_or_default();
                at.truncate(above);
                continue;
            }
            let mut next = at.clone();
            if !next.is_empty() {
                next.push(b'/');
            }
            next.extend_from_slice(&part);
            let node = self.node(&next)?;
            match node.facts.kind {
                FileKind::Symlink if follow || !left.is_empty() => {
                    links += 1;
                    if links > TEST_LINKS_MAX {
                        return None;
                    }
                    if node.link.starts_with(b"/") {
                        at.clear();
                    }
                    left.extend(parts(node.link.as_bstr()));
                }
                FileKind::Directory => at = next,
                _ if left.is_empty() => at = next,
                _ => return None,
            }
        }
        Some(at)
    }
}

fn node(layer: usize, entry: &Entry) -> Node {
    let kind = match entry.kind {
        Kind::File | Kind::Hardlink => FileKind::File,
        Kind::Directory => FileKind::Directory,
        Kind::Symlink => FileKind::Symlink,
        Kind::Char => FileKind::Char,
        Kind::Block => FileKind::Block,
        Kind::Fifo => FileKind::Fifo,
    };
    let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
    Node {
        facts: Facts { kind, mode: entry.mode, uid: id(entry.uid), gid: id(entry.gid) },
        size_bytes: entry.size_bytes,
        link: entry.link.clone(),
        at: (layer, entry.offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind, link: &str) -> Entry {
        let mut entry = Entry::new(path, kind, 0o755, 0);
        entry.link = link.into();
        entry
    }

    fn tree(layers: Vec<Vec<Entry>>) -> Tree {
        let mut tree = Tree::default();
        for (index, entries) in layers.into_iter().enumerate() {
            tree.apply(index, entries).unwrap();
        }
        tree
    }

    #[test]
    fn links_are_followed_inside_alone() {
        let tree = tree(vec![vec![
            entry("etc", Kind::Directory, ""),
            entry("etc/a", Kind::File, ""),
            entry("up", Kind::Symlink, "../../../etc/a"),
            entry("abs", Kind::Symlink, "/etc"),
            entry("loop", Kind::Symlink, "loop"),
            entry("gone", Kind::Symlink, "/nowhere"),
            entry("hard", Kind::Hardlink, "etc/a"),
        ]]);
        let led = |path: &str| tree.resolve(path.into(), true).map(|at| at.to_string());
        for (path, expected) in [
            ("/", Some("")),
            ("/up", Some("etc/a")),
            ("abs/a", Some("etc/a")),
            ("/abs/../etc/./a", Some("etc/a")),
            ("/../../etc/a", Some("etc/a")),
            ("/loop", None),
            ("/gone", None),
            ("/etc/a/b", None),
            ("/none", None),
        ] {
            assert_eq!(led(path).as_deref(), expected, "{path}");
        }
        assert_eq!(tree.resolve("/abs".into(), false).unwrap(), "abs");
        assert_eq!(tree.node(&"hard".into()).unwrap().at, tree.node(&"etc/a".into()).unwrap().at);
    }

    #[test]
    fn later_layers_win_and_delete() {
        let tree = tree(vec![
            vec![
                entry("a/b", Kind::File, ""),
                entry("a/c", Kind::File, ""),
                entry("d/e", Kind::File, ""),
                entry("f/g", Kind::File, ""),
            ],
            vec![
                entry("a/.wh.b", Kind::File, ""),
                entry("d/.wh..wh..opq", Kind::File, ""),
                entry("d/n", Kind::File, ""),
                entry("f", Kind::File, ""),
            ],
        ]);
        let is = |path: &str| tree.node(&path.into()).map(|node| node.facts.kind);
        assert_eq!(is("a"), Some(FileKind::Directory), "implied");
        assert_eq!(
            (is("a/b"), is("a/c"), is("d/e"), is("d/n")),
            (None, Some(FileKind::File), None, Some(FileKind::File))
        );
        assert_eq!((is("f"), is("f/g")), (Some(FileKind::File), None));
    }
}
