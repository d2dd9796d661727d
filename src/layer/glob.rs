//! Path patterns: `?` one byte, `*` any within a component, `**` any at all.

/// Whether `path` fits `pattern`.
#[must_use]
pub fn matches(pattern: &[u8], path: &[u8]) -> bool {
    // Only the latest star of each kind is gone back to, so time is bounded by the product of the lengths.
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut stars: Option<(usize, usize)> = None;
    loop {
        let rest = &pattern[at..];
        if rest.starts_with(b"**") {
            at += 2;
            (star, stars) = (None, Some((at, pos)));
            continue;
        }
        if rest.starts_with(b"*") {
            at += 1;
            star = Some((at, pos));
            continue;
        }
        match (rest.first(), path.get(pos)) {
            (None, None) => return true,
            (Some(b'?'), Some(byte)) if *byte != b'/' => (at, pos) = (at + 1, pos + 1),
            (Some(wanted), Some(byte)) if wanted == byte => (at, pos) = (at + 1, pos + 1),
            _ => match (&mut star, &mut stars) {
                (Some((after, from)), _) if path.get(*from).is_some_and(|byte| *byte != b'/') => {
                    *from += 1;
                    (at, pos) = (*after, *from);
                }
                (_, Some((after, from))) if *from < path.len() => {
                    *from += 1;
                    (at, pos) = (*after, *from);
                    star = None;
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #[track_caller]
    fn check(pattern: &str, path: &str, expected: bool) {
        assert_eq!(super::matches(pattern.as_bytes(), path.as_bytes()), expected, "{pattern} {path}");
    }

    #[test]
    fn fits() {
        check("var/log/*.log", "var/log/a.log", true);
        check("var/log/*.log", "var/log/x/a.log", false);
        check("var/**/a.log", "var/log/x/a.log", true);
        check("**/a*c", "x/abc/abc", true);
        check("**", "", true);
        check("a?c", "abc", true);
        check("a?c", "a/c", false);
        check("*", "a", true);
        check("*", "a/b", false);
        check("a", "ab", false);
        check("a*", "ab", true);
        check("*a*b", "xaxxb", true);
        check("**.pyc", "usr/lib/a.pyc", true);
        check("**a**b**c**d", &"a".repeat(5000), false);
    }
}
