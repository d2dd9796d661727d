//! Where base images came from, down to the bottom.

use super::{
    Ports,
    evidence::{Believed, Evidence, Found, Trust, chain},
};
use crate::{
    attest::{Origin, Provenance},
    model::{Digest, ImageName, ResourceDescriptor, limits, reference},
    oci::Manifest,
};

/// A base image that a build names, and what can be known of it.
#[derive(Debug)]
pub struct Ancestor {
    /// What the build says of it.
    pub named: ResourceDescriptor,
    /// The blobs of its layers, lowest first; none if its manifest cannot be had.
    pub layers: Option<Vec<Digest>>,
    /// What stands beside it; or why nothing that can be read does.
    pub origin: Result<Believed<Origin>, String>,
    /// Whether all from the image down to this statement was signed by trusted keys.
    pub verified: bool,
    /// Its own bases.
    pub bases: Vec<Ancestor>,
}

impl Ancestor {
    /// How many of `layers`, lowest first, are this image's: all it has, or none.
    #[must_use]
    pub fn of(&self, layers: &[Digest]) -> Option<usize> {
        let own = self.layers.as_ref()?;
        Some(if layers.starts_with(own) { own.len() } else { 0 })
    }
}

/// The bases of a build, each by its digest: looked for beside the built image (`evidence`), then where the build
/// found it. What cannot be reached is said, not an error. A statement that `trust` does not believe is read all the
/// same, but neither it nor what it leads to counts as verified.
pub async fn bases(
    ports: &Ports,
    provenance: &Provenance,
    evidence: &Evidence,
    trust: &Trust,
) -> Vec<Ancestor> {
    below(ports, provenance, evidence, trust, limits::LINEAGE_DEPTH_MAX).await
}

async fn below(
    ports: &Ports,
    provenance: &Provenance,
    evidence: &Evidence,
    trust: &Trust,
    depth: usize,
) -> Vec<Ancestor> {
    let mut ancestors = Vec::new();
    for named in provenance.definition.role("base") {
        let place = named.sha256().zip(reference::from_uri(&named.uri).ok());
        ancestors.push(match place {
            Some((digest, name)) => {
                let name = name.at(digest);
                let layers = layers(ports, &name, &digest, evidence).await;
                Box::pin(ancestor(ports, named, &name, digest, layers, trust, depth)).await
            }
            None => unknown(named, None, "the build names no place and digest of it".to_owned()),
        });
    }
    ancestors
}

fn unknown(named: &ResourceDescriptor, layers: Option<Vec<Digest>>, why: String) -> Ancestor {
    Ancestor { named: named.clone(), layers, origin: Err(why), verified: false, bases: Vec::new() }
}

async fn ancestor(
    ports: &Ports,
    named: &ResourceDescriptor,
    name: &ImageName,
    digest: Digest,
    layers: Option<Vec<Digest>>,
    trust: &Trust,
    depth: usize,
) -> Ancestor {
    let evidence = match Evidence::gather(ports, name, digest).await {
        Ok(evidence) => evidence,
        Err(error) => return unknown(named, layers, chain(&error)),
    };
    let trusted = trust.is_particular();
    let (origin, verified) = match believed(ports, &evidence, trust).await {
        Err(_) if trusted => (believed(ports, &evidence, &Trust::AnyoneUnsafe).await, false),
        origin => (origin, trusted),
    };
    let bases = match &origin {
        Ok(Believed { provenance: Origin::Built(built), .. }) if depth > 0 => {
            let trust = if verified { trust } else { &Trust::AnyoneUnsafe };
            below(ports, built, &evidence, trust, depth - 1).await
        }
        _ => Vec::new(),
    };
    Ancestor { named: named.clone(), layers, origin, verified, bases }
}

async fn believed(ports: &Ports, evidence: &Evidence, trust: &Trust) -> Result<Believed<Origin>, String> {
    match evidence.provenance(ports, trust, None).await {
        Ok(Found::Believed(all)) => Ok(all.into_iter().next().expect("believed is never empty")),
        Ok(Found::Refused(reasons)) => Err(reasons.join("; ")),
        Err(error) => Err(chain(&error)),
    }
}

/// The layers of a base: from the manifest that is kept beside the image built on it, else from its own place.
async fn layers(
    ports: &Ports,
    name: &ImageName,
    digest: &Digest,
    evidence: &Evidence,
) -> Option<Vec<Digest>> {
    let kept = evidence.read(ports, digest, limits::MANIFEST_SIZE_BYTES_MAX).await;
    let bytes = match kept {
        Ok(Some(bytes)) => bytes,
        _ => ports.registries.manifest(name).await.ok()?.1,
    };
    Some(digests(&Manifest::parse(&bytes).ok()?))
}

/// The base that the provenance of `image`, whoever wrote it, names and whose layers are the lowest of `layers_of_image`, and how
/// many those are; the one with the most.
pub async fn inherited(
    ports: &Ports,
    image: &ImageName,
    digest: Digest,
    layers_of_image: &[Digest],
) -> Option<(Digest, usize)> {
    let evidence = Evidence::gather(ports, image, digest).await.ok()?;
    let Origin::Built(built) = believed(ports, &evidence, &Trust::AnyoneUnsafe).await.ok()?.provenance else {
        return None;
    };
    let mut most = None;
    for named in built.definition.role("base") {
        let Some((base, name)) = named.sha256().zip(reference::from_uri(&named.uri).ok()) else { continue };
        let Some(own) = layers(ports, &name.at(base), &base, &evidence).await else { continue };
        if layers_of_image.starts_with(&own) && most.is_none_or(|(_, layers)| layers < own.len()) {
            most = Some((base, own.len()));
        }
    }
    most
}

/// The blobs of an image's layers, lowest first.
#[must_use]
pub fn digests(manifest: &Manifest) -> Vec<Digest> {
    manifest.layers().iter().map(|layer| layer.digest).collect()
}
