//! What is due, and why: a function of the time, of what the ledger has, and of what is asked for. Touches nothing.

use serde_json::{Value, json};

use crate::{
    entry::{Entry, Kind, Row},
    inventory::Span,
    model::{Digest, json::canonical, rfc3339},
    policy::Allowed,
    verify::{Root, RootSigner, Roots},
};

/// How far ahead of ours the clock of an entry's writer may be.
const AHEAD_S: i64 = 300;

/// What is done with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// It is judged by a policy.
    Verify,
    /// It is made again from what was recorded.
    Replay,
    /// It is made again from the repositories of today.
    Live,
}

impl StepKind {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Replay => "replay",
            Self::Live => "live",
        }
    }

    /// The kind of the entry that says what came of it.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Verify => Kind::Verified,
            Self::Replay => Kind::Rebuilt,
            Self::Live => Kind::RebuiltLive,
        }
    }
}

/// What a step is asked for under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The step.
    pub step: StepKind,
    /// All that decides whether it must be done again.
    pub conditions: Digest,
    /// Conditions of the group's other steps: entries under them are theirs.
    pub others: &'a [Digest],
    /// The group: what was found in it since, under other conditions, is what reports say.
    pub group: &'a str,
    /// The policy, to say what changed.
    pub policy: Option<Digest>,
    /// The tool, likewise.
    pub tool: &'a str,
    /// How long it holds.
    pub every: Span,
}

/// Whether a step is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// It was never done.
    Never,
    /// It was done under other conditions.
    Changed {
        /// What changed.
        what: &'static str,
        /// When it was done then.
        at_s: i64,
    },
    /// It was done so long ago.
    Overdue {
        /// When.
        at_s: i64,
        /// Since when it is due.
        since_s: i64,
    },
    /// It was tried, and nobody could tell.
    Untold {
        /// When.
        at_s: i64,
    },
    /// It need not be done, but that it is there again ought to be known.
    Back {
        /// When it was missed.
        at_s: i64,
    },
    /// It was done at a time that is yet to come: some clock jumped.
    Ahead {
        /// When.
        at_s: i64,
    },
    /// It need not be done, and is asked for all the same (`--force`).
    Forced {
        /// When it was done.
        at_s: i64,
    },
    /// It need not be done.
    NotUntil {
        /// When it need be.
        due_s: i64,
        /// When it was done.
        at_s: i64,
    },
}

impl Due {
    /// Its name in answers.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Never => "never-judged",
            Self::Changed { .. } => "conditions-changed",
            Self::Overdue { .. } => "overdue",
            Self::Untold { .. } => "untold",
            Self::Back { .. } => "back",
            Self::Ahead { .. } => "clock",
            Self::Forced { .. } => "forced",
            Self::NotUntil { .. } => "not-due",
        }
    }

    /// In a sentence.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Never => "never judged".to_owned(),
            Self::Changed { what, at_s } => format!("{what} since it was judged on {}", rfc3339(*at_s)),
            Self::Overdue { at_s, since_s } => {
                format!("due since {}, judged on {}", rfc3339(*since_s), rfc3339(*at_s))
            }
            Self::Untold { at_s } => format!("nobody could tell on {}", rfc3339(*at_s)),
            Self::Back { at_s } => format!("missed on {}, and there again", rfc3339(*at_s)),
            Self::Ahead { at_s } => {
                format!("judged on {}, which is yet to come: a clock was wrong", rfc3339(*at_s))
            }
            Self::Forced { at_s } => format!("judged on {}, and asked for again", rfc3339(*at_s)),
            Self::NotUntil { due_s, .. } => format!("not due until {}", rfc3339(*due_s)),
        }
    }

    /// When it is, or was, due; none: at once, since ever.
    #[must_use]
    pub fn on_s(&self) -> Option<i64> {
        match self {
            Self::Overdue { since_s, .. } => Some(*since_s),
            Self::NotUntil { due_s, .. } => Some(*due_s),
            _ => None,
        }
    }

    /// Whether it is to be done.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !matches!(self, Self::NotUntil { .. })
    }

    /// For how long it has been due, in seconds: what was never told is before all else.
    #[must_use]
    pub fn over_s(&self, now_s: i64) -> i64 {
        match self {
            Self::Never => i64::MAX,
            Self::Untold { .. } | Self::Ahead { .. } => i64::MAX - 1,
            Self::Overdue { since_s, .. } => now_s.saturating_sub(*since_s),
            Self::Changed { at_s, .. } | Self::Back { at_s } | Self::Forced { at_s } => {
                now_s.saturating_sub(*at_s)
            }
            Self::NotUntil { due_s, .. } => now_s.saturating_sub(*due_s),
        }
    }
}

