//! What Python installs: compiled files and lists of hashes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{
    drift::{
        clock,
        marshal::{self, Sets},
        view::{View, lines},
    },
    layer::Entry,
    model::path::encode,
};

/// A timestamp `.pyc` (PEP 552) that differs only in the time of its source.
pub(super) fn pyc_timestamp(view: &View<'_>) -> Option<Finding> {
    let held = view.contents();
    let (a, b) = match held {
        Some(both) => both,
        // Of one that was not held, its beginning is known, and where it differs.
        None => view.heads().filter(|_| view.differs_only_in(8..12)).map(|(a, b, _)| (a, b))?,
    };
    let timestamp = |bytes: &[u8]| bytes.len() >= 16 && bytes[2..4] == *b"\r\n" && bytes[4..8] == [0; 4];
    let same = timestamp(a) && timestamp(b) && a[..8] == b[..8] && a[12..] == b[12..];
    same.then(|| {
        let stale = if stale(view, a, b) { "; its source's own time is another (pyc-stale)" } else { "" };
        let shown = format!("source time {} → {}{stale}", source_time(a), source_time(b));
        Finding::certain(Cause::PycTimestamp).shown(shown)
    })
}

/// Compiled files of which the same code comes out once references are followed; times in their headers may differ too.
pub(super) fn pyc_refs(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let ((head_a, body_a), (head_b, body_b)) = (a.split_at_checked(16)?, b.split_at_checked(16)?);
    let of_python = head_a[2..4] == *b"\r\n" && head_a[..8] == head_b[..8];
    // Whatever the first eight bytes say: the last four are the source's size, or half of its hash.
    let timestamp = head_a[4..8] == [0; 4];
    let same_head = head_a[12..] == head_b[12..] && (timestamp || head_a[8..12] == head_b[8..12]);
    if !of_python || !same_head || body_a == body_b {
        return None;
    }
    let magic = u16::from_le_bytes([a[0], a[1]]);
    let times = if head_a[8..12] == head_b[8..12] { "" } else { "; the source's time differs too" };
    if marshal::same(body_a, body_b, magic, Sets::Ordered) {
        let shown = format!("the same code, its constants referred to otherwise{times}");
        return Some(Finding::certain(Cause::PycRefs).shown(shown));
    }
    marshal::same(body_a, body_b, magic, Sets::Unordered).then(|| {
        let shown = format!("the same code, a set of constants in another order (PYTHONHASHSEED){times}");
        Finding::likely(Cause::RandomToken).shown(shown)
    })
}

fn source_time(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]])
}

/// Whether the source lies beside it, with another time than the one it holds.
fn stale(view: &View<'_>, a: &[u8], b: &[u8]) -> bool {
    let source = || {
        let (directory, name) = view.path().rsplit_once_str("/__pycache__/")?;
        let module = name.split_once_str(".")?.0;
        view.siblings.change(&[directory, b"/", module, b".py"].concat())
    };
    let of_another = |entry: &Option<Entry>, bytes: &[u8]| {
        entry.as_ref().is_some_and(|entry| entry.mtime_s != i64::from(source_time(bytes)))
    };
    source().is_some_and(|change| of_another(&change.a, a) || of_another(&change.b, b))
}

/// `RECORD` (PEP 376): every line that differs lists a file that drifted, with its size and SHA-256 in each image.
pub(super) fn record(view: &View<'_>) -> Option<Finding> {
    let site = view.path().strip_suffix(b"/RECORD")?;
    let (site, directory) = site.rsplit_once_str("/").unwrap_or((&b""[..], site));
    let (a, b) = directory.ends_with(b".dist-info").then(|| view.texts())??;
    let mut drifted = None;
    let (lines_a, lines_b): (Vec<_>, Vec<_>) = (lines(a).collect(), lines(b).collect());
    if lines_a.len() != lines_b.len() {
        return None;
    }
    for (one, other) in lines_a.into_iter().zip(lines_b).filter(|(one, other)| one != other) {
        let (one, other) = (Listed::of(one)?, Listed::of(other)?);
        let path = resolve(site, one.path)?;
        let change = view.siblings.content(&path)?;
        let true_lines = one.is(change.a.as_ref()?) && other.is(change.b.as_ref()?);
        if one.path != other.path || one.end != other.end || !true_lines {
            return None;
        }
        drifted.get_or_insert(path);
    }
    Some(Finding { consequence_of: Some(encode(&drifted?).0), ..Finding::certain(Cause::RecordConsequence) })
}

/// `uv_cache.json`: when the project's file was written from which uv installed.
pub(super) fn uv_origin(view: &View<'_>) -> Option<Finding> {
    const NANOSECONDS: &[u8] = b"\"nanos_since_epoch\":";
    let ours = view.name() == b"uv_cache.json" && view.path().contains_str(".dist-info/");
    let (a, b) = ours.then(|| view.texts())??;
    let without = |text: &[u8]| {
        let mut out = Vec::new();
        for (index, part) in text.split_str(NANOSECONDS).enumerate() {
            let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
            out.extend_from_slice(if index == 0 { part } else { &part[digits..] });
        }
        out
    };
    let (a, b) = clock::mask_both(&without(a), &without(b), view.context)?;
    (a == b).then(|| Finding::certain(Cause::ClockInText))
}

/// `path,sha256=…,size`
struct Listed<'a> {
    path: &'a [u8],
    sha256: &'a [u8],
    size: &'a [u8],
    end: &'a [u8],
}

impl<'a> Listed<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let (rest, size) = text.rsplit_once_str(",")?;
        let (path, hash) = rest.rsplit_once_str(",")?;
        Some(Self { path, sha256: hash.strip_prefix(b"sha256=")?, size, end: &line[text.len()..] })
    }

    /// Whether it says what `entry` is.
    fn is(&self, entry: &Entry) -> bool {
        let hash = entry.content.map(|digest| URL_SAFE_NO_PAD.encode(digest.bytes()));
        hash.is_some_and(|hash| hash.as_bytes() == self.sha256)
            && entry.size_bytes.to_string().as_bytes() == self.size
    }
}

/// `path` as seen from the directory `site`.
pub(super) fn resolve(site: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = site.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}
