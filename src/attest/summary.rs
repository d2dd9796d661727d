//! Verification summaries, VSA (SLSA 1.2, `verification_summary/v1`; FORMATS.md §8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    statement::{Statement, Subject},
    strict::{shown, to_value, without_nulls},
};
use crate::model::{
    ResourceDescriptor,
    names::{SLSA_SUMMARY, SOURCE_LEVEL_MAX},
    rfc3339,
    time::parse_rfc3339,
};

/// That somebody verified an image, by which policy, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Who verified.
    pub verifier: Verifier,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_verified: Option<String>,
    /// The image, by name.
    pub resource_uri: String,
    /// By which policy.
    pub policy: ResourceDescriptor,
    /// All attestations that were used, or none said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_attestations: Vec<ResourceDescriptor>,
    /// `PASSED` or `FAILED`.
    pub verification_result: String,
    /// At most one level of each track.
    pub verified_levels: Vec<String>,
    /// How many dependencies have which level; none: nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency_levels: Option<BTreeMap<String, u64>>,
    /// `1.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slsa_version: Option<String>,
}

/// Who verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifier {
    /// A URI; trust is in a signer for a verifier.
    pub id: String,
    /// Versions of its parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
}

/// Why a predicate is no summary.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// It says something else.
    #[error("predicate type is `{0}`, not `{SLSA_SUMMARY}`")]
    PredicateType(String),
    /// A field is missing or of another type.
    #[error("summary is not of its shape")]
    Shape(#[from] serde_json::Error),
    /// A field that means nothing as it is.
    #[error("`{field}` of the summary is `{found}`")]
    Value {
        /// Which.
        field: &'static str,
        /// What stands there.
        found: String,
    },
}

impl Summary {
    /// Passed.
    pub const PASSED: &str = "PASSED";
    /// Failed.
    pub const FAILED: &str = "FAILED";

    /// The statement that says this of `subject`.
    #[must_use]
    pub fn statement(&self, subject: Subject) -> Statement {
        Statement {
            subject: vec![subject],
            predicate_type: SLSA_SUMMARY.to_owned(),
            predicate: to_value(self),
        }
    }

    /// Reads one, and checks what SLSA 1.2 demands: verifier, resource, policy, a result, levels of which no track has
    /// two.
    ///
    /// # Errors
    /// [`SummaryError`].
    pub fn read(statement: &Statement) -> Result<Self, SummaryError> {
        if statement.predicate_type != SLSA_SUMMARY {
            return Err(SummaryError::PredicateType(shown(&statement.predicate_type)));
        }
        let summary = Self::deserialize(&*without_nulls(&statement.predicate))?;
        let wrong = |field, found: &str| Err(SummaryError::Value { field, found: shown(found) });
        if summary.verifier.id.is_empty() {
            return wrong("verifier.id", "");
        }
        if summary.resource_uri.is_empty() {
            return wrong("resourceUri", "");
        }
        if summary.policy.uri.is_empty() && summary.policy.digest.is_empty() {
            return wrong("policy", "");
        }
        if ![Self::PASSED, Self::FAILED].contains(&summary.verification_result.as_str()) {
            return wrong("verificationResult", &summary.verification_result);
        }
        if let Some(level) = summary.doubled() {
            return wrong("verifiedLevels", level);
        }
        if let Some(time) = summary.time_verified.as_deref().filter(|time| parse_rfc3339(time).is_none()) {
            return wrong("timeVerified", time);
        }
        Ok(summary)
    }

    /// A level of a track that has another one before it.
    fn doubled(&self) -> Option<&str> {
        let track = |level: &str| {
            let rest = level.strip_prefix("SLSA_")?;
            rest.split_once("_LEVEL_").map(|(track, _)| track.to_owned())
        };
        let mut seen = Vec::new();
        self.verified_levels.iter().map(String::as_str).find(|level| match track(level) {
            Some(track) if seen.contains(&track) => true,
            Some(track) => {
                seen.push(track);
                false
            }
            None => false,
        })
    }

    /// When it was verified, seconds since 1970.
    #[must_use]
    pub fn verified_on_s(&self) -> Option<i64> {
        parse_rfc3339(self.time_verified.as_deref()?)
    }

    /// Sets when it was verified.
    pub fn set_time(&mut self, epoch_s: i64) {
        self.time_verified = Some(rfc3339(epoch_s));
    }

    /// Whether it says yes.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verification_result == Self::PASSED
            && !self.verified_levels.iter().any(|level| level == Self::FAILED)
    }

    /// The build level it vouches for.
    #[must_use]
    pub fn build_level(&self) -> u8 {
        let number = |level: &String| level.strip_prefix("SLSA_BUILD_LEVEL_")?.parse().ok();
        self.verified_levels.iter().find_map(number).unwrap_or_default()
    }

    /// The level of the source track that it vouches for; 0: none.
    #[must_use]
    pub fn source_level(&self) -> u8 {
        let named = |level: &u8| self.verified_levels.contains(&format!("SLSA_SOURCE_LEVEL_{level}"));
        (1..=SOURCE_LEVEL_MAX).find(named).unwrap_or_default()
    }

    /// The same in JSON.
    #[must_use]
    pub fn to_value(&self) -> Value {
        to_value(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn knows_the_level_of_the_source() {
        let level = |levels: Value| {
            let predicate = json!({"verifier": {"id": "x"}, "resourceUri": "x", "policy": {"uri": "x"},
                "verificationResult": "PASSED", "verifiedLevels": levels});
            let subject =
                Subject { name: String::new(), digest: BTreeMap::new(), annotations: serde_json::Map::new() };
            let predicate_type = SLSA_SUMMARY.to_owned();
            Summary::read(&Statement { subject: vec![subject], predicate_type, predicate })
                .map(|it| it.source_level())
        };
        for n in 1..=4 {
            assert_eq!(level(json!(["SLSA_BUILD_LEVEL_1", format!("SLSA_SOURCE_LEVEL_{n}")])).unwrap(), n);
        }
        for none in [
            "SLSA_SOURCE_LEVEL_0",
            "SLSA_SOURCE_LEVEL_5",
            "SLSA_SOURCE_LEVEL_+3",
            "SLSA_SOURCE_LEVEL_03",
            "SLSA_SOURCE_LEVEL_3 ",
            "slsa_source_level_3",
            "ORG_SLSA_SOURCE_LEVEL_3",
            "SLSA_BUILD_LEVEL_3",
        ] {
            assert_eq!(level(json!([none])).unwrap(), 0, "{none}");
        }
        assert!(level(json!(["SLSA_SOURCE_LEVEL_2", "SLSA_SOURCE_LEVEL_3"])).is_err());
    }
}
