//! What goes wrong while something runs.

use std::{
    path::Path,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Lab, Registry};

#[test]
fn a_refused_request_fails_the_build_with_its_line() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let ran = lab.build(registry, &lab.fixture("refused"), &registry.name("refused"), &[]).exits(1);
    let answer = ran.json();
    assert!(answer["image"].is_null(), "{ran}");
    let refused = &answer["inputs"]["refused"][0];
    assert_eq!(
        (&refused["url"], &refused["line"]),
        (&"http://registry.example.org/stolen".into(), &4.into()),
        "{ran}"
    );
    assert!(ran.err.contains("http://registry.example.org/stolen") && ran.err.contains('4'), "{ran}");
    assert_eq!(registry.tag("refused", "1"), None);
}

#[test]
fn a_refusal_that_the_recipe_only_records() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile =
        "FROM base.example/tiny:1\nRUN wget -q -O /x http://registry.example.org/x || echo no > /x\n";
    let files = [("Dockerfile", dockerfile), ("reprov.toml", "[build]\non-refused = \"record\"\n")];
    let source = lab.source("recorded", &files);
    let to = registry.name("recorded");
    let built = lab.build(registry, &source, &to, &[]).exits(0).json();
    assert_eq!(built["inputs"]["tainted"], true, "{built:#}");
    assert_eq!(lab.rebuild(&to, &[]).exits(0).json()["images"][0]["verdict"], "reproduced");
}

#[test]
fn a_failing_step_shows_its_last_words() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/tiny:1\nRUN true\nRUN echo last words; echo to stderr >&2; exit 7\n";
    let source = lab.source("failing", &[("Dockerfile", dockerfile)]);
    let ran = lab.build(registry, &source, &registry.name("failing"), &[]).exits(1);
    for words in ["last words", "to stderr", "line 3", "log: "] {
        assert!(ran.err.contains(words), "`{words}`: {ran}");
    }
    assert!(ran.json()["image"].is_null());
    assert_eq!(registry.tag("failing", "1"), None);
    let log = ran.json()["log"]["digest"].as_str().unwrap().to_owned();
    assert!(log.starts_with("sha256:"), "{ran}");
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn a_step_that_hangs_meets_the_timeout() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("hangs", &[("Dockerfile", "FROM base.example/tiny:1\nRUN sleep 600\n")]);
    let ran = lab.build(registry, &source, &registry.name("hangs"), &["--timeout", "3s"]).exits(1);
    assert!(ran.err.contains("3s") || ran.err.contains("3 s") || ran.err.contains("time"), "{ran}");
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn a_process_that_outlives_its_step_does_not_outlive_the_build() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = format!(
        "FROM base.example/tiny:1\nRUN nohup sh -c 'sleep 600; : {}' >/dev/null 2>&1 &\nRUN true\n",
        lab.path("outlives")
    );
    let source = lab.source("outlives", &[("Dockerfile", &dockerfile)]);
    lab.build(registry, &source, &registry.name("outlives"), &[]).exits(0);
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn an_interrupt_leaves_nothing() {
    interrupted(Signal::INT, "interrupted");
}

#[test]
fn a_termination_leaves_nothing() {
    interrupted(Signal::TERM, "terminated");
}

fn interrupted(signal: Signal, repository: &str) {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/tiny:1\nRUN echo it runs; sleep 600\n";
    let source = lab.source(repository, &[("Dockerfile", dockerfile)]);
    let child = start(&lab, &source, &registry.name(repository));
    // Once the step runs, its own directory and processes are there.
    wait_for("the step to run", || {
        lab.leftovers().iter().any(|line| line.contains("sleep 600") || line.contains("/b-"))
    });
    thread::sleep(Duration::from_secs(2));
    kill_process(Pid::from_child(&child), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        matches!(output.status.code(), Some(1 | 3)),
        "{:?}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(registry.tag(repository, "1"), None);
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn a_killed_build_is_cleaned_up_by_the_next() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let slow = lab.source("killed", &[("Dockerfile", "FROM base.example/tiny:1\nRUN sleep 600\n")]);
    let mut child = start(&lab, &slow, &registry.name("killed"));
    wait_for("the build's directory", || !lab.leftovers().is_empty());
    thread::sleep(Duration::from_secs(3));
    child.kill().unwrap();
    child.wait().unwrap();
    let quick = lab.source("next", &[("Dockerfile", "FROM base.example/tiny:1\nRUN true\n")]);
    lab.build(registry, &quick, &registry.name("next"), &[]).exits(0);
    assert_eq!(lab.leftovers(), [""; 0]);
}

fn start(lab: &Lab, source: &Path, to: &str) -> Child {
    let mut command = lab.command(lab.program());
    let swap = format!("base.example/tiny:1={}", crate::support::Base::Tiny.used(Registry::shared()));
    command.args(["build", source.to_str().unwrap(), "--tag", to, "--no-sign", "--from", &swap]);
    command.args(["--store", &lab.path("store")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_for(what: &str, there: impl Fn() -> bool) {
    for _ in 0..600 {
        if there() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("waited a minute for {what}");
}

#[test]
fn two_builds_at_once_to_one_tag_and_one_store() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let to = registry.name("twice");
    let sources = ["one", "two"].map(|word| {
        let dockerfile = format!("FROM base.example/tiny:1\nRUN echo {word} > /word\n");
        lab.source(word, &[("Dockerfile", &dockerfile)])
    });
    let built: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> =
            sources.iter().map(|source| scope.spawn(|| lab.build(registry, source, &to, &[]))).collect();
        running.into_iter().map(|thread| thread.join().unwrap().exits(0).json()).collect()
    });
    let digests: Vec<_> =
        built.iter().map(|answer| answer["manifest"].as_str().unwrap().to_owned()).collect();
    assert_ne!(digests[0], digests[1]);
    let tagged = registry.tag("twice", "1").unwrap();
    assert!(digests.contains(&tagged));
    let both: Vec<_> = built.iter().map(|answer| answer["image"].as_str().unwrap()).collect();
    let answer = lab.rebuild(both[0], &[both[1]]).exits(0).json();
    assert_eq!(answer["summary"]["reproduced"], 2, "{answer:#}");
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn a_hostile_step_stays_inside() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/tiny:1\n\
        RUN ! wget -T 3 -q -O- http://169.254.0.1/ && ! nc -w 3 127.0.0.1 22 </dev/null\n\
        RUN ! unshare -U true 2>/dev/null && ! mount -t tmpfs none /mnt 2>/dev/null && ! mknod /disk b 8 0 2>/dev/null\n\
        RUN ! mkdir /sys/fs/cgroup/x 2>/dev/null && test \"$(ls /proc | grep -c '^[0-9]')\" -lt 12\n";
    let files = [("Dockerfile", dockerfile), ("reprov.toml", "[build]\non-refused = \"record\"\n")];
    let source = lab.source("caged", &files);
    lab.build(registry, &source, &registry.name("caged"), &[]).exits(0);
}
