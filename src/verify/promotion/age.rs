//! Whether an image is older than the one it would replace.

use super::{Gate, Objection, PromotionCode, Proposal, Standing, Weighed};
use crate::{
    model::rfc3339,
    oci::usual_platform as usual,
    policy::Severity,
    verify::{Built, Code, Judgement},
};

/// How two builds stand to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Order {
    /// The new one is not older.
    Fine,
    /// It is, and why.
    Older(String),
    /// Nobody can tell, and why not.
    Unknown(&'static str),
}

/// Whether nobody can tell when the image was built, since something beside it could not be read that might say so.
#[must_use]
pub fn is_age_unread(judgement: &Judgement) -> bool {
    judgement.built.is_none() && judgement.findings.iter().any(|found| found.code == Code::EvidenceUnread)
}

/// What is to be said of it, and what a flag let pass. What nobody attested may be older or newer, and refuses nothing; what
/// could not be read may say that it is a downgrade, so that only a flag lets it pass.
pub(super) fn older(proposal: &Proposal, gate: &Gate) -> (Option<Objection>, Vec<String>) {
    let Some(standing) = proposal.standing.as_ref().filter(|standing| standing.digest != proposal.digest)
    else {
        return (None, Vec::new());
    };
    let refused = |objection: Objection| {
        if gate.allow_downgrade || proposal.undo {
            let overridden = vec![objection.code.name().to_owned()];
            return (Some(objection.counting(Severity::Warn)), overridden);
        }
        (Some(objection.counting(Severity::Deny)), Vec::new())
    };
    let (mut unknown, mut unread, mut ageless) = (None, false, standing.built.is_empty());
    for weighed in &proposal.images {
        for (_, there) in replaced_by(weighed, standing) {
            ageless |= there.is_none();
            unread |= there.is_some() && is_age_unread(&weighed.judgement);
            match compare(weighed.judgement.built.as_ref(), there.as_ref()) {
                Order::Fine => {}
                Order::Unknown(why) => unknown = Some(why),
                Order::Older(why) => return refused(Objection::new(PromotionCode::Downgrade, why)),
            }
        }
    }
    if let Some(why) = standing.unread.as_ref().filter(|_| ageless) {
        let text = format!("the image there could not be looked at: {why}");
        return refused(Objection::new(PromotionCode::AgeUnknown, text));
    }
    if unread {
        let text = "what may say when the image was built could not be read";
        return refused(Objection::new(PromotionCode::AgeUnknown, text));
    }
    (unknown.map(|why| Objection::new(PromotionCode::AgeUnknown, why)), Vec::new())
}

/// What was there for the platform of `one`: everything, if one of both says no platform or there was only one. A platform
/// that was not there before replaces nothing.
fn replaced_by<'a>(one: &Weighed, standing: &'a Standing) -> Vec<&'a (Option<String>, Option<Built>)> {
    let usually = one.platform.as_deref().map(usual);
    let same: Vec<_> =
        standing.built.iter().filter(|(platform, _)| platform.as_deref().map(usual) == usually).collect();
    let any = one.platform.is_none() || standing.built.len() == 1;
    if same.is_empty() && any { standing.built.iter().collect() } else { same }
}

/// Of one source, the commits' times say it, and of one commit the builds'; of two sources, the builds' times.
fn compare(new: Option<&Built>, old: Option<&Built>) -> Order {
    let Some(new) = new else { return Order::Unknown("the image has no provenance that is believed") };
    let Some(old) = old else { return Order::Unknown("the image there has no provenance that is believed") };
    let one_source = new.source.is_some() && new.source == old.source;
    let commits = new.commit_s.zip(old.commit_s).filter(|(new, old)| one_source && new != old);
    if let Some((new, old)) = commits {
        return order("its commit is of", new, old, "and that of the image there of");
    }
    match new.finished_s.zip(old.finished_s) {
        Some((new, old)) => order("it was built on", new, old, "and the image there on"),
        None => Order::Unknown("the provenance of one of both says no time"),
    }
}

fn order(what: &str, new_s: i64, old_s: i64, other: &str) -> Order {
    if new_s >= old_s {
        return Order::Fine;
    }
    Order::Older(format!("{what} {}, {other} {}", rfc3339(new_s), rfc3339(old_s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(source: &str, commit_s: Option<i64>, finished_s: Option<i64>) -> Built {
        Built { source: Some(source.to_owned()), commit: None, commit_s, finished_s }
    }

    #[test]
    fn commits_go_before_builds_and_only_of_one_source() {
        let older = |new: Built, old: Built| matches!(compare(Some(&new), Some(&old)), Order::Older(_));
        assert!(older(built("a", Some(1), Some(9)), built("a", Some(2), Some(3))));
        assert!(!older(built("a", Some(2), Some(3)), built("a", Some(1), Some(9))));
        assert!(older(built("a", Some(1), Some(3)), built("a", Some(1), Some(9))));
        assert!(!older(built("a", Some(1), Some(9)), built("b", Some(2), Some(3))));
        assert!(older(built("a", None, Some(3)), built("a", None, Some(9))));
        assert!(!older(built("a", None, Some(9)), built("a", None, Some(9))));
    }

    #[test]
    fn nobody_can_tell_without_times_or_provenance() {
        let unknown =
            |new: Option<&Built>, old: Option<&Built>| matches!(compare(new, old), Order::Unknown(_));
        let some = built("a", None, Some(1));
        assert!(unknown(None, Some(&some)) && unknown(Some(&some), None));
        assert!(unknown(Some(&some), Some(&built("a", Some(1), None))));
    }
}
