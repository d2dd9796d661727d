//! Answers for system calls of everything in the cage, static programs included: directories are read backwards, the
//! kernel has another name (seccomp_unotify(2)); who sets an affinity is told yes, and keeps the one it has, since newer
//! runtimes give a step all processors again. For varied replays only.
//!
//! The filter waits killably (Linux 5.19): a signal that interrupted a call after its answer was computed would lose
//! the entries that were read for it.

use std::{
    fs,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        raw::{c_int, c_long, c_ulong, c_void},
    },
    sync::mpsc,
};

use super::filter::{ALLOW, ANSWER, EQUAL, LOAD, MACHINE, NATIVE, NUMBER, Op, Program};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn ioctl(file: c_int, request: c_ulong, ...) -> c_int;
    fn uname(into: *mut Utsname) -> c_int;
}

/// Numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const GETDENTS64: u32 = 217;
    pub const UNAME: u32 = 63;
    pub const SCHED_SETAFFINITY: u32 = 203;
    pub const SECCOMP: i64 = 317;
    pub const PROCESS_VM_WRITEV: i64 = 310;
}
/// Numbers of system calls.
#[cfg(not(target_arch = "x86_64"))]
mod number {
    pub const GETDENTS64: u32 = 61;
    pub const UNAME: u32 = 160;
    pub const SCHED_SETAFFINITY: u32 = 122;
    pub const SECCOMP: i64 = 277;
    pub const PROCESS_VM_WRITEV: i64 = 271;
}
const PIDFD_OPEN: c_long = 434;
const PIDFD_GETFD: c_long = 438;

/// `SECCOMP_RET_USER_NOTIF`.
const ASK: u32 = 0x7fc0_0000;
/// `SECCOMP_RET_ERRNO` with no error: done, though nothing was.
const DONE: u32 = 0x0005_0000;
const SET_MODE_FILTER: c_int = 1;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` and `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
const LISTEN_KILLABLE: c_int = 1 << 3 | 1 << 5;
const RECEIVE: c_ulong = 0xc050_2100;
const SEND: c_ulong = 0xc018_2101;
const IS_VALID: c_ulong = 0x4008_2102;
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EINTR: i32 = 4;
const EACCES: i32 = 13;
const EFAULT: i32 = 14;

/// `struct seccomp_notif` with its `struct seccomp_data`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Asked {
    id: u64,
    thread: u32,
    flags: u32,
    number: u32,
    machine: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `struct new_utsname`.
#[repr(C)]
struct Utsname([[u8; 65]; 6]);

/// `struct iovec`.
#[repr(C)]
struct Piece {
    at: *mut c_void,
    length: usize,
}

/// Whose answers are others; `kernel`: release and version.
#[derive(Debug, Default)]
pub struct Wanted {
    pub order: bool,
    pub kernel: Option<(String, String)>,
}

/// Answers from now on for all that this thread starts. `fail` ends the cage: an answer that cannot be given would be
/// the kernel's own, and nothing varied.
pub fn start(wanted: Wanted, fail: fn(&str) -> !) -> Result<(), String> {
    if !wanted.order && wanted.kernel.is_none() {
        return Ok(());
    }
    let mut calls = Vec::new();
    calls.extend(wanted.order.then_some((number::GETDENTS64, ASK)));
    calls.extend(wanted.kernel.is_some().then_some((number::UNAME, ASK)));
    // Before the filter, so that its own calls are the kernel's.
    let (give, take) = mpsc::channel::<OwnedFd>();
    std::thread::spawn(move || {
        if let Ok(listener) = take.recv() {
            serve(&listener, &wanted, fail);
        }
    });
    let listener = install(&calls, LISTEN_KILLABLE)?;
    // SAFETY: a new descriptor that nobody else has.
    let listener = unsafe { OwnedFd::from_raw_fd(listener as RawFd) };
    give.send(listener).map_err(|_| "the thread that answers is gone".to_owned())
}

/// Keeps the affinity that this thread, and all that it starts, has now.
pub fn keep_affinity() -> Result<(), String> {
    install(&[(number::SCHED_SETAFFINITY, DONE)], 0).map(drop)
}

