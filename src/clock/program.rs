//! What program this is: archivers see file times clamped, builders that compare times see the real clock.

use core::{
    ffi::c_char,
    mem::MaybeUninit,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

use super::{
    bytes::{same, starts, until_nul},
    sys::{auxiliary, call, number, read},
};

/// Programs that write file times into what they make.
const ARCHIVERS: [&[u8]; 31] = [
    b"tar",
    b"gtar",
    b"bsdtar",
    b"star",
    b"pax",
    b"cpio",
    b"bsdcpio",
    b"zip",
    b"7z",
    b"7za",
    b"7zr",
    b"7zz",
    b"gzip",
    b"pigz",
    b"zopfli",
    b"lzop",
    b"ar",
    b"ranlib",
    b"jar",
    b"fastjar",
    b"mksquashfs",
    b"mkfs.erofs",
    b"mke2fs",
    b"mkfs.ext2",
    b"mkfs.ext3",
    b"mkfs.ext4",
    b"genisoimage",
    b"mkisofs",
    b"xorriso",
    b"xorrisofs",
    b"makeself",
];
/// Programs that hold file times, which are real, against the clock.
const BUILDERS: [&[u8]; 6] = [b"make", b"gmake", b"remake", b"ninja", b"ninja-build", b"samu"];
/// Modules that make python an archiver (`python3 -m zipfile`).
const MODULES: [&[u8]; 3] = [b"zipfile", b"tarfile", b"zipapp"];

/// What a program is to the clock.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
pub(crate) enum Program {
    Any = 1,
    Archiver = 2,
    Builder = 3,
}

/// Found once, at the first question. Threads that ask at the same time find the same. A name that the program gives
/// itself later changes nothing.
pub(crate) fn program() -> Program {
    static FOUND: AtomicU8 = AtomicU8::new(0);
    match FOUND.load(Relaxed) {
        1 => Program::Any,
        2 => Program::Archiver,
        3 => Program::Builder,
        _ => {
            let found = find();
            FOUND.store(found as u8, Relaxed);
            found
        }
    }
}

fn find() -> Program {
    const AT_EXECFN: usize = 31;
    const PR_GET_NAME: usize = 16;
    let path = auxiliary(AT_EXECFN) as *const c_char;
    if !path.is_null() {
        // SAFETY: the kernel put the path that was executed above the stack, with its NUL.
        let path = unsafe { until_nul(path) };
        if !starts(path, b"/dev/fd/") && !starts(path, b"/proc/") {
            return of_name(last(path, b'/'));
        }
    }
    let mut name: [c_char; 16] = [0; 16];
    // SAFETY: the kernel writes at most 16 bytes, NUL included.
    of_name(unsafe {
        call(number::PRCTL, [PR_GET_NAME, &raw mut name as usize, 0, 0, 0]);
        until_nul(name.as_ptr())
    })
}

fn of_name(name: &[u8]) -> Program {
    if starts(name, b"python") {
        return if python_archives() { Program::Archiver } else { Program::Any };
    }
    let name = without_version(name);
    // `x86_64-linux-gnu-ar` and `llvm-ranlib` are those.
    let tool = last(name, b'-');
    if among(&ARCHIVERS, name) || among(&[b"ar", b"ranlib"], tool) {
        Program::Archiver
    } else if among(&BUILDERS, name) {
        Program::Builder
    } else {
        Program::Any
    }
}

/// `llvm-ar-14` without `-14`.
fn without_version(name: &[u8]) -> &[u8] {
    let version = last(name, b'-');
    let digits = version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    match name.len().checked_sub(version.len() + 1) {
        Some(length) if digits => name.get(..length).unwrap_or(name),
        _ => name,
    }
}

fn last(text: &[u8], separator: u8) -> &[u8] {
    text.rsplit(|byte| *byte == separator).next().unwrap_or(text)
}

fn among(names: &[&[u8]], name: &[u8]) -> bool {
    names.iter().any(|one| same(one, name))
}

/// Whether the first words of this program's arguments are `-m` and an archiving module.
fn python_archives() -> bool {
    let mut space = [MaybeUninit::uninit(); 256];
    let words = read(c"/proc/self/cmdline".as_ptr(), &mut space);
    let mut words = words.split(|byte| *byte == 0).skip(1);
    while let Some(word) = words.next() {
        if same(word, b"-m") {
            return words.next().is_some_and(|module| among(&MODULES, module));
        }
        if !starts(word, b"-") || same(word, b"-c") {
            return false;
        }
    }
    false
}
