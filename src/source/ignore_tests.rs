use super::*;

/// Checks which of the space-separated `paths` are left out.
#[track_caller]
fn check(rules: &str, paths: &str, expected: &str) {
    let ignore = Ignore::parse(rules).unwrap();
    let out: Vec<&str> = paths.split(' ').filter(|path| ignore.excludes(path.as_bytes())).collect();
    assert_eq!(out.join(" "), expected, "{rules:?}");
}

#[test]
fn plain_names_fit_from_the_top() {
    check("a", "a b a/x x/a ab", "a a/x");
    check("/a", "a x/a", "a");
    check("a/", "a a/x", "a a/x");
    check("./a//b/../c", "a/c a/b c", "a/c");
    check("../a", "a", "");
    check("", "a", "");
    check(".", "a a/b", "");
    check("/", "a", "");
    check("  a  ", "a", "a");
}

#[test]
fn comments_and_marks() {
    check("# a\n#b\na", "a b #b", "a");
    check(" #a", "#a a", "#a");
    check("\u{feff}a\r\nb\r\n", "a b", "a b");
}

#[test]
fn stars_stop_at_slashes() {
    check("*.md", "a.md x/a.md .md a.mdx", "a.md .md");
    check("*/a", "x/a a x/y/a x/a/b", "x/a x/a/b");
    check("*/*/t*", "x/y/t1 x/t1", "x/y/t1");
    check("t?", "t1 t t12 t/", "t1");
    check("*", "a a/b .x", "a a/b .x");
}

#[test]
fn double_stars_do_not() {
    check("**/a", "a x/a x/y/a xa a/b", "a x/a x/y/a a/b");
    check("**/*.go", "a.go x/a.go a.gox", "a.go x/a.go");
    check("a/**", "a a/b a/b/c ab", "a/b a/b/c");
    check("a/**/b", "a/b a/x/b a/x/y/b a/xb ab", "a/b a/x/b a/x/y/b");
    check("**", "a a/b", "a a/b");
    check("a**", "a ab a/b", "a ab a/b");
    check("**a", "a xa x/a ab", "a xa x/a");
    check("**a?", "ab xab x/ab", "ab x/ab");
    check("**/", "a a/b", "a a/b");
}

#[test]
fn the_last_rule_wins() {
    check("*\n!a", "a b a/x", "b");
    check("*.md\n!README*.md\nREADME-secret.md", "a.md README.md README-secret.md", "a.md README-secret.md");
    check("*.md\nREADME-secret.md\n!README*.md", "a.md README.md README-secret.md", "a.md");
    check("a\n!a/b", "a a/b a/c a/b/d", "a a/c");
    check("!a", "a", "");
    check("a\n! /a/b/", "a/b a/c", "a/c");
    check("a/**\n!a/b\na/b/c", "a/b a/b/c a/b/d", "a/b/c");
}

#[test]
fn classes_and_escapes() {
    check("[a-c]x", "ax dx cx", "ax cx");
    check("[^a]x", "ax dx", "dx");
    check("[a\\]]", "a ]", "a ]");
    check("\\*", "* a", "*");
    check("\\!a", "!a a", "!a");
    check("a.b", "a.b axb", "a.b");
    check("a+(b)", "a+(b) aab", "a+(b)");
    check("é?", "éö", "éö");
}

#[test]
fn names_that_are_not_utf8_have_letters_too() {
    let ignore = Ignore::parse("a?").unwrap();
    assert!(ignore.excludes(b"a\xff"));
    assert!(!ignore.excludes(b"a\xff\xfe"));
}

#[test]
fn refuses() {
    let check = |rules: &str, expected: IgnoreError| assert_eq!(Ignore::parse(rules), Err(expected));
    check("a\n!", IgnoreError::Empty { line: 2 });
    check("!  ", IgnoreError::Empty { line: 1 });
    for pattern in ["[a", "[]a]", "a\\", "[b-a]", "[^]", "[a-]", "[-a]"] {
        check(pattern, IgnoreError::Pattern { line: 1, pattern: pattern.to_owned() });
    }
}

#[test]
fn what_may_be_taken_back_under_a_directory() {
    let check = |rules: &str, path: &str, expected: bool| {
        let ignore = Ignore::parse(rules).unwrap();
        assert_eq!(ignore.takes_back_under(path.as_bytes()), expected, "{rules:?} {path}");
    };
    check("a\n!a/b", "a", true);
    check("a\n!a/b/c", "a/b", true);
    check("a\n!b", "a", false);
    check("a\n!ab/c", "a", false);
    check("*\n!README.md", "vendor", false);
    check("*\n!**/x", "vendor/y", true);
    check("*\n!*/x", "vendor", true);
    check("*\n!*/x", "vendor/y", false);
    check("*\n!**", "vendor", true);
    check("a/b", "a", false);
}

proptest::proptest! {
    #[test]
    fn never_panics(rules in r"([!#/*?\[\]\\^. -]|\*\*|\n|\PC){0,30}", path in proptest::collection::vec(proptest::num::u8::ANY, 0..30)) {
        if let Ok(ignore) = Ignore::parse(&rules) {
            let _ = ignore.excludes(&path);
            let _ = ignore.takes_back_under(&path);
        }
    }

    /// A file that is part of the context is never under a directory that would not be looked into.
    #[test]
    fn nothing_that_is_taken_back_is_missed(rules in "(!?([ab*/?]|\\*\\*){1,5}\n){1,4}", path in "[ab](/[ab]){1,3}") {
        let ignore = Ignore::parse(&rules);
        if let Ok(ignore) = ignore && !ignore.excludes(path.as_bytes()) {
            for (at, _) in path.match_indices('/') {
                let above = &path.as_bytes()[..at];
                proptest::prop_assert!(!ignore.excludes(above) || ignore.takes_back_under(above), "{rules:?} {path}");
            }
        }
    }
}

#[test]
fn many_stars_are_no_trap() {
    let ignore = Ignore::parse(&"*a".repeat(500)).unwrap();
    assert!(!ignore.excludes("a".repeat(499).as_bytes()));
    assert!(ignore.excludes("a".repeat(500).as_bytes()));
}
