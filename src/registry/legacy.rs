//! What cosign 2 attaches: a manifest behind the tag `sha256-HEX.att` (or `.sig`, `.sbom`) with one layer for each
//! attachment, which several writers edit at the same time and which must lose nothing (FORMATS.md §6).

use std::{collections::BTreeSet, time::Instant};

use serde_json::{Map, Value, json};

use super::{
    RegistryError, Site,
    attach::{ROUNDS_MAX, pause_after},
    blocking,
    http::Http,
    manifest::{self, digest_of},
    pull,
    push::{self, Uploads},
};
use crate::{
    model::{
        Descriptor, Selector,
        names::{COSIGN_SIGNATURE, DSSE_ENVELOPE, OCI_CONFIG, OCI_MANIFEST, PREDICATE_TYPE},
    },
    store::Store,
};

/// How often all of ours must be seen, the registry's word included: one more than in an index, since a neighbour's
/// round is longer, with a config to be sent.
const SIGHTINGS: usize = 3;

/// A tag of cosign's, and how to write there.
pub(super) struct Attachments<'a> {
    pub http: &'a Http,
    pub uploads: &'a Uploads,
    pub site: &'a Site,
    pub tag: &'a str,
    /// For configs, which are made here.
    pub store: &'a Store,
}

/// A manifest as it stands behind the tag.
struct Standing {
    descriptor: Descriptor,
    object: Map<String, Value>,
    etag: Option<String>,
}

/// The layer entry of the envelope `blob`, as cosign 2 writes it.
pub(super) fn layer(blob: &Descriptor, predicate_type: &str) -> Value {
    json!({"mediaType": DSSE_ENVELOPE, "size": blob.size, "digest": blob.digest,
        "annotations": {COSIGN_SIGNATURE: "", PREDICATE_TYPE: predicate_type}})
}

impl Attachments<'_> {
    /// Sees to it that the tag's manifest has all of `layers`, whose blobs are there, whatever others add at the same
    /// time; the manifest that was seen with them. Where the tag is free, the manifest is `whole`, if that is given.
    ///
    /// # Errors
    /// [`RegistryError::Answer`] if something else has the tag: nothing is written then; if others kept overwriting it;
    /// those of reading and writing.
    pub(super) async fn add(
        &self,
        layers: &[Value],
        whole: Option<&[u8]>,
    ) -> Result<Descriptor, RegistryError> {
        let mut sightings = 0;
        for _ in 0..ROUNDS_MAX {
            let began = Instant::now();
            let standing = self.standing().await?;
            let there: BTreeSet<_> = standing.iter().flat_map(Standing::layers).map(identity).collect();
            let missing: Vec<_> = layers.iter().filter(|layer| !there.contains(&identity(layer))).collect();
            if let Some(found) = standing.as_ref().filter(|_| missing.is_empty()) {
                sightings += 1;
                if sightings >= SIGHTINGS {
                    return Ok(found.descriptor.clone());
                }
            } else {
                sightings = usize::from(self.write(standing, &missing, whole).await?);
            }
            pause_after(began).await;
        }
        Err(RegistryError::answer(&self.what(), "others kept overwriting it; run the same command again"))
    }

    /// Writes what stands there and `missing` behind it; false if somebody else was faster.
    async fn write(
        &self,
        standing: Option<Standing>,
        missing: &[&Value],
        whole: Option<&[u8]>,
    ) -> Result<bool, RegistryError> {
        if let (None, Some(bytes)) = (&standing, whole) {
            return self.put(bytes, None).await;
        }
        let (mut object, etag) = standing.map_or_else(Default::default, |found| (found.object, found.etag));
        object.entry("schemaVersion").or_insert(json!(2));
        object.entry("mediaType").or_insert(json!(OCI_MANIFEST));
        let mut layers: Vec<Value> = layers_of(&object).to_vec();
        layers.extend(missing.iter().map(|layer| (*layer).clone()));
        let config = config(&layers);
        let descriptor = Descriptor::of(OCI_CONFIG, &config);
        self.store.put(&config)?;
        self.put_blob(&descriptor).await?;
        object.insert("config".to_owned(), serde_json::to_value(&descriptor).unwrap_or_default());
        object.insert("layers".to_owned(), Value::Array(layers));
        // It was JSON a moment ago.
        self.put(&serde_json::to_vec(&object).unwrap_or_default(), etag.as_deref()).await
    }

    async fn standing(&self) -> Result<Option<Standing>, RegistryError> {
        let found = match self.site {
            Site::Registry(place) => {
                let found = pull::manifest(self.http, place, self.tag).await;
                found.map(|found| (found.descriptor, found.bytes, found.etag))
            }
            Site::Layout(layout) => {
                let (layout, selector) =
                    (layout.clone(), Selector { tag: Some(self.tag.to_owned()), digest: None });
                let found = blocking(&layout.dir.clone(), move || layout.manifest(&selector)).await;
                found.map(|(descriptor, bytes)| (descriptor, bytes, None))
            }
        };
        let (descriptor, bytes, etag) = match found {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found?,
        };
        let (media_type, object) = manifest::read(&self.what(), &bytes, Some(&descriptor.media_type))?;
        let theirs =
            manifest::is_manifest(&media_type) && !layers_of(&object).iter().any(is_part_of_an_image);
        // Whatever has that tag is somebody's; it is never taken away from them.
        let other = "the tag holds something else than attachments of cosign; nothing was written";
        if theirs { Ok(Some(Standing { descriptor, object, etag })) } else { Err(self.problem(other)) }
    }

    async fn put_blob(&self, blob: &Descriptor) -> Result<(), RegistryError> {
        match self.site {
            Site::Registry(place) => {
                push::blob(self.http, self.uploads, place, blob, self.store, &[]).await.map(drop)
            }
            Site::Layout(layout) => {
                let (layout, blob, store) = (layout.clone(), blob.clone(), self.store.clone());
                blocking(&layout.dir.clone(), move || layout.put(&blob, &store)).await.map(drop)
            }
        }
    }

    async fn put(&self, bytes: &[u8], etag: Option<&str>) -> Result<bool, RegistryError> {
        let (media_type, _) = manifest::read(&self.what(), bytes, Some(OCI_MANIFEST))?;
        match self.site {
            Site::Registry(place) => {
                match push::manifest(self.http, place, self.tag, &media_type, bytes, etag).await {
                    Err(RegistryError::Refused { status: 412, .. }) => Ok(false),
                    written => written.map(|_| true),
                }
            }
            Site::Layout(layout) => {
                let (image, bytes, tag) =
                    (Descriptor::of(&media_type, bytes), bytes.to_vec(), self.tag.to_owned());
                let (layout, dir) = (layout.clone(), layout.dir.clone());
                let work = move || {
                    layout.put_manifest(&image.digest, &bytes)?;
                    layout.tag(&image, &tag)
                };
                blocking(&dir, work).await.map(|()| true)
            }
        }
    }

    fn what(&self) -> String {
        match self.site {
            Site::Registry(place) => format!("attachments {}", place.name(self.tag)),
            Site::Layout(layout) => format!("attachments oci:{}:{}", layout.dir.display(), self.tag),
        }
    }

    fn problem(&self, problem: &str) -> RegistryError {
        RegistryError::answer(&self.what(), problem)
    }
}

