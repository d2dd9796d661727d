//! Asking upstream, and writing the answer down while it streams to the build.

use std::{
    error::Error,
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use hyper::{Method, StatusCode, body::Bytes, header};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::rustls;
use url::Url;

use super::{
    IDLE_TIMEOUT,
    allow::Route,
    ask::Ask,
    headers,
    mirrors::MirrorList,
    pinned::{Pinned, judge, refusal},
    shared::{Lead, Shared, Upstream},
};
use crate::{
    model::{
        Digest, Reason, RepositoryKind,
        limits::{HTTP_HEAD_SIZE_BYTES_MAX, INPUT_SIZE_BYTES_MAX, MIRROR_LIST_SIZE_BYTES_MAX},
    },
    store::Writer,
    transcript::{Exchange, canonical_url, redact_url},
};

/// Statuses that are answers, not troubles (WIRE.md §3).
const FROZEN: [u16; 11] = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 410];
const RETRIES: usize = 3;
const RETRY_TIME: Duration = Duration::from_secs(30);
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Chunks a slow client may lag behind.
const LAG_CHUNKS: usize = 16;

/// Why the build gets no answer: a code for the events, a sentence for the build.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) sentence: String,
    pub(super) refused: bool,
}

/// The first that the client hears.
pub(super) enum Start {
    /// An answer that is still coming in; `None` in the pipe is its good end.
    Stream { head: Head, pipe: mpsc::Receiver<Option<Bytes>> },
    /// An answer that came in whole.
    Frozen(Box<Exchange>),
    /// None.
    Failed(Failure),
}

/// What of an answer is known before its body.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(String, String)>,
    pub(super) length: Option<u64>,
    varies: bool,
}

impl Head {
    fn frozen(&self) -> bool {
        FROZEN.contains(&self.status.as_u16())
    }
}

struct Recording<'run> {
    shared: &'run Arc<Shared>,
    upstream: &'run Upstream,
    ask: &'run Ask,
    route: &'run Route,
    checksum: Option<Digest>,
    /// Who must have signed the content; a HEAD has none.
    pinned: Option<Pinned>,
    asked: Instant,
}

/// Asks upstream, and goes on to the end whether or not the client still listens. `lead` ends with it.
pub(super) async fn record(
    (shared, upstream): (Arc<Shared>, Arc<Upstream>),
    ask: Arc<Ask>,
    route: Route,
    start: oneshot::Sender<Start>,
    lead: Lead,
) {
    let checksum = shared.checksum(&ask.url);
    let pinned = upstream.allow.pinned(&route.repository).filter(|_| !ask.is_head());
    let asked = Instant::now();
    let recording =
        Recording { shared: &shared, upstream: &upstream, ask: &ask, route: &route, checksum, pinned, asked };
    if shared.abort.run_until_cancelled(recording.run(start)).await.is_none() {
        shared.failed(&ask, "unfinished", StatusCode::BAD_GATEWAY);
    }
    drop(lead);
}

