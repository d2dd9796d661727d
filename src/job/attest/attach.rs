//! Signing a statement and attaching it, at the cost of few requests (FORMATS.md §4-6): what is new is sent without
//! asking, and nothing is sent that is there already.

use std::collections::BTreeMap;

use super::{Attached, AttestError, Taken};
use crate::{
    attest::{Bundle, Envelope},
    job::Ports,
    model::{
        Descriptor, Digest, ImageName,
        limits::BUNDLE_SIZE_BYTES_MAX,
        names::{BUNDLE, BUNDLE_CONTENT, BUNDLE_PREDICATE_TYPE, EVIDENCE, OCI_EMPTY, OCI_EMPTY_BYTES, TITLE},
    },
    oci::{Manifest, artifact_bytes},
    progress::Update,
    registry::{Before, Listed, RegistryError, legacy_tag},
    signing::{SignError, Signer},
};

/// Where a statement goes, and who signs it.
pub(super) struct Attaching<'a> {
    pub ports: &'a Ports,
    pub image: &'a ImageName,
    pub subject: &'a Descriptor,
    pub predicate_type: &'a str,
    pub key: &'a Signer,
    pub legacy: bool,
}

/// The envelope around `payload`, and the bundle around that.
pub(super) async fn bundle(key: &Signer, payload: &[u8]) -> Result<(Envelope, Vec<u8>), SignError> {
    let envelope = key.sign_payload(payload.to_vec()).await?;
    let bundle = Bundle { hint: key.public().hint(), envelope: envelope.clone() };
    Ok((envelope, bundle.to_bytes()))
}

/// What is beside the image already.
struct There {
    before: Before,
    /// Whether anybody's bundle is.
    any_bundle: bool,
    /// Ours, saying the same.
    same: Option<(Digest, Envelope)>,
    /// What is kept for it.
    evidence: Option<Digest>,
}

