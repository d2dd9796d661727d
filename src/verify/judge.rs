//! Evidence, by a policy, as of a time.

use std::collections::BTreeMap;

use super::{
    Believed, Code, Evidence, Finding, Opened, State, Status, Verdict,
    rules::{self, commit, provenance},
};
use crate::{
    attest::View,
    model::{Descriptor, Digest, limits::FINDINGS_OF_CODE_MAX, names::SLSA_PROVENANCE},
    policy::{Policy, Severity},
};

/// What came of judging one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The image that was judged, by its digest.
    pub image: String,
    /// Its type, digest and size.
    pub descriptor: Descriptor,
    /// Whether it is an index: then none of its images was judged.
    pub index: bool,
    /// What came of it.
    pub verdict: Verdict,
    /// Why, the heaviest first.
    pub findings: Vec<Finding>,
    /// Every attestation that was opened.
    pub attestations: Vec<Line>,
    /// What is known of it, and what that is worth.
    pub facts: Vec<Fact>,
    /// Its SLSA build level, as the policy grants it.
    pub level: u8,
    /// The level of SLSA's source track of the commit it was built from, by the word of a trusted verifier; 0: nobody's.
    pub source_level: u8,
    /// Attestations that the verdict rests on: referrer and statement.
    pub used: Vec<Digest>,
    /// The summary that stood in for judging, if one did.
    pub summary: Option<Digest>,
    /// When and of what it was built, by the provenance that counts, also where a summary stood in; none if there is none.
    pub built: Option<Built>,
    /// How many independent rebuilders say that it is the same, byte for byte.
    pub reproduced_by: usize,
    /// What came of what it stands on.
    pub dependencies: Vec<(String, Judgement)>,
}

/// When and of what an image was built, by a trusted signer's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Where the source is, without what of it was taken.
    pub source: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The commit's time, seconds since 1970; only builds of our own type say it.
    pub commit_s: Option<i64>,
    /// When the build ended, seconds since 1970.
    pub finished_s: Option<i64>,
}

/// One attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it says it is, if that can be read.
    pub predicate_type: Option<String>,
    /// Of the referrer, or of `.att`'s layer.
    pub digest: Digest,
    /// Of the statement.
    pub statement: Option<Digest>,
    /// Who signed it, of those who are trusted.
    pub signer: Option<String>,
    /// Whether it is believed.
    pub verified: bool,
}

/// One thing that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What: `builder`, `source`, `commit`, …
    pub name: &'static str,
    /// Itself.
    pub value: String,
    /// What it is worth.
    pub status: Status,
}

/// What every rule is given.
pub(super) struct Case<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) policy: &'a Policy,
    pub(super) now_s: i64,
}

/// A provenance under judgement.
pub(super) struct Told<'a> {
    pub(super) opened: &'a Opened,
    pub(super) believed: &'a Believed,
    pub(super) view: &'a View,
}

impl Told<'_> {
    /// A pointer into its predicate.
    pub(super) fn place(&self, pointer: &str) -> String {
        format!("{}#/predicate/{pointer}", self.opened.at.digest())
    }
}