/// Puts a filter with these answers over this thread; what the kernel returns.
fn install(calls: &[(u32, u32)], flags: c_int) -> Result<c_long, String> {
    let ops = program(calls);
    let program = Program {
        length: u16::try_from(ops.len()).map_err(|_| "the filter is too long")?,
        ops: ops.as_ptr(),
    };
    // SAFETY: the kernel copies `length` live instructions; init has the rights to it in its user namespace.
    let result = unsafe { syscall(number::SECCOMP, SET_MODE_FILTER, flags, &program as *const Program) };
    if result < 0 {
        return Err(format!("cannot answer for system calls: {}", std::io::Error::last_os_error()));
    }
    Ok(result)
}

fn program(calls: &[(u32, u32)]) -> Vec<Op> {
    let op = |code, value| Op { code, jump_true: 0, jump_false: 0, value };
    let unless = |value, skipped| Op { code: EQUAL, jump_true: 0, jump_false: skipped, value };
    let native = Op { jump_true: 1, ..unless(NATIVE, 0) };
    let mut ops = vec![op(LOAD, MACHINE), native, op(ANSWER, ALLOW), op(LOAD, NUMBER)];
    for (number, answer) in calls {
        ops.extend([unless(*number, 1), op(ANSWER, *answer)]);
    }
    ops.push(op(ANSWER, ALLOW));
    ops
}

fn serve(listener: &OwnedFd, wanted: &Wanted, fail: fn(&str) -> !) {
    let listener = listener.as_raw_fd();
    loop {
        let mut asked = Asked::default();
        // SAFETY: the kernel fills a zeroed structure of this size.
        if unsafe { ioctl(listener, RECEIVE, &mut asked as *mut Asked) } < 0 {
            match errno() {
                EINTR | ENOENT => continue, // Who asked is gone.
                _ => return,                // So is everybody who could.
            }
        }
        let answered = match asked.number {
            number::GETDENTS64 => entries(listener, &asked),
            _ => name(listener, &asked, wanted),
        };
        let (value, error) = match answered {
            Ok(value) => (value, 0),
            Err(EPERM) => fail("init may not answer for the system calls of a step"),
            Err(error) => (0, -error),
        };
        let answer = Answer { id: asked.id, value, error, flags: 0 };
        // SAFETY: the kernel reads one structure. An error means that who asked is gone.
        unsafe { ioctl(listener, SEND, &answer as *const Answer) };
    }
}

/// getdents64(2), each piece backwards.
fn entries(listener: RawFd, asked: &Asked) -> Result<i64, i32> {
    let [file, into, size, ..] = asked.arguments;
    let file = theirs(asked.thread, file as RawFd)?;
    let mut bytes = vec![0_u8; (size as u32 as usize).min(1 << 20)];
    // SAFETY: the kernel writes at most that many bytes. The descriptor shares its position with theirs.
    let count = unsafe {
        syscall(c_long::from(number::GETDENTS64), file.as_raw_fd(), bytes.as_mut_ptr(), bytes.len())
    };
    let count = usize::try_from(count).map_err(|_| errno_not_permission())?;
    bytes.truncate(count);
    write(listener, asked, into, &backwards(&bytes))?;
    Ok(count as i64)
}

/// A directory may refuse to be read; that is no lack of our rights.
fn errno_not_permission() -> i32 {
    match errno() {
        EPERM => EACCES,
        error => error,
    }
}

/// The entries (`struct linux_dirent64`) in the opposite order; each place keeps its position in the directory.
fn backwards(bytes: &[u8]) -> Vec<u8> {
    const POSITION: std::ops::Range<usize> = 8..16;
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(length) = rest.get(16..18).map(|two| usize::from(u16::from_ne_bytes([two[0], two[1]]))) {
        let Some((entry, after)) = rest.split_at_checked(length.max(19)) else { break };
        found.push(entry);
        rest = after;
    }
    let mut turned = Vec::with_capacity(bytes.len());
    for (entry, place) in found.iter().rev().zip(&found) {
        let start = turned.len();
        turned.extend_from_slice(entry);
        turned[start..][POSITION].copy_from_slice(&place[POSITION]);
    }
    turned.extend_from_slice(rest);
    turned
}

