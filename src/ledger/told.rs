//! What was told: each change once to each receiver, however often and by whom it is found. Lies among the messages.

use sqlx::{Row as _, query};

use super::{Ledger, LedgerError, Pool, on, patiently};

/// A name that was told lies among the messages as one that was delivered, without a body.
const TOLD: &str = "INSERT INTO reprov_outbox (name, body, put_s, due_s, tries, error, delivered_s) \
                    VALUES ($1, '', $2, $3, 0, '', $4) ON CONFLICT (name) DO NOTHING";
const LETTER: &str = "INSERT INTO reprov_outbox (name, body, put_s, due_s, tries, error) VALUES ($1, $2, $3, $4, 0, '') \
                      ON CONFLICT (name) DO NOTHING";
/// Never back: of two who tell at once the one who looked at less may come last, and changes nothing then. But one beyond the
/// last row is no mark of these entries.
const UP_TO: &str = "INSERT INTO reprov_outbox (name, body, put_s, due_s, tries, error, delivered_s) \
                     VALUES ($1, $2, $3, $4, 0, '', $5) \
                     ON CONFLICT (name) DO UPDATE SET body = excluded.body, \
                     put_s = CASE WHEN reprov_outbox.body = excluded.body AND reprov_outbox.put_s > excluded.put_s \
                     THEN reprov_outbox.put_s ELSE excluded.put_s END \
                     WHERE CAST(reprov_outbox.body AS BIGINT) <= CAST(excluded.body AS BIGINT) \
                     OR CAST(reprov_outbox.body AS BIGINT) > (SELECT COALESCE(MAX(number), 0) FROM reprov_entries)";

/// Up to where changes were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The number of the last row that was looked at.
    pub number: u64,
    /// When that was, seconds since 1970.
    pub at_s: i64,
}

/// Writes how far all was looked at, marks names, and writes the letters that are made of those that were not marked. Ends the
/// function, with nothing written, if somebody looked further or a letter is too large.
macro_rules! tell {
    ($tx:expr, $names:expr, $letters:expr, $place:expr, $mark:expr) => {{
        let at_s = $mark.at_s;
        let number = $mark.number.to_string();
        let up_to = query(UP_TO).bind($place).bind(number).bind(at_s).bind(at_s).bind(at_s);
        if up_to.execute(&mut *$tx).await?.rows_affected() == 0 {
            return Ok(Ok(0)); // Somebody saw more, and told it: what is known here may hold no longer.
        }
        let mut fresh = Vec::new();
        for (index, name) in $names {
            let put = query(TOLD).bind(name).bind(at_s).bind(at_s).bind(at_s).execute(&mut *$tx).await?;
            if put.rows_affected() == 1 {
                fresh.push(*index);
            }
        }
        fresh.sort_unstable();
        let letters = $letters(&fresh);
        if let Some(refused) = letters.iter().find_map(|(_, body)| Ledger::body(body).err()) {
            return Ok(Err(refused));
        }
        for (name, body) in &letters {
            query(LETTER).bind(name).bind(body).bind(at_s).bind(at_s).execute(&mut *$tx).await?;
        }
        letters.len()
    }};
}

impl Ledger {
    /// Up to where changes were told under `place`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn told_up_to(&self, place: &str) -> Result<Option<Mark>, LedgerError> {
        const MARK: &str = "SELECT body, put_s FROM reprov_outbox WHERE name = $1";
        let attempt = async || {
            on!(self, |pool| match query(MARK).bind(place).fetch_optional(pool).await? {
                Some(row) => Ok(Some((row.try_get::<String, _>(0)?, row.try_get(1)?))),
                None => Ok(None),
            })
        };
        let found = patiently!(self, attempt().await)?;
        Ok(found.and_then(|(number, at_s)| Some(Mark { number: number.parse().ok()?, at_s })))
    }

    /// Marks `names` as told, and keeps the messages (name, body) that `letters` makes of those which were not, by index.
    /// All or nothing, whoever else does the same. How many messages were kept.
    ///
    /// # Errors
    /// [`LedgerError`]; also if a message is too large: then nothing is told.
    pub async fn tell(
        &self,
        names: &[String],
        letters: impl Fn(&[usize]) -> Vec<(String, String)>,
        place: &str,
        mark: Mark,
    ) -> Result<usize, LedgerError> {
        let place = Self::named(place)?;
        let named = names.iter().enumerate().map(|(index, name)| Ok((index, Self::named(name)?)));
        let mut named: Vec<(usize, String)> = named.collect::<Result<_, LedgerError>>()?;
        named.sort_by(|a, b| a.1.cmp(&b.1)); // In one order, so that two who tell at once wait for each other, but not in a circle.
        patiently!(self, self.try_tell(&named, &letters, &place, mark).await)?
    }

    async fn try_tell(
        &self,
        names: &[(usize, String)],
        letters: &impl Fn(&[usize]) -> Vec<(String, String)>,
        place: &str,
        mark: Mark,
    ) -> Result<Result<usize, LedgerError>, sqlx::Error> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                let count = tell!(tx, names, letters, place, mark);
                tx.commit().await?;
                Ok(Ok(count))
            }
            Pool::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                let count = tell!(tx, names, letters, place, mark);
                tx.commit().await?;
                Ok(Ok(count))
            }
        }
    }

    /// Whether a message is still to be delivered.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn waits(&self, name: &str) -> Result<bool, LedgerError> {
        const WAITS: &str = "SELECT COUNT(*) FROM reprov_outbox WHERE name = $1 AND delivered_s IS NULL";
        let attempt =
            async || on!(self, |pool| query(WAITS).bind(name).fetch_one(pool).await?.try_get::<i64, _>(0));
        Ok(patiently!(self, attempt().await)? > 0)
    }
}
