//! Which headers pass, in either direction.

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};

/// Request headers that end here: about this connection, about what the client has already, or the client's own.
const STOPPED: [&str; 20] = [
    "accept-encoding",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "host",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "forwarded",
];

const KEPT: [&str; 8] = [
    "content-type",
    "content-encoding",
    "content-disposition",
    "etag",
    "last-modified",
    "date",
    "vary",
    "www-authenticate",
];

/// What of a request goes upstream.
pub(super) fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let listed = all(headers, &header::CONNECTION).to_ascii_lowercase();
    let listed: Vec<_> = listed.split(',').map(str::trim).collect();
    let stopped = |name: &HeaderName| {
        let name = name.as_str();
        STOPPED.contains(&name) || name.starts_with("proxy-") || listed.contains(&name)
    };
    let mut forwarded = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| !stopped(name)) {
        forwarded.append(name, value.clone());
    }
    forwarded.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    forwarded
}

/// What of an answer is kept (WIRE.md §3), sorted; `location` is given as the client shall see it.
pub(super) fn kept(headers: &HeaderMap, head: bool, location: Option<String>) -> Vec<(String, String)> {
    let mut kept: Vec<_> = headers.iter().filter_map(|(name, value)| keep(name, value, head)).collect();
    kept.extend(location.map(|location| ("location".to_owned(), location)));
    kept.sort();
    kept
}

fn keep(name: &HeaderName, value: &HeaderValue, head: bool) -> Option<(String, String)> {
    let name = name.as_str();
    let prefixed = ["docker-", "x-checksum-"].iter().any(|prefix| name.starts_with(prefix));
    let length = head && name == "content-length";
    if !(KEPT.contains(&name) || prefixed || length) {
        return None;
    }
    let value = value.to_str().ok()?;
    let value = match name {
        "www-authenticate" => value.split_whitespace().next()?,
        "content-length" => value.parse::<u64>().ok().map(|_| value)?,
        _ => value,
    };
    Some((name.to_owned(), value.to_owned()))
}

/// All values of `name`, joined by commas; empty if there are none.
pub(super) fn all(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
}

/// What `headers` take on the wire.
pub(super) fn size_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

/// Whether the answer says that it depends on `Accept`.
pub(super) fn varies_by_accept(headers: &HeaderMap) -> bool {
    all(headers, &header::VARY).split(',').any(|name| name.trim().eq_ignore_ascii_case("accept"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in text.lines() {
            let (name, value) = line.trim().split_once(": ").unwrap();
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        map
    }

    #[test]
    fn credentials_and_conditions_end_here() {
        let request = map(
            "Accept: a\naccept: b\nAuthorization: Bearer x\nCookie: c\nRange: bytes=0-\nIf-None-Match: x\n\
             Connection: close, X-Mine\nX-Mine: 1\nProxy-Authorization: Basic y\nProxy-Connection: close\nX-Other: 2",
        );
        let mut seen: Vec<_> = forwarded(&request)
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        seen.sort();
        assert_eq!(
            seen,
            ["accept-encoding=identity", "accept=a", "accept=b", "authorization=Bearer x", "x-other=2"]
        );
    }

    #[test]
    fn keeps_what_the_wire_says() {
        let answer =
            map("ETag: \"x\"\nSet-Cookie: a\nServer: s\nDocker-Content-Digest: d\nX-Checksum-Sha1: f\n\
             WWW-Authenticate: Bearer realm=\"secret\"\nLocation: /real\nContent-Length: 5");
        let kept = |head| {
            let kept = kept(&answer, head, Some("shown".to_owned()));
            kept.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        let whole =
            "docker-content-digest=d etag=\"x\" location=shown www-authenticate=Bearer x-checksum-sha1=f";
        assert_eq!(kept(false), whole);
        assert_eq!(kept(true), format!("content-length=5 {whole}"));
    }

    #[test]
    fn reads_vary() {
        assert!(varies_by_accept(&map("Vary: Accept-Encoding\nVary: Cookie, accept")));
        assert!(!varies_by_accept(&map("Vary: Accept-Encoding")));
    }
}
