//! What stands beside an image: its referrers, opened, and the provenance among them that can be believed.

use std::{cmp::Reverse, collections::BTreeMap};

pub use super::trust::{By, Trust};
pub(crate) use crate::model::chain;

use super::{Ports, inputs::Missing};
use crate::{
    attest::{Bundle, Origin, Provenance, ProvenanceError, Statement},
    compute,
    model::{Descriptor, Digest, ImageName, limits, names, path::printable},
    oci::Manifest,
    registry::RegistryError,
    store::StoreError,
};

/// The one reason where nothing was found.
pub(super) const NO_PROVENANCE: &str = "there is no provenance beside the image";

/// Why evidence could not be looked at (not: what is wrong with it).
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The registry.
    #[error("cannot look for attestations of `{image}`")]
    Registry {
        /// Of which image.
        image: String,
        /// Why not.
        source: RegistryError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// None was good, and one could not be fetched.
    #[error("cannot read the attestations of `{image}`: {why}")]
    Unread {
        /// Of which image.
        image: String,
        /// Which, and why not.
        why: String,
    },
    /// More than is ever opened.
    #[error("`{image}` has more than {} MiB of attestations", limits::REFERRERS_SIZE_BYTES_MAX >> 20)]
    TooMuch {
        /// Which image.
        image: String,
    },
}

/// Everything that refers to one image.
#[derive(Debug)]
pub struct Evidence {
    image: ImageName,
    subject: Digest,
    artifacts: Vec<(Digest, Manifest)>,
    /// Referrers that could not be fetched: remembered, since a missing one may be the good one.
    unread: Vec<(Digest, RegistryError)>,
    /// Bytes of attestations that may still be opened.
    left_bytes: u64,
}

/// A provenance that can be believed, and where it stands.
#[derive(Debug, Clone)]
pub struct Believed<P = Provenance> {
    /// What it says.
    pub provenance: P,
    /// Digest of the referrer's manifest.
    pub referrer: Digest,
    /// The statement itself.
    pub statement: Statement,
    /// By whose word it is believed.
    pub by: By,
}

/// What looking for a provenance came to.
#[derive(Debug)]
pub enum Found<P = Provenance> {
    /// All that can be believed, the one to use first.
    Believed(Vec<Believed<P>>),
    /// None; why not, one reason for each candidate.
    Refused(Vec<String>),
}

/// What kind of provenance is looked for.
pub trait Said: Sized {
    /// Reads it out of a statement.
    ///
    /// # Errors
    /// If it is of another kind, or not well formed.
    fn read(statement: &Statement) -> Result<Self, ProvenanceError>;

    /// When the run ended, seconds since 1970; none of one that its signer did not see: such come after all others.
    fn finished_on_s(&self) -> Option<i64>;
}

impl Said for Provenance {
    fn read(statement: &Statement) -> Result<Self, ProvenanceError> {
        Self::read(statement)
    }

    fn finished_on_s(&self) -> Option<i64> {
        Some(self.run.finished_on_s)
    }
}

impl Said for Origin {
    fn read(statement: &Statement) -> Result<Self, ProvenanceError> {
        Self::read(statement)
    }

    fn finished_on_s(&self) -> Option<i64> {
        self.run().map(|run| run.finished_on_s)
    }
}

impl Evidence {
    /// Lists and opens the referrers of `subject` at `image`.
    ///
    /// # Errors
    /// [`EvidenceError`] if the list cannot be had. A referrer that cannot be fetched is remembered, not an error yet.
    pub async fn gather(ports: &Ports, image: &ImageName, subject: Digest) -> Result<Self, EvidenceError> {
        let failed = |source| EvidenceError::Registry { image: image.to_string(), source };
        let list = ports.registries.referrers(image, &subject).await.map_err(failed)?;
        let mut evidence = Self {
            image: image.clone(),
            subject,
            artifacts: Vec::new(),
            unread: Vec::new(),
            left_bytes: limits::REFERRERS_SIZE_BYTES_MAX,
        };
        for referrer in list {
            evidence.left_bytes = evidence.spend(evidence.left_bytes, referrer.size)?;
            match ports.registries.manifest(&image.at(referrer.digest)).await {
                Ok((_, bytes)) => {
                    // What is not an image manifest is a stranger's: nothing of ours.
                    evidence
                        .artifacts
                        .extend(Manifest::parse(&bytes).ok().map(|manifest| (referrer.digest, manifest)));
                }
                Err(error) => evidence.unread.push((referrer.digest, error)),
            }
        }
        Ok(evidence)
    }

    fn spend(&self, left_bytes: u64, size_bytes: u64) -> Result<u64, EvidenceError> {
        let left = left_bytes.checked_sub(size_bytes);
        left.ok_or_else(|| EvidenceError::TooMuch { image: self.image.to_string() })
    }