/// Judges `evidence` by `policy` as of `now_s` (seconds since 1970).
///
/// 1. A summary that the policy accepts stands in for what follows.
/// 2. Each kind of statement that must be there is looked for among what is believed.
/// 3. Of several provenances the one with the fewest objections counts, of those the latest.
/// 4. The policy's other rules are asked.
/// 5. Rules that hold later, and waivers, are applied.
/// 6. If something is still missing, what was not believed refuses the image with its own code; no policy changes that.
///
/// The verdict is unknown where the image would be refused but something could not be read.
#[must_use]
pub fn judge(evidence: &Evidence, policy: &Policy, now_s: i64) -> Judgement {
    let case = Case { evidence, policy, now_s };
    let mut judgement = begun(evidence);
    let standing = rules::summary::stand_in(&case);
    let mut findings = standing.findings;
    match standing.accepted {
        Some(accepted) => {
            judgement.level = accepted.level;
            judgement.summary = Some(accepted.digest);
            judgement.used.push(accepted.digest);
            // Nothing is judged by it; but what is older stays older, whoever verified it.
            if let Some(best) = best(&case) {
                judgement.built = Some(provenance::built(&best.told));
                judgement.source_level = commit::level(&case, &best.told);
            }
        }
        None => whole(&case, &mut judgement, &mut findings),
    }
    findings.extend(rules::calendar::closed(&case));
    findings = rules::waivers::apply(&case, findings);
    // What is waived, or counts only later, is no lack for which a stranger's attestation would be the reason.
    findings.extend(refusals(&case, findings.iter().any(is_lack)));
    findings.extend(notices(&case));
    let denied = findings.iter().any(Finding::denies);
    // No evidence opens a closed day.
    let for_good = findings.iter().any(|finding| finding.denies() && finding.code == Code::Closed);
    judgement.verdict = match (denied, evidence.unread.is_empty() || for_good) {
        (false, _) => Verdict::Passed,
        (true, true) => Verdict::Failed,
        (true, false) => Verdict::Unknown,
    };
    judgement.findings = ordered(findings);
    judgement
}

fn begun(evidence: &Evidence) -> Judgement {
    let line = |opened: &Opened| Line {
        predicate_type: opened.predicate_type.clone(),
        digest: opened.at.digest(),
        statement: opened.statement,
        signer: opened.signer.clone(),
        verified: matches!(opened.state, State::Believed(_)) || commit::speaks(evidence, opened),
    };
    Judgement {
        image: evidence.judged.image.clone(),
        descriptor: evidence.judged.descriptor.clone(),
        index: evidence.judged.index,
        verdict: Verdict::Unknown,
        findings: Vec::new(),
        attestations: evidence.opened.iter().map(line).collect(),
        facts: Vec::new(),
        level: 0,
        source_level: 0,
        used: Vec::new(),
        summary: None,
        built: None,
        reproduced_by: rules::rebuild::reproduced_by(evidence),
        dependencies: Vec::new(),
    }
}

/// Everything, from the statements on.
fn whole(case: &Case<'_>, judgement: &mut Judgement, findings: &mut Vec<Finding>) {
    findings.extend(lacking(case));
    for kind in &case.policy.predicates {
        let found = case.evidence.believed().find(|(_, believed)| believed.statement.predicate_type == *kind);
        judgement.used.extend(found.map(|(opened, _)| opened.at.digest()));
    }
    if let Some(best) = best(case) {
        judgement.level = provenance::level(case, &best.told);
        judgement.facts = provenance::facts(case, &best.told);
        judgement.built = Some(provenance::built(&best.told));
        judgement.source_level = commit::level(case, &best.told);
        judgement.used.push(best.told.opened.at.digest());
        judgement.used.extend(commit::used(case, &best.told));
        judgement.dependencies = rules::bases::judgements(case, &best.told);
        findings.extend(best.findings);
    } else if case.policy.least_level > 0 {
        let text = format!("SLSA build level 0, {} wanted: there is no provenance", case.policy.least_level);
        findings.push(Finding::new(Code::LevelLow, text));
    }
    for rule in rules::OF_IMAGE {
        findings.extend(rule(case, &mut judgement.used));
    }
    judgement.used.sort_unstable();
    judgement.used.dedup();
}

/// Kinds of statement that must be there and are not.
fn lacking(case: &Case<'_>) -> Vec<Finding> {
    let evidence = case.evidence;
    let mut wanted = case.policy.predicates.clone();
    if rules::ask_provenance(case.policy) && evidence.provenances().next().is_none() {
        wanted.insert(SLSA_PROVENANCE.to_owned());
    }
    let nothing = evidence.opened.is_empty() && evidence.refused.is_empty();
    let there = |kind: &String| evidence.believed().any(|(_, found)| found.statement.predicate_type == *kind);
    let missing: Vec<String> = wanted.into_iter().filter(|kind| !there(kind)).collect();
    if nothing && !missing.is_empty() && evidence.unread.is_empty() {
        let what = if evidence.judged.index { "index" } else { "image" };
        let text = format!("there is no attestation of the {what} {}", evidence.judged.digest());
        return vec![Finding::new(Code::NoAttestation, text)];
    }
    let finding =
        |kind: String| Finding::new(Code::PredicateMissing, format!("no {kind} by a trusted signer"));
    missing.into_iter().map(finding).collect()
}

