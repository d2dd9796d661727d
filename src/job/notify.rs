//! Telling people what changed: once a change and receiver, grouped by owner, kept in the ledger until it is delivered.
//!
//! What was told up to is noted in the ledger together with the messages, in one transaction. So whoever is killed tells
//! next time what it did not tell, and two who tell at once tell it once. Delivery is at least once: who is killed between
//! the receiver's answer and the note of it delivers again, under the same key.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Ports,
    night::{Moment, known},
};
use crate::{
    host,
    inventory::{Inventory, notify::Receiver},
    ledger::{Ledger, LedgerError, Mark, Message, Undelivered},
    model::{Digest, Secret, limits::MESSAGE_SIZE_BYTES_MAX, path::printable, rfc3339},
    notify::Courier,
    report::{
        night::{Change, Known, Letter, Rules, Span, changes},
        notify as report,
    },
};

/// Changes of one message; more are told in several.
const CHANGES_MAX: usize = 500;
/// Messages that are looked at in one run; the rest waits for the next.
const MESSAGES_MAX: u32 = 10_000;
/// How long a message is ours while it is delivered: longer than any attempt.
const LEASE_S: u64 = 30;
/// How often a message is tried in one run, and how long is waited before each further time.
const PAUSES_S: [u64; 3] = [0, 1, 4];
/// How long a message that was not delivered waits at most: less than from one night to the next.
const AGAIN_S_MAX: i64 = 3600;

/// Who is told, and of what.
#[derive(Debug)]
pub struct Telling<'a> {
    /// What the inventory is called: each has told up to a row of its own.
    pub inventory: &'a str,
    /// Who is told.
    pub receivers: &'a [Receiver],
    /// The inventory's groups: images of others are not its business.
    pub groups: BTreeSet<&'a str>,
    /// What counts as what.
    pub rules: Rules,
    /// Values of the environment's variables that receivers name.
    pub secrets: BTreeMap<String, Secret>,
    /// Up to when changes are told, seconds since 1970.
    pub now_s: i64,
}

/// What was told.
#[derive(Debug, Default)]
pub struct Told {
    /// What changed since it was told last.
    pub changes: Vec<Change>,
    /// How many messages were new.
    pub kept: usize,
    /// Messages that were tried, those that were kept earlier too, by receiver.
    pub messages: Vec<report::Message>,
    /// What is not delivered after that, tried or not.
    pub undelivered: Undelivered,
}

impl<'a> Telling<'a> {
    /// As `inventory`, called `name`, says; its `receivers` were read from it.
    #[must_use]
    pub fn of(
        inventory: &'a Inventory,
        name: &'a str,
        receivers: &'a [Receiver],
        secrets: BTreeMap<String, Secret>,
        now_s: i64,
    ) -> Self {
        let groups = inventory.groups.iter().map(|group| group.name.as_str()).collect();
        Self { inventory: name, receivers, groups, rules: rules(inventory), secrets, now_s }
    }

    fn place(&self) -> String {
        Digest::of(self.inventory.as_bytes()).hex()
    }

    /// How the names of its messages begin.
    fn prefix(&self) -> String {
        format!("letter/{}/", self.place())
    }

    /// What changed since it was told last, and from when on that is.
    async fn changed(&self, ledger: &Ledger, number: u64) -> Result<(Vec<Change>, Span), LedgerError> {
        let mark = ledger.told_up_to(&format!("told-up-to/{}", self.place())).await?;
        let from = mark
            .map_or(Moment { number: 0, at_s: 0 }, |mark| Moment { number: mark.number, at_s: mark.at_s });
        let to = Moment { number, at_s: self.now_s };
        let (mut before, mut now) = tokio::try_join!(known(ledger, from), known(ledger, to))?;
        let ours =
            |known: &Known| known.entry.group.as_deref().is_none_or(|group| self.groups.contains(group));
        before.retain(ours);
        now.retain(ours);
        let span = Span { since_s: from.at_s, until_s: to.at_s };
        let mut all = changes(&before, &now, span, &self.rules);
        all.retain(|change| change.group.as_deref().is_some_and(|group| self.groups.contains(group)));
        Ok((all, span))
    }

    /// The changes, and to whom each goes.
    fn addressed<'b>(&'b self, changes: &'b [Change]) -> Vec<(&'b Receiver, &'b Change)> {
        let wants = |receiver: &Receiver, change: &Change| {
            receiver.wants(change.code, change.owner.as_deref(), change.group.as_deref())
        };
        let of = |receiver: &'b Receiver| {
            changes.iter().filter(move |change| wants(receiver, change)).map(move |change| (receiver, change))
        };
        self.receivers.iter().flat_map(of).collect()
    }
}

