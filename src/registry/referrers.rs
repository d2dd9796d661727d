//! What refers to an image in a registry (FORMATS.md §5). Reading only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join;
use reqwest::{StatusCode, header::ACCEPT};
use serde::Deserialize as _;
use serde_json::Value;
use url::Url;

use super::{
    Registries, RegistryError, Site, blocking,
    http::{Ask, Http, Whole},
    manifest::{self, entries},
    place::Place,
    pull,
};
use crate::model::{
    Descriptor, Digest, ImageName,
    limits::{MANIFEST_SIZE_BYTES_MAX, REFERRER_PAGES_MAX, REFERRERS_MAX},
    names::OCI_INDEX,
};

impl Registries {
    /// What `name`'s place lists as referring to `subject` (FORMATS.md §5), of any type, each digest once; empty if
    /// nothing does. The descriptors' types and annotations are hints that nobody vouches for.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] past 1,000 entries or 100 pages; anything but a clear "there are none" is an error.
    pub async fn referrers(
        &self,
        name: &ImageName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let read = |place| async move { list(&self.http, &place, subject).await };
        self.listed(name, subject, read).await
    }

    /// [`Registries::referrers`] for somebody who waits: in the time of one answer, at the cost of a request more
    /// where it is not known yet that the registry has the API.
    ///
    /// # Errors
    /// Those of [`Registries::referrers`].
    pub async fn referrers_at_once(
        &self,
        name: &ImageName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let read = |place| async move { self.apis.list_at_once(&self.http, &place, subject).await };
        self.listed(name, subject, read).await
    }

    /// What `read` finds at `name`'s place, or at a mirror if that is out of reach.
    async fn listed<Reading: Future<Output = Result<Vec<Descriptor>, RegistryError>>>(
        &self,
        name: &ImageName,
        subject: &Digest,
        read: impl Fn(Place) -> Reading,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        match self.site(name)? {
            Site::Registry(place) => match read(place).await {
                Err(error) if error.is_unavailable() => self.mirrors(name, true, read).await?.0.ok_or(error),
                listed => listed,
            },
            Site::Layout(layout) => {
                let subject = *subject;
                blocking(&layout.dir.clone(), move || layout.referrers(&subject)).await
            }
        }
    }
}

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

/// Which registries have the API and which do not, as far as they were asked.
#[derive(Debug, Default)]
pub(super) struct Apis(Mutex<BTreeMap<String, bool>>);

impl Apis {
    /// [`list`] in the time of one answer: unless this registry is known to have the API, the tag is asked for at the
    /// same time.
    pub(super) async fn list_at_once(
        &self,
        http: &Http,
        place: &Place,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        if self.known().get(&place.host) == Some(&true) {
            return list(http, place, subject).await;
        }
        let (listed, tagged) = join(by_api(http, place, subject), by_tag(http, place, subject)).await;
        let listed = listed?;
        self.known().insert(place.host.clone(), listed.is_some());
        listed.map_or(tagged, Ok)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
