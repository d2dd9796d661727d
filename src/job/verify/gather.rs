//! Everything that stands beside an image, bounded: by whom it is, and what it says, is told apart afterwards.

use std::sync::Arc;

use futures_util::{StreamExt as _, future::join, stream};
use serde_json::Value;
use sha2::{Digest as _, Sha512};

use super::{Request, VerifyError, deepen, keyless, recurse};
use crate::{
    compute,
    job::{
        Ports,
        evidence::{EvidenceError, chain},
    },
    model::{Descriptor, Digest, ImageName, digest::hex, limits, names},
    oci::Manifest,
    registry::{RegistryError, legacy_tag},
    verify::{Candidate, Code, Evidence, Form, Judged, Place, Refused, Unread, open},
};

/// Manifests, or blobs, of one image that are asked for at once.
const AT_ONCE: usize = 8;

/// Bytes that may be an attestation, still in the registry.
struct Named {
    at: Place,
    form: Form,
    blob: Descriptor,
    annotated: Option<String>,
}

/// What was found while looking.
#[derive(Default)]
struct Found {
    named: Vec<Named>,
    refused: Vec<Refused>,
    unread: Vec<Unread>,
    /// Referrers that by their listed type are no attestations: not opened yet.
    passed_over: Vec<Descriptor>,
}

/// Gathers the evidence on `image`: its own bytes against their digest, its referrers by API or fallback tag, what
/// cosign 2 left, each attestation opened, and what the policy asks for besides.
///
/// # Errors
/// [`VerifyError`] if the image or the list cannot be had. What of the list cannot be had is part of the evidence.
pub async fn gather(ports: &Ports, request: &Request, image: &ImageName) -> Result<Evidence, VerifyError> {
    let failed = |source| VerifyError::Registry { image: image.to_string(), source };
    let (descriptor, bytes) = match fetched(ports, request, image).await {
        Ok(fetched) => fetched,
        Err(RegistryError::Mismatch { what, expected, actual }) => {
            return Ok(mismatched(request, image, &what, &expected, actual));
        }
        Err(error) => return Err(failed(error)),
    };
    let name = image.at(descriptor.digest);
    let judged = Judged {
        image: name.to_string(),
        descriptor: descriptor.clone(),
        sha512: hex(&Sha512::digest(&bytes)),
        index: [names::OCI_INDEX, names::DOCKER_LIST].contains(&descriptor.media_type.as_str()),
    };
    let mut evidence = Evidence::new(judged, Arc::clone(&request.roots));
    let listing = Box::pin(ports.registries.referrers_at_once(&name, &descriptor.digest)); // Large: two at once.
    let listed = listing.await.map_err(failed)?;
    evidence.artifact_types.extend(listed.iter().filter_map(|entry| entry.artifact_type.clone()));
    let mut found = Found::default();
    // Beside the manifests: beside the list, which mostly is two requests, it only made those slower. An image that
    // nothing refers to waits an answer longer.
    let (legacy, read) =
        join(legacy(ports, &name, &descriptor.digest), referrers(ports, &name, listed, &mut found)).await;
    let mut of_legacy = Vec::new();
    legacy.map_err(failed)?.into_iter().for_each(|one| match one {
        Ok(named) => found.named.push(named),
        Err(refused) => of_legacy.push(refused),
    });
    found.refused.splice(0..0, of_legacy); // First, however many junk referrers there are: not all are told.
    read?;
    opened(ports, request, &name, &mut evidence, std::mem::take(&mut found.named)).await?;
    if evidence.believed().next().is_none() && !found.passed_over.is_empty() {
        // A list may lie about types: then everything is opened.
        let rest = std::mem::take(&mut found.passed_over);
        manifests(ports, &name, rest, &mut found).await?;
        opened(ports, request, &name, &mut evidence, std::mem::take(&mut found.named)).await?;
    }
    evidence.refused.append(&mut found.refused);
    evidence.unread.append(&mut found.unread);
    deepen::deepen(ports, request, &name, &mut evidence).await;
    recurse::dependencies(ports, request, &mut evidence).await;
    Ok(evidence)
}

async fn fetched(
    ports: &Ports,
    request: &Request,
    image: &ImageName,
) -> Result<(Descriptor, Vec<u8>), RegistryError> {
    match &request.platform {
        Some(platform) => ports.registries.platform_manifest(image, platform).await,
        None => ports.registries.manifest(image).await,
    }
}

/// The image is not the one that was asked for: a finding, since the registry was asked and answered.
fn mismatched(request: &Request, image: &ImageName, what: &str, expected: &str, actual: Digest) -> Evidence {
    let descriptor = Descriptor::new(names::OCI_MANIFEST, actual, 0);
    let judged = Judged { image: image.to_string(), descriptor, sha512: String::new(), index: false };
    let mut evidence = Evidence::new(judged, Arc::clone(&request.roots));
    let why = format!("{what}: expected {expected}, got {actual}");
    evidence.refused.push(Refused::unseen(None, Code::ImageMismatch, &why));
    evidence
}