    /// The provenance to go by: of those `trust` believes, the one that finished last, or the one whose referrer is
    /// `wanted`.
    ///
    /// # Errors
    /// [`EvidenceError`] if none was good and one could not be fetched: then nobody can tell.
    pub async fn provenance<P: Said>(
        &self,
        ports: &Ports,
        trust: &Trust,
        wanted: Option<Digest>,
    ) -> Result<Found<P>, EvidenceError> {
        let mut candidates = Candidates::default();
        for (referrer, error) in &self.unread {
            candidates.unread(*referrer, error);
        }
        let mut left_bytes = self.left_bytes;
        for (referrer, manifest) in &self.artifacts {
            let Some(layer) = statement_layer(manifest, trust) else { continue };
            if layer.size > limits::BUNDLE_SIZE_BYTES_MAX {
                candidates.refuse(*referrer, "larger than any attestation");
                continue;
            }
            left_bytes = self.spend(left_bytes, layer.size)?;
            match bytes(ports, &self.image, layer).await {
                Ok(bytes) => match judge(&bytes, &layer.media_type, &self.subject, trust) {
                    Ok(Some((statement, provenance, by))) => {
                        let referrer = *referrer;
                        candidates.believed.push(Believed { provenance, referrer, statement, by });
                    }
                    Ok(None) => {} // About something else than how the image was built.
                    Err(why) => candidates.refuse(*referrer, &why),
                },
                Err(error) => candidates.unread(*referrer, &error),
            }
        }
        candidates.settle(wanted).map_err(|why| EvidenceError::Unread { image: self.image.to_string(), why })
    }

    /// Reads the blob `digest`, at most `size_bytes_max` long, that an artifact beside the image holds; nothing if none
    /// does.
    ///
    /// # Errors
    /// Those of fetching it; strangers may name it wrongly, so every descriptor is tried.
    pub async fn read(
        &self,
        ports: &Ports,
        digest: &Digest,
        size_bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let layers = self.artifacts.iter().flat_map(|(_, manifest)| manifest.layers());
        let mut last = None;
        for layer in layers.filter(|layer| layer.digest == *digest && layer.size <= size_bytes_max) {
            match bytes(ports, &self.image, layer).await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error) => last = Some(error),
            }
        }
        last.map_or(Ok(None), Err)
    }

    /// The sizes of all blobs beside the image, as artifacts name them.
    #[must_use]
    pub fn sizes(&self) -> BTreeMap<Digest, u64> {
        let layers = self.artifacts.iter().flat_map(|(_, manifest)| manifest.layers());
        layers.map(|layer| (layer.digest, layer.size)).collect()
    }

    /// Brings the blob `digest` into the store; false if no artifact beside the image holds it.
    ///
    /// # Errors
    /// As [`Evidence::read`].
    pub async fn fetch(&self, ports: &Ports, digest: &Digest) -> Result<bool, RegistryError> {
        let layers = self.artifacts.iter().flat_map(|(_, manifest)| manifest.layers());
        let mut last = None;
        for layer in layers.filter(|layer| layer.digest == *digest) {
            match whole(ports, &self.image, layer).await {
                Ok(()) => return Ok(true),
                Err(error) => last = Some(error),
            }
        }
        last.map_or(Ok(false), Err)
    }

    /// Whether an artifact beside the image says that it holds the blob `digest`.
    #[must_use]
    pub fn holds(&self, digest: &Digest) -> bool {
        self.artifacts.iter().flat_map(|(_, manifest)| manifest.layers()).any(|layer| layer.digest == *digest)
    }

    /// Artifacts of one type.
    pub fn of_type<'a>(&'a self, artifact_type: &'a str) -> impl Iterator<Item = &'a Manifest> {
        self.artifacts
            .iter()
            .map(|(_, manifest)| manifest)
            .filter(move |manifest| manifest.artifact_type() == Some(artifact_type))
    }

    /// Brings every body of `wanted` into the store, from what is beside the image and from the artifacts `elsewhere`
    /// (by digest); which could not be had, and why.
    ///
    /// # Errors
    /// [`EvidenceError::Store`] if this machine's disk fails.
    pub async fn inputs(
        &self,
        ports: &Ports,
        wanted: &BTreeMap<Digest, u64>,
        elsewhere: &[ImageName],
    ) -> Result<Vec<(Digest, String)>, EvidenceError> {
        let mut missing = Missing::of(&ports.store, wanted).await;
        for artifact in self.of_type(names::INPUTS) {
            missing.take(ports, &self.image, artifact).await?;
        }
        for name in elsewhere {
            missing.take_from(ports, name).await?;
        }
        Ok(missing.left())
    }
}

/// What was looked at in search of a provenance.
#[derive(Debug)]
struct Candidates<P> {
    believed: Vec<Believed<P>>,
    refused: Vec<String>,
    /// The first that could not be fetched though it may well exist.
    unread: Option<String>,
}