/// uname(2).
fn name(listener: RawFd, asked: &Asked, wanted: &Wanted) -> Result<i64, i32> {
    let mut found = Utsname([[0; 65]; 6]);
    // SAFETY: libc's structure has this layout.
    unsafe { uname(&mut found) };
    if let Some((release, version)) = &wanted.kernel {
        for (field, text) in [(2, release), (3, version)] {
            found.0[field] = [0; 65];
            for (into, byte) in found.0[field].iter_mut().take(64).zip(text.bytes()) {
                *into = byte;
            }
        }
    }
    write(listener, asked, asked.arguments[0], found.0.as_flattened())?;
    Ok(0)
}

/// A copy of the descriptor `file` of the process that `thread` belongs to.
fn theirs(thread: u32, file: RawFd) -> Result<OwnedFd, i32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).map_err(|_| ESRCH)?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse::<c_int>().ok());
    let process = process.ok_or(ESRCH)?;
    // SAFETY: no memory is involved.
    let process = owned(unsafe { syscall(PIDFD_OPEN, process, 0) })?;
    // SAFETY: likewise.
    owned(unsafe { syscall(PIDFD_GETFD, process.as_raw_fd(), file, 0) })
}

fn owned(result: c_long) -> Result<OwnedFd, i32> {
    if result < 0 {
        return Err(errno());
    }
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(result as RawFd) })
}

/// Writes into the memory of who asked, who waits meanwhile.
fn write(listener: RawFd, asked: &Asked, into: u64, bytes: &[u8]) -> Result<(), i32> {
    // SAFETY: the kernel reads one number. An error: who asked is gone, and its id may be another's.
    if unsafe { ioctl(listener, IS_VALID, &asked.id as *const u64) } < 0 {
        return Err(ESRCH);
    }
    let here = Piece { at: bytes.as_ptr().cast_mut().cast(), length: bytes.len() };
    let there = Piece { at: into as *mut c_void, length: bytes.len() };
    let thread = asked.thread as c_int;
    // SAFETY: the kernel reads our live bytes; theirs it checks itself.
    let count = unsafe {
        syscall(
            number::PROCESS_VM_WRITEV,
            thread,
            &here as *const Piece,
            1 as c_ulong,
            &there as *const Piece,
            1 as c_ulong,
            0 as c_ulong,
        )
    };
    match usize::try_from(count) {
        Ok(count) if count == bytes.len() => Ok(()),
        Ok(_) => Err(EFAULT),
        Err(_) => Err(errno()),
    }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(EFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(position: u64, name: &str) -> Vec<u8> {
        let length = (19 + name.len() + 1).next_multiple_of(8);
        let mut bytes = vec![0; length];
        bytes[8..16].copy_from_slice(&position.to_ne_bytes());
        bytes[16..18].copy_from_slice(&u16::try_from(length).unwrap().to_ne_bytes());
        bytes[19..19 + name.len()].copy_from_slice(name.as_bytes());
        bytes
    }

    #[test]
    fn entries_are_turned_and_places_stay() {
        let bytes = [entry(7, "a"), entry(9, "a longer name"), entry(30, "c")].concat();
        let expected = [entry(7, "c"), entry(9, "a longer name"), entry(30, "a")].concat();
        assert_eq!(backwards(&bytes), expected);
        assert!(backwards(&[]).is_empty());
        assert_eq!(backwards(&bytes[..30]), bytes[..30], "what is cut off stays as it is");
    }

    #[test]
    fn only_what_is_wanted_asks() {
        let ops = program(&[(number::GETDENTS64, ASK), (number::SCHED_SETAFFINITY, DONE)]);
        let answer = |machine, called| {
            let (mut at, mut loaded) = (0, 0);
            loop {
                let op: Op = ops[at];
                at += 1;
                match op.code {
                    LOAD => loaded = if op.value == NUMBER { called } else { machine },
                    ANSWER => return op.value,
                    _ => at += usize::from(if loaded == op.value { op.jump_true } else { op.jump_false }),
                }
            }
        };
        assert_eq!(answer(NATIVE, number::GETDENTS64), ASK);
        assert_eq!(answer(NATIVE, number::SCHED_SETAFFINITY), DONE);
        assert_eq!(answer(NATIVE, number::UNAME), ALLOW);
        assert_eq!(answer(1, number::GETDENTS64), ALLOW);
    }

    #[test]
    fn structures_are_the_kernels() {
        assert_eq!((size_of::<Asked>(), size_of::<Answer>(), size_of::<Utsname>()), (80, 24, 390));
    }
}
