//! A recording that is read while it grows: a replay beside it sees it as it was some time ago.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use url::Url;

use super::{ask::Ask, shared::origins};
use crate::transcript::{Exchange, Transcript};

/// How long a request may wait for its answer to be recorded before that may be what changes the build: the least
/// patient of the clients at hand gives up after 15 s without a byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// Told by a gateway that records, and by whoever sees its steps.
#[derive(Debug, Clone)]
pub struct Growing(mpsc::UnboundedSender<(Instant, News)>);

#[derive(Debug)]
enum News {
    Answer(Box<Exchange>),
    StepEnded,
    Whole(Transcript),
}

/// What is recorded, whole or still growing: what a gateway that replays answers from.
#[derive(Debug, Clone)]
pub struct Recorded {
    held: watch::Receiver<Held>,
    /// Origins by TLS that were found in it.
    reached: Arc<Mutex<BTreeSet<String>>>,
    asking: Arc<Asking>,
}

#[derive(Debug, Default)]
struct Held {
    transcript: Transcript,
    /// RUN steps that are over.
    steps: usize,
    /// It grows no more.
    whole: bool,
}

/// Who asks, and how that went.
#[derive(Debug, Default)]
struct Asking {
    /// The RUN step of the replay that runs, counted from 0.
    step: Mutex<Option<usize>>,
    doubtful: AtomicBool,
}

impl Growing {
    /// Nothing yet; what it will be told is seen `behind` later.
    #[must_use]
    pub fn new(behind: Duration) -> (Self, Recorded) {
        let (told, news) = mpsc::unbounded_channel();
        let (shown, held) = watch::channel(Held::default());
        tokio::spawn(show(news, shown, behind));
        (Self(told), Recorded { held, reached: Arc::default(), asking: Arc::default() })
    }

    /// Adds an answer.
    pub(super) fn take(&self, exchange: Exchange) {
        self.tell(News::Answer(Box::new(exchange)));
    }

    /// One more RUN step is over: it asks for nothing more.
    pub fn step_ended(&self) {
        self.tell(News::StepEnded);
    }

    /// All that there is.
    pub fn end(&self, transcript: Transcript) {
        self.tell(News::Whole(transcript));
    }

    fn tell(&self, news: News) {
        let _ = self.0.send((Instant::now(), news)); // The replay may be gone.
    }
}

/// Shows each of the `news` as much later as `behind` says. They end when nobody is left who could tell more.
async fn show(
    mut news: mpsc::UnboundedReceiver<(Instant, News)>,
    shown: watch::Sender<Held>,
    behind: Duration,
) {
    while let Some((told, news)) = news.recv().await {
        sleep_until(told + behind).await;
        shown.send_modify(|held| match news {
            // One that the recorder itself had no room for is not missed.
            News::Answer(exchange) => drop(held.transcript.insert(*exchange)),
            News::StepEnded => held.steps += 1,
            News::Whole(transcript) => *held = Held { transcript, whole: true, ..*held },
        });
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Transcript> for Recorded {
    fn from(transcript: Transcript) -> Self {
        let held = Held { transcript, steps: 0, whole: true };
        Self { held: watch::channel(held).1, reached: Arc::default(), asking: Arc::default() }
    }
}

impl Recorded {
    /// What there is so far.
    pub(super) fn so_far(&self) -> Transcript {
        self.held.borrow().transcript.clone()
    }

    /// Says which RUN step of the replay runs from now on, if any.
    pub fn during(&self, step: Option<usize>) {
        *locked(&self.asking.step) = step;
    }

    /// The RUN step of the replay that runs.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        *locked(&self.asking.step)
    }

    /// Whether a request had an answer later than a client may wait, or none because its step was over: a replay of the
    /// whole recording might go another way.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.asking.doubtful.load(Ordering::Relaxed)
    }

    /// The answer to `ask`; waits for it as long as it may still be recorded, by the same step or, between steps, at all.
    pub(super) async fn find(&self, ask: &Ask) -> Option<Exchange> {
        let found = |transcript: &Transcript| {
            transcript.find(ask.method.as_str(), &ask.url, ask.request, &ask.accept).cloned()
        };
        self.wait(|held| found(&held.transcript)).await
    }

    /// Whether it has an answer of `origin` by TLS; waits like [`Recorded::find`].
    pub(super) async fn reaches(&self, origin: &Url) -> bool {
        let origin = origin.origin().ascii_serialization();
        if locked(&self.reached).contains(&origin) {
            return true;
        }
        let reaches = self.wait(|held| origins(&held.transcript).contains(&origin).then_some(())).await;
        if reaches.is_some() {
            locked(&self.reached).insert(origin);
        }
        reaches.is_some()
    }

    async fn wait<T>(&self, look: impl Fn(&Held) -> Option<T>) -> Option<T> {
        let step = self.step();
        let over = |held: &Held| held.whole || step.is_some_and(|step| held.steps > step);
        let _waiting = Waiting { since: Instant::now(), asking: &self.asking };
        let mut held = self.held.clone();
        let held = held.wait_for(|held| over(held) || look(held).is_some()).await.ok()?;
        let found = look(&held);
        if found.is_none() && !held.whole {
            self.asking.doubtful.store(true, Ordering::Relaxed);
        }
        found
    }
}

/// A request that waits, until it has its answer or its client has gone.
struct Waiting<'a> {
    since: Instant,
    asking: &'a Asking,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.since.elapsed() > PATIENCE {
            self.asking.doubtful.store(true, Ordering::Relaxed);
        }
    }
}
