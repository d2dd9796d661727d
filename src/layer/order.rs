//! The one order of paths: by components, bytewise.

use std::cmp::Ordering;

/// Compares two paths component by component (`a/b` before `a.b`), WIRE.md §6. What lies below a path follows it at once.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    // A separator ends a component before any other byte does.
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
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
    fn any_bytes_have_one_order() {
        let numbers: Vec<Vec<u8>> = (0_u64..600).map(|number| number.to_le_bytes().to_vec()).collect();
        for one in numbers.iter().step_by(7) {
            for two in &numbers {
                assert_eq!(compare(one, two).is_eq(), one == two);
                assert_eq!(compare(one, two), compare(two, one).reverse());
            }
        }
        assert_eq!(compare(&[0, 1], &[b'/', 0]), Ordering::Greater);
    }

    #[test]
    fn below_is_not_beside() {
        assert!(is_below(b"a/b/c", b"a") && is_below(b"a", b""));
        assert!(!is_below(b"a", b"a") && !is_below(b"a.b", b"a") && !is_below(b"a", b"a/b"));
    }
}
