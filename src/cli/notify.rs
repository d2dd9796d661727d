//! `reprov notify`, which is also the last step of `audit`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Context,
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
    ledger::Ledger,
    model::{
        Secret,
        limits::{INVENTORY_SIZE_BYTES_MAX, read_bounded},
    },
    progress::Silent,
    report::notify::{Message, Notify},
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
        let inventory = read(&self.inventory)?;
        let told = Told::of(&inventory, &self.inventory)?;
        let ledger = self.ledger.open_existing(context).await?;
        let answer = if self.dry_run {
            let (changes, letters) = foretell(&ledger, &told.telling(&inventory)).await?;
            let messages = letters.iter().map(|letter| Message::of(letter, false, None)).collect();
            Notify { schema: "reprov.notify/v1", dry_run: true, changes, messages }
        } else {
            told.tell(&context.ports(Arc::new(Silent))?, &ledger, &inventory).await?
        };
        ledger.close().await;
        context.console.answer(&answer, &answer.text());
        Ok(exit(&answer))
    }
}

/// Reads the inventory.
fn read(path: &Path) -> Result<Inventory, Failure> {
    let named = |failure: Failure| failure.hint(format!("the inventory: {}", path.display()));
    let read = std::fs::File::open(path)
        .and_then(|file| read_bounded(file, INVENTORY_SIZE_BYTES_MAX, "inventory"))
        .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
    let text = read.map_err(|error| named(Failure::usage(error)))?;
    Inventory::parse(&text)
        .map_err(|error| Failure::usage_text(format!("inventory `{}`: {error}", path.display())))
}

/// What the process ends with: a message that waits is one of which nobody can tell whether it arrives.
pub(super) fn exit(answer: &Notify) -> Exit {
    if answer.waiting() > 0 { Exit::Unavailable } else { Exit::Ok }
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
        // The same inventory by whatever path it is named.
        let name = std::fs::canonicalize(path).map_err(Failure::usage)?.display().to_string();
        Ok(Self { name, receivers, secrets })
    }

    fn telling<'a>(&'a self, inventory: &'a Inventory) -> Telling<'a> {
        Telling::of(inventory, &self.name, &self.receivers, self.secrets.clone(), host::now_s())
    }

    /// Tells what changed, and delivers what waits.
    pub(super) async fn tell(
        &self,
        ports: &Ports,
        ledger: &Ledger,
        inventory: &Inventory,
    ) -> Result<Notify, Failure> {
        let told = tell(ports, ledger, &self.telling(inventory)).await?;
        Ok(Notify {
            schema: "reprov.notify/v1",
            dry_run: false,
            changes: told.changes,
            messages: told.messages,
        })
    }
}
