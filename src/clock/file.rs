//! File times, for archivers: what was written after the commit is from the commit. Everybody else sees what is true.

use core::ffi::{c_char, c_int, c_uint};

use super::{
    program::{Program, program},
    setting::{Setting, setting},
    sys::{call, number, returned},
};

const AT_FDCWD: c_int = -100;
const AT_SYMLINK_NOFOLLOW: c_int = 0x100;
/// Where the times are in `struct stat` (atime, mtime, ctime: seconds and nanoseconds of 8 bytes each).
const STAT_TIMES: [usize; 3] = [72, 88, 104];
/// Where the times are in `struct statx` (atime, btime, ctime, mtime: seconds of 8 bytes, nanoseconds of 4).
const STATX_TIMES: [usize; 4] = [64, 80, 96, 112];

/// Takes every time in `found` back to the commit's, if a call succeeded and this is an archiver.
unsafe fn clamp(result: isize, found: *mut u8, times: &[usize]) -> c_int {
    if result == 0
        && let Setting::Stands(commit) = setting()
        && program() == Program::Archiver
    {
        for &time in times {
            // SAFETY: the kernel has just filled the caller's structure, which has times at these places.
            unsafe {
                let seconds = found.add(time).cast::<i64>();
                if seconds.read_unaligned() >= commit {
                    seconds.write_unaligned(commit);
                    found.add(time + 8).cast::<u32>().write_unaligned(0); // Less than 2^32, and little-endian.
                }
            }
        }
    }
    returned(result)
}

unsafe fn at(dir: c_int, path: *const c_char, found: *mut u8, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe {
        let result =
            call(number::NEWFSTATAT, [dir as usize, path as usize, found as usize, flags as usize, 0]);
        clamp(result, found, &STAT_TIMES)
    }
}

unsafe fn of(file: c_int, found: *mut u8) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { clamp(call(number::FSTAT, [file as usize, found as usize, 0, 0, 0]), found, &STAT_TIMES) }
}

/// Defines a function of stat(2)'s family under the names it has: on 64 bits the one with `64` is the same, and
/// `__xstat` of glibc before 2.33 has a version in front that only ever had one value.
macro_rules! family {
    ($($parameters:tt $body:block $($name:ident)*;)*) => {
        $(family!(@each $parameters $body $($name)*);)*
    };
    (@each $parameters:tt $body:block $($name:ident)*) => {
        $(family!(@one $parameters $body $name);)*
    };
    (@one ($($parameter:ident: $kind:ty),*) $body:block $name:ident) => {
        /// stat(2).
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($parameter: $kind),*) -> c_int {
            // SAFETY: the caller's arguments.
            unsafe { $body }
        }
    };
}

type Path = *const c_char;
type Found = *mut u8;

family! {
    (path: Path, found: Found) { at(AT_FDCWD, path, found, 0) } stat stat64;
    (path: Path, found: Found) { at(AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW) } lstat lstat64;
    (file: c_int, found: Found) { of(file, found) } fstat fstat64;
    (dir: c_int, path: Path, found: Found, flags: c_int) { at(dir, path, found, flags) } fstatat fstatat64;
    (_version: c_int, path: Path, found: Found) { at(AT_FDCWD, path, found, 0) } __xstat __xstat64;
    (_version: c_int, path: Path, found: Found) { at(AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW) } __lxstat __lxstat64;
    (_version: c_int, file: c_int, found: Found) { of(file, found) } __fxstat __fxstat64;
    (_version: c_int, dir: c_int, path: Path, found: Found, flags: c_int) { at(dir, path, found, flags) }
        __fxstatat __fxstatat64;
}

/// statx(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn statx(dir: c_int, path: Path, flags: c_int, mask: c_uint, found: Found) -> c_int {
    let arguments = [dir as usize, path as usize, flags as usize, mask as usize, found as usize];
    // SAFETY: the caller's arguments.
    unsafe { clamp(call(number::STATX, arguments), found, &STATX_TIMES) }
}
