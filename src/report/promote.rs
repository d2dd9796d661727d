//! `reprov.promote/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    copy::{Blobs, Left},
    size,
    verify::{self, Line, Policy},
};
use crate::{
    model::{Digest, path::printable},
    verify::promotion::{Decision, Objection, Weighed},
};

/// The answer of `promote`.
#[derive(Debug, Serialize)]
pub struct Promote {
    /// `reprov.promote/v1`.
    pub schema: &'static str,
    /// The policy.
    pub policy: Option<Policy>,
    /// As of when, RFC 3339.
    pub as_of: String,
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// In the order they were asked for.
    pub promotions: Vec<Promotion>,
    /// How long it took.
    pub seconds: i64,
}

/// What came of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It would be: nothing was to be written.
    Allowed,
    /// The tag was moved.
    Promoted,
    /// The tag named it already; what was missing beside it was brought.
    Completed,
    /// The tag named it already, promoted; nothing was written.
    Unchanged,
    /// Somebody says no.
    Refused,
    /// Nobody can tell.
    Unknown,
}

impl Outcome {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Promoted => "promoted",
            Self::Completed => "completed",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// One promotion.
#[derive(Debug, Serialize)]
pub struct Promotion {
    /// What came of it.
    pub outcome: Outcome,
    /// Whether it goes back to what the tag named before.
    pub undo: bool,
    /// The image as it was asked for; of an undo, where one goes back to, if that is known.
    pub from: Option<String>,
    /// The target, with its tag.
    pub to: String,
    /// The image's or index's digest.
    pub digest: Option<Digest>,
    /// What the tag named when it was looked at.
    pub before: Option<Digest>,
    /// Digest of the decision, for `--expect`.
    pub decision: Option<Digest>,
    /// About the promotion itself, the heaviest first.
    pub findings: Vec<Line>,
    /// The index by itself, if it is one.
    pub index: Option<verify::Image>,
    /// The image, or each image of the index.
    pub images: Vec<Judged>,
    /// Findings that the policy's waivers took away.
    pub waived: Vec<Waived>,
    /// Codes of findings that a flag let pass.
    pub overridden: Vec<String>,
    /// What the policy does not ask for.
    pub not_asked: Vec<&'static str>,
    /// The statement of the promotion: its referrer at the target.
    pub attestation: Option<Digest>,
    /// Manifests that are at the target now: the image's, and of all that belongs to it.
    pub manifests: u64,
    /// How the blobs came there.
    pub blobs: Blobs,
    /// What is listed beside the image at the source but could not be copied.
    pub left: Vec<Left>,
    /// Why nobody can tell, or what failed.
    pub error: Option<String>,
}

/// One image of it.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// Its platform, if an index says.
    pub platform: Option<String>,
    /// What came of judging it.
    pub image: verify::Image,
}

/// A finding that was put up with.
#[derive(Debug, Serialize)]
pub struct Waived {
    /// Its code.
    pub code: String,
    /// Who answers for that.
    pub owner: String,
    /// Until when, as the policy has it.
    pub until: String,
    /// About which manifest.
    pub image: Digest,
}

impl From<&Objection> for Line {
    fn from(objection: &Objection) -> Self {
        Self {
            code: objection.code.name(),
            severity: objection.severity.name(),
            message: objection.message.clone(),
            remedy: objection.code.remedy(),
            waived_by: None,
            evidence: None,
        }
    }
}

impl From<&Weighed> for Judged {
    fn from(weighed: &Weighed) -> Self {
        Self { platform: weighed.platform.clone(), image: (&weighed.judgement).into() }
    }
}

impl Promotion {
    /// One of which nothing is known yet but what was asked for.
    #[must_use]
    pub fn asked(from: Option<String>, to: String) -> Self {
        Self {
            outcome: Outcome::Unknown,
            undo: from.is_none(),
            from,
            to,
            digest: None,
            before: None,
            decision: None,
            findings: Vec::new(),
            index: None,
            images: Vec::new(),
            waived: Vec::new(),
            overridden: Vec::new(),
            not_asked: Vec::new(),
            attestation: None,
            manifests: 0,
            blobs: Blobs::default(),
            left: Vec::new(),
            error: None,
        }
    }

