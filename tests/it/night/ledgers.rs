//! What reports ask of a ledger, of SQLite and of PostgreSQL.

use reprov::{
    entry::{Entry, Kind},
    ledger::{Ledger, LedgerError, Mark},
};

use super::{DAY_S, found, rebuilt};
use crate::ledger::each;

/// Noon of 2026-11-29: a night begins.
const NOON: i64 = 1_795_953_600;

async fn filled(ledger: &Ledger) {
    let at = |at_s: i64, entry: Entry| Entry { at_s, ..entry };
    let other_digest =
        Entry { digest: Some(reprov::model::Digest::of(b"moved")), ..rebuilt("1", "explained", &["mtime"]) };
    let untagged = Entry { tag: None, ..found("3", Kind::Verified, "passed", &[]) };
    let entries = [
        at(NOON - 1, rebuilt("1", "reproduced", &[])),
        at(NOON, rebuilt("1", "reproduced", &[])),
        at(NOON + 1, rebuilt("1", "reproduced", &[])),
        at(NOON + 2, found("1", Kind::Verified, "passed", &[])),
        at(NOON + 3, untagged.clone()),
        at(NOON + DAY_S, other_digest),
        at(NOON + DAY_S + 1, Entry { group: Some("other".into()), ..rebuilt("2", "reproduced", &[]) }),
        at(NOON + DAY_S + 2, untagged),
    ];
    for entry in &entries {
        ledger.append(entry).await.unwrap();
    }
}

#[test]
fn what_was_known_and_counted() {
    each(|ledger| async move {
        filled(&ledger).await;
        let numbers = async |number| -> Vec<u64> {
            ledger.as_of(number).await.unwrap().into_iter().map(|(number, _)| number).collect()
        };
        assert_eq!(numbers(8).await, [4, 6, 7, 8]);
        assert_eq!(numbers(100).await, [4, 6, 7, 8]);
        assert_eq!(numbers(6).await, [4, 5, 6], "the tag's newest, whatever it named");
        assert_eq!(numbers(4).await, [3, 4]);
        assert_eq!(numbers(0).await, [0; 0]);
        for (at_s, number) in [(0, 0), (NOON - 1, 1), (NOON + 10, 5), (NOON + 2 * DAY_S, 8)] {
            assert_eq!(ledger.number_at(at_s).await.unwrap(), number, "{at_s}");
        }
        let counted = ledger.counted(8, NOON + 2 * DAY_S, None, None).await.unwrap();
        let shown: Vec<_> = counted
            .iter()
            .map(|one| (one.night - counted[0].night, one.kind, one.outcome.as_str(), one.images))
            .collect();
        let expected = [
            (0, Kind::Rebuilt, "reproduced", 1),
            (1, Kind::Rebuilt, "reproduced", 1), // Twice in a night is one image.
            (1, Kind::Verified, "passed", 2),
            (2, Kind::Rebuilt, "explained", 1),
            (2, Kind::Rebuilt, "reproduced", 1),
            (2, Kind::Verified, "passed", 1),
        ];
        assert_eq!(shown, expected);
        let of = async |group, owner| ledger.counted(8, NOON + 2 * DAY_S, group, owner).await.unwrap().len();
        assert_eq!((of(Some("other"), None).await, of(Some("base"), Some("base-team")).await), (1, 5));
        assert_eq!(ledger.counted(4, NOON + 10, None, None).await.unwrap().len(), 3);
    });
}

#[test]
fn a_live_rebuild_is_known_beside_the_other() {
    each(|ledger| async move {
        let live = found("1", Kind::RebuiltLive, "explained", &["input-changed"]);
        for entry in [live, rebuilt("1", "reproduced", &[])] {
            ledger.append(&Entry { at_s: NOON, ..entry }).await.unwrap();
        }
        let known = ledger.as_of(2).await.unwrap();
        let known: Vec<_> = known.iter().map(|(_, entry)| (entry.kind, entry.outcome.as_str())).collect();
        assert_eq!(known, [(Kind::RebuiltLive, "explained"), (Kind::Rebuilt, "reproduced")]);
        let counted = ledger.counted(2, NOON, None, None).await.unwrap();
        let counted: Vec<_> = counted.iter().map(|one| (one.kind, one.outcome.as_str())).collect();
        assert_eq!(counted, [(Kind::Rebuilt, "reproduced"), (Kind::RebuiltLive, "explained")]);
    });
}

