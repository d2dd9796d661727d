//! Drift that people put up with (`[drift] accept`, `--ignore`): marked, never left out.

use super::{Accepted, Drift};
use crate::{layer::matches, recipe::Acceptance};

/// Marks the drifts that `acceptances` accept on the day `today` (`YYYY-MM-DD`); of several the first. Returns those that
/// would, had they not expired.
pub fn accept<'a>(drifts: &mut [Drift], acceptances: &'a [Acceptance], today: &str) -> Vec<&'a Acceptance> {
    let holds = |acceptance: &&Acceptance| acceptance.until.as_deref().is_none_or(|until| today <= until);
    let (valid, expired): (Vec<_>, Vec<_>) = acceptances.iter().partition(holds);
    for drift in drifts.iter_mut() {
        let found = valid.iter().find(|acceptance| fits(acceptance, drift));
        drift.accepted = found.map(|acceptance| Accepted {
            because: acceptance.because.clone(),
            until: acceptance.until.clone(),
            owner: acceptance.owner.clone(),
        });
    }
    let missed = |acceptance: &&Acceptance| {
        drifts.iter().any(|drift| drift.accepted.is_none() && fits(acceptance, drift))
    };
    expired.into_iter().filter(missed).collect()
}

fn fits(acceptance: &Acceptance, drift: &Drift) -> bool {
    let path = |pattern: &String| matches(pattern.as_bytes(), drift.path.as_bytes());
    acceptance.cause.as_deref().is_none_or(|cause| cause == drift.cause.code())
        && acceptance.path.as_ref().is_none_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{diff::ChangeKind, drift::Cause};

    fn acceptance(cause: Option<&str>, path: Option<&str>, until: Option<&str>) -> Acceptance {
        let [cause, path, until] = [cause, path, until].map(|text| text.map(str::to_owned));
        Acceptance { cause, path, because: "known".into(), until, owner: None, line: 1 }
    }

    /// Which of two drifts is accepted on 2027-06-30, and how many acceptances have expired.
    fn accepted(acceptance: Acceptance) -> ([bool; 2], usize) {
        let mut drifts = [
            Drift::sample("etc/shadow", ChangeKind::Content, Cause::PasswordSalt),
            Drift::sample("var/x/a.log", ChangeKind::Content, Cause::ClockInText),
        ];
        let expired = accept(&mut drifts, &[acceptance], "2027-06-30").len();
        (drifts.map(|drift| drift.accepted.is_some()), expired)
    }

    #[test]
    fn by_cause_path_and_day() {
        assert_eq!(accepted(acceptance(Some("password-salt"), None, None)), ([true, false], 0));
        assert_eq!(accepted(acceptance(None, Some("var/**"), None)), ([false, true], 0));
        assert_eq!(accepted(acceptance(Some("clock-in-text"), Some("etc/*"), None)), ([false, false], 0));
        assert_eq!(accepted(acceptance(None, Some("etc/*"), Some("2027-06-30"))), ([true, false], 0));
        assert_eq!(accepted(acceptance(None, Some("etc/*"), Some("2027-06-29"))), ([false, false], 1));
        assert_eq!(accepted(acceptance(None, Some("usr/*"), Some("2027-06-29"))), ([false, false], 0));
    }
}
