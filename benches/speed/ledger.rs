//! A ledger of a million rows, in SQLite: what an entry costs, and how long `history` and `last` take. The peer reads every
//! row, as whoever had no index would.

use std::time::Instant;

use reprov::{
    entry::{Entry, Kind},
    job::{
        history::{Asked, history},
        night::{self, Moment},
    },
    ledger::{Filter, IMAGES_AT_ONCE_MAX, Ledger, Per, Place},
    model::Digest,
    report::night::Rules,
};

use crate::{
    run::timed,
    table::{Row, Target},
};

/// Images, each verified and rebuilt every night.
const IMAGES: u64 = 2000;
const NIGHTS: u64 = 250;

pub(crate) fn rows() -> Vec<Row> {
    eprintln!("ledger");
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let place = Place::File(dir.path().join("ledger.sqlite"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let ledger = runtime.block_on(Ledger::open(&place)).unwrap();
    let began = Instant::now();
    for night in 0..NIGHTS {
        let entries: Vec<_> = (0..IMAGES).flat_map(|image| nightly(image, night)).collect();
        for some in entries.chunks(1000) {
            runtime.block_on(ledger.append_all(some)).unwrap();
        }
    }
    eprintln!("ledger: {} rows in {:.0} s", IMAGES * NIGHTS * 2, began.elapsed().as_secs_f64());
    let entries: Vec<_> = (0..50).flat_map(|image| nightly(image, NIGHTS)).collect();
    let one_by_one = timed(|| {
        for entry in &entries {
            runtime.block_on(ledger.append(entry)).unwrap();
        }
    });
    let all = timed(|| {
        let mut count = 0;
        runtime.block_on(ledger.rows(&Filter::default(), |_| count += 1)).unwrap();
        assert!(count >= IMAGES * NIGHTS * 2);
    });
    let asked = Asked { repository: repository(7), tag: Some("1".to_owned()), ..Asked::default() };
    let life = timed(|| assert!(runtime.block_on(history(&ledger, &asked)).unwrap().len() >= 500));
    let newest = timed(|| {
        let mut count = 0;
        runtime.block_on(ledger.last(&Filter::default(), Per::Tag, |_| count += 1)).unwrap();
        assert_eq!(count, IMAGES * 2);
    });
    let report = timed(|| runtime.block_on(last_night(&ledger)));
    let due = timed(|| runtime.block_on(what_is_due(&ledger)));
    let checked = timed(|| assert_eq!(runtime.block_on(ledger.check(None)).unwrap().faults, []));
    runtime.block_on(ledger.close());
    let peer = format!("{all:.1} s");
    let row = |what, seconds: f64| Row {
        what,
        ours: format!("{:.0} ms", seconds * 1000.0),
        peer: peer.clone(),
        figure: seconds,
        unit: " s",
        target: Target::AtMost(1.0),
    };
    let each_ms = one_by_one * 1000.0 / f64::from(u32::try_from(entries.len()).unwrap());
    vec![
        row("history of a tag with 500 rows in a million; peer: reads all rows", life),
        row("the newest of 4,000 in a million rows; peer: reads all rows", newest),
        row("the report of the last night, in a million rows; peer: reads all rows", report),
        row("by what 2,000 images are due, in a million rows; peer: reads all rows", due),
        Row {
            what: "adding one entry to a million; peer: none",
            ours: format!("{each_ms:.2} ms"),
            peer: "-".to_owned(),
            figure: each_ms,
            unit: " ms",
            target: Target::AtMost(20.0),
        },
        Row {
            what: "checking a million rows; peer: reads all rows",
            ours: format!("{checked:.1} s"),
            peer,
            figure: checked / all,
            unit: "×",
            target: Target::AtMost(2.0),
        },
    ]
}

/// Makes the report of what changed in the last night.
async fn last_night(ledger: &Ledger) {
    let moment = |night: u64| {
        let at_s = (1_800_000_000 + night * 86_400).cast_signed();
        async move { Moment { number: ledger.number_at(at_s).await.unwrap(), at_s } }
    };
    let (since, until) = (moment(NIGHTS - 1).await, moment(NIGHTS).await);
    let report = night::gather(ledger, since, until, &Rules::default()).await.unwrap();
    assert_eq!(report.images.len() as u64, IMAGES);
}

/// Reads what an audit of all images goes by.
async fn what_is_due(ledger: &Ledger) {
    let digests: Vec<_> = (0..IMAGES).map(|image| nightly(image, NIGHTS - 1)[0].digest.unwrap()).collect();
    let mut count = 0;
    for images in digests.chunks(IMAGES_AT_ONCE_MAX) {
        let filter = Filter { images: images.to_vec(), ..Filter::default() };
        ledger.last(&filter, Per::Image, |_| count += 1).await.unwrap();
    }
    assert_eq!(count, IMAGES * 2);
}

fn repository(image: u64) -> String {
    format!("registry.example.org/team-{}/app-{image}", image % 20)
}

/// What one night does to an image whose tag moves every week.
fn nightly(image: u64, night: u64) -> [Entry; 2] {
    let digest = Digest::of(format!("{image} {}", night / 7).as_bytes());
    let entry = |kind: Kind, outcome: &str, seconds: u64| Entry {
        at_s: (1_800_000_000 + night * 86_400 + image * 10 + seconds).cast_signed(),
        kind,
        repository: repository(image),
        tag: Some("1".to_owned()),
        digest: Some(digest),
        outcome: outcome.to_owned(),
        evidence: Some(Digest::of(format!("{image} {night} {outcome}").as_bytes())),
        by: "https://ci.example.org/reprov@v1".to_owned(),
        tool: "reprov 0.1.0".to_owned(),
        signer: Some(digest.hex()),
        policy: Some(Digest::of(b"policy")),
        conditions: Some(Digest::of(b"conditions")),
        group: Some("web".to_owned()),
        owner: Some("web@example.org".to_owned()),
        codes: std::collections::BTreeMap::new(),
        waived: Vec::new(),
        from: None,
        before: None,
        took_ms: Some(1234),
        report: None,
        error: None,
    };
    [entry(Kind::Verified, "passed", 0), entry(Kind::Rebuilt, "reproduced", 5)]
}