impl Standing {
    fn layers(&self) -> &[Value] {
        layers_of(&self.object)
    }
}

/// What tells two attachments apart: several signatures of one payload share its blob.
fn identity(layer: &Value) -> (Option<String>, Option<&str>) {
    let signature = layer.get("annotations").and_then(|all| all.get(COSIGN_SIGNATURE));
    (digest_of(layer).map(|digest| digest.to_string()), signature.and_then(Value::as_str))
}

/// Whether a layer of this type is files of a root file system.
#[must_use]
pub fn is_image_layer(media_type: &str) -> bool {
    [".image.layer.", ".image.rootfs."].iter().any(|part| media_type.contains(part))
}

/// Whether a layer is files of a root file system: attachments have none.
fn is_part_of_an_image(layer: &Value) -> bool {
    let media_type = layer.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    is_image_layer(media_type)
}

/// The layers of a manifest, raw.
pub(super) fn layers_of(manifest: &Map<String, Value>) -> &[Value] {
    manifest.get("layers").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The config that cosign 2 writes: that of an image made at no time.
fn config(layers: &[Value]) -> Vec<u8> {
    const NEVER: &str = "0001-01-01T00:00:00Z";
    let digests: Vec<_> = layers.iter().map(|layer| layer.get("digest").unwrap_or(&Value::Null)).collect();
    let history: Vec<_> = layers.iter().map(|_| json!({"created": NEVER})).collect();
    let history = serde_json::to_string(&history).unwrap_or_default();
    let digests = serde_json::to_string(&digests).unwrap_or_default();
    let text = format!(
        r#"{{"architecture":"","created":"{NEVER}","history":{history},"os":"","rootfs":{{"type":"layers","diff_ids":{digests}}},"config":{{}}}}"#
    );
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn writes_what_cosign_2_wrote() {
        let blob = Descriptor::new("x/y", Digest::of(b"an envelope"), 11);
        let layer = layer(&blob, "https://slsa.dev/provenance/v1");
        assert_eq!(
            layer.to_string(),
            format!(
                r#"{{"annotations":{{"dev.cosignproject.cosign/signature":"","predicateType":"https://slsa.dev/provenance/v1"}},"digest":"{}","mediaType":"application/vnd.dsse.envelope.v1+json","size":11}}"#,
                blob.digest
            )
        );
        // Byte for byte the config in fixtures/interop, made by cosign 2.5.0.
        let theirs = "sha256:eea9b90ecb41f0a653f7fb3c927c429c8fc18f95f626c0887e30cb1bc8fca6cc";
        let config = config(&[json!({"digest": theirs})]);
        let made = "sha256:3748400c4149533b3534bc6dd5509b31192bd6db1d14c636ea1aa5b94c90dc8f";
        assert_eq!(Digest::of(&config).to_string(), made);
    }

    #[test]
    fn signatures_of_one_payload_are_several() {
        let signed = |by: &str| json!({"digest": Digest::of(b""), "annotations": {COSIGN_SIGNATURE: by}});
        assert_ne!(identity(&signed("a")), identity(&signed("b")));
        assert_eq!(identity(&signed("a")), identity(&signed("a")));
    }
}
