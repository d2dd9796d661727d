//! What trusted verifiers say of the commit that it was built from (SLSA 1.2, "Source: Verifying source").
//!
//! Such a summary is about a commit, not about the image. It counts where a believed provenance names that very commit of
//! that very repository, and nothing was added to it; nowhere else.

use super::{
    super::{
        Code, Evidence, Finding, Opened, State, Status, age,
        evidence::Said,
        judge::{Case, Fact, Told},
    },
    source::{is_dirty, split},
};
use crate::{
    attest::{Subject, Summary, View, commit},
    model::{
        Digest,
        names::{SLSA_SUMMARY, SOURCE_LEVEL_MAX},
    },
    policy::{Pattern, Severity, Source},
};

/// Summaries that a finding names one by one.
const NAMED_MAX: usize = 3;

/// A summary of the commit, in its repository.
struct Word<'a> {
    opened: &'a Opened,
    summary: &'a Summary,
    /// The commit: more than once, if it has several entries of branches and tags.
    subjects: Vec<&'a Subject>,
    /// The level it vouches for, as far as its signer is granted that.
    level: u8,
}

/// A verifier's word for the commit, at the level that is wanted, for a branch or tag that is wanted, fresh. One such
/// word is enough; that another says FAILED is then told.
pub(super) fn attested(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    let (Some(wanted), Some(named)) = (&case.policy.source, told.view.source()) else { return Vec::new() };
    let Some(id) = commit(named).filter(|_| !is_dirty(told.view)) else { return Vec::new() }; // Said by their own codes.
    let words = words(case.evidence, told.view);
    if words.is_empty() {
        return vec![unattested(case.evidence, told, id, &named.uri)];
    }
    let judged: Vec<Option<Finding>> =
        words.iter().map(|word| trouble(case, wanted, word).or_else(|| too_low(wanted, word))).collect();
    let met = judged.contains(&None);
    let found = judged.into_iter().flatten().filter(|found| !met || found.code == Code::SourceFailed);
    found.map(|found| if met { found.counting(Severity::Warn) } else { found }).collect()
}

/// The level of the source track that a trusted verifier vouches for, as far as the policy takes its word; 0: nobody's.
pub(in crate::verify) fn level(case: &Case<'_>, told: &Told<'_>) -> u8 {
    best(case, told).map_or(0, |word| word.level)
}

/// The summary that vouches for that level, if it was asked for.
pub(in crate::verify) fn used(case: &Case<'_>, told: &Told<'_>) -> Option<Digest> {
    best(case, told).filter(|_| case.policy.source.is_some()).map(|word| word.opened.at.digest())
}

/// The same for people.
pub(super) fn fact(case: &Case<'_>, told: &Told<'_>) -> Option<Fact> {
    let word = best(case, told)?;
    let value = format!("SLSA source level {}, by {}", word.level, word.summary.verifier.id);
    let status = if case.policy.source.is_some() { Status::Checked } else { Status::Claimed };
    Some(Fact { name: "source VSA", value, status })
}

/// Whether `opened` speaks of the commit and repository that a believed provenance names.
pub(in crate::verify) fn speaks(evidence: &Evidence, opened: &Opened) -> bool {
    opened.of_commits.is_some()
        && evidence.provenances().any(|(.., view)| word(evidence, view, opened).is_some())
}

/// The word with the highest level, of those the first.
fn best<'a>(case: &Case<'a>, told: &Told<'a>) -> Option<Word<'a>> {
    let any = Source { level: 1, max_age_s: None, refs: None };
    let wanted = case.policy.source.as_ref().unwrap_or(&any);
    let words = words(case.evidence, told.view).into_iter();
    let good = words.filter(|word| word.level > 0 && trouble(case, wanted, word).is_none());
    good.min_by_key(|word| (SOURCE_LEVEL_MAX - word.level, word.opened.at.digest()))
}

fn words<'a>(evidence: &'a Evidence, view: &'a View) -> Vec<Word<'a>> {
    evidence.opened.iter().filter_map(|opened| word(evidence, view, opened)).collect()
}

