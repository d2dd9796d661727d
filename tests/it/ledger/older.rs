//! Ledgers that earlier releases wrote.

use reprov::{
    entry::{Entry, Kind},
    ledger::{Filter, Ledger, Per},
    model::Digest,
};

use super::{Somewhere, entry, wait};

/// Makes a ledger what it was before there was a list of tags' newest entries.
const SCHEMA_2: &str = "DROP TABLE reprov_newest_tags; \
    ALTER TABLE reprov_newest_images RENAME TO reprov_latest; \
    CREATE INDEX reprov_entries_digest ON reprov_entries (digest); \
    DELETE FROM reprov_migrations WHERE version = 3";
/// Then: before entries' conditions stood beside them.
const SCHEMA_1: &str = "ALTER TABLE reprov_entries DROP COLUMN conditions; \
    DROP TABLE reprov_latest; \
    CREATE TABLE reprov_latest (repository TEXT NOT NULL, tag TEXT NOT NULL, image TEXT NOT NULL, kind TEXT NOT NULL, \
      number BIGINT NOT NULL, PRIMARY KEY (repository, tag, image, kind)); \
    CREATE INDEX reprov_latest_number ON reprov_latest (number); \
    INSERT INTO reprov_latest (repository, tag, image, kind, number) \
      SELECT repository, tag, image, kind, MAX(number) FROM reprov_entries GROUP BY repository, tag, image, kind; \
    DELETE FROM reprov_migrations WHERE version = 2";

fn under(conditions: &str, kind: Kind, at_s: i64) -> Entry {
    Entry { conditions: Some(Digest::of(conditions.as_bytes())), ..entry(kind, "reproduced", "1", "a", at_s) }
}

/// Entries whose words look like keys, and that no JSON of PostgreSQL's could hold.
fn entries() -> Vec<Entry> {
    let mut odd = under("odd", Kind::Rebuilt, 3);
    odd.error = Some("\"conditions\":\"sha256:x\" \0 ü".to_owned());
    let mut bare = entry(Kind::Missed, "gone", "1", "a", 4);
    bare.error.clone_from(&odd.error);
    bare.codes.insert("conditions".to_owned(), 1);
    vec![under("one", Kind::Rebuilt, 1), under("two", Kind::Rebuilt, 2), odd, bare]
}

#[test]
fn a_ledger_of_an_older_schema_is_brought_up_to_date_and_is_whole() {
    for (somewhere, older) in [SCHEMA_2, SCHEMA_1]
        .into_iter()
        .flat_map(|older| Somewhere::both().into_iter().map(move |at| (at, older)))
    {
        wait(async {
            let ledger = Ledger::open(&somewhere.place).await.unwrap();
            ledger.append_all(&entries()).await.unwrap();
            let head = ledger.head().await.unwrap();
            ledger.close().await;
            somewhere.meddle(SCHEMA_2).await;
            if older == SCHEMA_1 {
                somewhere.meddle(SCHEMA_1).await;
            }

            let ledger = Ledger::open_existing(&somewhere.place).await.unwrap();
            let checked = ledger.check(Some(head)).await.unwrap();
            assert_eq!((checked.rows, checked.faults), (4, vec![]));
            let (mut all, mut last) = (Vec::new(), Vec::new());
            ledger.rows(&Filter::default(), |row| all.push(row.entry)).await.unwrap();
            assert_eq!(all, entries());
            ledger.last(&Filter::default(), Per::Image, |row| last.push(row.number)).await.unwrap();
            assert_eq!(last, [1, 2, 3, 4], "of each condition");
            last.clear();
            ledger.last(&Filter::default(), Per::Tag, |row| last.push(row.number)).await.unwrap();
            assert_eq!(last, [3, 4], "of each kind");
            ledger.append(&under("one", Kind::RebuiltLive, 5)).await.unwrap();
            assert_eq!(ledger.check(Some(head)).await.unwrap().faults, []);
            ledger.close().await;
        });
    }
}

#[test]
fn what_was_changed_in_a_ledger_of_schema_1_is_found_afterwards() {
    for somewhere in Somewhere::both() {
        wait(async {
            let ledger = Ledger::open(&somewhere.place).await.unwrap();
            ledger.append_all(&entries()).await.unwrap();
            ledger.close().await;
            somewhere.meddle(SCHEMA_2).await;
            somewhere.meddle(SCHEMA_1).await;
            somewhere
                .meddle("UPDATE reprov_entries SET body = 'x \"conditions\":\"y' WHERE number = 2")
                .await;
            let ledger = Ledger::open_existing(&somewhere.place).await.unwrap();
            let faults = ledger.check(None).await.unwrap().faults;
            let codes: Vec<_> = faults.iter().map(|fault| (fault.code(), fault.number())).collect();
            assert_eq!(codes, [("row-changed", Some(2))]);
            ledger.close().await;
        });
    }
}
