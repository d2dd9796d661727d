//! `attest`: somebody's statement about an image that was built elsewhere, or one that is put together from evidence;
//! signed, and attached to the image (docs/attest.md).
//!
//! Read all evidence once → resolve what is attested → make a statement for each → look what is there already → push:
//! blobs, manifests, the list. Nothing is signed again that the same key has signed before.

mod attach;
mod evidence;
mod inside;
mod take;
mod targets;

use std::{collections::BTreeMap, io, path::PathBuf};

use self::{
    evidence::Gathered,
    take::Taken,
    targets::{Target, Targets},
};
pub use self::{
    evidence::{Checked, Commit, Document, Evidence, Material},
    targets::Platforms,
};
use super::Ports;
use crate::{
    attest::{
        EvidenceRef, Foreign, Missing, Subject, SubjectKind,
        adapters::AdapterError,
        assemble::{AssembleError, Assembled},
    },
    model::{Digest, ImageName, names::SLSA_PROVENANCE},
    oci::OciError,
    registry::RegistryError,
    signing::{SignError, Signer},
    source::SourceError,
    store::StoreError,
};

/// What to attest, as the caller chose it.
#[derive(Debug)]
pub struct Request {
    /// The image.
    pub image: ImageName,
    /// What of it.
    pub platforms: Platforms,
    /// What is said.
    pub said: Said,
    /// Whether what a statement names decides which image is attested (`--subject-from-statement`).
    pub subject_from_statement: bool,
    /// Signs it; none only where nothing is attached and no bundle written.
    pub key: Option<Signer>,
    /// Whether cosign 2's attachment is added to as well.
    pub legacy: bool,
    /// What becomes of it.
    pub then: Then,
}

/// What is said.
#[derive(Debug)]
pub enum Said {
    /// A statement or predicate in a file.
    Foreign(Foreign),
    /// What follows from evidence.
    Evidence(Box<Evidence>),
}

/// What becomes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is signed and attached.
    Attach,
    /// It is signed, and the bundle handed back.
    Bundle,
    /// Neither.
    Nothing,
}

