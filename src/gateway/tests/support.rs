//! An awkward upstream, a gateway before it, and clients.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::{
    gateway::{Ca, Closed, Gateway, Mode, Options, StepRef},
    model::{Digest, Proxies, Repository, RepositoryKind},
    store::Store,
    transcript::{Event, Transcript},
};

/// A server of one-request connections; its files are under `/repo` and, not allowed, under `/elsewhere`.
pub(super) struct Upstream {
    pub(super) addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    pub(super) async fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (count, tls) = (Arc::clone(&count), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &count).await,
                        Some(tls) => {
                            if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                                serve(stream, &count).await;
                            }
                        }
                    }
                });
            }
        });
        Self { addr, requests, task }
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, count: &AtomicUsize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    let before = count.fetch_add(1, Ordering::SeqCst);
    let path = head.split(' ').nth(1).unwrap();
    let answer = answer(path, &head, &header("accept").unwrap_or_default(), &body, before);
    let end = if head.starts_with("HEAD") { find(&answer, b"\r\n\r\n") + 4 } else { answer.len() };
    let _ = stream.write_all(&answer[..end]).await;
    let _ = stream.shutdown().await;
}

fn find(text: &[u8], what: &[u8]) -> usize {
    text.windows(what.len()).position(|window| window == what).unwrap()
}

/// The answer to the request number `before`, its framing as the path says.
fn answer(path: &str, head: &str, accept: &str, body: &[u8], before: usize) -> Vec<u8> {
    let sized = |more: &str, body: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{more}\r\n{body}", body.len())
    };
    let host = head.to_ascii_lowercase();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let here = format!("http://{host}");
    let text = match path {
        "/repo/plain" => sized(
            "ETag: \"1\"\r\nLast-Modified: Tue, 24 Nov 2026 00:00:00 GMT\r\nDate: today\r\nSet-Cookie: a=b\r\nServer: s\r\n",
            "0123456789",
        ),
        "/repo/chunked" => {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_owned()
        }
        "/repo/until-close" => "HTTP/1.1 200 OK\r\n\r\nuntil close".to_owned(),
        "/repo/short" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_owned(),
        "/repo/short-chunk" => {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n".to_owned()
        }
        "/repo/flaky" if before == 0 => unavailable(),
        "/repo/broken-once" if before == 0 => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_owned(),
        "/repo/flaky" | "/repo/broken-once" => sized("", "at last"),
        "/repo/busy" => unavailable(),
        "/repo/denied" => {
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 4\r\n\r\nno!\n"
                .to_owned()
        }
        "/repo/absent" => "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno".to_owned(),
        "/repo/moved" => redirect("/elsewhere/file?token=s3cret&part=1"),
        "/repo/moved-away" => redirect("http://169.254.169.254/latest"),
        "/repo/loop" => redirect("/elsewhere/loop1"),
        _ if path.starts_with("/elsewhere/loop") => {
            let hop: usize = path.trim_start_matches("/elsewhere/loop").parse().unwrap();
            redirect(&format!("/elsewhere/loop{}", hop + 1))
        }
        "/elsewhere/file?token=s3cret&part=1" => sized("", "moved here"),
        "/repo/mirrorlist?arch=any" => sized(
            "Content-Type: text/plain\r\nX-Checksum-Sha1: 00\r\n",
            &format!("http://other.example.org/a\n{here}/repo/plain\n{here}/repo/head\n"),
        ),
        "/repo/metalink" => sized(
            "Content-Type: application/metalink+xml\r\n",
            &format!(
                "<metalink><file><url>http://other.example.org/a</url><url>{here}/repo/plain</url></file></metalink>"
            ),
        ),
        "/repo/nowhere" => sized(
            "Content-Type: application/metalink4+xml\r\n",
            "<metalink><file><url>http://other.example.org/a</url></file></metalink>",
        ),
        "/repo/aside" => redirect("/elsewhere/head"),
        "/repo/vary" => sized("Vary: Accept-Encoding, Accept\r\n", &format!("for {accept}")),
        "/repo/head" | "/elsewhere/head" => sized("", head),
        "/repo/post" => sized("", &format!("posted {}", Digest::of(body))),
        "/repo/big" => sized("", &format!("{before:08}").repeat(1 << 18)),
        _ => "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
    };
    text.into_bytes()
}

