//! Mirrors that fail, lie and flood: what the build hears, and that nothing half is ever kept.
#![allow(clippy::disallowed_methods, reason = "tests look into the store")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::support::{Rig, kinds, options, recording, store};
use crate::{
    gateway::{Closed, Mode},
    model::{Digest, RepositoryKind},
    store::Store,
};

/// What a mirror does with a request.
#[derive(Debug, Clone)]
enum Reply {
    /// These bytes, then the end.
    Raw(String),
    /// These bytes, then zeros without end.
    Endless(String),
    /// These bytes, then a reset.
    Reset(String),
}

/// A mirror that answers every request alike.
struct Faulty {
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Faulty {
    async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(stream, reply.clone()));
            }
        });
        Self { addr, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    fn record(&self, store: &Store, kind: RepositoryKind) -> Rig {
        let Mode::Record { mut repositories, access, learn, proxies, told } = recording(self.url("/repo"))
        else {
            unreachable!()
        };
        repositories[0].kind = kind;
        Rig::start(options(Mode::Record { repositories, access, learn, proxies, told }, store))
    }
}

async fn answer(mut stream: TcpStream, reply: Reply) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    match reply {
        Reply::Raw(bytes) => drop(stream.write_all(bytes.as_bytes()).await),
        Reply::Endless(bytes) => {
            let mut sent = stream.write_all(bytes.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(&[b'0'; 1 << 14]).await;
            }
        }
        Reply::Reset(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            // So that the bytes are read before the reset throws away what was not.
            tokio::time::sleep(Duration::from_millis(100)).await;
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    }
}

/// Nothing was recorded, and nothing lies in the store.
fn kept_nothing(closed: &Closed, store: &Store) {
    assert_eq!(closed.transcript.exchanges().len(), 0);
    let blobs = store.path(&Digest::of(b""));
    for dir in [store.tmp(), blobs.parent().unwrap().to_owned()] {
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "{}", dir.display());
    }
}

/// A build that asks for one file of a mirror that answers `reply` hears `words`, with a status of 502; the transcript
/// is tainted and the events say `event`.
async fn refused(reply: Reply, words: &str, event: &str) -> usize {
    let (mirror, (_dir, store)) = (Faulty::start(reply).await, store());
    let rig = mirror.record(&store, RepositoryKind::Generic);
    let (status, said) = rig.get(&mirror.url("/repo/file")).await;
    assert_eq!(status, 502, "{said}");
    assert!(said.contains(&mirror.url("/repo/file")) && said.contains(words), "{said}");
    let closed = rig.close().await;
    assert_eq!(kinds(&closed), [event]);
    assert_eq!(closed.transcript.tainted(), ["failed"]);
    kept_nothing(&closed, &store);
    mirror.requests.load(Ordering::SeqCst)
}

/// A build whose answer has begun sees it break.
async fn broken(reply: Reply) {
    let (mirror, (_dir, store)) = (Faulty::start(reply).await, store());
    let rig = mirror.record(&store, RepositoryKind::Generic);
    assert_eq!(rig.get(&mirror.url("/repo/file")).await, (200, "broken".to_owned()));
    let closed = rig.close().await;
    assert_eq!(kinds(&closed), ["failed short-body"]);
    assert_eq!(closed.transcript.tainted(), ["failed"]);
    kept_nothing(&closed, &store);
}

fn ok(headers: &str, body: &str) -> Reply {
    Reply::Raw(format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}"))
}

#[tokio::test]
async fn a_body_that_promises_too_much_is_not_begun() {
    let reply = ok("Content-Length: 99999999999999\r\n", "short");
    assert_eq!(refused(reply, "the answer is larger than 17179869184 bytes", "failed size").await, 1);
}

#[tokio::test]
async fn a_mirror_list_without_end_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/metalink+xml\r\n\r\n";
    let (mirror, (_dir, store)) = (Faulty::start(Reply::Endless(head.to_owned())).await, store());
    let rig = mirror.record(&store, RepositoryKind::Yum);
    let (status, said) = rig.get(&mirror.url("/repo/metalink")).await;
    assert!(status == 502 && said.contains("the mirror list is larger than 4194304 bytes"), "{said}");
    let closed = rig.close().await;
    assert_eq!(kinds(&closed), ["failed size"]);
    kept_nothing(&closed, &store);
}

#[tokio::test]
async fn lengths_that_contradict_each_other_are_no_answer() {
    refused(
        ok("Content-Length: 5\r\nContent-Length: 6\r\n", "01234"),
        "cannot fetch from",
        "failed malformed",
    )
    .await;
}

