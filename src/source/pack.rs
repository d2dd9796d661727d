//! One commit as one file, and back (WIRE.md §4, "Source"; git's `gitformat-pack`).

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    path::Path,
};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use flate2::{Compression, write::ZlibEncoder};
use git2::{ObjectType, Odb, Oid, Repository, RepositoryInitOptions};

use super::{Checkout, SourceError};
use crate::model::limits::{Bounded, CONTEXT_ENTRIES_MAX, SOURCE_PACK_SIZE_BYTES_MAX, TAGS_MAX};

/// The commit, those of its submodules, and what is reachable from their trees; tags that point at it.
pub(super) struct Objects {
    commit: Oid,
    submodules: BTreeSet<Oid>,
    trees: BTreeSet<Oid>,
    blobs: BTreeSet<Oid>,
    tags: BTreeSet<Oid>,
}

impl Checkout {
    /// Writes a pack of exactly this commit: itself, the submodules that were fetched, their trees and files, no
    /// history, then the tags that were taken; sorted by type and id, no deltas, zlib level 6. Equal commits give
    /// equal bytes.
    ///
    /// # Errors
    /// [`SourceError`]: objects are missing, bounds, `out`.
    pub fn pack(&self, out: impl Write) -> Result<(), SourceError> {
        let submodules: BTreeSet<Oid> = self
            .submodules()
            .iter()
            .map(|submodule| Oid::from_str(&submodule.commit))
            .collect::<Result<_, _>>()
            .map_err(SourceError::git("name a submodule"))?;
        self.write_pack(collect(&self.repository, self.commit, |id| submodules.contains(&id))?, out)
    }

    /// Writes a pack of the commit alone, and its tags.
    pub(super) fn pack_alone(&self, out: impl Write) -> Result<(), SourceError> {
        self.write_pack(collect(&self.repository, self.commit, |_| false)?, out)
    }

    fn write_pack(&self, mut objects: Objects, out: impl Write) -> Result<(), SourceError> {
        objects.tags = self.tags.values().filter_map(|id| self.tag_objects(*id)).flatten().collect();
        let odb = self.repository.odb().map_err(SourceError::git("open the objects"))?;
        let mut out = Sha1Writer { out, digest: Context::new(&SHA1_FOR_LEGACY_USE_ONLY) };
        let failed = || SourceError::io("write", "the source pack");
        let count = u32::try_from(objects.all().count()).map_err(|_| too_many())?;
        let header = [b"PACK".as_slice(), &2_u32.to_be_bytes(), &count.to_be_bytes()].concat();
        out.write_all(&header).map_err(failed())?;
        for id in objects.all() {
            write_object(&odb, id, &mut out)?;
        }
        let Sha1Writer { mut out, digest } = out;
        out.write_all(digest.finish().as_ref()).and_then(|()| out.flush()).map_err(failed())
    }
}

/// Writes one undeltified object ("pack-*.pack files have the following format").
fn write_object(odb: &Odb<'_>, id: Oid, out: &mut impl Write) -> Result<(), SourceError> {
    let object = odb.read(id).map_err(SourceError::git("read an object"))?;
    let kind: u8 = match object.kind() {
        ObjectType::Commit => 1,
        ObjectType::Tree => 2,
        ObjectType::Tag => 4,
        _ => 3,
    };
    let mut rest = object.len();
    let mut head = vec![kind << 4 | low_bits(rest, 4)];
    rest >>= 4;
    while rest > 0 {
        if let Some(last) = head.last_mut() {
            *last |= 0x80;
        }
        head.push(low_bits(rest, 7));
        rest >>= 7;
    }
    let mut write = || {
        out.write_all(&head)?;
        let mut encoder = ZlibEncoder::new(&mut *out, Compression::new(6));
        encoder.write_all(object.data())?;
        encoder.finish().map(|_| ())
    };
    write().map_err(SourceError::io("write", "the source pack"))
}

fn low_bits(value: usize, bits: u32) -> u8 {
    u8::try_from(value & ((1 << bits) - 1)).expect("at most 7 bits fit a byte")
}

