use std::io::{Cursor, Read};

use super::*;

const GROWN: &[u8] = include_bytes!("../../../fixtures/sqlite/grown.sqlite");
const GROWN_LOG: &[u8] = include_bytes!("../../../fixtures/sqlite/grown.sqlite-wal");
const GROWN_REST: &[u8] = include_bytes!("../../../fixtures/sqlite/grown-rest.sqlite");
const SHRUNK: &[u8] = include_bytes!("../../../fixtures/sqlite/shrunk.sqlite");
const SHRUNK_LOG: &[u8] = include_bytes!("../../../fixtures/sqlite/shrunk.sqlite-wal");
const SHRUNK_REST: &[u8] = include_bytes!("../../../fixtures/sqlite/shrunk-rest.sqlite");
const PAGE: usize = 512;
const FRAME: usize = 24 + PAGE;

/// What a database is at rest, behind some bytes of something else; nothing if it is left alone.
fn at_rest(database: &[u8], log: &[u8]) -> Option<Vec<u8>> {
    const BEFORE: u64 = 7;
    let mut open = || Ok(Box::new(Cursor::new(log.to_vec())) as Box<dyn Read>);
    let mut out = Cursor::new(vec![0xee; 100_000]);
    let rest = rest(database, &mut open, &mut out, BEFORE).unwrap()?;
    let from = usize::try_from(BEFORE).unwrap();
    Some(out.into_inner()[from..from + usize::try_from(rest.size_bytes).unwrap()].to_vec())
}

