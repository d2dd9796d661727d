//! Rungs of the ladder.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a rebuilt image stands to its original (DESIGN.md, "Comparing and explaining").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The same manifest digest.
    Reproduced,
    /// Equal diffIDs and config but for layer digests.
    CompressionOnly,
    /// Equal once the builder's own marks are removed.
    BuilderNormalised,
    /// Other layers, the same merged file system.
    SameFilesystem,
    /// It drifts, and every drift has a named cause.
    Explained,
    /// It drifts, and at least one drift has no known cause.
    Unexplained,
    /// The engine, runtime or writer is not the recorded one.
    BuilderChanged,
    /// The build failed.
    Unbuildable,
    /// A recorded input is gone or altered.
    InputsMissing,
    /// No provenance that can be believed.
    Unverifiable,
}

impl Verdict {
    /// Every verdict, best first.
    pub const ALL: [Self; 10] = [
        Self::Reproduced,
        Self::CompressionOnly,
        Self::BuilderNormalised,
        Self::SameFilesystem,
        Self::Explained,
        Self::Unexplained,
        Self::BuilderChanged,
        Self::Unbuildable,
        Self::InputsMissing,
        Self::Unverifiable,
    ];

    /// Its name in JSON, on the command line and in statements.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::CompressionOnly => "compression-only",
            Self::BuilderNormalised => "builder-normalised",
            Self::SameFilesystem => "same-filesystem",
            Self::Explained => "explained",
            Self::Unexplained => "unexplained",
            Self::BuilderChanged => "builder-changed",
            Self::Unbuildable => "unbuildable",
            Self::InputsMissing => "inputs-missing",
            Self::Unverifiable => "unverifiable",
        }
    }

    /// Whether it says "could not tell" rather than yes or no (exit 3).
    #[must_use]
    pub fn undecided(self) -> bool {
        matches!(self, Self::Unbuildable | Self::InputsMissing)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
