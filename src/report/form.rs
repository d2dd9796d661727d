//! Reports as files: one answer in the form that the end of a name asks for.

use serde::Serialize;

use super::{junit, markdown, page, pair::Pair, sarif};

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One page that needs nothing else, for a browser.
    Html,
    /// For a comment on a change.
    Markdown,
    /// The answer itself.
    Json,
    /// `JUnit`, for those who show tests: one for each layer.
    Junit,
    /// SARIF 2.1.0, for those who show findings.
    Sarif,
    /// As on a terminal, with everything.
    Text,
}

impl Form {
    /// Each of them.
    pub const ALL: [Self; 6] = [Self::Html, Self::Markdown, Self::Json, Self::Junit, Self::Sarif, Self::Text];

    /// How names of such files end.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Html => ".html",
            Self::Markdown => ".md",
            Self::Json => ".json",
            Self::Junit => ".xml",
            Self::Sarif => ".sarif",
            Self::Text => ".txt",
        }
    }

    /// The form that the name of a file asks for.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| name.ends_with(form.ending()))
    }
}

/// An answer that compares images.
pub trait Compares: Serialize {
    /// What it compares.
    fn pairs(&self) -> Vec<Pair<'_>>;

    /// The answer for people; `verbose`: with everything.
    fn text(&self, verbose: bool) -> String;
}

/// The report. The same answer gives the same bytes; but for JSON, which is the answer itself, so do two runs that find the
/// same.
#[must_use]
pub fn render(form: Form, answer: &impl Compares) -> String {
    match form {
        Form::Html => page::render(&answer.pairs()),
        Form::Markdown => markdown::render(&answer.pairs()),
        Form::Json => json(answer),
        Form::Junit => junit::render(&answer.pairs()),
        Form::Sarif => sarif::render(&answer.pairs()),
        Form::Text => answer.text(true),
    }
}

/// As `--format json` prints it.
///
/// # Panics
/// Never: answers have text keys and finite numbers.
#[must_use]
pub fn json(answer: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(answer);
    text.expect("answers have text keys and finite numbers") + "\n"
}
