//! The one order of paths: by components, bytewise.

use std::cmp::Ordering;

/// Compares two paths component by component (`a/b` before `a.b`), WIRE.md §6.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    // No path holds NUL, so a separator read as 0 ends a component before any other byte does.
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(rank).cmp(b.iter().map(rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_components() {
        let mut paths: Vec<&[u8]> = vec![b"a.b", b"a/b", b"a", b"a-b/c", b"a/b/c", b"a/B"];
        paths.sort_by(|a, b| compare(a, b));
        assert_eq!(paths, [&b"a"[..], b"a/B", b"a/b", b"a/b/c", b"a-b/c", b"a.b"]);
    }
}
