//! What rebuilders say.

use std::collections::BTreeSet;

use super::super::{Believed, Code, Evidence, Finding, Opened, RootSigner, age, evidence::Said, judge::Case};
use crate::{
    attest::Rebuilt,
    model::{Digest, Verdict},
};

/// One verdict, and who says it.
struct Word<'a> {
    opened: &'a Opened,
    believed: &'a Believed,
    rebuilt: &'a Rebuilt,
}

/// Verdicts of enough independent rebuilders, fresh, and a yes.
pub(super) fn rebuilt(case: &Case<'_>, used: &mut Vec<Digest>) -> Vec<Finding> {
    let words = words(case.evidence);
    let Some(wanted) = &case.policy.rebuild else { return disputed(&words, &[Verdict::Reproduced]) };
    let asked: Vec<&Word<'_>> = words
        .iter()
        .filter(|word| wanted.by.as_ref().is_none_or(|by| by.contains(&word.rebuilt.rebuilder.id)))
        .collect();
    if asked.is_empty() {
        let text = match &wanted.by {
            Some(by) => format!("none of {} rebuilt it", by.iter().cloned().collect::<Vec<_>>().join(", ")),
            None => "no trusted signer says that it was rebuilt".to_owned(),
        };
        return vec![Finding::new(Code::RebuildMissing, text)];
    }
    let mut findings = Vec::new();
    let mut yes: Vec<&Word<'_>> = Vec::new();
    for word in &asked {
        let who = &word.rebuilt.rebuilder.id;
        let place = word.opened.at.digest().to_string();
        let old = age::check(
            &format!("the verdict of `{who}`"),
            Some(word.rebuilt.finished_on_s),
            wanted.max_age_s,
            case.now_s,
        );
        if let Some(old) = old {
            findings.push(old.at(place));
        } else if wanted.verdicts.contains(&word.rebuilt.verdict) {
            yes.push(word);
        } else {
            let text = format!("`{who}` says `{}`", word.rebuilt.verdict.name());
            findings.push(Finding::new(Code::RebuildVerdict, text).at(place));
        }
    }
    let count = independent(case.evidence, &yes);
    used.extend(yes.iter().map(|word| word.opened.at.digest()));
    if count >= wanted.quorum {
        return disputed(&words, &wanted.verdicts);
    }
    if count > 0 || findings.is_empty() {
        let text = format!("{count} of {} independent rebuilders say yes", wanted.quorum);
        findings.push(Finding::new(Code::RebuildQuorum, text));
    }
    findings
}

fn words(evidence: &Evidence) -> Vec<Word<'_>> {
    let said = evidence.believed().filter_map(|(opened, believed)| match &believed.said {
        Said::Rebuilt(rebuilt) => Some(Word { opened, believed, rebuilt }),
        _ => None,
    });
    said.collect()
}

/// How many are pairwise of other rebuilders and of other signers: a matching, found greedily from the rarest signer on.
fn independent(evidence: &Evidence, yes: &[&Word<'_>]) -> usize {
    let signer = |word: &Word<'_>| match &evidence.roots.0[word.believed.roots[0]].signer {
        RootSigner::Key(key) => key.fingerprint().to_string(),
        RootSigner::Identity { .. } => word.opened.signer.clone().unwrap_or_default(),
    };
    let pairs: BTreeSet<(String, String)> =
        yes.iter().map(|word| (word.rebuilt.rebuilder.id.clone(), signer(word))).collect();
    let ids: BTreeSet<&String> = pairs.iter().map(|(id, _)| id).collect();
    let mut taken: Vec<(&String, &String)> = Vec::new();
    // Augmenting paths (Kuhn): few signers, so never slow.
    for id in ids {
        let mut seen = BTreeSet::new();
        augment(id, &pairs, &mut taken, &mut seen);
    }
    taken.len()
}

fn augment<'a>(
    id: &'a String,
    pairs: &'a BTreeSet<(String, String)>,
    taken: &mut Vec<(&'a String, &'a String)>,
    seen: &mut BTreeSet<&'a String>,
) -> bool {
    for (_, signer) in pairs.iter().filter(|(own, _)| own == id) {
        if !seen.insert(signer) {
            continue;
        }
        let holder = taken.iter().position(|(_, held)| *held == signer);
        match holder {
            None => {
                taken.push((id, signer));
                return true;
            }
            Some(at) => {
                let other = taken[at].0;
                if augment(other, pairs, taken, seen) {
                    let at = taken.iter().position(|held| *held == (other, signer));
                    if let Some(at) = at {
                        taken[at] = (id, signer);
                    }
                    return true;
                }
            }
        }
    }
    false
}

/// A no of a trusted rebuilder beside a yes of others, or where nobody asked for one.
fn disputed(words: &[Word<'_>], verdicts: &[Verdict]) -> Vec<Finding> {
    let no = words.iter().filter(|word| !verdicts.contains(&word.rebuilt.verdict));
    let finding = |word: &Word<'_>| {
        let text = format!("`{}` says `{}`", word.rebuilt.rebuilder.id, word.rebuilt.verdict.name());
        Finding::new(Code::RebuildDisputed, text).at(word.opened.at.digest().to_string())
    };
    no.map(finding).collect()
}

/// How many independent rebuilders say that it is the same, byte for byte.
#[must_use]
pub fn reproduced_by(evidence: &Evidence) -> usize {
    let words = words(evidence);
    let yes: Vec<&Word<'_>> =
        words.iter().filter(|word| word.rebuilt.verdict == Verdict::Reproduced).collect();
    independent(evidence, &yes)
}
