//! `rebuild --inputs live`: the definition runs again on what the repositories answer today. What they answer otherwise,
//! and which drift comes of that (docs/live.md).

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read as _},
    sync::Arc,
};

use super::{
    Job, Outcome, Ready, RebuildError, Replayed,
    gather::{Incomplete, keepers},
    remedy::Differences,
    replay::{explain, failed},
};
use crate::{
    attest::{BuildDefinition, rebuilt::InputsCompared},
    compute,
    drift::{self, Drift, Explained, Origin},
    gateway::{Access, Mode},
    host,
    job::{
        build::{Wanted, wanted},
        configured,
        evidence::chain,
        execute::{ExecuteError, Execution},
    },
    model::{
        Blobs as _, Digest, Secret, SignerFile, Variations, Verdict,
        limits::{COMPARED_LISTED_MAX, DATED_INDEX_SIZE_BYTES_MAX, RECIPE_SIZE_BYTES_MAX},
    },
    progress::Update,
    report::live as view,
    store::Store,
    transcript::{Compared, compare, index_dates},
};

/// Bytes of an index that hold its dates.
const INDEX_HEAD_BYTES: u64 = 16 << 10;

type Find = dyn Fn(&[Wanted]) -> Result<BTreeMap<String, Secret>, String> + Send + Sync;

/// Finds what the `auth` of repositories stands for, by repository; or says why it cannot.
#[derive(Clone)]
pub struct Credentials(pub Arc<Find>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// What came of today's repositories.
#[derive(Debug, Default)]
pub struct Lived {
    /// What they answered otherwise.
    pub compared: Compared,
    /// Dates of changed indexes.
    pub dates: Vec<DateMoved>,
    /// What a replay of the recorded inputs came to; none: there was no need for one, or it was not possible.
    pub replay: Option<Verdict>,
    /// How a replay of today's inputs stands to their first run; none likewise.
    pub third: Option<Verdict>,
    /// Why a replay that was needed says nothing.
    pub error: Option<String>,
}

impl Lived {
    /// As a statement says it.
    pub(super) fn stated(&self) -> InputsCompared {
        let Compared { added, removed, changed, packages, .. } = &self.compared;
        InputsCompared {
            added: added.len() as u64,
            removed: removed.len() as u64,
            changed: changed.len() as u64,
            packages: packages.len() as u64,
            replay: self.replay,
            third: self.third,
        }
    }
}

/// The comparison as it is answered.
pub(super) fn answer(lived: &Lived, outcome: &Outcome) -> view::InputsCompared {
    let dates = lived.dates.iter().cloned();
    let dates = dates.map(|DateMoved { url, field, from, to }| view::IndexDate { url, field, from, to });
    view::InputsCompared {
        drifts: outcome.origins().map(|(inputs, build)| view::Split { inputs, build }),
        replay_verdict: lived.replay,
        third_verdict: lived.third,
        error: lived.error.clone(),
        ..view::InputsCompared::new(&lived.compared, dates.collect())
    }
}

/// A date of an index that is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateMoved {
    /// Of the index.
    pub url: String,
    /// `Date` or `Valid-Until`.
    pub field: &'static str,
    /// In the recorded one.
    pub from: Option<String>,
    /// In today's.
    pub to: Option<String>,
}

/// Builds from today's repositories, and says what of the drift is their doing.
pub(super) async fn run(job: &Job<'_>, ready: &Ready<'_>) -> Result<Outcome, RebuildError> {
    let definition = &ready.believed.provenance.definition;
    let external = &definition.external;
    let mode = Mode::Record {
        repositories: external.repositories.clone(),
        access: access(job, ready, definition)?,
        learn: external.learn,
        proxies: job.ports.network.proxies.clone(),
        told: None,
    };
    say(job, "today's repositories");
    let original = Some(job.manifest.digest);
    let ran = job.run_as(ready, definition, Variations::default(), (mode, original)).await?;
    let mut lived = Lived::default();
    if let Replayed::Ran(execution, _) = &ran {
        lived.compared = compare(&ready.transcript, &execution.closed.transcript);
    }
    let bodies = std::mem::take(&mut lived.compared.bodies);
    let mut outcome = Box::pin(job.judge(ready, ran, (&Variations::default(), true), bodies)).await?;
    lived.dates = dates(job, ready, &lived.compared).await;
    if outcome.verdict != Verdict::Reproduced {
        Box::pin(split(job, ready, &mut outcome, &mut lived)).await?;
    }
    outcome.lived = Some(lived);
    Ok(outcome)
}

