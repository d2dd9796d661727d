//! Waiting until a time of the wall. The time was computed from the clock that is shown, so what is meant is a duration
//! from there; the kernel and libc are given the real time that lies as far ahead.
//!
//! A wait may be cancelled, which glibc does by unwinding through these functions. They drop nothing, so tables to unwind
//! by are all that it takes (`-Cforce-unwind-tables`); `C-unwind` would ask for a personality, which is in no libc.

use core::ffi::{c_int, c_uint, c_void};

use super::{
    link::Next,
    setting::Setting,
    sys::{self, Time, call, number, returned},
    time::{MONOTONIC, REALTIME, note, now, of_wall, shown},
};

const ETIMEDOUT: c_int = 110;
const ENOSYS: c_int = 38;
const TIMER_ABSTIME: c_int = 1;
const NANOSECONDS: i64 = 1_000_000_000;

/// A deadline as meant (by the clock that is shown) and as it is (by the real one).
struct Deadline {
    meant: Time,
    real: Time,
    stands: bool,
}

impl Deadline {
    /// None if `at` needs no translation. With `sure` it is a time of the wall; else that is seen from the time itself,
    /// since a condition or timer may have been made for the running clock: whichever of the two clocks it is nearer to.
    unsafe fn of(at: *const Time, sure: bool) -> Option<Self> {
        let setting = shown();
        // SAFETY: the caller's `struct timespec`, or null.
        let meant = *unsafe { at.as_ref() }.filter(|_| setting != Setting::Real)?;
        let valid = (0..NANOSECONDS).contains(&meant.nanoseconds) && meant.seconds >= 0;
        let wall = now(setting);
        let far = |clock: i64| meant.seconds.abs_diff(clock);
        if !valid || (!sure && far(sys::clock(MONOTONIC).seconds) < far(wall.seconds)) {
            return None;
        }
        let real = match setting {
            Setting::Shifted(by) => Time { seconds: meant.seconds.saturating_sub(by).max(0), ..meant },
            _ => after(sys::clock(REALTIME), wall, meant),
        };
        Some(Self { meant, real, stands: matches!(setting, Setting::Stands(_)) })
    }

    /// Notes that it has passed.
    fn passed(&self) {
        if self.stands {
            note(self.meant);
        }
    }
}

/// `start` and as much as lies between `from` and `to`.
fn after(start: Time, from: Time, to: Time) -> Time {
    let seconds = start.seconds.saturating_add(to.seconds.saturating_sub(from.seconds));
    let nanoseconds = start.nanoseconds + to.nanoseconds - from.nanoseconds;
    let time = match nanoseconds {
        ..0 => Time { seconds: seconds.saturating_sub(1), nanoseconds: nanoseconds + NANOSECONDS },
        NANOSECONDS.. => Time { seconds: seconds.saturating_add(1), nanoseconds: nanoseconds - NANOSECONDS },
        _ => Time { seconds, nanoseconds },
    };
    Time { seconds: time.seconds.max(0), ..time }
}

/// What libc's functions answer when the time has passed, and when they cannot do it.
struct Answers {
    timed_out: c_int,
    missing: c_int,
}

/// Those of POSIX threads: error numbers. Semaphores answer -1 and put the number into `errno`.
const POSIX: Answers = Answers { timed_out: 110, missing: ENOSYS };
/// Those of C11: `thrd_timedout` and `thrd_error`, numbered alike in glibc and musl.
const C11: Answers = Answers { timed_out: 4, missing: 2 };

impl Answers {
    fn say_timed_out(&self, result: c_int) -> bool {
        // SAFETY: libc's own place for it.
        result == self.timed_out || (result == -1 && unsafe { sys::errno().as_ref() } == Some(&ETIMEDOUT))
    }
}

/// Defines a function of libc that waits until a time, its last parameter. `$wall` says whether that is surely of the
/// wall's clock; `None`: it is another clock's. Without libc's own there is nothing to wait with.
macro_rules! waits {
    ($($name:ident($($parameter:ident: $kind:ty),*) $answers:ident $wall:expr;)*) => {
        $(
            /// The function of libc with this name.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($parameter: $kind,)* at: *const Time) -> c_int {
                type Real = unsafe extern "C" fn($($kind,)* *const Time) -> c_int;
                static REAL: Next = Next::new(stringify!($name));
                let Some(real) = REAL.find() else { return $answers.missing };
                let wall: Option<bool> = $wall;
                // SAFETY: libc declares it so; all arguments but the time are the caller's.
                unsafe {
                    let real: Real = core::mem::transmute::<*const c_void, Real>(real);
                    let Some(deadline) = wall.and_then(|sure| Deadline::of(at, sure)) else {
                        return real($($parameter,)* at);
                    };
                    let result = real($($parameter,)* &raw const deadline.real);
                    if $answers.say_timed_out(result) {
                        deadline.passed();
                    }
                    result
                }
            }
        )*
    };
}

type Pointer = *mut c_void;

