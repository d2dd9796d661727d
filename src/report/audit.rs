//! `reprov.audit/v1`: what was done with the images of an inventory, or would be.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use crate::model::{Digest, path::printable};

/// The answer of `audit`.
#[derive(Debug, Serialize)]
pub struct Audit {
    /// `reprov.audit/v1`.
    pub schema: &'static str,
    /// The inventory, as it was named.
    pub inventory: String,
    /// Of its text.
    pub inventory_digest: Digest,
    /// Whether it was only asked what would be done (`--list`).
    pub listed: bool,
    /// How it ended.
    pub ended: Ended,
    /// When it began, RFC 3339.
    pub began_on: String,
    /// How long it took.
    pub seconds: f64,
    /// In the order in which they are done; those that could not be found stand first.
    pub images: Vec<Image>,
    /// What else is to be said.
    pub notices: Vec<Notice>,
    /// How many steps have which outcome as their newest.
    pub summary: BTreeMap<String, u64>,
    /// Steps that are due, and were not done.
    pub overdue: u64,
}

/// How an audit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// All that was due was tried.
    Complete,
    /// `--for` left no room for the rest.
    OutOfTime,
    /// Somebody ended it.
    Cancelled,
}

/// One image.
#[derive(Debug, Clone, Serialize)]
pub struct Image {
    /// Its name, with its digest where that is known.
    pub image: String,
    /// Other names of it in the inventory.
    pub also: Vec<String>,
    /// Its group.
    pub group: String,
    /// Who is told.
    pub owner: Option<String>,
    /// Why there is nothing to judge: `gone`, or `unreachable`.
    pub missed: Option<&'static str>,
    /// What was said to that.
    pub error: Option<String>,
    /// What the group asks for.
    pub steps: Vec<Step>,
}

/// One thing that is done with an image.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// `verify`, `replay` or `live`.
    pub step: &'static str,
    /// Why it is due, or `not-due`.
    pub due: &'static str,
    /// The same in a sentence.
    pub why: String,
    /// When it is due (again), RFC 3339; none: now.
    pub due_on: Option<String>,
    /// What came of it now.
    pub state: State,
    /// Its newest outcome, from this run or before.
    pub outcome: Option<String>,
    /// When that was, RFC 3339.
    pub judged_on: Option<String>,
    /// Whether the group takes it for a yes, though it is none by itself.
    pub accepted: bool,
    /// Codes of findings that count, or causes of drift, and how many of each.
    pub codes: BTreeMap<String, u64>,
    /// The referrer with the signed outcome.
    pub attestation: Option<Digest>,
    /// Where a report of it lies.
    pub report: Option<String>,
    /// Why nobody could tell, or why the outcome is not attached.
    pub error: Option<String>,
    /// Whether it was a bug of ours that ended it.
    pub internal: bool,
    /// How often it was tried.
    pub tries: u32,
    /// How long it took now.
    pub seconds: Option<f64>,
}

/// What came of a step in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing was to be done.
    NotDue,
    /// It would be done (`--list`).
    Listed,
    /// It was done.
    Done,
    /// Another audit did it meanwhile.
    Elsewhere,
    /// It was tried, and nobody could tell.
    Untold,
    /// It could not be expected to end in time.
    NoTime,
    /// The audit was ended before.
    Cancelled,
}

/// Something about the inventory, not about one outcome.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Notice {
    /// What kind.
    pub kind: NoticeKind,
    /// Of which group.
    pub group: String,
    /// What exactly; printable.
    pub message: String,
}

/// Kinds of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// An image that stands twice; it is done once.
    Duplicate,
    /// A pattern that no tag fits.
    NoTag,
    /// A file that names no image.
    NoImage,
    /// A repository whose tags could not be listed, or an image of a pod that has no name anybody could look it up by.
    Unclear,
    /// A tag that named another image when the audit was done with it.
    Moved,
}

impl NoticeKind {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Duplicate, Self::NoTag, Self::NoImage, Self::Unclear, Self::Moved];

    /// Its name in the answer.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::NoTag => "no-tag",
            Self::NoImage => "no-image",
            Self::Unclear => "unclear",
            Self::Moved => "moved",
        }
    }

    /// What it makes of the answer: fine, a no, or "could not tell".
    #[must_use]
    pub fn weight(self) -> Weight {
        match self {
            Self::Duplicate => Weight::Yes,
            Self::NoTag | Self::NoImage => Weight::No,
            Self::Unclear | Self::Moved => Weight::Untold,
        }
    }
}

/// What one part makes of the whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// All is well.
    Yes,
    /// Nobody could tell.
    Untold,
    /// It is not.
    No,
    /// A bug of ours ended it.
    Bug,
}

