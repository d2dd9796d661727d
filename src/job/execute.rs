//! The one function that runs a [`BuildDefinition`], for `build` (record) and `rebuild` (replay) alike.
#![expect(clippy::disallowed_methods, reason = "lays out what the cage sees")]

use std::{
    collections::BTreeMap,
    fs, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;

use super::{
    Ports, SharedCheckout,
    assemble::{AssembleError, Assembled},
    bases::{self, Base, BaseError},
    check::{DefinitionError, check},
    log::Log,
    plan::{Plan, PlanError},
    result::EngineResult,
    track::{Instruction, Tracker},
};
use crate::{
    attest::{BuildDefinition, OnRefused},
    buildroot::{BuildrootError, Ended, Ids, Profile, Tools, Workspace, enter},
    engine::{BuildRequest, Buildah, Engine},
    gateway::{Ca, Closed, Gateway, GatewayError, Mode, Options, StepRef, Traffic},
    host, layer,
    model::{Digest, Secret, json::canonical},
    progress::Update,
    store::StoreError,
    transcript::Event,
};

/// Why a build could not be tried, or its result not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The definition.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// Dockerfile and definition.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The source.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// The cage.
    #[error(transparent)]
    Buildroot(#[from] BuildrootError),
    /// A base.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine's result.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The rules profile.
    #[error(transparent)]
    Layer(#[from] layer::LayerError),
    /// The disk.
    #[error("cannot prepare the build in `{}`", path.display())]
    Io {
        /// Where.
        path: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The user's ctrl-c.
    #[error("cancelled")]
    Cancelled,
}

impl ExecuteError {
    /// Whether definition and source are at fault: no other try with the same ones goes better.
    #[must_use]
    pub fn of_definition(&self) -> bool {
        match self {
            Self::Source(error) | Self::Plan(PlanError::Source(error)) => !error.unavailable(),
            Self::Definition(_) | Self::Layer(_) | Self::Plan(_) => true,
            _ => false,
        }
    }
}

/// Host name of every step: a constant, so that a step that prints it stays the same.
pub const HOSTNAME: &str = "reprov";

/// Secrets by id, for `RUN --mount=type=secret`.
pub type Secrets = BTreeMap<String, Secret>;

/// What a step finds for a secret that was recorded but is not at hand.
const DUMMY_SECRET: &[u8] = b"reprov-dummy-secret\n";

/// A blob of the store that belongs to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// What came of a run.
#[derive(Debug)]
pub struct Execution {
    /// The image, or why there is none.
    pub outcome: Result<Assembled, Failure>,
    /// The engine's output.
    pub log: Kept,
    /// What the gateway saw.
    pub closed: Closed,
    /// Steps and refusals in order of time.
    pub events: Vec<Event>,
    /// How often the runtime shim started a step.
    pub steps_run: usize,
    /// The Dockerfile as the engine saw it, if it had to be lowered, and the list of edits.
    pub lowered: Option<Kept>,
    /// Canonical diffIDs of every stage's layers, each with its instruction; of a recorded run only.
    pub layers: Option<Kept>,
    /// The engine and its version.
    pub engine: String,
    /// Seconds since 1970.
    pub started_s: i64,
    /// Seconds since 1970.
    pub finished_s: i64,
}

/// Why a build failed: the engine's word, not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In a sentence.
    pub reason: String,
    /// Where.
    pub instruction: Option<Instruction>,
    /// The last lines of the log.
    pub tail: String,
}

/// Runs `definition` on `checkout` and `bases` with `tools`; `mode` says whether the gateway records or replays. Steps find a dummy
/// for what is not among `secrets`.
///
/// # Errors
/// [`ExecuteError`] if the build could not be tried; a build that failed is an [`Execution`] with a [`Failure`].
pub async fn execute(
    ports: &Ports,
    definition: &BuildDefinition,
    checkout: &SharedCheckout,
    bases: &[Base],
    secrets: &Secrets,
    tools: Tools,
    mode: Mode,
) -> Result<Execution, ExecuteError> {
    check(definition)?;
    let profile = layer::Profile::named(&definition.external.normalize.profile)?;
    let plan = Plan::of(definition, checkout, bases)?;
    let ids = Ids::find(ports.store.root())?;
    let root = ports.store.root().to_owned();
    let workspace = Workspace::create(&root, root.join("blobs/sha256"), ids, tools).await?;
    let run = Run { ports, definition, plan: &plan, secrets, profile, workspace: &workspace };
    let execution = run.execute(checkout, bases, mode).await;
    let removed = workspace.remove().await;
    let execution = execution?;
    removed?;
    Ok(execution)
}

struct Run<'a> {
    ports: &'a Ports,
    definition: &'a BuildDefinition,
    plan: &'a Plan,
    secrets: &'a Secrets,
    profile: layer::Profile,
    workspace: &'a Workspace,
}

impl Run<'_> {
    async fn execute(
        &self,
        checkout: &SharedCheckout,
        bases: &[Base],
        mode: Mode,
    ) -> Result<Execution, ExecuteError> {
        let ca = Ca::generate()?;
        let records = matches!(mode, Mode::Record { .. }); // A rebuild attests no byproducts.
        self.prepare(checkout, &ca)?;
        let engine = self.engine();
        self.ports.progress.update(Update::Phase("bases", ""));
        bases::load(self.ports, self.workspace, &engine, bases).await?;
        let started_s = host::now_s();
        let (ended, log, closed, tracker) = self.build(&engine, ca, mode).await?;
        let mut execution = Execution {
            outcome: Err(Failure {
                reason: String::new(),
                instruction: tracker.current(),
                tail: log.tail.text(),
            }),
            log: log.kept,
            events: merged(log.events, &closed),
            closed,
            steps_run: self.workspace.steps()?.lines().filter(|line| line.starts_with("{\"args\"")).count(),
            lowered: self.keep_lowered()?,
            layers: None,
            engine: self.workspace.engine_name(),
            started_s,
            finished_s: 0,
        };
        if let Some(failure) = self.failure(ended, &execution)? {
            execution.outcome = Err(failure);
        } else {
            self.ports.progress.update(Update::Phase("layers", ""));
            let Run { ports, definition, plan, workspace, .. } = *self;
            let result = EngineResult { ports, definition, plan, workspace, engine: &engine, bases };
            let image = result.image(&self.profile).await?;
            if records {
                execution.layers = Some(result.keep_layers(&self.profile, &image, &tracker.images()).await?);
            }
            execution.outcome = Ok(image);
        }
        execution.finished_s = host::now_s();
        Ok(execution)
    }

    fn engine(&self) -> Buildah {
        Buildah { program: self.workspace.engine_program(), root: self.workspace.root() }
    }

    /// Context, Dockerfile, lowered files and profile, owned by the cage's root.
    fn prepare(&self, checkout: &SharedCheckout, ca: &Ca) -> Result<(), ExecuteError> {
        let dir = self.workspace.dir();
        let failed = |source| ExecuteError::Io { path: dir.into(), source };
        checkout.lock().export(
            &dir.join("context"),
            &self.definition.external.context,
            &self.definition.external.dockerfile,
        )?;
        let external = &self.definition.external;
        if external.git.is_some() {
            checkout.lock().export_git(&dir.join("context/.git"), &external.context, &external.dockerfile)?;
        }
        fs::write(dir.join("Dockerfile"), &self.plan.lowered.text).map_err(failed)?;
        let mut files = Vec::new();
        for file in &self.plan.lowered.files {
            if file.path.starts_with("run/") {
                files.push((file.path.clone(), file.bytes.clone(), file.mode));
                continue;
            }
            let path = dir.join("lowered").join(&file.path);
            fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(failed)?;
            fs::write(&path, &file.bytes).map_err(failed)?;
            set_time(&path, self.definition.internal.epoch).map_err(failed)?;
        }
        let env = self.definition.internal.env.clone().into_iter().collect();
        let secrets = self.definition.external.secrets.iter();
        let secrets = secrets.map(|id| self.secrets.get(id).map_or(DUMMY_SECRET, Secret::expose));
        self.workspace.write_secrets(secrets)?;
        self.workspace.write_profile(&Profile { ca_pem: ca.pem(), env, files })?;
        Ok(self.workspace.hand_over()?)
    }

    async fn build(
        &self,
        engine: &Buildah,
        ca: Ca,
        mode: Mode,
    ) -> Result<(Ended, Log, Closed, Arc<Tracker>), ExecuteError> {
        let tracker = Arc::new(Tracker::new(self.plan.instructions.clone()));
        let mut cage =
            enter(self.workspace.spec(&[engine.build(&self.request())], true, false)?, self.workspace.ids())
                .await?;
        let listener = cage.listener.take();
        let listener = listener.ok_or_else(|| BuildrootError::Cage("no listening socket came out".into()))?;
        let gateway = Gateway::start(listener, self.gateway_options(&tracker, ca, mode))?;
        let log = Arc::new(Mutex::new(Log::start(&self.ports.store)?));
        let (sink, follow, ports) = (log.clone(), tracker.clone(), self.ports.clone());
        let timeout = self.plan.timeout;
        let ended = cage
            .wait(timeout, &self.ports.cancel, move |line| {
                sink.lock().unwrap_or_else(PoisonError::into_inner).line(line, &follow, &ports)
            })
            .await;
        let closed = gateway.close().await;
        let log =
            Arc::into_inner(log).ok_or_else(|| BuildrootError::Cage("the log is still in use".into()))?;
        let mut log = log.into_inner().unwrap_or_else(PoisonError::into_inner);
        log.finish()?;
        Ok((ended?, log, closed, tracker))
    }

    fn request(&self) -> BuildRequest {
        let external = &self.definition.external;
        BuildRequest {
            target: external.target.clone(),
            build_args: external.build_args.clone(),
            platform: external.platform.clone(),
            pinned: self.plan.pinned.clone(),
            secrets: external
                .secrets
                .iter()
                .enumerate()
                .map(|(index, id)| (id.clone(), self.workspace.secret(index)))
                .collect(),
            heredocs: self.plan.lowered.files.iter().any(|file| file.path.starts_with("copy/")),
        }
    }

    fn gateway_options(&self, tracker: &Arc<Tracker>, ca: Ca, mode: Mode) -> Options {
        let (follow, progress) = (tracker.clone(), self.ports.progress.clone());
        let announcements = self.workspace.announcements();
        let checksums = self.plan.lowered.checksums.iter().map(|sum| (sum.url.clone(), sum.digest)).collect();
        Options {
            mode,
            store: self.ports.store.clone(),
            ca,
            checksums,
            step: Arc::new(move || {
                // Without the announcements nobody knows who asks; better no line than a wrong one.
                let step = follow.requester(&announcements.read().ok()?);
                step.map(|step| StepRef { step: step.text, line: Some(step.line) })
            }),
            now: Arc::new(host::now),
            progress: Some(Arc::new(move |traffic: Traffic| {
                progress.update(Update::Traffic { count: traffic.answers, bytes: traffic.size_bytes });
            })),
            extra_roots: Vec::new(),
        }
    }

    /// Why there is no image, if there is none.
    fn failure(&self, ended: Ended, execution: &Execution) -> Result<Option<Failure>, ExecuteError> {
        let fail = |reason: String| {
            let before = execution.outcome.as_ref().err();
            Ok(Some(Failure {
                reason,
                instruction: before.and_then(|failure| failure.instruction.clone()),
                tail: before.map(|failure| failure.tail.clone()).unwrap_or_default(),
            }))
        };
        match ended {
            Ended::Cancelled => Err(ExecuteError::Cancelled),
            Ended::TimedOut => fail(format!("not finished after {}", self.definition.external.timeout)),
            Ended::Exited(0) => {
                let refused = &execution.closed.refused;
                if refused.is_empty() || self.definition.external.on_refused == OnRefused::Record {
                    return Ok(None);
                }
                let failure = fail(format!("{} refused request(s)", refused.len()));
                let asked = refused.iter().filter_map(|refusal| Some((refusal.line?, refusal.step.clone()?)));
                let first = asked.min().map(|(line, text)| Instruction { line, text });
                failure.map(|failure| failure.map(|failure| Failure { instruction: first, ..failure }))
            }
            Ended::Exited(code) => fail(format!("the engine ended with exit code {code}")),
        }
    }

    fn keep_lowered(&self) -> Result<Option<Kept>, ExecuteError> {
        if self.plan.lowered.edits.is_empty() {
            return Ok(None);
        }
        let value = json!({
            "dockerfile": String::from_utf8_lossy(&self.plan.lowered.text),
            "edits": self.plan.lowered.edits,
        });
        let bytes = canonical(&value);
        Ok(Some(Kept { digest: self.ports.store.put(&bytes)?, size: bytes.len() as u64 }))
    }
}

fn merged(mut steps: Vec<Event>, closed: &Closed) -> Vec<Event> {
    steps.extend(closed.events.iter().cloned());
    steps.sort_by(|a, b| a.time.cmp(&b.time)); // Stable: within a second each source keeps its order.
    steps
}

fn set_time(path: &std::path::Path, epoch_s: i64) -> io::Result<()> {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(epoch_s.max(0).unsigned_abs());
    fs::File::options().write(true).open(path)?.set_modified(time)
}
