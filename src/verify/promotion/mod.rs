//! Whether a tag is to be moved to an image: what verifying found of it and of all its platforms × what the tag names now
//! × policy and flags → a decision. Pure; what changes while it is carried out is told to it as one more objection.

mod age;
mod code;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::json;

pub use age::is_age_unread;
pub use code::PromotionCode;

use super::{Judgement, Verdict};
use crate::{
    attest::WaivedFinding,
    model::{Digest, json as canonical, path::printable},
    oci::usual_platform as usual,
    policy::{Pattern, Policy, Severity},
    verify::Built,
};

/// A tag, and what it is to be moved to.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Whether it goes back to what it named before.
    pub undo: bool,
    /// Where it comes from: `HOST/NAME`.
    pub from: String,
    /// By which tag it was named there, if by one.
    pub from_tag: Option<String>,
    /// The target's repository.
    pub to: String,
    /// The target's tag.
    pub tag: String,
    /// The image, or the index.
    pub digest: Digest,
    /// What came of judging the index by who vouches for it, if it is one.
    pub index: Option<Judgement>,
    /// What came of judging the image by the policy; of an index, each of its images.
    pub images: Vec<Weighed>,
    /// What the tag names now.
    pub standing: Option<Standing>,
}

/// An image that was judged.
#[derive(Debug, Clone)]
pub struct Weighed {
    /// Its platform, if an index says.
    pub platform: Option<String>,
    /// What came of it.
    pub judgement: Judgement,
}

/// What the target's tag names now.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The image or index.
    pub digest: Digest,
    /// When and of what it, or each of its images, was built, as far as a trusted signer says.
    pub built: Vec<(Option<String>, Option<Built>)>,
    /// Why it, or what says when it was built, could not be looked at.
    pub unread: Option<String>,
}

/// What whoever promotes lets pass, and expects.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    /// Whether an older build may follow a newer one.
    pub allow_downgrade: bool,
    /// The decision that was printed before, if this one must be the same.
    pub expected: Option<Expected>,
}

/// A decision as it was printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its digest.
    pub decision: Digest,
    /// The image's, if that is known.
    pub image: Option<Digest>,
    /// The policy's, if that is known.
    pub policy: Option<Digest>,
}

/// Something about the promotion itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// What kind.
    pub code: PromotionCode,
    /// How much it counts.
    pub severity: Severity,
    /// What exactly; printable.
    pub message: String,
}

impl Objection {
    /// One that counts as its code does. `message` may hold a stranger's words.
    #[must_use]
    pub fn new(code: PromotionCode, message: impl AsRef<str>) -> Self {
        let message = printable(&message.as_ref().chars().take(600).collect::<String>());
        Self { code, severity: code.severity(), message }
    }

    fn counting(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Whether it refuses the promotion.
    #[must_use]
    pub fn denies(&self) -> bool {
        self.severity == Severity::Deny
    }
}

/// Whether the tag may be moved, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Passed: it may be.
    pub verdict: Verdict,
    /// What is said beside what verifying found, the heaviest first.
    pub objections: Vec<Objection>,
    /// Findings that the policy's waivers took away.
    pub waived: Vec<WaivedFinding>,
    /// Codes of objections that a flag let pass.
    pub overridden: Vec<String>,
    /// What the policy does not ask for.
    pub not_asked: Vec<&'static str>,
    /// Of image, target, policy and findings. Two runs that find the same decide the same.
    pub digest: Digest,
}

impl Decision {
    /// One that was refused before there was an image to decide on.
    #[must_use]
    pub fn refused(objection: Objection) -> Self {
        let digest = Digest::of(objection.message.as_bytes());
        Self {
            verdict: Verdict::Failed,
            objections: vec![objection],
            waived: Vec::new(),
            overridden: Vec::new(),
            not_asked: Vec::new(),
            digest,
        }
    }

    /// Adds what was found while it was carried out.
    pub fn object(&mut self, objection: Objection) {
        if objection.denies() {
            self.verdict = Verdict::Failed;
        }
        self.objections.insert(0, objection);
    }
}

