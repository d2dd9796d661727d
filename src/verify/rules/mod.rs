//! The rules, one small file for each group. A rule that the policy does not name finds nothing that refuses.

pub(super) mod bases;
pub(super) mod calendar;
pub(super) mod commit;
mod contents;
mod inputs;
mod promoted;
pub(super) mod provenance;
pub(super) mod rebuild;
mod records;
mod source;
pub(super) mod summary;
pub(super) mod waivers;

use super::{
    Finding, Said,
    judge::{Case, Told},
};
use crate::{model::Digest, policy::Policy};

/// A rule about one provenance.
type OfProvenance = fn(&Case<'_>, &Told<'_>) -> Vec<Finding>;
/// A rule about the image; it adds what it rests on.
type OfImage = fn(&Case<'_>, &mut Vec<Digest>) -> Vec<Finding>;

/// Asked of each provenance.
pub(super) const OF_PROVENANCE: &[OfProvenance] = &[
    provenance::build_type,
    provenance::parameters,
    provenance::age,
    provenance::level_wanted,
    provenance::boasts,
    source::source,
    commit::attested,
    bases::named,
    bases::buildroot,
    bases::verified,
    inputs::repositories,
    inputs::refused,
    inputs::hermetic,
    records::log,
    records::present,
];

/// Asked once.
pub(super) const OF_IMAGE: &[OfImage] =
    &[ages, rebuild::rebuilt, contents::sbom, contents::tests, promoted::promoted];

/// Whether a policy has a rule that only provenance can answer.
pub(super) fn ask_provenance(policy: &Policy) -> bool {
    policy.sources.is_some()
        || policy.refs.is_some()
        || policy.build_types.is_some()
        || policy.repositories.is_some()
        || policy.clean_source
        || policy.source.is_some()
        || policy.hermetic
        || policy.log
        || policy.evidence
        || policy.depth > 0
        || policy.bases != crate::policy::Bases::default()
        || policy.parameters != crate::policy::Parameters::default()
        || !policy.refused.is_empty()
}

/// Whether a statement of each kind that must be there is fresh; that of provenance is asked with it.
fn ages(case: &Case<'_>, _: &mut Vec<Digest>) -> Vec<Finding> {
    let Some(max_age_s) = case.policy.max_age_s else { return Vec::new() };
    let mut findings = Vec::new();
    for kind in &case.policy.predicates {
        let all = case.evidence.believed().filter(|(_, believed)| believed.statement.predicate_type == *kind);
        let checked: Vec<Option<Finding>> = all
            .filter(|(_, believed)| !matches!(believed.said, Said::Provenance(_)))
            .map(|(opened, believed)| {
                let found =
                    super::age::check(kind, super::evidence::made_s(believed), Some(max_age_s), case.now_s);
                found.map(|finding| finding.at(opened.at.digest().to_string()))
            })
            .collect();
        if !checked.is_empty() && checked.iter().all(Option::is_some) {
            findings.extend(checked.into_iter().flatten().take(1));
        }
    }
    findings
}
