//! Registries to test against: docker-registry itself, and servers that answer whatever a test says.

use std::{
    net::{Ipv4Addr, TcpListener as StdListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream as AsyncStream},
};

/// `docker-registry` on loopback over a directory that goes with it.
pub(super) struct DockerRegistry {
    child: Child,
    pub host: String,
    _dir: tempfile::TempDir,
}

impl DockerRegistry {
    /// Starts one in which manifests can be deleted.
    pub(super) fn start() -> Self {
        (0..20).find_map(|_| Self::try_start()).expect("docker-registry starts on some free port")
    }

    fn try_start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp: {{addr: 127.0.0.1:{port}}}\n",
            dir.path().join("root").display(),
        );
        let path = dir.path().join("config.yml");
        std::fs::write(&path, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let mut started = Self { child, host: format!("127.0.0.1:{port}"), _dir: dir };
        for _ in 0..500 {
            if started.child.try_wait().unwrap().is_some() {
                return None; // Somebody took the port.
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Some(started);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// `GET /v2/…`
    pub line: String,
    /// The head, header names in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines();
        lines.filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// What a server does.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Status, headers each ending in CRLF, body; `Content-Length` is added.
    Full(u16, String, Vec<u8>),
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// A head, then zeros without end.
    Endless(u16),
    /// These bytes, then nothing more.
    Mute(Vec<u8>),
}

pub(super) fn ok(headers: &str, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Full(200, headers.to_owned(), body.into())
}

pub(super) fn status(status: u16) -> Reply {
    Reply::Full(status, String::new(), b"{}".to_vec())
}

/// A server on loopback that answers as `handle` says.
pub(super) struct Server {
    pub host: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `handle` gets each request and how many of the same line came before it.
    pub(super) async fn start(handle: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::<Request>::new()));
        let (log, handle) = (Arc::clone(&seen), Arc::new(handle));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, handle) = (Arc::clone(&log), Arc::clone(&handle));
                tokio::spawn(async move {
                    let mut stream = stream;
                    let Some(request) = read(&mut stream).await else { return };
                    let before = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.iter().filter(|other| other.line == request.line).count() - 1
                    };
                    answer(stream, &request, handle(&request, before)).await;
                });
            }
        });
        Self { host, seen }
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn read(stream: &mut AsyncStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let (line, rest) = head.split_once("\r\n")?;
    let lower = |line: &str| match line.split_once(": ") {
        Some((key, value)) => format!("{}: {value}\n", key.to_lowercase()),
        None => String::new(),
    };
    let mut request = Request {
        line: line.trim_end_matches(" HTTP/1.1").to_owned(),
        head: rest.lines().map(lower).collect(),
        body: Vec::new(),
    };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

async fn answer(mut stream: AsyncStream, request: &Request, reply: Reply) {
    match reply {
        Reply::Full(status, headers, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
            if !request.line.starts_with("HEAD") {
                let _ = stream.write_all(&body).await;
            }
        }
        Reply::Raw(bytes) => drop(stream.write_all(&bytes).await),
        Reply::Endless(status) => {
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n\r\n");
            let zeros = vec![b'0'; 1 << 16];
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(&zeros).await;
            }
        }
        Reply::Mute(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read_u8().await; // Until the client goes.
        }
    }
    let _ = stream.shutdown().await;
}
