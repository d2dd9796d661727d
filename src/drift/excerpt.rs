//! A part of what differs, to be shown side by side: some lines of two texts, some bytes of two files. Bounded, whatever
//! the files are.

use std::fmt::Write as _;

use bstr::ByteSlice as _;
use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

use super::{evidence::shorten, view::View};
use crate::layer::Entry;

/// Most hunks of two texts.
const HUNKS_MAX: usize = 3;
/// Most rows of a hunk.
const ROWS_MAX: usize = 12;
/// Equal rows around those that differ.
const CONTEXT_ROWS: usize = 2;
/// Aligning costs the product of what is aligned, so no more than this of each text, in bytes and in lines.
const ALIGNED_BYTES_MAX: usize = 8 << 10;
const ALIGNED_LINES_MAX: usize = 200;
/// Bytes of a window.
const WINDOW_BYTES: usize = 32;
/// Bytes a line of a hex dump has, at a multiple of which windows begin where they can.
const DUMP_BYTES: usize = 16;

/// What differs of two files.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Excerpt {
    /// Of two texts.
    Text {
        /// The first places that differ.
        hunks: Vec<Hunk>,
        /// Whether there are more.
        more: bool,
    },
    /// Of what is no text, or not at hand.
    Bytes {
        /// The first file, if there is one.
        a: Option<Facts>,
        /// The second.
        b: Option<Facts>,
        /// The first and the last place that differ.
        windows: Vec<Window>,
    },
}

/// Lines side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hunk {
    /// In order; at most twelve.
    pub rows: Vec<Row>,
}

/// A line of each text, or of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Of the first text.
    pub a: Option<Line>,
    /// Of the second.
    pub b: Option<Line>,
    /// Whether both are the same.
    pub equal: bool,
}

/// A line of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which, from 1.
    pub number: usize,
    /// What it says, shortened, fit for a terminal.
    pub text: String,
}

/// What is known of a file as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// What its first bytes say it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// In bytes.
    pub size: u64,
    /// Bits a byte, from 0 to 8; near 8 is compressed, encrypted or random. None if the file is not at hand, or the cause
    /// is known.
    pub entropy: Option<f64>,
}

/// Bytes at corresponding places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// In the first file.
    pub a: Run,
    /// In the second.
    pub b: Run,
}

/// Some bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Of the first, from 0.
    pub offset: usize,
    /// At most 32, in hex.
    pub hex: String,
}

/// An excerpt of what differs, where there is something to show: of contents that were held, and of what is `unexplained`
/// at least what kind of file it is.
pub(super) fn of(view: &View<'_>, unexplained: bool) -> Option<Excerpt> {
    if let Some((a, b)) = view.held {
        let text = !a.contains(&0) && !b.contains(&0);
        return Some(if text { texts(a, b) } else { bytes([a, b], unexplained) });
    }
    let change = view.change;
    let facts = |entry: &Entry| {
        entry.content.map(|_| Facts { kind: kind(&entry.peek), size: entry.size_bytes, entropy: None })
    };
    let (a, b) = (change.a.as_ref().and_then(facts), change.b.as_ref().and_then(facts));
    let differs = change.a.is_none() || change.b.is_none() || change.has("content");
    (unexplained && differs && (a.is_some() || b.is_some())).then_some(Excerpt::Bytes {
        a,
        b,
        windows: Vec::new(),
    })
}

/// Both texts between what they share at both ends, but for a little of that.
pub(super) fn texts(a: &[u8], b: &[u8]) -> Excerpt {
    let first = common(a.iter(), b.iter());
    let start = context_before(a, first).max(first.saturating_sub(ALIGNED_BYTES_MAX / 2));
    let (rest_a, rest_b) = (&a[start..], &b[start..]);
    let shared = common(rest_a.iter().rev(), rest_b.iter().rev());
    let part = |rest: &[u8]| context_after(rest, rest.len() - shared);
    let (lines_a, cut_a) = cut_lines(&rest_a[..part(rest_a)]);
    let (lines_b, cut_b) = cut_lines(&rest_b[..part(rest_b)]);
    let before = a[..start].find_iter("\n").count();
    let mut operations = capture_diff_slices(Algorithm::Myers, &lines_a, &lines_b);
    if (cut_a || cut_b) && operations.len() > 1 {
        // Where the parts end is chance, and so is whether they end alike.
        operations.pop_if(|last| !matches!(last, DiffOp::Equal { .. }));
    }
    let groups = group_diff_ops(operations, CONTEXT_ROWS);
    let mut more = cut_a || cut_b || groups.len() > HUNKS_MAX;
    let mut hunks = Vec::new();
    for group in groups.iter().take(HUNKS_MAX) {
        let mut rows: Vec<Row> = group
            .iter()
            .flat_map(|operation| rows(operation, &lines_a, &lines_b, before))
            .take(ROWS_MAX + 1)
            .collect();
        more |= rows.len() > ROWS_MAX;
        rows.truncate(ROWS_MAX);
        hunks.push(Hunk { rows });
    }
    Excerpt::Text { hunks, more }
}

