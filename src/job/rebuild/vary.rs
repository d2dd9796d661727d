//! Replays that do something otherwise on purpose (`--vary`, docs/variation.md), and which of it changed the image.

use super::{
    Job, Outcome, Ready, RebuildError,
    search::{Blame, Certainty, Places, Replays, Search, Seen},
};
use crate::{
    attest::{
        Clock,
        rebuilt::{Blamed, NotPossible, VariationsRun},
    },
    buildroot::possible,
    diff::Of,
    drift::InstructionRef,
    model::{Variation, Variations, Verdict, limits::VARY_PLACES_MAX},
    progress::Update,
};

/// What was varied, and what came of it.
#[derive(Debug, Clone, Default)]
pub struct Varied {
    /// What was on in the replay that was judged.
    pub on: Variations,
    /// What was asked for and cannot be done here, each with its reason.
    pub not_possible: Vec<(Variation, String)>,
    /// Every replay, in order.
    pub replays: Vec<Replay>,
    /// The verdict of a replay without any, if there had to be one.
    pub control: Option<Verdict>,
    /// Which did what.
    pub blamed: Vec<Blame>,
}

impl Varied {
    /// As a statement says it.
    pub(super) fn stated(&self) -> VariationsRun {
        let not_possible = self.not_possible.iter();
        let not_possible = not_possible.map(|(variation, reason)| NotPossible {
            name: variation.name().to_owned(),
            reason: reason.clone(),
        });
        let blamed = self.blamed.iter().map(|blame| Blamed {
            together: blame.together.names(),
            certainty: blame.certainty.name().to_owned(),
            count: blame.places.len() as u64,
            places: blame.places.iter().take(VARY_PLACES_MAX).cloned().collect(),
        });
        VariationsRun {
            control: self.control,
            replays: self.replays.len() as u64,
            not_possible: not_possible.collect(),
            blamed: blamed.collect(),
        }
    }
}

/// One replay.
#[derive(Debug, Clone)]
pub struct Replay {
    /// What was on.
    pub on: Variations,
    /// What came of it.
    pub verdict: Verdict,
}

/// Judges the image with all that is possible of what was asked for.
pub(super) async fn run(job: &Job<'_>, ready: &Ready<'_>) -> Result<Outcome, RebuildError> {
    let (on, not_possible) = possible_of(job, ready);
    if on.is_empty() {
        let reasons = not_possible.iter().map(|(variation, why)| format!("{variation}: {why}"));
        return Err(RebuildError::NotVaried(reasons.collect::<Vec<_>>().join("; ")));
    }
    let mut varied = Varied { on: on.clone(), not_possible, ..Varied::default() };
    let mut replaying = Replaying { job, ready, replays: Vec::new() };
    let mut outcome = replaying.run(&on, true).await?;
    let found = places(&outcome);
    if !found.is_empty() {
        let control = replaying.replay(&Variations::default()).await?;
        varied.control = Some(control.verdict);
        varied.blamed = blamed(&mut replaying, on, (found, outcome.verdict), control.places).await?;
    }
    varied.replays = replaying.replays;
    outcome.varied = Some(varied);
    Ok(outcome)
}

/// Who is to blame for what was `found` with `on`. A build that failed says nothing of the rest: what made it fail is
/// left out, and it is tried again.
async fn blamed(
    replaying: &mut Replaying<'_>,
    mut on: Variations,
    (mut found, mut verdict): (Places, Verdict),
    control: Places,
) -> Result<Vec<Blame>, RebuildError> {
    let mut search = Search::new(replaying, control);
    loop {
        let known = search.blamed.len();
        search.find(&on, found).await?;
        let new = &search.blamed[known..];
        let guilty: Variations = new.iter().flat_map(|blame| blame.together.iter()).collect();
        let sure = new.iter().all(|blame| blame.certainty == Certainty::Narrowed);
        let left = on.without(&guilty);
        if !verdict.undecided() || guilty.is_empty() || !sure || left.is_empty() {
            return Ok(search.blamed);
        }
        on = left;
        let Some(seen) = search.seen(&on).await? else { return Ok(search.blamed) };
        (found, verdict) = (seen.places, seen.verdict);
    }
}

/// What of the wanted variations machine, user and build allow, and why not the rest.
fn possible_of(job: &Job<'_>, ready: &Ready<'_>) -> (Variations, Vec<(Variation, String)>) {
    let external = &ready.believed.provenance.definition.external;
    let (mut on, mut not) = (Vec::new(), Vec::new());
    for variation in job.request.vary.iter() {
        let can = match variation {
            Variation::Time(_) if external.clock == Clock::Commit => {
                Err("the build's clock stands at its commit, whatever the date (clock = \"commit\")"
                    .to_owned())
            }
            variation => possible(variation, job.ports.store.root()),
        };
        match can {
            Ok(()) => on.push(variation),
            Err(why) => {
                job.ports.progress.update(Update::Warning(&format!("not varied: {variation}: {why}")));
                not.push((variation, why));
            }
        }
    }
    (on.into_iter().collect(), not)
}

/// Where the image differs; what failed differs as a whole, which the verdict says.
fn places(outcome: &Outcome) -> Places {
    let mut places = Places::new();
    if let Some(explained) = &outcome.explained {
        places.extend(explained.drifts.iter().map(|drift| match &drift.instruction {
            Some(InstructionRef { line: Some(line), .. }) => format!("line {line}: {}", drift.path),
            _ => format!("layer {}: {}", drift.layer, drift.path),
        }));
        places.extend(explained.config.iter().map(|drift| match drift.of {
            Of::Config => format!("config {}", drift.pointer),
            Of::Manifest => format!("manifest {}", drift.pointer),
        }));
    }
    if places.is_empty() && outcome.verdict != Verdict::Reproduced {
        places.insert(outcome.verdict.name().to_owned());
    }
    places
}

/// Replays of one image, told as they happen.
struct Replaying<'a> {
    job: &'a Job<'a>,
    ready: &'a Ready<'a>,
    replays: Vec<Replay>,
}

impl Replaying<'_> {
    async fn run(&mut self, on: &Variations, kept: bool) -> Result<Outcome, RebuildError> {
        let progress = &self.job.ports.progress;
        let number = self.replays.len() + 1;
        progress.update(Update::Phase("vary", &format!("replay {number}, varied: {on}")));
        let outcome = Box::pin(self.job.replay(self.ready, on, kept)).await?;
        let verdict = outcome.verdict;
        progress.update(Update::Phase("vary", &format!("replay {number}, varied: {on}: {verdict}")));
        self.replays.push(Replay { on: on.clone(), verdict });
        Ok(outcome)
    }
}

impl Replays for Replaying<'_> {
    async fn replay(&mut self, on: &Variations) -> Result<Seen, RebuildError> {
        let outcome = self.run(on, false).await?;
        Ok(Seen { verdict: outcome.verdict, places: places(&outcome) })
    }
}
