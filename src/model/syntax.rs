//! What is wrong with a text in TOML, and where: for every file that people write in it.

use super::{nearest::distance, path::printable};

/// Letters of a stranger's word that an error repeats.
const SHOWN_CHARS_MAX: usize = 100;

/// What the TOML reader does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Syntax {
    /// A key that no release knows.
    UnknownKey {
        /// Where; lines count from 1.
        line: usize,
        /// As written.
        key: String,
        /// The known key of that table with the fewest letters different.
        nearest: String,
    },
    /// Not TOML, or a value of another type.
    Other {
        /// Where.
        line: usize,
        /// What the reader says.
        message: String,
    },
}

impl Syntax {
    /// What `error` says of `text`.
    #[must_use]
    pub fn of(text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        let message = error.message();
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        match quoted.split_first() {
            Some((key, known)) if message.starts_with("unknown field") => {
                let nearest =
                    known.iter().min_by_key(|name| distance(name, key)).copied().unwrap_or_default();
                Self::UnknownKey { line, key: shown(key), nearest: nearest.to_owned() }
            }
            _ => Self::Other { line, message: printable(message) },
        }
    }
}

/// The line of `text` in which the byte `start` stands, from 1.
#[must_use]
pub fn line_of(text: &str, start: usize) -> usize {
    text.as_bytes()[..start.min(text.len())].split(|byte| *byte == b'\n').count()
}

/// What an error repeats of a text from outside.
#[must_use]
pub fn shown(text: &str) -> String {
    printable(&text.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        #[expect(dead_code, reason = "only its name counts")]
        colour: Option<u8>,
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let of = |text: &str| Syntax::of(text, &toml::from_str::<Table>(text).unwrap_err());
        let unknown = Syntax::UnknownKey { line: 2, key: "color".into(), nearest: "colour".into() };
        assert_eq!(of("\ncolor = 1\n"), unknown);
        for (text, on) in [("colour = 1\n\n\n= 2", 4), ("colour = \"red\"", 1)] {
            assert!(matches!(of(text), Syntax::Other { line, .. } if line == on), "{:?}", of(text));
        }
        assert_eq!([line_of("a\nb", 1), line_of("a\nb", 2), line_of("a\nb", 99)], [1, 2, 2]);
        assert_eq!(shown(&"\u{1b}".repeat(200)).matches("1b").count(), 100);
    }
}
