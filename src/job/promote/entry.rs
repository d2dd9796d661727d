//! What the ledger remembers of a promotion.

use std::collections::BTreeMap;

use super::{Committed, Outcome, Request, Weighing, tag_of};
use crate::{
    entry::{Entry, Kind, Waived},
    verify::{Placed, RootSigner, Verdict, remembered, signer_id},
};

/// The entry of a promotion that was carried out, or refused; none where nobody could tell, or nothing was to be written.
/// Of what was signed it is the entry that `ledger rebuild` arrives at.
#[must_use]
pub fn entry(
    request: &Request,
    weighing: &Weighing,
    committed: Option<&Committed>,
    promoter: &str,
    now_s: i64,
) -> Option<Entry> {
    if let Some(committed) = committed {
        match (&committed.outcome, &committed.statement, committed.attestation) {
            (Outcome::Unchanged, ..) => return weighing.already.clone()?.entry,
            (Outcome::Moved | Outcome::Completed, Some(statement), Some(evidence)) => {
                let repository = weighing.to.repository();
                let signer = request.key.clone().map(|key| signer_id(&RootSigner::Key(key)));
                let image = weighing.root.as_ref()?.digest;
                return remembered(statement, &Placed { repository: &repository, image, evidence, signer });
            }
            _ => {}
        }
    }
    refused(request, weighing, committed, promoter, now_s)
}

fn refused(
    request: &Request,
    weighing: &Weighing,
    committed: Option<&Committed>,
    promoter: &str,
    now_s: i64,
) -> Option<Entry> {
    let meanwhile = match committed.map(|committed| &committed.outcome) {
        Some(Outcome::Refused(objection)) => Some(objection.code.name()),
        _ => None,
    };
    if meanwhile.is_none() && weighing.decision.verdict != Verdict::Failed {
        return None;
    }
    let waived = weighing.decision.waived.iter().map(|one| Waived {
        code: one.code.clone(),
        owner: one.owner.clone(),
        until: one.until.clone(),
    });
    let mut waived: Vec<Waived> = waived.collect();
    waived.sort();
    waived.dedup();
    let digest = weighing.root.as_ref().map(|root| root.digest);
    Some(Entry {
        at_s: now_s,
        kind: if request.from.is_some() { Kind::Promoted } else { Kind::Undone },
        repository: weighing.to.repository(),
        tag: Some(tag_of(&weighing.to)),
        digest,
        outcome: "refused".to_owned(),
        evidence: None,
        by: promoter.to_owned(),
        tool: format!("reprov {}", env!("CARGO_PKG_VERSION")),
        signer: None,
        policy: request.verify.policy.digest,
        conditions: None,
        group: None,
        owner: None,
        codes: codes(weighing, meanwhile),
        waived,
        from: weighing.from.clone().map(|mut from| {
            from.selector.digest = None;
            from.to_string()
        }),
        before: weighing.before.filter(|before| Some(*before) != digest),
        took_ms: None,
        report: None,
        error: None,
    })
}

/// Codes that refuse it, and how many of each.
fn codes(weighing: &Weighing, meanwhile: Option<&'static str>) -> BTreeMap<String, u64> {
    let own = weighing.decision.objections.iter().filter(|one| one.denies()).map(|one| one.code.name());
    let images = weighing.images.iter().flat_map(|one| &one.judgement.findings);
    let of_images = images.filter(|finding| finding.denies()).map(|finding| finding.code.name());
    let mut codes = BTreeMap::new();
    for code in own.chain(of_images).chain(meanwhile) {
        *codes.entry(code.to_owned()).or_default() += 1;
    }
    codes
}
