//! A recording that is read while it grows: a replay beside it sees it as it was some time ago.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use url::Url;

use super::ask::Ask;
use crate::{
    model::Digest,
    transcript::{Exchange, Key, Transcript, canonical_url},
};

/// How long a request may wait for its answer to be recorded before that may be what changes the build: the least
/// patient of the clients at hand gives up after 15 s without a byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests without an answer that are remembered.
const UNANSWERED_MAX: usize = 10_000;

/// Told by a gateway that records, and by whoever sees its steps.
#[derive(Debug, Clone)]
pub struct Growing(mpsc::UnboundedSender<(Instant, News)>);

#[derive(Debug)]
enum News {
    /// An answer, and when it was first asked for.
    Answer(Box<Exchange>, Instant),
    StepEnded,
    Whole(Transcript),
}

/// What is recorded, whole or still growing: what a gateway that replays answers from.
#[derive(Debug, Clone)]
pub struct Recorded {
    held: watch::Receiver<Held>,
    asking: Arc<Mutex<Asking>>,
    /// How near a request may come to the recorded one.
    distance: Duration,
}

#[derive(Debug, Default)]
struct Held {
    transcript: Transcript,
    /// When each answer was first asked for, while it grows.
    asked: BTreeMap<Key, Instant>,
    /// Where it has answers by TLS from.
    origins: BTreeSet<String>,
    /// RUN steps that are over.
    steps: usize,
    /// It grows no more.
    whole: bool,
}

/// Who asks, and how that went.
#[derive(Debug, Default)]
struct Asking {
    /// The RUN step of the replay that runs, counted from 0.
    step: Option<usize>,
    /// A request came too near to the recorded one.
    near: bool,
    /// One had its answer later than clients may wait.
    late: bool,
    /// Those that had none, though it might still have been recorded.
    unanswered: BTreeSet<Sought>,
    /// There were more.
    more: bool,
}

/// What is sought in a recording.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Sought {
    Answer {
        method: String,
        url: String,
        request: Option<Digest>,
        accept: String,
    },
    /// Any answer of an origin by TLS.
    Origin(String),
}

/// What may tell a replay beside its recording from one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Both may have seen the same second.
    Near,
    /// A request had no answer, which the whole recording has.
    Unanswered,
    /// A request had its answer later than a client may wait: no matter if the same came of it.
    Late,
}

impl Growing {
    /// Nothing yet; what it will be told is seen `behind` later, and who asks less than `distance` after the recorded
    /// request was made is too near. Wants tokio's runtime.
    #[must_use]
    pub fn new(behind: Duration, distance: Duration) -> (Self, Recorded) {
        let (told, news) = mpsc::unbounded_channel();
        let (shown, held) = watch::channel(Held::default());
        tokio::spawn(show(news, shown, behind));
        (Self(told), Recorded { held, asking: Arc::default(), distance })
    }

    /// Adds an answer that was first asked for at `asked`.
    pub(super) fn take(&self, exchange: Exchange, asked: Instant) {
        self.tell(News::Answer(Box::new(exchange), asked));
    }

    /// One more RUN step is over.
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
            News::Answer(exchange, asked) => held.add(*exchange, asked),
            News::StepEnded => held.steps += 1,
            News::Whole(transcript) => {
                let (asked, steps) = (std::mem::take(&mut held.asked), held.steps);
                *held = Held { asked, steps, ..Held::whole(transcript) };
            }
        });
    }
}

impl Held {
    fn whole(transcript: Transcript) -> Self {
        let origins = transcript.exchanges().filter_map(origin).collect();
        Self { transcript, origins, whole: true, ..Self::default() }
    }

    fn add(&mut self, exchange: Exchange, asked: Instant) {
        self.origins.extend(origin(&exchange));
        self.asked.insert(exchange.key(), asked);
        let _ = self.transcript.insert(exchange); // What the recorder itself had no room for is not missed.
    }

    fn find(&self, sought: &Sought) -> Option<&Exchange> {
        match sought {
            Sought::Answer { method, url, request, accept } => {
                self.transcript.find(method, url, *request, accept)
            }
            Sought::Origin(_) => None,
        }
    }

    fn has(&self, sought: &Sought) -> bool {
        match sought {
            Sought::Answer { .. } => self.find(sought).is_some(),
            Sought::Origin(origin) => self.origins.contains(origin),
        }
    }
}

