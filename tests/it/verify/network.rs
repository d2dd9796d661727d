//! Attacks by registries: refusals, lies, and answers that do not end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Fault, Faulty, Ran, Settings, sha256};

use super::stand::{BUNDLE, By, INDEX, MANIFEST, PROVENANCE, REPOSITORY, Stand};

/// The image with an honest provenance, seen through a proxy that spoils what `wanted` says.
fn through(stand: &Stand, fault: impl Fn(&str) -> Fault + Send + Sync + 'static) -> Ran {
    let faulty = Faulty::before(&stand.registry, move |line, _| fault(line));
    stand.verify_name(&faulty.name(REPOSITORY), &[])
}

fn honest(fault: impl Fn(&str) -> Fault + Send + Sync + 'static) -> Ran {
    let stand = Stand::new();
    stand.honest();
    through(&stand, fault)
}

/// The fault for requests that contain `part`.
fn on(part: &'static str, fault: Fault) -> impl Fn(&str) -> Fault + Send + Sync {
    move |line| if line.contains(part) { fault.clone() } else { Fault::None }
}

fn answer(status: &'static str, headers: &str, body: &str) -> Fault {
    Fault::Answer(status, headers.to_owned(), body.to_owned())
}

fn head(rest: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {INDEX}\r\n{rest}\r\n").into_bytes()
}

const NEVER: Duration = Duration::ZERO;

pub(super) fn lying_header() -> Ran {
    honest(on("/manifests/1", Fault::Header("Docker-Content-Digest", sha256(b"another"))))
}

pub(super) fn forbidden() -> Ran {
    honest(on("/referrers/", answer("403 Forbidden", "", "no")))
}

pub(super) fn busy() -> Ran {
    honest(on("/referrers/", answer("429 Too Many Requests", "Retry-After: 86400\r\n", "later")))
}

pub(super) fn broken() -> Ran {
    honest(on("/referrers/", answer("500 Internal Server Error", "", "oops")))
}

pub(super) fn fallback_unauthorized() -> Ran {
    let stand = Stand::of(Settings::default().apiless());
    let tag = format!("/manifests/{} ", stand.image.replace(':', "-"));
    let faulty = Faulty::before(&stand.registry, move |line, _| {
        if format!("{line} ").contains(&tag) { answer("401 Unauthorized", "", "who?") } else { Fault::None }
    });
    stand.verify_name(&faulty.name(REPOSITORY), &[])
}

pub(super) fn second_page_fails() -> Ran {
    let stand = Stand::of(Settings::default().page(1));
    stand.honest();
    through(&stand, on("?from=", answer("500 Internal Server Error", "", "oops")))
}

pub(super) fn web_page() -> Ran {
    honest(on("/referrers/", answer("200 OK", "Content-Type: text/html\r\n", "<html>welcome</html>")))
}

pub(super) fn blob_gone() -> Ran {
    honest(on("/blobs/", answer("404 Not Found", "", "{}")))
}

pub(super) fn file_realm() -> Ran {
    let challenge = "WWW-Authenticate: Bearer realm=\"file:///etc/passwd\",service=\"x\"\r\n";
    honest(move |_| answer("401 Unauthorized", challenge, ""))
}

pub(super) fn circle() -> Ran {
    honest(on("/blobs/", answer("307 Temporary Redirect", "Location: ?again\r\n", "")))
}

pub(super) fn file_redirect() -> Ran {
    honest(on("/blobs/", answer("307 Temporary Redirect", "Location: file:///etc/passwd\r\n", "")))
}

pub(super) fn stall() -> Ran {
    honest(on("/referrers/", Fault::Stall(head("Content-Length: 100\r\n"))))
}

pub(super) fn trickle() -> Ran {
    honest(on("/referrers/", Fault::Flood(head(""), b" ".to_vec(), Duration::from_secs(1))))
}

pub(super) fn mute() -> Ran {
    honest(on("/referrers/", Fault::Silence))
}

