//! Killed, restarted, locked, full, damaged, of another release.

use std::{
    fs,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use reprov::{
    entry::{Entry, Kind},
    ledger::{Filter, Ledger, LedgerError, Place},
};

use super::{Somewhere, entry, filled, wait, written};
use crate::support::{Postgres, must, root};

/// Where the child of a test writes.
const PLACE: &str = "REPROV_TEST_LEDGER";

/// Adds entries until it is killed, and says each number once it was answered.
#[test]
#[ignore = "a child of other tests"]
fn a_writer() {
    let Ok(place) = std::env::var(PLACE) else { return };
    wait(async {
        let ledger = Ledger::open(&place.parse().unwrap()).await.unwrap();
        for at_s in 0.. {
            let row = ledger.append(&entry(Kind::Verified, "passed", "1", "image", at_s)).await.unwrap();
            println!("\nnumber {} {at_s}", row.number);
        }
    });
}

fn writer(place: &Place) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "ledger::edges::a_writer", "--ignored", "--nocapture"]);
    command.env(PLACE, written(place)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Reads numbers until `count` were answered.
fn answered(lines: &mut impl Iterator<Item = String>, count: usize) -> Vec<u64> {
    let numbers = lines.filter_map(|line| line.strip_prefix("number ")?.split(' ').next()?.parse().ok());
    numbers.take(count).collect()
}

#[test]
fn a_kill_in_the_middle_leaves_the_chain_whole_and_loses_nothing_that_was_answered() {
    for somewhere in Somewhere::both() {
        let mut answered_so_far = 0;
        for moment in 0..20_u64 {
            let mut child = writer(&somewhere.place);
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            let numbers = answered(&mut lines, 2);
            thread::sleep(Duration::from_millis(moment % 7));
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
            let more = answered(&mut lines, usize::MAX); // What was answered before.
            let last = *more.last().or(numbers.last()).unwrap();
            wait(async {
                let ledger = Ledger::open_existing(&somewhere.place).await.unwrap();
                let checked = ledger.check(None).await.unwrap();
                assert_eq!(checked.faults, []);
                assert!(checked.rows >= last && last > answered_so_far, "{checked:?} {last}");
                assert!(
                    checked.rows <= last + 1,
                    "only the one under way may be there unanswered: {checked:?}"
                );
                answered_so_far = checked.rows;
                ledger.close().await;
            });
        }
    }
}

fn many(count: i64) -> Vec<Entry> {
    (0..count).map(|at_s| entry(Kind::Verified, "passed", "1", &format!("image {at_s}"), at_s)).collect()
}

/// Makes a ledger of many entries at once.
#[test]
#[ignore = "a child of other tests"]
fn a_maker() {
    let Ok(place) = std::env::var(PLACE) else { return };
    wait(async { Ledger::make(&place.parse().unwrap(), &many(1000)).await }).unwrap();
}

#[test]
fn one_that_is_made_at_once_is_whole_or_not_there_wherever_it_is_killed() {
    for somewhere in Somewhere::both() {
        let mut killed = 0;
        for moment in 1..100_u64 {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "ledger::edges::a_maker", "--ignored"]).env(PLACE, somewhere.written());
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_millis(moment * 40));
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
            let rows = wait(async {
                let ledger = match Ledger::open_existing(&somewhere.place).await {
                    Err(LedgerError::Absent(_)) => return 0,
                    opened => opened.unwrap(),
                };
                let checked = ledger.check(None).await.unwrap();
                assert_eq!(checked.faults, []);
                ledger.close().await;
                checked.rows
            });
            if rows == 1000 {
                break;
            }
            assert_eq!(rows, 0, "a part of it, after {} ms", moment * 40);
            killed += 1;
        }
        assert!(killed > 0 && killed < 99, "{killed}");
        let error = wait(Ledger::make(&somewhere.place, &many(1))).unwrap_err();
        assert!(error.to_string().contains("somebody else wrote to it"), "{error}");
    }
}

#[test]
fn what_is_left_of_a_ledger_that_is_gone_is_not_taken_for_the_new_ones() {
    let somewhere = Somewhere::sqlite();
    let Place::File(path) = &somewhere.place else { unreachable!() };
    fs::write(path.with_extension("sqlite-wal"), b"of the old one").unwrap();
    let error = wait(Ledger::make(&somewhere.place, &many(1))).unwrap_err();
    assert!(matches!(error, LedgerError::Refused(_)) && !path.exists(), "{error:?}");
}

