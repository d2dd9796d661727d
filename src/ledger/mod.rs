//! The ledger: entries (`crate::entry`) in SQLite or PostgreSQL, chained, only ever added to.
//!
//! One SQL text serves both (`migrations/`, and `$1` in each query). What changes beside the chain (claims, messages,
//! runs) has tables of its own and is not chained. Whatever is sent again after a server's restart is such that doing
//! it twice does no harm: an entry has a name of its own, by which a commit whose answer was lost is found again.

mod check;
mod claims;
mod error;
mod make;
mod nights;
mod open;
mod outbox;
mod place;
mod runs;
mod select;
mod told;

use sqlx::{PgPool, Row as _, SqlitePool, query};

pub use check::Checked;
pub use claims::Claim;
pub use error::LedgerError;
pub use nights::Counted;
pub use outbox::{Message, Undelivered};
pub use place::{Place, PlaceError};
pub use runs::Run;
pub use select::{Filter, IMAGES_AT_ONCE_MAX, Per};
pub use told::Mark;

use crate::{
    entry::{Entry, Kind, Row, chain::Columns},
    host,
    model::{Digest, limits},
};

/// Held on PostgreSQL while a row is added: the ledger's own number among a database's advisory locks.
const APPENDING: i64 = 0x7265_7072_6f76;

const FIND: &str = "SELECT number, previous, digest FROM reprov_entries WHERE nonce = $1";
const HEAD: &str = "SELECT number, digest FROM reprov_entries ORDER BY number DESC LIMIT 1";
const INSERT: &str = "INSERT INTO reprov_entries (number, previous, digest, nonce, body, repository, tag, image, kind, \
                      outcome, at_s, grouped, owner, conditions) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const NEWEST_OF_IMAGE: &str = "INSERT INTO reprov_newest_images (repository, tag, image, kind, conditions, number) \
                      VALUES ($1, $2, $3, $4, $5, $6) \
                      ON CONFLICT (repository, tag, image, kind, conditions) DO UPDATE SET number = excluded.number";
const NEWEST_OF_TAG: &str = "INSERT INTO reprov_newest_tags (repository, tag, own, kind, image, number) \
                      VALUES ($1, $2, $3, $4, $5, $6) \
                      ON CONFLICT (repository, tag, own, kind) \
                      DO UPDATE SET image = excluded.image, number = excluded.number";

/// A ledger that is open. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Ledger {
    place: Place,
    pool: Pool,
}

#[derive(Clone, Debug)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// The same words for either database.
macro_rules! on {
    ($ledger:expr, |$pool:ident| $body:expr) => {
        match &$ledger.pool {
            crate::ledger::Pool::Sqlite($pool) => $body,
            crate::ledger::Pool::Postgres($pool) => $body,
        }
    };
}

