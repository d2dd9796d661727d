//! The one function that runs a [`BuildDefinition`], for `build` (record) and `rebuild` (replay) alike.
#![expect(clippy::disallowed_methods, reason = "lays out what the cage sees")]

mod error;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::error::ExecuteError;
use super::{
    Ports, SharedCheckout,
    assemble::Assembled,
    bases::{self, Base},
    check::check,
    configured,
    failure::{self, Failure},
    follow::Pace,
    live::{self, Live, SharedLog},
    log::Log,
    plan::Plan,
    result::EngineResult,
    track::Tracker,
};
use crate::{
    attest::{BuildDefinition, Clock},
    buildroot::{self, BuildrootError, Ended, Gate, Ids, Profile, Tools, Workspace, enter},
    compute,
    engine::{BuildRequest, Buildah, Engine, GIT_DIRECTORY, Hint},
    gateway::{Ca, Closed, Gateway, Mode, Options, StepRef, Traffic},
    host, layer,
    model::{Allowance, Digest, Limit, Maxima, Secret, Variation, Variations, json::canonical, vary},
    progress::Update,
    report,
    store::{LogDir, StoreError},
};

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

impl Default for Kept {
    /// Nothing, which has a digest too.
    fn default() -> Self {
        Self { digest: Digest::of(b""), size: 0 }
    }
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
    /// All that happened, in order.
    pub events: Kept,
    /// Names this run.
    pub build: String,
    /// Where its log lies until somebody else keeps it.
    pub dir: Option<LogDir>,
    /// Exit code of the engine, if it ended by itself.
    pub exit_code: Option<u8>,
    /// How often the runtime shim started a step.
    pub steps_run: usize,
    /// The Dockerfile as the engine saw it, if it had to be lowered, and the list of edits.
    pub lowered: Option<Kept>,
    /// Canonical diffIDs of every stage's layers, each with its instruction; of a recorded run, and of one that drifts.
    pub layers: Option<Kept>,
    /// The engine and its version.
    pub engine: String,
    /// Seconds since 1970.
    pub started_s: i64,
    /// Seconds since 1970.
    pub finished_s: i64,
    /// The limits in force.
    pub allowance: Allowance,
    /// The longest run, in seconds.
    pub timeout_s: u64,
    /// Whether the log is not all that was said.
    pub log_truncated: bool,
}

impl Execution {
    /// The limits it ran in, for an answer; `fetches` if its gateway recorded.
    #[must_use]
    pub fn limits(&self, fetches: bool) -> report::Limits {
        let hit = self.outcome.as_ref().err().and_then(|failure| failure.exceeded.as_ref());
        report::Limits::new(&self.allowance, self.timeout_s, fetches, hit)
    }
}

/// The build's directory on its way out; large, so the caller does something else meanwhile.
#[derive(Debug)]
#[must_use]
pub struct Removing(tokio::task::JoinHandle<Result<(), BuildrootError>>);

impl Removing {
    /// Waits for its end. What could not be removed is told, and goes with the next build.
    pub async fn end(self, ports: &Ports) {
        let removed = self.0.await.map_err(|error| BuildrootError::Cage(error.to_string()));
        if let Err(error) = removed.and_then(|removed| removed) {
            let text = format!("the build's directory is still there: {}", super::evidence::chain(&error));
            ports.progress.update(Update::Warning(&text));
        }
    }
}

/// What a definition names, at hand.
#[derive(Debug)]
pub struct Gathered<'a> {
    /// The commit.
    pub checkout: &'a SharedCheckout,
    /// Base images, whole in the store.
    pub bases: &'a [Base],
    /// Steps find a dummy for what is not among them.
    pub secrets: &'a Secrets,
    /// Engine and runtime.
    pub tools: Tools,
    /// What is built or built again, for people.
    pub image: String,
    /// What is done otherwise than the definition says, on purpose; nothing of it is in the definition.
    pub varied: Variations,
    /// The manifest that it is held against: if another comes out, the layers of every stage are kept, as of a recorded run.
    pub original: Option<HeldAgainst>,
    /// Whether it follows another run, or another one it: that one ends as soon as the engine is done and its run is
    /// good, when the result is still to be packed.
    pub(super) pace: Pace,
}

