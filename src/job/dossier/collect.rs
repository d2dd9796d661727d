//! Everything that stands beside an image and what it stands on, laid out as an OCI layout.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs, io,
    path::Path,
};

use serde_json::json;

use super::{EvidenceArchiveError, Part, said};
use crate::{
    attest::Origin,
    dossier::{Gap, LAYOUT},
    job::{
        Ports,
        evidence::{Evidence, Found, Trust},
    },
    model::{
        Blobs as _, Descriptor, Digest, ImageName, ResourceDescriptor, json, limits,
        names::{BASE, EVENTS, INPUTS, LOG, OCI_INDEX, SOURCE, TRANSCRIPT},
        reference,
    },
    oci::Manifest,
    registry::legacy_tag,
};

/// Most images of one archive.
const IMAGES_MAX: usize = 64;

/// What was collected.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) parts: Vec<Part>,
    pub(super) gaps: BTreeSet<Gap>,
    /// Entries of the layout's `index.json`.
    entries: BTreeMap<(Digest, Option<String>), Descriptor>,
    written: BTreeSet<Digest>,
}

/// Collects the evidence on `image` and on all it stands on into `dir`; whose statements `trust` believes, those lead further first.
pub(super) async fn collect(
    ports: &Ports,
    image: &ImageName,
    digest: Digest,
    trust: &Trust,
    dir: &Path,
) -> Result<Collected, EvidenceArchiveError> {
    let blobs = dir.join(LAYOUT).join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let mut collected = Collected::default();
    let first = Part { role: "image", name: image.to_string(), digest };
    let mut queue = VecDeque::from([(first, image.clone())]);
    let mut seen = BTreeSet::from([digest]);
    while let Some((part, name)) = queue.pop_front() {
        let top = collected.parts.is_empty();
        match one(ports, &name, part.digest, &blobs, &mut collected).await {
            Ok(()) => collected.parts.push(part),
            Err(error) if top => return Err(error),
            Err(error) => {
                collected.gap(format!("{} {}", part.role, part.name), Some(part.digest), &said(&error));
                continue;
            }
        }
        let below = below(ports, &name, trust).await;
        let below = below.unwrap_or_else(|why| {
            collected.gap(format!("what {name} stands on"), None, &why);
            Vec::new()
        });
        for (part, name) in below {
            if collected.parts.len() + queue.len() >= IMAGES_MAX {
                collected.gap(format!("{} {}", part.role, part.name), Some(part.digest), "too many images");
            } else if seen.insert(part.digest) {
                queue.push_back((part, name));
            }
        }
    }
    let written = &collected.written;
    collected.gaps.retain(|gap| gap.digest.is_none_or(|digest| !written.contains(&digest)));
    let entries: Vec<_> = collected.entries.values().collect();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    fs::write(dir.join(LAYOUT).join("index.json"), json::canonical(&index))?;
    fs::write(dir.join(LAYOUT).join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(collected)
}

/// Bases and buildroots that the provenance of `image` names; or why nobody can tell.
async fn below(ports: &Ports, image: &ImageName, trust: &Trust) -> Result<Vec<(Part, ImageName)>, String> {
    let Some(digest) = image.selector.digest else { return Ok(Vec::new()) };
    let evidence = Evidence::gather(ports, image, digest).await.map_err(|error| said(&error))?;
    let mut origin = None;
    for trust in [trust, &Trust::AnyoneUnsafe] {
        if origin.is_none()
            && let Found::Believed(all) =
                evidence.provenance::<Origin>(ports, trust, None).await.map_err(|error| said(&error))?
        {
            origin = all.into_iter().next();
        }
    }
    let Some(Origin::Built(built)) = origin.map(|believed| believed.provenance) else {
        return Ok(Vec::new());
    };
    let part = |role: &'static str, named: &ResourceDescriptor| {
        let digest = named.sha256()?;
        let name = reference::from_uri(&named.uri).ok()?.at(digest);
        Some((Part { role, name: name.to_string(), digest }, name))
    };
    let parts = ["buildroot", "base"]
        .into_iter()
        .flat_map(|role| built.definition.role(role).filter_map(move |named| part(role, named)));
    Ok(parts.collect())
}

