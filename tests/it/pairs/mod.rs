//! Pairs of images that nothing of reprov made, and what it must say of each: right cause, right instruction, nothing
//! else.

mod count;
mod crafted;
mod many;
mod near_misses;
mod real;

use std::{collections::BTreeSet, process::Command};

use rayon::prelude::*;
use serde_json::Value;

use crate::support::{Lab, Ran, fixtures, must};

/// Pairs in one OCI image layout, tagged `NAME-a` and `NAME-b`.
struct Pairs {
    lab: Lab,
    names: BTreeSet<String>,
}

impl Pairs {
    /// Made by `fixtures/pairs/SCRIPT`, which prints their names.
    fn made_by(script: &str) -> Self {
        let lab = Lab::new();
        let names = must(
            Command::new(fixtures("pairs").join(script)).arg(lab.path("pairs")).current_dir(lab.path("")),
        );
        Self { lab, names: names.lines().map(str::to_owned).collect() }
    }

    /// `reprov diff` of one pair.
    fn diff(&self, name: &str) -> Ran {
        assert!(self.names.contains(name), "no pair {name}");
        let side = |side: &str| format!("oci:{}:{name}-{side}", self.lab.path("pairs"));
        let store = self.lab.path("store");
        self.lab.reprov(&["diff", &side("a"), &side("b"), "--store", &store, "--format", "json"])
    }
}

/// Fails with what is wrong with each row of a table, all of it.
#[track_caller]
fn judge<R: Sync>(rows: &[R], wrong: impl Fn(&R) -> Vec<String> + Sync + Send) {
    let all: Vec<String> = rows.par_iter().flat_map_iter(wrong).collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

/// An answer in words: the verdict, then `PATH CAUSE` of each drift; `-` is a layer's archive as a whole, a pointer stands
/// behind its document (`config:/created`), and `!` marks what concerns security.
fn said(answer: &Value) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let mut said = BTreeSet::from([text(&answer["verdict"])]);
    said.extend(list("drifts").iter().map(|drift| {
        let path = Some(text(&drift["path"])).filter(|path| !path.is_empty()).unwrap_or("-".into());
        let mark = if drift["security"] == true { "!" } else { "" };
        format!("{path} {}{mark}", text(&drift["cause"]))
    }));
    let config = list("config");
    said.extend(
        config
            .iter()
            .map(|one| format!("{}:{} {}", text(&one["of"]), text(&one["pointer"]), text(&one["cause"]))),
    );
    said
}

/// Words between semicolons.
fn words(text: &str) -> BTreeSet<String> {
    text.split("; ").filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn shown(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
}