fn common<T: PartialEq>(a: impl Iterator<Item = T>, b: impl Iterator<Item = T>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

/// Where the line of byte `at` begins, and some lines before it.
fn context_before(text: &[u8], at: usize) -> usize {
    let ends = text[..at].rfind_iter("\n");
    ends.take(CONTEXT_ROWS + 1).nth(CONTEXT_ROWS).map_or(0, |end| end + 1)
}

/// Where the line of byte `at` ends, and some lines after it.
fn context_after(text: &[u8], at: usize) -> usize {
    let ends = text[at..].find_iter("\n");
    ends.take(CONTEXT_ROWS + 1).last().map_or(text.len(), |end| at + end + 1)
}

/// Its first lines, and whether there are more.
fn cut_lines(text: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut left = ALIGNED_BYTES_MAX;
    let fits = |line: &&[u8]| {
        let fits = line.len() <= left;
        left = left.saturating_sub(line.len());
        fits
    };
    let mut lines: Vec<_> = text.lines_with_terminator().take(ALIGNED_LINES_MAX).take_while(fits).collect();
    if lines.is_empty() {
        lines.extend(text.get(..ALIGNED_BYTES_MAX)); // One line that is longer.
    }
    let cut = lines.iter().map(|line| line.len()).sum::<usize>() < text.len();
    (lines, cut)
}

/// The rows of one operation; `before` is how many lines stand before those given.
fn rows<'a>(
    operation: &DiffOp,
    a: &'a [&'a [u8]],
    b: &'a [&'a [u8]],
    before: usize,
) -> impl Iterator<Item = Row> + 'a {
    let (old, new) = (operation.old_range(), operation.new_range());
    let equal = matches!(operation, DiffOp::Equal { .. });
    let text =
        |line: Option<&&[u8]>| line.map(|line| line.trim_end_with(|c| c == '\n').to_str_lossy().into_owned());
    (0..old.len().max(new.len())).map(move |index| {
        let (at_a, at_b) = (old.start + index, new.start + index);
        let one = text(a.get(at_a).filter(|_| old.contains(&at_a)));
        let other = text(b.get(at_b).filter(|_| new.contains(&at_b)));
        let first = one.iter().zip(&other).map(|(one, other)| common(one.chars(), other.chars()));
        let first = if equal { 0 } else { first.max().unwrap_or(0) };
        let line = |text: Option<String>, at: usize| {
            text.map(|text| Line { number: before + at + 1, text: shorten(&text, first) })
        };
        Row { a: line(one, at_a), b: line(other, at_b), equal }
    })
}

fn bytes([a, b]: [&[u8]; 2], unexplained: bool) -> Excerpt {
    let facts = |bytes: &[u8]| Facts {
        kind: kind(bytes),
        size: bytes.len() as u64,
        entropy: unexplained.then(|| entropy(bytes)),
    };
    let first = common(a.iter(), b.iter());
    let start = first - first % DUMP_BYTES;
    let shared = common(a[first..].iter().rev(), b[first..].iter().rev());
    let (end_a, end_b) = (a.len() - shared, b.len() - shared);
    let mut windows = vec![window((a, start), (b, start))];
    if end_a.max(end_b) > start + WINDOW_BYTES {
        // The last bytes that differ, and as many after them.
        let aligned = if end_a == end_b { (end_a - 1) % DUMP_BYTES } else { DUMP_BYTES - 1 };
        let place = |end: usize| end.saturating_sub(aligned + 1).max(start);
        windows.push(window((a, place(end_a)), (b, place(end_b))));
    }
    Excerpt::Bytes { a: Some(facts(a)), b: Some(facts(b)), windows }
}

fn window((a, at_a): (&[u8], usize), (b, at_b): (&[u8], usize)) -> Window {
    let run = |bytes: &[u8], offset: usize| {
        let hex = bytes.iter().skip(offset).take(WINDOW_BYTES).fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}"); // Writing to a String cannot fail.
            out
        });
        Run { offset, hex }
    };
    Window { a: run(a, at_a), b: run(b, at_b) }
}

/// Shannon's, of single bytes, to one decimal.
#[expect(clippy::cast_precision_loss, reason = "files are smaller than 2^52 bytes")]
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u64; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let all = bytes.len().max(1) as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| *count as f64 / all)
        .map(|p| -p * p.log2())
        .sum();
    (bits * 10.0).round().abs() / 10.0
}

/// What a file is, by how it begins.
fn kind(head: &[u8]) -> &'static str {
    const MAGIC: &[(&[u8], &str)] = &[
        (b"\x7fELF", "ELF"),
        (b"#!", "script"),
        (b"\x1f\x8b", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"!<arch>\n", "ar archive"),
        (b"SQLite format 3\0", "SQLite database"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"%PDF-", "PDF"),
        (b"\xca\xfe\xba\xbe", "Java class"),
        (b"\xfe\xed\xfe\xed", "Java keystore"),
        (b"\0asm", "WebAssembly"),
        (b"DIRC", "git index"),
        (b"-----BEGIN ", "PEM"),
        (b"070701", "cpio archive"),
    ];
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return name;
    }
    if head.get(257..262) == Some(b"ustar") {
        return "tar archive";
    }
    if head.get(2..4) == Some(b"\r\n") && head.get(1).is_some_and(|byte| matches!(byte, 0x0c..=0x0f)) {
        return "compiled Python";
    }
    match head {
        [] => "empty",
        head if head.contains(&0) => "data",
        _ => "text",
    }
}

#[cfg(test)]
#[path = "excerpt_tests.rs"]
mod tests;
