//! The clock that steps see: the object by itself, and builds under the commit's time.

use std::{fs, os::unix::process::ExitStatusExt, path::Path, process::Command};

use reprov::buildroot::Clock;
use serde_json::Value;

use super::packages::source;
use crate::support::{Lab, Registry, fixtures, must};

const THEN: i64 = 1_700_000_000;

/// What `program` prints that runs under `clock`, with the object in `dir`.
#[track_caller]
fn under(clock: Clock, dir: &Path, program: &str, args: &[&str]) -> String {
    let object = dir.join("clock.so");
    fs::write(&object, clock.object()).unwrap();
    // Not wherever somebody keeps another version: the programs that tests/it needs are Debian's.
    let mut command = Command::new(program);
    must(
        command
            .args(args)
            .current_dir(dir)
            .env_clear() // `make test` tells a make below it that it is one.
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .env("LD_PRELOAD", &object),
    )
}

#[test]
fn programs_see_the_time_they_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let under = |clock, program: &str, args: &[&str]| under(clock, dir.path(), program, args);
    let stands = Clock::Stands(THEN);
    for (program, args) in [
        ("date", &["+%s"][..]),
        ("bash", &["-c", "echo $EPOCHSECONDS"]),
        ("perl", &["-e", "print time, \"\\n\""]),
        (
            "python3",
            &[
                "-c",
                "import time, datetime; assert datetime.datetime.now().timestamp() == time.time(); print(int(time.time()))",
            ],
        ),
        (
            "python3",
            &[
                "-c",
                "import subprocess; print(subprocess.run(['date', '+%s'], capture_output=True, text=True).stdout, end='')",
            ],
        ),
    ] {
        assert_eq!(under(stands, program, args), format!("{THEN}\n"), "{program} {args:?}");
    }
    let shifted: i64 = under(Clock::Shifted(400 * 86_400), "date", &["+%s"]).trim().parse().unwrap();
    let real: i64 = must(Command::new("date").arg("+%s")).trim().parse().unwrap();
    assert!((0..=3600).contains(&(real + 400 * 86_400 - shifted)), "{shifted} {real}");
    // These end; a deadline of a clock that stands would never come.
    let threads = "import threading, queue\nc = threading.Condition()\nwith c: assert not c.wait(.2)\n\
        try: queue.Queue().get(timeout=.2)\nexcept queue.Empty: print('empty')\n";
    assert_eq!(under(stands, "python3", &["-c", threads]), "empty\n");
}

#[test]
fn waiting_for_a_time_takes_as_long_as_it_should() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("wait");
    must(Command::new("gcc").arg("-o").arg(&program).arg(fixtures("clock/wait.c")).arg("-pthread"));
    let said = under(Clock::Stands(THEN), dir.path(), program.to_str().unwrap(), &[]);
    check_waits(&said, THEN, "another time");
    let said = under(Clock::Shifted(1000), dir.path(), program.to_str().unwrap(), &[]);
    assert!(!said.contains("NO"), "{said}");
    fs::rename(&program, dir.path().join("x86_64-linux-gnu-ar")).unwrap();
    let said = under(Clock::Stands(THEN), dir.path(), "./x86_64-linux-gnu-ar", &[]);
    check_waits(&said, THEN, "now");
}

#[test]
fn threads_signals_and_children_all_see_one_time() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("crowd");
    must(Command::new("gcc").arg("-o").arg(&program).arg(fixtures("clock/crowd.c")).arg("-pthread"));
    let said = under(Clock::Stands(THEN), dir.path(), program.to_str().unwrap(), &[&THEN.to_string()]);
    assert_eq!(said, "right\n");
}

/// What `fixtures/clock/wait.c` must say at the time `then`; how new it finds its `file`.
#[track_caller]
fn check_waits(said: &str, then: i64, file: &str) {
    assert!(said.starts_with(&format!("time {then} {then} {then}\nfile {file}\ncancelled yes\n")), "{said}");
    assert!(!said.contains("NO"), "{said}");
    assert_eq!(said.matches(" waited\n").count(), 11, "{said}");
}

