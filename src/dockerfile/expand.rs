//! BuildKit's shell lexer: quotes, escapes, `$X` and `${X…}`.

use std::{collections::BTreeMap, iter::Peekable, str::Chars};

use crate::model::limits::{EXPANSION_DEPTH_MAX, EXPANSION_SIZE_BYTES_MAX};

/// Why a word cannot be expanded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A quote or brace is left open.
    #[error("`{0}` is missing")]
    Unclosed(char),
    /// `${}`, `${{` or `${:`.
    #[error("bad substitution")]
    BadSubstitution,
    /// `${X^}`, or one that this engine lacks (`#`, `%`, `/`).
    #[error("`{0}` in a substitution needs a newer engine")]
    Modifier(String),
    /// `${X:?message}` of a variable that is unset or empty.
    #[error("`{name}`: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the Dockerfile says of it.
        message: String,
    },
    /// Variables make the word too long.
    #[error("the result is larger than {EXPANSION_SIZE_BYTES_MAX} bytes")]
    Size,
    /// Too many substitutions inside each other.
    #[error("substitutions are nested deeper than {EXPANSION_DEPTH_MAX}")]
    Depth,
}

/// Where values of variables come from.
pub(super) trait Variables {
    /// The value of `name` if it is set.
    fn value(&self, name: &str) -> Option<&str>;
}

impl Variables for BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// What happens to quotes, escapes and unset variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Quotes and escapes are taken off: the value a builder uses.
    Value,
    /// Quotes and escapes stay: the line with its variables filled in.
    Shown,
    /// Quotes mean nothing: the body of a heredoc.
    Document,
    /// Quotes, escapes and unset variables stay: a line looked through for heredocs.
    Line,
    /// Unset variables stay: a heredoc's delimiter.
    Delimiter,
    /// Quotes and unset variables stay: the delimiter, to see whether it was quoted.
    QuotedDelimiter,
}

impl Mode {
    fn keeps_quotes(self) -> bool {
        matches!(self, Self::Shown | Self::Line | Self::QuotedDelimiter)
    }
    fn keeps_escapes(self) -> bool {
        matches!(self, Self::Shown | Self::Line)
    }
    fn keeps_unset(self) -> bool {
        matches!(self, Self::Line | Self::Delimiter | Self::QuotedDelimiter)
    }
}

/// Expands `text` as one word.
pub(super) fn expand(
    text: &str,
    escape: char,
    mode: Mode,
    variables: &dyn Variables,
) -> Result<String, ExpandError> {
    Ok(Lexer::new(text, escape, mode, variables).until(None)?.text)
}

/// Splits `text` into words at blanks outside quotes, after expansion.
pub(super) fn split(text: &str, mode: Mode) -> Result<Vec<String>, ExpandError> {
    Ok(Lexer::new(text, '\\', mode, &BTreeMap::new()).until(None)?.finish())
}

#[derive(Default)]
struct Words {
    text: String,
    done: Vec<String>,
    word: String,
}

