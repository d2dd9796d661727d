//! Patterns over tags: `*` stands for any run of characters, `?` for one.

use std::fmt;

/// A pattern that was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(String);

impl Glob {
    /// Reads a pattern; apart from `*` and `?` it has only what a tag may have.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '*' | '?');
        if text.is_empty() || text.len() > 128 || !text.chars().all(known) {
            return Err(
                "write letters, digits, `_`, `.`, `-`, `*` for any run of them, `?` for one".to_owned()
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether `tag` fits: greedy, with one point to come back to, so never slow.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), tag.as_bytes());
        let (mut at, mut from, mut back) = (0, 0, None);
        while from < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    back = Some((at, from));
                    at += 1;
                }
                Some(byte) if *byte == b'?' || *byte == text[from] => {
                    at += 1;
                    from += 1;
                }
                _ => {
                    let Some((star, begun)) = back else { return false };
                    back = Some((star, begun + 1));
                    at = star + 1;
                    from = begun + 1;
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches() {
        let check = |pattern: &str, tag: &str, expected: bool| {
            assert_eq!(Glob::parse(pattern).unwrap().matches(tag), expected, "{pattern} {tag}");
        };
        check("1.*", "1.2", true);
        check("1.*", "1", false);
        check("1.*", "11.2", false);
        check("*", "anything", true);
        check("v?.?", "v1.2", true);
        check("v?.?", "v1.22", false);
        check("*-rc*", "1.2-rc3", true);
        check("latest", "latest", true);
        check("*a*b", "xaybzb", true);
        check(&"*a".repeat(60), &"a".repeat(20_000), true);
        check(&format!("{}b", "*a".repeat(60)), &"a".repeat(20_000), false);
    }

    #[test]
    fn refuses() {
        for text in ["", "a/b", "[a]", "a b", "é", &"a".repeat(129)] {
            assert!(Glob::parse(text).is_err(), "{text}");
        }
    }
}
