//! Patterns of artifact rules: Python's `fnmatch`, whose `*` also matches `/`.
//!
//! `*` any text, `?` one character, `[seq]` one of these, `[!seq]` one of the others; nothing escapes. What of a `[` is a
//! sequence follows `CPython` 3.11's `fnmatch.translate` to the letter, empty and backward ranges included.

/// Whether all of `name` matches `pattern`.
#[cfg(test)]
fn matches(pattern: &str, name: &str) -> bool {
    let pattern = Pattern::new(pattern);
    let name: Vec<char> = name.chars().collect();
    pattern.matches(&name)
}

#[derive(Debug)]
enum Part {
    Star,
    One,
    Char(char),
    Set { negated: bool, ranges: Vec<(char, char)> },
}

/// A pattern that was taken apart.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    pub(super) fn new(pattern: &str) -> Self {
        let letters: Vec<char> = pattern.chars().collect();
        let (mut parts, mut at) = (Vec::new(), 0);
        while let Some(&letter) = letters.get(at) {
            at += 1;
            match letter {
                '*' => parts.push(Part::Star),
                '?' => parts.push(Part::One),
                '[' => match end(&letters, at) {
                    None => parts.push(Part::Char('[')),
                    Some(end) => {
                        parts.push(set(&letters[at..end]));
                        at = end + 1;
                    }
                },
                letter => parts.push(Part::Char(letter)),
            }
        }
        Self(parts)
    }

    /// Each star takes as little as it can; only the last one is ever tried again.
    pub(super) fn matches(&self, name: &[char]) -> bool {
        let (mut part, mut at) = (0, 0);
        let mut again: Option<(usize, usize)> = None;
        while at < name.len() {
            match self.0.get(part) {
                Some(Part::Star) => {
                    again = Some((part, at));
                    part += 1;
                }
                Some(other) if other.takes(name[at]) => {
                    part += 1;
                    at += 1;
                }
                _ => match again {
                    Some((star, from)) => {
                        part = star + 1;
                        at = from + 1;
                        again = Some((star, at));
                    }
                    None => return false,
                },
            }
        }
        self.0[part..].iter().all(|part| matches!(part, Part::Star))
    }
}

impl Part {
    fn takes(&self, letter: char) -> bool {
        match self {
            Self::Star => false,
            Self::One => true,
            Self::Char(own) => *own == letter,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter)) != *negated
            }
        }
    }
}

/// Where the `]` stands that closes a sequence whose text begins at `start`.
fn end(letters: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    if letters.get(at) == Some(&'!') {
        at += 1;
    }
    if letters.get(at) == Some(&']') {
        at += 1;
    }
    letters.get(at..)?.iter().position(|letter| *letter == ']').map(|offset| at + offset)
}

fn set(text: &[char]) -> Part {
    let parts = ranged(text);
    let (negated, rest) = match parts.split_first() {
        Some((Token::Letter('!'), rest)) => (true, rest),
        _ => (false, parts.as_slice()),
    };
    let (mut ranges, mut at) = (Vec::new(), 0);
    while let Some(token) = rest.get(at) {
        let low = token.letter();
        if let (Some(Token::To), Some(high)) = (rest.get(at + 1), rest.get(at + 2)) {
            ranges.push((low, high.letter()));
            at += 3;
        } else {
            ranges.push((low, low));
            at += 1;
        }
    }
    Part::Set { negated, ranges }
}

#[derive(Debug, Clone, Copy)]
enum Token {
    Letter(char),
    To,
}

impl Token {
    fn letter(self) -> char {
        match self {
            Self::Letter(letter) => letter,
            Self::To => '-',
        }
    }
}

/// `text` with the hyphens told apart that make ranges, and without ranges that run backward.
fn ranged(text: &[char]) -> Vec<Token> {
    let mut chunks: Vec<Vec<char>> = Vec::new();
    let (mut start, mut from) = (0, if text.first() == Some(&'!') { 2 } else { 1 });
    while let Some(hyphen) = text.get(from..).and_then(|rest| rest.iter().position(|letter| *letter == '-')) {
        let hyphen = from + hyphen;
        chunks.push(text[start..hyphen].to_vec());
        start = hyphen + 1;
        from = hyphen + 3;
    }
    match (text.get(start..).filter(|rest| !rest.is_empty()), chunks.last_mut()) {
        (None, Some(last)) => last.push('-'),
        (rest, _) => chunks.push(rest.unwrap_or_default().to_vec()),
    }
    for index in (1..chunks.len()).rev() {
        if let (Some(low), Some(high)) = (chunks[index - 1].last().copied(), chunks[index].first().copied())
            && low > high
        {
            let rest = chunks.remove(index);
            chunks[index - 1].pop();
            chunks[index - 1].extend_from_slice(&rest[1..]);
        }
    }
    let mut tokens = Vec::new();
    for (index, chunk) in chunks.into_iter().enumerate() {
        if index > 0 {
            tokens.push(Token::To);
        }
        tokens.extend(chunk.into_iter().map(Token::Letter));
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for name in yes {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for name in no {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    // Each line was held against CPython 3.11; `fixtures/in-toto/fnmatch.json` has a thousand more.
    #[test]
    fn as_python_matches() {
        check("*", &["", "a/b", "\n"], &[]);
        check("a*b*c", &["abc", "a/b/c", "abbcbc"], &["ab", "abcd", "cab"]);
        check("?", &["/", "é", "\n"], &["", "ab"]);
        check("[abc]", &["a", "c"], &["d", "", "[abc]"]);
        check("[!abc]", &["d", "/"], &["a"]);
        check("[]a]", &["]", "a"], &["b"]);
        check("[!]a]", &["b"], &["]", "a"]);
        check("[", &["["], &["", "a"]);
        check("[]", &["[]"], &["]"]);
        check("[!", &["[!"], &[]);
        check("[a-c]x", &["bx"], &["dx", "-x"]);
        check("[c-a]", &[], &["a", "b", "c", "-", ""]);
        check("[!c-a]", &["a", "-"], &[""]);
        check("[a-]", &["a", "-"], &["b"]);
        check("[-a]", &["a", "-"], &["b"]);
        check("[--0]", &["-", ".", "/", "0"], &["1", ","]);
        check("[a-c-e]", &["a", "b", "c", "-", "e"], &["d"]);
        check("[\\]", &["\\"], &["]"]);
        check("[^a]", &["^", "a"], &["b"]);
        check("a.c", &["a.c"], &["abc"]);
    }

    #[test]
    fn as_python_matched_a_thousand() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/in-toto/fnmatch.json"));
        let cases: Vec<(String, String, bool)> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 1000);
        for (pattern, name, expected) in cases {
            assert_eq!(matches(&pattern, &name), expected, "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn many_stars_end() {
        assert!(!matches(&"*a".repeat(500), &"b".repeat(4096)));
        assert!(!matches(&format!("{}c", "*a".repeat(500)), &"a".repeat(4096)));
    }
}