/// A manifest that the result of a run should be.
#[derive(Debug, Clone)]
pub enum HeldAgainst {
    /// It is there.
    Known(Digest),
    /// It is still being made; whoever makes it sends its digest, or drops the sender where there is none.
    Soon(watch::Receiver<Option<Digest>>),
}

impl HeldAgainst {
    /// Whether `manifest` is another one; not, where there is none.
    pub(super) async fn differs(&self, manifest: &Digest) -> bool {
        match self {
            Self::Known(original) => original != manifest,
            Self::Soon(told) => {
                let mut told = told.clone();
                let original = told.wait_for(Option::is_some).await;
                original.is_ok_and(|original| original.as_ref() != Some(manifest))
            }
        }
    }
}

/// Runs `definition` on what was `gathered`; `mode` says whether the gateway records or replays. What the build may use
/// is `maxima`, else this machine's default, whatever the definition says: it may be a stranger's.
///
/// # Errors
/// [`ExecuteError`] if the build could not be tried; a build that failed is an [`Execution`] with a [`Failure`].
pub async fn execute(
    ports: &Ports,
    definition: &BuildDefinition,
    gathered: Gathered<'_>,
    mode: Mode,
    maxima: &Maxima,
) -> Result<(Execution, Removing), ExecuteError> {
    check(definition)?;
    let Gathered { checkout, bases, secrets, tools, image, varied, original, pace } = gathered;
    let profile = layer::Profile::named(&definition.external.normalize.profile)?;
    let plan = Plan::of(definition, checkout, bases)?;
    let root = ports.store.root().to_owned();
    let ids = if varied.has(Variation::Uid) { Ids::another(&root)? } else { Ids::find(&root)? };
    let allowance = pace.allows(buildroot::allowance(&root, maxima)?);
    let workspace = Workspace::create(&root, root.join("blobs/sha256"), ids, tools).await?.within(&allowance);
    let workspace = workspace.varied(&varied)?;
    let builds = matches!(mode, Mode::Record { .. }) && original.is_none();
    let live = Live::begin(ports, definition, &image, builds)?;
    let run = Run {
        ports,
        definition,
        plan: &plan,
        secrets,
        profile,
        workspace: &workspace,
        allowance,
        varied,
        original,
        pace,
    };
    let execution = run.execute(checkout, bases, mode, &live).await;
    let removing = Removing(tokio::spawn(workspace.remove()));
    match live.end(ports, execution) {
        Ok(execution) => Ok((execution, removing)),
        Err(error) => {
            removing.end(ports).await;
            Err(error)
        }
    }
}

struct Run<'a> {
    ports: &'a Ports,
    definition: &'a BuildDefinition,
    plan: &'a Plan,
    secrets: &'a Secrets,
    profile: layer::Profile,
    workspace: &'a Workspace,
    allowance: Allowance,
    varied: Variations,
    original: Option<HeldAgainst>,
    pace: Pace,
}

