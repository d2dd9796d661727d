//! What a rebuild needs, each by its digest: transcript, bodies, bases, source.

use std::collections::BTreeSet;

use super::{Job, RebuildError};
use crate::{
    attest::BuildDefinition,
    job::{
        Ports, SharedCheckout,
        bases::{self, Base},
        builder::{Builder, image_of},
        evidence::{Believed, Evidence, chain, whole},
        source::{Tags, complete, options},
    },
    model::{Blobs, Descriptor, Digest, ImageName, ResourceDescriptor, limits, names, reference},
    oci::Manifest,
    progress::Update,
    source::{Checkout, SourceError, Wanted},
    transcript::Transcript,
};

/// Why the inputs of a rebuild are not complete.
pub(super) struct Incomplete(pub(super) String);

impl Job<'_> {
    /// Puts the bodies of what was recorded into the store.
    pub(super) async fn bodies(
        &self,
        believed: &Believed,
        transcript: &Transcript,
    ) -> Result<Result<(), Incomplete>, RebuildError> {
        let keepers = keepers(believed);
        let mut missing = self.evidence.inputs(self.ports, &transcript.bodies(), &keepers).await?;
        let local = local(believed);
        for (_, why) in missing.iter_mut().filter(|(digest, _)| local(digest)) {
            LOCAL.clone_into(why);
        }
        Ok(if missing.is_empty() { Ok(()) } else { Err(Incomplete(said(&missing))) })
    }

    /// What was recorded.
    pub(super) async fn transcript(&self, believed: &Believed) -> Result<Transcript, Incomplete> {
        let digest = believed.provenance.transcript();
        let digest = digest.ok_or_else(|| Incomplete("the provenance names no transcript".into()))?;
        let failed =
            |error: &dyn std::error::Error| Incomplete(format!("the transcript {digest}: {}", chain(error)));
        let read = self.evidence.read(self.ports, &digest, limits::TRANSCRIPT_SIZE_BYTES_MAX).await;
        let bytes = read.map_err(|error| failed(&error))?;
        let bytes =
            bytes.ok_or_else(|| Incomplete(format!("the transcript {digest} is not beside the image")))?;
        Transcript::parse(&bytes).map_err(|error| failed(&error))
    }

    /// Every base by its recorded digest: kept beside the image, or where it was found then.
    pub(super) async fn bases(&self, definition: &BuildDefinition) -> Result<Vec<Base>, Incomplete> {
        let mut bases: Vec<Base> = Vec::new();
        for dependency in definition.role("base") {
            let digest = dependency.sha256().ok_or_else(|| Incomplete("a base without a digest".into()))?;
            if bases.iter().any(|base| base.manifest.digest == digest) {
                continue;
            }
            self.ports.progress.update(Update::Phase("base", &dependency.uri));
            let kept = self.kept_base(&digest).await;
            let base = match kept {
                Ok(Some(base)) => base,
                Ok(None) => self.named_base(&dependency.uri, &digest).await?,
                // What is kept is broken: only the place it came from can help.
                Err(Incomplete(why)) => {
                    self.named_base(&dependency.uri, &digest).await.map_err(|_| Incomplete(why))?
                }
            };
            bases.push(base);
        }
        Ok(bases)
    }

    /// What it is built with: the programs the provenance names, or `--buildroot`'s.
    pub(super) async fn builder(
        &self,
        definition: &BuildDefinition,
    ) -> Result<Result<Builder, Incomplete>, RebuildError> {
        if let Some(buildroot) = &self.request.buildroot {
            return Ok(Ok(Builder::of(self.ports, buildroot, None).await?));
        }
        let Some(digest) = image_of(definition) else { return Ok(Ok(Builder::host().await?)) };
        self.ports.progress.update(Update::Phase("buildroot", ""));
        let named = definition.role("buildroot").find(|named| named.sha256() == Some(digest));
        let uri = named.map(|named| named.uri.as_str()).unwrap_or_default();
        match self.named("buildroot", uri, &digest).await {
            Ok(base) => Ok(Ok(Builder::of_image(self.ports, &base, None).await?)),
            Err(incomplete) => Ok(Err(incomplete)),
        }
    }

    async fn kept_base(&self, digest: &Digest) -> Result<Option<Base>, Incomplete> {
        let failed =
            |error: &dyn std::error::Error| Incomplete(format!("base image {digest}: {}", chain(error)));
        let read = self.evidence.read(self.ports, digest, limits::MANIFEST_SIZE_BYTES_MAX).await;
        let Some(bytes) = read.map_err(|error| failed(&error))? else { return Ok(None) };
        let manifest = Manifest::parse(&bytes).map_err(|error| failed(&error))?;
        let manifest = Descriptor::of(manifest.media_type(), &bytes);
        let complete = bases::complete(self.ports, self.image, manifest, &bytes, true).await;
        complete.map(Some).map_err(|error| failed(&error))
    }

    async fn named_base(&self, uri: &str, digest: &Digest) -> Result<Base, Incomplete> {
        self.named("base image", uri, digest).await
    }

    /// An image where provenance found it.
    async fn named(&self, what: &str, uri: &str, digest: &Digest) -> Result<Base, Incomplete> {
        let failed = |error: &dyn std::error::Error| Incomplete(format!("{what} {digest}: {}", chain(error)));
        let name = reference::from_uri(uri).map_err(|error| failed(&error))?.at(*digest);
        bases::fetch(self.ports, &name, &self.request.platform).await.map_err(|error| failed(&error))
    }

    /// The source: `--source`, the kept one, the uri.
    pub(super) async fn source(
        &self,
        definition: &BuildDefinition,
    ) -> Result<Result<SharedCheckout, SourceError>, RebuildError> {
        let (source, env) = (self.request.source.as_deref(), &self.request.env);
        let found = checkout_of(self.ports, (self.image, self.evidence), definition, source, env).await;
        let Ok(checkout) = &found else { return Ok(found) };
        let external = &definition.external;
        let paths = [external.context.as_str(), external.dockerfile.as_str()];
        let complete =
            complete(self.ports, checkout, &self.request.env, paths, Tags::recorded(external)).await;
        Ok(complete.and(found))
    }
}

