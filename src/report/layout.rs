//! What `verify --layout` answers of an in-toto layout; a part of `reprov.verify/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    model::path::printable,
    verify::{
        Verdict,
        layout::{Judged, LayoutFinding},
    },
};

/// A layout and what came of judging it.
#[derive(Debug, Serialize)]
pub struct Layout {
    /// Its file.
    pub file: String,
    /// What came of it; no image is judged here.
    pub verdict: Verdict,
    /// All that was found.
    pub findings: Vec<Line>,
    /// Whose links counted.
    pub functionaries: Vec<Functionary>,
    /// Inspections that ran.
    pub inspections: Vec<String>,
}

/// One finding.
#[derive(Debug, Serialize)]
pub struct Line {
    /// `reprov explain CODE`.
    pub code: &'static str,
    /// `deny` or `warn`.
    pub severity: &'static str,
    /// Which step or inspection; `a/b` is step `b` of the layout in place of `a`'s link; empty: the layout as a whole.
    pub item: String,
    /// What exactly.
    pub message: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Somebody who did a step.
#[derive(Debug, Serialize)]
pub struct Functionary {
    /// Which.
    pub step: String,
    /// The id of the key, as the layout has it.
    pub key: String,
}

impl From<&LayoutFinding> for Line {
    fn from(finding: &LayoutFinding) -> Self {
        Self {
            code: finding.code.name(),
            severity: if finding.code.refuses() { "deny" } else { "warn" },
            item: finding.item.clone(),
            message: finding.message.clone(),
            remedy: finding.code.remedy(),
        }
    }
}

impl Layout {
    /// The answer about the layout in `file`; `inspections` ran.
    #[must_use]
    pub fn of(file: String, judged: &Judged, inspections: Vec<String>) -> Self {
        let functionary =
            |(step, key): &(String, String)| Functionary { step: step.clone(), key: key.clone() };
        Self {
            file,
            verdict: if judged.refused() { Verdict::Failed } else { Verdict::Passed },
            findings: judged.findings.iter().map(Line::from).collect(),
            functionaries: judged.functionaries.iter().map(functionary).collect(),
            inspections,
        }
    }

    /// Its part of the answer for people.
    pub(super) fn write(&self, out: &mut String) {
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(out, "  {name:<11} {}", printable(value)); // Writing to a String cannot fail.
        };
        for functionary in &self.functionaries {
            row("step", &format!("{} by {}", functionary.step, functionary.key));
        }
        for inspection in &self.inspections {
            row("inspected", inspection);
        }
        for finding in &self.findings {
            let item = if finding.item.is_empty() { "layout" } else { &finding.item };
            row(finding.severity, &format!("{}: {item}: {}", finding.code, finding.message));
            if finding.severity == "deny" {
                row("", &format!("→ {}", finding.remedy));
            }
        }
        let _ = writeln!(out, "layout {}: {}", printable(&self.file), self.verdict.name());
    }
}