/// Decides on `proposal`, of which every image was judged by `policy`.
#[must_use]
pub fn decide(proposal: &Proposal, policy: &Policy, gate: &Gate) -> Decision {
    let mut objections = places(proposal, policy);
    objections.extend(platforms(proposal, policy));
    let (older, overridden) = age::older(proposal, gate);
    objections.extend(older);
    objections.extend(dropped(proposal));
    let digest = digest(proposal, policy, &objections);
    objections.extend(changed(proposal, policy, gate, &digest));
    let mut verdicts: BTreeSet<Verdict> =
        proposal.images.iter().map(|weighed| weighed.judgement.verdict).collect();
    // What nobody can tell of refuses only for now.
    let unread = proposal.index.as_ref().is_some_and(|index| index.verdict == Verdict::Unknown);
    let for_now = |code: PromotionCode| match code {
        PromotionCode::Platform | PromotionCode::AgeUnknown => true,
        PromotionCode::Index => unread,
        _ => false,
    };
    let (later, for_good): (Vec<&Objection>, Vec<&Objection>) =
        objections.iter().filter(|one| one.denies()).partition(|one| for_now(one.code));
    // What is told of platforms is in their verdicts.
    if later.iter().any(|one| one.code != PromotionCode::Platform) {
        verdicts.insert(Verdict::Unknown);
    }
    let verdict = if !for_good.is_empty() || verdicts.contains(&Verdict::Failed) {
        Verdict::Failed
    } else if verdicts.contains(&Verdict::Unknown) {
        Verdict::Unknown
    } else {
        Verdict::Passed
    };
    objections.sort_by_key(|objection| std::cmp::Reverse(objection.severity));
    let waived = waived(proposal);
    Decision { verdict, objections, waived, overridden, not_asked: not_asked(policy), digest }
}

/// Whether it may come from there, and go there. Going back is no new arrival: only the target is asked.
fn places(proposal: &Proposal, policy: &Policy) -> Vec<Objection> {
    let Some(promote) = &policy.promote else { return Vec::new() };
    let fits = |patterns: &[Pattern], place: &str, tag: Option<&str>| {
        let tagged = tag.map(|tag| format!("{place}:{tag}"));
        patterns.iter().any(|pattern| {
            pattern.matches(place) || tagged.as_ref().is_some_and(|tagged| pattern.matches(tagged))
        })
    };
    let named = |place: &str, tag: Option<&str>| tag.map_or(place.to_owned(), |tag| format!("{place}:{tag}"));
    let mut found = Vec::new();
    let from_tag = proposal.from_tag.as_deref();
    if let Some(from) = promote.from.as_ref().filter(|_| !proposal.undo)
        && !fits(from, &proposal.from, from_tag)
    {
        let text =
            format!("`{}` is none of the places that may be promoted from", named(&proposal.from, from_tag));
        found.push(Objection::new(PromotionCode::Source, text));
    }
    if let Some(to) = &promote.to
        && !fits(to, &proposal.to, Some(&proposal.tag))
    {
        let text = format!(
            "`{}` is none of the places that this policy promotes to",
            named(&proposal.to, Some(&proposal.tag))
        );
        found.push(Objection::new(PromotionCode::Target, text));
    }
    found
}

/// All platforms or nothing, and whether anybody vouches for the index.
fn platforms(proposal: &Proposal, policy: &Policy) -> Vec<Objection> {
    let Some(index) = &proposal.index else { return Vec::new() };
    if proposal.images.is_empty() {
        return vec![Objection::new(PromotionCode::Empty, "the index names no image")];
    }
    let mut found = Vec::new();
    for weighed in proposal.images.iter().filter(|weighed| weighed.judgement.verdict != Verdict::Passed) {
        let what = match weighed.judgement.verdict {
            Verdict::Unknown => "nobody can tell of",
            _ => "the policy refuses",
        };
        let name = weighed.name();
        let text = format!("{what} {name}, so nothing of the index is promoted");
        found.push(Objection::new(PromotionCode::Platform, text));
    }
    if index.verdict != Verdict::Passed {
        let why = index.findings.iter().find(|finding| finding.denies());
        let why = why.map(|finding| format!(": {}", finding.code)).unwrap_or_default();
        let wanted = policy.promote.as_ref().is_some_and(|promote| promote.index);
        let severity = if wanted { Severity::Deny } else { Severity::Info };
        let text = format!("the index itself is not attested{why}");
        found.push(Objection::new(PromotionCode::Index, text).counting(severity));
    }
    found
}

