//! Two recordings of one build, on two days: what the repositories answered otherwise.

use std::collections::{BTreeMap, BTreeSet};

use super::{Exchange, Package, Transcript};
use crate::model::Digest;

/// Shorter runs of hex digits are names like any other.
const DIGEST_DIGITS_MIN: usize = 32;
/// Query parameters of signed URLs that hold times, beside the signature itself.
const SIGNED_TIMES: [&str; 5] = ["expires", "se", "st", "ske", "skt"];
/// Versions of one package that are named.
const VERSIONS_SHOWN_MAX: usize = 4;
/// Longest date that is taken from an index, in bytes.
const DATE_SIZE_BYTES_MAX: usize = 64;
/// Lines of an index that come before its list of files.
const HEAD_LINES_MAX: usize = 64;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// HTTP method.
    pub method: String,
    /// Canonical, redacted URL.
    pub url: String,
    /// HTTP status.
    pub status: u16,
    /// Digest of the body.
    pub body: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Another answer to the same question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// In the first transcript.
    pub was: Fetched,
    /// In the second; its URL may have other volatile parts.
    pub now: Fetched,
}

/// A package that is there in both, in other versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// As [`Package::kind`].
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What only the first transcript has.
    pub from: String,
    /// What only the second has.
    pub to: String,
}

/// What two transcripts differ in, each list in the transcripts' order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Asked for in the second alone.
    pub added: Vec<Fetched>,
    /// Asked for in the first alone.
    pub removed: Vec<Fetched>,
    /// Answered otherwise.
    pub changed: Vec<Changed>,
    /// How many answers are the same.
    pub same: usize,
    /// Packages of other versions, by kind and name.
    pub packages: Vec<Moved>,
    /// Bodies that only one of them holds, with a URL of each.
    pub bodies: [BTreeMap<Digest, String>; 2],
}

impl Compared {
    /// Whether the repositories answered the second build as they did the first.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// The changed indexes of apt, whose dates can be read from their bodies.
    pub fn indexes(&self) -> impl Iterator<Item = &Changed> {
        let is_index = |changed: &&Changed| {
            let path = changed.was.url.split('?').next().unwrap_or_default();
            path.ends_with("/InRelease") || path.ends_with("/Release")
        };
        self.changed.iter().filter(is_index)
    }
}

/// Compares two transcripts. The key of an answer is its method, its URL without volatile parts (`stable`) and the
/// digest of the request's body.
///
/// 1. Under one key, equal answers (status, body) are taken out.
/// 2. What then has the same URL is changed, and so is what is left alone on both sides.
/// 3. The rest was added or removed.
#[must_use]
pub fn compare(a: &Transcript, b: &Transcript) -> Compared {
    let mut keys: BTreeMap<_, [Vec<&Exchange>; 2]> = BTreeMap::new();
    for (side, transcript) in [a, b].into_iter().enumerate() {
        for exchange in transcript.exchanges() {
            let key = (stable(&exchange.url), &exchange.method, exchange.request);
            keys.entry(key).or_default()[side].push(exchange);
        }
    }
    let mut compared = Compared::default();
    for [a, b] in keys.into_values() {
        compared.take(a, b);
    }
    compared.packages = moved(a, b);
    compared.bodies = [only(a, b), only(b, a)];
    compared
}

impl Compared {
    /// Sorts what has one key.
    fn take(&mut self, a: Vec<&Exchange>, b: Vec<&Exchange>) {
        let (pairs, a, b) = paired(a, b, answer);
        self.same += pairs.len();
        let (mut pairs, mut a, mut b) =
            paired(a, b, |exchange| (exchange.url.clone(), exchange.vary.clone()));
        if a.len() == 1 && b.len() == 1 {
            pairs.extend(a.pop().zip(b.pop()));
        }
        self.changed.extend(pairs.into_iter().map(|(a, b)| Changed { was: fetched(a), now: fetched(b) }));
        self.removed.extend(a.into_iter().map(fetched));
        self.added.extend(b.into_iter().map(fetched));
    }
}

type Pairs<'a> = (Vec<(&'a Exchange, &'a Exchange)>, Vec<&'a Exchange>, Vec<&'a Exchange>);

/// Pairs what `of` is equal for, one to one; and what is left.
fn paired<'a, K: Ord>(a: Vec<&'a Exchange>, b: Vec<&'a Exchange>, of: impl Fn(&Exchange) -> K) -> Pairs<'a> {
    let mut waiting: BTreeMap<K, Vec<&Exchange>> = BTreeMap::new();
    for exchange in b.iter().rev() {
        waiting.entry(of(exchange)).or_default().push(exchange);
    }
    let (mut pairs, mut left) = (Vec::new(), Vec::new());
    for exchange in a {
        match waiting.get_mut(&of(exchange)).and_then(Vec::pop) {
            Some(other) => pairs.push((exchange, other)),
            None => left.push(exchange),
        }
    }
    let waiting: BTreeSet<_> = waiting.into_values().flatten().map(std::ptr::from_ref).collect();
    let b = b.into_iter().filter(|exchange| waiting.contains(&std::ptr::from_ref(*exchange))).collect();
    (pairs, left, b)
}