/// Whether what `wanted` asks for is due at `now_s`, by `entries` of the same image, in any order.
#[must_use]
pub fn due<'a>(now_s: i64, wanted: &Wanted<'_>, entries: impl IntoIterator<Item = &'a Entry>) -> Due {
    let (mut ours, mut other, mut untold): (Option<&Entry>, Option<&Entry>, Option<&Entry>) =
        (None, None, None);
    // What was last said of the image in this group: reports say so too.
    let mut last: Option<&Entry> = None;
    let newer = |than: Option<&Entry>, entry: &Entry| than.is_none_or(|than| entry.at_s >= than.at_s);
    for entry in entries {
        let same = entry.conditions == Some(wanted.conditions);
        if of_step(entry, wanted) {
            if entry.group.as_deref() == Some(wanted.group) && newer(last, entry) {
                last = Some(entry);
            }
            if same && newer(ours, entry) {
                ours = Some(entry);
            } else if !same && newer(other, entry) {
                other = Some(entry);
            }
        } else if same && newer(untold, entry) {
            untold = Some(entry);
        }
    }
    match (ours, other, untold) {
        (Some(entry), ..) if entry.at_s > now_s.saturating_add(AHEAD_S) => Due::Ahead { at_s: entry.at_s },
        (Some(entry), ..) => {
            let (at_s, due_s) = (entry.at_s, entry.at_s.saturating_add(wanted.every.as_s()));
            match last.filter(|last| last.at_s > at_s) {
                Some(last) => Due::Changed { what: changed(last, wanted), at_s: last.at_s },
                None if due_s <= now_s => Due::Overdue { at_s, since_s: due_s },
                None => Due::NotUntil { due_s, at_s },
            }
        }
        (None, Some(entry), _) => Due::Changed { what: changed(entry, wanted), at_s: entry.at_s },
        (None, None, Some(entry)) => Due::Untold { at_s: entry.at_s },
        (None, None, None) => Due::Never,
    }
}

/// Whether the entry says what the image is: not, that nobody could tell.
#[must_use]
pub fn told(entry: &Entry) -> bool {
    match entry.kind {
        Kind::Verified => entry.outcome != "unknown",
        Kind::Rebuilt | Kind::RebuiltLive => true,
        _ => false,
    }
}

/// Whether the entry says what came of that step, under whatever conditions but those of the group's other steps.
#[must_use]
pub fn of_step(entry: &Entry, wanted: &Wanted<'_>) -> bool {
    let under = |conditions: &Digest| entry.conditions.as_ref() == Some(conditions);
    // Before schema 2 both rebuilds were of one kind; their conditions tell them apart.
    let old = entry.kind == Kind::Rebuilt && wanted.step == StepKind::Live && under(&wanted.conditions);
    told(entry) && (entry.kind == wanted.step.kind() || old) && !wanted.others.iter().any(under)
}