impl Step {
    /// What the step makes of the whole answer: its newest outcome does, whenever that was.
    #[must_use]
    pub fn weight(&self) -> Weight {
        if self.internal {
            return Weight::Bug;
        }
        if self.state == State::Untold {
            return Weight::Untold;
        }
        let own = match self.outcome.as_deref() {
            Some("passed" | "reproduced") => Weight::Yes,
            Some(_) if self.accepted => Weight::Yes,
            None | Some("unknown" | "unreachable" | "unbuildable" | "inputs-missing") => Weight::Untold,
            Some(_) => Weight::No,
        };
        let unattached = self.error.is_some() && self.state == State::Done;
        own.max(if unattached { Weight::Untold } else { Weight::Yes })
    }

    /// Whether it ought to have been done, and was not.
    #[must_use]
    pub fn overdue(&self) -> bool {
        matches!(self.state, State::Listed | State::Untold | State::NoTime | State::Cancelled)
    }
}

impl Image {
    /// What the image makes of the whole answer.
    #[must_use]
    pub fn weight(&self) -> Weight {
        let missed = match self.missed {
            None => Weight::Yes,
            Some("gone") => Weight::No,
            Some(_) => Weight::Untold,
        };
        self.steps.iter().map(Step::weight).fold(missed, Weight::max)
    }

    fn write(&self, out: &mut String) {
        let mut line = |text: String| {
            let _ = writeln!(out, "{}", printable(&text)); // Writing to a String cannot fail.
        };
        line(self.image.clone());
        for also in &self.also {
            line(format!("  also         {also}"));
        }
        if let Some(missed) = self.missed {
            line(format!("  {missed:<12} {}", self.error.as_deref().unwrap_or_default()));
        }
        for step in &self.steps {
            let accepted = if step.accepted { " (accepted)" } else { "" };
            let outcome =
                step.outcome.as_ref().map(|outcome| format!("{outcome}{accepted}: ")).unwrap_or_default();
            let state = match step.state {
                State::NotDue | State::Listed => step.why.clone(),
                State::Done => step.seconds.map(took).unwrap_or_default(),
                State::Elsewhere => "done by another audit meanwhile".to_owned(),
                State::Untold => "nobody could tell".to_owned(),
                State::NoTime => "not begun: it could not be expected to end in time".to_owned(),
                State::Cancelled => "not done: the audit was ended".to_owned(),
            };
            line(format!("  {:<12} {outcome}{state}", step.step));
            if !step.codes.is_empty() {
                let codes = step.codes.iter().map(|(code, count)| format!("{code} {count}"));
                line(format!("  {:<12} {}", "", codes.collect::<Vec<_>>().join(", ")));
            }
            for (what, text) in [("report", &step.report), ("error", &step.error)] {
                if let Some(text) = text {
                    line(format!("  {:<12} {what}: {text}", ""));
                }
            }
        }
    }
}

fn took(seconds: f64) -> String {
    if seconds < 100.0 { format!("in {seconds:.1} s") } else { format!("in {:.0} min", seconds / 60.0) }
}

impl Audit {
    /// What it comes to: the worst of all, and whether everything could be told.
    pub fn weights(&self) -> impl Iterator<Item = Weight> {
        let images = self.images.iter().map(Image::weight).filter(|_| !self.listed);
        images.chain(self.notices.iter().map(|notice| notice.kind.weight()))
    }

    /// The answer for people; `all` with what is not due and fine.
    #[must_use]
    pub fn text(&self, all: bool) -> String {
        let mut out = String::new();
        let mut group = None;
        let nothing = |image: &Image| {
            image.weight() == Weight::Yes && image.steps.iter().all(|step| step.state == State::NotDue)
        };
        let mut hidden = 0_usize;
        for image in &self.images {
            if !all && nothing(image) {
                hidden += 1;
                continue;
            }
            if group != Some(&image.group) {
                group = Some(&image.group);
                let owner = image.owner.as_ref().map(|owner| format!(" ({owner})")).unwrap_or_default();
                let _ = writeln!(out, "[{}{}]", printable(&image.group), printable(&owner));
            }
            image.write(&mut out);
        }
        for Notice { kind, group, message } in &self.notices {
            let _ = writeln!(out, "{}: [{}] {message}", kind.name(), printable(group));
        }
        if hidden > 0 {
            let are = if hidden == 1 { "image is" } else { "images are" };
            let _ = writeln!(out, "{hidden} {are} well and not due (-v shows them)");
        }
        let counts = self.summary.iter().map(|(outcome, count)| format!("{count} {outcome}"));
        let counts = counts.collect::<Vec<_>>().join(", ");
        let done = match (self.listed, self.ended) {
            (true, _) => format!("{} to do", self.overdue),
            (false, Ended::Complete) if self.overdue == 0 => format!("all done {}", took(self.seconds)),
            (false, Ended::Complete) => format!("{} could not be told", self.overdue),
            (false, Ended::OutOfTime) => format!("out of time, {} overdue", self.overdue),
            (false, Ended::Cancelled) => format!("ended before it was done, {} overdue", self.overdue),
        };
        let _ = writeln!(
            out,
            "{} image{}: {counts}{}{done}",
            self.images.len(),
            if self.images.len() == 1 { "" } else { "s" },
            if counts.is_empty() { "" } else { "; " }
        );
        out
    }
}
