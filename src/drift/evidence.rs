//! The one line that shows a difference, fit to print.

use std::fmt::Write as _;

use bstr::ByteSlice as _;
use similar::{ChangeTag, TextDiff};

use super::view::View;
use crate::{
    diff::{Change, Field},
    layer::{Entry, capability},
    model::path::printable,
};

const SHOWN_CHARS_MAX: usize = 100;
/// Beyond this, lines are paired by number: aligning them costs the product of the texts.
const ALIGNED_BYTES_MAX: usize = 16 << 10;

/// What differs, in one line: two lines of a text, two runs of bytes, or two values of a field.
pub(super) fn show(view: &View<'_>) -> String {
    let change = view.change;
    match (view.held, change.fields.as_slice()) {
        (Some((a, b)), _) if !a.contains(&0) && !b.contains(&0) => lines(a, b),
        (Some((a, b)), _) => bytes(a, b),
        (None, []) => match change.entry() {
            Some(entry) => {
                let value = entry.xattrs.get(b"security.capability".as_bstr());
                let may = value
                    .and_then(|value| capability(value))
                    .map_or_else(String::new, |may| format!(", {may}"));
                format!("{}, {} bytes, mode {:04o}{may}", entry.kind.name(), entry.size_bytes, entry.mode)
            }
            None => String::new(),
        },
        (None, all) => fields(&decoded(change, all)),
    }
}

/// `all` with capabilities in words.
fn decoded(change: &Change, all: &[Field]) -> Vec<Field> {
    const NAME: &[u8] = b"security.capability";
    let words = |entry: &Option<Entry>| capability(entry.as_ref()?.xattrs.get(NAME.as_bstr())?);
    let decode = |field: &Field| {
        let mut field = field.clone();
        if field.name.strip_prefix("xattr:").is_some_and(|name| name.as_bytes() == NAME) {
            field.a = words(&change.a).or(field.a);
            field.b = words(&change.b).or(field.b);
        }
        field
    };
    all.iter().map(decode).collect()
}

/// The first fields that differ.
pub(super) fn fields(fields: &[Field]) -> String {
    const SHOWN: usize = 3;
    let value = |value: &Option<String>| shorten(value.as_deref().unwrap_or("none"), 0);
    let shown = |field: &Field| format!("{} {} → {}", field.name, value(&field.a), value(&field.b));
    fields.iter().take(SHOWN).map(shown).collect::<Vec<_>>().join(", ")
}

/// The first lines that differ.
pub(super) fn lines(a: &[u8], b: &[u8]) -> String {
    let (one, other) = if a.len() + b.len() <= ALIGNED_BYTES_MAX { aligned(a, b) } else { numbered(a, b) };
    let text = |line: Option<&[u8]>| line.map(|line| line.trim_end().to_str_lossy().into_owned());
    let (one, other) = (text(one), text(other));
    let first =
        one.iter().zip(&other).map(|(a, b)| a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count());
    let first = first.max().unwrap_or(0);
    let shown =
        |line: Option<String>| line.map_or_else(|| "no such line".to_owned(), |line| shorten(&line, first));
    format!("{} → {}", shown(one), shown(other))
}

fn aligned<'a>(a: &'a [u8], b: &'a [u8]) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let diff = TextDiff::from_lines(a, b);
    let first = |tag| diff.iter_all_changes().find(|change| change.tag() == tag).map(|change| change.value());
    let at = |whole: &'a [u8], part: Option<&[u8]>| {
        part.and_then(|part| whole.lines_with_terminator().find(|line| *line == part))
    };
    (at(a, first(ChangeTag::Delete)), at(b, first(ChangeTag::Insert)))
}

fn numbered<'a>(a: &'a [u8], b: &'a [u8]) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let (mut a, mut b) = (a.lines_with_terminator(), b.lines_with_terminator());
    loop {
        match (a.next(), b.next()) {
            (Some(one), Some(other)) if one == other => {}
            pair => return pair,
        }
    }
}

