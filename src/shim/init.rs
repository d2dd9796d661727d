//! Pid 1 of the cage: mounts /proc, closes nested user namespaces, runs the plan, reaps, and dies with reprov.

use std::{
    ffi::{CString, OsString},
    fs,
    io::Read,
    os::{
        raw::{c_char, c_int, c_ulong, c_void},
        unix::{ffi::OsStringExt, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

// The static libc is linked in; these four calls are all that std does not offer.
unsafe extern "C" {
    fn mount(source: *const c_char, target: *const c_char, kind: *const c_char, flags: c_ulong, text: *const c_void) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn setrlimit(resource: c_int, limit: *const [u64; 2]) -> c_int;
}

const MS_NOSUID_NODEV_NOEXEC: c_ulong = 2 | 4 | 8;
const SIGKILL: c_int = 9;
const RLIMIT_CORE: c_int = 4;

/// Runs each command of the plan (NUL-separated words, an empty word ends a command) until one fails; its exit code.
pub fn run(plan: &Path) -> Result<u8, String> {
    let bytes = fs::read(plan).map_err(|error| format!("cannot read the plan: {error}"))?;
    mount_proc()?;
    fs::write("/proc/sys/user/max_user_namespaces", "0")
        .map_err(|error| format!("cannot close nested user namespaces: {error}"))?;
    // SAFETY: the pointer is to a live [soft, hard] pair, as `struct rlimit` is on 64-bit Linux.
    unsafe { setrlimit(RLIMIT_CORE, &[0, 0]) };
    std::thread::spawn(die_with_reprov);
    for command in commands(&bytes) {
        let code = run_one(&command)?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
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
    // SAFETY: no memory is involved; -1 reaches only this pid namespace, not pid 1 itself.
    unsafe { kill(-1, SIGKILL) };
    std::process::exit(137);
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
            let signal = status & 0x7f;
            return Ok(if signal == 0 { u8::try_from((status >> 8) & 0xff).unwrap_or(255) } else { 128 | signal as u8 });
        }
        if pid < 0 && std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
            return Err("lost a child".into());
        }
    }
}
