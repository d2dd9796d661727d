//! `.dockerignore` (pure): what of a directory is not part of the build context.
//!
//! Follows the reference implementation (moby's `ignorefile` and `patternmatcher`): lines are trimmed and cleaned,
//! `#` starts a comment in the first column only, `!` takes back, the last rule that fits wins, and a rule that fits
//! a directory fits all under it. `*` and `?` stop at `/`; `**` does not.

/// The rules of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

/// Why a text is not a `.dockerignore`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// A `!` and nothing else.
    #[error("line {line}: `!` alone excepts nothing; write a pattern after it")]
    Empty {
        /// Where.
        line: usize,
    },
    /// A `[` without its `]`, or a backslash at the end.
    #[error(
        "line {line}: `{pattern}` is not a pattern; close its `[`, or write `\\` before a special letter"
    )]
    Pattern {
        /// Where.
        line: usize,
        /// As written.
        pattern: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    takes_back: bool,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// This letter.
    Letter(char),
    /// `?`: one letter but `/`.
    One,
    /// `*`: any letters but `/`.
    Star,
    /// `**` at either end: anything.
    Rest,
    /// `**/`: nothing, or anything that ends in `/`.
    Directories,
    /// `[…]`: one letter in (or, negated, out of) these ranges.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Ignore {
    /// Reads a `.dockerignore`.
    ///
    /// # Errors
    /// [`IgnoreError`], with the line.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let pattern = line.trim();
            if line.starts_with('#') || pattern.is_empty() {
                continue;
            }
            let (takes_back, pattern) = match pattern.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, pattern),
            };
            if pattern.is_empty() {
                return Err(IgnoreError::Empty { line: index + 1 });
            }
            let cleaned = clean(pattern);
            let tokens = tokens(cleaned.trim_start_matches('/')).ok_or_else(|| IgnoreError::Pattern {
                line: index + 1,
                pattern: pattern.chars().take(100).collect(),
            })?;
            rules.push(Rule { takes_back, tokens });
        }
        Ok(Self { rules })
    }

    /// Whether `path` (components joined by `/`, relative to the context) is left out.
    #[must_use]
    pub fn excludes(&self, path: &[u8]) -> bool {
        let prefixes: Vec<Vec<char>> = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| letters(&path[..at]))
            .chain([letters(path)])
            .collect();
        let mut excluded = false;
        for rule in self.rules.iter().filter(|rule| !rule.tokens.is_empty()) {
            if rule.takes_back == excluded && prefixes.iter().any(|prefix| fits(&rule.tokens, prefix)) {
                excluded = !rule.takes_back;
            }
        }
        excluded
    }

    /// Whether something under the excluded directory `path` may be part of the context after all.
    #[must_use]
    pub fn takes_back_under(&self, path: &[u8]) -> bool {
        let path = letters(&[path, b"/"].concat());
        self.rules.iter().filter(|rule| rule.takes_back).any(|rule| begins(&rule.tokens, &path))
    }
}

/// Letters of a path; bytes that are not UTF-8 stand for themselves, in a range no text uses.
fn letters(path: &[u8]) -> Vec<char> {
    let mut letters = Vec::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        letters.extend(chunk.valid().chars());
        letters
            .extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(0x10_ff00 + u32::from(*byte))));
    }
    letters
}

/// Go's `path.Clean`: no empty or `.` components, `..` takes the one before it away.
fn clean(pattern: &str) -> String {
    let rooted = pattern.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let pattern = match pattern.strip_prefix("**") {
        // Without any other special letter this is "ends in", and need not start at a component.
        Some(end) if !end.starts_with('/') && !end.contains(['*', '?', '[', ']', '\\']) => {
            tokens.push(Token::Rest);
            end
        }
        _ => pattern,
    };
    let mut rest = pattern.chars().peekable();
    while let Some(letter) = rest.next() {
        tokens.push(match letter {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                if rest.peek().is_none() { Token::Rest } else { Token::Directories }
            }
            '*' => Token::Star,
            '?' => Token::One,
            '[' => class(&mut rest)?,
            '\\' => Token::Letter(rest.next()?),
            _ => Token::Letter(letter),
        });
    }
    Some(tokens)
}

fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let from = match rest.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { negated, ranges }),
            ']' | '-' => return None,
            '\\' => rest.next()?,
            letter => letter,
        };
        let mut to = from;
        if rest.next_if_eq(&'-').is_some() {
            to = match rest.next()? {
                ']' | '-' => return None,
                '\\' => rest.next()?,
                letter => letter,
            };
        }
        if to < from {
            return None;
        }
        ranges.push((from, to));
    }
}

/// Whether all of `path` fits: keeps the set of places the tokens so far can end at, so never exponential.
fn fits(tokens: &[Token], path: &[char]) -> bool {
    let mut ends = vec![false; path.len() + 1];
    ends[0] = true;
    for token in tokens {
        ends = step(token, &ends, path);
    }
    ends[path.len()]
}

/// Whether something that starts with `path` could fit.
fn begins(tokens: &[Token], path: &[char]) -> bool {
    let mut ends = vec![false; path.len() + 1];
    ends[0] = true;
    tokens.iter().any(|token| {
        ends = step(token, &ends, path);
        ends[path.len()]
    })
}

fn step(token: &Token, starts: &[bool], path: &[char]) -> Vec<bool> {
    let mut ends = vec![false; starts.len()];
    match token {
        Token::Star | Token::Rest => {
            let mut open = false;
            for at in 0..starts.len() {
                let blocked = *token == Token::Star && at > 0 && path[at - 1] == '/';
                open = starts[at] || open && !blocked;
                ends[at] = open;
            }
        }
        Token::Directories => {
            let mut open = false;
            for at in 0..starts.len() {
                ends[at] = starts[at] || open && at > 0 && path[at - 1] == '/';
                open |= starts[at];
            }
        }
        _ => {
            for (at, letter) in path.iter().enumerate().filter(|(at, _)| starts[*at]) {
                ends[at + 1] = one_fits(token, *letter);
            }
        }
    }
    ends
}

fn one_fits(token: &Token, letter: char) -> bool {
    match token {
        Token::Letter(wanted) => *wanted == letter,
        Token::One => letter != '/',
        Token::Class { negated, ranges } => {
            ranges.iter().any(|(from, to)| (*from..=*to).contains(&letter)) != *negated
        }
        Token::Star | Token::Rest | Token::Directories => false,
    }
}

#[cfg(test)]
#[path = "ignore_tests.rs"]
mod tests;
