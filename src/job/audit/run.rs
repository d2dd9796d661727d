//! Does what is due, within one budget. Each step is a task of its own: one that fails, hangs or panics stops no other.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    AuditError, Request, TOOL,
    due::StepKind,
    hosts::{Hosts, Patience, is_down},
    lease::{CLAIM_S, Lease},
    plan::{self, Item, Plan, Planned},
    resolve::{Lost, notice},
    step::{Case, Tried},
    tally::Tally,
};
use crate::{
    entry::{Entry, Kind},
    host,
    job::{
        Ports,
        turns::{Turn, Turns},
        verify::Room,
    },
    ledger::{Filter, Ledger, LedgerError},
    model::{Digest, limits},
    progress::{Silent, Update},
    report::audit::{Ended, Image, Notice, NoticeKind, State, Step},
};

/// How often one step is tried.
pub(super) const TRIES_MAX: u32 = 3;
/// How long it rests before the second try; before the third, four times as long.
pub(super) const PAUSE: Duration = Duration::from_secs(2);
/// How often it is looked whether another audit is done with what it claimed.
const POLL: Duration = Duration::from_secs(1);
/// How long a step that was told to end may take to clean up.
const GRACE: Duration = Duration::from_mins(1);

/// What all tasks share.
struct Run {
    ports: Ports,
    request: Arc<Request>,
    ledger: Ledger,
    hosts: Arc<Hosts>,
    room: Room,
    verifying: Arc<Semaphore>,
    turns: Arc<Turns>,
    tally: Tally,
    /// Who we are in claims.
    holder: String,
    /// The ledger's last row before the plan was made.
    before: u64,
    /// When all ought to have ended.
    deadline: Option<Instant>,
    /// Set when nothing more is to be begun, and what runs is to end.
    stop: CancellationToken,
    /// Why the ledger takes nothing more.
    broken: Mutex<Option<LedgerError>>,
}

/// What came of a step now.
struct Answer {
    state: State,
    entry: Option<Entry>,
    error: Option<String>,
    gone: bool,
    internal: bool,
    tries: u32,
    took: Option<Duration>,
}

impl Answer {
    fn without(state: State) -> Self {
        Self { state, entry: None, error: None, gone: false, internal: false, tries: 0, took: None }
    }
}

/// A turn of either kind.
enum Held {
    Verifying(#[expect(dead_code, reason = "held until it is dropped")] Option<OwnedSemaphorePermit>),
    Rebuilding(#[expect(dead_code, reason = "held until it is dropped")] Turn),
}

/// Does all that is due.
pub(super) async fn run(
    ports: &Ports,
    request: &Arc<Request>,
    hosts: Arc<Hosts>,
    plan: Plan,
    began: Instant,
) -> Result<(Vec<Image>, Vec<Notice>, Ended), AuditError> {
    let ledger = request.ledger.clone().ok_or(AuditError::NoLedger)?;
    let jobs = request.jobs.max(1);
    let run = Arc::new(Run {
        ports: ports.clone(),
        request: Arc::clone(request),
        ledger,
        hosts,
        room: Room::default(),
        verifying: Arc::new(Semaphore::new(limits::VERIFIED_AT_ONCE_MAX)),
        turns: Turns::new(jobs, request.maxima.memory_bytes),
        tally: Tally::new(|kind| if kind == StepKind::Verify { limits::VERIFIED_AT_ONCE_MAX } else { jobs }),
        holder: host::random_id().map_err(AuditError::Random)?,
        before: plan.before,
        deadline: request.within.map(|within| began + within.duration()),
        stop: ports.cancel.child_token(),
        broken: Mutex::default(),
    });
    let mut notices = plan.notices.clone();
    // Who was told to end did not wait for those that may answer yet.
    for lost in plan.lost.iter().filter(|_| !run.stop.is_cancelled()) {
        run.missed(lost).await;
    }
    let mut images: BTreeMap<usize, Image> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    for (index, item) in plan.items.iter().enumerate() {
        if item.steps.iter().all(|step| !step.due.is_due()) {
            let steps = item.steps.iter().map(|planned| plan::step(request, item, planned, State::NotDue));
            images.insert(index, plan::image(request, item, steps.collect()));
            continue;
        }
        for planned in item.steps.iter().filter(|planned| planned.due.is_due()) {
            run.tally.add(planned.step, planned.took_ms());
        }
        let (run, item) = (Arc::clone(&run), Arc::new(item.clone()));
        tasks.spawn(async move { (index, run.item(&item).await) });
    }
    while let Some(done) = tasks.join_next().await {
        let Ok((index, (image, moved))) = done else { continue }; // Steps catch their own panics.
        notices.extend(moved);
        images.insert(index, image);
    }
    if let Some(error) = run.broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error.into());
    }
    let of = |state| images.values().any(|image: &Image| image.steps.iter().any(|step| step.state == state));
    let ended = match (ports.cancel.is_cancelled(), of(State::NoTime)) {
        (true, _) => Ended::Cancelled,
        (false, true) => Ended::OutOfTime,
        (false, false) => Ended::Complete,
    };
    notices.sort();
    notices.dedup();
    let lost = plan.lost.iter().map(|lost| plan::lost(request, lost));
    Ok((lost.chain(images.into_values()).collect(), notices, ended))
}

