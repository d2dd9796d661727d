//! The write-ahead log (fileformat2, section 4).

use std::{
    collections::BTreeSet,
    io::{self, Read, SeekFrom},
};

use super::{HEADER_SIZE_BYTES, page_size};
use crate::model::{ReadWriteSeek, limits::DATABASE_SIZE_BYTES_MAX};

const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The last bit says whether checksums are of big-endian words.
const LOG_MAGIC: u32 = 0x377f_0682;
const LOG_VERSION: u32 = 3_007_000;

/// A database at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Its size.
    pub(crate) size_bytes: u64,
    /// How many frames were moved into it.
    pub(crate) frames: u64,
}

/// Whether `head` is of a log's index in shared memory (`-shm`), which every first connection makes anew.
pub(crate) fn is_index(head: &[u8]) -> bool {
    head.get(..4).is_some_and(|version| {
        version == LOG_VERSION.to_le_bytes() || version == LOG_VERSION.to_be_bytes() || version == [0; 4]
    })
}

/// Writes the database `database` to `out`, from `start` on, with what its log has committed in it, as a checkpoint does;
/// `log` opens the log. Nothing if anything is not as the format says: what is at `out` then is of no use.
///
/// # Errors
/// Those of the streams.
pub(crate) fn rest(
    mut database: impl Read,
    log: &mut dyn FnMut() -> io::Result<Box<dyn Read>>,
    out: &mut dyn ReadWriteSeek,
    start: u64,
) -> io::Result<Option<Rest>> {
    let mut header = vec![0; HEADER_SIZE_BYTES];
    if !fill(&mut database, &mut header)? {
        return Ok(None);
    }
    let Some(page) = page_size(&header) else { return Ok(None) };
    // Versions of format to write and to read: 2 is a database that has a log.
    let Some(Committed { frames, pages }) = committed(log()?, page, header[18..20] == [2, 2])? else {
        return Ok(None);
    };
    out.seek(SeekFrom::Start(start))?;
    out.write_all(&header)?;
    let size = header.len() as u64 + io::copy(&mut database.take(DATABASE_SIZE_BYTES_MAX), out)?;
    if !size.is_multiple_of(page.into()) || size > DATABASE_SIZE_BYTES_MAX {
        return Ok(None);
    }
    let Some(pages) = pages else { return Ok(Some(Rest { size_bytes: size, frames: 0 })) };
    let size_bytes = u64::from(pages) * u64::from(page);
    let had = size / u64::from(page);
    if size_bytes > DATABASE_SIZE_BYTES_MAX {
        return Ok(None);
    }
    let mut log = log()?;
    let mut bytes = vec![0; FRAME_HEADER + page as usize];
    if !fill(&mut log, &mut bytes[..LOG_HEADER])? {
        return Ok(None);
    }
    let mut grown = BTreeSet::new();
    for _ in 0..frames {
        if !fill(&mut log, &mut bytes)? {
            return Ok(None);
        }
        let number = word(&bytes, 0);
        if number == 0 || number > pages {
            continue; // A page that a later commit cut off.
        }
        let at = u64::from(number - 1);
        out.seek(SeekFrom::Start(start + at * u64::from(page)))?;
        out.write_all(&bytes[FRAME_HEADER..])?;
        if at >= had {
            grown.insert(number);
        }
    }
    // A page that neither file has.
    let whole = u64::from(pages) <= had || grown.len() as u64 == u64::from(pages) - had;
    Ok(whole.then_some(Rest { size_bytes, frames }))
}

struct Committed {
    /// Frames up to the last that commits.
    frames: u64,
    /// Size of the database after it, in pages; nothing if no frame counts.
    pages: Option<u32>,
}

/// What of a log counts: frames with its salts whose checksums are right, up to the last that commits. Nothing if its header
/// is not the header of the log of a database with pages of `page` bytes.
fn committed(mut log: impl Read, page: u32, has_log: bool) -> io::Result<Option<Committed>> {
    let mut none = Committed { frames: 0, pages: None };
    let mut header = [0; LOG_HEADER];
    let Some(read) = fill_some(&mut log, &mut header)? else { return Ok(Some(none)) };
    let magic = word(&header, 0);
    let known =
        read && magic & !1 == LOG_MAGIC && word(&header, 4) == LOG_VERSION && word(&header, 8) == page;
    let big = magic & 1 == 1;
    let mut sums = checksum((0, 0), &header[..24], big);
    if !known || !has_log || sums != (word(&header, 24), word(&header, 28)) {
        return Ok(None);
    }
    let mut bytes = vec![0; FRAME_HEADER + page as usize];
    for frame in 1..=DATABASE_SIZE_BYTES_MAX / u64::from(page) {
        if fill_some(&mut log, &mut bytes)? != Some(true) || bytes[8..16] != header[16..24] {
            return Ok(Some(none));
        }
        sums = checksum(checksum(sums, &bytes[..8], big), &bytes[FRAME_HEADER..], big);
        if sums != (word(&bytes, 16), word(&bytes, 20)) {
            return Ok(Some(none));
        }
        match word(&bytes, 4) {
            0 => {}
            pages => none = Committed { frames: frame, pages: Some(pages) },
        }
    }
    Ok(None) // More than is read.
}

/// The log's running checksum (fileformat2, 4.2) over `bytes`, whole pairs of words.
fn checksum((mut one, mut two): (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    let read = if big { u32::from_be_bytes } else { u32::from_le_bytes };
    let (words, _) = bytes.as_chunks::<4>();
    for pair in words.chunks_exact(2) {
        one = one.wrapping_add(read(pair[0])).wrapping_add(two);
        two = two.wrapping_add(read(pair[1])).wrapping_add(one);
    }
    (one, two)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// Fills `buffer`; no if the stream ends before.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    Ok(fill_some(reader, buffer)? == Some(true))
}

/// Whether `buffer` was filled; nothing if the stream was at its end.
fn fill_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<Option<bool>> {
    let mut got = 0;
    while got < buffer.len() {
        match reader.read(&mut buffer[got..]) {
            Ok(0) => return Ok((got > 0).then_some(false)),
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(true))
}
