//! Making an image refer to what is said about it (FORMATS.md §5): the registry's list, or the fallback tag, which
//! others edit at the same time and which must lose nothing.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use super::{
    RegistryError,
    http::Http,
    manifest::{self, digest_of, entries},
    neighbours::Neighbours,
    place::Place,
    pull::{self, Version},
    push,
    referrers::fallback_tag,
    watch,
};
use crate::model::{
    Descriptor, Digest,
    limits::{MANIFEST_SIZE_BYTES_MAX, REFERRERS_MAX},
    names::OCI_INDEX,
};

/// Rounds of writing and looking again before giving up.
pub(super) const ROUNDS_MAX: usize = 60;
/// Longest pause for a slow round.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Within this, or as long as they took since, writers who have just looked look once more before they write.
const STAGGER: Duration = Duration::from_millis(100);
/// How often our entries must be seen before they count as kept, the registry's word that it took them included: whoever
/// read the index before we wrote it writes within the pause between, and what he overwrote is missed at its end. A look
/// in the middle of it would find out sooner, but nothing else.
pub(super) const SIGHTINGS: usize = 2;

/// What was there before we attached something. As long as nothing else comes, and nobody else on this machine attaches
/// to the same image, no requests are spent on what others may write while we do.
#[derive(Debug)]
pub struct Before {
    /// What [`super::Registries::referrers`] said.
    pub entries: Vec<Descriptor>,
    pub(super) at: Instant,
    pub(super) neighbours: Option<Neighbours>,
}

impl Before {
    fn listed(&self) -> BTreeSet<Digest> {
        self.entries.iter().map(|entry| entry.digest).collect()
    }

    fn met_others(&self) -> bool {
        self.neighbours.as_ref().is_some_and(Neighbours::any)
    }
}

/// Writes `bytes`, the manifest `attachment`; whether the registry lists it by itself.
pub(super) async fn put(
    http: &Http,
    place: &Place,
    attachment: &Descriptor,
    bytes: &[u8],
) -> Result<bool, RegistryError> {
    let reference = attachment.digest.to_string();
    let answer = push::manifest(http, place, &reference, &attachment.media_type, bytes, None).await?;
    Ok(push::lists_subject(&answer))
}

/// Sees to it that the fallback tag lists all of `attachments` for `subject`; the dead entries dropped on the way.
pub(super) async fn list(
    http: &Http,
    place: &Place,
    subject: &Digest,
    attachments: &[Descriptor],
    before: Option<&Before>,
) -> Result<Vec<Digest>, RegistryError> {
    let Some(last) = attachments.last() else { return Ok(Vec::new()) };
    let unlisted = |source| RegistryError::Unlisted { digest: last.digest, subject: *subject, source };
    // Of many who begin at once, most then see that they are not alone.
    if let Some(before) = before {
        let took = before.at.elapsed();
        tokio::time::sleep(random(STAGGER.max(took).min(PAUSE_MAX))).await;
    }
    let merged = Box::pin(merge(http, place, subject, attachments, before)).await; // Large, with all its looks.
    merged.map_err(|error| unlisted(Some(Box::new(error))))?.ok_or_else(|| unlisted(None))
}

