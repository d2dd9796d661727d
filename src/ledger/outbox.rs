//! Messages on their way: kept until they are delivered. Not chained.

use sqlx::{Row as _, query};

use super::{Ledger, LedgerError, on, patiently};
use crate::model::limits::MESSAGE_SIZE_BYTES_MAX;

/// Messages whose name begins so: a ledger may be several inventories'. Not LIKE, in which some letters mean others.
const UNDELIVERED: &str = "FROM reprov_outbox WHERE delivered_s IS NULL AND SUBSTR(name, 1, $1) = $2";

/// A message that is not delivered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its name: one change, one receiver.
    pub name: String,
    /// What is sent.
    pub body: String,
    /// When it was put here, seconds since 1970.
    pub put_s: i64,
    /// When it is sent next, seconds since 1970.
    pub due_s: i64,
    /// How often it was tried.
    pub tries: u64,
    /// Why the last time failed; empty if it was not tried.
    pub error: String,
}

/// What is not delivered yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// Messages that nobody delivers at the moment.
    pub waiting: u64,
    /// When the first of those is due, seconds since 1970.
    pub due_s: Option<i64>,
    /// Messages that somebody holds a claim on, and delivers.
    pub claimed: u64,
}

impl Ledger {
    /// Keeps a message to be sent at `now_s`. False if one of this name was kept before, delivered or not: then nothing
    /// is changed.
    ///
    /// # Errors
    /// [`LedgerError`]; also if the message is too large.
    pub async fn put(&self, name: &str, body: &str, now_s: i64) -> Result<bool, LedgerError> {
        let name = Self::named(name)?;
        Self::body(body)?;
        patiently!(self, self.try_put(&name, body, now_s).await)
    }

    /// Whether a message may have this body.
    pub(super) fn body(body: &str) -> Result<(), LedgerError> {
        if body.len() > MESSAGE_SIZE_BYTES_MAX || body.contains('\0') {
            let why = format!("a message has at most {MESSAGE_SIZE_BYTES_MAX} bytes, none of them NUL");
            return Err(LedgerError::Refused(why));
        }
        Ok(())
    }

    async fn try_put(&self, name: &str, body: &str, now_s: i64) -> Result<bool, sqlx::Error> {
        const PUT: &str = "INSERT INTO reprov_outbox (name, body, put_s, due_s, tries, error) \
                           VALUES ($1, $2, $3, $4, 0, '') ON CONFLICT (name) DO NOTHING";
        on!(self, |pool| {
            let put = query(PUT).bind(name).bind(body).bind(now_s).bind(now_s).execute(pool).await?;
            Ok(put.rows_affected() == 1)
        })
    }

    /// Messages whose name begins with `prefix` and that are to be sent at `now_s`, the longest due first, at most `most`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn due(&self, prefix: &str, now_s: i64, most: u32) -> Result<Vec<Message>, LedgerError> {
        patiently!(self, self.try_due(prefix, now_s, most).await)
    }

    async fn try_due(&self, prefix: &str, now_s: i64, most: u32) -> Result<Vec<Message>, sqlx::Error> {
        let text = format!(
            "SELECT name, body, put_s, due_s, tries, error {UNDELIVERED} AND due_s <= $3 ORDER BY due_s, name LIMIT $4"
        );
        let length = length(prefix);
        on!(self, |pool| {
            let asked = query(sqlx::AssertSqlSafe(text)).bind(length).bind(prefix);
            let mut messages = Vec::new();
            for row in asked.bind(now_s).bind(i64::from(most)).fetch_all(pool).await? {
                messages.push(Message {
                    name: row.try_get(0)?,
                    body: row.try_get(1)?,
                    put_s: row.try_get(2)?,
                    due_s: row.try_get(3)?,
                    tries: row.try_get::<i64, _>(4)?.cast_unsigned(),
                    error: row.try_get(5)?,
                });
            }
            Ok(messages)
        })
    }

    /// How many messages whose name begins with `prefix` are not delivered, whether due or not.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn undelivered_of(&self, prefix: &str) -> Result<Undelivered, LedgerError> {
        patiently!(self, self.try_undelivered_of(prefix).await)
    }

    async fn try_undelivered_of(&self, prefix: &str) -> Result<Undelivered, sqlx::Error> {
        let now = self.pool.now();
        let claimed = format!(
            "EXISTS (SELECT 1 FROM reprov_claims WHERE reprov_claims.name = reprov_outbox.name AND until_s > {now})"
        );
        let text = format!(
            "SELECT COUNT(*), COALESCE(SUM(CASE WHEN {claimed} THEN 1 ELSE 0 END), 0), \
             MIN(CASE WHEN {claimed} THEN NULL ELSE due_s END) {UNDELIVERED}"
        );
        let length = length(prefix);
        on!(self, |pool| {
            let row = query(sqlx::AssertSqlSafe(text)).bind(length).bind(prefix).fetch_one(pool).await?;
            let (all, claimed): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            Ok(Undelivered {
                waiting: (all - claimed).cast_unsigned(),
                due_s: row.try_get(2)?,
                claimed: claimed.cast_unsigned(),
            })
        })
    }

    /// Notes that a message arrived; its name stays, its body goes.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn delivered(&self, name: &str, now_s: i64) -> Result<(), LedgerError> {
        const DELIVERED: &str = "UPDATE reprov_outbox SET delivered_s = $1, body = '' WHERE name = $2";
        let attempt = async || {
            on!(self, |pool| { query(DELIVERED).bind(now_s).bind(name).execute(pool).await.map(|_| ()) })
        };
        patiently!(self, attempt().await)
    }

    /// Notes that a message did not arrive, why, and when it is tried again.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn undelivered(&self, name: &str, again_s: i64, error: &str) -> Result<(), LedgerError> {
        const FAILED: &str = "UPDATE reprov_outbox SET due_s = $1, error = $2, tries = tries + 1 \
                              WHERE name = $3 AND delivered_s IS NULL";
        let error = error.replace('\0', " ");
        let attempt = async || {
            on!(self, |pool| {
                query(FAILED).bind(again_s).bind(&error).bind(name).execute(pool).await.map(|_| ())
            })
        };
        patiently!(self, attempt().await)
    }
}

/// Letters of a prefix, as `SUBSTR` counts them.
fn length(prefix: &str) -> i32 {
    i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX)
}
