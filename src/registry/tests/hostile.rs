//! Against registries that lie, stall and flood (FORMATS.md §12, rows 26 to 51).

use super::{
    server::{Reply, Request, Server, ok, status},
    *,
};
use crate::model::names::OCI_INDEX;

const MANIFEST: &[u8] = br#"{"schemaVersion":2,"layers":[]}"#;

async fn serve(handle: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> (Server, ImageName) {
    let server = Server::start(handle).await;
    let image = name(format!("{}/app:v1", server.host));
    (server, image)
}

/// What a manifest that is answered by `reply` comes to.
async fn manifest(reply: Reply) -> Result<Descriptor, RegistryError> {
    let (_server, image) = serve(move |_, _| reply.clone()).await;
    registries().resolve(&image).await
}

/// What the blob `abc` that is answered by `reply` comes to; nothing of it may be kept unless it is right.
async fn fetch(reply: Reply) -> Result<(), RegistryError> {
    let (_server, image) = serve(move |_, _| reply.clone()).await;
    let (_dir, store) = store();
    let fetched = registries().fetch_blob(&image, &Descriptor::of(OCI_LAYER, b"abc"), &store).await;
    assert_eq!(store.size(&Digest::of(b"abc")).is_some(), fetched.is_ok());
    assert_eq!(std::fs::read_dir(store.tmp()).unwrap().count(), 0);
    fetched
}

#[track_caller]
fn check<T: fmt::Debug>(result: Result<T, RegistryError>, expected: &str) {
    let error = result.unwrap_err();
    assert!(!error.is_not_found(), "{error:?}");
    assert!(format!("{error:?}").starts_with(expected), "{error:?} is not {expected}");
}

#[tokio::test]
async fn manifests_that_are_not_what_was_asked_for() {
    check(
        manifest(ok(&format!("Docker-Content-Digest: {}\r\n", Digest::of(b"")), MANIFEST)).await,
        "Mismatch",
    );
    check(manifest(ok("Docker-Content-Digest: junk\r\n", MANIFEST)).await, "Mismatch");
    check(manifest(ok("Content-Type: text/html\r\n", "<html>")).await, "Answer");
    check(manifest(ok("Content-Encoding: gzip\r\n", MANIFEST)).await, "Answer");
    check(manifest(status(403)).await, "Refused");
    check(manifest(status(200 + 4)).await, "Answer");
    let (server, image) = serve(|_, _| ok("", MANIFEST)).await;
    let other = image.at(Digest::of(b"other"));
    check(registries().manifest(&other).await, "Mismatch");
    let right = registries().manifest(&image.at(Digest::of(MANIFEST))).await.unwrap();
    assert_eq!(right.1, MANIFEST);
    let accept = server.seen()[0].header("accept").unwrap().to_owned();
    assert_eq!(accept.split(", ").count(), 4);
    assert_eq!(server.seen()[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn bodies_without_end() {
    check(manifest(Reply::Endless(200)).await, "TooLarge");
    check(manifest(Reply::Endless(403)).await, "Refused");
    check(manifest(Reply::Endless(500)).await, "Refused");
    check(fetch(Reply::Endless(200)).await, "TooLarge");
    check(fetch(Reply::Endless(400)).await, "Refused");
    let length = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n".to_vec();
    check(manifest(Reply::Mute(length)).await, "TooLarge");
    let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
    head.resize(16 << 20, b'a');
    check(manifest(Reply::Raw(head)).await, "Unreachable");
}

#[tokio::test]
async fn blobs_that_are_not_what_was_asked_for() {
    check(fetch(ok("", "abd")).await, "Mismatch");
    check(fetch(ok("", "ab")).await, "Answer");
    check(fetch(ok("", "abcd")).await, "TooLarge");
    check(fetch(ok("Content-Encoding: gzip\r\n", "abc")).await, "Answer");
    check(fetch(Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab".to_vec())).await, "Unreachable");
    check(fetch(status(206)).await, "Refused");
    fetch(ok("", "abc")).await.unwrap();
}

#[tokio::test]
async fn silence_is_a_timeout_and_not_tried_again() {
    for reply in [b"".to_vec(), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab".to_vec()] {
        let (server, image) = serve(move |_, _| Reply::Mute(reply.clone())).await;
        let waits = Waits {
            read_connect: Duration::from_millis(200),
            read_idle: Duration::from_millis(50),
            ..Waits::default()
        };
        let registries = with(Options { waits, ..Options::default() });
        check(registries.manifest(&image).await, "Timeout");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_trickle_is_bounded_by_the_whole() {
    let waits = Waits { read_per_mib: Duration::ZERO, ..Waits::default() };
    let (_server, image) =
        serve(|_, _| Reply::Mute(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab".to_vec())).await;
    check(with(Options { waits, ..Options::default() }).manifest(&image).await, "Timeout");
}

#[tokio::test]
async fn a_passing_trouble_is_tried_again() {
    let cut = || Reply::Raw(Vec::new());
    let slow_down = |after: &str| Reply::Full(429, format!("Retry-After: {after}\r\n"), Vec::new());
    for trouble in [status(500), status(503), status(429), slow_down("0"), cut()] {
        let shown = format!("{trouble:?}");
        let (server, image) =
            serve(move |_, before| if before < 2 { trouble.clone() } else { ok("", MANIFEST) }).await;
        registries().manifest(&image).await.expect(&shown);
        assert_eq!(server.seen().len(), 3);
    }
    for (trouble, tries) in [(status(500), 3), (slow_down("86400"), 1), (slow_down("Tue, 24 Nov 2026"), 1)] {
        let (server, image) = serve(move |_, _| trouble.clone()).await;
        check(registries().manifest(&image).await, "Refused");
        assert_eq!(server.seen().len(), tries);
    }
    let (_dir, store) = store();
    let (_server, image) = serve(|_, before| match before {
        0 => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na".to_vec()),
        _ => ok("", "abc"),
    })
    .await;
    registries().fetch_blob(&image, &Descriptor::of(OCI_LAYER, b"abc"), &store).await.unwrap();
}

#[tokio::test]
async fn redirects() {
    let elsewhere = Server::start(|_, _| ok("", "abc")).await;
    let target = format!("Location: http://{}/signed?x=1\r\n", elsewhere.host);
    fetch(Reply::Full(307, target, Vec::new())).await.unwrap();
    for target in ["file:///etc/passwd", "ftp://127.0.0.1/", "//", "gopher:x"] {
        check(fetch(Reply::Full(307, format!("Location: {target}\r\n"), Vec::new())).await, "Answer");
    }
    let (server, image) = serve(|request, _| {
        let target = request.line.replace("GET ", "").replace('~', "") + "~";
        Reply::Full(302, format!("Location: {target}\r\n"), Vec::new())
    })
    .await;
    check(registries().manifest(&image).await, "TooLarge");
    assert_eq!(server.seen().len(), 6);
}

fn index(entries: &[Descriptor]) -> Vec<u8> {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string().into_bytes()
}

const INDEX_TYPE: &str = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";

fn entry(number: usize) -> Descriptor {
    let annotations = BTreeMap::from([("a".to_owned(), number.to_string())]);
    Descriptor { annotations, ..Descriptor::of(OCI_MANIFEST, number.to_string().as_bytes()) }
}

#[tokio::test]
async fn referrers_that_cannot_be_looked_at_are_never_none() {
    let subject = Digest::of(b"image");
    for code in [401, 403, 405, 418, 429, 500, 503] {
        let (_server, image) = serve(move |_, _| status(code)).await;
        let expected = if code == 401 { "Unauthorized" } else { "Refused" };
        check(registries().referrers(&image, &subject).await, expected);
        let (_server, image) =
            serve(move |request, _| status(if request.line.contains("/referrers/") { 404 } else { code }))
                .await;
        check(registries().referrers(&image, &subject).await, expected);
    }
    let (_server, image) = serve(|_, _| ok("Content-Type: text/html\r\n", "<html>")).await;
    check(registries().referrers(&image, &subject).await, "Answer");
    let (_server, image) = serve(|_, _| Reply::Endless(200)).await;
    check(registries().referrers(&image, &subject).await, "TooLarge");
}

#[tokio::test]
async fn pages_are_followed_but_not_for_ever() {
    let subject = Digest::of(b"image");
    let paged = |next: &'static str, status: u16| {
        move |request: &Request, before: usize| {
            let page = request.line.split("p=").nth(1).map_or(0, |page| page.parse().unwrap());
            match (page, before) {
                (0, _) => {
                    ok(&format!("{INDEX_TYPE}Link: <{next}>; rel=\"next\"\r\n"), index(&[entry(0), entry(1)]))
                }
                (1, _) => ok(&format!("{INDEX_TYPE}Link: <?p=2>; rel=\"next\"\r\n"), index(&[entry(1)])),
                _ => Reply::Full(status, INDEX_TYPE.to_owned(), index(&[entry(2)])),
            }
        }
    };
    let subject_descriptor = Descriptor::of(OCI_MANIFEST, b"image");
    let (_server, image) = serve(paged("?p=1", 200)).await;
    assert_eq!(listed(&registries(), &image, &subject_descriptor).await, ["0", "1", "2"]);
    for code in [404, 403] {
        let (_server, image) = serve(paged("?p=1", code)).await;
        check(registries().referrers(&image, &subject).await, "Refused");
    }
    let (server, image) = serve(paged("?p=0", 200)).await;
    check(registries().referrers(&image, &subject).await, "TooLarge");
    assert_eq!(server.seen().len(), 100);
    let (server, image) = serve(paged("http://127.0.0.1:1/v2/", 200)).await;
    check(registries().referrers(&image, &subject).await, "Answer");
    assert_eq!(server.seen().len(), 1);
    let many: Vec<_> = (0..1001).map(entry).collect();
    let (_server, image) = serve(move |_, _| ok(INDEX_TYPE, index(&many))).await;
    check(registries().referrers(&image, &subject).await, "TooLarge");
}

#[tokio::test]
async fn junk_among_the_entries_hides_nothing() {
    let good = serde_json::to_value(entry(7)).unwrap();
    let junk = json!({"schemaVersion": 2, "manifests": [{"digest": "sha256:../../..", "size": 1, "mediaType": "x"},
        {"digest": Digest::of(b""), "size": -1, "mediaType": "x"}, 7, good, null]});
    let (_server, image) = serve(move |_, _| ok(INDEX_TYPE, junk.to_string())).await;
    assert_eq!(listed(&registries(), &image, &Descriptor::of(OCI_MANIFEST, b"image")).await, ["7"]);
}

#[tokio::test]
async fn a_registry_that_lists_by_itself_is_left_alone() {
    let (server, image) = serve(|_, _| Reply::Full(201, "OCI-Subject: x\r\n".to_owned(), Vec::new())).await;
    let subject = Descriptor::of(OCI_MANIFEST, b"image");
    let attached = registries().attach(&image, &subject, MANIFEST, BUNDLE, &BTreeMap::new()).await.unwrap();
    assert_eq!(attached.listed, Listed::Api);
    assert_eq!(server.seen().len(), 1);
    assert_eq!(server.seen()[0].body, MANIFEST);
}

#[tokio::test]
async fn what_cannot_be_listed_is_said_to_be_pushed() {
    let (_server, image) = serve(|request, _| {
        let by_digest = request.line.contains("manifests/sha256:");
        if by_digest {
            status(201)
        } else if request.line.starts_with("GET") {
            status(404)
        } else {
            status(403)
        }
    })
    .await;
    let subject = Descriptor::of(OCI_MANIFEST, b"image");
    let attached = registries().attach(&image, &subject, MANIFEST, BUNDLE, &BTreeMap::new()).await;
    check(attached, "Unlisted");
}

#[tokio::test]
async fn a_push_that_the_registry_took_for_another_is_an_error() {
    let lie = format!("Docker-Content-Digest: {}\r\n", Digest::of(b""));
    let (_server, image) = serve(move |_, _| Reply::Full(201, lie.clone(), Vec::new())).await;
    check(registries().tag(&image, OCI_MANIFEST, MANIFEST).await, "Mismatch");
}

#[tokio::test]
async fn uploads_that_stumble_stall_or_fail() {
    let push = async |reply: fn(&Request, usize) -> Reply| {
        let (server, image) = serve(reply).await;
        let (_dir, store) = store();
        let wanted = blob(&store, OCI_LAYER, b"layer");
        let short = Duration::from_millis(300);
        let waits = Waits { transfer_connect: short, transfer_idle: short, ..Waits::default() };
        let pushed =
            with(Options { waits, ..Options::default() }).push_blob(&image, &wanted, &store, None).await;
        (pushed, server.seen().iter().filter(|request| request.line.starts_with("PUT")).count())
    };
    let stumbles = |request: &Request, before: usize| match request.line.split(' ').next() {
        Some("POST") => Reply::Full(202, "Location: /v2/app/blobs/uploads/1\r\n".into(), Vec::new()),
        Some("PUT") if before == 0 => {
            Reply::Full(400, String::new(), br#"{"errors":[{"code":"DIGEST_INVALID"}]}"#.to_vec())
        }
        Some("PUT") => Reply::Full(201, "Location: /x\r\n".into(), Vec::new()),
        _ => status(404),
    };
    let (pushed, puts) = push(stumbles).await;
    assert_eq!((pushed.unwrap(), puts), (Pushed::Sent, 2));
    // It says no, yet has the blob: somebody else sent it.
    let others = |request: &Request, before: usize| match request.line.split(' ').next() {
        Some("HEAD") if before == 0 => status(404),
        Some("HEAD" | "GET") => status(200),
        _ => status(400),
    };
    assert_eq!(push(others).await.0.unwrap(), Pushed::Sent);
    let refuses =
        |request: &Request, _: usize| status(if request.line.starts_with("POST") { 403 } else { 404 });
    check(push(refuses).await.0, "Refused");
    let no_location =
        |request: &Request, _: usize| status(if request.line.starts_with("POST") { 202 } else { 404 });
    check(push(no_location).await.0, "Answer");
    let mute = |request: &Request, _: usize| {
        if request.line.starts_with("POST") { Reply::Mute(Vec::new()) } else { status(404) }
    };
    check(push(mute).await.0, "Timeout");
    check(
        push(|request, _| if request.line.starts_with("POST") { Reply::Endless(400) } else { status(404) })
            .await
            .0,
        "Refused",
    );
}

/// Whoever is asked what others write may answer each look with another list as large as any.
#[tokio::test]
async fn what_is_seen_while_writing_is_held_within_bounds() {
    let filler = "x".repeat((4 << 20) - 200);
    let (server, _) = serve(move |_, before| {
        if before < 3 {
            return status(404); // The looks before it writes.
        }
        let index = format!(
            r#"{{"manifests":[],"mediaType":"{OCI_INDEX}","annotations":{{"{before}":"{filler}"}}}}"#
        );
        ok(&format!("ETag: \"{before}\"\r\n"), index)
    })
    .await;
    let place = Place::new(&server.host, "app", true).unwrap();
    let registries = registries();
    let writing = tokio::time::sleep(Duration::from_secs(3));
    let version = pull::Version::default();
    let (written, seen) = watch::meanwhile(&registries.http, &place, "tag", &version, writing).await;
    assert_eq!(written, Some(()));
    let size_bytes: usize = seen.iter().map(|found| found.bytes.len()).sum();
    assert!(!seen.is_empty() && size_bytes <= 40 << 20, "{size_bytes}");
}

/// The other side of it: who is alone, as `copy` mostly is, spends no requests on what others may write.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_lists_alone_looks_once_before_and_once_after() {
    let list = std::sync::Mutex::new(None::<Vec<u8>>);
    let (server, image) = serve(move |request, _| {
        if request.line.starts_with("PUT") {
            std::thread::sleep(Duration::from_millis(100));
            *list.lock().unwrap() = Some(request.body.clone());
            return Reply::Full(201, String::new(), Vec::new());
        }
        list.lock().unwrap().clone().map_or_else(|| status(404), |list| ok("ETag: \"1\"\r\n", list))
    })
    .await;
    let (subject, one) = (Descriptor::of(OCI_MANIFEST, b"subject"), Descriptor::of(OCI_MANIFEST, b"one"));
    registries().list_attachments(&image, &subject, &[one], None).await.unwrap();
    let methods: Vec<_> = server.seen().iter().map(|request| request.line[..3].to_owned()).collect();
    assert_eq!(methods, ["GET", "PUT", "GET"]);
}

/// A registry that compares nothing and names no version gives each look the whole list; that is no change.
#[tokio::test]
async fn a_list_that_comes_whole_each_time_is_written_to_all_the_same() {
    let first = Descriptor::of(OCI_MANIFEST, b"another's");
    let list = std::sync::Mutex::new(
        serde_json::to_vec(&serde_json::json!({"mediaType": OCI_INDEX, "manifests": [first]})).unwrap(),
    );
    let (server, image) = serve(move |request, _| {
        if request.line.starts_with("PUT") {
            *list.lock().unwrap() = request.body.clone();
            return Reply::Full(201, String::new(), Vec::new());
        }
        ok("", list.lock().unwrap().clone())
    })
    .await;
    let (subject, one) = (Descriptor::of(OCI_MANIFEST, b"subject"), Descriptor::of(OCI_MANIFEST, b"one"));
    let before = Before { entries: Vec::new(), at: std::time::Instant::now(), neighbours: None };
    registries().list_attachments(&image, &subject, &[one], Some(&before)).await.unwrap();
    let puts = server.seen().iter().filter(|request| request.line.starts_with("PUT")).count();
    assert_eq!(puts, 1);
}
