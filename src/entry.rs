//! What the ledger remembers: an entry says what was done to an image, when, by whom, with which outcome and on which evidence.
//! Entries follow each other in a chain: each row has the digest of the one before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Digest;

pub mod chain;
pub mod code;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The image was made; outcome `built`.
    Built,
    /// It was judged by a policy; outcome `passed`, `failed` or `unknown`.
    Verified,
    /// It was made again from what was recorded; the outcome is a verdict of CLI.md (`reproduced`, …, `unverifiable`). In
    /// ledgers of before schema 2 perhaps from the repositories of the day: its conditions tell.
    Rebuilt,
    /// It was made again from the repositories of the day; outcomes as of [`Kind::Rebuilt`].
    RebuiltLive,
    /// Its tests were run in it; outcome `passed` or `failed`.
    Tested,
    /// A tag was moved to it; outcome `promoted`, or `refused`.
    Promoted,
    /// A tag was moved back to it; outcome `promoted`, or `refused`.
    Undone,
    /// It was looked for and could not be judged; outcome `unreachable` (nobody could tell) or `gone` (the registry says it is not there).
    Missed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Built,
        Self::Verified,
        Self::Rebuilt,
        Self::RebuiltLive,
        Self::Tested,
        Self::Promoted,
        Self::Undone,
        Self::Missed,
    ];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Verified => "verified",
            Self::Rebuilt => "rebuilt",
            Self::RebuiltLive => "rebuilt-live",
            Self::Tested => "tested",
            Self::Promoted => "promoted",
            Self::Undone => "undone",
            Self::Missed => "missed",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the image was made again, from whatever.
    #[must_use]
    pub fn is_rebuild(self) -> bool {
        matches!(self, Self::Rebuilt | Self::RebuiltLive)
    }
}

/// A finding that a waiver took away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waived {
    /// Its code.
    pub code: String,
    /// Who answers for the waiver.
    pub owner: String,
    /// Until when, RFC 3339.
    pub until: String,
}

/// One entry. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When it was finished: the statement's own time where there is one.
    pub at_s: i64,
    /// What was done.
    pub kind: Kind,
    /// The repository, `HOST/NAME`, or a layout.
    pub repository: String,
    /// The tag by which it was asked for; with `promoted`, the one that was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The image's manifest; none where it was not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What came of it; see [`Kind`].
    pub outcome: String,
    /// The manifest of the attestation that says so; none where nothing was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Digest>,
    /// Who did it: the id of the builder, verifier or rebuilder, as its statement has it.
    pub by: String,
    /// Of which tool, with its version: `reprov 0.1.0`.
    pub tool: String,
    /// The key that signed, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Policy by which it was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
    /// All that decides whether it must be done again (policy, trust, buildroot, tool, what was asked), as one digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Digest>,
    /// The inventory's group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Codes of findings that count, or of causes of drift, and how many of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub codes: BTreeMap<String, u64>,
    /// What was waived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<Waived>,
    /// With `promoted`: where it came from, `HOST/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// With `promoted` and `undone`: what the tag named before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Where a report of it lies: a path or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Why nobody could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An entry at its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Counted from 1, without a gap.
    pub number: u64,
    /// Digest of the row before it; of no bytes for the first.
    pub previous: Digest,
    /// Its own; see [`Row::digest_of`].
    pub digest: Digest,
    /// The entry.
    pub entry: Entry,
}

impl Entry {
    /// What of it the signed attestations say, so what can be read again when the ledger is lost; none if nothing was
    /// signed. Gone are group, owner, conditions, the report's place, and which findings counted, of which a summary
    /// says nothing. A tag is kept only where the statement names one.
    #[must_use]
    pub fn attested(&self) -> Option<Self> {
        self.evidence?;
        let tagged = matches!(self.kind, Kind::Verified | Kind::Promoted | Kind::Undone);
        let coded = self.kind.is_rebuild() || self.kind == Kind::Tested;
        Some(Self {
            tag: self.tag.clone().filter(|_| tagged),
            conditions: None,
            group: None,
            owner: None,
            codes: if coded { self.codes.clone() } else { BTreeMap::new() },
            waived: if tagged && self.kind != Kind::Verified { self.waived.clone() } else { Vec::new() },
            took_ms: None,
            report: None,
            error: None,
            ..self.clone()
        })
    }

    /// By what a promotion is known, so that of one statement there is one entry.
    #[must_use]
    pub fn promotion_name(evidence: &Digest) -> String {
        format!("promotion {evidence}")
    }

    /// The bytes that are kept and chained.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // Strings, numbers and maps of both: nothing that JSON lacks.
    }
}

impl Row {
    /// The digest that the next row names: of number, previous digest and the entry's bytes as they are stored.
    #[must_use]
    pub fn digest_of(number: u64, previous: &Digest, entry: &[u8]) -> Digest {
        let mut bytes = format!("{number}\n{previous}\n").into_bytes();
        bytes.extend_from_slice(entry);
        Digest::of(&bytes)
    }
}
