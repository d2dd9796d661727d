//! A test in an image: in place of the step that the engine asks for, the commands of the test are run in its root file
//! system, one after the other, each in a container of its own. What they said, how they ended, what listened and what
//! is at the paths that were asked for goes to files beside the profile; reprov reads them.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd},
        raw::{c_int, c_long, c_ulong},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{FileTypeExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use super::json::Json;

unsafe extern "C" {
    fn prctl(option: c_int, ...) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
}

const PR_SET_CHILD_SUBREAPER: c_int = 36;
const SIGKILL: c_int = 9;
const WNOHANG: c_int = 1;
const EINTR_OR_AGAIN: [i32; 2] = [4, 11];
const OPENAT2: c_long = 437;
const O_PATH: u64 = 0o10_000_000;
const O_NOFOLLOW: u64 = if cfg!(target_arch = "aarch64") { 0o100_000 } else { 0o400_000 };
const O_CLOEXEC: u64 = 0o2_000_000;
const RESOLVE_IN_ROOT: u64 = 0x10;
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
/// Between two looks at whether a command has ended.
const PAUSE: Duration = Duration::from_millis(10);

/// `struct open_how` (openat2(2)).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// What is asked of the image, as reprov writes it (`profile/exam`, `profile/exam-files`).
struct Exam {
    /// The words of each command, as JSON.
    commands: Vec<Json>,
    /// `NAME=VALUE`, above the image's.
    env: Vec<Json>,
    /// Which of them is the one that is judged; the others prepare and clean up.
    judged: usize,
    /// Bytes of each stream, and of each file, that are kept.
    kept_bytes: usize,
    /// Most processes of the container's user.
    processes: u64,
    /// Ports that are looked for while the judged command runs.
    ports: Vec<u16>,
    /// Whether it is ended as soon as all of them listen.
    until_listening: bool,
    /// Paths that are looked at afterwards.
    files: Vec<PathBuf>,
}

/// Whether the profile holds a test.
pub fn wanted(profile: &Path) -> bool {
    profile.join("exam").exists()
}

/// Runs the test in the bundle, whose configuration is edited already; `args` are the engine's to the runtime `runtime`.
pub fn run(bundle: &Path, profile: &Path, runtime: &str, args: &[OsString]) -> Result<u8, String> {
    let exam = Exam::read(profile)?;
    let out = profile.parent().ok_or("the profile has no directory")?.join("out");
    fs::create_dir_all(&out).map_err(|error| format!("cannot create `{}`: {error}", out.display()))?;
    // SAFETY: no memory is involved. Who is left of a container is ours then, and not init's.
    if unsafe { prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } != 0 {
        return Err(format!("cannot wait for containers: {}", std::io::Error::last_os_error()));
    }
    let path = bundle.join("config.json");
    let text =
        fs::read_to_string(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let mut config = Json::parse(&text)?;
    let root = config.get("root").and_then(|root| root.get("path")).and_then(Json::text).unwrap_or_default();
    let root = bundle.join(root);
    for (index, words) in exam.commands.iter().enumerate() {
        let process = config.entry("process", Json::Object(Vec::new())).ok_or("config.json: no process")?;
        process.set("args", words.clone());
        process.set("terminal", Json::Scalar("false".into()));
        process.set("rlimits", limits(exam.processes));
        variables(process, &exam.env)?;
        let mut text = String::new();
        config.write(&mut text);
        fs::write(&path, text).map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
        let runtime = Runtime { program: runtime, args, id: format!("exam-{index}"), out: &out };
        let said = runtime.run(&exam, index)?;
        write(&out.join(format!("{index}.end")), said.as_bytes())?;
    }
    let seen = look(&root, &exam, &out)?;
    write(&out.join("files"), seen.as_bytes())?;
    write(&out.join("done"), b"")?;
    // Nothing is left for the engine to do; that it calls this a failure does no harm.
    Ok(1)
}

impl Exam {
    fn read(profile: &Path) -> Result<Self, String> {
        let path = profile.join("exam");
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let mut json = Json::parse(&text)?;
        let number = |json: &Json, key: &str| match json.get(key) {
            Some(Json::Scalar(raw)) => raw.parse::<u64>().map_err(|_| format!("exam: `{key}` is no number")),
            _ => Err(format!("exam: no `{key}`")),
        };
        let (judged, kept, processes) =
            (number(&json, "judged")?, number(&json, "kept")?, number(&json, "processes")?);
        let until_listening = json.get("until_listening") == Some(&Json::Scalar("true".into()));
        let mut list = |key: &str| {
            json.entry(key, Json::Array(Vec::new()))
                .and_then(Json::items)
                .map(std::mem::take)
                .unwrap_or_default()
        };
        let (commands, ports, env) = (list("commands"), list("ports"), list("env"));
        let port = |port: &Json| match port {
            Json::Scalar(raw) => raw.parse().ok(),
            _ => None,
        };
        let path = profile.join("exam-files");
        let files = fs::read(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let files = files.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok(Self {
            commands,
            env,
            judged: judged as usize,
            kept_bytes: kept as usize,
            processes,
            ports: ports.iter().filter_map(port).collect(),
            until_listening,
            files: files.map(|path| PathBuf::from(OsString::from_vec(path.to_vec()))).collect(),
        })
    }
}

fn limits(processes: u64) -> Json {
    let count = || Json::Scalar(processes.to_string());
    Json::Array(vec![Json::Object(vec![
        ("type".into(), Json::string("RLIMIT_NPROC")),
        ("hard".into(), count()),
        ("soft".into(), count()),
    ])])
}

/// Sets what the test sets; the later of a name counts.
fn variables(process: &mut Json, above: &[Json]) -> Result<(), String> {
    let name = |variable: &Json| match variable {
        Json::Scalar(raw) => raw.split('=').next().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let env = process.entry("env", Json::Array(Vec::new())).and_then(Json::items);
    let env = env.ok_or("config.json: process.env is not a list")?;
    for variable in above {
        env.retain(|known| name(known) != name(variable));
        env.push(variable.clone());
    }
    Ok(())
}

/// One command's container.
struct Runtime<'a> {
    program: &'a str,
    args: &'a [OsString],
    id: String,
    out: &'a Path,
}

impl Runtime<'_> {
    /// Runs it to its end; what is to be said of that, a line each.
    fn run(&self, exam: &Exam, index: usize) -> Result<String, String> {
        let pid_file = self.out.join("pid");
        let mut creating = self.command();
        creating.args(self.creating(&pid_file)).stdin(Stdio::null());
        creating.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            creating.spawn().map_err(|error| format!("cannot run `{}`: {error}", self.program))?;
        let kept = exam.kept_bytes;
        let keep = |stream: Option<Box<dyn Read + Send>>, name: &str| {
            let path = self.out.join(format!("{index}.{name}"));
            let file = File::create(&path)
                .map_err(|error| format!("cannot create `{}`: {error}", path.display()))?;
            let stream = stream.ok_or("no pipe")?;
            Ok::<_, String>(std::thread::spawn(move || keep(stream, file, kept)))
        };
        let stdout = keep(child.stdout.take().map(|pipe| Box::new(pipe) as _), "stdout")?;
        let stderr = keep(child.stderr.take().map(|pipe| Box::new(pipe) as _), "stderr")?;
        let created = child.wait().map_err(|error| format!("cannot wait for `{}`: {error}", self.program))?;
        let (mut said, mut seen) = ("unstarted\n".to_owned(), Vec::new());
        if created.success() {
            let pid = fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
            let pid: c_int = pid.ok_or("the runtime named no process")?;
            let ports: &[u16] = if index == exam.judged { &exam.ports } else { &[] };
            let started = self.command().arg("start").arg(&self.id).stdin(Stdio::null()).status();
            said = match started {
                Ok(status) if status.success() => wait(pid, ports, exam.until_listening, &mut seen)?,
                _ => said,
            };
        }
        let _ = self.command().args(["delete", "--force"]).arg(&self.id).stderr(Stdio::null()).status();
        reap();
        for (name, thread) in [("stdout", stdout), ("stderr", stderr)] {
            said.push_str(&format!("{name} {}\n", counted(thread)));
        }
        said.extend(seen.iter().map(|port| format!("port {port}\n")));
        Ok(said)
    }

    fn command(&self) -> Command {
        Command::new(self.program)
    }

    /// The engine's own words, with our id and our file for the process's number.
    fn creating(&self, pid_file: &Path) -> Vec<OsString> {
        let mut words = self.args.to_vec();
        for at in 1..words.len() {
            if words[at - 1] == "--pid-file" {
                words[at] = pid_file.into();
            }
        }
        if let Some(id) = words.last_mut() {
            *id = OsString::from(&self.id);
        }
        words
    }
}

/// Writes the first bytes of a stream to a file, and reads on to its end; how many there were.
fn keep(mut stream: Box<dyn Read + Send>, mut file: File, most: usize) -> u64 {
    let (mut buffer, mut count) = (vec![0; 64 << 10], 0u64);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return count,
            Ok(read) => {
                let room = most.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
                let _ = file.write_all(&buffer[..read.min(room)]); // A full disk is noticed by reprov: bytes are missing.
                count += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return count,
        }
    }
}

fn counted(thread: JoinHandle<u64>) -> u64 {
    thread.join().unwrap_or(u64::MAX)
}

/// Waits for the container's first process, looking for ports meanwhile; how it ended.
fn wait(pid: c_int, ports: &[u16], until_listening: bool, seen: &mut Vec<u16>) -> Result<String, String> {
    let mut stopped = false;
    loop {
        let mut status = 0;
        // SAFETY: `status` is a live c_int; the process is our child, since we reap what its parent left.
        let found = unsafe { waitpid(pid, &mut status, WNOHANG) };
        if found == pid {
            return Ok(match (status & 0x7f, stopped) {
                (_, true) => "listened\n".to_owned(),
                (0, _) => format!("exited {}\n", (status >> 8) & 0xff),
                (signal, _) => format!("signal {signal}\n"),
            });
        }
        let lost = std::io::Error::last_os_error();
        if found < 0 && !lost.raw_os_error().is_some_and(|code| EINTR_OR_AGAIN.contains(&code)) {
            return Err(format!("lost the container's process: {lost}"));
        }
        if !ports.is_empty() && !stopped {
            let listening = listening();
            for port in ports {
                if listening.contains(port) && !seen.contains(port) {
                    seen.push(*port);
                }
            }
            if until_listening && seen.len() == ports.len() {
                stopped = true;
                // SAFETY: no memory is involved; the process is our child and not waited for yet, so it is still this one.
                unsafe { kill(pid, SIGKILL) };
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Takes what else became ours.
fn reap() {
    let mut status = 0;
    // SAFETY: `status` is a live c_int.
    while unsafe { waitpid(-1, &mut status, WNOHANG) } > 0 {}
}

/// Ports of this network namespace, which the container shares, that something listens on.
fn listening() -> Vec<u16> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1).filter_map(listener)).collect()
}

/// The port of a line of proc_net(5) whose socket listens.
fn listener(line: &str) -> Option<u16> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
    let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    (state == "0A").then_some(port)
}

/// What is at each path in the root file system; links lead nowhere else.
fn look(root: &Path, exam: &Exam, out: &Path) -> Result<String, String> {
    let dir = File::open(root).map_err(|error| format!("cannot open `{}`: {error}", root.display()))?;
    let mut lines = String::new();
    for (index, path) in exam.files.iter().enumerate() {
        let mut line = |how: &str, file: &File| -> Option<bool> {
            let found = file.metadata().ok()?;
            let kind = found.file_type();
            let kind = match () {
                () if kind.is_dir() => "directory",
                () if kind.is_file() => "file",
                () if kind.is_symlink() => "symlink",
                () if kind.is_fifo() => "fifo",
                () if kind.is_socket() => "socket",
                () if kind.is_block_device() => "block",
                () => "char",
            };
            let (mode, uid, gid, size) = (found.mode() & 0o7777, found.uid(), found.gid(), found.size());
            lines.push_str(&format!("{index} {how} {kind} {mode:o} {uid} {gid} {size}\n"));
            Some(kind == "file")
        };
        if let Some(file) = open(&dir, path, O_NOFOLLOW) {
            line("own", &file);
            if let Some(target) = target_of(&file) {
                write(&out.join(format!("link-{index}")), &target)?;
            }
        }
        if let Some(file) = open(&dir, path, 0)
            && line("led", &file) == Some(true)
            && let Ok(contents) = File::open(link_of(&file))
        {
            let path = out.join(format!("file-{index}"));
            let mut kept = Vec::new();
            let _ = contents.take(exam.kept_bytes as u64).read_to_end(&mut kept); // Less than its size is noticed.
            write(&path, &kept)?;
        }
    }
    Ok(lines)
}

fn link_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Where the symbolic link that a descriptor stands for leads.
fn target_of(file: &File) -> Option<Vec<u8>> {
    unsafe extern "C" {
        fn readlinkat(dir: c_int, path: *const std::os::raw::c_char, buffer: *mut u8, size: usize) -> isize;
    }
    let mut buffer = vec![0; 4096];
    // SAFETY: the path is NUL-terminated, the buffer is as large as said.
    let count = unsafe { readlinkat(file.as_raw_fd(), c"".as_ptr(), buffer.as_mut_ptr(), buffer.len()) };
    buffer.truncate(usize::try_from(count).ok()?);
    Some(buffer)
}

/// Opens without reading: no device or pipe is touched.
fn open(dir: &File, path: &Path, flags: u64) -> Option<File> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let how = OpenHow {
        flags: O_PATH | O_CLOEXEC | flags,
        mode: 0,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    let size = std::mem::size_of::<OpenHow>() as c_ulong;
    // SAFETY: the path is NUL-terminated and `how` a live `struct open_how` of that size.
    let fd = unsafe { syscall(OPENAT2, dir.as_raw_fd(), path.as_ptr(), &how as *const OpenHow, size) };
    let fd = c_int::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the kernel just made it, and nobody else has it.
    Some(unsafe { File::from_raw_fd(fd) })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
            1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0\n\
            2: 0100007F:C350 0100007F:1F90 01 0:0\n";
        let found: Vec<_> = table.lines().skip(1).filter_map(listener).collect();
        assert_eq!(found, [8080, 80]);
    }

    #[test]
    fn links_lead_nowhere_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(dir.path().join("secret"), "outside").unwrap();
        fs::write(root.join("secret"), "inside").unwrap();
        std::os::unix::fs::symlink("../../secret", root.join("etc/up")).unwrap();
        std::os::unix::fs::symlink("/secret", root.join("etc/abs")).unwrap();
        std::os::unix::fs::symlink("/nowhere", root.join("etc/gone")).unwrap();
        let files = ["etc/up", "/etc/abs", "/etc/gone", "/none"].map(PathBuf::from).to_vec();
        let exam = Exam {
            commands: Vec::new(),
            env: Vec::new(),
            judged: 0,
            kept_bytes: 4,
            processes: 1,
            ports: Vec::new(),
            until_listening: false,
            files,
        };
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        let lines = look(&root, &exam, &out).unwrap();
        let kinds: Vec<_> =
            lines.lines().map(|line| line.splitn(4, ' ').take(3).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(kinds, ["0 own symlink", "0 led file", "1 own symlink", "1 led file", "2 own symlink"]);
        assert_eq!(fs::read_to_string(out.join("file-0")).unwrap(), "insi");
        assert_eq!(fs::read_to_string(out.join("link-1")).unwrap(), "/secret");
    }
}