#[test]
fn a_name_is_told_once_by_whoever_is_first() {
    each(|ledger| async move {
        let names: Vec<String> = (0..50).map(|number| format!("told/{}", 50 - number)).collect();
        let letters = |fresh: &[usize]| -> Vec<(String, String)> {
            if fresh.is_empty() { Vec::new() } else { vec![("letter".to_owned(), format!("{fresh:?}"))] }
        };
        let mark = |number| Mark { number, at_s: NOON };
        assert_eq!(ledger.told_up_to("up-to").await.unwrap(), None);
        let at_once = [0; 8].map(|_| ledger.tell(&names[..40], letters, "up-to", mark(7)));
        let kept: usize = futures_util::future::try_join_all(at_once).await.unwrap().into_iter().sum();
        assert_eq!(kept, 1, "eight at once");
        assert_eq!(ledger.told_up_to("up-to").await.unwrap(), Some(mark(7)));
        let waiting = ledger.due("", NOON, 10).await.unwrap();
        assert_eq!((waiting.len(), waiting[0].body.matches(',').count()), (1, 39));
        assert!(ledger.waits("letter").await.unwrap());
        ledger.delivered("letter", NOON).await.unwrap();
        assert!(!ledger.waits("letter").await.unwrap());
        // Of names that were told and names that were not, the latter are told.
        let more = |fresh: &[usize]| vec![("more".to_owned(), format!("{fresh:?}"))];
        assert_eq!(ledger.tell(&names[38..42], more, "up-to", mark(9)).await.unwrap(), 1);
        assert_eq!(ledger.due("", NOON, 10).await.unwrap()[0].body, "[2, 3]");
        assert_eq!(ledger.told_up_to("up-to").await.unwrap(), Some(mark(9)));
    });
}

#[test]
fn a_mark_never_goes_back() {
    each(|ledger| async move {
        filled(&ledger).await; // Eight rows.
        let nothing = |_: &[usize]| Vec::new();
        for ((number, at_s), expected) in [
            ((5, NOON), (5, NOON)),
            ((4, NOON + 9), (5, NOON)),
            ((5, NOON + 1), (5, NOON + 1)),
            ((5, NOON), (5, NOON + 1)),
            ((8, NOON), (8, NOON)),
            ((7, NOON), (8, NOON)),
            // One that is beyond the last row was made by other entries.
            ((1_000_000, NOON), (1_000_000, NOON)),
            ((8, NOON), (8, NOON)),
        ] {
            ledger.tell(&[], nothing, "up-to", Mark { number, at_s }).await.unwrap();
            let mark = ledger.told_up_to("up-to").await.unwrap().unwrap();
            assert_eq!((mark.number, mark.at_s), expected, "after {number} at {at_s}");
        }
        // Who looked at less than somebody who told tells nothing: it may hold no longer.
        let letter = |_: &[usize]| vec![("letter".to_owned(), "{}".to_owned())];
        for (number, told) in [(7, 0), (8, 1)] {
            let mark = Mark { number, at_s: NOON };
            assert_eq!(ledger.tell(&["told/late".to_owned()], letter, "up-to", mark).await.unwrap(), told);
        }
    });
}

#[test]
fn a_message_that_is_too_large_is_refused_and_nothing_is_told() {
    each(|ledger| async move {
        let large = |_: &[usize]| vec![("letter".to_owned(), "x".repeat((4 << 20) + 1))];
        let mark = Mark { number: 1, at_s: NOON };
        let refused = ledger.tell(&["told/1".to_owned()], large, "up-to", mark).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Refused(_)), "{refused:?}");
        assert_eq!(ledger.told_up_to("up-to").await.unwrap(), None);
        let fits = |fresh: &[usize]| vec![("letter".to_owned(), format!("{fresh:?}"))];
        assert_eq!(ledger.tell(&["told/1".to_owned()], fits, "up-to", mark).await.unwrap(), 1);
        assert_eq!(ledger.due("", NOON, 10).await.unwrap()[0].body, "[0]");
    });
}
