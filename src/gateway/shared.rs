//! What all connections share.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hyper::StatusCode;
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use super::{
    Ca, StepRef, Traffic,
    allow::{Allow, Refused, Route},
    ask::Ask,
    growing::{Growing, Recorded},
    ledger::{Flight, Ledger, Via},
};
use crate::{
    model::{
        Digest, Exceeded, Limit, Reason,
        limits::{EXCHANGES_MAX, REDIRECTS_MAX},
    },
    store::Store,
    transcript::{Event, Exchange, TranscriptError, canonical_url, redact_url},
};

/// Recordings under way at once.
const RECORDINGS_MAX: usize = 64;
/// Requests with bodies held in memory at once.
const BODIES_MAX: usize = 4;

/// Where answers come from.
pub(super) enum Source {
    /// Repositories.
    Upstream(Arc<Upstream>),
    /// A recording.
    Recorded(Recorded),
}

/// The repositories, and the way to them.
pub(super) struct Upstream {
    pub(super) allow: Allow,
    pub(super) client: reqwest::Client,
    pub(super) told: Option<Growing>,
}

type Step = Arc<dyn Fn() -> Option<StepRef> + Send + Sync>;
type Now = Arc<dyn Fn() -> String + Send + Sync>;
type Note = Arc<dyn Fn(Event) -> bool + Send + Sync>;
type Progress = Option<Arc<dyn Fn(Traffic) + Send + Sync>>;

pub(super) struct Shared {
    pub(super) source: Source,
    pub(super) store: Store,
    pub(super) ca: Ca,
    pub(super) ledger: Mutex<Ledger>,
    pub(super) recordings: TaskTracker,
    pub(super) abort: CancellationToken,
    pub(super) recording_slots: Semaphore,
    pub(super) body_slots: Semaphore,
    step: Step,
    now: Now,
    note: Note,
    progress: Progress,
    size_bytes_max: u64,
    full: CancellationToken,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What a request that has no answer yet does.
pub(super) enum Turn {
    /// Takes what is frozen.
    Frozen(Box<Exchange>),
    /// Waits for the one who asks upstream.
    Follow(watch::Receiver<()>),
    /// Asks upstream.
    Lead(Lead),
}

/// The right to ask upstream; others wait until it is dropped.
pub(super) struct Lead {
    shared: Arc<Shared>,
    flight: Flight,
    _done: watch::Sender<()>,
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.shared.ledger().flights.remove(&self.flight);
    }
}

