//! A package mirror in miniature: a few files over plain HTTP on loopback.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// Serves until the tests end.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    /// How late a late package comes.
    pub(crate) const LATE: Duration = Duration::from_secs(5);

    /// Serves `/greeting`, `/large` (2 MiB, with any query), `/short` (always cut), `/moved` (a redirect to `/large`),
    /// `/endless`, `/slow` (endless too, a byte at a time) and any `/package/NAME` (one that begins with `late`
    /// comes [`Mirror::LATE`] after it was asked for); `word` makes the bytes differ from those of every other test.
    pub(crate) fn start(word: &str) -> Self {
        Self::serve(word, None)
    }

    /// The same for those who send this `Authorization` header.
    pub(crate) fn private(word: &str, authorization: &'static str) -> Self {
        Self::serve(word, Some(authorization))
    }

    fn serve(word: &str, authorization: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let package = format!(" of {word}\n");
        let files = BTreeMap::from([
            ("/greeting".to_owned(), format!("hello from {word}\n").into_bytes()),
            ("/short".to_owned(), b"half a file".to_vec()),
            ("/large".to_owned(), format!("{word:64}").repeat(2 << 14).into_bytes()),
        ]);
        let log = Arc::clone(&asked);
        let files = Arc::new((files, package));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, files) = (Arc::clone(&log), Arc::clone(&files));
                thread::spawn(move || answer(stream, &log, &files, authorization));
            }
        });
        Self { url, asked }
    }

    /// The paths asked for so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request a connection; a client that goes away is no trouble of ours.
fn answer(
    mut stream: TcpStream,
    log: &Mutex<Vec<String>>,
    (files, package): &(BTreeMap<String, Vec<u8>>, String),
    authorization: Option<&str>,
) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut sent = None;
    loop {
        let line = lines.next()?.ok()?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                sent = Some(value.to_owned());
            }
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    log.lock().unwrap().push(path.clone());
    if path == "/endless" {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok()?;
        while stream.write_all(&[b'x'; 1 << 12]).is_ok() {}
        return Some(());
    }
    if path == "/slow" {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok()?;
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
        return Some(());
    }
    let packaged;
    let (status, location, body) = match files.get(path.split('?').next().unwrap_or_default()) {
        _ if authorization.is_some() && sent.as_deref() != authorization => {
            ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", &b"who are you"[..])
        }
        Some(body) => ("200 OK", "", body.as_slice()),
        None if path.starts_with("/package/") => {
            if path.starts_with("/package/late") {
                thread::sleep(Mirror::LATE);
            }
            packaged = format!("{path}{package}");
            ("200 OK", "", packaged.as_bytes())
        }
        None if path == "/moved" => ("302 Found", "Location: /large\r\n", &b""[..]),
        None => ("404 Not Found", "", &b"no such file"[..]),
    };
    // Promises a byte more than there is.
    let length = body.len() + usize::from(path == "/short");
    let head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{location}\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    if !first.starts_with("HEAD") {
        stream.write_all(body).ok()?;
    }
    Some(())
}
