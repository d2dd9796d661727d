//! What is to be done with which image, and in which order.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    AuditError, Request, TOOL,
    due::{self, Due, Rebuilt, StepKind, Wanted, due},
    resolve::{Found, Lost, Resolved},
};
use crate::{
    buildroot::Tools,
    entry::{Entry, Kind, Row},
    inventory::Group,
    ledger::{Filter, IMAGES_AT_ONCE_MAX, Ledger, LedgerError, Per},
    model::{Digest, Verdict, rfc3339},
    policy::Policy,
    recipe::Buildroot,
    report::audit::{Image, Notice, State, Step},
};

/// An image, and what its group asks for.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) found: Found,
    pub(super) steps: Vec<Planned>,
}

/// A step, and whether it is due.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) step: StepKind,
    pub(super) conditions: Digest,
    pub(super) due: Due,
    /// The newest entry that says what the image is, under whatever conditions.
    pub(super) last: Option<Entry>,
}

impl Planned {
    /// How long it took the last time, in milliseconds.
    pub(super) fn took_ms(&self) -> Option<u64> {
        self.last.as_ref().and_then(|last| last.took_ms)
    }
}

/// The whole.
#[derive(Debug)]
pub(super) struct Plan {
    /// What to do first stands first.
    pub(super) items: Vec<Item>,
    pub(super) lost: Vec<Lost>,
    pub(super) notices: Vec<Notice>,
    /// The number of the ledger's last row: what others do meanwhile has larger ones.
    pub(super) before: u64,
}

/// Holds what was resolved against the ledger.
pub(super) async fn plan(request: &Request, resolved: Resolved, now_s: i64) -> Result<Plan, AuditError> {
    let Resolved { found, lost, notices } = resolved;
    let mut asked = Vec::new();
    for (index, group) in request.inventory.groups.iter().enumerate() {
        asked.push(steps(request, index, group).await);
    }
    let (mut before, mut past) = (0, vec![Vec::new(); found.len()]);
    if let Some(ledger) = &request.ledger {
        (before, _) = ledger.head().await?;
        read(ledger, &found, &asked, &mut past).await?;
    }
    let planned = found.into_iter().zip(past).map(|(found, rows)| {
        let steps = steps_of(request, &found, &asked[found.group], &rows, now_s);
        Item { found, steps }
    });
    let mut items: Vec<Item> = planned.collect();
    items.sort_by_cached_key(|item| {
        let over =
            item.steps.iter().filter(|step| step.due.is_due()).map(|step| step.due.over_s(now_s)).max();
        let priority = request.inventory.groups[item.found.group].priority;
        (Reverse(priority), Reverse(over), item.found.name.clone())
    });
    Ok(Plan { items, lost, notices, before })
}

/// What the ledger has of each image: the newest entries under each condition, and that its name led nowhere.
async fn read(
    ledger: &Ledger,
    found: &[Found],
    asked: &[Vec<(StepKind, Digest)>],
    past: &mut [Vec<Row>],
) -> Result<(), AuditError> {
    let (mut places, mut names) = (BTreeMap::new(), BTreeMap::new());
    for (index, found) in found.iter().enumerate() {
        places.insert((found.name.repository(), found.digest), index);
        if let Some(tag) = found.tag() {
            names.insert((found.name.repository(), tag), index);
        }
    }
    let mut digests: Vec<Digest> = found.iter().map(|found| found.digest).collect();
    digests.sort_unstable();
    digests.dedup();
    for images in digests.chunks(IMAGES_AT_ONCE_MAX) {
        let kinds = vec![Kind::Verified, Kind::Rebuilt, Kind::RebuiltLive, Kind::Missed];
        let filter = Filter { images: images.to_vec(), kinds, ..Filter::default() };
        let visit = |row: Row| {
            let Some(digest) = row.entry.digest else { return };
            if let Some(index) = places.get(&(row.entry.repository.clone(), digest)) {
                keep(&mut past[*index], row, &asked[found[*index].group]);
            }
        };
        ledger.last(&filter, Per::Image, visit).await?;
    }
    let filter = Filter { nowhere: true, kinds: vec![Kind::Missed], ..Filter::default() };
    let visit = |row: Row| {
        let Some(tag) = row.entry.tag.as_deref() else { return };
        if let Some(index) = names.get(&(row.entry.repository.clone(), tag)).copied() {
            past[index].push(row);
        }
    };
    Ok(ledger.last(&filter, Per::Image, visit).await?)
}

