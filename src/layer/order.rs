//! The one order of paths: by components, bytewise.

use std::cmp::Ordering;

/// Compares two paths component by component (`a/b` before `a.b`), WIRE.md §6. What lies below a path follows it at once.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    // No path holds NUL, so a separator read as 0 ends a component before any other byte does.
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    a.get(common).map(rank).cmp(&b.get(common).map(rank))
}

/// Whether `path` lies below `directory`, which is the root if it is empty.
pub(super) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
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

    #[test]
    fn below_is_not_beside() {
        assert!(is_below(b"a/b/c", b"a") && is_below(b"a", b""));
        assert!(!is_below(b"a", b"a") && !is_below(b"a.b", b"a") && !is_below(b"a", b"a/b"));
    }
}