#[test]
fn a_server_that_restarts_loses_nothing_and_nothing_is_written_twice() {
    let server = Postgres::start();
    let somewhere = Somewhere::postgres(&server);
    let mut child = writer(&somewhere.place);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut numbers = answered(&mut lines, 5);
    for _ in 0..5 {
        server.restart();
        numbers.extend(answered(&mut lines, 20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    numbers.extend(answered(&mut lines, usize::MAX));
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "one row for each entry");
    wait(async {
        let ledger = Ledger::open(&somewhere.place).await.unwrap();
        assert_eq!(ledger.check(None).await.unwrap().faults, []);
        let mut written = Vec::new();
        ledger.rows(&Filter::default(), |row| written.push(row.entry.at_s)).await.unwrap();
        let expected: Vec<_> = (0_i64..).take(written.len()).collect();
        assert_eq!(written, expected, "each entry once, in order");
        ledger.close().await;
    });
}

#[test]
fn a_server_that_is_not_there_is_said_without_the_password() {
    let place: Place = "postgres://reprov:sesame@127.0.0.1:1/audit".parse().unwrap();
    let error = wait(Ledger::open(&place)).unwrap_err();
    assert!(matches!(error, LedgerError::Unreachable { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("sesame"));
    assert!(!error.is_usage());
}

#[test]
fn a_later_schema_is_refused_and_an_empty_one_brought_up_to_date() {
    for somewhere in Somewhere::both() {
        wait(async {
            let ledger = Ledger::open(&somewhere.place).await.unwrap();
            filled(&ledger, 3).await;
            ledger.close().await;
            let ledger = Ledger::open(&somewhere.place).await.unwrap();
            assert_eq!(ledger.head().await.unwrap().0, 3, "opened again, nothing is made anew");
            ledger.close().await;
            somewhere
                .meddle(
                    "INSERT INTO reprov_migrations (version, description, success, checksum, execution_time) \
                     SELECT 99, description, success, checksum, execution_time FROM reprov_migrations WHERE version = 1",
                )
                .await;
            let error = Ledger::open(&somewhere.place).await.unwrap_err();
            assert!(matches!(error, LedgerError::Newer { found: 99, .. }), "{error:?}");
            assert!(error.to_string().contains("made by a newer reprov") && error.is_usage());
        });
    }
}

#[test]
fn what_is_no_ledger_is_said() {
    let somewhere = Somewhere::sqlite();
    let Place::File(path) = &somewhere.place else { unreachable!() };
    let opened = || wait(Ledger::open(&somewhere.place)).unwrap_err();
    let error = wait(Ledger::open_existing(&somewhere.place)).unwrap_err();
    assert!(matches!(error, LedgerError::Absent(_)) && !path.exists(), "{error:?}");
    fs::write(path, b"this is no database, but a text that is long enough to be looked at as one").unwrap();
    assert!(matches!(opened(), LedgerError::Damaged { .. }), "{:?}", opened());
    fs::remove_file(path).unwrap();
    must(
        Command::new("python3")
            .args(["-c", "import sqlite3,sys; sqlite3.connect(sys.argv[1]).execute('create table t (x)')"])
            .arg(path),
    );
    assert!(matches!(opened(), LedgerError::Foreign(_)), "{:?}", opened());
    let nowhere = Place::File(path.join("below"));
    assert!(matches!(wait(Ledger::open(&nowhere)).unwrap_err(), LedgerError::Unreachable { .. }));
}

#[test]
fn a_damaged_file_is_said() {
    let somewhere = Somewhere::sqlite();
    let Place::File(path) = &somewhere.place else { unreachable!() };
    wait(async {
        let ledger = Ledger::open(&somewhere.place).await.unwrap();
        filled(&ledger, 200).await;
        ledger.close().await;
        // All pages but the first, where the tables' names are.
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        let size_bytes = file.metadata().unwrap().len();
        file.seek(SeekFrom::Start(4096)).unwrap();
        file.write_all(&vec![0xAB; usize::try_from(size_bytes - 4096).unwrap()]).unwrap();
        let told = match Ledger::open(&somewhere.place).await {
            Ok(ledger) => ledger.check(None).await.map(drop),
            Err(error) => Err(error),
        };
        let error = told.unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }) && !error.is_usage(), "{error:?}");
    });
}

#[test]
fn a_locked_ledger_is_waited_for() {
    let somewhere = Somewhere::sqlite();
    wait(async { Ledger::open(&somewhere.place).await.unwrap().close().await });
    held_for_a_while(&somewhere);
}

/// SQLite waits for no lock while the mode of its journal changes: it says at once that it is busy.
#[test]
fn a_ledger_that_another_program_makes_is_waited_for() {
    held_for_a_while(&Somewhere::sqlite());
}

/// Writes into the ledger at `somewhere` while another program holds the file's lock.
fn held_for_a_while(somewhere: &Somewhere) {
    let Place::File(path) = &somewhere.place else { unreachable!() };
    let script = "import sqlite3,sys,time\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\n\
                  c.execute('begin immediate')\nprint('held',flush=True)\ntime.sleep(1.5)\nc.execute('rollback')";
    let mut child =
        Command::new("python3").args(["-c", script]).arg(path).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    let began = std::time::Instant::now();
    wait(async {
        let ledger = Ledger::open(&somewhere.place).await.unwrap();
        filled(&ledger, 1).await;
        ledger.close().await;
    });
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    child.wait().unwrap();
}

#[test]
fn a_full_disk_is_said_and_the_chain_stays_whole() {
    if !root() {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let said = small("on_a_small_disk");
    assert!(said.contains("it was full"), "{said}");
}

/// Runs the test `name` of this file with a ledger to be on a disk of 1 MiB; the test program itself runs there.
fn small(name: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m none \"$1\" && exec \"$2\" --exact \"$3\" --ignored --nocapture";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "full"]).arg(dir.path());
    command.arg(std::env::current_exe().unwrap()).arg(format!("ledger::edges::{name}"));
    must(command.env(PLACE, dir.path().join("ledger.sqlite")))
}

