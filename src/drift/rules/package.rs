//! Files that differ because their package is of another version, and lists of what repositories have.

use super::{Cause, Finding};
use crate::{
    diff::ChangeKind,
    drift::{
        packages::{Moved, STATUS},
        view::View,
    },
    layer::{Kind, matches},
    model::path::printable,
};

/// Packages named in the evidence.
const SHOWN_MAX: usize = 3;

/// dpkg's status file itself, if versions are all that moved; and what is of such a package, by its own checksums.
pub(super) fn version(view: &View<'_>) -> Option<Finding> {
    let packages = &view.siblings.packages;
    if view.path() == STATUS && view.content_alone() {
        let moved = packages.all()?;
        let shown: Vec<_> = moved.iter().take(SHOWN_MAX).map(Moved::shown).collect();
        let more = moved.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown = format!("{}{more}", printable(&shown.join(", ")));
        return Some(Finding::likely(Cause::PackageVersion).shown(shown));
    }
    let moved = packages.owner(view.path())?;
    // Checksums say nothing of modes and attributes.
    let only = matches!(view.change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
    let plain =
        view.content_alone() || (only && view.change.entry().is_some_and(|entry| entry.kind == Kind::File));
    let consequence_of = view.siblings.content(STATUS).map(|_| printable(&String::from_utf8_lossy(STATUS)));
    let finding = Finding { consequence_of, ..Finding::likely(Cause::PackageVersion) };
    plain.then(|| finding.shown(printable(&moved.shown())))
}

/// What `apt-get update` leaves.
pub(super) fn lists(view: &View<'_>) -> Option<Finding> {
    let plain = view.change.entry().is_some_and(|entry| entry.kind == Kind::File) && !view.change.has("type");
    let known = matches(b"var/lib/apt/lists/**", view.path()) && !view.change.has("mode");
    (plain && known).then(|| Finding::likely(Cause::PackageLists))
}
