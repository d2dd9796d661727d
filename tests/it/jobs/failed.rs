//! What a build leaves that made no image: verified, altered, pushed, found again, cleaned up.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::log::{events, logs};
use crate::support::{Lab, Ran, Registry, must};

/// A build whose third line is `step`, with `--log-dir logs`.
fn build(lab: &Lab, name: &str, step: &str, more: &[&str]) -> Ran {
    let registry = Registry::shared();
    let dockerfile = format!("FROM base.example/tiny:1\nRUN true\nRUN {step}\n");
    let source = lab.source(name, &[("Dockerfile", &dockerfile)]);
    let dir = lab.path("logs");
    lab.build(registry, &source, &registry.name(name), &[&["--log-dir", &dir], more].concat())
}

fn names(dir: &str) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn trace(lab: &Lab, what: &str, more: &[&str]) -> Ran {
    let (store, key) = (lab.path("empty"), lab.path("signer.pub"));
    let trust = if more.contains(&"--trust") { &[][..] } else { &["--trust", &key] };
    lab.reprov(&[&["trace", what, "--store", &store], trust, more].concat())
}

#[test]
fn a_failed_build_leaves_a_log_that_can_be_verified() {
    let lab = Lab::new();
    let ran = build(&lab, "left", "echo last words; exit 7", &[]).exits(1);
    let answer = ran.json();
    let (build, dir) = (answer["build"].as_str().unwrap()[..12].to_owned(), lab.path("logs"));
    let name = |end: &str| format!("build-{build}.{end}");
    assert_eq!(names(&dir), [name("events.jsonl"), name("log"), name("statement.json")]);
    let statement = format!("{dir}/{}", name("statement.json"));
    let log = format!("{dir}/{}", name("log"));
    assert_eq!((&answer["left"]["path"], &answer["log"]["path"]), (&json!(statement), &json!(log)));
    assert_eq!((&answer["left"]["signed"], &answer["left"]["pushed"]), (&json!(true), &Value::Null));
    assert!(ran.err.contains(&format!("log: {log}\n")) && ran.err.contains(&statement), "{ran}");

    let found = trace(&lab, &statement, &["--failed", "--format", "json"]).exits(0).json();
    assert_eq!(found["verified"], true, "{found:#}");
    assert_eq!((&found["exit_code"], &found["instruction"]["line"]), (&json!(7), &json!(3)), "{found:#}");
    assert_eq!((&found["build"], &found["log"]), (&answer["build"], &answer["log"]["digest"]));
    assert_eq!(
        (&found["statement"], &found["definition"]),
        (&answer["left"]["statement"], &answer["definition"])
    );
    assert_eq!(found["to"], Registry::shared().name("left"));
    assert_eq!(found["source"]["commit"].as_str().unwrap().len(), 40);
    assert_eq!(
        trace(&lab, &statement, &["--failed", "--log"]).exits(0).out,
        fs::read_to_string(&log).unwrap()
    );
    let events = events(&trace(&lab, &statement, &["--failed", "--events"]).exits(0).out);
    let last = events.last().unwrap();
    assert_eq!(
        (&last["kind"], &last["outcome"], &last["exit"]),
        (&json!("ended"), &json!("failed"), &json!(7))
    );
    assert_eq!(last["line"], 3);
    // The store has the same.
    let kept = lab.path(&format!("store/logs/{}/statement.json", answer["build"].as_str().unwrap()));
    trace(&lab, &kept, &["--failed"]).exits(0).says("verified").says("exit code   7");

    lab.reprov(&["key", "generate", "--out", &lab.path("other")]).exits(0);
    let other = lab.path("other.pub");
    trace(&lab, &statement, &["--failed", "--trust", &other]).exits(1).says("no signature by a trusted key");
    for end in ["log", "events.jsonl"] {
        let (path, text) = (format!("{dir}/{}", name(end)), "altered");
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, text).unwrap();
        trace(&lab, &statement, &["--failed"]).exits(1).says("was altered");
        fs::remove_file(&path).unwrap();
        trace(&lab, &statement, &["--failed"]).exits(3);
        fs::write(&path, whole).unwrap();
    }
    let bundle: Value = serde_json::from_str(&fs::read_to_string(&statement).unwrap()).unwrap();
    let mut bundle = bundle;
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap().replacen('A', "B", 1);
    bundle["dsseEnvelope"]["payload"] = payload.into();
    fs::remove_file(&statement).unwrap();
    fs::write(&statement, bundle.to_string()).unwrap();
    trace(&lab, &statement, &["--failed"]).exits(1).says("no signature by a trusted key");
}

#[test]
fn what_cannot_be_copied_is_in_the_store() {
    let lab = Lab::new();
    fs::write(lab.path("logs"), "no directory").unwrap();
    let ran = build(&lab, "uncopied", "exit 7", &[]).exits(1).says("--log-dir: ");
    let answer = ran.json();
    let dir = lab.path(&format!("store/logs/{}", answer["build"].as_str().unwrap()));
    assert_eq!(answer["left"]["path"], format!("{dir}/statement.json"), "{answer:#}");
    let log = fs::read_to_string(answer["log"]["path"].as_str().unwrap()).unwrap();
    assert!(log.contains("exit 7"), "{log}");
    let outcome: Value = serde_json::from_slice(&fs::read(format!("{dir}/outcome.json")).unwrap()).unwrap();
    assert_eq!(outcome["outcome"], "failed");
    lab.reprov(&["store", "prune", "--store", &lab.path("store")]).exits(0);
    assert!(Path::new(&dir).is_dir(), "it was not killed");
}

