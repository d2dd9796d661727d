//! An inventory, a ledger, and images to audit.

use std::{fs, path::Path, process::Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use reprov::ledger::{Filter, Ledger};

use crate::{
    ledger::wait,
    support::{Lab, Postgres, Ran, Registry},
};

/// A night's work.
pub(crate) struct Night {
    pub(crate) lab: Lab,
    pub(crate) ledger: String,
}

impl Night {
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let ledger = lab.path("ledger.sqlite");
        Self { lab, ledger }
    }

    /// With its ledger in a database of `server`.
    pub(crate) fn postgres(server: &Postgres) -> Self {
        Self { lab: Lab::new(), ledger: server.database() }
    }

    /// Writes the inventory; `signer.pub` is trusted.
    pub(crate) fn inventory(&self, groups: &str) {
        let text = format!("[defaults]\ntrust = [\"signer.pub\"]\nowner = \"team@example.org\"\n\n{groups}");
        fs::write(self.lab.path("inventory.toml"), text).unwrap();
    }

    /// The command of an audit.
    pub(crate) fn auditing(&self, more: &[&str]) -> Command {
        let mut command = self.lab.command(self.lab.program());
        let (inventory, store) = (self.lab.path("inventory.toml"), self.lab.path("store"));
        command.args(["audit", &inventory, "--ledger", &self.ledger]);
        if !more.contains(&"--store") {
            command.args(["--store", &store]);
        }
        if !more.contains(&"--format") {
            command.args(["--format", "json"]);
        }
        command.args(more);
        command
    }

    pub(crate) fn audit(&self, more: &[&str]) -> Ran {
        Lab::run(self.auditing(more))
    }

    /// The ledger's entries, in their order.
    pub(crate) fn entries(&self) -> Vec<Value> {
        let place = self.ledger.parse().unwrap();
        wait(async {
            let Ok(ledger) = Ledger::open_existing(&place).await else { return Vec::new() };
            let mut entries = Vec::new();
            let visit = |row: reprov::entry::Row| entries.push(serde_json::to_value(row.entry).unwrap());
            ledger.rows(&Filter::default(), visit).await.unwrap();
            ledger.close().await;
            entries
        })
    }

    /// Kind and outcome of each entry, without what tells one run from another.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let repository = |entry: &Value| text(entry, "repository").rsplit('/').next().unwrap().to_owned();
        let shown = |entry: &Value| {
            format!("{} {} {}", repository(entry), text(entry, "kind"), text(entry, "outcome"))
        };
        let mut all: Vec<_> = self.entries().iter().map(shown).collect();
        all.sort();
        all
    }

    /// The chain of the ledger holds, by the program's own word.
    #[track_caller]
    pub(crate) fn chain_holds(&self) {
        self.lab.reprov(&["ledger", "check", "--ledger", &self.ledger]).exits(0);
    }
}

/// The image of the answer whose name begins so.
#[track_caller]
pub(crate) fn image<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let all = answer["images"].as_array().unwrap();
    let found = all.iter().find(|image| image["image"].as_str().unwrap().starts_with(name));
    found.unwrap_or_else(|| panic!("no `{name}`: {answer:#}"))
}

/// One step of it.
#[track_caller]
pub(crate) fn step<'a>(answer: &'a Value, name: &str, step: &str) -> &'a Value {
    let steps = image(answer, name)["steps"].as_array().unwrap();
    steps.iter().find(|one| one["step"] == step).unwrap_or_else(|| panic!("no {step}: {answer:#}"))
}

/// `STATE OUTCOME` of a step.
#[track_caller]
pub(crate) fn came(answer: &Value, name: &str, what: &str) -> String {
    let step = step(answer, name, what);
    let text = |key: &str| step[key].as_str().unwrap_or("-").to_owned();
    format!("{} {}", text("state"), text("outcome"))
}

/// An image that nothing refers to, in tag 1 of `repository`; its digest.
pub(crate) fn bare(registry: &Registry, repository: &str, tag: &str, content: &str) -> String {
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Labels": {"content": content}}});
    let bytes = config.to_string().into_bytes();
    let digest = registry.put_blob(repository, &bytes);
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": bytes.len()},
        "layers": []});
    let image = registry.put_manifest(repository, &manifest);
    registry.set_tag(repository, tag, &image);
    image
}

/// Takes a tag away, or a whole repository, behind the registry's back.
pub(crate) fn forget(registry: &Registry, repository: &str, what: &str) {
    let path = registry.files().join("repositories").join(repository).join(what);
    fs::remove_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Ends a process at once.
pub(crate) fn kill(child: &std::process::Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// Whether this file is there and says something.
pub(crate) fn says(path: &str, words: &str) -> bool {
    Path::new(path).exists() && fs::read_to_string(path).unwrap().contains(words)
}
