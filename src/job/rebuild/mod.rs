//! `rebuild`: from an image and its verified provenance to a verdict.

pub mod answer;
mod gather;
mod live;
mod logs;
mod remedy;
mod replay;
mod search;
mod stages;
mod vary;
mod verdict;

use std::path::PathBuf;

use super::{
    Ports, SharedCheckout,
    accepted::of_recipe,
    bases::{self, Base},
    builder::{Builder, BuilderError},
    check::check,
    evidence::{Believed, Evidence, EvidenceError, Found, Trust, chain},
    execute::{ExecuteError, Execution, Gathered, HeldAgainst, Secrets},
    failure::says_full,
    follow::Pace,
    publish::{PublishError, Publisher},
};
use crate::{
    attest::{BuildDefinition, rebuilt::InputsFrom},
    buildroot::Tools,
    diff::DiffError,
    drift::{Explained, InputBodies, LogDrift},
    gateway::Mode,
    host,
    model::{Descriptor, Digest, ImageName, Location, Maxima, Selector, Variations, Verdict, limits, names},
    oci::{Image, OciError},
    progress::Update,
    recipe::{Acceptance, Buildroot},
    registry::RegistryError,
    signing::Signer,
    source::SourceError,
    store::StoreError,
    transcript::Transcript,
};
use gather::Incomplete;
pub(in crate::job) use gather::checkout_of;
pub use live::{Credentials, Lived};
pub(in crate::job) use logs::said_otherwise;
pub use remedy::Tried;
pub(in crate::job) use replay::{Original, Replayed, replay};
pub use search::{Blame, Certainty};
pub(in crate::job) use stages::{follow, in_store as stages_in_store};
pub use vary::{Replay, Varied};

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
    /// What it may use of the machine.
    pub maxima: Maxima,
    /// `--buildroot`: built with other programs than the provenance names.
    pub buildroot: Option<Buildroot>,
    /// For steps; those of other images are left alone.
    pub secrets: Secrets,
    /// `--vary`: what the replay does otherwise on purpose.
    pub vary: Variations,
    /// `--ignore`: drift that the caller puts up with.
    pub ignore: Vec<Acceptance>,
    /// `--inputs`: where inputs come from; `live` excludes the two above and below.
    pub inputs: InputsFrom,
    /// What repositories with `auth` are asked with, where inputs are live.
    pub credentials: Credentials,
    /// `--try clock=commit`: whether to find out what a standing clock cures.
    pub try_commit_clock: bool,
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
    Builder(#[from] BuilderError),
    #[error(transparent)]
    Diff(#[from] DiffError),
    #[error("the image drifts, and its layer {layer} cannot be fetched to say how")]
    Layer { layer: Digest, source: RegistryError },
    #[error("nothing of --vary is possible here: {0}")]
    NotVaried(String),
    #[error("cannot ask today's repositories: {0}")]
    Credentials(String),
    #[error("{reason}")]
    Exceeded { reason: String, execution: Box<Execution> },
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

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
    /// What drifting steps said otherwise.
    pub logs: Vec<LogDrift>,
    /// What it was built with.
    pub builder: Option<Builder>,
    /// The builder at hand, if it is not the recorded one: what differs.
    pub builder_changed: Option<String>,
    /// Referrer manifest of the attached verdict.
    pub attestation: Option<Digest>,
    /// When the attached verdict says that the rebuild ended; seconds since 1970.
    pub attested_on_s: Option<i64>,
    /// Why the verdict could not be attached.
    pub unattached: Option<RebuildError>,
    /// What was varied, and what came of it; none: nothing was asked for, or nothing ran.
    pub varied: Option<Varied>,
    /// What a remedy cures; none: none was asked for, or there was nothing to cure.
    pub tried: Option<Tried>,
    /// Where its inputs came from, or would have.
    pub inputs_from: InputsFrom,
    /// What came of today's repositories; none if they were not asked.
    pub lived: Option<Lived>,
    /// Ids of secrets that a dummy stood for.
    pub secrets_missing: Vec<String>,
    /// Bodies that were recorded.
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
            logs: Vec::new(),
            builder: None,
            builder_changed: None,
            attestation: None,
            attested_on_s: None,
            unattached: None,
            varied: None,
            tried: None,
            inputs_from: InputsFrom::Replay,
            lived: None,
            secrets_missing: Vec::new(),
            inputs: 0,
            started_s: host::now_s(),
        }
    }

    /// Causes of drift, and how many of each.
    #[must_use]
    pub fn causes(&self) -> std::collections::BTreeMap<String, u64> {
        verdict::counts(self.explained.as_ref()).by_cause
    }

    /// Signs the verdict, good or bad, and attaches it to the original at `image`.
    pub(in crate::job) async fn attach(
        &mut self,
        ports: &Ports,
        image: &ImageName,
        rebuilder_id: &str,
        key: &Signer,
    ) {
        match verdict::attach(ports, (image, rebuilder_id), self, key).await {
            Ok(attached) => {
                (self.attestation, self.attested_on_s) = attached.unzip();
            }
            Err(error) => self.unattached = Some(error), // The verdict stands; nobody will find it.
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
    key: Option<&Signer>,
) -> Result<Outcome, RebuildError> {
    let started_s = host::now_s();
    // The tools are wanted later: whoever asks first looks, and an error is found again then.
    let (outcome, _) = tokio::join!(Box::pin(judge(ports, request)), Tools::find());
    let mut outcome = outcome?;
    // What could not be stored here is not missing there.
    if outcome.verdict == Verdict::InputsMissing && outcome.error.as_deref().is_some_and(says_full) {
        return Err(ExecuteError::Full { path: ports.store.root().to_owned() }.into());
    }
    outcome.started_s = started_s;
    if let Some(key) = key {
        outcome.attach(ports, &request.image, &request.rebuilder_id, key).await;
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
    let mut outcome = Box::pin(job.run(&bytes, &believed)).await?;
    outcome.provenance = Some(believed);
    outcome.inputs_from = request.inputs;
    Ok(outcome)
}

/// What replays of one image share.
struct Ready<'a> {
    believed: &'a Believed,
    original: Image,
    transcript: Transcript,
    bases: Vec<Base>,
    checkout: SharedCheckout,
    builder: Builder,
    /// Drift that is put up with, by the recipe or the caller.
    accepted: Vec<Acceptance>,
}

struct Job<'a> {
    ports: &'a Ports,
    request: &'a Request,
    image: &'a ImageName,
    manifest: &'a Descriptor,
    evidence: &'a Evidence,
}

