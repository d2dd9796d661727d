//! What Python installs: compiled files and lists of hashes.

use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{drift::view::View, model::path::encode};

/// A timestamp `.pyc` (PEP 552) that differs only in the time of its source.
pub(super) fn pyc_timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let timestamp = |bytes: &[u8]| bytes.len() >= 16 && bytes[2..4] == *b"\r\n" && bytes[4..8] == [0; 4];
    let same = timestamp(a) && timestamp(b) && a[..8] == b[..8] && a[12..] == b[12..];
    let time = |bytes: &[u8]| u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    same.then(|| {
        let shown = format!("source time {} → {}", time(a), time(b));
        Finding::certain(Cause::PycTimestamp).shown(shown)
    })
}

/// `RECORD` (PEP 376): every line that differs lists a file that drifted.
pub(super) fn record(view: &View<'_>) -> Option<Finding> {
    let site = view.path().strip_suffix(b"/RECORD")?;
    let (site, directory) = site.rsplit_once_str("/").unwrap_or((&b""[..], site));
    let (a, b) = directory.ends_with(b".dist-info").then(|| view.texts())??;
    let mut drifted = None;
    let (lines_a, lines_b): (Vec<_>, Vec<_>) = (a.lines().collect(), b.lines().collect());
    if lines_a.len() != lines_b.len() {
        return None;
    }
    for (one, other) in lines_a.into_iter().zip(lines_b).filter(|(one, other)| one != other) {
        let (one, other) = (listed(one)?, listed(other)?);
        let path = resolve(site, one)?;
        if one != other || !view.siblings.paths.contains(path.as_bstr()) {
            return None;
        }
        drifted.get_or_insert(path);
    }
    Some(Finding { consequence_of: Some(encode(&drifted?).0), ..Finding::certain(Cause::RecordConsequence) })
}

/// The path of `path,sha256=…,size`.
fn listed(line: &[u8]) -> Option<&[u8]> {
    let (rest, _) = line.rsplit_once_str(",")?;
    rest.rsplit_once_str(",").map(|(path, _)| path)
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
