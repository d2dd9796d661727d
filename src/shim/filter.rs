//! A filter of system calls for everything in the cage, engine and runtime included: what no build needs and what
//! leads out of namespaces. Steps have the engine's stricter filter beside it (`runtime.rs`).
//!
//! Written here as classic BPF (seccomp(2)), since the shim has no libraries. The answer is ENOSYS, with which every
//! program can do: runc goes on without a keyring only then.

use std::os::raw::{c_int, c_ulong};

unsafe extern "C" {
    fn prctl(option: c_int, ...) -> c_int;
}

/// `struct sock_filter` (linux/filter.h).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Op {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub value: u32,
}

/// `struct sock_fprog`.
#[repr(C)]
pub struct Program {
    pub length: u16,
    pub ops: *const Op,
}

/// An instruction set: its number (linux/audit.h) and those of its system calls.
struct Calls {
    machine: u32,
    socket: u32,
    /// Numbers from here on are another set's (x32); none: 0.
    foreign_from: u32,
    denied: &'static [u32],
}

/// keyctl, add_key, request_key, bpf, userfaultfd, perf_event_open, init_module, finit_module, delete_module,
/// kexec_load, kexec_file_load; then io_uring_setup, _enter, _register.
#[cfg(target_arch = "x86_64")]
const SETS: &[Calls] = &[
    Calls {
        machine: 0xc000_003e,
        socket: 41,
        foreign_from: 0x4000_0000,
        denied: &[250, 248, 249, 321, 323, 298, 175, 313, 176, 246, 320, 425, 426, 427],
    },
    // i386; 102 is socketcall, where the family cannot be seen.
    Calls {
        machine: 0x4000_0003,
        socket: 359,
        foreign_from: 0,
        denied: &[288, 286, 287, 357, 374, 336, 128, 350, 129, 283, 425, 426, 427, 102],
    },
];
#[cfg(target_arch = "aarch64")]
const SETS: &[Calls] = &[
    Calls {
        machine: 0xc000_00b7,
        socket: 198,
        foreign_from: 0,
        denied: &[219, 217, 218, 280, 282, 241, 105, 273, 106, 104, 294, 425, 426, 427],
    },
    // 32-bit ARM.
    Calls {
        machine: 0x4000_0028,
        socket: 281,
        foreign_from: 0,
        denied: &[311, 309, 310, 386, 388, 364, 128, 379, 129, 347, 401, 425, 426, 427],
    },
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const SETS: &[Calls] = &[];

/// This program's own instruction set.
pub const NATIVE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };

/// Families of sockets up to netlink's; above are packets, virtual machines' hosts, kernel cryptography and rarities.
const FAMILIES: u32 = 17;

pub const LOAD: u16 = 0x20;
pub const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
pub const ANSWER: u16 = 0x06;
pub const ALLOW: u32 = 0x7fff_0000;
const ENOSYS: u32 = 0x0005_0000 | 38;

/// Offsets in `struct seccomp_data`.
pub const NUMBER: u32 = 0;
pub const MACHINE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

fn program() -> Vec<Op> {
    let op = |code, value| Op { code, jump_true: 0, jump_false: 0, value };
    // Skips the next so many if the comparison fails.
    let unless = |code, value, skipped| Op { code, jump_true: 0, jump_false: skipped, value };
    let mut ops = vec![op(LOAD, MACHINE)];
    for calls in SETS {
        let mut own = vec![op(LOAD, NUMBER)];
        if calls.foreign_from > 0 {
            own.extend([unless(AT_LEAST, calls.foreign_from, 1), op(ANSWER, ENOSYS)]);
        }
        for number in calls.denied {
            own.extend([unless(EQUAL, *number, 1), op(ANSWER, ENOSYS)]);
        }
        own.extend([
            unless(EQUAL, calls.socket, 3),
            op(LOAD, FIRST_ARGUMENT), // The lower half, on machines of little end.
            unless(AT_LEAST, FAMILIES, 1),
            op(ANSWER, ENOSYS),
            op(ANSWER, ALLOW),
        ]);
        let length = u8::try_from(own.len()).expect("a set is short");
        ops.push(unless(EQUAL, calls.machine, length));
        ops.extend(own);
    }
    ops.push(op(ANSWER, ENOSYS)); // Another instruction set.
    ops
}

/// Puts the filter over this process and all that it starts.
pub fn install() -> Result<(), String> {
    const PR_SET_SECCOMP: c_int = 22;
    const SECCOMP_MODE_FILTER: c_ulong = 2;
    if SETS.is_empty() {
        return Ok(());
    }
    let ops = program();
    let program = Program {
        length: u16::try_from(ops.len()).map_err(|_| "the filter is too long")?,
        ops: ops.as_ptr(),
    };
    // SAFETY: the kernel copies `length` live instructions from `ops`; init has the rights in its user namespace to do
    // so without `no_new_privs`, which would take set-user-id programs from steps.
    let failed = unsafe { prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program as *const Program) } != 0;
    if failed {
        return Err(format!("cannot filter system calls: {}", std::io::Error::last_os_error()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter answers: the kernel's own checks of a program are not repeated here.
    fn answer(machine: u32, number: u32, argument: u32) -> u32 {
        let (ops, mut at, mut loaded) = (program(), 0, 0);
        loop {
            let op = ops[at];
            at += 1;
            let holds = match op.code {
                LOAD => {
                    loaded = match op.value {
                        NUMBER => number,
                        MACHINE => machine,
                        _ => argument,
                    };
                    continue;
                }
                ANSWER => return op.value,
                EQUAL => loaded == op.value,
                AT_LEAST => loaded >= op.value,
                code => panic!("{code}"),
            };
            at += usize::from(if holds { op.jump_true } else { op.jump_false });
        }
    }

    #[test]
    fn only_what_is_listed_is_refused() {
        for calls in SETS {
            for number in 0..600 {
                let expected = if calls.denied.contains(&number) { ENOSYS } else { ALLOW };
                assert_eq!(answer(calls.machine, number, 2), expected, "{number}");
            }
            for (family, expected) in
                [(1, ALLOW), (16, ALLOW), (17, ENOSYS), (40, ENOSYS), (u32::MAX, ENOSYS)]
            {
                assert_eq!(answer(calls.machine, calls.socket, family), expected, "{family}");
            }
        }
        assert_eq!(answer(1, 0, 0), ENOSYS);
        if cfg!(target_arch = "x86_64") {
            assert_eq!(answer(SETS[0].machine, 0x4000_0000, 0), ENOSYS);
        }
    }
}