/// Keeps the row; of what was found under conditions that nobody asks for now, the newest is enough.
fn keep(past: &mut Vec<Row>, row: Row, asked: &[(StepKind, Digest)]) {
    let other = |row: &Row| !asked.iter().any(|(_, conditions)| row.entry.conditions == Some(*conditions));
    if other(&row) {
        past.retain(|old| {
            let of = |row: &'_ Row| (row.entry.kind, row.entry.tag.clone(), row.entry.group.clone());
            !other(old) || of(old) != of(&row)
        });
    }
    past.push(row);
}

/// What a group asks for, each with its conditions.
async fn steps(request: &Request, index: usize, group: &Group) -> Vec<(StepKind, Digest)> {
    let rules = &request.rules[index];
    let trust = due::trust(&rules.roots, rules.trusted_root.as_ref().map(|root| root.digest()));
    let vary = group.vary.names();
    let buildroot = match &rules.buildroot {
        None => None,
        Some(Buildroot::Image(name)) => name.selector.digest.map(|digest| digest.to_string()),
        // Programs that cannot be found are told of when one is rebuilt.
        Some(Buildroot::Host) => Some(Tools::find().await.map_or("host".to_owned(), |tools| {
            format!("host {} {}", tools.engine.digest, tools.runtime.digest)
        })),
    };
    let conditions = |step| {
        let vary: &[String] = if step == StepKind::Replay { &vary } else { &[] };
        let rebuilt = Rebuilt { vary, buildroot: buildroot.as_deref(), platform: &group.platform };
        (step, due::conditions(step, (rules.policy.digest, trust), &rebuilt, TOOL))
    };
    // What the repositories of today give is asked before what was recorded, whose verdict weighs more.
    let mut wanted = [
        (StepKind::Live, group.rebuild.lives()),
        (StepKind::Replay, group.rebuild.replays()),
        (StepKind::Verify, group.verify),
    ];
    if rules.policy.rebuild.is_none() {
        wanted.rotate_right(1); // Else the judge reads the verdict that is signed now.
    }
    wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(step, _)| conditions(step)).collect()
}

fn steps_of(
    request: &Request,
    found: &Found,
    asked: &[(StepKind, Digest)],
    rows: &[Row],
    now_s: i64,
) -> Vec<Planned> {
    let group = &request.inventory.groups[found.group];
    let policy = &request.rules[found.group].policy;
    let entries = || rows.iter().map(|row| &row.entry);
    let plan = |(step, conditions): &(StepKind, Digest)| {
        let others: Vec<Digest> =
            asked.iter().map(|(_, other)| *other).filter(|other| other != conditions).collect();
        let wanted = Wanted {
            step: *step,
            conditions: *conditions,
            others: &others,
            group: &group.name,
            policy: policy.digest,
            tool: TOOL,
            every: group.every,
        };
        let due = match due(now_s, &wanted, entries()) {
            Due::NotUntil { at_s, .. } if request.force => Due::Forced { at_s },
            Due::NotUntil { at_s, .. } if *step == StepKind::Verify && turned(policy, at_s, now_s) => {
                Due::Changed { what: "a date of the policy passed", at_s }
            }
            due => due,
        };
        let last = entries().filter(|entry| due::of_step(entry, &wanted));
        let last = last.max_by_key(|entry| (entry.conditions == Some(*conditions), entry.at_s)).cloned();
        Planned { step: *step, conditions: *conditions, due, last }
    };
    let mut planned: Vec<Planned> = asked.iter().map(plan).collect();
    if let Some(missed) = due::missed(rows, found.tag(), &group.name) {
        back(&mut planned, missed);
    }
    planned
}

/// After it was missed, the step that costs least is due; unless one is that was missed itself, and is done again anyway.
fn back(planned: &mut [Planned], missed: &Entry) {
    let again = |step: &Planned| step.due.is_due() && missed.conditions == Some(step.conditions);
    if planned.iter().any(again) {
        return;
    }
    if let Some(least) = planned.iter_mut().min_by_key(|step| step.step)
        && !least.due.is_due()
    {
        least.due = Due::Back { at_s: missed.at_s };
    }
}

