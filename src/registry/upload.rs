//! Sending a blob: in one piece, and after a cut from where it was (distribution-spec, "Pushing Blobs").

use std::path::Path;

use reqwest::{
    Method,
    header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE},
};
use url::Url;

use super::{
    RegistryError,
    http::{Ask, Body, Http, Whole},
    place::Place,
    retry::Trouble,
};
use crate::model::{Descriptor, limits::ERROR_TEXT_SIZE_BYTES_MAX};

/// Sends the blob in one piece: a session is opened, and closed by its bytes. If the connection is cut on the way, the
/// registry is asked once what it has, and sent the rest.
pub(super) async fn send(
    http: &Http,
    place: &Place,
    wanted: &Descriptor,
    path: &Path,
) -> Result<(), Trouble> {
    let upload = Upload { http, place, wanted, path, what: what(place, wanted) };
    let url = upload.open().await?;
    match upload.close(url.clone(), 0).await {
        Err(Trouble::Passing { error: error @ RegistryError::Unreachable { .. }, wait }) => {
            let resumed = upload.resume(url).await;
            resumed.ok_or(Trouble::Passing { error, wait })
        }
        closed => closed,
    }
}

fn what(place: &Place, wanted: &Descriptor) -> String {
    format!("upload of blob {}", place.name(&wanted.digest.to_string()))
}

struct Upload<'a> {
    http: &'a Http,
    place: &'a Place,
    wanted: &'a Descriptor,
    path: &'a Path,
    what: String,
}

impl Upload<'_> {
    async fn open(&self) -> Result<Url, Trouble> {
        let start = Ask::put(self.place, self.place.url("blobs/uploads/"), b"", self.what.clone());
        let start = Ask { method: Method::POST, ..start };
        let opened = self.accepted(self.http.fetch_once(&start, ERROR_TEXT_SIZE_BYTES_MAX).await?)?;
        let problem = "the registry names no place to send the blob to";
        Ok(session(&start.url, &opened).ok_or_else(|| RegistryError::answer(&self.what, problem))?)
    }

    /// Sends what comes after byte `from` and closes the session.
    async fn close(&self, mut url: Url, from: u64) -> Result<(), Trouble> {
        url.query_pairs_mut().append_pair("digest", &self.wanted.digest.to_string());
        let put = Ask { body: Some(self.rest(from)), ..Ask::put(self.place, url, b"", self.what.clone()) };
        let put = put.header(CONTENT_TYPE, "application/octet-stream");
        self.accepted(self.http.fetch_once(&put, ERROR_TEXT_SIZE_BYTES_MAX).await?)?;
        Ok(())
    }

    fn rest(&self, from: u64) -> Body<'_> {
        let size_bytes = self.wanted.size - from;
        Body::File { path: self.path, from, size_bytes }
    }

    /// Asks how much of the blob came through, sends the rest and closes the session; nothing if any of it fails: then
    /// all is sent again.
    async fn resume(&self, url: Url) -> Option<()> {
        tokio::time::sleep(self.http.options.waits.retry_pause).await;
        let ask = Ask::put(self.place, url.clone(), b"", self.what.clone());
        let ask = Ask { method: Method::GET, body: None, ..ask };
        let status = self.http.fetch_once(&ask, ERROR_TEXT_SIZE_BYTES_MAX).await.ok()?;
        let status = self.accepted(status).ok()?;
        let from = received(status.header(RANGE.as_str())?)?;
        if from > self.wanted.size {
            return None;
        }
        let mut url = session(&url, &status).unwrap_or(url);
        if from < self.wanted.size {
            let range = format!("{from}-{}", self.wanted.size - 1);
            let patch = Ask::put(self.place, url.clone(), b"", self.what.clone());
            let patch = Ask { method: Method::PATCH, body: Some(self.rest(from)), ..patch };
            let patch = patch.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_RANGE, range);
            let patched = self.http.fetch_once(&patch, ERROR_TEXT_SIZE_BYTES_MAX).await.ok()?;
            url = session(&url, &self.accepted(patched).ok()?)?;
        }
        self.close(url, self.wanted.size).await.ok()
    }

    fn accepted(&self, whole: Whole) -> Result<Whole, RegistryError> {
        if whole.status.is_success() {
            return Ok(whole);
        }
        Err(RegistryError::refused(&self.what, whole.status.as_u16(), &whole.body))
    }
}

/// How many bytes came through, by `Range: 0-LAST`. That of one byte and of none look alike, so it counts as none.
fn received(range: &str) -> Option<u64> {
    let last = range.trim().trim_start_matches("bytes=").strip_prefix("0-")?.parse::<u64>().ok()?;
    (last > 0).then(|| last.checked_add(1))?
}

/// Where the bytes go: anywhere the registry says, but not from HTTPS down to HTTP.
fn session(asked: &Url, opened: &Whole) -> Option<Url> {
    let url = asked.join(opened.header(LOCATION.as_str())?).ok()?;
    matches!((asked.scheme(), url.scheme()), (_, "https") | ("http", "http")).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_much_came_through() {
        let check = |range: &str, expected: Option<u64>| assert_eq!(received(range), expected, "{range}");
        check("0-9", Some(10));
        check("bytes=0-9", Some(10));
        check("0-0", None);
        check("5-9", None);
        check("0-18446744073709551615", None);
        check("junk", None);
    }
}
