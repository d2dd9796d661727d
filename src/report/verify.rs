//! `reprov.verify/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use super::layout::Layout;

use crate::{
    model::{Digest, path::printable},
    verify::{self, Finding, Judgement, Status, Verdict},
};

/// The answer of `verify`.
#[derive(Debug, Serialize)]
pub struct Verify {
    /// `reprov.verify/v1`.
    pub schema: &'static str,
    /// The policy that was applied; none: none was.
    pub policy: Option<Policy>,
    /// As of when, RFC 3339.
    pub as_of: String,
    /// In the order they were asked for.
    pub images: Vec<Image>,
    /// The in-toto layout, if one was given.
    pub layout: Option<Layout>,
}

/// The policy.
#[derive(Debug, Clone, Serialize)]
pub struct Policy {
    /// What it calls itself, or where it was read.
    pub name: String,
    /// Of its text.
    pub digest: Digest,
}

/// One image.
#[derive(Debug, Serialize)]
pub struct Image {
    /// As it was given, with its digest where that is known.
    pub image: String,
    /// What was judged: `manifest`, or `index`: then none of its images was.
    pub judged: Option<&'static str>,
    /// What came of it.
    pub verdict: Verdict,
    /// Its SLSA build level, as the policy grants it.
    pub level: u8,
    /// The heaviest first.
    pub findings: Vec<Line>,
    /// All that were opened.
    pub attestations: Vec<Attestation>,
    /// What is known of it.
    pub facts: Vec<Fact>,
    /// The summary that stood in for judging, if one did.
    pub summary: Option<Digest>,
    /// The referrer of the summary that was attached.
    pub attestation: Option<Digest>,
    /// What it stands on, with what came of that.
    pub dependencies: Vec<Dependency>,
    /// Why there is no verdict, or why the summary is not attached.
    pub error: Option<String>,
}

/// One finding.
#[derive(Debug, Serialize)]
pub struct Line {
    /// `reprov explain CODE`.
    pub code: &'static str,
    /// `deny`, `warn`, `info`.
    pub severity: &'static str,
    /// What exactly.
    pub message: String,
    /// What to do about it.
    pub remedy: &'static str,
    /// Who puts up with it.
    pub waived_by: Option<String>,
    /// Where that stands.
    pub evidence: Option<String>,
}

/// One attestation.
#[derive(Debug, Serialize)]
pub struct Attestation {
    /// What it says it is, if that can be read.
    pub predicate_type: Option<String>,
    /// Of the referrer's manifest; of cosign 2's, of the layer.
    pub digest: Digest,
    /// Of the statement's bytes.
    pub statement: Option<Digest>,
    /// Who signed it, of those who are trusted.
    pub signer: Option<String>,
    /// Whether it is believed.
    pub verified: bool,
}

/// One thing that is known.
#[derive(Debug, Serialize)]
pub struct Fact {
    /// What.
    pub name: &'static str,
    /// Itself.
    pub value: String,
    /// `checked`, or `claimed`: a trusted signer says so, and nothing was held against it.
    pub status: Status,
}

/// What an image stands on.
#[derive(Debug, Serialize)]
pub struct Dependency {
    /// `base` or `buildroot`.
    pub role: String,
    /// What came of it.
    pub image: Image,
}

impl From<&Finding> for Line {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.code.name(),
            severity: finding.severity.name(),
            message: finding.message.clone(),
            remedy: finding.code.remedy(),
            waived_by: finding.waived_by.clone(),
            evidence: finding.evidence.clone(),
        }
    }
}

impl From<&verify::Line> for Attestation {
    fn from(line: &verify::Line) -> Self {
        Self {
            predicate_type: line.predicate_type.clone(),
            digest: line.digest,
            statement: line.statement,
            signer: line.signer.clone(),
            verified: line.verified,
        }
    }
}

