//! `kill -9` of anything at any time: what was there stays or what is new is there, never half of it; nothing runs on,
//! and the next run works.
//!
//! The gateway is no process of its own: it lives in reprov's, and dies with it.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Lab, Mirror, Process, Registry, sha256};

#[test]
fn a_few_random_kills() {
    kill(5, 1);
}

#[test]
#[ignore = "slow: make acceptance"]
fn fifty_random_kills() {
    let seed = std::env::var("REPROV_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    kill(50, seed.unwrap_or_else(now));
}

/// Whom to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// reprov, and the gateway with it.
    Reprov,
    /// The process that made the cage.
    Stage,
    /// Pid 1 of the cage.
    Init,
    Engine,
    /// The shim as the engine calls it, or runc, which it becomes.
    Runtime,
    /// A process of the step.
    Step,
}

impl Victim {
    /// Every other point is reprov's, the rest is shared.
    fn draw(random: &mut Random) -> Self {
        let others = [Self::Stage, Self::Init, Self::Engine, Self::Runtime, Self::Step];
        if random.below(2) == 0 { Self::Reprov } else { others[random.below(others.len())] }
    }

    fn is(self, process: &Process) -> bool {
        let words = process.words.as_str();
        let program = words.split(' ').next().unwrap_or_default();
        let named = |name: &str| Path::new(program).file_name().is_some_and(|file| file == name);
        let init = named("shim") && words.contains("shim init ");
        match self {
            Self::Reprov => false,
            Self::Stage => words.starts_with("reprov-cage "),
            Self::Init => init,
            Self::Engine => named("buildah"),
            Self::Runtime => named("runc") || named("shim") && !init,
            Self::Step => words.contains("the-step") || named("wget"),
        }
    }
}

/// splitmix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

/// When a run tells what; the last entry is its end.
type Course = Vec<(Duration, String)>;

/// A run whose news are read as they come.
struct Run {
    child: Child,
    began: Instant,
    news: Receiver<(Instant, String)>,
    said: thread::JoinHandle<String>,
}

impl Run {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, news) = mpsc::channel();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let said = thread::spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                text.push_str(&line);
                text.push('\n');
                let _ = tell.send((Instant::now(), line));
            }
            // The answer comes at the end, and fits a pipe's buffer.
            let _ = BufReader::new(out).read_to_string(&mut text);
            text
        });
        Self { child, began: Instant::now(), news, said }
    }

    /// Kills `victim` once there were `lines` lines of news and `jitter` passed; whether it was there.
    fn kill(&mut self, victim: Victim, lines: usize, jitter: Duration) -> bool {
        for _ in 0..lines {
            if self.news.recv().is_err() {
                return false;
            }
        }
        thread::sleep(jitter);
        let own = i32::try_from(self.child.id()).unwrap();
        while self.child.try_wait().unwrap().is_none() {
            let pid = match victim {
                Victim::Reprov => Some(own),
                other => {
                    Process::below(own).into_iter().find(|process| other.is(process)).map(|found| found.pid)
                }
            };
            if let Some(pid) = pid.and_then(Pid::from_raw)
                && kill_process(pid, Signal::KILL).is_ok()
            {
                return true;
            }
        }
        false
    }

    fn end(mut self) -> (ExitStatus, String, Course) {
        let status = self.child.wait().unwrap();
        let end = Instant::now();
        let said = self.said.join().unwrap();
        let mut course: Course = self.news.iter().map(|(at, line)| (at - self.began, line)).collect();
        course.push((end - self.began, String::new()));
        (status, said, course)
    }
}

struct Site<'a> {
    lab: &'a Lab,
    registry: &'a Registry,
    repository: String,
    mirror: Mirror,
    /// Types of what stands beside a whole image.
    beside: BTreeSet<String>,
}

