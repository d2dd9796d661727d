//! `evidence`: an archive of all that an image was judged by, and judging it again from that alone.
//!
//! What goes into the archive is judged where it will be judged later: as an OCI layout on disk, without a network. So whoever makes
//! it and whoever opens it run the same code over the same bytes.
#![expect(clippy::disallowed_methods, reason = "lays out the archive's members in a directory of its own")]

mod check;
mod collect;
mod make;
mod terms;

use std::{io, path::Path, sync::Arc};

pub use check::{Checked, Wanted, WantedPolicy, check};
pub use make::{Made, Request, make};

use super::{
    Ports,
    evidence::{EvidenceError, chain},
    verify::{Request as Verifying, Room, VerifyError, counter, gather},
};
use crate::{
    compute,
    dossier::{DossierError, Judged, LAYOUT},
    model::{Digest, ImageName, ReferenceError},
    policy::Policy,
    registry::RegistryError,
    signing::keyless::TrustedRoot,
    store::StoreError,
    verify::{Evidence, Judgement, Root, Roots, judge},
};

/// Why there is no archive, or why one could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceArchiveError {
    /// The image, or what stands beside it.
    #[error("cannot read what stands beside `{image}`")]
    Registry {
        /// Of which image.
        image: String,
        /// Why not.
        source: RegistryError,
    },
    /// The image cannot be judged.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// More than is ever opened.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This machine's disk.
    #[error("cannot use a directory of temporary files")]
    Disk(#[from] io::Error),
    /// The archive: another form, another byte.
    #[error(transparent)]
    Dossier(#[from] DossierError),
    /// The archive is whole, but cannot be judged.
    #[error("{0}")]
    Unfit(String),
    /// The directory of temporary files cannot be named.
    #[error("the directory of temporary files cannot be named")]
    Name(#[from] ReferenceError),
}

impl EvidenceArchiveError {
    /// Whether it says no, rather than that nobody can tell.
    #[must_use]
    pub fn refuses(&self) -> bool {
        match self {
            Self::Dossier(DossierError::Io(error)) => error.kind() == io::ErrorKind::UnexpectedEof,
            Self::Unfit(_) | Self::Dossier(_) => true,
            _ => false,
        }
    }
}

/// What to judge by.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Whom to believe.
    pub roots: Vec<Root>,
    /// Whose certificates to believe, where roots are identities.
    pub trusted_root: Option<Arc<TrustedRoot>>,
    /// What must be true of the image; bases and buildroots are judged each by itself, by the signers alone.
    pub policy: Policy,
    /// As of when, seconds since 1970.
    pub now_s: i64,
}

/// An image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    role: &'static str,
    name: String,
    digest: Digest,
}

/// Judges the image `digest` whose evidence lies in `dir`; `top`: by the policy.
async fn judged(
    ports: &Ports,
    terms: &Terms,
    dir: &Path,
    digest: Digest,
    top: bool,
) -> Result<(Judgement, Evidence), EvidenceArchiveError> {
    let name: ImageName = format!("oci:{}@{digest}", dir.join(LAYOUT).display()).parse()?;
    let mut policy = if top { terms.policy.clone() } else { Policy::none() };
    policy.depth = 0; // What it stands on is in the archive too, and counts by `below_counts`.
    let request = Verifying {
        roots: Arc::new(Roots(terms.roots.clone())),
        trusted_root: terms.trusted_root.clone(),
        policy: Arc::new(policy),
        now_s: terms.now_s,
        platform: None,
        room: Room::default(),
        visited: counter(),
    };
    let evidence = gather(ports, &request, &name).await?;
    let (policy, now_s) = (Arc::clone(&request.policy), request.now_s);
    Ok(compute::run(move || {
        let judgement = judge(&evidence, &policy, now_s);
        (judgement, evidence)
    })
    .await)
}

/// Where the policy asks for what an image stands on (`depth`), that must have passed too; the first is the image.
fn below_counts(judged: &mut [Judged], depth: usize) {
    let Some((image, below)) = judged.split_first_mut() else { return };
    let worst = |verdict: &str| below.iter().any(|one| one.verdict == verdict);
    let verdict = if worst("failed") {
        "failed"
    } else if worst("unknown") {
        "unknown"
    } else {
        return;
    };
    if depth > 0 && image.verdict == "passed" {
        verdict.clone_into(&mut image.verdict);
        image.codes.push(crate::verify::Code::BaseUnverified.name().to_owned());
        image.codes.sort();
        image.codes.dedup();
    }
}

/// What is written down of a judgement, and compared when it is made again.
fn recorded(role: &str, name: &str, judgement: &Judgement) -> Judged {
    let code = |finding: &crate::verify::Finding| {
        let waived = if finding.waived_by.is_some() { "waived:" } else { "" };
        format!("{waived}{}", finding.code.name())
    };
    let mut codes: Vec<_> = judgement.findings.iter().map(code).collect();
    codes.sort();
    codes.dedup();
    Judged {
        role: role.to_owned(),
        name: name.to_owned(),
        digest: judgement.descriptor.digest,
        verdict: judgement.verdict.name().to_owned(),
        level: judgement.level,
        source_level: judgement.source_level,
        codes,
    }
}

/// An error and its causes.
fn said(error: &dyn std::error::Error) -> String {
    crate::model::path::printable(&chain(error))
}
