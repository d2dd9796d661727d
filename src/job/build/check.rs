//! `build --check`: what was recorded is replayed, while the image is packed and pushed, and held against the image.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{Planned, Request};
use crate::{
    attest::BuildDefinition,
    buildroot::Tools,
    host,
    job::{
        Ports, SharedCheckout,
        accepted::of_recipe,
        bases::Base,
        evidence::Believed,
        execute::{Execution, Gathered, HeldAgainst, Secrets},
        rebuild::{self, Original, RebuildError, Replayed, replay},
    },
    model::{Digest, Maxima, Variations},
    progress::Progress,
    transcript::Transcript,
};

/// What a check came to, and what it cost.
#[derive(Debug)]
pub struct Checked {
    /// The verdict, as a rebuild's, or why there is none.
    pub judged: Result<rebuild::Outcome, RebuildError>,
    /// What the replay took, its packing included.
    pub replay: Duration,
    /// How much longer the build took: from the pushed and tagged image to the verdict.
    pub added: Duration,
}

/// Whom the recording run tells what it came to: nobody, without a check.
#[derive(Default)]
pub(super) struct Tell {
    /// What was recorded, as soon as that is known: with one core nobody, it would only hold up the image.
    pub(super) recorded: Option<oneshot::Sender<Transcript>>,
    /// The image's manifest; dropped where there is none.
    pub(super) image: Option<watch::Sender<Option<Digest>>>,
}

/// A replay that begins when it is told what was recorded.
pub(super) struct Replaying {
    task: JoinSet<Option<Run>>,
    stop: CancellationToken,
    /// Tells it, where it has to wait for the image.
    later: Option<oneshot::Sender<Transcript>>,
}

/// A finished one.
struct Run {
    replayed: Result<Replayed, RebuildError>,
    started_s: i64,
    took: Duration,
    inputs: usize,
}

/// All that a replay needs but the transcript.
struct Parts {
    ports: Ports,
    definition: BuildDefinition,
    checkout: SharedCheckout,
    bases: Vec<Base>,
    secrets: Secrets,
    tools: Tools,
    maxima: Maxima,
    image: String,
    original: HeldAgainst,
}

impl Replaying {
    /// A replay of what `planned` becomes, and whom to tell.
    pub(super) fn prepare(
        ports: &Ports,
        request: &Request,
        planned: &Planned,
        progress: &Arc<dyn Progress>,
    ) -> (Self, Tell) {
        let stop = ports.cancel.child_token();
        let (image, original) = watch::channel(None);
        let parts = Parts {
            ports: Ports { progress: progress.clone(), cancel: stop.clone(), ..ports.clone() },
            definition: planned.definition.clone(),
            checkout: request.checkout.clone(),
            bases: planned.bases.clone(),
            secrets: request.secrets.clone(),
            tools: planned.tools.clone(),
            maxima: Maxima { inputs_bytes: None, ..request.maxima }, // It fetches nothing.
            image: request.to.to_string(),
            original: HeldAgainst::Soon(original),
        };
        let (tell, recorded) = oneshot::channel();
        let mut task = JoinSet::new(); // Dropped with its tasks.
        task.spawn(async move { Some(Box::pin(parts.replay(recorded.await.ok()?)).await) });
        let (at_once, later) = if host::cores() > 1 { (Some(tell), None) } else { (None, Some(tell)) };
        (Self { task, stop, later }, Tell { recorded: at_once, image: Some(image) })
    }

    /// Ends it: there is no image that it could be held against.
    pub(super) async fn abandon(mut self, ports: &Ports) {
        drop(self.later.take());
        self.stop.cancel();
        if let Some(Run { replayed: Ok(Replayed::Ran(_, removing)), .. }) = self.end().await {
            removing.end(ports).await;
        }
    }

    /// Waits for its end; nothing if it was never told to begin.
    async fn end(&mut self) -> Option<Run> {
        match self.task.join_next().await? {
            Ok(run) => run,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()), // Nothing aborts it while it is waited for.
        }
    }

    /// Waits for it, holds it against the image of `execution`, and attaches the verdict if the build signs.
    pub(super) async fn judge(
        mut self,
        ports: &Ports,
        request: &Request,
        execution: &Execution,
        believed: &Believed,
    ) -> Option<Checked> {
        let began = Instant::now();
        if let Some(later) = self.later.take() {
            let _ = later.send(execution.closed.transcript.clone()); // The task waits for it.
        }
        let run = self.end().await?;
        let assembled = execution.outcome.as_ref().ok()?;
        let name = request.to.at(assembled.manifest.digest);
        let accepted = of_recipe(ports, &request.checkout, &believed.provenance.definition);
        let original = Original {
            name: &name,
            manifest: &assembled.manifest,
            image: assembled.image.clone(),
            provenance: &believed.provenance,
            accepted: &accepted,
            shifted_s: 0,
            inputs: Default::default(),
        };
        let mut judged = match run.replayed {
            Ok(replayed) => original.compare(ports, replayed, None).await,
            Err(error) => Err(error),
        };
        if let Ok(outcome) = &mut judged {
            rebuild::follow(ports, async { rebuild::stages_in_store(ports, execution.layers) }, outcome)
                .await;
            (outcome.started_s, outcome.inputs) = (run.started_s, run.inputs);
            outcome.provenance = Some(believed.clone());
            outcome.logs = rebuild::said_otherwise(ports, execution.events.digest, outcome).await;
            if let Some(key) = &request.key {
                outcome.attach(ports, &name, &request.builder_id, key).await;
            }
        }
        Some(Checked { judged, replay: run.took, added: began.elapsed() })
    }
}

impl Parts {
    async fn replay(self, transcript: Transcript) -> Run {
        let (started_s, began) = (host::now_s(), Instant::now());
        let inputs = transcript.bodies().len();
        let gathered = Gathered {
            checkout: &self.checkout,
            bases: &self.bases,
            secrets: &self.secrets,
            tools: self.tools.clone(),
            image: self.image.clone(),
            varied: Variations::default(),
            original: Some(self.original),
            recorded: None,
        };
        let replayed = replay(&self.ports, &self.definition, gathered, transcript, &self.maxima).await;
        Run { replayed, started_s, took: began.elapsed(), inputs }
    }
}