impl Run {
    /// Writes down that a name leads nowhere, unless the ledger says so already and not for long.
    async fn missed(&self, lost: &Lost) {
        let group = &self.request.inventory.groups[lost.group];
        let now_s = host::now_s();
        match plan::said_gone(&self.ledger, lost, now_s, group.every.as_s()).await {
            Ok(false) => {}
            Ok(true) => return,
            Err(error) => {
                self.fail(error);
                return;
            }
        }
        let entry = Entry {
            at_s: now_s,
            kind: Kind::Missed,
            repository: lost.name.repository(),
            tag: lost.name.selector.tag.clone(),
            digest: lost.name.selector.digest,
            outcome: lost.outcome.to_owned(),
            evidence: None,
            by: self.request.verifier_id.clone(),
            tool: TOOL.to_owned(),
            signer: None,
            policy: None,
            conditions: None,
            group: Some(group.name.clone()),
            owner: group.owner.clone(),
            codes: BTreeMap::new(),
            waived: Vec::new(),
            from: None,
            before: None,
            took_ms: None,
            report: None,
            error: Some(lost.error.clone()),
        };
        self.append(&entry).await;
    }

    /// All steps of one image, and whether its tag moved meanwhile.
    async fn item(self: &Arc<Self>, item: &Arc<Item>) -> (Image, Option<Notice>) {
        let (mut steps, mut gone) = (Vec::new(), None);
        let mut did = false;
        for index in 0..item.steps.len() {
            let planned = &item.steps[index];
            if !planned.due.is_due() || gone.is_some() {
                steps.push(plan::step(&self.request, item, planned, State::NotDue));
                if planned.due.is_due() {
                    self.tally.done(planned.step, planned.took_ms(), None);
                }
                continue;
            }
            let answer = self.step(item, index).await;
            did |= matches!(answer.state, State::Done | State::Untold);
            self.tally.done(
                planned.step,
                planned.took_ms(),
                answer.took.map(ms).filter(|_| answer.state == State::Done),
            );
            let mut step = plan::step(&self.request, item, planned, answer.state);
            let group = &self.request.inventory.groups[item.found.group];
            if let Some(entry) = answer.entry.as_ref().filter(|entry| entry.kind != Kind::Missed) {
                plan::outcome(&mut step, entry, group);
            }
            if answer.gone {
                gone.clone_from(&answer.error);
            }
            step.error = answer.error;
            step.internal = answer.internal;
            step.tries = answer.tries;
            step.seconds = answer.took.as_ref().map(Duration::as_secs_f64);
            self.tell(item, &step);
            steps.push(step);
        }
        let moved = if did && gone.is_none() { self.moved(item).await } else { None };
        let mut image = plan::image(&self.request, item, steps);
        if let Some(error) = gone {
            image.missed = Some("gone");
            image.error = Some(error);
        }
        (image, moved)
    }

    fn tell(&self, item: &Item, step: &Step) {
        let outcome = match (step.state, &step.outcome) {
            (State::Done | State::Elsewhere, Some(outcome)) => outcome.clone(),
            (State::Untold, _) => "nobody could tell".to_owned(),
            (State::NoTime, _) => "not begun, no time".to_owned(),
            _ => "not done".to_owned(),
        };
        let text = format!("{}; {} {}: {outcome}", self.tally.shown(), item.found.shown(), step.step);
        self.ports.progress.update(Update::Phase("did", &text));
    }

    /// Whether the tag names another image by now.
    async fn moved(&self, item: &Item) -> Option<Notice> {
        let mut by_tag = item.found.name.clone();
        by_tag.selector.digest = None;
        if !item.found.by_tag || self.hosts.may_ask(&by_tag).is_err() {
            return None;
        }
        let now = self.ports.registries.tagged(&by_tag).await;
        self.hosts.asked(&by_tag, !now.as_ref().is_err_and(is_down));
        let now = now.ok()?; // It was looked at a moment ago.
        if now == Some(item.found.digest) {
            return None;
        }
        let message = match now {
            Some(now) => format!(
                "{by_tag} was {} when the audit began, and is {now} now, which nobody judged",
                item.found.digest
            ),
            None => format!("{by_tag} was {} when the audit began, and is no more", item.found.digest),
        };
        Some(notice(&self.request.inventory, item.found.group, NoticeKind::Moved, &message))
    }

