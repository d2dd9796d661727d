//! What trusted signers said about promotions of an image, and whether what it was let through on is beside it.

use std::{collections::BTreeSet, sync::Arc};

use super::{PromoteError, Request};
use crate::{
    attest::{Promoted, Statement},
    entry::Entry,
    job::{
        Ports,
        verify::{self, gather},
    },
    model::{Digest, ImageName, names::PROMOTION_PREDICATE},
    policy::{Allowed, Pattern, Policy},
    verify::{Evidence, Placed, Root, Roots, Said, remembered, signer_id},
};

/// A promotion that is believed.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its referrer.
    pub digest: Digest,
    /// What it says.
    pub said: Promoted,
    /// What the ledger remembers of it.
    pub entry: Option<Entry>,
}

/// What stands beside `image`, by those who are trusted and whoever promotes; nothing else is asked for.
async fn beside(ports: &Ports, request: &Request, image: &ImageName) -> Result<Evidence, PromoteError> {
    let mut roots = Roots::clone(&request.verify.roots);
    if let Some(key) = &request.key {
        let own = Root::key(key.clone(), Allowed::These(BTreeSet::new()), 0);
        let kind = Pattern::parse(PROMOTION_PREDICATE).ok();
        roots.0.push(Root { predicates: Some(kind.into_iter().collect()), ..own });
    }
    let looking = verify::Request {
        roots: Arc::new(roots),
        policy: Arc::new(Policy::none()),
        platform: None,
        ..request.verify.clone()
    };
    Ok(gather(ports, &looking, image).await?)
}

/// The promotions of `image` to the target's tag, the newest first.
pub(super) async fn promotions(
    ports: &Ports,
    request: &Request,
    image: &ImageName,
) -> Result<Vec<Found>, PromoteError> {
    let (repository, tag) = (request.to.repository(), super::tag_of(&request.to));
    let evidence = beside(ports, request, image).await?;
    let found = evidence.believed().filter_map(|(opened, believed)| match &believed.said {
        Said::Promoted(said) if said.is_of(&repository, &tag) && is_first(&believed.statement, &evidence) => {
            let signer = believed.roots.first().map(|index| signer_id(&evidence.roots.0[*index].signer));
            let (image, evidence) = (evidence.judged.digest(), opened.at.digest());
            let placed = Placed { repository: &repository, image, evidence, signer };
            let entry = remembered(&believed.statement, &placed);
            Some(Found { digest: evidence, said: said.as_ref().clone(), entry })
        }
        _ => None,
    });
    let mut found: Vec<Found> = found.collect();
    found.sort_by_key(|one| (std::cmp::Reverse(one.said.promoted_on_s), one.digest));
    Ok(found)
}

/// Whether it is this image that was promoted, and not an index that it is in.
fn is_first(statement: &Statement, evidence: &Evidence) -> bool {
    let first = statement.subject.first().and_then(|subject| subject.digest.get("sha256"));
    first == Some(&evidence.judged.digest().hex())
}

/// Fails unless all of `wanted` are beside `image`, and believed.
///
/// # Errors
/// [`PromoteError::Lost`].
pub(super) async fn all_there(
    ports: &Ports,
    request: &Request,
    image: &ImageName,
    wanted: impl IntoIterator<Item = Digest>,
) -> Result<(), PromoteError> {
    let evidence = beside(ports, request, image).await?;
    let there: BTreeSet<Digest> = evidence.believed().map(|(opened, _)| opened.at.digest()).collect();
    match wanted.into_iter().find(|digest| !there.contains(digest)) {
        Some(digest) => Err(PromoteError::Lost { digest, at: image.to_string() }),
        None => Ok(()),
    }
}
