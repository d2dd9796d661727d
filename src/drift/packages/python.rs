//! pip and its like: a directory for each package, named after it and its version (PEP 376, PEP 503).

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};

use super::{Moved, Packages};
use crate::{
    diff::{Change, ChangeKind},
    drift::rules::is_cache,
};

const METADATA: &[u8] = b".dist-info/METADATA";

/// A version, and where it is said.
type Version<'a> = (&'a [u8], &'a BString);
type Sides<'a> = [Option<Version<'a>>; 2];

/// Adds packages whose directories are named after another version, or are in one image only. What is theirs beside that
/// directory is taken to be what is named like them.
pub(super) fn add(changes: &[Change], packages: &mut Packages) {
    // By where it is installed, and its name: version and path on each side.
    let mut found: BTreeMap<(&[u8], Vec<u8>), Sides<'_>> = BTreeMap::new();
    for change in changes {
        let side = match change.kind {
            ChangeKind::OnlyInA => 0,
            ChangeKind::OnlyInB => 1,
            _ => continue,
        };
        let Some(directory) = change.path.strip_suffix(METADATA) else { continue };
        let (site, named) = directory.rsplit_once_str("/").unwrap_or((b"", directory));
        let Some((name, version)) = named.split_once_str("-") else { continue };
        if is_cache(&change.path) {
            continue; // Unpacked, not installed.
        }
        found.entry((site, normal(name))).or_default()[side] = Some((version, &change.path));
    }
    for ((site, name), sides) in found {
        let index = packages.moved.len();
        let path = |path: &[u8]| {
            if site.is_empty() { path.into() } else { BString::from([site, b"/", path].concat()) }
        };
        for (_, metadata) in sides.iter().flatten() {
            let directory = metadata.strip_suffix(b"/METADATA").unwrap_or(metadata);
            packages.directories.insert(directory.into(), index);
        }
        packages.directories.insert(path(&name), index);
        packages.directories.insert(path(&[&name[..], b".py"].concat()), index);
        let Some((_, record)) = sides[1].or(sides[0]) else { continue };
        packages.databases.insert(record.clone(), vec![index]);
        let versions = sides.map(|side| side.map(|(version, _)| version.into()));
        packages.moved.push(Moved { name: name.into(), versions, record: record.clone() });
    }
}

/// A name as directories have it: small letters, `_` in place of `-` and `.`.
fn normal(name: &[u8]) -> Vec<u8> {
    name.iter()
        .map(|byte| if matches!(byte, b'-' | b'.') { b'_' } else { byte.to_ascii_lowercase() })
        .collect()
}
