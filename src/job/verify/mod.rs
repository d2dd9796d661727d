//! `verify`: gather what stands beside an image, judge it (`crate::verify`), and, if asked to, attest what came of it.

mod attest;
mod deepen;
mod gather;
pub mod keyless;
mod recurse;

use std::sync::{Arc, atomic::AtomicUsize};

use tokio::sync::Semaphore;

pub use attest::{Identity, attest};
pub use gather::gather;
pub use recurse::counter;

use super::{Ports, evidence::EvidenceError};
use crate::{
    compute, host,
    model::{ImageName, limits},
    policy::Policy,
    registry::RegistryError,
    signing::keyless::TrustedRoot,
    verify::{Evidence, Judgement, Roots, judge},
};

/// What to verify by. One for all images of a run.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whom to believe.
    pub roots: Arc<Roots>,
    /// Whose certificates to believe, where the policy trusts identities.
    pub trusted_root: Option<Arc<TrustedRoot>>,
    /// What must be true.
    pub policy: Arc<Policy>,
    /// As of when, seconds since 1970.
    pub now_s: i64,
    /// The platform to judge, of images that are indexes; none: the index itself.
    pub platform: Option<String>,
    /// How much may be held at once, over all images.
    pub room: Room,
    /// Images below one that were verified so far.
    pub visited: Arc<AtomicUsize>,
}

/// How many bytes of attestations may be held at once, in KiB.
#[derive(Debug, Clone)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(kib(limits::EVIDENCE_HELD_BYTES_MAX))))
    }
}

impl Room {
    /// Waits until `size_bytes` more may be held; what is more than all there is waits for all of it.
    async fn take(&self, size_bytes: u64) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let wanted = u32::try_from(kib(size_bytes.min(limits::EVIDENCE_HELD_BYTES_MAX))).unwrap_or(u32::MAX);
        Arc::clone(&self.0).acquire_many_owned(wanted).await.ok()
    }
}

fn kib(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(1024)).unwrap_or(usize::MAX)
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The image, or the list of what refers to it.
    #[error("cannot look at `{image}`")]
    Registry {
        /// Which image.
        image: String,
        /// Why not.
        source: RegistryError,
    },
    /// More attestations than are ever read.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

impl VerifyError {
    /// Whether the registry was asked, and has no such image.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Registry { source, .. } if source.is_not_found())
    }
}

/// Gathers what there is on `image` and judges it.
///
/// # Errors
/// [`VerifyError`] if nobody can tell: the image or the list of its referrers could not be read.
pub async fn verify(ports: &Ports, request: &Request, image: &ImageName) -> Result<Judgement, VerifyError> {
    let request = Request { visited: counter(), ..request.clone() };
    let evidence = gather(ports, &request, image).await?;
    Ok(judged(&request, evidence).await)
}

/// Judges on another thread: a statement of thousands of dependencies takes its time.
async fn judged(request: &Request, evidence: Evidence) -> Judgement {
    let (policy, now_s) = (Arc::clone(&request.policy), request.now_s);
    compute::run(move || judge(&evidence, &policy, now_s)).await
}

/// Now, seconds since 1970.
#[must_use]
pub fn now_s() -> i64 {
    host::now_s()
}
