//! Runs a definition again from what was recorded, and holds what comes out against the original.

use super::{Outcome, RebuildError, verdict};
use crate::{
    attest::{BuildDefinition, Provenance},
    compute, diff,
    drift::{self, Explained, InputBodies, InstructionRef},
    gateway::{Mode, Recorded},
    host,
    job::{
        Ports, accepted,
        assemble::Assembled,
        evidence::{chain, whole},
        execute::{ExecuteError, Execution, Gathered, Removing, execute},
        failure::Failure,
        live,
    },
    model::{Descriptor, ImageName, Maxima, Verdict},
    oci::Image,
    progress::Update,
    recipe::Acceptance,
    store::LogDir,
};

/// What came of a replay.
#[derive(Debug)]
pub(in crate::job) enum Replayed {
    /// It ran.
    Ran(Box<Execution>, Removing),
    /// Recorded, and yet nothing that can be run here; why, in a sentence.
    Unbuildable(String),
}

impl Replayed {
    /// The image, if there is one.
    pub(in crate::job) fn image(&self) -> Option<&Assembled> {
        match self {
            Self::Ran(execution, _) => execution.outcome.as_ref().ok(),
            Self::Unbuildable(_) => None,
        }
    }

    /// Waits until nothing is left of it.
    pub(in crate::job) async fn discard(self, ports: &Ports) {
        if let Self::Ran(_, removing) = self {
            removing.end(ports).await;
        }
    }
}

/// Runs `definition` on what was `gathered`, from what is `recorded` alone. Nothing is kept of it but the answer and the log's
/// blobs; of a failed one the log itself.
///
/// # Errors
/// [`RebuildError::Execute`] if it could not be tried, [`RebuildError::Store`].
pub(in crate::job) async fn replay(
    ports: &Ports,
    definition: &BuildDefinition,
    gathered: Gathered<'_>,
    recorded: Recorded,
    maxima: &Maxima,
) -> Result<Replayed, RebuildError> {
    again(ports, definition, gathered, Mode::Replay(recorded), maxima).await
}

/// [`replay`], or the same from the repositories of the day.
pub(super) async fn again(
    ports: &Ports,
    definition: &BuildDefinition,
    gathered: Gathered<'_>,
    mode: Mode,
    maxima: &Maxima,
) -> Result<Replayed, RebuildError> {
    let (mut execution, removing) = match Box::pin(execute(ports, definition, gathered, mode, maxima)).await {
        Err(error) if error.of_definition() => return Ok(Replayed::Unbuildable(chain(&error))),
        ran => ran?,
    };
    let settled = match (execution.dir.take(), &execution.outcome) {
        (Some(dir), Err(failure)) => dir.keep(failure.outcome(), &failure.reason, &host::now()),
        (dir, _) => dir.map_or(Ok(()), LogDir::discard),
    };
    live::settled(ports.progress.as_ref(), settled);
    Ok(Replayed::Ran(Box::new(execution), removing))
}

/// What a replay is held against.
#[derive(Debug)]
pub(in crate::job) struct Original<'a> {
    /// Where it is, by digest.
    pub(in crate::job) name: &'a ImageName,
    /// Descriptor of its manifest.
    pub(in crate::job) manifest: &'a Descriptor,
    /// Manifest and config; its layers are fetched where they are needed.
    pub(in crate::job) image: Image,
    /// How it was built.
    pub(in crate::job) provenance: &'a Provenance,
    /// Drift that is put up with.
    pub(in crate::job) accepted: &'a [Acceptance],
    /// By how many seconds the date of steps was another in the replay.
    pub(in crate::job) shifted_s: i64,
    /// What only the original's build fetched, and what only the replay did: a replay of what was recorded, nothing.
    pub(in crate::job) inputs: InputBodies,
}