    /// Waits for its turn and does one step, unless another audit does. While its registry rests it has neither turn nor
    /// claim, so that images of others go on.
    async fn step(self: &Arc<Self>, item: &Arc<Item>, index: usize) -> Answer {
        let planned = &item.steps[index];
        let limit = self.request.inventory.groups[item.found.group].timeout.duration();
        let mut patience = Patience::new(limit, self.deadline.map(Instant::into_std));
        let mut tries = 0;
        let place = format!("{}@{}", item.found.name.repository(), item.found.digest);
        let key = format!("audit/{}", Digest::of(format!("{place}\n{}", planned.conditions).as_bytes()));
        loop {
            let tired = self.hosts.rested(&item.found.name, &mut patience, &self.stop).await;
            let turn = self.turn(planned.step).await;
            // A turn may take hours to come, and the registry be there by then.
            let tired = tired.filter(|_| self.hosts.resting(&item.found.name).is_some());
            if self.stop.is_cancelled() {
                return Answer::without(State::Cancelled);
            }
            if !self.fits(planned) {
                return Answer::without(State::NoTime);
            }
            if tired.is_none() && self.hosts.resting(&item.found.name).is_some() {
                continue; // Since it waits for its turn.
            }
            let claimed = match self.ledger.claim(&key, &self.holder, CLAIM_S).await {
                Ok(claimed) => claimed,
                Err(error) => return self.fail(error),
            };
            if let Some(claim) = claimed {
                let lease = Lease::hold(&self.ledger, claim);
                let answer = match self.meanwhile(item, planned).await {
                    Ok(Some(entry)) => Some(Self::elsewhere(entry)),
                    Ok(None) => self.claimed(item, index, &lease, (&mut tries, tired)).await,
                    Err(error) => Some(self.fail(error)),
                };
                lease.release().await;
                match answer {
                    Some(answer) => return answer,
                    None => continue, // Its registry rests by now.
                }
            }
            drop(turn);
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = self.stop.cancelled() => return Answer::without(State::Cancelled),
            }
            match self.meanwhile(item, planned).await {
                Ok(Some(entry)) => return Self::elsewhere(entry),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
        }
    }

    async fn turn(&self, step: StepKind) -> Held {
        if step == StepKind::Verify {
            return Held::Verifying(Arc::clone(&self.verifying).acquire_owned().await.ok());
        }
        Held::Rebuilding(Arc::clone(&self.turns).take(&Silent, &self.stop).await)
    }

    /// Whether it can be expected to end in time, by how long it or its like took.
    fn fits(&self, planned: &Planned) -> bool {
        let Some(deadline) = self.deadline else { return true };
        let expected = self.tally.expected_ms(planned.step, planned.took_ms()).unwrap_or(0);
        Instant::now() + Duration::from_millis(expected) < deadline
    }

    /// What another audit found since this one made its plan.
    async fn meanwhile(&self, item: &Item, planned: &Planned) -> Result<Option<Entry>, LedgerError> {
        let filter = Filter {
            repository: Some(item.found.name.repository()),
            image: Some(item.found.digest),
            kinds: vec![planned.step.kind(), Kind::Missed],
            after: self.before,
            ..Filter::default()
        };
        let mut found = None;
        let visit = |row: crate::entry::Row| {
            if row.entry.conditions == Some(planned.conditions) {
                found = Some(row.entry);
            }
        };
        self.ledger.rows(&filter, visit).await?;
        Ok(found)
    }

    fn elsewhere(entry: Entry) -> Answer {
        let gone = entry.kind == Kind::Missed && entry.outcome == "gone";
        let error = entry.error.clone().filter(|_| entry.kind == Kind::Missed);
        let state = if super::due::told(&entry) || gone { State::Elsewhere } else { State::Untold };
        Answer { gone, error, entry: Some(entry), ..Answer::without(state) }
    }

