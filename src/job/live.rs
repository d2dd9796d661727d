//! A build that others can follow: its directory among the store's logs, and the log that grows there.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::json;

use super::{
    Ports,
    evidence::chain,
    execute::{ExecuteError, Execution, Kept, Secrets},
    log::{Log, now},
    track::{Instruction, Tracker},
};
use crate::{
    attest::BuildDefinition,
    buildroot::{Announcements, BuildrootError, Workspace},
    host,
    model::{Variations, json::canonical, limits::LOG_SIZE_BYTES_MAX},
    progress::{Progress, Update},
    store::{LogDir, Store, StoreError},
    transcript::Event,
};

/// How late a step may be told to have begun or ended.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// What the cage enters: the stage all but the last, each step that too.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

/// The log of a build, for all who write to it.
#[derive(Clone)]
pub(super) struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what is announced its place, for ever; returns only if that fails.
    pub(super) async fn tick(&self) -> BuildrootError {
        loop {
            tokio::time::sleep(TICK).await;
            if let Err(error) = self.lock().tick() {
                return BuildrootError::Cage(format!("its log: {error}"));
            }
        }
    }
}

/// A run that has begun and not ended.
pub(super) struct Live {
    dir: LogDir,
    image: String,
    /// Set once there is something to write.
    log: std::sync::OnceLock<SharedLog>,
}

impl Live {
    /// Names the run, and makes it known.
    pub(super) fn begin(
        ports: &Ports,
        definition: &BuildDefinition,
        image: &str,
        records: bool,
    ) -> Result<Self, ExecuteError> {
        let build = host::random_id().map_err(ExecuteError::Random)?;
        let commit = definition.role("source").next().and_then(|source| source.digest.get("gitCommit"));
        let about = json!({
            "kind": if records { "build" } else { "rebuild" },
            "image": image,
            "source": definition.external.source.uri,
            "commit": commit,
            "began_on": host::now(),
        });
        let dir = ports.store.begin_log(&build, &canonical(&about))?;
        ports.progress.update(Update::Begun(&build));
        Ok(Self { dir, image: image.to_owned(), log: std::sync::OnceLock::new() })
    }

    pub(super) fn build(&self) -> &str {
        self.dir.build()
    }

    /// Starts the log: what is built, and the limits in force.
    pub(super) fn start(
        &self,
        store: &Store,
        announced: (Arc<Tracker>, Announcements),
        secrets: &Secrets,
        limits: &[(&'static str, u64)],
    ) -> Result<SharedLog, StoreError> {
        let mut log = Log::start((store, &self.dir), LOG_SIZE_BYTES_MAX, announced, secrets)?;
        let (build, image) = (Some(self.build().to_owned()), Some(self.image.clone()));
        log.event(&Event { build, image, ..now("began") });
        for (limit, allowed) in limits {
            log.event(&Event { limit: Some((*limit).to_owned()), allowed: Some(*allowed), ..now("limit") });
        }
        Ok(self.log.get_or_init(|| SharedLog(Arc::new(Mutex::new(log)))).clone())
    }

    /// Writes down how it ended. The log of an [`Execution`] is its caller's to keep or not; without one it stays.
    pub(super) fn end(
        self,
        ports: &Ports,
        ended: Result<Execution, ExecuteError>,
    ) -> Result<Execution, ExecuteError> {
        let events = match self.log.get() {
            Some(log) => write_end(&mut log.lock(), &ended, ports),
            None => Ok(Kept::default()),
        };
        let error = match (ended, events) {
            (Ok(execution), Ok(events)) => {
                return Ok(Execution { events, dir: Some(self.dir), ..execution });
            }
            (Ok(_), Err(error)) => error.into(),
            (Err(error), _) => error, // What broke first, whatever became of the log.
        };
        settled(ports.progress.as_ref(), self.dir.keep("unknown", &chain(&error), &host::now()));
        Err(error)
    }
}

fn write_end(
    log: &mut Log,
    ended: &Result<Execution, ExecuteError>,
    ports: &Ports,
) -> Result<Kept, StoreError> {
    let event = now("ended");
    let last = match ended {
        Err(error) => Event { outcome: Some("unknown".into()), reason: Some(chain(error)), ..event },
        Ok(execution) => match &execution.outcome {
            Ok(image) => {
                let image = Some(image.manifest.digest.to_string());
                Event { outcome: Some("built".into()), image, ..event }
            }
            Err(failure) => {
                if let Some(exceeded) = failure.exceeded {
                    let (allowed, found) = (Some(exceeded.allowed), Some(exceeded.found));
                    let limit = Some(exceeded.limit.name().to_owned());
                    let passed = Event { limit, allowed, found, ..now("exceeded") };
                    log.event(&super::log::of(failure.instruction.clone(), passed));
                }
                let (outcome, reason) = (Some(failure.outcome().to_owned()), Some(failure.reason.clone()));
                let failed = Event { outcome, reason, exit: execution.exit_code, ..event };
                super::log::of(failure.instruction.clone(), failed)
            }
        },
    };
    log.end(&last, ports.progress.as_ref())
}

/// The cage was entered.
pub(super) fn entered(workspace: &Workspace, varied: &Variations) -> Event {
    let (uid, gid) = workspace.ids().root();
    Event {
        mode: Some(if workspace.of_image() { "image" } else { "host" }.to_owned()),
        varied: varied.names(),
        namespaces: NAMESPACES.map(str::to_owned).into(),
        ids: Some([uid, gid]),
        ..now("cage")
    }
}

/// Says that a log's directory could not be settled: that changes nothing of what came of the build.
pub(super) fn settled(progress: &dyn Progress, settled: Result<(), StoreError>) {
    if let Err(error) = settled {
        progress.update(Update::Warning(&format!("the log in the store: {}", chain(&error))));
    }
}

/// Says which programs the commit's clock did not reach, each with the first step that began with it.
pub(super) fn say_unreached(progress: &dyn Progress, unreached: &[(Option<Instruction>, String)]) {
    let mut said = BTreeSet::new();
    for (instruction, program) in unreached {
        if said.insert(program) {
            let place = instruction.as_ref().map(|step| format!(" at line {} ({})", step.line, step.text));
            let place = place.unwrap_or_default();
            let text = format!("clock: the step{place} runs {program}; it sees the real clock");
            progress.update(Update::Warning(&text));
        }
    }
}
