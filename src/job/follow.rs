//! A replay that follows its recording at a distance: it runs beside it, and sees other seconds.
//!
//! A RUN step of the replay begins when the same step of the recording is over, and later still if the step was short:
//! what it writes by the clock must differ from what was recorded. A replay does not download, so only the time in
//! which the recorded step did not wait for its repositories tells how soon the replay comes to the same place.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    buildroot::{Announced, BuildrootError, Gate},
    gateway::{Growing, Recorded, Spent},
    host,
    model::Allowance,
    transcript::Transcript,
};

/// What lies between a time that the recording wrote and the same one of the replay: FAT and zip count in steps of 2 s.
const DISTANCE: Duration = Duration::from_secs(2);
/// How much faster than recorded a replay may compute, and keep that distance.
const FASTER: u32 = 2;
/// Of the machine's memory, what a replay leaves free while it runs beside the recording: that is never to fail for it.
const MEMORY_SHARE: u64 = 4;

/// What a run has to do with another one.
#[derive(Debug, Clone)]
pub(super) enum Pace {
    /// Nothing.
    Own,
    /// Another one follows it.
    Leads(Arc<Leader>),
    /// It follows another one, at a distance.
    Follows(Follower),
}

/// Told by a run that records how far it is. Dropped without [`Leader::end`], there is nothing to replay.
#[derive(Debug)]
pub(super) struct Leader {
    growing: Growing,
    course: watch::Sender<Course>,
    /// When the step that runs began, and what was spent until then.
    running: Mutex<Option<(Instant, Spent)>>,
}

/// How far a recording is.
#[derive(Debug, Default)]
struct Course {
    /// Whether a RUN step has begun.
    begun: bool,
    /// For each RUN step that has ended: from when on the same one of the replay may begin.
    steps: Vec<Instant>,
    /// When all had ended, and well.
    over: Option<Instant>,
}

/// What a replay follows.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    recorded: Recorded,
    course: watch::Receiver<Course>,
}

/// Both ends of a recording that is followed.
pub(super) fn followed() -> (Arc<Leader>, Follower) {
    let (growing, recorded) = Growing::new();
    let (told, course) = watch::channel(Course::default());
    (Arc::new(Leader { growing, course: told, running: Mutex::default() }), Follower { recorded, course })
}

/// How long after the end of a recorded step the same one of the replay begins, if the step computed for so long. The
/// last of its times is the nearest: the replay comes to it after at least `computed / FASTER`.
fn pause(computed: Duration) -> Duration {
    DISTANCE.saturating_sub(computed / FASTER)
}

impl Leader {
    /// For the gateway that records.
    pub(super) fn growing(&self) -> Growing {
        self.growing.clone()
    }

    /// Takes what the shim said.
    pub(super) fn hear(&self, announced: &Announced) {
        self.note(announced, Instant::now(), self.growing.spent());
    }

    fn note(&self, announced: &Announced, now: Instant, spent: Spent) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match announced {
            Announced::Began { .. } => {
                *running = Some((now, spent));
                self.course.send_modify(|course| course.begun = true);
            }
            Announced::Ended { .. } => {
                let Some((began, before)) = running.take() else { return };
                let waited = spent.waited.saturating_sub(before.waited);
                // Who saw a failure may have waited by itself before it asked again.
                let smooth = spent.failures == before.failures;
                let computed = if smooth { (now - began).saturating_sub(waited) } else { Duration::ZERO };
                self.course.send_modify(|course| course.steps.push(now + pause(computed)));
            }
        }
    }

    /// It is over and good: `transcript` is what was recorded.
    pub(super) fn end(&self, transcript: Transcript) {
        self.growing.end(transcript);
        self.course.send_modify(|course| course.over = Some(Instant::now()));
    }
}

impl Follower {
    /// What its gateway answers from.
    pub(super) fn recorded(&self) -> Recorded {
        self.recorded.clone()
    }

    /// Waits until a replay may make itself ready: its engine is at its first step when that may begin. None: there is
    /// nothing to replay.
    pub(super) async fn begins(&self) -> Option<()> {
        let mut told = self.course.clone();
        told.wait_for(|course| course.begun || course.over.is_some()).await.ok().map(drop)
    }

    /// Whether the recording still runs.
    pub(super) fn is_beside(&self) -> bool {
        self.course.borrow().over.is_none()
    }

    /// Waits for the end of the recording; none: it was no good.
    pub(super) async fn over(&self) -> Option<()> {
        self.course.clone().wait_for(|course| course.over.is_some()).await.ok().map(drop)
    }

    /// Waits until the RUN step number `step`, counted from 0, may begin. For ever, if the recording was no good: then
    /// there is nothing that the replay could be held against, and it is about to be ended.
    async fn turn(&self, step: usize) {
        let mut told = self.course.clone();
        let known = |course: &Course| {
            let over = course.over.map(|over| over + DISTANCE); // No such step was recorded.
            course.steps.get(step).copied().or(over)
        };
        let from = match told.wait_for(|course| known(course).is_some()).await {
            Ok(course) => known(&course),
            Err(_) => None,
        };
        match from {
            Some(from) => sleep_until(from).await,
            None => std::future::pending().await,
        }
    }
}

