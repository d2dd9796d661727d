//! Real packages: built with the network, rebuilt without it, from nothing but what lies beside the image.

use std::{fs, path::PathBuf, process::Command};

use crate::support::{Lab, Registry, fixtures, must};

#[test]
fn apt_as_the_caller() {
    there_and_back(&Lab::new(), "apt", &[], "caller-apt", 1);
}

#[test]
fn apt_as_an_ordinary_user() {
    there_and_back(&Lab::ordinary(), "apt", &[], "ordinary-apt", 1);
}

#[test]
fn pip_as_the_caller() {
    there_and_back(&Lab::new(), "pip", &["apt", "pypi"], "caller-pip", 2);
}

#[test]
#[ignore = "slow: make acceptance"]
fn pip_as_an_ordinary_user() {
    there_and_back(&Lab::ordinary(), "pip", &["apt", "pypi"], "ordinary-pip", 2);
}

/// A repository of the fixture, with a recipe that allows the machine's own repositories of `kinds`; none: no recipe,
/// so that the sources of the base image are allowed.
pub(crate) fn source(lab: &Lab, fixture: &str, kinds: &[&str]) -> PathBuf {
    lab.commit(fixture, |dir| {
        must(Command::new("cp").arg("-rT").arg(fixtures(fixture)).arg(dir));
        if !kinds.is_empty() {
            let tables = must(Command::new(fixtures("repositories")).args(kinds));
            fs::write(dir.join("reprov.toml"), tables).unwrap();
        }
    })
}

/// Builds; lets the registry forget every layer that the image adds to its base; rebuilds with an empty store.
fn there_and_back(lab: &Lab, fixture: &str, kinds: &[&str], repository: &str, runs: u64) {
    let registry = Registry::shared();
    let built =
        lab.build(registry, &source(lab, fixture, kinds), &registry.name(repository), &[]).exits(0).json();
    let image = registry.image(repository);
    assert_eq!(built["image"], format!("{}@{}", registry.name(repository), image.digest), "{built:#}");
    assert_eq!(built["provenance"]["signed"], true);
    assert_eq!(built["inputs"]["refused"], serde_json::json!([]));
    assert_eq!(built["inputs"]["tainted"], false);
    assert!(built["inputs"]["count"].as_u64().unwrap() > 3, "{built:#}");
    assert_eq!(built["steps_run"], runs);

    forget_own_layers(registry, repository);
    let answer = lab.rebuild(&registry.name(repository), &[]).exits(0).json();
    let rebuilt = &answer["images"][0];
    assert_eq!(rebuilt["verdict"], "reproduced", "{answer:#}");
    assert_eq!(rebuilt["rebuilt"], image.digest.as_str());
    assert_eq!(rebuilt["upstream_requests"], 0);
    assert_eq!(rebuilt["undeclared_inputs"], serde_json::json!([]));
    assert_eq!(rebuilt["refused"], 0);
    assert_eq!(rebuilt["inputs"], built["inputs"]["count"]);
    assert_eq!(rebuilt["steps_run"], runs);
    assert_eq!(rebuilt["engine"], built["engine"]);
    assert!(rebuilt["layers"].as_array().unwrap().iter().all(|layer| layer["equal"] == true));
    assert_eq!(answer["summary"]["reproduced"], 1);
    assert_eq!(lab.leftovers(), [""; 0]);
}

fn forget_own_layers(registry: &Registry, repository: &str) {
    let base = registry.image_at("base/debian", "bookworm");
    let of_base = base.layer_digests();
    let own: Vec<_> =
        registry.image(repository).layer_digests().into_iter().filter(|it| !of_base.contains(it)).collect();
    assert!(!own.is_empty());
    for layer in own {
        registry.forget_layer(repository, &layer);
    }
}
