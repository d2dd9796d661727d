use reqwest::header::{ACCEPT, IF_NONE_MATCH, RANGE};

use super::support::{Rig, Seen, Upstream, kinds, options, recording, seen, store};
use crate::{
    gateway::{Mode, Traffic},
    model::{Digest, Proxies, Secret},
};

async fn upstream() -> Upstream {
    Upstream::start(None).await
}

fn tainted(closed: &Seen) -> Vec<&str> {
    closed.transcript.tainted().iter().map(String::as_str).collect()
}

#[tokio::test]
async fn every_framing_is_recorded() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    for (path, body) in
        [("/repo/plain", "0123456789"), ("/repo/chunked", "abcde"), ("/repo/until-close", "until close")]
    {
        assert_eq!(rig.get(&upstream.url(path)).await, (200, body.to_owned()));
        assert_eq!(store.read(&Digest::of(body.as_bytes()), 100).unwrap(), body.as_bytes());
    }
    assert_eq!(rig.get(&upstream.url("/repo/absent")).await, (404, "no".to_owned()));
    let closed = rig.close().await;
    assert_eq!(closed.transcript.exchanges().len(), 4);
    assert_eq!((closed.upstream_requests, closed.answered), (4, 4));
    assert_eq!(kinds(&closed), ["fetched -"; 4]);
    assert!(closed.transcript.tainted().is_empty());
    let plain = closed.transcript.find("GET", &upstream.url("/repo/plain"), None, "").unwrap();
    let names: Vec<_> = plain.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["date", "etag", "last-modified"]);
    assert_eq!(closed.events[0].line, Some(3));
}

#[tokio::test]
async fn the_first_answer_is_frozen_for_all() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    let url = upstream.url("/repo/big");
    let answers = futures_util::future::join_all((0..8).map(|_| rig.get(&url))).await;
    assert_eq!(answers[0].1.len(), 2 << 20);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(upstream.requests(), 1);
    let closed = rig.close().await;
    assert_eq!((closed.upstream_requests, closed.answered), (1, 8));
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_the_recording() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    let mut response = rig.client().get(upstream.url("/repo/big")).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    let closed = rig.close().await;
    assert_eq!(closed.transcript.exchanges().next().map(|exchange| exchange.size), Some(2 << 20));
    assert!(tainted(&closed).is_empty());
}

#[tokio::test]
async fn short_bodies_are_cut_and_never_frozen() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    for path in ["/repo/short", "/repo/short-chunk"] {
        assert_eq!(rig.get(&upstream.url(path)).await, (200, "broken".to_owned()), "{path}");
    }
    let ranged =
        rig.client().get(upstream.url("/repo/short")).header(RANGE, "bytes=0-1").send().await.unwrap();
    assert_eq!(ranged.status(), 502);
    let closed = rig.close().await;
    assert_eq!(closed.transcript.exchanges().len(), 0);
    assert_eq!(kinds(&closed), ["failed short-body"; 3]);
    assert_eq!(tainted(&closed), ["failed"]);
}

#[tokio::test]
async fn a_good_answer_after_a_bad_one_takes_the_taint_away() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    let url = upstream.url("/repo/broken-once");
    assert_eq!(rig.get(&url).await, (200, "broken".to_owned()));
    assert_eq!(rig.get(&url).await, (200, "at last".to_owned()));
    assert!(tainted(&rig.close().await).is_empty());
}

#[tokio::test]
async fn trouble_is_retried_then_passed_on_unfrozen() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    assert_eq!(rig.get(&upstream.url("/repo/flaky")).await, (200, "at last".to_owned()));
    assert_eq!(upstream.requests(), 2);
    assert_eq!(rig.get(&upstream.url("/repo/busy")).await, (503, "busy".to_owned()));
    assert_eq!(upstream.requests(), 6);
    assert_eq!(rig.get(&upstream.url("/repo/denied")).await, (401, "no!\n".to_owned()));
    let closed = rig.close().await;
    assert_eq!(closed.upstream_requests, 7);
    assert_eq!(kinds(&closed), ["fetched -", "failed status-503", "failed status-401"]);
    assert_eq!(closed.transcript.exchanges().len(), 1);
    assert_eq!(tainted(&closed), ["failed"]);
}