impl Shared {
    pub(super) fn new(
        source: Source,
        store: Store,
        ca: Ca,
        (step, now, note, progress): (Step, Now, Note, Progress),
        (size_bytes_max, full): (u64, CancellationToken),
        ledger: Ledger,
    ) -> Self {
        Self {
            source,
            store,
            ca,
            ledger: Mutex::new(ledger),
            recordings: TaskTracker::new(),
            abort: CancellationToken::new(),
            recording_slots: Semaphore::new(RECORDINGS_MAX),
            body_slots: Semaphore::new(BODIES_MAX),
            step,
            now,
            note,
            progress,
            size_bytes_max,
            full,
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn step(&self) -> Option<StepRef> {
        (self.step)()
    }

    /// An event of now.
    pub(super) fn event(&self, kind: &str, step: Option<&StepRef>) -> Event {
        Event {
            time: (self.now)(),
            kind: kind.to_owned(),
            step: step.map(|step| step.step.clone()),
            line: step.and_then(|step| step.line),
            ..Event::default()
        }
    }

    /// Writes an event down.
    pub(super) fn note(&self, event: Event) {
        if !(self.note)(event) {
            self.ledger().lose_event();
        }
    }

    fn event_of(&self, kind: &str, ask: &Ask, status: StatusCode) -> Event {
        Event {
            method: Some(ask.method.to_string()),
            url: Some(ask.url.clone()),
            status: Some(status.as_u16()),
            ..self.event(kind, ask.step.as_ref())
        }
    }

    /// Counts `size_bytes` from upstream.
    pub(super) fn came_in(&self, size_bytes: usize, answers: u64) {
        let traffic = {
            let traffic = &mut self.ledger().traffic;
            traffic.size_bytes += size_bytes as u64;
            traffic.answers += answers;
            *traffic
        };
        if let Some(progress) = &self.progress {
            progress(traffic);
        }
    }

    /// Counts `size_bytes` from upstream; no, and the end of the build, if that is more than it may take in.
    pub(super) fn take_in(&self, size_bytes: usize) -> bool {
        self.came_in(size_bytes, 0);
        self.has_room(0)
    }

    /// Whether `size_bytes` more may come in; if not, the build ends.
    pub(super) fn has_room(&self, size_bytes: u64) -> bool {
        let found = self.ledger().traffic.size_bytes.saturating_add(size_bytes);
        if found > self.size_bytes_max {
            self.exceed(Exceeded { limit: Limit::Inputs, allowed: self.size_bytes_max, found });
        }
        found <= self.size_bytes_max
    }

    fn exceed(&self, exceeded: Exceeded) {
        self.ledger().exceeded.get_or_insert(exceeded);
        self.full.cancel();
    }

    /// Writes down that an exchange was given to the build.
    pub(super) fn answered(&self, kind: &str, ask: &Ask, status: StatusCode, size: u64) {
        let event = Event { size: Some(size), ..self.event_of(kind, ask, status) };
        self.note(event);
        self.came_in(0, 1);
    }

    /// Writes down a refusal.
    pub(super) fn refused(&self, method: &str, url: &str, reason: Reason, step: Option<&StepRef>) {
        self.refused_because(method, url, (reason, None), step);
    }

    /// The same with the sentence that the build reads.
    pub(super) fn refused_because(
        &self,
        method: &str,
        url: &str,
        (reason, because): (Reason, Option<String>),
        step: Option<&StepRef>,
    ) {
        let event = Event {
            method: Some(method.to_owned()),
            url: Some(url.to_owned()),
            reason: Some(reason.code().to_owned()),
            ..self.event("refused", step)
        };
        self.note(event);
        self.ledger().refuse((method, url), (reason, because), step.cloned());
    }

    /// Writes down that the client saw a failure.
    pub(super) fn failed(&self, ask: &Ask, reason: &str, status: StatusCode) {
        let event = Event { reason: Some(reason.to_owned()), ..self.event_of("failed", ask, status) };
        self.note(event);
        self.ledger().fail(ask);
    }

    /// Writes down a request that the recording does not have.
    pub(super) fn undeclared(&self, method: &str, url: &str, step: Option<&StepRef>) {
        let event = Event {
            method: Some(method.to_owned()),
            url: Some(url.to_owned()),
            ..self.event("undeclared", step)
        };
        self.note(event);
        self.ledger().undeclared(method, url);
    }

    /// Writes down a body that is not in the store as recorded.
    pub(super) fn missing(&self, ask: &Ask, digest: Digest) {
        let event = Event {
            reason: Some(digest.to_string()),
            ..self.event_of("missing", ask, StatusCode::BAD_GATEWAY)
        };
        self.note(event);
        self.ledger().missing(digest);
    }

    /// Who hears of what is recorded.
    fn told(&self) -> Option<&Growing> {
        match &self.source {
            Source::Upstream(upstream) => upstream.told.as_ref(),
            Source::Recorded(_) => None,
        }
    }

    /// Decides, in one step, who asks upstream.
    pub(super) fn turn(self: &Arc<Self>, ask: &Ask) -> Turn {
        let flight = ask.flight();
        let mut ledger = self.ledger();
        let frozen = ledger.transcript.find(ask.method.as_str(), &ask.url, ask.request, &ask.accept);
        if let Some(exchange) = frozen {
            return Turn::Frozen(Box::new(exchange.clone()));
        }
        if let Some(leader) = ledger.flights.get(&flight) {
            return Turn::Follow(leader.clone());
        }
        let (done, waiting) = watch::channel(());
        ledger.flights.insert(flight.clone(), waiting);
        Turn::Lead(Lead { shared: Arc::clone(self), flight, _done: done })
    }

    /// Makes `exchange`, which was `asked` for then, the answer for the rest of the build.
    pub(super) fn freeze(&self, exchange: Exchange, private: bool, asked: Instant) -> Result<(), String> {
        let told = self.told().map(|told| (told, exchange.clone()));
        let inserted = {
            let mut ledger = self.ledger();
            if private {
                ledger.private.insert(exchange.body);
            } else {
                ledger.public.insert(exchange.body);
            }
            ledger.checked.insert(exchange.body, true);
            ledger.transcript.insert(exchange)
        };
        if let (Some((told, exchange)), Ok(())) = (told, &inserted) {
            told.take(exchange, asked);
        }
        if matches!(inserted, Err(TranscriptError::TooMany)) {
            let allowed = EXCHANGES_MAX as u64;
            self.exceed(Exceeded { limit: Limit::Answers, allowed, found: allowed + 1 });
        }
        inserted.map_err(|error| error.to_string())
    }

    /// Where `ask` goes: a repository, or a URL that an allowed answer pointed to.
    pub(super) fn route(&self, allow: &Allow, ask: &Ask) -> Result<Route, Refused> {
        let via = self.ledger().vias.get(&bare(&ask.asked)).cloned();
        match (allow.route(&ask.asked), via) {
            (Ok(route), Some(via)) => {
                // What the build asks for is the redacted form of what the answer said.
                let redacted = ask.asked.as_str() == ask.url && via.real.as_str() != ask.url;
                let upstream = if redacted { via.real } else { route.upstream };
                let origin = (via.repository == route.repository).then_some(via.origin);
                Ok(Route { upstream, origin, ..route })
            }
            (Err(_), Some(via)) => Ok(Route {
                upstream: via.real,
                repository: via.repository,
                via: Some(via.from),
                origin: Some(via.origin),
                hops: via.hops,
            }),
            (route, _) => route,
        }
    }

    /// Lets the build follow `location`, a checksum with it.
    pub(super) fn point(&self, allow: &Allow, ask: &Ask, route: &Route, location: &Url) {
        let hops = route.hops + 1;
        let valid = canonical_url(location.as_str()).is_ok();
        let mut ledger = self.ledger();
        if !valid || hops > REDIRECTS_MAX || ledger.vias.len() >= EXCHANGES_MAX || !allow.reachable(location)
        {
            return;
        }
        let via = Via {
            real: location.clone(),
            from: ask.url.clone(),
            repository: route.repository.clone(),
            origin: route.origin.clone().unwrap_or_else(|| ask.url.clone()),
            hops,
        };
        ledger.vias.insert(bare(location), via);
    }

    /// The digest that the body of `url` must have; a redirect's target inherits it.
    pub(super) fn checksum(&self, url: &str) -> Option<Digest> {
        self.ledger().checksums.get(url).copied()
    }

    /// Passes the checksum of `url` on to where its redirect points.
    pub(super) fn inherit(&self, url: &str, location: &str) {
        let mut ledger = self.ledger();
        if let Some(digest) = ledger.checksums.get(url).copied() {
            ledger.checksums.insert(location.to_owned(), digest);
        }
    }

    /// Whether a tunnel to `origin` may be opened.
    pub(super) async fn connects(&self, origin: &Url) -> bool {
        match &self.source {
            Source::Recorded(recorded) => recorded.reaches(origin).await,
            Source::Upstream(upstream) => {
                upstream.allow.connects(origin)
                    || self.ledger().vias.values().any(|via| via.real.origin() == origin.origin())
            }
        }
    }
}

/// Redacted, without userinfo: clients take that out of a URL and put it into a header.
fn bare(url: &Url) -> String {
    let mut url = url.clone();
    // Both calls fail only for URLs without a host, and http URLs have one.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    redact_url(&url)
}
