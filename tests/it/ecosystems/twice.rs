//! Every fixture built twice, minutes apart, without a profile that takes anything out, and compared: no drift is without
//! a cause. `docs/ecosystems.md` has what was found.

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{ONLY, Setting, document, table::FIXTURES, table::Fixture, words};
use crate::support::{Lab, Registry, must};

/// A directory: both images of each fixture are kept there, in an OCI layout, for whoever writes a rule.
const KEEP: &str = "REPROV_TWICE_KEEP";
/// Set, nothing is built: what is kept there is compared again.
const AGAIN: &str = "REPROV_TWICE_AGAIN";
/// Between the ends of the two builds at least: clocks that count minutes differ too.
const APART: Duration = Duration::from_mins(2);

/// What the comparison of two builds said.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) verdict: String,
    /// How many differences each cause has, those of config and manifest included.
    pub(super) causes: BTreeMap<String, usize>,
    /// What has none, or why there is no comparison.
    pub(super) wrong: Vec<String>,
}

impl Found {
    fn failed(why: String) -> Self {
        Self { verdict: "failed".to_owned(), causes: BTreeMap::new(), wrong: vec![why] }
    }

    fn of(answer: &Value) -> Self {
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        let mut found = Self {
            verdict: answer["verdict"].as_str().unwrap_or_default().to_owned(),
            causes: BTreeMap::new(),
            wrong: Vec::new(),
        };
        for one in list("drifts").iter().chain(&list("config")) {
            let word = |name: &str| one[name].as_str().unwrap_or_default();
            *found.causes.entry(word("cause").to_owned()).or_default() += 1;
            if word("cause") == "unexplained" {
                found.wrong.push(format!("{}{}: {}", word("path"), word("pointer"), word("evidence")));
            }
        }
        found
    }
}

/// Builds a fixture as `SIDE` of its pair; the image's name.
fn build(setting: &Setting, fixture: &Fixture, source: &Path, side: &str) -> String {
    let registry = Registry::shared();
    let to = registry.name(&format!("twice-{}-{side}", fixture.name));
    let mut more = ["--profile", "none", "--no-sign", "--inputs-to", "none"].map(str::to_owned).to_vec();
    more.extend(setting.more(fixture, source));
    // However long it takes, where many things run.
    must(&mut setting.builder.building(registry, source, &to, &words(&more)));
    to
}

fn keep(image: &str, name: &str) {
    if let Some(dir) = std::env::var_os(KEEP) {
        let to = format!("oci:{}:{name}", dir.display());
        let from = format!("docker://{image}");
        must(Command::new("skopeo").args(["copy", "--quiet", "--src-tls-verify=false", &from, &to]));
    }
}

fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|error| error.downcast_ref::<String>().cloned().unwrap_or_default())
}

/// Compares what was kept, of the fixtures of which both images were.
fn again(fixtures: &[&Fixture]) -> BTreeMap<&'static str, Found> {
    let (lab, dir) = (Lab::new(), std::env::var(KEEP).expect("where they are kept"));
    let index = fs::read_to_string(format!("{dir}/index.json")).unwrap();
    let kept = |name: &str| ["a", "b"].iter().all(|side| index.contains(&format!("\"{name}-{side}\"")));
    let mut all = BTreeMap::new();
    for fixture in fixtures.iter().filter(|fixture| kept(fixture.name)) {
        let image = |side: &str| format!("oci:{dir}:{}-{side}", fixture.name);
        told(&mut all, fixture.name, compare(&lab, &image("a"), &image("b")));
    }
    assert!(!all.is_empty(), "nothing of these was kept in {dir}");
    all
}

/// Notes what was found, and says it.
fn told(all: &mut BTreeMap<&'static str, Found>, name: &'static str, found: Found) {
    println!("{name}: {} {:?} {:#?}", found.verdict, found.causes, found.wrong);
    all.insert(name, found);
    document::write_twice(all); // What is known is not lost with what takes longer.
}

/// One after the other: first every first build, then every second one, then what differs.
fn run(setting: &Setting, fixtures: &[&Fixture]) -> BTreeMap<&'static str, Found> {
    let first = |fixture: &Fixture| {
        caught(|| {
            let source = setting.source(fixture);
            let image = build(setting, fixture, &source, "a");
            keep(&image, &format!("{}-a", fixture.name));
            println!("{}: built", fixture.name);
            (source, image, Instant::now())
        })
    };
    let firsts: Vec<_> = fixtures.iter().map(|fixture| first(fixture)).collect();
    let mut all = BTreeMap::new();
    for (fixture, first) in fixtures.iter().zip(firsts) {
        let compared = first.and_then(|(source, one, ended)| {
            thread::sleep(APART.saturating_sub(ended.elapsed()));
            caught(|| {
                let other = build(setting, fixture, &source, "b");
                keep(&other, &format!("{}-b", fixture.name));
                compare(&setting.builder, &one, &other)
            })
        });
        told(&mut all, fixture.name, compared.unwrap_or_else(Found::failed));
    }
    all
}

fn compare(lab: &Lab, one: &str, other: &str) -> Found {
    let store = lab.path("store");
    let ran = lab.reprov(&["diff", one, other, "--store", &store, "--format", "json"]);
    match ran.code {
        Some(0 | 1) => Found::of(&ran.json()),
        _ => Found::failed(ran.to_string()),
    }
}

#[test]
#[ignore = "slow: make twice"]
fn nothing_is_unexplained() {
    let only = std::env::var(ONLY).unwrap_or_default();
    let wanted = |fixture: &&Fixture| only.is_empty() || only.split(',').any(|name| name == fixture.name);
    let fixtures: Vec<_> = FIXTURES.iter().filter(wanted).collect();
    assert!(!fixtures.is_empty(), "no fixture is called {only}");
    let all = if std::env::var_os(AGAIN).is_some() {
        again(&fixtures)
    } else {
        let setting = Setting::of_builders();
        let all = run(&setting, &fixtures);
        assert_eq!(setting.builder.leftovers(), [""; 0]);
        all
    };
    let wrong =
        all.iter().flat_map(|(name, found)| found.wrong.iter().map(move |why| format!("{name}: {why}")));
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The document has fixtures there are, and nothing in it is unexplained.
#[test]
fn the_document_has_no_pair_that_is_unexplained() {
    let text = fs::read_to_string(document::path()).unwrap();
    let rows = document::rows_of_twice(&text);
    assert!(!rows.is_empty(), "no table");
    for row in rows {
        assert!(FIXTURES.iter().any(|fixture| fixture.name == row[0]), "{row:?}");
        assert!(row[3] == "0" && !row[2].contains("unexplained") && row[1] != "failed", "{row:?}");
    }
}
