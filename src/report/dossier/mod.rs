//! What an archive of evidence shows, held against what auditors ask: SLSA 1.2, NIST SSDF (SP 800-218), the Cyber Resilience Act
//! (Regulation (EU) 2024/2847, Annex VII). What is not shown is said to be unmet; nobody here knows what else there is.

mod requirements;

use askama::Template;
pub use requirements::{Facts, Met, Requirement, requirements};
use serde::Serialize;

use super::tree::Node;
use crate::{
    dossier::{Contents, Gap, Identity, Judged, Written},
    model::{Digest, path::printable},
};

/// `index.json`.
#[derive(Debug, Serialize)]
pub struct Index {
    /// `reprov.evidence-index/v1`.
    pub schema: &'static str,
    /// The image.
    pub image: String,
    /// As of when it was judged.
    pub as_of: String,
    /// The policy's name, if one was applied.
    pub policy: Option<String>,
    /// Fingerprints of the keys that were believed.
    pub keys: Vec<String>,
    /// The identities that were believed, by certificate.
    pub identities: Vec<Identity>,
    /// Of the trusted root, by whose word certificates were believed.
    pub trusted_root: Option<Digest>,
    /// Version of the program.
    pub reprov: String,
    /// The image and what it stands on.
    pub judged: Vec<Judged>,
    /// What was found about the image: severity, code, message, who waived it.
    pub findings: Vec<Finding>,
    /// Rebuild verdicts by signers who are believed.
    pub rebuilt: Vec<Rebuilt>,
    /// What auditors ask for.
    pub requirements: Vec<Requirement>,
    /// What is not in the archive.
    pub gaps: Vec<Gap>,
}

/// A finding about the image.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// `deny`, `warn` or `info`.
    pub severity: &'static str,
    /// `reprov explain CODE`.
    pub code: &'static str,
    /// What exactly.
    pub message: String,
    /// Who puts up with it.
    pub waived_by: Option<String>,
}

/// A verdict of a rebuild.
#[derive(Debug, Clone, Serialize)]
pub struct Rebuilt {
    /// What came of it.
    pub verdict: String,
    /// By whom.
    pub rebuilder: String,
    /// When it ended.
    pub finished_on: String,
}

/// The answer of `evidence` and `evidence verify`.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// `reprov.evidence/v1`.
    pub schema: &'static str,
    /// The archive.
    pub file: String,
    /// Of its bytes; none: it was refused.
    pub digest: Option<Digest>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// The image it is about.
    pub image: Option<String>,
    /// As of when that was judged.
    pub as_of: Option<String>,
    /// By which policy, as the archive calls it, and the digest of its text; none: by none.
    pub policy: Option<crate::dossier::Policy>,
    /// What came of it: `passed`, `failed`, `unknown`.
    pub verdict: String,
    /// Fingerprints of the keys that were believed.
    pub keys: Vec<Digest>,
    /// The identities that were believed, by certificate.
    pub identities: Vec<Identity>,
    /// Of the trusted root, by whose word certificates were believed; none: nobody's were.
    pub trusted_root: Option<Digest>,
    /// The image and what it stands on, as judged now.
    pub judged: Vec<Judged>,
    /// How many requirements are met, partly and unmet; none where an archive was only checked.
    pub requirements: Option<Counts>,
    /// How much is not in the archive.
    pub gaps: usize,
    /// What is otherwise now than it is recorded.
    pub differs: Vec<String>,
    /// Why the archive is refused.
    pub error: Option<String>,
}

/// How many requirements are shown to be fulfilled.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Counts {
    /// Wholly.
    pub met: usize,
    /// In part.
    pub partly: usize,
    /// Not at all.
    pub unmet: usize,
}

impl Answer {
    /// The answer about an archive that was made.
    #[must_use]
    pub fn made(file: String, contents: &Contents, written: Written, index: &Index) -> Self {
        let count = |wanted| index.requirements.iter().filter(|one| one.met == wanted).count();
        let (digest, judged) = ((written.digest, written.size), contents.judged.clone());
        let counts = Counts { met: count(Met::Met), partly: count(Met::Partly), unmet: count(Met::Unmet) };
        Self { requirements: Some(counts), ..Self::checked(file, contents, digest, judged, Vec::new()) }
    }

