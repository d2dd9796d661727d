use std::time::Duration;

use reqwest::header::RANGE;

use super::support::{Rig, Upstream, kinds, options, recording, seen, store};
use crate::{
    gateway::{Doubt, Growing, Mode, Recorded},
    model::Digest,
    store::Store,
    transcript::Transcript,
};

const PATHS: [&str; 7] = ["plain", "chunked", "until-close", "absent", "moved", "vary", "flaky"];

/// What a client sees of all paths.
async fn walk(rig: &Rig, upstream: &Upstream) -> Vec<String> {
    let mut all = Vec::new();
    for path in PATHS {
        let url = upstream.url(&format!("/repo/{path}"));
        let response = rig.client().get(&url).send().await.unwrap();
        let mut headers: Vec<_> =
            response.headers().iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        // How a body of unknown length is framed may differ; nothing else may.
        headers.retain(|header| {
            !header.starts_with("content-length") && !header.starts_with("transfer-encoding")
        });
        headers.sort();
        all.push(format!("{path} {headers:?} {:?}", seen(response).await));
    }
    all
}

#[tokio::test]
async fn a_replay_sees_what_the_recording_saw() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::record(&upstream, &store);
    let recorded = walk(&rig, &upstream).await;
    let transcript = rig.close().await.transcript.clone();
    let requests = upstream.requests();
    let read = Transcript::parse(&transcript.to_jsonl()).unwrap();
    let rig = Rig::replay(read, &store);
    assert_eq!(walk(&rig, &upstream).await, recorded);
    let part = rig.client().get(upstream.url("/repo/plain")).header(RANGE, "bytes=1-2").send().await.unwrap();
    assert_eq!(seen(part).await, (206, "12".to_owned()));
    let head = rig.client().head(upstream.url("/repo/plain")).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "10");
    let closed = rig.close().await;
    assert_eq!(closed.transcript, transcript);
    assert_eq!((closed.upstream_requests, closed.answered, upstream.requests()), (0, 9, requests));
    assert_eq!(kinds(&closed), ["replayed -"; 9]);
}

#[tokio::test]
async fn what_was_not_recorded_is_undeclared() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::replay(Transcript::default(), &store);
    let url = upstream.url("/repo/plain");
    let (status, text) = rig.get(&url).await;
    assert_eq!(status, 403);
    insta::assert_snapshot!(text.replace(&url, "URL"), @"reprov gateway: GET URL is not in the recording, and a replay fetches nothing");
    rig.get(&url).await;
    rig.raw("CONNECT mirror.example.org:443 HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    let closed = rig.close().await;
    let connect = ("CONNECT".to_owned(), "https://mirror.example.org/".to_owned());
    assert_eq!(closed.undeclared, [connect, ("GET".to_owned(), url)]);
    assert!(closed.refused.is_empty());
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn bodies_lost_or_altered_are_missing() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::record(&upstream, &store);
    for path in ["/repo/plain", "/repo/chunked"] {
        rig.get(&upstream.url(path)).await;
    }
    let transcript = rig.close().await.transcript.clone();
    let (altered, lost) = (Digest::of(b"0123456789"), Digest::of(b"abcde"));
    tokio::fs::write(store.path(&altered), "0123456780").await.unwrap();
    store.remove(&lost).unwrap();
    let rig = Rig::replay(transcript, &store);
    for path in ["/repo/plain", "/repo/chunked", "/repo/plain"] {
        assert_eq!(rig.get(&upstream.url(path)).await.0, 502);
    }
    let closed = rig.close().await;
    let mut expected = [altered, lost];
    expected.sort();
    assert_eq!(closed.missing, expected);
    assert_eq!(closed.answered, 0);
}

#[tokio::test]
async fn a_checksum_holds_in_a_replay_too() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::record(&upstream, &store);
    let url = upstream.url("/repo/plain");
    rig.get(&url).await;
    let transcript = rig.close().await.transcript.clone();
    let mut options = options(Mode::Replay(transcript.into()), &store);
    options.checksums = vec![(url.clone(), Digest::of(b"other"))];
    let rig = Rig::start(options);
    assert_eq!(rig.get(&url).await.0, 502);
    assert_eq!(rig.close().await.refused[0].reason, "checksum");
}

/// A gateway that records, and one that replays what that does.
fn beside(upstream: &Upstream, store: &Store, (told, recorded): (Growing, &Recorded)) -> (Rig, Rig) {
    let Mode::Record { repositories, access, learn, proxies, .. } = recording(upstream.url("/repo")) else {
        unreachable!()
    };
    let mode = Mode::Record { repositories, access, learn, proxies, told: Some(told) };
    (Rig::start(options(mode, store)), Rig::start(options(Mode::Replay(recorded.clone()), store)))
}

#[tokio::test]
async fn a_replay_waits_for_a_recording_that_grows() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let soon = Duration::from_millis(50);
    let (told, recorded) = Growing::new(soon, Duration::ZERO);
    let (first, second) = beside(&upstream, &store, (told.clone(), &recorded));
    let url = |path: &str| upstream.url(&format!("/repo/{path}"));
    let asks = async |path: &str| second.get(&url(path)).await;
    assert!(tokio::time::timeout(soon, asks("plain")).await.is_err(), "nobody recorded it yet");
    let once = first.get(&url("plain")).await;
    let recorded_at = tokio::time::Instant::now();
    assert_eq!(asks("plain").await, once);
    assert!(recorded_at.elapsed() > soon / 2, "it is seen later than it was recorded");
    // Of a step that is over nothing more comes, though the recording goes on.
    recorded.during(Some(0));
    told.step_ended();
    assert_eq!(asks("chunked").await.0, 403);
    recorded.during(Some(1));
    assert!(tokio::time::timeout(soon, asks("moved")).await.is_err());
    assert!(
        tokio::time::timeout(soon, recorded.doubt()).await.is_err(),
        "who left may have missed something"
    );
    first.get(&url("vary")).await;
    assert_eq!(asks("vary").await.0, 200);
    first.get(&url("chunked")).await;
    let transcript = first.close().await.transcript.clone();
    told.end(transcript.clone());
    assert_eq!(asks("absent").await.0, 403);
    assert_eq!(recorded.doubt().await, Some(Doubt::Unanswered), "a replay of the whole has it");
    let closed = second.close().await;
    assert_eq!(closed.transcript, transcript);
    let missed: Vec<_> = ["absent", "chunked"].map(|path| ("GET".to_owned(), url(path))).into();
    assert_eq!(closed.undeclared, missed);
}

#[tokio::test]
async fn who_asks_too_soon_after_the_recorded_request_is_near() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let (told, recorded) = Growing::new(Duration::ZERO, Duration::from_mins(1));
    let (first, second) = beside(&upstream, &store, (told, &recorded));
    let url = upstream.url("/repo/plain");
    assert_eq!(first.get(&url).await, second.get(&url).await);
    assert_eq!(recorded.doubt().await, Some(Doubt::Near));
}

#[tokio::test]
async fn who_waits_longer_than_clients_may_is_late() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let (told, recorded) = Growing::new(Duration::ZERO, Duration::ZERO);
    let (first, second) = beside(&upstream, &store, (told, &recorded));
    let url = upstream.url("/repo/plain");
    let records = async {
        tokio::time::sleep(Duration::from_millis(5200)).await;
        first.get(&url).await
    };
    let (again, once) = tokio::join!(second.get(&url), records);
    assert_eq!(again, once);
    assert_eq!(recorded.doubt().await, Some(Doubt::Late));
}
