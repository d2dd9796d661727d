//! `build --check`: the verdict in the answer and beside the image; the image is there whatever it says.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Fault, Faulty, Lab, Mirror, Process, Ran, Registry, fixtures};

const VERDICT: &str = "https://reprov.example/rebuild/v1";

/// Builds a Dockerfile of these steps, which find a mirror at `$MIRROR`, with `--check`.
pub(super) fn build(lab: &Lab, repository: &str, mirror: &Mirror, steps: &str, more: &[&str]) -> Ran {
    Lab::run(building(lab, repository, mirror, steps, more))
}

pub(super) fn building(lab: &Lab, repository: &str, mirror: &Mirror, steps: &str, more: &[&str]) -> Command {
    let (registry, dockerfile) =
        (Registry::shared(), format!("FROM base.example/tiny:1\nARG MIRROR\n{steps}"));
    let dir = PathBuf::from(lab.path(repository));
    let source = if dir.exists() {
        dir // Built again.
    } else {
        lab.source(repository, &[("Dockerfile", &dockerfile)])
    };
    let (arg, allow) = (format!("MIRROR={}", mirror.url), format!("local={}", mirror.url));
    let more = [&["--check", "--build-arg", &arg, "--allow", &allow], more].concat();
    lab.building(registry, &source, &registry.name(repository), &more)
}

/// Digest of the referrer and statement of every signed attestation beside the tagged image.
pub(super) fn attested(repository: &str) -> Vec<(String, Value)> {
    let registry = Registry::shared();
    let image = registry.tag(repository, "1").expect("the image is tagged");
    let bundles = registry.referrers(repository, &image).into_iter();
    let bundles = bundles.filter(|(kind, _)| kind.contains("sigstore.bundle"));
    let statement = |(_, digest): (String, String)| {
        let layer = registry.blob_json(&digest)["layers"][0]["digest"].as_str().unwrap().to_owned();
        let payload = registry.blob_json(&layer)["dsseEnvelope"]["payload"].as_str().unwrap().to_owned();
        let payload = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, payload).unwrap();
        (digest, serde_json::from_slice(&payload).unwrap())
    };
    bundles.map(statement).collect()
}

/// The signed verdicts beside the tagged image.
fn verdicts(repository: &str) -> Vec<(String, Value)> {
    attested(repository).into_iter().filter(|(_, statement)| statement["predicateType"] == VERDICT).collect()
}

/// The one verdict beside the image is the answer's, and about this image and its provenance.
#[track_caller]
fn check_attested(repository: &str, answer: &Value) -> Value {
    let all = verdicts(repository);
    let [(digest, statement)] = &all[..] else { panic!("not one verdict: {all:#?}\n{answer:#}") };
    assert_eq!(answer["check"]["attestation"], digest.as_str(), "{answer:#}");
    let predicate = &statement["predicate"];
    assert_eq!(predicate["verdict"], answer["check"]["verdict"], "{answer:#}");
    assert_eq!(predicate["provenance"]["digest"], answer["provenance"]["digest"], "{statement:#}");
    let subject = statement["subject"][0]["digest"]["sha256"].as_str().unwrap();
    assert_eq!(answer["manifest"], format!("sha256:{subject}"), "{answer:#}");
    assert_eq!(Registry::shared().tag(repository, "1").as_deref(), answer["manifest"].as_str());
    predicate.clone()
}

