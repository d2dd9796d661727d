//! What stands beside the chain: newest entries, claims, messages, runs.

use reprov::{
    entry::{Entry, Kind},
    ledger::{Filter, IMAGES_AT_ONCE_MAX, Ledger, Per},
    model::Digest,
};

use super::{Somewhere, each, entry, wait};

async fn last(ledger: &Ledger, filter: &Filter, per: Per) -> Vec<u64> {
    let mut numbers = Vec::new();
    ledger.last(filter, per, |row| numbers.push(row.number)).await.unwrap();
    numbers
}

async fn numbers(ledger: &Ledger, filter: Filter) -> Vec<u64> {
    let mut numbers = Vec::new();
    ledger.rows(&filter, |row| numbers.push(row.number)).await.unwrap();
    numbers
}

#[test]
fn the_newest_of_each_image_and_of_each_tag() {
    each(async |ledger| {
        for entry in [
            entry(Kind::Verified, "passed", "1", "a", 10),   // 1
            entry(Kind::Rebuilt, "explained", "1", "a", 20), // 2
            entry(Kind::Verified, "failed", "1", "a", 30),   // 3
            entry(Kind::Verified, "passed", "1", "b", 40),   // 4: the tag moved
            entry(Kind::Verified, "passed", "2", "b", 50),   // 5
            entry(Kind::Verified, "passed", "", "a", 60),    // 6: by digest
            entry(Kind::Verified, "passed", "", "b", 70),    // 7
        ] {
            ledger.append(&entry).await.unwrap();
        }
        let all = Filter::default();
        assert_eq!(last(&ledger, &all, Per::Image).await, [2, 3, 4, 5, 6, 7]);
        assert_eq!(last(&ledger, &all, Per::Tag).await, [2, 4, 5, 6, 7]);
        let verified = Filter { kinds: vec![Kind::Verified], tag: Some("1".to_owned()), ..all.clone() };
        assert_eq!(last(&ledger, &verified, Per::Tag).await, [4]);
        let of = |filter: Filter| numbers(&ledger, filter);
        assert_eq!(of(Filter { image: Some(Digest::of(b"b")), ..all.clone() }).await, [4, 5, 7]);
        assert_eq!(of(Filter { since_s: Some(20), before_s: Some(50), ..all.clone() }).await, [2, 3, 4]);
        assert_eq!(of(Filter { after: 2, up_to: Some(4), ..all.clone() }).await, [3, 4]);
        assert_eq!(of(Filter { group: Some("db".to_owned()), ..all.clone() }).await, [0_u64; 0]);
        assert_eq!(of(Filter { kinds: vec![Kind::Rebuilt, Kind::Built], ..all }).await, [2]);
    });
}

