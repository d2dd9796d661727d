//! What follows once an image is pushed and attested: its tests, and what the ledger is told.

use super::{BuildError, Request, define::Planned};
use crate::{
    entry::Entry,
    job::{Ports, assemble::Assembled, bases::Base, evidence::Believed, test},
    verify::{Placed, remembered},
};

/// Tries the tests of the recipe in the image, which is pushed; with a key, the result is beside it.
pub(super) async fn tested(
    ports: &Ports,
    request: &Request,
    planned: &Planned,
    assembled: &Assembled,
) -> Result<Option<test::Outcome>, BuildError> {
    let Some(suite) = &planned.suite else { return Ok(None) };
    let name = request.to.at(assembled.manifest.digest);
    let base = Base::at_hand(name, assembled.manifest.clone(), assembled.image.clone());
    let mut outcome = test::test(ports, &base, suite, &planned.tools).await?;
    if let Some(key) = &request.key {
        outcome.attach(ports, &base, &request.builder_id, key).await?;
    }
    Ok(Some(outcome))
}

/// What was built, for the ledger.
pub(super) fn entry_of(
    request: &Request,
    believed: &Believed,
    made: &Assembled,
    tagged: bool,
) -> Option<Entry> {
    let repository = request.to.repository();
    let placed = Placed {
        repository: &repository,
        image: made.manifest.digest,
        evidence: believed.referrer,
        signer: request.key.as_ref().map(|key| key.public().fingerprint().hex()),
    };
    let entry = remembered(&believed.statement, &placed)?;
    let evidence = entry.evidence.filter(|_| request.key.is_some());
    Some(Entry { tag: request.to.selector.tag.clone().filter(|_| tagged), evidence, ..entry })
}