#[test]
fn what_reproduces_is_said_at_once_and_beside_the_image() {
    for (lab, repository) in [(Lab::new(), "check-same"), (Lab::ordinary(), "check-same-user")] {
        let mirror = Mirror::start(repository);
        let steps = "RUN wget -q -O /large $MIRROR/large && sha256sum /large > /sum\nRUN date +%Y > /year\n";
        let ran = build(&lab, repository, &mirror, steps, &[]).exits(0);
        let answer = ran.json();
        let check = &answer["check"];
        assert_eq!((&check["verdict"], &check["accepted"]), (&json!("reproduced"), &json!(false)), "{ran}");
        assert_eq!(check["rebuilt"], answer["manifest"], "{ran}");
        let counts = (&check["inputs"], &check["replayed_requests"], &check["upstream_requests"]);
        assert_eq!(counts, (&json!(1), &json!(1), &json!(0)), "{ran}");
        assert_eq!(mirror.asked(), ["/large"], "the replay asks nobody");
        assert!(check["cost"]["replay_seconds"].as_f64().unwrap() > 0.0, "{ran}");
        assert_ne!(check["build"], answer["build"], "a run of its own: {ran}");
        let ours = check_attested(repository, &answer);

        // Whoever rebuilds says the same in the same shape, finds the provenance, and is not put off by a verdict.
        let (to, key) = (Registry::shared().name(repository), lab.path("signer.key"));
        let rebuilt = lab.rebuild(&to, &["--key", &key]).exits(0).json();
        assert_eq!(rebuilt["images"][0]["verdict"], "reproduced", "{rebuilt:#}");
        let all = verdicts(repository);
        let (_, theirs) = all.iter().find(|(_, statement)| statement["predicate"] != ours).unwrap();
        let fields = |predicate: &Value| -> BTreeSet<String> {
            predicate.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(fields(&ours), fields(&theirs["predicate"]));
        for same in ["verdict", "provenance", "rebuilt", "layers", "drifts", "engine", "writer", "rebuilder"]
        {
            assert_eq!(ours[same], theirs["predicate"][same], "{same}");
        }
        let (store, trust) = (lab.path("empty"), lab.path("signer.pub"));
        let traced = lab.reprov(&["trace", &to, "--trust", &trust, "--store", &store]).exits(0);
        assert!(traced.out.contains(answer["provenance"]["digest"].as_str().unwrap()), "{traced}");
        assert_eq!(lab.leftovers(), [""; 0]);
        assert_eq!(
            fs::read_dir(lab.path("store/logs")).unwrap().count(),
            0,
            "both logs are beside the image"
        );
    }
}

#[test]
fn what_drifts_is_an_image_and_a_no() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let to = registry.name("check-drift");
    let dockerfile = fs::read_to_string(fixtures("drift/Dockerfile")).unwrap();
    let source = lab.source("drift", &[("Dockerfile", &dockerfile)]);
    let ran = lab.build(registry, &source, &to, &["--check"]).exits(1);
    let answer = ran.json();
    assert_eq!(answer["check"]["verdict"], "explained", "{ran}");
    let drifts = answer["check"]["drifts"].as_array().unwrap();
    let causes: Vec<_> = drifts.iter().map(|drift| json!([drift["path"], drift["cause"]])).collect();
    let expected = [["etc/build-date", "clock-in-text"], ["etc/build-id", "random-token"]];
    assert_eq!(causes, expected.map(|pair| json!(pair)), "{ran}");
    assert!(answer["image"].is_string() && answer["error"].is_null(), "{ran}");
    let predicate = check_attested("check-drift", &answer);
    assert_eq!(predicate["drifts"]["byCause"], json!({"clock-in-text": 1, "random-token": 1}));

    let more = ["--check", "--accept", "explained", "--format", "text"];
    let ran = lab.build(registry, &source, &to, &more).exits(0);
    for words in ["check       explained, taken for a yes (--accept)", "clock-in-text", "etc/build-id"] {
        assert!(ran.out.contains(words), "`{words}`: {ran}");
    }
    let more = ["--check", "--accept", "unexplained", "--accept", "same-filesystem"];
    let ran = lab.build(registry, &source, &to, &more).exits(1);
    assert_eq!(ran.json()["check"]["accepted"], false, "{ran}");
}