impl Pace {
    /// What the run may use, if it may use `allowance` when nothing is beside it.
    pub(super) fn allows(&self, allowance: Allowance) -> Allowance {
        match self {
            Self::Follows(follower) if follower.is_beside() => Allowance {
                memory_reserve_bytes: allowance
                    .memory_reserve_bytes
                    .max(host::memory().total_bytes / MEMORY_SHARE),
                disk_reserve_bytes: allowance.disk_reserve_bytes.saturating_mul(2),
                files_reserve: allowance.files_reserve.saturating_mul(2),
                ..allowance
            },
            _ => allowance,
        }
    }

    /// Whether its steps ask before they begin.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Follows(_))
    }

    /// Returns when a run of at most `timeout` must end. While it waits for another one, that one's limit counts.
    pub(super) async fn limit(&self, timeout: Duration) {
        if let Self::Follows(follower) = self
            && follower.over().await.is_none()
        {
            return std::future::pending().await;
        }
        sleep(timeout).await;
    }

    /// Lets each step in at `gate` begin when its turn has come; returns only if that fails.
    pub(super) async fn hold(&self, gate: Option<Gate>) -> BuildrootError {
        let (Self::Follows(follower), Some(gate)) = (self, gate) else { return std::future::pending().await };
        for step in 0.. {
            match gate.next().await {
                Ok(waiting) => {
                    follower.turn(step).await;
                    waiting.go().await;
                }
                Err(error) => return error,
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildroot::Strays;

    const S: Duration = Duration::from_secs(1);
    const SOON: Duration = Duration::from_millis(20);

    fn began() -> Announced {
        let strays = Strays::default();
        Announced::Began { command: None, mounts: Vec::new(), strays, unreached: None }
    }

    fn ended() -> Announced {
        Announced::Ended { strays: Strays::default() }
    }

    /// How long after its end the same step of the replay may begin, if it `took` so long and `spent` of that.
    fn waits(took: Duration, spent: Spent) -> Duration {
        let ((leader, follower), now) = (followed(), Instant::now());
        leader.note(&began(), now, Spent::default());
        leader.note(&ended(), now + took, spent);
        let may = follower.course.borrow().steps[0];
        may - (now + took)
    }

    #[test]
    fn the_last_time_of_a_step_is_not_seen_again() {
        for took in [0, 100, 1000, 2000, 3900, 4000, 60_000].map(Duration::from_millis) {
            let waited = waits(took, Spent::default());
            // What was written last is written again at the earliest after that.
            assert!(waited + took / FASTER >= DISTANCE && waited <= DISTANCE, "{took:?}: {waited:?}");
        }
        assert_eq!(waits(S * 60, Spent::default()), Duration::ZERO);
    }

    #[test]
    fn what_was_downloaded_takes_the_replay_no_time() {
        let spent = |waited, failures| Spent { waited, failures };
        assert_eq!(waits(S * 60, spent(S * 59, 0)), Duration::from_millis(1500));
        assert_eq!(waits(S * 60, spent(S * 60, 0)), DISTANCE);
        assert_eq!(waits(S * 60, spent(S, 0)), Duration::ZERO);
        assert_eq!(waits(S * 60, spent(S, 1)), DISTANCE, "it may have waited before it asked again");
    }

    #[tokio::test]
    async fn no_step_overtakes_the_recording() {
        let (leader, follower) = followed();
        let comes = async |step| tokio::time::timeout(SOON, follower.turn(step)).await.is_ok();
        assert!(!comes(0).await && tokio::time::timeout(SOON, follower.begins()).await.is_err());
        let past = Instant::now().checked_sub(S * 60).unwrap();
        for _ in 0..2 {
            leader.note(&began(), past, Spent::default());
            leader.note(&ended(), past + S, Spent::default());
            leader.note(&ended(), past + S, Spent::default()); // The engine removes a container twice.
        }
        assert!(comes(0).await && comes(1).await && !comes(2).await);
        assert_eq!(follower.begins().await, Some(()));
        assert!(follower.is_beside() && tokio::time::timeout(SOON, follower.over()).await.is_err());
        leader.end(Transcript::default());
        assert_eq!((follower.over().await, follower.is_beside()), (Some(()), false));
        assert!(!comes(2).await, "not at once: nobody knows when it ended");
    }

    #[tokio::test]
    async fn nothing_follows_what_was_no_good() {
        let (leader, follower) = followed();
        drop(leader);
        assert_eq!((follower.begins().await, follower.over().await), (None, None));
        assert!(tokio::time::timeout(SOON, follower.turn(0)).await.is_err());
        let pace = Pace::Follows(follower);
        assert!(tokio::time::timeout(SOON, pace.limit(Duration::ZERO)).await.is_err());
    }
}
