//! A whole root file system in one archive: nothing may be unclear that an unpacker would have to decide.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bstr::{BStr, BString, ByteSlice as _};

use super::{Entry, Kind, LayerError, RuleCount, links::CHAIN_MAX};
use crate::model::{limits::CONTAINER_IDS, path::printable};

/// What becomes the one layer of a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// All that stays; every hard link is one of a file.
    pub entries: Vec<Entry>,
    /// What was left out, by reason: `device-node`, `attribute`; only what occurred.
    pub dropped: Vec<RuleCount>,
}

/// Takes the entries of an archive, or of a directory, as a root file system.
///
/// Devices below `dev/` are left out: no user namespace can make them, and every runtime brings its own. So are
/// attributes that say nothing in a container (access lists, labels of security modules).
///
/// # Errors
/// [`LayerError::Refused`]: devices elsewhere, whiteouts, what lies in no directory of the archive (but in a link, in
/// a file, or in what is not there), hard links to what is no file of it, links to nothing, owners beyond the ids of
/// a container, attributes that an overlay mount obeys.
pub fn whole(entries: Vec<Entry>) -> Result<Root, LayerError> {
    let all = entries.len();
    let is_device = |entry: &Entry| matches!(entry.kind, Kind::Char | Kind::Block);
    let mut entries = entries;
    entries.retain(|entry| !(is_device(entry) && entry.path.starts_with(b"dev/")));
    let devices = all - entries.len();
    let attributes = entries.iter_mut().map(without_attributes).sum::<usize>();
    check_all(&entries)?;
    unlink(&mut entries);
    let count = |rule: &str, entries: usize| RuleCount { rule: rule.to_owned(), entries: entries as u64 };
    let mut dropped = vec![count("device-node", devices), count("attribute", attributes)];
    dropped.retain(|count| count.entries > 0);
    Ok(Root { entries, dropped })
}

fn check_all(entries: &[Entry]) -> Result<(), LayerError> {
    let kinds: HashMap<&BStr, Kind> =
        entries.iter().map(|entry| (entry.path.as_bstr(), entry.kind)).collect();
    let holders = Holders::new(entries);
    for entry in entries {
        let why = wrong_place(entry, &kinds).or_else(|| wrong(entry));
        let why =
            why.or_else(|| (entry.kind == Kind::Hardlink).then(|| wrong_link(entry, &kinds, &holders))?);
        if let Some(why) = why {
            return Err(LayerError::Refused { path: printable(&entry.path.to_str_lossy()), why });
        }
    }
    Ok(())
}

/// Removes what means nothing in a container; how many entries that were (0 or 1).
fn without_attributes(entry: &mut Entry) -> usize {
    let kept = |name: &[u8]| name == b"security.capability" || name.starts_with(b"user.") || overlay(name);
    let before = entry.xattrs.len();
    entry.xattrs.retain(|name, _| kept(name));
    let lists = |name: &BString| name.starts_with(b"SCHILY.acl.") || name.starts_with(b"RHT.security.");
    let foreign = entry.pax.keys().any(lists);
    entry.pax.clear();
    usize::from(foreign || before != entry.xattrs.len())
}

fn overlay(name: &[u8]) -> bool {
    name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.")
}

fn wrong_place(entry: &Entry, kinds: &HashMap<&BStr, Kind>) -> Option<&'static str> {
    let slash = entry.path.rfind_byte(b'/')?;
    match kinds.get(entry.path[..slash].as_bstr()) {
        Some(Kind::Directory) => None,
        Some(Kind::Symlink) => Some("it lies below a symbolic link; put it where the link leads"),
        Some(_) => Some("it lies below what is no directory"),
        None => {
            Some("the directory it lies in is not in the archive, so its owner and mode would be a guess")
        }
    }
}

fn wrong(entry: &Entry) -> Option<&'static str> {
    if entry.is_whiteout() {
        return Some("an image would read its name `.wh.…` as a deletion; rename it");
    }
    if entry.uid >= CONTAINER_IDS || entry.gid >= CONTAINER_IDS {
        return Some(
            "its owner is beyond the 65,536 ids a container has; make the archive with its own root as 0",
        );
    }
    if entry.xattrs.keys().any(|name| overlay(name)) {
        return Some("it has an attribute `overlay.…`, which an overlay mount obeys; remove it");
    }
    match entry.kind {
        Kind::Char | Kind::Block => Some("it is a device outside of dev/; leave it out"),
        Kind::Symlink if entry.link.is_empty() => Some("it is a symbolic link to nothing"),
        _ => None,
    }
}

fn wrong_link(entry: &Entry, kinds: &HashMap<&BStr, Kind>, holders: &Holders<'_>) -> Option<&'static str> {
    match kinds.get(entry.link.as_bstr()) {
        Some(Kind::Symlink | Kind::Fifo) => None,
        Some(_) if holders.of(entry).is_some() => None,
        Some(_) => Some("it is a hard link to what is no file"),
        None => Some("it is a hard link to what is not in the archive"),
    }
}

/// The files and hard links of one layer that hard links name, by path.
#[derive(Debug)]
struct Holders<'a>(BTreeMap<&'a BStr, &'a Entry>);

impl<'a> Holders<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        let links = entries.iter().filter(|entry| entry.kind == Kind::Hardlink);
        let targets: BTreeSet<&BStr> = links.map(|link| link.link.as_bstr()).collect();
        let named = entries.iter().filter(|entry| {
            matches!(entry.kind, Kind::File | Kind::Hardlink) && targets.contains(entry.path.as_bstr())
        });
        Self(named.map(|entry| (entry.path.as_bstr(), entry)).collect())
    }

    /// The file that holds the content of `entry`: itself, the end of its links, or nothing in this layer.
    fn of(&self, entry: &'a Entry) -> Option<&'a Entry> {
        let mut at = entry;
        for _ in 0..CHAIN_MAX {
            match at.kind {
                Kind::File => return Some(at),
                Kind::Hardlink => at = self.0.get(at.link.as_bstr())?,
                _ => return None,
            }
        }
        None
    }
}

/// Only files have several names in a layer: another name of a symbolic link or pipe becomes one of its own.
fn unlink(entries: &mut [Entry]) {
    let others = entries.iter().filter(|entry| matches!(entry.kind, Kind::Symlink | Kind::Fifo));
    let others: BTreeMap<BString, Entry> = others.map(|entry| (entry.path.clone(), entry.clone())).collect();
    for entry in entries.iter_mut().filter(|entry| entry.kind == Kind::Hardlink) {
        if let Some(other) = others.get(&entry.link) {
            *entry = Entry { path: entry.path.clone(), ..other.clone() };
        }
    }
}

#[cfg(test)]
#[path = "root_tests.rs"]
mod tests;
