//! What git keeps in `.git`.

use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{
    diff::ChangeKind,
    drift::{clock, token, view::View},
    layer::Kind,
};

/// The index's copies of files' status; reflogs, references and objects that follow from a commit at another time.
pub(super) fn metadata(view: &View<'_>) -> Option<Finding> {
    const DIRECTORY: &[u8] = b".git/";
    let path = view.path();
    let at = path.find(DIRECTORY).filter(|at| *at == 0 || path[at - 1] == b'/')?;
    let below = &path[at + DIRECTORY.len()..];
    let known = if below == b"index" || (below.starts_with(b"modules/") && below.ends_with(b"/index")) {
        let (a, b, _) = view.heads()?;
        a.starts_with(b"DIRC") && b.starts_with(b"DIRC")
    } else if below.starts_with(b"objects/") {
        is_object(view, &below[8..])
    } else {
        let (a, b) = view.texts()?;
        let (a, b) = clock::mask_both(a, b, view.context)?;
        token::differing_ids(&a, &b)
    };
    known.then(|| Finding::likely(Cause::GitMetadata))
}

/// An object, a pack or a directory of objects that one image has alone, under a name of hex digits.
fn is_object(view: &View<'_>, below: &[u8]) -> bool {
    let only = matches!(view.change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
    let plain = view.change.entry().is_some_and(|entry| matches!(entry.kind, Kind::File | Kind::Directory));
    let name = below.strip_prefix(b"pack/pack-").and_then(|name| name.split_once_str("."));
    let name = name.map_or_else(|| below.replace("/", ""), |(name, _)| name.to_vec());
    let hex = matches!(name.len(), 2 | 40 | 64) && name.iter().all(u8::is_ascii_hexdigit);
    only && plain && hex
}
