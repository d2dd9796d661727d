//! What was known of each image at a moment: the newest entries of each kind, put together.

use std::collections::BTreeMap;

use crate::{
    entry::{Entry, Kind},
    model::{Digest, Turn, Verdict, limits::RETIRED_AFTER_S},
};

use super::Rules;

/// An entry, and its place in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Where it stands.
    pub number: u64,
    /// What it says.
    pub entry: Entry,
}

/// What an image is called: a tag stays the same image to people while its digest changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name<'a> {
    pub(super) repository: &'a str,
    pub(super) tag: Option<&'a str>,
    /// Where there is no tag.
    pub(super) digest: Option<Digest>,
}

impl<'a> Name<'a> {
    fn of(entry: &'a Entry) -> Self {
        let tag = entry.tag.as_deref();
        let digest = if tag.is_none() { entry.digest } else { None };
        Self { repository: &entry.repository, tag, digest }
    }

    /// As people write it.
    pub(super) fn shown(&self) -> String {
        match (self.tag, self.digest) {
            (Some(tag), _) => format!("{}:{tag}", self.repository),
            (None, Some(digest)) => format!("{}@{digest}", self.repository),
            (None, None) => self.repository.to_owned(),
        }
    }
}

/// How an image stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Something says no.
    Wrong,
    /// Nothing says no, and somebody could not tell.
    Unknown,
    /// Whoever looked says yes.
    Good,
}

impl Standing {
    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
            Self::Good => "good",
        }
    }
}

/// How a rebuild ended, as far as changes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebuild {
    Good,
    Drift,
    /// What it would take is gone, or cannot be believed.
    Lost,
    Untold,
}

/// What was known of one image.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State<'a> {
    verified: Option<&'a Known>,
    rebuilt: Option<&'a Known>,
    live: Option<&'a Known>,
    tested: Option<&'a Known>,
    missed: Option<&'a Known>,
    /// Whatever was written last.
    newest: Option<&'a Known>,
    /// Whatever was written last about a digest that the name leads to.
    placed: Option<&'a Known>,
    /// Whatever names an owner or a group was written last.
    owned: Option<&'a Known>,
}

