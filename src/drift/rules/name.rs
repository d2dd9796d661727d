//! Names drawn at random.

use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{diff::Change, drift::view::View, model::path::printable};

/// Names of one form that are looked at, for one that is the same file.
const PARTNERS_MAX: usize = 1000;

/// The other image has the same under another random name.
pub(super) fn random_name(view: &View<'_>) -> Option<Finding> {
    let entry = view.change.entry()?;
    let same = |partner: &&&Change| {
        partner.entry().is_some_and(|other| {
            entry.kind == other.kind
                && entry.mode == other.mode
                && entry.content == other.content
                && entry.link == other.link
                && entry.xattrs == other.xattrs
        })
    };
    let partner = view.partners()?.iter().take(PARTNERS_MAX).find(same)?;
    let shown = format!("the other image has {}", printable(&partner.path.to_str_lossy()));
    Some(Finding::likely(Cause::RandomName).shown(shown))
}
