//! Rows follow each other; what was done to them is found.

use std::collections::BTreeSet;

use reprov::{
    entry::{Kind, Row, chain::Fault},
    ledger::{Checked, Filter, Ledger},
    model::Digest,
};

use super::{Somewhere, each, entry, filled, wait};

async fn rows(ledger: &Ledger) -> Vec<Row> {
    let mut rows = Vec::new();
    ledger.rows(&Filter::default(), |row| rows.push(row)).await.unwrap();
    rows
}

#[test]
fn six_writers_at_once_make_one_chain() {
    for somewhere in Somewhere::both() {
        wait(async {
            let mut writers = tokio::task::JoinSet::new();
            for writer in 0..6_i64 {
                let place = somewhere.place.clone();
                writers.spawn(async move {
                    // Each opens it by itself, as a process would; the first makes it.
                    let ledger = Ledger::open(&place).await.unwrap();
                    let mut numbers = Vec::new();
                    for turn in 0..25 {
                        let entry = entry(Kind::Verified, "passed", "1", "image", writer * 100 + turn);
                        numbers.push(ledger.append(&entry).await.unwrap().number);
                    }
                    ledger.close().await;
                    numbers
                });
            }
            let numbers: Vec<u64> = writers.join_all().await.concat();
            assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), (1..=150).collect());
            let ledger = Ledger::open_existing(&somewhere.place).await.unwrap();
            let checked = ledger.check(None).await.unwrap();
            assert_eq!((checked.rows, checked.faults), (150, vec![]));
            let told: BTreeSet<i64> = rows(&ledger).await.iter().map(|row| row.entry.at_s).collect();
            assert_eq!(told.len(), 150, "nothing twice");
            ledger.close().await;
        });
    }
}

#[test]
fn a_row_is_what_was_written_and_names_the_one_before() {
    each(async |ledger| {
        assert_eq!(ledger.head().await.unwrap(), (0, Digest::of(b"")));
        let mut first = entry(Kind::Promoted, "promoted", "ü\u{7}1", "a", i64::MAX);
        first.codes.insert("x".to_owned(), u64::MAX);
        first.error = Some("quote \" back \\ line \n".to_owned());
        let one = ledger.append(&first).await.unwrap();
        let two = ledger.append(&entry(Kind::Missed, "gone", "", "b", -1)).await.unwrap();
        assert_eq!((one.number, one.previous), (1, Digest::of(b"")));
        assert_eq!((two.number, two.previous), (2, one.digest));
        assert_eq!(rows(&ledger).await, [one, two.clone()]);
        assert_eq!(ledger.head().await.unwrap(), (2, two.digest));
        assert_eq!(Row::digest_of(1, &Digest::of(b""), &first.to_bytes()), rows(&ledger).await[0].digest);
    });
}

#[test]
fn what_was_written_under_a_name_is_written_once() {
    each(async |ledger| {
        let written = entry(Kind::Verified, "passed", "1", "a", 1);
        let one = ledger.append_once("run 7, image a", &written).await.unwrap();
        assert_eq!(ledger.append_once("run 7, image a", &written).await.unwrap(), one);
        assert_eq!(ledger.append_once("run 7, image b", &written).await.unwrap().number, 2);
    });
}

/// What a check finds after `sql`, in ledgers of ten rows; with the head that was noted before.
#[track_caller]
fn found(sql: &'static str, expected: &[&str]) {
    for somewhere in Somewhere::both() {
        wait(async {
            let ledger = Ledger::open(&somewhere.place).await.unwrap();
            filled(&ledger, 10).await;
            let head = ledger.head().await.unwrap();
            assert_eq!(ledger.check(Some(head)).await.unwrap().faults, []);
            somewhere.meddle(sql).await;
            let checked = ledger.check(Some(head)).await.unwrap();
            assert_eq!(words(&checked), expected, "{sql}: {:?}", checked.faults);
            assert_eq!(checked.faults_count, checked.faults.len() as u64);
            ledger.close().await;
        });
    }
}

fn words(checked: &Checked) -> Vec<String> {
    let word = |fault: &Fault| match fault.number() {
        Some(number) => format!("{} {number}", fault.code()),
        None => fault.code().to_owned(),
    };
    checked.faults.iter().map(word).collect()
}

