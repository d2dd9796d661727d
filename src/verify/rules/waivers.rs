//! What a policy puts off, tones down or puts up with.

use super::super::{Code, Finding, code::About, judge::Case};
use crate::{
    model::rfc3339,
    policy::{Severity, Waiver},
};

/// A waiver that ends so soon is said to.
const EXPIRING_S: i64 = 30 * 24 * 3600;

/// Applies rules, then waivers, to what policies may change; says how the waivers stand.
pub(in crate::verify) fn apply(case: &Case<'_>, mut findings: Vec<Finding>) -> Vec<Finding> {
    for finding in findings.iter_mut().filter(|finding| finding.code.about() == About::Image) {
        toned(case, finding);
    }
    let mut told = Vec::new();
    for waiver in &case.policy.waivers {
        let concerned = waiver.image.as_ref().is_none_or(|pattern| names(case, pattern));
        let mut fits = findings.iter_mut().filter(|finding| concerned && covers(waiver, finding)).peekable();
        let used = fits.peek().is_some();
        let valid = waiver.from_s.is_none_or(|from| from <= case.now_s) && case.now_s <= waiver.until_s;
        if valid {
            fits.for_each(|finding| {
                finding.waived_by = Some(waiver.owner.clone());
                finding.waived_until = Some(waiver.until.clone());
            });
        }
        if concerned {
            told.extend(state(case, waiver, used));
        }
    }
    findings.extend(told);
    findings
}

/// The rules of the policy for this code, one after the other.
fn toned(case: &Case<'_>, finding: &mut Finding) {
    for rule in case.policy.rules.iter().filter(|rule| rule.code == finding.code.name()) {
        let severity = rule.severity.unwrap_or(finding.severity);
        let later = rule.effective_s.is_some_and(|from| case.now_s < from);
        finding.severity = if later { severity.min(Severity::Warn) } else { severity };
        if let Some(from) = rule.effective_s.filter(|_| later) {
            finding.message.push_str(&format!(" (counts from {} on)", rfc3339(from)));
        }
    }
}

fn names(case: &Case<'_>, pattern: &crate::policy::Pattern) -> bool {
    let judged = &case.evidence.judged;
    let without = judged.image.split('@').next().unwrap_or_default();
    let repository =
        without.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(without, |(place, _)| place);
    [judged.image.as_str(), &judged.digest().to_string(), without, repository]
        .iter()
        .any(|name| pattern.matches(name))
}

fn covers(waiver: &Waiver, finding: &Finding) -> bool {
    let about = |part: &String| finding.message.contains(part.as_str());
    finding.code.name() == waiver.code
        && finding.severity == Severity::Deny
        && waiver.about.as_ref().is_none_or(about)
}

/// How a waiver stands: pending, expiring, expired, or of no use.
fn state(case: &Case<'_>, waiver: &Waiver, used: bool) -> Option<Finding> {
    let (code, owner, until) = (&waiver.code, &waiver.owner, &waiver.until);
    if waiver.until_s < case.now_s {
        let text = format!("the waiver of {code} by {owner} ended on {until}; it waives nothing");
        return Some(Finding::new(Code::WaiverExpired, text));
    }
    if let Some(from) = waiver.from_s.filter(|from| case.now_s < *from) {
        let text =
            format!("the waiver of {code} by {owner} begins on {}; it waives nothing yet", rfc3339(from));
        return Some(Finding::new(Code::WaiverPending, text));
    }
    if !used {
        let text = format!("the waiver of {code} by {owner} waives nothing here: there is no such finding");
        return Some(Finding::new(Code::WaiverUnused, text));
    }
    let soon = waiver.until_s.saturating_sub(case.now_s) <= EXPIRING_S;
    soon.then(|| {
        let text = format!("the waiver of {code} by {owner} ends on {until}");
        Finding::new(Code::WaiverExpiring, text)
    })
}
