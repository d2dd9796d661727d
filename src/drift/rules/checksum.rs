//! Files of checksums: what differs in them is the checksum of a file that drifted.

use bstr::{BString, ByteSlice as _};

use super::{Cause, Finding, python::resolve};
use crate::{
    diff::Change,
    drift::view::{View, lines},
    model::path::encode,
};

/// Every line that differs holds the checksum of a file that differs, named on the line, or by the file's own name. A
/// SHA-256 is held against the file; the others go by name.
pub(super) fn checksums(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.texts()?;
    let (lines_a, lines_b): (Vec<_>, Vec<_>) = (lines(a).collect(), lines(b).collect());
    if lines_a.len() != lines_b.len() {
        return None;
    }
    let (mut first, mut proven) = (None, true);
    for (one, other) in lines_a.into_iter().zip(lines_b).filter(|(one, other)| one != other) {
        let (one, other) = (Line::of(one)?, Line::of(other)?);
        if one.name != other.name || one.sum.len() != other.sum.len() || one.around != other.around {
            return None;
        }
        let drifted = named(view, one.name)?;
        proven &= holds(&one, &other, drifted)?;
        first.get_or_insert(drifted);
    }
    let finding = if proven { Finding::certain } else { Finding::likely };
    Some(Finding { consequence_of: Some(encode(&first?.path).0), ..finding(Cause::RecordConsequence) })
}

/// Whether `view` is of a file that is named as files of checksums are.
pub(super) fn is_checksums(view: &View<'_>) -> bool {
    const WORDS: [&str; 5] = ["md5", "sha1", "sha2", "sha5", "checksum"];
    let name = view.name().to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains_str(word)) || name.ends_with(b"sums")
}

/// A checksum and what it is of; nothing is said of that where the file holds nothing else.
struct Line<'a> {
    sum: &'a [u8],
    name: &'a [u8],
    /// What stands before and after the sum.
    around: [&'a [u8]; 2],
}

impl<'a> Line<'a> {
    /// Reads `SUM  NAME`, `SUM *NAME`, `SHA256 (NAME) = SUM`, or `SUM`.
    fn of(whole: &'a [u8]) -> Option<Self> {
        let line = whole.trim_end();
        let line_of = |sum: &'a [u8], name, at: usize| {
            let around = [&whole[..at], &whole[at + sum.len()..]];
            is_sum(sum).then_some(Self { sum, name, around })
        };
        if let Some((start, sum)) = line.rsplit_once_str(") = ") {
            let (kind, name) = start.split_once_str(" (")?;
            let named = kind.iter().all(u8::is_ascii_alphanumeric);
            return line_of(sum, name, line.len() - sum.len()).filter(|_| named);
        }
        let (sum, name) = line.split_once_str(" ").unwrap_or((line, b""));
        let name = name.strip_prefix(b" ").or_else(|| name.strip_prefix(b"*")).unwrap_or(name);
        line_of(sum, name, 0)
    }
}

/// MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512
fn is_sum(text: &[u8]) -> bool {
    matches!(text.len(), 32 | 40 | 56 | 64 | 96 | 128) && text.iter().all(u8::is_ascii_hexdigit)
}

/// The change of the file `name`, seen from the directory of the checksums and from the directories above it. Without a
/// name: of `x` for `x.sha256`.
fn named<'a>(view: &View<'a>, name: &[u8]) -> Option<&'a Change> {
    let path = view.path();
    if name.is_empty() {
        let at = path.rfind_byte(b'.')?;
        return view.siblings.content(&path[..at]);
    }
    if let Some(absolute) = name.strip_prefix(b"/") {
        return view.siblings.content(absolute);
    }
    let mut directory = path;
    while let Some((above, _)) = directory.rsplit_once_str("/") {
        if let Some(found) = view.siblings.content(&resolve(above, name)?) {
            return Some(found);
        }
        directory = above;
    }
    view.siblings.content(name)
}

/// Whether both sums are proven to be those of the file; nothing if they are not.
fn holds(one: &Line<'_>, other: &Line<'_>, drifted: &Change) -> Option<bool> {
    if one.sum.len() != 64 {
        return Some(false);
    }
    let is = |line: &Line<'_>, entry: &Option<crate::layer::Entry>| {
        let digest = entry.as_ref()?.content?;
        Some(BString::from(digest.hex()) == line.sum.to_ascii_lowercase())
    };
    (is(one, &drifted.a)? && is(other, &drifted.b)?).then_some(true)
}
