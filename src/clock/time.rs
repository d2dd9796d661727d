//! What time it is.

use core::{
    ffi::{c_int, c_long, c_void},
    sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
};

use super::{
    link,
    program::{Program, program},
    setting::{Setting, setting},
    sys::{self, Time, number, returned},
};

pub(crate) const REALTIME: c_int = 0;
pub(crate) const MONOTONIC: c_int = 1;

/// What the clock shows to this program: a builder holds it against file times, which are real.
pub(crate) fn shown() -> Setting {
    match setting() {
        Setting::Stands(_) | Setting::Shifted(_) if program() == Program::Builder => Setting::Real,
        setting => setting,
    }
}

/// Whether `id` is a clock of the wall: realtime, its coarse form, its alarm, and atomic time.
pub(crate) fn of_wall(id: c_int) -> bool {
    matches!(id, REALTIME | 5 | 8 | 11)
}

/// The wall's time, as this thread sees it.
pub(crate) fn now(setting: Setting) -> Time {
    match setting {
        Setting::Stands(seconds) => waited(seconds),
        Setting::Shifted(by) => moved(sys::clock(REALTIME), by),
        Setting::Real => sys::clock(REALTIME),
    }
}

pub(crate) fn moved(time: Time, by: i64) -> Time {
    Time { seconds: time.seconds.saturating_add(by), ..time }
}

/// How many threads are known that waited until a time of the wall; later ones share places.
const THREADS: usize = 64;
static WAITED: AtomicUsize = AtomicUsize::new(0);
static WHO: [AtomicUsize; THREADS] = [const { AtomicUsize::new(0) }; THREADS];
static UNTIL: [AtomicI64; THREADS] = [const { AtomicI64::new(0) }; THREADS];

/// A standing clock, for this thread: not before the latest time it has waited for. Whoever waits until a time sees
/// that time when it has come, or would wait for ever; nobody else does.
fn waited(stands: i64) -> Time {
    let standing = Time { seconds: stands, nanoseconds: 0 };
    if WAITED.load(Relaxed) == 0 {
        return standing;
    }
    let thread = sys::thread();
    let of_thread = WHO.iter().zip(&UNTIL).find(|(who, _)| who.load(Relaxed) == thread);
    let until = of_thread.map_or(0, |(_, until)| until.load(Relaxed));
    if until > stands { Time { seconds: until, nanoseconds: 0 } } else { standing }
}

/// Notes that this thread has waited until `deadline`. Whole seconds, rounded up.
pub(crate) fn note(deadline: Time) {
    let thread = sys::thread();
    let until = deadline.seconds.saturating_add(i64::from(deadline.nanoseconds > 0));
    let own = WHO.iter().position(|who| who.load(Relaxed) == thread);
    let place =
        own.or_else(|| WHO.iter().position(|who| who.compare_exchange(0, thread, Relaxed, Relaxed).is_ok()));
    let place = place.unwrap_or((thread >> 12) % THREADS);
    if let (Some(who), Some(place)) = (WHO.get(place), UNTIL.get(place)) {
        let before = if own.is_some() { place.load(Relaxed) } else { 0 };
        place.store(until.max(before), Relaxed); // A thread that had the place before forgets its own, and waits once more.
        who.store(thread, Relaxed);
        WAITED.store(1, Relaxed);
    }
}

/// clock_gettime(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(id: c_int, into: *mut Time) -> c_int {
    let setting = if of_wall(id) { shown() } else { Setting::Real };
    if setting != Setting::Real && !into.is_null() {
        // SAFETY: the caller's `struct timespec`.
        unsafe { *into = now(setting) };
        return 0;
    }
    // Libc's own reads the running clocks without a system call.
    type Real = unsafe extern "C" fn(c_int, *mut Time) -> c_int;
    static REAL: link::Next = link::Next::new("clock_gettime");
    match REAL.find() {
        // SAFETY: libc declares it so; the arguments are the caller's.
        Some(real) => unsafe { core::mem::transmute::<*const c_void, Real>(real)(id, into) },
        // SAFETY: the arguments are the caller's.
        None => returned(unsafe { sys::call(number::CLOCK_GETTIME, [id as usize, into as usize, 0, 0, 0]) }),
    }
}

/// time(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn time(into: *mut i64) -> i64 {
    let seconds = now(shown()).seconds;
    if !into.is_null() {
        // SAFETY: the caller's `time_t`.
        unsafe { *into = seconds };
    }
    seconds
}

/// gettimeofday(2); the time zone, which nobody fills any more, is zero.
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(into: *mut [i64; 2], zone: *mut [c_int; 2]) -> c_int {
    let time = now(shown());
    // SAFETY: the caller's `struct timeval` and `struct timezone`.
    unsafe {
        if !into.is_null() {
            *into = [time.seconds, time.nanoseconds / 1000];
        }
        if !zone.is_null() {
            *zone = [0, 0];
        }
    }
    0
}

/// `timespec_get` of C11: base 1 is `TIME_UTC`, 2 and 3 are C23's `TIME_MONOTONIC` and `TIME_ACTIVE`.
#[unsafe(no_mangle)]
unsafe extern "C" fn timespec_get(into: *mut Time, base: c_int) -> c_int {
    let time = match base {
        1 => now(shown()),
        2 => sys::clock(MONOTONIC),
        _ => return 0,
    };
    // SAFETY: the caller's `struct timespec`.
    unsafe { *into = time };
    base
}

/// ftime(3)'s `struct timeb`.
#[repr(C)]
struct TimeB {
    seconds: i64,
    milliseconds: u16,
    zone: [i16; 2],
}

/// ftime(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn ftime(into: *mut TimeB) -> c_int {
    let time = now(shown());
    let milliseconds = u16::try_from(time.nanoseconds / 1_000_000).unwrap_or(0);
    // SAFETY: the caller's `struct timeb`.
    unsafe { *into = TimeB { seconds: time.seconds, milliseconds, zone: [0; 2] } };
    0
}

const _: () = assert!(size_of::<c_long>() == 8, "64-bit only");
