//! Commit: everything but the tag, then the tag.

use std::collections::{BTreeMap, BTreeSet};

use super::{PromoteError, Request, Weighing, look::all_there, tag_of, weigh::standing};
use crate::{
    attest::{ByPolicy, Moved, Promoted, PromotedImage, Promoter, Statement, Subject},
    host,
    job::{
        Ports,
        copy::{self, Blobs, bring},
        publish::{Publisher, written},
    },
    model::{Descriptor, Digest, names},
    progress::Update,
    signing::Signer,
    verify::{
        Verdict,
        promotion::{Objection, PromotionCode},
    },
};

/// What came of committing.
#[derive(Debug)]
pub struct Committed {
    /// Whether the tag was moved.
    pub outcome: Outcome,
    /// The statement that was attached to what the tag names; of an unmoved tag, the one that was there.
    pub attestation: Option<Digest>,
    /// Itself, if one was made.
    pub statement: Option<Statement>,
    /// How the blobs came to the target.
    pub blobs: Blobs,
    /// Manifests: the image's, and of all that belongs to it.
    pub manifests: usize,
    /// What is listed beside the image but cannot be copied, and why.
    pub left: Vec<(String, String)>,
}

/// Whether the tag was moved.
#[derive(Debug)]
pub enum Outcome {
    /// It was.
    Moved,
    /// It named the image already; what was missing beside it was brought.
    Completed,
    /// It named the image already, promoted: nothing was written.
    Unchanged,
    /// It was not, for what happened meanwhile.
    Refused(Objection),
}

/// Carries out a decision that passed. Killed anywhere, the tag is where it was, or at the image with all its evidence.
///
/// # Errors
/// [`PromoteError`]; the tag is where it was then, or the registry did not say what came of writing it.
pub async fn commit(
    ports: &Ports,
    request: &Request,
    weighing: &Weighing,
    promoter: &str,
    key: &Signer,
) -> Result<Committed, PromoteError> {
    let (Some(from), Some(root)) = (&weighing.from, &weighing.root) else {
        let text = format!("nothing is known to move `{}` to", weighing.to);
        return Ok(Committed::stopped(Objection::new(PromotionCode::NothingToUndo, text)));
    };
    if let Some(already) = &weighing.already {
        let attestation = Some(already.attestation);
        return Ok(Committed { attestation, ..Committed::stopped_as(Outcome::Unchanged) });
    }
    let copying =
        copy::Request { from: from.clone(), to: weighing.to.clone(), platform: None, overwrite: true };
    let brought = bring(ports, &copying).await?;
    if let Some(moved) = moved(weighing, brought.before) {
        return Ok(Committed::stopped(moved));
    }
    ports.progress.update(Update::Phase("attest", &weighing.to.to_string()));
    let said = said(request, weighing, root, promoter, key, host::now_s());
    let mut subjects = vec![root.clone()];
    let images = weighing.images.iter().map(|one| &one.judgement.descriptor);
    subjects.extend(images.filter(|image| image.digest != root.digest).cloned());
    let repository = weighing.to.repository();
    let named = subjects.iter().map(|subject| Subject::new(repository.as_str(), &subject.digest));
    let statement = said.statement(named.collect());
    let attached = attach(ports, weighing, &subjects, &statement, key).await?;
    check(ports, request, weighing, &attached).await?;
    let mut committed = Committed {
        outcome: Outcome::Moved,
        attestation: attached.get(&root.digest).copied(),
        statement: Some(statement),
        blobs: brought.blobs,
        manifests: brought.manifests,
        left: brought.left.clone(),
    };
    let now = standing(ports, &weighing.to).await?;
    if now == Some(root.digest) {
        committed.outcome = Outcome::Completed;
    } else if let Some(moved) = moved(weighing, now) {
        committed.outcome = Outcome::Refused(moved);
    } else {
        brought.tag(ports).await?;
    }
    Ok(committed)
}

impl Committed {
    fn stopped(objection: Objection) -> Self {
        Self::stopped_as(Outcome::Refused(objection))
    }

    fn stopped_as(outcome: Outcome) -> Self {
        let (blobs, left) = (Blobs::default(), Vec::new());
        Self { outcome, attestation: None, statement: None, blobs, manifests: 0, left }
    }
}

