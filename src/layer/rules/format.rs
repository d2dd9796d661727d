//! Whether a file holds what a rule takes it for.

use std::{
    io::{self, BufRead, BufReader, Read},
    ops::Range,
};

use bstr::ByteSlice as _;

use crate::layer::{Entry, Open, sqlite};

/// How a file's content shows what it is.
#[derive(Debug)]
pub(super) enum Format {
    /// By its head.
    Head(fn(&[u8]) -> bool),
    /// By path and head together.
    Named(fn(&[u8], &[u8]) -> bool),
    /// By every line.
    Lines(fn(&[u8]) -> bool),
    /// By its first page.
    Page(fn(&[u8]) -> bool),
}

impl Format {
    /// Whether `file`, which lies at `path`, is of this format.
    pub(super) fn holds(&self, path: &[u8], file: &Entry, content: &mut Open<'_>) -> io::Result<bool> {
        match self {
            Self::Head(check) => Ok(check(&file.peek)),
            Self::Named(check) => Ok(check(path, &file.peek)),
            Self::Lines(check) => every_line(content(file)?, *check),
            Self::Page(check) => {
                let mut page = Vec::new();
                content(file)?.take(PAGE_BYTES_MAX).read_to_end(&mut page)?;
                Ok(check(&page))
            }
        }
    }
}

/// The largest page of SQLite.
const PAGE_BYTES_MAX: u64 = 64 << 10;

/// Whether every line passes; a line too long for a log does not.
fn every_line(reader: impl Read, check: fn(&[u8]) -> bool) -> io::Result<bool> {
    const LINE_BYTES_MAX: u64 = 64 << 10;
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(true);
        }
        if count as u64 == LINE_BYTES_MAX || !check(&line) {
            return Ok(false);
        }
    }
}

/// Digits where `shape` has `0`, else what it has.
fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    let digit = |byte: &u8| if byte.is_ascii_digit() { b'0' } else { *byte };
    text.len() > shape.len() && text.iter().map(digit).take(shape.len()).eq(shape.iter().copied())
}

pub(super) fn starts_with_time(line: &[u8]) -> bool {
    has_shape(line, b"0000-00-00 00:00:00 ")
}

/// Python's `%Y-%m-%dT%H:%M:%S%z`, as dnf, librepo and libdnf write it.
pub(super) fn starts_with_iso_time(head: &[u8]) -> bool {
    has_shape(head, b"0000-00-00T00:00:00+0000 ") || has_shape(head, b"0000-00-00T00:00:00-0000 ")
}

pub(super) fn apt_log(path: &[u8], head: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let text = head.trim_start();
    let rotated = head.starts_with(b"\x1f\x8b") || head.starts_with(b"\xfd7zXZ\0");
    let opening: &[u8] = match name {
        name if name.starts_with(b"history") => b"Start-Date: ",
        name if name.starts_with(b"term") => b"Log started: ",
        _ => b"Request: EIPP ",
    };
    text.is_empty()
        || text.starts_with(opening)
        || (rotated && (name.ends_with(b".gz") || name.ends_with(b".xz")))
}

pub(super) fn npm_log(head: &[u8]) -> bool {
    head.is_empty() || head.starts_with(b"0 ")
}

pub(super) fn npm_index(head: &[u8]) -> bool {
    let record = head.strip_prefix(b"\n").unwrap_or(head);
    record.len() > 42 && record[..40].iter().all(u8::is_ascii_hexdigit) && record[40..42] == *b"\t{"
}

/// HTTP answers by hashed name, wheels with their origin, and the note of the last look for updates.
pub(super) fn pip_cache(path: &[u8], head: &[u8]) -> bool {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let Some(cache) = parts.iter().position(|part| *part == b".cache") else { return false };
    let [_, kind, .., name] = parts[cache + 1..] else { return false };
    match kind {
        b"http" | b"http-v2" => {
            let hashed = name.strip_suffix(b".body").unwrap_or(name);
            hashed.len() == 56 && hashed.iter().all(u8::is_ascii_hexdigit)
        }
        b"wheels" => (name.ends_with(b".whl") && head.starts_with(b"PK\x03\x04")) || name == b"origin.json",
        b"selfcheck" => head.starts_with(b"{"),
        _ => false,
    }
}

/// An empty file whose name ends in the hash of a path.
pub(super) fn uv_lock(path: &[u8], head: &[u8]) -> bool {
    let hash = path.strip_suffix(b".lock").and_then(|path| path.rsplit_once_str("-"));
    let hashed = hash.is_some_and(|(_, hash)| hash.len() == 16 && hash.iter().all(u8::is_ascii_hexdigit));
    head.is_empty() && hashed
}

/// cargo's database of when each file of its caches was last used.
pub(super) fn cargo_last_use(page: &[u8]) -> bool {
    page.starts_with(sqlite::MAGIC)
        && [&b"CREATE TABLE registry_index"[..], b"CREATE TABLE global_data"]
            .iter()
            .all(|made| page.contains_str(made))
}

/// What go's cache of builds holds of a step, `v1 ID ID SIZE NANOSECONDS`, and when it was last cleaned, in seconds.
pub(super) fn go_build_clamped(path: &[u8], file: &[u8], epoch_s: i64) -> Option<Vec<u8>> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let text = str::from_utf8(file).ok()?;
    if name == b"trim.txt" {
        return clamped(text, 0..text.trim_end().len(), 1, epoch_s);
    }
    let id = str::from_utf8(name).ok()?.strip_suffix("-a")?;
    let rest = text.strip_prefix("v1 ")?.strip_prefix(id)?.strip_prefix(' ')?.strip_suffix('\n')?;
    let hex = |id: &str| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fixed = rest.is_ascii() && rest.len() == 64 + 1 + 20 + 1 + 20 && hex(id) && hex(&rest[..64]);
    let time = text.len() - 1 - 20..text.len() - 1;
    fixed.then(|| clamped(text, time, 1_000_000_000, epoch_s))?
}

/// `text` with the decimal number at `time`, which counts `unit` a second, clamped and padded to its width.
fn clamped(text: &str, time: Range<usize>, unit: i64, epoch_s: i64) -> Option<Vec<u8>> {
    let width = time.len();
    let value: i64 = text.get(time.clone())?.trim_start().parse().ok()?;
    let value = value.min(epoch_s.checked_mul(unit)?);
    let written = format!("{value:>width$}");
    (written.len() == width).then(|| [&text[..time.start], &written, &text[time.end..]].concat().into_bytes())
}