impl Attaching<'_> {
    /// Signs `payload` and attaches it with `kept`, unless the same key has signed the same before.
    pub(super) async fn attach(
        &self,
        payload: &[u8],
        kept: &[(Taken, &'static str)],
        warnings: &mut Vec<String>,
    ) -> Result<Attached, AttestError> {
        self.ports.progress.update(Update::Phase("attach", &self.subject.digest.to_string()));
        let evidence = (!kept.is_empty()).then(|| self.evidence(kept));
        let wanted = evidence.as_ref().map(|(bytes, _)| Digest::of(bytes));
        let there = self.there(payload, wanted).await?;
        if !there.any_bundle && !self.legacy {
            self.warn_of_legacy(warnings).await?;
        }
        let complete = there.evidence == wanted;
        if let Some((digest, envelope)) = there.same.as_ref().filter(|_| complete) {
            let legacy = self.append_legacy(envelope).await?;
            return Ok(Attached { digest: *digest, existing: true, evidence: wanted, legacy });
        }
        let (envelope, bytes) = match &there.same {
            Some((_, envelope)) => {
                let hint = self.key.public().hint();
                let bytes = Bundle { hint, envelope: envelope.clone() }.to_bytes();
                (envelope.clone(), bytes)
            }
            None => bundle(self.key, payload).await?,
        };
        let digest = self.push(&bytes, evidence.as_ref(), kept, &there).await?;
        let legacy = self.append_legacy(&envelope).await?;
        Ok(Attached { digest, existing: false, evidence: wanted, legacy })
    }

    fn failed(&self) -> impl Fn(RegistryError) -> AttestError {
        let image = self.image.repository();
        move |source| AttestError::Attach { image: image.clone(), source }
    }

    /// The manifest of what is kept, and its layers.
    fn evidence(&self, kept: &[(Taken, &'static str)]) -> (Vec<u8>, Vec<Descriptor>) {
        let layer = |(taken, media_type): &(Taken, &'static str)| Descriptor {
            annotations: BTreeMap::from([(TITLE.to_owned(), taken.name.clone())]),
            ..Descriptor::new(media_type, taken.digest, taken.size_bytes)
        };
        let layers: Vec<_> = kept.iter().map(layer).collect();
        (artifact_bytes(EVIDENCE, &layers, Some(self.subject), &BTreeMap::new()), layers)
    }

    /// Looks at what refers to the image. Only what the list calls a bundle of this predicate type is opened: ours
    /// always is called so.
    async fn there(&self, payload: &[u8], wanted: Option<Digest>) -> Result<There, AttestError> {
        let registries = &self.ports.registries;
        let before = registries.before_attaching(self.image, &self.subject.digest).await;
        let before = before.map_err(self.failed())?;
        let listed = &before.entries;
        let is_bundle = |entry: &Descriptor| entry.artifact_type.as_deref() == Some(BUNDLE);
        let any_bundle = listed.iter().any(is_bundle);
        let evidence = listed.iter().map(|entry| entry.digest).find(|digest| Some(*digest) == wanted);
        let mut same = None;
        let ours = |entry: &&Descriptor| {
            let named = entry.annotations.get(BUNDLE_PREDICATE_TYPE);
            is_bundle(entry) && named.is_none_or(|named| named == self.predicate_type)
        };
        for entry in listed.iter().filter(ours) {
            // One that is gone or altered is not ours, or has to be attached again; one that cannot be fetched may be ours.
            let opened = match self.opened(entry).await {
                Err(error) if error.is_unavailable() => return Err(self.failed()(error)),
                opened => opened.ok().flatten(),
            };
            if let Some(envelope) = opened
                && envelope.payload == payload
                && envelope.verified_by(std::slice::from_ref(&self.key.public())).is_some()
            {
                same = Some((entry.digest, envelope));
                break;
            }
        }
        Ok(There { before, any_bundle, same, evidence })
    }

    async fn opened(&self, entry: &Descriptor) -> Result<Option<Envelope>, RegistryError> {
        let (_, bytes) = self.ports.registries.manifest(&self.image.at(entry.digest)).await?;
        let Ok(manifest) = Manifest::parse(&bytes) else { return Ok(None) };
        let [layer] = manifest.layers() else { return Ok(None) };
        if layer.media_type != BUNDLE || layer.size > BUNDLE_SIZE_BYTES_MAX {
            return Ok(None);
        }
        let bytes = crate::job::evidence::bytes(self.ports, self.image, layer).await?;
        Ok(Bundle::parse(&bytes).ok().map(|bundle| bundle.envelope))
    }

    /// cosign 3 reads no `.att` any more once a bundle is there.
    async fn warn_of_legacy(&self, warnings: &mut Vec<String>) -> Result<(), AttestError> {
        let mut name = self.image.clone();
        name.selector.digest = None;
        name.selector.tag = Some(legacy_tag(&self.subject.digest));
        match self.ports.registries.manifest(&name).await {
            Ok(_) => warnings.push(format!(
                "{} has attestations of cosign 2 only ({}): with this first bundle beside it, cosign 3 no longer reads \
                 them unless told --new-bundle-format=false; --legacy adds this statement there too",
                self.subject.digest,
                legacy_tag(&self.subject.digest)
            )),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(self.failed()(error)),
        }
        Ok(())
    }

    async fn append_legacy(&self, envelope: &Envelope) -> Result<Option<Digest>, AttestError> {
        if !self.legacy {
            return Ok(None);
        }
        let registries = &self.ports.registries;
        let (subject, bytes) = (&self.subject.digest, envelope.to_bytes());
        let appended = registries
            .append_legacy(self.image, subject, &bytes, self.predicate_type, &self.ports.store)
            .await;
        appended.map(|manifest| Some(manifest.digest)).map_err(self.failed())
    }

    /// Blobs, then manifests, then the list: whatever fails, nothing that is listed lacks a part.
    async fn push(
        &self,
        bundle: &[u8],
        evidence: Option<&(Vec<u8>, Vec<Descriptor>)>,
        kept: &[(Taken, &'static str)],
        there: &There,
    ) -> Result<Digest, AttestError> {
        let (registries, store) = (&self.ports.registries, &self.ports.store);
        let annotations = BTreeMap::from([
            (BUNDLE_CONTENT.to_owned(), "dsse-envelope".to_owned()),
            (BUNDLE_PREDICATE_TYPE.to_owned(), self.predicate_type.to_owned()),
        ]);
        store.put(OCI_EMPTY_BYTES)?;
        store.put(bundle)?;
        let layer = Descriptor::of(BUNDLE, bundle);
        let statement =
            artifact_bytes(BUNDLE, std::slice::from_ref(&layer), Some(self.subject), &annotations);
        let empty = Descriptor::of(OCI_EMPTY, OCI_EMPTY_BYTES);
        // Where a bundle is, its config is; and a registry may stumble over one that is sent while somebody names it.
        if there.any_bundle {
            registries.push_blob(self.image, &empty, store, None).await.map_err(self.failed())?;
        } else {
            registries.push_fresh(self.image, &empty, store).await.map_err(self.failed())?;
        }
        registries.push_fresh(self.image, &layer, store).await.map_err(self.failed())?;
        for (taken, media_type) in kept {
            let blob = Descriptor::new(media_type, taken.digest, taken.size_bytes);
            registries.push_blob(self.image, &blob, store, None).await.map_err(self.failed())?;
        }
        let none = BTreeMap::new();
        let manifests = evidence.map(|(bytes, _)| (bytes.as_slice(), EVIDENCE, &none)).into_iter().chain([(
            statement.as_slice(),
            BUNDLE,
            &annotations,
        )]);
        let mut unlisted = Vec::new();
        for (bytes, artifact_type, annotations) in manifests {
            let put = registries.put_attachment(self.image, bytes, artifact_type, annotations).await;
            let put = put.map_err(self.failed())?;
            if put.listed == Listed::FallbackTag {
                unlisted.push(put.descriptor);
            }
        }
        let listed =
            registries.list_attachments(self.image, self.subject, &unlisted, Some(&there.before)).await;
        listed.map_err(self.failed())?;
        Ok(Digest::of(&statement))
    }
}
