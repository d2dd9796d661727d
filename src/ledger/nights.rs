//! What reports ask: what was known at a moment, and what was counted night by night.

use sqlx::{Row as _, query};

use super::{Ledger, LedgerError, on, patiently};
use crate::{
    entry::{Entry, Kind},
    model::limits::NIGHTS_SHOWN_MAX,
};

/// Of each tag (of each digest, where there is no tag) and kind the newest entry that was there: mostly the newest of
/// all; where that came later, the one before.
const AS_OF: &str = "SELECT e.number, e.body FROM ( \
                       SELECT CASE WHEN l.number <= $1 THEN l.number ELSE ( \
                           SELECT p.number FROM reprov_entries p WHERE p.repository = l.repository AND p.tag = l.tag \
                             AND p.kind = l.kind AND (l.tag <> '' OR p.image = l.own) AND p.number <= $2 \
                           ORDER BY p.number DESC LIMIT 1) END AS number \
                       FROM reprov_newest_tags l) s \
                     JOIN reprov_entries e ON e.number = s.number ORDER BY e.number";
/// A night is from noon to noon.
const COUNTED: &str = "SELECT night, kind, outcome, COUNT(*) FROM ( \
                         SELECT DISTINCT (at_s + 43200) / 86400 AS night, kind, outcome, repository, tag, \
                           CASE WHEN tag = '' THEN image ELSE '' END AS own \
                         FROM reprov_entries WHERE at_s >= $1 AND at_s <= $2 AND number <= $3 \
                           AND kind IN ('verified', 'rebuilt', 'rebuilt-live') AND ($4 = '' OR grouped = $5) AND ($6 = '' OR owner = $7)) s \
                       GROUP BY night, kind, outcome ORDER BY night, kind, outcome";
const DAY_S: i64 = 24 * 3600;

/// How many images had an outcome in a night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The day of its morning, counted from 1970-01-01, UTC; nights are from noon to noon.
    pub night: i64,
    /// Verified, or rebuilt of either kind.
    pub kind: Kind,
    /// What came of it.
    pub outcome: String,
    /// How many.
    pub images: u64,
}

impl Ledger {
    /// The number of the last row before the first that was finished later than `at_s`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn number_at(&self, at_s: i64) -> Result<u64, LedgerError> {
        // `+`: by the index of times, not through all rows in the order of their numbers.
        const FIRST_LATER: &str = "SELECT MIN(+number) FROM reprov_entries WHERE at_s > $1";
        let attempt = async || {
            on!(self, |pool| {
                let row = query(FIRST_LATER).bind(at_s).fetch_one(pool).await?;
                row.try_get::<Option<i64>, _>(0)
            })
        };
        match patiently!(self, attempt().await)? {
            Some(first) => Ok(first.cast_unsigned().saturating_sub(1)),
            None => Ok(self.head().await?.0),
        }
    }

    /// The newest entry of each tag and kind among the first `number` rows, by number. As many as there are images are in
    /// memory.
    ///
    /// # Errors
    /// [`LedgerError`], [`LedgerError::Row`] for an entry that cannot be read.
    pub async fn as_of(&self, number: u64) -> Result<Vec<(u64, Entry)>, LedgerError> {
        let up_to = i64::try_from(number).unwrap_or(i64::MAX);
        let attempt = async || {
            on!(self, |pool| {
                let rows = query(AS_OF).bind(up_to).bind(up_to).fetch_all(pool).await?;
                let read = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
                read.collect::<Result<Vec<(i64, String)>, sqlx::Error>>()
            })
        };
        let rows = patiently!(self, attempt().await)?;
        let read = |(number, body): (i64, String)| {
            let number = number.cast_unsigned();
            let entry = serde_json::from_str(&body)
                .map_err(|error| LedgerError::Row { number, why: error.to_string() })?;
            Ok((number, entry))
        };
        rows.into_iter().map(read).collect()
    }

    /// Images by outcome, for each of the last nights until `until_s`, of the first `number` rows; of one group or owner
    /// if it is named.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn counted(
        &self,
        number: u64,
        until_s: i64,
        group: Option<&str>,
        owner: Option<&str>,
    ) -> Result<Vec<Counted>, LedgerError> {
        let last = until_s.saturating_add(DAY_S / 2).div_euclid(DAY_S);
        let from_s = (last - NIGHTS_SHOWN_MAX + 1).saturating_mul(DAY_S).saturating_sub(DAY_S / 2);
        let up_to = i64::try_from(number).unwrap_or(i64::MAX);
        let (group, owner) = (group.unwrap_or_default(), owner.unwrap_or_default());
        let attempt = async || {
            on!(self, |pool| {
                let asked = query(COUNTED).bind(from_s).bind(until_s).bind(up_to);
                let rows = asked.bind(group).bind(group).bind(owner).bind(owner).fetch_all(pool).await?;
                let mut counted = Vec::new();
                for row in rows {
                    let kind = row.try_get::<String, _>(1)?;
                    counted.push(Counted {
                        night: row.try_get(0)?,
                        kind: Kind::of(&kind).unwrap_or(Kind::Verified), // One of those that were asked for.
                        outcome: row.try_get(2)?,
                        images: row.try_get::<i64, _>(3)?.cast_unsigned(),
                    });
                }
                Ok(counted)
            })
        };
        patiently!(self, attempt().await)
    }
}
