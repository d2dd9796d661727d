//! What copying needs beyond reading and writing: blobs that are not read where they need not be, tags, lists of what
//! refers to what, and all of it asked of the place itself and of no mirror where it is about to be changed.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

use super::{
    Attached, Listed, Pushed, Registries, RegistryError, Site, blocking, fallback_tag,
    http::{Ask, Http},
    legacy::{self, layers_of},
    legacy_tag, manifest,
    place::Place,
    pull, push, referrers,
};
use crate::{
    model::{
        Descriptor, Digest, ImageName, json,
        limits::{MANIFEST_SIZE_BYTES_MAX, TAG_PAGES_MAX, TAGS_PAGE},
        names::DSSE_ENVELOPE,
    },
    store::Store,
};

/// What is known of a place, so that it is not asked again and again.
#[derive(Debug, Default)]
pub struct Known {
    /// All its tags, if it told them.
    tags: Option<BTreeSet<String>>,
    /// Whether it answered that it has no referrers API.
    apiless: AtomicBool,
}

impl Known {
    /// All its tags, if it told them.
    #[must_use]
    pub fn tags(&self) -> Option<&BTreeSet<String>> {
        self.tags.as_ref()
    }

    /// Whether the place may have `tag`; yes if it does not tell its tags.
    #[must_use]
    pub fn may_have(&self, tag: &str) -> bool {
        self.tags.as_ref().is_none_or(|tags| tags.contains(tag))
    }

    /// Whether the place told that it has `tag`.
    #[must_use]
    pub fn has(&self, tag: &str) -> bool {
        self.tags.as_ref().is_some_and(|tags| tags.contains(tag))
    }
}

impl Registries {
    /// Adds `envelope` (DSSE, JSON) to what cosign 2 attached to `subject` at `name`'s place: the tag
    /// [`legacy_tag`]. All that is there stays, whatever others add at the same time. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`RegistryError::Answer`] if the tag holds something else; those of [`Registries::push_blob`] and
    /// [`Registries::push_manifest`].
    pub async fn append_legacy(
        &self,
        name: &ImageName,
        subject: &Digest,
        envelope: &[u8],
        predicate_type: &str,
        store: &Store,
    ) -> Result<Descriptor, RegistryError> {
        let blob = Descriptor::of(DSSE_ENVELOPE, envelope);
        store.put(envelope)?;
        self.push_blob(name, &blob, store, None).await?;
        let layers = [legacy::layer(&blob, predicate_type)];
        let (site, tag) = (self.site(name)?, legacy_tag(subject));
        self.attachments(&site, &tag, store).add(&layers, None).await
    }

    /// Sees to it that the tag of `name` has all attachments of `manifest_bytes`, what cosign 2 attached elsewhere, whose
    /// blobs are at `name`'s place. Where the tag is free, it gets exactly these bytes.
    ///
    /// # Errors
    /// Those of [`Registries::append_legacy`].
    pub async fn merge_legacy(
        &self,
        name: &ImageName,
        manifest_bytes: &[u8],
        store: &Store,
    ) -> Result<Descriptor, RegistryError> {
        let tag = name.selector.tag.clone().unwrap_or_default();
        let (_, manifest) = manifest::read(&name.to_string(), manifest_bytes, None)?;
        let site = self.site(name)?;
        self.attachments(&site, &tag, store).add(layers_of(&manifest), Some(manifest_bytes)).await
    }

    fn attachments<'a>(&'a self, site: &'a Site, tag: &'a str, store: &'a Store) -> legacy::Attachments<'a> {
        legacy::Attachments { http: &self.http, uploads: &self.uploads, site, tag, store }
    }

    /// What `name`'s place tells of itself: its tags, unless it keeps them to itself or has more than it is asked for.
    ///
    /// # Errors
    /// If it could not be asked.
    pub async fn known(&self, name: &ImageName) -> Result<Known, RegistryError> {
        let tags = match self.site(name)? {
            Site::Registry(place) => tags(&self.http, &place).await?,
            Site::Layout(layout) => Some(blocking(&layout.dir.clone(), move || layout.tags()).await?),
        };
        Ok(Known { tags, apiless: AtomicBool::new(false) })
    }

