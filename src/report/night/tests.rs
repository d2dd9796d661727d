//! Reports of made-up ledgers.

use std::collections::BTreeMap;

use super::*;
use crate::{
    entry::{Entry, Kind, Waived},
    model::{Digest, Turn},
};

const DAY_S: i64 = 24 * 3600;
/// 2026-11-30T03:00:00Z.
const NIGHT: i64 = 1_796_007_600;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// An entry on `app:NAME`.
pub(super) fn entry(at_s: i64, kind: Kind, name: &str, outcome: &str, codes: &[&str]) -> Entry {
    Entry {
        at_s,
        kind,
        repository: "registry.example.org/app".into(),
        tag: Some(name.into()),
        digest: Some(digest(name)),
        outcome: outcome.into(),
        evidence: None,
        by: "https://ci.example.org/reprov@v1".into(),
        tool: "reprov 0.1.0".into(),
        signer: None,
        policy: None,
        conditions: None,
        group: Some("base".into()),
        owner: Some("base-team".into()),
        codes: codes.iter().map(|code| ((*code).to_owned(), 1)).collect(),
        waived: Vec::new(),
        from: None,
        before: None,
        took_ms: Some(1500),
        report: None,
        error: None,
    }
}

pub(super) fn numbered(entries: &[Entry]) -> Vec<Known> {
    (1..).zip(entries).map(|(number, entry)| Known { number, entry: entry.clone() }).collect()
}

/// The newest of each kind, as the ledger gives them.
fn newest(all: &[Known]) -> Vec<Known> {
    let mut newest: BTreeMap<(Option<String>, Kind), Known> = BTreeMap::new();
    for known in all {
        newest.insert((known.entry.tag.clone(), known.entry.kind), known.clone());
    }
    newest.into_values().collect()
}

fn span(since_s: i64) -> Span {
    Span { since_s, until_s: NIGHT + 3600 }
}

/// What changed by `new` after `old`: code and new codes.
#[track_caller]
fn check(old: &[Entry], new: &[Entry], expected: &[(Turn, &[&str])]) {
    let all: Vec<Entry> = old.iter().chain(new).cloned().collect();
    let all = numbered(&all);
    let rules = Rules { overdue_s: Some(8 * DAY_S), ..Rules::default() };
    let found = changes(&newest(&all[..old.len()]), &newest(&all), span(NIGHT - 3600), &rules);
    let found: Vec<_> = found
        .iter()
        .map(|change| (change.code, change.codes.iter().map(String::as_str).collect::<Vec<_>>()))
        .collect();
    let expected: Vec<_> = expected.iter().map(|(turn, codes)| (*turn, codes.to_vec())).collect();
    assert_eq!(found, expected);
}

fn rebuilt(at_s: i64, outcome: &str, codes: &[&str]) -> Entry {
    entry(at_s, Kind::Rebuilt, "1", outcome, codes)
}

fn verified(at_s: i64, outcome: &str, codes: &[&str]) -> Entry {
    entry(at_s, Kind::Verified, "1", outcome, codes)
}

#[test]
fn drift_its_causes_and_its_end() {
    let before = NIGHT - DAY_S;
    let good = [rebuilt(before, "reproduced", &[])];
    check(&good, &[rebuilt(NIGHT, "reproduced", &[])], &[]);
    check(&good, &[rebuilt(NIGHT, "explained", &["mtime"])], &[(Turn::Drift, &["mtime"])]);
    let drifts = [rebuilt(before, "explained", &["mtime"])];
    check(&drifts, &[rebuilt(NIGHT, "explained", &["mtime"])], &[]);
    check(&drifts, &[rebuilt(NIGHT, "explained", &[])], &[]);
    check(
        &drifts,
        &[rebuilt(NIGHT, "unexplained", &["mtime", "unexplained"])],
        &[(Turn::NewCause, &["unexplained"])],
    );
    check(&drifts, &[rebuilt(NIGHT, "reproduced", &[])], &[(Turn::Cured, &[])]);
    check(&drifts, &[rebuilt(NIGHT, "unbuildable", &[])], &[(Turn::CannotTell, &[])]);
    check(&good, &[rebuilt(NIGHT, "inputs-missing", &[])], &[(Turn::EvidenceLost, &[])]);
    check(&[rebuilt(before, "unbuildable", &[])], &[rebuilt(NIGHT, "reproduced", &[])], &[(Turn::Back, &[])]);
}