/// `bytes` with one of them changed.
fn spoiled(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn a_log_is_moved_as_sqlite_moves_it() {
    assert_eq!(at_rest(GROWN, GROWN_LOG).unwrap(), GROWN_REST);
    assert_eq!(at_rest(SHRUNK, SHRUNK_LOG).unwrap(), SHRUNK_REST);
    assert!(GROWN_REST.len() > GROWN.len() && SHRUNK_REST.len() < SHRUNK.len());
    // Again: nothing changes any more.
    assert_eq!(at_rest(GROWN_REST, GROWN_LOG).unwrap(), GROWN_REST);
    assert_eq!(at_rest(GROWN, b"").unwrap(), GROWN);
}

#[test]
fn what_was_not_committed_does_not_count() {
    let left_over = [GROWN_LOG, &GROWN_LOG[32..]].concat();
    assert_eq!(at_rest(GROWN, &left_over).unwrap(), GROWN_REST, "frames of an older log behind it");
    let last = GROWN_LOG.len() - FRAME;
    let cut = at_rest(GROWN, &GROWN_LOG[..last + 100]).unwrap();
    assert!(cut.len() < GROWN_REST.len(), "the last transaction is not whole");
    assert_eq!(at_rest(GROWN, &spoiled(GROWN_LOG, last + 24)).unwrap(), cut, "its checksum is wrong");
    assert_eq!(at_rest(GROWN, &spoiled(GROWN_LOG, last + 9)).unwrap(), cut, "its salt is another log's");
    assert_eq!(at_rest(GROWN, &spoiled(GROWN_LOG, 32 + 24)).unwrap(), GROWN, "no frame counts");
    assert_eq!(at_rest(GROWN, &GROWN_LOG[..32]).unwrap(), GROWN);
}

#[test]
fn in_doubt_nothing_is_done() {
    for at in [0, 5, 10, 17, 25] {
        assert_eq!(at_rest(GROWN, &spoiled(GROWN_LOG, at)), None, "byte {at} of the log's header");
    }
    assert_eq!(at_rest(GROWN, &GROWN_LOG[..31]), None);
    assert_eq!(at_rest(&spoiled(GROWN, 3), GROWN_LOG), None, "no database");
    assert_eq!(at_rest(&spoiled(GROWN, 17), GROWN_LOG), None, "of other pages");
    assert_eq!(at_rest(&spoiled(GROWN, 18), GROWN_LOG), None, "one that has no log");
    assert_eq!(at_rest(&GROWN[..GROWN.len() - 1], GROWN_LOG), None, "cut off");
    assert_eq!(at_rest(&GROWN[..50], GROWN_LOG), None);
    assert_eq!(at_rest(b"", GROWN_LOG), None);
    assert_eq!(at_rest(GROWN, &sums_of(&with_size(GROWN_LOG, 1000))), None, "pages that nobody has");
}

/// The log with another size of the database in its last frame.
fn with_size(log: &[u8], pages: u32) -> Vec<u8> {
    let mut log = log.to_vec();
    let at = log.len() - FRAME + 4;
    log[at..at + 4].copy_from_slice(&pages.to_be_bytes());
    log
}

/// The log with checksums of big-endian words.
fn sums_of(log: &[u8]) -> Vec<u8> {
    let mut log = log.to_vec();
    log[3] |= 1;
    let add = |(mut one, mut two): (u32, u32), bytes: &[u8]| {
        for pair in bytes.chunks(8) {
            let word = |at: usize| u32::from_be_bytes(pair[at..at + 4].try_into().unwrap());
            one = one.wrapping_add(word(0)).wrapping_add(two);
            two = two.wrapping_add(word(4)).wrapping_add(one);
        }
        (one, two)
    };
    let put = |bytes: &mut [u8], (one, two): (u32, u32)| {
        bytes.copy_from_slice(&[one.to_be_bytes(), two.to_be_bytes()].concat());
    };
    let mut sums = add((0, 0), &log[..24]);
    put(&mut log[24..32], sums);
    for frame in log[32..].chunks_mut(FRAME) {
        sums = add(add(sums, &frame[..8]), &frame[24..]);
        put(&mut frame[16..24], sums);
    }
    log
}

#[test]
fn checksums_of_big_endian_machines() {
    assert_eq!(at_rest(GROWN, &sums_of(GROWN_LOG)).unwrap(), GROWN_REST);
}

const TIMES: Times = Times {
    table: "trans",
    made_by: "CREATE TABLE trans ( id INTEGER PRIMARY KEY AUTOINCREMENT, dt_begin INTEGER NOT NULL, dt_end INTEGER, ",
    columns: &[1, 2],
};

fn clamped(database: &[u8], times: &Times, epoch_s: i64) -> (Option<usize>, Vec<u8>) {
    let mut file = Cursor::new([b"before", database].concat());
    let count = clamp(&mut file, (6, database.len() as u64), times, epoch_s).unwrap();
    (count, file.into_inner()[6..].to_vec())
}

#[test]
fn times_are_clamped() {
    let (count, clamped_once) = clamped(GROWN_REST, &TIMES, 1_795_952_010);
    // 50 begin after the 10th second, all that end but the first, which has no end.
    assert_eq!(count, Some(50 + 59));
    assert_eq!(clamped_once.len(), GROWN_REST.len());
    assert_eq!(clamped(&clamped_once, &TIMES, 1_795_952_010), (Some(0), clamped_once));
    assert_eq!(clamped(GROWN_REST, &TIMES, i64::from(u32::MAX)), (Some(0), GROWN_REST.to_vec()));
}

#[test]
fn other_tables_stay() {
    let untouched = (None, GROWN_REST.to_vec());
    let other = |times: Times| assert_eq!(clamped(GROWN_REST, &times, 0), untouched);
    other(Times { table: "none", ..TIMES });
    other(Times { made_by: "CREATE TABLE trans ( id TEXT", ..TIMES });
    other(Times { columns: &[1, 3], ..TIMES }); // A text.
    other(Times { columns: &[1, 9], ..TIMES }); // No such column.
    assert_eq!(clamped(&GROWN_REST[..PAGE], &TIMES, 0), (None, GROWN_REST[..PAGE].to_vec()));
    assert_eq!(clamped(b"", &TIMES, 0).0, None);
    assert_eq!(clamped(GROWN_REST, &TIMES, i64::from(i32::MAX)).0, Some(1));
    assert_eq!(clamped(GROWN_REST, &TIMES, -1), untouched); // Has no room as what it is.
}

proptest::proptest! {
    /// Whatever is in the files, nothing panics and nothing loops.
    #[test]
    fn spoiled_files(at in 0..GROWN_REST.len(), in_log in 0..GROWN_LOG.len(), value: u8) {
        let (mut database, mut log) = (GROWN_REST.to_vec(), GROWN_LOG.to_vec());
        (database[at], log[in_log]) = (value, value);
        clamped(&database, &TIMES, 5);
        at_rest(&database, &log);
    }
}
