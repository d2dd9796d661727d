//! `store`: what the cache holds, and less of it.
//!
//! A blob's age counts from when it was last asked for. While other processes have the store open, whatever any of
//! them may have asked for or made stays; none opens it, and no build begins, as long as this job runs.

use std::path::Path;

use crate::{
    buildroot::{BuildrootError, Quarters},
    compute, host,
    report::store as view,
    store::{Blob, BuildLog, House, Piece, StoreError},
};

/// Why the store was not cleaned, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// Blobs and temporary files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Directories of builds.
    #[error(transparent)]
    Buildroot(#[from] BuildrootError),
    /// Others are at work.
    #[error(
        "the store is in use by {0} other reprov process(es); nothing was removed, try again when they have ended"
    )]
    InUse(usize),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Only look.
    Du,
    /// Remove what killed processes left.
    Prune,
    /// Remove blobs by age or size.
    Gc(Keep),
    /// Remove everything.
    Rm,
}

/// Which blobs stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Those used in the last so many days.
    pub days: Option<u32>,
    /// Those used last, of so many bytes together.
    pub size_bytes: Option<u64>,
    /// Stores of base images; else they go too, if no build runs.
    pub bases: bool,
}

/// How old a temporary file is that nobody can be writing any more, in seconds.
const TEMPORARY_AGE_S: i64 = DAY_S;
const DAY_S: i64 = 86_400;

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Du => "du",
            Self::Prune => "prune",
            Self::Gc(_) => "gc",
            Self::Rm => "rm",
        }
    }
}

/// All that lies in the store, and of each piece what becomes of it.
#[derive(Debug, Default)]
struct Inventory {
    blobs: Vec<(Piece, Fate)>,
    bases: Vec<(Piece, Fate)>,
    mirrors: Vec<(Piece, Fate)>,
    builds: Vec<(Piece, Fate)>,
    temporaries: Vec<(Piece, Fate)>,
    shims: Vec<(Piece, Fate)>,
    logs: Vec<(Piece, Fate)>,
}

/// What becomes of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
    /// It would go, but another process may need it.
    InUse,
}

/// Does `verb` to the store at `root`; the answer says what was freed, or with `dry_run` what would be.
///
/// # Errors
/// [`CleanError::InUse`] for [`Verb::Rm`]; else those of the disk and of the cage in which an ordinary user removes
/// files of subordinate ids.
pub async fn clean(root: &Path, verb: Verb, dry_run: bool) -> Result<view::Store, CleanError> {
    let (path, shown) = (root.to_owned(), root.display().to_string());
    let Some(house) = compute::run(move || House::enter(&path)).await? else {
        return Ok(view::Store::new(verb.name(), shown, dry_run, Inventory::default().kinds()));
    };
    let quarters = Quarters::open(house.root())?;
    let (others, builds) = (house.others(), quarters.running());
    if verb == Verb::Rm && others.max(builds) > 0 {
        return Err(CleanError::InUse(others.max(builds)));
    }
    let inventory = Inventory::take(&house, &quarters, verb).await?;
    if !dry_run && verb != Verb::Du {
        inventory.remove(&house, &quarters).await?;
        match verb {
            Verb::Rm => {
                quarters.remove_rest().await?;
                house.remove_rest()?;
            }
            _ => house.bury_sessions()?,
        }
    }
    let answer = view::Store::new(verb.name(), shown, dry_run, inventory.kinds());
    Ok(view::Store { others, builds, ..answer })
}