fn say(job: &Job<'_>, what: &str) {
    job.ports.progress.update(Update::Phase("live", what));
}

/// Says of each drift whose doing it is, by as few replays as can tell. Whatever comes of them, there is a verdict.
async fn split(
    job: &Job<'_>,
    ready: &Ready<'_>,
    outcome: &mut Outcome,
    lived: &mut Lived,
) -> Result<(), RebuildError> {
    let own = if lived.compared.is_empty() && outcome.explained.is_some() {
        None // Equal inputs: all of it is the build's.
    } else {
        let own = match Box::pin(replays(job, ready, outcome, lived)).await {
            Ok(Ok(own)) => own,
            Ok(Err(why)) => {
                lived.error = Some(why);
                return Ok(());
            }
            Err(error) if job.ports.cancel.is_cancelled() => return Err(error),
            Err(error) => {
                lived.error = Some(chain(&error));
                return Ok(());
            }
        };
        Some(own)
    };
    let Some(explained) = &mut outcome.explained else { return Ok(()) };
    explained.split(|drift| own.as_ref().is_none_or(|own| own.iter().any(|places| places.at(drift))));
    let now = host::now();
    drift::accept(&mut explained.drifts, &ready.accepted, now.split('T').next().unwrap_or_default());
    // What stands in the way of a comparison says more.
    if outcome.verdict == Verdict::Unexplained && outcome.error.is_none() {
        outcome.verdict = explained.verdict;
    }
    Ok(())
}