#[tokio::test]
async fn nobody_listening_upstream_is_a_sentence() {
    let (_dir, store) = store();
    let closed_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::start(options(recording(format!("http://{closed_port}/repo")), &store));
    let (status, text) = rig.get(&format!("http://{closed_port}/repo/a")).await;
    assert_eq!(status, 502);
    assert!(text.contains("cannot fetch from 127.0.0.1: ") && text.contains("refused"), "{text}");
    let closed = rig.close().await;
    assert_eq!(kinds(&closed), ["failed unreachable"]);
    assert_eq!(tainted(&closed), ["failed"]);
}

#[tokio::test]
async fn a_head_downloads_nothing() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    let url = upstream.url("/repo/plain");
    let length =
        |response: &reqwest::Response| response.headers()["content-length"].to_str().unwrap().to_owned();
    let first = rig.client().head(&url).send().await.unwrap();
    assert_eq!((first.status().as_u16(), length(&first)), (200, "10".to_owned()));
    assert_eq!(rig.get(&url).await.1, "0123456789");
    rig.get(&upstream.url("/repo/chunked")).await;
    let second = rig.client().head(upstream.url("/repo/chunked")).send().await.unwrap();
    assert_eq!(length(&second), "5");
    assert_eq!(upstream.requests(), 3);
    let closed = rig.close().await;
    let methods: Vec<_> = closed.transcript.exchanges().map(|exchange| exchange.method.as_str()).collect();
    assert_eq!(methods, ["GET", "GET", "HEAD"]);
}

#[tokio::test]
async fn answers_that_vary_are_told_apart() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    let url = upstream.url("/repo/vary");
    for accept in ["text/html", "application/json", "text/html"] {
        let response = rig.client().get(&url).header(ACCEPT, accept).send().await.unwrap();
        assert_eq!(seen(response).await.1, format!("for {accept}"));
    }
    let plain = upstream.url("/repo/plain");
    for accept in ["text/html", "application/json"] {
        rig.client().get(&plain).header(ACCEPT, accept).send().await.unwrap();
    }
    assert_eq!(upstream.requests(), 3);
    assert_eq!(rig.close().await.transcript.exchanges().len(), 3);
}

#[tokio::test]
async fn parts_are_made_from_the_store() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    let url = upstream.url("/repo/plain");
    let get =
        |name: reqwest::header::HeaderName, value: &str| rig.client().get(&url).header(name, value).send();
    let part = get(RANGE, "bytes=-3").await.unwrap();
    assert_eq!(part.headers()["content-range"], "bytes 7-9/10");
    assert_eq!(seen(part).await, (206, "789".to_owned()));
    assert_eq!(seen(get(RANGE, "bytes=0-0,2-2").await.unwrap()).await, (200, "0123456789".to_owned()));
    let beyond = get(RANGE, "bytes=10-").await.unwrap();
    assert_eq!(
        (beyond.status().as_u16(), &beyond.headers()["content-range"]),
        (416, &"bytes */10".parse().unwrap())
    );
    assert_eq!(seen(get(IF_NONE_MATCH, "\"1\"").await.unwrap()).await, (304, String::new()));
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn what_is_asked_upstream_is_normalised() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: evil.example\r\nCookie: a=b\r\nProxy-Authorization: Basic eA==\r\n\
         If-Modified-Since: never\r\nRange: bytes=9999-\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer x\r\n\
         Connection: close, x-hop\r\nX-Hop: 1\r\nUpgrade: h2c\r\n\r\n",
        upstream.url("/repo/head")
    );
    rig.raw(&request).await;
    let closed = rig.close().await;
    let exchange = closed.transcript.exchanges().next().unwrap();
    let head = String::from_utf8(store.read(&exchange.body, 10_000).unwrap()).unwrap();
    let mut lines: Vec<_> =
        head.lines().map(str::to_ascii_lowercase).filter(|line| !line.is_empty()).collect();
    lines.sort();
    let host = format!("host: {}", upstream.addr);
    assert_eq!(
        lines,
        [
            "accept-encoding: identity",
            "accept: */*",
            "authorization: bearer x",
            "get /repo/head http/1.1",
            &host
        ]
    );
    assert_eq!(closed.private, [exchange.body]);
    assert!(!String::from_utf8(closed.transcript.to_jsonl()).unwrap().contains("Bearer"));
}

#[tokio::test]
async fn a_redirect_allows_exactly_where_it_points() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    let shown = upstream.url("/elsewhere/file?token=redacted-1&part=1");
    assert_eq!(rig.get(&shown).await.0, 403);
    let response = rig.client().get(upstream.url("/repo/moved")).send().await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], *shown);
    assert_eq!(rig.get(&shown).await, (200, "moved here".to_owned()));
    assert_eq!(rig.get(&upstream.url("/elsewhere/file")).await.0, 403);
    let closed = rig.close().await;
    let moved = closed.transcript.find("GET", &shown, None, "").unwrap();
    assert_eq!(moved.via, Some(upstream.url("/repo/moved")));
    let text = String::from_utf8(closed.transcript.to_jsonl()).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    assert!(!format!("{:?}", closed.events).contains("s3cret"));
}

