//! Which manifests of a name are attested.

use std::collections::BTreeMap;

use super::AttestError;
use crate::{
    attest::SubjectKind,
    job::Ports,
    model::{
        Descriptor, Digest, ImageName,
        limits::ATTESTED_PLATFORMS_MAX,
        names::{DOCKER_LIST, OCI_INDEX, REFERENCE_DIGEST, REFERENCE_TYPE},
    },
    oci::{Index, platform_name},
};

/// Which manifests the caller means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platforms {
    /// The one that the name means, which must not be an index.
    Named,
    /// The image of one platform.
    One(String),
    /// Every image of an index, and the index.
    All,
}

/// One manifest to be attested.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The manifest.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it is an image or an index.
    pub kind: SubjectKind,
    /// Its platform, if the index or the caller says.
    pub platform: Option<String>,
    /// Of an index: its images.
    pub platforms: BTreeMap<String, Digest>,
    /// The index that the name means, if this is an image in it.
    pub index: Option<Digest>,
    /// Manifests of attestations that BuildKit keeps in the index for this image.
    pub kept: Vec<Descriptor>,
}

impl Target {
    fn image(descriptor: Descriptor, bytes: Vec<u8>, platform: Option<String>) -> Self {
        Self {
            descriptor,
            bytes,
            kind: SubjectKind::Manifest,
            platform,
            platforms: BTreeMap::new(),
            index: None,
            kept: Vec::new(),
        }
    }
}

/// What a name means.
#[derive(Debug)]
pub(super) struct Targets {
    /// The manifest or index that the name itself means.
    pub root: Digest,
    /// What is attested; an index after its images.
    pub all: Vec<Target>,
}

/// The manifest or index that `name` means, alone.
///
/// # Errors
/// Those of the registry.
pub(super) async fn one(ports: &Ports, name: &ImageName) -> Result<Target, AttestError> {
    let failed = |source| AttestError::Registry { image: name.to_string(), source };
    let (found, bytes) = ports.registries.manifest(name).await.map_err(failed)?;
    let is_index = [OCI_INDEX, DOCKER_LIST].contains(&found.media_type.as_str());
    let kind = if is_index { SubjectKind::Index } else { SubjectKind::Manifest };
    Ok(Target { kind, ..Target::image(found, bytes, None) })
}

/// Resolves `name`.
///
/// # Errors
/// [`AttestError::Index`] if an index is meant and nobody said what of it; those of the registry.
pub(super) async fn resolve(
    ports: &Ports,
    name: &ImageName,
    platforms: &Platforms,
) -> Result<Targets, AttestError> {
    let failed = |source| AttestError::Registry { image: name.to_string(), source };
    let (root, bytes) = ports.registries.manifest(name).await.map_err(failed)?;
    if ![OCI_INDEX, DOCKER_LIST].contains(&root.media_type.as_str()) {
        // A manifest that stands alone names no platform, and nothing here looks into its config.
        return Ok(Targets { root: root.digest, all: vec![Target::image(root, bytes, None)] });
    }
    let index = Index::parse(&bytes)?;
    let wanted: Vec<(Option<String>, Descriptor)> = match platforms {
        Platforms::Named => {
            return Err(AttestError::Index { image: name.to_string(), platforms: index.platforms() });
        }
        Platforms::One(platform) => {
            let found = index.select(platform)?;
            vec![(found.platform.as_ref().map(platform_name).or_else(|| Some(platform.clone())), found)]
        }
        Platforms::All => images(&index),
    };
    if wanted.len() > ATTESTED_PLATFORMS_MAX {
        return Err(AttestError::Platforms(wanted.len()));
    }
    let mut all = Vec::new();
    for (platform, entry) in wanted {
        let (found, bytes) = ports.registries.manifest(&name.at(entry.digest)).await.map_err(failed)?;
        if found.size != entry.size || [OCI_INDEX, DOCKER_LIST].contains(&found.media_type.as_str()) {
            return Err(AttestError::Entry(entry.digest));
        }
        let kept = kept(&index, &entry.digest);
        all.push(Target { index: Some(root.digest), kept, ..Target::image(found, bytes, platform) });
    }
    if *platforms == Platforms::All {
        let named = |target: &Target| Some((target.platform.clone()?, target.descriptor.digest));
        let platforms = all.iter().filter_map(named).collect();
        let (digest, kind) = (root.digest, SubjectKind::Index);
        all.push(Target { kind, platforms, ..Target::image(root, bytes, None) });
        return Ok(Targets { root: digest, all });
    }
    Ok(Targets { root: root.digest, all })
}

/// Every image of an index, with its platform.
fn images(index: &Index) -> Vec<(Option<String>, Descriptor)> {
    let others = index.others();
    let platform = |entry: &Descriptor| entry.platform.as_ref().map(platform_name);
    let entries = index.manifests().iter().filter(|entry| {
        let attestation = entry.annotations.contains_key(REFERENCE_TYPE);
        !attestation && platform(entry).as_deref() != Some("unknown/unknown")
    });
    // Of two for one platform only the first has its name.
    entries
        .map(|entry| (platform(entry).filter(|_| !others.contains(&entry.digest)), entry.clone()))
        .collect()
}

fn kept(index: &Index, image: &Digest) -> Vec<Descriptor> {
    let about = |entry: &&Descriptor| {
        let is = |name: &str, value: &str| entry.annotations.get(name).is_some_and(|found| found == value);
        is(REFERENCE_TYPE, "attestation-manifest") && is(REFERENCE_DIGEST, &image.to_string())
    };
    index.manifests().iter().filter(about).cloned().collect()
}