pub(super) fn endless_referrers() -> Ran {
    honest(on("/referrers/", Fault::Flood(head(""), vec![b' '; 1 << 16], NEVER)))
}

pub(super) fn endless_error() -> Ran {
    honest(on("/referrers/", Fault::Endless("403 Forbidden")))
}

pub(super) fn endless_token() -> Ran {
    let stand = Stand::of(Settings::default().login("user", "secret"));
    through(&stand, on("/token", Fault::Flood(head(""), vec![b' '; 1 << 16], NEVER)))
}

pub(super) fn endless_manifest() -> Ran {
    honest(on("/manifests/1", Fault::Flood(head(""), vec![b' '; 1 << 16], NEVER)))
}

pub(super) fn long_blob() -> Ran {
    honest(on("/blobs/", Fault::Flood(head(""), vec![b' '; 1 << 16], NEVER)))
}

pub(super) fn gzip() -> Ran {
    let packed = "Content-Encoding: gzip\r\n";
    let body = "x".repeat(2 << 20);
    honest(
        move |line| {
            if line.contains("/manifests/1") { answer("200 OK", packed, &body) } else { Fault::None }
        },
    )
}

pub(super) fn endless_pages() -> Ran {
    let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
    honest(move |line| {
        let headers = format!("Content-Type: {INDEX}\r\nLink: <?again=1>; rel=\"next\"\r\n");
        if line.contains("/referrers/") {
            Fault::Answer("200 OK", headers, body.clone())
        } else {
            Fault::None
        }
    })
}

pub(super) fn page_elsewhere() -> Ran {
    let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
    honest(move |line| {
        let headers =
            format!("Content-Type: {INDEX}\r\nLink: <http://127.0.0.1:1/v2/x/referrers/y>; rel=\"next\"\r\n");
        if line.contains("/referrers/") {
            Fault::Answer("200 OK", headers, body.clone())
        } else {
            Fault::None
        }
    })
}

fn listed(count: usize) -> String {
    let entry = |at: usize| json!({"mediaType": MANIFEST, "digest": sha256(at.to_string().as_bytes()), "size": 700, "artifactType": BUNDLE});
    let entries: Vec<Value> = (0..count).map(entry).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string()
}

pub(super) fn many_referrers() -> Ran {
    let body = listed(300_000);
    honest(move |line| {
        let headers = format!("Content-Type: {INDEX}\r\n");
        if line.contains("/referrers/") {
            Fault::Answer("200 OK", headers, body.clone())
        } else {
            Fault::None
        }
    })
}

pub(super) fn many_strangers() -> Ran {
    let stand = Stand::of(Settings::default().page(900));
    for at in 0..3000 {
        stand.attach_blob(BUNDLE, format!("{at}").as_bytes());
    }
    stand.honest();
    stand.verify(&[])
}

pub(super) fn large_attestations() -> Ran {
    let stand = Stand::new();
    let mut bytes = vec![b' '; 1 << 20];
    for at in 0..900 {
        bytes[..3].copy_from_slice(format!("{at:03}").as_bytes());
        stand.attach_blob(BUNDLE, &bytes);
    }
    stand.attach(By::Ours, PROVENANCE, &stand.predicate());
    stand.verify(&[])
}

pub(super) fn endless_headers() -> Ran {
    honest(on(
        "/referrers/",
        Fault::Flood(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-More: and more\r\n".to_vec(), NEVER),
    ))
}

pub(super) fn large_header() -> Ran {
    let head = format!("HTTP/1.1 200 OK\r\nX-Large: {}\r\n\r\n", "x".repeat(16 << 20));
    honest(on("/referrers/", Fault::Raw(head.into_bytes())))
}

pub(super) fn no_http() -> Ran {
    honest(on("/referrers/", Fault::Raw(b"220 mail.example.org ESMTP\r\n".to_vec())))
}

pub(super) fn bad_chunk() -> Ran {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n";
    honest(on("/referrers/", Fault::Raw(head.as_bytes().to_vec())))
}
