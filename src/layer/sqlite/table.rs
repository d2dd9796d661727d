//! Integers in the rows of a table (fileformat2, sections 1.6 and 2).

use std::{
    io::{self, SeekFrom},
    ops::Range,
};

use bstr::ByteSlice as _;

use super::{HEADER_SIZE_BYTES, page_size};
use crate::model::ReadWriteSeek;

/// Columns of a table that hold seconds since 1970.
#[derive(Debug)]
pub(crate) struct Times {
    /// The table's name.
    pub(crate) table: &'static str,
    /// How the statement that makes it begins, each run of blanks and comments one blank.
    pub(crate) made_by: &'static str,
    /// Which of its columns are times, from 0.
    pub(crate) columns: &'static [usize],
}

/// Deepest tree that is walked; `SQLite`'s own have at most 20 levels.
const DEPTH_MAX: usize = 24;
/// Most rows whose times are clamped.
const ROWS_MAX: usize = 1 << 20;

/// Clamps the times of the database that is `size_bytes` from `start` on in `file` to `epoch_s`; how many. Nothing if the
/// table is not the one that is meant, or is indexed, or anything is not as the format says: then nothing is changed.
///
/// # Errors
/// Those of `file`.
pub(crate) fn clamp(
    file: &mut dyn ReadWriteSeek,
    (start, size_bytes): (u64, u64),
    times: &Times,
    epoch_s: i64,
) -> io::Result<Option<usize>> {
    let mut header = [0; HEADER_SIZE_BYTES];
    if size_bytes < header.len() as u64 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut header)?;
    let utf8 = header[56..60] == [0, 0, 0, 1];
    let Some(page) = page_size(&header).filter(|_| utf8) else { return Ok(None) };
    let usable = page as usize - usize::from(header[20]);
    let mut tree =
        Tree { file, start, page: page.into(), usable, pages: size_bytes / u64::from(page), left: 0 };
    let (mut root, mut plain) = (None, true);
    let schema = tree.walk(1, &mut |_, cell| {
        if cell.text(2)? != times.table.as_bytes() {
            return Some(());
        }
        match cell.text(0)? {
            b"table" if squeezed(cell.text(4)?).starts_with(times.made_by.as_bytes()) => {
                let Integer::Own(_, page) = cell.integer(3)? else { return None };
                root = Some(u64::try_from(page).ok()?);
            }
            _ => plain = false,
        }
        Some(())
    })?;
    let (Some(()), Some(root), true) = (schema, root, plain) else { return Ok(None) };
    let mut later = Vec::new();
    let rows = tree.walk(root, &mut |at, cell| {
        for column in times.columns {
            if let Integer::Own(range, value) = cell.integer(*column)?
                && value > epoch_s
            {
                later.push((at + range.start as u64, clamped(epoch_s, range.len())?));
            }
        }
        (later.len() <= ROWS_MAX).then_some(())
    })?;
    if rows.is_none() {
        return Ok(None);
    }
    for (at, value) in &later {
        tree.file.seek(SeekFrom::Start(*at))?;
        tree.file.write_all(value)?;
    }
    Ok(Some(later.len()))
}

/// `value` as an integer of `width` bytes, if it has room there.
fn clamped(value: i64, width: usize) -> Option<Vec<u8>> {
    let bytes = value.to_be_bytes();
    let (above, kept) = bytes.split_at(bytes.len().checked_sub(width)?);
    let fits = above.iter().all(|byte| *byte == 0) && kept.first().is_some_and(|byte| *byte < 0x80);
    fits.then(|| kept.to_vec())
}

/// `sql` with each run of blanks and comments as one blank.
fn squeezed(sql: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = sql;
    while let Some((first, after)) = rest.split_first() {
        if rest.starts_with(b"/*") {
            rest = rest.find(b"*/").map_or(&[][..], |end| &rest[end + 2..]);
        } else if first.is_ascii_whitespace() {
            rest = after;
        } else {
            out.push(*first);
            rest = after;
            continue;
        }
        if out.last() != Some(&b' ') {
            out.push(b' ');
        }
    }
    out
}

/// The tables' trees in a file.
struct Tree<'a> {
    file: &'a mut dyn ReadWriteSeek,
    start: u64,
    page: u64,
    /// Bytes of a page that are not reserved.
    usable: usize,
    /// How many pages there are, and how many may still be visited: in a tree each once.
    pages: u64,
    left: u64,
}

