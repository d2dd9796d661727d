//! Marks of the builder: mount points and forms of deletion.

use bstr::{BString, ByteSlice as _};

use super::{Cause, Finding};
use crate::{diff::ChangeKind, drift::view::View, layer::Kind};

const MOUNT_POINTS: [&[u8]; 10] = [
    b"etc/hosts",
    b"etc/resolv.conf",
    b"etc/hostname",
    b"etc/mtab",
    b"run",
    b"run/secrets",
    b"proc",
    b"sys",
    b"dev",
    b".dockerenv",
];

/// An empty file or directory in one image only, where builders mount things.
pub(super) fn mount_point(view: &View<'_>) -> Option<Finding> {
    let only = matches!(view.change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
    let entry = view.change.entry()?;
    let empty = match entry.kind {
        Kind::File => entry.size_bytes == 0,
        kind => kind == Kind::Directory,
    };
    (only && empty && MOUNT_POINTS.contains(&view.path())).then(|| Finding::certain(Cause::BuilderMountPoint))
}

/// A deletion said by an opaque mark in one image and by single ones in the other, or one whose header holds
/// a stale link name.
pub(super) fn whiteout_form(view: &View<'_>) -> Option<Finding> {
    const OPAQUE: &[u8] = b".wh..wh..opq";
    let entry = view.change.entry().filter(|entry| entry.is_whiteout())?;
    if view.change.kind == ChangeKind::Metadata {
        return view.change.has("link").then(|| Finding::certain(Cause::WhiteoutForm));
    }
    let directory = &entry.path[..entry.path.len() - entry.name().len()];
    let marks = BString::from([directory, b".wh."].concat());
    let opaque = BString::from([directory, OPAQUE].concat());
    let paths = &view.siblings.paths;
    let other_form = || {
        if entry.name() != OPAQUE {
            return paths.get(opaque.as_bstr());
        }
        let of_directory = paths.range(marks.as_bstr()..).take_while(|path| path.starts_with(&marks));
        of_directory.into_iter().find(|path| **path != opaque)
    };
    // Whether both delete the same is asked of the layers below.
    let other_result = view.change.has("deletes");
    let only = matches!(view.change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB) && !other_result;
    let partner = only.then(other_form).flatten()?;
    Some(
        Finding::likely(Cause::WhiteoutForm).shown(format!("the other image has {}", partner.to_str_lossy())),
    )
}