#[test]
fn judgements_and_what_they_miss() {
    let before = NIGHT - DAY_S;
    let good = [verified(before, "passed", &[])];
    let bad = [verified(before, "failed", &["stale"])];
    check(&good, &[verified(NIGHT, "failed", &["stale"])], &[(Turn::Failed, &["stale"])]);
    check(&good, &[verified(NIGHT, "failed", &["log-gone"])], &[(Turn::EvidenceLost, &["log-gone"])]);
    check(
        &good,
        &[verified(NIGHT, "failed", &["log-gone", "stale"])],
        &[(Turn::EvidenceLost, &["log-gone"]), (Turn::Failed, &["stale"])],
    );
    check(&bad, &[verified(NIGHT, "failed", &["stale"])], &[]);
    check(&bad, &[verified(NIGHT, "failed", &["stale", "level-low"])], &[(Turn::NewFinding, &["level-low"])]);
    check(&bad, &[verified(NIGHT, "passed", &[])], &[(Turn::Passed, &[])]);
    check(&good, &[verified(NIGHT, "unknown", &[])], &[(Turn::CannotTell, &[])]);
    // Who verifies and who rebuilds find the same thing.
    let both = [verified(before, "passed", &[]), rebuilt(before, "reproduced", &[])];
    let lost = [verified(NIGHT, "failed", &["no-attestation"]), rebuilt(NIGHT, "unverifiable", &[])];
    check(&both, &lost, &[(Turn::EvidenceLost, &["no-attestation"])]);
    let half: Vec<_> = both.iter().chain(&lost[..1]).cloned().collect();
    check(&half, &lost[1..], &[]);
}

#[test]
fn images_come_go_and_move() {
    let before = NIGHT - DAY_S;
    let good = [verified(before, "passed", &[])];
    check(&[], &good, &[(Turn::NewImage, &[])]);
    let missed = |outcome: &str| Entry { digest: None, ..entry(NIGHT, Kind::Missed, "1", outcome, &[]) };
    check(&good, &[missed("gone")], &[(Turn::Gone, &[])]);
    check(&good, &[missed("unreachable")], &[(Turn::CannotTell, &[])]);
    check(&[good[0].clone(), missed("gone")], &[verified(NIGHT, "passed", &[])], &[(Turn::Back, &[])]);
    let moved = Entry { digest: Some(digest("other")), ..verified(NIGHT, "passed", &[]) };
    check(&good, &[moved], &[(Turn::TagMoved, &[])]);
    let refused =
        Entry { kind: Kind::Promoted, digest: Some(digest("other")), ..verified(NIGHT, "refused", &[]) };
    check(&good, &[refused], &[]);
    // What was only built is not audited.
    check(&[], &[entry(NIGHT, Kind::Built, "1", "built", &[])], &[]);
}

#[test]
fn time_alone_changes_things() {
    let old = NIGHT - 8 * DAY_S;
    check(&[verified(old, "passed", &[])], &[], &[(Turn::Overdue, &[])]);
    check(&[verified(old - DAY_S, "passed", &[])], &[], &[]); // It was overdue before.
    check(&[verified(old, "passed", &[])], &[verified(NIGHT, "passed", &[])], &[]);
    let waived = |at_s, until: &str| {
        let waiver = Waived { code: "log-missing".into(), owner: "base-team".into(), until: until.into() };
        Entry { waived: vec![waiver], ..verified(at_s, "passed", &[]) }
    };
    let last = NIGHT - DAY_S;
    check(&[waived(last, "2026-12-30")], &[waived(NIGHT, "2026-12-30")], &[]);
    // Its 30 days begin in this night.
    check(
        &[waived(last, "2026-12-30T03:10:00Z")],
        &[waived(NIGHT, "2026-12-30T03:10:00Z")],
        &[(Turn::WaiverEnding, &["log-missing"])],
    );
    check(
        &[waived(last, "2026-11-30T03:10:00Z")],
        &[waived(NIGHT, "2026-11-30T03:10:00Z")],
        &[(Turn::WaiverEnded, &["log-missing"])],
    );
    check(
        &[verified(last, "passed", &[])],
        &[waived(NIGHT, "2026-12-02")],
        &[(Turn::WaiverEnding, &["log-missing"])],
    );
}