/// Two inventories ask for the same images under conditions of their own.
#[test]
fn the_newest_under_each_condition() {
    each(async |ledger| {
        let under = |conditions: &[u8], kind, tag: &str, image: &str| Entry {
            conditions: Some(Digest::of(conditions)),
            ..entry(kind, "passed", tag, image, 0)
        };
        let nowhere = Entry { digest: None, ..entry(Kind::Missed, "gone", "9", "", 0) };
        for entry in [
            under(b"one", Kind::Verified, "1", "a"),    // 1
            under(b"two", Kind::Verified, "1", "a"),    // 2
            under(b"one", Kind::Verified, "1", "a"),    // 3
            under(b"one", Kind::RebuiltLive, "1", "a"), // 4
            under(b"one", Kind::Rebuilt, "1", "a"),     // 5
            under(b"one", Kind::Verified, "2", "b"),    // 6
            under(b"one", Kind::Tested, "2", "c"),      // 7
            nowhere,                                    // 8
        ] {
            ledger.append(&entry).await.unwrap();
        }
        let all = Filter::default();
        assert_eq!(last(&ledger, &all, Per::Image).await, [2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(last(&ledger, &all, Per::Tag).await, [3, 4, 5, 6, 7, 8]);
        let of = |images: &[&str]| Filter {
            images: images.iter().map(|image| Digest::of(image.as_bytes())).collect(),
            kinds: vec![Kind::Verified, Kind::RebuiltLive],
            ..Filter::default()
        };
        assert_eq!(last(&ledger, &of(&["a", "c"]), Per::Image).await, [2, 3, 4]);
        assert_eq!(numbers(&ledger, of(&["a", "b"])).await, [1, 2, 3, 4, 6]);
        assert_eq!(last(&ledger, &Filter { nowhere: true, ..all.clone() }, Per::Image).await, [8]);
        let newest = async |filter: Filter| ledger.newest(&filter).await.unwrap().map(|row| row.number);
        assert_eq!(newest(of(&["a"])).await, Some(4));
        assert_eq!(newest(Filter { tag: Some("1".to_owned()), ..all.clone() }).await, Some(5));
        assert_eq!(newest(Filter { tag: Some("3".to_owned()), ..all }).await, None);
        let many: Vec<_> = (0..IMAGES_AT_ONCE_MAX).map(|index| index.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).chain(["b"]).skip(1).collect();
        assert_eq!(last(&ledger, &of(&many), Per::Image).await, [6]);
        assert_eq!(ledger.check(None).await.unwrap().faults, []);
    });
}

#[test]
fn pages_are_read_to_the_end() {
    each(async |ledger| {
        for _ in 0..3 {
            super::filled(&ledger, 900).await;
        }
        assert_eq!(numbers(&ledger, Filter::default()).await, (1..=2700).collect::<Vec<_>>());
        assert_eq!(last(&ledger, &Filter::default(), Per::Image).await, (1801..=2700).collect::<Vec<_>>());
    });
}

#[test]
fn a_claim_is_one_holders_until_it_ends() {
    each(async |ledger| {
        let claim = ledger.claim("app:1", "here", 3600).await.unwrap().unwrap();
        assert_eq!(ledger.claim("app:1", "there", 3600).await.unwrap(), None);
        assert!(ledger.claim("app:2", "there", 3600).await.unwrap().is_some());
        let longer = ledger.renew(&claim, 7200).await.unwrap().unwrap();
        assert!(longer.until_s >= claim.until_s + 3600);
        ledger.release(&claim).await.unwrap();
        let theirs = ledger.claim("app:1", "there", 0).await.unwrap().unwrap();
        assert!(ledger.claim("app:1", "here", 60).await.unwrap().is_some(), "it ended at once");
        assert_eq!(ledger.renew(&theirs, 60).await.unwrap(), None);
        ledger.release(&theirs).await.unwrap();
        assert_eq!(ledger.claim("app:1", "there", 60).await.unwrap(), None, "only the holder gives it back");
        assert!(ledger.claim("", "here", 60).await.is_err());
    });
}

#[test]
fn of_many_who_claim_at_once_one_gets_it() {
    for somewhere in Somewhere::both() {
        wait(async {
            let mut claims = tokio::task::JoinSet::new();
            for holder in 0..8 {
                let place = somewhere.place.clone();
                claims.spawn(async move {
                    let ledger = Ledger::open(&place).await.unwrap();
                    let claim = ledger.claim("app:1", &format!("holder {holder}"), 60).await.unwrap();
                    ledger.close().await;
                    claim
                });
            }
            let given: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
            assert_eq!(given.len(), 1, "{given:?}");
        });
    }
}

#[test]
fn a_message_is_kept_until_it_is_delivered_and_never_kept_again() {
    each(async |ledger| {
        assert!(ledger.put("change 1 to web", "{\"x\":\"ü\"}", 100).await.unwrap());
        assert!(ledger.put("change 2 to web", "two", 50).await.unwrap());
        assert!(!ledger.put("change 1 to web", "another", 100).await.unwrap());
        let names = async |now_s| {
            let due = ledger.due("", now_s, 10).await.unwrap();
            due.into_iter().map(|message| message.name).collect::<Vec<_>>()
        };
        assert_eq!(names(99).await, ["change 2 to web"]);
        assert_eq!(names(100).await, ["change 2 to web", "change 1 to web"]);
        assert_eq!(ledger.due("", 100, 1).await.unwrap().len(), 1);
        ledger.undelivered("change 2 to web", 200, "500\0").await.unwrap();
        assert_eq!(names(150).await, ["change 1 to web"]);
        let message = ledger.due("", 200, 10).await.unwrap().remove(1);
        assert_eq!((message.tries, message.error.as_str(), message.body.as_str()), (1, "500 ", "two"));
        ledger.delivered("change 2 to web", 201).await.unwrap();
        ledger.undelivered("change 2 to web", 0, "late").await.unwrap();
        assert_eq!(names(1000).await, ["change 1 to web"]);
        assert!(!ledger.put("change 2 to web", "two", 0).await.unwrap(), "told once");
    });
}

#[test]
fn messages_are_those_of_one_prefix() {
    each(async |ledger| {
        for (name, at_s) in [("a_/1", 100), ("a_/2", 300), ("ab/1", 50), ("a_/3", 200)] {
            assert!(ledger.put(name, "x", at_s).await.unwrap());
        }
        let due = ledger.due("a_/", 250, 10).await.unwrap();
        assert_eq!(due.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a_/1", "a_/3"]);
        let undelivered = async |prefix| {
            let found = ledger.undelivered_of(prefix).await.unwrap();
            (found.waiting, found.due_s, found.claimed)
        };
        assert_eq!(undelivered("a_/").await, (3, Some(100), 0), "due or not");
        assert_eq!(undelivered("").await, (4, Some(50), 0));
        assert_eq!(undelivered("c").await, (0, None, 0));
        let claim = ledger.claim("a_/1", "here", 3600).await.unwrap().unwrap();
        assert_eq!(undelivered("a_/").await, (2, Some(200), 1), "somebody delivers it");
        ledger.release(&claim).await.unwrap();
        for name in ["a_/1", "a_/2", "a_/3"] {
            ledger.delivered(name, 400).await.unwrap();
        }
        assert_eq!(undelivered("a_/").await, (0, None, 0));
    });
}

#[test]
fn runs_know_what_came_before_them() {
    each(async |ledger| {
        let first = ledger.begin_run("night", 100).await.unwrap();
        super::filled(&ledger, 3).await;
        let first = ledger.end_run(&first, 200).await.unwrap();
        let killed = ledger.begin_run("night", 300).await.unwrap();
        let other = ledger.begin_run("other", 300).await.unwrap();
        assert_eq!((first.before, first.last, killed.before), (0, Some(3), 3));
        let runs = ledger.runs(Some("night"), 10).await.unwrap();
        assert_eq!(runs, [killed, first]);
        assert_eq!(ledger.runs(Some("night"), 1).await.unwrap().len(), 1);
        assert!(ledger.runs(None, 10).await.unwrap().contains(&other));
    });
}
