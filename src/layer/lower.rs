//! The merged view of layers (OCI image-spec, "Applying Changesets"), one fingerprint a path, in the order of paths.

use std::{collections::BTreeMap, sync::Arc};

use bstr::{BString, ByteSlice as _};

use super::{
    Entry, Kind, Layer, LayerError,
    code::KINDS,
    links::ends,
    order::{compare, is_below},
    records::{Reader, Records, Sorter, join},
};
use crate::model::{Hasher, Scratch};

/// What is where after some layers. A copy costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Lower {
    pub(super) nodes: Arc<Records>,
    inodes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// Of everything but path and time.
    print: [u8; 32],
    mtime_s: i64,
    mtime_rest_ns: u32,
    kind: Kind,
    /// Which file this is a name of, if it has several; else 0.
    pub(super) inode: u64,
}

impl Node {
    pub(super) fn of(entry: &Entry) -> Self {
        let &Entry { mtime_s, mtime_rest_ns, kind, .. } = entry;
        Self { print: print(entry), mtime_s, mtime_rest_ns, kind, inode: 0 }
    }

    /// Whether both are the same in a layer of ours, where times are clamped to `epoch_s` and have no parts of seconds.
    pub(super) fn same(&self, other: &Self, epoch_s: i64) -> bool {
        self.print == other.print
            && self.kind == other.kind
            && self.mtime_s.min(epoch_s) == other.mtime_s.min(epoch_s)
    }

    /// Whether both are the same on disk.
    fn identical(&self, other: &Self) -> bool {
        self.same(other, i64::MAX) && self.mtime_rest_ns == other.mtime_rest_ns
    }

    fn bytes(&self) -> [u8; 53] {
        let mut bytes = [0; 53];
        bytes[..32].copy_from_slice(&self.print);
        bytes[32..40].copy_from_slice(&self.mtime_s.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.inode.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.mtime_rest_ns.to_le_bytes());
        bytes[52] = self.kind as u8;
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, LayerError> {
        let fields = || {
            let (print, rest) = bytes.split_first_chunk()?;
            let (mtime_s, rest) = rest.split_first_chunk()?;
            let (inode, rest) = rest.split_first_chunk()?;
            let (mtime_rest_ns, kind) = rest.split_first_chunk()?;
            Some(Self {
                print: *print,
                mtime_s: i64::from_le_bytes(*mtime_s),
                mtime_rest_ns: u32::from_le_bytes(*mtime_rest_ns),
                kind: *KINDS.get(usize::from(*kind.first()?))?,
                inode: u64::from_le_bytes(*inode),
            })
        };
        fields().ok_or_else(|| LayerError::Sort(std::io::ErrorKind::InvalidData.into()))
    }
}

/// What a path loses when a layer comes on top: what lies below it, and perhaps itself.
const BELOW: &[u8] = b"";
const ITSELF_TOO: &[u8] = b"itself";

impl Lower {
    /// Puts one layer on top: whiteouts first, then the rest; a hard link becomes another name of its target.
    ///
    /// # Errors
    /// Those of `scratch`.
    pub fn apply(&mut self, layer: &Layer, scratch: &dyn Scratch) -> Result<(), LayerError> {
        let (mut hidden, mut nodes) = (Sorter::new(scratch), Sorter::new(scratch));
        for entry in layer.entries()? {
            let entry = entry?;
            match whiteout(&entry.path) {
                Some(Whiteout::Opaque(directory)) => hidden.push(directory, BELOW)?,
                Some(Whiteout::Hides(path)) => hidden.push(&path, ITSELF_TOO)?,
                None if entry.kind == Kind::Hardlink => {}
                None => nodes.push(&entry.path, &Node::of(&entry).bytes())?,
            }
        }
        let merged = merged(&self.nodes, &nodes.finish()?, &hidden.finish()?, scratch)?;
        let links = self.links(layer, &merged, scratch)?;
        self.nodes = Arc::new(if links.is_empty() {
            merged
        } else {
            self::merged(&merged, &links, &Records::default(), scratch)?
        });
        Ok(())
    }

