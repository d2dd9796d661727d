//! Physical lines, directives, and logical lines that remember where in the source they come from.

use std::ops::Range;

use super::{DockerfileError, Fault};

/// `# name=value` at the top of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// `syntax`, `escape` or `check`.
    pub name: String,
    /// As written, without blanks around it.
    pub value: String,
    /// Physical line, from 1.
    pub line: usize,
}

/// One physical line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) start: usize,
    /// With its line end.
    pub(super) raw: &'a str,
}

impl<'a> Line<'a> {
    /// Without its line end (BuildKit cuts every `\r` there).
    pub(super) fn text(&self) -> &'a str {
        self.raw.trim_end_matches(['\r', '\n'])
    }

    /// Where in the source the text ends.
    fn end(&self) -> usize {
        self.start + self.text().len()
    }
}

/// Walks the physical lines of a source, past its byte order mark.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    source: &'a str,
    at: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        let at = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { source, at, number: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;
    fn next(&mut self) -> Option<Line<'a>> {
        let rest = &self.source[self.at..];
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        if length == 0 {
            return None;
        }
        self.number += 1;
        let line = Line { number: self.number, start: self.at, raw: &rest[..length] };
        self.at += length;
        Some(line)
    }
}

/// An instruction's line as BuildKit joins it, without continuations and the comments and empty lines in them.
#[derive(Debug, Default)]
pub(super) struct Logical {
    pub(super) text: String,
    pub(super) first_line: usize,
    pub(super) last_line: usize,
    /// Where in the source the last physical line's text ends.
    pub(super) end: usize,
    /// (offset in `text`, offset in the source) of each piece.
    pieces: Vec<(usize, usize)>,
}

impl Logical {
    fn push(&mut self, piece: &str, source_start: usize) {
        if !piece.is_empty() {
            self.pieces.push((self.text.len(), source_start));
            self.text.push_str(piece);
        }
    }

    fn source_offset(&self, offset: usize) -> usize {
        let after = self.pieces.partition_point(|(start, _)| *start <= offset);
        match after.checked_sub(1).and_then(|index| self.pieces.get(index)) {
            Some((start, source)) => source + (offset - start),
            None => self.end,
        }
    }

    /// Where in the source the bytes `range` of `text` are; a continuation between them is inside.
    pub(super) fn source_span(&self, range: Range<usize>) -> Range<usize> {
        if range.is_empty() {
            let at = if range.start == 0 {
                self.source_offset(0)
            } else {
                self.source_offset(range.start - 1) + 1
            };
            return at..at;
        }
        self.source_offset(range.start)..self.source_offset(range.end - 1) + 1
    }
}

/// Reads the next logical line; comments and empty lines before it are passed over.
pub(super) fn next_logical(lines: &mut Lines<'_>, escape: char) -> Option<Logical> {
    let first = lines.find(|line| !is_skipped(line.text()))?;
    let text = first.text().trim_start();
    let mut logical = Logical { first_line: first.number, ..Logical::default() };
    let mut line = first;
    let mut left = text;
    loop {
        let (piece, continues) = cut_continuation(left, escape);
        let at = line.start + line.text().len() - left.len();
        logical.push(piece, at);
        logical.last_line = line.number;
        logical.end = line.end();
        if !continues {
            return Some(logical);
        }
        loop {
            let Some(next) = lines.next() else { return Some(logical) };
            line = next;
            logical.last_line = line.number;
            logical.end = line.end();
            if !is_skipped(line.text()) {
                break;
            }
        }
        left = line.text();
    }
}

/// Whether the line is empty or a comment.
fn is_skipped(text: &str) -> bool {
    let text = text.trim_start();
    text.is_empty() || text.starts_with('#')
}

/// Cuts an escape token that ends the line, unless another one stands before it.
fn cut_continuation(text: &str, escape: char) -> (&str, bool) {
    match text.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (text, false),
    }
}

/// Reads the directives at the top and what they say of the escape token.
pub(super) fn directives(source: &str) -> Result<(Vec<Directive>, char), DockerfileError> {
    let mut found: Vec<Directive> = Vec::new();
    let mut escape = '\\';
    let mut shebang = false;
    for line in Lines::new(source) {
        if line.number == 1 && line.text().starts_with("#!") {
            shebang = true; // BuildKit looks for `syntax` past it, but for nothing else.
            continue;
        }
        let Some(directive) = directive(&line) else { break };
        if shebang && directive.name != "syntax" {
            break;
        }
        if found.iter().any(|other| other.name == directive.name) {
            return Err(Fault::DirectiveTwice(directive.name).at(line.number));
        }
        match (directive.name.as_str(), directive.value.as_str()) {
            ("escape", "\\") => escape = '\\',
            ("escape", "`") => escape = '`',
            ("escape", other) => return Err(Fault::Escape(other.to_owned()).at(line.number)),
            ("syntax", frontend) if !is_dockerfile_frontend(frontend) => {
                return Err(Fault::Frontend(frontend.to_owned()).at(line.number));
            }
            _ => {}
        }
        found.push(directive);
    }
    Ok((found, escape))
}

