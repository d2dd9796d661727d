//! A replay that follows its recording at a distance: it runs beside it, and sees other seconds.
//!
//! Each RUN step of the replay begins some seconds after the same one of the recording began, and sees what was fetched
//! as long after it was fetched. So what a step writes by the clock differs from what was recorded, if the replay is not
//! much the faster of the two: that is looked at when it asks for something, and when the step ends. What may make a
//! replay beside the recording less than one after it makes it doubtful, and then it is done once more, after it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    buildroot::{Announced, BuildrootError, Gate},
    gateway::{Growing, Recorded},
    host,
    job::live::TICK,
    model::Allowance,
    transcript::Transcript,
};

/// What lies between a time that the recording wrote and the same one of the replay: FAT and zip count in steps of 2 s.
const DISTANCE: Duration = Duration::from_secs(2);
/// How far behind the recording the replay is held, so that it may lose some of it: what was read once is read faster.
const BEHIND: Duration = Duration::from_secs(3);
/// Of the machine's memory, what a replay leaves free while it runs beside the recording, which is not to fail for it.
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
}

/// How far a recording is.
#[derive(Debug, Default)]
struct Course {
    /// When each RUN step began.
    began: Vec<Instant>,
    /// When each ended.
    ended: Vec<Instant>,
    /// When all had ended, and well.
    over: Option<Instant>,
}

/// What a replay follows.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    recorded: Recorded,
    course: watch::Receiver<Course>,
}

/// Both ends of a recording that is followed. Wants tokio's runtime.
pub(super) fn followed() -> (Arc<Leader>, Follower) {
    let (growing, recorded) = Growing::new(BEHIND, DISTANCE);
    let (told, course) = watch::channel(Course::default());
    (Arc::new(Leader { growing, course: told }), Follower { recorded, course })
}

impl Leader {
    /// For the gateway that records.
    pub(super) fn growing(&self) -> Growing {
        self.growing.clone()
    }

    /// Takes what the shim said.
    fn hear(&self, announced: &Announced) {
        self.note(announced, Instant::now());
    }

