//! The merged view of layers (OCI image-spec, "Applying Changesets"), one fingerprint a path.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use bstr::{BStr, BString, ByteSlice as _};

use super::{
    Entry, Kind,
    links::{CHAIN_MAX, Holders},
};
use crate::model::Hasher;

/// What is where after some layers.
#[derive(Debug, Clone, Default)]
pub struct Lower {
    nodes: BTreeMap<BString, Node>,
    inodes: u64,
}

/// One layer, thinned to what merging and comparing need.
#[derive(Debug, Clone)]
pub struct Thin(Vec<(BString, Made<BString>)>);

#[derive(Debug, Clone)]
enum Made<Path> {
    Node(Node),
    Link(Path),
}

impl<'a> Made<&'a BString> {
    fn of(entry: &'a Entry) -> Self {
        match entry.kind {
            Kind::Hardlink => Self::Link(&entry.link),
            _ => Self::Node(Node::of(entry)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    /// Of everything but path and time.
    print: [u8; 32],
    mtime_s: i64,
    kind: Kind,
    /// Which file this is a name of, if it may have several.
    inode: Option<u64>,
}

impl Node {
    fn of(entry: &Entry) -> Self {
        Self { print: print(entry), mtime_s: entry.mtime_s, kind: entry.kind, inode: None }
    }

    fn same(&self, other: &Self, epoch_s: i64) -> bool {
        self.print == other.print
            && self.kind == other.kind
            && self.mtime_s.min(epoch_s) == other.mtime_s.min(epoch_s)
    }
}

impl Thin {
    /// Thins `entries`.
    #[must_use]
    pub fn new(entries: &[Entry]) -> Self {
        let made = |entry| match Made::of(entry) {
            Made::Node(node) => Made::Node(node),
            Made::Link(target) => Made::Link(target.clone()),
        };
        Self(entries.iter().map(|entry| (entry.path.clone(), made(entry))).collect())
    }
}

impl Lower {
    /// Puts one layer on top: whiteouts first, then the rest; a hard link becomes another name of its target.
    pub fn apply(&mut self, entries: &[Entry]) {
        self.hide(entries.iter().map(|entry| &entry.path));
        self.add(entries.iter().map(|entry| (&entry.path, Made::of(entry))));
    }

    /// [`Lower::apply`] of a layer already thinned.
    pub fn apply_thin(&mut self, layer: &Thin) {
        self.hide(layer.0.iter().map(|(path, _)| path));
        self.add(layer.0.iter().map(|(path, made)| match made {
            Made::Node(node) => (path, Made::Node(*node)),
            Made::Link(target) => (path, Made::Link(target)),
        }));
    }

    fn hide<'a>(&mut self, paths: impl Iterator<Item = &'a BString>) {
        for path in paths {
            match whiteout(path) {
                Some(Whiteout::Opaque(directory)) => self.remove_below(&directory),
                Some(Whiteout::Hides(hidden)) => self.remove(&hidden),
                None => {}
            }
        }
    }

    fn add<'a>(&mut self, layer: impl Iterator<Item = (&'a BString, Made<&'a BString>)>) {
        let mut links = BTreeMap::new();
        for (path, made) in layer.filter(|(path, _)| whiteout(path).is_none()) {
            match made {
                Made::Node(node) => self.put(path, node),
                Made::Link(target) => {
                    links.insert(path, target);
                }
            }
        }
        for (path, target) in &links {
            // A link to a link is a link to the end of the chain; a circle points nowhere.
            let chain = std::iter::successors(Some(*target), |at| links.get(at).copied());
            let end = chain.take(CHAIN_MAX).last().unwrap_or(target);
            self.link(path, end);
        }
    }

    /// Whether the layers have `entry` already: everything equal once both times are clamped to `epoch_s`.
    /// A hard link is equal if path and target are names of one file; whether that file changed is the
    /// business of the entry that holds it (see [`Lower::without_equal`]).
    #[must_use]
    pub fn has_equal(&self, entry: &Entry, epoch_s: i64) -> bool {
        let Some(node) = self.nodes.get(&entry.path) else { return false };
        match entry.kind {
            Kind::Hardlink => {
                node.inode.is_some()
                    && self.nodes.get(&entry.link).and_then(|target| target.inode) == node.inode
            }
            _ => node.same(&Node::of(entry), epoch_s),
        }
    }

    /// `entries` without those the layers have already. The names of one file stay or go together, and the
    /// directories above what stays stay too: an engine that unpacks a layer by itself would else make them
    /// anew, with other modes.
    #[must_use]
    pub fn without_equal(&self, entries: Vec<Entry>, epoch_s: i64) -> Vec<Entry> {
        let holders = Holders::new(&entries);
        let changed = |entry: &&Entry| entry.is_whiteout() || !self.has_equal(entry, epoch_s);
        let files: BTreeSet<&BStr> = entries
            .iter()
            .filter(changed)
            .map(|entry| holders.of(entry).unwrap_or(entry).path.as_bstr())
            .collect();
        let stays = |entry: &Entry| files.contains(holders.of(entry).unwrap_or(entry).path.as_bstr());
        let mut kept: BTreeSet<&BStr> = BTreeSet::new();
        for entry in entries.iter().filter(|entry| stays(entry)) {
            let path = entry.path.as_bstr();
            kept.insert(path);
            kept.extend(path.find_iter("/").map(|slash| path[..slash].as_bstr()));
        }
        let flags: Vec<bool> = entries.iter().map(|entry| kept.contains(entry.path.as_bstr())).collect();
        entries.into_iter().zip(flags).filter_map(|(entry, kept)| kept.then_some(entry)).collect()
    }

    /// Whether anything is at `path`.
    #[must_use]
    pub fn contains(&self, path: &[u8]) -> bool {
        self.nodes.contains_key(BStr::new(path)) || self.has_children(path)
    }

    /// Whether a directory is at `path`, if only by what lies in it.
    #[must_use]
    pub fn is_directory(&self, path: &[u8]) -> bool {
        match self.nodes.get(BStr::new(path)) {
            Some(node) => node.kind == Kind::Directory,
            None => self.has_children(path),
        }
    }

    /// Whether two views are one file system: the same nodes, and the same names of the same files, whichever
    /// name a layer called the link.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.nodes.len() == other.nodes.len() && {
            let mut groups = (BTreeMap::new(), BTreeMap::new());
            self.nodes.iter().zip(&other.nodes).all(|((path_a, a), (path_b, b))| {
                let first_a = first_name(&mut groups.0, path_a, a.inode);
                let first_b = first_name(&mut groups.1, path_b, b.inode);
                path_a == path_b && a.same(b, i64::MAX) && first_a == first_b
            })
        }
    }

    /// Whether some path is in both views and differs, so that no common layers below can make them the same.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        self.nodes
            .iter()
            .any(|(path, node)| other.nodes.get(path).is_some_and(|found| !node.same(found, i64::MAX)))
    }

    fn put(&mut self, path: &BString, node: Node) {
        if node.kind != Kind::Directory && self.has_children(path) {
            self.remove_below(path);
        }
        self.nodes.insert(path.clone(), node);
    }

    fn link(&mut self, path: &BString, target: &BString) {
        let next = self.inodes;
        let nowhere =
            || Node::of(&Entry { link: target.clone(), ..Entry::new(path.clone(), Kind::Hardlink, 0, 0) });
        let node = match self.nodes.get_mut(target) {
            Some(found) => {
                let inode = *found.inode.get_or_insert(next);
                self.inodes = next.max(inode + 1);
                *found
            }
            None => nowhere(),
        };
        self.put(path, node);
    }

    fn remove(&mut self, path: &BString) {
        self.nodes.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, directory: &[u8]) {
        if directory.is_empty() {
            self.nodes.clear();
            return;
        }
        let below: Vec<BString> = self.below(directory).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.nodes.remove(&path);
        }
    }

    fn has_children(&self, directory: &[u8]) -> bool {
        self.below(directory).next().is_some()
    }

    fn below(&self, directory: &[u8]) -> impl Iterator<Item = (&BString, &Node)> {
        let start = BString::from([directory, b"/"].concat());
        let end = BString::from([directory, b"0"].concat()); // `0` follows `/`.
        self.nodes.range((Bound::Included(start), Bound::Excluded(end)))
    }
}

