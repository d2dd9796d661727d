//! All rows, one after the other, against the chain, in bounded memory.

use std::collections::BTreeSet;

use sqlx::{Row as _, query};

use super::{Ledger, LedgerError, on, patiently};
use crate::{
    entry::chain::{Chain, Fault},
    model::{Digest, limits::LEDGER_FAULTS_MAX},
};

/// What looking at all rows came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How many rows there are.
    pub rows: u64,
    /// Number and digest of the last one; of no bytes if there is none.
    pub head: (u64, Digest),
    /// What is not as it was written, by number; the first [`LEDGER_FAULTS_MAX`].
    pub faults: Vec<Fault>,
    /// How many faults there are in all.
    pub faults_count: u64,
}

/// Repositories of which the newest entry of some kind is not the one that is listed.
const IMAGES: &str = "SELECT repository FROM ( \
    SELECT repository, tag, image, kind, conditions, MAX(number) AS number FROM reprov_entries \
    GROUP BY repository, tag, image, kind, conditions \
    EXCEPT SELECT repository, tag, image, kind, conditions, number FROM reprov_newest_images) missing \
    UNION SELECT repository FROM ( \
    SELECT repository, tag, image, kind, conditions, number FROM reprov_newest_images EXCEPT \
    SELECT repository, tag, image, kind, conditions, MAX(number) FROM reprov_entries \
    GROUP BY repository, tag, image, kind, conditions) wrong \
    ORDER BY 1 LIMIT 100";

/// The same of tags, by the list that was looked at before.
const TAGS: &str = "SELECT repository FROM ( \
    SELECT repository, tag, CASE WHEN tag = '' THEN image ELSE '' END AS own, kind, MAX(number) AS number \
    FROM reprov_newest_images GROUP BY repository, tag, CASE WHEN tag = '' THEN image ELSE '' END, kind \
    EXCEPT SELECT repository, tag, own, kind, number FROM reprov_newest_tags) missing \
    UNION SELECT repository FROM ( \
    SELECT repository, tag, own, kind, number FROM reprov_newest_tags EXCEPT \
    SELECT repository, tag, CASE WHEN tag = '' THEN image ELSE '' END AS own, kind, MAX(number) AS number \
    FROM reprov_newest_images GROUP BY repository, tag, CASE WHEN tag = '' THEN image ELSE '' END, kind) wrong \
    UNION SELECT l.repository FROM reprov_newest_tags l JOIN reprov_entries e ON e.number = l.number \
    WHERE e.image <> l.image ORDER BY 1 LIMIT 100";

impl Ledger {
    /// Looks at every row: whether it is as it was written, follows the one before it, and none is missing. A chain that
    /// was cut off at its end, or written anew from some row on, is whole by itself: that only `noted`, a head that was
    /// written down elsewhere, can tell.
    ///
    /// # Errors
    /// [`LedgerError`] if the rows cannot be read; what is wrong with them is part of the answer.
    pub async fn check(&self, noted: Option<(u64, Digest)>) -> Result<Checked, LedgerError> {
        let mut chain = Chain::new(noted);
        let mut checked =
            Checked { rows: 0, head: (chain.number, chain.digest), faults: Vec::new(), faults_count: 0 };
        self.raw(|row| {
            checked.rows += 1;
            chain.take(&row).into_iter().for_each(|fault| checked.found(fault));
        })
        .await?;
        chain.end().into_iter().for_each(|fault| checked.found(fault));
        checked.head = (chain.number, chain.digest);
        let wrong = [
            patiently!(self, self.wrongly_listed(IMAGES).await)?,
            patiently!(self, self.wrongly_listed(TAGS).await)?,
        ];
        for repository in wrong.into_iter().flatten().collect::<BTreeSet<_>>() {
            checked.found(Fault::Latest { repository });
        }
        Ok(checked)
    }

    async fn wrongly_listed(&self, list: &'static str) -> Result<Vec<String>, sqlx::Error> {
        on!(self, |pool| {
            let rows = query(list).fetch_all(pool).await?;
            rows.iter().map(|row| row.try_get(0)).collect()
        })
    }
}

impl Checked {
    fn found(&mut self, fault: Fault) {
        self.faults_count += 1;
        if self.faults.len() < LEDGER_FAULTS_MAX {
            self.faults.push(fault);
        }
    }
}