impl Original<'_> {
    /// The verdict on the original; `builder_changed` says what of the builder is not as recorded.
    ///
    /// # Errors
    /// [`RebuildError`] if no verdict could be reached.
    pub(in crate::job) async fn compare(
        self,
        ports: &Ports,
        replayed: Replayed,
        builder_changed: Option<String>,
    ) -> Result<Outcome, RebuildError> {
        let mut outcome = match replayed {
            Replayed::Ran(execution, removing) => {
                let compared = Box::pin(self.judge(ports, *execution, builder_changed.is_some())).await;
                removing.end(ports).await;
                let mut outcome = compared?;
                outcome.original = Some(self.image);
                outcome
            }
            Replayed::Unbuildable(why) => {
                return Ok(Outcome::new(self.manifest.clone(), Verdict::Unbuildable, Some(why)));
            }
        };
        outcome.builder_changed = builder_changed;
        Ok(outcome)
    }

    async fn judge(
        &self,
        ports: &Ports,
        execution: Execution,
        builder_changed: bool,
    ) -> Result<Outcome, RebuildError> {
        let mut outcome = Outcome::new(self.manifest.clone(), Verdict::Reproduced, None);
        let rebuilt = match &execution.outcome {
            Ok(assembled) => assembled,
            // Of this machine's limits, not of the image: no verdict, and none to sign.
            Err(failure) if failure.exceeded.is_some() => {
                let place = failure.instruction.as_ref();
                let place = place.map(|step| format!(" at line {}: {}", step.line, step.text));
                let (place, why) = (place.unwrap_or_default(), &failure.reason);
                let reason = format!("the rebuild was ended, which says nothing of the image{place}: {why}");
                return Err(RebuildError::Exceeded { reason, execution: Box::new(execution) });
            }
            Err(failure) if failure.full => {
                return Err(ExecuteError::Full { path: ports.store.root().to_owned() }.into());
            }
            Err(failure) => {
                let missed = !execution.closed.missing.is_empty() || !execution.closed.undeclared.is_empty();
                outcome.verdict = if missed { Verdict::InputsMissing } else { Verdict::Unbuildable };
                outcome.error = Some(failed(failure, &execution));
                outcome.execution = Some(execution);
                return Ok(outcome);
            }
        };
        if rebuilt.manifest.digest != self.manifest.digest {
            ports.progress.update(Update::Phase("compare", ""));
            let mut explained = self.explain(ports, &rebuilt.image, &execution).await?;
            outcome.verdict = if builder_changed { Verdict::BuilderChanged } else { explained.verdict };
            if let Some(layer) = verdict::foreign_layer(&self.image, rebuilt) {
                // No instruction made it, and nothing may drift in it.
                explained.drifts.retain(|drift| drift.layer >= verdict::inherited(rebuilt));
                outcome.verdict = Verdict::Unexplained;
                outcome.error = Some(format!(
                    "layer {layer} is not that of the base image which the provenance names: it says something else than was built"
                ));
            }
            outcome.explained = Some(explained);
        }
        outcome.execution = Some(execution);
        Ok(outcome)
    }

    async fn explain(
        &self,
        ports: &Ports,
        rebuilt: &Image,
        execution: &Execution,
    ) -> Result<Explained, RebuildError> {
        let same =
            |layer: &&Descriptor| rebuilt.manifest.layers().iter().any(|other| other.digest == layer.digest);
        for layer in self.image.manifest.layers().iter().filter(|layer| !same(layer)) {
            let fetched = whole(ports, self.name, layer).await;
            fetched.map_err(|source| RebuildError::Layer { layer: layer.digest, source })?;
        }
        let run = &self.provenance.run;
        let windows = [(run.started_on_s, run.finished_on_s), (execution.started_s, execution.finished_s)];
        let context = drift::Context {
            windows: Some(windows),
            shifted_s: self.shifted_s,
            epoch_s: Some(self.provenance.definition.internal.epoch),
            inputs: self.inputs.clone(),
            ..drift::Context::default()
        };
        let mut explained = explain(ports, (&self.image, rebuilt), execution, context).await?;
        accepted::mark(ports.progress.as_ref(), &mut explained.drifts, self.accepted);
        Ok(explained)
    }
}

/// What differs between `a` and `b`, which `execution` made, and why.
pub(super) async fn explain(
    ports: &Ports,
    (a, b): (&Image, &Image),
    execution: &Execution,
    context: drift::Context,
) -> Result<Explained, diff::DiffError> {
    let instructions = execution.outcome.as_ref().map(|assembled| assembled.instructions.clone());
    let made_by = |(line, text)| InstructionRef { line: Some(line), text };
    let instructions: Vec<_> =
        instructions.unwrap_or_default().into_iter().map(|it| it.map(made_by)).collect();
    let (store, a, b) = (ports.store.clone(), a.clone(), b.clone());
    compute::run(move || {
        let comparison = diff::images(&store, &a, &b)?;
        let instructions = comparison.by_pair(&[], &instructions);
        drift::explain(&comparison, &drift::Context { instructions, ..context })
    })
    .await
}

/// Why there is no image, in a sentence.
pub(super) fn failed(failure: &Failure, execution: &Execution) -> String {
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