/// Whether the tag names something else than when it was decided.
fn moved(weighing: &Weighing, now: Option<Digest>) -> Option<Objection> {
    let known = weighing.root.as_ref().map(|root| root.digest);
    if now == weighing.before || (now.is_some() && now == known) {
        return None;
    }
    let shown = |digest: Option<Digest>| digest.map_or("nothing".to_owned(), |digest| digest.to_string());
    let text = format!(
        "`{}` was {} and is {} now, moved by somebody else",
        weighing.to,
        shown(weighing.before),
        shown(now)
    );
    Some(Objection::new(PromotionCode::TagMoved, text))
}

/// What is signed.
fn said(
    request: &Request,
    weighing: &Weighing,
    root: &Descriptor,
    promoter: &str,
    key: &Signer,
    now_s: i64,
) -> Promoted {
    let policy = &request.verify.policy;
    let decision = &weighing.decision;
    let from = weighing.from.clone().map(|mut from| {
        from.selector.digest = None;
        from.to_string()
    });
    let images = weighing.images.iter().map(|one| PromotedImage {
        digest: one.judgement.descriptor.digest,
        platform: one.platform.clone(),
        evidence: one.judgement.used.clone(),
    });
    Promoted {
        action: if request.from.is_some() { Moved::Promote } else { Moved::Undo },
        from: from.unwrap_or_default(),
        to: weighing.to.repository(),
        tag: tag_of(&weighing.to),
        before: weighing.before.filter(|before| *before != root.digest),
        policy: ByPolicy {
            name: policy.name.clone(),
            uri: policy.uri.clone(),
            digest: policy.digest.unwrap_or_else(|| Digest::of(&[])), // `promote` asks for a policy.
        },
        decision: decision.digest,
        images: images.collect(),
        waived: decision.waived.clone(),
        overridden: decision.overridden.clone(),
        not_asked: decision.not_asked.iter().map(|&name| name.to_owned()).collect(),
        promoter: Promoter {
            id: promoter.to_owned(),
            key: key.public().fingerprint(),
            version: BTreeMap::from([("reprov".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        },
        promoted_on_s: now_s,
    }
}

/// Signs once, and attaches it to each of `subjects`; the referrers, by subject.
async fn attach(
    ports: &Ports,
    weighing: &Weighing,
    subjects: &[Descriptor],
    statement: &Statement,
    key: &Signer,
) -> Result<BTreeMap<Digest, Digest>, PromoteError> {
    let (media_type, bytes) = written(statement, Some(key)).await?;
    ports.store.put(&bytes)?;
    let layer = Descriptor::of(media_type, &bytes);
    let annotations = BTreeMap::from([
        (names::BUNDLE_CONTENT.to_owned(), "dsse-envelope".to_owned()),
        (names::BUNDLE_PREDICATE_TYPE.to_owned(), statement.predicate_type.clone()),
    ]);
    let mut attached = BTreeMap::new();
    // The one that the tag will name last: a run that finds its statement finds all of them.
    for subject in subjects.iter().rev() {
        let about = Descriptor::new(&subject.media_type, subject.digest, subject.size);
        let publisher = Publisher::new(ports, &weighing.to, about);
        let layers = std::slice::from_ref(&layer);
        let put = publisher.artifact(media_type, layers, &annotations, None).await?;
        publisher.list().await?;
        attached.insert(subject.digest, put.digest);
    }
    Ok(attached)
}

/// Everything that the image was let through on is beside it now, and so is the statement that it was.
async fn check(
    ports: &Ports,
    request: &Request,
    weighing: &Weighing,
    attached: &BTreeMap<Digest, Digest>,
) -> Result<(), PromoteError> {
    let mut wanted: BTreeMap<Digest, BTreeSet<Digest>> =
        attached.iter().map(|(subject, own)| (*subject, BTreeSet::from([*own]))).collect();
    let index = weighing.index.iter().filter(|index| index.verdict == Verdict::Passed);
    for judgement in weighing.images.iter().map(|one| &one.judgement).chain(index) {
        wanted.entry(judgement.descriptor.digest).or_default().extend(&judgement.used);
    }
    for (subject, wanted) in wanted {
        all_there(ports, request, &weighing.to.at(subject), wanted).await?;
    }
    Ok(())
}
