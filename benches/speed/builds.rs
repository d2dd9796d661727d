//! Whole builds and rebuilds, against plain buildah with the same Dockerfile, base, mirror and registry. Every build
//! goes to a repository of its own, so that everybody has to send what was built.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::{
    run::{Cost, ROUNDS, median, run},
    table::{Row, Target},
};

const REPROV: &str = env!("CARGO_BIN_EXE_reprov");
const BASE: &str = "base.example/debian:bookworm";

pub(crate) fn rows() -> Vec<Row> {
    let site = Site::new();
    let [mut plain, mut build, mut clock, mut checked, mut replay, mut inside, mut again] =
        [const { Vec::new() }; 7];
    for round in 0..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        plain.push(site.plain(round));
        build.push(site.build(round, "ours", &[]));
        clock.push(site.build(round, "clock", &["--clock", "commit"]));
        checked.push(site.build(round, "checked", &["--check"]));
        replay.push(site.rebuild(&[round], "ours", 1));
        inside.push(site.build(round, "inside", &["--buildroot", &site.buildroot]));
        again.push(site.rebuild(&[round], "inside", 1));
    }
    for all in [&mut plain, &mut build, &mut clock, &mut checked, &mut replay, &mut inside, &mut again] {
        all.remove(0); // It filled the stores.
    }
    eprintln!("4 rebuilds, two at a time"); // An even number: the last of an odd one has the machine to itself.
    let images: Vec<_> = (0..=ROUNDS).collect();
    let many = site.rebuild(&images, "ours", 2);
    let cores = 2.min(std::thread::available_parallelism().unwrap().get());
    let ideal_s = many.cpu_s / f64::from(u32::try_from(cores).unwrap());
    let step = |costs: &[Cost]| median(costs.iter().map(|cost| cost.first_step_s.unwrap()));
    let peak_mib =
        build.iter().chain(&checked).chain(&replay).map(|cost| cost.peak_mib).fold(many.peak_mib, f64::max);
    vec![
        against("`reprov build`; peer: `buildah bud` and `push`", &build, &plain, 1.10),
        against("`reprov build --clock commit`; peer: without", &clock, &build, 1.05),
        against("`reprov build --check`; peer: without", &checked, &build, 1.6),
        against("`reprov rebuild`; peer: the same", &replay, &plain, 1.0),
        Row {
            what: "4 rebuilds, `--jobs 2`; peer: their CPU time on 2 cores",
            ours: format!("{:.1} s", many.wall_s),
            peer: format!("{ideal_s:.1} s"),
            figure: many.wall_s / ideal_s,
            unit: "",
            target: Target::AtMost(1.15),
        },
        started("from `reprov rebuild` to the engine's first step", step(&replay), 0.5),
        against("`reprov build --buildroot IMAGE`; peer: without", &inside, &build, 1.10),
        against("`reprov rebuild` in that image; peer: without", &again, &replay, 1.10),
        started("in that image, from `reprov rebuild` to the engine's first step", step(&again), 0.3),
        Row {
            what: "reprov's own peak memory in these",
            ours: format!("{peak_mib:.0} MiB"),
            peer: "-".to_owned(),
            figure: peak_mib,
            unit: " MiB",
            target: Target::AtMost(128.0),
        },
    ]
}

fn started(what: &'static str, step_s: f64, most: f64) -> Row {
    let (ours, peer) = (format!("{step_s:.2} s"), "-".to_owned());
    Row { what, ours, peer, figure: step_s, unit: " s", target: Target::AtMost(most) }
}

fn against(what: &'static str, ours: &[Cost], peer: &[Cost], most: f64) -> Row {
    let wall = |costs: &[Cost]| median(costs.iter().map(|cost| cost.wall_s));
    let cpu = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu_s));
    let shown = |costs: &[Cost]| format!("{:.1} s (CPU {:.1} s)", wall(costs), cpu(costs));
    let figure = wall(ours) / wall(peer);
    Row { what, ours: shown(ours), peer: shown(peer), figure, unit: "", target: Target::AtMost(most) }
}

