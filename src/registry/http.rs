//! Requests to registries, kept within bounds: time, size, redirects, encodings, and who sees credentials.
//!
//! Does not know what the answers mean.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use reqwest::{
    Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap,
        HeaderName, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
    },
};
use tokio::{
    fs::File,
    io::AsyncSeekExt as _,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};
use tokio_util::io::ReaderStream;
use url::Url;

use super::{
    Options, RegistryError,
    access::{Access, Credentials},
    challenge,
    place::Place,
    retry::{Patience, Retry, Trouble, retry_after},
};
use crate::{
    model::limits::{ERROR_TEXT_SIZE_BYTES_MAX, REDIRECTS_MAX, REGISTRY_REQUESTS_MAX},
    store::StoreError,
};

/// What a request may do there; part of a token's scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Pull,
    Push,
}

/// What a request carries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    Bytes(&'a [u8]),
    /// So many bytes of a file, from one on.
    File {
        path: &'a Path,
        from: u64,
        size_bytes: u64,
    },
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub place: &'a Place,
    pub action: Action,
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Option<Body<'a>>,
    pub patience: Patience,
    /// What is asked for, for messages.
    pub what: String,
}

impl<'a> Ask<'a> {
    pub(super) fn get(place: &'a Place, url: Url, what: String) -> Self {
        Self {
            place,
            action: Action::Pull,
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: None,
            patience: Patience::Read,
            what,
        }
    }

    pub(super) fn head(place: &'a Place, url: Url, what: String) -> Self {
        Self { method: Method::HEAD, ..Self::get(place, url, what) }
    }

    pub(super) fn put(place: &'a Place, url: Url, body: &'a [u8], what: String) -> Self {
        let patience = Patience::Transfer;
        let action = Action::Push;
        let body = Some(Body::Bytes(body));
        Self { method: Method::PUT, body, action, patience, ..Self::get(place, url, what) }
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn timeout(&self, url: &Url) -> RegistryError {
        RegistryError::Timeout { what: self.what.clone(), host: host_of(url) }
    }
}

/// An answer read to its end: the body if the status was a success, else the first bytes of the error text.
#[derive(Debug)]
pub(super) struct Whole {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Whole {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, if the status is 2xx.
    pub(super) fn success(self, what: &str) -> Result<Self, RegistryError> {
        if self.status.is_success() { Ok(self) } else { Err(self.refused(what)) }
    }

    pub(super) fn refused(&self, what: &str) -> RegistryError {
        match self.status {
            StatusCode::NOT_FOUND => RegistryError::NotFound { what: what.to_owned() },
            status => RegistryError::refused(what, status.as_u16(), &self.body),
        }
    }
}

/// An answer whose body is still to come.
pub(super) struct Answer<'a> {
    response: Response,
    ask: &'a Ask<'a>,
    started: Instant,
    /// A place among the requests to its host; given back with the answer.
    _turn: OwnedSemaphorePermit,
}

/// All connections to registries.
pub(super) struct Http {
    pub options: Arc<Options>,
    pub access: Arc<Access>,
    clients: Mutex<BTreeMap<(Patience, Roots), reqwest::Client>>,
    turns: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

/// Which certificates a client believes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Roots {
    /// None: plain HTTP, so that a machine without certificates can do that much.
    Plain,
    /// The system's, and those the user named for this host.
    System { extra_of: Option<String> },
}

impl Http {
    pub(super) fn new(options: Options) -> Self {
        let access = Arc::new(Access::new(options.docker_config.clone(), options.programs.clone()));
        Self { options: Arc::new(options), access, clients: Mutex::default(), turns: Arc::default() }
    }

    /// With the same logins and limits, and connections of its own.
    pub(super) fn twin(&self) -> Self {
        let (options, access) = (Arc::clone(&self.options), Arc::clone(&self.access));
        Self { options, access, clients: Mutex::default(), turns: Arc::clone(&self.turns) }
    }

    /// Sends and reads everything, at most `size_bytes_max` of body, trying again where that may help.
    pub(super) async fn fetch(&self, ask: &Ask<'_>, size_bytes_max: u64) -> Result<Whole, RegistryError> {
        let mut retry = Retry::new(&self.options.waits, ask.patience);
        loop {
            match self.fetch_once(ask, size_bytes_max).await {
                Ok(whole) => return Ok(whole),
                Err(trouble) => retry.after(trouble).await?,
            }
        }
    }

