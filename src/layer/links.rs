//! Which file a hard link of a layer shares.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, ByteSlice as _};

use super::{Entry, Kind};

/// Longest chain of links to links followed; writers make chains of one.
pub(super) const CHAIN_MAX: usize = 64;

/// The files and hard links of one layer that hard links name, by path.
#[derive(Debug)]
pub(super) struct Holders<'a>(BTreeMap<&'a BStr, &'a Entry>);

impl<'a> Holders<'a> {
    pub(super) fn new(entries: &'a [Entry]) -> Self {
        let links = entries.iter().filter(|entry| entry.kind == Kind::Hardlink);
        let targets: BTreeSet<&BStr> = links.map(|link| link.link.as_bstr()).collect();
        let named = entries.iter().filter(|entry| {
            matches!(entry.kind, Kind::File | Kind::Hardlink) && targets.contains(entry.path.as_bstr())
        });
        Self(named.map(|entry| (entry.path.as_bstr(), entry)).collect())
    }

    /// The file that holds the content of `entry`: itself, the end of its links, or nothing in this layer.
    pub(super) fn of(&self, entry: &'a Entry) -> Option<&'a Entry> {
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
