//! What somebody is told: the changes of one owner's images, in the words of each way of telling.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    super::{columns::line, markdown::code, pair::counted},
    Change,
};
use crate::model::{Digest, Turn, path::printable};

/// Changes that a message for people shows one by one; a webhook's has all.
const SHOWN_MAX: usize = 100;
/// Longest sentence of a change in a message, in characters.
const MESSAGE_CHARS_MAX: usize = 600;

/// Changes on their way to one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// Who gets it, by the name in the inventory.
    pub receiver: String,
    /// Whose images these are; none: nobody's.
    pub owner: Option<String>,
    /// What was known then is old; RFC 3339.
    pub since: String,
    /// As of when this is; RFC 3339.
    pub until: String,
    /// What asks for somebody first.
    pub changes: Vec<Change>,
}

impl Letter {
    /// Changes of one owner, for one receiver; long sentences are cut.
    #[must_use]
    pub fn new(receiver: &str, since: &str, until: &str, changes: Vec<Change>) -> Self {
        let cut = |mut change: Change| {
            if change.message.chars().count() > MESSAGE_CHARS_MAX {
                change.message = change.message.chars().take(MESSAGE_CHARS_MAX).chain(['…']).collect();
            }
            change
        };
        let owner = changes.first().and_then(|change| change.owner.clone());
        let changes = changes.into_iter().map(cut).collect();
        Self {
            receiver: receiver.to_owned(),
            owner,
            since: since.to_owned(),
            until: until.to_owned(),
            changes,
        }
    }

    /// The same for the same changes to the same receiver.
    #[must_use]
    pub fn key(&self) -> Digest {
        let keys: Vec<String> = self.changes.iter().map(|change| change.key.to_string()).collect();
        Digest::of(format!("{}\n{}", self.receiver, keys.join("\n")).as_bytes())
    }

    /// Its title: how many of what.
    #[must_use]
    pub fn subject(&self) -> String {
        let mut counts: Vec<(Turn, usize)> = Vec::new();
        for change in &self.changes {
            match counts.iter_mut().find(|(turn, _)| *turn == change.code) {
                Some((_, count)) => *count += 1,
                None => counts.push((change.code, 1)),
            }
        }
        let each: Vec<_> = counts.iter().map(|(turn, count)| format!("{count} {turn}")).collect();
        let of = self.owner.as_deref().map(|owner| format!(" ({})", printable(owner))).unwrap_or_default();
        match self.changes.as_slice() {
            [one] => format!("reprov: {}: {}{of}", printable(&one.image), one.code),
            _ => format!("reprov: {}{of}", each.join(", ")),
        }
    }

    /// For a mail.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        super::text::told(&mut out, &self.changes[..self.changes.len().min(SHOWN_MAX)], &self.since);
        if let Some(more) = self.more() {
            line(&mut out, 0, 2, &format!("and {more} more: `reprov report` has all"));
        }
        out.push_str(&format!("\nAs of {}. `reprov explain CODE` says what a word means.\n", self.until));
        out
    }

    /// For an issue. The key stands in it, invisibly, so that who finds two knows whether they are one.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("Changed{}, as of {}.\n\n", super::text::from(&self.since), self.until);
        for change in self.changes.iter().take(SHOWN_MAX) {
            out.push_str(&format!(
                "- **{}** {}: {}",
                change.code,
                code(&change.image),
                code(&change.message)
            ));
            if let Some(report) = &change.report {
                out.push_str(&format!(", report {}", code(report)));
            }
            out.push('\n');
        }
        if let Some(more) = self.more() {
            out.push_str(&format!("- and {more} more\n"));
        }
        out.push_str(&format!("\n<!-- reprov delivery {} -->\n", self.key()));
        out
    }

    /// For a webhook: everything, as `reprov.changes/v1`.
    #[must_use]
    pub fn webhook(&self) -> Value {
        json!({
            "schema": "reprov.changes/v1",
            "delivery": self.key(),
            "receiver": self.receiver,
            "owner": self.owner,
            "since": self.since,
            "until": self.until,
            "changes": self.changes,
        })
    }

    /// For Slack and what takes the same: text whose marks are escaped, nothing that calls anybody.
    #[must_use]
    pub fn slack(&self) -> Value {
        let mut text = format!("*{}*\n", mrkdwn(&self.subject()));
        for change in self.changes.iter().take(SHOWN_MAX) {
            let (image, message) = (mrkdwn(&change.image), mrkdwn(&change.message));
            text.push_str(&format!("• {} `{image}`: {message}\n", change.code));
        }
        if let Some(more) = self.more() {
            text.push_str(&format!("and {more} more\n"));
        }
        json!({ "text": text })
    }

    fn more(&self) -> Option<String> {
        let more = self.changes.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0)?;
        Some(counted(more, "change", "changes"))
    }
}

/// Text in which nothing has a meaning: Slack reads `&`, `<` and `>` as its own, and the rest is a matter of looks.
fn mrkdwn(text: &str) -> String {
    let plain = printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    plain.replace(['`', '*', '~'], "'")
}