#[test]
fn drift_behind_a_copy_is_followed_to_where_it_begins() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let token = "RUN od -An -N16 -tx8 /dev/urandom > /token";
    let dockerfile = format!(
        "FROM base.example/tiny:1 AS deps\nRUN echo same > /same\n{token}\nFROM base.example/tiny:1\n\
         RUN od -An -N16 -tx8 /dev/urandom > /own\nCOPY --from=deps /token /opt/token\n"
    );
    let source = lab.source("stages", &[("Dockerfile", &dockerfile)]);
    let ran = lab.build(registry, &source, &registry.name("check-stages"), &["--check"]).exits(1);
    let answer = ran.json();
    let drifts = answer["check"]["drifts"].as_array().unwrap();
    let from: Vec<_> = drifts.iter().map(|drift| json!([drift["path"], drift["from"]])).collect();
    let begins = json!({"stage": 0, "name": "deps", "instruction": {"line": 3, "text": token}});
    assert_eq!(from, [json!(["own", null]), json!(["opt/token", begins])], "{ran}");
    assert!(!ran.err.contains("is not followed"), "{ran}");
}

#[test]
fn entropy_is_no_more_than_explained() {
    let (lab, mirror) = (Lab::new(), Mirror::start("check-entropy"));
    let steps = "RUN cat /proc/sys/kernel/random/uuid > /etc/machine-id\n";
    let ran = build(&lab, "check-entropy", &mirror, steps, &["--accept", "explained"]).exits(0);
    let answer = ran.json();
    let check = &answer["check"];
    assert_eq!((&check["verdict"], &check["accepted"]), (&json!("explained"), &json!(true)), "{ran}");
    let classes: Vec<_> = check["drifts"].as_array().unwrap().iter().map(|drift| &drift["class"]).collect();
    assert_eq!(classes, ["entropy"], "{ran}");
    assert_eq!(check_attested("check-entropy", &answer)["drifts"]["byClass"]["entropy"], 1);
}

#[test]
fn a_replay_that_misses_a_file_could_not_tell() {
    let (lab, mirror) = (Lab::new(), Mirror::start("check-missing"));
    let steps = "RUN wget -q -O /x $MIRROR/package/$(cat /proc/sys/kernel/random/uuid)\n";
    let ran = build(&lab, "check-missing", &mirror, steps, &[]).exits(3);
    let answer = ran.json();
    assert_eq!(answer["check"]["verdict"], "inputs-missing", "{ran}");
    assert_eq!(answer["check"]["undeclared_inputs"].as_array().unwrap().len(), 1, "{ran}");
    assert!(answer["image"].is_string(), "{ran}");
    assert_eq!(mirror.asked().len(), 1, "{:?}", mirror.asked());
    check_attested("check-missing", &answer);
    // What the step takes in its stride changes nothing.
    let (steps, mirror) = (steps.replace('\n', " || : > /x; : > /x\n"), Mirror::start("check-missed"));
    let ran = build(&lab, "check-missed", &mirror, &steps, &[]).exits(0);
    assert_eq!(ran.json()["check"]["verdict"], "reproduced", "{ran}");
}

#[test]
fn without_a_key_the_verdict_is_in_the_answer_alone() {
    let (lab, mirror) = (Lab::new(), Mirror::start("check-unsigned"));
    let ran = build(&lab, "check-unsigned", &mirror, "RUN true\n", &["--no-sign"]).exits(0);
    let ran = ran.says("--no-sign: the verdict of --check is not attached either");
    let check = &ran.json()["check"];
    assert_eq!((&check["verdict"], &check["attestation"]), (&json!("reproduced"), &Value::Null), "{ran}");
    assert!(attested("check-unsigned").is_empty());
}

#[test]
fn without_an_image_there_is_nothing_to_check() {
    let (lab, mirror) = (Lab::new(), Mirror::start("check-failed"));
    let ran = build(&lab, "check-failed", &mirror, "RUN exit 7\n", &[]).exits(1);
    assert!(ran.json()["check"].is_null(), "{ran}");
    assert_eq!(Registry::shared().tag("check-failed", "1"), None);
    assert_eq!(lab.leftovers(), [""; 0]);
    let unchecked = ["build", ".", "--tag", "oci:x:1", "--no-sign", "--accept", "explained"];
    lab.reprov(&unchecked).exits(2).says("--check");
}

