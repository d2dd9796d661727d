//! Pushes an image and what is kept beside it: blobs, then manifests, then referrers; the caller tags last.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Ports, bases::Base, execute::Kept, inputs::pack};
use crate::{
    attest::{Bundle, Statement},
    model::{Descriptor, Digest, ImageName, limits, names},
    oci::{Image, artifact_bytes},
    registry::{Listed, RegistryError},
    signing::{SignError, Signer},
    store::StoreError,
};

/// Why something could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The registry, or the layout.
    #[error("cannot push {what} to `{to}`")]
    Push {
        /// What.
        what: String,
        /// Where to.
        to: String,
        /// Why not.
        source: RegistryError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The statement could not be signed.
    #[error("cannot sign the statement")]
    Sign(#[from] SignError),
    /// A pack of inputs could not be made.
    #[error("cannot pack the inputs")]
    Pack(#[source] std::io::Error),
}

/// Blobs sent at once.
const UPLOADS_MAX: usize = 4;

/// One destination, and the image there that everything else refers to. What is attached counts once
/// [`Publisher::list`] was called.
#[derive(Debug)]
pub struct Publisher<'a> {
    ports: &'a Ports,
    to: ImageName,
    /// None: what is pushed refers to nothing.
    subject: Option<Descriptor>,
    /// What the registry does not list by itself. All at once: it takes several looks, with pauses between.
    unlisted: Mutex<Vec<Descriptor>>,
}

impl<'a> Publisher<'a> {
    /// A publisher of what refers to `subject` at `to` (tag and digest of `to` do not matter).
    #[must_use]
    pub fn new(ports: &'a Ports, to: &ImageName, subject: Descriptor) -> Self {
        Self::of(ports, to, Some(subject))
    }

    fn of(ports: &'a Ports, to: &ImageName, subject: Option<Descriptor>) -> Self {
        let to = ImageName { location: to.location.clone(), selector: crate::model::Selector::default() };
        Self { ports, to, subject, unlisted: Mutex::default() }
    }

    /// A publisher of what refers to the same image, from the repository `place`.
    #[must_use]
    pub fn elsewhere(&self, place: &ImageName) -> Self {
        Self::of(self.ports, place, self.subject.clone())
    }

    fn failed(&self, what: impl Into<String>) -> impl FnOnce(RegistryError) -> PublishError {
        let (what, to) = (what.into(), self.to.to_string());
        move |source| PublishError::Push { what, to, source }
    }

    /// Pushes layers, config and manifest, the latter by digest; layers that `base` has are mounted where possible.
    ///
    /// # Errors
    /// [`PublishError::Push`].
    pub async fn image(&self, image: &Image, base: Option<&ImageName>) -> Result<(), PublishError> {
        self.blobs(image.manifest.layers().iter().chain([image.manifest.config()]), base).await?;
        let pushed =
            self.ports.registries.push_manifest(&self.to, names::OCI_MANIFEST, image.manifest.bytes()).await;
        pushed.map_err(self.failed("the manifest")).map(|_| ())
    }

    /// Pushes `blobs`, several at a time.
    async fn blobs<'b>(
        &self,
        blobs: impl IntoIterator<Item = &'b Descriptor>,
        mount: Option<&ImageName>,
    ) -> Result<(), PublishError> {
        let mut seen = BTreeSet::new(); // Two at once would get in each other's way.
        let distinct = blobs.into_iter().filter(|blob| seen.insert(blob.digest));
        let pushes: Vec<_> = distinct.map(|blob| self.blob(blob, mount)).collect();
        stream::iter(pushes).buffer_unordered(UPLOADS_MAX).try_collect().await
    }

    async fn blob(&self, blob: &Descriptor, mount: Option<&ImageName>) -> Result<(), PublishError> {
        let pushed = self.ports.registries.push_blob(&self.to, blob, &self.ports.store, mount).await;
        pushed.map_err(self.failed(format!("blob {}", blob.digest))).map(|_| ())
    }

    /// Attaches an artifact whose layers are blobs of the store; its descriptor.
    ///
    /// # Errors
    /// [`PublishError::Push`].
    pub async fn artifact(
        &self,
        artifact_type: &str,
        layers: &[Descriptor],
        annotations: &BTreeMap<String, String>,
        mount: Option<&ImageName>,
    ) -> Result<Descriptor, PublishError> {
        self.ports.store.put(names::OCI_EMPTY_BYTES)?;
        self.blob(&Descriptor::of(names::OCI_EMPTY, names::OCI_EMPTY_BYTES), None).await?;
        self.blobs(layers, mount).await?;
        let bytes = artifact_bytes(artifact_type, layers, self.subject.as_ref(), annotations);
        let registries = &self.ports.registries;
        let put = registries.put_attachment(&self.to, &bytes, artifact_type, annotations).await;
        let put = put.map_err(self.failed(artifact_type))?;
        if put.listed == Listed::FallbackTag {
            self.unlisted.lock().unwrap_or_else(PoisonError::into_inner).push(put.descriptor.clone());
        }
        Ok(put.descriptor)
    }

    /// Sees to it that everything attached so far is found by whoever looks for what refers to the image.
    ///
    /// # Errors
    /// [`PublishError::Push`].
    pub async fn list(&self) -> Result<(), PublishError> {
        let unlisted = std::mem::take(&mut *self.unlisted.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(subject) = &self.subject else { return Ok(()) };
        let listed = self.ports.registries.list_attachments(&self.to, subject, &unlisted, None).await;
        listed.map_err(self.failed("the list of attestations")).map(drop)
    }

    /// Attaches one blob of the store as an artifact.
    ///
    /// # Errors
    /// [`PublishError::Push`].
    pub async fn kept(&self, media_type: &str, kept: Kept) -> Result<Descriptor, PublishError> {
        let layer = Descriptor::new(media_type, kept.digest, kept.size);
        self.artifact(media_type, &[layer], &BTreeMap::new(), None).await
    }

    /// Attaches a statement, the last thing attached: signed, as a sigstore bundle; without a key, bare.
    ///
    /// # Errors
    /// [`PublishError::Sign`], and nothing is attached; [`PublishError::Push`].
    pub async fn statement(
        &self,
        statement: &Statement,
        key: Option<&Signer>,
    ) -> Result<Descriptor, PublishError> {
        let (media_type, bytes) = written(statement, key).await?;
        let annotations = match key {
            Some(_) => BTreeMap::from([
                (names::BUNDLE_CONTENT.to_owned(), "dsse-envelope".to_owned()),
                (names::BUNDLE_PREDICATE_TYPE.to_owned(), statement.predicate_type.clone()),
            ]),
            None => BTreeMap::new(),
        };
        self.ports.store.put(&bytes)?;
        let layers = [Descriptor::of(media_type, &bytes)];
        let attached = self.artifact(media_type, &layers, &annotations, None).await?;
        self.list().await?;
        Ok(attached)
    }

    /// Attaches a base image: its manifest's bytes, config and layers as blobs (WIRE.md §4).
    ///
    /// # Errors
    /// [`PublishError::Push`].
    pub async fn base(&self, base: &Base) -> Result<(), PublishError> {
        let manifest = &base.image.manifest;
        self.ports.store.put(manifest.bytes())?;
        let mut layers =
            vec![Descriptor::of(manifest.media_type(), manifest.bytes()), manifest.config().clone()];
        layers.extend(manifest.layers().iter().cloned());
        let plain = |layer: Descriptor| Descriptor::new(&layer.media_type, layer.digest, layer.size);
        let layers: Vec<_> = layers.into_iter().map(plain).collect();
        self.artifact(names::BASE, &layers, &BTreeMap::new(), Some(&base.name)).await.map(|_| ())
    }

    /// Attaches the recorded bodies: large ones as they are, small ones in packs, in parts of bounded size; the parts.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn inputs(&self, bodies: &BTreeMap<Digest, u64>) -> Result<Vec<Descriptor>, PublishError> {
        let (small, large): (Vec<_>, Vec<_>) = bodies
            .iter()
            .map(|(digest, size)| (*digest, *size))
            .partition(|(_, size)| *size < limits::INPUT_OWN_LAYER_BYTES);
        let mut layers: Vec<_> =
            large.iter().map(|(digest, size)| Descriptor::new(names::OCTETS, *digest, *size)).collect();
        layers.extend(pack(&self.ports.store, &small)?);
        let parts = layers.chunks(limits::INPUT_LAYERS_MAX);
        let (count, mut attached) = (parts.len(), Vec::with_capacity(parts.len()));
        for (index, part) in parts.enumerate() {
            let annotations = BTreeMap::from([(names::PART.to_owned(), format!("{}/{count}", index + 1))]);
            attached.push(self.artifact(names::INPUTS, part, &annotations, None).await?);
        }
        Ok(attached)
    }

    /// Points the tag of `name` at the image.
    ///
    /// # Errors
    /// [`PublishError::Push`].
    pub async fn tag(&self, name: &ImageName, image: &Image) -> Result<(), PublishError> {
        let tagged = self.ports.registries.tag(name, names::OCI_MANIFEST, image.manifest.bytes()).await;
        tagged.map_err(self.failed("the tag"))
    }
}

