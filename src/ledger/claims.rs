//! Claims: who works on what, so that two audits of one inventory share it. Not chained: a claim is nobody's outcome.

use sqlx::{Row as _, query};

use super::{Ledger, LedgerError, Pool, on, patiently};

/// A claim that was given. It ends by itself: whoever works on holds it with [`Ledger::renew`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// On what.
    pub name: String,
    /// Whose it is.
    pub holder: String,
    /// When it ends, seconds since 1970 by the database's clock.
    pub until_s: i64,
}

impl Pool {
    /// The database's clock: hosts that share it need not agree on the time.
    pub(super) fn now(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "CAST(strftime('%s', 'now') AS BIGINT)",
            Self::Postgres(_) => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT)",
        }
    }
}

impl Ledger {
    /// Claims `name` for `holder`, for `for_s` seconds; `None` if somebody else has it. Who holds it may claim it again.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn claim(&self, name: &str, holder: &str, for_s: u64) -> Result<Option<Claim>, LedgerError> {
        let (name, holder) = (Self::named(name)?, Self::named(holder)?);
        patiently!(self, self.try_claim(&name, &holder, for_s).await)
    }

    async fn try_claim(&self, name: &str, holder: &str, for_s: u64) -> Result<Option<Claim>, sqlx::Error> {
        let now = self.pool.now();
        let text = format!(
            "INSERT INTO reprov_claims (name, holder, until_s) VALUES ($1, $2, {now} + $3) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_s = excluded.until_s \
             WHERE reprov_claims.until_s <= {now} OR reprov_claims.holder = excluded.holder RETURNING until_s"
        );
        let for_s = i64::try_from(for_s).unwrap_or(i64::MAX / 2).min(i64::MAX / 2);
        on!(self, |pool| {
            let asked = query(sqlx::AssertSqlSafe(text)).bind(name).bind(holder).bind(for_s);
            let given = asked.fetch_optional(pool).await?;
            given
                .map(|row| {
                    let until_s = row.try_get(0)?;
                    Ok(Claim { name: name.to_owned(), holder: holder.to_owned(), until_s })
                })
                .transpose()
        })
    }

    /// Holds `claim` for another `for_s` seconds from now; `None` if it ended and somebody else has it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn renew(&self, claim: &Claim, for_s: u64) -> Result<Option<Claim>, LedgerError> {
        self.claim(&claim.name, &claim.holder, for_s).await
    }

    /// Gives `claim` back, if it is still held.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn release(&self, claim: &Claim) -> Result<(), LedgerError> {
        patiently!(self, self.try_release(claim).await)
    }

    async fn try_release(&self, claim: &Claim) -> Result<(), sqlx::Error> {
        const RELEASE: &str = "DELETE FROM reprov_claims WHERE name = $1 AND holder = $2";
        on!(self, |pool| {
            query(RELEASE).bind(&claim.name).bind(&claim.holder).execute(pool).await?;
            Ok(())
        })
    }
}
