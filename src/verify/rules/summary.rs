//! Summaries of other verifications (VSA) that stand in for this one.

use super::super::{Code, Finding, age, evidence::Said, judge::Case};
use crate::{attest::Summary, model::Digest, policy::Summaries};

/// What looking for a summary came to.
pub(in crate::verify) struct Standing {
    /// The one that stands in.
    pub(in crate::verify) accepted: Option<Accepted>,
    /// What there is to say.
    pub(in crate::verify) findings: Vec<Finding>,
}

/// A summary that stands in.
pub(in crate::verify) struct Accepted {
    pub(in crate::verify) digest: Digest,
    pub(in crate::verify) level: u8,
}

/// Asks each summary of a trusted verifier whether it will do: passed, fresh, by this very policy, of this name.
pub(in crate::verify) fn stand_in(case: &Case<'_>) -> Standing {
    let mut standing = Standing { accepted: None, findings: Vec::new() };
    let Some(wanted) = &case.policy.summaries else { return standing };
    for (opened, believed) in case.evidence.believed() {
        let Said::Summary(summary) = &believed.said else { continue };
        let granted =
            believed.roots.iter().map(|index| case.evidence.roots.0[*index].level).max().unwrap_or_default();
        let place = opened.at.digest().to_string();
        let level = summary.build_level().min(granted);
        match objection(case, wanted, summary) {
            Some(finding) => standing.findings.push(finding.at(place)),
            // Who is granted none verifies something else, as sources.
            None if granted == 0 || level < case.policy.least_level => {
                let why = if granted < summary.build_level() {
                    ": the policy grants its signer no more"
                } else {
                    ""
                };
                let text = format!("the summary vouches for SLSA build level {level}{why}");
                standing.findings.push(Finding::new(Code::SummaryLevel, text).at(place));
            }
            None if standing.accepted.is_none() => {
                let text = format!(
                    "`{}` verified it on {} by this policy; that was not done again",
                    summary.verifier.id,
                    summary.time_verified.as_deref().unwrap_or_default()
                );
                standing.findings.push(Finding::new(Code::SummaryUsed, text).at(place));
                standing.accepted = Some(Accepted { digest: opened.at.digest(), level });
            }
            None => {}
        }
    }
    standing
}

fn objection(case: &Case<'_>, wanted: &Summaries, summary: &Summary) -> Option<Finding> {
    let who = &summary.verifier.id;
    if !summary.passed() {
        let text = format!("`{who}` says that it FAILED");
        return Some(Finding::new(Code::SummaryFailed, text));
    }
    let made_s = summary.verified_on_s();
    if let Some(old) = age::check("the summary", made_s, Some(wanted.max_age_s), case.now_s) {
        return Some(Finding { code: Code::SummaryStale, severity: Code::SummaryStale.severity(), ..old });
    }
    let own = case.policy.digest.map(|digest| digest.hex());
    if own.is_none() || summary.policy.digest.get("sha256") != own.as_ref() {
        let text = format!("`{who}` verified it by another policy (`{}`)", summary.policy.uri);
        return Some(Finding::new(Code::SummaryPolicy, text));
    }
    let fits = |uri: &str| wanted.resource.as_ref().is_none_or(|pattern| pattern.matches(uri));
    if !fits(&summary.resource_uri) {
        let text = format!("`{who}` verified `{}`, which is not what is expected here", summary.resource_uri);
        return Some(Finding::new(Code::SummaryResource, text));
    }
    None
}