/// Adds `attachments` to the fallback tag until they stay there; the dead entries dropped on the way. Nothing if others
/// kept overwriting it.
///
/// Once the tag does not list what was there before, or what we wrote, others are writing; what they write while we do is
/// looked for, since they may not look again themselves.
async fn merge(
    http: &Http,
    place: &Place,
    subject: &Digest,
    attachments: &[Descriptor],
    before: Option<&Before>,
) -> Result<Option<Vec<Digest>>, RegistryError> {
    let tag = fallback_tag(subject);
    let mut expected = before.map(Before::listed);
    let mut alone = true;
    let (mut dead, mut seen) = (Vec::new(), Seen::default());
    let mut sightings = 0;
    for _ in 0..ROUNDS_MAX {
        let began = Instant::now();
        let (mut index, version) = current(http, place, subject).await?;
        let there = listed(&index);
        alone &= expected.as_ref().is_none_or(|expected| *expected == there);
        alone &= !before.is_some_and(Before::met_others);
        let ours = attachments.iter().map(|attachment| attachment.digest);
        let cared_for = there.iter().copied().chain(ours).collect();
        let eaten = eaten(http, place, &seen.entries, &cared_for, &mut dead).await?;
        seen.remember(&index);
        if eaten.is_empty() && attachments.iter().all(|attachment| there.contains(&attachment.digest)) {
            sightings += 1;
            if sightings == SIGHTINGS {
                return Ok(Some(dead));
            }
            pause().await;
            continue;
        }
        sightings = 0;
        drop_dead(&mut index, &dead);
        for attachment in attachments.iter().filter(|attachment| !there.contains(&attachment.digest)) {
            append(&mut index, serde_json::to_value(attachment).unwrap_or_default()); // A descriptor is always JSON.
        }
        for entry in eaten {
            append(&mut index, entry);
        }
        let writing = write(http, place, subject, &index, version.etag.as_deref());
        let written = if alone {
            Some(writing.await)
        } else {
            let (written, others) = watch::meanwhile(http, place, &tag, &version, writing).await;
            for other in others.iter().filter(|found| manifest::is_index(&found.descriptor.media_type)) {
                seen.remember(&manifest::read(&place.name(&tag), &other.bytes, None)?.1);
            }
            written
        };
        match written {
            // Somebody was faster: what stands there now is looked at anew.
            None => tokio::time::sleep(random(STAGGER)).await,
            Some(Ok(())) => {
                expected = Some(listed(&index));
                sightings = 1;
                pause_after(began).await;
            }
            Some(Err(RegistryError::Refused { status: 412, .. })) => pause().await,
            // With one dead entry the registry takes no index at all.
            Some(Err(error)) if error.says("MANIFEST_BLOB_UNKNOWN") => {
                let found = find_dead(http, place, &index).await?;
                if found.is_empty() {
                    return Err(error);
                }
                dead.extend(found);
            }
            Some(Err(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// Entries that were seen before and nobody cares for, though their manifests are there; those without one are dead.
async fn eaten(
    http: &Http,
    place: &Place,
    seen: &[Value],
    cared_for: &BTreeSet<Digest>,
    dead: &mut Vec<Digest>,
) -> Result<Vec<Value>, RegistryError> {
    let mut eaten = Vec::new();
    for entry in seen {
        let Some(digest) = digest_of(entry).filter(|digest| !cared_for.contains(digest)) else { continue };
        if dead.contains(&digest) {
            continue;
        }
        if pull::has_manifest(http, place, &digest).await? {
            eaten.push(entry.clone());
        } else {
            dead.push(digest);
        }
    }
    Ok(eaten)
}

fn listed(index: &Map<String, Value>) -> BTreeSet<Digest> {
    entries(index).iter().filter_map(digest_of).collect()
}

/// Entries that were listed at some time, each once, and no more than one list may hold: the rest could not be put back.
#[derive(Default)]
struct Seen {
    entries: Vec<Value>,
    known: BTreeSet<Digest>,
    size_bytes: u64,
}

impl Seen {
    fn remember(&mut self, index: &Map<String, Value>) {
        for entry in entries(index) {
            let Some(digest) = digest_of(entry).filter(|digest| !self.known.contains(digest)) else {
                continue;
            };
            let size_bytes = self.size_bytes + entry.to_string().len() as u64;
            if self.known.len() < REFERRERS_MAX && size_bytes <= MANIFEST_SIZE_BYTES_MAX {
                self.size_bytes = size_bytes;
                self.known.insert(digest);
                self.entries.push(entry.clone());
            }
        }
    }
}

/// The fallback index as it is, and what stands there; an empty one if there is none or something else stands there.
async fn current(
    http: &Http,
    place: &Place,
    subject: &Digest,
) -> Result<(Map<String, Value>, Version), RegistryError> {
    let tag = fallback_tag(subject);
    match pull::manifest(http, place, &tag).await {
        Ok(found) if manifest::is_index(&found.descriptor.media_type) => {
            Ok((manifest::read(&place.name(&tag), &found.bytes, None)?.1, Version::from(&found)))
        }
        Ok(found) => Ok((empty(), Version::from(&found))),
        Err(error) if error.is_not_found() => Ok((empty(), Version::default())),
        Err(error) => Err(error),
    }
}

fn empty() -> Map<String, Value> {
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    index.as_object().cloned().unwrap_or_default()
}

/// Adds an entry at the end; all others stay as they are.
fn append(index: &mut Map<String, Value>, entry: Value) {
    match index.get_mut("manifests").and_then(Value::as_array_mut) {
        Some(manifests) => manifests.push(entry),
        None => drop(index.insert("manifests".to_owned(), Value::Array(vec![entry]))),
    }
}

async fn write(
    http: &Http,
    place: &Place,
    subject: &Digest,
    index: &Map<String, Value>,
    etag: Option<&str>,
) -> Result<(), RegistryError> {
    let media_type = index.get("mediaType").and_then(Value::as_str).unwrap_or(OCI_INDEX);
    let bytes = serde_json::to_vec(index).unwrap_or_default(); // It was JSON a moment ago.
    push::manifest(http, place, &fallback_tag(subject), media_type, &bytes, etag).await.map(drop)
}

/// The entries whose manifests the registry no longer has.
async fn find_dead(
    http: &Http,
    place: &Place,
    index: &Map<String, Value>,
) -> Result<Vec<Digest>, RegistryError> {
    let mut dead = Vec::new();
    for digest in entries(index).iter().filter_map(digest_of) {
        if !pull::has_manifest(http, place, &digest).await? {
            dead.push(digest);
        }
    }
    Ok(dead)
}

fn drop_dead(index: &mut Map<String, Value>, dead: &[Digest]) {
    if let Some(manifests) = index.get_mut("manifests").and_then(Value::as_array_mut) {
        manifests.retain(|entry| digest_of(entry).is_none_or(|digest| !dead.contains(&digest)));
    }
}

/// [`pause`], and twice as long as our own round of looking and writing took since `began`: where everything is slow, a
/// neighbour who looked before we wrote is slow to write too.
pub(super) async fn pause_after(began: Instant) {
    let took = began.elapsed();
    pause().await;
    tokio::time::sleep(took.saturating_mul(2).min(PAUSE_MAX)).await;
}

/// 100 to 600 ms. Random, so that writers who met once do not meet for ever.
pub(super) async fn pause() {
    tokio::time::sleep(Duration::from_millis(100) + random(Duration::from_millis(500))).await;
}

/// At most `most`; nothing that lasts depends on it.
fn random(most: Duration) -> Duration {
    let share = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or_default(); // Of 2^32.
    most * share / u32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::OCI_MANIFEST;

    #[test]
    fn append_keeps_what_it_does_not_know() {
        let mut index = json!({"manifests": [{"digest": "sha512:x", "odd": 1}], "annotations": {"a": "b"}});
        let index = index.as_object_mut().unwrap();
        append(index, serde_json::to_value(Descriptor::of(OCI_MANIFEST, b"{}")).unwrap());
        assert_eq!(index["manifests"][0], json!({"digest": "sha512:x", "odd": 1}));
        assert_eq!(digest_of(&index["manifests"][1]), Some(Digest::of(b"{}")));
        assert_eq!(index["annotations"]["a"], "b");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_each_once() {
        let entry = |number: usize| json!({"digest": Digest::of(&number.to_le_bytes()).to_string()});
        let index = json!({"manifests": [entry(1), entry(1), {"digest": "sha512:x"}, entry(2)]});
        let mut seen = Seen::default();
        seen.remember(index.as_object().unwrap());
        assert_eq!(seen.entries, [entry(1), entry(2)]);
        let index = json!({"manifests": (0..2000).map(entry).collect::<Vec<_>>()});
        seen.remember(index.as_object().unwrap());
        assert_eq!(seen.entries.len(), REFERRERS_MAX);
        let large = |number: usize| {
            let mut entry = entry(number);
            entry["annotations"] = json!({"a": "x".repeat(1 << 20)});
            entry
        };
        let (mut seen, large) = (Seen::default(), (0..9).map(large).collect::<Vec<_>>());
        for one in large.chunks(3) {
            seen.remember(json!({ "manifests": one }).as_object().unwrap());
        }
        assert_eq!(seen.entries, large[..3]);
    }
}