impl Site<'_> {
    fn source(&self, number: u64) -> PathBuf {
        let dockerfile = "FROM base.example/tiny:1\nARG MIRROR\n\
            RUN wget -q -O /large $MIRROR/large && : the-step && sleep 0.2\n\
            COPY word /word\n";
        let word = format!("{number}\n");
        self.lab.source(&format!("s{number}"), &[("Dockerfile", dockerfile), ("word", &word)])
    }

    fn building(&self, source: &Path) -> Command {
        let (arg, allow) = (format!("MIRROR={}", self.mirror.url), format!("local={}", self.mirror.url));
        let more = ["--build-arg", &arg, "--allow", &allow];
        self.lab.building(self.registry, source, &self.registry.name(&self.repository), &more)
    }

    fn rebuilding(&self) -> Command {
        let at = |name| self.lab.path(name);
        let mut command = self.lab.command(self.lab.program());
        command.args(["rebuild", &self.registry.name(&self.repository), "--format", "json"]);
        command.args(["--store", &at("store"), "--trust", &at("signer.pub"), "--key", &at("signer.key")]);
        command
    }

    fn tag(&self) -> Option<String> {
        self.registry.tag(&self.repository, "1")
    }

    fn blob(&self, digest: &str, context: &str) {
        assert!(self.registry.has_blob(&self.repository, digest), "{digest} is not there: {context}");
        assert_eq!(sha256(&self.registry.blob(digest)), digest, "{context}");
    }

    /// All that is listed beside the image is there.
    fn listed_is_whole(&self, image: &str, context: &str) -> BTreeSet<String> {
        let referrers = self.registry.referrers(&self.repository, image);
        for (_, digest) in &referrers {
            let manifest = self.registry.blob_json(digest);
            assert_eq!(sha256(&self.registry.blob(digest)), *digest, "{context}");
            let blobs = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
            for blob in blobs {
                self.blob(blob["digest"].as_str().unwrap(), context);
            }
        }
        referrers.into_iter().map(|(kind, _)| kind).collect()
    }

    /// The image and all that belongs beside it is there.
    fn image_is_whole(&self, image: &str, context: &str) {
        let opened = self.registry.image(&self.repository);
        assert_eq!(opened.digest, image, "{context}");
        for layer in opened.layer_digests() {
            self.blob(&layer, context);
        }
        let beside = self.listed_is_whole(image, context);
        assert!(beside.is_superset(&self.beside), "{beside:?} of {:?}: {context}", self.beside);
    }

    /// Every blob of the store is what its name says, and nothing half lies but where the next run sweeps.
    fn store_is_whole(&self, context: &str) {
        let store = PathBuf::from(self.lab.path("store"));
        let names = |dir: &str| -> BTreeSet<String> {
            let entries = fs::read_dir(store.join(dir)).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
        };
        for name in names("blobs/sha256") {
            let bytes = fs::read(store.join("blobs/sha256").join(&name)).unwrap();
            assert_eq!(sha256(&bytes), format!("sha256:{name}"), "{context}");
        }
        let known = ["blobs", "engine", "git", "logs", "places", "sessions", "sessions.lock", "tmp"]
            .map(str::to_owned);
        let odd: Vec<_> = names(".").into_iter().filter(|name| !known.contains(name)).collect();
        assert_eq!(odd, [""; 0], "{context}");
        let at = self.lab.path("store");
        self.lab.reprov(&["store", "du", "--store", &at, "--format", "json"]).exits(0).json();
    }

    /// Nothing of a killed run is left once another has run.
    fn store_is_swept(&self, context: &str) {
        for dir in ["store/tmp", "store/sessions"] {
            let left: Vec<_> =
                fs::read_dir(self.lab.path(dir)).unwrap().flatten().map(|e| e.path()).collect();
            assert!(left.is_empty(), "{left:?}: {context}");
        }
        assert_eq!(self.lab.leftovers(), [""; 0], "{context}");
    }

    /// What dies needs a moment.
    fn nothing_runs(&self, context: &str) {
        let began = Instant::now();
        while !self.lab.running().is_empty() {
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}: {context}", self.lab.running());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn must(command: Command, context: &str) -> (Value, Course) {
        let (status, said, course) = Run::start(command).end();
        assert!(status.success(), "{status}: {context}\n{said}");
        let answer = said.find("\n{").map_or(said.as_str(), |at| &said[at..]);
        (serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {said}")), course)
    }
}

