//! Whose certificates are believed, and no way down from HTTPS.

use std::{net::Ipv4Addr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};
use url::Url;

use super::{http::Ask, *};

/// A server on loopback that answers every request with `reply`; its URL and its certificate as PEM.
async fn serve(reply: &'static str) -> (Url, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(reply.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, made.cert.pem())
}

async fn fetch(url: &Url, ca: Vec<(String, Vec<u8>)>) -> Result<Vec<u8>, RegistryError> {
    let registries = with(Options { ca, ..Options::default() });
    let place = Place::new("registry.example.org", "app", false).unwrap();
    let ask = Ask::get(&place, url.clone(), "x".to_owned());
    registries.http.fetch(&ask, 100).await.map(|whole| whole.body)
}

#[tokio::test]
async fn an_authority_is_believed_for_its_host_only() {
    let (url, pem) = serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let host = http::host_of(&url);
    let pem = pem.into_bytes();
    assert_eq!(fetch(&url, vec![(host.clone(), pem.clone())]).await.unwrap(), b"ok");
    for ca in [vec![], vec![("other.example.org".to_owned(), pem)], vec![(host, b"no PEM".to_vec())]] {
        let refused = fetch(&url, ca).await;
        assert!(matches!(refused, Err(RegistryError::Unreachable { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn no_redirect_leads_down_to_plain_http() {
    let (url, pem) =
        serve("HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n").await;
    let refused = fetch(&url, vec![(http::host_of(&url), pem.into_bytes())]).await;
    assert!(matches!(refused, Err(RegistryError::Answer { .. })), "{refused:?}");
}
