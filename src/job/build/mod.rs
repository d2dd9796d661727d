//! `build`: from a commit to a pushed, attested image.

mod after;
mod check;
mod define;
mod environment;
mod failed;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use self::{
    after::{entry_of, tested},
    check::{Replaying, Tell},
    define::{Planned, define},
};
pub use self::{check::Checked, define::wanted, failed::Left};
use super::{
    Ports, SharedCheckout,
    assemble::Assembled,
    bases::BaseError,
    builder::BuilderError,
    configured::SignerError,
    evidence::{Believed, By, EvidenceError, Trust, chain},
    execute::{ExecuteError, Execution, Gathered, Kept, Secrets, execute},
    follow::Pace,
    inputs::{Bodies, InputsTo},
    live,
    plan::PlanError,
    publish::{PublishError, Publisher},
    test::{self, TestError},
};
use crate::{
    attest::{self, Provenance, RunDetails, Subject},
    buildroot::Tools,
    entry::Entry,
    gateway,
    model::{
        Descriptor, Digest, ImageName, Maxima, Repository, ResourceDescriptor, Secret, Taint, Variations,
        names,
    },
    progress::{Progress, Update},
    recipe::{self, RecipeError},
    signing::Signer,
    source::SourceError,
    store::{LogDir, StoreError},
};

/// What to build, as the caller chose it; flags already win over nothing, the recipe is read from the source.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Request {
    /// The commit.
    pub checkout: SharedCheckout,
    /// `--rev`, as asked for.
    pub rev: String,
    /// Where the image goes; has a tag.
    pub to: ImageName,
    /// Flags that stand above the recipe.
    pub overrides: Overrides,
    /// Signs the provenance; none only with `--no-sign`.
    pub key: Option<Signer>,
    /// `builder.id`.
    pub builder_id: String,
    /// What `git` may use of the caller's environment.
    pub env: Vec<(String, String)>,
    /// Where what was fetched is kept.
    pub inputs_to: InputsTo,
    /// Which bases are kept beside the image.
    pub keep_bases: KeepBases,
    /// Keep the source even if a remote has the commit.
    pub keep_source: bool,
    /// Whose provenance of buildroot and bases is believed; none: whatever it has.
    pub trust: Option<Trust>,
    /// Refuse bases that nobody mapped and nobody who is trusted vouches for.
    pub require_vetted: bool,
    /// For steps; their ids stand in the definition.
    pub secrets: Secrets,
    /// What it may use of the machine.
    pub maxima: Maxima,
    /// `--log-dir`: where the log of a failed build is put too.
    pub log_dir: Option<PathBuf>,
    /// `--push-log`: whether that is pushed.
    pub push_log: bool,
    /// `--check`: replays what was recorded and compares; who hears how that goes.
    pub check: Option<Arc<dyn Progress>>,
    /// `--test`: tries the recipe's tests in the image before the tag is written.
    pub test: bool,
    /// `Authorization` headers for what [`wanted`] said, by repository.
    pub credentials: BTreeMap<String, Secret>,
}

/// A credential that the recipe asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The repository's name.
    pub repository: String,
    /// Its host.
    pub host: String,
    /// Where the credential is.
    pub auth: recipe::Auth,
}

/// Flags of `build` that also have a key in the recipe.
#[derive(Debug, Default, Clone)]
pub struct Overrides {
    /// `--recipe`: path in the source; default `reprov.toml` if it exists.
    pub recipe: Option<String>,
    /// `--file`
    pub dockerfile: Option<String>,
    /// `--context`
    pub context: Option<String>,
    /// `--target`
    pub target: Option<String>,
    /// `--build-arg`
    pub build_args: BTreeMap<String, String>,
    /// `--platform`
    pub platform: String,
    /// `--allow`
    pub allow: Vec<Repository>,
    /// `--learn`
    pub learn: bool,
    /// `--from`
    pub from: BTreeMap<String, ImageName>,
    /// `--profile`
    pub profile: Option<String>,
    /// `--timeout`
    pub timeout: Option<String>,
    /// `--buildroot`
    pub buildroot: Option<recipe::Buildroot>,
    /// `--clock`
    pub clock: Option<recipe::Clock>,
}

/// Which base images are kept beside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepBases {
    /// None: they are found again by name.
    None,
    /// The one that the image stands on (its layers are in the image anyway).
    Final,
    /// All.
    All,
}