#[test]
fn archivers_see_file_times_clamped_and_make_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let under = |program: &str, args: &[&str]| under(Clock::Stands(THEN), dir.path(), program, args);
    for name in ["new", "old", "source"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    under("touch", &["-d", "@1600000000", "old"]);
    under("tar", &["-cf", "a.tar", "new", "old"]);
    let listed = under("tar", &["-tvf", "a.tar", "--full-time"]);
    assert!(
        listed.contains("2023-11-14 22:13:20 new") && listed.contains("2020-09-13 12:26:40 old"),
        "{listed}"
    );
    under("gzip", &["-k", "new"]);
    assert_eq!(
        fs::read(dir.path().join("new.gz")).unwrap()[4..8],
        u32::try_from(THEN).unwrap().to_le_bytes()
    );
    under("ar", &["rcU", "a.a", "new"]);
    assert!(fs::read_to_string(dir.path().join("a.a")).unwrap().contains(&THEN.to_string()));
    let zip = |module: &str| under("python3", &["-m", module, "-c", "a.out", "new"]);
    zip("zipfile");
    assert!(under("python3", &["-m", "zipfile", "-l", "a.out"]).contains("2023-11-14 22:13:20"));
    assert!(
        under("python3", &["-c", "import os; print(os.stat('new').st_mtime > 1750000000)"]).contains("True")
    );

    fs::write(dir.path().join("Makefile"), "target: source\n\tdate +%s > target\n").unwrap();
    assert_eq!(under("make", &[]), "date +%s > target\n");
    assert_eq!(under("make", &[]), "make: 'target' is up to date.\n");
    under("touch", &["-d", "@1", "target"]);
    assert_eq!(under("make", &[]), "date +%s > target\n");
    assert_eq!(fs::read_to_string(dir.path().join("target")).unwrap(), format!("{THEN}\n"));
}

#[test]
fn the_object_needs_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clock.so");
    fs::write(&path, Clock::Stands(THEN).object()).unwrap();
    let dynamic = must(Command::new("readelf").args(["-dW"]).arg(&path));
    assert!(!dynamic.contains("NEEDED"), "{dynamic}");
    let symbols = must(Command::new("readelf").args(["--dyn-syms", "-W"]).arg(&path));
    let undefined: Vec<_> =
        symbols.lines().filter(|line| line.contains(" UND ") && line.contains("GLOBAL")).collect();
    assert!(undefined.is_empty(), "{undefined:?}");
    // A program without its own words for any of it is none the worse.
    let status = Command::new("/bin/true").env("LD_PRELOAD", &path).env("LD_BIND_NOW", "1").status().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}

/// The time of the commit that was built.
fn epoch(source: &Path) -> i64 {
    must(Command::new("git").arg("-C").arg(source).args([
        "-c",
        "safe.directory=*",
        "log",
        "-1",
        "--format=%ct",
    ]))
    .trim()
    .parse()
    .unwrap()
}

#[test]
fn a_step_sees_the_commits_time_and_the_image_does_not_see_how() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let files = [(
        "Dockerfile",
        "FROM base.example/debian:bookworm\n\
        ENV LD_PRELOAD=libm.so.6\n\
        RUN date +%s > /date; perl -e 'print time' > /perl; echo $LD_PRELOAD > /preload\n\
        RUN echo x > /x && tar cf /x.tar /x && sha256sum /x.tar > /sum && perl -e 'print +(stat(\"/x\"))[9] > time ? 1 : 0' > /newer\n",
    )];
    let source = lab.source("commit", &files);
    let to = registry.name("clock-step");
    lab.build(registry, &source, &to, &["--clock", "commit"]).exits(0);
    let (image, epoch) = (registry.image("clock-step"), epoch(&source));
    assert_eq!(image.text("date"), format!("{epoch}\n"));
    assert_eq!(image.text("perl"), epoch.to_string());
    assert_eq!(image.text("preload"), "libm.so.6:/dev/.gw/clock.so\n");
    assert_eq!(image.text("newer"), "1", "only archivers see clamped times");
    let config = image.config.to_string();
    assert!(config.contains("LD_PRELOAD=libm.so.6\"") && !config.contains("clock.so"), "{config}");
    assert!(image.layers.iter().flat_map(|layer| layer.keys()).all(|path| !path.starts_with("dev/.gw")));
    let answer = lab.rebuild(&to, &[]).exits(0).json();
    assert_eq!(answer["images"][0]["verdict"], "reproduced");
}

#[test]
fn what_the_clock_does_not_reach_is_said() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let files = [
        ("Dockerfile", "FROM base.example/tiny:1\nRUN date > /date\nRUN date > /again\n"),
        ("reprov.toml", "[build]\nclock = \"commit\"\n"),
    ];
    let source = lab.source("static", &files);
    let words = "clock: the step at line 2 (RUN date > /date) runs `/bin/busybox`, which is static; it sees the real clock";
    let to = registry.name("clock-static");
    let ran = lab.build(registry, &source, &to, &[]).exits(0).says(words);
    assert_eq!(ran.err.matches("which is static").count(), 1, "once for a program: {ran}");
    let ran = lab.rebuild(&to, &[]).exits(1).says(words);
    assert_eq!(ran.json()["images"][0]["verdict"], "explained", "{ran}");
    let ran = lab.build(registry, &source, &to, &["--clock", "real"]).exits(0);
    assert!(!ran.err.contains("clock:"), "the flag wins: {ran}");
}

