//! `verify`: gather what stands beside an image, judge it (`crate::verify`), and, if asked to, attest what came of it.

mod attest;
mod deepen;
mod gather;
pub mod keyless;
mod recurse;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{sync::Semaphore, task::JoinSet};

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

/// The system has too few descriptors left.
#[derive(Debug, thiserror::Error)]
#[error("cannot verify several images at once (`ulimit -n` says how many files may be open)")]
pub struct ThreadsError(#[source] io::Error);

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

/// [`verify`] for each of `images`, some at a time, on all cores; the answers in their order.
///
/// # Errors
/// [`ThreadsError`]; what is wrong with one image is its own answer.
///
/// # Panics
/// If verifying one does.
pub async fn each(
    ports: &Ports,
    request: &Request,
    images: &[ImageName],
) -> Result<Vec<Result<Judgement, VerifyError>>, ThreadsError> {
    if let [image] = images {
        return Ok(vec![verify(ports, request, image).await]);
    }
    let threads = host::cores().min(limits::VERIFYING_THREADS_MAX).min(images.len());
    let (ports, request) = (ports.clone(), request.clone());
    let queue = Arc::new(Queue { images: images.to_vec(), next: AtomicUsize::new(0) });
    let work = move || {
        let ports = Ports { registries: Arc::new(ports.registries.twin()), ..ports.clone() };
        let taking = Taking { ports, request: request.clone(), queue: Arc::clone(&queue) };
        taking.lanes(limits::VERIFIED_AT_ONCE_MAX / threads)
    };
    let mut answers: Vec<Answer> =
        compute::apart(threads, work).await.map_err(ThreadsError)?.into_iter().flatten().collect();
    answers.sort_unstable_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Images, and which of them nobody took yet.
struct Queue {
    images: Vec<ImageName>,
    next: AtomicUsize,
}

type Answer = (usize, Result<Judgement, VerifyError>);

/// Who takes images from a queue, on one thread.
struct Taking {
    ports: Ports,
    request: Request,
    queue: Arc<Queue>,
}

impl Taking {
    /// So many images at a time, until there are none left.
    async fn lanes(self, count: usize) -> Vec<Answer> {
        let shared = Arc::new(self);
        let lanes: JoinSet<_> = (0..count).map(|_| Arc::clone(&shared).lane()).collect();
        lanes.join_all().await.into_iter().flatten().collect()
    }

    /// One image after the other.
    async fn lane(self: Arc<Self>) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            let index = self.queue.next.fetch_add(1, Ordering::Relaxed);
            let Some(image) = self.queue.images.get(index) else { return answers };
            // Boxed, since it is large and would be copied.
            let answer = Box::pin(verify(&self.ports, &self.request, image)).await;
            answers.push((index, answer));
        }
    }
}

/// Judges; on another thread what takes its time, as a statement of thousands of dependencies does.
async fn judged(request: &Request, evidence: Evidence) -> Judgement {
    let (policy, now_s) = (Arc::clone(&request.policy), request.now_s);
    compute::sized(evidence.size_bytes, move || judge(&evidence, &policy, now_s)).await
}

/// Now, seconds since 1970.
#[must_use]
pub fn now_s() -> i64 {
    host::now_s()
}
