//! Credentials that the gateway adds, and lists of mirrors that it cuts.

use super::support::{Rig, Seen, Upstream, options, recording, store};
use crate::{
    gateway::{Access, Mode},
    model::{Proxies, RepositoryKind, Secret},
    store::Store,
};

const CANARY: &str = "Basic Y2FuYXJ5OnMzY3JldA==";

fn mode(upstream: &Upstream, kind: RepositoryKind, keep: bool) -> Mode {
    let Mode::Record { mut repositories, learn, proxies, .. } = recording(upstream.url("/repo")) else {
        unreachable!()
    };
    repositories[0].kind = kind;
    let access = Access { authorization: Some(Secret::new(CANARY)), keep, signers: None };
    let access = [("main".to_owned(), access)].into();
    Mode::Record { repositories, access, learn, proxies, told: None }
}

fn private(upstream: &Upstream, store: &Store, keep: bool) -> Rig {
    Rig::start(options(mode(upstream, RepositoryKind::Generic, keep), store))
}

/// What the upstream says it was asked, from the body of `url`.
async fn asked(rig: &Rig, url: &str) -> String {
    rig.get(url).await.1.to_ascii_lowercase()
}

fn written(closed: &Seen) -> String {
    format!("{}{closed:?}", String::from_utf8(closed.transcript.to_jsonl()).unwrap())
}

#[tokio::test]
async fn the_credential_goes_to_the_repository_and_nowhere_else() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let expected = format!("authorization: {}\r\n", CANARY.to_ascii_lowercase());
    let rig = private(&upstream, &store, false);
    for url in [upstream.url("/repo/head"), "http://old.example.org/r/head".to_owned()] {
        assert!(asked(&rig, &url).await.contains(&expected), "{url}");
    }
    let shown = format!("{:?}", rig.gateway);
    // A redirect out of the repository is followed without it, as a presigned URL is; what comes is private all the same.
    assert_eq!(rig.get(&upstream.url("/repo/aside")).await.0, 302);
    let aside = asked(&rig, &upstream.url("/elsewhere/head")).await;
    assert!(aside.contains("get /elsewhere/head") && !aside.contains("authorization"), "{aside}");
    let closed = rig.close().await;
    let bodies = closed.transcript.bodies();
    assert!(closed.private.iter().eq(bodies.keys()), "{closed:#?}");
    assert!(!format!("{shown}{}", written(&closed)).contains("Y2FuYXJ5"));
}

#[tokio::test]
async fn the_repositorys_credential_stands_above_the_steps_own() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = private(&upstream, &store, false);
    let url = upstream.url("/repo/head").replace("http://", "http://mine:own@");
    let request = rig.client().get(url).header("authorization", "Bearer own");
    let head = request.send().await.unwrap().text().await.unwrap();
    assert!(head.contains(CANARY) && !head.contains("own"), "{head}");
    rig.close().await;
}

#[tokio::test]
async fn what_may_be_kept_is_not_private() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = private(&upstream, &store, true);
    assert_eq!(rig.get(&upstream.url("/repo/plain")).await.0, 200);
    assert_eq!(rig.close().await.private, []);
}

#[tokio::test]
async fn what_anybody_gets_is_not_private() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::record(&upstream, &store);
    let with = rig.client().get(upstream.url("/repo/plain")).header("authorization", "Bearer x");
    with.send().await.unwrap();
    rig.get(&upstream.url("/repo/plain?again")).await; // 404, of no bytes.
    let private = rig.close().await.private.clone();
    assert_eq!(private, [crate::model::Digest::of(b"0123456789")]);
}

#[tokio::test]
async fn lists_of_mirrors_are_cut_to_one_that_is_allowed() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::start(options(mode(&upstream, RepositoryKind::Yum, false), &store));
    let plain = upstream.url("/repo/plain");
    let expected = [
        ("/repo/mirrorlist?arch=any", format!("{plain}\n")),
        ("/repo/metalink", format!("<metalink><file><url>{plain}</url></file></metalink>")),
    ];
    for (path, body) in &expected {
        assert_eq!(rig.get(&upstream.url(path)).await, (200, body.clone()));
    }
    let (status, said) = rig.get(&upstream.url("/repo/nowhere")).await;
    assert!(status == 502 && said.contains("lists no mirror that is under an allowed repository"), "{said}");
    let closed = rig.close().await;
    assert_eq!(closed.refused[0].reason, "mirrors");
    assert_eq!(closed.transcript.exchanges().len(), 2);
    assert!(closed.transcript.exchanges().all(|exchange| exchange.header("x-checksum-sha1").is_none()));
    let replay = Rig::replay(closed.transcript.clone(), &store);
    for (path, body) in &expected {
        assert_eq!(replay.get(&upstream.url(path)).await, (200, body.clone()));
    }
    replay.close().await;
}

#[tokio::test]
async fn a_list_is_one_only_where_yum_is_spoken() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let rig = Rig::record(&upstream, &store);
    let (_, body) = rig.get(&upstream.url("/repo/mirrorlist?arch=any")).await;
    assert_eq!(body.lines().count(), 3, "{body}");
    rig.close().await;
}

#[tokio::test]
async fn a_credential_that_is_no_header_is_refused_unseen() {
    let (upstream, (_dir, store)) = (Upstream::start(None).await, store());
    let Mode::Record { repositories, .. } = recording(upstream.url("/repo")) else { unreachable!() };
    let access = Access { authorization: Some(Secret::new("s3cret\r\nX: y")), ..Access::default() };
    let access = [("main".to_owned(), access)].into();
    let mode = Mode::Record { repositories, access, learn: false, proxies: Proxies::default(), told: None };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = crate::gateway::Gateway::start(listener, options(mode, &store)).unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(said.contains("repository `main`") && !said.contains("s3cret"), "{said}");
}
