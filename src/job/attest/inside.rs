//! What an image itself carries: BuildKit's attestations in its index (moby/buildkit,
//! `docs/attestations/attestation-storage.md`), and labels in its config.

use serde_json::Value;

use super::{AttestError, Taken, Target};
use crate::{
    attest::{
        Names,
        adapters::{self, Claims},
        assemble::Piece,
    },
    job::Ports,
    model::{
        Descriptor, ImageName,
        limits::{BUNDLE_SIZE_BYTES_MAX, CONFIG_SIZE_BYTES_MAX},
        names::{IN_TOTO_JSON, IN_TOTO_PREDICATE_TYPE, SLSA_PROVENANCE, SLSA_PROVENANCE_V02},
    },
    oci::{Config, Manifest},
    registry::RegistryError,
};

/// A piece, and the document that said it.
pub(super) struct Found {
    pub piece: Piece,
    pub document: Option<Taken>,
}

/// Looks into the image `target` at `image`: attestations first, labels last.
pub(super) async fn look(
    ports: &Ports,
    image: &ImageName,
    target: &Target,
) -> Result<Vec<Found>, AttestError> {
    let failed = |source| AttestError::Registry { image: image.to_string(), source };
    let mut found = Vec::new();
    for kept in &target.kept {
        let (_, bytes) = ports.registries.manifest(&image.at(kept.digest)).await.map_err(failed)?;
        let manifest = Manifest::parse(&bytes)?;
        for layer in manifest.layers().iter().filter(|layer| is_provenance(layer)) {
            let bytes = read(ports, image, layer, BUNDLE_SIZE_BYTES_MAX).await?;
            let what = format!("attestation {}", kept.digest);
            let claims = adapters::read(&bytes)
                .map_err(|source| AttestError::Adapter { what: what.clone(), source })?;
            for claims in claims {
                if !claims.subjects.contains(&target.descriptor.digest) {
                    let named = claims.subjects;
                    let subject = target.descriptor.digest.to_string();
                    return Err(AttestError::Foreign { what, named, subject });
                }
                let name = format!("{}.json", claims.kind);
                let taken = Taken { name, digest: layer.digest, size_bytes: layer.size };
                let piece = Piece { claims, digest: Some(layer.digest), names: Names::Subject };
                found.push(Found { piece, document: Some(taken) });
            }
        }
    }
    if let Some(claims) = labels(ports, image, target).await? {
        let piece = Piece { claims, digest: None, names: Names::Subject };
        found.push(Found { piece, document: None });
    }
    Ok(found)
}

/// Whether a layer of an attestation manifest holds a provenance; without the annotation it may.
fn is_provenance(layer: &Descriptor) -> bool {
    let named = layer.annotations.get(IN_TOTO_PREDICATE_TYPE).map(String::as_str);
    layer.media_type == IN_TOTO_JSON
        && named.is_none_or(|named| [SLSA_PROVENANCE, SLSA_PROVENANCE_V02].contains(&named))
}

async fn labels(ports: &Ports, image: &ImageName, target: &Target) -> Result<Option<Claims>, AttestError> {
    let manifest = Manifest::parse(&target.bytes)?;
    let bytes = read(ports, image, manifest.config(), CONFIG_SIZE_BYTES_MAX).await?;
    let config = Config::parse(&bytes)?;
    let labels = config.raw().pointer("/config/Labels").and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    Ok(adapters::labels(&labels.into_iter().flatten().filter_map(text).collect()))
}

async fn read(
    ports: &Ports,
    image: &ImageName,
    blob: &Descriptor,
    size_bytes_max: u64,
) -> Result<Vec<u8>, AttestError> {
    let failed = |source| AttestError::Registry { image: image.to_string(), source };
    if blob.size > size_bytes_max {
        let what = format!("blob {}", blob.digest);
        return Err(failed(RegistryError::TooLarge { what, most: size_bytes_max, unit: "bytes" }));
    }
    crate::job::evidence::bytes(ports, image, blob).await.map_err(failed)
}
