use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};

use super::support::{Rig, Upstream, kinds, options, recording, store};
use crate::{gateway::Ca, store::Store};

fn rig(upstream: &Upstream, store: &Store, roots: Vec<String>) -> (Rig, String) {
    let url = format!("https://{}/repo", upstream.addr);
    let mut options = options(recording(url.clone()), store);
    options.extra_roots = roots;
    (Rig::start(options), url)
}

#[tokio::test]
async fn https_is_opened_recorded_and_replayed() {
    let authority = Ca::generate().unwrap();
    let upstream = Upstream::start(Some(authority.server("127.0.0.1").unwrap())).await;
    let (_dir, store) = store();
    let (rig, url) = rig(&upstream, &store, vec![authority.pem()]);
    let plain = format!("{url}/plain");
    assert_eq!(rig.get(&plain).await, (200, "0123456789".to_owned()));
    assert_eq!(rig.get(&format!("https://{}/other", upstream.addr)).await.0, 403);
    let closed = rig.close().await;
    assert_eq!(
        closed.transcript.exchanges().next().map(|exchange| exchange.url.as_str()),
        Some(plain.as_str())
    );
    assert_eq!(closed.refused[0].url, format!("https://{}/other", upstream.addr));
    drop(upstream);
    let rig = Rig::replay(closed.transcript.clone(), &store);
    assert_eq!(rig.get(&plain).await, (200, "0123456789".to_owned()));
    assert_eq!(rig.get(&format!("{url}/absent")).await.0, 403);
    let closed = rig.close().await;
    assert_eq!(closed.undeclared, [("GET".to_owned(), format!("{url}/absent"))]);
}

#[tokio::test]
async fn the_build_must_trust_the_gateway() {
    let authority = Ca::generate().unwrap();
    let upstream = Upstream::start(Some(authority.server("127.0.0.1").unwrap())).await;
    let (_dir, store) = store();
    let (mut rig, url) = rig(&upstream, &store, vec![authority.pem()]);
    rig.ca = authority.pem();
    assert!(rig.client().get(format!("{url}/plain")).send().await.is_err());
    assert_eq!(upstream.requests(), 0);
    assert_eq!(rig.close().await.upstream_requests, 0);
}

async fn distrusted(tls: Arc<ServerConfig>, roots: Vec<String>, cause: &str) {
    let upstream = Upstream::start(Some(tls)).await;
    let (_dir, store) = store();
    let (rig, url) = rig(&upstream, &store, roots);
    let (status, text) = rig.get(&format!("{url}/plain")).await;
    assert_eq!(status, 502);
    assert!(text.contains("cannot fetch from 127.0.0.1: ") && text.contains(cause), "{text}");
    let closed = rig.close().await;
    assert_eq!(kinds(&closed), ["failed certificate"]);
    assert_eq!(closed.transcript.tainted(), ["failed"]);
    assert_eq!((closed.transcript.exchanges().len(), closed.upstream_requests), (0, 1));
}

#[tokio::test]
async fn an_unknown_authority_upstream_is_not_believed() {
    let tls = Ca::generate().unwrap().server("127.0.0.1").unwrap();
    distrusted(tls, Vec::new(), "UnknownIssuer").await;
}

/// A leaf that is right but for what `change` does to it, and its authority.
fn leaf(change: impl FnOnce(&mut CertificateParams)) -> (Arc<ServerConfig>, Vec<String>) {
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    change(&mut leaf);
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &root).unwrap();
    (served(leaf.der().clone(), &key), vec![root.pem()])
}

fn served(leaf: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    Arc::new(tls)
}

#[tokio::test]
async fn an_expired_certificate_upstream_is_not_believed() {
    let (tls, roots) = leaf(|leaf| leaf.not_after = date_time_ymd(2001, 1, 1));
    distrusted(tls, roots, "expired").await;
}

#[tokio::test]
async fn a_certificate_of_the_future_upstream_is_not_believed() {
    let (tls, roots) = leaf(|leaf| leaf.not_before = date_time_ymd(2999, 1, 1));
    distrusted(tls, roots, "not valid yet").await;
}

#[tokio::test]
async fn a_certificate_of_another_name_upstream_is_not_believed() {
    let (tls, roots) = leaf(|leaf| {
        leaf.subject_alt_names =
            CertificateParams::new(vec!["other.example.org".to_owned()]).unwrap().subject_alt_names;
    });
    distrusted(tls, roots, "not valid for name").await;
}

#[tokio::test]
async fn a_self_signed_certificate_upstream_is_not_believed() {
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    distrusted(served(own.der().clone(), &key), Vec::new(), "UnknownIssuer").await;
}