/// Why a build gave no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each passes on the error of its module")]
pub enum BuildError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("cannot use `{path}`")]
    Recipe { path: String, source: RecipeError },
    #[error("there is no `{0}` in the source at that commit")]
    NoRecipe(String),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("line {line}: base image `{written}`")]
    Base { line: u32, written: String, source: BaseError },
    #[error(transparent)]
    Bases(#[from] BaseError),
    #[error(transparent)]
    Layer(#[from] crate::layer::LayerError),
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Builder(#[from] BuilderError),
    #[error("repository `{0}` has `auth`, and no credential was given")]
    NoCredential(String),
    #[error(transparent)]
    Repositories(#[from] recipe::RepositoryError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    #[error("--require-vetted: {0}")]
    Unvetted(String),
    #[error("--test: the recipe has no [[test]]")]
    NoTests,
    #[error(transparent)]
    Test(#[from] TestError),
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The run.
    pub execution: Execution,
    /// Digest of the definition.
    pub definition: Digest,
    /// What was allowed, for the record.
    pub repositories: Vec<Repository>,
    /// Whether those were read from the base image, since nobody named any.
    pub repositories_from_base: bool,
    /// Referrer manifest of the provenance, and the statement's digest; none if the build failed.
    pub provenance: Option<(Digest, Digest)>,
    /// What the ledger remembers of it, if an image was pushed; without evidence if nothing was signed.
    pub entry: Option<Entry>,
    /// Whether it is signed.
    pub signed: bool,
    /// What became of the recorded bodies, if the image was pushed.
    pub bodies: Bodies,
    /// Why a good image was not pushed.
    pub unpushed: Option<BuildError>,
    /// What there is of a build without an image, or why it could not be kept.
    pub left: Option<Result<Left, BuildError>>,
    /// What `--check` came to, if an image was pushed.
    pub check: Option<Checked>,
    /// What `--test` came to, if an image was pushed; if one failed, the tag is where it was.
    pub tests: Option<test::Outcome>,
}

/// Builds, attests, pushes; tags last. A check replays meanwhile, where cores allow, a few seconds behind, and holds up
/// no tag: an image that drifts is an image.
///
/// # Errors
/// [`BuildError`] if it could not be tried or not be pushed; a failed build is an [`Outcome`].
pub async fn build(ports: &Ports, request: &Request) -> Result<Outcome, BuildError> {
    // The tools are wanted later: whoever asks first looks, and an error is found again then.
    let (planned, _) = tokio::join!(Box::pin(define(ports, request)), Tools::find());
    let planned = planned?;
    let check = request.check.as_ref();
    let (replaying, tell) =
        check.map(|progress| Replaying::prepare(ports, request, &planned, progress)).unzip();
    let made = Box::pin(make(ports, request, &planned, tell.unwrap_or_default())).await;
    let check = match (replaying, &made) {
        (Some(replaying), Ok(Made { execution, published: Some(Ok((believed, _))), .. })) => {
            replaying.judge(ports, request, execution, believed).await
        }
        (Some(replaying), _) => {
            replaying.abandon(ports).await;
            None
        }
        (None, _) => None,
    };
    let made = made?;
    Box::pin(made.outcome(ports, request, planned, check)).await
}

/// A run that was recorded, and what became of its image.
struct Made {
    execution: Execution,
    bodies: Bodies,
    /// The provenance beside the image, or why there is none; none if there is no image.
    published: Option<Result<(Believed, Option<test::Outcome>), BuildError>>,
}

/// Builds and records, then pushes; a replay is told how far that is.
async fn make(ports: &Ports, request: &Request, planned: &Planned, tell: Tell) -> Result<Made, BuildError> {
    let mode = gateway::Mode::Record {
        repositories: planned.definition.external.repositories.clone(),
        access: planned.access.clone(),
        learn: planned.definition.external.learn,
        proxies: ports.network.proxies.clone(),
        told: tell.leader.as_ref().map(|leader| leader.growing()),
    };
    let gathered = Gathered {
        checkout: &request.checkout,
        bases: &planned.bases,
        secrets: &request.secrets,
        tools: planned.tools.clone(),
        image: request.to.to_string(),
        varied: Variations::default(),
        original: None,
        pace: tell.leader.map_or(Pace::Own, Pace::Leads),
    };
    let definition = &planned.definition;
    let (execution, removing) = execute(ports, definition, gathered, mode, &request.maxima).await?;
    if let (Some(tell), Ok(image)) = (tell.image, &execution.outcome) {
        tell.send_replace(Some(image.manifest.digest));
    }
    let private = &execution.closed.private; // Fetched with credentials.
    let bodies = Bodies::sort(execution.closed.transcript.bodies(), &request.inputs_to, |digest| {
        private.contains(digest)
    });
    let published = match &execution.outcome {
        Ok(assembled) => Some(publish(ports, request, planned, &execution, assembled, &bodies).await),
        Err(_) => None,
    };
    removing.end(ports).await;
    Ok(Made { execution, bodies, published })
}

impl Made {
    async fn outcome(
        self,
        ports: &Ports,
        request: &Request,
        planned: Planned,
        check: Option<Checked>,
    ) -> Result<Outcome, BuildError> {
        let Self { mut execution, bodies, published } = self;
        let (published, unpushed) = match published.transpose() {
            Ok(published) => (published, None),
            Err(error) => (None, Some(error)),
        };
        let (believed, tests) = published.unzip();
        let provenance = believed.as_ref().map(|it| (it.referrer, Digest::of(&it.statement.to_bytes())));
        let entry = believed.as_ref().zip(execution.outcome.as_ref().ok());
        let tests = tests.flatten();
        let tagged = tests.as_ref().is_none_or(test::Outcome::passed);
        let entry = entry.and_then(|(believed, made)| entry_of(request, believed, made, tagged));
        let reason = match (&execution.outcome, &unpushed) {
            (Err(failure), _) => Some(failure.reason.clone()),
            (Ok(_), Some(error)) => Some(format!("the image was not pushed: {}", chain(error))),
            (Ok(_), None) => None,
        };
        let left = match (execution.dir.take(), reason) {
            (Some(dir), Some(reason)) => {
                Some(failed::leave(ports, request, &planned, &execution, (dir, &reason)).await)
            }
            (dir, _) => {
                live::settled(ports.progress.as_ref(), dir.map_or(Ok(()), LogDir::discard)); // The image has it.
                None
            }
        };
        Ok(Outcome {
            execution,
            definition: planned.definition.digest(),
            repositories: planned.definition.external.repositories,
            repositories_from_base: planned.repositories_from_base,
            provenance,
            entry,
            signed: request.key.is_some(),
            bodies,
            unpushed,
            left,
            check,
            tests,
        })
    }
}

/// Pushes the image and all that a rebuild needs, attests, tests, tags; what is attested, and what came of the tests. An image
/// that fails gets no tag.
async fn publish(
    ports: &Ports,
    request: &Request,
    planned: &Planned,
    execution: &Execution,
    assembled: &Assembled,
    bodies: &Bodies,
) -> Result<(Believed, Option<test::Outcome>), BuildError> {
    let base = planned.final_base.map(|index| &planned.bases[index]);
    ports.progress.update(Update::Phase("push", &request.to.to_string()));
    let publisher = Publisher::new(ports, &request.to, assembled.manifest.clone());
    publisher.image(&assembled.image, base.map(|base| &base.name)).await?;
    let put = |bytes: Vec<u8>| -> Result<Kept, StoreError> {
        Ok(Kept { digest: ports.store.put(&bytes)?, size: bytes.len() as u64 })
    };
    let transcript = put(execution.closed.transcript.to_jsonl())?;
    let events = execution.events;
    publisher.kept(names::LOG, execution.log).await?;
    publisher.kept(names::EVENTS, events).await?;
    publisher.kept(names::TRANSCRIPT, transcript).await?;
    let keepers = keep_inputs(ports, request, &publisher, bodies).await?;
    for (index, base) in planned.bases.iter().enumerate() {
        if request.keep_bases == KeepBases::All
            || (request.keep_bases == KeepBases::Final && planned.final_base == Some(index))
        {
            publisher.base(base).await?;
        }
    }
    if let Some((digest, size)) = pack_source(ports, request)? {
        publisher.kept(names::SOURCE, Kept { digest, size }).await?;
    }
    let mut byproducts = vec![("log", names::LOG, execution.log), ("events", names::EVENTS, events)];
    byproducts.push(("transcript", names::TRANSCRIPT, transcript));
    byproducts.extend(execution.lowered.map(|kept| ("dockerfile-lowered", "application/json", kept)));
    byproducts.extend(execution.layers.map(|kept| ("layers", "application/json", kept)));
    for (_, media_type, kept) in
        byproducts.iter().filter(|(name, ..)| matches!(*name, "dockerfile-lowered" | "layers"))
    {
        publisher.kept(media_type, *kept).await?;
    }
    let byproducts = byproducts.into_iter().map(descriptor).chain(keepers).collect();
    let run = run_details(request, planned, execution, inputs(execution, bodies), byproducts);
    let subject = Subject::new(request.to.repository(), &assembled.manifest.digest);
    let statement = attest::provenance(&planned.definition, &run, &[subject]);
    let attached = publisher.statement(&statement, request.key.as_ref()).await?;
    let tests = tested(ports, request, planned, assembled).await?;
    if tests.as_ref().is_none_or(test::Outcome::passed) {
        publisher.tag(&request.to, &assembled.image).await?;
    }
    let provenance = Provenance { definition: planned.definition.clone(), run };
    Ok((Believed { provenance, referrer: attached.digest, statement, by: By::Key }, tests))
}

/// The source as a deterministic pack, if nobody else keeps it.
fn pack_source(ports: &Ports, request: &Request) -> Result<Option<(Digest, u64)>, BuildError> {
    let checkout = request.checkout.lock();
    let reachable = checkout.submodules().iter().all(|submodule| submodule.uri.is_some());
    if checkout.uri().is_some() && reachable && !checkout.dirty() && !request.keep_source {
        return Ok(None);
    }
    let mut writer = ports.store.writer()?;
    checkout.pack(&mut writer)?;
    Ok(Some(writer.finish()?))
}

fn descriptor((name, media_type, kept): (&str, &str, Kept)) -> ResourceDescriptor {
    ResourceDescriptor {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        digest: [("sha256".to_owned(), kept.digest.hex())].into(),
        ..ResourceDescriptor::default()
    }
}

/// Pushes the bodies that are not to stay here; how to find them, where that is not beside the image.
async fn keep_inputs(
    ports: &Ports,
    request: &Request,
    publisher: &Publisher<'_>,
    bodies: &Bodies,
) -> Result<Vec<ResourceDescriptor>, BuildError> {
    ports.progress.update(Update::Phase("inputs", &bodies.to_string()));
    let InputsTo::Place(place) = &request.inputs_to else {
        publisher.inputs(&bodies.pushed).await?;
        return Ok(Vec::new());
    };
    let elsewhere = publisher.elsewhere(place);
    let parts = elsewhere.inputs(&bodies.pushed).await?;
    elsewhere.list().await?;
    let keeper = |part: Descriptor| ResourceDescriptor {
        uri: crate::model::reference::uri(&place.at(part.digest)),
        ..descriptor(("inputs", names::INPUTS, Kept { digest: part.digest, size: part.size }))
    };
    Ok(parts.into_iter().map(keeper).collect())
}

/// What the statement of a build says of its run, whatever came of it.
fn run_details(
    request: &Request,
    planned: &Planned,
    execution: &Execution,
    inputs: Vec<ResourceDescriptor>,
    byproducts: Vec<ResourceDescriptor>,
) -> RunDetails {
    RunDetails {
        builder_id: request.builder_id.clone(),
        reprov_version: env!("CARGO_PKG_VERSION").to_owned(),
        invocation_id: execution.build.clone(),
        started_on_s: execution.started_s,
        finished_on_s: execution.finished_s,
        inputs,
        byproducts,
        tainted: tainted(planned, execution),
    }
}

/// Every recorded answer, and whether this machine alone keeps it.
/// Every recorded answer, and whether this machine alone keeps it.
fn inputs(execution: &Execution, bodies: &Bodies) -> Vec<ResourceDescriptor> {
    let mut inputs = execution.closed.transcript.inputs();
    for input in &mut inputs {
        if input.sha256().is_some_and(|digest| bodies.local.contains_key(&digest)) {
            input.annotations.insert("kept".to_owned(), "local".into());
        }
    }
    inputs
}

fn tainted(planned: &Planned, execution: &Execution) -> Vec<String> {
    let mut reasons: BTreeSet<_> = execution.closed.transcript.tainted().iter().cloned().collect();
    if planned.definition.external.learn {
        reasons.insert(Taint::Learn.code().to_owned());
    }
    reasons.into_iter().collect()
}
