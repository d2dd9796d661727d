//! A git index of one commit (git's `gitformat-index`) that is the same wherever it is written.
//!
//! Of what `lstat` says only time and size stand in it: both are those of the exported files, and `core.checkStat` has
//! git compare no others. Files that are not part of the context are marked as left out on purpose.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use git2::{Odb, Oid, Repository};

use super::{
    Ignore, SourceError,
    plan::{check, join},
};
use crate::model::limits::CONTEXT_ENTRIES_MAX;

/// Entry flag: more flags follow.
const EXTENDED: u16 = 0x4000;
/// Extended flag: the file is not in the work tree, and need not be.
const SKIP_WORKTREE: u16 = 0x4000;

struct Entry {
    id: Oid,
    mode: u32,
    size: u32,
    left_out: bool,
}

/// Writes the index of `tree`, whose files have the time `epoch_s`, less what is ignored.
pub(super) fn index(
    repository: &Repository,
    tree: Oid,
    ignore: &Ignore,
    epoch_s: i64,
) -> Result<Vec<u8>, SourceError> {
    let odb = repository.odb().map_err(SourceError::git("open the objects"))?;
    let mut entries = BTreeMap::new();
    let mut open = vec![(Vec::new(), tree)];
    while let Some((path, id)) = open.pop() {
        let tree = repository.find_tree(id).map_err(SourceError::git("read a tree"))?;
        for found in &tree {
            let full = join(&path, found.name_bytes());
            check(found.name_bytes(), &full)?;
            match mode(found.filemode_raw()) {
                None => open.push((full, found.id())),
                Some(mode) => {
                    let left_out = ignore.excludes(&full);
                    let size = size(&odb, mode, found.id())?;
                    entries.insert(full, Entry { id: found.id(), mode, size, left_out });
                }
            }
        }
        if entries.len() + open.len() > CONTEXT_ENTRIES_MAX {
            return Err(SourceError::TooLarge { what: "more entries", max: CONTEXT_ENTRIES_MAX as u64 });
        }
    }
    Ok(encode(&entries, epoch_s))
}

/// The mode as the index has it; none for a directory.
fn mode(raw: i32) -> Option<u32> {
    match raw & 0o170_000 {
        0o040_000 => None,
        0o120_000 => Some(0o120_000),
        0o160_000 => Some(0o160_000),
        _ if raw & 0o100 != 0 => Some(0o100_755),
        _ => Some(0o100_644),
    }
}

/// Its size, in the 32 bits that the index has for it.
fn size(odb: &Odb<'_>, mode: u32, id: Oid) -> Result<u32, SourceError> {
    if mode == 0o160_000 {
        return Ok(0);
    }
    let (size, _) = odb.read_header(id).map_err(SourceError::git("read a file"))?;
    Ok(low_32(size as u64))
}

fn low_32(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("masked to 32 bits")
}

fn encode(entries: &BTreeMap<Vec<u8>, Entry>, epoch_s: i64) -> Vec<u8> {
    let version: u32 = if entries.values().any(|entry| entry.left_out) { 3 } else { 2 };
    let count = low_32(entries.len() as u64);
    let mut out = [b"DIRC".as_slice(), &version.to_be_bytes(), &count.to_be_bytes()].concat();
    for (path, entry) in entries {
        let start = out.len();
        let mtime_s = if entry.mode == 0o160_000 { 0 } else { low_32(epoch_s.unsigned_abs()) };
        // ctime s, ns; mtime s, ns; dev, ino; mode; uid, gid; size
        for word in [0, 0, mtime_s, 0, 0, 0, entry.mode, 0, 0, entry.size] {
            out.extend_from_slice(&u32::to_be_bytes(word));
        }
        out.extend_from_slice(entry.id.as_bytes());
        let length = u16::try_from(path.len()).unwrap_or(u16::MAX).min(0xfff);
        if entry.left_out {
            out.extend_from_slice(&(length | EXTENDED).to_be_bytes());
            out.extend_from_slice(&SKIP_WORKTREE.to_be_bytes());
        } else {
            out.extend_from_slice(&length.to_be_bytes());
        }
        out.extend_from_slice(path);
        let padded = (out.len() - start) / 8 * 8 + 8;
        out.resize(start + padded, 0);
    }
    let trailer = digest(&SHA1_FOR_LEGACY_USE_ONLY, &out);
    out.extend_from_slice(trailer.as_ref());
    out
}
