//! What compilers and linkers leave in ELF files.

use super::{Cause, Finding};
use crate::drift::{clock, view::View};

/// `namesz` 4, `descsz` 20, type 3 (`NT_GNU_BUILD_ID`), owner `GNU`.
const BUILD_ID: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";

/// Only `__DATE__` and `__TIME__` strings differ, and the build id that follows from them; or that alone.
pub(super) fn compile_date(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    if !a.starts_with(b"\x7fELF") || !b.starts_with(b"\x7fELF") || a.len() != b.len() {
        return None;
    }
    let (a, b) = (without_build_id(a), without_build_id(b));
    if a == b {
        return Some(Finding::certain(Cause::BuildId));
    }
    let (one, other) = clock::mask_both(&a, &b, view.context)?;
    (one == other).then(|| {
        let times = clock::scan(&a).into_iter().zip(clock::scan(&b));
        let text = |bytes: &[u8], found: &clock::Found| {
            String::from_utf8_lossy(&bytes[found.range.clone()]).into_owned()
        };
        let mut pairs = times.map(|(one, other)| (text(&a, &one), text(&b, &other)));
        let shown = pairs.find(|(one, other)| one != other).map(|(one, other)| format!("{one} → {other}"));
        Finding::certain(Cause::CompileDate).shown(shown.unwrap_or_default())
    })
}

/// `bytes` with the first build id zeroed.
pub(super) fn without_build_id(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    if let Some(at) = bstr::ByteSlice::find(bytes, BUILD_ID) {
        let start = at + BUILD_ID.len();
        let end = (start + 20).min(out.len());
        out[start..end].fill(0);
    }
    out
}