    /// The nodes of all names of what the hard links of `layer` lead to in `merged`.
    fn links(
        &mut self,
        layer: &Layer,
        merged: &Records,
        scratch: &dyn Scratch,
    ) -> Result<Records, LayerError> {
        let mut nodes = Sorter::new(scratch);
        let mut last: Option<(BString, Node)> = None;
        join(ends(&layer.0, scratch)?.read()?, merged.read()?, |link, found| {
            if whiteout(link.value).is_some() {
                return Ok(());
            }
            let known = last.take().filter(|(path, _)| path == link.key);
            let (target, node) = match (known, found) {
                (Some(known), _) => known,
                (None, Some(found)) => {
                    let mut node = Node::from_bytes(found.value)?;
                    if node.inode == 0 {
                        self.inodes += 1;
                        node.inode = self.inodes;
                        nodes.push(found.key, &node.bytes())?;
                    }
                    (found.key.into(), node)
                }
                (None, None) => (link.key.into(), Node::of(&nowhere(link.key))),
            };
            nodes.push(link.value, &node.bytes())?;
            last = Some((target, node));
            Ok(())
        })?;
        nodes.finish()
    }

    /// What is at each of `paths`, if anything is: a directory also if only by what lies in it.
    ///
    /// # Errors
    /// Those of the scratch file.
    pub fn kinds<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<BTreeMap<BString, Kind>, LayerError> {
        let mut wanted: Vec<&[u8]> = paths.into_iter().collect();
        wanted.sort_unstable_by(|a, b| compare(a, b));
        let (mut nodes, mut kinds) = (self.nodes.read()?, BTreeMap::new());
        nodes.next()?;
        for path in wanted {
            while nodes.current().is_some_and(|node| compare(node.key, path).is_lt()) {
                nodes.next()?;
            }
            match nodes.current() {
                Some(node) if node.key == path => {
                    kinds.insert(path.into(), Node::from_bytes(node.value)?.kind);
                }
                Some(node) if is_below(node.key, path) => {
                    kinds.insert(path.into(), Kind::Directory);
                }
                _ => {}
            }
        }
        Ok(kinds)
    }

