//! Registries behind a proxy.

use super::{
    server::{Reply, Server, ok, status},
    *,
};
use crate::model::{Proxies, Secret};

const MANIFEST: &[u8] = br#"{"schemaVersion":2,"layers":[]}"#;

#[tokio::test]
async fn reads_and_uploads_go_through_the_proxy_but_not_to_loopback() {
    let proxy = Server::start(|request, _| match request.line.split(' ').next().unwrap() {
        _ if !request.line.contains("http://registry.example.org/v2/app/") => status(400),
        "HEAD" => status(404),
        "POST" => Reply::Full(202, "Location: /v2/app/blobs/uploads/1?state=x\r\n".into(), Vec::new()),
        "PUT" => Reply::Full(201, "Location: /v2/app/blobs/x\r\n".into(), Vec::new()),
        _ => ok("", MANIFEST),
    })
    .await;
    let proxies = Proxies { http: Some(Secret::new(format!("http://{}", proxy.host))), ..Proxies::default() };
    let registries = with(Options {
        network: Network { proxies, roots: Vec::new() },
        plain_http: vec!["registry.example.org".to_owned()],
        ..Options::default()
    });
    let (_dir, store) = store();
    let image = name("registry.example.org/app:v1");
    assert_eq!(registries.manifest(&image).await.unwrap().1, MANIFEST);
    let wanted = blob(&store, OCI_LAYER, b"layer");
    assert_eq!(registries.push_blob(&image, &wanted, &store, None).await.unwrap(), Pushed::Sent);
    let asked = proxy.seen().len();
    let own = Server::start(|_, _| ok("", MANIFEST)).await;
    registries.manifest(&name(format!("{}/app:v1", own.host))).await.unwrap();
    assert_eq!((proxy.seen().len(), own.seen().len()), (asked, 1));
}
