//! A proxy before a real registry that spoils some of its answers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{Registry, Serves};

/// What becomes of one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The registry's answer as it is.
    None,
    /// This answer: status line without the version, headers each ending in CRLF, body. The registry hears nothing.
    Answer(&'static str, String, String),
    /// The registry's answer, cut after so many bytes of its body.
    Cut(usize),
    /// The registry's answer with the last byte of its body changed.
    Spoiled,
    /// The registry's answer with this header in the place of its own.
    Header(&'static str, String),
    /// The registry's answer in so many pieces, with a pause before each.
    Slow(usize, Duration),
    /// Nothing, ever.
    Silence,
    /// A status line, then an error text that does not end.
    Endless(&'static str),
    /// These bytes in the place of an answer, then the end.
    Raw(Vec<u8>),
    /// These bytes, then nothing until the client goes.
    Stall(Vec<u8>),
    /// The first bytes, then the second ones without end, with a pause after each.
    Flood(Vec<u8>, Vec<u8>, Duration),
}

impl Serves for Registry {
    fn host(&self) -> &str {
        Self::host(self)
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `GET /v2/…`
    pub(crate) line: String,
    /// The `Range` header.
    pub(crate) range: Option<String>,
    pub(crate) at: Instant,
}

/// Serves until the tests end.
#[derive(Debug)]
pub(crate) struct Faulty {
    /// `127.0.0.1:PORT`
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Faulty {
    /// Stands before `registry`; `fault` is told a request's line and how many of the same came before.
    pub(crate) fn before(
        registry: &impl Serves,
        fault: impl Fn(&str, usize) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, real, fault) = (Arc::clone(&seen), registry.host().to_owned(), Arc::new(fault));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, real, fault) = (Arc::clone(&log), real.clone(), Arc::clone(&fault));
                thread::spawn(move || serve(&stream, &real, &log, fault.as_ref()));
            }
        });
        Self { host, seen }
    }

    /// `HOST:PORT/REPOSITORY:1`
    pub(crate) fn name(&self, repository: &str) -> String {
        format!("{}/{repository}:1", self.host)
    }

    /// Requests whose lines begin with `method` and contain `path`.
    pub(crate) fn seen(&self, method: &str, path: &str) -> Vec<Seen> {
        let all = self.seen.lock().unwrap();
        all.iter().filter(|seen| seen.line.starts_with(method) && seen.line.contains(path)).cloned().collect()
    }
}

/// A request as it came, ready to be passed on.
struct Request {
    line: String,
    head: String,
    body: Vec<u8>,
    range: Option<String>,
}

impl Request {
    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let (mut head, mut length, mut range) = (String::new(), 0, None);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "range" => range = Some(value.to_owned()),
                "connection" => continue,
                _ => {}
            }
            if line.trim_end().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
        Some(Self { line, head, body, range })
    }

    /// The registry's answer: head and body.
    fn pass(&self, real: &str) -> Option<(String, Vec<u8>)> {
        let mut upstream = TcpStream::connect(real).ok()?;
        upstream.write_all(format!("{}Connection: close\r\n\r\n", self.head).as_bytes()).ok()?;
        upstream.write_all(&self.body).ok()?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let body = answer.split_off(end);
        Some((String::from_utf8(answer).ok()?, body))
    }
}

/// One request a connection; a client that goes away is no trouble of ours.
fn serve(
    mut stream: &TcpStream,
    real: &str,
    log: &Mutex<Vec<Seen>>,
    fault: &dyn Fn(&str, usize) -> Fault,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let request = Request::read(&mut reader)?;
    let before = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|seen| seen.line == request.line).count();
        let (line, range) = (request.line.clone(), request.range.clone());
        log.push(Seen { line, range, at: Instant::now() });
        before
    };
    let mut send = |bytes: &[u8]| stream.write_all(bytes).ok();
    let (head, body) = match fault(&request.line, before) {
        Fault::Silence => {
            let _ = reader.read(&mut [0]); // Until the client goes.
            return None;
        }
        Fault::Endless(status) => {
            send(format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n").as_bytes())?;
            while send(&[b'0'; 1 << 14]).is_some() {}
            return None;
        }
        Fault::Raw(bytes) => return send(&bytes),
        Fault::Stall(bytes) => {
            send(&bytes)?;
            let _ = reader.read(&mut [0]);
            return None;
        }
        Fault::Flood(head, again, pause) => {
            send(&head)?;
            while send(&again).is_some() {
                thread::sleep(pause);
            }
            return None;
        }
        Fault::Slow(pieces, pause) => {
            let (head, body) = request.pass(real)?;
            send(head.as_bytes())?;
            for piece in body.chunks(body.len().div_ceil(pieces).max(1)) {
                thread::sleep(pause);
                send(piece)?;
            }
            return Some(());
        }
        Fault::Answer(status, headers, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
            );
            (head, body.into_bytes())
        }
        fault => spoiled(&fault, request.pass(real)?),
    };
    send(head.as_bytes())?;
    send(&body)
}

/// The registry's answer with the fault in it.
fn spoiled(fault: &Fault, (head, mut body): (String, Vec<u8>)) -> (String, Vec<u8>) {
    match fault {
        Fault::Cut(size) => body.truncate(*size),
        Fault::Spoiled => {
            if let Some(last) = body.last_mut() {
                *last ^= 1;
            }
        }
        Fault::Header(name, value) => {
            let own = format!("{}:", name.to_ascii_lowercase());
            let others = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with(&own));
            let lines: Vec<&str> = others.collect();
            return (format!("{}\r\n{name}: {value}\r\n\r\n", lines.join("\r\n")), body);
        }
        _ => {}
    }
    (head, body)
}