waits! {
    pthread_cond_timedwait(condition: Pointer, mutex: Pointer) POSIX Some(false);
    pthread_cond_clockwait(condition: Pointer, mutex: Pointer, clock: c_int) POSIX of_wall(clock).then_some(true);
    pthread_mutex_timedlock(mutex: Pointer) POSIX Some(true);
    pthread_mutex_clocklock(mutex: Pointer, clock: c_int) POSIX of_wall(clock).then_some(true);
    pthread_rwlock_timedrdlock(lock: Pointer) POSIX Some(true);
    pthread_rwlock_timedwrlock(lock: Pointer) POSIX Some(true);
    pthread_rwlock_clockrdlock(lock: Pointer, clock: c_int) POSIX of_wall(clock).then_some(true);
    pthread_rwlock_clockwrlock(lock: Pointer, clock: c_int) POSIX of_wall(clock).then_some(true);
    pthread_timedjoin_np(thread: usize, result: Pointer) POSIX Some(true);
    pthread_clockjoin_np(thread: usize, result: Pointer, clock: c_int) POSIX of_wall(clock).then_some(true);
    sem_timedwait(semaphore: Pointer) POSIX Some(true);
    sem_clockwait(semaphore: Pointer, clock: c_int) POSIX of_wall(clock).then_some(true);
    cnd_timedwait(condition: Pointer, mutex: Pointer) C11 Some(true);
    mtx_timedlock(mutex: Pointer) C11 Some(true);
}

/// clock_nanosleep(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_nanosleep(
    clock: c_int,
    flags: c_int,
    time: *const Time,
    left: *mut Time,
) -> c_int {
    type Real = unsafe extern "C" fn(c_int, c_int, *const Time, *mut Time) -> c_int;
    static REAL: Next = Next::new("clock_nanosleep");
    let sleep = |time: *const Time| {
        // SAFETY: libc declares it so; the arguments are the caller's, or a time of ours.
        unsafe {
            match REAL.find() {
                Some(real) => core::mem::transmute::<*const c_void, Real>(real)(clock, flags, time, left),
                // Errors are returned, not put into errno.
                None => {
                    let arguments = [clock as usize, flags as usize, time as usize, left as usize, 0];
                    (0 - call(number::CLOCK_NANOSLEEP, arguments)) as c_int
                }
            }
        }
    };
    let absolute = flags & TIMER_ABSTIME != 0 && of_wall(clock);
    // SAFETY: the caller's `struct timespec`.
    let Some(deadline) = absolute.then(|| unsafe { Deadline::of(time, true) }).flatten() else {
        return sleep(time);
    };
    let result = sleep(&raw const deadline.real);
    if result == 0 {
        deadline.passed();
    }
    result
}

/// mq_timedsend(3), the system call itself.
#[unsafe(no_mangle)]
unsafe extern "C" fn mq_timedsend(
    queue: c_int,
    text: Pointer,
    length: usize,
    priority: c_uint,
    at: *const Time,
) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe {
        mq(number::MQ_TIMEDSEND, [queue as usize, text as usize, length, priority as usize], at) as c_int
    }
}

/// mq_timedreceive(3), the system call itself.
#[unsafe(no_mangle)]
unsafe extern "C" fn mq_timedreceive(
    queue: c_int,
    text: Pointer,
    length: usize,
    priority: *mut c_uint,
    at: *const Time,
) -> isize {
    // SAFETY: the caller's arguments.
    unsafe { mq(number::MQ_TIMEDRECEIVE, [queue as usize, text as usize, length, priority as usize], at) }
}

unsafe fn mq(number: usize, [queue, text, length, priority]: [usize; 4], at: *const Time) -> isize {
    // SAFETY: the caller's arguments, or a time of ours.
    unsafe {
        let deadline = Deadline::of(at, true);
        let real = deadline.as_ref().map_or(at, |deadline| &raw const deadline.real);
        let result = call(number, [queue, text, length, priority, real as usize]);
        if let Some(deadline) = deadline.filter(|_| result == 0 - ETIMEDOUT as isize) {
            deadline.passed();
        }
        if result < 0 { returned(result) as isize } else { result }
    }
}

/// `struct itimerspec`: how often, and when first.
#[repr(C)]
#[derive(Clone, Copy)]
struct Timer {
    interval: Time,
    first: Time,
}

/// The timer as the kernel must have it; none if as it is.
unsafe fn translated(flags: c_int, new: *const Timer) -> Option<Timer> {
    if flags & TIMER_ABSTIME == 0 || new.is_null() {
        return None;
    }
    // SAFETY: the caller's `struct itimerspec`.
    unsafe {
        let first = (*new).first;
        let disarms = first.seconds == 0 && first.nanoseconds == 0;
        let deadline = Deadline::of(&raw const (*new).first, false).filter(|_| !disarms)?;
        Some(Timer { first: deadline.real, ..*new })
    }
}

/// timerfd_settime(2); its flag for absolute times is the same 1.
#[unsafe(no_mangle)]
unsafe extern "C" fn timerfd_settime(file: c_int, flags: c_int, new: *const Timer, old: *mut Timer) -> c_int {
    // SAFETY: the caller's arguments, or a timer of ours.
    unsafe {
        let real = translated(flags, new);
        let new = real.as_ref().map_or(new, |real| real as *const Timer);
        returned(call(
            number::TIMERFD_SETTIME,
            [file as usize, flags as usize, new as usize, old as usize, 0],
        ))
    }
}

/// timer_settime(2), through libc, whose timers are not the kernel's numbers.
#[unsafe(no_mangle)]
unsafe extern "C" fn timer_settime(
    timer: Pointer,
    flags: c_int,
    new: *const Timer,
    old: *mut Timer,
) -> c_int {
    type Real = unsafe extern "C" fn(Pointer, c_int, *const Timer, *mut Timer) -> c_int;
    static REAL: Next = Next::new("timer_settime");
    let Some(real) = REAL.find() else { return returned(0 - ENOSYS as isize) };
    // SAFETY: libc declares it so; the arguments are the caller's, or a timer of ours.
    unsafe {
        let changed = translated(flags, new);
        let new = changed.as_ref().map_or(new, |changed| changed as *const Timer);
        core::mem::transmute::<*const c_void, Real>(real)(timer, flags, new, old)
    }
}
