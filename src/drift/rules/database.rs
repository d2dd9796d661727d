//! `SQLite` databases and the logs beside them (sqlite.org/fileformat2.html).

use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{
    drift::{
        Context, clock,
        evidence::shorten,
        rpm,
        sqlite::{self, Database, MAGIC, Row, Value},
        view::View,
    },
    layer::matches,
};

/// Salts and checksums in a log's header, and in the header of each frame.
const LOG_HEADER: usize = 32;
const LOG_SALTS: std::ops::Range<usize> = 12..32;
const FRAME_HEADER: usize = 24;

/// A database, or the log of one, that says the same in pages laid out otherwise, or in which only times differ; or the index
/// of a log.
pub(super) fn database(view: &View<'_>) -> Option<Finding> {
    let cause = if matches(b"**rpmdb.sqlite*", view.path()) {
        Cause::RpmdbTime
    } else if matches(b"**var/lib/dnf/history.sqlite*", view.path()) {
        Cause::DnfHistory
    } else {
        Cause::SqlitePages
    };
    if view.name().ends_with(b"-shm") {
        let (a, b, _) = view.heads()?;
        let index = |head: &[u8]| head.starts_with(&3_007_000_u32.to_ne_bytes());
        return (index(a) && index(b)).then(|| Finding::certain(cause));
    }
    let (a, b) = view.contents()?;
    let rows = Rows { rpm: cause == Cause::RpmdbTime, context: view.context };
    if a.starts_with(MAGIC) {
        let (a, b) = (Database::of(a)?, Database::of(b)?);
        return rows.of_databases(&a, &b)?.finding(cause);
    }
    rows.of_logs(a, b)?.finding(cause)
}

/// What differs of rows.
enum Differing {
    /// Nothing: pages are laid out otherwise.
    Nothing,
    /// Rows have other numbers.
    Order(String),
    /// Times.
    Times(String),
}

impl Differing {
    fn finding(self, cause: Cause) -> Option<Finding> {
        Some(match self {
            Self::Nothing => Finding::certain(Cause::SqlitePages).shown("the same rows of every table, in pages laid out otherwise"),
            Self::Order(shown) => Finding::likely(Cause::SqlitePages).shown(shown),
            Self::Times(shown) => Finding::likely(cause).shown(shown),
        })
    }
}

struct Rows<'a> {
    /// Whether blobs may be headers of rpm's, and numbers four bytes.
    rpm: bool,
    context: &'a Context,
}