/// One image: manifest, config, and what refers to it.
async fn one(
    ports: &Ports,
    name: &ImageName,
    digest: Digest,
    blobs: &Path,
    collected: &mut Collected,
) -> Result<(), EvidenceArchiveError> {
    let failed = |source| EvidenceArchiveError::Registry { image: name.to_string(), source };
    let (descriptor, bytes) = ports.registries.manifest(name).await.map_err(failed)?;
    collected.write(blobs, &digest, &bytes)?;
    collected.entries.insert((digest, None), descriptor);
    if let Ok(manifest) = Manifest::parse(&bytes) {
        collected.blob(ports, name, manifest.config(), "config", blobs).await?;
    }
    for referrer in ports.registries.referrers(name, &digest).await.map_err(failed)? {
        match ports.registries.manifest(&name.at(referrer.digest)).await {
            Ok((_, bytes)) => collected.artifact(ports, name, (referrer, &bytes), blobs).await?,
            Err(error) => {
                collected.gap("a referrer".to_owned(), Some(referrer.digest), &said(&error));
            }
        }
    }
    let tag = legacy_tag(&digest);
    let mut tagged = name.clone();
    tagged.selector.tag = Some(tag.clone());
    tagged.selector.digest = None;
    match ports.registries.manifest(&tagged).await {
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => {
            collected.gap(format!("what cosign 2 left under the tag {tag}"), None, &said(&error));
            Ok(())
        }
        Ok((mut descriptor, bytes)) => {
            let digest = descriptor.digest;
            collected.artifact(ports, name, (descriptor.clone(), &bytes), blobs).await?;
            collected.entries.remove(&(digest, None));
            descriptor.annotations.insert("org.opencontainers.image.ref.name".to_owned(), tag.clone());
            collected.entries.insert((digest, Some(tag)), descriptor);
            Ok(())
        }
    }
}

impl Collected {
    fn gap(&mut self, what: String, digest: Option<Digest>, why: &str) {
        self.gaps.insert(Gap { what, digest, why: why.to_owned() });
    }

    fn write(&mut self, blobs: &Path, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        if self.written.insert(*digest) {
            fs::write(blobs.join(digest.hex()), bytes)?;
        }
        Ok(())
    }

    /// A manifest that refers to an image, and its blobs, but for what is large and can be told by its digest.
    async fn artifact(
        &mut self,
        ports: &Ports,
        name: &ImageName,
        (listed, bytes): (Descriptor, &[u8]),
        blobs: &Path,
    ) -> Result<(), EvidenceArchiveError> {
        self.write(blobs, &listed.digest, bytes)?;
        self.entries.insert((listed.digest, None), listed);
        let Ok(manifest) = Manifest::parse(bytes) else { return Ok(()) }; // A stranger's; it is kept as it is.
        let left_out = match manifest.artifact_type() {
            Some(INPUTS) => Some("input files: the transcript has the digest of each"),
            Some(SOURCE) => Some("source: the provenance has its commit"),
            Some(BASE) => Some("base image: its manifest is here, its layers are not"),
            _ => None,
        };
        self.blob(ports, name, manifest.config(), "config of a referrer", blobs).await?;
        for layer in manifest.layers() {
            if let Some(why) = left_out {
                self.gap(format!("{} ({} bytes)", layer.media_type, layer.size), Some(layer.digest), why);
            } else {
                self.blob(ports, name, layer, &layer.media_type, blobs).await?;
            }
        }
        Ok(())
    }

    /// A blob, by way of the store, where it is held against its digest.
    async fn blob(
        &mut self,
        ports: &Ports,
        name: &ImageName,
        blob: &Descriptor,
        what: &str,
        blobs: &Path,
    ) -> Result<(), EvidenceArchiveError> {
        if self.written.contains(&blob.digest) {
            return Ok(());
        }
        let most = match blob.media_type.as_str() {
            LOG | EVENTS => limits::LOG_SIZE_BYTES_MAX,
            TRANSCRIPT => limits::TRANSCRIPT_SIZE_BYTES_MAX,
            _ => limits::DOSSIER_BLOB_SIZE_BYTES_MAX,
        };
        if blob.size > most {
            let why = format!("its {} bytes are more than the {most} that go into an archive", blob.size);
            self.gap(what.to_owned(), Some(blob.digest), &why);
            return Ok(());
        }
        if let Err(error) = ports.registries.fetch_blob(name, blob, &ports.store).await {
            self.gap(what.to_owned(), Some(blob.digest), &said(&error));
            return Ok(());
        }
        let mut from = ports.store.open(&blob.digest)?;
        let mut to = fs::File::create(blobs.join(blob.digest.hex()))?;
        io::copy(&mut from, &mut to)?;
        self.written.insert(blob.digest);
        Ok(())
    }
}
