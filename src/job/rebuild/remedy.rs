//! `rebuild --try clock=commit`: whether a clock that stands at the commit cures what drifts. Two replays with it show it.

use std::collections::BTreeSet;

use super::{
    Job, Outcome, Ready, RebuildError,
    replay::{Replayed, failed},
};
use crate::{
    attest::{BuildDefinition, Clock},
    compute,
    diff::{self, ChangeKind, Comparison},
    drift::Drift,
    job::{Ports, evidence::chain},
    model::{Variations, path::encode},
    oci::Image,
    progress::Update,
};

/// As `--try` takes it.
const CLOCK: &str = "clock=commit";
/// What is said of a drift that two replays have shown to be cured.
const REMEDY: &str = "Build with `--clock commit`, or `clock = \"commit\"` under [build] in reprov.toml: two replays with it are alike here.";

/// What came of trying a remedy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tried {
    /// How many replays had it.
    pub replays: usize,
    /// How many drifts it cures.
    pub cured: usize,
    /// How many it leaves.
    pub left: usize,
    /// Why nothing could be shown.
    pub error: Option<String>,
}

/// Where two replays differ.
#[derive(Debug, Default)]
pub(super) struct Differences {
    places: BTreeSet<(usize, String)>,
    /// Directories in which one has names that the other has not.
    directories: BTreeSet<(usize, String)>,
}

impl Differences {
    fn add(&mut self, layer: usize, path: &str, kind: ChangeKind) {
        if is_name(kind) {
            self.directories.insert((layer, directory(path)));
        }
        self.places.insert((layer, path.to_owned()));
    }

    /// Whether they differ where `drift` is. A name that is a time is another each time: its directory stands for it.
    pub(super) fn at(&self, drift: &Drift) -> bool {
        if is_name(drift.change) {
            self.directories.contains(&(drift.layer, directory(&drift.path)))
        } else {
            self.places.contains(&(drift.layer, drift.path.clone()))
        }
    }
}

impl From<&Comparison> for Differences {
    fn from(comparison: &Comparison) -> Self {
        let mut differences = Self::default();
        for pair in comparison.layers.iter().filter(|pair| !pair.equal()) {
            if pair.changes.is_empty() {
                differences.add(pair.index, "", ChangeKind::Metadata); // As its drift is named.
            }
            for change in &pair.changes {
                differences.add(change.layer, &encode(&change.path).0, change.kind);
            }
        }
        differences
    }
}

impl From<&[Drift]> for Differences {
    fn from(drifts: &[Drift]) -> Self {
        let mut differences = Self::default();
        for drift in drifts {
            differences.add(drift.layer, &drift.path, drift.change);
        }
        differences
    }
}

fn is_name(kind: ChangeKind) -> bool {
    matches!(kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB)
}

fn directory(path: &str) -> String {
    path.rsplit_once('/').map_or_else(String::new, |(directory, _)| directory.to_owned())
}

/// Says of each drift of `outcome` whether the remedy cures it; none, if there is nothing to cure.
pub(super) async fn attempt(
    job: &Job<'_>,
    ready: &Ready<'_>,
    mut outcome: Outcome,
) -> Result<Outcome, RebuildError> {
    let mut definition = ready.believed.provenance.definition.clone();
    let drifts = outcome.explained.as_ref().map_or(0, |explained| explained.drifts.len());
    if drifts == 0 {
        return Ok(outcome);
    }
    let mut tried = Tried { left: drifts, ..Tried::default() };
    if definition.external.clock == Clock::Commit {
        tried.error = Some("the image was built so already".to_owned());
    } else {
        definition.external.clock = Clock::Commit;
        // The verdict stands, whatever comes of this, unless the user wants no answer.
        match try_it(job, ready, &definition, (&mut outcome, &mut tried.replays)).await {
            Ok(Ok(cured)) => tried.cured = cured,
            Ok(Err(why)) => tried.error = Some(why),
            Err(error) if job.ports.cancel.is_cancelled() => return Err(error),
            Err(error) => tried.error = Some(chain(&error)),
        }
        tried.left -= tried.cured;
    }
    if let Some(why) = &tried.error {
        job.ports.progress.update(Update::Warning(&format!("--try {CLOCK} shows nothing: {why}")));
    }
    outcome.tried = Some(tried);
    Ok(outcome)
}

/// How many drifts are cured, or why nothing could be shown.
async fn try_it(
    job: &Job<'_>,
    ready: &Ready<'_>,
    definition: &BuildDefinition,
    (outcome, replays): (&mut Outcome, &mut usize),
) -> Result<Result<usize, String>, RebuildError> {
    match with(job, ready, definition, replays).await? {
        Ok(images) => judge(job.ports, outcome, images).await.map(Ok),
        Err(why) => Ok(Err(why)),
    }
}

