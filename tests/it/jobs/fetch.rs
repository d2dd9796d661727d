//! A build that fetches, without the world: a mirror on loopback, a base of one busybox.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::support::{Lab, Mirror, Registry};

#[test]
fn what_was_fetched_is_recorded_told_and_replayed() {
    let (lab, mirror, registry) = (Lab::new(), Mirror::start("fetch"), Registry::shared());
    let to = registry.name("fetch");
    let built = build(&lab, registry, &mirror, &to);
    let large = 64 * (2 << 14);
    assert_eq!(built["inputs"]["count"], 2, "{built:#}");
    assert_eq!(built["inputs"]["bytes"], large + "hello from fetch\n".len());
    // One key, one answer: three fetches, two of them of the same file.
    assert_eq!(mirror.asked(), ["/greeting", "/large"]);
    assert_eq!(registry.image("fetch").text("greeting"), "hello from fetch\n");

    let answer = lab.rebuild(&to, &["--format", "text"]).exits(0);
    for words in
        ["reproduced", "buildah 1.", "2 RUN step(s)", "2 recorded", "0 upstream requests", "0 refused"]
    {
        assert!(answer.out.contains(words), "`{words}`: {answer}");
    }
    assert_eq!(mirror.asked().len(), 2, "the rebuild asked the mirror");
}

#[test]
fn trace_tells_where_it_came_from() {
    let (lab, mirror, registry) = (Lab::new(), Mirror::start("trace"), Registry::shared());
    let to = registry.name("traced");
    let source = lab.fixture("fetch");
    build_from(&lab, registry, &source, &mirror, &to);
    let commit =
        lab.command("git").args(["-C", source.to_str().unwrap(), "rev-parse", "HEAD"]).output().unwrap();
    let commit = String::from_utf8(commit.stdout).unwrap();
    let (store, key) = (lab.path("fresh"), lab.path("signer.pub"));
    let trace = |more: &[&str]| {
        let args = [&["trace", &to, "--store", &store, "--trust", &key], more].concat();
        lab.reprov(&args).exits(0)
    };
    let all = trace(&[]);
    for words in [commit.trim(), "base.example/tiny:1", &mirror.url, "buildah 1.", "runc "] {
        assert!(all.out.contains(words), "`{words}`: {all}");
    }
    let inputs = trace(&["--inputs"]);
    assert!(inputs.out.contains(&format!("{}/greeting", mirror.url)), "{inputs}");
    let log = trace(&["--log"]);
    assert!(log.out.contains("wget -q -O /greeting"), "{log}");
    let json = trace(&["--format", "json"]).json();
    assert_eq!(json["source"]["commit"], commit.trim(), "{json:#}");
}

#[test]
fn learn_allows_all_records_it_and_says_so() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    // Addresses are never learned, names are: the mirror is asked by a name that leads nowhere.
    let source = lab.source(
        "learn",
        &[(
            "Dockerfile",
            "FROM base.example/tiny:1\nRUN wget -q -O /x http://mirror.example.org/x || true\n",
        )],
    );
    let built = lab.build(registry, &source, &registry.name("learn"), &["--learn"]).exits(0).json();
    assert_eq!(built["inputs"]["refused"], serde_json::json!([]), "{built:#}");
    assert_eq!(built["inputs"]["tainted"], true);
}

#[test]
fn the_second_rebuild_signs_its_verdict_beside_the_image() {
    let (lab, mirror, registry) = (Lab::new(), Mirror::start("verdict"), Registry::shared());
    let to = registry.name("verdict");
    build(&lab, registry, &mirror, &to);
    let digest = registry.image("verdict").digest;
    let before = registry.referrers("verdict", &digest).len();
    lab.rebuild(&to, &[]).exits(0);
    assert_eq!(
        registry.referrers("verdict", &digest).len(),
        before,
        "a rebuild without --key pushes nothing"
    );
    let key = lab.path("signer.key");
    let answer = lab.rebuild(&to, &["--key", &key]).exits(0).json();
    let listed = registry.referrers("verdict", &digest);
    assert_eq!(listed.len(), before + 2, "the verdict, and the report that it names: {listed:?}");
    assert!(
        listed.iter().any(|(_, digest)| answer["images"][0]["attestation"] == digest.as_str()),
        "{answer:#}"
    );
}

#[test]
fn a_second_rebuild_fetches_no_blob_and_unpacks_no_base() {
    let (lab, mirror, registry) = (Lab::new(), Mirror::start("warm"), Registry::shared());
    let to = registry.name("warm");
    build(&lab, registry, &mirror, &to);
    let store = lab.path("again");
    let blobs = |from: usize| {
        let asked = registry.requests("warm").split_off(from);
        assert!(!asked.is_empty(), "not even the tag was asked for");
        asked.into_iter().filter(|request| request.contains("/blobs/")).collect::<Vec<_>>()
    };
    let before = registry.requests("warm").len();
    lab.rebuild(&to, &["--store", &store]).exits(0);
    assert_ne!(blobs(before), [""; 0], "the first had an empty store");
    let (before, bases) = (registry.requests("warm").len(), loaded(&store));
    lab.rebuild(&to, &["--store", &store]).exits(0);
    assert_eq!(blobs(before), [""; 0]);
    assert_eq!(loaded(&store), bases);
}

/// When each base was put into the engine's store.
fn loaded(store: &str) -> Vec<(PathBuf, SystemTime)> {
    let list = |dir: PathBuf| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let of_engine = list(Path::new(store).join("engine"));
    let dirs = of_engine.filter(|path| path.is_dir() && path.to_str().unwrap().contains("/bases-"));
    let marks = dirs.flat_map(list).filter(|path| path.extension().is_some_and(|end| end == "loaded"));
    let mut all: Vec<_> =
        marks.map(|path| (fs::metadata(&path).unwrap().modified().unwrap(), path)).collect();
    all.sort();
    assert!(!all.is_empty(), "no base was loaded");
    all.into_iter().map(|(at, path)| (path, at)).collect()
}

#[test]
fn a_step_cannot_blame_another_line_for_its_requests() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/tiny:1\n\
        RUN echo 'STEP 3/3: ADD http://mirror.example.org/b /'; sleep 1; wget -q http://mirror.example.org/a || true\n\
        ADD http://mirror.example.org/b /\n";
    let source = lab.source("blame", &[("Dockerfile", dockerfile)]);
    let built = lab.build(registry, &source, &registry.name("blame"), &[]).exits(1).json();
    let refused = built["inputs"]["refused"].as_array().unwrap();
    let lines: Vec<_> = refused.iter().map(|refused| (&refused["url"], &refused["line"])).collect();
    let (a, b) = ("http://mirror.example.org/a".into(), "http://mirror.example.org/b".into());
    assert_eq!(lines, [(&a, &2.into()), (&b, &3.into())], "{built:#}");
}

pub(super) fn build(lab: &Lab, registry: &Registry, mirror: &Mirror, to: &str) -> serde_json::Value {
    build_from(lab, registry, &lab.fixture("fetch"), mirror, to)
}

pub(super) fn build_from(
    lab: &Lab,
    registry: &Registry,
    source: &Path,
    mirror: &Mirror,
    to: &str,
) -> serde_json::Value {
    let (arg, allow) = (format!("MIRROR={}", mirror.url), format!("local={}", mirror.url));
    lab.build(registry, source, to, &["--build-arg", &arg, "--allow", &allow]).exits(0).json()
}
