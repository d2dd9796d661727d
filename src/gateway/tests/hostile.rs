use super::support::{Rig, Upstream, options, recording, store};
use crate::model::Limit;

/// The first line, and whether upstream and refusals saw anything, of one raw request.
async fn check(request: &str, status: &str, reason: Option<&str>) {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::record(&upstream, &store);
    let request = request.replace("UPSTREAM", &upstream.addr.to_string());
    let answer = rig.raw(&request).await;
    assert_eq!(answer.split(' ').nth(1), Some(status), "{request}\n{answer}");
    let closed = rig.close().await;
    let refused: Vec<_> = closed.refused.iter().map(|refusal| refusal.reason.as_str()).collect();
    assert_eq!(refused, reason.into_iter().collect::<Vec<_>>(), "{request}");
    assert_eq!(closed.transcript.tainted().is_empty(), reason.is_none());
    assert_eq!(upstream.requests(), 0, "{request}");
    if reason.is_some() {
        assert!(
            answer.contains("\r\nx-reprov: refused\r\n") && answer.contains("reprov gateway: "),
            "{answer}"
        );
        assert_eq!((closed.refused[0].line, closed.refused[0].step.as_deref()), (Some(3), Some("run")));
    }
}

fn get(url: &str, more: &str) -> String {
    format!("GET {url} HTTP/1.1\r\nHost: UPSTREAM\r\nConnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn urls_outside() {
    for (url, reason) in [
        ("http://mirror.example.org/repo/plain", "not-allowed"),
        ("http://UPSTREAM/repository", "not-allowed"),
        ("http://UPSTREAM/elsewhere/file", "not-allowed"),
        ("http://UPSTREAM/repo/../elsewhere/file", "url"),
        ("http://UPSTREAM/repo/..%2felsewhere/file", "url"),
        ("http://UPSTREAM/repo/%2e%2E/elsewhere/file", "url"),
        ("http://UPSTREAM/repo/%252e%252e%252felsewhere/file", "url"),
        ("http://127.0.0.1/repo/plain", "not-allowed"),
        ("http://169.254.169.254/latest/meta-data", "ip-literal"),
        ("http://2852039166/latest/meta-data", "ip-literal"),
        ("http://UPSTREAM@mirror.example.org/repo/plain", "not-allowed"),
        ("https://UPSTREAM/repo/plain", "form"),
        ("/repo/plain", "form"),
    ] {
        check(&get(url, ""), "403", Some(reason)).await;
    }
}

#[tokio::test]
async fn other_methods_and_protocols() {
    for method in ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
        let request = format!("{method} http://UPSTREAM/repo/plain HTTP/1.1\r\nConnection: close\r\n\r\n");
        check(&request, "405", Some("method")).await;
    }
    let websocket = "Upgrade: websocket\r\n";
    check(&get("http://UPSTREAM/repo/plain", websocket), "403", Some("upgrade")).await;
}

#[tokio::test]
async fn tunnels_elsewhere() {
    for target in
        ["mirror.example.org:22", "UPSTREAM", "127.0.0.1:22", "u@UPSTREAM", "[::1]:443", "mirror.example.org"]
    {
        let request = format!("CONNECT {target} HTTP/1.1\r\nConnection: close\r\n\r\n");
        check(&request, "403", Some("connect")).await;
    }
}

#[tokio::test]
async fn heads_too_large_or_malformed() {
    let huge = format!("X-Huge: {}\r\n", "a".repeat(70 << 10));
    check(&get("http://UPSTREAM/repo/plain", &huge), "431", None).await;
    let many = "X-Many: a\r\n".repeat(200);
    check(&get("http://UPSTREAM/repo/plain", &many), "431", None).await;
    check("\u{1}\u{2}\u{3}\r\n\r\n", "400", None).await;
    let long = format!("http://UPSTREAM/repo/{}", "a".repeat(9 << 10));
    check(&get(&long, ""), "403", Some("url")).await;
}

#[tokio::test]
async fn contradictory_lengths() {
    for lengths in [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: +4\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ] {
        let request = format!("POST http://UPSTREAM/repo/post HTTP/1.1\r\n{lengths}\r\nGET /");
        check(&request, "400", None).await;
    }
    let broken = "POST http://UPSTREAM/repo/post HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n";
    check(broken, "403", Some("form")).await;
}

/// With both lengths the chunks count, what goes upstream is framed anew, and nothing after it is read.
#[tokio::test]
async fn nothing_is_smuggled_behind_chunks() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::record(&upstream, &store);
    let request = format!(
        "POST {0} HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n\
         GET {0} HTTP/1.1\r\nConnection: close\r\n\r\n",
        upstream.url("/repo/post")
    );
    let answer = rig.raw(&request).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.contains(&crate::model::Digest::of(b"a").to_string()), "{answer}");
    assert_eq!(rig.close().await.upstream_requests, 1);
}

#[tokio::test]
async fn refusals_hide_secrets_and_say_what_to_do() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::record(&upstream, &store);
    let text = rig.raw(&get("http://u:pw@mirror.example.org/x?token=s3cret", "")).await;
    insta::assert_snapshot!(text.split("\r\n\r\n").nth(1).unwrap(), @r#"reprov gateway: GET http://redacted-1@mirror.example.org/x?token=redacted-2 is not under an allowed repository; add a [[repository]] table whose url is http://mirror.example.org/ or a longer part of it"#);
    let closed = rig.close().await;
    assert_eq!(closed.refused[0].url, "http://redacted-1@mirror.example.org/x?token=redacted-2");
    assert!(!format!("{:?}", closed.events).contains("s3cret"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::record(&upstream, &store);
    let first = format!("GET {} HTTP/1.1\r\n\r\n", upstream.url("/repo/plain"));
    let last = format!("GET {} HTTP/1.1\r\nConnection: close\r\n\r\n", upstream.url("/repo/absent"));
    let answer = rig.raw(&format!("{first}{first}{last}")).await;
    let statuses: Vec<_> = answer.split("HTTP/1.1 ").skip(1).map(|part| &part[..3]).collect();
    assert_eq!(statuses, ["200", "200", "404"]);
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn bodies_too_large() {
    let length = crate::model::limits::REQUEST_BODY_SIZE_BYTES_MAX + 1;
    let head = format!(
        "POST http://UPSTREAM/repo/post HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    check(&head, "413", Some("size")).await;
}

#[tokio::test]
async fn more_than_the_build_may_fetch_ends_it() {
    for (path, allowed, within) in [
        ("/repo/plain", 1 << 20, true),
        ("/repo/plain", 3, false),
        ("/repo/big", 1 << 20, false),
        ("/repo/chunked", 3, false),
        ("/repo/until-close", 3, false),
    ] {
        let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
        let mut options = options(recording(upstream.url("/repo")), &store);
        options.inputs_size_bytes_max = allowed;
        let full = options.full.clone();
        let rig = Rig::start(options);
        let answer = rig.client().get(upstream.url(path)).send().await;
        let whole = match answer {
            Ok(answer) => answer.status() == 200 && answer.bytes().await.is_ok(),
            Err(_) => false,
        };
        assert_eq!((whole, full.is_cancelled()), (within, !within), "{path}");
        let closed = rig.close().await;
        let exceeded = closed.exceeded.map(|over| (over.limit, over.allowed, over.found > over.allowed));
        assert_eq!(exceeded, (!within).then_some((Limit::Inputs, allowed, true)), "{path}");
        assert_eq!(closed.transcript.exchanges().len(), usize::from(within), "{path}");
    }
}