#[test]
fn a_change_has_one_key_until_it_happens_again() {
    let key = |old: &[Entry], new: &[Entry]| {
        let all: Vec<Entry> = old.iter().chain(new).cloned().collect();
        let all = numbered(&all);
        let found = changes(&newest(&all[..old.len()]), &newest(&all), span(NIGHT - 3600), &Rules::default());
        assert_eq!(found.len(), 1);
        found[0].key
    };
    let good = rebuilt(NIGHT - 9 * DAY_S, "reproduced", &[]);
    let first = key(std::slice::from_ref(&good), &[rebuilt(NIGHT - DAY_S, "explained", &["mtime"])]);
    let found_later = key(std::slice::from_ref(&good), &[rebuilt(NIGHT, "explained", &["mtime"])]);
    assert_eq!(first, found_later, "the same change, told late");
    let cured = rebuilt(NIGHT - 2 * DAY_S, "reproduced", &[]);
    let again = key(&[cured], &[rebuilt(NIGHT, "explained", &["mtime"])]);
    assert_ne!(first, again, "the same image drifts again");
}

/// A ledger of everything, with names that want to be more.
fn everything() -> Report {
    let hostile = "x</script><img src=x onerror=alert(1)>\u{202e}";
    let before = NIGHT - DAY_S;
    let old = [
        entry(before, Kind::Rebuilt, "good", "reproduced", &[]),
        entry(before, Kind::Rebuilt, "drifts", "reproduced", &[]),
        entry(before, Kind::Verified, "lost", "passed", &[]),
        entry(NIGHT - 100 * DAY_S, Kind::Verified, "retired", "passed", &[]),
    ];
    let drifts = Entry {
        report: Some("javascript:alert(1)".into()),
        took_ms: Some(754_000),
        ..entry(NIGHT, Kind::Rebuilt, "drifts", "explained", &["clock-in-text", hostile])
    };
    let waiver = Waived { code: "log-missing".into(), owner: "a|b".into(), until: "2026-12-02".into() };
    let new = vec![
        entry(NIGHT, Kind::Rebuilt, "good", "reproduced", &[]),
        Entry { waived: vec![waiver], ..entry(NIGHT, Kind::Verified, "good", "passed", &[]) },
        drifts,
        entry(NIGHT, Kind::Verified, "lost", "failed", &["no-attestation"]),
        Entry {
            owner: None,
            group: None,
            error: Some(hostile.into()),
            ..entry(NIGHT, Kind::Missed, hostile, "unreachable", &[])
        },
    ];
    let all: Vec<Entry> = old.iter().chain(&new).cloned().collect();
    let all = numbered(&all);
    let night = whole::night_of(NIGHT);
    let tally = |night, kind, outcome: &str, images| Tally { night, kind, outcome: outcome.into(), images };
    let tallies = [
        tally(night - 2, Kind::Rebuilt, "reproduced", 2),
        tally(night, Kind::Rebuilt, "reproduced", 1),
        tally(night, Kind::Rebuilt, "explained", 1),
        tally(night, Kind::RebuiltLive, "explained", 3),
        tally(night, Kind::Verified, "failed", 1),
        tally(night - 300, Kind::Rebuilt, "reproduced", 1),
    ];
    report(&newest(&all[..old.len()]), &newest(&all), &tallies, span(NIGHT - 3600), &Rules::default())
}

