//! `build --check` where replay and recording run side by side: the one stays behind the other, and goes with it.

use std::{
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::check::{build, building, ended};
use crate::support::{Lab, Mirror, Process, Ran, Registry};

/// What the replay says of itself before the recording says `words`.
#[track_caller]
fn check_beside(ran: &Ran, words: &str) {
    let at = |words: &str| ran.err.find(words).unwrap_or_else(|| panic!("`{words}` is not said: {ran}"));
    assert!(at("\ncheck: step") < at(words), "{ran}");
}

fn cores() -> usize {
    thread::available_parallelism().unwrap().get()
}

/// The files that drift by the clock, and no others.
#[track_caller]
fn check_by_clock(ran: &Ran, paths: &[&str]) {
    let answer = ran.json();
    let drifts = answer["check"]["drifts"].as_array().unwrap();
    let found: Vec<_> = drifts.iter().map(|drift| json!([drift["path"], drift["cause"]])).collect();
    let expected: Vec<_> = paths.iter().map(|path| json!([path, "clock-in-text"])).collect();
    assert_eq!(found, expected, "{ran}");
}

#[test]
fn drift_by_the_clock_shows_in_every_step_though_the_replay_downloads_nothing() {
    let (lab, mirror) = (Lab::new(), Mirror::start("beside-clock"));
    let now = "date +%FT%T%z";
    // The first is quick; the second spends its time on a download, and the replay does not; the third sleeps.
    let steps = format!(
        "RUN {now} > /a\n\
         RUN wget -q -O /x $MIRROR/package/late && {now} > /b\n\
         RUN {now} > /c && sleep 3 && {now} > /d\n\
         RUN {now} > /e\n"
    );
    let ran = build(&lab, "beside-clock", &mirror, &steps, &[]).exits(1);
    check_by_clock(&ran, &["a", "b", "c", "d", "e"]);
    assert_eq!(mirror.asked(), ["/package/late"], "{ran}");
    if cores() > 1 {
        check_beside(&ran, "\nbuild: layers");
    }
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn a_step_is_replayed_while_it_is_recorded() {
    let (lab, mirror) = (Lab::new(), Mirror::start("beside-one"));
    let now = "date +%FT%T%z";
    let steps = format!(
        "RUN {now} > /a && wget -q -O /x $MIRROR/package/x && sleep 8 && wget -q -O /y $MIRROR/package/y && {now} > /b\n"
    );
    let ran = build(&lab, "beside-one", &mirror, &steps, &[]).exits(1);
    check_by_clock(&ran, &["a", "b"]);
    assert_eq!(mirror.asked(), ["/package/x", "/package/y"], "{ran}");
    if cores() > 1 {
        check_beside(&ran, "\nbuild: layers");
        let added_s = ran.json()["check"]["cost"]["added_seconds"].as_f64().unwrap();
        let again = ran.err.contains("it runs once more"); // It caught up, on a machine under load.
        assert!(added_s < 8.0 || again, "the replay of the sleep alone takes that long: {ran}");
    }
}

#[test]
fn what_is_recorded_after_its_step_is_replayed_once_more() {
    let (lab, mirror) = (Lab::new(), Mirror::start("beside-again"));
    // The gateway takes the answer though nobody waits for it any more; a replay has it at once.
    let steps = "RUN timeout 1 wget -q -O /x $MIRROR/package/late || echo no > /x\n";
    let ran = build(&lab, "beside-again", &mirror, steps, &[]).exits(1);
    let again = ran.err.matches("it runs once more").count();
    assert_eq!(again, usize::from(cores() > 1), "{ran}");
    assert_eq!(ran.json()["check"]["undeclared_inputs"], json!([]), "{ran}");
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn what_nobody_recorded_is_no_reason_to_replay_again() {
    let (lab, mirror) = (Lab::new(), Mirror::start("beside-unknown"));
    let steps = "RUN wget -q -O /x $MIRROR/package/$(cat /proc/sys/kernel/random/uuid) || echo no > /x\nRUN sleep 9\n";
    let ran = build(&lab, "beside-unknown", &mirror, steps, &[]).exits(1);
    // A machine under load may let it catch up.
    assert!(!ran.err.contains("before the build had it"), "{ran}");
    assert_eq!(ran.json()["check"]["undeclared_inputs"].as_array().unwrap().len(), 1, "{ran}");
}

#[test]
fn a_build_of_one_quick_step_is_no_exception() {
    let (lab, mirror) = (Lab::new(), Mirror::start("beside-quick"));
    let ran = build(&lab, "beside-quick", &mirror, "RUN date +%FT%T%z > /a\n", &[]).exits(1);
    check_by_clock(&ran, &["a"]);
}

#[test]
fn what_is_not_recorded_yet_is_waited_for() {
    let (lab, mirror, registry) = (Lab::new(), Mirror::start("beside-late"), Registry::shared());
    // The engine itself fetches it, of both runs as soon as the step before is over, and knows no proxy for loopback.
    let dockerfile = "FROM base.example/tiny:1\nRUN true\nADD http://mirror.example.org/package/late /late\n\
                      RUN wget -q -O /own http://mirror.example.org/package/own\n";
    let recipe = format!(
        "[[repository]]\nname = \"local\"\nkind = \"generic\"\nurl = \"{}\"\n\
         replace = [\"http://mirror.example.org\"]\n",
        mirror.url
    );
    let source = lab.source("late", &[("Dockerfile", dockerfile), ("reprov.toml", &recipe)]);
    let ran = lab.build(registry, &source, &registry.name("beside-late"), &["--check"]).exits(0);
    let check = &ran.json()["check"];
    assert_eq!((&check["verdict"], &check["inputs"]), (&json!("reproduced"), &json!(2)), "{ran}");
    assert_eq!(check["undeclared_inputs"], json!([]), "{ran}");
    assert_eq!(mirror.asked(), ["/package/late", "/package/own"], "{ran}");
}

/// Done at once where it is recorded; the replay asks for another name, which nobody recorded, and hangs.
const HANGS: &str = "RUN wget -q -O /x $MIRROR/package/$(cat /proc/sys/kernel/random/uuid) || sleep 300\n";

#[test]
fn a_recording_that_fails_takes_its_replay_with_it() {
    let (lab, mirror) = (Lab::new(), Mirror::start("beside-failed"));
    let began = Instant::now();
    let steps = format!("{HANGS}RUN sleep 8; exit 7\n");
    let ran = build(&lab, "beside-failed", &mirror, &steps, &[]).exits(1);
    assert!(began.elapsed() < Duration::from_secs(200), "{ran}");
    assert!(ran.json()["check"].is_null(), "{ran}");
    if cores() > 1 {
        check_beside(&ran, "exit 7: the engine ended");
    }
    assert_eq!(Registry::shared().tag("beside-failed", "1"), None);
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn an_interrupt_ends_both() {
    if cores() < 2 {
        return; // One after the other.
    }
    let (lab, mirror) = (Lab::new(), Mirror::start("beside-interrupted"));
    let mut command = building(&lab, "beside-interrupted", &mirror, &format!("{HANGS}RUN sleep 301\n"), &[]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_both(&child);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    ended("beside-interrupted", child).exits(3).says("cancelled");
    assert_eq!(Registry::shared().tag("beside-interrupted", "1"), None);
    assert_eq!(lab.leftovers(), [""; 0]);
}

/// Waits until a step of the recording and one of the replay run.
fn wait_for_both(child: &Child) {
    let (own, began) = (i32::try_from(child.id()).unwrap(), Instant::now());
    loop {
        let all = Process::below(own);
        let runs = |words: &str| all.iter().any(|process| process.words.contains(words));
        if runs("sleep 301") && runs("wget -q") {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(200), "{all:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