    /// The answer about an archive that is whole.
    #[must_use]
    pub fn checked(
        file: String,
        contents: &Contents,
        (digest, size): (Digest, u64),
        judged: Vec<Judged>,
        differs: Vec<String>,
    ) -> Self {
        Self {
            schema: "reprov.evidence/v1",
            file,
            digest: Some(digest),
            size: Some(size),
            image: Some(contents.image.clone()),
            as_of: Some(contents.as_of.clone()),
            policy: contents.policy.clone(),
            verdict: judged.first().map(|first| first.verdict.clone()).unwrap_or_default(),
            keys: contents.keys.iter().map(|key| key.fingerprint).collect(),
            identities: contents.identities.clone(),
            trusted_root: contents.trusted_root.as_ref().map(|root| root.digest),
            judged,
            requirements: None,
            gaps: contents.gaps.len(),
            differs,
            error: None,
        }
    }

    /// The answer about an archive that is not believed in any part.
    #[must_use]
    pub fn refused(file: String, why: String) -> Self {
        Self {
            schema: "reprov.evidence/v1",
            file,
            digest: None,
            size: None,
            image: None,
            as_of: None,
            policy: None,
            verdict: "failed".to_owned(),
            keys: Vec::new(),
            identities: Vec::new(),
            trusted_root: None,
            judged: Vec::new(),
            requirements: None,
            gaps: 0,
            differs: Vec::new(),
            error: Some(why),
        }
    }

    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(out, "{name:<12} {}", printable(value)); // Writing to a String cannot fail.
        };
        row("archive", &self.file);
        if let Some(digest) = self.digest {
            row("digest", &digest.to_string());
        }
        if let Some(policy) = &self.policy {
            row("policy", &format!("{} ({})", policy.name, policy.digest));
        }
        for (name, value) in [("image", &self.image), ("as of", &self.as_of)] {
            if let Some(value) = value {
                row(name, value);
            }
        }
        for key in &self.keys {
            row("key", &key.to_string());
        }
        for one in &self.identities {
            row("identity", &format!("{} ({})", one.identity, one.issuer));
        }
        if let Some(root) = &self.trusted_root {
            row("trusted root", &root.to_string());
        }
        for one in &self.judged {
            let codes =
                if one.codes.is_empty() { String::new() } else { format!(" ({})", one.codes.join(", ")) };
            row(&one.role, &format!("{} {}{codes}", one.verdict, one.name));
        }
        if let Some(Counts { met, partly, unmet }) = self.requirements {
            row("requirements", &format!("{met} met, {partly} partly, {unmet} unmet (index.html says why)"));
        }
        if self.digest.is_some() {
            row("gaps", &self.gaps.to_string());
        }
        for differs in &self.differs {
            row("differs", differs);
        }
        if self.error.is_some() {
            row("refused", "it is not as it was made; nothing in it is believed");
        }
        out
    }
}

/// `index.html`.
///
/// # Panics
/// Never: a String takes whatever the template writes.
#[must_use]
pub fn page(index: &Index, tree: &Node) -> String {
    let mut frameworks: Vec<(&'static str, Vec<&Requirement>)> = Vec::new();
    for requirement in &index.requirements {
        match frameworks.last_mut().filter(|(name, _)| *name == requirement.framework) {
            Some((_, all)) => all.push(requirement),
            None => frameworks.push((requirement.framework, vec![requirement])),
        }
    }
    let page = Page { index, frameworks, tree: tree.branch() };
    page.render().expect("a String takes whatever the template writes")
}

#[derive(Template)]
#[template(path = "dossier.html")]
struct Page<'a> {
    index: &'a Index,
    frameworks: Vec<(&'static str, Vec<&'a Requirement>)>,
    /// Rendered by a template of its own, which escapes.
    tree: String,
}

impl Page<'_> {
    fn shown(text: &str) -> String {
        printable(text)
    }
}