impl Words {
    /// Adds a character that ends the word if it is blank.
    fn push(&mut self, c: char) {
        self.text.push(c);
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
        }
    }

    /// Adds text that stays in one word.
    fn push_quoted(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        self.done
    }
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    mode: Mode,
    keeps_escapes: bool,
    variables: &'a dyn Variables,
    depth: usize,
    added_bytes: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, escape: char, mode: Mode, variables: &'a dyn Variables) -> Self {
        let keeps_escapes = mode.keeps_escapes();
        Self {
            chars: text.chars().peekable(),
            escape,
            mode,
            keeps_escapes,
            variables,
            depth: 0,
            added_bytes: 0,
        }
    }

    /// Reads to `stop` (which is taken) or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<Words, ExpandError> {
        let mut out = Words::default();
        while let Some(c) = self.chars.next() {
            match c {
                _ if Some(c) == stop => return Ok(out),
                '$' => self.dollar()?.chars().for_each(|c| out.push(c)),
                '\'' if self.mode != Mode::Document => out.push_quoted(&self.single_quoted()?),
                '"' if self.mode != Mode::Document => out.push_quoted(&self.double_quoted()?),
                _ if c == self.escape => {
                    if self.keeps_escapes {
                        out.push_quoted(c.encode_utf8(&mut [0; 4]));
                    }
                    if let Some(escaped) = self.chars.next() {
                        out.push_quoted(escaped.encode_utf8(&mut [0; 4]));
                    }
                }
                _ => out.push(c),
            }
        }
        stop.map_or(Ok(out), |stop| Err(ExpandError::Unclosed(stop)))
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let mut out = String::new();
        loop {
            match self.chars.next().ok_or(ExpandError::Unclosed('\''))? {
                '\'' => return Ok(self.requoted(out, '\'')),
                c => out.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let mut out = String::new();
        loop {
            match self.chars.next().ok_or(ExpandError::Unclosed('"'))? {
                '"' => return Ok(self.requoted(out, '"')),
                '$' => out.push_str(&self.dollar()?),
                c if c == self.escape => {
                    let escapes = self.chars.next_if(|&next| next == '"' || next == '$' || next == c);
                    if self.keeps_escapes || escapes.is_none() {
                        out.push(c);
                    }
                    out.extend(escapes);
                }
                c => out.push(c),
            }
        }
    }

    fn requoted(&self, text: String, quote: char) -> String {
        if self.mode.keeps_quotes() { format!("{quote}{text}{quote}") } else { text }
    }

    /// Reads what follows a `$`.
    fn dollar(&mut self) -> Result<String, ExpandError> {
        if self.chars.next_if_eq(&'{').is_some() {
            self.depth += 1;
            if self.depth > EXPANSION_DEPTH_MAX {
                return Err(ExpandError::Depth);
            }
            let value = self.braced();
            self.depth -= 1;
            return value;
        }
        let name = self.name();
        match self.variables.value(&name) {
            _ if name.is_empty() => Ok("$".to_owned()),
            Some(value) => self.spend(value),
            None if self.mode.keeps_unset() => Ok(format!("${name}")),
            None => Ok(String::new()),
        }
    }

    /// Reads what follows `${`, to its brace.
    fn braced(&mut self) -> Result<String, ExpandError> {
        match self.chars.peek() {
            None => return Err(ExpandError::Unclosed('}')),
            Some('{' | '}' | ':') => return Err(ExpandError::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        let value = self.variables.value(&name);
        let mut sign = self.chars.next().ok_or(ExpandError::Unclosed('}'))?;
        if sign == '}' {
            return match value {
                Some(value) => self.spend(value),
                None if self.mode.keeps_unset() => Ok(format!("${{{name}}}")),
                None => Ok(String::new()),
            };
        }
        let colon = if sign == ':' { ":" } else { "" };
        if sign == ':' {
            sign = self.chars.next().ok_or(ExpandError::Unclosed('}'))?;
        }
        let rest = match sign {
            '-' | '+' | '?' => self.until(Some('}'))?.text,
            '#' | '%' | '/' if self.mode.keeps_unset() => self.pattern(sign)?,
            _ => return Err(ExpandError::Modifier(format!("{colon}{sign}"))),
        };
        if self.mode.keeps_unset() && value.is_none() {
            return Ok(format!("${{{name}{colon}{sign}{rest}}}"));
        }
        self.chosen(&name, value, sign, !colon.is_empty(), rest)
    }

    /// Applies `-`, `+` or `?`.
    fn chosen(
        &mut self,
        name: &str,
        value: Option<&str>,
        sign: char,
        empty_is_unset: bool,
        word: String,
    ) -> Result<String, ExpandError> {
        let present = value.filter(|value| !(empty_is_unset && value.is_empty()));
        match (sign, present) {
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => self.spend(value),
            (_, None) => {
                let message = if word.is_empty() { "is required".to_owned() } else { word };
                Err(ExpandError::Required { name: name.to_owned(), message })
            }
        }
    }

    /// Reads a pattern (and replacement) only to find its end.
    fn pattern(&mut self, sign: char) -> Result<String, ExpandError> {
        let outer = std::mem::replace(&mut self.keeps_escapes, true);
        let mut text = String::new();
        if sign == '/' {
            text.extend(self.chars.next_if_eq(&'/'));
            text.push_str(&self.until(Some('/'))?.text);
            text.push('/');
        }
        text.push_str(&self.until(Some('}'))?.text);
        self.keeps_escapes = outer;
        Ok(text)
    }

    /// Reads a name, a number or one special parameter.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if let Some(special) = self.chars.next_if(|c| "@*#?-$!".contains(*c)) {
            name.push(special);
            return name;
        }
        let digits = self.chars.peek().is_some_and(|c| c.is_numeric());
        while let Some(c) =
            self.chars.next_if(|&c| if digits { c.is_numeric() } else { c.is_alphanumeric() || c == '_' })
        {
            name.push(c);
        }
        name
    }

    fn spend(&mut self, value: &str) -> Result<String, ExpandError> {
        self.added_bytes += value.len();
        if self.added_bytes > EXPANSION_SIZE_BYTES_MAX {
            Err(ExpandError::Size)
        } else {
            Ok(value.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        [("X", "x y"), ("E", ""), ("N", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(expand(text, '\\', Mode::Value, &variables()).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn expands_values() {
        check("a$N.b", "a1.b");
        check("${X}z$U", "x yz");
        check("${U:-d}${U-d}${E:-d}${E-d}", "ddd");
        check("${X:+a}${E:+a}${E+a}${U+a}", "aa");
        check("${N:?no}${E?no}", "1");
        check("${U:-${E:-${N}2}}", "12");
        check("${U:-a\\}b}", "a}b");
        check("${U:-\"}\"}", "}");
        check("\"$N '$N' \\$N \\\" \\n\"", "1 '1' $N \" \\n");
        check("'$N \\'a", "$N \\a");
        check("\\$N \\\\ \\a", "$N \\ a");
        check("a$ b$", "a$ b$");
        check("$1x$$y$?", "xy");
        check("alpine${U:+@sha256:1}:3", "alpine:3");
        check("end\\", "end");
    }

    #[test]
    fn keeps_what_the_mode_says() {
        let check = |text: &str, mode, expected: &str| {
            assert_eq!(expand(text, '\\', mode, &variables()).as_deref(), Ok(expected), "{text}");
        };
        check(r#"A="$N" B='$N' C=\$N$U"#, Mode::Shown, r#"A="1" B='$N' C=\$N"#);
        check(r#"it's "$N" \$N"#, Mode::Document, r#"it's "1" $N"#);
        check("a `$N`", Mode::Value, "a `1`");
        assert_eq!(expand("a`$N\\", '`', Mode::Value, &variables()).as_deref(), Ok("a$N\\"));
    }

    #[test]
    fn splits_lines() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(split(text, Mode::Line).unwrap(), expected, "{text}");
        };
        check("RUN a  \"b c\" <<EOF", &["RUN", "a", "\"b c\"", "<<EOF"]);
        check(r"a\ b ${x%.*} ${y//a/b} ${z:-q}", &[r"a\ b", "${x%.*}", "${y//a/b}", "${z:-q}"]);
        assert!(split("it's", Mode::Line).is_err());
    }

    #[test]
    fn refuses() {
        let check = |text: &str, expected: ExpandError| {
            assert_eq!(expand(text, '\\', Mode::Value, &variables()), Err(expected), "{text}");
        };
        check("${", ExpandError::Unclosed('}'));
        check("${X", ExpandError::Unclosed('}'));
        check("${X:", ExpandError::Unclosed('}'));
        check("${X:-a", ExpandError::Unclosed('}'));
        check("${}", ExpandError::BadSubstitution);
        check("${X^}", ExpandError::Modifier("^".into()));
        check("${X#a}", ExpandError::Modifier("#".into()));
        check("'a", ExpandError::Unclosed('\''));
        check("\"a", ExpandError::Unclosed('"'));
        check("${U?}", ExpandError::Required { name: "U".into(), message: "is required".into() });
        check("${E:?set it}", ExpandError::Required { name: "E".into(), message: "set it".into() });
        check(&"${U:-".repeat(100_000), ExpandError::Depth);
        let long = BTreeMap::from([("L".to_owned(), "x".repeat(1000))]);
        assert_eq!(expand(&"$L".repeat(2000), '\\', Mode::Value, &long), Err(ExpandError::Size));
    }
}
