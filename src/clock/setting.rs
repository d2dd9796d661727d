//! What the clock shows. reprov writes it into the object's bytes, so no variable, file or argument carries it.

/// By which reprov finds the place in the object's bytes.
const MARK: [u8; 16] = *b"reprov clock v1\n";

/// Mark, kind, seconds.
#[repr(C)]
pub struct Written {
    mark: [u8; 16],
    /// 0: the real clock; 1: stands at `seconds`; 2: runs, `seconds` away from the real one.
    kind: u64,
    seconds: i64,
}

#[used]
pub static SETTING: Written = Written { mark: MARK, kind: 0, seconds: 0 };

/// What the clock shows.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Setting {
    Real,
    /// Stands still, at these seconds since 1970.
    Stands(i64),
    /// Runs, by so many seconds away from the real one.
    Shifted(i64),
}

pub(crate) fn setting() -> Setting {
    let place = &raw const SETTING;
    // SAFETY: a static of this object. Read as bytes that somebody else may have written, which the compiler must not
    // guess.
    let (kind, seconds) = unsafe {
        ((&raw const (*place).kind).read_volatile(), (&raw const (*place).seconds).read_volatile())
    };
    match kind {
        1 => Setting::Stands(seconds),
        2 => Setting::Shifted(seconds),
        _ => Setting::Real,
    }
}
