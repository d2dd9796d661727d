//! `evidence.json`: what an archive of evidence holds, and what came of judging it.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::{
    Digest, json,
    limits::{DOSSIER_CONTENTS_SIZE_BYTES_MAX, DOSSIER_MEMBERS_MAX},
};

const SCHEMA: &str = "reprov.evidence-list/v1";

/// Everything but the members' bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// `reprov.evidence-list/v1`.
    pub schema: String,
    /// The image, by digest, where it was.
    pub image: String,
    /// Of its manifest.
    pub digest: Digest,
    /// Version of the program that made the archive.
    pub reprov: String,
    /// As of when it was judged, RFC 3339.
    pub as_of: String,
    /// The policy it was judged by; its text is `policy.toml`. None: none was.
    pub policy: Option<Policy>,
    /// The keys whose statements were believed, in the order of roots.
    pub keys: Vec<Key>,
    /// The identities whose statements were believed, by certificate: those of the policy's `[[trust]]`, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<Identity>,
    /// Whose certificates were believed; there if and only if there are identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root: Option<TrustedRoot>,
    /// The image and what it stands on, each with what came of judging it.
    pub judged: Vec<Judged>,
    /// What is not in the archive, and why.
    pub gaps: Vec<Gap>,
    /// Every other member.
    pub members: Vec<Member>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What it calls itself.
    pub name: String,
    /// Of its text.
    pub digest: Digest,
}

/// A key that was believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// SHA-256 of its SPKI.
    pub fingerprint: Digest,
    /// The member with its PEM.
    pub member: String,
    /// `flag`: it was given beside the policy, which says what it may say; `policy`: a `[[trust]]` of it names it.
    pub by: String,
}

/// An identity that was believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The subject alternative name, exact or with `*`.
    pub identity: String,
    /// Who vouched for it, exact.
    pub issuer: String,
}

/// Certificate authorities, logs and timestamp authorities that were believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedRoot {
    /// Of its text.
    pub digest: Digest,
    /// The member with its JSON.
    pub member: String,
}

/// An image, and what came of judging it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// `image`, `base` or `buildroot`.
    pub role: String,
    /// Where it was.
    pub name: String,
    /// Of its manifest.
    pub digest: Digest,
    /// `passed`, `failed` or `unknown`; the image by the policy, what it stands on by the signers alone.
    pub verdict: String,
    /// Its SLSA build level.
    pub level: u8,
    /// The level of SLSA's source track that a believed verifier vouches for; not written where nobody does.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub source_level: u8,
    /// Codes of what was found, sorted, with `waived:` before those that somebody puts up with.
    pub codes: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(level: &u8) -> bool {
    *level == 0
}

/// Something that is not in the archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// What.
    pub what: String,
    /// Of its bytes, if it has such a digest.
    pub digest: Option<Digest>,
    /// Why it is not there.
    pub why: String,
}

/// A member of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Of its bytes.
    pub digest: Digest,
}

/// Why bytes are no list of evidence.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// Not JSON, or of another shape.
    #[error("it is not of the shape of {SCHEMA}")]
    Shape(#[from] serde_json::Error),
    /// Another version.
    #[error("it is `{0}`, and only {SCHEMA} is read")]
    Schema(String),
    /// Too much, or written otherwise.
    #[error("{0}")]
    Form(&'static str),
}

impl Contents {
    /// The name of this format.
    pub const SCHEMA: &str = SCHEMA;

    /// Its bytes: canonical JSON.
    ///
    /// # Panics
    /// Never: its maps have text keys.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_canonical(self).expect("text keys only")
    }

    /// Reads it, strictly: what reads otherwise than it was written is refused.
    ///
    /// # Errors
    /// [`ContentsError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ContentsError> {
        if bytes.len() as u64 > DOSSIER_CONTENTS_SIZE_BYTES_MAX {
            return Err(ContentsError::Form("it is too large"));
        }
        let contents: Self = json::parse_as(bytes)?;
        if contents.schema != SCHEMA {
            return Err(ContentsError::Schema(crate::model::path::printable(&contents.schema)));
        }
        if contents.members.len() > DOSSIER_MEMBERS_MAX {
            return Err(ContentsError::Form("it lists too many members"));
        }
        if contents.to_bytes() != bytes {
            return Err(ContentsError::Form("it is not written as reprov writes it"));
        }
        Ok(contents)
    }

    /// The bytes of `seal.json` for a list with this digest.
    #[must_use]
    pub fn seal(list: &Digest) -> Vec<u8> {
        json::canonical(&json!({"evidence": list.to_string(), "schema": "reprov.seal/v1"}))
    }
}
