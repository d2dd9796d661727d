//! A ledger that is made at once, of entries that are known: all of it or nothing, wherever it ends.
#![expect(clippy::disallowed_methods, reason = "moves a file to its place")]

use std::{fs::File, io, path::Path};

use sqlx::{Row as _, query};
use tempfile::TempPath;

use super::{Ledger, LedgerError, Place, Pool, patiently};
use crate::{entry::Entry, model::Digest};

impl Ledger {
    /// Makes a ledger of `entries` at `place`, where there is none, or one without rows. A new file gets its name when it is
    /// whole; what is there already is filled in one transaction. The number and digest of its last row.
    ///
    /// # Errors
    /// [`LedgerError`]: then all is as it was; also if somebody else made one meanwhile.
    pub async fn make(place: &Place, entries: &[Entry]) -> Result<(u64, Digest), LedgerError> {
        match place {
            Place::File(path) if !path.exists() => beside(place, path, entries).await,
            _ => {
                let ledger = Self::open(place).await?;
                let head = ledger.fill(entries).await;
                ledger.close().await;
                head
            }
        }
    }

    /// Whether nothing is in the way of a new ledger at `place` that a ledger which is gone left there.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] names it.
    pub fn nothing_left(place: &Place) -> Result<(), LedgerError> {
        match place {
            Place::File(path) => left_over(path),
            Place::Postgres(_) => Ok(()),
        }
    }

    /// Adds `entries`, the first there are.
    async fn fill(&self, entries: &[Entry]) -> Result<(u64, Digest), LedgerError> {
        let rows = self.insert(&Self::outgoing(entries)?, true).await?;
        if rows.len() < entries.len() {
            return Err(made_meanwhile(&self.place));
        }
        self.head().await
    }

    /// Moves what is still in the log beside the file into the file itself.
    async fn checkpoint(&self) -> Result<(), LedgerError> {
        let Pool::Sqlite(pool) = &self.pool else { return Ok(()) };
        let attempt =
            async || query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(pool).await?.try_get::<i64, _>(0);
        match patiently!(self, attempt().await)? {
            0 => Ok(()),
            _ => Err(LedgerError::Busy(self.place.clone())),
        }
    }
}

/// Makes the file in a directory of its own beside its place, so that nothing stays of one that is not finished.
async fn beside(place: &Place, path: &Path, entries: &[Entry]) -> Result<(u64, Digest), LedgerError> {
    let failed = |error: &io::Error| unwritten(place, error);
    left_over(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir =
        tempfile::Builder::new().prefix(".ledger-").tempdir_in(parent).map_err(|error| failed(&error))?;
    let part = dir.path().join("ledger.sqlite");
    let ledger = Ledger::opened(place, Some(&part), true).await?;
    let filled = match ledger.fill(entries).await {
        Ok(head) => ledger.checkpoint().await.map(|()| head),
        Err(error) => Err(error),
    };
    ledger.close().await;
    let head = filled?;
    let part = TempPath::try_from_path(part).map_err(|error| failed(&error))?;
    part.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => made_meanwhile(place),
        _ => failed(&error.error),
    })?;
    // The name, too, is to be there after power failed.
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| failed(&error))?;
    Ok(head)
}

/// SQLite would take what is left of a file that is gone for the new one's own.
fn left_over(path: &Path) -> Result<(), LedgerError> {
    for ending in ["-wal", "-journal"] {
        let mut left = path.as_os_str().to_owned();
        left.push(ending);
        let left = Path::new(&left);
        if left.exists() {
            let why = format!("`{}` is left of a ledger that is gone; move it away", left.display());
            return Err(LedgerError::Refused(why));
        }
    }
    Ok(())
}

fn made_meanwhile(place: &Place) -> LedgerError {
    LedgerError::Other { place: place.clone(), why: "somebody else wrote to it meanwhile".to_owned() }
}

fn unwritten(place: &Place, error: &io::Error) -> LedgerError {
    let place = place.clone();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => LedgerError::Full(place),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => LedgerError::ReadOnly(place),
        _ => LedgerError::Unreachable { place, why: error.to_string() },
    }
}