impl Run<'_> {
    async fn execute(
        &self,
        checkout: &SharedCheckout,
        bases: &[Base],
        mode: Mode,
        live: &Live,
    ) -> Result<Execution, ExecuteError> {
        let ca = Ca::generate()?;
        let records = matches!(mode, Mode::Record { .. });
        let gate = self.prepare(checkout, &ca)?;
        let tracker = Arc::new(Tracker::new(self.plan.instructions.clone()));
        let announced = (tracker.clone(), self.workspace.announcements());
        let log = live.start(&self.ports.store, announced, self.secrets, &self.bounds())?;
        log.lock().pace(self.pace.clone());
        let engine = self.engine();
        self.ports.progress.update(Update::Phase("bases", ""));
        bases::load(self.ports, self.workspace, &engine, bases).await?;
        let started_s = host::now_s();
        let building = self.build(&engine, (ca, mode, gate), (&log, &tracker));
        let (built, ()) = tokio::join!(building, self.read_ahead(bases, records));
        let (ended, closed) = built?;
        let (mut execution, mounts) = self.ran(&log, ended, closed)?;
        (execution.build, execution.started_s) = (live.build().to_owned(), started_s);
        // The gateway ends a build too.
        let ended_here = ended == Ended::Cancelled && execution.closed.exceeded.is_none();
        if ended_here || self.ports.cancel.is_cancelled() {
            return Err(ExecuteError::Cancelled);
        }
        live::say_unreached(&*self.ports.progress, &log.lock().unreached);
        let external = &self.definition.external;
        if let Some(failure) = failure::judge(ended, &execution, external, || self.ports.store.room_bytes()) {
            execution.outcome = Err(failure);
        } else {
            if let Pace::Leads(leader) = &self.pace {
                leader.end(execution.closed.transcript.clone());
            }
            self.ports.progress.update(Update::Phase("layers", ""));
            let Run { ports, definition, plan, workspace, .. } = *self;
            let mounts = &mounts;
            let result = EngineResult { ports, definition, plan, workspace, engine: &engine, bases, mounts };
            let made = async {
                let image = result.image(&self.profile).await?;
                if records && self.original.is_none() {
                    result.warn_of_drops(&image).await?;
                }
                let drifts = match &self.original {
                    Some(original) => original.differs(&image.manifest.digest).await,
                    None => false,
                };
                let layers = if records || drifts {
                    Some(result.keep_layers(&self.profile, &image).await?)
                } else {
                    None
                };
                Ok((image, layers))
            };
            match made.await {
                Ok((image, layers)) => (execution.outcome, execution.layers) = (Ok(image), layers),
                Err(ExecuteError::Exceeded(exceeded)) => {
                    execution.outcome = execution.outcome.map_err(|failure| failure.of(exceeded));
                }
                Err(error) => return Err(error),
            }
        }
        execution.finished_s = host::now_s();
        Ok(execution)
    }

    /// What a run of the engine was, before it is judged; and where its steps had mounts.
    fn ran(
        &self,
        log: &SharedLog,
        ended: Ended,
        closed: Closed,
    ) -> Result<(Execution, BTreeSet<String>), ExecuteError> {
        let log = log.lock();
        let execution = Execution {
            outcome: Err(Failure::at(log.at_work(), log.tail.text(), self.hints(&log)?)),
            log: log.kept,
            events: Kept::default(),
            build: String::new(),
            dir: None,
            exit_code: if let Ended::Exited(code) = ended { Some(code) } else { None },
            closed,
            steps_run: log.steps_run,
            lowered: self.keep_lowered()?,
            layers: None,
            engine: self.workspace.engine_name(),
            started_s: 0,
            finished_s: 0,
            allowance: self.allowance,
            timeout_s: self.plan.timeout.as_secs(),
            log_truncated: log.truncated,
        };
        Ok((execution, log.mounts.clone()))
    }

    /// Reads while the engine runs what its result will be held against. What cannot be read is found again then.
    async fn read_ahead(&self, bases: &[Base], records: bool) {
        let stages = if records { &self.plan.stages[..] } else { std::slice::from_ref(self.plan.result()) };
        let needed: BTreeSet<usize> = stages.iter().filter_map(|stage| stage.base).collect();
        let needed = needed.into_iter().map(|index| bases[index].clone()).collect();
        let store = self.ports.store.clone();
        compute::each(needed, move |base: Base| drop(base.contents(&store))).await;
    }

    fn engine(&self) -> Buildah {
        Buildah { program: self.workspace.engine_program(), root: self.workspace.root() }
    }

    /// Context, Dockerfile, lowered files and profile, owned by the cage's root; and where its steps ask, if they do.
    fn prepare(&self, checkout: &SharedCheckout, ca: &Ca) -> Result<Option<Gate>, ExecuteError> {
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
        files.extend(configured::files(checkout, &external.repositories)?);
        let mut env = self.definition.internal.env.clone();
        if self.varied.has(Variation::Locale) {
            env.insert("LANG".to_owned(), vary::LANG.to_owned());
        }
        let env = env.into_iter().collect();
        let secrets = self.definition.external.secrets.iter();
        let secrets = secrets.map(|id| self.secrets.get(id).map_or(DUMMY_SECRET, Secret::expose));
        self.workspace.write_secrets(secrets)?;
        let clock = match external.clock {
            Clock::Commit => Some(buildroot::Clock::Stands(self.definition.internal.epoch)),
            Clock::Real => self.varied.time_s().map(buildroot::Clock::Shifted),
        };
        self.workspace.write_profile(&Profile { ca_pem: ca.pem(), env, files, clock })?;
        let gate = self.pace.is_held().then(|| self.workspace.gate()).transpose()?;
        self.workspace.hand_over()?;
        Ok(gate)
    }

    async fn build(
        &self,
        engine: &Buildah,
        (ca, mode, gate): (Ca, Mode, Option<Gate>),
        (log, tracker): (&SharedLog, &Arc<Tracker>),
    ) -> Result<(Ended, Closed), ExecuteError> {
        let mut cage =
            enter(self.workspace.spec(&[engine.build(&self.request())], true, &[])?, self.workspace.ids())
                .await?;
        log.lock().event(&live::entered(self.workspace, &self.varied));
        let listener = cage.listener.take();
        let listener = listener.ok_or_else(|| BuildrootError::Cage("no listening socket came out".into()))?;
        let stop = self.ports.cancel.child_token();
        let options = self.gateway_options((log, tracker), ca, mode, stop.clone());
        let gateway = Gateway::start(listener, options)?;
        let progress = self.ports.progress.clone();
        let limit = self.pace.limit(self.plan.timeout);
        let heard = || {
            log.lock().settle_all();
        };
        let waiting = cage.wait(limit, &stop, |line| log.lock().line(line, progress.as_ref()));
        let ended = tokio::select! {
            ended = waiting => ended,
            error = self.pace.hold(gate, heard) => Err(error),
            error = log.tick() => Err(error),
        };
        let closed = gateway.close().await;
        log.lock().finish(self.ports.progress.as_ref())?;
        Ok((ended?, closed))
    }

    /// The limits in force, by name.
    fn bounds(&self) -> Vec<(&'static str, u64)> {
        let timeout_s = (Limit::Time.name(), self.plan.timeout.as_secs());
        self.allowance.in_force().into_iter().chain([timeout_s]).collect()
    }

    /// What the log says, but for what was done already.
    fn hints(&self, log: &Log) -> Result<Vec<Hint>, StoreError> {
        let mut hints = log.hints(&self.ports.store)?;
        hints.retain(|hint| hint.code != GIT_DIRECTORY || self.definition.external.git.is_none());
        Ok(hints)
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

    fn gateway_options(
        &self,
        (log, tracker): (&SharedLog, &Arc<Tracker>),
        ca: Ca,
        mode: Mode,
        full: CancellationToken,
    ) -> Options {
        let (follow, progress) = (tracker.clone(), self.ports.progress.clone());
        let (heard, noted) = (log.clone(), log.clone());
        let checksums = self.plan.lowered.checksums.iter().map(|sum| (sum.url.clone(), sum.digest)).collect();
        Options {
            mode,
            store: self.ports.store.clone(),
            ca,
            checksums,
            step: Arc::new(move || {
                // Without the announcements nobody knows who asks; better no line than a wrong one.
                if !heard.lock().settle_all() {
                    return None;
                }
                let step = follow.requester();
                step.map(|step| StepRef { step: step.text, line: Some(step.line) })
            }),
            now: Arc::new(host::now),
            event: Arc::new(move |event| noted.lock().event(&event)),
            progress: Some(Arc::new(move |traffic: Traffic| {
                progress.update(Update::Traffic { count: traffic.answers, bytes: traffic.size_bytes });
            })),
            extra_roots: self.ports.network.roots.clone(),
            inputs_size_bytes_max: self.allowance.inputs_bytes,
            full,
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

fn set_time(path: &std::path::Path, epoch_s: i64) -> io::Result<()> {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(epoch_s.max(0).unsigned_abs());
    fs::File::options().write(true).open(path)?.set_modified(time)
}