    /// [`Http::fetch`] in one try.
    pub(super) async fn fetch_once(&self, ask: &Ask<'_>, size_bytes_max: u64) -> Result<Whole, Trouble> {
        let mut answer = self.send(ask).await?;
        let status = answer.status();
        let headers = std::mem::take(answer.response.headers_mut());
        let mut body = Vec::new();
        if ask.method == Method::HEAD {
            // No body follows, whatever its length is said to be.
        } else if status.is_success() {
            let keep = |bytes: &[u8]| {
                body.extend_from_slice(bytes);
                Ok(())
            };
            answer.pour(&self.options.waits, size_bytes_max, keep).await?;
        } else {
            body = answer.error_text(&self.options.waits).await;
        }
        Ok(Whole { status, headers, body })
    }

    /// Sends, logging in if asked to. 5xx, 429 and 401 are troubles; any other status is an answer.
    pub(super) async fn send<'a>(&self, ask: &'a Ask<'a>) -> Result<Answer<'a>, Trouble> {
        let known = self.access.known(ask.place, ask.action);
        let mut answer = self.follow(ask, known.as_ref()).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && ask.place.owns(answer.response.url()) {
            let challenges = answer.response.headers().get_all(WWW_AUTHENTICATE);
            let challenges: Vec<_> = challenges
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(challenge::parse)
                .collect();
            drop(answer); // Its place may be the one that the token is asked for on.
            // What was known may have run out: ask anew, once.
            let fresh = self.access.log_in(self, ask.place, ask.action, &challenges).await?;
            answer = self.follow(ask, Some(&fresh)).await?;
        }
        match answer.status() {
            StatusCode::UNAUTHORIZED => Err(self.access.unauthorized(ask.place)?.into()),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(answer.passing(&self.options.waits).await)
            }
            _ => Ok(answer),
        }
    }

    /// Sends with `credentials`, which only their own origin sees, and follows redirects of GET and HEAD.
    pub(super) async fn follow<'a>(
        &self,
        ask: &'a Ask<'a>,
        credentials: Option<&Credentials>,
    ) -> Result<Answer<'a>, Trouble> {
        let mut url = ask.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let turn = self.turn(&url).await?;
            let started = Instant::now(); // Waiting for others of ours is not the registry's doing.
            let response = self.once(ask, &url, credentials).await?;
            match redirect(ask, &url, &response)? {
                Some(next) => url = next,
                None => return Ok(Answer { response, ask, started, _turn: turn }.plain()?),
            }
        }
        let most = REDIRECTS_MAX as u64;
        Err(RegistryError::TooLarge { what: ask.what.clone(), most, unit: "redirects" }.into())
    }

    /// Waits until another request may go to the host of `url`.
    async fn turn(&self, url: &Url) -> Result<OwnedSemaphorePermit, Trouble> {
        let host = host_of(url);
        let turns = {
            let mut hosts = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Semaphore::new(REGISTRY_REQUESTS_MAX));
            Arc::clone(hosts.entry(host.clone()).or_insert_with(fresh))
        };
        turns
            .acquire_owned()
            .await
            .map_err(|error| RegistryError::Unreachable { host, source: error.into() }.into())
    }

    async fn once(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        credentials: Option<&Credentials>,
    ) -> Result<Response, Trouble> {
        let client = self.client(url, ask.patience)?;
        let mut request = client.request(ask.method.clone(), url.clone()).header(ACCEPT_ENCODING, "identity");
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let pulse = Arc::new(Notify::new());
        match ask.body {
            None => {}
            Some(Body::Bytes(bytes)) => request = request.body(bytes.to_vec()),
            Some(Body::File { path, from, size_bytes }) => {
                request = request.header(CONTENT_LENGTH, size_bytes).body(pulsing(path, from, &pulse).await?);
            }
        }
        if let Some(credentials) = credentials.filter(|credentials| credentials.origin == url.origin()) {
            request = request.header(AUTHORIZATION, credentials.value.clone());
        }
        let waits = &self.options.waits;
        let patience = waits.connect(ask.patience) + waits.idle(ask.patience);
        match watched(request.send(), &pulse, patience).await {
            None => Err(ask.timeout(url).into()),
            Some(sent) => sent.map_err(|error| trouble(error, &ask.what, host_of(url))),
        }
    }

    fn client(&self, url: &Url, patience: Patience) -> Result<reqwest::Client, RegistryError> {
        let host = host_of(url);
        let roots = if url.scheme() == "http" {
            Roots::Plain
        } else {
            let named = self.options.ca.iter().any(|(of, _)| of.eq_ignore_ascii_case(&host));
            Roots::System { extra_of: named.then_some(host.clone()) }
        };
        let key = (patience, roots);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(&key.1, patience).map_err(|error| unreachable(host, error))?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, roots: &Roots, patience: Patience) -> reqwest::Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.options.waits.connect(patience));
        let Roots::System { extra_of } = roots else {
            return self.proxied(builder.tls_certs_only([]))?.build();
        };
        let of_host = |of: &str| extra_of.as_ref().is_some_and(|host| of.eq_ignore_ascii_case(host));
        let extra = self.options.ca.iter().filter(|(of, _)| of_host(of)).map(|(_, pem)| pem.as_slice());
        for pem in self.options.network.roots.iter().map(String::as_bytes).chain(extra) {
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem)?);
        }
        self.proxied(builder)?.build()
    }
}

