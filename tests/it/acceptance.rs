//! The slow suite (`make acceptance`): more package managers, each recorded once and replayed with an empty store.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{
    jobs::packages,
    support::{Lab, Mirror, Registry, fixtures, must},
};

#[test]
#[ignore = "slow: make acceptance"]
fn npm() {
    let lab = Lab::new();
    let source = packages::source(&lab, "npm", &["apt", "npm"]);
    there_and_back(&lab, &source, "acceptance-npm", &[]);
}

#[test]
#[ignore = "slow: make acceptance"]
fn cargo() {
    // Which hosts serve the crates is built into cargo, so this one learns them.
    let lab = Lab::new();
    let source = lab.fixture("cargo");
    let built = there_and_back(&lab, &source, "acceptance-cargo", &["--learn"]);
    // What cargo notes of every use would drift: the profile drops it, no recipe has to.
    let rules = built["normalized"].as_array().unwrap();
    assert!(rules.iter().any(|count| count["rule"] == "cargo-last-use"), "{built:#}");
}

#[test]
#[ignore = "slow: make acceptance"]
fn curl_wget_add_and_heredocs() {
    let (lab, mirror) = (Lab::new(), Mirror::start("acceptance"));
    let source = packages::source(&lab, "curl", &["apt"]);
    let (arg, allow) = (format!("MIRROR={}", mirror.url), format!("local={}", mirror.url));
    // The engine itself fetches what ADD names; it would not ask a proxy for a loopback address.
    let lines = must(Command::new(fixtures("base/sources")).arg("bookworm"));
    let release = format!("RELEASE={}dists/bookworm/Release", lines.split(' ').nth(1).unwrap());
    let more = ["--build-arg", &arg, "--allow", &allow, "--build-arg", &release];
    there_and_back(&lab, &source, "acceptance-curl", &more);
}

fn there_and_back(lab: &Lab, source: &Path, repository: &str, more: &[&str]) -> Value {
    let registry = Registry::shared();
    let to = registry.name(repository);
    let built = lab.build(registry, source, &to, more).exits(0).json();
    let answer = lab.rebuild(&to, &[]).exits(0).json();
    let image = &answer["images"][0];
    assert_eq!(image["verdict"], "reproduced", "{answer:#}");
    assert_eq!((&image["upstream_requests"], &image["refused"]), (&0.into(), &0.into()));
    built
}
