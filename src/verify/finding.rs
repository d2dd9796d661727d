//! What verifying says.

use serde::Serialize;

use super::Code;
use crate::{model::path::printable, policy::Severity};

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub code: Code,
    /// How much it counts now, after the policy's rules.
    pub severity: Severity,
    /// What exactly; printable.
    pub message: String,
    /// Where that stands: `sha256:REFERRER#/pointer`; none: nowhere in particular.
    pub evidence: Option<String>,
    /// Who puts up with it.
    pub waived_by: Option<String>,
    /// Until when, as the policy has it.
    pub waived_until: Option<String>,
}

impl Finding {
    /// A finding that counts as its code does. `message` may hold a stranger's words.
    #[must_use]
    pub fn new(code: Code, message: impl AsRef<str>) -> Self {
        let message = printable(&message.as_ref().chars().take(600).collect::<String>());
        let (evidence, waived_by, waived_until) = (None, None, None);
        Self { code, severity: code.severity(), message, evidence, waived_by, waived_until }
    }

    /// With a pointer to what says so.
    #[must_use]
    pub fn at(mut self, evidence: impl AsRef<str>) -> Self {
        self.evidence = Some(printable(evidence.as_ref()));
        self
    }

    /// Counting as much as `severity`.
    #[must_use]
    pub fn counting(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Whether it refuses the image.
    #[must_use]
    pub fn denies(&self) -> bool {
        self.severity == Severity::Deny && self.waived_by.is_none()
    }
}

/// What came of it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing refuses it.
    Passed,
    /// Something refuses it.
    Failed,
    /// Something refuses it, but what could not be read may say otherwise.
    Unknown,
}

impl Verdict {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What a line of the answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It was held against the policy, or against bytes.
    Checked,
    /// A trusted signer says so; nothing was held against it.
    Claimed,
}
