//! One streaming pass over an uncompressed tar archive.

use std::io::{BufReader, Read};

use bstr::BString;

use super::{Archive, Entry, Kind, LayerError, Reading, header::shown, shape::Shape};
use crate::model::{
    Hasher,
    limits::{LAYER_ENTRIES_MAX, LAYER_NAMES_SIZE_BYTES_MAX},
};

/// Bytes at the start of a file that its entry keeps.
pub const PEEK_SIZE_BYTES: usize = 64;
/// Bytes that are read of an archive at once.
const READ_SIZE_BYTES: usize = 256 << 10;

/// Lists the entries of an uncompressed archive in its order, reading it to the physical end. They are held in memory,
/// and have no digest of their content.
///
/// # Errors
/// Those of [`walk`], and one path twice.
pub fn index(tar: impl Read) -> Result<Vec<Entry>, LayerError> {
    let mut entries = Vec::new();
    let each = |entry| {
        entries.push(entry);
        Ok(())
    };
    pass(tar, Reading::Strict, Contents::Located, |_, _| {}, each)?;
    let mut paths: Vec<&BString> = entries.iter().map(|entry| &entry.path).collect();
    paths.sort_unstable();
    paths.windows(2).try_for_each(|pair| refuse_twice(pair[0], pair[1]))?;
    Ok(entries)
}

/// Gives `each` the entries of an uncompressed archive in its order, reading it to the physical end; `each_chunk` sees
/// the content of every file before that, piece by piece. Returns how the archive is written.
///
/// # Errors
/// Those of `each`. Refused are: absolute paths, `..`, NUL, paths over `PATH_SIZE_BYTES_MAX`, sparse files,
/// PAX beside GNU long names, a PAX key twice, sizes that contradict each other, links and devices with
/// content, unknown types, a bad checksum, more entries than `LAYER_ENTRIES_MAX`, a missing end mark, and
/// anything but zeros after it. See [`Reading`] for which of them can be read.
pub fn walk(
    tar: impl Read,
    reading: Reading,
    each_chunk: impl FnMut(&Entry, &[u8]),
    each: impl FnMut(Entry) -> Result<(), LayerError>,
) -> Result<Shape, LayerError> {
    pass(tar, reading, Contents::Digested, each_chunk, each)
}

/// What an entry knows of its content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// Where it is.
    Located,
    /// Its digest too.
    Digested,
}

fn pass(
    tar: impl Read,
    reading: Reading,
    contents: Contents,
    mut each_chunk: impl FnMut(&Entry, &[u8]),
    mut each: impl FnMut(Entry) -> Result<(), LayerError>,
) -> Result<Shape, LayerError> {
    let mut archive = Archive::new(BufReader::with_capacity(READ_SIZE_BYTES, tar), reading);
    while let Some(mut entry) = archive.entry()? {
        let mut hasher = (contents == Contents::Digested).then(Hasher::default);
        loop {
            let piece = archive.piece()?;
            if piece.is_empty() {
                break;
            }
            let room = PEEK_SIZE_BYTES - entry.peek.len();
            entry.peek.extend_from_slice(&piece[..piece.len().min(room)]);
            if let Some(hasher) = &mut hasher {
                hasher.update(piece);
            }
            each_chunk(&entry, piece);
            let count = piece.len();
            archive.take(count);
        }
        entry.content = hasher.filter(|_| entry.kind == Kind::File).map(Hasher::finish);
        each(entry)?;
    }
    archive.shape().ok_or(LayerError::Truncated("it ends before its end mark"))
}

/// Whether a layer may have so many entries, and so many bytes of names in them.
///
/// # Errors
/// [`LayerError::TooMany`].
pub fn bounds(entries: u64, names_bytes: u64) -> Result<(), LayerError> {
    let bound = |what, actual, max| {
        if actual > max { Err(LayerError::TooMany { what, max }) } else { Ok(()) }
    };
    bound("entries", entries, LAYER_ENTRIES_MAX)?;
    bound("bytes of names", names_bytes, LAYER_NAMES_SIZE_BYTES_MAX)
}

/// Holds two paths against each other that follow each other in order.
pub(super) fn refuse_twice(path: &[u8], next: &[u8]) -> Result<(), LayerError> {
    if path == next { Err(LayerError::Duplicate(shown(path))) } else { Ok(()) }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
