//! Names drawn at random.

use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{drift::view::View, model::path::printable};

/// The other image has the same under another random name.
pub(super) fn random_name(view: &View<'_>) -> Option<Finding> {
    let entry = view.change.entry()?;
    let partner = view.partner()?;
    let other = partner.entry()?;
    let same = entry.kind == other.kind
        && entry.mode == other.mode
        && entry.content == other.content
        && entry.link == other.link
        && entry.xattrs == other.xattrs;
    let shown = format!("the other image has {}", printable(&partner.path.to_str_lossy()));
    same.then(|| Finding::likely(Cause::RandomName).shown(shown))
}