/// Does the same again as long as there is hope.
macro_rules! patiently {
    ($ledger:expr, $attempt:expr) => {{
        let mut patience = crate::ledger::error::Patience::new(crate::model::limits::LEDGER_WAIT_S);
        loop {
            match $attempt {
                Ok(done) => break Ok(done),
                Err(error) => {
                    if let Err(error) = patience.after(&$ledger.place, &error).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}
use {on, patiently};

/// An entry on its way: its bytes, and what is taken from it.
struct Outgoing<'a> {
    nonce: String,
    entry: &'a Entry,
    body: String,
    columns: Columns,
}

impl<'a> Outgoing<'a> {
    fn new(nonce: String, entry: &'a Entry) -> Result<Self, LedgerError> {
        let body = String::from_utf8(entry.to_bytes()).unwrap_or_default(); // JSON is UTF-8.
        if body.len() > limits::ENTRY_SIZE_BYTES_MAX {
            let why =
                format!("the entry has {} bytes; {} are allowed", body.len(), limits::ENTRY_SIZE_BYTES_MAX);
            return Err(LedgerError::Refused(why));
        }
        let columns = Columns::from(entry);
        let texts = [&columns.repository, &columns.tag, &columns.outcome, &columns.group, &columns.owner];
        if texts.iter().any(|text| text.contains('\0')) {
            return Err(LedgerError::Refused("a text of the entry has a NUL".to_owned()));
        }
        Ok(Self { nonce, entry, body, columns })
    }
}

/// Adds entries in a transaction that holds the lock; those that are there already are found by their names. With `$anew`
/// none, and no rows, if others are there.
macro_rules! insert {
    ($tx:expr, $outgoing:expr, $anew:expr) => {{
        let mut rows = Vec::new();
        let head = query(HEAD).fetch_optional(&mut *$tx).await?;
        if $anew && head.is_some() {
            let ours = match $outgoing.first() {
                Some(first) => query(FIND).bind(&first.nonce).fetch_optional(&mut *$tx).await?.is_some(),
                None => false,
            };
            if !ours {
                return Ok(rows);
            }
        }
        let (mut last, mut previous) = match head {
            Some(head) => (head.try_get::<i64, _>(0)?, digest(&head.try_get::<String, _>(1)?)?),
            None => (0, Digest::of(b"")),
        };
        for one in $outgoing {
            if let Some(found) = query(FIND).bind(&one.nonce).fetch_optional(&mut *$tx).await? {
                let texts = (found.try_get(0)?, found.try_get(1)?, found.try_get(2)?);
                rows.push(row(texts, one.entry)?);
                continue;
            }
            let number = last + 1;
            let digest = Row::digest_of(number.cast_unsigned(), &previous, one.body.as_bytes());
            let Columns { repository, tag, image, kind, outcome, at_s, group, owner, conditions } =
                &one.columns;
            query(INSERT)
                .bind(number)
                .bind(previous.to_string())
                .bind(digest.to_string())
                .bind(&one.nonce)
                .bind(&one.body)
                .bind(repository)
                .bind(tag)
                .bind(image)
                .bind(kind)
                .bind(outcome)
                .bind(at_s)
                .bind(group)
                .bind(owner)
                .bind(conditions)
                .execute(&mut *$tx)
                .await?;
            query(NEWEST_OF_IMAGE)
                .bind(repository)
                .bind(tag)
                .bind(image)
                .bind(kind)
                .bind(conditions)
                .bind(number)
                .execute(&mut *$tx)
                .await?;
            query(NEWEST_OF_TAG)
                .bind(repository)
                .bind(tag)
                .bind(if tag.is_empty() { image.as_str() } else { "" })
                .bind(kind)
                .bind(image)
                .bind(number)
                .execute(&mut *$tx)
                .await?;
            rows.push(Row { number: number.cast_unsigned(), previous, digest, entry: one.entry.clone() });
            (last, previous) = (number, digest);
        }
        rows
    }};
}

impl Ledger {
    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Adds `entry` at the end, in one transaction that others wait for.
    ///
    /// # Errors
    /// [`LedgerError`]: then it is not there, unless the error is [`LedgerError::Unreachable`]: then nobody knows.
    pub async fn append(&self, entry: &Entry) -> Result<Row, LedgerError> {
        let mut rows = self.append_all(std::slice::from_ref(entry)).await?;
        rows.pop().ok_or_else(|| LedgerError::Refused("nothing to write".to_owned()))
    }

    /// Adds `entry` under a name of the caller's; if an entry of that name is there, it is left and its row is given.
    /// For what may be done again after a crash.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub async fn append_once(&self, name: &str, entry: &Entry) -> Result<Row, LedgerError> {
        let outgoing = vec![Outgoing::new(Self::named(name)?, entry)?];
        let mut rows = self.insert(&outgoing, false).await?;
        rows.pop().ok_or_else(|| LedgerError::Refused("nothing to write".to_owned()))
    }

    /// Adds `entries` in their order, all or none.
    ///
    /// # Errors
    /// As [`Ledger::append`]; and if they are more than [`limits::ENTRIES_AT_ONCE_MAX`].
    pub async fn append_all(&self, entries: &[Entry]) -> Result<Vec<Row>, LedgerError> {
        if entries.len() > limits::ENTRIES_AT_ONCE_MAX {
            let why =
                format!("{} entries at once; {} are allowed", entries.len(), limits::ENTRIES_AT_ONCE_MAX);
            return Err(LedgerError::Refused(why));
        }
        self.insert(&Self::outgoing(entries)?, false).await
    }

    /// `entries`, each under a name of its own.
    fn outgoing(entries: &[Entry]) -> Result<Vec<Outgoing<'_>>, LedgerError> {
        let id = host::random_id().map_err(|error| LedgerError::Refused(error.to_string()))?;
        let named = entries.iter().enumerate();
        let outgoing = named.map(|(index, entry)| {
            let name = match (entry.kind, &entry.evidence) {
                (Kind::Promoted | Kind::Undone, Some(evidence)) => Entry::promotion_name(evidence),
                _ => format!("{id}/{index}"),
            };
            Outgoing::new(name, entry)
        });
        outgoing.collect()
    }

    async fn insert(&self, outgoing: &[Outgoing<'_>], anew: bool) -> Result<Vec<Row>, LedgerError> {
        patiently!(self, self.try_insert(outgoing, anew).await)
    }

    async fn try_insert(&self, outgoing: &[Outgoing<'_>], anew: bool) -> Result<Vec<Row>, sqlx::Error> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                let rows = insert!(tx, outgoing, anew);
                tx.commit().await?;
                Ok(rows)
            }
            Pool::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                query("SELECT pg_advisory_xact_lock($1)").bind(APPENDING).execute(&mut *tx).await?;
                let rows = insert!(tx, outgoing, anew);
                tx.commit().await?;
                Ok(rows)
            }
        }
    }

    /// Number and digest of the last row; 0 and the digest of no bytes of an empty ledger.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn head(&self) -> Result<(u64, Digest), LedgerError> {
        patiently!(self, self.try_head().await)
    }

    async fn try_head(&self) -> Result<(u64, Digest), sqlx::Error> {
        on!(self, |pool| match query(HEAD).fetch_optional(pool).await? {
            Some(row) =>
                Ok((row.try_get::<i64, _>(0)?.cast_unsigned(), digest(&row.try_get::<String, _>(1)?)?)),
            None => Ok((0, Digest::of(b""))),
        })
    }

    /// Closes its connections; what was written is in the file itself then, not beside it.
    pub async fn close(self) {
        on!(self, |pool| pool.close().await);
    }

    /// `name`, if a table may hold it.
    fn named(name: &str) -> Result<String, LedgerError> {
        if name.is_empty() || name.len() > limits::LEDGER_NAME_SIZE_BYTES_MAX || name.contains('\0') {
            let max = limits::LEDGER_NAME_SIZE_BYTES_MAX;
            return Err(LedgerError::Refused(format!("a name has 1 to {max} bytes, none of them NUL")));
        }
        Ok(name.to_owned())
    }
}

/// A digest of a row that ought to be one.
fn digest(text: &str) -> Result<Digest, sqlx::Error> {
    text.parse()
        .map_err(|_| sqlx::Error::Decode("the last row's digest is none: `reprov ledger check`".into()))
}

fn row(found: (i64, String, String), entry: &Entry) -> Result<Row, sqlx::Error> {
    let (number, previous, own) = found;
    Ok(Row {
        number: number.cast_unsigned(),
        previous: digest(&previous)?,
        digest: digest(&own)?,
        entry: entry.clone(),
    })
}
