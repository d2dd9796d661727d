//! What auditors ask for, and whether the evidence shows it: SLSA 1.2, NIST SSDF (SP 800-218), the Cyber Resilience Act
//! (Regulation (EU) 2024/2847, Annex VII).

use serde::Serialize;

use super::Rebuilt;
use crate::report::tree::{Node, State};

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
    pub(super) fn name(self) -> &'static str {
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

/// What is known about the image, for [`requirements`].
#[derive(Debug)]
pub struct Facts<'a> {
    /// Where it came from.
    pub tree: &'a Node,
    /// The members that show signatures and who made them.
    pub signers: &'a [&'static str],
    /// Its SLSA build level by the policy.
    pub level: u8,
    /// The level of the source track that a believed verifier vouches for; 0: nobody does.
    pub source_level: u8,
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
            if signed {
                "signed by somebody who is believed here"
            } else {
                "nobody who is believed signed it"
            },
            facts.signers,
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
                "rebuilds by believed signers that say `reproduced`: {}",
                facts.rebuilt.iter().filter(|one| one.verdict == "reproduced").count()
            ),
            &["image"],
        ),
    ]
}

fn source_track(facts: &Facts<'_>) -> Vec<Requirement> {
    let commit = facts.own("commit");
    let level = facts.source_level;
    let vouched = format!("a believed verifier vouches for SLSA source level {level} of the commit");
    let why = match commit {
        _ if level >= 1 => vouched.as_str(),
        Some(State::Verified) => "the commit is named, and the source kept beside the image holds it",
        Some(_) => "the commit is named by the builder's word; the repository was not asked",
        None => "no commit is named",
    };
    let state = match commit {
        _ if level >= 1 => Met::Met,
        Some(State::Verified) => Met::Met,
        Some(State::Claimed) => Met::Partly,
        _ => Met::Unmet,
    };
    let absent = "no believed summary of the commit is in the archive, and nobody asked the repository";
    let higher = |id, asks, wanted: u8| {
        let why = if level == 0 { absent } else { &vouched };
        row((SOURCE, id), asks, met(level >= wanted), why, &["image"])
    };
    vec![
        row(
            (SOURCE, "L1 version controlled"),
            "The source is a revision of a version control system",
            state,
            why,
            if level >= 1 { &["image"] } else { &["trace.json"] },
        ),
        higher("L2 history and provenance", "Changes to the branch are kept, and by whom", 2),
        higher("L3 continuous controls", "Technical controls were in force for every change", 3),
        higher("L4 two-party review", "Two people looked at every change", 4),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
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
            facts.signers,
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
    let reproduced = facts.rebuilt.iter().any(|one| one.verdict == "reproduced");
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
            match (recorded && logged, reproduced) {
                (true, true) => Met::Met,
                (true, false) => Met::Partly,
                _ => Met::Unmet,
            },
            match (recorded && logged, reproduced) {
                (true, true) => {
                    "log, inputs and provenance of the build are here, and a rebuild made the same"
                }
                (true, false) => "log, inputs and provenance of the build are here; no rebuild made the same",
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

#[cfg(test)]
#[path = "requirements_tests.rs"]
mod tests;
