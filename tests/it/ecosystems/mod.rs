//! What people really build: each fixture is built by root with this machine's programs and rebuilt by an ordinary user
//! in a buildroot image, on another day, under another host's name, on one core, without the network, with the machine's
//! clock and with the commit's. `docs/ecosystems.md` has what came of it.

mod document;
mod real;
mod served;
mod table;
mod twice;

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
    thread,
};

use serde_json::Value;

use self::{
    served::Serve,
    table::{FIXTURES, Files, Fixture, Outcome},
};
use crate::{
    jobs::buildroot,
    support::{Base, Lab, Ran, Registry, fixtures, must, root},
};

/// What a rebuild is told to do differently; it is an ordinary user's, so ids are others too.
const VARY: &[&str] = &["--vary", "time=+400d,hostname,cpus"];
/// At least.
const VARIED_SECONDS: i64 = 399 * 86_400;
/// Names of fixtures, by commas: only these are run.
const ONLY: &str = "REPROV_ECOSYSTEMS";
/// What no image, log or transcript may have.
const SECRET: &str = "canary-of-ecosystems";

/// Who builds, who rebuilds, in what.
struct Setting {
    builder: Lab,
    rebuilder: Lab,
    buildroot: String,
    /// Of whoever signed image and buildroot.
    trusted: [String; 2],
}

/// What came of one build and its rebuild.
#[derive(Debug, Clone)]
struct Answer {
    verdict: String,
    /// Cause, class, path.
    drifts: Vec<[String; 3]>,
    /// Of whatever went wrong.
    said: String,
}

impl Setting {
    fn new() -> Self {
        let (buildroot, theirs) = buildroot::shared();
        let mut setting = Self { buildroot: buildroot.clone(), ..Self::of_builders() };
        setting.trusted = [("ours.pub", &setting.builder), ("theirs.pub", theirs)].map(|(name, lab)| {
            fs::copy(lab.path("signer.pub"), setting.rebuilder.path(name)).unwrap();
            setting.rebuilder.path(name)
        });
        setting
    }

    /// Where nothing is rebuilt in a buildroot.
    fn of_builders() -> Self {
        let builder = Lab::new();
        let rebuilder = if root() { Lab::ordinary() } else { Lab::new() };
        for lab in [&builder, &rebuilder] {
            fs::write(lab.path("secret"), SECRET).unwrap();
        }
        Self { builder, rebuilder, buildroot: String::new(), trusted: Default::default() }
    }

    /// A git repository with the fixture's files and what it may fetch from.
    fn source(&self, fixture: &Fixture) -> PathBuf {
        self.builder.commit(&format!("source-{}", fixture.name), |dir| {
            match fixture.files {
                Files::Ours(path) => drop(must(Command::new("cp").arg("-rT").arg(fixtures(path)).arg(dir))),
                Files::Npm(package, path, digest) => real::adapt(fixture.name, package, path, digest, dir),
            }
            let mut recipe = String::new();
            if !fixture.needs.is_empty() {
                recipe.push_str(&must(Command::new(fixtures("repositories")).args(fixture.needs)));
            }
            recipe.extend(fixture.serves.iter().filter_map(|serve| serve.table()));
            if !recipe.is_empty() {
                fs::write(dir.join("reprov.toml"), recipe).unwrap();
            }
        })
    }

    /// Builds, and rebuilds otherwise.
    fn attempt(&self, fixture: &Fixture, source: &Path, clock: &str, expected: Outcome) -> Answer {
        let registry = Registry::shared();
        let to = registry.name(&format!("ecosystem-{}-{clock}", fixture.name));
        let mut more: Vec<String> = ["--clock", clock].map(str::to_owned).into();
        more.extend(self.more(fixture, source));
        let built = self.builder.build(registry, source, &to, &words(&more));
        if built.code != Some(0) {
            return Answer::failed("not built", &built);
        }
        let mut args = vec!["--store".to_owned(), self.rebuilder.path("store")];
        // What differs from another builder's has that for its verdict; and why an archive has another time in it should
        // not be looked for among variations.
        if matches!(expected, Outcome::Reproduced) {
            args.extend(["--buildroot".to_owned(), self.buildroot.clone()]);
            args.extend(VARY.iter().map(|arg| (*arg).to_owned()));
        }
        args.extend(self.trusted.iter().flat_map(|key| ["--trust".to_owned(), key.clone()]));
        if fixture.serves.contains(&Serve::Secret) {
            args.extend(secret(&self.rebuilder));
        }
        let rebuilt = self.rebuilder.rebuild(&to, &words(&args));
        let answer = Answer::of(&rebuilt);
        if answer.said.is_empty() {
            match fixture.name {
                "arrived" => self.arrived(clock, &built, &rebuilt),
                "secret" => self.keeps_the_secret(&format!("ecosystem-secret-{clock}"), &[&built, &rebuilt]),
                _ => {}
            }
        }
        answer
    }

