//! Mount points that the engine made.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};

use crate::layer::{Entry, Kind, order};

/// Where the engine puts secrets that name no target.
pub(super) fn of_secret(path: &BString) -> bool {
    path.strip_prefix(b"run/secrets").is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether the engine may have made it to mount something there.
pub(super) fn is_empty(entry: &Entry) -> bool {
    match entry.kind {
        Kind::File => entry.size_bytes == 0,
        kind => kind == Kind::Directory,
    }
}

/// Empty files and directories that the engine may have made: ordinal, and whether something lies in it that stays.
#[derive(Default)]
pub(super) struct MountPoints(BTreeMap<BString, (usize, bool)>);

impl MountPoints {
    /// Notes what may be one.
    pub(super) fn note(&mut self, path: BString, ordinal: usize) {
        self.0.insert(path, (ordinal, false));
    }

    /// Notes that something stays at `path`.
    pub(super) fn note_inside(&mut self, path: &BString) {
        if self.0.is_empty() {
            return;
        }
        for above in path.find_iter("/").map(|slash| path[..slash].as_bstr()) {
            if let Some((_, full)) = self.0.get_mut(above) {
                *full = true;
            }
        }
    }

    /// Those that go; the deepest are judged first, so that what held only mount points is empty too.
    pub(super) fn empty(mut self) -> Vec<usize> {
        let mut paths: Vec<BString> = self.0.keys().cloned().collect();
        paths.sort_by(|a, b| order::compare(b, a));
        for path in &paths {
            if self.0.get(path).is_some_and(|(_, full)| *full) {
                self.note_inside(path);
            }
        }
        self.0.into_values().filter(|(_, full)| !full).map(|(ordinal, _)| ordinal).collect()
    }
}
