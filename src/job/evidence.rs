//! What stands beside an image: its referrers, opened, and the provenance among them that can be believed.

use std::{collections::BTreeMap, io::Read};

use super::Ports;
use crate::{
    attest::{Bundle, Provenance, PublicKey, Statement},
    model::{Descriptor, Digest, ImageName, limits, names, path::printable},
    oci::Manifest,
    registry::RegistryError,
    store::{Store, StoreError},
};

/// Whose provenance is believed. There is no default: the caller says it.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Signed by one of these.
    Keys(Vec<PublicKey>),
    /// Anybody's, signed or not: `--insecure-skip-verify`.
    AnyoneUnsafe,
}

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
    /// Referrers that could not be fetched: named, since a missing one may be the good one.
    unread: Vec<(Digest, RegistryError)>,
}

/// A provenance that can be believed, and where it stands.
#[derive(Debug, Clone)]
pub struct Believed {
    /// What it says.
    pub provenance: Provenance,
    /// Digest of the referrer's manifest.
    pub referrer: Digest,
    /// The statement itself.
    pub statement: Statement,
}

/// What looking for a provenance came to.
#[derive(Debug)]
pub enum Found {
    /// All that can be believed, the one to use first.
    Believed(Vec<Believed>),
    /// None; why not, one reason for each candidate.
    Refused(Vec<String>),
}

