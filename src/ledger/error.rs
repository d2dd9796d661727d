//! What can be wrong with a ledger, and whether trying again helps.

use std::time::{Duration, Instant};

use sqlx::error::DatabaseError;

use super::{Place, place::PlaceError};
use crate::model::limits::LEDGER_WAIT_S;

/// How long the first pause between two tries is; each is twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A failure of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// No place for a ledger.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Only reading was asked for, and there is nothing.
    #[error("there is no ledger at `{0}`")]
    Absent(Place),
    /// A database of something else.
    #[error("`{0}` is a database, but no ledger")]
    Foreign(Place),
    /// Its tables are those of a later release.
    #[error("the ledger `{place}` was made by a newer reprov: its schema is {found}, this one knows {known}")]
    Newer {
        /// Which ledger.
        place: Place,
        /// Its schema.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// Somebody else held it all the time.
    #[error("the ledger `{0}` is locked by another program, for {LEDGER_WAIT_S} s and more")]
    Busy(Place),
    /// No room.
    #[error("the disk of the ledger `{0}` is full")]
    Full(Place),
    /// It may not be written.
    #[error("the ledger `{0}` may not be written")]
    ReadOnly(Place),
    /// No database any more.
    #[error("the ledger `{place}` is damaged: {why}")]
    Damaged {
        /// Which ledger.
        place: Place,
        /// What SQLite says.
        why: String,
    },
    /// The server, or the way to it.
    #[error("the ledger `{place}` cannot be reached: {why}")]
    Unreachable {
        /// Which ledger.
        place: Place,
        /// Why not.
        why: String,
    },
    /// A row that is none of ours.
    #[error("row {number} of the ledger is not as it was written: {why}; `reprov ledger check` looks at all")]
    Row {
        /// Its number.
        number: u64,
        /// What is wrong.
        why: String,
    },
    /// An entry, claim or message that is not kept.
    #[error("not written to the ledger: {0}")]
    Refused(String),
    /// Whatever else the database said.
    #[error("the ledger `{place}` failed: {why}")]
    Other {
        /// Which ledger.
        place: Place,
        /// What the database said.
        why: String,
    },
}

impl LedgerError {
    /// Whether it was used wrongly: otherwise nobody can tell.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Place(_) | Self::Absent(_) | Self::Foreign(_) | Self::Newer { .. })
    }

    /// What a failure of the database means.
    pub(super) fn of(place: &Place, error: &sqlx::Error) -> Self {
        let place = place.clone();
        let why = said(error);
        match error {
            sqlx::Error::Database(database) => match (&place, Refusal::of(&**database)) {
                (_, Refusal::Busy) => Self::Busy(place),
                (_, Refusal::Full) => Self::Full(place),
                (_, Refusal::ReadOnly) => Self::ReadOnly(place),
                (_, Refusal::Damaged) => Self::Damaged { place, why },
                (_, Refusal::Gone | Refusal::Open) => Self::Unreachable { place, why },
                (_, Refusal::Again | Refusal::Other) => Self::Other { place, why },
            },
            sqlx::Error::PoolTimedOut if matches!(place, Place::File(_)) => Self::Busy(place),
            sqlx::Error::PoolTimedOut => {
                Self::Unreachable { place, why: "it gives no connection in time".to_owned() }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::Configuration(_) => Self::Unreachable { place, why },
            _ => Self::Other { place, why },
        }
    }
}

/// What the database said, without the words around it.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => match database.code() {
            Some(code) => format!("{} ({code})", database.message()),
            None => database.message().to_owned(),
        },
        sqlx::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// What a database refuses for, of either kind.
enum Refusal {
    Busy,
    Full,
    ReadOnly,
    Damaged,
    /// The file cannot be opened, or the login is wrong.
    Open,
    /// The server goes down, comes up, or ended the connection.
    Gone,
    /// Two transactions were in each other's way.
    Again,
    Other,
}

impl Refusal {
    fn of(error: &dyn DatabaseError) -> Self {
        let code = error.code().unwrap_or_default();
        if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
            // https://www.sqlite.org/rescode.html: the low byte is the primary code.
            let code: i32 = code.parse().unwrap_or_default();
            return match code & 0xff {
                5 | 6 => Self::Busy,
                8 | 3 => Self::ReadOnly,
                // A write that the file system cut short (SQLITE_IOERR_WRITE) is a full disk, nearly always.
                13 => Self::Full,
                10 if code == 778 => Self::Full,
                11 | 26 => Self::Damaged,
                14 => Self::Open,
                _ => Self::Other,
            };
        }
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        match &*code {
            "55P03" => Self::Busy,
            "53100" => Self::Full,
            "25006" | "42501" => Self::ReadOnly,
            "XX001" | "XX002" => Self::Damaged,
            "40001" | "40P01" => Self::Again,
            "53300" => Self::Gone,
            code if code.starts_with("57P") || code.starts_with("08") => Self::Gone,
            code if code.starts_with("28") || code.starts_with("3D") => Self::Open,
            _ => Self::Other,
        }
    }
}

/// How long to go on trying. What is tried must be such that doing it twice does no harm.
pub(super) struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    pub(super) fn new(wait_s: u64) -> Self {
        Self { until: Instant::now() + Duration::from_secs(wait_s), pause: PAUSE_FIRST }
    }

    /// Waits a moment if `error` may pass: the server restarts, another transaction was in the way, or a file is
    /// busy (SQLite waits for most locks by itself, but for none where both might wait for each other).
    pub(super) async fn after(&mut self, place: &Place, error: &sqlx::Error) -> Result<(), LedgerError> {
        let passes = match error {
            sqlx::Error::Database(database) => {
                matches!(Refusal::of(&**database), Refusal::Gone | Refusal::Again | Refusal::Busy)
            }
            // What a connection that was cut off in the middle looks like.
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut => {
                matches!(place, Place::Postgres(_))
            }
            _ => false,
        };
        if !passes || Instant::now() + self.pause > self.until {
            return Err(LedgerError::of(place, error));
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}