/// Where equal inputs give different images, or why that cannot be told.
async fn replays(
    job: &Job<'_>,
    ready: &Ready<'_>,
    outcome: &Outcome,
    lived: &mut Lived,
) -> Result<Result<Vec<Differences>, String>, RebuildError> {
    if let Err(Incomplete(why)) = job.bodies(ready.believed, &ready.transcript).await? {
        return Ok(Err(format!("the recorded inputs cannot be replayed: {why}")));
    }
    say(job, "replay of the recorded inputs");
    let replayed = Box::pin(job.replay(ready, &Variations::default(), false)).await?;
    lived.replay = Some(replayed.verdict);
    if replayed.verdict == Verdict::Reproduced {
        return Ok(Ok(Vec::new()));
    }
    let Some(recorded) = replayed.explained else {
        return Ok(Err(replayed.error.unwrap_or_else(|| "the recorded inputs give no image".to_owned())));
    };
    let mut own = vec![Differences::from(&recorded.drifts[..])];
    let live = outcome.execution.as_ref().filter(|_| outcome.explained.is_some());
    if let Some(live) = live {
        say(job, "replay of today's inputs");
        match third(job, ready, live).await? {
            Ok(again) => {
                lived.third = Some(again.verdict);
                own.push(Differences::from(&again.drifts[..]));
            }
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(own))
}

/// What the run `live` differs in from a replay of what it recorded.
async fn third(
    job: &Job<'_>,
    ready: &Ready<'_>,
    live: &Execution,
) -> Result<Result<Explained, String>, RebuildError> {
    let definition = &ready.believed.provenance.definition;
    let mode = Mode::Replay(live.closed.transcript.clone().into());
    let execution = match job.run_as(ready, definition, Variations::default(), (mode, None)).await? {
        Replayed::Ran(execution, removing) => {
            removing.end(job.ports).await;
            execution
        }
        Replayed::Unbuildable(why) => return Ok(Err(why)),
    };
    let images = match (&live.outcome, &execution.outcome) {
        (Ok(live), Ok(again)) => (&live.image, &again.image),
        (_, Err(failure)) => return Ok(Err(failed(failure, &execution))),
        (Err(_), _) => return Ok(Err("today's repositories give no image".to_owned())),
    };
    let windows = [(live.started_s, live.finished_s), (execution.started_s, execution.finished_s)];
    let epoch_s = Some(definition.internal.epoch);
    let context = drift::Context { windows: Some(windows), epoch_s, ..drift::Context::default() };
    Ok(Ok(explain(job.ports, images, &execution, context).await?))
}

/// What is special about the repositories that the definition names: keys that pin, and credentials.
fn access(
    job: &Job<'_>,
    ready: &Ready<'_>,
    definition: &BuildDefinition,
) -> Result<BTreeMap<String, Access>, RebuildError> {
    let mut access: BTreeMap<String, Access> = BTreeMap::new();
    for repository in &definition.external.repositories {
        let Some(SignerFile { path, digest }) = &repository.key else { continue };
        let read = configured::recorded_signers(&ready.checkout, &repository.name, (path, digest));
        let signers = read.map_err(ExecuteError::from)?;
        access.entry(repository.name.clone()).or_default().signers = Some(Arc::new(signers));
    }
    let wanted = asked_for(ready, definition);
    if wanted.is_empty() {
        return Ok(access);
    }
    let found = job.request.credentials.0(&wanted).map_err(RebuildError::Credentials)?;
    for (name, secret) in found {
        access.entry(name).or_default().authorization = Some(secret);
    }
    Ok(access)
}

/// The credentials that the recorded recipe asks for.
fn asked_for(ready: &Ready<'_>, definition: &BuildDefinition) -> Vec<Wanted> {
    let Some(file) = &definition.external.recipe else { return Vec::new() };
    let read = ready.checkout.lock().read(&file.path, RECIPE_SIZE_BYTES_MAX);
    let recorded = matches!(read, Ok(Some(bytes)) if Digest::of(&bytes) == file.digest);
    if recorded { wanted(&ready.checkout, Some(&file.path)).unwrap_or_default() } else { Vec::new() }
}

/// The dates of changed indexes, as far as their bodies can be had.
async fn dates(job: &Job<'_>, ready: &Ready<'_>, compared: &Compared) -> Vec<DateMoved> {
    let small = |size: u64| size <= DATED_INDEX_SIZE_BYTES_MAX;
    let indexes = compared.indexes().filter(|index| small(index.was.size) && small(index.now.size));
    let indexes: Vec<_> = indexes.take(COMPARED_LISTED_MAX).cloned().collect();
    let recorded = indexes.iter().map(|index| (index.was.body, index.was.size)).collect();
    // What cannot be had is not shown.
    let _ = job.evidence.inputs(job.ports, &recorded, &keepers(ready.believed)).await;
    let store = job.ports.store.clone();
    let read = compute::run(move || {
        let moved = indexes.iter().filter_map(|index| {
            let [was, now] = [index.was.body, index.now.body].map(|body| head(&store, &body).ok());
            let (was, now) = (index_dates(&was?), index_dates(&now?));
            let dates = ["Date", "Valid-Until"].into_iter().zip(was.into_iter().zip(now));
            let moved = dates.filter(|(_, (from, to))| from != to);
            Some(moved.map(|(field, (from, to))| DateMoved { url: index.now.url.clone(), field, from, to }))
        });
        moved.flatten().collect()
    });
    read.await
}

fn head(store: &Store, digest: &Digest) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    store.open(digest)?.take(INDEX_HEAD_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Outcome {
    /// How many drifts come from inputs, and how many are the build's own; none if they were not told apart.
    #[must_use]
    pub fn origins(&self) -> Option<(usize, usize)> {
        let drifts = &self.explained.as_ref()?.drifts;
        let count = |origin| drifts.iter().filter(|drift: &&Drift| drift.origin == Some(origin)).count();
        let counts = (count(Origin::Inputs), count(Origin::Build));
        (counts != (0, 0)).then_some(counts)
    }
}
