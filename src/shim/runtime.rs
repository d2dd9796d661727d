//! The OCI runtime the engine calls: on `create` it injects what a step needs and nothing that lasts.

use std::{
    ffi::OsString,
    fs,
    io::{ErrorKind, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use super::{cover, exam, json::Json, reach::unreached, seccomp, strays, view};

/// How what the shim adds is bound.
const READ_ONLY: [&str; 4] = ["rbind", "ro", "nosuid", "nodev"];

/// The one variable that is a list: what image or Dockerfile preload comes first, then ours.
const PRELOAD: &str = "LD_PRELOAD=";

/// Edits the bundle on `create`, then becomes runc with the same arguments. Returns only if it could not.
pub fn run(args: &[OsString]) -> Result<u8, String> {
    let profile = std::env::var_os("REPROV_SHIM").map(PathBuf::from).ok_or("REPROV_SHIM is not set")?;
    let runtime = read(&profile.join("runtime"))?;
    if args.iter().any(|word| word == "create" || word == "run") {
        let bundle = bundle(args).ok_or("`create` without --bundle")?;
        wait(&profile)?;
        edit(&bundle, &profile)?;
        if exam::wanted(&profile) {
            return exam::run(&bundle, &profile, runtime.trim_end(), args);
        }
    }
    if args.iter().any(|word| word == "delete") {
        let mut line = String::new();
        Json::Object(vec![
            ("ended".into(), Json::Scalar("true".into())),
            ("strays".into(), strays::counted()),
        ])
        .write(&mut line);
        append(&profile, &format!("{line}\n"))?;
    }
    let error = Command::new(runtime.trim_end()).args(args).exec();
    Err(format!("cannot run `{}`: {error}", runtime.trim_end()))
}

/// Where the steps of a build are held, waits until reprov lets this one begin.
fn wait(profile: &Path) -> Result<(), String> {
    let gate = profile.join("gate");
    if fs::symlink_metadata(&gate).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(());
    }
    let asked = UnixStream::connect(&gate).and_then(|mut gate| gate.read_exact(&mut [0]));
    asked.map_err(|error| format!("cannot wait at `{}`: {error}", gate.display()))
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

fn edit(bundle: &Path, profile: &Path) -> Result<(), String> {
    let path = bundle.join("config.json");
    let mut config = Json::parse(&read(&path)?)?;
    let lines = read(&profile.join("env"))?;
    let hostname = read(&profile.join("hostname"))?;
    environment(&mut config, &lines, &hostname)?;
    mounts(&mut config, bundle, profile, &hostname)?;
    // Only a clock that is not the real one is preloaded.
    let unreached =
        lines.lines().any(|line| line.starts_with(PRELOAD)).then(|| unreached(&config, bundle)).flatten();
    announce(&config, profile, unreached.as_deref())?;
    identity(&mut config, &hostname)?;
    capabilities(&mut config)?;
    seccomp::tighten(&mut config)?;
    let mut text = String::new();
    config.write(&mut text);
    write(&path, &text)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

/// One line a step: what runs, what went around the proxy before, where something is mounted (those mount points are not
/// the image's), and what of it the clock does not reach.
fn announce(config: &Json, profile: &Path, unreached: Option<&str>) -> Result<(), String> {
    let args = config.get("process").and_then(|process| process.get("args")).cloned();
    let destinations = match config.get("mounts") {
        Some(Json::Array(mounts)) => {
            mounts.iter().filter_map(|mount| mount.get("destination")).cloned().collect()
        }
        _ => Vec::new(),
    };
    let mut fields = vec![
        ("args".into(), args.unwrap_or(Json::Array(Vec::new()))),
        ("strays".into(), strays::counted()),
        ("mounts".into(), Json::Array(destinations)),
    ];
    fields.extend(unreached.map(|program| ("unreached".into(), Json::string(program))));
    let line = Json::Object(fields);
    let mut text = String::new();
    line.write(&mut text);
    text.push('\n');
    append(profile, &text)
}

/// The list that reprov reads to know which step runs.
fn append(profile: &Path, line: &str) -> Result<(), String> {
    let steps = profile.join("steps");
    fs::OpenOptions::new()
        .append(true)
        .open(&steps)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(|error| format!("cannot append to `{}`: {error}", steps.display()))
}

/// Adds `KEY=VALUE` lines; what image or Dockerfile set wins. The engine's random host name becomes ours.
fn environment(config: &mut Json, lines: &str, hostname: &str) -> Result<(), String> {
    let random =
        config.get("hostname").and_then(Json::text).map(|name| Json::string(&format!("HOSTNAME={name}")));
    let env = config
        .entry("process", Json::Object(Vec::new()))
        .and_then(|process| process.entry("env", Json::Array(Vec::new())))
        .and_then(Json::items)
        .ok_or("config.json: process.env is not a list")?;
    for variable in env.iter_mut().filter(|variable| Some(&**variable) == random.as_ref()) {
        *variable = Json::string(&format!("HOSTNAME={hostname}"));
    }
    for line in lines.lines().filter(|line| line.contains('=')) {
        let key = &line[..=line.find('=').unwrap_or(0)];
        let theirs =
            env.iter_mut().find(|set| key == PRELOAD && set.text().is_some_and(|set| set.starts_with(key)));
        if let Some(Json::Scalar(raw)) = theirs {
            raw.insert_str(raw.len() - 1, &format!(":{}", &line[key.len()..])); // Before the closing quote.
            continue;
        }
        // A locale set by the image in any way wins over ours.
        let taken = |set: &Json| {
            set.text().is_some_and(|set| set.starts_with(key) || (key == "LANG=" && set.starts_with("LC_")))
        };
        if !env.iter().any(taken) {
            env.push(Json::string(line));
        }
    }
    Ok(())
}

fn mounts(config: &mut Json, bundle: &Path, profile: &Path, hostname: &str) -> Result<(), String> {
    let root = config.get("root").and_then(|root| root.get("path")).and_then(Json::text);
    let root = bundle.join(root.unwrap_or_default());
    let mounts = config
        .entry("mounts", Json::Array(Vec::new()))
        .and_then(Json::items)
        .ok_or("config.json: mounts is not a list")?;
    let build = profile.parent().ok_or("the profile has no directory")?;
    let table = read(Path::new("/proc/self/mountinfo"))?;
    let table: Vec<_> = table.lines().filter_map(Mounted::read).collect();
    for mount in mounts.iter_mut() {
        contained(mount, &table, build)?;
        let target = mount.get("destination").and_then(Json::text).unwrap_or_default().to_owned();
        let Some(options) = mount.entry("options", Json::Array(Vec::new())).and_then(Json::items) else {
            continue;
        };
        if target == "/sys" || target.starts_with("/sys/") {
            options.retain(|option| !matches!(option.text(), Some("rw" | "ro")));
            options.extend(["ro", "rro"].map(Json::string)); // What is mounted below (cgroups) too.
        }
    }
    for (target, text) in view::constants(hostname) {
        constant(mounts, bundle, target, &text)?;
    }
    let source = profile.join("gw");
    mounts.push(bind("/dev/.gw", &source, &READ_ONLY)?);
    for (name, target) in cover::targets(&source, &root) {
        mounts.push(bind(&format!("/{target}"), &source.join(name), &READ_ONLY)?);
    }
    for (source, target) in view::views(profile) {
        mounts.push(bind(target, &source, &READ_ONLY)?);
    }
    Ok(())
}

/// A mount of this namespace (proc_pid_mountinfo(5)): device, root in its file system, mount point, kind.
struct Mounted<'a> {
    device: &'a str,
    root: &'a str,
    point: &'a str,
    kind: &'a str,
}

impl<'a> Mounted<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { device, root, point, kind: system.split(' ').next()? })
    }
}

