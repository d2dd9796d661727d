//! What changed between two moments.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    Rules, Span,
    state::{Known, Name, Rebuild, State, States, verdict},
};
use crate::{
    entry::{Kind, Waived},
    model::{Digest, Turn, limits::WAIVER_ENDING_S, rfc3339, time::parse_rfc3339},
};

/// Findings which say that something the image is judged by is no longer there.
const LOST: [&str; 8] = [
    "no-attestation",
    "predicate-missing",
    "transcript-missing",
    "log-missing",
    "log-gone",
    "evidence-gone",
    "inputs-gone",
    "sbom-missing",
];

/// One change of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Which; `reprov explain CODE`.
    pub code: Turn,
    /// The image, as people write it.
    pub image: String,
    /// What its name leads to now.
    pub digest: Option<Digest>,
    /// How it was before; none: nobody had looked.
    pub before: Option<String>,
    /// How it is now.
    pub after: String,
    /// Codes that were not there before: of findings, or of causes; with waivers, what is waived.
    pub codes: Vec<String>,
    /// A sentence for people.
    pub message: String,
    /// Who is told.
    pub owner: Option<String>,
    /// The inventory's group.
    pub group: Option<String>,
    /// When that was found, RFC 3339.
    pub at: String,
    /// The attestation that says so.
    pub evidence: Option<Digest>,
    /// Where a report of it lies.
    pub report: Option<String>,
    /// The same for the same change, whoever asks and however often: what it turned from, and to what.
    pub key: Digest,
}

/// Both sides of an image.
struct Sides<'a> {
    name: Name<'a>,
    before: State<'a>,
    /// Whether it was known before.
    known: bool,
    after: State<'a>,
    rules: &'a Rules,
    changes: Vec<Change>,
}

/// What changed from `before` to `after`, what asks for somebody first.
pub(super) fn changes(before: &States<'_>, after: &States<'_>, span: Span, rules: &Rules) -> Vec<Change> {
    let mut all = Vec::new();
    for (name, state) in after {
        let old = before.get(name);
        let mut sides = Sides {
            name: *name,
            before: old.copied().unwrap_or_default(),
            known: old.is_some(),
            after: *state,
            rules,
            changes: Vec::new(),
        };
        sides.place();
        sides.reached();
        sides.verified();
        sides.rebuilt(sides.before.rebuilt(), sides.after.rebuilt());
        sides.rebuilt(sides.before.live_before(sides.after.live()), sides.after.live());
        sides.tested();
        sides.waivers(span);
        sides.overdue(span);
        all.append(&mut sides.changes);
    }
    all.sort_by(|a, b| (a.code, &a.image, &a.codes).cmp(&(b.code, &b.image, &b.codes)));
    all
}

fn outcome(known: Option<&Known>) -> Option<&str> {
    known.map(|known| known.entry.outcome.as_str())
}

/// Codes of `after` that `before` has not.
fn new_codes(before: Option<&Known>, after: &Known) -> Vec<String> {
    let had = |code: &str| before.is_some_and(|known| known.entry.codes.contains_key(code));
    after.entry.codes.keys().filter(|code| !had(code)).cloned().collect()
}

/// The last second of a waiver that ends at a time, or with a day.
pub(super) fn until_s(until: &str) -> Option<i64> {
    if until.len() == 10 { parse_rfc3339(&format!("{until}T23:59:59Z")) } else { parse_rfc3339(until) }
}

/// Whether a judgement says that evidence is missing.
fn lost(known: Option<&Known>) -> bool {
    known.is_some_and(|known| known.entry.codes.keys().any(|code| LOST.contains(&code.as_str())))
}

fn listed(codes: &[String]) -> String {
    if codes.is_empty() { String::new() } else { format!(": {}", codes.join(", ")) }
}

/// A digest short enough to be read.
fn short(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string().chars().take(19).collect())
}

