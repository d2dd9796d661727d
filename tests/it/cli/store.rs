//! The cache: measured, cleaned, gone at any time.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::support::{Base, Lab, Registry};

fn store(lab: &Lab, args: &[&str]) -> Value {
    let at = lab.path("store");
    lab.reprov(&[&["store"], args, &["--store", &at, "--format", "json"]].concat()).exits(0).json()
}

fn kind(answer: &Value, kind: &str, field: &str) -> u64 {
    let kinds = answer["kinds"].as_array().unwrap();
    kinds.iter().find(|found| found["kind"] == kind).unwrap()[field].as_u64().unwrap()
}

/// Rebuilds in the lab's own store.
fn rebuild(lab: &Lab, image: &str) -> Value {
    let (store, key) = (lab.path("store"), lab.path("signer.pub"));
    let args = ["rebuild", image, "--store", &store, "--trust", &key, "--format", "json"];
    lab.reprov(&args).exits(0).json()
}

fn start(lab: &Lab, source: &Path, to: &str) -> Child {
    let mut command = lab.command(lab.program());
    let swap = format!("base.example/tiny:1={}", Base::Tiny.used(Registry::shared()));
    command.args(["build", source.to_str().unwrap(), "--tag", to, "--from", &swap]);
    command.args(["--store", &lab.path("store"), "--key", &lab.path("signer.key")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// Until a step has made the directory `/d`.
fn wait_for_the_step(lab: &Lab) {
    let list = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for _ in 0..600 {
        let builds = list(PathBuf::from(lab.path("store/engine/builds")));
        if builds
            .flat_map(|build| list(build.join("store/overlay")))
            .any(|layer| layer.join("diff/d").exists())
        {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("waited a minute for the step");
}

#[test]
fn what_is_not_there_is_empty_and_stays_so() {
    let lab = Lab::new();
    for command in ["du", "gc", "prune", "rm"] {
        let answer = store(&lab, &[command]);
        assert_eq!((&answer["bytes"], &answer["freed_bytes"]), (&0.into(), &0.into()), "{answer:#}");
    }
    assert!(!Path::new(&lab.path("store")).exists());
    lab.reprov(&["store", "gc", "--max-size", "much"]).exits(2);
    lab.reprov(&["store"]).exits(2);
}

#[test]
fn build_and_rebuild_work_when_the_store_is_gone() {
    let registry = Registry::shared();
    for (lab, name) in [(Lab::new(), "gone"), (Lab::ordinary(), "gone-user")] {
        let dockerfile = "FROM base.example/tiny:1\nRUN mkdir -m 0700 /d && echo x > /d/x && chown 7:8 /d\n";
        let source = lab.source("app", &[("Dockerfile", dockerfile)]);
        let to = registry.name(name);
        let built = lab.build(registry, &source, &to, &[]).exits(0).json();
        let before = store(&lab, &["du"]);
        assert!(
            kind(&before, "blobs", "count") > 3 && kind(&before, "bases", "bytes") > 100_000,
            "{before:#}"
        );
        assert_eq!((kind(&before, "builds", "count"), kind(&before, "tmp", "count")), (0, 0), "{before:#}");
        let would = store(&lab, &["rm", "--dry-run"]);
        assert_eq!((&would["freed_bytes"], &would["bytes"]), (&before["bytes"], &0.into()), "{would:#}");
        assert_eq!(store(&lab, &["prune"])["freed_bytes"], 0);
        assert_eq!(store(&lab, &["rm"])["freed_bytes"], before["bytes"]);
        assert!(!Path::new(&lab.path("store")).exists());
        assert_eq!(rebuild(&lab, &to)["images"][0]["verdict"], "reproduced");

        let freed = store(&lab, &["gc", "--max-size", "0", "--bases"]);
        assert_eq!((kind(&freed, "blobs", "count"), kind(&freed, "bases", "count")), (0, 0), "{freed:#}");
        let again = lab.build(registry, &source, &to, &[]).exits(0).json();
        assert_eq!(again["manifest"], built["manifest"]);
    }
}

#[test]
fn only_what_nobody_asked_for_lately_goes() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("aged", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo aged > /x\n")]);
    let to = registry.name("aged");
    lab.build(registry, &source, &to, &[]).exits(0);
    let blobs = PathBuf::from(lab.path("store/blobs/sha256"));
    let all: Vec<_> = fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path()).collect();
    for (path, days) in all.iter().zip([40, 20]) {
        let then = SystemTime::now() - Duration::from_secs(days * 86_400);
        File::open(path).unwrap().set_modified(then).unwrap();
    }
    fs::write(blobs.join("mine"), "not a blob").unwrap();
    assert_eq!(kind(&store(&lab, &["gc", "--dry-run"]), "blobs", "freed_count"), 1);
    assert!(all[0].exists());
    assert_eq!(kind(&store(&lab, &["gc"]), "blobs", "freed_count"), 1);
    assert!(!all[0].exists() && all[1].exists());
    assert_eq!(kind(&store(&lab, &["gc", "--keep-days", "10"]), "blobs", "freed_count"), 1);
    assert_eq!(rebuild(&lab, &to)["images"][0]["verdict"], "reproduced");
    store(&lab, &["rm"]);
    assert!(blobs.join("mine").exists(), "what is not the store's own stays");
}

#[test]
fn a_build_survives_being_cleaned_around_and_keeps_the_store() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/tiny:1\nRUN mkdir /d; sleep 5\nCOPY word /word\n";
    let source = lab.source("swept", &[("Dockerfile", dockerfile), ("word", "word\n")]);
    let to = registry.name("swept");
    for round in ["cold", "warm"] {
        let mut building = start(&lab, &source, &to);
        wait_for_the_step(&lab);
        let at = lab.path("store");
        lab.reprov(&["store", "rm", "--store", &at]).exits(3).says("in use");
        let mut cleaned = 0;
        let ended = loop {
            let answer = store(&lab, &["gc", "--keep-days", "0", "--max-size", "0", "--bases"]);
            cleaned += u32::from(answer["builds"] == 1 && answer["others"] == 1);
            if let Some(ended) = building.try_wait().unwrap() {
                break ended;
            }
            thread::sleep(Duration::from_millis(200));
        };
        assert!(ended.success() && cleaned > 3, "{round}: {ended}, {cleaned} times cleaned");
    }
    assert_eq!(lab.rebuild(&to, &[]).exits(0).json()["images"][0]["verdict"], "reproduced");
}

#[test]
fn what_a_killed_build_left_is_pruned() {
    for (lab, name) in [(Lab::new(), "pruned"), (Lab::ordinary(), "pruned-user")] {
        let dockerfile =
            "FROM base.example/tiny:1\nRUN mkdir -m 0700 /d; echo x > /d/x; chown 7:8 /d; sleep 600\n";
        let source = lab.source("pruned", &[("Dockerfile", dockerfile)]);
        let mut building = start(&lab, &source, &Registry::shared().name(name));
        wait_for_the_step(&lab);
        let busy = store(&lab, &["du"]);
        assert_eq!((&busy["builds"], &busy["others"]), (&1.into(), &1.into()), "{busy:#}");
        assert_eq!(store(&lab, &["prune"])["freed_bytes"], 0);
        building.kill().unwrap();
        building.wait().unwrap();
        let would = store(&lab, &["prune", "--dry-run"]);
        assert_eq!(kind(&would, "builds", "freed_count"), 1, "{would:#}");
        let freed = store(&lab, &["prune"]);
        assert_eq!(
            (kind(&freed, "builds", "freed_count"), kind(&freed, "builds", "count")),
            (1, 0),
            "{freed:#}"
        );
        assert_eq!(lab.leftovers(), [""; 0]);
    }
}
