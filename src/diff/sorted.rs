//! Two archives compared by path, whatever their order: every content is hashed, and what differs is read again.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    io::{BufReader, Read},
    mem::replace,
};

use super::{
    Change, ChangeKind,
    change::{Contents, change},
};
use crate::{
    layer::{Archive, Entry, Index, Kind, LayerError, Reading, compare_paths},
    model::limits::CAPTURE_FILE_BYTES_MAX,
};

/// Pairs the entries of two layers by path; what differs, in order of paths.
pub(super) fn changes(layer: usize, a: &Index, b: &Index) -> Result<Vec<Change>, LayerError> {
    let (mut all_a, mut all_b) = (a.entries()?, b.entries()?);
    let (mut a, mut b) = (all_a.next().transpose()?, all_b.next().transpose()?);
    let mut found = Vec::new();
    loop {
        let order = match (&a, &b) {
            (None, None) => return Ok(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => compare_paths(&a.path, &b.path),
        };
        let one = if order.is_gt() { None } else { replace(&mut a, all_a.next().transpose()?) };
        let other = if order.is_lt() { None } else { replace(&mut b, all_b.next().transpose()?) };
        found.extend(by_digest(layer, one, other));
    }
}

/// What differs of two entries whose contents were hashed.
pub(super) fn by_digest(layer: usize, a: Option<Entry>, b: Option<Entry>) -> Option<Change> {
    let contents = match (&a, &b) {
        (Some(a), Some(b)) if a.kind == Kind::File && b.kind == Kind::File && a.content != b.content => {
            Contents::Differ(None)
        }
        _ => Contents::Equal,
    };
    change(layer, a, b, contents)
}

/// Which changes have contents that are to be held, by their index; first come, first served.
pub(super) fn wanted(changes: &[Change], mut left: u64) -> Vec<usize> {
    let mut chosen = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        if let Some(rest) = size_bytes(change).and_then(|bytes| left.checked_sub(bytes)) {
            left = rest;
            chosen.push(at);
        }
    }
    chosen
}

/// Size of both contents, if they are to be held.
fn size_bytes(change: &Change) -> Option<u64> {
    let (a, b) = (change.a.as_ref()?, change.b.as_ref()?);
    let small = |entry: &Entry| entry.size_bytes <= CAPTURE_FILE_BYTES_MAX;
    (change.kind == ChangeKind::Content && small(a) && small(b)).then_some(a.size_bytes + b.size_bytes)
}

/// Reads the contents that begin at the keys of `wanted` in an archive, and gives them by what `wanted` has there.
pub(super) fn capture(
    tar: impl Read,
    wanted: &BTreeMap<u64, usize>,
) -> Result<BTreeMap<usize, Vec<u8>>, LayerError> {
    let mut archive = Archive::new(BufReader::with_capacity(256 << 10, tar), Reading::Lenient);
    let mut found = BTreeMap::new();
    while found.len() < wanted.len()
        && let Some(entry) = archive.entry()?
    {
        let Some(at) = wanted.get(&entry.offset).filter(|_| entry.kind == Kind::File) else { continue };
        let mut bytes = Vec::new();
        loop {
            let piece = archive.piece()?;
            let count = piece.len();
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(piece);
            archive.take(count);
        }
        found.insert(*at, bytes);
    }
    Ok(found)
}