/// The letters that tell what of `named` is `fresh`: one for each receiver and owner, or several where it is much. Nothing
/// is left out.
fn letters(named: &[(&Receiver, &Change)], fresh: &[usize], span: Span) -> Vec<Letter> {
    let mut of: BTreeMap<(&str, Option<&str>), Vec<Change>> = BTreeMap::new();
    for index in fresh {
        let (receiver, change) = named[*index];
        of.entry((receiver.name.as_str(), change.owner.as_deref())).or_default().push(change.clone());
    }
    let (since, until) = (rfc3339(span.since_s), rfc3339(span.until_s));
    let mut letters = Vec::new();
    for ((receiver, _), changes) in of {
        for part in changes.chunks(CHANGES_MAX) {
            held(Letter::new(receiver, &since, &until, part.to_vec()), &mut letters);
        }
    }
    letters
}

/// Adds `letter`, in as many parts as it takes for the ledger to hold each. A change alone always fits, since it is made of
/// two entries.
fn held(mut letter: Letter, into: &mut Vec<Letter>) {
    if letter.changes.len() < 2 || body(&letter).len() <= MESSAGE_SIZE_BYTES_MAX {
        return into.push(letter);
    }
    let rest = letter.changes.split_off(letter.changes.len() / 2);
    let rest = Letter { changes: rest, ..letter.clone() };
    held(letter, into);
    held(rest, into);
}

/// What of a letter lies in the ledger.
fn body(letter: &Letter) -> String {
    serde_json::to_string(letter).unwrap_or_default() // Texts and numbers always can be.
}

/// What counts as what in `inventory`: an image is overdue a day after it should have been judged again.
#[must_use]
pub fn rules(inventory: &Inventory) -> Rules {
    const GRACE_S: i64 = 24 * 3600;
    let groups = || inventory.groups.iter();
    Rules {
        overdue_s_of: groups().map(|group| (group.name.clone(), group.every.as_s() + GRACE_S)).collect(),
        accept_of: groups()
            .map(|group| (group.name.clone(), group.accept.iter().copied().collect()))
            .collect(),
        ..Rules::default()
    }
}

/// What would be told, and to whom, and what waits already; nothing is kept or sent.
///
/// # Errors
/// [`LedgerError`].
pub async fn foretell(
    ledger: &Ledger,
    telling: &Telling<'_>,
) -> Result<(Vec<Change>, Vec<Letter>, Undelivered), LedgerError> {
    let (number, _) = ledger.head().await?;
    let (changes, span) = telling.changed(ledger, number).await?;
    let named = telling.addressed(&changes);
    let all: Vec<usize> = (0..named.len()).collect();
    let letters = letters(&named, &all, span);
    drop(named);
    Ok((changes, letters, ledger.undelivered_of(&telling.prefix()).await?))
}

/// Tells what changed: keeps a message for each receiver and owner, and delivers what waits. A receiver that cannot be
/// reached is no error: its messages wait for the next time.
///
/// # Errors
/// [`LedgerError`]: of what was not kept.
pub async fn tell(ports: &Ports, ledger: &Ledger, telling: &Telling<'_>) -> Result<Told, LedgerError> {
    let (number, _) = ledger.head().await?;
    let (changes, span) = telling.changed(ledger, number).await?;
    let named = telling.addressed(&changes);
    let (place, prefix) = (telling.place(), telling.prefix());
    let name =
        |(receiver, change): &(&Receiver, &Change)| format!("told/{}/{}", mark_of(receiver), change.key);
    let names: Vec<String> = named.iter().map(name).collect();
    let compose = |fresh: &[usize]| -> Vec<(String, String)> {
        let letters = letters(&named, fresh, span);
        let kept = letters
            .iter()
            .map(|letter| (format!("{prefix}{}/{}", letter.receiver, letter.key()), body(letter)));
        kept.collect()
    };
    let mark = Mark { number, at_s: telling.now_s };
    let kept = ledger.tell(&names, compose, &format!("told-up-to/{place}"), mark).await?;
    drop(named);
    let messages = deliver(ports, ledger, telling).await?;
    let undelivered = ledger.undelivered_of(&prefix).await?;
    Ok(Told { changes, kept, messages, undelivered })
}

/// Whom a change was told to: the same name at the same place, whichever inventory names it.
fn mark_of(receiver: &Receiver) -> String {
    Digest::of(format!("{}\n{:?}", receiver.name, receiver.way).as_bytes()).hex()
}