impl<'a> State<'a> {
    fn add(&mut self, known: &'a Known) {
        let entry = &known.entry;
        let newer = |slot: &mut Option<&'a Known>| {
            if slot.is_none_or(|other| other.number < known.number) {
                *slot = Some(known);
            }
        };
        let refused = matches!(entry.kind, Kind::Promoted | Kind::Undone) && entry.outcome == "refused";
        if refused {
            return; // Nothing came of it: the tag leads where it led.
        }
        match entry.kind {
            Kind::Verified => newer(&mut self.verified),
            Kind::Rebuilt => newer(&mut self.rebuilt),
            Kind::RebuiltLive => newer(&mut self.live),
            Kind::Tested => newer(&mut self.tested),
            Kind::Missed => newer(&mut self.missed),
            Kind::Built | Kind::Promoted | Kind::Undone => {}
        }
        newer(&mut self.newest);
        if entry.digest.is_some() && entry.kind != Kind::Missed {
            newer(&mut self.placed);
        }
        if entry.group.is_some() || entry.owner.is_some() {
            newer(&mut self.owned);
        }
    }

    /// Whether anybody ever looked at it; what was only built or promoted is none of an audit's.
    fn audited(&self) -> bool {
        [self.verified, self.rebuilt, self.live, self.missed].into_iter().any(|known| known.is_some())
    }

    /// What the name leads to.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.placed.and_then(|known| known.entry.digest)
    }

    /// `known`, if it is about what the name leads to now.
    fn of_now(&self, known: Option<&'a Known>) -> Option<&'a Known> {
        known.filter(|known| known.entry.digest == self.digest())
    }

    /// How it was judged last.
    pub(super) fn verified(&self) -> Option<&'a Known> {
        self.of_now(self.verified)
    }

    /// How it was rebuilt last from what was recorded. What has the conditions of the live rebuild is an older one, of when
    /// both had one kind.
    pub(super) fn rebuilt(&self) -> Option<&'a Known> {
        let live = self.live().and_then(|known| known.entry.conditions);
        self.of_now(self.rebuilt).filter(|known| live.is_none() || known.entry.conditions != live)
    }

    /// How it was rebuilt last from the repositories of the day.
    pub(super) fn live(&self) -> Option<&'a Known> {
        self.of_now(self.live)
    }

    /// [`State::live`] of before `now`; also what an older ledger has as a rebuild, if it has the conditions of `now`.
    pub(super) fn live_before(&self, now: Option<&Known>) -> Option<&'a Known> {
        let conditions = now.and_then(|now| now.entry.conditions);
        let same = |known: &&Known| conditions.is_some() && known.entry.conditions == conditions;
        self.live().or_else(|| self.of_now(self.rebuilt).filter(same))
    }

    /// How it was rebuilt last, in either way.
    pub(super) fn rebuilds(&self) -> [Option<&'a Known>; 2] {
        [self.rebuilt(), self.live()]
    }

    /// How its tests went last.
    pub(super) fn tested(&self) -> Option<&'a Known> {
        self.of_now(self.tested)
    }

    /// That it was missed, if nobody met it since.
    pub(super) fn missed(&self) -> Option<&'a Known> {
        let since = [self.verified, self.rebuilt, self.live, self.tested, self.placed];
        let met = since.into_iter().flatten().map(|known| known.number).max();
        self.missed.filter(|missed| met.is_none_or(|met| met < missed.number))
    }

    /// What was written last.
    pub(super) fn newest(&self) -> Option<&'a Known> {
        self.newest
    }

    /// Who is told.
    pub(super) fn owner(&self) -> Option<&'a str> {
        self.owned.and_then(|known| known.entry.owner.as_deref())
    }

    /// Of which group it is.
    pub(super) fn group(&self) -> Option<&'a str> {
        self.owned.and_then(|known| known.entry.group.as_deref())
    }

    /// How a rebuild ended, as far as changes go; none if its verdict is one that this release does not know.
    pub(super) fn rebuild(&self, known: &Known, rules: &Rules) -> Option<Rebuild> {
        Some(match verdict(known)? {
            Verdict::Reproduced => Rebuild::Good,
            verdict if self.accepted(verdict, rules) => Rebuild::Good,
            Verdict::InputsMissing | Verdict::Unverifiable => Rebuild::Lost,
            Verdict::Unbuildable => Rebuild::Untold,
            _ => Rebuild::Drift,
        })
    }

    /// What a rebuild makes of the image.
    fn stands(&self, known: &Known, rules: &Rules) -> Standing {
        match (self.rebuild(known, rules), verdict(known)) {
            (Some(Rebuild::Good), _) => Standing::Good,
            (Some(Rebuild::Drift | Rebuild::Lost), Some(verdict)) if !verdict.undecided() => Standing::Wrong,
            _ => Standing::Unknown,
        }
    }

    /// Verdicts of its rebuilds that are taken for a yes, though they are none by themselves.
    pub(super) fn accepts(&self, rules: &Rules) -> Vec<&'static str> {
        let verdicts = self.rebuilds().into_iter().flatten().filter_map(verdict);
        let accepted = |verdict: &Verdict| *verdict != Verdict::Reproduced && self.accepted(*verdict, rules);
        let mut names: Vec<_> = verdicts.filter(accepted).map(Verdict::name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether whoever audits takes `verdict` for a yes.
    fn accepted(&self, verdict: Verdict, rules: &Rules) -> bool {
        let of_group = self.group().and_then(|group| rules.accept_of.get(group));
        rules.accept.contains(&verdict) || of_group.is_some_and(|accepted| accepted.contains(&verdict))
    }

    /// When somebody could last say something about it.
    pub(super) fn judged_s(&self) -> Option<i64> {
        let judged = [self.verified(), self.rebuilt(), self.live()];
        let could = judged.into_iter().flatten().filter(|known| known.entry.outcome != "unknown");
        could.map(|known| known.entry.at_s).max()
    }

    /// From when on nobody has looked for too long.
    pub(super) fn due_s(&self, rules: &Rules) -> Option<i64> {
        let allowed_s =
            self.group().and_then(|group| rules.overdue_s_of.get(group)).or(rules.overdue_s.as_ref())?;
        let from_s = self.judged_s().or_else(|| self.newest.map(|known| known.entry.at_s))?;
        Some(from_s.saturating_add(*allowed_s))
    }

    /// Whether nobody has looked for so long at `now_s` that it is none of ours any more.
    pub(super) fn retired(&self, now_s: i64) -> bool {
        self.newest.is_none_or(|known| known.entry.at_s.saturating_add(RETIRED_AFTER_S) < now_s)
    }

    pub(super) fn standing(&self, rules: &Rules) -> Standing {
        let outcome = |known: Option<&Known>, of: &str| known.is_some_and(|known| known.entry.outcome == of);
        let rebuilds = self.rebuilds().map(|known| known.map(|known| self.stands(known, rules)));
        if rebuilds.contains(&Some(Standing::Wrong))
            || outcome(self.verified(), "failed")
            || outcome(self.tested(), "failed")
            || outcome(self.missed(), "gone")
        {
            return Standing::Wrong;
        }
        let judged = rebuilds != [None, None] || self.verified().is_some() || self.tested().is_some();
        let untold = rebuilds.contains(&Some(Standing::Unknown)) || outcome(self.verified(), "unknown");
        if untold || !judged || self.missed().is_some() {
            return Standing::Unknown;
        }
        Standing::Good
    }

    /// What is wrong, in one word; the verdict where nothing is; [`NEVER`] where nobody judged what the name leads to.
    pub(super) fn said(&self, rules: &Rules) -> &'a str {
        if let Some(missed) = self.missed() {
            return &missed.entry.outcome;
        }
        let word = |known: Option<&'a Known>| known.map(|known| known.entry.outcome.as_str());
        let failed = |known: Option<&'a Known>| word(known).filter(|outcome| *outcome == "failed");
        let rebuilds = || self.rebuilds().into_iter().flatten();
        let worst = rebuilds().min_by_key(|known| self.stands(known, rules));
        if let Some(known) = worst.filter(|known| self.stands(known, rules) != Standing::Good) {
            return &known.entry.outcome;
        }
        failed(self.verified())
            .or_else(|| failed(self.tested()).map(|_| Turn::TestsBroke.name()))
            .or_else(|| word(self.verified()).filter(|outcome| *outcome == "unknown"))
            .or_else(|| word(rebuilds().next()))
            .or_else(|| word(self.verified()))
            .or_else(|| word(self.tested()))
            .unwrap_or(NEVER)
    }
}

/// What is said of an image that nobody judged: its tag moved since, or somebody only met it.
pub(super) const NEVER: &str = "never-judged";

/// The verdict of a rebuild; none if this release does not know it.
pub(super) fn verdict(known: &Known) -> Option<Verdict> {
    Verdict::ALL.into_iter().find(|verdict| verdict.name() == known.entry.outcome)
}

/// Every image that was audited, by name.
pub(super) type States<'a> = BTreeMap<Name<'a>, State<'a>>;

/// Puts `all` together.
pub(super) fn states(all: &[Known]) -> States<'_> {
    let mut states = States::new();
    for known in all {
        states.entry(Name::of(&known.entry)).or_default().add(known);
    }
    states.retain(|_, state| state.audited());
    states
}
