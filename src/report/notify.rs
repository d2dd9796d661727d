//! `reprov.notify/v1`: what changed since it was told last, and who was told.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    columns::line,
    night::{Change, Letter},
    pair::counted,
};
use crate::model::{Digest, path::printable};

/// The answer of `notify`.
#[derive(Debug, Serialize)]
pub struct Notify {
    /// `reprov.notify/v1`.
    pub schema: &'static str,
    /// Whether nothing was kept or sent.
    pub dry_run: bool,
    /// What changed since it was told last, what asks for somebody first.
    pub changes: Vec<Change>,
    /// Messages that were to be delivered, those of earlier times too.
    pub messages: Vec<Message>,
    /// What is not delivered, tried now or not.
    pub undelivered: Undelivered,
}

/// Messages in the ledger that are not delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Undelivered {
    /// How many wait for another try.
    pub waiting: u64,
    /// From when on the first of them is tried again, RFC 3339.
    pub due: Option<String>,
    /// How many another run delivers at the moment.
    pub claimed: u64,
}

/// A message, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The receiver's name in the inventory.
    pub receiver: String,
    /// Whose images it is about.
    pub owner: Option<String>,
    /// What it is about, in a line.
    pub subject: String,
    /// How many changes it tells.
    pub changes: usize,
    /// What it is called on its way (`X-Reprov-Delivery`).
    pub delivery: Digest,
    /// Whether it was delivered.
    pub delivered: bool,
    /// Why it was not; then it waits for the next time.
    pub error: Option<String>,
}

impl Message {
    /// One that was delivered, or not for `error`.
    #[must_use]
    pub fn of(letter: &Letter, delivered: bool, error: Option<String>) -> Self {
        Self {
            receiver: letter.receiver.clone(),
            owner: letter.owner.clone(),
            subject: letter.subject(),
            changes: letter.changes.len(),
            delivery: letter.key(),
            delivered,
            error,
        }
    }
}

impl Notify {
    /// Whether everything arrived, as far as this run can know: what another one delivers is told by that one.
    #[must_use]
    pub fn arrived(&self) -> bool {
        self.undelivered.waiting == 0 && self.messages.iter().all(|message| message.error.is_none())
    }

    /// How many messages wait, and until when; nothing if none does.
    #[must_use]
    pub fn waiting(&self) -> Option<String> {
        let Undelivered { waiting, due, .. } = &self.undelivered;
        let count = usize::try_from(*waiting).unwrap_or(usize::MAX);
        let due = due.as_deref().unwrap_or("the next time");
        let what = counted(count, "message waits", "messages wait");
        (count > 0).then(|| format!("{what} undelivered, the first of them until {due}"))
    }

    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let count = counted(self.changes.len(), "change", "changes");
        let _ = writeln!(out, "{count} since the last time"); // Writing to a String cannot fail.
        for change in &self.changes {
            let (image, message) = (printable(&change.image), printable(&change.message));
            line(&mut out, 2, 2, &format!("{} {image}: {message}", change.code));
        }
        for message in &self.messages {
            let what = match (&message.error, message.delivered) {
                (Some(error), _) => format!("waits: {}", printable(error)),
                (None, true) => "delivered".to_owned(),
                (None, false) => "would be sent".to_owned(),
            };
            line(&mut out, 0, 2, &format!("{}: {}: {what}", message.receiver, message.subject));
        }
        if let Some(waiting) = self.waiting() {
            line(&mut out, 0, 2, &waiting);
        }
        if self.undelivered.claimed > 0 {
            let count = usize::try_from(self.undelivered.claimed).unwrap_or(usize::MAX);
            let text = format!("another run delivers {}", counted(count, "message", "messages"));
            line(&mut out, 0, 2, &text);
        }
        if self.messages.is_empty() && self.undelivered == Undelivered::default() {
            out.push_str("nobody is to be told\n");
        }
        out
    }
}