impl Objects {
    fn all(&self) -> impl Iterator<Item = Oid> {
        let sorted = [&self.submodules, &self.trees, &self.blobs, &self.tags];
        [self.commit].into_iter().chain(sorted.into_iter().flatten().copied())
    }
}

/// Finds all objects of `commit`, and those of the submodules that `takes` says yes to; each tree is looked at once,
/// however often it stands in others.
fn collect(
    repository: &Repository,
    commit: Oid,
    takes: impl Fn(Oid) -> bool,
) -> Result<Objects, SourceError> {
    let tree_of = |id| Ok(repository.find_commit(id).map_err(SourceError::git("read the commit"))?.tree_id());
    let (submodules, blobs, tags) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let root = tree_of(commit)?;
    let mut objects = Objects { commit, submodules, trees: BTreeSet::from([root]), blobs, tags };
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        let tree = repository.find_tree(id).map_err(SourceError::git("read a tree"))?;
        for entry in &tree {
            match entry.kind() {
                Some(ObjectType::Tree) if objects.trees.insert(entry.id()) => open.push(entry.id()),
                Some(ObjectType::Blob) => {
                    objects.blobs.insert(entry.id());
                }
                Some(ObjectType::Commit) if takes(entry.id()) && objects.submodules.insert(entry.id()) => {
                    let tree = tree_of(entry.id())?;
                    if objects.trees.insert(tree) {
                        open.push(tree);
                    }
                }
                _ => {}
            }
        }
        if objects.trees.len() + objects.blobs.len() > CONTEXT_ENTRIES_MAX {
            return Err(too_many());
        }
    }
    Ok(objects)
}

/// Reads a pack into a new bare repository at `dir`; ids are computed from the bytes, never believed.
pub(super) fn unpack(pack: impl Read, dir: &Path) -> Result<Repository, SourceError> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false).initial_head("main");
    let repository =
        Repository::init_opts(dir, &options).map_err(SourceError::git("make a temporary repository"))?;
    let packs = dir.join("objects/pack");
    fs::create_dir_all(&packs).map_err(SourceError::io("create", &packs))?;
    {
        let odb = repository.odb().map_err(SourceError::git("open the objects"))?;
        let mut writer = odb.packwriter().map_err(SourceError::git("read the source pack"))?;
        let mut pack = Bounded::new(pack, SOURCE_PACK_SIZE_BYTES_MAX, "source pack");
        io::copy(&mut pack, &mut writer).map_err(SourceError::io("read", "the source pack"))?;
        writer.commit().map_err(SourceError::git("read the source pack"))?;
    }
    drop(repository);
    Repository::open_bare(dir).map_err(SourceError::git("open a temporary repository"))
}

/// Makes sure that every object of `commit` is here, of its submodules all or nothing, and besides only tags.
pub(super) fn check(repository: &Repository, commit: Oid) -> Result<(), SourceError> {
    let failed = SourceError::git;
    let odb = repository.odb().map_err(failed("open the objects"))?;
    let objects = collect(repository, commit, |id| odb.exists(id))?;
    for blob in &objects.blobs {
        odb.read_header(*blob).map_err(failed("read a file of the source pack"))?;
    }
    let expected: BTreeSet<Oid> = objects.all().collect();
    let mut others = Vec::new();
    let listed = odb.foreach(|id| {
        if !expected.contains(id) {
            others.push(*id);
        }
        others.len() <= TAGS_MAX
    });
    let is_tag = |id: &Oid| odb.read_header(*id).is_ok_and(|(_, kind)| kind == ObjectType::Tag);
    if others.len() > TAGS_MAX || !others.iter().all(is_tag) {
        let error = git2::Error::from_str("it has objects that are not of the commit");
        return Err(failed("use the source pack")(error));
    }
    listed.map_err(failed("read the source pack"))
}

fn too_many() -> SourceError {
    SourceError::TooLarge { what: "more objects", max: CONTEXT_ENTRIES_MAX as u64 }
}

/// Digests what is written through it; git's trailer is SHA-1.
struct Sha1Writer<W> {
    out: W,
    digest: Context,
}

impl<W: Write> Write for Sha1Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.digest.update(&bytes[..count]);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