/// The origin of an answer by TLS.
fn origin(exchange: &Exchange) -> Option<String> {
    let url = canonical_url(&exchange.url).ok().filter(|url| url.scheme() == "https");
    url.map(|url| url.origin().ascii_serialization())
}

impl From<Transcript> for Recorded {
    fn from(transcript: Transcript) -> Self {
        let held = watch::channel(Held::whole(transcript)).1;
        Self { held, asking: Arc::default(), distance: Duration::ZERO }
    }
}

impl Recorded {
    /// What there is so far.
    pub(super) fn so_far(&self) -> Transcript {
        self.held.borrow().transcript.clone()
    }

    /// Waits until it is seen as a whole. None: it never will be.
    pub async fn whole(&self) -> Option<()> {
        self.held.clone().wait_for(|held| held.whole).await.ok().map(drop)
    }

    /// Says which RUN step of the replay runs from now on, if any.
    pub fn during(&self, step: Option<usize>) {
        self.asking().step = step;
    }

    /// The RUN step of the replay that runs.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        self.asking().step
    }

    /// Notes that something of the replay came too near to the same of the recording.
    pub fn came_near(&self) {
        self.asking().near = true;
    }

    /// What may tell the replay that asked from one of the whole recording; waits for that if it must know it.
    pub async fn doubt(&self) -> Option<Doubt> {
        if self.asking().near {
            return Some(Doubt::Near);
        }
        let (unanswered, more, late) = {
            let asking = self.asking();
            (asking.unanswered.clone(), asking.more, asking.late)
        };
        if !unanswered.is_empty() {
            let mut held = self.held.clone();
            let held = held.wait_for(|held| held.whole).await.ok()?;
            if more || unanswered.iter().any(|sought| held.has(sought)) {
                return Some(Doubt::Unanswered);
            }
        }
        late.then_some(Doubt::Late)
    }

    /// The answer to `ask`; waits for it as long as it may still be recorded, by the same step or, between steps, at all.
    pub(super) async fn find(&self, ask: &Ask) -> Option<Exchange> {
        let sought = Sought::Answer {
            method: ask.method.to_string(),
            url: ask.url.clone(),
            request: ask.request,
            accept: ask.accept.clone(),
        };
        let now = Instant::now();
        let found = |held: &Held| {
            let exchange = held.find(&sought)?;
            Some((exchange.clone(), held.asked.get(&exchange.key()).copied()))
        };
        let (exchange, asked) = self.wait(&sought, found).await?;
        if asked.is_some_and(|asked| now.saturating_duration_since(asked) < self.distance) {
            self.came_near();
        }
        Some(exchange)
    }

    /// Whether it has an answer of `origin` by TLS; waits like [`Recorded::find`].
    pub(super) async fn reaches(&self, origin: &Url) -> bool {
        let sought = Sought::Origin(origin.origin().ascii_serialization());
        self.wait(&sought, |held| held.has(&sought).then_some(())).await.is_some()
    }

    async fn wait<T>(&self, sought: &Sought, look: impl Fn(&Held) -> Option<T>) -> Option<T> {
        let step = self.step();
        let over = |held: &Held| held.whole || step.is_some_and(|step| held.steps > step);
        let mut waiting = Waiting { since: Instant::now(), sought: Some(sought), asking: &self.asking };
        let mut held = self.held.clone();
        let held = held.wait_for(|held| over(held) || held.has(sought)).await.ok()?;
        let found = look(&held);
        if found.is_some() || held.whole {
            waiting.sought = None;
        }
        found
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        locked(&self.asking)
    }
}

fn locked(asking: &Mutex<Asking>) -> MutexGuard<'_, Asking> {
    asking.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request that waits, until it has its answer or its client has gone.
struct Waiting<'a> {
    since: Instant,
    /// What it has not got yet.
    sought: Option<&'a Sought>,
    asking: &'a Mutex<Asking>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let late = self.since.elapsed() > PATIENCE;
        if !late && self.sought.is_none() {
            return;
        }
        let mut asking = locked(self.asking);
        asking.late |= late;
        match self.sought {
            Some(sought) if asking.unanswered.len() < UNANSWERED_MAX => {
                asking.unanswered.insert(sought.clone());
            }
            Some(_) => asking.more = true,
            None => {}
        }
    }
}
