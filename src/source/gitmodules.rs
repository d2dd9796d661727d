//! `.gitmodules` (pure; git's `gitmodules` and `git-config`, "CONFIGURATION FILE"): which URL stands for which path.
//!
//! Nothing is included, expanded or run: of all keys only `path` and `url` are looked at.

use std::{collections::BTreeMap, iter::Peekable, str::Chars};

/// One submodule as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name of its section.
    pub(super) name: String,
    /// Where it is fetched from; may be relative.
    pub(super) url: Option<String>,
}

/// Why a text is no `.gitmodules`: the line (from 1), and what is wrong.
pub(super) type Refused = (usize, &'static str);

/// Reads `.gitmodules`: path → submodule. Of keys written twice the last one counts; two submodules at one path are
/// refused.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Entry>, Refused> {
    let mut reader =
        Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable(), line: 1 };
    let mut sections: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    let mut section = None;
    while let Some(letter) = reader.next_letter() {
        match letter {
            '[' => section = reader.section()?,
            '#' | ';' => reader.skip_line(),
            _ if letter.is_ascii_alphabetic() => {
                let (key, value) = reader.setting(letter)?;
                if let Some(name) = &section {
                    let (path, url) = sections.entry(String::clone(name)).or_default();
                    match key.as_str() {
                        "path" => *path = Some(value),
                        "url" => *url = Some(value),
                        _ => {}
                    }
                }
            }
            _ => return Err(reader.refuse("write `[submodule \"NAME\"]`, `path = PATH` or `url = URL`")),
        }
    }
    let mut by_path = BTreeMap::new();
    for (name, (path, url)) in sections {
        if let Some(path) = path
            && by_path.insert(path, Entry { name, url }).is_some()
        {
            return Err(reader.refuse("two submodules have one path; keep one"));
        }
    }
    Ok(by_path)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.rest.next()?;
        let letter = if letter == '\r' { self.rest.next_if_eq(&'\n').unwrap_or(letter) } else { letter };
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    /// The next letter that is no space.
    fn next_letter(&mut self) -> Option<char> {
        loop {
            match self.next()? {
                letter if letter.is_ascii_whitespace() => {}
                letter => return Some(letter),
            }
        }
    }

    fn skip_line(&mut self) {
        while !matches!(self.next(), None | Some('\n')) {}
    }

    fn refuse(&self, reason: &'static str) -> Refused {
        (self.line, reason)
    }

    /// What is between `[` and `]`: the name, if it is a submodule's.
    fn section(&mut self) -> Result<Option<String>, Refused> {
        let mut head = String::new();
        let mut name = None;
        loop {
            match self.next() {
                Some(']') => break,
                Some(letter) if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-') => {
                    head.push(letter.to_ascii_lowercase());
                }
                Some(' ' | '\t') => {
                    if self.next_letter() != Some('"') {
                        return Err(self.refuse("a section's name stands in quotes"));
                    }
                    name = Some(self.quoted()?);
                    if self.next() != Some(']') {
                        return Err(self.refuse("a section ends with `]`"));
                    }
                    break;
                }
                _ => return Err(self.refuse("a section ends with `]`")),
            }
        }
        // `[submodule.name]` is the old way to write it.
        let old = head.strip_prefix("submodule.").map(ToOwned::to_owned);
        Ok(if head == "submodule" { name } else { old })
    }

    fn quoted(&mut self) -> Result<String, Refused> {
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.extend(self.next().filter(|letter| *letter != '\n')),
                Some('\n') | None => return Err(self.refuse("a quote is not closed")),
                Some(letter) => text.push(letter),
            }
        }
    }

    /// `KEY = VALUE`, of which `first` was read.
    fn setting(&mut self, first: char) -> Result<(String, String), Refused> {
        let mut key = String::from(first.to_ascii_lowercase());
        while let Some(letter) = self.rest.next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '-')
        {
            key.push(letter.to_ascii_lowercase());
        }
        while self.rest.next_if(|letter| matches!(letter, ' ' | '\t')).is_some() {}
        match self.next() {
            Some('=') => Ok((key, self.value()?)),
            Some('\n') | None => Ok((key, String::new())),
            Some('#' | ';') => {
                self.skip_line();
                Ok((key, String::new()))
            }
            Some(_) => Err(self.refuse("a key is letters, digits and `-`, then `=`")),
        }
    }

    fn value(&mut self) -> Result<String, Refused> {
        let (mut value, mut spaces, mut quoted) = (String::new(), String::new(), false);
        loop {
            let letter = match self.next() {
                None | Some('\n') if quoted => return Err(self.refuse("a quote is not closed")),
                None | Some('\n') => return Ok(value),
                Some('"') => {
                    quoted = !quoted;
                    continue;
                }
                Some('#' | ';') if !quoted => {
                    self.skip_line();
                    return Ok(value);
                }
                Some(space @ (' ' | '\t')) if !quoted => {
                    spaces.push(space);
                    continue;
                }
                Some('\\') => match self.next() {
                    Some('\n') => continue,
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('b') => '\u{8}',
                    Some(letter @ ('"' | '\\')) => letter,
                    _ => return Err(self.refuse("only \\n, \\t, \\b, \\\" and \\\\ mean something")),
                },
                Some(letter) => letter,
            };
            if !value.is_empty() {
                value.push_str(&spaces);
            }
            spaces.clear();
            value.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[(&str, &str, Option<&str>)]) {
        let found = parse(text).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(path, entry)| (path.as_str(), entry.name.as_str(), entry.url.as_deref()))
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn reads() {
        check("", &[]);
        check("[submodule \"a\"]\n\tpath = a\n\turl = ../a.git\n", &[("a", "a", Some("../a.git"))]);
        check(
            "[submodule \"a\"] path = p\r\n[SubModule \"b\"]\r\npath=q # c\r\n",
            &[("p", "a", None), ("q", "b", None)],
        );
        check("[submodule \"a b\\\"\\\\\"]\npath = \"x y\" z ; c\n", &[("x y z", "a b\"\\", None)]);
        check("[submodule.Old]\npath = a\\\nb\nUrl = \"\\t\\\"\"", &[("ab", "old", Some("\t\""))]);
        check(
            "[core]\npath = a\n[submodule \"m\"]\nfetchRecurseSubmodules\npath = a\npath = b\n",
            &[("b", "m", None)],
        );
        check("[submodule \"m\"]\nupdate = !id\nurl = x\n", &[]);
        check("[submodule \"m\"]\npath = a\n[submodule \"m\"]\nurl = u\n", &[("a", "m", Some("u"))]);
        check("[include]\npath = /etc/passwd\n", &[]);
    }

    #[test]
    fn refuses() {
        let check = |text: &str, line: usize, expected: &str| {
            let (found, reason) = parse(text).unwrap_err();
            assert!(found == line && reason.contains(expected), "{text:?}: {found} {reason}");
        };
        check("[submodule \"a\"\n", 2, "ends with `]`");
        check("[submodule a]", 1, "in quotes");
        check("[submodule \"a", 1, "not closed");
        check("\n= x", 2, "write `[submodule");
        check("[a]\nk : v", 2, "then `=`");
        check("[a]\nk = \"v", 2, "not closed");
        check("[a]\nk = \\x", 2, "mean something");
        check("[submodule \"a\"]\npath=p\n[submodule \"b\"]\npath=p", 4, "two submodules");
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"(\[submodule "?|path ?= ?|url = |["\\\]#; \r\n\t]|\PC){0,40}"#) {
            let _ = parse(&text);
        }

        #[test]
        fn reads_what_git_would_write(name in "[a-z \\\\\"/]{1,9}", path in "[a-z \\\\\"#;]{1,9}") {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("[submodule \"{}\"]\n\tpath = \"{}\"\n", quote(&name), quote(&path));
            let found = parse(&text).unwrap();
            prop_assert_eq!(&found[&path].name, &name);
        }
    }
}
