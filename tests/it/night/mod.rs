//! What the ledger is for: reports, and telling people. Nights are written into a ledger here; that audits write them is
//! tested with audits.

mod ledgers;
mod mail;
mod receiver;
mod reports;
mod telling;

use reprov::{
    entry::{Entry, Kind},
    host,
    ledger::{Ledger, Place},
    model::Digest,
};

use crate::support::{Lab, Ran};

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;

/// A ledger in a lab.
struct Nights {
    lab: Lab,
    /// When the first entry was written.
    begin_s: i64,
}

impl Nights {
    fn new() -> Self {
        Self { lab: Lab::new(), begin_s: host::now_s() - 3 * DAY_S }
    }

    fn ledger(&self) -> String {
        self.lab.path("ledger.sqlite")
    }

    fn with<T>(&self, work: impl AsyncFnOnce(&Ledger) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ledger = Ledger::open(&Place::File(self.ledger().into())).await.unwrap();
            let done = work(&ledger).await;
            ledger.close().await;
            done
        })
    }

    /// A run of an audit: `night` days after the first, in which this was found.
    fn run(&self, night: i64, entries: &[Entry]) {
        let at_s = self.begin_s + night * DAY_S;
        self.with(async |ledger| {
            let run = ledger.begin_run("inventory.toml", at_s).await.unwrap();
            for entry in entries {
                ledger.append(&Entry { at_s: at_s + 60, ..entry.clone() }).await.unwrap();
            }
            ledger.end_run(&run, at_s + HOUR_S).await.unwrap();
        });
    }

    /// Runs `COMMAND … --ledger` the ledger's.
    fn reprov(&self, args: &[&str]) -> Ran {
        self.lab.reprov(&[args, &["--ledger", &self.ledger(), "--store", &self.lab.path("store")]].concat())
    }

    /// An inventory with these `[[notify]]`.
    fn inventory(&self, notify: &str) -> String {
        let path = self.lab.path("inventory.toml");
        let group = "[[group]]\nname = \"base\"\nimages = [\"registry.example.org/app:1\"]\ntrust = [\"signer.pub\"]\n\
                     every = \"30d\"\n";
        std::fs::write(&path, format!("{group}{notify}")).unwrap();
        path
    }
}

/// What was found of the image of that tag.
fn found(tag: &str, kind: Kind, outcome: &str, codes: &[&str]) -> Entry {
    Entry {
        at_s: 0,
        kind,
        repository: "registry.example.org/app".into(),
        tag: Some(tag.into()),
        digest: Some(Digest::of(tag.as_bytes())),
        outcome: outcome.into(),
        evidence: None,
        by: "https://ci.example.org/reprov@v1".into(),
        tool: "reprov 0.1.0".into(),
        signer: None,
        policy: None,
        conditions: None,
        group: Some("base".into()),
        owner: Some("base-team".into()),
        codes: codes.iter().map(|code| ((*code).to_owned(), 1)).collect(),
        waived: Vec::new(),
        from: None,
        before: None,
        took_ms: Some(61_000),
        report: None,
        error: None,
    }
}

fn rebuilt(tag: &str, outcome: &str, codes: &[&str]) -> Entry {
    found(tag, Kind::Rebuilt, outcome, codes)
}