fn kill(points: u64, seed: u64) {
    let lab = Lab::new();
    let registry = Registry::shared();
    let repository = format!("killed-{points}-{seed}");
    let mirror = Mirror::start(&repository);
    let mut site = Site { lab: &lab, registry, repository, mirror, beside: BTreeSet::new() };
    let mut random = Random(seed);
    let (built, build_course) = Site::must(site.building(&site.source(0)), "the first build");
    site.beside = site.listed_is_whole(built["manifest"].as_str().unwrap(), "the first build");
    let (_, rebuild_course) = Site::must(site.rebuilding(), "the first rebuild");
    let mut hits = 0;
    let mut number = 0;
    while hits < points {
        number += 1;
        assert!(number <= 2 * points, "seed {seed}: most runs end before they are killed");
        let rebuilds = random.below(4) == 0;
        let course = if rebuilds { &rebuild_course } else { &build_course };
        let victim = Victim::draw(&mut random);
        let (lines, jitter) = moment(course, victim, &mut random);
        let cold = random.below(4) == 0;
        let context = format!(
            "seed {seed}, point {number}: {} {victim:?} after {lines} lines and {jitter:?}{}",
            if rebuilds { "rebuild" } else { "build" },
            if cold { ", cold" } else { "" },
        );
        if cold {
            fs::remove_dir_all(lab.path("store")).unwrap();
        }
        hits += u64::from(site.point(number, rebuilds, (victim, lines, jitter), &context));
    }
    println!("seed {seed}: {hits} kills in {number} runs");
}

/// After how many lines of news `victim` is killed, and how long after the last; others than reprov only where cages
/// are.
fn moment(course: &Course, victim: Victim, random: &mut Random) -> (usize, Duration) {
    let caged = |line: &str| ["bases", "step", "layers"].iter().any(|word| line.contains(word));
    let fits = |lines: &usize| victim == Victim::Reprov || *lines > 0 && caged(&course[*lines - 1].1);
    let all: Vec<usize> = (0..course.len()).filter(fits).collect();
    let lines = all[random.below(all.len())];
    let from = lines.checked_sub(1).map_or(Duration::ZERO, |line| course[line].0);
    let length = usize::try_from(course[lines].0.saturating_sub(from).as_micros()).unwrap() + 10_000;
    (lines, Duration::from_micros(random.below(length) as u64))
}

impl Site<'_> {
    fn point(
        &self,
        number: u64,
        rebuilds: bool,
        (victim, lines, jitter): (Victim, usize, Duration),
        context: &str,
    ) -> bool {
        let source = self.source(number);
        let command = || if rebuilds { self.rebuilding() } else { self.building(&source) };
        let before = self.tag().unwrap();
        let mut run = Run::start(command());
        let hit = run.kill(victim, lines, jitter);
        let (status, said, _) = run.end();
        let context = format!("{context}; {status}, hit: {hit}\n{said}");
        println!("{}", context.lines().next().unwrap());
        // The others are children, whose death reprov has to explain.
        if !(hit && victim == Victim::Reprov) {
            assert!(matches!(status.code(), Some(0 | 1 | 3)), "{context}");
            let outside = [Victim::Stage, Victim::Init, Victim::Engine].contains(&victim);
            assert!(!(outside && status.code() == Some(1)), "a kill is no word about the build: {context}");
        } else if let Some(signal) = status.signal() {
            assert_eq!(signal, Signal::KILL.as_raw(), "{context}");
        }
        self.nothing_runs(&context);
        let after = self.tag().unwrap();
        if rebuilds || status.code().is_some_and(|code| code != 0) {
            assert_eq!(after, before, "{context}");
        }
        self.image_is_whole(&after, &context);
        if Path::new(&self.lab.path("store")).exists() {
            self.store_is_whole(&context);
        }
        let (answer, _) = Self::must(command(), &context);
        if rebuilds {
            assert_eq!(answer["images"][0]["verdict"], "reproduced", "{answer:#}: {context}");
        } else {
            assert_eq!(self.tag().as_deref(), answer["manifest"].as_str(), "{context}");
        }
        self.image_is_whole(&self.tag().unwrap(), &context);
        self.store_is_whole(&context);
        self.store_is_swept(&context);
        hit
    }
}
