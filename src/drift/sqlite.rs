//! Rows of an `SQLite` database (sqlite.org/fileformat2.html): every table of a file that is at rest, wherever its pages are.

use std::collections::BTreeMap;

use bstr::BString;

use crate::layer::sqlite_varint as varint;

pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER: usize = 100;
/// Deepest tree that is walked; `SQLite`'s own have at most 20 levels.
const DEPTH_MAX: usize = 24;
/// Most rows of all tables.
const ROWS_MAX: usize = 1 << 20;
/// Kinds of pages.
const TABLE_LEAF: u8 = 0x0d;
const TABLE_INTERIOR: u8 = 0x05;
const INDEX_LEAF: u8 = 0x0a;
const INDEX_INTERIOR: u8 = 0x02;

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// A row: its number in its table, and its record.
pub(super) type Row = (i64, Vec<u8>);

/// A table: how it was made, and its rows in the order of their numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
}

/// What a database says.
#[derive(Debug)]
pub(super) struct Database {
    /// The header without counters, sizes and versions of the library.
    pub(super) header: Vec<u8>,
    /// What there is, in the words that made it: kind, name, table, statement.
    pub(super) schema: Vec<[BString; 4]>,
    /// By name.
    pub(super) tables: BTreeMap<BString, Table>,
}

impl Database {
    /// Reads all of `bytes`; nothing if anything is not as the format says, a page is in two trees, or too much is in it.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut pages = Pages::of(bytes)?;
        let mut schema = Vec::new();
        let mut roots = Vec::new();
        for (_, record) in pages.rows(1)? {
            let values = values(&record)?;
            let [kind, name, table, Value::Integer(root), statement, ..] = values[..] else { return None };
            let text = |value: Value<'_>| match value {
                Value::Text(text) => Some(BString::from(text)),
                Value::Null => Some(BString::default()),
                _ => None,
            };
            let made = [text(kind)?, text(name)?, text(table)?, text(statement)?];
            if made[0] == "table" && root > 0 {
                roots.push((made[1].clone(), usize::try_from(root).ok()?));
            }
            schema.push(made);
        }
        schema.sort();
        let mut tables = BTreeMap::new();
        for (name, root) in roots {
            tables.insert(name, Table { rows: pages.rows(root)? });
        }
        let mut header = bytes[..HEADER].to_vec();
        for follows in [24..44, 52..56, 92..100] {
            header[follows].fill(0);
        }
        Some(Self { header, schema, tables })
    }
}

/// Pages of a file, each to be seen once.
struct Pages<'a> {
    bytes: &'a [u8],
    size: usize,
    /// Bytes of a page that are not reserved.
    usable: usize,
    seen: Vec<bool>,
    rows: usize,
}

impl<'a> Pages<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER).filter(|header| header.starts_with(MAGIC))?;
        let size = page_size(header)?;
        let usable = size - usize::from(header[20]);
        (bytes.len().is_multiple_of(size) && usable >= 480).then(|| {
            let seen = vec![false; bytes.len() / size];
            Self { bytes, size, usable, seen, rows: 0 }
        })
    }

    fn page(&mut self, number: usize) -> Option<&'a [u8]> {
        let index = number.checked_sub(1)?;
        let seen = self.seen.get_mut(index)?;
        if std::mem::replace(seen, true) {
            return None;
        }
        self.bytes.get(index * self.size..(index + 1) * self.size)
    }

    /// All rows of the tree at page `root`.
    fn rows(&mut self, root: usize) -> Option<Vec<Row>> {
        let mut rows = Vec::new();
        self.descend(root, 0, &mut rows)?;
        Some(rows)
    }

    fn descend(&mut self, number: usize, depth: usize, rows: &mut Vec<Row>) -> Option<()> {
        let page = self.page(number).filter(|_| depth <= DEPTH_MAX)?;
        let header = if number == 1 { HEADER } else { 0 };
        let kind = *page.get(header)?;
        let interior = matches!(kind, TABLE_INTERIOR | INDEX_INTERIOR);
        let cells_at = header + if interior { 12 } else { 8 };
        for index in 0..short(page, header + 3)? {
            let cell = short(page, cells_at + 2 * index)?;
            if interior {
                self.descend(word(page, cell)?, depth + 1, rows)?;
            }
            let after = if interior { cell + 4 } else { cell };
            match kind {
                TABLE_INTERIOR => {}
                TABLE_LEAF | INDEX_LEAF | INDEX_INTERIOR => {
                    rows.push(self.row(page, after, kind == TABLE_LEAF)?);
                }
                _ => return None,
            }
            self.rows += 1;
            (self.rows <= ROWS_MAX).then_some(())?;
        }
        if interior {
            self.descend(word(page, header + 8)?, depth + 1, rows)?;
        }
        Some(())
    }

    /// The row whose cell is at `at`.
    fn row(&mut self, page: &[u8], at: usize, of_table: bool) -> Option<Row> {
        let Cell { rowid, size, from } = Cell::of(page, at, of_table)?;
        let local = self.local(size, of_table)?;
        let mut record = page.get(from..from.checked_add(local)?)?.to_vec();
        let mut next = if local < size { word(page, from + local)? } else { 0 };
        while record.len() < size {
            let overflow = self.page(next)?;
            let part = (size - record.len()).min(self.usable - 4);
            record.extend_from_slice(overflow.get(4..4 + part)?);
            next = word(overflow, 0)?;
        }
        Some((rowid, record))
    }

    /// How much of a payload of `size` bytes lies in the page itself.
    fn local(&self, size: usize, of_table: bool) -> Option<usize> {
        let most = if of_table { self.usable - 35 } else { (self.usable - 12) * 64 / 255 - 23 };
        if size > self.bytes.len() {
            return None;
        }
        if size <= most {
            return Some(size);
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (size - least) % (self.usable - 4);
        Some(if fitting <= most { fitting } else { least })
    }
}

