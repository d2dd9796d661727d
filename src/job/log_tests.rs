use std::{fs, path::Path};

use super::*;
use crate::{
    job::track::{Reach, Tracked},
    model::Secret,
    progress::Silent,
};

/// A build in the making; its directory, and what the shim would write to.
struct Scene {
    dir: tempfile::TempDir,
    store: Store,
    log: Log,
}

impl Scene {
    fn new(size_bytes_max: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let live = store.begin_log("0a", b"{}").unwrap();
        fs::create_dir(dir.path().join("profile")).unwrap();
        fs::write(dir.path().join("profile/steps"), "").unwrap();
        let step =
            |line, text: &str, reach| Tracked { instruction: Instruction { line, text: text.into() }, reach };
        let run = |line, command: &str| step(line, &format!("RUN {command}"), Reach::Command(command.into()));
        let tracker =
            Tracker::new(vec![vec![step(1, "FROM a", Reach::Nothing), run(2, "one"), run(3, "two")]]);
        let announcements = crate::buildroot::Announcements::of(dir.path());
        let secrets = [("id".to_owned(), Secret::new("s3cret"))].into();
        let log = Log::start((&store, &live), size_bytes_max, (Arc::new(tracker), announcements), &secrets)
            .unwrap();
        Self { dir, store, log }
    }

    fn says(&mut self, line: &str) {
        self.log.line(line.as_bytes(), &Silent).unwrap();
    }

