//! `rebuild`: from an image and its verified provenance to a verdict.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Ports, SharedCheckout,
    bases::{self, Base},
    evidence::{Believed, Evidence, EvidenceError, Found, Trust, chain},
    execute::{ExecuteError, Execution, execute},
    publish::{PublishError, Publisher},
};
use crate::{
    attest::{
        BuildDefinition, Rebuilt, Subject,
        rebuilt::{
            DriftCounts, InputsFrom, Instruction, LayerId, LayerPair, ProvenanceRef, Rebuilder, RebuiltImage,
            UndeclaredInput,
        },
    },
    buildroot::{BuildrootError, Tools},
    compute,
    diff::{self, DiffError},
    drift::{self, Explained, InstructionRef},
    gateway::Mode,
    host,
    model::{Blobs, Descriptor, Digest, ImageName, Location, Selector, Verdict, limits, names},
    oci::{Image, OciError},
    progress::Update,
    registry::RegistryError,
    signing::PrivateKey,
    source::{self, Checkout, SourceError, Wanted},
    store::StoreError,
    transcript::Transcript,
};

/// What to rebuild, and whom to believe.
#[derive(Debug, Clone)]
pub struct Request {
    /// The image.
    pub image: ImageName,
    /// Whose provenance is believed.
    pub trust: Trust,
    /// `--source`
    pub source: Option<String>,
    /// `--provenance`
    pub provenance: Option<Digest>,
    /// `--keep`: where rebuilt images go.
    pub keep: Option<PathBuf>,
    /// Which manifest of an index.
    pub platform: String,
    /// `rebuilder.id`
    pub rebuilder_id: String,
    /// What `git` may use of the caller's environment.
    pub env: Vec<(String, String)>,
}