fn directive(line: &Line<'_>) -> Option<Directive> {
    let (name, value) = line.text().trim_start().strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
    let known = matches!(name.as_str(), "syntax" | "escape" | "check");
    (known && !value.is_empty()).then_some(Directive { name, value, line: line.number })
}

/// `docker/dockerfile`, `docker.io/docker/dockerfile-upstream:master` and the like.
fn is_dockerfile_frontend(value: &str) -> bool {
    let image = value.split(' ').next().unwrap_or_default();
    image
        .strip_prefix("docker.io/")
        .unwrap_or(image)
        .strip_prefix("docker/dockerfile")
        .is_some_and(|rest| rest.is_empty() || (rest.starts_with([':', '@', '-']) && !rest.contains('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &[(usize, usize, &str)]) {
        let (_, escape) = directives(source).unwrap();
        let mut lines = Lines::new(source);
        let found: Vec<_> = std::iter::from_fn(|| next_logical(&mut lines, escape)).collect();
        let found: Vec<_> = found.iter().map(|l| (l.first_line, l.last_line, l.text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn joins_as_buildkit_does() {
        check("  FROM a \nRUN b", &[(1, 1, "FROM a "), (2, 2, "RUN b")]);
        check("RUN a \\\n  b", &[(1, 2, "RUN a   b")]);
        check("RUN a \\ \t\r\n  b\r\n", &[(1, 2, "RUN a   b")]);
        check("RUN a \\\n # c\n\n  \n b \\\n", &[(1, 5, "RUN a  b ")]);
        check("RUN a \\\\\nRUN b", &[(1, 1, "RUN a \\\\"), (2, 2, "RUN b")]);
        check("# escape=`\nRUN a `\n b \\\nRUN c", &[(2, 3, "RUN a  b \\"), (4, 4, "RUN c")]);
        check("\u{feff}FROM a", &[(1, 1, "FROM a")]);
        check("\\\nRUN a", &[(1, 2, "RUN a")]);
        check("RUN a # not a comment", &[(1, 1, "RUN a # not a comment")]);
    }

    #[test]
    fn maps_back() {
        let source = "RUN deb\\\n# x\nian é";
        let logical = next_logical(&mut Lines::new(source), '\\').unwrap();
        assert_eq!(logical.text, "RUN debian é");
        assert_eq!(&source[logical.source_span(4..10)], "deb\\\n# x\nian");
        assert_eq!(&source[logical.source_span(11..13)], "é");
        assert_eq!(logical.source_span(13..13), source.len()..source.len());
    }

    #[test]
    fn reads_directives_only_at_the_top() {
        let names = |source: &str| {
            let (found, escape) = directives(source).unwrap();
            (
                found.into_iter().map(|d| format!("{}={}", d.name, d.value)).collect::<Vec<_>>().join(" "),
                escape,
            )
        };
        let check = |source: &str, expected: &str, escape: char| {
            assert_eq!(names(source), (expected.to_owned(), escape), "{source}");
        };
        check(
            "# Syntax = docker/dockerfile:1\n#ESCAPE=`\n#check=skip=all\n",
            "syntax=docker/dockerfile:1 escape=` check=skip=all",
            '`',
        );
        check("# hello\n# escape=`\n", "", '\\');
        check("\n# escape=`\n", "", '\\');
        check("FROM a\n# escape=`\n", "", '\\');
        check("#!/usr/bin/env x\n# syntax=docker/dockerfile\n# escape=`\n", "syntax=docker/dockerfile", '\\');
        check("\u{feff}# escape=`\r\n", "escape=`", '`');
    }

    #[test]
    fn refuses_directives() {
        let check = |source: &str, expected: Fault, line: usize| {
            assert_eq!(directives(source).unwrap_err(), expected.at(line), "{source}");
        };
        check("# escape=x\n", Fault::Escape("x".into()), 1);
        check("# escape=`\n# ESCAPE=`\n", Fault::DirectiveTwice("escape".into()), 2);
        for frontend in [
            "evil/dockerfile",
            "docker/dockerfiles",
            "h.example/docker/dockerfile:1",
            "docker/dockerfile:1/x",
        ] {
            check(&format!("# syntax={frontend}\n"), Fault::Frontend(frontend.into()), 1);
            check(&format!("#!x\n# syntax={frontend}\n"), Fault::Frontend(frontend.into()), 2);
        }
        for frontend in [
            "docker/dockerfile",
            "docker.io/docker/dockerfile:1.7-labs",
            "docker/dockerfile-upstream:master",
            "docker/dockerfile@sha256:0 x",
        ] {
            assert!(directives(&format!("# syntax={frontend}\n")).is_ok(), "{frontend}");
        }
    }
}
