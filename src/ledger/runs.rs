//! Runs of audits: when they began and ended, and which rows were there before. So a report knows what is new since
//! the last run. Not chained.

use sqlx::{Row as _, query};

use super::{Ledger, LedgerError, on, patiently};
use crate::host;

/// A run of an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub id: String,
    /// What was audited, as the audit calls it.
    pub inventory: String,
    /// When it began, seconds since 1970.
    pub began_s: i64,
    /// When it ended; none: it is running, or was killed.
    pub ended_s: Option<i64>,
    /// The number of the ledger's last row when it began: what it did has larger ones.
    pub before: u64,
    /// The number of the ledger's last row when it ended.
    pub last: Option<u64>,
}

impl Ledger {
    /// Notes that a run begins.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn begin_run(&self, inventory: &str, now_s: i64) -> Result<Run, LedgerError> {
        const BEGIN: &str = "INSERT INTO reprov_runs (id, inventory, began_s, before_number) VALUES ($1, $2, $3, $4) \
                             ON CONFLICT (id) DO NOTHING";
        let inventory = Self::named(inventory)?;
        let id = host::random_id().map_err(|error| LedgerError::Refused(error.to_string()))?;
        let (before, _) = self.head().await?;
        let attempt = async || {
            on!(self, |pool| {
                let asked = query(BEGIN).bind(&id).bind(&inventory).bind(now_s).bind(before.cast_signed());
                asked.execute(pool).await.map(|_| ())
            })
        };
        patiently!(self, attempt().await)?;
        Ok(Run { id, inventory, began_s: now_s, ended_s: None, before, last: None })
    }

    /// Notes that a run ended.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn end_run(&self, run: &Run, now_s: i64) -> Result<Run, LedgerError> {
        const END: &str = "UPDATE reprov_runs SET ended_s = $1, last_number = $2 WHERE id = $3";
        let (last, _) = self.head().await?;
        let attempt = async || {
            on!(self, |pool| {
                let asked = query(END).bind(now_s).bind(last.cast_signed()).bind(&run.id);
                asked.execute(pool).await.map(|_| ())
            })
        };
        patiently!(self, attempt().await)?;
        Ok(Run { ended_s: Some(now_s), last: Some(last), ..run.clone() })
    }

    /// The newest runs, the newest first, at most `most`; of one inventory, or of all.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn runs(&self, inventory: Option<&str>, most: u32) -> Result<Vec<Run>, LedgerError> {
        patiently!(self, self.try_runs(inventory, most).await)
    }

    async fn try_runs(&self, inventory: Option<&str>, most: u32) -> Result<Vec<Run>, sqlx::Error> {
        const RUNS: &str = "SELECT id, inventory, began_s, ended_s, before_number, last_number FROM reprov_runs \
                            WHERE inventory = $1 OR $2 = 1 ORDER BY before_number DESC, began_s DESC, id LIMIT $3";
        let all = i64::from(inventory.is_none());
        on!(self, |pool| {
            let asked = query(RUNS).bind(inventory.unwrap_or_default()).bind(all).bind(i64::from(most));
            let mut runs = Vec::new();
            for row in asked.fetch_all(pool).await? {
                runs.push(Run {
                    id: row.try_get(0)?,
                    inventory: row.try_get(1)?,
                    began_s: row.try_get(2)?,
                    ended_s: row.try_get(3)?,
                    before: row.try_get::<i64, _>(4)?.cast_unsigned(),
                    last: row.try_get::<Option<i64>, _>(5)?.map(i64::cast_unsigned),
                });
            }
            Ok(runs)
        })
    }
}