    /// Whether two views are one file system: the same nodes, and the same names of the same files, whichever
    /// name a layer called the link.
    ///
    /// # Errors
    /// Those of the scratch files.
    pub fn same(&self, other: &Self) -> Result<bool, LayerError> {
        if self.nodes.count() != other.nodes.count() {
            return Ok(false);
        }
        let mut groups = (BTreeMap::new(), BTreeMap::new());
        let (mut ours, mut theirs) = (self.nodes.read()?, other.nodes.read()?);
        while let (Some(one), Some(two)) = (ours.next()?, theirs.next()?) {
            let (a, b) = (Node::from_bytes(one.value)?, Node::from_bytes(two.value)?);
            let first_a = first_name(&mut groups.0, one.key, a.inode);
            let first_b = first_name(&mut groups.1, two.key, b.inode);
            if one.key != two.key || !a.identical(&b) || first_a != first_b {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives `each` every path that is not the same in both views, and which of them have it, in order of paths.
    ///
    /// # Errors
    /// Those of the scratch files.
    pub fn differences(
        &self,
        other: &Self,
        mut each: impl FnMut(&[u8], [bool; 2]),
    ) -> Result<(), LayerError> {
        let (mut ours, mut theirs) = (self.nodes.read()?, other.nodes.read()?);
        ours.next()?;
        theirs.next()?;
        loop {
            let order = match (ours.current(), theirs.current()) {
                (None, None) => return Ok(()),
                (Some(one), None) => {
                    each(one.key, [true, false]);
                    std::cmp::Ordering::Less
                }
                (None, Some(two)) => {
                    each(two.key, [false, true]);
                    std::cmp::Ordering::Greater
                }
                (Some(one), Some(two)) => {
                    let order = compare(one.key, two.key);
                    if order.is_ne() {
                        each(if order.is_lt() { one.key } else { two.key }, [order.is_lt(), order.is_gt()]);
                    } else if !Node::from_bytes(one.value)?.identical(&Node::from_bytes(two.value)?) {
                        each(one.key, [true, true]);
                    }
                    order
                }
            };
            if order.is_le() {
                ours.next()?;
            }
            if order.is_ge() {
                theirs.next()?;
            }
        }
    }

    /// Whether some path is in both views and differs, so that no common layers below can make them the same.
    ///
    /// # Errors
    /// Those of the scratch files.
    pub fn contradicts(&self, other: &Self) -> Result<bool, LayerError> {
        let mut differs = false;
        join(self.nodes.read()?, other.nodes.read()?, |node, found| {
            if let Some(found) = found {
                let (a, b) = (Node::from_bytes(node.value)?, Node::from_bytes(found.value)?);
                differs |= !a.identical(&b);
            }
            Ok(())
        })?;
        Ok(differs)
    }
}

/// `lower` without what `hidden` names and what `upper` covers, and `upper`.
fn merged(
    lower: &Records,
    upper: &Records,
    hidden: &Records,
    scratch: &dyn Scratch,
) -> Result<Records, LayerError> {
    let mut all = Sorter::new(scratch);
    let (mut lower, mut upper, mut hidden) = (lower.read()?, upper.read()?, hidden.read()?);
    for reader in [&mut lower, &mut upper, &mut hidden] {
        reader.next()?;
    }
    // All that lies below what was hidden or covered last follows at once.
    let mut covered: Option<BString> = None;
    while let Some(path) = least([&lower, &upper, &hidden]) {
        let mut gone = covered.as_ref().is_some_and(|covered| is_below(&path, covered));
        let mut put = false;
        while let Some(record) = hidden.current().filter(|record| record.key == path) {
            gone |= record.value == ITSELF_TOO;
            cover(&path, &mut covered);
            hidden.next()?;
        }
        while let Some(record) = upper.current().filter(|record| record.key == path) {
            if Node::from_bytes(record.value)?.kind != Kind::Directory {
                cover(&path, &mut covered);
            }
            if !std::mem::replace(&mut put, true) {
                all.push(record.key, record.value)?; // Links in a circle lead to one path twice.
            }
            upper.next()?;
        }
        if let Some(record) = lower.current().filter(|record| record.key == path) {
            if !gone && !put {
                all.push(record.key, record.value)?;
            }
            lower.next()?;
        }
    }
    all.finish()
}

/// Notes that what lies below `path` is gone, unless something above it is covered already.
fn cover(path: &BString, covered: &mut Option<BString>) {
    if !covered.as_ref().is_some_and(|covered| is_below(path, covered)) {
        *covered = Some(path.clone());
    }
}

/// The first path of those at hand.
fn least(readers: [&Reader<'_>; 3]) -> Option<BString> {
    let paths = readers.into_iter().filter_map(|reader| reader.current().map(|record| record.key));
    paths.min_by(|a, b| compare(a, b)).map(BString::from)
}

/// What a link to nothing is taken for.
fn nowhere(target: &[u8]) -> Entry {
    Entry { link: target.into(), ..Entry::new("", Kind::Hardlink, 0, 0) }
}

/// The first path, in order, that names the file `inode`; a file of one name is its own.
fn first_name(groups: &mut BTreeMap<u64, BString>, path: &[u8], inode: u64) -> BString {
    match inode {
        0 => path.into(),
        inode => groups.entry(inode).or_insert_with(|| path.into()).clone(),
    }
}

/// What an entry's name deletes of the layers below.
pub(super) enum Whiteout<'a> {
    Opaque(&'a [u8]),
    Hides(Vec<u8>),
}

pub(super) fn whiteout(path: &[u8]) -> Option<Whiteout<'_>> {
    let at = path.rfind_byte(b'/').map_or(0, |slash| slash + 1);
    let (directory, name) = path.split_at(at);
    match name.strip_prefix(b".wh.")? {
        b".wh..opq" => Some(Whiteout::Opaque(directory.strip_suffix(b"/").unwrap_or(directory))),
        hidden => Some(Whiteout::Hides([directory, hidden].concat())),
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
        entry.attribute_records().count() as u64,
    ];
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&[entry.kind as u8]);
    hasher.update(link);
    hasher.update(entry.content.as_ref().map_or(&[][..], |digest| digest.bytes()));
    for part in entry
        .xattrs
        .iter()
        .chain(entry.attribute_records())
        .flat_map(|(name, value)| [name.as_slice(), value])
    {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finish().bytes()
}

#[cfg(test)]
#[path = "lower_tests.rs"]
mod tests;
