//! What is to be done with which image, and in which order.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    AuditError, Request, TOOL,
    due::{self, Due, Rebuilt, StepKind, Wanted, due, told},
    resolve::{Found, Lost, Resolved},
};
use crate::{
    buildroot::Tools,
    entry::{Entry, Kind},
    inventory::Group,
    ledger::{Filter, Ledger, Per},
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
    /// The newest entry of each lost name.
    pub(super) missed: Vec<Option<Entry>>,
    pub(super) notices: Vec<Notice>,
    /// The number of the ledger's last row: what others do meanwhile has larger ones.
    pub(super) before: u64,
}

/// Holds what was resolved against the ledger.
pub(super) async fn plan(request: &Request, resolved: Resolved, now_s: i64) -> Result<Plan, AuditError> {
    let Resolved { found, lost, notices } = resolved;
    let (mut past, mut missed) = (vec![Vec::new(); found.len()], vec![None; lost.len()]);
    let mut before = 0;
    if let Some(ledger) = &request.ledger {
        (before, _) = ledger.head().await?;
        read(ledger, &found, &lost, &mut past, &mut missed).await?;
        for (found, entries) in found.iter().zip(&mut past) {
            let group = &request.inventory.groups[found.group];
            if group.rebuild.replays() && group.rebuild.lives() && !entries.is_empty() {
                both(ledger, found, entries).await?;
            }
        }
    }
    let mut asked = Vec::new();
    for (index, group) in request.inventory.groups.iter().enumerate() {
        asked.push(steps(request, index, group).await);
    }
    let planned = found.into_iter().zip(past).map(|(found, entries)| {
        let group = &request.inventory.groups[found.group];
        let steps = steps_of(
            request,
            group,
            &asked[found.group],
            &entries,
            now_s,
            &request.rules[found.group].policy,
        );
        Item { found, steps }
    });
    let mut items: Vec<Item> = planned.collect();
    items.sort_by_cached_key(|item| {
        let over =
            item.steps.iter().filter(|step| step.due.is_due()).map(|step| step.due.over_s(now_s)).max();
        let priority = request.inventory.groups[item.found.group].priority;
        (Reverse(priority), Reverse(over), item.found.name.clone())
    });
    Ok(Plan { items, lost, missed, notices, before })
}

/// The newest entries of all images, in one query.
async fn read(
    ledger: &Ledger,
    found: &[Found],
    lost: &[Lost],
    past: &mut [Vec<Entry>],
    missed: &mut [Option<Entry>],
) -> Result<(), AuditError> {
    let of: BTreeMap<(String, Digest), usize> = found
        .iter()
        .enumerate()
        .map(|(index, found)| ((found.name.repository(), found.digest), index))
        .collect();
    let names: BTreeMap<(String, Option<String>), usize> = lost
        .iter()
        .enumerate()
        .map(|(index, lost)| ((lost.name.repository(), lost.name.selector.tag.clone()), index))
        .collect();
    let filter = Filter { kinds: vec![Kind::Verified, Kind::Rebuilt, Kind::Missed], ..Filter::default() };
    let visit = |row: crate::entry::Row| {
        let entry = row.entry;
        let at = entry.digest.and_then(|digest| of.get(&(entry.repository.clone(), digest)));
        if let Some(at) = at {
            past[*at].push(entry);
        } else if let Some(at) = names.get(&(entry.repository.clone(), entry.tag.clone()))
            && missed[*at].as_ref().is_none_or(|than: &Entry| entry.at_s >= than.at_s)
        {
            missed[*at] = Some(entry);
        }
    };
    Ok(ledger.last(&filter, Per::Image, visit).await?)
}

/// Replays and live rebuilds have entries of one kind, of which only the newest was read.
async fn both(ledger: &Ledger, found: &Found, entries: &mut Vec<Entry>) -> Result<(), AuditError> {
    let filter = Filter {
        repository: Some(found.name.repository()),
        image: Some(found.digest),
        kinds: vec![Kind::Rebuilt],
        ..Filter::default()
    };
    let mut newest: BTreeMap<Option<Digest>, Entry> = BTreeMap::new();
    let keep = |row: crate::entry::Row| drop(newest.insert(row.entry.conditions, row.entry));
    ledger.rows(&filter, keep).await?;
    entries.retain(|entry| entry.kind != Kind::Rebuilt);
    entries.extend(newest.into_values());
    Ok(())
}

/// What a group asks for, each with its conditions.
async fn steps(request: &Request, index: usize, group: &Group) -> Vec<(StepKind, Digest)> {
    let rules = &request.rules[index];
    let trust = due::trust(&rules.roots, rules.trusted_root_digest);
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
    // The replay's verdict, which weighs more, is written last.
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
    group: &Group,
    asked: &[(StepKind, Digest)],
    entries: &[Entry],
    now_s: i64,
    policy: &Policy,
) -> Vec<Planned> {
    let plan = |(step, conditions): &(StepKind, Digest)| {
        let others: Vec<Digest> =
            asked.iter().map(|(_, other)| *other).filter(|other| other != conditions).collect();
        let wanted = Wanted {
            step: *step,
            conditions: *conditions,
            others: &others,
            policy: policy.digest,
            tool: TOOL,
            every: group.every,
        };
        let due = match due(now_s, &wanted, entries) {
            Due::NotUntil { at_s, .. } if request.force => Due::Forced { at_s },
            Due::NotUntil { at_s, .. } if *step == StepKind::Verify && turned(policy, at_s, now_s) => {
                Due::Changed { what: "a date of the policy passed", at_s }
            }
            due => due,
        };
        let theirs =
            |entry: &&Entry| !entry.conditions.is_some_and(|conditions| others.contains(&conditions));
        let last = entries.iter().filter(|entry| told(entry) && entry.kind == step.kind()).filter(theirs);
        let last = last.max_by_key(|entry| (entry.conditions == Some(*conditions), entry.at_s)).cloned();
        Planned { step: *step, conditions: *conditions, due, last }
    };
    asked.iter().map(plan).collect()
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
    let accepted = |verdict: &&Verdict| entry.kind == Kind::Rebuilt && verdict.name() == entry.outcome;
    step.accepted =
        entry.outcome != Verdict::Reproduced.name() && group.accept.iter().any(|verdict| accepted(&verdict));
    step.outcome = Some(entry.outcome.clone());
    step.judged_on = Some(rfc3339(entry.at_s));
    step.codes.clone_from(&entry.codes);
    step.attestation = entry.evidence;
    step.report.clone_from(&entry.report);
}