/// A directory with everything, and a registry.
struct Site {
    dir: PathBuf,
    host: String,
    /// A buildroot image, made by reprov.
    buildroot: String,
    registry: Child,
    hold: Option<ChildStdin>,
}

impl Site {
    fn new() -> Self {
        // Not /tmp: an overlay on a tmpfs needs a newer kernel than one on a disk.
        let dir = tempfile::Builder::new().prefix("reprov-bench-").tempdir_in("/var/tmp").unwrap().keep();
        let mut command = Command::new(fixture("registry"));
        command.env("TMPDIR", &dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut registry = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(registry.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let host = line.split(' ').next().unwrap().to_owned();
        eprintln!("a buildroot image");
        let images = dir.join("images");
        let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("buildroot/make");
        let told = said(Command::new(make).arg(&images).env("REPROV", REPROV));
        let digest = told.rsplit_once(":inside@").unwrap().1.split(',').next().unwrap(); // What is kept is said last.
        let buildroot = format!("oci:{}@{digest}", images.display());
        let site = Self { dir, host, buildroot, hold: registry.stdin.take(), registry };
        let base = said(Command::new(fixture("base/make")).arg("debian"));
        let to = format!("docker://{}/base/debian:bookworm", site.host);
        run(&["skopeo", "copy", "--quiet", "--dest-tls-verify=false", &format!("oci:{base}:latest"), &to]);
        fs::create_dir(site.dir.join("app")).unwrap();
        for file in ["Dockerfile", "motd"] {
            fs::copy(fixture("speed").join(file), site.dir.join("app").join(file)).unwrap();
        }
        let recipe = said(Command::new(fixture("repositories")).arg("apt"));
        fs::write(site.dir.join("app/reprov.toml"), recipe).unwrap();
        said(Command::new(fixture("repository")).arg(site.dir.join("app")));
        run(&[REPROV, "key", "generate", "--out", &site.at("key")]);
        site
    }

    fn at(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    fn base(&self) -> String {
        format!("{}/base/debian:bookworm", self.host)
    }

    fn plain(&self, round: usize) -> Cost {
        let script = format!(
            "set -e; b='buildah --root {} --runroot {} --storage-driver overlay'
            $b bud --no-cache --pull=false --tls-verify=false --build-context {BASE}=docker://{} --tag plain {}
            $b push --quiet --tls-verify=false plain docker://{}/plain-{round}:1",
            self.at("plain"),
            self.at("plainrun"),
            self.base(),
            self.at("app"),
            self.host,
        );
        run(&["sh", "-c", &script])
    }

    fn build(&self, round: usize, whose: &str, more: &[&str]) -> Cost {
        let (tag, from) = (self.image(round, whose), format!("{BASE}={}", self.base()));
        let (app, key, store) = (self.at("app"), self.at("key.key"), self.at("store"));
        let words = [REPROV, "build", &app, "--tag", &tag, "--key", &key, "--store", &store, "--from", &from];
        run(&[&words, more].concat())
    }

    fn rebuild(&self, rounds: &[usize], whose: &str, jobs: usize) -> Cost {
        let images: Vec<_> = rounds.iter().map(|round| self.image(*round, whose)).collect();
        let (trust, store, jobs) = (self.at("key.pub"), self.at("store"), jobs.to_string());
        let mut words = vec![REPROV, "rebuild", "--trust", &trust, "--store", &store, "--jobs", &jobs];
        words.extend(images.iter().map(String::as_str));
        run(&words)
    }

    fn image(&self, round: usize, whose: &str) -> String {
        format!("{}/{whose}-{round}:1", self.host)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.hold.take()); // The registry runs until its standard input ends.
        let _ = self.registry.wait();
        // An ordinary user's stores hold files of subordinate ids.
        let dir = self.dir.as_os_str();
        let removed = Command::new("rm").arg("-rf").arg(dir).stderr(Stdio::null()).status();
        if !removed.is_ok_and(|status| status.success()) {
            let words = ["--map-auto", "--map-root-user", "rm", "-rf"];
            let _ = Command::new("unshare").args(words).arg(dir).status();
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn said(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
