//! Gather and judge: nothing is written.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Parts, PromoteError, Request, look::promotions, parts::parts, tag_of};
use crate::{
    attest::Moved,
    entry::Entry,
    job::{
        Ports,
        verify::{self, verify},
    },
    model::{Descriptor, Digest, ImageName, chain, limits::VERIFIED_AT_ONCE_MAX, path::printable},
    progress::Update,
    verify::{
        Judgement,
        promotion::{Decision, Objection, PromotionCode, Proposal, Standing, Weighed, decide, is_age_unread},
    },
};

/// What came of gathering and judging.
#[derive(Debug)]
pub struct Weighing {
    /// Whether the tag may be moved, and why.
    pub decision: Decision,
    /// Where the image is, by its digest; none: there is none to go back to.
    pub from: Option<ImageName>,
    /// Whose tag is moved; with a tag, without a digest.
    pub to: ImageName,
    /// The image or index.
    pub root: Option<Descriptor>,
    /// What came of the index itself, if it is one.
    pub index: Option<Judgement>,
    /// What came of the image, or of each image of the index.
    pub images: Vec<Weighed>,
    /// What the tag named when it was looked at.
    pub before: Option<Digest>,
    /// The statement of the promotion, if the tag names the image already and one stands beside it.
    pub already: Option<Already>,
}

/// A promotion that was made before.
#[derive(Debug, Clone)]
pub struct Already {
    /// Its referrer.
    pub attestation: Digest,
    /// What the ledger remembers of it.
    pub entry: Option<Entry>,
}

/// Gathers what there is on the image and on what the target's tag names, and decides.
///
/// # Errors
/// [`PromoteError`] if nobody can tell: something could not be looked at.
pub async fn weigh(ports: &Ports, request: &Request) -> Result<Weighing, PromoteError> {
    let mut to = request.to.clone();
    (to.selector.tag, to.selector.digest) = (Some(tag_of(&request.to)), None);
    ports.progress.update(Update::Phase("look at", &to.to_string()));
    let before = standing(ports, &to).await?;
    let from = match &request.from {
        Some(from) => Ok(from.clone()),
        None => back(ports, request, &to, before).await?,
    };
    let from = match from {
        Ok(from) => from,
        Err(objection) => return Ok(nowhere(objection, to, before)),
    };
    let found = match parts(ports, &from).await {
        Err(PromoteError::Read { source, .. }) if source.is_not_found() && request.from.is_none() => {
            let gone = from.selector.digest.map(|digest| digest.to_string()).unwrap_or_default();
            let text = format!("{gone}, which the tag named before, is gone");
            return Ok(nowhere(Objection::new(PromotionCode::UndoGone, text), to, before));
        }
        found => found?,
    };
    let mut pinned = from.at(found.root.digest);
    if request.from.is_some() && from.selector.digest.is_some() && from.selector.tag.is_some() {
        // A tag beside a digest is only what the caller says, unless it leads there.
        let tagged = from.repository().parse().map(|mut tagged: ImageName| {
            tagged.selector.tag.clone_from(&from.selector.tag);
            tagged
        });
        let leads = match tagged {
            Ok(tagged) => standing(ports, &tagged).await? == Some(found.root.digest),
            Err(_) => false,
        };
        if !leads {
            pinned.selector.tag = None;
        }
    }
    let from = pinned;
    ports.progress.update(Update::Phase("verify", &from.to_string()));
    let index = if found.index { Some(vouched(ports, request, &from).await?) } else { None };
    let images = judged(ports, &request.verify, &from, &found).await?;
    let standing = match before {
        Some(digest) => Some(replaced(ports, request, &to.at(digest), digest == found.root.digest).await),
        None => None,
    };
    let proposal = Proposal {
        undo: request.from.is_none(),
        from: from.repository(),
        from_tag: from.selector.tag.clone(),
        to: to.repository(),
        tag: tag_of(&to),
        digest: found.root.digest,
        index,
        images,
        standing,
    };
    let decision = decide(&proposal, &request.verify.policy, &request.gate);
    let already = if before == Some(found.root.digest) {
        let there = promotions(ports, request, &to.at(found.root.digest)).await?;
        there.into_iter().next().map(|one| Already { attestation: one.digest, entry: one.entry })
    } else {
        None
    };
    let Proposal { index, images, .. } = proposal;
    Ok(Weighing { decision, from: Some(from), to, root: Some(found.root), index, images, before, already })
}