/// Opens the manifests of what refers to the image; those of our own artifacts only if there is need.
async fn referrers(
    ports: &Ports,
    name: &ImageName,
    listed: Vec<Descriptor>,
    found: &mut Found,
) -> Result<(), VerifyError> {
    let ours = |entry: &Descriptor| {
        let kind = entry.artifact_type.as_deref().unwrap_or_default();
        kind.starts_with(names::OWN_ARTIFACTS)
    };
    let (ours, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(ours);
    found.passed_over = ours;
    manifests(ports, name, others, found).await
}

async fn manifests(
    ports: &Ports,
    name: &ImageName,
    entries: Vec<Descriptor>,
    found: &mut Found,
) -> Result<(), VerifyError> {
    let size_bytes: u64 = entries.iter().map(|entry| entry.size.min(limits::MANIFEST_SIZE_BYTES_MAX)).sum();
    if size_bytes > limits::REFERRERS_SIZE_BYTES_MAX {
        return Err(EvidenceError::TooMuch { image: name.to_string() }.into());
    }
    let reads = entries.into_iter().map(|entry| async move {
        let read = ports.registries.manifest(&name.at(entry.digest)).await;
        (entry, read)
    });
    let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffered(AT_ONCE);
    while let Some((entry, read)) = reads.next().await {
        match read {
            Ok((descriptor, _)) if descriptor.size != entry.size => {
                let why =
                    format!("its manifest has {} bytes, not the {} listed", descriptor.size, entry.size);
                found.refused.push(Refused::unseen(Some(entry.digest), Code::ReferrerMalformed, &why));
            }
            Ok((_, bytes)) => match of_manifest(entry.digest, &bytes) {
                Ok(named) => found.named.extend(named),
                Err(refused) => found.refused.push(refused),
            },
            Err(error) => settle(found, entry.digest, &error),
        }
    }
    Ok(())
}

/// Wrong bytes are refused; what could not be fetched may be anything.
fn settle(found: &mut Found, digest: Digest, error: &RegistryError) {
    match refusal(digest, error) {
        Some(refused) => found.refused.push(refused),
        None => {
            found.unread.push(Unread { at: Some(digest), why: crate::model::path::printable(&chain(error)) });
        }
    }
}

fn refusal(digest: Digest, error: &RegistryError) -> Option<Refused> {
    let code = match error {
        RegistryError::Mismatch { .. } => Code::BytesMismatch,
        RegistryError::TooLarge { unit: "bytes", .. } => Code::TooLarge,
        RegistryError::Answer { .. } => Code::ReferrerMalformed,
        _ => return None,
    };
    Some(Refused::unseen(Some(digest), code, &chain(error)))
}

/// The layer of a referrer that may be an attestation: by the layer's own type, since lists lie; nothing in others.
fn of_manifest(digest: Digest, bytes: &[u8]) -> Result<Option<Named>, Refused> {
    let malformed = |why: &str| Refused::new(Some(digest), Code::ReferrerMalformed, why);
    let manifest = Manifest::parse(bytes).map_err(|error| malformed(&chain(&error)))?;
    let form = |media_type: &str| match media_type {
        names::BUNDLE => Some(Form::Bundle),
        names::DSSE_ENVELOPE => Some(Form::Envelope),
        names::IN_TOTO_JSON => Some(Form::Statement),
        other if other.starts_with(names::BUNDLE_FAMILY) => Some(Form::Bundle),
        _ => None,
    };
    let held: Vec<_> =
        manifest.layers().iter().filter_map(|layer| Some((form(&layer.media_type)?, layer))).collect();
    let (form, layer) = match held.as_slice() {
        [] => return Ok(None),
        [one] if manifest.layers().len() == 1 => one,
        _ => return Err(malformed("an attestation's manifest has one layer; this one has several")),
    };
    data(&manifest, 0).map_err(|why| Refused::new(Some(digest), Code::DescriptorData, why))?;
    let annotated = manifest.annotations().get(names::BUNDLE_PREDICATE_TYPE).cloned();
    Ok(Some(Named { at: Place::Referrer(digest), form: *form, blob: (*layer).clone(), annotated }))
}

/// What a descriptor embeds must be the bytes of its digest (image-spec, "Embedded Content").
fn data(manifest: &Manifest, index: usize) -> Result<(), &'static str> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let layer = &manifest.layers()[index];
    match manifest.raw().pointer(&format!("/layers/{index}/data")) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) => match STANDARD.decode(text) {
            Ok(bytes) if Digest::of(&bytes) == layer.digest => Ok(()),
            _ => Err("the `data` of its layer are not the bytes of its digest"),
        },
        Some(_) => Err("the `data` of its layer are no text"),
    }
}

