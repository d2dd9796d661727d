//! A ledger that was lost comes back from the registry, with the verdicts that an audit signed.

use std::fs;

use reprov::entry::{Entry, Kind};

use super::stand::Night;
use crate::support::Registry;

/// What the signed attestations say of a ledger's entries, in one order.
fn attested(night: &Night) -> Vec<Entry> {
    let entries = night.entries().into_iter().map(|entry| serde_json::from_value::<Entry>(entry).unwrap());
    let mut entries: Vec<_> = entries.filter_map(|entry| entry.attested()).collect();
    entries.retain(|entry| entry.kind != Kind::Built); // An audit builds nothing; the provenance is there all the same.
    entries.sort_by_key(|entry| format!("{entry:?}"));
    entries
}

#[test]
fn what_an_audit_signed_is_the_same_history_after_the_ledger_is_lost() {
    let (night, registry) = (Night::new(), Registry::shared());
    let lab = &night.lab;
    let [good, drifts] = ["again-good", "again-drifts"].map(|name| registry.name(name));
    let source = lab.source("good", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo again > /again\n")]);
    lab.build(registry, &source, &good, &[]).exits(0);
    lab.build(registry, &lab.fixture("drift"), &drifts, &[]).exits(0);
    fs::write(lab.path("policy.toml"), "builders = [\"*\"]\n").unwrap();
    night.inventory(&format!(
        "[[group]]\nname = \"web\"\nimages = [\"{good}\", \"{drifts}\"]\npolicy = \"policy.toml\"\nrebuild = \"replay\"\n"
    ));
    night.audit(&["--key", &lab.path("signer.key")]).exits(1); // One drifts.
    let before = attested(&night);
    let kinds: Vec<_> = before.iter().map(|entry| (entry.kind, entry.outcome.as_str())).collect();
    for kind in [(Kind::Verified, "passed"), (Kind::Rebuilt, "reproduced"), (Kind::Rebuilt, "explained")] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }

    fs::remove_file(&night.ledger).unwrap();
    let (inventory, store) = (lab.path("inventory.toml"), lab.path("store"));
    lab.reprov(&["ledger", "rebuild", &inventory, "--ledger", &night.ledger, "--store", &store]).exits(0);
    assert_eq!(attested(&night), before);
    night.chain_holds();
}