    fn note(&self, announced: &Announced, now: Instant) {
        match announced {
            Announced::Began { .. } => self.course.send_modify(|course| course.began.push(now)),
            Announced::Ended { .. } => {
                let ended = self.course.send_if_modified(|course| {
                    // The engine removes a container twice.
                    let runs = course.ended.len() < course.began.len();
                    if runs {
                        course.ended.push(now);
                    }
                    runs
                });
                if ended {
                    self.growing.step_ended();
                }
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
        told.wait_for(|course| !course.began.is_empty() || course.over.is_some()).await.ok()?;
        if self.is_beside() { Some(()) } else { self.recorded.whole().await }
    }

    /// Waits until a replay sees the whole recording, and what it does lies behind all of it. None: that was no good.
    pub(super) async fn whole(&self) -> Option<()> {
        self.recorded.whole().await
    }

    /// Whether the recording still runs.
    pub(super) fn is_beside(&self) -> bool {
        self.course.borrow().over.is_none()
    }

    /// Waits for the end of the recording; none: it was no good.
    async fn over(&self) -> Option<()> {
        self.course.clone().wait_for(|course| course.over.is_some()).await.ok().map(drop)
    }

    /// Waits until the RUN step number `step`, counted from 0, may begin. For ever, if the recording was no good: then
    /// there is nothing that the replay could be held against, and it is about to be ended.
    async fn turn(&self, step: usize) {
        let mut told = self.course.clone();
        // If no such step was recorded, its time is the end.
        let known = |course: &Course| course.began.get(step).copied().or(course.over);
        let from = match told.wait_for(|course| known(course).is_some()).await {
            Ok(course) => known(&course),
            Err(_) => None,
        };
        match from {
            Some(from) => sleep_until(from + BEHIND).await,
            None => std::future::pending().await,
        }
    }

    /// Takes what the shim of the replay said.
    fn hear(&self, announced: &Announced) {
        match (announced, self.recorded.step()) {
            (Announced::Ended { .. }, Some(step)) => {
                self.recorded.during(None);
                self.ended(step, Instant::now());
            }
            // Nobody let it begin, so nothing is known of when it did.
            (Announced::Began { .. }, None) => self.recorded.came_near(),
            _ => {}
        }
    }

    fn ended(&self, step: usize, now: Instant) {
        let course = self.course.borrow();
        let near = match course.ended.get(step) {
            Some(ended) => now.saturating_duration_since(*ended) < DISTANCE + TICK,
            None => course.over.is_none(), // The recording is not that far.
        };
        if near {
            self.recorded.came_near();
        }
    }
}

impl Pace {
    /// Takes what the shim said.
    pub(super) fn hear(&self, announced: &Announced) {
        match self {
            Self::Own => {}
            Self::Leads(leader) => leader.hear(announced),
            Self::Follows(follower) => follower.hear(announced),
        }
    }

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

    /// Lets each step in at `gate` begin when its turn has come, and `heard` has taken what the shim said until then;
    /// returns only if that fails.
    pub(super) async fn hold(&self, gate: Option<Gate>, heard: impl Fn()) -> BuildrootError {
        let (Self::Follows(follower), Some(gate)) = (self, gate) else { return std::future::pending().await };
        for step in 0.. {
            match gate.next().await {
                Ok(waiting) => {
                    follower.turn(step).await;
                    heard();
                    follower.recorded.during(Some(step));
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
    use crate::{buildroot::Strays, gateway::Doubt};

    const S: Duration = Duration::from_secs(1);
    const SOON: Duration = Duration::from_millis(20);

    fn began() -> Announced {
        let strays = Strays::default();
        Announced::Began { command: None, mounts: Vec::new(), strays, unreached: None }
    }

    fn ended() -> Announced {
        Announced::Ended { strays: Strays::default() }
    }

    #[tokio::test]
    async fn no_step_overtakes_the_recording() {
        let (leader, follower) = followed();
        let comes = async |step| tokio::time::timeout(SOON, follower.turn(step)).await.is_ok();
        assert!(!comes(0).await && tokio::time::timeout(SOON, follower.begins()).await.is_err());
        let past = Instant::now().checked_sub(BEHIND).unwrap();
        for at in [past, past + S] {
            leader.note(&began(), at);
            leader.note(&ended(), at);
            leader.note(&ended(), at); // The engine removes a container twice.
        }
        assert!(comes(0).await && !comes(1).await && !comes(2).await);
        assert_eq!(follower.begins().await, Some(()));
        assert!(follower.is_beside() && tokio::time::timeout(SOON, follower.over()).await.is_err());
        leader.end(Transcript::default());
        assert_eq!((follower.over().await, follower.is_beside()), (Some(()), false));
        assert!(!comes(2).await, "not at once: nobody knows when it ended");
    }

    #[tokio::test]
    async fn who_ends_too_near_is_told() {
        let near = async |recorded: Option<Duration>, own: Duration, over: bool| {
            let ((leader, follower), begin) = (followed(), Instant::now());
            leader.note(&began(), begin);
            if let Some(recorded) = recorded {
                leader.note(&ended(), begin + recorded);
            }
            if over {
                leader.end(Transcript::default());
            }
            follower.recorded.during(Some(0));
            follower.ended(0, begin + own);
            follower.recorded.doubt().await == Some(Doubt::Near)
        };
        assert!(!near(Some(S), S + DISTANCE + TICK, false).await);
        assert!(near(Some(S), S * 2, false).await && near(Some(S * 9), S, false).await);
        assert!(near(None, S * 60, false).await, "the recorded one runs still");
        assert!(!near(None, S * 60, true).await, "there was no such step");
    }

    #[tokio::test]
    async fn a_step_that_nobody_let_begin_is_told() {
        let (_leader, follower) = followed();
        follower.recorded.during(Some(0));
        follower.hear(&began());
        follower.hear(&ended());
        follower.hear(&ended()); // The engine removes a container twice.
        assert_eq!(follower.recorded.step(), None);
        let (_leader, follower) = followed();
        follower.hear(&began());
        assert_eq!(follower.recorded.doubt().await, Some(Doubt::Near));
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