impl From<&Judgement> for Image {
    fn from(judgement: &Judgement) -> Self {
        let fact =
            |fact: &verify::Fact| Fact { name: fact.name, value: fact.value.clone(), status: fact.status };
        let dependency = |(role, judgement): &(String, Judgement)| Dependency {
            role: role.clone(),
            image: judgement.into(),
        };
        Self {
            image: judgement.image.clone(),
            judged: Some(if judgement.index { "index" } else { "manifest" }),
            verdict: judgement.verdict,
            level: judgement.level,
            findings: judgement.findings.iter().map(Line::from).collect(),
            attestations: judgement.attestations.iter().map(Attestation::from).collect(),
            facts: judgement.facts.iter().map(fact).collect(),
            summary: judgement.summary,
            attestation: None,
            dependencies: judgement.dependencies.iter().map(dependency).collect(),
            error: None,
        }
    }
}

impl Image {
    /// The answer where nobody can tell.
    #[must_use]
    pub fn unknown(image: String, why: String) -> Self {
        Self {
            image,
            judged: None,
            verdict: Verdict::Unknown,
            level: 0,
            findings: Vec::new(),
            attestations: Vec::new(),
            facts: Vec::new(),
            summary: None,
            attestation: None,
            dependencies: Vec::new(),
            error: Some(why),
        }
    }

    pub(super) fn write(&self, out: &mut String, depth: usize, all: bool) {
        let indent = "  ".repeat(depth);
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(out, "{indent}  {name:<11} {}", printable(value)); // Writing to a String cannot fail.
        };
        for fact in &self.facts {
            let mark = if fact.status == Status::Claimed { " (claimed)" } else { "" };
            row(fact.name, &format!("{}{mark}", fact.value));
        }
        if self.verdict == Verdict::Passed && self.level > 0 {
            row("level", &format!("SLSA build level {}", self.level));
        }
        let verified: Vec<_> = self.attestations.iter().filter(|one| one.verified).collect();
        for one in &verified {
            let kind = one.predicate_type.as_deref().unwrap_or_default();
            row(
                "attested",
                &format!("{kind} by {} ({})", one.signer.as_deref().unwrap_or_default(), one.digest.short()),
            );
        }
        let others = self.attestations.len() - verified.len();
        if others > 0 {
            row("not believed", &format!("{others} other attestations"));
        }
        for finding in self
            .findings
            .iter()
            .filter(|finding| all || finding.severity != "info" || !self.verdict_is_plain())
        {
            let waived =
                finding.waived_by.as_ref().map(|owner| format!(" (waived by {owner})")).unwrap_or_default();
            row(finding.severity, &format!("{}: {}{waived}", finding.code, finding.message));
            if finding.severity == "deny" && finding.waived_by.is_none() {
                row("", &format!("→ {}", finding.remedy));
            }
        }
        if let Some(digest) = &self.attestation {
            row("summary", &digest.to_string());
        }
        if let Some(error) = &self.error {
            row("error", error);
        }
        for dependency in &self.dependencies {
            dependency.image.head(out, depth + 1, &dependency.role);
            dependency.image.write(out, depth + 1, all);
        }
    }

    /// Whether what is only good to know may be left out: it is, unless somebody looks for why an image is refused.
    fn verdict_is_plain(&self) -> bool {
        self.verdict == Verdict::Passed
            && self.findings.iter().all(|finding| {
                finding.code != "no-policy" && finding.code != "any-builder" && finding.code != "summary-used"
            })
    }

    pub(super) fn head(&self, out: &mut String, depth: usize, role: &str) {
        let indent = "  ".repeat(depth);
        let role = if role.is_empty() { String::new() } else { format!("{role} ") };
        let index = if self.judged == Some("index") { " (the index; none of its images)" } else { "" };
        let _ = writeln!(out, "{indent}{:<7} {role}{}{index}", self.verdict.name(), printable(&self.image));
    }
}

impl Verify {
    /// The answer for people; `all` with what is only good to know.
    #[must_use]
    pub fn text(&self, all: bool) -> String {
        let mut out = String::new();
        for image in &self.images {
            image.head(&mut out, 0, "");
            image.write(&mut out, 0, all);
        }
        if let Some(layout) = &self.layout {
            layout.write(&mut out);
        }
        out
    }
}