#[test]
fn the_whole_counts() {
    let report = everything();
    let whole = &report.whole;
    assert_eq!((whole.images, whole.retired, whole.overdue), (4, 1, 0));
    assert_eq!(whole.standing, BTreeMap::from([("good", 1), ("unknown", 1), ("wrong", 2)]));
    assert_eq!(whole.causes[0], Count { code: "clock-in-text".into(), images: 1 });
    assert_eq!(whole.slowest[0].took_ms, Some(754_000));
    let owners: Vec<_> =
        whole.owners.iter().map(|share| (share.name.as_deref(), share.images, share.wrong)).collect();
    assert_eq!(owners, [(Some("base-team"), 3, 2), (None, 1, 0)]);
    assert_eq!(whole.waivers.len(), 1);
    let nights: Vec<_> = whole.trend.iter().map(|night| night.night.as_str()).collect();
    assert_eq!(nights, ["2026-11-28", "2026-11-29", "2026-11-30"], "a night without audit is one too");
    let last = whole.trend.last().unwrap();
    assert_eq!((last.rebuilt["explained"], last.live["explained"]), (1, 3));
    assert_eq!(report.worst(), Some(Standing::Wrong));
    let standing: Vec<_> = report.images.iter().map(|image| image.standing).collect();
    assert_eq!(standing, ["wrong", "wrong", "unknown", "good"]);
}

#[test]
fn no_form_lets_a_name_act() {
    let report = everything();
    for form in [
        NightForm::Text,
        NightForm::Json,
        NightForm::Markdown,
        NightForm::Junit,
        NightForm::Html,
        NightForm::Sarif,
    ] {
        let text = report.render(form);
        assert_eq!(text, everything().render(form), "{form:?}: the same bytes");
        assert!(form == NightForm::Json || !text.contains('\u{202e}'), "{form:?}");
        if !matches!(form, NightForm::Text | NightForm::Json | NightForm::Sarif | NightForm::Markdown) {
            assert!(!text.contains("<img"), "{form:?}: {text}");
        }
    }
    let page = report.render(NightForm::Html);
    assert!(!page.contains("<script") && !page.contains("href=\"javascript"), "{page}");
    assert!(page.contains("<svg") && page.contains("2026-11-28"), "{page}");
    let sarif: serde_json::Value = serde_json::from_str(&report.render(NightForm::Sarif)).unwrap();
    assert_eq!(crate::report::tests::schemas::sarif_violations(&sarif), [""; 0]);
    let json: serde_json::Value = serde_json::from_str(&report.render(NightForm::Json)).unwrap();
    assert_eq!(crate::report::tests::schemas::violations(&json), [""; 0]);
    for line in report.render(NightForm::Text).lines() {
        assert!(super::super::columns::columns(line) <= 80 || line.contains("\\u{202e}"), "{line}");
    }
}

