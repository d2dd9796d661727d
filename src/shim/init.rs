//! Pid 1 of the cage: mounts /proc, closes nested user namespaces, filters system calls, runs the plan, reaps, and dies with reprov, or when
//! the build uses too much.

use std::{
    ffi::{CString, OsString},
    fs,
    io::{Read, Write},
    os::{
        fd::AsFd,
        raw::{c_char, c_int, c_ulong, c_void},
        unix::{ffi::OsStringExt, net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use super::{
    answer, filter, vary,
    watch::{self, Bounds, Over},
};

// The static libc is linked in; these calls are all that std does not offer.
unsafe extern "C" {
    fn mount(source: *const c_char, target: *const c_char, kind: *const c_char, flags: c_ulong, text: *const c_void) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn prlimit(pid: c_int, resource: c_int, new: *const [u64; 2], old: *mut [u64; 2]) -> c_int;
}

const MS_NOSUID_NODEV_NOEXEC: c_ulong = 2 | 4 | 8;
const SIGKILL: c_int = 9;
const NONE: u64 = u64::MAX;
/// Resource, soft and hard limit (setrlimit(2)): what a step may learn of limits is the same on every host, as far as
/// the host's own hard limits allow.
const LIMITS: [(c_int, u64, u64); 16] = [
    (0, NONE, NONE),         // CPU time
    (1, NONE, NONE),         // file size
    (2, NONE, NONE),         // data
    (3, 8 << 20, NONE),      // stack
    (4, 0, 0),               // core files
    (5, NONE, NONE),         // resident set
    (6, 16_384, 16_384),     // processes
    (7, 16_384, 16_384),     // open files: equal, since Go programs (the runtime) raise the one to the other
    (8, 8 << 20, 8 << 20),   // locked memory
    (9, NONE, NONE),         // address space
    (10, NONE, NONE),        // file locks
    (11, 16_384, 16_384),    // pending signals
    (12, 819_200, 819_200),  // message queues
    (13, 0, 0),              // nice
    (14, 0, 0),              // real-time priority
    (15, NONE, NONE),        // real-time
];

/// Most process ids of the cage, where the kernel counts them by namespace (Linux 6.14): beyond any bound that is
/// watched, it holds what is faster than the watch.
const PIDS_MAX: &str = "16384";

/// Runs each command of the plan (NUL-separated words, an empty word ends a command) until one fails; its exit code.
/// With `bounds` ([`Bounds::parse`]) the plan's directory is the build's, and what passes them ends the cage. `varied`:
/// see [`vary::apply`].
pub fn run(plan: &Path, bounds: Option<&str>, varied: &[String]) -> Result<u8, String> {
    let bytes = fs::read(plan).map_err(|error| format!("cannot read the plan: {error}"))?;
    mount_proc()?;
    fs::write("/proc/sys/user/max_user_namespaces", "0")
        .map_err(|error| format!("cannot close nested user namespaces: {error}"))?;
    limit();
    let wanted = vary::apply(varied)?;
    filter::install()?;
    let _ = fs::write("/proc/sys/kernel/pid_max", PIDS_MAX); // An older kernel refuses: it is the whole machine's there.
    std::thread::spawn(die_with_reprov);
    if let Some(text) = bounds {
        let bounds = Bounds::parse(text).ok_or("the bounds are not seven numbers")?;
        watch::start(bounds, plan.parent().unwrap_or(plan).to_owned(), say_and_end);
    }
    answer::start(wanted, fail)?;
    for command in commands(&bytes) {
        let code = run_one(&command)?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

fn limit() {
    for (resource, soft, hard) in LIMITS {
        let mut found = [0; 2];
        // SAFETY: both pointers are null or to a live [soft, hard] pair, as `struct rlimit` is on 64-bit Linux. A limit
        // that cannot be read or set stays the host's.
        unsafe {
            if prlimit(0, resource, std::ptr::null(), &mut found) == 0 {
                let hard = hard.min(found[1]);
                prlimit(0, resource, &[soft.min(hard), hard], std::ptr::null_mut());
            }
        }
    }
}

fn commands(bytes: &[u8]) -> Vec<Vec<OsString>> {
    let mut commands = vec![Vec::new()];
    for word in bytes.split(|byte| *byte == 0) {
        match (word.is_empty(), commands.last_mut()) {
            (false, Some(command)) => command.push(OsString::from_vec(word.to_vec())),
            _ => commands.push(Vec::new()),
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

fn mount_proc() -> Result<(), String> {
    let [proc, target] = [c"proc", c"/proc"].map(CString::from);
    // SAFETY: the three strings are NUL-terminated and outlive the call; proc takes no text.
    let failed = unsafe { mount(proc.as_ptr(), target.as_ptr(), proc.as_ptr(), MS_NOSUID_NODEV_NOEXEC, std::ptr::null()) };
    if failed != 0 {
        return Err(format!("cannot mount /proc in the cage: {}", std::io::Error::last_os_error()));
    }
    Ok(())
}

/// Standard input is a socket to reprov: its end, for whatever reason, ends the cage (and the kernel all in it).
fn die_with_reprov() {
    let mut buffer = [0; 64];
    while std::io::stdin().lock().read(&mut buffer).is_ok_and(|count| count > 0) {}
    end();
}

/// Tells reprov which bound was passed, and ends the cage.
fn say_and_end((name, allowed, found): Over) {
    if let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() {
        let _ = UnixStream::from(socket).write_all(format!("X{name} {allowed} {found}\n").as_bytes());
    }
    end();
}

/// Tells reprov why the cage cannot do what it is for, and ends it.
fn fail(why: &str) -> ! {
    killed(why);
    // SAFETY: as in `end`.
    unsafe { kill(-1, SIGKILL) };
    std::process::exit(125)
}

fn end() -> ! {
    // SAFETY: no memory is involved; -1 reaches only this pid namespace, not pid 1 itself.
    unsafe { kill(-1, SIGKILL) };
    std::process::exit(137)
}

fn run_one(command: &[OsString]) -> Result<u8, String> {
    let child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot run `{}`: {error}", command[0].display()))?;
    let wanted = c_int::try_from(child.id()).map_err(|_| "pid out of range")?;
    loop {
        let mut status = 0;
        // SAFETY: `status` is a live c_int; reaping every child is what pid 1 is for.
        let pid = unsafe { waitpid(-1, &mut status, 0) };
        if pid == wanted {
            return Ok(match status & 0x7f {
                0 => u8::try_from((status >> 8) & 0xff).unwrap_or(255),
                signal => killed(&format!("`{}` was ended by signal {signal}", command[0].display())),
            });
        }
        if pid < 0 && std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
            return Err("lost a child".into());
        }
    }
}

/// Tells reprov what ended though nothing failed, over the socket that is standard input; the exit code that says so.
fn killed(what: &str) -> u8 {
    if let Ok(control) = std::io::stdin().as_fd().try_clone_to_owned() {
        let _ = UnixStream::from(control).write_all(format!("K{what}").as_bytes()); // The exit code speaks too.
    }
    125
}
