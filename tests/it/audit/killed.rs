//! `kill -9` of an audit, and two audits at once: nothing is lost, nothing is done twice.

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use super::stand::{Night, bare, kill};
use crate::support::{Postgres, Process, Registry};

/// Images with builds of a second, and some that are only looked at.
fn prepare(night: &Night, registry: &Registry, prefix: &str) -> Vec<String> {
    let dockerfile = "FROM base.example/tiny:1\nRUN sleep 1; echo x > /x\n";
    let source = night.lab.source("source", &[("Dockerfile", dockerfile)]);
    let mut built = Vec::new();
    for index in 0..2 {
        let name = format!("{prefix}-built-{index}");
        night.lab.build(registry, &source, &registry.name(&name), &[]).exits(0);
        built.push(format!("\"{}\"", registry.name(&name)));
    }
    let seen: Vec<_> = (0..8).map(|index| format!("{prefix}-seen-{index}")).collect();
    for name in &seen {
        bare(registry, name, "1", name);
    }
    let plain: Vec<_> = seen.iter().map(|name| format!("\"{}\"", registry.name(name))).collect();
    night.inventory(&format!(
        "[[group]]\nname = \"built\"\nimages = [{}]\n\n[[group]]\nname = \"seen\"\nimages = [{}]\nrebuild = \"none\"\n",
        built.join(", "),
        plain.join(", ")
    ));
    let mut expected: Vec<_> = seen.iter().map(|name| format!("{name} verified failed")).collect();
    for index in 0..2 {
        expected.push(format!("{prefix}-built-{index} rebuilt reproduced"));
        expected.push(format!("{prefix}-built-{index} verified passed"));
    }
    expected.sort();
    expected
}

/// Kills an audit after each of `moments`, then lets one end.
fn killed_after(night: &Night, prefix: &str, moments: impl IntoIterator<Item = Duration>) {
    let expected = prepare(night, Registry::shared(), prefix);
    for moment in moments {
        let mut child = night.auditing(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(moment);
        kill(&child);
        child.wait().unwrap();
        for entry in night.outcomes() {
            assert!(expected.contains(&entry), "{entry}");
        }
        // What ran in cages ends with it.
        let until = Instant::now() + Duration::from_secs(20);
        while !Process::naming(&night.lab.path("store")).is_empty() && Instant::now() < until {
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(Process::naming(&night.lab.path("store")), [""; 0]);
    }
    night.audit(&[]).exits(1);
    assert_eq!(night.outcomes(), expected);
    night.chain_holds();
    let answer = night.audit(&[]).exits(1).json();
    assert_eq!(answer["overdue"], 0);
    assert_eq!(night.outcomes(), expected, "nothing is done again");
}

#[test]
fn whoever_is_killed_goes_on_there() {
    killed_after(&Night::new(), "killed", [300, 900, 2500].map(Duration::from_millis));
}

#[test]
#[ignore = "slow: make acceptance"]
fn twenty_kills() {
    for (night, prefix) in
        [(Night::new(), "twenty"), (Night::postgres(Postgres::shared()), "twenty-postgres")]
    {
        // Each run goes on where the one before was ended.
        killed_after(&night, prefix, (0..20).map(|index| Duration::from_millis(40 + 97 * index)));
    }
}

#[test]
fn postgres_goes_away_and_comes_back_in_the_middle() {
    let server = Postgres::start();
    let night = Night::postgres(&server);
    let expected = prepare(&night, Registry::shared(), "restarted");
    let child = night.auditing(&[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for pause in [300, 1200] {
        thread::sleep(Duration::from_millis(pause));
        server.restart();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(night.outcomes(), expected);
    night.chain_holds();
}

#[test]
fn two_at_once_share_the_work() {
    share(&Night::new(), "twice");
}

#[test]
fn two_at_once_share_the_work_by_postgres() {
    share(&Night::postgres(Postgres::shared()), "twice-postgres");
}

fn share(night: &Night, prefix: &str) {
    let expected = prepare(night, Registry::shared(), prefix);
    let other = night.lab.path("other-store");
    let start = |store: &str| {
        night
            .auditing(&["--store", store, "--jobs", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both =
        [start(&night.lab.path("store")), start(&other)].map(|child| child.wait_with_output().unwrap());
    for output in &both {
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
    }
    assert_eq!(night.outcomes(), expected, "each once");
    night.chain_holds();
    let states: Vec<String> = both
        .iter()
        .flat_map(|output| {
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let images = answer["images"].as_array().unwrap().clone();
            images.into_iter().flat_map(|image| image["steps"].as_array().unwrap().clone())
        })
        .map(|step| step["state"].as_str().unwrap().to_owned())
        .collect();
    let count = |state: &str| states.iter().filter(|own| *own == state).count();
    assert_eq!(count("done"), 12, "{states:?}");
    assert_eq!(count("elsewhere") + count("not-due"), 12, "{states:?}");
}