/// A step's bind stays in the context, stage or cache it names. Old engines follow a link there into the cage's own
/// files and the host's programs, and `..` in a cache's name (CVE-2024-1753, CVE-2024-9675); what they then bind is
/// seen only in the table of mounts.
fn contained(mount: &Json, table: &[Mounted], build: &Path) -> Result<(), String> {
    let text = |key: &str| mount.get(key).and_then(Json::text).unwrap_or_default();
    let (source, target) = (text("source"), text("destination"));
    let kernel = ["/sys", "/dev", "/proc"].iter().any(|dir| Path::new(source).starts_with(dir));
    if text("type") != "bind" || (kernel && source == target && !source.contains("..")) {
        return Ok(());
    }
    let real =
        Path::new(source).canonicalize().map_err(|error| format!("cannot mount `{source}`: {error}"))?;
    let (device, path) = place(table, &real).ok_or("the table of mounts is incomplete")?;
    let (own, root) = place(table, build).ok_or("the table of mounts is incomplete")?;
    let in_build = device == own
        && ["context", "lowered", "tmp", "store"].iter().any(|dir| path.starts_with(root.join(dir)));
    let of_stage = |other: &Mounted| {
        other.kind == "overlay"
            && other.device == device
            && Path::new(other.point).starts_with(build.join("store"))
    };
    let in_stage = device != own && table.iter().any(of_stage);
    // Not by the path alone: the root may itself lie in some `/var/tmp`.
    let of_cache = |(root_device, root): (&str, PathBuf)| {
        root_device == device && path.starts_with(root.join("var/tmp"))
    };
    let in_cache = device != own && place(table, Path::new("/")).is_some_and(of_cache);
    if in_build || in_stage || in_cache {
        return Ok(());
    }
    Err(format!("the mount at `{target}` leads out of what the Dockerfile names, to `{}`", path.display()))
}