    fn announces(&self, line: &str) {
        let path: &Path = &self.dir.path().join("profile/steps");
        let mut file = File::options().append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// Kind, line and text of all events.
    fn events(mut self) -> Vec<String> {
        let kept = self.log.end(&now("ended"), &Silent).unwrap();
        let text = String::from_utf8(self.store.read(&kept.digest, 1 << 20).unwrap()).unwrap();
        let shown = |line: &str| {
            let event = Event::parse(line.as_bytes()).unwrap();
            let line = event.line.map(|line| format!(" {line}")).unwrap_or_default();
            let more = event.text.or(event.url).or(event.protocol).map(|text| format!(" {text}"));
            format!("{}{line}{}", event.kind, more.unwrap_or_default())
        };
        text.lines().map(shown).collect()
    }
}

const ONE: &str = r#"{"args":["sh","one"],"strays":{"ipv4":1,"ipv6":0,"udp":0},"mounts":["/x"]}"#;
const TWO: &str = r#"{"args":["sh","two"],"strays":{"ipv4":3,"ipv6":0,"udp":1},"mounts":[]}"#;
const END_OF_ONE: &str = r#"{"ended":true,"strays":{"ipv4":3,"ipv6":0,"udp":1}}"#;
const END_OF_TWO: &str = r#"{"ended":true,"strays":{"ipv4":3,"ipv6":0,"udp":1}}"#;

const ORDERED: [&str; 14] = [
    "output 2 STEP 2/3: RUN one",
    "step-began 2",
    "output 2 of one",
    "cut-off 2 ipv4",
    "cut-off 2 udp",
    "step-ended 2",
    "output 2 --> 0123456789a",
    "step 3",
    "output 3 STEP 3/3: RUN two",
    "step-began 3",
    "output 3 STEP 2/3: RUN one",
    "output 3 of two",
    "step-ended 3",
    "ended",
];

#[test]
fn announcements_find_their_place_among_the_lines() {
    let mut scene = Scene::new(1 << 20);
    scene.says("STEP 2/3: RUN one\n");
    scene.announces(ONE);
    scene.says("of one\n");
    scene.announces(END_OF_ONE);
    scene.says("--> 0123456789a\n");
    scene.says("STEP 3/3: RUN two\n");
    scene.announces(TWO);
    scene.says("STEP 2/3: RUN one\n"); // Printed by the step.
    scene.says("of two\n");
    scene.announces(END_OF_TWO);
    assert_eq!(scene.log.mounts, ["/x".to_owned()].into());
    let events = scene.events();
    assert_eq!(events[0], "step 2");
    assert_eq!(&events[1..], ORDERED);
}

#[test]
fn output_that_comes_late_is_the_steps_that_printed_it() {
    let mut scene = Scene::new(1 << 20);
    scene.says("STEP 2/3: RUN one\n");
    for line in [ONE, END_OF_ONE, TWO, END_OF_TWO] {
        scene.announces(line);
    }
    for line in ["of one\n", "--> 0123456789a\n", "STEP 3/3: RUN two\n", "of two\n"] {
        scene.says(line);
    }
    let mut expected = ORDERED.to_vec();
    expected.retain(|event| *event != "output 3 STEP 2/3: RUN one");
    assert_eq!(&scene.events()[1..], expected);
}

#[test]
fn a_full_log_says_so_and_keeps_no_more() {
    let written = |size_bytes_max: u64, lines: &[&str]| {
        let mut scene = Scene::new(size_bytes_max);
        for line in lines {
            scene.says(line);
        }
        scene.log.finish(&Silent).unwrap();
        let text = scene.store.read(&scene.log.kept.digest, 1 << 20).unwrap();
        assert_eq!(text.len() as u64, scene.log.kept.size);
        (String::from_utf8(text).unwrap(), scene.log.truncated, scene.log.tail.text())
    };
    let lines = ["twelve bytes\n", "and twelve more\n", "c\n"];
    assert_eq!(written(100, &lines), (lines.concat(), false, lines.concat().trim().to_owned()));
    let cut = format!("{}reprov: the log is full; the rest was not kept\n", lines[0]);
    assert_eq!(written(20, &lines), (cut, true, lines.concat().trim().to_owned()));
}

#[test]
fn a_long_instruction_is_known_by_its_beginning() {
    let text = format!("RUN {}é", "x".repeat(EVENT_STEP_SIZE_BYTES_MAX - 5));
    assert_eq!(short(&text), format!("{}…", &text[..EVENT_STEP_SIZE_BYTES_MAX - 1]));
    assert_eq!(short("RUN é"), "RUN é");
}

#[test]
fn secrets_are_in_neither() {
    let mut scene = Scene::new(1 << 20);
    scene.says("it is s3cret\n");
    let url = Some("http://mirror.example.org/s3cret".to_owned());
    assert!(scene.log.event(&Event { url, ..now("refused") }));
    scene.says("s3c");
    scene.log.finish(&Silent).unwrap();
    let kept = scene.log.kept.digest;
    assert_eq!(scene.store.read(&kept, 100).unwrap(), b"it is ***\ns3c");
    let events = scene.events();
    assert_eq!(events, ["output it is ***", "refused http://mirror.example.org/***", "output s3c", "ended"]);
}

/// The end of a step may be known before its last words are read; they are its own all the same.
#[test]
fn the_last_words_of_a_step_are_not_the_engines() {
    for mine in ["STEP 3/9: RUN two\n", "STEP 1/3: FROM a\n", "[9/9] STEP 2/7: RUN x\n"] {
        let mut scene = Scene::new(1 << 20);
        scene.says("STEP 2/3: RUN one\n");
        scene.announces(ONE);
        scene.says("of one\n");
        scene.announces(END_OF_ONE);
        scene.says(mine);
        scene.says("--> 0123456789a\n");
        scene.says("STEP 3/3: RUN two\n");
        scene.announces(TWO);
        scene.says("of two\n");
        scene.announces(END_OF_TWO);
        let events = scene.events();
        let mine = format!("output 2 {}", mine.trim_end());
        assert!(events.contains(&mine), "{events:#?}");
        let without: Vec<_> = events.into_iter().skip(1).filter(|event| *event != mine).collect();
        let expected = ORDERED.iter().filter(|event| **event != "output 3 STEP 2/3: RUN one");
        assert_eq!(without, expected.copied().collect::<Vec<_>>());
    }
}