impl Job<'_> {
    fn outcome(&self, verdict: Verdict, error: impl Into<String>) -> Outcome {
        Outcome::new(self.manifest.clone(), verdict, Some(error.into()))
    }

    async fn run(&self, manifest: &[u8], believed: &Believed) -> Result<Outcome, RebuildError> {
        let ready = match self.ready(manifest, believed).await? {
            Ok(ready) => ready,
            Err(outcome) => return Ok(*outcome),
        };
        if self.request.inputs == InputsFrom::Live {
            return Box::pin(live::run(self, &ready)).await;
        }
        if !self.request.vary.is_empty() {
            return Box::pin(vary::run(self, &ready)).await;
        }
        let outcome = Box::pin(self.replay(&ready, &Variations::default(), true)).await?;
        if self.request.try_commit_clock {
            return Box::pin(remedy::attempt(self, &ready, outcome)).await;
        }
        Ok(outcome)
    }

    /// All that a replay needs; an answer where there can be none.
    async fn ready<'a>(
        &self,
        manifest: &[u8],
        believed: &'a Believed,
    ) -> Result<Result<Ready<'a>, Box<Outcome>>, RebuildError> {
        let say = |verdict, why: String| Ok(Err(Box::new(self.outcome(verdict, why))));
        let definition = &believed.provenance.definition;
        let original =
            match bases::complete(self.ports, self.image, self.manifest.clone(), manifest, false).await {
                Ok(original) => original.image,
                Err(bases::BaseError::Image { source, .. }) => {
                    return Err(RebuildError::NotAnImage { image: self.image.to_string(), source });
                }
                Err(error) => return say(Verdict::InputsMissing, chain(&error)),
            };
        self.ports.progress.update(Update::Phase("inputs", ""));
        let transcript = match self.transcript(believed).await {
            Ok(transcript) => transcript,
            Err(Incomplete(why)) => return say(Verdict::InputsMissing, why),
        };
        if self.request.inputs == InputsFrom::Replay
            && let Err(Incomplete(why)) = self.bodies(believed, &transcript).await?
        {
            return say(Verdict::InputsMissing, why);
        }
        let bases = match self.bases(definition).await {
            Ok(bases) => bases,
            Err(Incomplete(why)) => return say(Verdict::InputsMissing, why),
        };
        self.ports.progress.update(Update::Phase("source", ""));
        let checkout = match self.source(definition).await? {
            Ok(checkout) => checkout,
            Err(SourceError::TreeDiffers { expected, actual, .. }) => {
                let why = format!(
                    "--source has the tree {actual}, the provenance names {expected}: another source"
                );
                return say(Verdict::Unverifiable, why);
            }
            Err(error) => return say(Verdict::InputsMissing, chain(&error)),
        };
        if let Err(error) = check(definition) {
            return say(Verdict::Unbuildable, chain(&error));
        }
        let builder = match self.builder(definition).await? {
            Ok(builder) => builder,
            Err(Incomplete(why)) => return say(Verdict::InputsMissing, why),
        };
        let mut accepted = self.request.ignore.clone();
        accepted.extend(of_recipe(self.ports, &checkout, definition));
        Ok(Ok(Ready { believed, original, transcript, bases, checkout, builder, accepted }))
    }

    /// Runs the definition and judges what comes out; with `kept`, it is what `--keep` asks for.
    async fn replay(
        &self,
        ready: &Ready<'_>,
        varied: &Variations,
        kept: bool,
    ) -> Result<Outcome, RebuildError> {
        let definition = &ready.believed.provenance.definition;
        let original = kept.then_some(self.manifest.digest);
        let mode = Mode::Replay(ready.transcript.clone().into());
        let replayed = self.run_as(ready, definition, varied.clone(), (mode, original)).await?;
        Box::pin(self.judge(ready, replayed, (varied, kept), InputBodies::default())).await
    }

    /// Holds what was `replayed` against the original; `inputs` is what only one of them fetched.
    async fn judge(
        &self,
        ready: &Ready<'_>,
        replayed: Replayed,
        (varied, kept): (&Variations, bool),
        inputs: InputBodies,
    ) -> Result<Outcome, RebuildError> {
        let Ready { believed, builder, .. } = ready;
        let definition = &believed.provenance.definition;
        let builder_changed = verdict::builder_changed(definition, builder);
        let original = Original {
            name: self.image,
            manifest: self.manifest,
            image: ready.original.clone(),
            provenance: &believed.provenance,
            accepted: &ready.accepted,
            shifted_s: varied.time_s().unwrap_or_default(),
            inputs,
        };
        let kept_image = match (self.request.keep.as_ref().filter(|_| kept), replayed.image()) {
            (Some(dir), Some(rebuilt)) => self.keep(dir, &rebuilt.image).await,
            _ => Ok(()),
        };
        let mut outcome = original.compare(self.ports, replayed, builder_changed).await?;
        kept_image?;
        if kept {
            self.follow(&believed.provenance, &mut outcome).await;
        }
        outcome.logs = self.logs(believed, &outcome).await;
        outcome.builder = Some(builder.clone());
        outcome.inputs = ready.transcript.bodies().len();
        let (asked, given) = (definition.external.secrets.iter(), &self.request.secrets);
        outcome.secrets_missing = asked.filter(|id| !given.contains_key(*id)).cloned().collect();
        Ok(outcome)
    }

    /// What drifting steps said otherwise, if what they said then is beside the image.
    async fn logs(&self, believed: &Believed, outcome: &Outcome) -> Vec<LogDrift> {
        let Some(events) = believed.provenance.byproduct("events") else { return Vec::new() };
        if logs::drifting(outcome).is_empty() {
            return Vec::new();
        }
        match self.evidence.read(self.ports, &events, limits::LOG_COMPARED_SIZE_BYTES_MAX).await {
            Ok(Some(_)) => said_otherwise(self.ports, events, outcome).await, // It is in the store now.
            Ok(None) | Err(_) => Vec::new(),
        }
    }

    /// Replays `definition`, which is the recorded one but for what is tried.
    async fn run_again(
        &self,
        ready: &Ready<'_>,
        definition: &BuildDefinition,
        varied: Variations,
    ) -> Result<Replayed, RebuildError> {
        let mode = Mode::Replay(ready.transcript.clone().into());
        self.run_as(ready, definition, varied, (mode, None)).await
    }

    /// Runs `definition`; `original` is the manifest that it should come to, if drift is to be followed into stages.
    async fn run_as(
        &self,
        Ready { bases, checkout, builder, .. }: &Ready<'_>,
        definition: &BuildDefinition,
        varied: Variations,
        (mode, original): (Mode, Option<Digest>),
    ) -> Result<Replayed, RebuildError> {
        let (secrets, tools) = (&self.request.secrets, builder.tools.clone());
        let image = self.image.to_string();
        let original = original.map(HeldAgainst::Known);
        let gathered = Gathered { checkout, bases, secrets, tools, image, varied, original, pace: Pace::Own };
        replay::again(self.ports, definition, gathered, mode, &self.request.maxima).await
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