/// How many bytes differ and in how many runs, the first of them, and what kind of file it is if its first bytes tell; of many
/// bytes also how random they look.
pub(super) fn bytes(a: &[u8], b: &[u8]) -> String {
    const SHOWN: usize = 8;
    let common = a.len().min(b.len());
    let (mut first, mut count, mut runs, mut last) = (common, 0, 0, None);
    let mut histogram = [0_u32; 256];
    for (at, _) in a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b) {
        first = first.min(at);
        count += 1;
        runs += usize::from(last.is_none_or(|last| at > last + 1));
        last = Some(at);
        histogram[usize::from(b[at])] += 1;
    }
    if a.len() != b.len() {
        count += a.len().abs_diff(b.len());
        runs += usize::from(last.is_none_or(|last| common > last + 1));
    }
    let runs = if runs > 1 { format!(" in {runs} runs") } else { String::new() };
    let hex = |bytes: &[u8]| {
        bytes.iter().skip(first).take(SHOWN).fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}"); // Writing to a String cannot fail.
            out
        })
    };
    let kind = kind(a)
        .filter(|kind_a| kind(b) == Some(*kind_a))
        .map_or_else(String::new, |kind| format!("{kind}: "));
    let size = a.len().max(b.len());
    let random = entropy(&histogram).map_or_else(String::new, |bits| format!("; {bits:.1} bits a byte"));
    format!("{kind}{count} of {size} bytes differ{runs}, from byte {first}: {} → {}{random}", hex(a), hex(b))
}

/// What a file is, by its first bytes.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 16] = [
        (b"\x7fELF", "ELF"),
        (b"\x1f\x8b", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"!<arch>\n", "ar"),
        (b"SQLite format 3\0", "SQLite"),
        (b"\x89PNG", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"%PDF-", "PDF"),
        (b"\xca\xfe\xba\xbe", "Java class"),
        (b"\xfe\xed\xfe\xed", "Java keystore"),
        (b"\xde\x12\x04\x95", "gettext catalogue"),
        (b"PACK", "git pack"),
        (b"\xed\xab\xee\xdb", "rpm"),
    ];
    let known = KINDS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind);
    let compiled = || bytes.get(2..4).is_some_and(|end| end == b"\r\n").then_some("compiled Python");
    known.or_else(compiled)
}

/// Bits a byte of the bytes that `histogram` counts (Shannon), if these are enough to tell.
fn entropy(histogram: &[u32; 256]) -> Option<f64> {
    const COUNT_MIN: u32 = 256;
    let count: u32 = histogram.iter().sum();
    let share = |share: &u32| f64::from(*share) / f64::from(count);
    let bits = histogram
        .iter()
        .filter(|share| **share > 0)
        .map(|bucket| -share(bucket) * share(bucket).log2())
        .sum();
    (count >= COUNT_MIN).then_some(bits)
}

/// At most [`SHOWN_CHARS_MAX`] characters around character `at`, printable.
pub(super) fn shorten(text: &str, at: usize) -> String {
    let length = text.chars().count();
    if length <= SHOWN_CHARS_MAX {
        return printable(text);
    }
    let start = at.saturating_sub(SHOWN_CHARS_MAX / 2).min(length - SHOWN_CHARS_MAX);
    let part: String = text.chars().skip(start).take(SHOWN_CHARS_MAX).collect();
    let before = if start > 0 { "…" } else { "" };
    let after = if start + SHOWN_CHARS_MAX < length { "…" } else { "" };
    format!("{before}{}{after}", printable(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows() {
        assert_eq!(lines(b"a\nb\nc\n", b"a\nx\nc\n"), "b → x");
        assert_eq!(lines(b"a\n", b"a\nnew\x1b[2J\n"), "no such line → new\\u{1b}[2J");
        assert_eq!(lines(&b"a\n".repeat(40_000), &[&b"a\n".repeat(39_999)[..], b"z"].concat()), "a → z");
        assert_eq!(bytes(b"\0abc", b"\0abd"), "1 of 4 bytes differ, from byte 3: 63 → 64");
        assert_eq!(bytes(b"\0", b"\0abd"), "3 of 4 bytes differ, from byte 1:  → 616264");
        let long = "x".repeat(300);
        let shown = lines(format!("{long}1{long}").as_bytes(), format!("{long}2{long}").as_bytes());
        assert!(shown.contains("x1x") && shown.contains("x2x") && shown.len() < 250, "{shown}");
    }
}
