//! What is known of an image before anybody judges it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Code, Judgement, Roots};
use crate::{
    attest::{Promoted, Rebuilt, Statement, Summary, View},
    model::{Descriptor, Digest, ResourceDescriptor, path::printable},
    transcript::Transcript,
};

/// What is judged: a manifest or an index, by its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Its name, with its digest.
    pub image: String,
    /// Its type, digest and size.
    pub descriptor: Descriptor,
    /// SHA-512 of its bytes, in hex: statements may name it by that.
    pub sha512: String,
    /// Whether it is an index of images rather than one.
    pub index: bool,
}

impl Judged {
    /// Of its bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.descriptor.digest
    }
}

/// Where an attestation was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a referrer; the digest of its manifest.
    Referrer(Digest),
    /// In a layer under cosign 2's tag; the layer's digest.
    Legacy(Digest),
    /// In a file; the digest of its bytes.
    File(Digest),
}

impl Place {
    /// The digest that names it (WIRE.md §7).
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Referrer(digest) | Self::Legacy(digest) | Self::File(digest) => *digest,
        }
    }
}

/// What an attestation's bytes should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A sigstore bundle.
    Bundle,
    /// A bare DSSE envelope.
    Envelope,
    /// A statement that nobody signed.
    Statement,
}

/// Bytes that may be an attestation. They are those of their digest; nothing else is known.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where they were found.
    pub at: Place,
    /// What they should be.
    pub form: Form,
    /// Themselves.
    pub bytes: Vec<u8>,
    /// The predicate type that an unsigned annotation beside them names.
    pub annotated: Option<String>,
    /// Of a bundle with a certificate: the roots that are identities and made it; indices. Found out before, since it
    /// takes a trusted root.
    pub vouched: Vec<usize>,
    /// Why none of them did.
    pub doubt: Option<String>,
}

impl Candidate {
    /// A candidate that no certificate vouches for.
    #[must_use]
    pub fn new(at: Place, form: Form, bytes: Vec<u8>, annotated: Option<String>) -> Self {
        Self { at, form, bytes, annotated, vouched: Vec::new(), doubt: None }
    }
}

/// An attestation that nobody believes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which; none: it has no digest.
    pub at: Option<Digest>,
    /// Why, in a word.
    pub code: Code,
    /// Why, in a sentence; printable.
    pub why: String,
    /// Whether it was looked at. What is too large, or not what the registry promised, may say anything.
    pub seen: bool,
}

impl Refused {
    /// A refusal; `why` may hold a stranger's words.
    #[must_use]
    pub fn new(at: Option<Digest>, code: Code, why: &str) -> Self {
        Self { at, code, why: printable(&why.chars().take(400).collect::<String>()), seen: true }
    }

    /// One of something that was not looked at.
    #[must_use]
    pub fn unseen(at: Option<Digest>, code: Code, why: &str) -> Self {
        Self { seen: false, ..Self::new(at, code, why) }
    }
}

/// What could not be looked at though it may well exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Which; none: the list itself.
    pub at: Option<Digest>,
    /// Why not; printable.
    pub why: String,
}

/// What a believed statement says, by its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// How the image was built.
    Provenance(Box<View>),
    /// What came of building it again.
    Rebuilt(Box<Rebuilt>),
    /// That somebody verified it.
    Summary(Box<Summary>),
    /// That a tag was moved to it.
    Promoted(Box<Promoted>),
    /// Anything else.
    Other,
}

/// A statement by a signer who may make it, about this image.
#[derive(Debug, Clone, PartialEq)]
pub struct Believed {
    /// The statement; of a provenance without the lists that `said` has.
    pub statement: Statement,
    /// What it says.
    pub said: Said,
    /// The roots that vouch for it: indices; never empty.
    pub roots: Vec<usize>,
}

/// An attestation that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// Where it was found.
    pub at: Place,
    /// What it says it is; none if that cannot be read. Unsigned where it is not believed.
    pub predicate_type: Option<String>,
    /// Digest of the statement's bytes, if there is one.
    pub statement: Option<Digest>,
    /// Who signed it, of those who are trusted.
    pub signer: Option<String>,
    /// Whether it is believed.
    pub state: State,
    /// A summary about commits and nothing else, by a signer who may make it. Of the image it says nothing by itself, so
    /// it is not believed: it counts where a believed provenance names such a commit, and nowhere else.
    pub of_commits: Option<Box<Believed>>,
    /// What an unsigned annotation names it, if that is another type than it has.
    pub annotated: Option<String>,
}