/// Whether a waiver began or ended, or a rule came into force, between two times.
fn turned(policy: &Policy, at_s: i64, now_s: i64) -> bool {
    let waivers = policy.waivers.iter().flat_map(|waiver| [waiver.from_s, waiver.until_s.checked_add(1)]);
    let dates = waivers.chain(policy.rules.iter().map(|rule| rule.effective_s)).flatten();
    dates.into_iter().any(|date_s| at_s < date_s && date_s <= now_s)
}

impl Plan {
    /// The answer where nothing is done.
    pub(super) fn images(&self, request: &Request) -> Vec<Image> {
        let lost = self.lost.iter().map(|lost| self::lost(request, lost));
        lost.chain(self.items.iter().map(|item| {
            let steps = item.steps.iter().map(|planned| {
                let state = if planned.due.is_due() { State::Listed } else { State::NotDue };
                step(request, item, planned, state)
            });
            image(request, item, steps.collect())
        }))
        .collect()
    }
}

/// The answer about a name that leads nowhere.
pub(super) fn lost(request: &Request, lost: &Lost) -> Image {
    let group = &request.inventory.groups[lost.group];
    Image {
        image: lost.name.to_string(),
        also: Vec::new(),
        group: group.name.clone(),
        owner: group.owner.clone(),
        missed: Some(lost.outcome),
        error: Some(lost.error.clone()),
        steps: Vec::new(),
    }
}

/// The answer about an image.
pub(super) fn image(request: &Request, item: &Item, steps: Vec<Step>) -> Image {
    let group = &request.inventory.groups[item.found.group];
    Image {
        image: item.found.name.to_string(),
        also: item.found.also.clone(),
        group: group.name.clone(),
        owner: group.owner.clone(),
        missed: None,
        error: None,
        steps,
    }
}

/// The answer about a step, by what was known before.
pub(super) fn step(request: &Request, item: &Item, planned: &Planned, state: State) -> Step {
    let group = &request.inventory.groups[item.found.group];
    let mut step = Step {
        step: planned.step.name(),
        due: planned.due.name(),
        why: planned.due.why(),
        due_on: planned.due.on_s().map(rfc3339),
        state,
        outcome: None,
        judged_on: None,
        accepted: false,
        codes: BTreeMap::new(),
        attestation: None,
        report: None,
        error: None,
        internal: false,
        tries: 0,
        seconds: None,
    };
    if let Some(last) = &planned.last {
        outcome(&mut step, last, group);
    }
    step
}

/// What an entry says of a step.
pub(super) fn outcome(step: &mut Step, entry: &Entry, group: &Group) {
    let accepted = |verdict: &&Verdict| entry.kind.is_rebuild() && verdict.name() == entry.outcome;
    step.accepted =
        entry.outcome != Verdict::Reproduced.name() && group.accept.iter().any(|verdict| accepted(&verdict));
    step.outcome = Some(entry.outcome.clone());
    step.judged_on = Some(rfc3339(entry.at_s));
    step.codes.clone_from(&entry.codes);
    step.attestation = entry.evidence;
    step.report.clone_from(&entry.report);
}

