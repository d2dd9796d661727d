//! Reading manifests and blobs of a registry.

use std::io::Write as _;

use reqwest::{
    StatusCode,
    header::{ACCEPT, IF_NONE_MATCH, RANGE},
};

use super::{
    RegistryError, Waits,
    http::{Ask, Http, Whole},
    manifest,
    place::Place,
    retry::{Patience, Retry, Trouble},
};
use crate::{
    model::{Descriptor, Digest, Selector, limits::MANIFEST_SIZE_BYTES_MAX},
    store::{Store, StoreError, Writer},
};

/// A manifest as it came.
pub(super) struct Manifest {
    pub descriptor: Descriptor,
    pub bytes: Vec<u8>,
    pub etag: Option<String>,
}

/// The tag or digest by which `selector` asks; `latest` if it names none.
pub(super) fn reference(selector: &Selector) -> String {
    let digest = selector.digest.map(|digest| digest.to_string());
    digest.or_else(|| selector.tag.clone()).unwrap_or_else(|| "latest".to_owned())
}

/// Reads the manifest `reference`, a tag or a digest, and checks its bytes against all that was promised: the digest
/// asked for and the one in `Docker-Content-Digest`.
pub(super) async fn manifest(http: &Http, place: &Place, reference: &str) -> Result<Manifest, RegistryError> {
    let ask = ask_manifest(place, reference);
    let whole = http.fetch(&ask, MANIFEST_SIZE_BYTES_MAX).await?.success(&ask.what)?;
    checked_manifest(&ask.what, reference, whole)
}

/// What stood behind a tag; the default is nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Version {
    pub digest: Option<Digest>,
    pub etag: Option<String>,
}

impl From<&Manifest> for Version {
    fn from(found: &Manifest) -> Self {
        Self { digest: Some(found.descriptor.digest), etag: found.etag.clone() }
    }
}

/// [`manifest`] in one try, if there is one and it is not the one that stood there.
pub(super) async fn changed(
    http: &Http,
    place: &Place,
    reference: &str,
    version: &Version,
) -> Result<Option<Manifest>, Trouble> {
    let mut ask = ask_manifest(place, reference);
    if let Some(etag) = &version.etag {
        ask = ask.header(IF_NONE_MATCH, etag.as_str());
    }
    let whole = http.fetch_once(&ask, MANIFEST_SIZE_BYTES_MAX).await?;
    if matches!(whole.status, StatusCode::NOT_MODIFIED | StatusCode::NOT_FOUND) {
        return Ok(None);
    }
    let found = checked_manifest(&ask.what, reference, whole.success(&ask.what)?)?;
    // Not every registry compares.
    Ok(Some(found).filter(|found| version.digest != Some(found.descriptor.digest)))
}

fn ask_manifest<'a>(place: &'a Place, reference: &str) -> Ask<'a> {
    let what = format!("manifest {}", place.name(reference));
    Ask::get(place, place.url(&format!("manifests/{reference}")), what).header(ACCEPT, manifest::ACCEPT)
}

fn checked_manifest(what: &str, reference: &str, whole: Whole) -> Result<Manifest, RegistryError> {
    let actual = Digest::of(&whole.body);
    let asked = reference.starts_with("sha256:").then_some(reference);
    for expected in asked.into_iter().chain(promised(&whole)) {
        matches(what, expected, actual)?;
    }
    let content_type = whole.header("content-type").and_then(|value| value.split(';').next()).map(str::trim);
    let (media_type, _) = manifest::read(what, &whole.body, content_type)?;
    let etag = whole.header("etag").map(ToOwned::to_owned);
    let descriptor = Descriptor::new(&media_type, actual, whole.body.len() as u64);
    Ok(Manifest { descriptor, bytes: whole.body, etag })
}

/// Whether the registry has the manifest `reference`.
pub(super) async fn has_manifest(http: &Http, place: &Place, digest: &Digest) -> Result<bool, RegistryError> {
    let what = format!("manifest {}", place.name(&digest.to_string()));
    let ask = Ask::head(place, place.url(&format!("manifests/{digest}")), what.clone())
        .header(ACCEPT, manifest::ACCEPT);
    present(&http.fetch(&ask, 0).await?, &what)
}