/// What `opened` says of the commit of `view`, if it says something of that commit in that repository.
fn word<'a>(evidence: &'a Evidence, view: &View, opened: &'a Opened) -> Option<Word<'a>> {
    opened.of_commits.as_ref()?; // Most are about no commit, and a source is looked for among thousands.
    let source = view.source().filter(|_| !is_dirty(view))?;
    let (subjects, summary) = of_commit(opened, commit(source)?)?;
    if repository(&source.uri)? != repository(&summary.resource_uri)? {
        return None;
    }
    let granted = opened.of_commits.iter().flat_map(|said| &said.roots);
    let granted = granted.map(|index| evidence.roots.0[*index].source_level).max().unwrap_or_default();
    Some(Word { opened, summary, subjects, level: summary.source_level().min(granted) })
}

/// What `opened` says of the commit `id`, of whatever repository.
fn of_commit<'a>(opened: &'a Opened, id: &str) -> Option<(Vec<&'a Subject>, &'a Summary)> {
    let said = opened.of_commits.as_deref()?;
    let Said::Summary(summary) = &said.said else { return None };
    let subjects = said.statement.subject.iter().filter(|subject| subject.commit() == Some(id));
    let subjects: Vec<_> = subjects.collect();
    (!subjects.is_empty()).then_some((subjects, summary))
}

/// Why a word is none, whatever its level.
fn trouble(case: &Case<'_>, wanted: &Source, word: &Word<'_>) -> Option<Finding> {
    let (who, at) = (&word.summary.verifier.id, word.opened.at.digest());
    if !word.summary.passed() {
        let text = format!("`{who}` says that the commit FAILED");
        return Some(
            Finding::new(Code::SourceFailed, text).at(format!("{at}#/predicate/verificationResult")),
        );
    }
    let refs = || word.subjects.iter().flat_map(|subject| subject.source_refs());
    let fits =
        |allowed: &Vec<Pattern>| refs().any(|name| allowed.iter().any(|pattern| pattern.matches(name)));
    if !wanted.refs.as_ref().is_none_or(fits) {
        let names: Vec<String> = refs().take(NAMED_MAX).map(|name| format!("`{name}`")).collect();
        let names = if names.is_empty() { "no branch or tag".to_owned() } else { names.join(", ") };
        let text = format!("`{who}` verified it as {names}, which is none of those wanted");
        return Some(Finding::new(Code::SourceRefNotAllowed, text).at(format!("{at}#/subject")));
    }
    let what = format!("the summary of the commit by `{who}`");
    let old = age::check(&what, word.summary.verified_on_s(), wanted.max_age_s, case.now_s)?;
    let old = Finding { code: Code::SourceStale, severity: Code::SourceStale.severity(), ..old };
    Some(old.at(format!("{at}#/predicate/timeVerified")))
}

fn too_low(wanted: &Source, word: &Word<'_>) -> Option<Finding> {
    if word.level >= wanted.level {
        return None;
    }
    let said = word.summary.source_level();
    let who = &word.summary.verifier.id;
    let why = if said > word.level { "the policy grants its signer no more" } else { "it says no more" };
    let text = format!("SLSA source level {}, {} wanted: `{who}`, {why}", word.level, wanted.level);
    let place = format!("{}#/predicate/verifiedLevels", word.opened.at.digest());
    Some(Finding::new(Code::SourceLevelLow, text).at(place))
}

/// That nobody who is trusted vouches for the commit, and what there is instead.
fn unattested(evidence: &Evidence, told: &Told<'_>, id: &str, uri: &str) -> Finding {
    let mut beside: Vec<(&Opened, String)> =
        evidence.opened.iter().filter_map(|opened| Some((opened, other(opened, id)?))).collect();
    beside.sort_by_key(|(opened, _)| opened.predicate_type.is_none());
    let beside: Vec<String> = beside.into_iter().map(named).collect();
    let more = match beside.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let beside = match beside.as_slice() {
        [] => "no summary of it lies beside the image".to_owned(),
        some => format!("{}{more}", some[..some.len().min(NAMED_MAX)].join("; ")),
    };
    let place = if uri.is_empty() { "a repository that is not named" } else { split(uri).0 };
    let text = format!("no trusted verifier vouches for the commit {id} of {place}: {beside}");
    Finding::new(Code::SourceUnattested, text).at(told.place("buildDefinition/resolvedDependencies"))
}