impl Rows<'_> {
    fn of_databases(&self, a: &Database, b: &Database) -> Option<Differing> {
        if a.header != b.header || a.schema != b.schema || !a.tables.keys().eq(b.tables.keys()) {
            return None;
        }
        let mut differing = Differing::Nothing;
        for (name, one) in &a.tables {
            let other = &b.tables[name].rows;
            let named = |what: &str| format!("table {}: {what}", shorten(&name.to_str_lossy(), 0));
            if one.rows == *other {
                continue;
            }
            if let Some(shown) = self.of_rows(&one.rows, other) {
                if !matches!(differing, Differing::Times(_)) {
                    differing = Differing::Times(named(&shown));
                }
            } else if records(&one.rows) == records(other) {
                if matches!(differing, Differing::Nothing) {
                    differing = Differing::Order(named("the same rows in another order"));
                }
            } else {
                return None;
            }
        }
        Some(differing)
    }

    /// Logs whose frames are of the same pages, page by page: headers, salts and checksums aside, rows differ in times.
    fn of_logs(&self, a: &[u8], b: &[u8]) -> Option<Differing> {
        let (one, other) = (log(a)?, log(b)?);
        if one.head != other.head || one.frames.len() != other.frames.len() || a.len() != b.len() {
            return None;
        }
        let mut shown = None;
        for ((head_a, page_a), (head_b, page_b)) in one.frames.into_iter().zip(other.frames) {
            if head_a[..8] != head_b[..8] {
                return None;
            }
            if page_a == page_b {
                continue;
            }
            let first = head_a[..4] == [0, 0, 0, 1];
            if first && without_counters(page_a)? == without_counters(page_b)? {
                continue;
            }
            let (rows_a, rows_b) = (sqlite::rows_of_page(page_a, first)?, sqlite::rows_of_page(page_b, first)?);
            if rows_a != rows_b {
                shown = shown.or(Some(self.of_rows(&rows_a, &rows_b)?));
            }
        }
        Some(Differing::Times(shown.unwrap_or_else(|| "salts and checksums of a log".to_owned())))
    }

    /// The first time that differs, if rows have the same numbers and differ in nothing but times.
    fn of_rows(&self, a: &[Row], b: &[Row]) -> Option<String> {
        let mut shown = None;
        for ((rowid_a, one), (rowid_b, other)) in a.iter().zip(b) {
            if rowid_a != rowid_b {
                return None;
            }
            if one == other {
                continue;
            }
            let (one, other) = (sqlite::values(one)?, sqlite::values(other)?);
            if one.len() != other.len() {
                return None;
            }
            for (one, other) in one.into_iter().zip(other).filter(|(one, other)| one != other) {
                let found = self.times(one, other)?;
                shown.get_or_insert_with(|| format!("row {rowid_a}: {found}"));
            }
        }
        shown.filter(|_| a.len() == b.len())
    }

    /// Both values for people, if each is a time of its own build, or holds such.
    fn times(&self, a: Value<'_>, b: Value<'_>) -> Option<String> {
        match (a, b) {
            (Value::Integer(a), Value::Integer(b)) => self.are_times(a, b).then(|| format!("{a} → {b}")),
            (Value::Real(a), Value::Real(b)) => {
                let (one, other) = (seconds(a)?, seconds(b)?);
                self.are_times(one, other).then(|| format!("{a} → {b}"))
            }
            (Value::Text(a), Value::Text(b)) => {
                let (one, other) = clock::mask_both(a, b, self.context)?;
                (one == other).then(|| format!("{} → {}", shorten(&a.to_str_lossy(), 0), shorten(&b.to_str_lossy(), 0)))
            }
            (Value::Blob(a), Value::Blob(b)) if self.rpm => self.installed(a, b),
            _ => None,
        }
    }

    /// Headers of one package, installed at another time; or the key of an index over such times.
    fn installed(&self, a: &[u8], b: &[u8]) -> Option<String> {
        if let (Ok(one), Ok(other)) = (<[u8; 4]>::try_from(a), <[u8; 4]>::try_from(b)) {
            let pairs = [u32::from_le_bytes, u32::from_be_bytes].map(|read| (read(one), read(other)));
            let found = pairs.into_iter().find(|(one, other)| self.are_times((*one).into(), (*other).into()));
            return found.map(|(one, other)| format!("{one} → {other}"));
        }
        if rpm::without_install_times(a)? != rpm::without_install_times(b)? {
            return None;
        }
        let (one, other) = (rpm::Header::of(a)?, rpm::Header::of(b)?);
        let times = one.install_times().into_iter().zip(other.install_times());
        let possible = |(one, other): (u32, u32)| one == other || self.are_times(one.into(), other.into());
        times.clone().all(possible).then_some(())?;
        let name = one.name().map_or_else(String::new, |name| shorten(&name.to_str_lossy(), 0));
        times.into_iter().next().map(|(one, other)| format!("{name} installed {one} → {other}"))
    }

    /// Whether two numbers are times of their own builds, in seconds or parts of these.
    fn are_times(&self, a: i64, b: i64) -> bool {
        const UNITS: [i64; 4] = [1, 1000, 1_000_000, 1_000_000_000];
        let touches = |side, time| self.context.touches(side, (time, time));
        UNITS.iter().any(|unit| touches(0, a / unit) && touches(1, b / unit))
    }
}

/// Seconds since 1970, of such or of a Julian day.
#[expect(clippy::cast_possible_truncation, reason = "held within bounds before")]
fn seconds(time: f64) -> Option<i64> {
    const EPOCH_DAY: f64 = 2_440_587.5;
    let seconds = if (2_451_544.5..2_488_069.5).contains(&time) { (time - EPOCH_DAY) * 86_400.0 } else { time };
    (0.0..9e18).contains(&seconds).then_some(seconds as i64)
}

/// Records in an order of their own.
fn records(rows: &[Row]) -> Vec<&[u8]> {
    let mut records: Vec<_> = rows.iter().map(|(_, record)| record.as_slice()).collect();
    records.sort_unstable();
    records
}

/// The first page with its counters zeroed.
fn without_counters(page: &[u8]) -> Option<Vec<u8>> {
    let mut out = page.to_vec();
    for counter in [24..28, 92..96] {
        out.get_mut(counter)?.fill(0);
    }
    Some(out)
}

/// A log taken apart.
struct Log<'a> {
    /// Its header without salts and checksum.
    head: &'a [u8],
    frames: Vec<(&'a [u8], &'a [u8])>,
}

fn log(bytes: &[u8]) -> Option<Log<'_>> {
    let header = bytes.get(..LOG_HEADER)?;
    let word = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
    if word(0)? & !1 != 0x377f_0682 || word(4)? != 3_007_000 {
        return None;
    }
    let page = usize::try_from(word(8)?).ok().filter(|page| (512..=65_536).contains(page))?;
    let frames = bytes[LOG_HEADER..].chunks(FRAME_HEADER + page);
    let whole = |frame: &&[u8]| frame.len() == FRAME_HEADER + page;
    frames.clone().all(|frame| whole(&frame)).then(|| Log {
        head: &header[..LOG_SALTS.start],
        frames: frames.map(|frame| frame.split_at(FRAME_HEADER)).collect(),
    })
}
