//! Edits of the source: byte ranges replaced, everything else untouched, line numbers kept.

use std::ops::Range;

use serde::Serialize;

use super::{Dockerfile, DockerfileError, Fault};

/// An image reference put in place of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The token's place in the source, from [`super::ImageReference`].
    pub span: Range<usize>,
    /// What the engine shall read there.
    pub replacement: String,
}

/// Why a splice was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EditKind {
    /// An image reference was replaced by the one that is used.
    Pin,
    /// A flag that the engine lacks, and that changes nothing here, was cut.
    Flag,
    /// A RUN with heredocs became an exec form.
    HeredocRun,
    /// A COPY or ADD of heredocs became a COPY of files.
    HeredocCopy,
    /// Stages after the target, which the engine could not read, were cut.
    Stages,
}

/// One splice, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// Physical line, from 1, where it begins, before as after.
    pub line: usize,
    /// Why it was made.
    pub kind: EditKind,
    /// What stood there.
    pub original: String,
    /// What stands there now, with the line ends that keep later lines at their numbers.
    pub replacement: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) span: Range<usize>,
    pub(super) kind: EditKind,
    pub(super) replacement: String,
}

impl Splice {
    /// A splice with more of its instruction after it: lost line ends come back as continuations before it.
    pub(super) fn within(file: &Dockerfile, span: Range<usize>, kind: EditKind, text: &str) -> Self {
        let continuations = format!("{}\n", file.escape).repeat(file.line_ends(&span));
        Self { span, kind, replacement: format!("{continuations}{text}") }
    }

    /// A splice that ends its instruction: lost line ends come back as empty lines after it.
    pub(super) fn to_end(file: &Dockerfile, span: Range<usize>, kind: EditKind, text: &str) -> Self {
        let empty_lines = "\n".repeat(file.line_ends(&span));
        Self { span, kind, replacement: format!("{text}{empty_lines}") }
    }

    /// The splice for `pin`.
    pub(super) fn pin(file: &Dockerfile, pin: &Pin) -> Result<Self, DockerfileError> {
        let odd =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\\' | '`' | '$' | ',');
        let fits = file.source().get(pin.span.clone()).is_some_and(|token| !token.is_empty());
        if !fits || pin.replacement.is_empty() || pin.replacement.contains(odd) {
            let line = file.line_of(pin.span.start.min(file.source().len()));
            return Err(Fault::Pin(pin.replacement.clone()).at(line));
        }
        Ok(Self::within(file, pin.span.clone(), EditKind::Pin, &pin.replacement))
    }
}

impl Dockerfile {
    fn line_ends(&self, span: &Range<usize>) -> usize {
        self.source()[span.clone()].matches('\n').count()
    }

    /// Makes the splices; equal ones count once, those that change nothing are left out.
    pub(super) fn spliced(&self, mut splices: Vec<Splice>) -> Result<(Vec<u8>, Vec<Edit>), DockerfileError> {
        let source = self.source();
        splices.retain(|splice| source[splice.span.clone()] != splice.replacement);
        splices.sort_by_key(|splice| (splice.span.start, splice.span.end));
        splices.dedup();
        let (mut text, mut edits, mut at) = (Vec::with_capacity(source.len()), Vec::new(), 0);
        for Splice { span, kind, replacement } in splices {
            let line = self.line_of(span.start);
            let Some(kept) = source.get(at..span.start) else { return Err(Fault::Pin(replacement).at(line)) };
            text.extend_from_slice(kept.as_bytes());
            text.extend_from_slice(replacement.as_bytes());
            at = span.end;
            edits.push(Edit { line, kind, original: source[span].to_owned(), replacement });
        }
        text.extend_from_slice(&source.as_bytes()[at..]);
        Ok((text, edits))
    }
}