    /// [`Registries::referrers`], with what is `known`. `thorough`: the fallback tag is looked at even if the place does not
    /// tell that it has it (some hide such tags).
    ///
    /// # Errors
    /// Those of [`Registries::referrers`].
    pub async fn referrers_knowing(
        &self,
        name: &ImageName,
        subject: &Digest,
        known: &Known,
        thorough: bool,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let Site::Registry(place) = self.site(name)? else { return self.referrers(name, subject).await };
        let tag = fallback_tag(subject);
        let by_api = if known.apiless.load(Ordering::Relaxed) {
            None
        } else {
            match referrers::by_api(&self.http, &place, subject).await {
                // Mirrors may know.
                Err(error) if error.is_unavailable() => return self.referrers(name, subject).await,
                listed => listed?,
            }
        };
        let Some(mut listed) = by_api else {
            // A registry that has the API never answers 404 (distribution-spec, "Listing Referrers").
            known.apiless.store(true, Ordering::Relaxed);
            return if thorough || known.may_have(&tag) {
                referrers::by_tag(&self.http, &place, subject).await
            } else {
                Ok(Vec::new())
            };
        };
        if thorough || known.has(&tag) {
            // From the time before it had the API.
            let seen: BTreeSet<Digest> = listed.iter().map(|entry| entry.digest).collect();
            let older = referrers::by_tag(&self.http, &place, subject).await?;
            listed.extend(older.into_iter().filter(|entry| !seen.contains(&entry.digest)));
        }
        Ok(listed)
    }

    /// What the tag of `name` (`latest` if it has none) points to now, at the place itself; nothing if there is no such
    /// tag.
    ///
    /// # Errors
    /// If it could not be asked.
    pub async fn tagged(&self, name: &ImageName) -> Result<Option<Digest>, RegistryError> {
        let tag = name.selector.tag.clone().unwrap_or_else(|| "latest".to_owned());
        let found = match self.site(name)? {
            Site::Registry(place) => {
                let found = pull::manifest(&self.http, &place, &tag).await;
                found.map(|found| found.descriptor.digest)
            }
            Site::Layout(layout) => blocking(&layout.dir.clone(), move || layout.tagged(&tag)).await,
        };
        match found {
            Err(error) if error.is_not_found() => Ok(None),
            found => found.map(Some),
        }
    }

    /// Brings the blob `wanted` from one place to another: not at all if it is there, by a mount within one registry, else
    /// by way of `spool`, where it stays only as long as it is sent.
    ///
    /// # Errors
    /// Those of [`Registries::fetch_blob`] and [`Registries::push_blob`].
    pub async fn copy_blob(
        &self,
        from: &ImageName,
        to: &ImageName,
        wanted: &Descriptor,
        spool: &Store,
    ) -> Result<Pushed, CopyBlobError> {
        let target = self.site(to).map_err(CopyBlobError::Write)?;
        match &target {
            Site::Registry(place) => {
                let source = match self.site(from).map_err(CopyBlobError::Read)? {
                    Site::Registry(source) => Some(source),
                    Site::Layout(_) => None,
                };
                let there = push::existing(&self.http, &self.uploads, place, wanted, source.as_slice()).await;
                if let Some(pushed) = there.map_err(CopyBlobError::Write)? {
                    return Ok(pushed);
                }
            }
            Site::Layout(layout) => {
                let (layout, wanted) = (layout.clone(), wanted.clone());
                let there = blocking(&layout.dir.clone(), move || Ok(layout.holds(&wanted))).await;
                if there.map_err(CopyBlobError::Write)? {
                    return Ok(Pushed::Existing);
                }
            }
        }
        self.fetch_blob(from, wanted, spool).await.map_err(CopyBlobError::Read)?;
        let sent = match target {
            Site::Registry(place) => push::upload(&self.http, &place, wanted, spool).await,
            Site::Layout(layout) => {
                let (wanted, spool) = (wanted.clone(), spool.clone());
                blocking(&layout.dir.clone(), move || layout.put(&wanted, &spool)).await.map(drop)
            }
        };
        let removed = spool.remove(&wanted.digest).map_err(RegistryError::from);
        sent.and(removed).map_err(CopyBlobError::Write)?;
        Ok(Pushed::Sent)
    }

