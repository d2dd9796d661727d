//! Our promotion predicate: that a tag was moved to an image, by whom, by which policy and on which evidence
//! (`attestations/promotion/v1`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    rebuilt::{from_time, to_time},
    statement::{Statement, Subject},
    strict::{shown, to_value, without_nulls},
};
use crate::model::{Digest, names::PROMOTION_PREDICATE};

/// The predicate `promotion/v1`. Its statement's subjects are what the tag was moved to and, if that is an index, the
/// images in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promoted {
    /// Forward or back.
    pub action: Moved,
    /// Where it came from, as it was named: `HOST/NAME:TAG`, without a digest.
    pub from: String,
    /// The repository whose tag was moved: `HOST/NAME`.
    pub to: String,
    /// The tag.
    pub tag: String,
    /// What it named before; none: there was no such tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// By which policy.
    pub policy: ByPolicy,
    /// Digest of the decision: of image, target, policy and findings.
    pub decision: Digest,
    /// The image, or of an index all its images.
    pub images: Vec<PromotedImage>,
    /// Findings that a waiver of the policy took away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<WaivedFinding>,
    /// Codes of findings that whoever promoted let pass, by a flag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<String>,
    /// What the policy does not ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<String>,
    /// Who promoted it.
    pub promoter: Promoter,
    /// Seconds since 1970; RFC 3339 in JSON.
    #[serde(rename = "promotedOn", serialize_with = "to_time", deserialize_with = "from_time")]
    pub promoted_on_s: i64,
}

/// Which way a tag was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moved {
    /// To an image that was chosen.
    Promote,
    /// Back to the one before.
    Undo,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByPolicy {
    /// What people call it.
    pub name: String,
    /// Where it can be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Of its text.
    pub digest: Digest,
}

/// An image that was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotedImage {
    /// Its manifest.
    pub digest: Digest,
    /// Its platform, if an index says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Attestations that it was let through on: their referrers.
    pub evidence: Vec<Digest>,
}

/// A finding that was put up with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WaivedFinding {
    /// Its code.
    pub code: String,
    /// Who answers for that.
    pub owner: String,
    /// Until when, as the policy has it.
    pub until: String,
    /// About which manifest.
    pub image: Digest,
}

/// Who promoted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoter {
    /// URI, as a builder id.
    pub id: String,
    /// SHA-256 of the public key that signed.
    pub key: Digest,
    /// Versions of its parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
}

/// Why a statement is not about a promotion.
#[derive(Debug, thiserror::Error)]
pub enum PromotedError {
    /// It says something else.
    #[error("predicate type is `{0}`, not `{PROMOTION_PREDICATE}`")]
    PredicateType(String),
    /// A field is missing or of another type.
    #[error("promotion predicate is not of its shape")]
    Shape(#[from] serde_json::Error),
    /// A field that must say something and does not.
    #[error("`{0}` of the promotion is empty")]
    Empty(&'static str),
}

impl Promoted {
    /// Says this of `subject`: what the tag was moved to, then the images in it.
    #[must_use]
    pub fn statement(&self, subject: Vec<Subject>) -> Statement {
        let predicate_type = PROMOTION_PREDICATE.to_owned();
        Statement { subject, predicate_type, predicate: to_value(self) }
    }

    /// Reads such a statement; unknown fields are ignored.
    ///
    /// # Errors
    /// [`PromotedError`].
    pub fn read(statement: &Statement) -> Result<Self, PromotedError> {
        if statement.predicate_type != PROMOTION_PREDICATE {
            return Err(PromotedError::PredicateType(shown(&statement.predicate_type)));
        }
        let promoted = Self::deserialize(&*without_nulls(&statement.predicate))?;
        let said = [
            ("from", &promoted.from),
            ("to", &promoted.to),
            ("tag", &promoted.tag),
            ("promoter.id", &promoted.promoter.id),
        ];
        if let Some((field, _)) = said.into_iter().find(|(_, text)| text.is_empty()) {
            return Err(PromotedError::Empty(field));
        }
        if promoted.images.is_empty() {
            return Err(PromotedError::Empty("images"));
        }
        Ok(promoted)
    }

    /// Whether it is about the tag `tag` of `repository`.
    #[must_use]
    pub fn is_of(&self, repository: &str, tag: &str) -> bool {
        self.to == repository && self.tag == tag
    }
}
