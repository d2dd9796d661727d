//! The only way out of a build: an HTTP(S) proxy that lets allowed requests through and records the answers, or
//! answers from a recording alone. Its socket is given, made in whatever network namespace the caller likes.
//! Knows nothing of Dockerfiles, engines or images.

mod allow;
mod ask;
mod ca;
mod growing;
mod headers;
mod ledger;
mod mirrors;
mod pinned;
mod record;
mod serve;
mod server;
mod shared;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use self::{
    allow::Allow,
    ledger::Ledger,
    shared::{Shared, Source, Upstream},
};
pub use self::{
    ca::Ca,
    growing::{Doubt, Growing, Recorded},
};
use crate::{
    model::{Digest, Exceeded, Proxies, Repository, Secret},
    pin::Signers,
    store::Store,
    transcript::{Event, Transcript, UrlError, canonical_url, redact_url},
};

/// How long [`Gateway::close`] waits for answers that are still coming in.
const CLOSE_WAIT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The socket cannot be used.
    #[error("cannot accept connections of the build")]
    Listen(#[source] std::io::Error),
    /// No certificate.
    #[error("cannot make the certificate of `{name}`")]
    Certificate {
        /// Of the gateway's authority, or a host.
        name: String,
        /// Why not.
        source: rcgen::Error,
    },
    /// The certificate cannot be served.
    #[error("cannot serve TLS as `{name}`")]
    Tls {
        /// The host.
        name: String,
        /// Why not.
        source: tokio_rustls::rustls::Error,
    },
    /// A repository's or a checksum's URL.
    #[error("`{url}` is not a URL that can be fetched")]
    Url {
        /// As written.
        url: String,
        /// Why not.
        source: UrlError,
    },
    /// Not the value of a header; it is not repeated.
    #[error("the credential of repository `{0}` has a line break or another control character")]
    Credential(String),
    /// Proxy, extra roots or system trust store.
    #[error("cannot set up fetching from repositories ({what})")]
    Client {
        /// Which setting.
        what: &'static str,
        /// Why not.
        source: reqwest::Error,
    },
}

/// The step that runs now, as the runtime shim announced it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepRef {
    /// Its name.
    pub step: String,
    /// Its line in the Dockerfile.
    pub line: Option<u32>,
}

/// What came in so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Answers given.
    pub answers: u64,
    /// Bytes that came from upstream.
    pub size_bytes: u64,
}

/// What is special about one repository.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Value of the `Authorization` header that goes with requests under the repository's URL.
    pub authorization: Option<Secret>,
    /// Answers fetched with credentials may be published.
    pub keep: bool,
    /// Who must have signed what comes from there (kinds apt and yum).
    pub signers: Option<Arc<Signers>>,
}

/// Where answers come from.
#[derive(Debug)]
pub enum Mode {
    /// From the repositories; the first good answer to each question is kept.
    Record {
        /// What may be fetched.
        repositories: Vec<Repository>,
        /// By a repository's name; most are not here.
        access: BTreeMap<String, Access>,
        /// Lets every http(s) URL through, except IP literals and loopback names that no repository has.
        learn: bool,
        /// What to fetch through; the environment is never looked at.
        proxies: Proxies,
        /// Told of each answer that is kept.
        told: Option<Growing>,
    },
    /// From a recording and the store alone; one that still grows is waited for.
    Replay(Recorded),
}

/// Everything a gateway is given.
pub struct Options {
    /// Record or replay.
    pub mode: Mode,
    /// Where bodies are kept.
    pub store: Store,
    /// The authority the build trusts.
    pub ca: Ca,
    /// PEM certificates trusted upstream beside the system's.
    pub extra_roots: Vec<String>,
    /// URLs whose bodies are known (`ADD --checksum`); redirects carry it on.
    pub checksums: Vec<(String, Digest)>,
    /// Says which step runs.
    pub step: Arc<dyn Fn() -> Option<StepRef> + Send + Sync>,
    /// Says the time, RFC 3339.
    pub now: Arc<dyn Fn() -> String + Send + Sync>,
    /// Writes an event down, in the order in which they come; false: it was not kept, which taints the transcript.
    pub event: Arc<dyn Fn(Event) -> bool + Send + Sync>,
    /// Bytes of answers taken in for the whole build; of a recording only.
    pub inputs_size_bytes_max: u64,
    /// Cancelled once that or the number of answers is passed: the build must end, whatever its step makes of it.
    pub full: CancellationToken,
    /// Hears of every chunk and answer.
    pub progress: Option<Arc<dyn Fn(Traffic) + Send + Sync>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("mode", &self.mode)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A request that was not let through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// HTTP method.
    pub method: String,
    /// Redacted URL, cut if long.
    pub url: String,
    /// Code of a [`crate::model::Reason`].
    pub reason: String,
    /// The sentence that the build read, where the code does not say all.
    pub because: Option<String>,
    /// Line of the step in the Dockerfile.
    pub line: Option<u32>,
    /// The step that asked.
    pub step: Option<String>,
}

