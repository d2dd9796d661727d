//! `reprov notify`, which is also the last step of `audit`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Context, audit,
    failure::{Exit, Failure},
    ledger::LedgerArgs,
};
use crate::{
    host,
    inventory::{
        Inventory,
        notify::{Receiver, receivers},
    },
    job::{
        Ports,
        notify::{Telling, foretell, tell},
    },
    ledger::{self, Ledger},
    model::{Secret, path::printable, rfc3339},
    progress::Silent,
    report::notify::{Message, Notify, Undelivered},
};

/// Arguments of `notify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whose [[notify]] say who is told (docs/notify.md)
    #[arg(value_name = "INVENTORY")]
    inventory: PathBuf,
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Say what would be told to whom, and tell nobody
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let inventory = audit::read(&self.inventory)?;
        let told = Told::of(&inventory, &self.inventory)?;
        let ledger = self.ledger.open_existing(context).await?;
        let answer = if self.dry_run {
            let (changes, letters, kept) = foretell(&ledger, &told.telling(&inventory)).await?;
            let messages = letters.iter().map(|letter| Message::of(letter, false, None)).collect();
            let undelivered = undelivered(kept);
            Notify { schema: "reprov.notify/v1", dry_run: true, changes, messages, undelivered }
        } else {
            told.tell(&context.ports(Arc::new(Silent))?, &ledger, &inventory).await?
        };
        ledger.close().await;
        context.console.answer(&answer, &answer.text());
        Ok(exit(&answer))
    }
}

/// What the process ends with: a message that waits is one of which nobody can tell whether it arrives.
fn exit(answer: &Notify) -> Exit {
    if answer.dry_run || answer.arrived() { Exit::Ok } else { Exit::Unavailable }
}

fn undelivered(kept: ledger::Undelivered) -> Undelivered {
    Undelivered { waiting: kept.waiting, due: kept.due_s.map(rfc3339), claimed: kept.claimed }
}

/// Who is told, with what it takes.
#[derive(Debug)]
pub(super) struct Told {
    name: String,
    receivers: Vec<Receiver>,
    secrets: BTreeMap<String, Secret>,
}

impl Told {
    /// As `inventory`, which was read from `path`, says; a mistake in it is said before anything is done.
    pub(super) fn of(inventory: &Inventory, path: &Path) -> Result<Self, Failure> {
        let receivers = receivers(&inventory.notify)
            .map_err(|error| Failure::usage_text(format!("inventory `{}`: {error}", path.display())))?;
        let variables = receivers.iter().flat_map(Receiver::variables);
        let secrets = variables.filter_map(|variable| {
            let value = std::env::var(&variable.0).ok().filter(|value| !value.is_empty())?;
            Some((variable.0.clone(), Secret::new(value)))
        });
        let secrets = secrets.collect();
        // Not through links: where a cluster mounts it, they lead to another place each night.
        let name = std::path::absolute(path).map_err(Failure::usage)?.display().to_string();
        Ok(Self { name, receivers, secrets })
    }

    fn telling<'a>(&'a self, inventory: &'a Inventory) -> Telling<'a> {
        Telling::of(inventory, &self.name, &self.receivers, self.secrets.clone(), host::now_s())
    }

    /// [`Told::tell`], as the last step of an audit: what does not arrive is said, and waits.
    pub(super) async fn after(
        &self,
        context: &Context<'_>,
        ports: &Ports,
        ledger: &Ledger,
        inventory: &Inventory,
    ) -> Exit {
        let answer = match self.tell(ports, ledger, inventory).await {
            Ok(answer) => answer,
            Err(failure) => {
                context.console.complain(&failure);
                return failure.exit;
            }
        };
        for message in &answer.messages {
            match &message.error {
                Some(error) => {
                    let text = format!("{}: {} is not told yet: {error}", message.receiver, message.subject);
                    context.console.warn(&text);
                }
                None => context
                    .console
                    .say(&printable(&format!("{}: told: {}", message.receiver, message.subject))),
            }
        }
        if let Some(waiting) = answer.waiting() {
            context.console.warn(&waiting);
        }
        exit(&answer)
    }

    /// Tells what changed, and delivers what waits.
    async fn tell(&self, ports: &Ports, ledger: &Ledger, inventory: &Inventory) -> Result<Notify, Failure> {
        let told = tell(ports, ledger, &self.telling(inventory)).await?;
        Ok(Notify {
            schema: "reprov.notify/v1",
            dry_run: false,
            changes: told.changes,
            messages: told.messages,
            undelivered: undelivered(told.undelivered),
        })
    }
}
