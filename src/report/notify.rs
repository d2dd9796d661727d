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
    /// How many messages wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.messages.iter().filter(|message| message.error.is_some()).count()
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
        if self.messages.is_empty() {
            out.push_str("nobody is to be told\n");
        }
        out
    }
}