impl<'a> Sides<'a> {
    /// Tells one. `from`: what was known before of what changed.
    fn tell(&mut self, code: Turn, from: Option<&Known>, to: &Known, codes: Vec<String>, message: String) {
        // Judge and rebuilder often find the same, and one of them is enough.
        let once = matches!(code, Turn::EvidenceLost | Turn::CannotTell | Turn::Back);
        if once && self.changes.iter().any(|change| change.code == code) {
            return;
        }
        let before = outcome(from).map(str::to_owned);
        // What a change turns from is in the key, so that the same turn is another one when it happens again.
        let since = from.map(|known| known.entry.at_s);
        let identity =
            (code, self.name.shown(), self.after.digest(), since, &before, &to.entry.outcome, &codes);
        let mut identity = serde_json::to_vec(&identity).unwrap_or_default(); // Texts and numbers always can be.
        if to.entry.kind == Kind::RebuiltLive {
            identity.extend(b"\nlive"); // Both rebuilds may find the same.
        }
        self.changes.push(Change {
            code,
            image: self.name.shown(),
            digest: self.after.digest(),
            before,
            after: to.entry.outcome.clone(),
            codes,
            message,
            owner: self.after.owner().map(str::to_owned),
            group: self.after.group().map(str::to_owned),
            at: rfc3339(to.entry.at_s),
            evidence: to.entry.evidence,
            report: to.entry.report.clone(),
            key: Digest::of(&identity),
        });
    }

    fn place(&mut self) {
        let Some(newest) = self.after.newest() else { return };
        if !self.known {
            let said = self.after.said(self.rules);
            return self.tell(
                Turn::NewImage,
                None,
                newest,
                Vec::new(),
                format!("is audited for the first time: {said}"),
            );
        }
        let (from, to) = (self.before.digest(), self.after.digest());
        if to.is_some() && from.is_some() && from != to {
            let message = format!("the tag moved from {} to {}", short(from), short(to));
            self.tell(Turn::TagMoved, self.before.newest(), newest, Vec::new(), message);
        }
    }

    fn reached(&mut self) {
        let (before, after) = (self.before.missed(), self.after.missed());
        let Some(missed) = after else {
            if let (Some(missed), Some(newest)) = (before, self.after.newest()) {
                self.tell(Turn::Back, Some(missed), newest, Vec::new(), "is there again".to_owned());
            }
            return;
        };
        if outcome(before) == outcome(after) {
            return;
        }
        let from = before.or(self.before.newest());
        let why = missed.entry.error.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        if missed.entry.outcome == "gone" {
            self.tell(
                Turn::Gone,
                from,
                missed,
                Vec::new(),
                format!("the registry says that it is not there{why}"),
            );
        } else {
            self.tell(Turn::CannotTell, from, missed, Vec::new(), format!("could not be reached{why}"));
        }
    }

    /// Rebuilds from what was recorded, or from the repositories of the day.
    fn rebuilt(&mut self, from: Option<&'a Known>, to: Option<&'a Known>) {
        let Some(to) = to else { return };
        let Some(now) = self.after.rebuild(to, self.rules) else { return };
        let was = from.and_then(|from| self.before.rebuild(from, self.rules));
        let said = to.entry.outcome.as_str();
        let with = if to.entry.kind == Kind::RebuiltLive { " with today's inputs" } else { "" };
        let codes = new_codes(from, to);
        let why = to.entry.error.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        match (was, now) {
            (Some(Rebuild::Drift), Rebuild::Drift) => {
                let worse = verdict(to) > from.and_then(verdict);
                if !codes.is_empty() || worse {
                    let message = format!("drifts{with} for another cause ({said}){}", listed(&codes));
                    self.tell(Turn::NewCause, from, to, codes, message);
                }
            }
            (_, Rebuild::Drift) => {
                let before = outcome(from).unwrap_or("not rebuilt");
                let message = format!("drifts{with}: it was {before}, and is {said}{}", listed(&codes));
                self.tell(Turn::Drift, from, to, codes, message);
            }
            (Some(Rebuild::Drift | Rebuild::Lost), Rebuild::Good) => {
                let before = outcome(from).unwrap_or_default();
                let message = format!("is {said} again{with}; it was {before}");
                self.tell(Turn::Cured, from, to, Vec::new(), message);
            }
            (was, Rebuild::Lost) if was != Some(Rebuild::Lost) && !lost(self.before.verified()) => {
                let message = format!("cannot be rebuilt{with} any more ({said}){why}{}", listed(&codes));
                self.tell(Turn::EvidenceLost, from, to, codes, message);
            }
            (was, Rebuild::Untold) if was != Some(Rebuild::Untold) => {
                let message = format!("nobody can tell whether it is the same{with} ({said}){why}");
                self.tell(Turn::CannotTell, from, to, codes, message);
            }
            (Some(Rebuild::Untold), Rebuild::Good) => {
                let message = format!("could be rebuilt{with} again: {said}");
                self.tell(Turn::Back, from, to, Vec::new(), message);
            }
            _ => {}
        }
    }