fn unavailable() -> String {
    "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy".to_owned()
}

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// What a gateway saw, and the events it gave.
#[derive(Debug)]
pub(super) struct Seen {
    closed: Closed,
    pub(super) events: Vec<Event>,
}

impl std::ops::Deref for Seen {
    type Target = Closed;

    fn deref(&self) -> &Closed {
        &self.closed
    }
}

/// A running gateway.
pub(super) struct Rig {
    events: Arc<Mutex<Vec<Event>>>,
    pub(super) gateway: Gateway,
    pub(super) addr: SocketAddr,
    pub(super) ca: String,
}

/// A store that goes with the test.
pub(super) fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

pub(super) fn options(mode: Mode, store: &Store) -> Options {
    Options {
        mode,
        store: store.clone(),
        ca: Ca::generate().unwrap(),
        extra_roots: Vec::new(),
        checksums: Vec::new(),
        step: Arc::new(|| Some(StepRef { step: "run".to_owned(), line: Some(3) })),
        now: Arc::new(|| "2026-11-24T00:00:00Z".to_owned()),
        event: Arc::new(|_| true),
        progress: None,
        inputs_size_bytes_max: u64::MAX,
        full: tokio_util::sync::CancellationToken::new(),
    }
}

/// Records what is under `url`.
pub(super) fn recording(url: String) -> Mode {
    let kind = RepositoryKind::Generic;
    let replace = vec!["http://old.example.org/r".to_owned()];
    let repositories = vec![Repository { replace, ..Repository::plain("main".to_owned(), kind, url) }];
    let (access, proxies) = ([].into(), Proxies::default());
    Mode::Record { repositories, access, learn: false, proxies, told: None }
}

impl Rig {
    pub(super) fn start(mut options: Options) -> Self {
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let kept = events.clone();
        options.event = Arc::new(move |event| {
            kept.lock().unwrap().push(event);
            true
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let ca = options.ca.pem();
        Self { gateway: Gateway::start(listener, options).unwrap(), addr, ca, events }
    }

    pub(super) fn record(upstream: &Upstream, store: &Store) -> Self {
        Self::start(options(recording(upstream.url("/repo")), store))
    }

    pub(super) fn replay(transcript: Transcript, store: &Store) -> Self {
        Self::start(options(Mode::Replay(transcript.into()), store))
    }

    /// A client that follows nothing and trusts the gateway only.
    pub(super) fn client(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.ca.as_bytes()).unwrap();
        reqwest::Client::builder()
            .no_proxy()
            .proxy(reqwest::Proxy::all(format!("http://{}", self.addr)).unwrap())
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_only([root])
            .build()
            .unwrap()
    }

    /// Status and body of a GET, or what the client saw break.
    pub(super) async fn get(&self, url: &str) -> (u16, String) {
        seen(self.client().get(url).send().await.unwrap()).await
    }

    /// Sends `request` as it stands; all that comes back until the connection ends.
    pub(super) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(super) async fn close(self) -> Seen {
        let closed = self.gateway.close().await;
        Seen { closed, events: std::mem::take(&mut *self.events.lock().unwrap()) }
    }
}

pub(super) async fn seen(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    (status, response.text().await.unwrap_or_else(|_| "broken".to_owned()))
}

/// Kinds and reasons of the events, in order.
pub(super) fn kinds(closed: &Seen) -> Vec<String> {
    let events = closed.events.iter();
    events.map(|event| format!("{} {}", event.kind, event.reason.as_deref().unwrap_or("-"))).collect()
}
