//! What the ledger remembers of a promotion.

use std::collections::BTreeMap;

use super::{Committed, Outcome, Request, Weighing, tag_of};
use crate::{
    attest::Promoted,
    entry::{Entry, Kind, Waived},
    model::Digest,
    verify::Verdict,
};

/// The entry of a promotion that was carried out, or refused; none where nobody could tell. A statement is remembered
/// once: by its referrer ([`Entry::evidence`]).
#[must_use]
pub fn entry(
    request: &Request,
    weighing: &Weighing,
    committed: Option<&Committed>,
    promoter: &str,
    now_s: i64,
) -> Option<Entry> {
    let decision = &weighing.decision;
    let refused = committed.is_some_and(|committed| matches!(committed.outcome, Outcome::Refused(_)));
    let outcome = match (decision.verdict, committed) {
        (Verdict::Passed, Some(_)) if !refused => "promoted",
        (Verdict::Passed, None) | (Verdict::Unknown, _) => return None,
        _ => "refused",
    };
    let said: Option<&Promoted> = committed.and_then(|committed| committed.said.as_ref()).filter(|_| !refused);
    let waived = decision.waived.iter().map(|one| Waived {
        code: one.code.clone(),
        owner: one.owner.clone(),
        until: one.until.clone(),
    });
    let mut waived: Vec<Waived> = waived.collect();
    waived.sort();
    waived.dedup();
    Some(Entry {
        at_s: said.map_or(now_s, |said| said.promoted_on_s),
        kind: if request.from.is_some() { Kind::Promoted } else { Kind::Undone },
        repository: weighing.to.repository(),
        tag: Some(tag_of(&weighing.to)),
        digest: weighing.root.as_ref().map(|root| root.digest),
        outcome: outcome.to_owned(),
        evidence: committed.and_then(|committed| committed.attestation).filter(|_| !refused),
        by: said.map_or(promoter, |said| said.promoter.id.as_str()).to_owned(),
        tool: format!("reprov {}", env!("CARGO_PKG_VERSION")),
        signer: request.key.as_ref().map(|key| key.fingerprint().to_string()),
        policy: request.verify.policy.digest,
        conditions: None,
        group: None,
        owner: None,
        codes: codes(weighing, committed),
        waived,
        from: weighing.from.as_ref().map(|from| from.repository()),
        before: weighing.before.filter(|before| weighing.root.as_ref().map(|root| root.digest) != Some(*before)),
        took_ms: None,
        report: None,
        error: None,
    })
}

/// Codes that refuse it, and how many of each.
fn codes(weighing: &Weighing, committed: Option<&Committed>) -> BTreeMap<String, u64> {
    let own = weighing.decision.objections.iter().filter(|one| one.denies()).map(|one| one.code.name());
    let images = weighing.images.iter().flat_map(|one| &one.judgement.findings);
    let of_images = images.filter(|finding| finding.denies()).map(|finding| finding.code.name());
    let meanwhile = committed.and_then(|committed| match &committed.outcome {
        Outcome::Refused(objection) => Some(objection.code.name()),
        _ => None,
    });
    let mut codes = BTreeMap::new();
    for code in own.chain(of_images).chain(meanwhile) {
        *codes.entry(code.to_owned()).or_default() += 1;
    }
    codes
}

/// The name that the ledger knows a statement's entry by, so that a run after a crash adds no second one.
#[must_use]
pub fn entry_name(evidence: &Digest) -> String {
    format!("promotion {evidence}")
}