#[tokio::test]
async fn a_length_that_is_no_number_is_no_answer() {
    refused(ok("Content-Length: five\r\n", "01234"), "cannot fetch from", "failed malformed").await;
}

#[tokio::test]
async fn a_length_below_zero_is_no_answer() {
    refused(ok("Content-Length: -5\r\n", "01234"), "cannot fetch from", "failed malformed").await;
}

/// The answer ends where it said it would; client and record have the same.
#[tokio::test]
async fn bytes_after_the_promised_end_belong_to_nobody() {
    let (mirror, (_dir, store)) = (Faulty::start(ok("Content-Length: 5\r\n", "0123456789")).await, store());
    let rig = mirror.record(&store, RepositoryKind::Generic);
    assert_eq!(rig.get(&mirror.url("/repo/file")).await, (200, "01234".to_owned()));
    let closed = rig.close().await;
    let exchange = closed.transcript.exchanges().next().unwrap();
    assert_eq!((exchange.body, exchange.size), (Digest::of(b"01234"), 5));
}

#[tokio::test]
async fn a_reset_within_the_body_breaks_the_answer() {
    broken(Reply::Reset("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_owned())).await;
}

#[tokio::test]
async fn a_chunk_of_nonsense_breaks_the_answer() {
    broken(ok("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\nzz\r\n")).await;
}

#[tokio::test]
async fn a_reset_before_the_answer_is_tried_again_and_then_said() {
    let requests =
        refused(Reply::Reset(String::new()), "cannot fetch from 127.0.0.1: ", "failed unreachable");
    assert_eq!(requests.await, 4);
}

#[tokio::test]
async fn an_error_that_asks_for_a_long_wait_is_passed_on_at_once() {
    for after in ["86400", "18446744073709551615"] {
        let reply = format!("HTTP/1.1 503 Busy\r\nRetry-After: {after}\r\nContent-Length: 4\r\n\r\nbusy");
        let (mirror, (_dir, store)) = (Faulty::start(Reply::Raw(reply)).await, store());
        let rig = mirror.record(&store, RepositoryKind::Generic);
        assert_eq!(rig.get(&mirror.url("/repo/file")).await, (503, "busy".to_owned()));
        let closed = rig.close().await;
        assert_eq!((kinds(&closed), closed.upstream_requests), (vec!["failed status-503".to_owned()], 1));
        kept_nothing(&closed, &store);
    }
}

#[tokio::test]
async fn a_redirect_to_itself_is_asked_for_once() {
    let reply = "HTTP/1.1 302 Found\r\nLocation: /repo/file\r\nContent-Length: 0\r\n\r\n";
    let (mirror, (_dir, store)) = (Faulty::start(Reply::Raw(reply.to_owned())).await, store());
    let rig = mirror.record(&store, RepositoryKind::Generic);
    for _ in 0..20 {
        assert_eq!(rig.get(&mirror.url("/repo/file")).await.0, 302);
    }
    assert_eq!(rig.close().await.upstream_requests, 1);
}

#[tokio::test]
async fn a_header_with_control_bytes_is_no_answer() {
    for value in ["a\rX-Injected: 1", "a\0b", "a\u{1}b"] {
        let reply = ok(&format!("ETag: {value}\r\nContent-Length: 2\r\n"), "ok");
        refused(reply, "cannot fetch from", "failed malformed").await;
    }
}

#[tokio::test]
async fn a_bare_line_feed_starts_a_header_that_is_not_kept() {
    let reply = ok("ETag: a\nX-Injected: 1\r\nContent-Length: 2\r\n", "ok");
    let (mirror, (_dir, store)) = (Faulty::start(reply).await, store());
    let rig = mirror.record(&store, RepositoryKind::Generic);
    assert_eq!(rig.get(&mirror.url("/repo/file")).await.0, 200);
    let closed = rig.close().await;
    let exchange = closed.transcript.exchanges().next().unwrap();
    assert_eq!(exchange.headers, [("etag".to_owned(), "a".to_owned())]);
}

#[tokio::test]
async fn a_huge_header_is_refused() {
    let reply = |size: usize| ok(&format!("ETag: {}\r\nContent-Length: 2\r\n", "a".repeat(size)), "ok");
    refused(reply(70 << 10), "the answer's head is larger than 65536 bytes", "failed size").await;
    refused(reply(4 << 20), "cannot fetch from", "failed malformed").await;
}

#[tokio::test]
async fn thousands_of_headers_are_refused() {
    let reply = ok(&format!("{}Content-Length: 2\r\n", "X-Many: a\r\n".repeat(5000)), "ok");
    refused(reply, "cannot fetch from", "failed malformed").await;
}
