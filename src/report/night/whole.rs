//! How all images stand, whatever changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    Rules, Span, Tally,
    change::until_s,
    state::{Known, Name, Standing, State, States, verdict},
};
use crate::{
    entry::{Kind, Waived},
    model::{
        Digest, Verdict,
        limits::{NIGHTS_SHOWN_MAX, REPORT_TOP_MAX, WAIVER_ENDING_S},
        rfc3339,
    },
};

/// One image as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// As people write it.
    pub image: String,
    /// What its name leads to.
    pub digest: Option<Digest>,
    /// `wrong`, `unknown` or `good`.
    pub standing: &'static str,
    /// The outcome that decides.
    pub said: String,
    /// How it was judged last: `passed`, `failed`, `unknown`.
    pub verified: Option<String>,
    /// How its last rebuild from what was recorded ended.
    pub verdict: Option<String>,
    /// How its last rebuild from the repositories of the day ended.
    pub live: Option<String>,
    /// Verdicts of these that are taken for a yes, though they are none by themselves.
    pub accepted: Vec<&'static str>,
    /// How its last tests ended.
    pub tested: Option<String>,
    /// Codes of findings and of causes.
    pub codes: Vec<String>,
    /// When it was judged last, RFC 3339.
    pub judged: Option<String>,
    /// Whether it was not looked at for too long.
    pub overdue: bool,
    /// Who is told.
    pub owner: Option<String>,
    /// The inventory's group.
    pub group: Option<String>,
    /// How long its last rebuild took, or its last judgement if there was none; in milliseconds.
    pub took_ms: Option<u64>,
    /// Where a report of it lies.
    pub report: Option<String>,
    /// Why nobody could tell.
    pub error: Option<String>,
}

/// A code, and how many images have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// `reprov explain CODE`.
    pub code: String,
    /// How many images.
    pub images: u64,
}

/// An image and a number or a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// As people write it.
    pub image: String,
    /// When it was judged last, RFC 3339; none: never.
    pub judged: Option<String>,
    /// How long that took, in milliseconds.
    pub took_ms: Option<u64>,
}

/// What an owner answers for, or what a group holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Whose; none: nobody is named.
    pub name: Option<String>,
    /// All of them.
    pub images: u64,
    /// With which something is wrong.
    pub wrong: u64,
    /// Of which somebody could not tell.
    pub unknown: u64,
    /// Not looked at for too long.
    pub overdue: u64,
}

/// A waiver that images stand on and that ends soon, or has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// What it waives.
    pub code: String,
    /// Who answers for it.
    pub owner: String,
    /// Until when, RFC 3339.
    pub until: String,
    /// Whether that is over.
    pub ended: bool,
    /// How many images stand on it.
    pub images: u64,
}

/// How one night went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Night {
    /// The day of its morning.
    pub night: String,
    /// Images that were judged, by outcome.
    pub verified: BTreeMap<String, u64>,
    /// Images that were rebuilt from what was recorded, by verdict.
    pub rebuilt: BTreeMap<String, u64>,
    /// Images that were rebuilt from the repositories of the day, by verdict.
    pub live: BTreeMap<String, u64>,
}

/// How everything stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Whole {
    /// How many images there are.
    pub images: u64,
    /// By how they stand.
    pub standing: BTreeMap<&'static str, u64>,
    /// By the verdict of their last rebuild from what was recorded, best first; those without one are not counted.
    pub verdicts: Vec<Count>,
    /// Likewise, from the repositories of the day.
    pub live: Vec<Count>,
    /// By what their policy says.
    pub verified: BTreeMap<String, u64>,
    /// By how their tests went.
    pub tested: BTreeMap<String, u64>,
    /// Causes of drift, most images first.
    pub causes: Vec<Count>,
    /// Findings that count, most images first.
    pub findings: Vec<Count>,
    /// Not looked at for too long.
    pub overdue: u64,
    /// Nobody looked at them for so long that they are in no other number.
    pub retired: u64,
    /// Those that were not judged for longest.
    pub oldest: Vec<Place>,
    /// Those that took longest.
    pub slowest: Vec<Place>,
    /// By who is told.
    pub owners: Vec<Share>,
    /// By the inventory's groups.
    pub groups: Vec<Share>,
    /// Waivers that end soon, or have ended.
    pub waivers: Vec<Ending>,
    /// Night by night, the oldest first.
    pub trend: Vec<Night>,
}

fn outcome(known: Option<&Known>) -> Option<String> {
    known.map(|known| known.entry.outcome.clone())
}