/// That the image could not be judged under `tag`, if nobody did since: reports say so until somebody does. What other
/// groups missed of an image that was there is theirs to do again.
#[must_use]
pub fn missed<'a>(rows: &'a [Row], tag: Option<&str>, group: &str) -> Option<&'a Entry> {
    let named = || rows.iter().filter(|row| row.entry.tag.as_deref() == tag);
    let ours = |entry: &Entry| entry.conditions.is_none() || entry.group.as_deref() == Some(group);
    let missed = named().filter(|row| row.entry.kind == Kind::Missed && ours(&row.entry));
    let missed = missed.max_by_key(|row| row.number)?;
    let judged = named().filter(|row| told(&row.entry)).map(|row| row.number).max();
    judged.is_none_or(|judged| judged < missed.number).then_some(&missed.entry)
}

/// What is not as it was, as far as the entry tells.
fn changed(entry: &Entry, wanted: &Wanted<'_>) -> &'static str {
    if wanted.step == StepKind::Verify && entry.policy != wanted.policy {
        "the policy changed"
    } else if entry.tool != wanted.tool {
        "the version of reprov changed"
    } else if entry.conditions.is_none() {
        "it was judged outside of an audit"
    } else {
        "trust, or what is asked for, changed"
    }
}

/// Whom one trusts, as one digest: neither the order nor the names of files matter.
#[must_use]
pub fn trust(roots: &Roots, trusted_root: Option<Digest>) -> Digest {
    let mut all: Vec<Vec<u8>> = roots.0.iter().map(|root| canonical(&said(root))).collect();
    all.sort();
    all.dedup();
    let mut bytes = all.join(&b'\n');
    bytes.extend(
        format!("\n{}", trusted_root.map(|digest| digest.to_string()).unwrap_or_default()).into_bytes(),
    );
    Digest::of(&bytes)
}

fn said(root: &Root) -> Value {
    let allowed = |allowed: &Allowed| match allowed {
        Allowed::Any => json!("*"),
        Allowed::These(names) => json!(names),
    };
    let signer = match &root.signer {
        RootSigner::Key(key) => json!({"key": key.fingerprint().to_string()}),
        RootSigner::Identity { identity, issuer } => {
            json!({"identity": identity.to_string(), "issuer": issuer})
        }
    };
    let predicates = root.predicates.as_ref().map(|patterns| {
        let mut names: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        names.sort();
        names
    });
    json!({"signer": signer, "builders": allowed(&root.builders), "level": root.level, "predicates": predicates,
        "verifiers": root.verifiers, "source_level": root.source_level, "rebuilders": allowed(&root.rebuilders)})
}

/// All that decides whether a step must be done again, as one digest.
#[must_use]
pub fn conditions(
    step: StepKind,
    (policy, trust): (Option<Digest>, Digest),
    rebuilt: &Rebuilt<'_>,
    tool: &str,
) -> Digest {
    let text = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
    let said = match step {
        StepKind::Verify => {
            json!({"step": "verify", "policy": text(policy), "trust": trust.to_string(), "tool": tool})
        }
        StepKind::Replay | StepKind::Live => {
            json!({"step": step.name(), "trust": trust.to_string(), "tool": tool,
            "vary": rebuilt.vary, "buildroot": rebuilt.buildroot, "platform": rebuilt.platform})
        }
    };
    Digest::of(&canonical(&said))
}

/// What only a rebuild depends on.
#[derive(Debug, Clone, Copy)]
pub struct Rebuilt<'a> {
    /// Variations of a replay, in the order of their table.
    pub vary: &'a [String],
    /// What it is built with, if not with what was recorded: an image by digest, or the host's programs by theirs.
    pub buildroot: Option<&'a str>,
    /// Which manifest of an index.
    pub platform: &'a str,
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const DAY_S: i64 = 86_400;
    const NOW_S: i64 = 1_800_000_000;

    pub(in crate::job::audit) fn entry(at_s: i64, kind: Kind, outcome: &str, conditions: &str) -> Entry {
        Entry {
            at_s,
            kind,
            repository: "registry.example.org/a".to_owned(),
            tag: None,
            digest: Some(Digest::of(b"image")),
            outcome: outcome.to_owned(),
            evidence: None,
            by: "https://audit.example.org".to_owned(),
            tool: "reprov 0.1.0".to_owned(),
            signer: None,
            policy: Some(Digest::of(b"policy")),
            conditions: Some(Digest::of(conditions.as_bytes())),
            group: None,
            owner: None,
            codes: BTreeMap::new(),
            waived: Vec::new(),
            from: None,
            before: None,
            took_ms: None,
            report: None,
            error: None,
        }
    }

    fn wanted(step: StepKind) -> Wanted<'static> {
        Wanted {
            step,
            conditions: Digest::of(b"now"),
            others: &[],
            group: "web",
            policy: Some(Digest::of(b"policy")),
            tool: "reprov 0.1.0",
            every: Span::seconds(7 * 86_400),
        }
    }

    #[test]
    fn what_is_due_and_why() {
        let check = |entries: &[Entry], name: &str| {
            let due = due(NOW_S, &wanted(StepKind::Verify), entries);
            assert_eq!(due.name(), name, "{due:?}");
            let mut turned: Vec<_> = entries.to_vec();
            turned.reverse();
            assert_eq!(super::due(NOW_S, &wanted(StepKind::Verify), &turned), due, "the order matters");
        };
        let ago = |days: i64, outcome: &str, conditions: &str| {
            entry(NOW_S - days * DAY_S, Kind::Verified, outcome, conditions)
        };
        check(&[], "never-judged");
        check(&[ago(1, "passed", "now")], "not-due");
        check(&[ago(1, "failed", "now")], "not-due");
        check(&[ago(7, "passed", "now")], "overdue");
        check(&[ago(8, "passed", "now"), ago(3, "passed", "now")], "not-due");
        check(&[ago(1, "passed", "then")], "conditions-changed");
        check(&[ago(1, "passed", "then"), ago(2, "passed", "now")], "not-due");
        check(&[ago(1, "unknown", "now")], "untold");
        check(&[ago(1, "unknown", "now"), ago(2, "passed", "now")], "not-due");
        check(&[entry(NOW_S - 60, Kind::Missed, "unreachable", "now")], "untold");
        check(&[entry(NOW_S - 60, Kind::Rebuilt, "reproduced", "then")], "never-judged");
        check(&[ago(-30, "passed", "now")], "clock");
        check(&[entry(NOW_S + 60, Kind::Verified, "passed", "now")], "not-due");
        check(&[entry(i64::MAX, Kind::Verified, "passed", "now")], "clock");
        check(&[entry(i64::MIN, Kind::Verified, "passed", "now")], "overdue");
    }

    #[test]
    fn the_other_rebuild_of_an_image_changes_nothing() {
        let others = [Digest::of(b"live")];
        let wanted = Wanted { others: &others, ..wanted(StepKind::Replay) };
        let live = entry(NOW_S - 60, Kind::Rebuilt, "explained", "live");
        assert_eq!(due(NOW_S, &wanted, [&live]), Due::Never);
        let replay = entry(NOW_S - 120, Kind::Rebuilt, "reproduced", "now");
        assert_eq!(due(NOW_S, &wanted, [&live, &replay]).name(), "not-due");
    }

    #[test]
    fn what_the_group_found_since_under_other_conditions_makes_it_due() {
        let ours = entry(NOW_S - 120, Kind::Verified, "passed", "now");
        let of = |group: &str| Entry {
            group: Some(group.to_owned()),
            ..entry(NOW_S - 60, Kind::Verified, "failed", "then")
        };
        let name = |since: &Entry| due(NOW_S, &wanted(StepKind::Verify), [&ours, since]).name();
        assert_eq!((name(&of("web")), name(&of("other"))), ("conditions-changed", "not-due"));
    }

    #[test]
    fn a_live_rebuild_is_none_of_what_was_recorded() {
        let live = entry(NOW_S - 60, Kind::RebuiltLive, "explained", "then");
        assert_eq!(due(NOW_S, &wanted(StepKind::Live), [&live]).name(), "conditions-changed");
        assert_eq!(due(NOW_S, &wanted(StepKind::Replay), [&live]), Due::Never);
        let replay = entry(NOW_S - 60, Kind::Rebuilt, "reproduced", "then");
        assert_eq!(due(NOW_S, &wanted(StepKind::Live), [&replay]), Due::Never);
        let old = entry(NOW_S - 60, Kind::Rebuilt, "explained", "now");
        assert_eq!(due(NOW_S, &wanted(StepKind::Live), [&old]).name(), "not-due", "of before schema 2");
    }

    #[test]
    fn says_what_changed() {
        let check = |change: fn(&mut Entry), what: &str| {
            let mut entry = entry(NOW_S - 60, Kind::Verified, "passed", "then");
            change(&mut entry);
            let found = due(NOW_S, &wanted(StepKind::Verify), [&entry]);
            assert!(
                matches!(found, Due::Changed { what: said, at_s } if said == what && at_s == NOW_S - 60),
                "{found:?}"
            );
        };
        check(|entry| entry.policy = None, "the policy changed");
        check(|entry| entry.tool = "reprov 0.0.9".to_owned(), "the version of reprov changed");
        check(|entry| entry.conditions = None, "it was judged outside of an audit");
        check(|_| (), "trust, or what is asked for, changed");
    }

    #[test]
    fn the_most_overdue_comes_first() {
        let over = |due: Due| due.over_s(NOW_S);
        let order = [
            Due::Never,
            Due::Untold { at_s: NOW_S },
            Due::Overdue { at_s: 0, since_s: NOW_S - 100 },
            Due::Changed { what: "", at_s: NOW_S - 50 },
            Due::Back { at_s: NOW_S - 20 },
            Due::Overdue { at_s: 0, since_s: NOW_S },
            Due::NotUntil { due_s: NOW_S + 1, at_s: 0 },
        ];
        assert!(order.map(over).is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn conditions_know_no_paths_and_no_order() {
        use crate::attest::PublicKey;
        let pem = |der: &str| PublicKey::from_pem(der).unwrap();
        let keys = [
            pem(include_str!("../../../fixtures/nightly/one.pub")),
            pem(include_str!("../../../fixtures/nightly/two.pub")),
        ];
        let root = |index: usize, path: &str| {
            let mut root = Root::key(keys[index].clone(), Allowed::Any, 1);
            root.name = format!("{} ({path})", root.name);
            root
        };
        let one = trust(&Roots(vec![root(0, "a.pub"), root(1, "b.pub")]), None);
        assert_eq!(one, trust(&Roots(vec![root(1, "c.pub"), root(0, "/d.pub"), root(0, "e.pub")]), None));
        assert_ne!(one, trust(&Roots(vec![root(0, "a.pub")]), None));
        assert_ne!(one, trust(&Roots(vec![root(0, "a.pub"), root(1, "b.pub")]), Some(Digest::of(b""))));
        let rebuilt = Rebuilt { vary: &[], buildroot: None, platform: "linux/amd64" };
        let of = |step, policy: Option<Digest>, tool| conditions(step, (policy, one), &rebuilt, tool);
        let policy = Some(Digest::of(b"policy"));
        assert_ne!(of(StepKind::Verify, policy, "1"), of(StepKind::Verify, None, "1"));
        assert_ne!(of(StepKind::Verify, policy, "1"), of(StepKind::Verify, policy, "2"));
        assert_eq!(of(StepKind::Replay, policy, "1"), of(StepKind::Replay, None, "1"), "no policy is asked");
        assert_ne!(of(StepKind::Replay, policy, "1"), of(StepKind::Live, policy, "1"));
        let varied = Rebuilt { vary: &["time".to_owned()], ..rebuilt };
        assert_ne!(of(StepKind::Replay, None, "1"), conditions(StepKind::Replay, (None, one), &varied, "1"));
    }
}