    /// Takes over what was decided.
    pub fn decided(&mut self, decision: &Decision) {
        let waived = decision.waived.iter().map(|one| Waived {
            code: one.code.clone(),
            owner: one.owner.clone(),
            until: one.until.clone(),
            image: one.image,
        });
        self.waived = waived.collect();
        self.decision = Some(decision.digest);
        self.findings = decision.objections.iter().map(Line::from).collect();
        self.overridden.clone_from(&decision.overridden);
        self.not_asked.clone_from(&decision.not_asked);
    }

    fn write(&self, out: &mut String, all: bool) {
        let digest = self.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        let (name, to) = (self.outcome.name(), printable(&self.to));
        let _ = writeln!(out, "{name:<9} {to}{digest}"); // Writing to a String cannot fail.
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(out, "  {name:<11} {}", printable(value));
        };
        if let Some(from) = &self.from {
            row(if self.undo { "back to" } else { "from" }, from);
        }
        match self.before {
            Some(before) if Some(before) != self.digest => {
                let moved = matches!(self.outcome, Outcome::Promoted);
                row(if moved { "replaced" } else { "there now" }, &before.to_string());
            }
            _ => {}
        }
        for finding in &self.findings {
            row(finding.severity, &format!("{}: {}", finding.code, finding.message));
            if finding.severity == "deny" {
                row("", &format!("→ {}", finding.remedy));
            }
        }
        for one in &self.waived {
            row("waived", &format!("{} by {} until {}", one.code, one.owner, one.until));
        }
        if !self.not_asked.is_empty() {
            row("not asked", &format!("{} (the policy says nothing of it)", self.not_asked.join(", ")));
        }
        if let Some(decision) = &self.decision {
            row("decision", &decision.to_string());
        }
        if let Some(attestation) = &self.attestation {
            row("attested", &attestation.to_string());
        }
        let Blobs { count, existing, mounted, sent, sent_bytes } = self.blobs;
        if count > 0 {
            let sent = format!("{sent} sent ({})", size(sent_bytes));
            row("blobs", &format!("{count}: {existing} there already, {mounted} mounted, {sent}"));
        }
        for left in &self.left {
            row("left behind", &format!("{}: {}", left.what, left.why));
        }
        if let Some(error) = &self.error {
            row("error", error);
        }
        for judged in &self.images {
            judged.image.head(out, 1, judged.platform.as_deref().unwrap_or_default());
            judged.image.write(out, 1, all);
        }
    }
}

impl Promote {
    /// The answer for people; `all` with what is only good to know.
    #[must_use]
    pub fn text(&self, all: bool) -> String {
        let mut out = String::new();
        if self.dry_run {
            out.push_str("dry run: nothing is written\n");
        }
        if let Some(policy) = &self.policy {
            let _ = writeln!(out, "policy    {} ({})", printable(&policy.name), policy.digest);
        }
        for promotion in &self.promotions {
            promotion.write(&mut out, all);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::promotion::PromotionCode;

    #[test]
    fn texts() {
        let digest = Digest::of(b"");
        let mut promotion =
            Promotion::asked(Some("a.example/staging/app:1".into()), "a.example/app:1".into());
        promotion.outcome = Outcome::Promoted;
        promotion.digest = Some(digest);
        promotion.before = Some(Digest::of(b"before"));
        let objection = Objection::new(PromotionCode::AgeUnknown, "no\u{1b} time");
        promotion.decided(&Decision { not_asked: vec!["tests"], ..Decision::refused(objection) });
        promotion.decision = Some(digest);
        promotion.blobs = Blobs { count: 3, existing: 1, mounted: 2, sent: 0, sent_bytes: 0 };
        promotion.left = vec![Left { what: "x".into(), why: "gone".into() }];
        let answer = Promote {
            schema: "reprov.promote/v1",
            policy: Some(Policy { name: "release".into(), digest }),
            as_of: String::new(),
            dry_run: false,
            promotions: vec![promotion],
            seconds: 1,
        };
        insta::assert_snapshot!(answer.text(false), @r"
        policy    release (sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855)
        promoted  a.example/app:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
          from        a.example/staging/app:1
          replaced    sha256:6db7d803e74f1ffa7d8f5adc0bf95b3e15bf4c8373fffadf546227cc6c6742cb
          warn        promotion-age-unknown: no\u{1b} time
          not asked   tests (the policy says nothing of it)
          decision    sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
          blobs       3: 1 there already, 2 mounted, 0 sent (0 B)
          left behind x: gone
        ");
    }
}
