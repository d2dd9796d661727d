//! What an archive of evidence shows, held against what auditors ask: SLSA 1.2, NIST SSDF (SP 800-218), the Cyber Resilience Act
//! (Regulation (EU) 2024/2847, Annex VII). What is not shown is said to be unmet; nobody here knows what else there is.

use askama::Template;
use serde::Serialize;

use super::tree::{Node, State};
use crate::{
    dossier::{Contents, Gap, Judged, Written},
    model::{Digest, path::printable},
};

/// Whether the evidence shows that a requirement is fulfilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Met {
    /// It does.
    Met,
    /// A part of it, or by somebody's word alone.
    Partly,
    /// It does not.
    Unmet,
}

impl Met {
    fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Partly => "partly",
            Self::Unmet => "unmet",
        }
    }
}

/// Something that auditors ask for.
#[derive(Debug, Clone, Serialize)]
pub struct Requirement {
    /// `SLSA 1.2 Build`, `SLSA 1.2 Source`, `SSDF`, `CRA Annex VII`.
    pub framework: &'static str,
    /// Its number or name there.
    pub id: &'static str,
    /// What it asks.
    pub asks: &'static str,
    /// Whether the evidence shows it.
    pub met: Met,
    /// Why.
    pub why: String,
    /// Members of the archive that show it.
    pub shown_by: Vec<&'static str>,
}

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

/// What is known about the image, for [`requirements`].
#[derive(Debug)]
pub struct Facts<'a> {
    /// Where it came from.
    pub tree: &'a Node,
    /// Its SLSA build level by the policy.
    pub level: u8,
    /// Whether a policy was applied and nothing refused the image.
    pub passed: bool,
    /// Predicate types of statements that are believed.
    pub believed: &'a [String],
    /// Verdicts of rebuilds that are believed.
    pub rebuilt: &'a [Rebuilt],
}

impl Facts<'_> {
    /// The worst state of the parts of one kind that the image itself has; none if there are none.
    fn own(&self, kind: &str) -> Option<State> {
        self.tree.children.iter().filter(|node| node.kind == kind).map(|node| node.state).max()
    }

    fn verified(&self, kind: &str) -> bool {
        self.own(kind) == Some(State::Verified)
    }

    fn says(&self, kinds: &[&str]) -> bool {
        self.believed.iter().any(|kind| kinds.iter().any(|wanted| kind.starts_with(wanted)))
    }

    /// Whether every image it stands on has a provenance that is verified; none if it stands on none.
    fn stands(&self, kind: &str) -> Option<bool> {
        let images = self.tree.children.iter().filter(|node| node.kind == kind && node.digest.is_some());
        let vouched = |node: &Node| {
            node.children.iter().any(|child| child.kind == "provenance" && child.state == State::Verified)
        };
        images.map(vouched).reduce(|a, b| a && b)
    }

    /// Everything that came in is on record: the transcript is there, and nothing taints it.
    fn recorded(&self) -> bool {
        self.verified("transcript") && self.own("tainted").is_none()
    }
}

const BUILD: &str = "SLSA 1.2 Build";
const SOURCE: &str = "SLSA 1.2 Source";
const SSDF: &str = "SSDF";
const CRA: &str = "CRA Annex VII";
const LISTS: [&str; 2] = ["https://spdx.dev/Document", "https://cyclonedx.org/bom"];
const TESTS: &str = "https://in-toto.io/attestation/test-result/";
const SCANS: [&str; 2] =
    ["https://in-toto.io/attestation/vulns", "https://cosign.sigstore.dev/attestation/vuln/"];

/// Holds `facts` against every requirement.
#[must_use]
pub fn requirements(facts: &Facts<'_>) -> Vec<Requirement> {
    let mut all = build_track(facts);
    all.extend(source_track(facts));
    all.extend(ssdf(facts));
    all.extend(cra(facts));
    all
}

fn met(yes: bool) -> Met {
    if yes { Met::Met } else { Met::Unmet }
}

