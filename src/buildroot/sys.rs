//! The system calls of the cage that need `unsafe`, and nothing else.
#![expect(unsafe_code, reason = "namespaces and an interface ioctl have no safe wrapper")]

use std::{io, os::fd::AsFd};

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