/// The device and the path in its file system of what is seen at `path`.
fn place<'a>(table: &[Mounted<'a>], path: &Path) -> Option<(&'a str, PathBuf)> {
    let covering = table.iter().filter(|mount| path.starts_with(mount.point));
    let mount = covering.max_by_key(|mount| Path::new(mount.point).components().count())?; // Of equals the last: the upper.
    Some((mount.device, Path::new(mount.root).join(path.strip_prefix(mount.point).ok()?)))
}

/// Each step has a copy of its own, which it may write to, as with the engine's. A mount the Dockerfile asked for
/// stays: its source is not in the bundle.
fn constant(mounts: &mut Vec<Json>, bundle: &Path, target: &str, text: &str) -> Result<(), String> {
    let found = mounts.iter().position(|mount| mount.get("destination").and_then(Json::text) == Some(target));
    if let Some(index) = found {
        let source = mounts[index].get("source").and_then(Json::text).unwrap_or_default();
        if !Path::new(source).starts_with(bundle) {
            return Ok(());
        }
        mounts.remove(index);
    }
    let file = bundle.join(format!("reprov{}", target.replace('/', "-")));
    write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))
        .map_err(|error| format!("cannot set the mode of `{}`: {error}", file.display()))?;
    mounts.push(bind(target, &file, &["rbind"])?);
    Ok(())
}

fn bind(target: &str, source: &Path, options: &[&str]) -> Result<Json, String> {
    let source = source.to_str().ok_or("the bundle's path is not UTF-8")?;
    Ok(Json::Object(vec![
        ("destination".into(), Json::string(target)),
        ("type".into(), Json::string("bind")),
        ("source".into(), Json::string(source)),
        ("options".into(), Json::strings(options.iter().copied())),
    ]))
}

/// The same for every build: host name, umask, limits (init set them) and no path of the host's cgroups. Hooks that
/// the host configured for its containers are not run.
fn identity(config: &mut Json, hostname: &str) -> Result<(), String> {
    config.set("hostname", Json::string(hostname));
    config.remove("hooks");
    let process = config.entry("process", Json::Object(Vec::new())).ok_or("config.json: no process")?;
    process
        .entry("user", Json::Object(Vec::new()))
        .ok_or("config.json: process.user")?
        .set("umask", Json::Scalar("18".into()));
    process.remove("rlimits");
    let linux =
        config.entry("linux", Json::Object(Vec::new())).ok_or("config.json: linux is not an object")?;
    let namespaces = linux
        .entry("namespaces", Json::Array(Vec::new()))
        .and_then(Json::items)
        .ok_or("config.json: linux.namespaces is not a list")?;
    if !namespaces.iter().any(|namespace| namespace.get("type").and_then(Json::text) == Some("cgroup")) {
        namespaces.push(Json::Object(vec![("type".into(), Json::string("cgroup"))]));
    }
    Ok(())
}

