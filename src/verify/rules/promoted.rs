//! Whether it was promoted to where it should be.

use super::super::{Code, Finding, age, evidence::Said, judge::Case};
use crate::model::Digest;

/// A promotion by a trusted signer to one of the places that the policy names, fresh.
pub(super) fn promoted(case: &Case<'_>, used: &mut Vec<Digest>) -> Vec<Finding> {
    let Some(wanted) = &case.policy.promoted else { return Vec::new() };
    let mut stale = None;
    let mut elsewhere = None;
    for (opened, believed) in case.evidence.believed() {
        let Said::Promoted(promoted) = &believed.said else { continue };
        let place = opened.at.digest();
        let tagged = format!("{}:{}", promoted.to, promoted.tag);
        if !wanted.to.iter().any(|pattern| pattern.matches(&promoted.to) || pattern.matches(&tagged)) {
            elsewhere = Some(tagged);
            continue;
        }
        let what = format!("the promotion to `{tagged}`");
        match age::check(&what, Some(promoted.promoted_on_s), wanted.max_age_s, case.now_s) {
            None => {
                used.push(place);
                return Vec::new();
            }
            Some(old) => stale = Some(old.at(place.to_string())),
        }
    }
    let missing = || {
        let more = elsewhere.map(|to| format!("; it was promoted to `{to}`")).unwrap_or_default();
        Finding::new(
            Code::PromotionMissing,
            format!("no trusted signer says that it was promoted there{more}"),
        )
    };
    vec![stale.unwrap_or_else(missing)]
}
