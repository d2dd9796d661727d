//! The one line that shows a difference, fit to print.

use std::fmt::Write as _;

use bstr::ByteSlice as _;
use similar::{ChangeTag, TextDiff};

use crate::{
    diff::{Change, Field},
    model::path::printable,
};

const SHOWN_CHARS_MAX: usize = 100;
/// Beyond this, lines are paired by number: aligning them costs the product of the texts.
const ALIGNED_BYTES_MAX: usize = 16 << 10;

/// What differs, in one line: two lines of a text, two runs of bytes, or two values of a field.
pub(super) fn show(change: &Change) -> String {
    match (&change.contents, change.fields.as_slice()) {
        (Some((a, b)), _) if !a.contains(&0) && !b.contains(&0) => lines(a, b),
        (Some((a, b)), _) => bytes(a, b),
        (None, []) => match change.entry() {
            Some(entry) => {
                format!("{}, {} bytes, mode {:04o}", entry.kind.name(), entry.size_bytes, entry.mode)
            }
            None => String::new(),
        },
        (None, all) => fields(all),
    }
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

/// How many bytes differ, and the first of them.
pub(super) fn bytes(a: &[u8], b: &[u8]) -> String {
    const SHOWN: usize = 8;
    let differs = |(_, (a, b)): &(usize, (&u8, &u8))| a != b;
    let mut differing = a.iter().zip(b).enumerate().filter(differs);
    let first = differing.next().map_or(a.len().min(b.len()), |(at, _)| at);
    let count = differing.count() + usize::from(first < a.len().min(b.len())) + a.len().abs_diff(b.len());
    let hex = |bytes: &[u8]| {
        bytes.iter().skip(first).take(SHOWN).fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}"); // Writing to a String cannot fail.
            out
        })
    };
    format!("{count} of {} bytes differ, from byte {first}: {} → {}", a.len().max(b.len()), hex(a), hex(b))
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