/// Why a rebuild gave no verdict.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each passes on the error of its module")]
pub enum RebuildError {
    #[error("cannot read `{image}`")]
    Image { image: String, source: RegistryError },
    #[error("`{image}` is not an image")]
    NotAnImage { image: String, source: OciError },
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    #[error(transparent)]
    Buildroot(#[from] BuildrootError),
    #[error(transparent)]
    Diff(#[from] DiffError),
    #[error("the image drifts, and its layer {layer} cannot be fetched to say how")]
    Layer { layer: Digest, source: RegistryError },
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Longest wait for `git` to fetch.
pub const SOURCE_TIMEOUT: std::time::Duration = std::time::Duration::from_mins(10);

/// The verdict, and all that led to it.
#[derive(Debug)]
pub struct Outcome {
    /// The original manifest.
    pub manifest: Descriptor,
    /// The answer.
    pub verdict: Verdict,
    /// Why there is no comparison, in a sentence: what is unverifiable, missing, or failed.
    pub error: Option<String>,
    /// The provenance it was rebuilt from.
    pub provenance: Option<Believed>,
    /// The build.
    pub execution: Option<Execution>,
    /// The original, once it was read.
    pub original: Option<Image>,
    /// What differs, and why.
    pub explained: Option<Explained>,
    /// The builder at hand, if it is not the recorded one: what differs.
    pub builder_changed: Option<String>,
    /// Referrer manifest of the attached verdict.
    pub attestation: Option<Digest>,
    /// Bodies replayed.
    pub inputs: usize,
    /// Seconds since 1970.
    pub started_s: i64,
}

impl Outcome {
    fn new(manifest: Descriptor, verdict: Verdict, error: Option<String>) -> Self {
        Self {
            manifest,
            verdict,
            error,
            provenance: None,
            execution: None,
            original: None,
            explained: None,
            builder_changed: None,
            attestation: None,
            inputs: 0,
            started_s: host::now_s(),
        }
    }
}

/// Rebuilds one image and judges it; with a key, signs the verdict and attaches it.
///
/// # Errors
/// [`RebuildError`] if no verdict could be reached.
pub async fn rebuild(
    ports: &Ports,
    request: &Request,
    key: Option<&PrivateKey>,
) -> Result<Outcome, RebuildError> {
    let started_s = host::now_s();
    let mut outcome = judge(ports, request).await?;
    outcome.started_s = started_s;
    if let Some(key) = key {
        outcome.attestation = attach(ports, request, &outcome, key).await?;
    }
    Ok(outcome)
}

async fn judge(ports: &Ports, request: &Request) -> Result<Outcome, RebuildError> {
    ports.progress.update(Update::Phase("verify", &request.image.to_string()));
    let unread = |source| RebuildError::Image { image: request.image.to_string(), source };
    let (manifest, bytes) = match ports.registries.platform_manifest(&request.image, &request.platform).await
    {
        Err(error @ RegistryError::Mismatch { .. }) => return Err(unread(error)),
        found => found.map_err(unread)?,
    };
    let image = request.image.at(manifest.digest);
    let evidence = Evidence::gather(ports, &image, manifest.digest).await?;
    let believed = match evidence.provenance(ports, &request.trust, request.provenance).await? {
        Found::Believed(all) => all.into_iter().next().expect("believed is never empty"),
        Found::Refused(reasons) => {
            return Ok(Outcome::new(manifest, Verdict::Unverifiable, Some(reasons.join("; "))));
        }
    };
    let job = Job { ports, request, image: &image, manifest: &manifest, evidence: &evidence };
    let mut outcome = job.run(&bytes, &believed).await?;
    outcome.provenance = Some(believed);
    Ok(outcome)
}

struct Job<'a> {
    ports: &'a Ports,
    request: &'a Request,
    image: &'a ImageName,
    manifest: &'a Descriptor,
    evidence: &'a Evidence,
}

/// Why the inputs of a rebuild are not complete.
struct Incomplete(String);

impl Job<'_> {
    fn outcome(&self, verdict: Verdict, error: impl Into<String>) -> Outcome {
        Outcome::new(self.manifest.clone(), verdict, Some(error.into()))
    }

    async fn run(&self, manifest: &[u8], believed: &Believed) -> Result<Outcome, RebuildError> {
        let definition = &believed.provenance.definition;
        let original =
            match bases::complete(self.ports, self.image, self.manifest.clone(), manifest, false).await {
                Ok(original) => original.image,
                Err(bases::BaseError::Image { source, .. }) => {
                    return Err(RebuildError::NotAnImage { image: self.image.to_string(), source });
                }
                Err(error) => return Ok(self.outcome(Verdict::InputsMissing, chain(&error))),
            };
        self.ports.progress.update(Update::Phase("inputs", ""));
        let transcript = match self.transcript(believed).await? {
            Ok(transcript) => transcript,
            Err(Incomplete(why)) => return Ok(self.outcome(Verdict::InputsMissing, why)),
        };
        let bodies = transcript.bodies();
        let missing = self.evidence.inputs(self.ports, &bodies).await?;
        if !missing.is_empty() {
            return Ok(self.outcome(Verdict::InputsMissing, said(&missing)));
        }
        let bases = match self.bases(definition).await {
            Ok(bases) => bases,
            Err(Incomplete(why)) => return Ok(self.outcome(Verdict::InputsMissing, why)),
        };
        self.ports.progress.update(Update::Phase("source", ""));
        let checkout = match self.source(definition).await? {
            Ok(checkout) => checkout,
            Err(SourceError::TreeDiffers { expected, actual, .. }) => {
                let why = format!(
                    "--source has the tree {actual}, the provenance names {expected}: another source"
                );
                return Ok(self.outcome(Verdict::Unverifiable, why));
            }
            Err(error) => return Ok(self.outcome(Verdict::InputsMissing, chain(&error))),
        };
        let builder_changed = builder_changed(definition).await?;
        let inputs = bodies.len();
        let execution = execute(self.ports, definition, &checkout, &bases, Mode::Replay(transcript)).await?;
        let mut outcome = self.compare(&original, believed, execution, builder_changed.is_some()).await?;
        outcome.builder_changed = builder_changed;
        outcome.original = Some(original);
        outcome.inputs = inputs;
        Ok(outcome)
    }

    async fn transcript(&self, believed: &Believed) -> Result<Result<Transcript, Incomplete>, RebuildError> {
        let incomplete = |why: String| Ok(Err(Incomplete(why)));
        let Some(digest) = believed.provenance.transcript() else {
            return incomplete("the provenance names no transcript".into());
        };
        let Some(layer) = self.evidence.blob(&digest) else {
            return incomplete(format!("the transcript {digest} is not beside the image"));
        };
        if let Err(error) = self.ports.registries.fetch_blob(self.image, layer, &self.ports.store).await {
            return incomplete(format!("the transcript {digest}: {}", chain(&error)));
        }
        let bytes = match self.ports.store.read(&digest, limits::STATEMENT_SIZE_BYTES_MAX * 8) {
            Err(StoreError::Mismatch { .. }) => {
                self.ports.store.remove(&digest)?; // The cache was altered; the next run fetches it anew.
                return incomplete(format!("the cached transcript {digest} was altered; run again"));
            }
            read => read?,
        };
        match Transcript::parse(&bytes) {
            Ok(transcript) => Ok(Ok(transcript)),
            Err(error) => incomplete(format!("the transcript {digest}: {}", chain(&error))),
        }
    }

    /// Every base by its recorded digest: kept beside the image, or where it was found then.
    async fn bases(&self, definition: &BuildDefinition) -> Result<Vec<Base>, Incomplete> {
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

    async fn kept_base(&self, digest: &Digest) -> Result<Option<Base>, Incomplete> {
        let mut kept = self.evidence.of_type(names::BASE).filter_map(|artifact| artifact.layers().first());
        let Some(manifest) = kept.find(|layer| layer.digest == *digest) else { return Ok(None) };
        let failed =
            |error: &dyn std::error::Error| Incomplete(format!("base image {digest}: {}", chain(error)));
        let fetched = self.ports.registries.fetch_blob(self.image, manifest, &self.ports.store).await;
        fetched.map_err(|error| failed(&error))?;
        let bytes =
            self.ports.store.read(digest, limits::MANIFEST_SIZE_BYTES_MAX).map_err(|error| failed(&error))?;
        let complete = bases::complete(self.ports, self.image, manifest.clone(), &bytes, true).await;
        complete.map(Some).map_err(|error| failed(&error))
    }

    async fn named_base(&self, uri: &str, digest: &Digest) -> Result<Base, Incomplete> {
        let failed =
            |error: &dyn std::error::Error| Incomplete(format!("base image {digest}: {}", chain(error)));
        let name = crate::model::reference::from_uri(uri).map_err(|error| failed(&error))?.at(*digest);
        bases::fetch(self.ports, &name, &self.request.platform).await.map_err(|error| failed(&error))
    }

    /// The source: `--source`, the kept one, the uri.
    async fn source(
        &self,
        definition: &BuildDefinition,
    ) -> Result<Result<SharedCheckout, SourceError>, RebuildError> {
        let dependency = definition.role("source").next();
        let named = |algorithm: &str| {
            dependency.and_then(|source| source.digest.get(algorithm)).cloned().unwrap_or_default()
        };
        let source = &definition.external.source;
        let wanted = Wanted {
            commit: named("gitCommit"),
            tree: named("gitTree"),
            subdir: source.subdir.clone(),
            uri: source.uri.clone(),
        };
        let mut kept = None;
        for pack in self.evidence.of_type(names::SOURCE).filter_map(|artifact| artifact.layers().first()) {
            if self.ports.registries.fetch_blob(self.image, pack, &self.ports.store).await.is_ok() {
                kept = Some(pack.digest);
                break;
            }
        }
        let (ports, request) = (self.ports.clone(), self.request.clone());
        let finding = tokio::task::spawn_blocking(move || find(&ports, &request, &wanted, kept));
        match finding.await {
            Ok(found) => Ok(found.map(SharedCheckout::new)),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn compare(
        &self,
        original: &Image,
        believed: &Believed,
        execution: Execution,
        builder_changed: bool,
    ) -> Result<Outcome, RebuildError> {
        let mut outcome = Outcome::new(self.manifest.clone(), Verdict::Reproduced, None);
        let rebuilt = match &execution.outcome {
            Ok(assembled) => assembled,
            Err(failure) => {
                let missed = !execution.closed.missing.is_empty() || !execution.closed.undeclared.is_empty();
                outcome.verdict = if missed { Verdict::InputsMissing } else { Verdict::Unbuildable };
                outcome.error = Some(failed(failure, &execution));
                outcome.execution = Some(execution);
                return Ok(outcome);
            }
        };
        if let Some(dir) = &self.request.keep {
            self.keep(dir, &rebuilt.image).await?;
        }
        if rebuilt.manifest.digest != self.manifest.digest {
            self.ports.progress.update(Update::Phase("compare", ""));
            let explained = self.explain(original, &rebuilt.image, believed, &execution).await?;
            outcome.verdict = if builder_changed { Verdict::BuilderChanged } else { explained.verdict };
            outcome.explained = Some(explained);
        }
        outcome.execution = Some(execution);
        Ok(outcome)
    }

    async fn explain(
        &self,
        original: &Image,
        rebuilt: &Image,
        believed: &Believed,
        execution: &Execution,
    ) -> Result<Explained, RebuildError> {
        let same =
            |layer: &&Descriptor| rebuilt.manifest.layers().iter().any(|other| other.digest == layer.digest);
        for layer in original.manifest.layers().iter().filter(|layer| !same(layer)) {
            let fetched = self.ports.registries.fetch_blob(self.image, layer, &self.ports.store).await;
            fetched.map_err(|source| RebuildError::Layer { layer: layer.digest, source })?;
        }
        let run = &believed.provenance.run;
        let instructions = execution.outcome.as_ref().map(|assembled| assembled.instructions.clone());
        let context = drift::Context {
            instructions: instructions
                .unwrap_or_default()
                .into_iter()
                .map(|made_by| made_by.map(|(line, text)| InstructionRef { line, text }))
                .collect(),
            windows: Some([
                (run.started_on_s, run.finished_on_s),
                (execution.started_s, execution.finished_s),
            ]),
            epoch_s: Some(believed.provenance.definition.internal.epoch),
        };
        let (store, a, b) = (self.ports.store.clone(), original.clone(), rebuilt.clone());
        let explained = compute::run(move || {
            diff::images(&store, &a, &b).map(|comparison| drift::explain(&comparison, &context))
        });
        Ok(explained.await?)
    }

    async fn keep(&self, dir: &std::path::Path, image: &Image) -> Result<(), RebuildError> {
        let tag = Some(self.manifest.digest.short());
        let selector = Selector { tag, digest: None };
        let name = ImageName { location: Location::Layout(dir.to_owned()), selector };
        let manifest = Descriptor::of(names::OCI_MANIFEST, image.manifest.bytes());
        let publisher = Publisher::new(self.ports, &name, manifest);
        publisher.image(image, None).await?;
        Ok(publisher.tag(&name, image).await?)
    }
}

/// Looks in `--source`, the kept pack, then where the provenance says.
fn find(
    ports: &Ports,
    request: &Request,
    wanted: &Wanted,
    kept: Option<Digest>,
) -> Result<Checkout, SourceError> {
    let options = source::Options {
        store: &ports.store,
        now_s: host::now_s(),
        allow_dirty: false,
        env: request.env.clone(),
        timeout: SOURCE_TIMEOUT,
        cancel: ports.cancel.clone(),
    };
    match (&request.source, kept) {
        (None, Some(pack)) => {
            let read = ports.store.open(&pack).map_err(|source| SourceError::Io {
                action: "read",
                path: ports.store.path(&pack),
                source,
            })?;
            Checkout::from_pack(read, wanted, &options)
        }
        (named, _) => Checkout::find(wanted, named.as_deref(), &options),
    }
}

fn said(missing: &[(Digest, String)]) -> String {
    let (digest, why) = &missing[0];
    match missing.len() {
        1 => format!("input {digest}: {why}"),
        count => format!("{count} inputs, the first {digest}: {why}"),
    }
}

fn failed(failure: &super::execute::Failure, execution: &Execution) -> String {
    let mut text = failure.reason.clone();
    if let Some(step) = &failure.instruction {
        text.push_str(&format!(" at line {}: {}", step.line, step.text));
    }
    if let Some(digest) = execution.closed.missing.first() {
        text.push_str(&format!("; input {digest} is gone or altered"));
    }
    if let Some((method, url)) = execution.closed.undeclared.first() {
        text.push_str(&format!("; undeclared input {method} {url}"));
    }
    text
}

/// What is not as recorded of engine, runtime and writer, if anything.
async fn builder_changed(definition: &BuildDefinition) -> Result<Option<String>, RebuildError> {
    let tools = Tools::find().await?;
    let recorded = &definition.internal;
    let mut changes = Vec::new();
    for (then, now) in [(&recorded.engine, &tools.engine), (&recorded.runtime, &tools.runtime)] {
        if then.sha256 != now.digest {
            changes.push(format!(
                "{} {} ({}) then, {} ({}) now",
                then.name,
                then.version,
                then.sha256.short(),
                now.version,
                now.digest.short()
            ));
        }
    }
    if recorded.writer != names::WRITER {
        changes.push(format!("layer writer {} then, {} now", recorded.writer, names::WRITER));
    }
    Ok((!changes.is_empty()).then(|| changes.join("; ")))
}

/// The layers of both images side by side.
#[must_use]
pub fn layer_pairs(outcome: &Outcome) -> Vec<LayerPair> {
    let ids = |image: &Image| -> Vec<LayerId> {
        let layers = image.manifest.layers().iter().zip(image.config.diff_ids());
        layers.map(|(layer, diff_id)| LayerId { digest: layer.digest, diff_id: *diff_id }).collect()
    };
    let assembled = outcome.execution.as_ref().and_then(|execution| execution.outcome.as_ref().ok());
    let original = outcome.original.as_ref().map(ids).unwrap_or_default();
    let rebuilt = assembled.map(|assembled| ids(&assembled.image)).unwrap_or_default();
    let instructions = assembled.map(|assembled| assembled.instructions.as_slice()).unwrap_or_default();
    (0..original.len().max(rebuilt.len()))
        .map(|index| {
            let made_by = instructions.get(index).cloned().flatten();
            let (original, rebuilt) = (original.get(index).cloned(), rebuilt.get(index).cloned());
            LayerPair {
                index,
                instruction: made_by.map(|(line, text)| Instruction { line, text }),
                equal: original.is_some() && original == rebuilt,
                original,
                rebuilt,
            }
        })
        .collect()
}

/// Signs the verdict, good or bad, and attaches it to the original.
async fn attach(
    ports: &Ports,
    request: &Request,
    outcome: &Outcome,
    key: &PrivateKey,
) -> Result<Option<Digest>, RebuildError> {
    // Without a provenance that can be believed there is nothing the verdict could be about.
    let Some(believed) = &outcome.provenance else { return Ok(None) };
    let tools = Tools::find().await?;
    let execution = outcome.execution.as_ref();
    let assembled = execution.and_then(|execution| execution.outcome.as_ref().ok());
    let undeclared = execution.map(|execution| execution.closed.undeclared.clone()).unwrap_or_default();
    let statement = Rebuilt {
        verdict: outcome.verdict,
        provenance: ProvenanceRef { digest: believed.referrer },
        rebuilt: assembled.map(|assembled| RebuiltImage {
            manifest: assembled.manifest.digest,
            config: assembled.image.manifest.config().digest,
        }),
        inputs: InputsFrom::Replay,
        upstream_requests: execution.map_or(0, |execution| execution.closed.upstream_requests),
        undeclared_inputs: undeclared
            .into_iter()
            .map(|(method, url)| UndeclaredInput { method, url })
            .collect(),
        layers: layer_pairs(outcome).into_iter().take(limits::REBUILT_LAYERS_MAX).collect(),
        drifts: counts(outcome.explained.as_ref()),
        report: None,
        varied: Vec::new(),
        rebuilder: Rebuilder {
            id: request.rebuilder_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        engine: crate::attest::Tool {
            name: tools.engine.name.to_owned(),
            version: tools.engine.version,
            sha256: tools.engine.digest,
        },
        writer: names::WRITER.to_owned(),
        started_on_s: outcome.started_s,
        finished_on_s: host::now_s(),
    };
    let subject = Subject::new(request.image.repository(), &outcome.manifest.digest);
    let publisher = Publisher::new(ports, &request.image, outcome.manifest.clone());
    let attached = publisher.statement(&statement.statement(subject), Some(key)).await?;
    Ok(Some(attached.digest))
}

fn counts(explained: Option<&Explained>) -> DriftCounts {
    let mut counts = DriftCounts { count: 0, by_cause: BTreeMap::new(), by_class: BTreeMap::new() };
    for drift in explained.iter().flat_map(|explained| &explained.drifts) {
        counts.count += 1;
        *counts.by_cause.entry(drift.cause.code().to_owned()).or_default() += 1;
        *counts.by_class.entry(drift.class.name().to_owned()).or_default() += 1;
    }
    counts
}