fn nowhere(objection: Objection, to: ImageName, before: Option<Digest>) -> Weighing {
    let decision = Decision::refused(objection);
    Weighing { decision, from: None, to, root: None, index: None, images: Vec::new(), before, already: None }
}

/// What the tag of `to` names now.
pub(super) async fn standing(ports: &Ports, to: &ImageName) -> Result<Option<Digest>, PromoteError> {
    let tagged = ports.registries.tagged(to).await;
    tagged.map_err(|source| PromoteError::Read { what: format!("the tag `{to}`"), source })
}

/// Where to go back to: what the newest promotion of the image that the tag names says it replaced.
async fn back(
    ports: &Ports,
    request: &Request,
    to: &ImageName,
    now: Option<Digest>,
) -> Result<Result<ImageName, Objection>, PromoteError> {
    let nothing = |text: String| Ok(Err(Objection::new(PromotionCode::NothingToUndo, text)));
    let Some(now) = now else { return nothing(format!("there is no tag `{to}`")) };
    let there = promotions(ports, request, &to.at(now)).await?;
    // What went back came from further ahead: that is not where one goes back to.
    let Some(last) = there.into_iter().find(|one| one.said.action == Moved::Promote) else {
        return nothing(format!("`{to}` names {now}, and no trusted signer says that it was promoted to it"));
    };
    match last.said.before {
        Some(before) if before != now => Ok(Ok(to.at(before))),
        _ => nothing(format!("before {now} was promoted to it, there was no tag `{to}`")),
    }
}

/// The index itself, by who vouches for it; what is asked of images is asked of those in it.
async fn vouched(ports: &Ports, request: &Request, index: &ImageName) -> Result<Judgement, PromoteError> {
    let policy = Arc::new(request.verify.policy.below(0));
    let request = verify::Request { policy, platform: None, ..request.verify.clone() };
    Ok(verify(ports, &request, index).await?)
}

async fn judged(
    ports: &Ports,
    request: &verify::Request,
    name: &ImageName,
    parts: &Parts,
) -> Result<Vec<Weighed>, PromoteError> {
    let request = &verify::Request { platform: None, ..request.clone() };
    let each: Vec<_> = parts
        .images
        .iter()
        .map(|(platform, digest)| async move {
            let judgement = verify(ports, request, &name.at(*digest)).await?;
            Ok::<_, PromoteError>(Weighed { platform: platform.clone(), judgement })
        })
        .collect();
    stream::iter(each).buffered(VERIFIED_AT_ONCE_MAX).try_collect().await
}

/// When and of what the image was built that is to be replaced; it is not judged by more than its signer. One that the
/// registry does not have any more is nobody's older or newer build.
async fn replaced(ports: &Ports, request: &Request, there: &ImageName, same: bool) -> Standing {
    let digest = there.selector.digest.unwrap_or_else(|| Digest::of(&[])); // It was named by digest.
    if same {
        return Standing { digest, built: Vec::new(), unread: None };
    }
    let policy = Arc::new(request.verify.policy.below(0));
    let looking = verify::Request { policy, ..request.verify.clone() };
    let look = async {
        let found = parts(ports, there).await?;
        judged(ports, &looking, there, &found).await
    };
    match look.await {
        Ok(images) => {
            let unread = images.iter().find(|one| is_age_unread(&one.judgement)).map(|one| {
                format!("what stands beside {} could not be read", one.judgement.descriptor.digest)
            });
            let built = images.into_iter().map(|one| (one.platform, one.judgement.built)).collect();
            Standing { digest, built, unread }
        }
        Err(PromoteError::Read { what, source }) if source.is_not_found() && what == format!("`{there}`") => {
            Standing { digest, built: vec![(None, None)], unread: None }
        }
        Err(error) => Standing { digest, built: Vec::new(), unread: Some(printable(&chain(&error))) },
    }
}