/// A statement as it is kept, and what that is: signed, a sigstore bundle; without a key, bare.
///
/// # Errors
/// [`SignError`].
pub(super) async fn written(
    statement: &Statement,
    key: Option<&Signer>,
) -> Result<(&'static str, Vec<u8>), SignError> {
    let Some(key) = key else { return Ok((names::IN_TOTO_JSON, statement.to_bytes())) };
    let bundle = Bundle { hint: key.public().hint(), envelope: key.sign_envelope(statement).await? };
    Ok((names::BUNDLE, bundle.to_bytes()))
}

/// Longest tag of an image (OCI distribution, "Pulling manifests").
const TAG_SIZE_BYTES_MAX: usize = 128;

/// The tag of the latest failed build to `to`, and the one of the build named `build`.
#[must_use]
pub fn failed_tags(to: &ImageName, build: &str) -> [String; 2] {
    let own = format!(".failed-{}", build.get(..12).unwrap_or(build));
    let tag = to.selector.tag.as_deref().unwrap_or("latest");
    // Cut alike for every build, so that the latest is found without knowing which it was.
    let tag = tag.get(..TAG_SIZE_BYTES_MAX - ".failed-".len() - 12).unwrap_or(tag);
    [format!("{tag}.failed"), format!("{tag}{own}")]
}

