//! Words of an instruction: builder flags, `NAME=value` pairs, JSON arrays, squeezed text.

use std::ops::Range;

use super::{Fault, Keyword, lex::Logical};

/// `--name=value` or `--name` between the keyword and the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Without the dashes.
    pub name: String,
    /// Without quotes and escapes; `None` if there is no `=`.
    pub value: Option<String>,
    /// Where the whole flag is in the source.
    pub span: Range<usize>,
    /// Where in the source each byte of the value is.
    value_at: Vec<usize>,
}

impl Flag {
    /// The value, or nothing.
    #[must_use]
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    /// Where in the source the bytes `range` of the value are.
    #[must_use]
    pub fn value_span(&self, range: Range<usize>) -> Range<usize> {
        match self.value_at.get(range) {
            Some([first, .., last]) => *first..last + 1,
            Some([only]) => *only..only + 1,
            _ => self.span.end..self.span.end,
        }
    }
}

/// Reads the flags of `logical` from `at`; gives them and where the arguments begin.
pub(super) fn flags(logical: &Logical, mut at: usize) -> (Vec<Flag>, usize) {
    let text = logical.text.as_str();
    let mut found = Vec::new();
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if !text[at..].starts_with("--") {
            return (found, at);
        }
        let (word, word_at, end) = flag_word(text, at);
        if word == "--" {
            return (found, end);
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), None),
        };
        let value_at = word_at[word.len() - value.map_or(0, str::len)..].iter();
        found.push(Flag {
            name: name.strip_prefix("--").unwrap_or(name).to_owned(),
            value: value.map(ToOwned::to_owned),
            span: logical.source_span(at..end),
            value_at: value_at.map(|&at| logical.source_span(at..at + 1).start).collect(),
        });
        at = end;
    }
}

/// One word from `start` without quotes and escapes, the offset of each of its bytes, and where it ends.
fn flag_word(text: &str, start: usize) -> (String, Vec<usize>, usize) {
    let (mut word, mut offsets, mut quote) = (String::new(), Vec::new(), None);
    let mut chars = text[start..].char_indices().map(|(at, c)| (start + at, c));
    while let Some((at, c)) = chars.next() {
        let (at, c) = match c {
            _ if quote.is_none() && c.is_whitespace() => return (word, offsets, at),
            '\'' | '"' if quote.is_none() => {
                quote = Some(c);
                continue;
            }
            _ if quote == Some(c) => {
                quote = None;
                continue;
            }
            '\\' => match chars.next() {
                Some(escaped) => escaped,
                None => break,
            },
            _ => (at, c),
        };
        word.push(c);
        offsets.extend(at..at + c.len_utf8());
    }
    (word, offsets, text.len())
}

/// Splits at blanks outside quotes; quotes and escapes stay.
pub(super) fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            continue;
        }
        if c == escape && quote != Some('\'') {
            let Some(escaped) = chars.next() else { break };
            word.extend([c, escaped]);
            continue;
        }
        quote = match quote {
            None if c == '\'' || c == '"' => Some(c),
            Some(open) if open == c => None,
            other => other,
        };
        word.push(c);
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// The pairs of ENV or LABEL, unexpanded: `A=1 B=2`, or the old `A 1`.
pub(super) fn pairs(keyword: Keyword, text: &str, escape: char) -> Result<Vec<(String, String)>, Fault> {
    let words = quoted_words(text, escape);
    if words.first().is_some_and(|word| !word.contains('=')) {
        let (name, value) =
            text.split_once(is_blank).ok_or(Fault::arguments(keyword, "must have two arguments"))?;
        return Ok(vec![(name.to_owned(), value.trim_start_matches(is_blank).to_owned())]);
    }
    let pair = |word: &String| {
        let (name, value) =
            word.split_once('=').ok_or(Fault::arguments(keyword, "must be of the form NAME=value"))?;
        if name.is_empty() {
            return Err(Fault::arguments(keyword, "has an empty name"));
        }
        Ok((name.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

/// Reads a JSON array of strings; `None` if it is not JSON at all, an error if it holds something else.
pub(super) fn json(keyword: Keyword, text: &str) -> Result<Option<Vec<String>>, Fault> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Ok(None) };
    let string = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => Ok(text),
        _ => Err(Fault::arguments(keyword, "has a JSON array with something else than strings")),
    };
    values.into_iter().map(string).collect::<Result<_, _>>().map(Some)
}

/// The blanks BuildKit splits words at.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

/// `text` with every run of blanks as one space.
pub(super) fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` squeezed and cut for display.
pub(super) fn display(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let text = squeezed(text);
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::lex::{Lines, next_logical};

    #[test]
    fn reads_flags() {
        let check = |source: &str, expected: &[(&str, Option<&str>, &str)], rest: &str| {
            let logical = next_logical(&mut Lines::new(source), '\\').unwrap();
            let (found, at) = flags(&logical, 3);
            let shown: Vec<_> = found
                .iter()
                .map(|f| (f.name.as_str(), f.value.as_deref(), &source[f.span.clone()]))
                .collect();
            assert_eq!((shown.as_slice(), &logical.text[at..]), (expected, rest), "{source}");
        };
        check("RUN --a=b --c  d", &[("a", Some("b"), "--a=b"), ("c", None, "--c")], "d");
        check("RUN --a='b c'\\ d x", &[("a", Some("b c d"), "--a='b c'\\ d")], "x");
        check("RUN --a=\\\nb x", &[("a", Some("b"), "--a=\\\nb")], "x");
        check("RUN -- --a", &[], " --a");
        check("RUN -a --b", &[], "-a --b");
        check("RUN --", &[], "");
        check("RUN --é=ü \\\n z", &[("é", Some("ü"), "--é=ü")], "z");
    }

    #[test]
    fn places_values() {
        let source = "RUN --mount=type=bind,'from=a'\\\nb x";
        let logical = next_logical(&mut Lines::new(source), '\\').unwrap();
        let (found, _) = flags(&logical, 3);
        assert_eq!(found[0].value(), "type=bind,from=ab");
        assert_eq!(&source[found[0].value_span(15..17)], "a'\\\nb");
        assert_eq!(&source[found[0].value_span(15..16)], "a");
    }

    #[test]
    fn reads_pairs() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = pairs(Keyword::Env, text, '\\').unwrap();
            let found: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("A=1 B=\"x y\" C=a\\ b D=", &[("A", "1"), ("B", "\"x y\""), ("C", "a\\ b"), ("D", "")]);
        check("A  several words = x", &[("A", "several words = x")]);
        assert!(pairs(Keyword::Env, "A", '\\').is_err());
        assert!(pairs(Keyword::Env, "A=1 B", '\\').is_err());
        assert!(pairs(Keyword::Env, "=1", '\\').is_err());
    }

    #[test]
    fn reads_json() {
        assert_eq!(json(Keyword::Run, r#"["a", "b\n"]"#), Ok(Some(vec!["a".into(), "b\n".into()])));
        assert_eq!(json(Keyword::Run, "[ -f x ]"), Ok(None));
        assert_eq!(json(Keyword::Run, "[\"a\"] && b"), Ok(None));
        assert!(json(Keyword::Run, "[1]").is_err());
    }

    #[test]
    fn cuts_for_display() {
        assert_eq!(display(" a \n\t b"), "a b");
        assert_eq!(display(&"é".repeat(200)).chars().count(), 121);
    }
}