fn overdue(state: &State<'_>, span: Span, rules: &Rules) -> bool {
    state.due_s(rules).is_some_and(|due_s| due_s <= span.until_s)
}

fn took_ms(state: &State<'_>) -> Option<u64> {
    [state.rebuilt(), state.live(), state.verified()]
        .into_iter()
        .flatten()
        .find_map(|known| known.entry.took_ms)
}

fn image(name: &Name<'_>, state: &State<'_>, span: Span, rules: &Rules) -> Image {
    let judged = [state.rebuilt(), state.live(), state.verified(), state.tested()].into_iter().flatten();
    let looked = || state.missed().into_iter().chain(judged.clone());
    let mut codes: Vec<String> = judged.clone().flat_map(|known| known.entry.codes.keys().cloned()).collect();
    codes.sort();
    codes.dedup();
    Image {
        image: name.shown(),
        digest: state.digest(),
        standing: state.standing(rules).name(),
        said: state.said(rules).to_owned(),
        verified: outcome(state.verified()),
        verdict: outcome(state.rebuilt()),
        live: outcome(state.live()),
        accepted: state.accepts(rules),
        tested: outcome(state.tested()),
        codes,
        judged: state.judged_s().map(rfc3339),
        overdue: overdue(state, span, rules),
        owner: state.owner().map(str::to_owned),
        group: state.group().map(str::to_owned),
        took_ms: took_ms(state),
        report: looked().find_map(|known| known.entry.report.clone()),
        error: looked().find_map(|known| known.entry.error.clone()),
    }
}

/// Every image that is not retired, what is wrong first.
pub(super) fn images(states: &States<'_>, span: Span, rules: &Rules) -> Vec<Image> {
    let there = states.iter().filter(|(_, state)| !state.retired(span.until_s));
    let mut images: Vec<_> =
        there.map(|(name, state)| (state.standing(rules), image(name, state, span, rules))).collect();
    images.sort_by(|a, b| (a.0, &a.1.image).cmp(&(b.0, &b.1.image)));
    images.into_iter().map(|(_, image)| image).collect()
}

/// Codes by number of images, most first.
fn most(counts: BTreeMap<String, u64>) -> Vec<Count> {
    let mut all: Vec<Count> = counts.into_iter().map(|(code, images)| Count { code, images }).collect();
    all.sort_by(|a, b| b.images.cmp(&a.images).then_with(|| a.code.cmp(&b.code)));
    all
}

/// Codes by number of images; what two entries of an image have is counted once.
fn count_codes<'a>(images: impl Iterator<Item = [Option<&'a Known>; 2]>) -> Vec<Count> {
    let mut counts = BTreeMap::new();
    for entries in images {
        let codes = entries.into_iter().flatten().flat_map(|known| known.entry.codes.keys());
        for code in codes.collect::<BTreeSet<_>>() {
            *counts.entry(code.clone()).or_default() += 1;
        }
    }
    most(counts)
}

/// Verdicts by number of images, best first.
fn count_verdicts<'a>(known: impl Iterator<Item = &'a Known>) -> Vec<Count> {
    let mut counts: BTreeMap<Verdict, u64> = BTreeMap::new();
    for verdict in known.filter_map(verdict) {
        *counts.entry(verdict).or_default() += 1;
    }
    let count = |(verdict, images): (Verdict, u64)| Count { code: verdict.name().to_owned(), images };
    counts.into_iter().map(count).collect()
}

fn count_outcomes<'a>(known: impl Iterator<Item = &'a Known>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for known in known {
        *counts.entry(known.entry.outcome.clone()).or_default() += 1;
    }
    counts
}

/// By what `of` says, by name; those of nobody last.
fn shares<'a>(
    states: &[(&Name<'a>, &State<'a>)],
    span: Span,
    rules: &Rules,
    of: impl Fn(&State<'a>) -> Option<&'a str>,
) -> Vec<Share> {
    let mut shares: BTreeMap<(bool, Option<&str>), Share> = BTreeMap::new();
    for (_, state) in states {
        let name = of(state);
        let empty = Share { name: name.map(str::to_owned), images: 0, wrong: 0, unknown: 0, overdue: 0 };
        let share = shares.entry((name.is_none(), name)).or_insert(empty);
        share.images += 1;
        share.wrong += u64::from(state.standing(rules) == Standing::Wrong);
        share.unknown += u64::from(state.standing(rules) == Standing::Unknown);
        share.overdue += u64::from(overdue(state, span, rules));
    }
    shares.into_values().collect()
}