/// Pushes what a failed build left to the repository of `to`, under [`failed_tags`] and no other; its name.
///
/// # Errors
/// [`PublishError::Push`].
pub async fn push_failure(
    ports: &Ports,
    to: &ImageName,
    build: &str,
    layers: &[Descriptor],
) -> Result<ImageName, PublishError> {
    let publisher = Publisher::of(ports, to, None);
    ports.store.put(names::OCI_EMPTY_BYTES)?;
    publisher.blob(&Descriptor::of(names::OCI_EMPTY, names::OCI_EMPTY_BYTES), None).await?;
    publisher.blobs(layers, None).await?;
    let annotations = BTreeMap::from([(names::BUILD.to_owned(), build.to_owned())]);
    let bytes = artifact_bytes(names::FAILURE, layers, None, &annotations);
    let registries = &ports.registries;
    let failed = || publisher.failed("the log of the failed build");
    let pushed = registries.push_manifest(&publisher.to, names::OCI_MANIFEST, &bytes).await;
    let digest = pushed.map_err(failed())?.digest;
    let [latest, own] = failed_tags(to, build);
    let mut name = publisher.to.clone();
    for tag in [own.clone(), latest] {
        name.selector.tag = Some(tag);
        registries.tag(&name, names::OCI_MANIFEST, &bytes).await.map_err(failed())?;
    }
    name.selector.tag = Some(own);
    Ok(name.at(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_failures_are_tags() {
        let tags = |name: &str| failed_tags(&name.parse().unwrap(), "0123456789abcdef");
        assert_eq!(tags("registry.example.org/a:1.2"), ["1.2.failed", "1.2.failed-0123456789ab"]);
        assert_eq!(tags("oci:/x"), ["latest.failed", "latest.failed-0123456789ab"]);
        let long = tags(&format!("registry.example.org/a:{}", "t".repeat(128)));
        assert!(long.iter().all(|tag| tag.len() <= TAG_SIZE_BYTES_MAX), "{long:?}");
        let name = format!("registry.example.org/a:{}", "t".repeat(128)).parse().unwrap();
        assert_eq!(failed_tags(&name, "")[0], long[0]);
    }
}