impl Inventory {
    async fn take(house: &House, quarters: &Quarters, verb: Verb) -> Result<Self, CleanError> {
        let now_s = host::now_s();
        let everything = if verb == Verb::Rm { Fate::Goes } else { Fate::Stays };
        let base = match verb {
            // Another process may be about to build in one.
            Verb::Gc(keep) if !keep.bases && quarters.running().max(house.others()) > 0 => Fate::InUse,
            Verb::Gc(keep) if !keep.bases => Fate::Goes,
            _ => everything,
        };
        let build = |piece: &Piece| match verb {
            Verb::Prune if quarters.is_leftover(&piece.path) => Fate::Goes,
            _ => everything,
        };
        let all = |pieces: Vec<Piece>, fate| pieces.into_iter().map(|piece| (piece, fate)).collect();
        let temporaries = house
            .temporaries()?
            .into_iter()
            .map(|(piece, made_s)| (piece, temporary(verb, made_s, now_s, house.may_be_in_use(made_s))));
        let builds = quarters.builds().await?.into_iter().map(|piece| (build(&piece), piece));
        Ok(Self {
            blobs: fates(house.blobs()?, verb, now_s, |used_s| house.may_be_in_use(used_s)),
            bases: all(quarters.bases().await?, base),
            mirrors: all(house.mirrors()?, everything),
            builds: builds.map(|(fate, piece)| (piece, fate)).collect(),
            temporaries: temporaries.collect(),
            shims: all(quarters.shims().await?, everything),
            logs: house
                .logs()?
                .into_iter()
                .map(|log| (log.piece.clone(), of_log(verb, &log, now_s)))
                .collect(),
        })
    }