impl Http {
    /// Through the proxies we were told of, and none of the environment's.
    fn proxied(&self, builder: reqwest::ClientBuilder) -> reqwest::Result<reqwest::ClientBuilder> {
        let proxies = &self.options.network.proxies;
        let direct = reqwest::NoProxy::from_string(&proxies.direct());
        let mut builder = builder.no_proxy();
        if let Some(url) = &proxies.http {
            builder = builder.proxy(reqwest::Proxy::http(&*url.text())?.no_proxy(direct.clone()));
        }
        if let Some(url) = &proxies.https {
            builder = builder.proxy(reqwest::Proxy::https(&*url.text())?.no_proxy(direct));
        }
        Ok(builder)
    }
}

/// The file at `path`, from byte `from` on, as a body that gives a pulse for each piece that is taken.
async fn pulsing(path: &Path, from: u64, pulse: &Arc<Notify>) -> Result<reqwest::Body, RegistryError> {
    let failed = |source| StoreError::Io { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).await.map_err(failed)?;
    file.seek(std::io::SeekFrom::Start(from)).await.map_err(failed)?;
    let pulse = Arc::clone(pulse);
    let pieces = ReaderStream::with_capacity(file, 256 << 10).inspect(move |_| pulse.notify_one());
    Ok(reqwest::Body::wrap_stream(pieces))
}

/// `work`, unless there is no pulse for `idle`.
async fn watched<T>(work: impl Future<Output = T>, pulse: &Notify, idle: Duration) -> Option<T> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            () = pulse.notified() => {}
            () = tokio::time::sleep(idle) => return None,
        }
    }
}

/// How we introduce ourselves.
pub(super) const USER_AGENT: &str = concat!("reprov/", env!("CARGO_PKG_VERSION"));