#[tokio::test]
async fn redirects_end_and_reach_no_unnamed_address() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    assert_eq!(rig.get(&upstream.url("/repo/moved-away")).await.0, 302);
    assert_eq!(rig.get("http://169.254.169.254/latest").await.0, 403);
    assert_eq!(rig.get(&upstream.url("/repo/loop")).await.0, 302);
    let mut statuses = Vec::new();
    for hop in 1..=6 {
        statuses.push(rig.get(&upstream.url(&format!("/elsewhere/loop{hop}"))).await.0);
    }
    assert_eq!(statuses, [302, 302, 302, 302, 302, 403]);
    let closed = rig.close().await;
    assert_eq!(tainted(&closed), ["refused"]);
}

#[tokio::test]
async fn replaced_prefixes_are_answered_from_the_repository() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    assert_eq!(rig.get("http://old.example.org/r/plain").await.1, "0123456789");
    let closed = rig.close().await;
    let exchange = closed.transcript.exchanges().next().unwrap();
    assert_eq!(
        (exchange.url.as_str(), exchange.repository.as_str()),
        ("http://old.example.org/r/plain", "main")
    );
}

#[tokio::test]
async fn posts_are_told_apart_by_their_bodies() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::record(&upstream, &store);
    let url = upstream.url("/repo/post");
    for body in ["a", "b", "a"] {
        let response = rig.client().post(&url).body(body).send().await.unwrap();
        assert_eq!(seen(response).await.1, format!("posted {}", Digest::of(body.as_bytes())));
    }
    assert_eq!(upstream.requests(), 2);
    assert_eq!(rig.close().await.transcript.exchanges().len(), 2);
}

#[tokio::test]
async fn a_checksum_is_held_through_redirects() {
    for (expected, status) in [(&b"moved here"[..], 200), (b"something else", 502)] {
        let (upstream, (_dir, store)) = (upstream().await, store());
        let mut options = options(recording(upstream.url("/repo")), &store);
        options.checksums = vec![(upstream.url("/repo/moved"), Digest::of(expected))];
        let rig = Rig::start(options);
        assert_eq!(rig.get(&upstream.url("/repo/moved")).await.0, 302);
        let (seen, text) = rig.get(&upstream.url("/elsewhere/file?token=redacted-1&part=1")).await;
        assert_eq!(seen, status, "{text}");
        let closed = rig.close().await;
        let refused: Vec<_> = closed.refused.iter().map(|refusal| refusal.reason.as_str()).collect();
        assert_eq!(refused, if status == 200 { vec![] } else { vec!["checksum"] });
        assert_eq!(closed.transcript.exchanges().len(), if status == 200 { 2 } else { 1 });
    }
}

#[tokio::test]
async fn learning_says_so_and_still_refuses_addresses() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let rig = Rig::start(options(
        Mode::Record {
            repositories: Vec::new(),
            access: [].into(),
            learn: true,
            proxies: Proxies {
                http: Some(Secret::new(format!("http://{}", upstream.addr))),
                ..Proxies::default()
            },
            told: None,
        },
        &store,
    ));
    assert_eq!(rig.get("http://any.example.org/repo/plain").await.0, 404);
    assert_eq!(rig.get(&upstream.url("/repo/plain")).await.0, 403);
    let closed = rig.close().await;
    let exchange = closed.transcript.exchanges().next().unwrap();
    assert_eq!(
        (exchange.url.as_str(), exchange.repository.as_str()),
        ("http://any.example.org/repo/plain", "learned")
    );
    assert_eq!(closed.refused[0].reason, "ip-literal");
}

#[tokio::test]
async fn progress_counts_bytes_and_answers() {
    let (upstream, (_dir, store)) = (upstream().await, store());
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Traffic::default()));
    let mut options = options(recording(upstream.url("/repo")), &store);
    let last = std::sync::Arc::clone(&seen);
    options.progress = Some(std::sync::Arc::new(move |traffic| *last.lock().unwrap() = traffic));
    let rig = Rig::start(options);
    rig.get(&upstream.url("/repo/plain")).await;
    rig.close().await;
    assert_eq!(*seen.lock().unwrap(), Traffic { answers: 1, size_bytes: 10 });
}