/// What makes two answers equal; the length that a HEAD announces is all it has.
fn answer(exchange: &Exchange) -> (u16, Digest, Option<String>) {
    let announced = || exchange.header("content-length").map(str::to_owned);
    (exchange.status, exchange.body, (exchange.method == "HEAD").then(announced).flatten())
}

fn fetched(exchange: &Exchange) -> Fetched {
    let Exchange { method, url, status, body, size, .. } = exchange.clone();
    Fetched { method, url, status, body, size }
}

/// Bodies of `a` that `b` has not. Nothing is no content that could be told by.
fn only(a: &Transcript, b: &Transcript) -> BTreeMap<Digest, String> {
    let known = b.bodies();
    let only = a.exchanges().filter(|exchange| exchange.size > 0 && !known.contains_key(&exchange.body));
    only.map(|exchange| (exchange.body, exchange.url.clone())).collect()
}

fn moved(a: &Transcript, b: &Transcript) -> Vec<Moved> {
    let mut versions: BTreeMap<_, [BTreeSet<String>; 2]> = BTreeMap::new();
    for (side, transcript) in [a, b].into_iter().enumerate() {
        let got =
            transcript.exchanges().filter(|exchange| exchange.method == "GET" && exchange.status == 200);
        for Package { kind, name, version } in got.filter_map(|exchange| Package::of(&exchange.url)) {
            versions.entry((kind, name)).or_default()[side].insert(version);
        }
    }
    let moved = versions.into_iter().filter_map(|((kind, name), [a, b])| {
        let (from, to) = (shown(a.difference(&b))?, shown(b.difference(&a))?);
        Some(Moved { kind, name, from, to })
    });
    moved.collect()
}

/// The versions in one line; none if there are none.
fn shown<'a>(versions: impl Iterator<Item = &'a String>) -> Option<String> {
    let versions: Vec<_> = versions.map(String::as_str).collect();
    let first = versions.get(..VERSIONS_SHOWN_MAX).unwrap_or(&versions).join(", ");
    let more = versions.len().saturating_sub(VERSIONS_SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!versions.is_empty()).then(|| first + &more)
}

/// `url` without what names a moment or a content: userinfo, redacted parameters and the times that go with them, and
/// digests in the path (`by-hash/SHA256/…`, `…-primary.xml.gz`).
fn stable(url: &str) -> String {
    let (head, query) = url.split_once('?').map_or((url, None), |(head, query)| (head, Some(query)));
    let (scheme, rest) = head.split_once("://").unwrap_or(("", head));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path: Vec<_> = path.split('/').map(without_digest).collect();
    let mut out = format!("{scheme}://{host}/{}", path.join("/"));
    let pairs: Vec<_> = query.into_iter().flat_map(|query| query.split('&')).collect();
    let value = |pair: &str| pair.split_once('=').map(|(_, value)| value.to_owned()).unwrap_or_default();
    let signature = |pair: &str| value(pair).starts_with("redacted-");
    let signed = pairs.iter().any(|pair| signature(pair));
    let time = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        signed && SIGNED_TIMES.contains(&name.as_str())
    };
    let kept: Vec<_> = pairs.into_iter().filter(|pair| !signature(pair) && !time(pair)).collect();
    if !kept.is_empty() {
        out.push('?');
        out.push_str(&kept.join("&"));
    }
    out
}

/// A segment of a path, a digest at its beginning replaced by a star.
fn without_digest(segment: &str) -> String {
    let digits = segment.bytes().take_while(u8::is_ascii_hexdigit).count();
    match &segment[digits..] {
        rest if digits >= DIGEST_DIGITS_MIN && (rest.is_empty() || rest.starts_with('-')) => {
            format!("*{rest}")
        }
        _ => segment.to_owned(),
    }
}

/// `Date` and `Valid-Until` of an index of apt, as they stand there.
#[must_use]
pub fn index_dates(index: &[u8]) -> [Option<String>; 2] {
    let lines = index.split(|byte| *byte == b'\n').take(HEAD_LINES_MAX);
    let lines: Vec<_> = lines.filter_map(|line| str::from_utf8(line).ok()).collect();
    ["Date: ", "Valid-Until: "].map(|field| {
        let value = lines.iter().find_map(|line| line.strip_prefix(field))?.trim();
        (value.len() <= DATE_SIZE_BYTES_MAX).then(|| value.to_owned())
    })
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
