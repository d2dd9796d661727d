//! Registries that stumble: cut connections, waits they ask for, errors without end.

use std::time::Instant;

use super::{
    server::{Reply, Request, Server, ok, status},
    *,
};

const BLOB: &[u8] = b"abcdef";

/// Fetches [`BLOB`] from a registry whose first answer is cut after three bytes and whose others are `rest`'s; what
/// came of it, and the ranges that were asked for.
async fn cut(
    rest: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
) -> (Result<(), RegistryError>, Vec<Option<String>>) {
    let server = Server::start(move |request, before| match before {
        0 => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc".to_vec()),
        _ => rest(request, before),
    })
    .await;
    let image = name(format!("{}/app:v1", server.host));
    let (_dir, store) = store();
    let fetched = registries().fetch_blob(&image, &Descriptor::of(OCI_LAYER, BLOB), &store).await;
    assert_eq!(store.size(&Digest::of(BLOB)).is_some(), fetched.is_ok());
    assert_eq!(std::fs::read_dir(store.tmp()).unwrap().count(), 0);
    let range = |request: &Request| request.header("range").map(ToOwned::to_owned);
    (fetched, server.seen().iter().map(range).collect())
}

fn part(range: &str, body: &str) -> Reply {
    Reply::Full(206, format!("Content-Range: bytes {range}\r\n"), body.into())
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_was() {
    let (fetched, ranges) = cut(|_, _| part("3-5/6", "def")).await;
    fetched.unwrap();
    assert_eq!(ranges, [None, Some("bytes=3-".to_owned())]);
}

#[tokio::test]
async fn a_download_cut_twice_goes_on_twice() {
    let (fetched, ranges) = cut(|_, before| match before {
        1 => {
            Reply::Raw(b"HTTP/1.1 206 X\r\nContent-Range: bytes 3-5/6\r\nContent-Length: 3\r\n\r\nd".to_vec())
        }
        _ => part("4-5/6", "ef"),
    })
    .await;
    fetched.unwrap();
    assert_eq!(ranges[1..], [Some("bytes=3-".to_owned()), Some("bytes=4-".to_owned())]);
}

#[tokio::test]
async fn a_registry_without_ranges_sends_all_again() {
    cut(|_, _| ok("", BLOB)).await.0.unwrap();
}

#[tokio::test]
async fn a_registry_that_refuses_the_rest_is_asked_for_all() {
    for odd in [status(416), part("0-2/6", "abc"), Reply::Full(206, String::new(), b"def".to_vec())] {
        let (fetched, ranges) = cut(move |request, _| match request.header("range") {
            Some(_) => odd.clone(),
            None => ok("", BLOB),
        })
        .await;
        fetched.unwrap();
        assert_eq!(ranges, [None, Some("bytes=3-".to_owned()), None]);
    }
}

#[tokio::test]
async fn a_rest_of_other_bytes_is_not_kept() {
    let (fetched, _) = cut(|_, _| part("3-5/6", "xyz")).await;
    assert!(matches!(fetched, Err(RegistryError::Mismatch { .. })), "{fetched:?}");
    let (fetched, _) = cut(|_, _| part("3-9/10", "defghij")).await;
    assert!(matches!(fetched, Err(RegistryError::TooLarge { .. })), "{fetched:?}");
}

/// Sends a blob to a registry that answers as `faulty` says, or else takes it.
async fn upload(
    faulty: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
) -> (Result<Pushed, RegistryError>, Server) {
    let server = Server::start(move |request, before| {
        let takes = |request: &Request| match request.line.split(' ').next() {
            Some("POST") => Reply::Full(202, "Location: /v2/app/blobs/uploads/1\r\n".into(), Vec::new()),
            Some("PUT") => Reply::Full(201, "Location: /x\r\n".into(), Vec::new()),
            _ => status(404),
        };
        faulty(request, before).unwrap_or_else(|| takes(request))
    })
    .await;
    let image = name(format!("{}/app:v1", server.host));
    let (_dir, store) = store();
    let wanted = blob(&store, OCI_LAYER, BLOB);
    (registries().push_blob(&image, &wanted, &store, None).await, server)
}

fn slow_down(after: &str) -> Reply {
    Reply::Full(429, format!("Retry-After: {after}\r\n"), b"slow down".to_vec())
}

#[tokio::test]
async fn an_upload_waits_as_long_as_it_is_told() {
    for method in ["POST", "PUT"] {
        let began = Instant::now();
        let faulty = move |request: &Request, before| {
            (request.line.starts_with(method) && before == 0).then(|| slow_down("1"))
        };
        assert_eq!(upload(faulty).await.0.unwrap(), Pushed::Sent);
        assert!(began.elapsed() >= Duration::from_secs(1), "{method}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_said_instead() {
    for after in ["3600", "18446744073709551615"] {
        let after = after.to_owned();
        let (pushed, server) =
            upload(move |request, _| request.line.starts_with("POST").then(|| slow_down(&after))).await;
        let error = pushed.unwrap_err().to_string();
        assert!(
            error.contains("429 slow down (it asks to come back after ") && error.ends_with(" s)"),
            "{error}"
        );
        assert_eq!(server.seen().iter().filter(|request| request.line.starts_with("POST")).count(), 1);
    }
}

#[tokio::test]
async fn an_upload_outlives_a_passing_trouble() {
    for method in ["POST", "PUT"] {
        for trouble in [status(500), status(503), Reply::Raw(Vec::new())] {
            let faulty = move |request: &Request, before| {
                (request.line.starts_with(method) && before < 2).then(|| trouble.clone())
            };
            let (pushed, server) = upload(faulty).await;
            assert_eq!(pushed.unwrap(), Pushed::Sent);
            let put = server.seen().into_iter().rfind(|request| request.line.starts_with("PUT")).unwrap();
            assert_eq!(put.body, BLOB);
        }
    }
}

#[tokio::test]
async fn an_error_without_end_is_read_only_so_far() {
    for method in ["POST", "PUT"] {
        let faulty =
            move |request: &Request, _| request.line.starts_with(method).then_some(Reply::Endless(400));
        let (pushed, _server) = upload(faulty).await;
        let Err(RegistryError::Refused { status: 400, message, .. }) = pushed else { panic!("{pushed:?}") };
        assert_eq!(message.len(), 300);
    }
}

#[tokio::test]
async fn a_place_to_send_to_that_is_no_url_is_an_answer() {
    for location in ["http://[", "ftp://127.0.0.1/x"] {
        let reply = Reply::Full(202, format!("Location: {location}\r\n"), Vec::new());
        let faulty = move |request: &Request, _| request.line.starts_with("POST").then(|| reply.clone());
        let (pushed, _server) = upload(faulty).await;
        assert!(matches!(pushed, Err(RegistryError::Answer { .. })), "{pushed:?}");
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_goes_on_where_it_was() {
    let (pushed, server) = upload(|request, before| match request.line.split(' ').next() {
        Some("PUT") if before == 0 && !request.body.is_empty() => Some(Reply::Raw(Vec::new())),
        Some("GET") => Some(Reply::Full(204, "Range: 0-2\r\nLocation: /v2/app/two\r\n".into(), Vec::new())),
        Some("PATCH") => Some(Reply::Full(202, "Location: /v2/app/three?x=1\r\n".into(), Vec::new())),
        _ => None,
    })
    .await;
    assert_eq!(pushed.unwrap(), Pushed::Sent);
    let seen = server.seen();
    let patch = seen.iter().find(|request| request.line == "PATCH /v2/app/two").unwrap();
    assert_eq!(patch.body, BLOB[3..]);
    assert_eq!(patch.header("content-range"), Some(format!("3-{}", BLOB.len() - 1).as_str()));
    let last = seen.last().unwrap();
    let closed = format!("PUT /v2/app/three?x=1&digest=sha256%3A{}", Digest::of(BLOB).hex());
    assert_eq!((last.line.as_str(), last.body.len()), (closed.as_str(), 0));
}

/// Passes bytes on between clients and `to`; the first connection that carries more than `cut_after` is cut there.
fn cutting(to: &str, cut_after: usize) -> String {
    use std::{
        io::{Read as _, Write as _},
        net::{Shutdown, TcpListener, TcpStream},
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (host, to) = (listener.local_addr().unwrap().to_string(), to.to_owned());
    let cut = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&to).unwrap();
            let (mut down, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut down, &mut back);
                let _ = back.shutdown(Shutdown::Both);
            });
            let (mut client, mut server, cut) = (client, server, Arc::clone(&cut));
            std::thread::spawn(move || {
                let (mut buffer, mut passed) = (vec![0; 1 << 16], 0);
                while let Ok(count @ 1..) = client.read(&mut buffer) {
                    passed += count;
                    if passed > cut_after && !cut.swap(true, Ordering::SeqCst) {
                        break;
                    }
                    if server.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                let _ = (server.shutdown(Shutdown::Both), client.shutdown(Shutdown::Both));
            });
        }
    });
    host
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_large_upload_that_is_cut_arrives_at_a_real_registry() {
    let registry = server::DockerRegistry::start();
    let host = cutting(&registry.host, 5 << 20);
    let (_dir, store) = store();
    let wanted = blob(&store, OCI_LAYER, &vec![7; 9 << 20]);
    let pushed = registries().push_blob(&name(format!("{host}/app")), &wanted, &store, None).await.unwrap();
    assert_eq!(pushed, Pushed::Sent);
    let straight = name(format!("{}/app", registry.host));
    assert!(registries().blob_exists(&straight, &wanted.digest).await.unwrap());
}