    /// What a build of the fixture is told besides.
    fn more(&self, fixture: &Fixture, source: &Path) -> Vec<String> {
        let mut more: Vec<_> = fixture.more.iter().map(|arg| (*arg).to_owned()).collect();
        if fixture.serves.contains(&Serve::Parent) {
            more.extend(["--from".to_owned(), format!("parent.example/onbuild:1={}", self.parent(source))]);
        }
        if fixture.serves.contains(&Serve::Secret) {
            more.extend(secret(&self.builder));
        }
        more
    }

    /// The name of a base with triggers.
    fn parent(&self, source: &Path) -> String {
        let (registry, to) = (Registry::shared(), Registry::shared().name("ecosystem-parent"));
        let base = format!("{}={}", Base::Debian.written(), Base::Debian.used(registry));
        self.builder.build(registry, source, &to, &["--file", "Dockerfile.parent", "--from", &base]).exits(0);
        to
    }

    /// The log of a step tells what the step saw.
    fn arrived(&self, clock: &str, built: &Ran, rebuilt: &Ran) {
        let saw = |lab: &Lab, log: &Value| -> BTreeMap<String, String> {
            let digest = log["digest"].as_str().unwrap().replace(':', "/");
            let log = fs::read_to_string(lab.path(&format!("store/blobs/{digest}"))).unwrap();
            let lines = log.lines().filter_map(|line| line.split_once("arrived ")?.1.split_once(' '));
            let seen: BTreeMap<_, _> =
                lines.map(|(what, value)| (what.to_owned(), value.trim().to_owned())).collect();
            assert!(
                ["date", "hostname", "ids", "nproc"].iter().all(|what| seen.contains_key(*what)),
                "{log}"
            );
            seen
        };
        let here = saw(&self.builder, &built.json()["log"]);
        let there = saw(&self.rebuilder, &rebuilt.json()["images"][0]["log"]);
        println!("a step saw {here:?}, and when rebuilt {there:?}");
        let varied = |what: &str| assert_ne!(here[what], there[what], "{what} did not vary");
        let seconds = |seen: &BTreeMap<String, String>| -> i64 { seen["date"].parse().unwrap() };
        match clock {
            "real" => assert!(seconds(&there) - seconds(&here) > VARIED_SECONDS, "the date did not vary"),
            _ => assert_eq!(here["date"], there["date"], "the commit's clock stands"),
        }
        varied("hostname");
        if root() {
            varied("ids");
        }
        if thread::available_parallelism().unwrap().get() > 1 {
            varied("nproc");
        }
    }

    #[track_caller]
    fn keeps_the_secret(&self, repository: &str, said: &[&Ran]) {
        for ran in said {
            assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "{ran}");
        }
        for (path, entry) in Registry::shared().image(repository).layers.iter().flatten() {
            assert!(!entry.bytes.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()), "/{path}");
            assert!(!path.starts_with("run/secrets") && path != "srv/token", "/{path}");
        }
        for lab in [&self.builder, &self.rebuilder] {
            let mut grep = Command::new("grep");
            assert!(!grep.args(["-rqs", SECRET, &lab.path("store")]).status().unwrap().success());
        }
        let log = said[0].json()["log"]["digest"].as_str().unwrap().replace(':', "/");
        let log = fs::read_to_string(self.builder.path(&format!("store/blobs/{log}"))).unwrap();
        assert!(log.contains("***"), "the step printed it: {log}");
    }
}

