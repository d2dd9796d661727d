//! Files that differ because their package is of another version, and lists of what repositories have.

use super::{Cause, Finding};
use crate::{
    diff::ChangeKind,
    drift::view::View,
    layer::{Kind, matches},
    model::path::encode,
};

/// Packages named in the evidence.
const SHOWN_MAX: usize = 3;

/// The file that says which packages there are, if these are all that moved; and what is of such a package, by what it says
/// itself of its files.
pub(super) fn version(view: &View<'_>) -> Option<Finding> {
    let packages = &view.siblings.packages;
    // Packages say nothing of modes and attributes.
    let only = matches!(view.change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
    let kind = view.change.entry()?.kind;
    let plain = view.content_alone() || (only && matches!(kind, Kind::File | Kind::Directory | Kind::Symlink));
    if !plain {
        return None;
    }
    if let Some(moved) = packages.all(view.path()) {
        let shown: Vec<_> = moved.iter().take(SHOWN_MAX).map(|moved| moved.shown()).collect();
        let more = moved.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return Some(Finding::likely(Cause::PackageVersion).shown(shown.join(", ") + &more));
    }
    let moved = packages.owner(view.path())?;
    let consequence_of = view.siblings.change(&moved.record).map(|change| encode(&change.path).0);
    Some(Finding { consequence_of, ..Finding::likely(Cause::PackageVersion) }.shown(moved.shown()))
}

/// What `apt-get update` leaves.
pub(super) fn lists(view: &View<'_>) -> Option<Finding> {
    let plain = view.change.entry().is_some_and(|entry| entry.kind == Kind::File) && !view.change.has("type");
    let known = matches(b"var/lib/apt/lists/**", view.path()) && !view.change.has("mode");
    (plain && known).then(|| Finding::likely(Cause::PackageLists))
}