impl Evidence {
    /// Lists and opens the referrers of `subject` at `image`.
    ///
    /// # Errors
    /// [`EvidenceError`] if the list cannot be had. A referrer that cannot be fetched is remembered, not an error yet.
    pub async fn gather(ports: &Ports, image: &ImageName, subject: Digest) -> Result<Self, EvidenceError> {
        let failed = |source| EvidenceError::Registry { image: image.to_string(), source };
        let list = ports.registries.referrers(image, &subject).await.map_err(failed)?;
        let mut evidence = Self { image: image.clone(), subject, artifacts: Vec::new(), unread: Vec::new() };
        let mut left = limits::REFERRERS_SIZE_BYTES_MAX;
        for referrer in list {
            left = left
                .checked_sub(referrer.size)
                .ok_or_else(|| EvidenceError::TooMuch { image: image.to_string() })?;
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

    /// The provenance to rebuild from: of those `trust` believes, the one that finished last, or the one whose referrer
    /// is `wanted`.
    ///
    /// # Errors
    /// [`EvidenceError`] if none was good and one could not be fetched: then nobody can tell.
    pub async fn provenance(
        &self,
        ports: &Ports,
        trust: &Trust,
        wanted: Option<Digest>,
    ) -> Result<Found, EvidenceError> {
        let mut believed = Vec::new();
        let mut refused = Vec::new();
        let mut unreadable = None;
        for (referrer, manifest) in &self.artifacts {
            let Some(layer) = statement_layer(manifest, trust) else { continue };
            match ports.registries.fetch_blob(&self.image, layer, &ports.store).await {
                Ok(()) => {}
                Err(error @ (RegistryError::Mismatch { .. } | RegistryError::TooLarge { .. })) => {
                    refused.push(format!("attestation {}: {error}", referrer.short()));
                    continue;
                }
                Err(error) => {
                    unreadable = Some(error);
                    continue;
                }
            }
            let bytes = ports.store.read(&layer.digest, limits::BUNDLE_SIZE_BYTES_MAX)?;
            match judge(&bytes, &layer.media_type, &self.subject, trust) {
                Ok(Some((statement, provenance))) => {
                    believed.push(Believed { provenance, referrer: *referrer, statement });
                }
                Ok(None) => {} // About something else than how the image was built.
                Err(why) => refused.push(format!("attestation {}: {}", referrer.short(), printable(&why))),
            }
        }
        if let Some(wanted) = wanted {
            believed.retain(|believed| believed.referrer == wanted);
        }
        if !believed.is_empty() {
            believed.sort_by_key(|believed| (-believed.provenance.run.finished_on_s, believed.referrer));
            return Ok(Found::Believed(believed));
        }
        let unread =
            self.unread.iter().map(|(digest, error)| format!("attestation {}: {error}", digest.short()));
        if let Some(source) = unreadable {
            return Err(EvidenceError::Registry { image: self.image.to_string(), source });
        }
        refused.extend(unread);
        if refused.is_empty() {
            refused.push("there is no provenance beside the image".to_owned());
        }
        Ok(Found::Refused(refused))
    }

    /// The descriptor of a blob that an artifact of ours holds.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> Option<&Descriptor> {
        self.artifacts
            .iter()
            .flat_map(|(_, manifest)| manifest.layers())
            .find(|layer| layer.digest == *digest)
    }

    /// Artifacts of one type.
    pub fn of_type<'a>(&'a self, artifact_type: &'a str) -> impl Iterator<Item = &'a Manifest> {
        self.artifacts
            .iter()
            .map(|(_, manifest)| manifest)
            .filter(move |manifest| manifest.artifact_type() == Some(artifact_type))
    }

    /// Brings every body of `wanted` into the store, from large layers and from packs; which could not be had, and why.
    ///
    /// # Errors
    /// [`EvidenceError::Store`] if this machine's disk fails.
    pub async fn inputs(
        &self,
        ports: &Ports,
        wanted: &BTreeMap<Digest, u64>,
    ) -> Result<Vec<(Digest, String)>, EvidenceError> {
        let gone = |digest: &Digest, size: &u64| {
            ports.store.size(digest) != Some(*size) || ports.store.check(digest).is_err()
        };
        let mut missing: BTreeMap<Digest, String> = wanted
            .iter()
            .filter(|(digest, size)| gone(digest, size))
            .map(|(digest, _)| (*digest, "no artifact beside the image holds it".to_owned()))
            .collect();
        let layers: Vec<_> = self.of_type(names::INPUTS).flat_map(Manifest::layers).cloned().collect();
        let mut broken_packs = Vec::new();
        for layer in layers.iter().filter(|layer| layer.media_type != names::PACK) {
            if missing.contains_key(&layer.digest) {
                ports.store.remove(&layer.digest)?; // Whatever is there is not the bytes wanted.
                let fetched = ports.registries.fetch_blob(&self.image, layer, &ports.store).await;
                settle(&mut missing, layer.digest, fetched.err().map(|error| chain(&error)));
            }
        }
        for pack in layers.iter().filter(|layer| layer.media_type == names::PACK) {
            if missing.is_empty() {
                break;
            }
            match ports.registries.fetch_blob(&self.image, pack, &ports.store).await {
                Ok(()) => unpack(&ports.store, &pack.digest, &mut missing)?,
                Err(error) => broken_packs.push(format!("pack {}: {}", pack.digest, chain(&error))),
            }
        }
        let mut missing: Vec<_> = missing.into_iter().collect();
        if let Some(why) = broken_packs.first() {
            missing
                .iter_mut()
                .filter(|(_, said)| said.starts_with("no artifact"))
                .for_each(|(_, said)| said.clone_from(why));
        }
        Ok(missing)
    }
}

/// Notes that a body came, or why it did not.
fn settle(missing: &mut BTreeMap<Digest, String>, digest: Digest, why_not: Option<String>) {
    missing.remove(&digest);
    missing.extend(why_not.map(|why_not| (digest, why_not)));
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
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

type Judged = Option<(Statement, Provenance)>;

/// Signature, then subject, then predicate type, then shape.
fn judge(bytes: &[u8], media_type: &str, subject: &Digest, trust: &Trust) -> Result<Judged, String> {
    let says = |error: &dyn std::error::Error| chain(error);
    let statement = if media_type == names::BUNDLE {
        let bundle = Bundle::parse(bytes).map_err(|error| says(&error))?;
        if let Trust::Keys(keys) = trust
            && bundle.envelope.verified_by(keys).is_none()
        {
            return Err("no signature by a trusted key".to_owned());
        }
        bundle.envelope.statement().map_err(|error| says(&error))?
    } else {
        Statement::parse(bytes).map_err(|error| says(&error))?
    };
    if !statement.names_subject(subject) {
        return Err(format!("its subject is not this image ({subject})"));
    }
    if statement.predicate_type != names::SLSA_PROVENANCE {
        return Ok(None);
    }
    let provenance = Provenance::read(&statement).map_err(|error| says(&error))?;
    Ok(Some((statement, provenance)))
}

/// Takes the wanted bodies out of a pack. What a pack holds beside them, or under a wrong name, is left alone.
fn unpack(store: &Store, pack: &Digest, missing: &mut BTreeMap<Digest, String>) -> Result<(), EvidenceError> {
    use crate::model::Blobs;
    let failed = |source| StoreError::Io { action: "read a pack in", path: store.root().into(), source };
    let file = store.open(pack).map_err(failed)?;
    let mut archive = tar::Archive::new(std::io::BufReader::new(file));
    for entry in archive.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.path_bytes().into_owned();
        let Some(digest) = str::from_utf8(&name).ok().and_then(Digest::from_hex) else { continue };
        if missing.contains_key(&digest) {
            let size = entry.size();
            match store.put_expected(digest, size, entry.take(size)) {
                Err(error @ StoreError::Io { .. }) => return Err(error.into()),
                put => settle(missing, digest, put.err().map(|error| error.to_string())),
            }
        }
    }
    Ok(())
}