impl Answer<'_> {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Whether this is the rest of what was asked for, from byte `first` on.
    pub(super) fn continues(&self, first: u64) -> bool {
        let range = self.response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        self.status() == StatusCode::PARTIAL_CONTENT
            && range.is_some_and(|range| range.starts_with(&format!("bytes {first}-")))
    }

    /// Refuses encodings: we asked for none, and a small body could inflate without end.
    fn plain(self) -> Result<Self, RegistryError> {
        match self.response.headers().get(CONTENT_ENCODING) {
            Some(value) if value != "identity" => {
                let problem = format!("Content-Encoding {value:?} though none was asked for");
                Err(RegistryError::answer(&self.ask.what, problem))
            }
            _ => Ok(self),
        }
    }

    /// Gives the body to `sink`, piece by piece.
    pub(super) async fn pour(
        mut self,
        waits: &super::Waits,
        size_bytes_max: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), RegistryError>,
    ) -> Result<(), Trouble> {
        let what = &self.ask.what;
        let large = || RegistryError::TooLarge { what: what.clone(), most: size_bytes_max, unit: "bytes" };
        if self.response.content_length().is_some_and(|length| length > size_bytes_max) {
            return Err(large().into());
        }
        let url = self.response.url().clone();
        let mut size_bytes = 0;
        loop {
            let wait = waits.idle(self.ask.patience).min(self.left(waits, size_bytes));
            let chunk = match tokio::time::timeout(wait, self.response.chunk()).await {
                Err(_) => return Err(self.ask.timeout(&url).into()),
                Ok(chunk) => chunk.map_err(|error| trouble(error, what, host_of(&url)))?,
            };
            let Some(chunk) = chunk else { return Ok(()) };
            size_bytes += chunk.len() as u64;
            if size_bytes > size_bytes_max {
                return Err(large().into());
            }
            sink(&chunk)?;
        }
    }

    /// What is left for the whole answer after `size_bytes`.
    fn left(&self, waits: &super::Waits, size_bytes: u64) -> Duration {
        match self.ask.patience {
            Patience::Transfer => Duration::MAX,
            Patience::Read => {
                let mib_begun = u32::try_from(size_bytes >> 20).unwrap_or(u32::MAX).saturating_add(1);
                waits.read_per_mib.saturating_mul(mib_begun).saturating_sub(self.started.elapsed())
            }
        }
    }

    /// The first bytes of an error's text; what does not come is left out.
    pub(super) async fn error_text(self, waits: &super::Waits) -> Vec<u8> {
        let mut text = Vec::new();
        let mut stop_at_end = |bytes: &[u8]| {
            let room = usize::try_from(ERROR_TEXT_SIZE_BYTES_MAX).unwrap_or(usize::MAX) - text.len();
            let part = bytes.get(..room).unwrap_or(bytes);
            text.write_all(part).map_err(|error| RegistryError::answer("", error.to_string()))?;
            if room == part.len() { Err(RegistryError::answer("", "enough")) } else { Ok(()) }
        };
        // The status is what counts; how the text ended changes nothing.
        let _ = self.pour(waits, u64::MAX, &mut stop_at_end).await;
        text
    }

    pub(super) async fn passing(self, waits: &super::Waits) -> Trouble {
        let status = self.status().as_u16();
        let after = self.response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap_or_default());
        let after = after.map(ToOwned::to_owned);
        let what = self.ask.what.clone();
        let text = self.error_text(waits).await;
        let mut error = RegistryError::refused(&what, status, &text);
        if let Some(after) = &after {
            error.come_back(after);
        }
        Trouble::Passing { error, wait: retry_after(after.as_deref()) }
    }

    pub(super) async fn refused(self, waits: &super::Waits) -> RegistryError {
        let (status, headers, what) = (self.status(), HeaderMap::new(), self.ask.what.clone());
        Whole { status, headers, body: self.error_text(waits).await }.refused(&what)
    }
}

/// Where a 3xx sends a GET or HEAD: only to HTTP or HTTPS, never from HTTPS down to HTTP.
fn redirect(ask: &Ask<'_>, from: &Url, response: &Response) -> Result<Option<Url>, RegistryError> {
    let followed = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
        && matches!(ask.method, Method::GET | Method::HEAD);
    let Some(location) = response.headers().get(LOCATION).filter(|_| followed) else { return Ok(None) };
    let refuse = |problem: &str| Err(RegistryError::answer(&ask.what, problem));
    let Some(next) = location.to_str().ok().and_then(|text| from.join(text).ok()) else {
        return refuse("redirects to what is no URL");
    };
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(Some(next)),
        _ => refuse("redirects to what is neither HTTPS nor as safe as before"),
    }
}

/// `host[:port]` of `url`, for messages and options.
pub(super) fn host_of(url: &Url) -> String {
    url[url::Position::BeforeHost..url::Position::AfterPort].to_owned()
}

pub(super) fn unreachable(host: String, error: reqwest::Error) -> RegistryError {
    RegistryError::Unreachable { host, source: error.without_url().into() }
}

/// What an error of the network means: a connection that was made and then cut may hold the next time.
pub(super) fn trouble(error: reqwest::Error, what: &str, host: String) -> Trouble {
    if error.is_timeout() {
        return RegistryError::Timeout { what: what.to_owned(), host }.into();
    }
    let lasting = error.is_connect() || error.is_builder();
    let error = unreachable(host, error);
    if lasting { error.into() } else { Trouble::Passing { error, wait: None } }
}
