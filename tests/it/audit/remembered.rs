//! What the ledger remembers decides what is due: two inventories of one ledger, both rebuilds of one image, an outage.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

use super::stand::{Night, bare, came, step};
use crate::support::{Fault, Faulty, Postgres, Registry};

#[test]
fn two_inventories_of_one_ledger_leave_each_others_work_alone() {
    let registry = Registry::shared();
    for (night, repository) in
        [(Night::new(), "remembered-sqlite"), (Night::postgres(Postgres::shared()), "remembered-postgres")]
    {
        bare(registry, repository, "1", repository);
        let name = registry.name(repository);
        fs::write(night.lab.path("policy.toml"), "builders = [\"*\"]\n").unwrap();
        let audit = |policy: &str| {
            night.inventory(&format!("[[group]]\nimages = [\"{name}\"]\n{policy}rebuild = \"none\"\n"));
            came(&night.audit(&[]).exits(1).json(), &name, "verify")
        };
        let (plain, strict) = ("name = \"a\"\n", "name = \"b\"\npolicy = \"policy.toml\"\n");
        assert_eq!((audit(plain).as_str(), audit(strict).as_str()), ("done failed", "done failed"));
        for policy in [plain, strict, plain] {
            assert_eq!(audit(policy), "not-due failed", "{policy}");
        }
        assert_eq!(night.entries().len(), 2);
        // In one group the policy is another, and then the one it was: reports say what was found last.
        fs::write(night.lab.path("typo.toml"), "builders = [\"x\"]\n").unwrap();
        for (policy, came) in [("policy = \"typo.toml\"\n", "done"), ("", "done"), ("", "not-due")] {
            thread::sleep(Duration::from_millis(1100)); // Entries have seconds.
            assert_eq!(audit(&format!("{plain}{policy}")), format!("{came} failed"), "{policy}");
        }
        night.chain_holds();
    }
}

#[test]
fn both_rebuilds_of_an_image_are_told_apart() {
    let (night, registry) = (Night::new(), Registry::shared());
    let (lab, name) = (&night.lab, registry.name("remembered-both"));
    let source = lab.source("both", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo both > /both\n")]);
    lab.build(registry, &source, &name, &[]).exits(0);
    night.inventory(&format!("[[group]]\nname = \"a\"\nimages = [\"{name}\"]\nrebuild = \"both\"\n"));
    let (key, store) = (lab.path("signer.key"), lab.path("store"));
    let first = night.audit(&["--key", &key]).exits(0);
    let answer = first.json();
    for (what, outcome) in [("verify", "passed"), ("replay", "reproduced"), ("live", "reproduced")] {
        assert_eq!(came(&answer, &name, what), format!("done {outcome}"), "{first}");
    }
    let both = ["remembered-both rebuilt reproduced", "remembered-both rebuilt-live reproduced"];
    let outcomes = night.outcomes();
    assert_eq!(outcomes[..2], both, "{outcomes:?}");
    let answer = night.audit(&[]).exits(0).json();
    for what in ["verify", "replay", "live"] {
        assert_eq!(step(&answer, &name, what)["state"], "not-due", "{answer:#}");
    }
    let reads = |args: &[&str]| {
        lab.reprov(&[args, &["--ledger", &night.ledger, "--store", &store, "--format", "json"]].concat())
    };
    let report = reads(&["report"]).exits(0).json();
    let image = &report["images"][0];
    assert_eq!((&image["verdict"], &image["live"]), (&"reproduced".into(), &"reproduced".into()));
    reads(&["history", &name]).exits(0).says("rebuilt-live");
    // The attestations say which is which.
    let (inventory, again) = (lab.path("inventory.toml"), Night::new());
    lab.reprov(&["ledger", "rebuild", &inventory, "--ledger", &again.ledger, "--store", &store]).exits(0);
    let told = again.outcomes();
    assert!(both.iter().all(|outcome| told.iter().any(|other| other == outcome)), "{told:?}");
}

#[test]
fn what_is_there_again_is_looked_at_and_the_report_says_so() {
    let (night, registry) = (Night::new(), Registry::shared());
    bare(registry, "remembered-outage", "1", "outage");
    let weather = Arc::new(AtomicU8::new(0));
    let today = Arc::clone(&weather);
    let faulty = Faulty::before(registry, move |line, _| {
        match (line.contains("/remembered-outage/manifests/1"), today.load(Ordering::Relaxed)) {
            (true, 1) => Fault::Answer("503 Service Unavailable", String::new(), "down".to_owned()),
            (true, 2) => {
                let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone"}]}"#;
                let header = "Content-Type: application/json\r\n".to_owned();
                Fault::Answer("404 Not Found", header, body.to_owned())
            }
            _ => Fault::None,
        }
    });
    let name = format!("{}/remembered-outage:1", faulty.host);
    night.inventory(&format!("[[group]]\nname = \"a\"\nimages = [\"{name}\"]\nrebuild = \"none\"\n"));
    let said = || {
        let store = night.lab.path("store");
        let args = ["report", "--ledger", &night.ledger, "--store", &store, "--format", "json"];
        night.lab.reprov(&args).exits(1).json()["images"][0]["said"].as_str().unwrap().to_owned()
    };
    night.audit(&[]).exits(1);
    assert_eq!(said(), "failed");
    for (kind, exit, missed) in [(1, 3, "unreachable"), (2, 1, "gone")] {
        weather.store(kind, Ordering::Relaxed);
        night.audit(&[]).exits(exit);
        assert_eq!(said(), missed);
        weather.store(0, Ordering::Relaxed);
        let answer = night.audit(&[]).exits(1).json();
        assert_eq!(step(&answer, &name, "verify")["due"], "back", "{answer:#}");
        assert_eq!(came(&answer, &name, "verify"), "done failed", "{answer:#}");
        assert_eq!(said(), "failed");
        let answer = night.audit(&[]).exits(1).json();
        assert_eq!(came(&answer, &name, "verify"), "not-due failed", "once is enough: {answer:#}");
    }
    assert_eq!(night.entries().len(), 5);
}
