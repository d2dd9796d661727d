//! Heredocs: which a line begins, and their bodies.

use super::{
    Fault,
    expand::{self, Mode},
    lex::Lines,
};
use crate::model::limits::HEREDOCS_MAX;

/// A document inside the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes.
    pub name: String,
    /// The body as written, with its line ends.
    pub raw: String,
    /// Whether `<<-` takes the leading tabs off the lines.
    pub strips_tabs: bool,
    /// Whether variables in the body count: the delimiter was not quoted.
    pub expand: bool,
}

impl Heredoc {
    /// The body as the instruction gets it, before expansion of variables.
    #[must_use]
    pub fn content(&self) -> String {
        if !self.strips_tabs {
            return self.raw.clone();
        }
        self.raw.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// Reads one word as `<<NAME`, `<<-NAME`, `3<<"NAME"`; `None` if it is something else.
pub(super) fn of_word(word: &str) -> Result<Option<Heredoc>, Fault> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (strips_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let split = |mode| {
        expand::split(rest, mode)
            .map_err(|problem| Fault::Expand { word: word.chars().take(60).collect(), problem })
    };
    let quotes = |word: &str| word.matches(['\'', '"']).count();
    match (split(Mode::Delimiter)?.as_slice(), split(Mode::QuotedDelimiter)?.as_slice()) {
        ([name], [quoted]) => Ok(Some(Heredoc {
            name: name.clone(),
            raw: String::new(),
            strips_tabs,
            expand: quotes(name) == quotes(quoted),
        })),
        _ => Ok(None),
    }
}

/// The heredocs that the joined line `text` begins, still without bodies. A line that cannot be split (an open
/// quote) begins none, as in BuildKit.
pub(super) fn of_line(text: &str) -> Result<Vec<Heredoc>, Fault> {
    if !text.contains("<<") {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for word in expand::split(text, Mode::Line).unwrap_or_default() {
        found.extend(of_word(&word)?);
    }
    if found.len() > HEREDOCS_MAX {
        return Err(Fault::limit("heredocs in one instruction", HEREDOCS_MAX));
    }
    Ok(found)
}

/// Reads the body of `heredoc`; gives the last line's number and where its text ends in the source.
pub(super) fn read_body(heredoc: &mut Heredoc, lines: &mut Lines<'_>) -> Result<(usize, usize), Fault> {
    for line in lines {
        let text = line.text();
        let text = if heredoc.strips_tabs { text.trim_start_matches('\t') } else { text };
        if text == heredoc.name {
            return Ok((line.number, line.start + line.text().len()));
        }
        heredoc.raw.push_str(line.raw);
    }
    Err(Fault::HeredocEnd(heredoc.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_words() {
        let check = |line: &str, expected: &[(&str, bool, bool)]| {
            let found = of_line(line).unwrap();
            let found: Vec<_> = found.iter().map(|h| (h.name.as_str(), h.strips_tabs, h.expand)).collect();
            assert_eq!(found, expected, "{line}");
        };
        check("RUN <<EOF", &[("EOF", false, true)]);
        check("RUN <<-'E OF' cat 3<<\"B\"", &[("E OF", true, false), ("B", false, false)]);
        check("COPY <<A <<B /x/", &[("A", false, true), ("B", false, true)]);
        check("RUN cat <<E$x", &[("E$x", false, true)]);
        check("RUN cat <<E\\$x", &[("E$x", false, true)]);
        check("RUN cat <<<word", &[]);
        check("RUN cat << EOF", &[]);
        check("RUN cat <<EOF>f", &[("EOF>f", false, true)]);
        check("RUN a<<EOF", &[]);
        check("RUN echo '<<EOF'", &[]);
        check("RUN echo $((1<<2))", &[]);
        check("RUN it's <<EOF", &[]);
        check("RUN <<''", &[]);
    }

    #[test]
    fn refuses_many() {
        let line = format!("RUN {}", "<<A ".repeat(HEREDOCS_MAX + 1));
        assert!(matches!(of_line(&line), Err(Fault::Limit { .. })));
    }

    #[test]
    fn reads_bodies() {
        let body = |source: &str, word: &str| {
            let mut heredoc = of_word(word).unwrap().unwrap();
            let end = read_body(&mut heredoc, &mut Lines::new(source));
            (heredoc.content(), end)
        };
        assert_eq!(body("a\n\tb\\\n# c\nEOF\nd", "<<EOF"), ("a\n\tb\\\n# c\n".into(), Ok((4, 13))));
        assert_eq!(body("\ta\n\t\tb\n\tEOF\n", "<<-EOF").0, "a\nb\n");
        assert_eq!(body("a\r\nEOF\r\n", "<<EOF").0, "a\r\n");
        assert_eq!(body("a\nEOF ", "<<EOF").1, Err(Fault::HeredocEnd("EOF".into())));
    }
}