fn waivers<'a>(states: impl Iterator<Item = &'a State<'a>>, until: i64) -> Vec<Ending> {
    let mut images: BTreeMap<&Waived, u64> = BTreeMap::new();
    for state in states {
        let waived = state.verified().map(|known| known.entry.waived.as_slice()).unwrap_or_default();
        for waiver in waived {
            *images.entry(waiver).or_default() += 1;
        }
    }
    let ending = |(waiver, images): (&Waived, u64)| {
        let end_s = until_s(&waiver.until)?;
        (end_s.saturating_sub(WAIVER_ENDING_S) <= until).then(|| {
            let ended = end_s <= until;
            let Waived { code, owner, until } = waiver.clone();
            Ending { code, owner, until, ended, images }
        })
    };
    let mut endings: Vec<_> = images.into_iter().filter_map(ending).collect();
    endings.sort_by(|a, b| (&a.until, &a.code, &a.owner).cmp(&(&b.until, &b.code, &b.owner)));
    endings
}

/// The nights that are drawn; one without an entry is there too, since nothing was done then.
fn trend(tallies: &[Tally], span: Span) -> Vec<Night> {
    // A night that only began is shown once something was done in it.
    let begun = night_of(span.until_s);
    let last = if tallies.iter().any(|tally| tally.night == begun) { begun } else { begun - 1 };
    let shown = |night: i64| night <= last && night > last - NIGHTS_SHOWN_MAX;
    let Some(first) = tallies.iter().map(|tally| tally.night).filter(|night| shown(*night)).min() else {
        return Vec::new();
    };
    let night = |number: i64| {
        let of = |kind: Kind| {
            let those = tallies.iter().filter(|tally| tally.night == number && tally.kind == kind);
            those.map(|tally| (tally.outcome.clone(), tally.images)).collect()
        };
        let night = rfc3339(number * DAY_S).chars().take(10).collect();
        Night { night, verified: of(Kind::Verified), rebuilt: of(Kind::Rebuilt), live: of(Kind::RebuiltLive) }
    };
    (first..=last).map(night).collect()
}

const DAY_S: i64 = 24 * 3600;

/// The night that a time belongs to, by the day of its morning: from noon to noon, UTC.
pub(super) fn night_of(at_s: i64) -> i64 {
    at_s.saturating_add(DAY_S / 2).div_euclid(DAY_S)
}

/// All of it.
pub(super) fn whole(states: &States<'_>, tallies: &[Tally], span: Span, rules: &Rules) -> Whole {
    let (retired, there): (Vec<_>, Vec<_>) =
        states.iter().partition(|(_, state)| state.retired(span.until_s));
    let all = || there.iter().map(|(_, state)| *state);
    let mut standing: BTreeMap<&'static str, u64> =
        [Standing::Wrong, Standing::Unknown, Standing::Good].map(|standing| (standing.name(), 0)).into();
    for state in all() {
        *standing.entry(state.standing(rules).name()).or_default() += 1;
    }
    let place = |(name, state): &(&Name<'_>, &State<'_>)| Place {
        image: name.shown(),
        judged: state.judged_s().map(rfc3339),
        took_ms: took_ms(state),
    };
    let mut oldest = there.clone();
    oldest.sort_by_key(|(name, state)| (state.judged_s(), **name));
    let mut slowest: Vec<_> = there.iter().filter(|(_, state)| took_ms(state).is_some()).copied().collect();
    slowest.sort_by_key(|(name, state)| (std::cmp::Reverse(took_ms(state)), **name));
    Whole {
        images: there.len() as u64,
        standing,
        verdicts: count_verdicts(all().filter_map(State::rebuilt)),
        live: count_verdicts(all().filter_map(State::live)),
        verified: count_outcomes(all().filter_map(State::verified)),
        tested: count_outcomes(all().filter_map(State::tested)),
        causes: count_codes(all().map(State::rebuilds)),
        findings: count_codes(all().map(|state| [state.verified(), None])),
        overdue: all().filter(|state| overdue(state, span, rules)).count() as u64,
        retired: retired.len() as u64,
        oldest: oldest.iter().take(REPORT_TOP_MAX).map(place).collect(),
        slowest: slowest.iter().take(REPORT_TOP_MAX).map(place).collect(),
        owners: shares(&there, span, rules, State::owner),
        groups: shares(&there, span, rules, State::group),
        waivers: waivers(all(), span.until_s),
        trend: trend(tallies, span),
    }
}