/// Where a row begins.
struct Cell {
    rowid: i64,
    size: usize,
    from: usize,
}

impl Cell {
    fn of(page: &[u8], at: usize, of_table: bool) -> Option<Self> {
        let (size, read) = varint(page.get(at..)?)?;
        let mut from = at + read;
        let mut rowid = 0;
        if of_table {
            let (value, read) = varint(page.get(from..)?)?;
            (rowid, from) = (value.cast_signed(), from + read);
        }
        Some(Self { rowid, size: usize::try_from(size).ok()?, from })
    }
}

/// The rows of one page of a log, as far as they lie in it; nothing if it is no leaf.
pub(super) fn rows_of_page(page: &[u8], first: bool) -> Option<Vec<Row>> {
    let header = if first { HEADER } else { 0 };
    let kind = *page.get(header).filter(|kind| matches!(**kind, TABLE_LEAF | INDEX_LEAF))?;
    let row = |index| {
        let Cell { rowid, size, from } =
            Cell::of(page, short(page, header + 8 + 2 * index)?, kind == TABLE_LEAF)?;
        Some((rowid, page.get(from..from.checked_add(size)?)?.to_vec()))
    };
    (0..short(page, header + 3)?).map(row).collect()
}

/// The page size that the header of a database says.
pub(super) fn page_size(header: &[u8]) -> Option<usize> {
    let size = match short(header, 16)? {
        1 => 65_536,
        size => size,
    };
    (size.is_power_of_two() && size >= 512).then_some(size)
}

/// The values of a record.
pub(super) fn values(record: &[u8]) -> Option<Vec<Value<'_>>> {
    let (size, mut at) = varint(record)?;
    let header = record.get(..usize::try_from(size).ok()?)?;
    let mut rest = &record[header.len()..];
    let mut values = Vec::new();
    while at < header.len() {
        let (kind, read) = varint(&header[at..])?;
        at += read;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => (kind - 12) / 2,
        };
        let (bytes, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = behind;
        values.push(match kind {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            1..=6 => {
                let sign = if bytes[0] < 0x80 { 0 } else { -1 };
                Value::Integer(bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte)))
            }
            _ if kind % 2 == 0 => Value::Blob(bytes),
            _ => Value::Text(bytes),
        });
    }
    rest.is_empty().then_some(values)
}

fn short(page: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_be_bytes(page.get(at..at.checked_add(2)?)?.try_into().ok()?).into())
}

fn word(page: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(page.get(at..at.checked_add(4)?)?.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROWN: &[u8] = include_bytes!("../../fixtures/sqlite/grown-rest.sqlite");

    #[test]
    fn every_row_of_every_table() {
        let database = Database::of(GROWN).unwrap();
        let rows = &database.tables[&BString::from("trans")].rows;
        assert!(rows.len() > 50 && rows.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(matches!(values(&rows[1].1).unwrap()[1], Value::Integer(1_795_000_000..1_800_000_000)));
    }

    #[test]
    fn loops_and_pages_that_nobody_has() {
        let mut looped = GROWN.to_vec();
        // The first page's own tree leads to itself.
        looped[HEADER] = TABLE_INTERIOR;
        looped[HEADER + 3..HEADER + 12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(Database::of(&looped).is_none());
        looped[HEADER + 11] = 99;
        assert!(Database::of(&looped).is_none());
        assert!(Database::of(&GROWN[..GROWN.len() - 1]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn spoiled_files(at in 0..GROWN.len(), value: u8) {
            let mut database = GROWN.to_vec();
            database[at] = value;
            Database::of(&database);
        }
    }
}
