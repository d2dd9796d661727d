//! The OCI runtime the engine calls: on `create` it injects what a step needs and nothing that lasts.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::json::Json;

/// System calls no build needs and that open attack surface; answered EPERM.
const DENIED: &[&str] = &[
    "keyctl", "add_key", "request_key", "bpf", "userfaultfd", "perf_event_open", "io_uring_setup",
    "io_uring_enter", "io_uring_register",
];

/// Edits the bundle on `create`, then becomes runc with the same arguments. Returns only if it could not.
pub fn run(args: &[OsString]) -> Result<u8, String> {
    let profile = std::env::var_os("REPROV_SHIM").map(PathBuf::from).ok_or("REPROV_SHIM is not set")?;
    let runtime = read(&profile.join("runtime"))?;
    if args.iter().any(|word| word == "create" || word == "run") {
        let bundle = bundle(args).ok_or("`create` without --bundle")?;
        edit(&bundle.join("config.json"), &profile)?;
    }
    let error = Command::new(runtime.trim_end()).args(args).exec();
    Err(format!("cannot run `{}`: {error}", runtime.trim_end()))
}

fn bundle(args: &[OsString]) -> Option<PathBuf> {
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if word == "--bundle" || word == "-b" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--bundle=")) {
            return Some(PathBuf::from(path));
        }
    }
    None
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

fn edit(path: &Path, profile: &Path) -> Result<(), String> {
    let mut config = Json::parse(&read(path)?)?;
    announce(&config, profile)?;
    environment(&mut config, &read(&profile.join("env"))?)?;
    mounts(&mut config, profile)?;
    config.set("hostname", Json::string("reprov"));
    identity(&mut config)?;
    seccomp(&mut config);
    let mut text = String::new();
    config.write(&mut text);
    fs::write(path, text).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

/// One line a step: what runs, and where the engine mounts (those mount points are not the image's).
fn announce(config: &Json, profile: &Path) -> Result<(), String> {
    let args = config.get("process").and_then(|process| process.get("args")).cloned();
    let destinations = match config.get("mounts") {
        Some(Json::Array(mounts)) => mounts.iter().filter_map(|mount| mount.get("destination")).cloned().collect(),
        _ => Vec::new(),
    };
    let line = Json::Object(vec![
        ("args".into(), args.unwrap_or(Json::Array(Vec::new()))),
        ("mounts".into(), Json::Array(destinations)),
    ]);
    let mut text = String::new();
    line.write(&mut text);
    text.push('\n');
    let steps = profile.join("steps");
    fs::OpenOptions::new()
        .append(true)
        .open(&steps)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("cannot append to `{}`: {error}", steps.display()))
}

/// Adds `KEY=VALUE` lines; what image or Dockerfile set wins.
fn environment(config: &mut Json, lines: &str) -> Result<(), String> {
    let env = config
        .entry("process", Json::Object(Vec::new()))
        .and_then(|process| process.entry("env", Json::Array(Vec::new())))
        .and_then(Json::items)
        .ok_or("config.json: process.env is not a list")?;
    for line in lines.lines().filter(|line| line.contains('=')) {
        let key = &line[..=line.find('=').unwrap_or(0)];
        // A locale set by the image in any way wins over ours.
        let taken = |set: &Json| set.text().is_some_and(|set| set.starts_with(key) || (key == "LANG=" && set.starts_with("LC_")));
        if !env.iter().any(taken) {
            env.push(Json::string(line));
        }
    }
    Ok(())
}

fn mounts(config: &mut Json, profile: &Path) -> Result<(), String> {
    let source = profile.join("gw");
    let source = source.to_str().ok_or("profile path is not UTF-8")?;
    let hostname = profile.join("hostname");
    let hostname = hostname.to_str().ok_or("profile path is not UTF-8")?;
    let mounts = config.entry("mounts", Json::Array(Vec::new())).and_then(Json::items).ok_or("config.json: mounts is not a list")?;
    for mount in mounts.iter_mut() {
        match mount.get("destination").and_then(Json::text) {
            Some("/sys/fs/cgroup") => {
                if let Some(options) = mount.entry("options", Json::Array(Vec::new())).and_then(Json::items) {
                    options.retain(|option| !matches!(option.text(), Some("rw" | "ro")));
                    options.push(Json::string("ro"));
                }
            }
            Some("/etc/hostname") => mount.set("source", Json::string(hostname)),
            _ => {}
        }
    }
    mounts.push(Json::Object(vec![
        ("destination".into(), Json::string("/dev/.gw")),
        ("type".into(), Json::string("bind")),
        ("source".into(), Json::string(source)),
        ("options".into(), Json::strings(["rbind", "ro", "nosuid", "nodev"])),
    ]));
    Ok(())
}

fn identity(config: &mut Json) -> Result<(), String> {
    let process = config.entry("process", Json::Object(Vec::new())).ok_or("config.json: no process")?;
    process.entry("user", Json::Object(Vec::new())).ok_or("config.json: process.user")?.set("umask", Json::Scalar("18".into()));
    Ok(())
}

fn seccomp(config: &mut Json) {
    let Some(Json::Object(linux)) = config.entry("linux", Json::Object(Vec::new())) else { return };
    let Some((_, filter)) = linux.iter_mut().find(|(name, _)| name == "seccomp") else { return };
    let Some(rules) = filter.entry("syscalls", Json::Array(Vec::new())).and_then(Json::items) else { return };
    for rule in rules.iter_mut() {
        if let Some(names) = rule.entry("names", Json::Array(Vec::new())).and_then(Json::items) {
            names.retain(|name| !name.text().is_some_and(|name| DENIED.contains(&name)));
        }
    }
    rules.retain(|rule| !matches!(rule.get("names"), Some(Json::Array(names)) if names.is_empty()));
    rules.push(Json::Object(vec![
        ("names".into(), Json::strings(DENIED.iter().copied())),
        ("action".into(), Json::string("SCMP_ACT_ERRNO")),
        ("errnoRet".into(), Json::Scalar("1".into())),
    ]));
}