    fn verified(&mut self) {
        let (before, Some(to)) = (self.before.verified(), self.after.verified()) else { return };
        let (was, now) = (outcome(before), to.entry.outcome.as_str());
        match (was, now) {
            (_, "failed") => self.refused(before, to),
            (Some("failed"), "passed") => {
                self.tell(Turn::Passed, before, to, Vec::new(), "passes its policy again".to_owned());
            }
            (Some("unknown"), "passed") => {
                self.tell(Turn::Back, before, to, Vec::new(), "could be judged again: it passes".to_owned());
            }
            (was, "unknown") if was != Some("unknown") => {
                let why = to.entry.error.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
                self.tell(Turn::CannotTell, before, to, Vec::new(), format!("could not be judged{why}"));
            }
            _ => {}
        }
    }

    /// A policy that says no: what is lost is one thing, what else is found another.
    fn refused(&mut self, before: Option<&'a Known>, to: &'a Known) {
        let (lost, other): (Vec<_>, Vec<_>) =
            new_codes(before, to).into_iter().partition(|code| LOST.contains(&code.as_str()));
        let newly = outcome(before) != Some("failed");
        let only_lost = other.is_empty() && !lost.is_empty();
        if !lost.is_empty() {
            let message = format!("evidence is missing{}", listed(&lost));
            self.tell(Turn::EvidenceLost, before, to, lost, message);
        }
        if newly && !only_lost {
            let message = format!("does not pass its policy any more{}", listed(&other));
            let message = if before.is_none() {
                format!("does not pass its policy{}", listed(&other))
            } else {
                message
            };
            self.tell(Turn::Failed, before, to, other, message);
        } else if !newly && !other.is_empty() {
            let message = format!("does not pass its policy for another reason{}", listed(&other));
            self.tell(Turn::NewFinding, before, to, other, message);
        }
    }

    fn tested(&mut self) {
        let (before, Some(to)) = (self.before.tested(), self.after.tested()) else { return };
        match (outcome(before), to.entry.outcome.as_str()) {
            (was, "failed") if was != Some("failed") => {
                let codes = new_codes(before, to);
                let message = format!("its tests fail{}", listed(&codes));
                self.tell(Turn::TestsBroke, before, to, codes, message);
            }
            (Some("failed"), "passed") => {
                self.tell(Turn::TestsMended, before, to, Vec::new(), "its tests pass again".to_owned());
            }
            _ => {}
        }
    }

    /// Waivers that reach a moment of theirs in `span`, or are met for the first time beyond it.
    fn waivers(&mut self, span: Span) {
        let Some(to) = self.after.verified() else { return };
        let before: BTreeSet<&Waived> =
            self.before.verified().map(|known| known.entry.waived.iter().collect()).unwrap_or_default();
        let waived: BTreeSet<&Waived> = to.entry.waived.iter().collect();
        for waiver in waived {
            let Some(until_s) = until_s(&waiver.until) else { continue };
            let reached = |moment_s: i64| {
                moment_s <= span.until_s && (moment_s > span.since_s || !before.contains(waiver))
            };
            let code = if reached(until_s) {
                Turn::WaiverEnded
            } else if until_s > span.until_s && reached(until_s.saturating_sub(WAIVER_ENDING_S)) {
                Turn::WaiverEnding
            } else {
                continue;
            };
            let word = if code == Turn::WaiverEnded { "ended" } else { "ends" };
            let message =
                format!("the waiver of {} by {} {word} {}", waiver.code, waiver.owner, waiver.until);
            // Not which judgement it stands in, but the waiver itself is what is told once.
            let codes = vec![waiver.code.clone()];
            self.tell(code, None, to, codes.clone(), message);
            if let Some(change) = self.changes.last_mut() {
                let identity = (code, &change.image, waiver);
                change.key = Digest::of(&serde_json::to_vec(&identity).unwrap_or_default());
            }
        }
    }

    /// An image that `span` made overdue.
    fn overdue(&mut self, span: Span) {
        let (Some(due_s), Some(newest)) = (self.after.due_s(self.rules), self.after.newest()) else { return };
        if due_s > span.until_s || due_s <= span.since_s || self.after.retired(span.until_s) {
            return;
        }
        let last = self.after.judged_s().map_or_else(|| "never".to_owned(), rfc3339);
        let [rebuilt, live] = self.after.rebuilds();
        let from = self.after.verified().or(rebuilt).or(live).or(Some(newest));
        self.tell(Turn::Overdue, from, newest, Vec::new(), format!("is overdue: it was judged last {last}"));
        if let Some(change) = self.changes.last_mut() {
            change.key = Digest::of(format!("overdue\n{}\n{due_s}", change.image).as_bytes());
        }
    }
}
