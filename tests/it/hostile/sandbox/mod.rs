//! A hostile Dockerfile tries every way out that we know, and so does the same program outside, on canaries: what it
//! reaches there it must not reach in a build, whoever starts that and in either mode. `docs/sandbox.md` has the table.

mod engine;
mod guard;
mod table;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use tempfile::TempDir;

use self::{
    guard::Guard,
    table::{Outcome, Row, Settings},
};
use crate::{
    jobs::buildroot,
    support::{Lab, Registry, fixtures, must, root},
};

/// The steps try as root, as nobody, and as nobody with a set-user-id program of the image.
const DOCKERFILE: &str = "FROM base.example/tiny:1\n\
    COPY probe canaries /hostile/\n\
    RUN cd /hostile && chmod 755 . probe && cp probe setuid && chmod 4755 setuid && mkdir -m 1777 scratch\n\
    RUN /hostile/probe try /hostile/canaries $RUN_NAME >/hostile/by-root\n\
    USER 65534:65534\n\
    RUN /hostile/probe try /hostile/canaries $RUN_NAME >/tmp/by-nobody\n\
    RUN /hostile/setuid try /hostile/canaries $RUN_NAME >/tmp/by-setuid\n";
const RESULTS: [&str; 3] = ["hostile/by-root", "tmp/by-nobody", "tmp/by-setuid"];
const RECIPE: &str = "[build]\non-refused = \"record\"\n";
/// What the machine's own kernel may not have, or have closed for root too. All others must be reached by root outside.
const MAY_LACK: &[&str] = &[
    "addresses",
    "any-proc",
    "binfmt",
    "bpf",
    "cgroup",
    "cgroup-procs",
    "devices",
    "dns",
    "families",
    "file-by-handle",
    "icmp",
    "io-uring",
    "kcore",
    "kexec",
    "kexec-file",
    "key",
    "key-by-number",
    "key-listed",
    "key-made",
    "modprobe",
    "module-file",
    "module-load",
    "module-unload",
    "mount-cgroup",
    "multicast",
    "netlink-audit",
    "netlink-sockets",
    "node-of-disk",
    "old-numbers",
    "page-counts",
    "page-faults",
    "perf",
    "ports",
    "posix-queue",
    "quota",
    "release-agent",
    "more-processes",
    "restart",
    "socketcall",
    "swap",
    "sysrq",
    "tcp-address",
    "connect-address",
    "address",
    "tcp6",
    "udp6",
    "udp-address",
    "raw6",
    "uevent",
    "vsock",
    "watches",
    "account",
];

/// The program, compiled; static, since it must run in any image.
fn probe(dir: &TempDir) -> PathBuf {
    let program = dir.path().join("probe");
    let sources = ["probe", "guard", "network", "gateway", "host", "kernel"];
    let mut compiler = Command::new("gcc");
    compiler.args(["-static", "-O1", "-o"]).arg(&program);
    must(compiler.args(sources.map(|name| fixtures(&format!("sandbox/{name}.c")))));
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    program
}

/// What the program said.
#[track_caller]
fn rows(text: &str) -> Vec<Row> {
    let rows: Vec<_> = text.lines().map(|line| Row::read(line).unwrap_or_else(|| panic!("{line}"))).collect();
    assert!(rows.len() > 100, "{text}");
    rows
}

/// Runs `command` with two more ways out: a variable and an open file.
fn leaking(command: &Command, guard: &Guard) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 7<\"$0\"; exec \"$@\""]).arg(guard.canary("file"));
    shell.arg(command.get_program()).args(command.get_args()).env_clear().env("CANARY", &guard.secret);
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
    shell
}

/// The same program outside, as the lab's user.
fn control(lab: &Lab, probe: &Path, guard: &Guard, as_root: bool) -> Vec<Row> {
    let canaries = guard.write("control", &[("throwaway", if as_root { "yes" } else { "no" })]);
    let mut command = lab.command(probe.to_str().unwrap());
    command.arg("try").arg(canaries).arg("control");
    rows(&Lab::run(leaking(&command, guard)).exits(0).out)
}

