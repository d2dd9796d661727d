//! `reprov.report/v1`: what the ledger knows of a fleet of images. First what changed since the last run, then the whole.
//! A pure function of entries and times: the same give the same bytes.

mod change;
mod form;
mod letter;
mod markdown;
mod page;
mod sarif;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use change::Change;
pub use form::NightForm;
pub use letter::Letter;
pub use state::{Known, Standing};
pub use whole::{Count, Image, Night, Place, Share, Whole};

use crate::{
    entry::Kind,
    model::{Verdict, rfc3339},
};

/// What counts as what.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// How long after an image was judged it is overdue; none: never.
    pub overdue_s: Option<i64>,
    /// The same for the images of one group.
    pub overdue_s_of: BTreeMap<String, i64>,
    /// Verdicts that are as good as `reproduced`.
    pub accept: BTreeSet<Verdict>,
    /// The same for the images of one group.
    pub accept_of: BTreeMap<String, BTreeSet<Verdict>>,
    /// Only images of this group.
    pub group: Option<String>,
    /// Only images of this owner.
    pub owner: Option<String>,
}

/// From when to when is looked, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What was known then is old.
    pub since_s: i64,
    /// What is known then is reported.
    pub until_s: i64,
}

/// What the ledger counted: images of one outcome in one night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The day of its morning, counted from 1970-01-01.
    pub night: i64,
    /// Judged, or rebuilt in either way.
    pub kind: Kind,
    /// As entries have it.
    pub outcome: String,
    /// How many.
    pub images: u64,
}

/// The answer of `report`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `reprov.report/v1`.
    pub schema: &'static str,
    /// What was known then is old; RFC 3339.
    pub since: String,
    /// As of when this is; RFC 3339.
    pub until: String,
    /// The group that was asked for.
    pub group: Option<String>,
    /// The owner who was asked for.
    pub owner: Option<String>,
    /// What changed, what asks for somebody first.
    pub changes: Vec<Change>,
    /// How everything stands.
    pub whole: Whole,
    /// Every image, those first with which something is wrong.
    pub images: Vec<Image>,
}

/// Puts a report together. `before` and `now` are the newest entries of each image and kind at both ends of `span`,
/// `tallies` what was counted night by night.
#[must_use]
pub fn report(before: &[Known], now: &[Known], tallies: &[Tally], span: Span, rules: &Rules) -> Report {
    let wanted = |state: &state::State<'_>| {
        let is = |asked: &Option<String>, has: Option<&str>| {
            asked.as_deref().is_none_or(|asked| has == Some(asked))
        };
        is(&rules.group, state.group()) && is(&rules.owner, state.owner())
    };
    let (old, mut new) = (state::states(before), state::states(now));
    new.retain(|_, state| wanted(state));
    let images = whole::images(&new, span, rules);
    Report {
        schema: "reprov.report/v1",
        since: rfc3339(span.since_s),
        until: rfc3339(span.until_s),
        group: rules.group.clone(),
        owner: rules.owner.clone(),
        changes: change::changes(&old, &new, span, rules),
        whole: whole::whole(&new, tallies, span, rules),
        images,
    }
}

/// What changed alone, for those who tell people.
#[must_use]
pub fn changes(before: &[Known], now: &[Known], span: Span, rules: &Rules) -> Vec<Change> {
    change::changes(&state::states(before), &state::states(now), span, rules)
}

impl Report {
    /// How the worst of its images stands; none: there are no images.
    #[must_use]
    pub fn worst(&self) -> Option<Standing> {
        [Standing::Wrong, Standing::Unknown, Standing::Good]
            .into_iter()
            .find(|standing| self.whole.standing.get(standing.name()).is_some_and(|count| *count > 0))
    }
}