/// A step that is done at once where it is recorded, and hangs where it is replayed: it asks for a new name each time.
const HANGS: &str = "RUN wget -q -O /x $MIRROR/package/$(cat /proc/sys/kernel/random/uuid) || sleep 300\n";

#[test]
fn a_replay_of_what_cannot_be_pushed_is_stopped() {
    let (lab, repository) = (Lab::new(), "check-unpushed");
    let faulty = Faulty::before(Registry::shared(), |line, _| {
        if line.starts_with("PUT") {
            Fault::Answer("403 Forbidden", String::new(), String::new())
        } else {
            Fault::None
        }
    });
    let build = building(&lab, repository, &Mirror::start(repository), HANGS, &[]);
    let (to, through) = (Registry::shared().name(repository), faulty.name(repository));
    let mut command = lab.command(lab.program());
    command.args(build.get_args().map(|arg| if arg == to.as_str() { through.as_ref() } else { arg }));
    let began = Instant::now();
    let ran = Lab::run(command).exits(3).says("403");
    assert!(began.elapsed() < Duration::from_secs(200), "{ran}");
    assert!(ran.json()["image"].is_null() && ran.json()["check"].is_null(), "{ran}");
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn a_replay_that_is_ended_gives_no_verdict() {
    let (lab, repository) = (Lab::new(), "check-ended");
    let mirror = Mirror::start(repository);
    let ran = build(&lab, repository, &mirror, HANGS, &["--timeout", "30s"]).exits(3);
    let answer = ran.json();
    let check = &answer["check"];
    assert_eq!(
        (&check["verdict"], &check["limits"]["hit"]["limit"]),
        (&Value::Null, &json!("time")),
        "{ran}"
    );
    assert!(check["error"].as_str().unwrap().contains("says nothing of the image at line 3"), "{ran}");
    assert!(answer["image"].is_string(), "{ran}");
    check_unjudged(&lab, repository);
}

#[test]
fn the_replay_has_the_secrets_of_the_build() {
    let (lab, mirror) = (Lab::new(), Mirror::start("check-secret"));
    fs::write(lab.path("token"), "a word that nobody knows").unwrap();
    let steps = "RUN --mount=type=secret,id=token sha256sum < /run/secrets/token > /sum\n";
    let secret = format!("id=token,src={}", lab.path("token"));
    let ran = build(&lab, "check-secret", &mirror, steps, &["--secret", &secret]).exits(0);
    let check = &ran.json()["check"];
    assert_eq!((&check["verdict"], &check["secrets_missing"]), (&json!("reproduced"), &json!([])), "{ran}");
}

/// Whether the replay had begun when the push did.
fn overlaps(ran: &Ran) -> bool {
    let at = |words: &str| ran.err.find(words).unwrap_or_else(|| panic!("`{words}` is not said: {ran}"));
    at("\ncheck: ") < at("\nbuild: push ")
}

#[test]
fn the_replay_runs_while_the_image_is_packed_and_on_one_core_after_it() {
    let (lab, mirror) = (Lab::new(), Mirror::start("check-cores"));
    let steps = "RUN seq 1 9000000 > /numbers\n";
    if thread::available_parallelism().unwrap().get() > 1 {
        let ran = build(&lab, "check-cores", &mirror, steps, &[]).exits(0);
        assert!(overlaps(&ran), "{ran}");
    }
    let full = building(&lab, "check-cores", &mirror, steps, &[]);
    let mut command = lab.command("taskset");
    command.args(["--cpu-list", "0"]).arg(full.get_program()).args(full.get_args());
    let ran = Lab::run(command).exits(0);
    assert!(!overlaps(&ran), "{ran}");
    assert_eq!(ran.json()["check"]["verdict"], "reproduced", "{ran}");
}

/// A build whose check hangs, once its image is tagged.
fn tagged(lab: &Lab, repository: &str) -> Child {
    let mirror = Mirror::start(repository);
    let mut command = building(lab, repository, &mirror, HANGS, &[]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while Registry::shared().tag(repository, "1").is_none() {
        assert!(began.elapsed() < Duration::from_secs(200), "the tag waits");
        thread::sleep(Duration::from_millis(20));
    }
    child
}

/// What a child said that ended.
pub(super) fn ended(command: &str, child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    Ran { command: command.to_owned(), code: output.status.code(), out, err }
}

/// The tagged image and its provenance are whole, and there is no verdict.
#[track_caller]
fn check_unjudged(lab: &Lab, repository: &str) {
    let registry = Registry::shared();
    assert_eq!((attested(repository).len(), verdicts(repository).len()), (1, 0));
    assert!(registry.image(repository).entry("x").bytes.starts_with(b"/package/"));
    let (store, trust) = (lab.path("empty"), lab.path("signer.pub"));
    let args = ["trace", &registry.name(repository), "--trust", &trust, "--store", &store, "--log"];
    assert!(lab.reprov(&args).exits(0).out.contains("STEP 3/3: RUN wget"));
}

#[test]
fn the_tag_waits_for_no_verdict_and_an_interrupt_leaves_the_image() {
    let (lab, repository) = (Lab::new(), "check-interrupted");
    let child = tagged(&lab, repository);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ran = ended(repository, child).exits(3).says("cancelled");
    let answer = ran.json();
    assert_eq!((&answer["check"]["verdict"], &answer["check"]["error"]), (&Value::Null, &json!("cancelled")));
    assert_eq!(answer["manifest"].as_str(), Registry::shared().tag(repository, "1").as_deref(), "{ran}");
    assert_eq!(lab.leftovers(), [""; 0]);
    check_unjudged(&lab, repository);
}

#[test]
fn a_killed_engine_of_the_replay_is_no_verdict() {
    let (lab, repository) = (Lab::new(), "check-engine");
    let child = tagged(&lab, repository);
    let own = i32::try_from(child.id()).unwrap();
    let mut killed = 0;
    // Beside the build it is tried twice, with one core once.
    for _ in 0..thread::available_parallelism().unwrap().get().min(2) {
        let began = Instant::now();
        killed = loop {
            let all = Process::below(own);
            let waits = all.iter().any(|process| process.words.contains("sleep 300"));
            let is_engine = |process: &&Process| {
                process.pid != killed && process.words.contains("buildah") && process.words.contains(" bud ")
            };
            match all.iter().find(is_engine) {
                Some(engine) if waits => break engine.pid,
                _ => assert!(began.elapsed() < Duration::from_secs(200), "{all:?}"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        kill_process(Pid::from_raw(killed).unwrap(), Signal::KILL).unwrap();
    }
    let answer = ended(repository, child).exits(3).json();
    assert_eq!(answer["check"]["verdict"], Value::Null, "{answer:#}");
    assert!(answer["check"]["error"].is_string() && answer["image"].is_string(), "{answer:#}");
    assert_eq!(lab.leftovers(), [""; 0]);
    check_unjudged(&lab, repository);
}

#[test]
fn a_kill_during_the_check_leaves_a_whole_image() {
    let (lab, repository) = (Lab::new(), "check-killed");
    let mut child = tagged(&lab, repository);
    child.kill().unwrap();
    child.wait().unwrap();
    check_unjudged(&lab, repository);
    let next = lab.source("next", &[("Dockerfile", "FROM base.example/tiny:1\nRUN true\n")]);
    let registry = Registry::shared();
    let answer = lab.build(registry, &next, &registry.name(repository), &["--check"]).exits(0).json();
    check_attested(repository, &answer);
    assert_eq!(lab.leftovers(), [""; 0]);
}