/// Why nothing was attested.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file was written to, or is gone, while it was read.
    #[error("`{}` changed or vanished while it was read; attest it once it is whole", .0.display())]
    Changed(PathBuf),
    /// A document that is none.
    #[error("`{what}` is no evidence")]
    Adapter {
        /// Which.
        what: String,
        /// Why not.
        source: AdapterError,
    },
    /// A document about other images.
    #[error("`{what}` is about another image ({}), not about {subject}", shown(.named))]
    Foreign {
        /// Which.
        what: String,
        /// The images that it names.
        named: Vec<Digest>,
        /// What was to be attested.
        subject: String,
    },
    /// A document with several statements about the image.
    #[error("`{0}` holds several provenances of this image; hand in the one that is meant")]
    Several(String),
    /// Nothing in the image is evidence.
    #[error(
        "`{0}` carries no provenance: no attestation of BuildKit's in its index, no label that names a commit"
    )]
    Nothing(String),
    /// An index, and nobody said what of it.
    #[error("`{image}` is an index of several images ({}); say --all-platforms or --platform", platforms.join(", "))]
    Index {
        /// Which.
        image: String,
        /// What it has.
        platforms: Vec<String>,
    },
    /// An index with too many images.
    #[error("an index of {0} images is more than is attested at once; attest one --platform after the other")]
    Platforms(usize),
    /// An entry of an index that is not what the index says.
    #[error("{0} is not the image that its index says")]
    Entry(Digest),
    /// Not what an image is.
    #[error("the image cannot be read")]
    Oci(#[from] OciError),
    /// The commit is not there.
    #[error("commit {commit} does not exist in `{place}`")]
    NoCommit {
        /// Its id.
        commit: String,
        /// Where it was looked for.
        place: String,
        /// What git says.
        source: SourceError,
    },
    /// The id is there, but of something else.
    #[error("{commit} is no commit: git reads it as {actual}; give that one if it is meant")]
    NotACommit {
        /// What was asked for.
        commit: String,
        /// The commit it leads to.
        actual: String,
    },
    /// The place of the commit is no such place.
    #[error("--commit `{0}` cannot be looked at")]
    Place(String, #[source] SourceError),
    /// Pieces of evidence that contradict each other.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The registry, or the layout.
    #[error("cannot read `{image}`")]
    Registry {
        /// Which image.
        image: String,
        /// Why not.
        source: RegistryError,
    },
    /// It could not be attached.
    #[error("cannot attach to `{image}`")]
    Attach {
        /// Which image.
        image: String,
        /// Why not.
        source: RegistryError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// At most three of some digests, for a message.
fn shown(digests: &[Digest]) -> String {
    if digests.is_empty() {
        return "it names no image".to_owned();
    }
    let first: Vec<_> = digests.iter().take(3).map(Digest::to_string).collect();
    let more = if digests.len() > 3 { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The manifest or index that the name means.
    pub root: Digest,
    /// Type of the predicate.
    pub predicate_type: String,
    /// What was attested, an index after its images.
    pub subjects: Vec<Made>,
    /// Whether the commit was found, if one was named.
    pub checked: Option<Checked>,
    /// What should be told.
    pub warnings: Vec<String>,
}

/// One statement, and what became of it.
#[derive(Debug)]
pub struct Made {
    /// What it is about.
    pub digest: Digest,
    /// Whether that is an image or an index.
    pub kind: SubjectKind,
    /// Its platform, if it is known.
    pub platform: Option<String>,
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// What it was put together from.
    pub evidence: Vec<EvidenceRef>,
    /// What a rebuild would need and nobody named.
    pub missing: Vec<Missing>,
    /// Where it is now.
    pub attached: Option<Attached>,
    /// The signed bundle, with [`Then::Bundle`].
    pub bundle: Option<Vec<u8>>,
}

/// Where a statement is attached.
#[derive(Debug, Clone, Copy)]
pub struct Attached {
    /// The referrer's manifest.
    pub digest: Digest,
    /// Whether it was there before.
    pub existing: bool,
    /// Manifest of what is kept beside it.
    pub evidence: Option<Digest>,
    /// Manifest of cosign 2's attachments.
    pub legacy: Option<Digest>,
}

/// A statement to be signed, and what is kept beside the image for it.
#[derive(Debug, Default)]
struct Draft {
    payload: Vec<u8>,
    evidence: Vec<EvidenceRef>,
    missing: Vec<Missing>,
    /// Blobs of the store, with media type.
    kept: Vec<(Taken, &'static str)>,
}

/// Makes, signs and attaches a statement for each manifest that is meant.
///
/// # Errors
/// [`AttestError`]. What was attached before stays; doing the same again completes it.
pub async fn attest(ports: &Ports, request: &Request) -> Result<Outcome, AttestError> {
    let (targets, drafts, gathered) = match &request.said {
        Said::Foreign(foreign) => {
            let targets = foreign_targets(ports, request, foreign).await?;
            let drafts = foreign_drafts(request, foreign, &targets)?;
            (targets, drafts, None)
        }
        Said::Evidence(evidence) => {
            // Files first: they may be pipes, or gone in a moment.
            let mut gathered = Gathered::read(ports, evidence).await?;
            let targets = targets::resolve(ports, &request.image, &request.platforms).await?;
            let drafts = gathered.drafts(ports, request, evidence, &targets).await?;
            (targets, drafts, Some(gathered))
        }
    };
    let predicate_type = match &request.said {
        Said::Foreign(foreign) => foreign.predicate_type().to_owned(),
        Said::Evidence(_) => SLSA_PROVENANCE.to_owned(),
    };
    let (mut subjects, mut warnings) = (Vec::new(), Vec::new());
    for (target, draft) in targets.all.iter().zip(drafts) {
        let Some(draft) = draft else { continue };
        let mut made = Made {
            digest: target.descriptor.digest,
            kind: target.kind,
            platform: target.platform.clone(),
            payload: draft.payload,
            evidence: draft.evidence,
            missing: draft.missing,
            attached: None,
            bundle: None,
        };
        match (request.then, &request.key) {
            (Then::Attach, Some(key)) => {
                let attaching = attach::Attaching {
                    ports,
                    image: &request.image,
                    subject: &target.descriptor,
                    predicate_type: &predicate_type,
                    key,
                    legacy: request.legacy,
                };
                made.attached = Some(attaching.attach(&made.payload, &draft.kept, &mut warnings).await?);
            }
            (Then::Bundle, Some(key)) => made.bundle = Some(attach::bundle(key, &made.payload).await?.1),
            _ => {}
        }
        subjects.push(made);
    }
    let (checked, told) = gathered.map(|gathered| (gathered.checked, gathered.warnings)).unwrap_or_default();
    warnings.splice(0..0, told);
    warnings.dedup();
    Ok(Outcome { root: targets.root, predicate_type, subjects, checked, warnings })
}

/// What a foreign statement is attached to: what the name means, or what the statement names in that repository.
async fn foreign_targets(
    ports: &Ports,
    request: &Request,
    foreign: &Foreign,
) -> Result<Targets, AttestError> {
    if !request.subject_from_statement {
        return targets::resolve(ports, &request.image, &request.platforms).await;
    }
    let named = foreign.subjects();
    let (mut all, mut root) = (Vec::new(), None);
    for digest in &named {
        match targets::one(ports, &request.image.at(*digest)).await {
            Ok(target) => {
                root.get_or_insert(target.descriptor.digest);
                all.push(target);
            }
            Err(AttestError::Registry { source, .. }) if source.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    let root = root.ok_or_else(|| AttestError::Foreign {
        what: "--statement".to_owned(),
        named,
        subject: format!("anything in {}", request.image.repository()),
    })?;
    Ok(Targets { root, all })
}

fn foreign_drafts(
    request: &Request,
    foreign: &Foreign,
    targets: &Targets,
) -> Result<Vec<Option<Draft>>, AttestError> {
    let drafts: Vec<_> = targets
        .all
        .iter()
        .map(|target| {
            let payload = foreign.payload(&subject(&request.image, target), &target.descriptor.digest)?;
            Some(Draft { payload, ..Draft::default() })
        })
        .collect();
    if drafts.iter().all(Option::is_none) {
        let subject = match targets.all.as_slice() {
            [only] => only.descriptor.digest.to_string(),
            _ => format!("any image of {}", targets.root),
        };
        return Err(AttestError::Foreign {
            what: "--statement".to_owned(),
            named: foreign.subjects(),
            subject,
        });
    }
    Ok(drafts)
}

/// What a statement of ours is about.
fn subject(image: &ImageName, target: &Target) -> Subject {
    // Where a layout lies is nobody's business.
    let name = match &image.location {
        crate::model::Location::Registry { .. } => image.repository(),
        crate::model::Location::Layout(_) => String::new(),
    };
    Subject::new(name, &target.descriptor.digest)
}

/// The draft of what was put together for `target`; its list of packages goes to the store.
fn draft(
    ports: &Ports,
    image: &ImageName,
    target: &Target,
    assembled: Assembled,
    mut kept: Vec<(Taken, &'static str)>,
) -> Result<Draft, AttestError> {
    if let Some(bytes) = &assembled.packages {
        let digest = ports.store.put(bytes)?;
        let name = format!("{}.json", crate::attest::assemble::PACKAGES);
        kept.push((Taken { name, digest, size_bytes: bytes.len() as u64 }, crate::model::names::JSON));
    }
    let attested = assembled.attested;
    Ok(Draft {
        payload: attested.statement(subject(image, target)).to_bytes(),
        evidence: attested.internal.evidence,
        missing: attested.internal.missing,
        kept,
    })
}

/// Blobs that are kept, each once, in order of their names.
fn once(kept: impl IntoIterator<Item = (Taken, &'static str)>) -> Vec<(Taken, &'static str)> {
    let all: BTreeMap<_, _> = kept
        .into_iter()
        .map(|(taken, media_type)| ((taken.name.clone(), taken.digest), (taken, media_type)))
        .collect();
    all.into_values().collect()
}