/// What cosign 2 left: each layer of the manifest under its tag is an envelope.
async fn legacy(
    ports: &Ports,
    name: &ImageName,
    subject: &Digest,
) -> Result<Vec<Result<Named, Refused>>, RegistryError> {
    let mut tagged = name.clone();
    tagged.selector.tag = Some(legacy_tag(subject));
    tagged.selector.digest = None;
    let (descriptor, bytes) = match ports.registries.manifest(&tagged).await {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(RegistryError::Mismatch { what, expected, actual }) => {
            let why = format!("{what}: expected {expected}, got {actual}");
            return Ok(vec![Err(Refused::unseen(None, Code::BytesMismatch, &why))]);
        }
        Err(error @ (RegistryError::TooLarge { .. } | RegistryError::Answer { .. })) => {
            return Ok(vec![Err(Refused::unseen(None, Code::ReferrerMalformed, &chain(&error)))]);
        }
        read => read?,
    };
    let manifest = match Manifest::parse(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            let refused = Refused::new(Some(descriptor.digest), Code::ReferrerMalformed, &chain(&error));
            return Ok(vec![Err(refused)]);
        }
    };
    let envelope = |(index, layer): (usize, &Descriptor)| {
        data(&manifest, index).map_err(|why| Refused::new(Some(layer.digest), Code::DescriptorData, why))?;
        let annotated = layer.annotations.get(names::PREDICATE_TYPE).cloned();
        Ok(Named { at: Place::Legacy(layer.digest), form: Form::Envelope, blob: layer.clone(), annotated })
    };
    let envelopes = manifest.layers().iter().enumerate();
    Ok(envelopes.filter(|(_, layer)| layer.media_type == names::DSSE_ENVELOPE).map(envelope).collect())
}

/// Fetches what may be attestations, as much at a time as may be held, and opens each on whatever core is free.
async fn opened(
    ports: &Ports,
    request: &Request,
    name: &ImageName,
    evidence: &mut Evidence,
    named: Vec<Named>,
) -> Result<(), VerifyError> {
    let (named, large): (Vec<_>, Vec<_>) =
        named.into_iter().partition(|named| named.blob.size <= limits::ATTESTATION_SIZE_BYTES_MAX);
    for named in large {
        let why = format!("{} bytes are more than any attestation has", named.blob.size);
        evidence.refused.push(Refused::unseen(Some(named.at.digest()), Code::TooLarge, &why));
    }
    let size_bytes: u64 = named.iter().map(|named| named.blob.size).sum();
    if size_bytes > limits::REFERRERS_SIZE_BYTES_MAX {
        return Err(EvidenceError::TooMuch { image: name.to_string() }.into());
    }
    for batch in batches(named) {
        let size_bytes = batch.iter().map(|named| named.blob.size).sum();
        let _room = request.room.take(size_bytes).await;
        open_batch(ports, request, name, evidence, batch).await;
    }
    evidence.opened.sort_by_key(|opened| opened.at);
    Ok(())
}

/// Parts of which each may be held at once; one that is larger stands alone.
fn batches(named: Vec<Named>) -> Vec<Vec<Named>> {
    let mut batches = Vec::new();
    let (mut batch, mut held_bytes) = (Vec::new(), 0);
    for named in named {
        if held_bytes + named.blob.size > limits::ATTESTATIONS_BATCH_BYTES_MAX && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            held_bytes = 0;
        }
        held_bytes += named.blob.size;
        batch.push(named);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

async fn open_batch(
    ports: &Ports,
    request: &Request,
    name: &ImageName,
    evidence: &mut Evidence,
    batch: Vec<Named>,
) {
    let mut found = Found::default();
    let reads = batch.into_iter().map(|named| async move {
        let read = ports.registries.read_blob(name, &named.blob).await;
        (named, read)
    });
    let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffered(AT_ONCE);
    let mut candidates = Vec::new();
    while let Some((Named { at, form, annotated, .. }, read)) = reads.next().await {
        match read {
            Ok(bytes) => candidates.push(Candidate::new(at, form, bytes, annotated)),
            Err(error) => settle(&mut found, at.digest(), &error),
        }
    }
    evidence.refused.append(&mut found.refused);
    evidence.unread.append(&mut found.unread);
    let (roots, judged) = (Arc::clone(&request.roots), evidence.judged.clone());
    let trusted = request.trusted_root.clone();
    let work = move |mut candidate: Candidate| {
        if let Some(trusted) = &trusted {
            keyless::vouch(&mut candidate, &roots, trusted, &judged.digest());
        }
        open(candidate, &roots, &judged)
    };
    let size_bytes = candidates.iter().map(|candidate| candidate.bytes.len() as u64).sum();
    evidence.size_bytes += size_bytes;
    let opened = compute::each_sized(size_bytes, candidates, work).await;
    evidence.opened.extend(opened);
}