impl Answer {
    fn failed(verdict: &str, ran: &Ran) -> Self {
        Self { verdict: verdict.to_owned(), drifts: Vec::new(), said: ran.to_string() }
    }

    fn of(ran: &Ran) -> Self {
        let Ok(answer) = serde_json::from_str::<Value>(&ran.out) else {
            return Self::failed("not rebuilt", ran);
        };
        let image = &answer["images"][0];
        let Some(verdict) = image["verdict"].as_str() else { return Self::failed("not rebuilt", ran) };
        let word = |drift: &Value, field: &str| drift[field].as_str().unwrap_or_default().to_owned();
        let drifts = image["drifts"].as_array().into_iter().flatten();
        let drifts = drifts.filter(|drift| !drift["consequence_of"].is_string());
        let said =
            if ["reproduced", "explained"].contains(&verdict) { String::new() } else { ran.to_string() };
        Self {
            verdict: verdict.to_owned(),
            drifts: drifts.map(|drift| ["cause", "class", "path"].map(|field| word(drift, field))).collect(),
            said,
        }
    }

    /// What is not as it should be.
    fn wrong(&self, expected: Outcome) -> Vec<String> {
        let (verdict, causes) = match expected {
            Outcome::Reproduced => ("reproduced", &[][..]),
            Outcome::Explained(causes) => ("explained", causes),
        };
        let mut wrong = Vec::new();
        if self.verdict != verdict {
            wrong.push(format!("{} instead of {verdict}: {}", self.verdict, self.said));
        }
        for (cause, path) in causes {
            if !self.drifts.iter().any(|[its, _, at]| its == cause && at.starts_with(path)) {
                wrong.push(format!("no {cause} at {path}"));
            }
        }
        for [cause, class, path] in &self.drifts {
            if !causes.iter().any(|(known, _)| known == cause) {
                wrong.push(format!("{cause} ({class}) at {path}"));
            }
        }
        wrong
    }
}

fn secret(lab: &Lab) -> [String; 2] {
    ["--secret".to_owned(), format!("id=token,src={}", lab.path("secret"))]
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// Both clocks, whatever happens.
fn run(setting: &Setting, fixture: &Fixture) -> [Answer; 2] {
    let source = OnceLock::new(); // Made where a failure is caught.
    [("real", fixture.real), ("commit", fixture.commit)].map(|(clock, expected)| {
        let attempt = || {
            let source = source.get_or_init(|| setting.source(fixture));
            setting.attempt(fixture, source, clock, expected)
        };
        let answer = catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|error| Answer {
            verdict: "failed".to_owned(),
            drifts: Vec::new(),
            said: error.downcast_ref::<String>().cloned().unwrap_or_default(),
        });
        println!("{} ({clock}): {} {:?}", fixture.name, answer.verdict, answer.drifts);
        answer
    })
}

#[test]
#[ignore = "slow: make ecosystems"]
fn reproduce() {
    let only = std::env::var(ONLY).unwrap_or_default();
    let wanted = |fixture: &&Fixture| only.is_empty() || only.split(',').any(|name| name == fixture.name);
    let setting = Setting::new();
    let (queue, found) = (Mutex::new(FIXTURES.iter().filter(wanted)), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let next = queue.lock().unwrap().next();
            let Some(fixture) = next else { return };
            let answers = run(&setting, fixture);
            let mut found = found.lock().unwrap();
            found.insert(fixture.name, answers);
            document::write(&found); // What is known is not lost with what takes longer.
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    let found = found.into_inner().unwrap();
    document::agree(&found);
    let mut wrong = Vec::new();
    for fixture in FIXTURES {
        let Some(answers) = found.get(fixture.name) else { continue };
        for (clock, expected, answer) in
            [("real", fixture.real, &answers[0]), ("commit", fixture.commit, &answers[1])]
        {
            let name = fixture.name;
            wrong.extend(answer.wrong(expected).into_iter().map(|what| format!("{name} ({clock}): {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for lab in [&setting.builder, &setting.rebuilder] {
        assert_eq!(lab.leftovers(), [""; 0]);
    }
}