/// Delivers what waits, each receiver's messages one after the other, all receivers at once.
async fn deliver(
    ports: &Ports,
    ledger: &Ledger,
    telling: &Telling<'_>,
) -> Result<Vec<report::Message>, LedgerError> {
    let courier = Courier::new(ports.network.clone(), telling.secrets.clone());
    let holder = host::random_id().unwrap_or_else(|_| std::process::id().to_string());
    let mut of: BTreeMap<String, Vec<(Message, Letter)>> = BTreeMap::new();
    let now_s = telling.now_s.max(host::now_s());
    for message in ledger.due(&telling.prefix(), now_s, MESSAGES_MAX).await? {
        // A body of another release waits for that release.
        if let Ok(letter) = serde_json::from_str::<Letter>(&message.body) {
            of.entry(letter.receiver.clone()).or_default().push((message, letter));
        }
    }
    let each = of.into_iter().map(|(name, messages)| {
        let receiver = telling.receivers.iter().find(|receiver| receiver.name == name);
        let round = Round { ports, ledger, courier: &courier, holder: &holder };
        async move { round.all(receiver, messages).await }
    });
    let mut deliveries = Vec::new();
    for those in futures_util::future::join_all(each).await {
        deliveries.extend(those?);
    }
    Ok(deliveries)
}

/// What delivering takes.
struct Round<'a> {
    ports: &'a Ports,
    ledger: &'a Ledger,
    courier: &'a Courier,
    holder: &'a str,
}

impl Round<'_> {
    /// All messages of one receiver. After one that does not arrive for a reason that is not its own, the rest waits.
    async fn all(
        &self,
        receiver: Option<&Receiver>,
        messages: Vec<(Message, Letter)>,
    ) -> Result<Vec<report::Message>, LedgerError> {
        let mut deliveries = Vec::new();
        let mut stopped: Option<String> = None;
        for (message, letter) in messages {
            let error = match (&stopped, receiver) {
                (Some(error), _) => Some(error.clone()),
                (None, None) => {
                    self.ledger.delivered(&message.name, host::now_s()).await?;
                    Some("the inventory has no such receiver any more; it is dropped".to_owned())
                }
                (None, Some(receiver)) => match self.one(receiver, &message, &letter).await? {
                    None => continue, // Somebody else has it.
                    Some(None) => None,
                    Some(Some((error, all))) => {
                        stopped = all.then(|| error.clone());
                        Some(error)
                    }
                },
            };
            deliveries.push(report::Message::of(&letter, error.is_none(), error));
        }
        Ok(deliveries)
    }

    /// One message: none if it is somebody else's, else why it did not arrive, if it did not, and whether others would.
    async fn one(
        &self,
        receiver: &Receiver,
        message: &Message,
        letter: &Letter,
    ) -> Result<Option<Option<(String, bool)>>, LedgerError> {
        let Some(claim) = self.ledger.claim(&message.name, self.holder, LEASE_S).await? else {
            return Ok(None);
        };
        if !self.ledger.waits(&message.name).await? {
            self.ledger.release(&claim).await?;
            return Ok(None);
        }
        let mut said = None;
        let mut all = true;
        for pause_s in PAUSES_S {
            tokio::select! {
                () = tokio::time::sleep(std::time::Duration::from_secs(pause_s)) => {}
                () = self.ports.cancel.cancelled() => break,
            }
            // The lease outlasts an attempt; with several it must be held on to.
            if self.ledger.renew(&claim, LEASE_S).await?.is_none() {
                return Ok(None);
            }
            match self.courier.deliver(receiver, letter).await {
                Ok(()) => {
                    self.ledger.delivered(&message.name, host::now_s()).await?;
                    self.ledger.release(&claim).await?;
                    return Ok(Some(None));
                }
                Err(error) => {
                    let again = error.passes();
                    all = error.is_the_receivers();
                    said = Some(chained(&error));
                    if !again {
                        break;
                    }
                }
            }
        }
        let said = said.unwrap_or_else(|| "cancelled".to_owned());
        let tries = u32::try_from(message.tries).unwrap_or(u32::MAX).min(10);
        let again_s = 60_i64.saturating_mul(1 << tries).min(AGAIN_S_MAX);
        self.ledger.undelivered(&message.name, host::now_s() + again_s, &said).await?;
        self.ledger.release(&claim).await?;
        Ok(Some(Some((said, all))))
    }
}

/// An error with its causes.
fn chained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    printable(&text)
}