/// Takes away what old engines still give: nothing but loopback is there for raw packets.
fn capabilities(config: &mut Json) -> Result<(), String> {
    let sets = config
        .entry("process", Json::Object(Vec::new()))
        .and_then(|process| process.entry("capabilities", Json::Object(Vec::new())))
        .ok_or("config.json: process.capabilities is not an object")?;
    for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
        if let Some(names) = sets.entry(set, Json::Array(Vec::new())).and_then(Json::items) {
            names.retain(|name| name.text() != Some("CAP_NET_RAW"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"hostname":"0f1e","hooks":{"prestart":[{"path":"/host/hook"}]},
        "process":{"args":["/bin/sh","-c","printf '\u003ca\u003e \"é\"'"],"user":{"uid":7},"capabilities":{"bounding":["CAP_CHOWN","CAP_NET_RAW"]},
            "env":["PATH=/bin","HOSTNAME=0f1e","TZ=Europe/X"],"rlimits":[{"type":"RLIMIT_NOFILE","hard":1,"soft":1}]},
        "mounts":[{"destination":"/sys","type":"bind","source":"/sys","options":["rbind","ro"]},
            {"destination":"/etc/resolv.conf","type":"bind","source":"BUNDLE/resolv.conf","options":["rbind"]},
            {"destination":"/etc/hosts","type":"bind","source":"BUILD/context","options":["rbind"]}],
        "linux":{"namespaces":[{"type":"pid"}],"seccomp":{"defaultAction":"SCMP_ACT_ERRNO",
            "syscalls":[{"names":["socket","bpf","read"],"action":"SCMP_ACT_ALLOW"},{"names":["keyctl"],"action":"SCMP_ACT_ALLOW"}]}}}"#;

    /// The edited configuration, the bundle's path written as BUNDLE, and the announcement.
    fn edited(config: &str) -> Result<(String, String), String> {
        let dir = tempfile::tempdir().unwrap();
        let build = dir.path().canonicalize().unwrap();
        let (bundle, profile) = (build.join("tmp/b"), build.join("profile"));
        for path in [&bundle, &profile, &build.join("context"), &build.join("store/overlay/a/merged/x")] {
            fs::create_dir_all(path).unwrap();
        }
        for (link, target) in [("foo", Path::new("/")), ("own", &profile), ("good", Path::new("x"))] {
            std::os::unix::fs::symlink(target, build.join("store/overlay/a/merged").join(link)).unwrap();
        }
        fs::write(bundle.join("resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
        let name = bundle.to_str().unwrap();
        let config = config.replace("BUNDLE", name).replace("BUILD", build.to_str().unwrap());
        fs::write(bundle.join("config.json"), config).unwrap();
        fs::write(profile.join("env"), "TZ=UTC\nLANG=C.UTF-8\nLD_PRELOAD=/dev/.gw/clock.so\n").unwrap();
        fs::write(profile.join("steps"), "").unwrap();
        fs::write(profile.join("hostname"), "reprov").unwrap();
        edit(&bundle, &profile)?;
        let text = fs::read_to_string(bundle.join("config.json")).unwrap();
        let text = text.replace(name, "BUNDLE").replace(build.to_str().unwrap(), "BUILD");
        Ok((text, fs::read_to_string(profile.join("steps")).unwrap()))
    }

    #[test]
    fn a_step_is_given_constants() {
        let (text, steps) = edited(CONFIG).unwrap();
        for part in [
            r#""env":["PATH=/bin","HOSTNAME=reprov","TZ=Europe/X","LANG=C.UTF-8","LD_PRELOAD=/dev/.gw/clock.so"]"#,
            r#""hostname":"reprov""#,
            r#""user":{"uid":7,"umask":18}"#,
            r#""capabilities":{"bounding":["CAP_CHOWN"],"#,
            r#""args":["/bin/sh","-c","printf '\u003ca\u003e \"é\"'"]"#,
            r#"{"destination":"/sys","type":"bind","source":"/sys","options":["rbind","ro","rro"]}"#,
            r#"{"destination":"/etc/resolv.conf","type":"bind","source":"BUNDLE/reprov-etc-resolv.conf","options":["rbind"]}"#,
            r#"{"destination":"/etc/hosts","type":"bind","source":"BUILD/context","options":["rbind"]}"#,
            r#"[{"type":"pid"},{"type":"cgroup"}]"#,
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        for part in ["rlimits", "hooks", "NET_RAW", "0f1e", "BUNDLE/resolv.conf"] {
            assert!(!text.contains(part), "{part}\n{text}");
        }
        assert!(steps.ends_with(
            "\"mounts\":[\"/sys\",\"/etc/hosts\",\"/etc/hostname\",\"/etc/resolv.conf\",\"/run/.containerenv\",\"/dev/.gw\"]}\n"
        ), "{steps}");
    }

    #[test]
    fn what_a_step_preloads_comes_first() {
        let set = |value: &str| CONFIG.replace("TZ=Europe/X", &format!("LD_PRELOAD={value}"));
        for value in ["", "/a.so", "/a\\\"b.so:/c.so"] {
            let (text, _) = edited(&set(value)).unwrap();
            assert!(text.contains(&format!(r#""LD_PRELOAD={value}:/dev/.gw/clock.so""#)), "{text}");
            assert_eq!(text.matches("LD_PRELOAD").count(), 1);
        }
    }

    #[test]
    fn a_mount_does_not_lead_out_of_what_it_names() {
        let merged = "BUILD/store/overlay/a/merged";
        for source in ["good", "x"] {
            edited(&CONFIG.replace("BUILD/context", &format!("{merged}/{source}"))).unwrap();
        }
        for source in ["foo", "own", "../../../../profile"] {
            let error = edited(&CONFIG.replace("BUILD/context", &format!("{merged}/{source}"))).unwrap_err();
            assert!(error.contains("leads out of"), "{error}");
        }
        assert!(edited(&CONFIG.replace("BUILD/context", "/sys/../etc")).is_err());
    }

    #[test]
    fn what_is_bound_is_read_from_the_table_of_mounts() {
        let table = "2 1 8:1 /usr /usr ro - ext4 /dev/a rw\n3 1 8:1 /s\\040t/b-1 /.reprov/build rw - ext4 /dev/a rw\n\
            4 3 8:1 /s\\040t/b-1/store/overlay /.reprov/build/store/overlay rw - ext4 /dev/a rw\n\
            5 4 0:50 / /.reprov/build/store/overlay/x/merged rw - overlay overlay rw\n";
        let check_at = |root: &str, bound: &str, expected: bool| {
            // The engine binds below the working directory first: only the table says what is there.
            let table =
                format!("1 0 0:9 {root} / rw - tmpfs tmpfs rw\n{table}6 3 {bound} /tmp rw - x x rw\n");
            let table: Vec<_> = table.lines().filter_map(Mounted::read).collect();
            let mount = bind("/y", Path::new("/tmp"), &[]).unwrap();
            assert_eq!(contained(&mount, &table, Path::new("/.reprov/build")).is_ok(), expected, "{bound}");
        };
        let check = |bound: &str, expected: bool| check_at("/", bound, expected);
        check("8:1 /s\\040t/b-1/context/a", true);
        check("0:50 /usr/share", true);
        check("0:9 /var/tmp/buildah-cache-0/id", true);
        check("0:9 /", false);
        check("8:1 /usr", false);
        check("8:1 /s\\040t/b-1/profile", false);
        check("8:1 /s\\040t", false);
        check_at("/var/tmp/root", "0:9 /var/tmp/root", false);
        check_at("/var/tmp/root", "0:9 /var/tmp/root/etc", false);
        check_at("/var/tmp/root", "0:9 /var/tmp/root/var/tmp/buildah-cache-0/id", true);
    }

    #[test]
    fn the_filter_is_tightened_and_must_exist() {
        let (text, _) = edited(CONFIG).unwrap();
        let rules = &text[text.find("\"syscalls\":").unwrap()..];
        assert!(
            rules.starts_with(
                r#""syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["keyctl","#
            ),
            "{rules}"
        );
        assert!(rules.contains(
            r#"{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":1,"args":[{"index":0,"value":17,"op":"SCMP_CMP_GE"}]}"#
        ), "{rules}");
        for without in [
            CONFIG.replace("seccomp", "other"),
            CONFIG.replace("syscalls", "other"),
            CONFIG.replace("\"linux\"", "\"x\""),
        ] {
            assert!(edited(&without).unwrap_err().contains("no seccomp filter"));
        }
    }

    #[test]
    fn the_bundle_is_found_however_it_is_written() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for text in [
            "create --bundle /b id",
            "create --bundle=/b id",
            "--log x create -b /b id",
            "run --bundle /b id",
        ] {
            assert_eq!(bundle(&words(text)), Some(PathBuf::from("/b")), "{text}");
        }
        assert_eq!(bundle(&words("create id")), None);
    }
}
