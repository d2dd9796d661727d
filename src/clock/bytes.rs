//! Bytes compared one by one: the compiler's own way is to call libc.

use core::ffi::c_char;

pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && starts(one, other)
}

/// Whether `text` begins with `start`.
pub(crate) fn starts(text: &[u8], start: &[u8]) -> bool {
    start.len() <= text.len() && text.iter().zip(start).all(|(one, other)| one == other)
}

/// The bytes before the NUL at or after `text`.
///
/// # Safety
/// There is one, and nobody changes what lies before.
pub(crate) unsafe fn until_nul<'a>(text: *const c_char) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: all bytes up to the NUL may be read.
    unsafe {
        while *text.add(length) != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(text.cast(), length)
    }
}