/// Whether the registry has the blob `digest`.
pub(super) async fn has_blob(http: &Http, place: &Place, digest: &Digest) -> Result<bool, RegistryError> {
    let what = format!("blob {}", place.name(&digest.to_string()));
    let ask = Ask::head(place, place.url(&format!("blobs/{digest}")), what.clone());
    present(&http.fetch(&ask, 0).await?, &what)
}

/// Streams the blob `wanted` into `store`; it gets its name there only if digest and size are right. After a cut it
/// goes on where it was, if the registry can.
pub(super) async fn blob(
    http: &Http,
    place: &Place,
    wanted: &Descriptor,
    store: &Store,
    patience: Patience,
) -> Result<(), RegistryError> {
    let what = format!("blob {}", place.name(&wanted.digest.to_string()));
    let ask = Ask { patience, ..Ask::get(place, place.url(&format!("blobs/{}", wanted.digest)), what) };
    let mut retry = Retry::new(&http.options.waits, patience);
    let mut begun = None;
    loop {
        match blob_once(http, &ask, wanted, store, &mut begun).await {
            Ok(()) => break,
            Err(trouble) => retry.after(trouble).await?,
        }
    }
    let finished = begun.map(|writer: Writer| writer.finish_expected(wanted.digest, Some(wanted.size)));
    finished.unwrap_or(Ok(())).map_err(|error| checked(&ask.what, error))
}

/// One try; what came is in `begun`.
async fn blob_once(
    http: &Http,
    ask: &Ask<'_>,
    wanted: &Descriptor,
    store: &Store,
    begun: &mut Option<Writer>,
) -> Result<(), Trouble> {
    let waits: &Waits = &http.options.waits;
    let here = begun.as_ref().map_or(0, Writer::size_bytes);
    let ask = if here == 0 { ask.clone() } else { ask.clone().header(RANGE, format!("bytes={here}-")) };
    let answer = http.send(&ask).await?;
    let writer = match begun {
        Some(writer) if answer.continues(here) => writer,
        _ if answer.status() == StatusCode::OK => begun.insert(store.writer().map_err(RegistryError::from)?),
        _ => {
            let error = answer.refused(waits).await;
            // No refusal of the blob, perhaps, but of its rest: the next try asks for all of it.
            let rest = begun.take().filter(|_| here > 0);
            return Err(match rest {
                Some(_) => Trouble::Passing { error, wait: None },
                None => Trouble::Lasting(error),
            });
        }
    };
    let left = wanted.size.saturating_sub(writer.size_bytes());
    let keep = |bytes: &[u8]| {
        let fail = |source| StoreError::Io { action: "write a blob in", path: store.root().into(), source };
        Ok(writer.write_all(bytes).map_err(fail)?)
    };
    answer.pour(waits, left, keep).await
}

/// A mismatch that the store found is the place's fault.
pub(super) fn checked(what: &str, error: StoreError) -> RegistryError {
    match error {
        StoreError::Mismatch { expected, actual } => {
            RegistryError::Mismatch { what: what.to_owned(), expected: expected.to_string(), actual }
        }
        StoreError::Size { expected_bytes, actual_bytes, .. } => {
            RegistryError::answer(what, format!("{actual_bytes} bytes instead of {expected_bytes}"))
        }
        error @ StoreError::Io { .. } => error.into(),
    }
}

/// The digest the registry says it sent or took, if it says so in our algorithm.
pub(super) fn promised(whole: &Whole) -> Option<&str> {
    whole.header("docker-content-digest").filter(|text| !text.starts_with("sha512:") && !text.is_empty())
}

pub(super) fn matches(what: &str, expected: &str, actual: Digest) -> Result<(), RegistryError> {
    if expected == actual.to_string() {
        return Ok(());
    }
    let expected = crate::model::path::printable(&expected.chars().take(100).collect::<String>());
    Err(RegistryError::Mismatch { what: what.to_owned(), expected, actual })
}

fn present(whole: &Whole, what: &str) -> Result<bool, RegistryError> {
    match whole.status {
        StatusCode::OK => Ok(true),
        StatusCode::NOT_FOUND => Ok(false),
        _ => Err(whole.refused(what)),
    }
}
