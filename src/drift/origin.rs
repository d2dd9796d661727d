//! Where a drift begins: in what was fetched or in the build itself, and in which stage.

use serde::Serialize;

use super::{Cause, Class, Confidence, Drift, Explained, InstructionRef, Security};
use crate::model::Verdict;

/// Whose doing a drift is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// What the repositories answer: with equal inputs it is not there.
    Inputs,
    /// The build's own: equal inputs give it too.
    Build,
}

impl Origin {
    /// Its name in JSON, and for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inputs => "inputs",
            Self::Build => "build",
        }
    }
}

/// The first instruction of another stage that made something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FromStage {
    /// Number of the stage.
    pub stage: usize,
    /// What `AS` calls it.
    pub name: Option<String>,
    /// The instruction.
    pub instruction: InstructionRef,
}

impl Explained {
    /// Says of each drift whose doing it is; `builds` knows those that equal inputs give too. What comes from inputs and
    /// has no other cause has this one, and the verdict follows. What concerns security keeps its mark, and where it is
    /// more than a program of other bytes, its cause.
    pub fn split(&mut self, builds: impl Fn(&Drift) -> bool) {
        for drift in &mut self.drifts {
            let of_inputs = drift.cause == Cause::InputChanged || !builds(drift);
            drift.origin = Some(if of_inputs { Origin::Inputs } else { Origin::Build });
            let plain = matches!(drift.security_kind, None | Some(Security::ChangedProgram));
            if of_inputs && drift.cause == Cause::Unexplained && plain {
                drift.cause = Cause::InputChanged;
                (drift.class, drift.remedy) = (drift.cause.class(), drift.cause.remedy());
                drift.confidence = Confidence::Likely;
            }
        }
        let owned = |drift: &Drift| drift.consequence_of.is_some() || drift.class != Class::Unexplained;
        let explained =
            self.drifts.iter().all(owned) && self.config.iter().all(|it| it.class != Class::Unexplained);
        if self.verdict == Verdict::Unexplained && explained {
            self.verdict = Verdict::Explained;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::ChangeKind;

    fn drift(path: &str, cause: Cause, security: Option<Security>) -> Drift {
        let security = (security.is_some(), security);
        let (security, security_kind) = security;
        Drift { security, security_kind, ..Drift::sample(path, ChangeKind::Content, cause) }
    }

    #[test]
    fn what_equal_inputs_do_not_give_comes_from_the_inputs() {
        let drifts = vec![
            drift("made", Cause::Unexplained, None),
            drift("own", Cause::Unexplained, None),
            drift("date", Cause::ClockInText, None),
            drift("own-fetched", Cause::InputChanged, None),
            drift("usr/bin/x", Cause::Unexplained, Some(Security::ChangedProgram)),
            drift("usr/bin/y", Cause::Unexplained, Some(Security::SetId)),
        ];
        let mut explained =
            Explained { drifts, config: Vec::new(), layers: Vec::new(), verdict: Verdict::Unexplained };
        explained.split(|drift| drift.path.starts_with("own"));
        let found: Vec<_> =
            explained.drifts.iter().map(|it| (it.cause, it.origin.unwrap(), it.confidence)).collect();
        let (certain, likely) = (Confidence::Certain, Confidence::Likely);
        assert_eq!(
            found,
            [
                (Cause::InputChanged, Origin::Inputs, likely),
                (Cause::Unexplained, Origin::Build, certain),
                (Cause::ClockInText, Origin::Inputs, certain),
                (Cause::InputChanged, Origin::Inputs, certain),
                (Cause::InputChanged, Origin::Inputs, likely),
                (Cause::Unexplained, Origin::Inputs, certain),
            ]
        );
        assert!(explained.drifts[4].security);
        assert_eq!(explained.verdict, Verdict::Unexplained);
        explained.drifts.retain(|drift| drift.class != Class::Unexplained);
        explained.split(|_| false);
        assert_eq!(explained.verdict, Verdict::Explained);
    }
}