fn is_lack(finding: &Finding) -> bool {
    finding.denies() && matches!(finding.code, Code::NoAttestation | Code::PredicateMissing)
}

struct Best<'a> {
    told: Told<'a>,
    findings: Vec<Finding>,
}

/// The provenance with the fewest objections, of those the latest, of those the first.
fn best<'a>(case: &Case<'a>) -> Option<Best<'a>> {
    let judged = case.evidence.provenances().map(|(opened, believed, view)| {
        let told = Told { opened, believed, view };
        let findings: Vec<Finding> = rules::OF_PROVENANCE.iter().flat_map(|rule| rule(case, &told)).collect();
        Best { told, findings }
    });
    judged.min_by_key(|best| {
        let denials = best.findings.iter().filter(|finding| finding.denies()).count();
        let latest = best.told.view.finished_on_s.unwrap_or(i64::MIN);
        (denials, std::cmp::Reverse(latest), best.told.opened.at.digest())
    })
}

/// What is not believed: told beside, or, where something is missing, why that is so.
fn refusals(case: &Case<'_>, lacking: bool) -> Vec<Finding> {
    let mut counts: BTreeMap<Code, usize> = BTreeMap::new();
    let mut findings = Vec::new();
    for refused in case.evidence.refusals() {
        let count = counts.entry(refused.code).or_default();
        *count += 1;
        if *count > FINDINGS_OF_CODE_MAX {
            continue;
        }
        let name = refused.at.map(|digest| format!("attestation {}: ", digest.short())).unwrap_or_default();
        let mut finding = Finding::new(refused.code, format!("{name}{}", refused.why));
        finding.evidence = refused.at.map(|digest| digest.to_string());
        if lacking && refused.code.severity() == Severity::Info {
            finding.severity = Severity::Deny;
        }
        findings.push(finding);
    }
    for (code, count) in counts.into_iter().filter(|(_, count)| *count > FINDINGS_OF_CODE_MAX) {
        let more = count - FINDINGS_OF_CODE_MAX;
        findings.push(Finding::new(code, format!("and {more} attestations more of which the same is true")));
    }
    for opened in &case.evidence.opened {
        if let (Some(annotated), Some(own)) = (&opened.annotated, &opened.predicate_type) {
            let name = opened.at.digest().short();
            let text = format!("attestation {name}: annotated `{annotated}`, while it says `{own}`");
            findings.push(Finding::new(Code::AnnotationMismatch, text).at(opened.at.digest().to_string()));
        }
    }
    let (told, more) = case.evidence.unread.split_at(case.evidence.unread.len().min(FINDINGS_OF_CODE_MAX));
    for unread in told {
        let name = unread.at.map(|digest| format!("attestation {}: ", digest.short())).unwrap_or_default();
        let mut finding = Finding::new(Code::EvidenceUnread, format!("{name}{}", unread.why));
        finding.evidence = unread.at.map(|digest| digest.to_string());
        findings.push(finding);
    }
    if !more.is_empty() {
        findings
            .push(Finding::new(Code::EvidenceUnread, format!("and {} more could not be read", more.len())));
    }
    findings
}

fn notices(case: &Case<'_>) -> Vec<Finding> {
    if !case.policy.is_applied() {
        let text = "no policy was applied: signature, subject and predicate type were checked, nothing else";
        return vec![Finding::new(Code::NoPolicy, text)];
    }
    let any = |builders: &crate::policy::Allowed| *builders == crate::policy::Allowed::Any;
    if case.evidence.roots.0.iter().any(|root| any(&root.builders)) {
        return vec![Finding::new(Code::AnyBuilder, "`builders = [\"*\"]`: any builder is accepted")];
    }
    Vec::new()
}

/// The heaviest first; else as they came.
fn ordered(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.waived_by.is_some()));
    findings
}