/// The first path, in order, that names the file `inode`; a file of one name is its own.
fn first_name<'a>(
    groups: &mut BTreeMap<u64, &'a BString>,
    path: &'a BString,
    inode: Option<u64>,
) -> &'a BString {
    match inode {
        Some(inode) => groups.entry(inode).or_insert(path),
        None => path,
    }
}

enum Whiteout {
    Opaque(BString),
    Hides(BString),
}

fn whiteout(path: &BString) -> Option<Whiteout> {
    let at = path.rfind_byte(b'/').map_or(0, |slash| slash + 1);
    let (directory, name) = path.split_at(at);
    match name.strip_prefix(b".wh.")? {
        b".wh..opq" => Some(Whiteout::Opaque(directory.strip_suffix(b"/").unwrap_or(directory).into())),
        hidden => Some(Whiteout::Hides([directory, hidden].concat().into())),
    }
}

fn print(entry: &Entry) -> [u8; 32] {
    let mut hasher = Hasher::default();
    let link: &[u8] = if entry.kind == Kind::File { b"" } else { &entry.link };
    let numbers = [
        u64::from(entry.mode),
        entry.uid,
        entry.gid,
        entry.size_bytes,
        entry.device.0.into(),
        entry.device.1.into(),
        link.len() as u64,
        entry.xattrs.len() as u64,
    ];
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&[entry.kind as u8]);
    hasher.update(link);
    hasher.update(entry.content.as_ref().map_or(&[][..], |digest| digest.bytes()));
    for part in entry.xattrs.iter().flat_map(|(name, value)| [name.as_slice(), value]) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finish().bytes()
}

#[cfg(test)]
#[path = "lower_tests.rs"]
mod tests;