/// Platforms that the tag led to and would not any more.
fn dropped(proposal: &Proposal) -> Vec<Objection> {
    let Some(standing) = &proposal.standing else { return Vec::new() };
    let there: BTreeSet<&str> =
        proposal.images.iter().filter_map(|weighed| weighed.platform.as_deref()).map(usual).collect();
    let lacking: Vec<&str> =
        standing
            .built
            .iter()
            .filter_map(|(platform, _)| platform.as_deref())
            // One image in place of several is said as well; it says no platform itself.
            .filter(|platform| {
                if there.is_empty() { standing.built.len() > 1 } else { !there.contains(usual(platform)) }
            })
            .collect();
    if lacking.is_empty() {
        return Vec::new();
    }
    let text = format!("not in it any more: {}", lacking.join(", "));
    vec![Objection::new(PromotionCode::PlatformDropped, text)]
}

/// Whether it is the decision that was expected.
fn changed(proposal: &Proposal, policy: &Policy, gate: &Gate, digest: &Digest) -> Option<Objection> {
    let expected = gate.expected.as_ref().filter(|expected| expected.decision != *digest)?;
    let mut what = Vec::new();
    if expected.image.is_some_and(|image| image != proposal.digest) {
        what.push("the image");
    }
    if expected.policy.is_some() && expected.policy != policy.digest {
        what.push("the policy");
    }
    let what = match what.as_slice() {
        [] if expected.policy.is_some() => "target or findings changed".to_owned(),
        [] => "image, target, policy or findings changed".to_owned(),
        some => format!("{} changed", some.join(" and ")),
    };
    let text = format!("the decision is {digest}, not {}: {what}", expected.decision);
    Some(Objection::new(PromotionCode::DecisionChanged, text))
}

/// Everything that decides, and nothing that only tells the time.
fn digest(proposal: &Proposal, policy: &Policy, objections: &[Objection]) -> Digest {
    let mut findings: Vec<[String; 4]> = objections
        .iter()
        .filter(|objection| objection.severity > Severity::Info)
        .map(|one| [String::new(), one.code.name().into(), one.severity.name().into(), String::new()])
        .collect();
    for judgement in judgements(proposal) {
        let of_image = judgement.findings.iter().filter(|finding| finding.severity > Severity::Info);
        findings.extend(of_image.map(|finding| {
            [
                judgement.descriptor.digest.to_string(),
                finding.code.name().to_owned(),
                finding.severity.name().to_owned(),
                finding.waived_by.clone().unwrap_or_default(),
            ]
        }));
    }
    findings.sort();
    let standing = proposal.standing.as_ref().map(|standing| standing.digest.to_string());
    Digest::of(&canonical::canonical(&json!({
        "action": if proposal.undo { "undo" } else { "promote" },
        "image": proposal.digest.to_string(),
        "to": proposal.to,
        "tag": proposal.tag,
        "before": standing,
        "policy": policy.digest.map(|digest| digest.to_string()),
        "findings": findings,
    })))
}

/// Of the images, and of the index if it passed itself.
fn judgements(proposal: &Proposal) -> impl Iterator<Item = &Judgement> {
    let index = proposal.index.iter().filter(|index| index.verdict == Verdict::Passed);
    proposal.images.iter().map(|weighed| &weighed.judgement).chain(index)
}

fn waived(proposal: &Proposal) -> Vec<WaivedFinding> {
    let mut waived: Vec<WaivedFinding> = Vec::new();
    for judgement in judgements(proposal) {
        let image = judgement.descriptor.digest;
        for finding in &judgement.findings {
            if let Some(owner) = &finding.waived_by {
                let code = finding.code.name().to_owned();
                let until = finding.waived_until.clone().unwrap_or_default();
                waived.push(WaivedFinding { code, owner: owner.clone(), until, image });
            }
        }
    }
    waived.sort();
    waived.dedup();
    waived
}

/// What a policy may ask of a promotion, and this one does not.
#[must_use]
pub fn not_asked(policy: &Policy) -> Vec<&'static str> {
    let promote = policy.promote.clone().unwrap_or_default();
    let asked = [
        ("rebuild", policy.rebuild.is_some()),
        ("tests", policy.tests.is_some()),
        ("sbom", policy.sbom.is_some()),
        ("sources", policy.sources.is_some()),
        ("promote.from", promote.from.is_some()),
        ("promote.to", promote.to.is_some()),
    ];
    asked.into_iter().filter(|(_, asked)| !asked).map(|(name, _)| name).collect()
}

impl Weighed {
    /// Its platform, or its digest if it has none.
    #[must_use]
    pub fn name(&self) -> String {
        self.platform.clone().unwrap_or_else(|| self.judgement.descriptor.digest.to_string())
    }
}