#[test]
fn a_step_that_waits_for_a_clock_that_stands_is_named() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let files = [(
        "Dockerfile",
        "FROM base.example/debian:bookworm\nRUN while [ $(date +%s) -le $SOURCE_DATE_EPOCH ]; do sleep 1; done\n",
    )];
    let source = lab.source("waits", &files);
    let more = ["--clock", "commit", "--timeout", "15s"];
    let ran = lab.build(registry, &source, &registry.name("clock-waits"), &more).exits(1);
    ran.says("at line 2: RUN while").says("its clock stands still");
}

#[test]
#[ignore = "slow: make acceptance"]
fn archives_drift_with_the_real_clock_and_reproduce_with_the_commits() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let fixture = source(&lab, "clock", &[]);
    let (real, commit) = (registry.name("clock-real"), registry.name("clock-commit"));
    lab.build(registry, &fixture, &real, &[]).exits(0);
    let ran = lab.rebuild(&real, &[]).exits(1);
    let answer = ran.json();
    let drifts = answer["images"][0]["drifts"].as_array().unwrap();
    for (path, cause) in [
        ("made/archive.tar", "tar-timestamp"),
        ("made/archive.zip", "zip-timestamp"),
        ("made/date", "clock-in-text"),
        ("made/one.gz", "gzip-timestamp"),
        ("made/python.zip", "zip-timestamp"),
    ] {
        let found = drifts.iter().find(|drift| drift["path"] == path).unwrap_or(&Value::Null);
        assert_eq!(found["cause"], cause, "{path}: {ran}");
    }

    let built = lab.build(registry, &fixture, &commit, &["--clock", "commit"]).exits(0).json();
    assert_eq!(built["inputs"]["refused"], serde_json::json!([]));
    check_reproduced(&lab, &commit);
    let other = Lab::ordinary();
    fs::copy(lab.path("signer.pub"), other.path("theirs.pub")).unwrap();
    let ran = other.rebuild(&commit, &["--trust", "theirs.pub"]).exits(0);
    assert_eq!(ran.json()["images"][0]["verdict"], "reproduced", "{ran}");
}

#[track_caller]
fn check_reproduced(lab: &Lab, image: &str) {
    let ran = lab.rebuild(image, &[]).exits(0);
    assert_eq!(ran.json()["images"][0]["verdict"], "reproduced", "{ran}");
}

/// The commit is older than the keys that sign Debian's release, and its index is from after it.
#[test]
fn apt_installs_at_a_time_before_its_release() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let files = [(
        "Dockerfile",
        "FROM base.example/debian:bookworm\nRUN apt-get update && apt-get install -y zip && date +%Y > /year\n",
    )];
    let source = lab.source("old", &files);
    let mut amend = Command::new("git");
    amend.arg("-C").arg(&source).args([
        "-c",
        "safe.directory=*",
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.org",
    ]);
    let date = "2021-01-01T00:00:00Z";
    must(
        amend.args(["commit", "--amend", "-q", "--no-edit", "--date", date]).env("GIT_COMMITTER_DATE", date),
    );
    lab.build(registry, &source, &registry.name("clock-old"), &["--clock", "commit"]).exits(0);
    assert_eq!(registry.image("clock-old").text("year"), "2021\n");
}

#[test]
#[ignore = "acceptance"]
fn java_musl_make_git_and_tls_under_the_commits_clock() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let fixture = source(&lab, "clock", &["apt", "pypi"]);
    let (real, commit) = (registry.name("clock-more-real"), registry.name("clock-more"));
    let more = ["--file", "Dockerfile.more"];
    lab.build(registry, &fixture, &commit, &[&more[..], &["--clock", "commit"]].concat()).exits(0);
    let (image, epoch) = (registry.image("clock-more"), epoch(&fixture));
    check_waits(&image.text("made/glibc"), epoch, "another time");
    check_waits(&image.text("made/musl"), epoch, "another time");
    check_waits(&image.text("made/musl-tar"), epoch, "now");
    assert_eq!(image.text("made/make"), "built\nbuilt\n");
    check_reproduced(&lab, &commit);

    lab.build(registry, &fixture, &real, &more).exits(0);
    let ran = lab.rebuild(&real, &[]).exits(1);
    let answer = ran.json();
    let drifts = answer["images"][0]["drifts"].as_array().unwrap();
    let keystore = drifts.iter().find(|drift| drift["cause"] == "keystore-timestamp");
    assert!(keystore.is_some(), "{ran}");
}