#[test]
fn without_a_key_nothing_can_be_verified() {
    let lab = Lab::ordinary();
    let answer = build(&lab, "unsigned", "false", &["--no-sign"]).exits(1).json();
    let path = answer["left"]["path"].as_str().unwrap();
    assert!(path.ends_with(".statement.unsigned.json"), "{answer:#}");
    let (store, key) = (lab.path("empty"), lab.path("signer.pub"));
    lab.reprov(&["trace", path, "--failed", "--store", &store]).exits(0).says("NOT SIGNED");
    lab.reprov(&["trace", path, "--failed", "--store", &store, "--trust", &key])
        .exits(1)
        .says("is not signed");
}

#[test]
fn refusals_and_limits_are_told() {
    let lab = Lab::new();
    let read =
        |answer: &Value| events(&fs::read_to_string(answer["events"]["path"].as_str().unwrap()).unwrap());
    let find = |events: &[Value], kind: &str| {
        events
            .iter()
            .find(|event| event["kind"] == kind)
            .unwrap_or_else(|| panic!("{kind}: {events:#?}"))
            .clone()
    };
    let answer =
        build(&lab, "refusal", "wget -q -O- http://not-allowed.example.org/x; true", &[]).exits(1).json();
    let refused = find(&read(&answer), "refused");
    assert_eq!((&refused["line"], &refused["method"]), (&json!(3), &json!("GET")));
    let found = trace(&lab, answer["left"]["path"].as_str().unwrap(), &["--failed", "--format", "json"]);
    assert_eq!(found.exits(0).json()["refused"], 1);

    let step = "dd if=/dev/zero of=/dev/null bs=300M count=100000";
    let answer = build(&lab, "limit", step, &["--max-memory", "192M"]).exits(1).json();
    let exceeded = find(&read(&answer), "exceeded");
    assert_eq!((&exceeded["limit"], &exceeded["allowed"]), (&json!("memory"), &json!(192 << 20)));
    assert_eq!(exceeded["line"], 3);
    let found = trace(&lab, answer["left"]["path"].as_str().unwrap(), &["--failed", "--format", "json"]);
    assert_eq!(found.exits(0).json()["limit"]["limit"], "memory");

    // They stay as long as a blob would, and go with the store.
    assert_eq!(logs(&lab).len(), 2);
    must(
        Command::new("touch")
            .args(["-d", "40 days ago"])
            .arg(lab.path(&format!("store/logs/{}", logs(&lab)[0]))),
    );
    let store = lab.path("store");
    lab.reprov(&["store", "prune", "--store", &store]).exits(0);
    assert_eq!(logs(&lab).len(), 2);
    lab.reprov(&["store", "gc", "--store", &store]).exits(0);
    assert_eq!(logs(&lab).len(), 1);
    lab.reprov(&["store", "rm", "--store", &store]).exits(0);
    assert!(!Path::new(&store).exists());
}

#[test]
fn a_failed_build_is_pushed_under_names_of_its_own() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let to = registry.name("pushed");
    build(&lab, "pushed", "true", &["--push-log"]).exits(0);
    let good = registry.tag("pushed", "1");
    assert_eq!(registry.tag("pushed", "1.failed"), None);
    trace(&lab, &to, &["--failed"]).exits(3);
    let source = lab.source("fails", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo why; exit 9\n")]);
    let ran = lab.build(registry, &source, &to, &["--push-log"]).exits(1);
    let answer = ran.json();
    let pushed = answer["left"]["pushed"].as_str().unwrap().to_owned();
    let own = format!("1.failed-{}", &answer["build"].as_str().unwrap()[..12]);
    assert!(pushed.contains(&format!("pushed:{own}@sha256:")), "{ran}");
    assert_eq!(registry.tag("pushed", "1"), good, "the image's own tag moved");
    assert!(good.is_some() && registry.tag("pushed", "1.failed") == registry.tag("pushed", &own));

    for (name, more) in [(to.as_str(), &["--failed"][..]), (&pushed, &[]), (&pushed, &["--failed"])] {
        let found = trace(&lab, name, &[more, &["--format", "json"]].concat()).exits(0).json();
        assert_eq!((&found["exit_code"], &found["build"]), (&json!(9), &answer["build"]), "{found:#}");
        assert_eq!(found["verified"], true);
    }
    trace(&lab, &to, &["--failed", "--log"]).exits(0).says("why\n");
    trace(&lab, &to, &["--failed", "--inputs"]).exits(2);
    trace(&lab, &to, &[]).exits(0);
    registry.spoil(answer["log"]["digest"].as_str().unwrap());
    fs::remove_dir_all(lab.path("empty")).unwrap();
    let ran = trace(&lab, &to, &["--failed", "--log"]).exits(3);
    assert_eq!(ran.out, "", "{ran}");

    let layout = format!("oci:{}:app", lab.path("layout"));
    lab.build(registry, &source, &layout, &["--push-log"]).exits(1);
    trace(&lab, &layout, &["--failed", "--log"]).exits(0).says("why\n");
    lab.reprov(&["trace", &layout]).exits(3);
}
