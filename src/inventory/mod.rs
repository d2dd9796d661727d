//! The inventory: which images are audited, how, how often, and who answers for them (docs/inventory.md).
//!
//! Pure: [`Inventory::parse`] reads the file itself; what it names, lists of references and of pods, is read by whoever
//! audits and handed to [`references`] and [`pods`].

mod error;
mod file;
mod glob;
mod list;
pub mod notify;
mod pods;
mod span;
mod tables;
#[cfg(test)]
mod tests;

pub use error::InventoryError;
pub use glob::Glob;
pub use list::references;
pub use pods::{Pods, pods};
pub use span::{Span, SpanError};

use crate::model::{Digest, ImageName, Variations, Verdict};

/// An inventory that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// Of its text.
    pub digest: Digest,
    /// In the order of the file.
    pub groups: Vec<Group>,
    /// Who is told, one table each; what stands in them is read by `notify`.
    pub notify: Vec<toml::Table>,
}

/// Images that are treated alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it is called; no other group is.
    pub name: String,
    /// Images by tag or digest.
    pub images: Vec<ImageName>,
    /// Repositories whose tags are listed when the audit begins.
    pub repositories: Vec<ImageName>,
    /// Which tags of those repositories; never empty if there are any.
    pub tags: Vec<Glob>,
    /// Files with one reference a line, named from the inventory's directory.
    pub files: Vec<String>,
    /// Answers of `kubectl get pods -A -o json`, likewise.
    pub pods: Vec<String>,
    /// Who is told.
    pub owner: Option<String>,
    /// Files of the keys that are believed, named from the inventory's directory.
    pub trust: Vec<String>,
    /// Policy: a file named from the inventory's directory, or one that is built in.
    pub policy: Option<String>,
    /// Whether its images are verified.
    pub verify: bool,
    /// Whether they are rebuilt, and from what.
    pub rebuild: Rebuild,
    /// What a replay does otherwise on purpose.
    pub vary: Variations,
    /// What they are rebuilt with: `IMAGE@DIGEST` or `host`; none: as it was recorded.
    pub buildroot: Option<String>,
    /// Which manifest of an index is rebuilt.
    pub platform: String,
    /// How long a judgement holds.
    pub every: Span,
    /// Higher goes first.
    pub priority: i64,
    /// How long one step of one image may take.
    pub timeout: Span,
    /// Verdicts of a rebuild that are taken for a yes, beside `reproduced`.
    pub accept: Vec<Verdict>,
}

/// From what images are rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rebuild {
    /// They are not.
    No,
    /// From what was recorded.
    Replay,
    /// From the repositories of today.
    Live,
    /// From both, one after the other.
    Both,
}

impl Rebuild {
    /// As inventories write it.
    pub const NAMES: [(&'static str, Self); 4] =
        [("none", Self::No), ("replay", Self::Replay), ("live", Self::Live), ("both", Self::Both)];

    /// Whether what was recorded is replayed.
    #[must_use]
    pub fn replays(self) -> bool {
        matches!(self, Self::Replay | Self::Both)
    }

    /// Whether the repositories of today are asked.
    #[must_use]
    pub fn lives(self) -> bool {
        matches!(self, Self::Live | Self::Both)
    }
}