#[test]
fn a_changed_row_is_found() {
    found(
        "UPDATE reprov_entries SET body = replace(body, 'reproduced', 'explained') WHERE number = 4",
        &["row-changed 4", "column-changed 4"],
    );
    found(
        "UPDATE reprov_entries SET body = replace(body, 'reproduced', 'explained'), outcome = 'explained' WHERE number = 4",
        &["row-changed 4"],
    );
    found(
        "UPDATE reprov_entries SET body = 'x' WHERE number = 10",
        &["row-changed 10", "ledger-rewritten 10"],
    );
    found(
        "UPDATE reprov_entries SET previous = digest WHERE number = 4",
        &["row-changed 4", "row-reordered 4"],
    );
    found("UPDATE reprov_entries SET digest = 'x' WHERE number = 4", &["row-changed 4"]);
}

#[test]
fn a_missing_row_is_found() {
    found("DELETE FROM reprov_entries WHERE number = 1", &["row-missing 1", "column-changed"]);
    found("DELETE FROM reprov_entries WHERE number IN (4, 5, 6)", &["row-missing 4", "column-changed"]);
    found("DELETE FROM reprov_entries WHERE number > 8", &["ledger-truncated 10", "column-changed"]);
    found(
        "DELETE FROM reprov_entries; DELETE FROM reprov_newest_images; DELETE FROM reprov_newest_tags",
        &["ledger-truncated 10"],
    );
}

#[test]
fn a_moved_row_is_found() {
    found(
        "UPDATE reprov_entries SET number = 100 WHERE number = 4; \
         UPDATE reprov_entries SET number = 4 WHERE number = 7; \
         UPDATE reprov_entries SET number = 7 WHERE number = 100",
        &[
            "row-changed 4",
            "row-reordered 4",
            "row-reordered 5",
            "row-changed 7",
            "row-reordered 7",
            "row-reordered 8",
            "column-changed",
        ],
    );
}

#[test]
fn a_changed_column_is_found() {
    found("UPDATE reprov_entries SET outcome = 'explained' WHERE number = 4", &["column-changed 4"]);
    found("UPDATE reprov_entries SET at_s = 5 WHERE number = 4", &["column-changed 4"]);
    found(
        "UPDATE reprov_entries SET conditions = 'x' WHERE number = 4",
        &["column-changed 4", "column-changed"],
    );
    found("DELETE FROM reprov_newest_images WHERE number = 4", &["column-changed"]);
    found("UPDATE reprov_newest_images SET number = 3 WHERE number = 4", &["column-changed"]);
    found("DELETE FROM reprov_newest_tags", &["column-changed"]);
    found("UPDATE reprov_newest_tags SET number = 3", &["column-changed"]);
    found("UPDATE reprov_newest_tags SET image = 'x'", &["column-changed"]);
}

#[test]
fn rows_that_are_not_as_they_were_written_are_not_believed() {
    for somewhere in Somewhere::both() {
        wait(async {
            let ledger = Ledger::open(&somewhere.place).await.unwrap();
            filled(&ledger, 3).await;
            somewhere
                .meddle("UPDATE reprov_entries SET body = replace(body, 'reprod', 'unprod') WHERE number = 2")
                .await;
            let error = ledger.rows(&Filter::default(), drop).await.unwrap_err();
            assert!(error.to_string().starts_with("row 2 of the ledger is not as it was written"), "{error}");
            ledger.close().await;
        });
    }
}

#[test]
fn a_chain_that_was_written_anew_is_whole_and_yet_another() {
    wait(async {
        for somewhere in Somewhere::both() {
            let ledger = Ledger::open(&somewhere.place).await.unwrap();
            filled(&ledger, 5).await;
            let noted = ledger.head().await.unwrap();
            somewhere
                .meddle("DELETE FROM reprov_entries; DELETE FROM reprov_newest_images; DELETE FROM reprov_newest_tags")
                .await;
            let other = entry(Kind::Rebuilt, "reproduced", "1", "another", 0);
            ledger.append_all(&vec![other; 5]).await.unwrap();
            assert_eq!(ledger.check(None).await.unwrap().faults, []);
            assert_eq!(words(&ledger.check(Some(noted)).await.unwrap()), ["ledger-rewritten 5"]);
            ledger.close().await;
        }
    });
}
