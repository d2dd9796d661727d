//! How what is known of an image can turn from one night to the next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A change worth telling. Its names are only ever added to: filters of receivers and programs name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// What an image is judged by is no longer there.
    EvidenceLost,
    /// The registry says that the image is not there.
    Gone,
    /// It did not drift before, and now it does.
    Drift,
    /// It drifts for a cause that it did not drift for before.
    NewCause,
    /// The policy did not say no before, and now it does.
    Failed,
    /// The policy says no for a reason that it did not have before.
    NewFinding,
    /// Its tests fail, and did not before.
    TestsBroke,
    /// Nobody can tell, where somebody could before.
    CannotTell,
    /// It was not looked at for longer than it should be.
    Overdue,
    /// A waiver that it stands on has run out.
    WaiverEnded,
    /// A waiver that it stands on ends soon.
    WaiverEnding,
    /// The tag names another image.
    TagMoved,
    /// It is in the ledger for the first time.
    NewImage,
    /// It drifted, and now it is reproduced.
    Cured,
    /// The policy said no, and now it says yes.
    Passed,
    /// Its tests failed, and now they pass.
    TestsMended,
    /// It could not be reached, or not be judged, and now it can.
    Back,
}

impl Turn {
    /// Every one, what asks for somebody first.
    pub const ALL: [Self; 17] = [
        Self::EvidenceLost,
        Self::Gone,
        Self::Drift,
        Self::NewCause,
        Self::Failed,
        Self::NewFinding,
        Self::TestsBroke,
        Self::CannotTell,
        Self::Overdue,
        Self::WaiverEnded,
        Self::WaiverEnding,
        Self::TagMoved,
        Self::NewImage,
        Self::Cured,
        Self::Passed,
        Self::TestsMended,
        Self::Back,
    ];

    /// Its name in reports, messages and filters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EvidenceLost => "evidence-lost",
            Self::Gone => "gone",
            Self::Drift => "drift",
            Self::NewCause => "new-cause",
            Self::Failed => "failed",
            Self::NewFinding => "new-finding",
            Self::TestsBroke => "tests-broke",
            Self::CannotTell => "cannot-tell",
            Self::Overdue => "overdue",
            Self::WaiverEnded => "waiver-ended",
            Self::WaiverEnding => "waiver-ending",
            Self::TagMoved => "tag-moved",
            Self::NewImage => "new-image",
            Self::Cured => "cured",
            Self::Passed => "passed",
            Self::TestsMended => "tests-mended",
            Self::Back => "back",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|turn| turn.name() == name)
    }

    /// Whether it is for the better.
    #[must_use]
    pub fn better(self) -> bool {
        matches!(self, Self::Cured | Self::Passed | Self::TestsMended | Self::Back)
    }

    /// Whether it is for the worse: somebody should do something.
    #[must_use]
    pub fn worse(self) -> bool {
        !self.better() && !matches!(self, Self::TagMoved | Self::NewImage)
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for turn in Turn::ALL {
            assert_eq!(Turn::of(turn.name()), Some(turn));
            assert_eq!(serde_json::to_string(&turn).unwrap(), format!("\"{turn}\""));
        }
        assert_eq!(Turn::of("drifts"), None);
    }
}
