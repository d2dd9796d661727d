//! The kernel, and the three things taken from whatever libc is there.

use core::{
    arch::{asm, global_asm},
    ffi::{c_char, c_int, c_long},
    mem::MaybeUninit,
};

// Weak: a program without a libc may be preloaded into, too. Rust has no stable word for it, so the addresses are read
// from the object's own table of them; null if nobody has the function.
#[cfg(target_arch = "x86_64")]
macro_rules! weak {
    ($name:literal) => {{
        let address: usize;
        // SAFETY: reads one word of the global offset table, which the loader filled.
        unsafe {
            asm!(concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"), out(reg) address, options(pure, readonly, nostack));
        }
        address
    }};
}
#[cfg(target_arch = "aarch64")]
macro_rules! weak {
    ($name:literal) => {{
        let address: usize;
        // SAFETY: reads one word of the global offset table, which the loader filled.
        unsafe {
            asm!(concat!("adrp {0}, :got:", $name), concat!("ldr {0}, [{0}, :got_lo12:", $name, "]"), out(reg) address, options(pure, readonly, nostack));
        }
        address
    }};
}
global_asm!(".weak __errno_location", ".weak getauxval");

/// Numbers of system calls.
#[cfg(target_arch = "x86_64")]
pub(crate) mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const FSTAT: usize = 5;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const CLOCK_NANOSLEEP: usize = 230;
    pub(crate) const MQ_TIMEDSEND: usize = 242;
    pub(crate) const MQ_TIMEDRECEIVE: usize = 243;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const NEWFSTATAT: usize = 262;
    pub(crate) const TIMERFD_SETTIME: usize = 286;
    pub(crate) const STATX: usize = 332;
}
/// Numbers of system calls.
#[cfg(target_arch = "aarch64")]
pub(crate) mod number {
    pub(crate) const READ: usize = 63;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const FSTAT: usize = 80;
    pub(crate) const PRCTL: usize = 167;
    pub(crate) const CLOCK_GETTIME: usize = 113;
    pub(crate) const CLOCK_NANOSLEEP: usize = 115;
    pub(crate) const MQ_TIMEDSEND: usize = 182;
    pub(crate) const MQ_TIMEDRECEIVE: usize = 183;
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const NEWFSTATAT: usize = 79;
    pub(crate) const TIMERFD_SETTIME: usize = 86;
    pub(crate) const STATX: usize = 291;
}

/// A system call; what it returns, an error as a negative number.
///
/// # Safety
/// The arguments are what the call wants.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn call(number: usize, a: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: the kernel changes rax, rcx, r11 and memory that the arguments name.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3],
            in("r8") a[4], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}
/// A system call; what it returns, an error as a negative number.
///
/// # Safety
/// The arguments are what the call wants.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn call(number: usize, a: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: the kernel changes x0 and memory that the arguments name.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a[0] => result, in("x1") a[1], in("x2") a[2], in("x3") a[3],
            in("x4") a[4], options(nostack));
    }
    result
}

/// Which thread this is: its thread pointer, which glibc and musl alike keep where the ABI says.
pub(crate) fn thread() -> usize {
    let pointer: usize;
    // SAFETY: reads a register, or the word that points to itself at the start of the thread's block.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov {}, qword ptr fs:[0]", out(reg) pointer, options(pure, readonly, nostack));
        #[cfg(target_arch = "aarch64")]
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(pure, nomem, nostack));
    }
    pointer
}

/// Where this object's dynamic section is, by which it knows itself in the loader's list.
pub(crate) fn own_dynamic() -> usize {
    let address: usize;
    // SAFETY: computes an address.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(".hidden _DYNAMIC", "lea {}, [rip + _DYNAMIC]", out(reg) address, options(pure, nomem, nostack));
        #[cfg(target_arch = "aarch64")]
        asm!(".hidden _DYNAMIC", "adrp {0}, _DYNAMIC", "add {0}, {0}, :lo12:_DYNAMIC", out(reg) address, options(pure, nomem, nostack));
    }
    address
}

/// What the kernel told the program at its start (getauxval(3)); 0 if nothing or no libc.
pub(crate) fn auxiliary(kind: usize) -> usize {
    let address = weak!("getauxval");
    if address == 0 {
        return 0;
    }
    // SAFETY: glibc and musl declare it so.
    let getauxval: extern "C" fn(usize) -> usize = unsafe { core::mem::transmute(address) };
    getauxval(kind)
}

/// Where this thread's `errno` is; null without a libc.
pub(crate) fn errno() -> *mut c_int {
    let address = weak!("__errno_location");
    if address == 0 {
        return core::ptr::null_mut();
    }
    // SAFETY: glibc and musl declare it so.
    let location: extern "C" fn() -> *mut c_int = unsafe { core::mem::transmute(address) };
    location()
}

/// A system call's result as libc's functions give it.
pub(crate) fn returned(result: isize) -> c_int {
    if result >= 0 {
        return result as c_int;
    }
    let errno = errno();
    if !errno.is_null() {
        // SAFETY: libc's own place for it.
        unsafe { *errno = (0 - result) as c_int };
    }
    -1
}

/// A time as the kernel and libc write it (`struct timespec`).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: c_long,
}

/// The kernel's clock `id`; zero if it does not have it.
pub(crate) fn clock(id: c_int) -> Time {
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    // SAFETY: the kernel writes one `struct timespec`.
    unsafe { call(number::CLOCK_GETTIME, [id as usize, &raw mut time as usize, 0, 0, 0]) };
    time
}

/// Reads the start of the file at `path` into `space`.
pub(crate) fn read(path: *const c_char, space: &mut [MaybeUninit<u8>]) -> &[u8] {
    const AT_FDCWD: isize = -100;
    const O_CLOEXEC: usize = 0o2_000_000;
    // SAFETY: the path ends with NUL, and the kernel writes no more than the slice's length, which it says.
    unsafe {
        let file = call(number::OPENAT, [AT_FDCWD as usize, path as usize, O_CLOEXEC, 0, 0]);
        if file < 0 {
            return &[];
        }
        let count = call(number::READ, [file as usize, space.as_mut_ptr() as usize, space.len(), 0, 0]);
        call(number::CLOSE, [file as usize, 0, 0, 0, 0]);
        if count > 0 { core::slice::from_raw_parts(space.as_ptr().cast(), count as usize) } else { &[] }
    }
}