fn row(
    (framework, id): (&'static str, &'static str),
    asks: &'static str,
    met: Met,
    why: impl Into<String>,
    shown_by: &[&'static str],
) -> Requirement {
    let shown_by = if met == Met::Unmet { Vec::new() } else { shown_by.to_vec() };
    Requirement { framework, id, asks, met, why: why.into(), shown_by }
}

fn build_track(facts: &Facts<'_>) -> Vec<Requirement> {
    let signed = facts.verified("provenance");
    let exists = facts.own("provenance").is_some_and(|state| state != State::Missing);
    let level = |wanted: u8| facts.level >= wanted && signed;
    let granted = format!("the policy grants SLSA build level {}", facts.level);
    vec![
        row(
            (BUILD, "L1 provenance exists"),
            "Provenance says how the image was built",
            met(exists),
            if exists { "it is in the archive" } else { "there is none" },
            &["image", "trace.json"],
        ),
        row(
            (BUILD, "L1 provenance is distributed"),
            "Whoever has the image can have its provenance",
            met(exists),
            if exists { "it lies beside the image, and here" } else { "there is none" },
            &["image"],
        ),
        row(
            (BUILD, "L2 provenance is authentic"),
            "A signature ties it to the builder",
            met(signed),
            if signed { "signed by a key that is believed here" } else { "no believed key signed it" },
            &["image", "keys"],
        ),
        row(
            (BUILD, "L2 hosted"),
            "The build ran on shared infrastructure, not on someone's workstation",
            if level(2) { Met::Partly } else { Met::Unmet },
            format!("{granted}; that is its author's judgement of the builder"),
            &["policy.toml"],
        ),
        row(
            (BUILD, "L3 provenance is unforgeable"),
            "No tenant of the builder could have written it",
            if level(3) { Met::Partly } else { Met::Unmet },
            format!("{granted}; that is its author's judgement of the builder"),
            &["policy.toml"],
        ),
        row(
            (BUILD, "L3 isolated"),
            "The build could not be influenced by another",
            if level(3) { Met::Partly } else { Met::Unmet },
            granted,
            &["policy.toml", "trace.json"],
        ),
        row(
            (BUILD, "reproduced (not in 1.2)"),
            "Somebody built it again and got the same",
            match facts.rebuilt.iter().filter(|one| one.verdict == "reproduced").count() {
                0 => Met::Unmet,
                1 => Met::Partly,
                _ => Met::Met,
            },
            format!(
                "{} verdicts by believed signers say `reproduced`",
                facts.rebuilt.iter().filter(|one| one.verdict == "reproduced").count()
            ),
            &["image"],
        ),
    ]
}

fn source_track(facts: &Facts<'_>) -> Vec<Requirement> {
    let commit = facts.own("commit");
    let why = match commit {
        Some(State::Verified) => "the commit is named, and the source kept beside the image holds it",
        Some(_) => "the commit is named by the builder's word; the repository was not asked",
        None => "no commit is named",
    };
    let state = match commit {
        Some(State::Verified) => Met::Met,
        Some(State::Claimed) => Met::Partly,
        _ => Met::Unmet,
    };
    let absent = "no source attestation is in the archive, and nobody asked the repository";
    vec![
        row(
            (SOURCE, "L1 version controlled"),
            "The source is a revision of a version control system",
            state,
            why,
            &["trace.json"],
        ),
        row(
            (SOURCE, "L2 history and provenance"),
            "Changes to the branch are kept, and by whom",
            Met::Unmet,
            absent,
            &[],
        ),
        row(
            (SOURCE, "L3 continuous controls"),
            "Technical controls were in force for every change",
            Met::Unmet,
            absent,
            &[],
        ),
        row((SOURCE, "L4 two-party review"), "Two people looked at every change", Met::Unmet, absent, &[]),
    ]
}

fn ssdf(facts: &Facts<'_>) -> Vec<Requirement> {
    let (signed, logged) = (facts.verified("provenance"), facts.verified("log") && facts.verified("events"));
    let recorded = facts.recorded();
    let kept = facts.verified("commit");
    let listed = facts.says(&LISTS);
    let bases = facts.stands("base");
    let buildroot = facts.stands("buildroot");
    let both = |one: bool, other: bool| match (one, other) {
        (true, true) => Met::Met,
        (false, false) => Met::Unmet,
        _ => Met::Partly,
    };
    vec![
        row(
            (SSDF, "PO.3.3"),
            "Tools leave evidence of how they were used",
            both(signed, logged),
            if logged {
                "log and events of the build are here, of the digests that its provenance names"
            } else {
                "log or events are not here, or not of the digests in a signed provenance"
            },
            &["image", "trace.json"],
        ),
        row(
            (SSDF, "PO.5.1"),
            "Environments of development are separated and protected",
            if recorded { Met::Partly } else { Met::Unmet },
            if recorded {
                "everything that crossed the build's network is on record; the rest is the builder's word"
            } else {
                "what crossed the build's network is not wholly on record"
            },
            &["trace.json"],
        ),
        row(
            (SSDF, "PS.1.1"),
            "Code is stored under version control",
            if facts.own("commit").is_some() { Met::Partly } else { Met::Unmet },
            "a commit is named; who may write to the repository is not shown",
            &["trace.json"],
        ),
        row(
            (SSDF, "PS.2.1"),
            "Whoever gets a release can check that it is whole",
            met(signed),
            if signed {
                "a signature over the image's digest"
            } else {
                "no believed signature over the image's digest"
            },
            &["image", "keys"],
        ),
        row(
            (SSDF, "PS.3.1"),
            "Each release is archived with what is needed to look into it",
            both(signed && logged, kept),
            if kept {
                "provenance and log are here; the source lies beside the image"
            } else {
                "the source is not kept beside the image"
            },
            &["image"],
        ),
        row(
            (SSDF, "PS.3.2"),
            "Provenance of all components of a release is kept and shared",
            both(listed, recorded),
            match (listed, recorded) {
                (true, true) => "a signed list of contents, and every input with its digest",
                (true, false) => "a signed list of contents; the record of inputs is not whole",
                (false, true) => "every input with its digest; no signed list of contents (SPDX, CycloneDX)",
                (false, false) => "neither a signed list of contents nor a whole record of inputs",
            },
            &["image", "trace.json"],
        ),
        row(
            (SSDF, "PW.4.1"),
            "Components come from where they are looked after",
            match bases {
                Some(true) => Met::Met,
                Some(false) => Met::Unmet,
                None => Met::Partly,
            },
            match bases {
                Some(true) => "every base image has a provenance by a believed signer",
                Some(false) => "a base image has no provenance by a believed signer",
                None => "it stands on no base image",
            },
            &["trace.json"],
        ),
        row(
            (SSDF, "PW.4.4"),
            "Components are checked throughout their life",
            if facts.passed { Met::Partly } else { Met::Unmet },
            if facts.passed {
                "the image was held against a policy when this was made"
            } else {
                "no policy was applied, or it refused the image"
            },
            &["policy.toml", "findings.json"],
        ),
        row(
            (SSDF, "PW.6.1"),
            "Compilers and build tools are chosen for security",
            met(buildroot == Some(true)),
            match buildroot {
                Some(true) => "it was built in an image that has a provenance by a believed signer",
                Some(false) => "the image it was built in has no provenance by a believed signer",
                None => "it was built with the builder's own tools; only their versions are named",
            },
            &["trace.json"],
        ),
        row(
            (SSDF, "PW.6.2"),
            "Their settings are chosen, and the same everywhere",
            if signed { Met::Partly } else { Met::Unmet },
            "the provenance names tools, versions and parameters; whether they are approved is the policy's matter",
            &["image"],
        ),
        row(
            (SSDF, "RV.1"),
            "Vulnerabilities are looked for all the time",
            if facts.says(&SCANS) { Met::Partly } else { Met::Unmet },
            if facts.says(&SCANS) {
                "a signed scan is here; whether it is repeated is not shown"
            } else {
                "no signed scan is in the archive"
            },
            &["image"],
        ),
    ]
}

fn cra(facts: &Facts<'_>) -> Vec<Requirement> {
    let outside = "not a matter of an image's evidence: keep it elsewhere in the technical documentation";
    let (recorded, logged) = (facts.recorded(), facts.verified("log"));
    let (listed, tested) = (facts.says(&LISTS), facts.says(&[TESTS]));
    vec![
        row((CRA, "1"), "General description of the product", Met::Unmet, outside, &[]),
        row((CRA, "2(a)"), "Design and development, architecture", Met::Unmet, outside, &[]),
        row(
            (CRA, "2(b)"),
            "Handling of vulnerabilities, with a list of contents",
            if listed { Met::Partly } else { Met::Unmet },
            if listed {
                "a signed list of contents is here; policies and contacts are not"
            } else {
                "no signed list of contents (SPDX, CycloneDX) is in the archive"
            },
            &["image"],
        ),
        row(
            (CRA, "2(c)"),
            "Production, and its validation",
            match (recorded && logged, facts.rebuilt.is_empty()) {
                (true, false) => Met::Met,
                (true, true) => Met::Partly,
                _ => Met::Unmet,
            },
            match (recorded && logged, facts.rebuilt.is_empty()) {
                (true, false) => {
                    "log, inputs and provenance of the build are here, and verdicts of rebuilds validate it"
                }
                (true, true) => "log, inputs and provenance of the build are here; no rebuild validates it",
                _ => "the build's log or the record of its inputs is not here",
            },
            &["image", "trace.json"],
        ),
        row((CRA, "3"), "Assessment of risks", Met::Unmet, outside, &[]),
        row((CRA, "4"), "What the support period was chosen by", Met::Unmet, outside, &[]),
        row((CRA, "5"), "Standards that were applied", Met::Unmet, outside, &[]),
        row(
            (CRA, "6"),
            "Reports of tests",
            met(tested),
            if tested { "a signed test result is here" } else { "no signed test result is in the archive" },
            &["image"],
        ),
        row((CRA, "7"), "EU declaration of conformity", Met::Unmet, outside, &[]),
        row(
            (CRA, "8"),
            "List of contents, for an authority that asks",
            met(listed),
            if listed {
                "a signed list of contents is here"
            } else {
                "no signed list of contents (SPDX, CycloneDX) is in the archive"
            },
            &["image"],
        ),
    ]
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
    /// What came of it: `passed`, `failed`, `unknown`.
    pub verdict: String,
    /// Fingerprints of the keys that were believed.
    pub keys: Vec<Digest>,
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
            verdict: judged.first().map(|first| first.verdict.clone()).unwrap_or_default(),
            keys: contents.keys.iter().map(|key| key.fingerprint).collect(),
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
            verdict: "failed".to_owned(),
            keys: Vec::new(),
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
        for (name, value) in [("image", &self.image), ("as of", &self.as_of)] {
            if let Some(value) = value {
                row(name, value);
            }
        }
        for key in &self.keys {
            row("key", &key.to_string());
        }
        for one in self.judged.iter() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: &'static str, state: State) -> Node {
        Node::new(kind, "x", state, "").digest("sha256:aa")
    }

    fn facts(tree: &Node, level: u8) -> Facts<'_> {
        Facts { tree, level, passed: true, believed: &[], rebuilt: &[] }
    }

    fn of(all: &[Requirement], id: &str) -> Met {
        all.iter().find(|one| one.id == id).unwrap().met
    }

    #[test]
    fn nothing_is_met_by_nothing() {
        let tree = node("image", State::Verified);
        let all = requirements(&Facts { passed: false, ..facts(&tree, 0) });
        let met: Vec<_> = all.iter().filter(|one| one.met == Met::Met).map(|one| one.id).collect();
        assert_eq!(met, Vec::<&str>::new());
        assert!(all.len() >= 30);
    }

    #[test]
    fn claims_alone_meet_no_signature() {
        let mut tree = node("image", State::Verified);
        tree.children = ["provenance", "commit", "log", "events", "transcript"]
            .map(|kind| node(kind, State::Claimed))
            .into();
        let all = requirements(&facts(&tree, 3));
        assert_eq!(of(&all, "L1 provenance exists"), Met::Met);
        assert_eq!(of(&all, "L2 provenance is authentic"), Met::Unmet);
        assert_eq!(of(&all, "L3 isolated"), Met::Unmet);
        assert_eq!(of(&all, "L1 version controlled"), Met::Partly);
        assert_eq!(of(&all, "PS.2.1"), Met::Unmet);
    }

    #[test]
    fn what_was_looked_at_counts() {
        let mut tree = node("image", State::Verified);
        tree.children = ["provenance", "commit", "log", "events", "transcript"]
            .map(|kind| node(kind, State::Verified))
            .into();
        let believed = ["https://spdx.dev/Document".to_owned(), format!("{TESTS}v0.1")];
        let rebuilt =
            [Rebuilt { verdict: "reproduced".into(), rebuilder: "b".into(), finished_on: String::new() }];
        let all = requirements(&Facts { believed: &believed, rebuilt: &rebuilt, ..facts(&tree, 2) });
        for id in [
            "L2 provenance is authentic",
            "L1 version controlled",
            "PS.2.1",
            "PS.3.1",
            "PS.3.2",
            "2(c)",
            "6",
            "8",
        ] {
            assert_eq!(of(&all, id), Met::Met, "{id}");
        }
        assert_eq!((of(&all, "L2 hosted"), of(&all, "L3 isolated")), (Met::Partly, Met::Unmet));
        tree.children.push(node("tainted", State::Claimed));
        assert_eq!(of(&requirements(&facts(&tree, 2)), "PS.3.2"), Met::Unmet);
    }
}