impl<P> Default for Candidates<P> {
    fn default() -> Self {
        Self { believed: Vec::new(), refused: Vec::new(), unread: None }
    }
}

impl<P: Said> Candidates<P> {
    fn refuse(&mut self, referrer: Digest, why: &str) {
        self.refused.push(format!("attestation {}: {}", referrer.short(), printable(why)));
    }

    /// Wrong bytes are refused; anything else that cannot be fetched may be the good one.
    fn unread(&mut self, referrer: Digest, error: &RegistryError) {
        match error {
            RegistryError::Mismatch { .. }
            | RegistryError::TooLarge { .. }
            | RegistryError::Answer { .. } => self.refuse(referrer, &chain(error)),
            error => drop(
                self.unread
                    .get_or_insert_with(|| format!("attestation {}: {}", referrer.short(), chain(error))),
            ),
        }
    }

    /// The latest first; or the one `wanted`. The error says what could not be read.
    fn settle(mut self, wanted: Option<Digest>) -> Result<Found<P>, String> {
        self.believed
            .sort_by_key(|believed| (Reverse(believed.provenance.finished_on_s()), believed.referrer));
        if let Some(wanted) = wanted {
            let there: Vec<_> = self.believed.iter().map(|believed| believed.referrer.to_string()).collect();
            self.believed.retain(|believed| believed.referrer == wanted);
            if self.believed.is_empty() && !there.is_empty() {
                let there = there.join(", ");
                self.refused
                    .push(format!("no provenance {wanted} can be believed; --provenance takes {there}"));
            }
        }
        if !self.believed.is_empty() {
            return Ok(Found::Believed(self.believed));
        }
        if let Some(why) = self.unread {
            return Err(why);
        }
        if self.refused.is_empty() {
            self.refused.push(NO_PROVENANCE.to_owned());
        }
        Ok(Found::Refused(self.refused))
    }
}

/// Reads a blob by way of the store; one that was altered there is fetched again.
///
/// # Errors
/// Those of the place, and of the store.
pub(super) async fn bytes(
    ports: &Ports,
    place: &ImageName,
    blob: &Descriptor,
) -> Result<Vec<u8>, RegistryError> {
    ports.registries.fetch_evidence(place, blob, &ports.store).await?;
    match ports.store.read(&blob.digest, blob.size) {
        Err(StoreError::Mismatch { .. }) => {
            ports.store.remove(&blob.digest)?;
            ports.registries.fetch_evidence(place, blob, &ports.store).await?;
            Ok(ports.store.read(&blob.digest, blob.size)?)
        }
        read => Ok(read?),
    }
}

/// Brings the blob into the store; one that was altered there is fetched again.
///
/// # Errors
/// Those of the place, and of the store.
pub(super) async fn whole(ports: &Ports, place: &ImageName, blob: &Descriptor) -> Result<(), RegistryError> {
    ports.registries.fetch_blob(place, blob, &ports.store).await?;
    let (store, digest) = (ports.store.clone(), blob.digest);
    match compute::run(move || store.check(&digest)).await {
        Err(StoreError::Mismatch { .. }) => {
            ports.store.remove(&blob.digest)?;
            ports.registries.fetch_blob(place, blob, &ports.store).await
        }
        checked => Ok(checked?),
    }
}

/// The layer of a referrer that may hold a statement: by the layer's media type, since a registry's list may lie about
/// the artifact's. Unsigned ones only where anybody is believed.
fn statement_layer<'a>(manifest: &'a Manifest, trust: &Trust) -> Option<&'a Descriptor> {
    match manifest.layers() {
        [layer] if layer.media_type == names::BUNDLE => Some(layer),
        [layer] if layer.media_type == names::IN_TOTO_JSON && matches!(trust, Trust::AnyoneUnsafe) => {
            Some(layer)
        }
        _ => None,
    }
}

/// Signature, then subject, then predicate type, then shape.
fn judge<P: Said>(
    bytes: &[u8],
    media_type: &str,
    subject: &Digest,
    trust: &Trust,
) -> Result<Option<(Statement, P, By)>, String> {
    let says = |error: &dyn std::error::Error| chain(error);
    let (statement, by) = if media_type == names::BUNDLE {
        let bundle = Bundle::parse(bytes).map_err(|error| says(&error))?;
        let by = trust.believes(&bundle, bytes, subject);
        let by = by.ok_or_else(|| "no signature by a trusted key".to_owned())?;
        (bundle.envelope.statement().map_err(|error| says(&error))?, by)
    } else {
        (Statement::parse(bytes).map_err(|error| says(&error))?, By::Anybody)
    };
    if !statement.names_subject(subject) {
        return Err(format!("its subject is not this image ({subject})"));
    }
    if statement.predicate_type != names::SLSA_PROVENANCE {
        return Ok(None);
    }
    let provenance = P::read(&statement).map_err(|error| says(&error))?;
    Ok(Some((statement, provenance, by)))
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
