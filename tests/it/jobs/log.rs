//! The log of a build that made an image: as it was printed, and as events of all that happened.

use std::fs;

use serde_json::Value;

use crate::support::{Lab, Mirror, Registry, sha256};

/// The lines of an event log.
pub(super) fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// Kinds of the events of one line of the Dockerfile, in order, repetitions once.
fn kinds(events: &[Value], line: u64) -> Vec<&str> {
    let of_line = events.iter().filter(|event| event["line"] == line);
    let mut kinds: Vec<_> = of_line.map(|event| event["kind"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

/// How often what went around the proxy on that line, by protocol.
fn cut_off(events: &[Value], line: u64, protocol: &str) -> u64 {
    let here = |event: &&Value| event["kind"] == "cut-off" && event["line"] == line;
    let found = events.iter().filter(here).find(|event| event["protocol"] == protocol);
    found.map_or(0, |event| event["count"].as_u64().unwrap())
}

const DOCKERFILE: &str = "FROM base.example/tiny:1
ARG URL
RUN echo said; printf 'no text \\377, a bell \\007, an escape \\033[31m\\n'; echo 'STEP 6/9: RUN mine'
RUN wget -q -O /greeting $URL/greeting
RUN nc -w 1 192.0.2.1 80 </dev/null; nslookup mirror.example.org 192.0.2.1; true
RUN nc -w 1 2001:db8::1 80 </dev/null; true
RUN nslookup mirror.example.org 127.0.0.1; true
RUN wget -q -O- http://not-allowed.example.org/x; true
RUN head -c 100000 /dev/zero | tr '\\0' x; echo; true
COPY Dockerfile /copy
";

#[test]
fn all_that_happened_is_in_the_events() {
    for (lab, name) in [(Lab::new(), "events"), (Lab::ordinary(), "events-user")] {
        let (registry, mirror) = (Registry::shared(), Mirror::start(name));
        let recipe = "[build]\non-refused = \"record\"\n";
        let source = lab.source("app", &[("Dockerfile", DOCKERFILE), ("reprov.toml", recipe)]);
        let (to, arg) = (registry.name(name), format!("URL={}", mirror.url));
        let allow = format!("local={}", mirror.url);
        let more = ["--build-arg", arg.as_str(), "--allow", allow.as_str()];
        let built = lab.build(registry, &source, &to, &more).exits(0).json();

        let trust = lab.path("signer.pub");
        let trace = |more: &[&str]| {
            let store = lab.path("empty");
            lab.reprov(&[&["trace", &to, "--trust", &trust, "--store", &store], more].concat())
        };
        let text = trace(&["--events"]).exits(0).out;
        assert_eq!(sha256(text.as_bytes()), built["events"]["digest"].as_str().unwrap());
        assert_eq!(trace(&["--log", "--format", "json"]).exits(0).out, text);
        let events = events(&text);
        let shown = || format!("{text}\n{built:#}");

        assert_eq!(events[0]["kind"], "began");
        assert_eq!((&events[0]["build"], &events[0]["image"]), (&built["build"], &to.clone().into()));
        let memory = |event: &&Value| event["kind"] == "limit" && event["limit"] == "memory";
        let memory = events.iter().find(memory).unwrap_or_else(|| panic!("{}", shown()));
        assert_eq!(memory["allowed"], built["limits"]["memory_bytes"]);
        let cage = events.iter().find(|event| event["kind"] == "cage").unwrap();
        assert_eq!(cage["mode"], "host");
        assert!(cage["namespaces"].as_array().unwrap().contains(&"net".into()), "{cage}");
        assert!(cage["ids"][0].as_u64().is_some(), "{cage}");

        let quiet = ["step", "output", "step-began", "output", "step-ended"];
        assert_eq!(kinds(&events, 3), quiet, "{}", shown());
        let fetched = ["step", "output", "step-began", "fetched", "step-ended"];
        assert_eq!(kinds(&events, 4), fetched, "{}", shown());
        let fetched = events.iter().find(|event| event["kind"] == "fetched").unwrap();
        assert_eq!((&fetched["line"], &fetched["status"]), (&4.into(), &200.into()));
        assert!(kinds(&events, 5).contains(&"cut-off"), "{}", shown());
        assert_eq!(kinds(&events, 10), ["step", "output"], "{}", shown());
        let refused = events.iter().find(|event| event["kind"] == "refused").unwrap();
        assert_eq!(
            (&refused["line"], &refused["url"]),
            (&8.into(), &"http://not-allowed.example.org/x".into())
        );

        // Each in the step that did it, and in no other.
        for (protocol, line, least) in [("ipv4", 5, 2), ("ipv6", 6, 1), ("udp", 7, 1)] {
            assert!(cut_off(&events, line, protocol) >= least, "{protocol}: {}", shown());
            let elsewhere: u64 =
                (1..=10).filter(|other| *other != line).map(|line| cut_off(&events, line, protocol)).sum();
            assert_eq!(elsewhere, 0, "{protocol}: {}", shown());
        }

        let output = |wanted: &str| {
            let here = |event: &&Value| event["text"].as_str().is_some_and(|text| text.starts_with(wanted));
            events.iter().find(here).unwrap_or_else(|| panic!("{wanted}: {}", shown()))
        };
        assert_eq!(output("no text")["text"], "no text \u{fffd}, a bell \u{7}, an escape \u{1b}[31m");
        assert_eq!((&output("STEP 6/9")["kind"], &output("STEP 6/9")["line"]), (&"output".into(), &3.into()));
        assert!(output("xxxx")["cut"].as_u64().unwrap() > 10_000, "{}", shown());
        let last = events.last().unwrap();
        assert_eq!((&last["kind"], &last["outcome"]), (&"ended".into(), &"built".into()));
        assert_eq!(last["image"], built["manifest"]);

        let of_line = self::events(&trace(&["--events", "--line", "4"]).exits(0).out);
        assert_eq!(of_line.len(), events.iter().filter(|event| event["line"] == 4).count());
        assert!(of_line.iter().all(|event| event["line"] == 4));
        let log = trace(&["--log"]).exits(0).out;
        assert!(log.contains("said\n") && log.contains("an escape \u{1b}[31m"), "{log}");
        let answer = trace(&["--format", "json"]).exits(0).json();
        assert_eq!(answer["events"], built["events"]["digest"]);
        assert!(!fs::exists(lab.path("store/logs")).unwrap() || logs(&lab).is_empty(), "the image has it");
    }
}

/// Names of the log directories in the lab's store.
pub(super) fn logs(lab: &Lab) -> Vec<String> {
    let entries = fs::read_dir(lab.path("store/logs")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn a_log_that_was_altered_is_not_shown() {
    let lab = Lab::new();
    let registry = Registry::shared();
    let source = lab.source("app", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo of altered\n")]);
    let to = registry.name("altered-log");
    let built = lab.build(registry, &source, &to, &[]).exits(0).json();
    for (flag, kind) in [("--log", "log"), ("--events", "events")] {
        registry.spoil(built[kind]["digest"].as_str().unwrap());
        let store = lab.path(kind);
        let ran = lab.reprov(&["trace", &to, "--store", &store, flag]).exits(3);
        assert_eq!(ran.out, "", "{ran}");
    }
}

#[test]
fn a_rebuild_has_a_log_and_events_in_the_store() {
    let lab = Lab::new();
    let registry = Registry::shared();
    let source = lab.source("app", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo again\n")]);
    let to = registry.name("rebuild-log");
    lab.build(registry, &source, &to, &[]).exits(0);
    let store = lab.path("store");
    let ran = lab.rebuild(&to, &["--store", &store]).exits(0);
    let image = ran.json()["images"][0].clone();
    let blob = |kind: &str| {
        let digest = image[kind]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        fs::read_to_string(lab.path(&format!("store/blobs/sha256/{digest}"))).unwrap()
    };
    assert!(blob("log").contains("again\n"));
    let events = events(&blob("events"));
    assert_eq!(events[0]["build"], image["build"]);
    assert_eq!(events.last().unwrap()["outcome"], "built");
    assert!(ran.err.contains(&image["build"].as_str().unwrap()[..12]), "{ran}");
    assert_eq!(logs(&lab), [""; 0]);
}
