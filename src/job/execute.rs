//! The one function that runs a [`BuildDefinition`], for `build` (record) and `rebuild` (replay) alike.
#![expect(clippy::disallowed_methods, reason = "lays out what the cage sees")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bstr::BString;

use super::{
    Ports, SharedCheckout,
    assemble::{AssembleError, Assembled, Parts, assemble},
    bases::{self, Base, BaseError, Tail},
    plan::{Plan, PlanError},
    track::{Instruction, Tracker},
};
use crate::{
    attest::{BuildDefinition, OnRefused},
    buildroot::{BuildrootError, Ended, Ids, Profile, Tools, Workspace, enter},
    compute,
    engine::{BuildRequest, Buildah, Engine, LogLine, RESULT},
    gateway::{Ca, Closed, Gateway, GatewayError, Mode, Options, StepRef, Traffic},
    host, layer,
    model::{Digest, limits},
    progress::Update,
    store::{Store, StoreError, Writer},
    transcript::Event,
};

/// Why a build could not be tried, or its result not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
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
    /// Canonical diffIDs of the image's layers, by stage.
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

/// Runs `definition` on `checkout` and `bases`; `mode` says whether the gateway records or replays.
///
/// # Errors
/// [`ExecuteError`] if the build could not be tried; a build that failed is an [`Execution`] with a [`Failure`].
pub async fn execute(
    ports: &Ports,
    definition: &BuildDefinition,
    checkout: &SharedCheckout,
    bases: &[Base],
    mode: Mode,
) -> Result<Execution, ExecuteError> {
    let plan = Plan::of(definition, checkout, bases)?;
    let tools = Tools::find().await?;
    let ids = Ids::find(ports.store.root())?;
    let root = ports.store.root().to_owned();
    let workspace = Workspace::create(&root, root.join("blobs/sha256"), ids, tools).await?;
    let run = Run { ports, definition, plan: &plan, workspace: &workspace };
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
            steps_run: self.workspace.steps()?.lines().count(),
            lowered: self.keep_lowered()?,
            layers: None,
            engine: self.workspace.engine_name(),
            started_s,
            finished_s: 0,
        };
        execution.outcome = match self.failure(ended, &execution)? {
            Some(failure) => Err(failure),
            None => Ok(self.take_result(&engine, bases).await?),
        };
        execution.layers = self.keep_layers(&execution)?;
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
            heredocs: self.plan.lowered.files.iter().any(|file| file.path.starts_with("copy/")),
        }
    }

    fn gateway_options(&self, tracker: &Arc<Tracker>, ca: Ca, mode: Mode) -> Options {
        let (follow, progress) = (tracker.clone(), self.ports.progress.clone());
        let checksums = self.plan.lowered.checksums.iter().map(|sum| (sum.url.clone(), sum.digest)).collect();
        Options {
            mode,
            store: self.ports.store.clone(),
            ca,
            checksums,
            step: Arc::new(move || {
                follow.current().map(|step| StepRef { step: step.text, line: Some(step.line) })
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
                if !refused.is_empty() && self.definition.external.on_refused == OnRefused::Fail {
                    return fail(format!("{} refused request(s)", refused.len()));
                }
                Ok(None)
            }
            Ended::Exited(code) => fail(format!("the engine ended with exit code {code}")),
        }
    }

    async fn take_result(&self, engine: &Buildah, bases: &[Base]) -> Result<Assembled, ExecuteError> {
        self.ports.progress.update(Update::Phase("layers", ""));
        let out = format!("{}/build/out", self.workspace.root());
        let mut tail = Tail::default();
        let plan = [engine.export(RESULT, &out)];
        let ended = self.workspace.run(&plan, false, &self.ports.cancel, |line| {
            tail.push(line);
            Ok(())
        });
        match ended.await? {
            Ended::Exited(0) => {}
            Ended::Cancelled => return Err(ExecuteError::Cancelled),
            _ => {
                return Err(BuildrootError::Cage(format!(
                    "the engine cannot write its result: {}",
                    tail.text()
                ))
                .into());
            }
        }
        let (store, dir) = (self.ports.store.clone(), self.workspace.dir().join("out"));
        let normalize = &self.definition.external.normalize;
        let drops = normalize.drop.iter().map(|drop| (drop.path.clone(), drop.because.clone())).collect();
        let profile = layer::Profile::named(&normalize.profile)?.with_drops(drops);
        let (chain, epoch_s) = (self.plan.chain.clone(), self.definition.internal.epoch);
        let base = self.plan.base_of_chain.map(|index| bases[index].image.clone());
        let mounts = mounts(&self.workspace.steps()?);
        let assembled = compute::run(move || {
            let parts = Parts {
                store: &store,
                dir: &dir,
                base: base.as_ref(),
                chain: &chain,
                epoch_s,
                profile: &profile,
                mounts: &mounts,
            };
            assemble(&parts)
        });
        Ok(assembled.await?)
    }

    fn keep_lowered(&self) -> Result<Option<Kept>, ExecuteError> {
        if self.plan.lowered.edits.is_empty() {
            return Ok(None);
        }
        let value = serde_json::json!({
            "dockerfile": String::from_utf8_lossy(&self.plan.lowered.text),
            "edits": self.plan.lowered.edits,
        });
        let bytes = crate::model::json::canonical(&value);
        Ok(Some(Kept { digest: self.ports.store.put(&bytes)?, size: bytes.len() as u64 }))
    }

    fn keep_layers(&self, execution: &Execution) -> Result<Option<Kept>, ExecuteError> {
        let Ok(assembled) = &execution.outcome else { return Ok(None) };
        let layers: Vec<_> = assembled
            .image
            .config
            .diff_ids()
            .iter()
            .zip(&assembled.instructions)
            .map(|(diff_id, made_by)| {
                let instruction = made_by.as_ref().map(|(line, text)| serde_json::json!({"line": line, "text": text}));
                serde_json::json!({"diffId": diff_id, "instruction": instruction.unwrap_or_else(|| "base".into())})
            })
            .collect();
        let bytes = crate::model::json::canonical(&serde_json::json!({"layers": layers}));
        Ok(Some(Kept { digest: self.ports.store.put(&bytes)?, size: bytes.len() as u64 }))
    }
}

