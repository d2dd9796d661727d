//! Answers made from the store, whole or in part, and the plain sentences of those that are none.

use std::{io::SeekFrom, sync::Arc};

use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Bytes, Frame},
    header, http,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    sync::mpsc,
};
use tokio_util::io::ReaderStream;

use super::{
    ask::Ask,
    record::{Failure, Head, mismatch},
    shared::Shared,
};
use crate::{model::Digest, transcript::Exchange};

pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

const CHUNK_SIZE_BYTES: usize = 64 << 10;

/// Which bytes of a recorded body a request gets.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Bytes { first: u64, count: u64 },
    NotModified,
    Unsatisfiable,
}

/// One sentence, as `X-Reprov: kind`.
pub(super) fn sentence(status: StatusCode, kind: &'static str, sentence: &str) -> Response<Body> {
    let text = Full::new(Bytes::from(format!("reprov gateway: {sentence}\n")));
    let mut response = Response::new(text.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("x-reprov", header::HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// What the client hears of a failure.
pub(super) fn failed(failure: &Failure) -> Response<Body> {
    let kind = if failure.refused { "refused" } else { "failed" };
    sentence(StatusCode::BAD_GATEWAY, kind, &failure.sentence)
}

/// An answer that is still coming in; its connection is cut if the good end does not come.
pub(super) fn streaming(head: &Head, pipe: mpsc::Receiver<Option<Bytes>>) -> Response<Body> {
    let chunks = stream::unfold(Some(pipe), |pipe| async {
        let mut pipe = pipe?;
        match pipe.recv().await {
            Some(Some(chunk)) => Some((Ok(Frame::data(chunk)), Some(pipe))),
            Some(None) => None,
            None => Some((Err(std::io::Error::other("the answer broke off")), None)),
        }
    });
    let mut builder = with_headers(head.status, &head.headers);
    if let Some(length) = head.length {
        builder = builder.header(header::CONTENT_LENGTH, length);
    }
    built(builder, StreamBody::new(chunks).boxed_unsync())
}

/// The answer `exchange`, its status and kept headers as recorded; `kind` names it in the events.
pub(super) async fn frozen(
    shared: &Arc<Shared>,
    ask: &Ask,
    exchange: &Exchange,
    kind: &str,
) -> Response<Body> {
    if let Some(location) = exchange.header("location").filter(|_| (300..400).contains(&exchange.status)) {
        shared.inherit(&ask.url, location);
    }
    let expected = shared.checksum(&ask.url).filter(|_| exchange.status == 200 && exchange.method != "HEAD");
    if let Some(expected) = expected.filter(|expected| *expected != exchange.body) {
        let failure = mismatch(ask, expected, exchange.body);
        shared.refused(ask.method.as_str(), &ask.url, failure.reason, ask.step.as_ref());
        return failed(&failure);
    }
    if let Some(response) = part_of(shared, ask, exchange).await {
        shared.answered(kind, ask, response.status(), exchange.size);
        return response;
    }
    shared.missing(ask, exchange.body);
    let text = format!(
        "the recorded answer to {} {} is {}, which the store lacks or holds altered",
        ask.method, ask.url, exchange.body
    );
    sentence(StatusCode::BAD_GATEWAY, "missing", &text)
}

async fn part_of(shared: &Arc<Shared>, ask: &Ask, exchange: &Exchange) -> Option<Response<Body>> {
    let status = StatusCode::from_u16(exchange.status).ok()?;
    let whole = with_headers(status, &exchange.headers);
    let nothing = || Empty::new().map_err(|never| match never {}).boxed_unsync();
    let range = |text: String| {
        with_headers(StatusCode::PARTIAL_CONTENT, &exchange.headers).header(header::CONTENT_RANGE, text)
    };
    let (builder, first, count) = match part(exchange, &ask.headers, ask.is_head()) {
        Part::NotModified => {
            return Some(built(with_headers(StatusCode::NOT_MODIFIED, &exchange.headers), nothing()));
        }
        Part::Unsatisfiable => {
            let builder =
                range(format!("bytes */{}", exchange.size)).status(StatusCode::RANGE_NOT_SATISFIABLE);
            return Some(built(builder, nothing()));
        }
        Part::Whole => (whole, 0, exchange.size),
        Part::Bytes { first, count } => {
            let last = first + count - 1;
            (range(format!("bytes {first}-{last}/{}", exchange.size)), first, count)
        }
    };
    let bodiless = ask.is_head() || status == StatusCode::NO_CONTENT;
    if bodiless {
        let announced = exchange.method == "HEAD" || status == StatusCode::NO_CONTENT;
        let builder = if announced { builder } else { builder.header(header::CONTENT_LENGTH, count) };
        return Some(built(builder, nothing()));
    }
    let body = bytes(shared, exchange, first, count).await?;
    Some(built(builder.header(header::CONTENT_LENGTH, count), body))
}

/// A part of a stored body, if the blob is there and whole.
async fn bytes(shared: &Arc<Shared>, exchange: &Exchange, first: u64, count: u64) -> Option<Body> {
    if !whole(shared, exchange.body).await || shared.store.size(&exchange.body) != Some(exchange.size) {
        return None;
    }
    let mut file = File::open(shared.store.path(&exchange.body)).await.ok()?;
    file.seek(SeekFrom::Start(first)).await.ok()?;
    let chunks = ReaderStream::with_capacity(file.take(count), CHUNK_SIZE_BYTES);
    Some(StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync())
}

/// Whether the store's blob still is what it was; read once a run.
async fn whole(shared: &Arc<Shared>, digest: Digest) -> bool {
    let known = shared.ledger().checked.get(&digest).copied();
    if let Some(whole) = known {
        return whole;
    }
    let store = shared.store.clone();
    let checked = tokio::task::spawn_blocking(move || store.check(&digest).is_ok()).await;
    let whole = checked.unwrap_or(false);
    shared.ledger().checked.insert(digest, whole);
    whole
}

fn with_headers(status: StatusCode, headers: &[(String, String)]) -> http::response::Builder {
    headers
        .iter()
        .fold(Response::builder().status(status), |builder, (name, value)| builder.header(name, value))
}

fn built(builder: http::response::Builder, body: Body) -> Response<Body> {
    builder.body(body).unwrap_or_else(|_| {
        sentence(StatusCode::BAD_GATEWAY, "failed", "the answer has a header that HTTP cannot carry")
    })
}

/// What of `exchange` these request headers ask for (RFC 9110 §13, §14); several ranges get the whole.
fn part(exchange: &Exchange, headers: &HeaderMap, head: bool) -> Part {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    if exchange.status != 200 || exchange.method == "POST" {
        return Part::Whole;
    }
    let (etag, modified) = (exchange.header("etag"), exchange.header("last-modified"));
    let unchanged = match text(header::IF_NONE_MATCH) {
        Some(tags) => {
            tags.trim() == "*" || tags.split(',').any(|tag| etag.is_some_and(|etag| weak(etag) == weak(tag)))
        }
        None => modified.is_some() && text(header::IF_MODIFIED_SINCE) == modified,
    };
    if unchanged {
        return Part::NotModified;
    }
    let condition = text(header::IF_RANGE);
    let same = condition.is_none_or(|condition| Some(condition) == etag || Some(condition) == modified);
    match text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")) {
        Some(range) if same && !head => range_of(range, exchange.size).unwrap_or(Part::Whole),
        _ => Part::Whole,
    }
}

fn weak(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}

/// One range of `size` bytes; nothing if it is none, which means the whole.
fn range_of(text: &str, size: u64) -> Option<Part> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (first, last) = text.trim().split_once('-')?;
    let (first, end) = match (digits(first), digits(last)) {
        (false, true) if first.is_empty() => (size.saturating_sub(last.parse().ok()?), size),
        (true, true) => (first.parse().ok()?, last.parse::<u64>().ok()?.saturating_add(1).min(size)),
        (true, false) if last.is_empty() => (first.parse().ok()?, size),
        _ => return None,
    };
    let backwards = digits(last) && !text.starts_with('-') && first >= end && first < size;
    match end.checked_sub(first) {
        _ if backwards => None,
        None | Some(0) => Some(Part::Unsatisfiable),
        Some(count) => Some(Part::Bytes { first, count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Exchange {
            method: "GET".to_owned(),
            url: "http://mirror.example.org/a".to_owned(),
            request: None,
            vary: [].into(),
            status: 200,
            headers: vec![header("etag", "W/\"x\""), header("last-modified", "yesterday")],
            body: Digest::of(b"0123456789"),
            size: 10,
            repository: "main".to_owned(),
            via: None,
        }
    }

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], expected: &Part) {
        let headers = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
        });
        assert_eq!(part(&exchange(), &headers.collect(), false), *expected);
    }

    #[test]
    fn ranges() {
        let bytes = |first, count| Part::Bytes { first, count };
        check(&[("range", "bytes=0-0")], &bytes(0, 1));
        check(&[("range", "bytes=2-")], &bytes(2, 8));
        check(&[("range", "bytes=2-99")], &bytes(2, 8));
        check(&[("range", "bytes=-3")], &bytes(7, 3));
        check(&[("range", "bytes=-99")], &bytes(0, 10));
        check(&[("range", "bytes=9-18446744073709551615")], &bytes(9, 1));
        for unsatisfiable in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            check(&[("range", unsatisfiable)], &Part::Unsatisfiable);
        }
        for whole in [
            "bytes=0-1,3-4",
            "bytes=5-2",
            "bytes=-",
            "bytes=+1-2",
            "bytes=a-b",
            "lines=1-2",
            "bytes=99999999999999999999-",
        ] {
            check(&[("range", whole)], &Part::Whole);
        }
    }

    #[test]
    fn conditions() {
        check(&[("if-none-match", "\"y\", \"x\"")], &Part::NotModified);
        check(&[("if-none-match", "*")], &Part::NotModified);
        check(&[("if-none-match", "\"y\""), ("if-modified-since", "yesterday")], &Part::Whole);
        check(&[("if-modified-since", "yesterday")], &Part::NotModified);
        check(&[("if-modified-since", "today")], &Part::Whole);
        check(&[("range", "bytes=0-0"), ("if-range", "\"z\"")], &Part::Whole);
        check(&[("range", "bytes=0-0"), ("if-range", "yesterday")], &Part::Bytes { first: 0, count: 1 });
    }
}
