//! What refers to an image in a registry (FORMATS.md §5). Reading only.

use std::collections::BTreeSet;

use reqwest::{StatusCode, header::ACCEPT};
use serde::Deserialize as _;
use serde_json::Value;
use url::Url;

use super::{
    RegistryError,
    http::{Ask, Http, Whole},
    manifest::{self, entries},
    place::Place,
    pull,
};
use crate::model::{
    Descriptor, Digest,
    limits::{MANIFEST_SIZE_BYTES_MAX, REFERRER_PAGES_MAX, REFERRERS_MAX},
    names::OCI_INDEX,
};

/// Everything the registry lists for `subject`: by its API, or where it has none by the fallback tag.
pub(super) async fn list(
    http: &Http,
    place: &Place,
    subject: &Digest,
) -> Result<Vec<Descriptor>, RegistryError> {
    match by_api(http, place, subject).await? {
        Some(listed) => Ok(listed),
        None => by_tag(http, place, subject).await,
    }
}

/// What the fallback tag lists.
pub(super) async fn by_tag(
    http: &Http,
    place: &Place,
    subject: &Digest,
) -> Result<Vec<Descriptor>, RegistryError> {
    let index = match pull::manifest(http, place, &fallback_tag(subject)).await {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        // `cosign copy` leaves the image itself there.
        Ok(found) if !manifest::is_index(&found.descriptor.media_type) => return Ok(Vec::new()),
        found => found?,
    };
    let what = what(place, subject);
    let mut listed = Listed::default();
    listed.add(&what, entries(&manifest::read(&what, &index.bytes, None)?.1))?;
    Ok(listed.descriptors)
}

/// The tag that lists what refers to `subject` where the registry has no API for it (distribution-spec, "Referrers
/// Tag Schema").
#[must_use]
pub fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// The tag that holds what cosign 2 attached to `subject` (FORMATS.md §6).
#[must_use]
pub fn legacy_tag(subject: &Digest) -> String {
    format!("{}.att", fallback_tag(subject))
}

/// Nothing if the registry has no such API.
pub(super) async fn by_api(
    http: &Http,
    place: &Place,
    subject: &Digest,
) -> Result<Option<Vec<Descriptor>>, RegistryError> {
    let what = what(place, subject);
    let mut listed = Listed::default();
    let mut url = place.url(&format!("referrers/{subject}"));
    for page in 0..REFERRER_PAGES_MAX {
        let ask = Ask::get(place, url.clone(), what.clone()).header(ACCEPT, OCI_INDEX);
        let whole = http.fetch(&ask, MANIFEST_SIZE_BYTES_MAX).await?;
        match whole.status {
            StatusCode::OK if page > 0 || is_index(&whole) => {}
            StatusCode::OK | StatusCode::NOT_FOUND if page == 0 => return Ok(None),
            status => return Err(RegistryError::refused(&what, status.as_u16(), &whole.body)),
        }
        listed.add(&what, entries(&manifest::read(&what, &whole.body, None)?.1))?;
        match next_page(&whole, &url) {
            None => return Ok(Some(listed.descriptors)),
            Some(Ok(next)) if place.owns(&next) => url = next,
            Some(_) => return Err(RegistryError::answer(&what, "its next page is on another host")),
        }
    }
    Err(RegistryError::TooLarge { what, most: REFERRER_PAGES_MAX as u64, unit: "pages" })
}

fn what(place: &Place, subject: &Digest) -> String {
    format!("referrers of {}", place.name(&subject.to_string()))
}

/// A page for people is no list.
fn is_index(whole: &Whole) -> bool {
    let content_type = whole.header("content-type").unwrap_or_default();
    matches!(content_type.split(';').next().unwrap_or_default().trim(), OCI_INDEX | "application/json" | "")
}

/// The target of `Link: <…>; rel="next"` (RFC 8288).
pub(super) fn next_page(whole: &Whole, base: &Url) -> Option<Result<Url, url::ParseError>> {
    let links = whole.headers.get_all("link").iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|header| header.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            parameter == "rel=next" || parameter == "rel=\"next\""
        });
        is_next.then_some(target)
    });
    next.map(|target| base.join(target))
}

/// Descriptors in the order they came, each digest once.
#[derive(Default)]
struct Listed {
    descriptors: Vec<Descriptor>,
    seen: BTreeSet<Digest>,
}

impl Listed {
    /// Takes what can be read: a malformed entry of one tool must not hide the good ones of others.
    fn add(&mut self, what: &str, entries: &[Value]) -> Result<(), RegistryError> {
        let readable = entries.iter().filter_map(|entry| Descriptor::deserialize(entry).ok());
        for descriptor in readable {
            if self.seen.insert(descriptor.digest) {
                self.descriptors.push(descriptor);
            }
        }
        if self.descriptors.len() > REFERRERS_MAX {
            let most = REFERRERS_MAX as u64;
            return Err(RegistryError::TooLarge { what: what.to_owned(), most, unit: "entries" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue, LINK};

    use super::*;

    #[test]
    fn finds_the_next_page() {
        let check = |link: &'static str, expected: Option<&str>| {
            let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_static(link))]);
            let whole = Whole { status: StatusCode::OK, headers, body: Vec::new() };
            let base = Url::parse("http://h:5000/v2/r/referrers/d").unwrap();
            let next = next_page(&whole, &base).map(|url| url.unwrap().to_string());
            assert_eq!(next.as_deref(), expected, "{link}");
        };
        check("</v2/x?n=1>; rel=\"next\"", Some("http://h:5000/v2/x?n=1"));
        check(
            "<http://a/>; rel=prev, <?last=2>; type=x; REL=next",
            Some("http://h:5000/v2/r/referrers/d?last=2"),
        );
        check("</v2/x>; rel=\"prev\"", None);
        check("junk", None);
    }
}