/// The log in the making.
struct Log {
    writer: Option<Writer>,
    kept: Kept,
    tail: Tail,
    events: Vec<Event>,
    full: bool,
}

impl Log {
    fn start(store: &Store) -> Result<Self, StoreError> {
        let kept = Kept { digest: Digest::of(b""), size: 0 };
        Ok(Self {
            writer: Some(store.writer()?),
            kept,
            tail: Tail::default(),
            events: Vec::new(),
            full: false,
        })
    }

    fn line(&mut self, line: &[u8], tracker: &Tracker, ports: &Ports) -> io::Result<()> {
        self.tail.push(line);
        let text = String::from_utf8_lossy(line);
        match tracker.line(text.trim_end()) {
            LogLine::Step { number, count, text, .. } => {
                // The engine's text names local bases and lowered lines; the Dockerfile's own is what people know.
                let step = tracker.current();
                let text = step.as_ref().map_or(text, |step| &step.text);
                ports.progress.update(Update::Step { number, count, text });
                self.events.push(Event {
                    time: host::now(),
                    kind: "step".to_owned(),
                    step: Some(text.to_owned()),
                    line: step.as_ref().map(|step| step.line),
                    ..Event::default()
                });
            }
            _ => ports.progress.update(Update::Output(line)),
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if writer.size_bytes() + line.len() as u64 > limits::LOG_SIZE_BYTES_MAX {
            if !std::mem::replace(&mut self.full, true) {
                writer.write_all(b"reprov: the log is full; the rest was not kept\n")?;
            }
            return Ok(());
        }
        writer.write_all(line)
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        if let Some(writer) = self.writer.take() {
            let (digest, size) = writer.finish()?;
            self.kept = Kept { digest, size };
        }
        Ok(())
    }
}

fn merged(mut steps: Vec<Event>, closed: &Closed) -> Vec<Event> {
    steps.extend(closed.events.iter().cloned());
    steps.sort_by(|a, b| a.time.cmp(&b.time)); // Stable: within a second each source keeps its order.
    steps
}

/// Mount points of all steps, as paths in the image.
fn mounts(steps: &str) -> BTreeSet<BString> {
    let read = |line: &str| serde_json::from_str::<BTreeMap<String, Vec<String>>>(line).ok();
    let destinations =
        steps.lines().filter_map(read).flat_map(|mut step| step.remove("mounts").unwrap_or_default());
    destinations.map(|path| BString::from(path.trim_matches('/'))).filter(|path| !path.is_empty()).collect()
}

fn set_time(path: &std::path::Path, epoch_s: i64) -> io::Result<()> {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(epoch_s.max(0).unsigned_abs());
    fs::File::options().write(true).open(path)?.set_modified(time)
}
