//! What was compiled into binaries of the build they were made in: paths of directories that it drew at random, and times.

use std::ops::Range;

use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{
    drift::{Context, clock, view::View},
    model::path::printable,
};

/// Where builds draw directories.
const ROOTS: [&[u8]; 4] = [b"/tmp/", b"/var/tmp/", b"/.cache/", b"/dev/shm/"];
/// Shortest run of characters that is taken for drawn at random; mktemp's shortest has six.
const RANDOM_MIN: usize = 6;

/// Binaries other than ELF in which only random components of temporary paths differ.
pub(super) fn build_path(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    if !a.contains(&0) || a.starts_with(b"\x7fELF") {
        return None; // Of a text, `random-token` says it.
    }
    walk(a, b, view.context)?.finding().filter(|finding| finding.cause == Cause::BuildPath)
}

/// What two binaries differ in, if in nothing else.
#[derive(Debug, Default)]
pub(super) struct Walked {
    path: Option<String>,
    date: Option<String>,
    /// Whether offsets differ because paths have other lengths.
    moved: bool,
}

impl Walked {
    /// Texts that moved, since one directory has another name.
    pub(super) fn moved(a: &[u8], b: &[u8]) -> Self {
        Self { path: Some(shown(a, b)), date: None, moved: true }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.path = self.path.take().or(other.path);
        self.date = self.date.take().or(other.date);
        self.moved |= other.moved;
    }

    /// The cause, if there is one.
    pub(super) fn finding(self) -> Option<Finding> {
        let (cause, shown) = match (self.path, self.date) {
            (Some(path), Some(date)) => (Cause::BuildPath, format!("{path}; {date}")),
            (Some(path), None) => (Cause::BuildPath, path),
            (None, Some(date)) => (Cause::CompileDate, date),
            (None, None) => return None,
        };
        let finding = if self.moved { Finding::likely(cause) } else { Finding::certain(cause) };
        Some(finding.shown(shown))
    }
}

fn shown(a: &[u8], b: &[u8]) -> String {
    printable(&format!("{} → {}", a.to_str_lossy(), b.to_str_lossy()))
}

/// Goes through two binaries of one size: each byte that differs is of a time, possible in its own build, or of a random
/// component of a temporary path.
pub(super) fn walk(a: &[u8], b: &[u8], context: &Context) -> Option<Walked> {
    if a.len() != b.len() {
        return None;
    }
    let (mut at, mut walked) = (0, Walked::default());
    let mut times: Option<[Vec<clock::Found>; 2]> = None;
    while let Some(next) = a[at..].iter().zip(&b[at..]).position(|(one, other)| one != other) {
        let [times_a, times_b] = times.get_or_insert_with(|| [clock::scan(a), clock::scan(b)]);
        let at_next = |times: &[clock::Found]| {
            let index = times.partition_point(|time| time.range.end <= at + next);
            times.get(index).filter(|time| time.range.start <= at + next).cloned()
        };
        let possible = |side, time: &clock::Found| time.span.is_none_or(|span| context.touches(side, span));
        match (at_next(times_a), at_next(times_b)) {
            (Some(one), Some(other))
                if one.range == other.range && possible(0, &one) && possible(1, &other) =>
            {
                walked.date.get_or_insert_with(|| shown(&a[one.range.clone()], &b[one.range.clone()]));
                at = one.range.end;
            }
            _ => {
                let (path, component) = component(a, at + next)?;
                let random = is_random(&a[component.clone()], &b[component.clone()]);
                if !random || !b[path.clone()].iter().all(|byte| is_of_path(*byte)) {
                    return None;
                }
                walked.path.get_or_insert_with(|| shown(&a[path.clone()], &b[path.clone()]));
                at = component.end;
            }
        }
    }
    Some(walked)
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+~@%=,".contains(&byte)
}

/// Around byte `at`: a path below one of [`ROOTS`], up to the end of the component that the byte is in; and that component.
fn component(bytes: &[u8], at: usize) -> Option<(Range<usize>, Range<usize>)> {
    let text = bytes[..at].iter().rposition(|byte| !is_of_path(*byte)).map_or(0, |before| before + 1);
    let root = ROOTS
        .iter()
        .filter_map(|root| bytes[text..at].rfind(root).map(|found| (text + found, root.len())))
        .max()?;
    let from = bytes[..at].iter().rposition(|byte| *byte == b'/')? + 1;
    let length = bytes[at..].iter().take_while(|byte| **byte != b'/' && is_of_path(**byte)).count();
    // A name that ends here is as long as that: what differs is behind it.
    (from >= root.0 + root.1 && length > 0).then_some((root.0..at + length, from..at + length))
}

/// Whether two components are alike but for a run of random characters.
fn is_random(a: &[u8], b: &[u8]) -> bool {
    let joint = |byte: &u8| matches!(byte, b'-' | b'_' | b'.');
    // Python's, of eight characters that may agree in some places.
    if let (Some(a), Some(b)) = (a.strip_prefix(b"tmp"), b.strip_prefix(b"tmp"))
        && a.len() == 8
    {
        return drawn(a, b);
    }
    let same = a.iter().zip(b).take_while(|(one, other)| one == other).count();
    let start = a[..same].iter().rposition(joint).map_or(0, |at| at + 1);
    let same = a.iter().rev().zip(b.iter().rev()).take_while(|(one, other)| one == other).count();
    let end = a.len() - a[a.len() - same..].iter().position(joint).map_or(0, |at| same - at);
    if start > end || end - start < RANDOM_MIN {
        return a.len() >= RANDOM_MIN && drawn(a, b);
    }
    drawn(&a[start..end], &b[start..end])
}

/// Half of the characters differ at least (two names that are drawn agree in some), and they are such as are drawn.
fn drawn(a: &[u8], b: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let differing = a.iter().zip(b).filter(|(one, other)| one != other).count();
    let random = a.iter().chain(b).all(plain);
    random && a.len() == b.len() && differing * 2 >= a.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, expected: bool) {
        assert_eq!(is_random(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
    }

    #[test]
    fn components() {
        check("tmp.Ab3dE6gH9j", "tmp.zY8xW5vU2t", true);
        check("pip-install-x3k9q_2a", "pip-install-m0b_7dzw", true);
        check("markupsafe_0123456789abcdef", "markupsafe_f9e8d7c6b5a43210", true);
        check("tmpab_d1fgh", "tmpz9x8w7v6", true);
        check("tmpf04mdkmr", "tmps046tl_r", true);
        check("Tz6QOv9Pw-1bcp6h", "1GESpwkbMYYTr9J9", true);
        check("release-1.2.3", "release-1.2.4", false);
        check("a", "b", false);
        check("version_one", "version_two", false);
    }

    #[test]
    fn paths() {
        let bytes = b"\0x=/usr/tmp/tmp.Ab3dE6gH9j/m.c\0";
        let (path, component) = component(bytes, 17).unwrap();
        assert_eq!((&bytes[path], &bytes[component]), (&b"/tmp/tmp.Ab3dE6gH9j"[..], &b"tmp.Ab3dE6gH9j"[..]));
        assert_eq!(super::component(b"\0/usr/lib/tmp.Ab3dE6gH9j", 15), None);
        assert_eq!(super::component(b"\0/opt/tmpfiles/tmp.Ab3dE6gH9j", 20), None);
    }
}