impl Tree<'_> {
    /// Gives every row of the tree at page `root` to `visit`, with where in the file it lies. Nothing if the tree is not as
    /// the format says, or `visit` says so.
    fn walk(&mut self, root: u64, visit: &mut Visit<'_>) -> io::Result<Option<()>> {
        self.left = self.pages;
        self.descend(root, 0, visit)
    }

    fn descend(&mut self, number: u64, depth: usize, visit: &mut Visit<'_>) -> io::Result<Option<()>> {
        if number == 0 || number > self.pages || self.left == 0 || depth > DEPTH_MAX {
            return Ok(None);
        }
        self.left -= 1;
        let at = self.start + (number - 1) * self.page;
        let mut page = vec![0; usize::try_from(self.page).unwrap_or_default()];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut page)?;
        let header = if number == 1 { HEADER_SIZE_BYTES } else { 0 };
        match page[header] {
            LEAF => Ok(self.rows(&page, at, header, visit)),
            INTERIOR => {
                let Some(children) = children(&page, header) else { return Ok(None) };
                for child in children {
                    if self.descend(child, depth + 1, visit)?.is_none() {
                        return Ok(None);
                    }
                }
                Ok(Some(()))
            }
            _ => Ok(None),
        }
    }

    fn rows(&self, page: &[u8], at: u64, header: usize, visit: &mut Visit<'_>) -> Option<()> {
        for cell in cells(page, header + 8, short(page, header + 3)?)? {
            let (size, read) = varint(page.get(cell..)?)?;
            let (_, rowid) = varint(page.get(cell + read..)?)?;
            let from = cell + read + rowid;
            let here = page.get(from..from.checked_add(self.local(size)?)?)?;
            visit(at + from as u64, &Cell(here))?;
        }
        Some(())
    }

    /// How much of a payload of `size` bytes lies in the leaf itself.
    fn local(&self, size: u64) -> Option<usize> {
        let (size, most) = (usize::try_from(size).ok()?, self.usable.checked_sub(35)?);
        if size <= most {
            return Some(size);
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (size - least) % (self.usable - 4);
        Some(if fitting <= most { fitting } else { least })
    }
}

type Visit<'a> = dyn FnMut(u64, &Cell<'_>) -> Option<()> + 'a;

/// Kinds of pages of a table's tree.
const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;

/// Where the cells of a page are: `count` pointers from `at` on.
fn cells(page: &[u8], at: usize, count: usize) -> Option<Vec<usize>> {
    (0..count).map(|index| short(page, at + 2 * index)).collect()
}

fn children(page: &[u8], header: usize) -> Option<Vec<u64>> {
    let child = |at: usize| Some(u64::from(u32::from_be_bytes(page.get(at..at + 4)?.try_into().ok()?)));
    let mut children = Vec::new();
    for cell in cells(page, header + 12, short(page, header + 3)?)? {
        children.push(child(cell)?);
    }
    children.push(child(header + 8)?);
    Some(children)
}

fn short(page: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_be_bytes(page.get(at..at + 2)?.try_into().ok()?).into())
}

/// A variable-length integer at the start of `bytes`, and its length (fileformat2.html, "Varint"); nothing if it is cut off.
pub fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// An integer in a row.
enum Integer {
    /// NULL, 0 or 1, without bytes.
    Bare,
    /// Where its bytes are, and its value.
    Own(Range<usize>, i64),
}

/// A row, as far as it lies in its leaf.
struct Cell<'a>(&'a [u8]);

impl<'a> Cell<'a> {
    /// Serial type and place of a column.
    fn column(&self, index: usize) -> Option<(u64, Range<usize>)> {
        let (header, mut at) = varint(self.0)?;
        let header = usize::try_from(header).ok().filter(|header| *header <= self.0.len())?;
        let mut from = header;
        for column in 0.. {
            let (kind, read) = varint(self.0.get(at..header)?)?;
            let length = match kind {
                0 | 8 | 9 => 0,
                1..=4 => kind,
                5 => 6,
                6 | 7 => 8,
                10 | 11 => return None,
                _ => (kind - 12) / 2,
            };
            let end = from.checked_add(usize::try_from(length).ok()?)?;
            if column == index {
                return (end <= self.0.len()).then_some((kind, from..end));
            }
            (at, from) = (at + read, end);
        }
        None
    }

    fn text(&self, index: usize) -> Option<&'a [u8]> {
        let (kind, range) = self.column(index)?;
        match kind {
            0 => Some(&[]),
            13.. if kind % 2 == 1 => Some(&self.0[range]),
            _ => None,
        }
    }

    /// A column; nothing if it is anything but an integer or NULL.
    fn integer(&self, index: usize) -> Option<Integer> {
        let (kind, range) = self.column(index)?;
        match kind {
            0 | 8 | 9 => Some(Integer::Bare),
            1..=6 => {
                let bytes = &self.0[range.clone()];
                let sign = if bytes[0] < 0x80 { 0 } else { -1 };
                let value = bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte));
                Some(Integer::Own(range, value))
            }
            _ => None,
        }
    }
}
