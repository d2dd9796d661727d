//! What git keeps in `.git`.

use std::io::Read as _;

use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{
    diff::ChangeKind,
    drift::{clock, token, view::View},
    layer::{Entry, Kind},
};

/// The index's copies of files' status; reflogs, references and objects that follow from a commit at another time.
pub(super) fn metadata(view: &View<'_>) -> Option<Finding> {
    const DIRECTORY: &[u8] = b".git/";
    let path = view.path();
    let at = path.find(DIRECTORY).filter(|at| *at == 0 || path[at - 1] == b'/')?;
    let below = &path[at + DIRECTORY.len()..];
    let known = if below == b"index" || (below.starts_with(b"modules/") && below.ends_with(b"/index")) {
        let (a, b) = view.contents()?;
        return (without_status(a)? == without_status(b)?).then(|| Finding::certain(Cause::GitMetadata));
    } else if below.starts_with(b"objects/info/") && below != b"objects/info/packs" {
        // A graph of commits, or an index of several packs: nothing but ids and what follows from them.
        let (a, b, _) = view.heads()?;
        [&b"CGPH"[..], b"MIDX"].iter().any(|magic| a.starts_with(magic) && b.starts_with(magic))
    } else if below.starts_with(b"objects/") && below != b"objects/info/packs" {
        is_object(view, &below[8..])
    } else {
        let (a, b) = view.texts()?;
        let (a, b) = clock::mask_both(a, b, view.context)?;
        token::differing_ids(&a, &b)
    };
    known.then(|| Finding::likely(Cause::GitMetadata))
}

/// An index (gitformat-index, versions 2 to 4, SHA-1) without what it copies of files' status: times, device, inode,
/// owner; and without the checksum at its end, which follows from that.
fn without_status(index: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const SUM: usize = 20;
    /// Times, device and inode; then the mode; then user and group.
    const STATUS: [std::ops::Range<usize>; 2] = [0..24, 28..36];
    const FLAGS: usize = 60;
    const PATH: usize = 62;
    const EXTENDED: u8 = 0x40;
    let number = |at: usize| Some(u32::from_be_bytes(index.get(at..at + 4)?.try_into().ok()?));
    let version = number(4).filter(|version| index.starts_with(b"DIRC") && (2..=4).contains(version))?;
    let mut masked = index.get(..index.len().checked_sub(SUM)?)?.to_vec();
    let mut at = HEADER;
    for _ in 0..number(8)? {
        let entry = masked.get_mut(at..)?;
        let extended = entry.get(FLAGS)? & EXTENDED != 0;
        for range in STATUS {
            entry.get_mut(range)?.fill(0);
        }
        let mut path = PATH + if extended { 2 } else { 0 };
        if version == 4 {
            path += entry.get(path..)?.iter().position(|byte| byte & 0x80 == 0)? + 1; // The length of a prefix.
        }
        let mut end = path + entry.get(path..)?.find_byte(0)?;
        if version < 4 {
            end |= 7; // Padded with NULs, one at least, to a multiple of eight.
        }
        at += end + 1;
    }
    (at <= masked.len()).then_some(masked)
}

/// An object, a pack or a directory of objects that one image has alone, under a name of hex digits.
fn is_object(view: &View<'_>, below: &[u8]) -> bool {
    let only = matches!(view.change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
    let plain = view.change.entry().is_some_and(|entry| matches!(entry.kind, Kind::File | Kind::Directory));
    let name = below.strip_prefix(b"pack/pack-").and_then(|name| name.split_once_str("."));
    let name = name.map_or_else(|| below.replace("/", ""), |(name, _)| name.to_vec());
    let hex = matches!(name.len(), 2 | 40 | 64) && name.iter().all(u8::is_ascii_hexdigit);
    only && plain && hex && view.change.entry().is_some_and(holds_object)
}

/// Whether a file begins as what git puts under such a name: a commit or a tag, which have times; a pack, its indexes; or a
/// tree, a file, whose ids follow from what is in them. A tag's own bytes are too many to be seen here.
fn holds_object(entry: &Entry) -> bool {
    const PACKED: [&[u8]; 5] = [b"PACK", b"\xfftOc", b"RIDX", b"BITM", b"MTME"];
    let mut begun = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(&entry.peek[..]);
    // It is cut off: whatever comes out before is what it begins with.
    let _ = decoder.by_ref().take(16).read_to_end(&mut begun);
    let kinds = [&b"commit "[..], b"tag ", b"tree ", b"blob "];
    entry.kind == Kind::Directory
        || PACKED.iter().any(|magic| entry.peek.starts_with(magic))
        || kinds.iter().any(|kind| begun.starts_with(kind))
}
