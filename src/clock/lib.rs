//! The commit's clock: a shared object that RUN steps preload (docs/clock.md). Compiled by the build script, embedded in
//! reprov, written with its setting to `/dev/.gw` of a build.
//!
//! It has no libc of its own and needs none in particular: it is loaded into programs of glibc and musl, of any version.
//! What it must know stands in the object itself ([`setting::SETTING`]) and in what the kernel told the program, so it
//! opens no file (but for one kind of program) and makes no system call until it is asked for something. Nothing here
//! takes a lock, allocates or keeps what a fork would make wrong: all of it may be called from a signal handler.
//!
//! 64-bit x86 and ARM only, where `time_t`, `struct stat` and its old twins (`stat64`, `__xstat`) are what the kernel
//! writes.
#![no_std]
// No loop becomes a call of `memset` or `strlen`, which would be somebody else's.
#![no_builtins]

mod bytes;
mod file;
mod link;
mod program;
mod setting;
mod sys;
mod time;
mod wait;

/// Nothing here panics: no index, no division, no arithmetic that may overflow.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