impl Recording<'_> {
    async fn run(&self, start: oneshot::Sender<Start>) {
        let _slot = self.shared.recording_slots.acquire().await;
        let response = match self.fetch().await {
            Ok(response) => response,
            Err(failure) => return self.fail(failure, Some(start)),
        };
        if headers::size_bytes(response.headers()) > HTTP_HEAD_SIZE_BYTES_MAX {
            let because = format!("the answer's head is larger than {HTTP_HEAD_SIZE_BYTES_MAX} bytes");
            return self.fail(self.failure(Reason::Size, &because), Some(start));
        }
        let head = self.head(&response);
        if head.length > Some(INPUT_SIZE_BYTES_MAX) {
            return self.fail(self.too_large(), Some(start));
        }
        if !self.shared.has_room(head.length.unwrap_or(0)) {
            return self.fail(self.full(), Some(start));
        }
        if let Some(list) = self.mirror_list(&head) {
            return match self.freeze_cut(response, head, list).await {
                Ok(exchange) => drop(start.send(Start::Frozen(Box::new(exchange)))),
                Err(failure) => self.fail(failure, Some(start)),
            };
        }
        let pinned = self.pinned.as_ref().filter(|_| head.status.is_success());
        if let (Some(pinned), false) = (pinned, head.frozen()) {
            let because = "it answers with a status that no whole file has";
            return self.fail(refusal(pinned, &self.ask.url, Reason::Signer, because), Some(start));
        }
        let checked = self.checksum.is_some() && head.status == StatusCode::OK || pinned.is_some();
        if head.frozen() && (checked || !self.ask.wants_whole()) {
            match self.freeze(response, &head, None).await {
                Ok(exchange) => drop(start.send(Start::Frozen(Box::new(exchange)))),
                Err(failure) => self.fail(failure, Some(start)),
            }
        } else {
            let (sender, pipe) = mpsc::channel(LAG_CHUNKS);
            drop(start.send(Start::Stream { head: head.clone(), pipe }));
            self.stream(response, &head, Pipe(Some(sender))).await;
        }
    }

    async fn stream(&self, response: reqwest::Response, head: &Head, mut pipe: Pipe) {
        if !head.frozen() {
            self.shared.failed(self.ask, &format!("status-{}", head.status.as_u16()), head.status);
            if self.pump(response, None, &mut pipe).await.is_ok() {
                pipe.send(None).await;
            }
            return;
        }
        match self.freeze(response, head, Some(&mut pipe)).await {
            Ok(exchange) => {
                self.shared.answered("fetched", self.ask, head.status, exchange.size);
                pipe.send(None).await;
            }
            Err(failure) => self.fail(failure, None),
        }
    }

    /// The body into the store, the exchange into the transcript.
    async fn freeze(
        &self,
        response: reqwest::Response,
        head: &Head,
        pipe: Option<&mut Pipe>,
    ) -> Result<Exchange, Failure> {
        let mut writer = self.shared.store.writer().map_err(|error| self.store(&error))?;
        self.pump(response, Some(&mut writer), pipe.unwrap_or(&mut Pipe(None))).await?;
        let (body, size) = writer.finish().map_err(|error| self.store(&error))?;
        if let Some(expected) = self
            .checksum
            .filter(|expected| head.status == StatusCode::OK && !self.ask.is_head() && *expected != body)
        {
            return Err(mismatch(self.ask, expected, body));
        }
        if let Some(pinned) = self.pinned.as_ref().filter(|_| head.status.is_success()) {
            let meant = self.route.origin.as_ref().unwrap_or(&self.ask.url);
            judge(self.shared, pinned, meant, body).await?;
        }
        self.keep(head, body, size)
    }

    /// The list of mirrors that an answer is, if it is one.
    fn mirror_list(&self, head: &Head) -> Option<MirrorList> {
        // apt has no such lists; what calls itself one must not pass for a pinned file.
        let pinned = self.pinned.as_ref().is_some_and(|pinned| pinned.kind == RepositoryKind::Apt);
        if self.ask.method != Method::GET
            || head.status != StatusCode::OK
            || self.checksum.is_some()
            || pinned
        {
            return None;
        }
        let media_type = head.headers.iter().find(|(name, _)| name == "content-type");
        let yum = self.upstream.allow.is_yum(&self.route.repository);
        MirrorList::of(media_type.map_or("", |(_, value)| value.as_str()), yum, &self.ask.url)
    }

    /// A list of mirrors cut to the first that is allowed: that is what the client gets, now and in a replay.
    async fn freeze_cut(
        &self,
        mut response: reqwest::Response,
        mut head: Head,
        list: MirrorList,
    ) -> Result<Exchange, Failure> {
        let mut bytes = Vec::new();
        let short = |error: reqwest::Error| self.failure(Reason::ShortBody, &root(&error).to_string());
        while let Some(chunk) = response.chunk().await.map_err(short)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > MIRROR_LIST_SIZE_BYTES_MAX {
                let because = format!("the mirror list is larger than {MIRROR_LIST_SIZE_BYTES_MAX} bytes");
                return Err(self.failure(Reason::Size, &because));
            }
            if !self.shared.take_in(chunk.len()) {
                return Err(self.full());
            }
        }
        let allow = &self.upstream.allow;
        let allowed = |text: &str| {
            canonical_url(text).is_ok_and(|url| redact_url(&url) == url.as_str() && allow.route(&url).is_ok())
        };
        let Some(cut) = list.cut(&bytes, allowed) else {
            let Ask { method, url, .. } = self.ask;
            let sentence = format!(
                "{method} {url} lists no mirror that is under an allowed repository; add a [[repository]] table \
                 with the url of one"
            );
            return Err(Failure { reason: Reason::Mirrors, sentence, refused: true });
        };
        head.headers.retain(|(name, _)| !name.starts_with("x-checksum-")); // Of other bytes.
        let body = self.shared.store.put(cut.as_bytes()).map_err(|error| self.store(&error))?;
        self.keep(&head, body, cut.len() as u64)
    }

    /// The exchange into the transcript.
    fn keep(&self, head: &Head, body: Digest, size: u64) -> Result<Exchange, Failure> {
        let vary = head.varies.then(|| ("accept".to_owned(), self.ask.accept.clone()));
        let exchange = Exchange {
            method: self.ask.method.to_string(),
            url: self.ask.url.clone(),
            request: self.ask.request,
            vary: vary.into_iter().collect(),
            status: head.status.as_u16(),
            headers: head.headers.clone(),
            body,
            size,
            repository: self.route.repository.clone(),
            via: self.route.via.clone(),
        };
        let carried =
            self.ask.headers.contains_key(header::AUTHORIZATION) || has_userinfo(&self.route.upstream);
        let private = self.upstream.allow.is_private(&self.route.repository, carried);
        match self.shared.freeze(exchange.clone(), private, self.asked) {
            Ok(()) => Ok(exchange),
            Err(error) => Err(self.failure(Reason::Transcript, &error)),
        }
    }

    /// Every chunk to the writer and to the client, as long as that listens.
    async fn pump(
        &self,
        mut response: reqwest::Response,
        mut writer: Option<&mut Writer>,
        pipe: &mut Pipe,
    ) -> Result<(), Failure> {
        let mut size_bytes = 0;
        let short = |error: reqwest::Error| self.failure(Reason::ShortBody, &root(&error).to_string());
        while let Some(chunk) = response.chunk().await.map_err(short)? {
            size_bytes += chunk.len() as u64;
            if size_bytes > INPUT_SIZE_BYTES_MAX {
                return Err(self.too_large());
            }
            if !self.shared.take_in(chunk.len()) {
                return Err(self.full());
            }
            if let Some(writer) = writer.as_deref_mut() {
                writer.write_all(&chunk).map_err(|error| self.store(&error))?;
            }
            pipe.send(Some(chunk)).await;
        }
        Ok(())
    }

    /// The answer's head, after up to three more tries if it is trouble that may pass.
    async fn fetch(&self) -> Result<reqwest::Response, Failure> {
        let began = Instant::now();
        let mut pause = RETRY_FIRST;
        let mut retries_left = RETRIES;
        loop {
            self.shared.ledger().upstream_requests += 1;
            let outcome = self.request().send().await;
            let wait = match &outcome {
                Ok(response) => busy(response).then(|| retry_after(response).unwrap_or(pause)),
                Err(error) => passing(error).then_some(pause),
            };
            match wait {
                Some(wait) if retries_left > 0 && began.elapsed().saturating_add(wait) <= RETRY_TIME => {
                    sleep(wait).await;
                }
                _ => return outcome.map_err(|error| self.unreachable(&error)),
            }
            pause *= 4;
            retries_left -= 1;
        }
    }

    fn request(&self) -> reqwest::RequestBuilder {
        let mut headers = headers::forwarded(&self.ask.headers);
        if has_userinfo(&self.route.upstream) {
            headers.remove(header::AUTHORIZATION);
        }
        if let Some(credential) = self.upstream.allow.authorization(&self.route.upstream) {
            headers.insert(header::AUTHORIZATION, credential.clone());
        }
        let request = self
            .upstream
            .client
            .request(self.ask.method.clone(), self.route.upstream.clone())
            .headers(headers);
        if self.ask.method == Method::POST { request.body(self.ask.body.clone()) } else { request }
    }

    fn head(&self, response: &reqwest::Response) -> Head {
        let location = self.location(response);
        Head {
            status: response.status(),
            headers: headers::kept(response.headers(), self.ask.is_head(), location),
            length: response.content_length().filter(|_| !self.ask.is_head()),
            varies: headers::varies_by_accept(response.headers()),
        }
    }

    /// Where a redirect leads, as the client may see it; allowed from now on.
    fn location(&self, response: &reqwest::Response) -> Option<String> {
        let written = response.headers().get(header::LOCATION)?.to_str().ok()?;
        let mut real = self.route.upstream.join(written).ok()?;
        real.set_fragment(None);
        let shown = redact_url(&canonical_url(real.as_str()).ok()?);
        if response.status().is_redirection() {
            self.shared.point(&self.upstream.allow, self.ask, self.route, &real);
            self.shared.inherit(&self.ask.url, &shown);
        }
        Some(shown)
    }

    fn fail(&self, failure: Failure, start: Option<oneshot::Sender<Start>>) {
        if failure.refused {
            let step = self.ask.step.as_ref();
            let pinned = matches!(failure.reason, Reason::Signer | Reason::Unlisted | Reason::Changed);
            let because = pinned.then(|| failure.sentence.clone());
            let (method, url) = (self.ask.method.as_str(), &self.ask.url);
            self.shared.refused_because(method, url, (failure.reason, because), step);
        } else {
            self.shared.failed(self.ask, failure.reason.code(), StatusCode::BAD_GATEWAY);
        }
        if let Some(start) = start {
            drop(start.send(Start::Failed(failure)));
        }
    }

    fn failure(&self, reason: Reason, because: &str) -> Failure {
        let Ask { method, url, .. } = self.ask;
        Failure {
            reason,
            sentence: format!("{method} {url} could not be recorded: {because}"),
            refused: false,
        }
    }

    fn store(&self, error: &(dyn Error + 'static)) -> Failure {
        self.failure(Reason::Store, &format!("{error}: {}", root(error)))
    }

    fn too_large(&self) -> Failure {
        self.failure(Reason::Size, &format!("the answer is larger than {INPUT_SIZE_BYTES_MAX} bytes"))
    }

    fn full(&self) -> Failure {
        self.failure(Reason::Inputs, "the build has fetched more than it may")
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let reason = match error {
            error if certificate(error) => Reason::Certificate,
            error if malformed(error) => Reason::Malformed,
            error if error.is_timeout() => Reason::Timeout,
            _ => Reason::Unreachable,
        };
        let host = self.route.upstream.host_str().unwrap_or_default();
        self.failure(reason, &format!("cannot fetch from {host}: {}", root(error)))
    }
}