/// The images of two replays of `definition`, or why one of them gave none.
async fn with(
    job: &Job<'_>,
    ready: &Ready<'_>,
    definition: &BuildDefinition,
    replays: &mut usize,
) -> Result<Result<[Image; 2], String>, RebuildError> {
    let mut one = None;
    loop {
        *replays += 1;
        job.ports.progress.update(Update::Phase("try", &format!("{CLOCK}, replay {replays} of 2")));
        let (execution, removing) = match job.run_again(ready, definition, Variations::default()).await? {
            Replayed::Ran(execution, removing) => (execution, removing),
            Replayed::Unbuildable(why) => return Ok(Err(why)),
        };
        removing.end(job.ports).await;
        let image = match &execution.outcome {
            Ok(assembled) => assembled.image.clone(),
            Err(failure) => return Ok(Err(failed(failure, &execution))),
        };
        match one.take() {
            None => one = Some(image),
            Some(one) => return Ok(Ok([one, image])),
        }
    }
}

/// Marks what is cured, and counts it: what the remedy changes, and what then stays the same.
async fn judge(
    ports: &Ports,
    outcome: &mut Outcome,
    [one, other]: [Image; 2],
) -> Result<usize, RebuildError> {
    let rebuilt = outcome.execution.as_ref().and_then(|execution| execution.outcome.as_ref().ok());
    let (Some(plain), Some(explained)) = (rebuilt.map(|plain| plain.image.clone()), &mut outcome.explained)
    else {
        return Ok(0);
    };
    let store = ports.store.clone();
    let (changed, unsteady) = compute::run(move || {
        let differences = |a, b| diff::images(&store, a, b).map(|comparison| Differences::from(&comparison));
        Ok::<_, diff::DiffError>((differences(&plain, &one)?, differences(&one, &other)?))
    })
    .await?;
    Ok(mark(&mut explained.drifts, &changed, &unsteady))
}

fn mark(drifts: &mut [Drift], changed: &Differences, unsteady: &Differences) -> usize {
    let cured = drifts.iter_mut().filter(|drift| changed.at(drift) && !unsteady.at(drift));
    cured
        .map(|drift| {
            drift.remedy = REMEDY;
            drift.cured_by = Some(CLOCK);
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::Cause;

    fn differences(all: &[(&str, ChangeKind)]) -> Differences {
        let mut differences = Differences::default();
        for (path, kind) in all {
            differences.add(0, path, *kind);
        }
        differences
    }

    /// Whether a drift at `path` is cured, where the remedy changed `changed` and left `unsteady` to chance.
    fn cured(
        (path, change): (&str, ChangeKind),
        changed: &[(&str, ChangeKind)],
        unsteady: &[(&str, ChangeKind)],
    ) -> bool {
        let mut drifts = [Drift::sample(path, change, Cause::ClockInText)];
        let count = mark(&mut drifts, &differences(changed), &differences(unsteady));
        assert_eq!(count == 1, drifts[0].cured_by == Some(CLOCK));
        assert_eq!(count == 1, drifts[0].remedy == REMEDY);
        count == 1
    }

    #[test]
    fn what_the_remedy_changes_and_makes_steady_is_cured() {
        use ChangeKind::Content;
        let date = ("etc/date", Content);
        assert!(cured(date, &[date], &[]));
        assert!(cured(date, &[date, ("etc/id", Content)], &[("etc/id", Content)]));
        assert!(!cured(date, &[date], &[date]), "still another each time");
        assert!(!cured(date, &[], &[]), "the remedy did nothing there: alike by chance");
        assert!(!cured(date, &[("etc", Content)], &[]));
    }

    #[test]
    fn a_name_is_judged_by_its_directory() {
        use ChangeKind::{Content, OnlyInA, OnlyInB};
        let changed = [("log/11:59", OnlyInA), ("log/00:00", OnlyInB)];
        assert!(cured(("log/11:58", OnlyInA), &changed, &[]));
        assert!(cured(("log/11:59", OnlyInB), &changed, &[("log/x", Content)]));
        assert!(!cured(("log/11:59", OnlyInB), &changed, &[("log/tmp.1", OnlyInA)]));
        assert!(!cured(("tmp/1", OnlyInA), &changed, &[]));
        assert!(!cured(("tmp/1", OnlyInA), &[("tmp/2", OnlyInA)], &[("tmp/3", OnlyInB)]));
    }
}