    /// Does the step, some tries if need be, and writes down what came of it; nothing came if its registry went to rest
    /// before the last try. `tired` is why it is not tried any more.
    async fn claimed(
        self: &Arc<Self>,
        item: &Arc<Item>,
        index: usize,
        lease: &Lease,
        (tries, tired): (&mut u32, Option<String>),
    ) -> Option<Answer> {
        let began = Instant::now();
        let planned = &item.steps[index];
        let case = self.case(item, planned, &self.ports);
        let tried = match tired {
            Some(why) => Some(case.untold(&why, false)),
            None => self.tries(item, index, tries).await?,
        };
        let tries = *tries;
        let internal = matches!(tried, Some(Tried::Untold { bug: true, .. }));
        let (state, mut entry, error, gone) = match tried {
            None => return Some(Answer { tries, ..Answer::without(State::Cancelled) }),
            Some(Tried::Told(entry, unattached)) => (State::Done, *entry, unattached, false),
            Some(Tried::Gone(why)) => {
                let mut entry = case.entry(Kind::Missed, "gone");
                entry.error = Some(why.clone());
                (State::Done, entry, Some(why), true)
            }
            Some(Tried::Untold { entry, .. }) => {
                let error = entry.error.clone();
                (State::Untold, *entry, error, false)
            }
        };
        if state == State::Untold && self.stop.is_cancelled() {
            // It was ended, not judged.
            return Some(Answer { tries, ..Answer::without(State::Cancelled) });
        }
        let took = began.elapsed();
        entry.took_ms = Some(ms(took));
        if lease.is_lost()
            && let Ok(Some(theirs)) = self.meanwhile(item, planned).await
        {
            return Some(Self::elsewhere(theirs));
        }
        self.append(&entry).await;
        Some(Answer { state, entry: Some(entry), error, gone, internal, tries, took: Some(took) })
    }

    /// What the last of some tries came to, all of them if need be; nothing if the registry went to rest before it.
    async fn tries(
        self: &Arc<Self>,
        item: &Arc<Item>,
        index: usize,
        tries: &mut u32,
    ) -> Option<Option<Tried>> {
        loop {
            if self.hosts.may_ask(&item.found.name).ok()? {
                // A step may say only at its end whether there was an answer, and all others wait for that.
                let found = self.ports.registries.resolve(&item.found.name).await;
                self.hosts.asked(&item.found.name, !found.as_ref().is_err_and(is_down));
                continue;
            }
            *tries += 1;
            let tried = self.isolated(item, index).await;
            let again = matches!(tried, Some(Tried::Untold { again: true, .. }));
            if !again || *tries == TRIES_MAX {
                return Some(tried);
            }
            let pause = PAUSE * 4_u32.pow(*tries - 1);
            let late = self.deadline.is_some_and(|deadline| Instant::now() + pause >= deadline);
            if late || tokio::time::timeout(pause, self.stop.cancelled()).await.is_ok() {
                return Some(tried);
            }
        }
    }

    fn case<'a>(&'a self, item: &'a Item, planned: &'a Planned, ports: &'a Ports) -> Case<'a> {
        Case { ports, request: &self.request, hosts: &self.hosts, room: &self.room, item, planned }
    }

    /// One try in a task of its own, for as long as the group allows; none if it was cancelled.
    async fn isolated(self: &Arc<Self>, item: &Arc<Item>, index: usize) -> Option<Tried> {
        let group = &self.request.inventory.groups[item.found.group];
        let cancel = self.stop.child_token();
        let mut ports = self.ports.clone();
        ports.cancel = cancel.clone();
        ports.progress = if item.steps[index].step == StepKind::Verify {
            Arc::new(Silent)
        } else {
            (self.request.news.0)(&item.found.shown())
        };
        let (run, of) = (Arc::clone(self), Arc::clone(item));
        let mut task =
            tokio::spawn(async move { Box::pin(run.case(&of, &of.steps[index], &ports).attempt()).await });
        let planned = &item.steps[index];
        let case = self.case(item, planned, &self.ports);
        let Ok(ended) = tokio::time::timeout(group.timeout.duration(), &mut task).await else {
            cancel.cancel();
            if tokio::time::timeout(GRACE, &mut task).await.is_err() {
                task.abort();
            }
            let why = format!("no end within {}, which is its time limit", group.timeout);
            return Some(case.untold(&why, false));
        };
        match ended {
            Ok(Tried::Untold { .. }) if self.stop.is_cancelled() => None,
            Ok(tried) => Some(tried),
            Err(panic) => Some(case.bug(&panic.to_string())),
        }
    }

    /// Adds to the ledger; what cannot be written down is not done, and nothing more is begun.
    async fn append(&self, entry: &Entry) {
        if let Err(error) = self.ledger.append(entry).await {
            self.fail(error);
        }
    }

    fn fail(&self, error: LedgerError) -> Answer {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.cancel();
        Answer::without(State::Cancelled)
    }
}

fn ms(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
