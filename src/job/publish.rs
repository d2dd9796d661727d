//! Pushes an image and what is kept beside it: blobs, then manifests, then referrers; the caller tags last.

use std::collections::BTreeMap;

use super::{Ports, bases::Base, execute::Kept, inputs::pack};
use crate::{
    attest::{Bundle, Statement},
    model::{Descriptor, Digest, ImageName, limits, names},
    oci::{Image, artifact_bytes},
    registry::{Attached, RegistryError},
    signing::PrivateKey,
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
    /// A pack of inputs could not be made.
    #[error("cannot pack the inputs")]
    Pack(#[source] std::io::Error),
}

/// One destination, and the image there that everything else refers to.
#[derive(Debug)]
pub struct Publisher<'a> {
    ports: &'a Ports,
    to: ImageName,
    subject: Descriptor,
}

impl<'a> Publisher<'a> {
    /// A publisher of what refers to `subject` at `to` (tag and digest of `to` do not matter).
    #[must_use]
    pub fn new(ports: &'a Ports, to: &ImageName, subject: Descriptor) -> Self {
        let to = ImageName { location: to.location.clone(), selector: crate::model::Selector::default() };
        Self { ports, to, subject }
    }

    /// A publisher of what refers to the same image, from the repository `place`.
    #[must_use]
    pub fn elsewhere(&self, place: &ImageName) -> Self {
        Self::new(self.ports, place, self.subject.clone())
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
        for layer in image.manifest.layers().iter().chain([image.manifest.config()]) {
            self.blob(layer, base).await?;
        }
        let pushed =
            self.ports.registries.push_manifest(&self.to, names::OCI_MANIFEST, image.manifest.bytes()).await;
        pushed.map_err(self.failed("the manifest")).map(|_| ())
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
        for layer in layers {
            self.blob(layer, mount).await?;
        }
        let bytes = artifact_bytes(artifact_type, layers, Some(&self.subject), annotations);
        let registries = &self.ports.registries;
        let attached: Result<Attached, _> =
            registries.attach(&self.to, &self.subject, &bytes, artifact_type, annotations).await;
        attached.map(|attached| attached.descriptor).map_err(self.failed(artifact_type))
    }

    /// Attaches one blob of the store as an artifact.
    ///
    /// # Errors
    /// [`PublishError::Push`].
    pub async fn kept(&self, media_type: &str, kept: Kept) -> Result<Descriptor, PublishError> {
        let layer = Descriptor::new(media_type, kept.digest, kept.size);
        self.artifact(media_type, &[layer], &BTreeMap::new(), None).await
    }

    /// Attaches a statement: signed, as a sigstore bundle; without a key, bare.
    ///
    /// # Errors
    /// [`PublishError::Push`].
    pub async fn statement(
        &self,
        statement: &Statement,
        key: Option<&PrivateKey>,
    ) -> Result<Descriptor, PublishError> {
        let (media_type, bytes, annotations) = match key {
            Some(key) => {
                let envelope = key.sign_envelope(statement);
                let bundle = Bundle { hint: key.public().hint(), envelope };
                let annotations = BTreeMap::from([
                    (names::BUNDLE_CONTENT.to_owned(), "dsse-envelope".to_owned()),
                    (names::BUNDLE_PREDICATE_TYPE.to_owned(), statement.predicate_type.clone()),
                ]);
                (names::BUNDLE, bundle.to_bytes(), annotations)
            }
            None => (names::IN_TOTO_JSON, statement.to_bytes(), BTreeMap::new()),
        };
        self.ports.store.put(&bytes)?;
        self.artifact(media_type, &[Descriptor::of(media_type, &bytes)], &annotations, None).await
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