/// Whether an attestation is believed.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It is.
    Believed(Box<Believed>),
    /// It is not, and why.
    Refused(Refused),
}

/// A blob that provenance names, and whether it is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    There,
    /// The registry has it not.
    Gone,
    /// The registry gave other bytes.
    Altered(String),
    /// Nobody can tell.
    Unread(String),
}

/// An image that this one stands on, and what came of verifying it.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// `base` or `buildroot`.
    pub role: String,
    /// What provenance says of it.
    pub named: ResourceDescriptor,
    /// What came of it; why it could not be looked at.
    pub outcome: Result<Box<Judgement>, String>,
}

/// All there is to judge one image by.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// What is judged.
    pub judged: Judged,
    /// Whom to believe.
    pub roots: Arc<Roots>,
    /// Bytes of attestations and transcripts that were read.
    pub size_bytes: u64,
    /// Attestations that were opened, in the order of their digests.
    pub opened: Vec<Opened>,
    /// What was refused before it could be opened.
    pub refused: Vec<Refused>,
    /// What could not be fetched.
    pub unread: Vec<Unread>,
    /// Blobs that provenance names, as far as somebody looked.
    pub presence: BTreeMap<Digest, Presence>,
    /// Artifact types of what else refers to the image, by the registry's word.
    pub artifact_types: BTreeSet<String>,
    /// What the builds fetched, by the transcript's digest, where a policy asks for it.
    pub transcripts: BTreeMap<Digest, Result<Arc<Transcript>, String>>,
    /// What it stands on, as far as somebody looked; by the digest of the provenance that names it.
    pub dependencies: BTreeMap<Digest, Vec<Dependency>>,
}

impl Evidence {
    /// Evidence with nothing in it yet.
    #[must_use]
    pub fn new(judged: Judged, roots: Arc<Roots>) -> Self {
        Self {
            judged,
            roots,
            size_bytes: 0,
            opened: Vec::new(),
            refused: Vec::new(),
            unread: Vec::new(),
            presence: BTreeMap::new(),
            artifact_types: BTreeSet::new(),
            transcripts: BTreeMap::new(),
            dependencies: BTreeMap::new(),
        }
    }

    /// What is believed, with where it stands.
    pub fn believed(&self) -> impl Iterator<Item = (&Opened, &Believed)> {
        self.opened.iter().filter_map(|opened| match &opened.state {
            State::Believed(believed) => Some((opened, believed.as_ref())),
            State::Refused(_) => None,
        })
    }

    /// The provenances that are believed.
    pub fn provenances(&self) -> impl Iterator<Item = (&Opened, &Believed, &View)> {
        self.believed().filter_map(|(opened, believed)| match &believed.said {
            Said::Provenance(view) => Some((opened, believed, view.as_ref())),
            _ => None,
        })
    }

    /// Everything that is not believed; what is said of the commit it was built from is no part of that.
    pub fn refusals(&self) -> impl Iterator<Item = &Refused> {
        let opened = self.opened.iter().filter_map(|opened| match &opened.state {
            State::Refused(refused) if !super::rules::commit::speaks(self, opened) => Some(refused),
            _ => None,
        });
        opened.chain(&self.refused)
    }
}

/// When a statement says it was made, in the field where its kind has that; seconds since 1970.
pub(super) fn made_s(believed: &Believed) -> Option<i64> {
    const FIELDS: [&str; 9] = [
        "/timeCreated",          // svr
        "/timestamp",            // cosign's vuln and custom predicates
        "/metadata/timestamp",   // CycloneDX
        "/creationInfo/created", // SPDX 2
        "/scanner/result/scanFinishedOn",
        "/metadata/scanFinishedOn", // cosign's vuln, in-toto's vulns
        "/scanFinishedOn",
        "/metadata/createdOn",
        "/finishedOn",
    ];
    match &believed.said {
        Said::Provenance(view) => view.finished_on_s.or(view.started_on_s),
        Said::Rebuilt(rebuilt) => Some(rebuilt.finished_on_s),
        Said::Summary(summary) => summary.verified_on_s(),
        Said::Promoted(promoted) => Some(promoted.promoted_on_s),
        Said::Other => {
            let predicate = &believed.statement.predicate;
            let text = FIELDS.iter().find_map(|field| predicate.pointer(field)?.as_str());
            text.and_then(crate::model::time::parse_rfc3339)
        }
    }
}