/// The commit that `definition` names: in `source` if given, else kept beside the image, else at its URI.
///
/// # Errors
/// Those of the source edge.
pub(in crate::job) async fn checkout_of(
    ports: &Ports,
    (image, evidence): (&ImageName, &Evidence),
    definition: &BuildDefinition,
    source: Option<&str>,
    env: &[(String, String)],
) -> Result<SharedCheckout, SourceError> {
    let dependency = definition.role("source").next();
    let named = |algorithm: &str| {
        dependency.and_then(|source| source.digest.get(algorithm)).cloned().unwrap_or_default()
    };
    let wanted = Wanted {
        commit: named("gitCommit"),
        tree: named("gitTree"),
        subdir: definition.external.source.subdir.clone(),
        uri: definition.external.source.uri.clone(),
    };
    let mut kept = Vec::new();
    if source.is_none() {
        for pack in evidence.of_type(names::SOURCE).filter_map(|artifact| artifact.layers().first()) {
            if pack.size <= limits::SOURCE_PACK_SIZE_BYTES_MAX && whole(ports, image, pack).await.is_ok() {
                kept.push(pack.digest);
            }
        }
    }
    let (ports, source, env) = (ports.clone(), source.map(str::to_owned), env.to_vec());
    let finding = tokio::task::spawn_blocking(move || find(&ports, source.as_deref(), env, &wanted, &kept));
    match finding.await {
        Ok(found) => found.map(SharedCheckout::new),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Looks in `--source`, the kept packs (a stranger's is passed over), then where the provenance says.
fn find(
    ports: &Ports,
    source: Option<&str>,
    env: Vec<(String, String)>,
    wanted: &Wanted,
    kept: &[Digest],
) -> Result<Checkout, SourceError> {
    let options = options(ports, false, env);
    let mut broken = None;
    for pack in kept {
        let read = ports.store.open(pack).map_err(|source| SourceError::Io {
            action: "read",
            path: ports.store.path(pack),
            source,
        })?;
        match Checkout::from_pack(read, wanted, &options) {
            Ok(checkout) => return Ok(checkout),
            Err(error) => broken = Some(error),
        }
    }
    match (Checkout::find(wanted, source, &options), broken) {
        // Nowhere else to look: what is wrong with the kept one says more.
        (Err(SourceError::Nowhere { .. }), Some(broken)) => Err(broken),
        (found, _) => found,
    }
}

const LOCAL: &str = "it was kept at the builder alone; rebuild there, with that --store, or build without \
                     `--inputs-to none`, and with `keep = true` in the [[repository]] if it has `auth`";

/// Which bodies the builder did not publish: those marked so, or any if the transcript that stands for them is.
fn local(believed: &Believed) -> impl Fn(&Digest) -> bool {
    let inputs = believed.provenance.run.inputs.iter();
    let kept =
        |input: &&ResourceDescriptor| input.annotations.get("kept").is_some_and(|kept| kept == "local");
    let local: Vec<_> = inputs.filter(kept).collect();
    let any = local.iter().any(|input| input.media_type == names::TRANSCRIPT);
    let local: BTreeSet<_> = local.into_iter().filter_map(ResourceDescriptor::sha256).collect();
    move |digest| any || local.contains(digest)
}

/// Artifacts that keep bodies in another repository.
pub(super) fn keepers(believed: &Believed) -> Vec<ImageName> {
    let named = believed.provenance.run.byproducts.iter().filter(|byproduct| byproduct.name == "inputs");
    let keeper = |byproduct: &ResourceDescriptor| {
        Some(reference::from_uri(&byproduct.uri).ok()?.at(byproduct.sha256()?))
    };
    named.filter_map(keeper).collect()
}

fn said(missing: &[(Digest, String)]) -> String {
    let (digest, why) = &missing[0];
    match missing.len() {
        1 => format!("input {digest}: {why}"),
        count => format!("{count} inputs, the first {digest}: {why}"),
    }
}