    async fn remove(&self, house: &House, quarters: &Quarters) -> Result<(), CleanError> {
        for pieces in [&self.blobs, &self.mirrors, &self.temporaries, &self.logs] {
            for (piece, _) in pieces.iter().filter(|(_, fate)| *fate == Fate::Goes) {
                house.remove(piece)?;
            }
        }
        for pieces in [&self.builds, &self.bases, &self.shims] {
            let going = pieces.iter().filter(|(_, fate)| *fate == Fate::Goes);
            quarters.remove(&going.map(|(piece, _)| piece.clone()).collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    fn kinds(&self) -> Vec<view::Kind> {
        vec![
            kind("blobs", &self.blobs),
            kind("bases", &self.bases),
            kind("git", &self.mirrors),
            kind("builds", &self.builds),
            kind("tmp", &self.temporaries),
            kind("shim", &self.shims),
            kind("logs", &self.logs),
        ]
    }
}

/// What becomes of a temporary file made at that time.
fn temporary(verb: Verb, made_s: i64, now_s: i64, may_be_in_use: bool) -> Fate {
    match verb {
        Verb::Rm => Fate::Goes,
        Verb::Prune if made_s <= now_s - TEMPORARY_AGE_S => {
            if may_be_in_use {
                Fate::InUse
            } else {
                Fate::Goes
            }
        }
        _ => Fate::Stays,
    }
}

/// What becomes of the log of a build: of a failed one it stays as long as a blob would, of a killed one until it is
/// cleaned up after.
fn of_log(verb: Verb, log: &BuildLog, now_s: i64) -> Fate {
    let old = |days: u32| log.changed_s < now_s - i64::from(days) * DAY_S;
    let unwanted = match verb {
        Verb::Rm => true,
        Verb::Prune => log.killed,
        Verb::Gc(keep) => keep.days.is_some_and(old),
        Verb::Du => false,
    };
    match (unwanted, log.running) {
        (false, _) => Fate::Stays,
        (true, true) => Fate::InUse,
        (true, false) => Fate::Goes,
    }
}

fn kind(kind: &'static str, list: &[(Piece, Fate)]) -> view::Kind {
    let count = |wanted: fn(Fate) -> bool| list.iter().filter(|(_, fate)| wanted(*fate)).count();
    let bytes = |wanted: fn(Fate) -> bool| {
        list.iter().filter(|(_, fate)| wanted(*fate)).map(|(piece, _)| piece.size_bytes).sum()
    };
    view::Kind {
        kind,
        count: count(|fate| fate != Fate::Goes),
        bytes: bytes(|fate| fate != Fate::Goes),
        freed_count: count(|fate| fate == Fate::Goes),
        freed_bytes: bytes(|fate| fate == Fate::Goes),
        in_use_count: count(|fate| fate == Fate::InUse),
    }
}

/// What becomes of `blobs`, which stand in the order of their last use.
fn fates(
    blobs: Vec<Blob>,
    verb: Verb,
    now_s: i64,
    may_be_in_use: impl Fn(i64) -> bool,
) -> Vec<(Piece, Fate)> {
    let mut left: u64 = blobs.iter().map(|blob| blob.piece.size_bytes).sum();
    let mut fate = |blob: &Blob| {
        let unwanted = match verb {
            Verb::Rm => true,
            Verb::Gc(keep) => {
                keep.days.is_some_and(|days| blob.used_s < now_s - i64::from(days) * DAY_S)
                    || keep.size_bytes.is_some_and(|most| left > most)
            }
            Verb::Du | Verb::Prune => false,
        };
        match (unwanted, may_be_in_use(blob.used_s)) {
            (false, _) => Fate::Stays,
            (true, true) => Fate::InUse,
            (true, false) => {
                left -= blob.piece.size_bytes;
                Fate::Goes
            }
        }
    };
    let settle = |blob: Blob| {
        let fate = fate(&blob);
        (blob.piece, fate)
    };
    blobs.into_iter().map(settle).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Ages in days and sizes of blobs, and which of them go; those younger than two days may be in use.
    #[track_caller]
    fn check(blobs: &[(i64, u64)], days: Option<u32>, size_bytes: Option<u64>, expected: &[Fate]) {
        let now_s = 1_000_000_000;
        let blob = |(age, size_bytes): &(i64, u64)| Blob {
            piece: Piece { path: PathBuf::new(), size_bytes: *size_bytes },
            used_s: now_s - age * DAY_S,
        };
        let verb = Verb::Gc(Keep { days, size_bytes, bases: true });
        let fates = fates(blobs.iter().map(blob).collect(), verb, now_s, |used_s| used_s > now_s - 2 * DAY_S);
        assert_eq!(fates.into_iter().map(|(_, fate)| fate).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_least_recently_used_go_first() {
        use Fate::{Goes, InUse, Stays};
        let blobs = [(40, 10), (30, 10), (10, 10), (1, 10)];
        check(&blobs, Some(30), None, &[Goes, Stays, Stays, Stays]);
        check(&blobs, Some(0), None, &[Goes, Goes, Goes, InUse]);
        check(&blobs, None, Some(40), &[Stays; 4]);
        check(&blobs, None, Some(39), &[Goes, Stays, Stays, Stays]);
        check(&blobs, None, Some(20), &[Goes, Goes, Stays, Stays]);
        check(&blobs, None, Some(0), &[Goes, Goes, Goes, InUse]);
        check(&blobs, Some(35), Some(20), &[Goes, Goes, Stays, Stays]);
        check(&blobs, None, None, &[Stays; 4]);
        check(&[], Some(0), Some(0), &[]);
    }

    #[test]
    fn the_log_of_a_failed_build_stays_as_long_as_a_blob() {
        use Fate::{Goes, InUse, Stays};
        let now_s = 1_000_000_000;
        let fate = |verb, age, running, killed| {
            let piece = Piece { path: PathBuf::new(), size_bytes: 1 };
            of_log(verb, &BuildLog { piece, changed_s: now_s - age * DAY_S, running, killed }, now_s)
        };
        let gc = Verb::Gc(Keep { days: Some(30), size_bytes: None, bases: true });
        assert_eq!([fate(gc, 31, false, false), fate(gc, 29, false, false)], [Goes, Stays]);
        assert_eq!([fate(gc, 31, true, false), fate(gc, 31, false, true)], [InUse, Goes]);
        assert_eq!([fate(Verb::Prune, 0, false, true), fate(Verb::Prune, 99, false, false)], [Goes, Stays]);
        assert_eq!([fate(Verb::Rm, 0, false, false), fate(Verb::Du, 99, false, true)], [Goes, Stays]);
    }

    #[test]
    fn a_temporary_file_goes_when_it_is_old_and_nobody_can_have_it() {
        let fate = |verb, age_s, may_be_in_use| temporary(verb, 1_000_000 - age_s, 1_000_000, may_be_in_use);
        assert_eq!(fate(Verb::Prune, DAY_S, false), Fate::Goes);
        assert_eq!(fate(Verb::Prune, DAY_S, true), Fate::InUse);
        assert_eq!(fate(Verb::Prune, DAY_S - 1, false), Fate::Stays);
        assert_eq!(fate(Verb::Du, 2 * DAY_S, false), Fate::Stays);
        assert_eq!(fate(Verb::Rm, 0, false), Fate::Goes);
    }
}
