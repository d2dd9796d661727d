//! A recording that is read while it grows: what is frozen so far, and how long the build waited for it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use url::Url;

use super::{ask::Ask, shared::origins};
use crate::transcript::{Exchange, Transcript};

/// Told by a gateway that records.
#[derive(Debug, Clone)]
pub struct Growing {
    held: watch::Sender<Held>,
    waits: Arc<Mutex<Waits>>,
}

/// What is recorded, whole or still growing: what a gateway that replays answers from.
#[derive(Debug, Clone)]
pub struct Recorded {
    held: watch::Receiver<Held>,
    /// Origins by TLS that were found in it.
    reached: Arc<Mutex<BTreeSet<String>>>,
}

/// What a build spent on its repositories so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Time in which at least one request was under way.
    pub waited: Duration,
    /// Answers that were failures.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Held {
    transcript: Transcript,
    /// It grows no more.
    whole: bool,
}

#[derive(Debug, Default)]
struct Waits {
    /// Requests under way, and since when there is one.
    requests: usize,
    since: Option<Instant>,
    spent: Spent,
}

/// A request under way, until it is dropped.
pub(super) struct Asking(Arc<Mutex<Waits>>);

impl Growing {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> (Self, Recorded) {
        let (told, held) = watch::channel(Held::default());
        let recorded = Recorded { held, reached: Arc::default() };
        (Self { held: told, waits: Arc::default() }, recorded)
    }

    /// Adds an answer; one that the recorder itself had no room for is not missed.
    pub(super) fn take(&self, exchange: Exchange) {
        self.held.send_modify(|held| drop(held.transcript.insert(exchange)));
    }

    pub(super) fn ask(&self) -> Asking {
        let mut waits = locked(&self.waits);
        waits.requests += 1;
        waits.since.get_or_insert_with(Instant::now);
        Asking(self.waits.clone())
    }

    pub(super) fn fail(&self) {
        locked(&self.waits).spent.failures += 1;
    }

    /// What the build spent on its repositories until now.
    #[must_use]
    pub fn spent(&self) -> Spent {
        let waits = locked(&self.waits);
        let open = waits.since.map_or(Duration::ZERO, |since| since.elapsed());
        Spent { waited: waits.spent.waited + open, ..waits.spent }
    }

    /// All that there is.
    pub fn end(&self, transcript: Transcript) {
        self.held.send_replace(Held { transcript, whole: true });
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut waits = locked(&self.0);
        waits.requests -= 1;
        if waits.requests == 0
            && let Some(since) = waits.since.take()
        {
            waits.spent.waited += since.elapsed();
        }
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Transcript> for Recorded {
    fn from(transcript: Transcript) -> Self {
        Self { held: watch::channel(Held { transcript, whole: true }).1, reached: Arc::default() }
    }
}

impl Recorded {
    /// What there is so far.
    pub(super) fn so_far(&self) -> Transcript {
        self.held.borrow().transcript.clone()
    }

    /// The answer to `ask`; waits for it as long as it may still be recorded.
    pub(super) async fn find(&self, ask: &Ask) -> Option<Exchange> {
        let found = |transcript: &Transcript| {
            transcript.find(ask.method.as_str(), &ask.url, ask.request, &ask.accept).cloned()
        };
        let mut held = self.held.clone();
        let held = held.wait_for(|held| held.whole || found(&held.transcript).is_some()).await.ok()?;
        found(&held.transcript)
    }

    /// Whether it has an answer of `origin` by TLS; waits like [`Recorded::find`].
    pub(super) async fn reaches(&self, origin: &Url) -> bool {
        let origin = origin.origin().ascii_serialization();
        if locked(&self.reached).contains(&origin) {
            return true;
        }
        let has = |held: &Held| origins(&held.transcript).contains(&origin);
        let mut held = self.held.clone();
        let reaches = held.wait_for(|held| held.whole || has(held)).await.is_ok_and(|held| has(&held));
        if reaches {
            locked(&self.reached).insert(origin);
        }
        reaches
    }
}