/// What a gateway saw.
#[derive(Debug, Default)]
pub struct Closed {
    /// What was recorded and served (or given, in a replay); its taint is set.
    pub transcript: Transcript,
    /// Requests refused, each once, sorted.
    pub refused: Vec<Refusal>,
    /// Replay: (method, URL) of requests that the recording does not have, sorted.
    pub undeclared: Vec<(String, String)>,
    /// Replay: bodies that the store lacks or holds altered, sorted.
    pub missing: Vec<Digest>,
    /// The limit on inputs that was passed, if one was.
    pub exceeded: Option<Exceeded>,
    /// Bodies that only requests with credentials got, sorted: not to be published.
    pub private: Vec<Digest>,
    /// Requests sent to repositories, retries included.
    pub upstream_requests: u64,
    /// Answers given.
    pub answered: u64,
}

/// A running gateway; dropped without [`Gateway::close`], it stops.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    connections: TaskTracker,
    stop: DropGuard,
}

impl Gateway {
    /// Serves `listener` on the current tokio runtime.
    ///
    /// # Errors
    /// If a URL in `options` is invalid, or socket, proxy or roots cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(listener: std::net::TcpListener, options: Options) -> Result<Self, GatewayError> {
        listener.set_nonblocking(true).map_err(GatewayError::Listen)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(GatewayError::Listen)?;
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let shared = Arc::new(shared(options)?);
        let accepting = server::accept(Arc::clone(&shared), listener, connections.clone(), stop.clone());
        connections.spawn(stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self { shared, connections, stop: stop.drop_guard() })
    }

    /// Stops accepting, waits (30 s at most) for answers that are still coming in, and says what was seen.
    pub async fn close(self) -> Closed {
        drop(self.stop);
        self.connections.close();
        self.connections.wait().await;
        let recordings = &self.shared.recordings;
        recordings.close();
        if tokio::time::timeout(CLOSE_WAIT, recordings.wait()).await.is_err() {
            self.shared.abort.cancel();
            recordings.wait().await;
        }
        let mut ledger = self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        if let Source::Recorded(recorded) = &self.shared.source {
            ledger.transcript = recorded.so_far();
        }
        std::mem::take(&mut *ledger).close()
    }
}

fn shared(options: Options) -> Result<Shared, GatewayError> {
    let mut ledger = Ledger::default();
    for (url, digest) in options.checksums {
        let canonical = canonical_url(&url).map_err(|source| GatewayError::Url { url, source })?;
        ledger.checksums.insert(redact_url(&canonical), digest);
    }
    let source = match options.mode {
        Mode::Record { repositories, access, learn, proxies, told } => {
            let allow = Allow::new(&repositories, &access, learn)?;
            let client = client(&proxies, &options.extra_roots)?;
            Source::Upstream(Arc::new(Upstream { allow, client, told }))
        }
        Mode::Replay(recorded) => Source::Recorded(recorded),
    };
    let full = (options.inputs_size_bytes_max, options.full);
    Ok(Shared::new(
        source,
        options.store,
        options.ca,
        (options.step, options.now, options.event, options.progress),
        full,
        ledger,
    ))
}

/// One client for all: system trust store and `roots`, no redirects, no decompression, nothing from the environment.
fn client(proxies: &Proxies, roots: &[String]) -> Result<reqwest::Client, GatewayError> {
    let fail = |what| move |source| GatewayError::Client { what, source };
    let mut builder = reqwest::Client::builder()
        .tls_backend_rustls()
        .no_proxy()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(IDLE_TIMEOUT);
    let direct = reqwest::NoProxy::from_string(&proxies.direct());
    let http = proxies.http.as_ref().map(|url| reqwest::Proxy::http(&*url.text()));
    let https = proxies.https.as_ref().map(|url| reqwest::Proxy::https(&*url.text()));
    for proxy in http.into_iter().chain(https) {
        builder = builder.proxy(proxy.map_err(fail("proxy"))?.no_proxy(direct.clone()));
    }
    for pem in roots {
        let certificates =
            reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(fail("extra roots"))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(fail("trust store"))
}