#[test]
fn a_report_for_people() {
    let old = [rebuilt(NIGHT - DAY_S, "reproduced", &[])];
    let all = numbered(&[old[0].clone(), rebuilt(NIGHT, "explained", &["clock-in-text"])]);
    let text =
        report(&all[..1], &newest(&all), &[], span(NIGHT - 3600), &Rules::default()).render(NightForm::Text);
    insta::assert_snapshot!(text, @r"
    1 change since 2026-11-30T02:00:00Z
      drift
        registry.example.org/app:1
          drifts: it was reproduced, and is explained: clock-in-text
          owner     base-team
          group     base

    1 image, 1 wrong as of 2026-11-30T04:00:00Z
      rebuilds  explained 1
      causes    clock-in-text 1
      owners
        base-team: 1 image, 1 wrong
      groups
        base: 1 image, 1 wrong
      not judged for longest
        2026-11-30T03:00:00Z  registry.example.org/app:1
      slowest
        1 s  registry.example.org/app:1

    wrong  registry.example.org/app:1  explained: clock-in-text
    ");
}

#[test]
fn a_filter_leaves_the_rest_out() {
    let other =
        Entry { group: Some("other".into()), ..entry(NIGHT, Kind::Verified, "2", "failed", &["stale"]) };
    let all = numbered(&[verified(NIGHT, "passed", &[]), other]);
    let of = |rules: Rules| report(&[], &all, &[], span(NIGHT - 3600), &rules);
    let base = of(Rules { group: Some("base".into()), ..Rules::default() });
    assert_eq!((base.whole.images, base.worst(), base.changes.len()), (1, Some(Standing::Good), 1));
    assert_eq!(of(Rules { owner: Some("nobody".into()), ..Rules::default() }).worst(), None);
    assert_eq!(of(Rules::default()).worst(), Some(Standing::Wrong));
}

#[test]
fn what_is_accepted_is_good() {
    let all = numbered(&[rebuilt(NIGHT, "explained", &["mtime"])]);
    let of = |rules: Rules| report(&all, &all, &[], span(NIGHT - 3600), &rules).worst();
    assert_eq!(of(Rules::default()), Some(Standing::Wrong));
    let accept = [Verdict::Explained].into();
    assert_eq!(of(Rules { accept, ..Rules::default() }), Some(Standing::Good));
    let accept_of = [("base".to_owned(), [Verdict::Explained].into())].into();
    assert_eq!(of(Rules { accept_of, ..Rules::default() }), Some(Standing::Good));
}

#[test]
fn what_could_not_be_told_can_be_accepted_too() {
    for verdict in [Verdict::Unbuildable, Verdict::InputsMissing] {
        let all = numbered(&[rebuilt(NIGHT, verdict.name(), &[])]);
        let of = |rules: Rules| report(&all, &all, &[], span(NIGHT - 3600), &rules).worst();
        assert_eq!(of(Rules::default()), Some(Standing::Unknown));
        assert_eq!(of(Rules { accept: [verdict].into(), ..Rules::default() }), Some(Standing::Good));
    }
}

/// A rebuild of `app:1` from the repositories of the day.
fn live(at_s: i64, outcome: &str, codes: &[&str]) -> Entry {
    entry(at_s, Kind::RebuiltLive, "1", outcome, codes)
}

#[test]
fn both_rebuilds_are_told() {
    let before = NIGHT - DAY_S;
    let good = [live(before, "reproduced", &[]), rebuilt(before, "reproduced", &[])];
    let drifts = [live(NIGHT, "explained", &["input-changed"]), rebuilt(NIGHT, "reproduced", &[])];
    check(&good, &drifts, &[(Turn::Drift, &["input-changed"])]);
    check(&drifts, &[live(NIGHT, "reproduced", &[])], &[(Turn::Cured, &[])]);
    let all = numbered(&drifts);
    let report = report(&[], &all, &[], span(NIGHT - 3600), &Rules::default());
    let image = &report.images[0];
    assert_eq!((image.verdict.as_deref(), image.live.as_deref()), (Some("reproduced"), Some("explained")));
    assert_eq!((image.standing, image.said.as_str()), ("wrong", "explained"), "as the audit has it");
    let one = |code: &str| [Count { code: code.into(), images: 1 }];
    assert_eq!(report.whole.verdicts, one("reproduced"));
    assert_eq!(report.whole.live, one("explained"));
    assert_eq!(report.whole.causes, one("input-changed"));
    // The same from either is told for each.
    let both = [live(NIGHT, "explained", &["mtime"]), rebuilt(NIGHT, "explained", &["mtime"])];
    check(&good, &both, &[(Turn::Drift, &["mtime"]), (Turn::Drift, &["mtime"])]);
    let all = numbered(&[good, both].concat());
    let found = changes(&newest(&all[..2]), &newest(&all), span(NIGHT - 3600), &Rules::default());
    assert_ne!(found[0].key, found[1].key);
    assert!(found.iter().any(|change| change.message.starts_with("drifts with today's inputs: ")));
}

#[test]
fn a_live_rebuild_of_when_both_had_one_kind_is_none_of_what_was_recorded() {
    let under = |entry: Entry| Entry { conditions: Some(digest("live")), ..entry };
    let all = numbered(&[
        under(rebuilt(NIGHT - DAY_S, "explained", &["input-changed"])),
        under(live(NIGHT, "reproduced", &[])),
    ]);
    let report = report(&[], &newest(&all), &[], span(NIGHT - 3600), &Rules::default());
    assert_eq!((report.images[0].standing, &report.images[0].verdict), ("good", &None));
}

/// The `JUnit` of what is known of `app:1`: each test, and whether it is a failure, an error or skipped.
fn tested(known: &[Entry], rules: &Rules) -> Vec<(String, &'static str)> {
    let all = numbered(known);
    let xml = report(&[], &all, &[], span(NIGHT - 3600), rules).render(NightForm::Junit);
    let mut cases = Vec::new();
    for case in xml.split("<testcase ").skip(1) {
        let name = case.split(" name=\"").nth(1).unwrap().split('"').next().unwrap();
        let outcome =
            ["failure", "error", "skipped"].into_iter().find(|kind| case.contains(&format!("<{kind}")));
        let name = name.strip_prefix("registry.example.org/app:1 ").unwrap();
        cases.push((name.to_owned(), outcome.unwrap_or("passed")));
    }
    cases
}

#[test]
fn in_junit_only_a_no_is_a_failure() {
    let check = |known: &[Entry], expected: &[(&str, &str)]| {
        let rules = Rules { accept: [Verdict::Explained].into(), ..Rules::default() };
        let found = tested(known, &rules);
        let found: Vec<_> = found.iter().map(|(name, outcome)| (name.as_str(), *outcome)).collect();
        assert_eq!(found, expected);
    };
    let moved =
        Entry { kind: Kind::Promoted, digest: Some(digest("other")), ..verified(NIGHT, "promoted", &[]) };
    check(&[verified(NIGHT, "passed", &[]), moved.clone()], &[("reached", "error")]);
    let gone = Entry { digest: None, ..entry(NIGHT, Kind::Missed, "1", "gone", &[]) };
    check(std::slice::from_ref(&gone), &[("reached", "failure")]);
    check(&[Entry { outcome: "unreachable".into(), ..gone }], &[("reached", "error")]);
    // What is accepted is so beside what nobody could tell, and beside what is wrong.
    let accepted = rebuilt(NIGHT, "explained", &["mtime"]);
    let unknown = [accepted.clone(), verified(NIGHT, "unknown", &[])];
    check(&unknown, &[("policy", "error"), ("rebuild", "skipped")]);
    let failed = [accepted, verified(NIGHT, "failed", &["stale"])];
    check(&failed, &[("policy", "failure"), ("rebuild", "skipped")]);
    check(&[rebuilt(NIGHT, "of a later release", &[])], &[("rebuild", "error")]);
    check(&[live(NIGHT, "unexplained", &[])], &[("live rebuild", "failure")]);
    let never =
        report(&[], &numbered(&[verified(NIGHT, "passed", &[]), moved]), &[], span(0), &Rules::default());
    assert_eq!((never.images[0].standing, never.images[0].said.as_str()), ("unknown", "never-judged"));
}

#[test]
fn in_sarif_what_is_good_and_overdue_is_overdue_alone() {
    let rules = Rules { overdue_s: Some(1), accept: [Verdict::Explained].into(), ..Rules::default() };
    let rules_of = |known: &[Entry]| -> Vec<String> {
        let sarif = report(&[], &numbered(known), &[], span(0), &rules).render(NightForm::Sarif);
        let sarif: serde_json::Value = serde_json::from_str(&sarif).unwrap();
        let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().clone();
        rules.iter().map(|rule| rule["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(rules_of(&[rebuilt(NIGHT, "reproduced", &[])]), ["overdue"]);
    assert_eq!(rules_of(&[rebuilt(NIGHT, "explained", &["mtime"])]), ["overdue"]);
    assert_eq!(rules_of(&[rebuilt(NIGHT, "unexplained", &["mtime"])]), ["mtime", "overdue"]);
    let gone = entry(NIGHT, Kind::Missed, "1", "gone", &[]);
    assert_eq!(rules_of(&[rebuilt(NIGHT, "explained", &["mtime"]), gone]), ["gone", "mtime", "overdue"]);
}

#[test]
fn a_letter_says_it_in_each_way() {
    let letter = Letter::new("team", "2026-11-29T03:00:00Z", "2026-11-30T03:00:00Z", everything().changes);
    assert!(letter.subject().starts_with("reprov: 1 evidence-lost, "), "{}", letter.subject());
    let slack = letter.slack()["text"].as_str().unwrap().to_owned();
    assert!(!slack.contains("<img") && slack.contains("&lt;img"), "{slack}");
    let webhook = letter.webhook();
    assert_eq!(crate::report::tests::schemas::violations(&webhook), [""; 0]);
    assert_eq!(webhook["delivery"], letter.key().to_string());
    let kept: Letter = serde_json::from_str(&serde_json::to_string(&letter).unwrap()).unwrap();
    assert_eq!((kept.key(), &kept), (letter.key(), &letter));
    let other = Letter { receiver: "other".into(), ..letter.clone() };
    assert_ne!(other.key(), letter.key());
}