/// Whether the ledger's last word of the name is that it is gone, as it still is.
pub(super) async fn said_gone(
    ledger: &Ledger,
    lost: &Lost,
    now_s: i64,
    every_s: i64,
) -> Result<bool, LedgerError> {
    if lost.outcome != "gone" {
        return Ok(false);
    }
    let filter = Filter {
        repository: Some(lost.name.repository()),
        tag: Some(lost.name.selector.tag.clone().unwrap_or_default()),
        kinds: vec![Kind::Verified, Kind::Rebuilt, Kind::RebuiltLive, Kind::Missed],
        ..Filter::default()
    };
    let last = ledger.newest(&filter).await?.map(|row| row.entry);
    Ok(last.is_some_and(|last| {
        let fresh = last.at_s <= now_s && last.at_s.saturating_add(every_s) > now_s;
        last.kind == Kind::Missed && last.outcome == "gone" && fresh
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_800_000_000;

    /// A row of tag 1, of group `web`.
    fn row(number: u64, kind: Kind, outcome: &str, conditions: Option<&str>) -> Row {
        let entry = Entry {
            tag: Some("1".to_owned()),
            group: Some("web".to_owned()),
            conditions: conditions.map(|text| Digest::of(text.as_bytes())),
            ..due::tests::entry(NOW_S, kind, outcome, "")
        };
        Row { number, previous: Digest::of(b""), digest: Digest::of(b""), entry }
    }

    #[test]
    fn what_was_missed_last_is_known() {
        let missed = |number, conditions| row(number, Kind::Missed, "unreachable", conditions);
        let judged = |number| row(number, Kind::Verified, "passed", Some("now"));
        let of = |rows: &[Row]| due::missed(rows, Some("1"), "web").is_some();
        assert!(of(&[judged(1), missed(2, None)]) && of(&[missed(2, Some("now")), judged(1)]));
        assert!(of(&[missed(1, None)]), "it was judged by another name");
        assert!(!of(&[judged(1)]) && !of(&[missed(1, None), judged(2)]));
        assert!(!of(&[missed(1, None), row(2, Kind::RebuiltLive, "explained", Some("live"))]));
        let unknown = row(3, Kind::Verified, "unknown", Some("now"));
        assert!(of(&[judged(1), missed(2, None), unknown]), "nobody could tell again");
        let rows = [judged(1), missed(2, None)];
        assert!(due::missed(&rows, Some("2"), "web").is_none() && due::missed(&rows, None, "web").is_none());
        let theirs = |conditions| {
            let mut row = missed(2, conditions);
            row.entry.group = Some("other".to_owned());
            row
        };
        assert!(!of(&[judged(1), theirs(Some("then"))]) && of(&[judged(1), theirs(None)]));
    }

    #[test]
    fn after_an_outage_the_step_that_costs_least_is_due() {
        let planned = |steps: &[(StepKind, Due)]| -> Vec<Planned> {
            let of = |(step, due): &(StepKind, Due)| {
                let conditions = Digest::of(step.name().as_bytes());
                Planned { step: *step, conditions, due: due.clone(), last: None }
            };
            steps.iter().map(of).collect()
        };
        let (fine, late) =
            (Due::NotUntil { due_s: NOW_S + 1, at_s: 0 }, Due::Overdue { at_s: 0, since_s: NOW_S });
        let check = |steps: &[(StepKind, Due)], missed: Option<&str>, expected: &[&str]| {
            let mut planned = planned(steps);
            back(&mut planned, &row(2, Kind::Missed, "gone", missed).entry);
            assert_eq!(planned.iter().map(|step| step.due.name()).collect::<Vec<_>>(), expected);
        };
        let (verify, replay, live) = (StepKind::Verify, StepKind::Replay, StepKind::Live);
        check(&[(verify, fine.clone()), (replay, fine.clone())], None, &["back", "not-due"]);
        check(&[(live, fine.clone()), (verify, fine.clone())], None, &["not-due", "back"]);
        check(&[(live, fine.clone()), (replay, fine.clone())], Some("verify"), &["not-due", "back"]);
        check(&[(verify, fine.clone()), (replay, late.clone())], None, &["back", "overdue"]);
        check(&[(verify, fine.clone()), (replay, late.clone())], Some("replay"), &["not-due", "overdue"]);
        check(&[(verify, late), (replay, fine)], None, &["overdue", "not-due"]);
    }

    #[test]
    fn of_conditions_that_nobody_asks_for_the_newest_is_kept() {
        let asked = [(StepKind::Verify, Digest::of(b"now"))];
        let mut past = Vec::new();
        for (number, kind, conditions) in [
            (1, Kind::Verified, "now"),
            (2, Kind::Verified, "then"),
            (3, Kind::Rebuilt, "then"),
            (4, Kind::Verified, "before"),
            (5, Kind::Missed, "now"),
        ] {
            keep(&mut past, row(number, kind, "passed", Some(conditions)), &asked);
        }
        assert_eq!(past.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 3, 4, 5]);
    }
}