/// The same program in the steps of a build: its rows by each of [`RESULTS`].
fn inside(lab: &Lab, probe: &Path, guard: &Guard, run: &str, more: &[&str]) -> [Vec<Row>; 3] {
    let own = [
        ("walk", ""),
        ("scratch", "/hostile/scratch"),
        ("own", "/dev/.gw"),
        ("cage", "/.reprov"),
        ("proxy", "3128"),
    ];
    let canaries = guard.write(run, &own);
    let source = lab.commit(run, |dir| {
        std::fs::copy(probe, dir.join("probe")).unwrap();
        std::fs::copy(&canaries, dir.join("canaries")).unwrap();
        std::fs::write(dir.join("Dockerfile"), DOCKERFILE.replace("$RUN_NAME", run)).unwrap();
        std::fs::write(dir.join("reprov.toml"), RECIPE).unwrap();
    });
    let (registry, repository) = (Registry::shared(), format!("sandbox-{run}"));
    let allow = format!("local=http://127.0.0.1:{}/ok/", guard.canary("mirror"));
    let more = [more, &["--allow", &allow]].concat();
    let command = lab.building(registry, &source, &registry.name(&repository), &more);
    let ran = Lab::run(leaking(&command, guard)).exits(0);
    assert_eq!(lab.leftovers(), [""; 0]);
    let image = registry.image(&repository);
    let holds =
        |bytes: &[u8]| bytes.windows(guard.secret.len()).any(|window| window == guard.secret.as_bytes());
    assert!(!holds(ran.out.as_bytes()) && !holds(ran.err.as_bytes()), "{ran}");
    for (path, entry) in image.layers.iter().flatten() {
        assert!(!holds(&entry.bytes), "/{path} holds the secret");
    }
    RESULTS.map(|path| rows(&image.text(path)))
}

/// Everything of one user: what the control says, and each mode.
fn settle(lab: &Lab, probe: &Path, name: &'static str, settings: &Settings, buildroot: &str) {
    let guard = Guard::start(lab, probe);
    let outside = control(lab, probe, &guard, root() && name == "root");
    settings.controlled(&outside);
    for (mode, more) in [("host", &[][..]), ("image", &["--buildroot", buildroot])] {
        let run = format!("{name}-{mode}");
        for (whose, rows) in RESULTS.iter().zip(inside(lab, probe, &guard, &run, more)) {
            assert_eq!(rows.len(), outside.len());
            let out: Vec<_> = rows.iter().filter(|row| row.outcome == Outcome::Reached).collect();
            assert!(out.is_empty(), "{run}, {whose}: {out:#?}");
            settings.tried(&run, &rows);
        }
        assert!(
            !Command::new("grep")
                .args(["-rqs", &guard.secret, &lab.path("store")])
                .status()
                .unwrap()
                .success()
        );
    }
    engine::are_within(&engine::attempts(lab, probe, &guard, name));
    let untouched = guard.finish();
    for run in ["host", "image", "engine"].map(|mode| format!("{name}-{mode}")) {
        assert!(!untouched.iter().any(|line| line.contains(&run)), "{untouched:#?}");
    }
    assert!(untouched.iter().filter(|line| *line == "touched signal").count() <= 1, "{untouched:#?}");
}

#[test]
fn nothing_gets_out() {
    let dir = tempfile::Builder::new().prefix("reprov-it-probe-").tempdir_in("/var/tmp").unwrap();
    let (probe, settings) = (probe(&dir), Settings::default());
    let buildroot = &buildroot::shared().0;
    if root() {
        let (caller, ordinary) = (Lab::new(), Lab::ordinary());
        thread::scope(|scope| {
            scope.spawn(|| settle(&caller, &probe, "root", &settings, buildroot));
            scope.spawn(|| settle(&ordinary, &probe, "user", &settings, buildroot));
        });
        settings.all_controlled_but(MAY_LACK);
    } else {
        settle(&Lab::new(), &probe, "user", &settings, buildroot);
    }
    settings.agree_with_the_document();
}

#[test]
fn the_tests_that_the_document_names_exist() {
    table::names_exist();
}
