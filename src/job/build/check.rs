//! `build --check`: what is recorded is replayed, a few seconds behind, and held against the image.

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
    gateway::Doubt,
    host,
    job::{
        Ports, SharedCheckout,
        accepted::of_recipe,
        bases::Base,
        evidence::Believed,
        execute::{Execution, Gathered, HeldAgainst, Secrets},
        follow::{Follower, Leader, Pace, followed},
        rebuild::{self, Original, RebuildError, Replayed, replay},
    },
    model::{Digest, Maxima, Variations},
    progress::{Progress, Update},
};

/// What a check came to, and what it cost.
#[derive(Debug)]
pub struct Checked {
    /// The verdict, as a rebuild's, or why there is none.
    pub judged: Result<rebuild::Outcome, RebuildError>,
    /// What the replay took, its packing and what it waited for the recording included.
    pub replay: Duration,
    /// How much longer the build took: from the pushed and tagged image to the verdict.
    pub added: Duration,
}

/// Whom the recording run tells what it came to: nobody, without a check.
#[derive(Default)]
pub(super) struct Tell {
    /// How far it is.
    pub(super) leader: Option<Arc<Leader>>,
    /// The image's manifest; dropped where there is none.
    pub(super) image: Option<watch::Sender<Option<Digest>>>,
}

/// A replay that begins when there is something to replay; with one core, when it would hold up no image any more.
pub(super) struct Replaying {
    task: JoinSet<Option<Run>>,
    stop: CancellationToken,
    /// Tells it, where it has to wait for the image.
    later: Option<oneshot::Sender<()>>,
}

/// A finished one.
struct Run {
    replayed: Result<Replayed, RebuildError>,
    started_s: i64,
    took: Duration,
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
        let (leader, follower) = followed();
        let (go, told) = oneshot::channel();
        let mut task = JoinSet::new(); // Dropped with its tasks.
        task.spawn(async move {
            told.await.ok()?;
            follower.begins().await?;
            Some(Box::pin(parts.replay(follower)).await)
        });
        let later = if host::cores() > 1 {
            let _ = go.send(()); // The task waits for it.
            None
        } else {
            Some(go)
        };
        (Self { task, stop, later }, Tell { leader: Some(leader), image: Some(image) })
    }

    /// Ends it: there is no image that it could be held against.
    pub(super) async fn abandon(mut self, ports: &Ports) {
        drop(self.later.take());
        self.stop.cancel();
        if let Some(Run { replayed: Ok(replayed), .. }) = self.end().await {
            replayed.discard(ports).await;
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
            let _ = later.send(()); // The task waits for it.
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
            (outcome.started_s, outcome.inputs) = (run.started_s, execution.closed.transcript.bodies().len());
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
    /// Replays beside the recording; once more after it, if that was not as good as a replay after it.
    async fn replay(self, follower: Follower) -> Run {
        let (beside, began) = (follower.is_beside(), Instant::now());
        let run = self.run(&follower).await;
        let doubt = if beside { self.doubt(&follower, &run.replayed).await } else { None };
        let Some(why) = doubt.filter(|_| !self.ports.cancel.is_cancelled()) else { return run };
        self.ports.progress.update(Update::Warning(&format!("{why}: it runs once more")));
        if let Ok(replayed) = run.replayed {
            replayed.discard(&self.ports).await;
        }
        let _ = follower.whole().await; // Of one that was no good, this is about to be ended.
        let run = self.run(&follower).await;
        Run { took: began.elapsed(), ..run }
    }

    /// Why a replay beside the recording may say less than one after it.
    async fn doubt(
        &self,
        follower: &Follower,
        replayed: &Result<Replayed, RebuildError>,
    ) -> Option<&'static str> {
        let Some(image) = replayed.as_ref().ok().and_then(Replayed::image) else {
            return Some("the replay came to no image beside the build"); // There may have been no room for both.
        };
        match follower.recorded().doubt().await? {
            Doubt::Near => Some("the replay caught up with the build, so both may have seen the same second"),
            Doubt::Unanswered => Some("the replay asked for something before the build had it"),
            Doubt::Late => self
                .original
                .differs(&image.manifest.digest)
                .await
                .then_some("the replay had to wait for what the build fetched, and differs"),
        }
    }

    async fn run(&self, follower: &Follower) -> Run {
        let (started_s, began) = (host::now_s(), Instant::now());
        let gathered = Gathered {
            checkout: &self.checkout,
            bases: &self.bases,
            secrets: &self.secrets,
            tools: self.tools.clone(),
            image: self.image.clone(),
            varied: Variations::default(),
            original: Some(self.original.clone()),
            pace: Pace::Follows(follower.clone()),
        };
        let recorded = follower.recorded();
        let replayed = replay(&self.ports, &self.definition, gathered, recorded, &self.maxima).await;
        Run { replayed, started_s, took: began.elapsed() }
    }
}
