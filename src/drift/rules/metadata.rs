//! Header fields alone.

use super::{Cause, Finding, is_free_record, only_fields};
use crate::{
    diff::{Change, ChangeKind},
    drift::view::View,
    layer::{Entry, Kind},
};

/// Only the file-type bits of the mode field.
pub(super) fn mode_type_bits(view: &View<'_>) -> Option<Finding> {
    only_fields(view, |name| name == "mode-type").then(|| Finding::certain(Cause::ModeTypeBits))
}

/// Whether the file-type bits of a mode field are another type's than the entry's own: no builder writes that.
pub(in crate::drift) fn lies(change: &Change) -> bool {
    let lies = |entry: &Entry| {
        let own = match entry.kind {
            Kind::File | Kind::Hardlink => 0o100_000,
            Kind::Directory => 0o040_000,
            Kind::Symlink => 0o120_000,
            Kind::Char => 0o020_000,
            Kind::Block => 0o060_000,
            Kind::Fifo => 0o010_000,
        };
        // A hard link may have the bits of what it leads to.
        entry.raw_mode_type != 0 && entry.raw_mode_type != own && entry.kind != Kind::Hardlink
    };
    change.has("mode-type") && [&change.a, &change.b].into_iter().flatten().any(lies)
}

/// Only permissions (and times) of what came from the build context.
pub(super) fn context_mode(view: &View<'_>) -> Option<Finding> {
    let modes = only_fields(view, |name| matches!(name, "mode" | "mtime" | "mode-type"));
    (modes && view.change.has("mode") && from_context(view)).then(|| Finding::likely(Cause::ContextMode))
}

/// Only times; certain if both may be the builds'.
pub(super) fn mtime(view: &View<'_>) -> Option<Finding> {
    if view.change.kind != ChangeKind::Metadata
        || !only_fields(view, |name| {
            matches!(name, "mtime" | "mode-type" | "uname" | "gname") || is_free_record(name)
        })
    {
        return None;
    }
    let (a, b) = (view.change.a.as_ref()?, view.change.b.as_ref()?);
    if a.mtime_s == b.mtime_s {
        return None;
    }
    let built =
        view.context.touches(0, (a.mtime_s, a.mtime_s)) && view.context.touches(1, (b.mtime_s, b.mtime_s));
    Some(match (from_context(view), built) {
        (true, _) => Finding::certain(Cause::ContextMtime),
        (false, true) => Finding::certain(Cause::Mtime),
        (false, false) => Finding::likely(Cause::Mtime),
    })
}

/// Only PAX times and fractions of seconds.
pub(super) fn pax_time(view: &View<'_>) -> Option<Finding> {
    let times = |name: &str| matches!(name, "mtime" | "pax:atime" | "pax:ctime" | "mode-type");
    only_fields(view, times).then(|| Finding::certain(Cause::PaxTime))
}

/// Only what no file system keeps: owners' names and free PAX records.
pub(super) fn header_names(view: &View<'_>) -> Option<Finding> {
    let unkept = |name: &str| matches!(name, "uname" | "gname" | "mode-type") || is_free_record(name);
    only_fields(view, unkept).then(|| Finding::certain(Cause::LayerShape))
}

fn from_context(view: &View<'_>) -> bool {
    let text = view.context.instruction(view.change.layer).map(|instruction| instruction.text.as_str());
    let word = text.and_then(|text| text.split_ascii_whitespace().next()).unwrap_or_default();
    word.eq_ignore_ascii_case("COPY") || word.eq_ignore_ascii_case("ADD")
}