fn named((opened, why): (&Opened, String)) -> String {
    format!("attestation {} {why}", opened.at.digest().short())
}

/// Why a summary, what says that it is one, or what cannot be read, is no word for the commit `id`.
fn other(opened: &Opened, id: &str) -> Option<String> {
    if opened.predicate_type.as_deref().is_some_and(|kind| kind != SLSA_SUMMARY) {
        return None;
    }
    if let Some((_, summary)) = of_commit(opened, id) {
        return Some(format!("is about it in `{}`", summary.resource_uri));
    }
    if let Some(said) = &opened.of_commits {
        let first = said.statement.subject.iter().find_map(Subject::commit).unwrap_or_default();
        return Some(format!("is about another commit ({first})"));
    }
    match &opened.state {
        State::Refused(refused) => Some(format!("is not believed: {}", refused.why)),
        State::Believed(believed) => match &believed.said {
            Said::Summary(summary) if summary.source_level() > 0 => Some("is about the image".to_owned()),
            _ => None,
        },
    }
}

/// A repository's URI without what may differ though it is the same one: how it is fetched (`git+`, https or ssh), a
/// forge's user, case of the host, what of it was taken, `.git`. None: nothing is left.
fn repository(uri: &str) -> Option<String> {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    // A path may have an `@` of its own: what has slashes behind it is a ref only if it is a whole one.
    let is_ref = |name: &str| name.starts_with("refs/") || !name.contains('/');
    let place = match split(uri) {
        (place, Some(name)) if is_ref(name) && !place.ends_with('/') => place,
        _ => uri,
    };
    let place = place.trim_end_matches('/');
    let place = place.strip_suffix(".git").unwrap_or(place);
    let (scheme, rest) = place.split_once("://")?;
    let scheme = if scheme == "ssh" { "https" } else { scheme };
    let rest = rest.strip_prefix("git@").unwrap_or(rest);
    let (host, path) = rest.split_once('/').filter(|(_, path)| !path.is_empty())?;
    Some(format!("{scheme}://{}/{path}", host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_several_names() {
        let own = repository("git+https://Git.example.org/shop/checkout").unwrap();
        for same in [
            "https://git.example.org/shop/checkout",
            "git+https://git.example.org/shop/checkout.git",
            "git+https://git.example.org/shop/checkout/",
            "git+https://git.example.org/shop/checkout@refs/heads/main",
            "git+https://git.example.org/shop/checkout.git@v1.4.0",
            "git+ssh://git@git.example.org/shop/checkout.git",
        ] {
            assert_eq!(repository(same).as_deref(), Some(own.as_str()), "{same}");
        }
        for other in [
            "git+https://git.example.org/shop/Checkout",
            "git+https://git.example.org/shop/checkout2",
            "git+https://git.example.org/shop/checkout/x",
            "git+https://git.example.org/shop/checkout@eve/x",
            "git+https://git.example.org/shop/checkout/@eve",
            "git+https://git.example.org.evil.example/shop/checkout",
            "git+https://evil.example/git.example.org/shop/checkout",
            "git+https://eve@git.example.org/shop/checkout",
            "git+https://git.example.org:444/shop/checkout",
            "git+http://git.example.org/shop/checkout",
            "git+file:///git.example.org/shop/checkout",
            "git+https://git.example.org/shop/../shop/checkout",
        ] {
            assert_ne!(repository(other).as_deref(), Some(own.as_str()), "{other}");
        }
        assert_ne!(repository("https://h.example/a/@b/r"), repository("https://h.example/a/@c/r"));
        for none in
            ["", "git+", "https://git.example.org", "https://git.example.org/", ".git", "shop/checkout"]
        {
            assert_eq!(repository(none), None, "{none}");
        }
    }
}