#[test]
fn one_that_is_made_at_once_leaves_nothing_on_a_full_disk() {
    if !root() {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let said = small("made_on_a_small_disk");
    assert!(said.contains("nothing was left"), "{said}");
}

#[test]
#[ignore = "a child of another test"]
fn made_on_a_small_disk() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let (place, path): (Place, _) = (place.parse().unwrap(), std::path::PathBuf::from(&place));
    let mut large = many(100);
    for entry in &mut large {
        entry.error = Some("x".repeat(20_000));
    }
    let error = wait(Ledger::make(&place, &large)).unwrap_err();
    assert!(matches!(error, LedgerError::Full(_)), "{error:?}");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    assert_eq!(wait(Ledger::make(&place, &many(3))).unwrap().0, 3, "there is room again");
    let names: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(names, ["ledger.sqlite"]);
    println!("nothing was left");
}

#[test]
#[ignore = "a child of another test"]
fn on_a_small_disk() {
    let Ok(place) = std::env::var(PLACE) else { return };
    wait(async {
        let ledger = Ledger::open(&place.parse().unwrap()).await.unwrap();
        let mut written = 0;
        let error = loop {
            let mut entry = entry(Kind::Verified, "passed", "1", "image", written);
            entry.error = Some("x".repeat(20_000));
            match ledger.append(&entry).await {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, LedgerError::Full(_)), "{error:?}");
        assert!(error.to_string().contains("full") && !error.is_usage());
        let checked = ledger.check(None).await.unwrap();
        assert_eq!((checked.faults.len(), checked.rows.cast_signed()), (0, written));
        println!("it was full after {written}");
    });
}

#[test]
fn an_entry_that_is_too_large_is_refused() {
    for somewhere in Somewhere::both() {
        wait(async {
            let ledger = Ledger::open(&somewhere.place).await.unwrap();
            let mut large = entry(Kind::Verified, "passed", "1", "image", 1);
            large.error = Some("x".repeat(300 << 10));
            assert!(matches!(ledger.append(&large).await, Err(LedgerError::Refused(_))));
            let mut nul = entry(Kind::Verified, "passed", "1\0", "image", 1);
            assert!(matches!(ledger.append(&nul).await, Err(LedgerError::Refused(_))));
            nul.tag = None;
            nul.error = Some("\0".to_owned());
            assert_eq!(ledger.append(&nul).await.unwrap().entry, nul);
            assert_eq!(ledger.head().await.unwrap().0, 1);
            ledger.close().await;
        });
    }
}
