//! An HTTP proxy that takes CONNECT, and behind it a host that exists nowhere else.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer,
};

/// The proxy. Behind every name it is asked for is the same server.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// `127.0.0.1:PORT`
    pub(crate) host: String,
    /// PEM of the authority that signed for `mirror.example.org`.
    pub(crate) ca: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Serves until the tests end.
    pub(crate) fn start() -> Self {
        let (tls, ca) = certificate();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, tls) = (Arc::clone(&log), Arc::clone(&tls));
                thread::spawn(move || serve(stream, &log, tls));
            }
        });
        Self { host, ca, asked }
    }

    /// First lines and `Proxy-Authorization` headers so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn certificate() -> (Arc<ServerConfig>, String) {
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["mirror.example.org".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &root).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    (Arc::new(tls), root.pem())
}

/// A tunnel ends in our own server; a plain request is answered at once.
fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>, tls: Arc<ServerConfig>) -> Option<()> {
    let head = head(&mut stream)?;
    log.lock().unwrap().extend(
        head.iter()
            .take(1)
            .chain(head.iter().filter(|line| line.to_lowercase().starts_with("proxy-")))
            .cloned(),
    );
    if !head[0].starts_with("CONNECT ") {
        return stream.write_all(&answer()).ok();
    }
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
    let mut stream = StreamOwned::new(ServerConnection::new(tls).ok()?, stream);
    self::head(&mut stream)?;
    stream.write_all(&answer()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

fn head(stream: &mut impl Read) -> Option<Vec<String>> {
    // One byte at a time: what follows the head belongs to somebody else.
    let mut reader = BufReader::with_capacity(1, stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        match line.trim_end() {
            "" => return Some(lines),
            text => lines.push(text.to_owned()),
        }
    }
}

fn answer() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 12\r\n\r\nfrom afar...".to_vec()
}