/// The way to the client; closed once that is gone or too slow, which does not disturb the recording.
struct Pipe(Option<mpsc::Sender<Option<Bytes>>>);

impl Pipe {
    async fn send(&mut self, chunk: Option<Bytes>) {
        if let Some(sender) = &self.0
            && !matches!(timeout(IDLE_TIMEOUT, sender.send(chunk)).await, Ok(Ok(())))
        {
            self.0 = None;
        }
    }
}

/// Another body than `ADD --checksum` promised.
pub(super) fn mismatch(ask: &Ask, expected: Digest, actual: Digest) -> Failure {
    let Ask { method, url, .. } = ask;
    let sentence = format!("{method} {url} gave {actual}, but its checksum is {expected}");
    Failure { reason: Reason::Checksum, sentence, refused: true }
}

fn busy(response: &reqwest::Response) -> bool {
    response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Cut connections pass; time-outs were waited for, and certificates and nonsense stay as they are.
fn passing(error: &reqwest::Error) -> bool {
    !error.is_timeout() && !error.is_builder() && !certificate(error) && !malformed(error)
}

fn malformed(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_parse))
}

fn certificate(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))))
}

fn root<'error>(error: &'error (dyn Error + 'static)) -> &'error (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

/// `error` and its causes; what an `io::Error` wraps is one, though its `source` jumps over it.
fn causes<'error>(
    error: &'error (dyn Error + 'static),
) -> impl Iterator<Item = &'error (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'error (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
            Some(inner) => inner.map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}
