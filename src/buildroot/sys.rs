//! The system calls of the cage that need `unsafe`, and nothing else.
#![expect(unsafe_code, reason = "namespaces and an interface ioctl have no safe wrapper")]

use std::{
    ffi::{c_int, c_long},
    io,
    os::fd::AsFd,
};

use rustix::{
    ioctl::{Setter, ioctl},
    thread::{UnshareFlags, unshare_unsafe},
};

/// Moves this process into new namespaces.
///
/// # Errors
/// Those of `unshare(2)`; `EINVAL` for a user namespace if the process has several threads.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the cage stage runs before any thread is started (`main` dispatches it first), so no other thread
    // shares the file table or memory whose sharing `unshare` could end.
    unsafe { unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// `struct ifreq` with flags, as `SIOCSIFFLAGS` takes it (netdevice(7)).
#[repr(C)]
struct InterfaceFlags {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

const SIOCSIFFLAGS: u32 = 0x8914;
const IFF_UP_RUNNING: i16 = 0x1 | 0x40;

/// Brings the loopback interface of this network namespace up.
///
/// # Errors
/// Those of the ioctl.
pub(super) fn loopback_up(socket: impl AsFd) -> io::Result<()> {
    let mut name = [0; 16];
    name[..2].copy_from_slice(b"lo");
    let request = InterfaceFlags { name, flags: IFF_UP_RUNNING, rest: [0; 22] };
    // SAFETY: SIOCSIFFLAGS reads one `struct ifreq` (40 bytes on 64-bit Linux), which `InterfaceFlags` lays out.
    unsafe { ioctl(socket, Setter::<{ SIOCSIFFLAGS }, InterfaceFlags>::new(request)) }
        .map_err(io::Error::from)
}

// The libc that std links anyway.
unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// `__NR_seccomp`.
#[cfg(target_arch = "x86_64")]
const SECCOMP: c_long = 317;
#[cfg(not(target_arch = "x86_64"))]
const SECCOMP: c_long = 277;
const SECCOMP_SET_MODE_FILTER: c_int = 1;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` and, since Linux 5.19, `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
const LISTEN_KILLABLE: c_int = 1 << 3 | 1 << 5;
/// Bad address.
const EFAULT: i32 = 14;

/// Whether a process may answer for the system calls of those it starts: flags are looked at before the filter, of
/// which there is none here, so nothing is installed.
///
/// # Errors
/// The kernel's.
pub(super) fn can_answer_for_calls() -> io::Result<()> {
    let nothing = std::ptr::null::<u8>();
    // SAFETY: the kernel reads the filter at a null pointer, which fails, and touches nothing else.
    unsafe { syscall(SECCOMP, SECCOMP_SET_MODE_FILTER, LISTEN_KILLABLE, nothing) };
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(EFAULT) => Ok(()),
        error => Err(error),
    }
}
