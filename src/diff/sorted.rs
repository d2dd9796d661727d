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
    kept::{Content, Room},
};
use crate::{
    layer::{Archive, Entry, Kind, Layer, LayerError, Reading, compare_paths},
    model::limits::{CAPTURE_FILE_BYTES_MAX, LAYER_CHANGES_MAX},
};

/// Pairs the entries of two layers by path; what differs, in order of paths. Of the names of a file the first in order is the
/// file, whichever the archives call a link.
pub(super) fn changes(layer: usize, a: &Layer, b: &Layer) -> Result<Vec<Change>, LayerError> {
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
        if found.len() > LAYER_CHANGES_MAX {
            return Err(LayerError::TooMany { what: "differences", max: LAYER_CHANGES_MAX as u64 });
        }
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
pub(super) fn wanted<'a>(changes: impl Iterator<Item = &'a Change>, room: &Room<'_>) -> Vec<usize> {
    let (mut chosen, mut left) = (Vec::new(), room.left_bytes());
    for (at, change) in changes.enumerate() {
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

/// By where a content begins in the uncompressed archive: for which changes it is wanted.
pub(super) type Wanted = BTreeMap<u64, Vec<usize>>;

/// Reads the contents that are wanted of an archive, by the change they are for.
pub(super) fn capture(
    tar: impl Read,
    wanted: &Wanted,
    room: &Room<'_>,
) -> Result<BTreeMap<usize, Content>, LayerError> {
    let mut archive = Archive::new(BufReader::with_capacity(256 << 10, tar), Reading::Lenient);
    let (mut found, mut left, mut bytes) = (BTreeMap::new(), wanted.len(), Vec::new());
    while left > 0
        && let Some(entry) = archive.entry()?
    {
        let Some(all) = wanted.get(&entry.offset).filter(|_| entry.kind == Kind::File) else { continue };
        left -= 1;
        bytes.clear();
        loop {
            let piece = archive.piece()?;
            let count = piece.len();
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(piece);
            archive.take(count);
        }
        let content = room.keep(&bytes)?;
        found.extend(all.iter().map(|at| (*at, content.clone())));
    }
    Ok(found)
}