    /// Writes `bytes`, a manifest or index about something, by its digest; what it is about lists it, or
    /// [`Registries::list_attachments`] has to be called ([`Listed::FallbackTag`]).
    ///
    /// # Errors
    /// Those of [`Registries::push_manifest`].
    pub async fn put_referrer(
        &self,
        name: &ImageName,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Attached, RegistryError> {
        let (_, object) = manifest::read(&name.to_string(), bytes, Some(media_type))?;
        self.put_listed(name, manifest::listed(media_type, bytes, &object), bytes).await
    }

    pub(super) async fn put_listed(
        &self,
        name: &ImageName,
        descriptor: Descriptor,
        bytes: &[u8],
    ) -> Result<Attached, RegistryError> {
        let listed = match self.site(name)? {
            Site::Registry(place) => {
                let listed = super::attach::put(&self.http, &place, &descriptor, bytes).await?;
                if listed { Listed::Api } else { Listed::FallbackTag }
            }
            Site::Layout(layout) => {
                let (listed, bytes) = (descriptor.clone(), bytes.to_vec());
                let dir = layout.dir.clone();
                let work = move || {
                    layout.put_manifest(&listed.digest, &bytes)?;
                    layout.list(&listed)
                };
                blocking(&dir, work).await?;
                Listed::Index
            }
        };
        Ok(Attached { descriptor, listed, dropped: Vec::new() })
    }
}

/// On which side a blob could not be copied.
#[derive(Debug)]
pub enum CopyBlobError {
    /// Where it comes from.
    Read(RegistryError),
    /// Where it goes.
    Write(RegistryError),
}

/// All tags of a repository, if it tells them all (distribution-spec, "Listing Tags").
async fn tags(http: &Http, place: &Place) -> Result<Option<BTreeSet<String>>, RegistryError> {
    let what = format!("tags of {}/{}", place.host, place.repository);
    let mut url = place.url("tags/list");
    url.query_pairs_mut().append_pair("n", &TAGS_PAGE.to_string());
    let mut found = BTreeSet::new();
    for _ in 0..TAG_PAGES_MAX {
        let ask = Ask::get(place, url.clone(), what.clone());
        let whole = match http.fetch(&ask, MANIFEST_SIZE_BYTES_MAX).await {
            // Who may read an image may not always read what else there is.
            Err(RegistryError::Unauthorized { .. }) => return Ok(None),
            whole => whole?,
        };
        if !whole.status.is_success() {
            return Ok(None); // 5xx and 429 were errors already.
        }
        let Some(tags) = listed_tags(&whole.body) else { return Ok(None) };
        found.extend(tags);
        match referrers::next_page(&whole, &url) {
            None => return Ok(Some(found)),
            Some(Ok(next)) if place.owns(&next) => url = next,
            Some(_) => return Ok(None),
        }
    }
    Ok(None)
}

fn listed_tags(body: &[u8]) -> Option<Vec<String>> {
    let answer = json::parse(body).ok()?;
    match answer.get("tags")? {
        Value::Null => Some(Vec::new()),
        Value::Array(tags) => tags.iter().map(|tag| tag.as_str().map(ToOwned::to_owned)).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_tags() {
        let check = |body: &str, expected: Option<&[&str]>| {
            let found = listed_tags(body.as_bytes());
            assert_eq!(found.is_some(), expected.is_some(), "{body}");
            assert_eq!(found.unwrap_or_default(), expected.unwrap_or_default(), "{body}");
        };
        check(r#"{"name":"r","tags":["a","b"]}"#, Some(&["a", "b"]));
        check(r#"{"name":"r","tags":null}"#, Some(&[]));
        check(r#"{"name":"r","tags":[1]}"#, None);
        check(r#"{"name":"r"}"#, None);
        check("<html>", None);
    }
}
