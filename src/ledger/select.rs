//! Reading rows, a page at a time: as many as one asks for in bounded memory, and a server may restart in between.

use sqlx::{AssertSqlSafe, Row as _, query};

use super::{Ledger, LedgerError, on, patiently};
use crate::{
    entry::{
        Kind, Row,
        chain::{Columns, RawRow},
    },
    model::{Digest, limits::LEDGER_PAGE_ROWS},
};

const COLUMNS: &str = "e.number, e.previous, e.digest, e.body, e.repository, e.tag, e.image, e.kind, e.outcome, e.at_s, \
                       e.grouped, e.owner, e.conditions";

/// Which rows. The default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this repository.
    pub repository: Option<String>,
    /// Asked for by this tag.
    pub tag: Option<String>,
    /// Of the image of this digest.
    pub image: Option<Digest>,
    /// Of the images of these digests, [`IMAGES_AT_ONCE_MAX`] at most; none: of all.
    pub images: Vec<Digest>,
    /// Of no image: names that led to none.
    pub nowhere: bool,
    /// Of these kinds; none: of all.
    pub kinds: Vec<Kind>,
    /// Of this group.
    pub group: Option<String>,
    /// Of this owner.
    pub owner: Option<String>,
    /// Finished then or later, seconds since 1970.
    pub since_s: Option<i64>,
    /// Finished before then, seconds since 1970.
    pub before_s: Option<i64>,
    /// With a larger number.
    pub after: u64,
    /// With no larger number.
    pub up_to: Option<u64>,
}

/// Most digests in one [`Filter`]: databases bound what one query may be given.
pub const IMAGES_AT_ONCE_MAX: usize = 500;

/// Of what the newest entry is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Of each (repository, tag, digest, kind, conditions).
    Image,
    /// Of each (repository, tag, kind), whatever image the tag named; without a tag, of each (repository, digest, kind).
    Tag,
}

/// What is bound to a place of a query.
#[derive(Debug, Clone)]
enum Bound {
    Text(String),
    Number(i64),
}

/// The query of a [`Select`], for either database.
macro_rules! bound {
    ($select:expr) => {{
        let mut asked = query(AssertSqlSafe($select.text.as_str()));
        for bound in &$select.bound {
            asked = match bound {
                Bound::Text(text) => asked.bind(text.clone()),
                Bound::Number(number) => asked.bind(*number),
            };
        }
        asked
    }};
}

/// `$first, …, $last`.
fn places(first: usize, last: usize) -> String {
    (first..=last).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

/// A query's text and what is bound in it.
struct Select {
    text: String,
    bound: Vec<Bound>,
}

impl Select {
    /// Rows of `from` that `filter` lets through. `key`: what of `from` is asked for a row's number, repository, tag, image
    /// and kind, which entries and the list of the newest both have; its index is the one that is used.
    fn new(from: &str, key: &str, filter: &Filter) -> Self {
        Self::what(COLUMNS, from, key, filter)
    }

    fn what(columns: &str, from: &str, key: &str, filter: &Filter) -> Self {
        let text = format!("SELECT {columns} FROM {from} WHERE {key}.number > $1");
        let mut select = Self { text, bound: Vec::new() };
        select.bound.push(Bound::Number(filter.after.try_into().unwrap_or(i64::MAX)));
        let texts = [
            (format!("{key}.repository = "), filter.repository.clone()),
            (format!("{key}.tag = "), filter.tag.clone()),
            (format!("{key}.image = "), filter.image.map(|digest| digest.to_string())),
            (format!("{key}.image = "), filter.nowhere.then(String::new)),
            ("e.grouped = ".to_owned(), filter.group.clone()),
            ("e.owner = ".to_owned(), filter.owner.clone()),
        ];
        for (what, text) in texts {
            if let Some(text) = text {
                select.and(&what, Bound::Text(text));
            }
        }
        if !filter.images.is_empty() {
            let first = select.bound.len() + 1;
            select.bound.extend(filter.images.iter().map(|digest| Bound::Text(digest.to_string())));
            select.text.push_str(&format!(" AND {key}.image IN ({})", places(first, select.bound.len())));
        }
        let up_to = filter.up_to.map(|number| number.try_into().unwrap_or(i64::MAX));
        let numbers =
            [("e.at_s >= ", filter.since_s), ("e.at_s < ", filter.before_s), ("e.number <= ", up_to)];
        for (what, number) in numbers {
            if let Some(number) = number {
                select.and(what, Bound::Number(number));
            }
        }
        if !filter.kinds.is_empty() {
            // Names of ours, without a quote in them.
            let names: Vec<_> = filter.kinds.iter().map(|kind| format!("'{}'", kind.name())).collect();
            select.text.push_str(&format!(" AND {key}.kind IN ({})", names.join(", ")));
        }
        select
    }

    /// A page of them, by number.
    fn paged(mut self, key: &str) -> Self {
        self.text.push_str(&format!(" ORDER BY {key}.number LIMIT {LEDGER_PAGE_ROWS}"));
        self
    }

    fn and(&mut self, what: &str, bound: Bound) {
        self.bound.push(bound);
        self.text.push_str(&format!(" AND {what}${}", self.bound.len()));
    }
}

impl Ledger {
    /// Shows `visit` every row that `filter` lets through, by number.
    ///
    /// # Errors
    /// [`LedgerError`], [`LedgerError::Row`] for a row that is not as it was written.
    pub async fn rows(&self, filter: &Filter, visit: impl FnMut(Row)) -> Result<(), LedgerError> {
        self.read(Select::new("reprov_entries e", "e", filter).paged("e"), visit).await
    }

    /// The last row that `filter` lets through.
    ///
    /// # Errors
    /// As [`Ledger::rows`].
    pub async fn newest(&self, filter: &Filter) -> Result<Option<Row>, LedgerError> {
        let mut select = Select::new("reprov_entries e", "e", filter);
        select.text.push_str(" ORDER BY e.number DESC LIMIT 1");
        let page = patiently!(self, self.page(&select).await)?;
        page.into_iter().next().map(read).transpose()
    }

    /// Shows `visit` the newest row of each image or tag, and of each kind, by number. `filter` is asked of the newest
    /// rows alone: one that is not let through does not make an older one the newest. What is asked of images by their
    /// digests takes as long as they have entries, not as the ledger has.
    ///
    /// # Errors
    /// As [`Ledger::rows`].
    pub async fn last(&self, filter: &Filter, per: Per, visit: impl FnMut(Row)) -> Result<(), LedgerError> {
        if per == Per::Image && !filter.images.is_empty() {
            return self.last_of_images(filter, visit).await;
        }
        let list = match per {
            Per::Image => "reprov_newest_images",
            Per::Tag => "reprov_newest_tags",
        };
        let from = format!("{list} l JOIN reprov_entries e ON e.number = l.number");
        self.read(Select::new(&from, "l", filter).paged("l"), visit).await
    }

    /// A page by number would sort all that is left of these images: their numbers are asked for first.
    async fn last_of_images(&self, filter: &Filter, mut visit: impl FnMut(Row)) -> Result<(), LedgerError> {
        let from = "reprov_newest_images l JOIN reprov_entries e ON e.number = l.number";
        let select = Select::what("l.number", from, "l", filter);
        let mut numbers = patiently!(self, self.numbers(&select).await)?;
        numbers.sort_unstable();
        for chunk in numbers.chunks(usize::try_from(LEDGER_PAGE_ROWS).unwrap_or(1)) {
            let text = format!(
                "SELECT {COLUMNS} FROM reprov_entries e WHERE e.number IN ({}) ORDER BY e.number",
                places(1, chunk.len())
            );
            let bound = chunk.iter().map(|number| Bound::Number(*number)).collect();
            let select = Select { text, bound };
            for raw in patiently!(self, self.page(&select).await)? {
                visit(read(raw)?);
            }
        }
        Ok(())
    }

    /// Shows `visit` every row as the database has it, by number.
    ///
    /// # Errors
    /// [`LedgerError`] of the database.
    pub async fn raw(&self, mut visit: impl FnMut(RawRow)) -> Result<(), LedgerError> {
        // A number that was made 0 or less must not hide a row.
        let mut select = Select::new("reprov_entries e", "e", &Filter::default()).paged("e");
        select.bound[0] = Bound::Number(i64::MIN);
        self.pages(select, |row| {
            visit(row);
            Ok(())
        })
        .await
    }

    async fn read(&self, select: Select, mut visit: impl FnMut(Row)) -> Result<(), LedgerError> {
        self.pages(select, |raw| {
            visit(read(raw)?);
            Ok(())
        })
        .await
    }

    async fn pages(
        &self,
        mut select: Select,
        mut visit: impl FnMut(RawRow) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        loop {
            let page = patiently!(self, self.page(&select).await)?;
            let full = page.len() == usize::try_from(LEDGER_PAGE_ROWS).unwrap_or(usize::MAX);
            if let Some(last) = page.last() {
                select.bound[0] = Bound::Number(last.number);
            }
            for row in page {
                visit(row)?;
            }
            if !full {
                return Ok(());
            }
        }
    }

    async fn numbers(&self, select: &Select) -> Result<Vec<i64>, sqlx::Error> {
        on!(self, |pool| {
            let rows = bound!(select).fetch_all(pool).await?;
            rows.iter().map(|row| row.try_get(0)).collect()
        })
    }

    async fn page(&self, select: &Select) -> Result<Vec<RawRow>, sqlx::Error> {
        on!(self, |pool| {
            let asked = bound!(select);
            let mut page = Vec::new();
            for row in asked.fetch_all(pool).await? {
                page.push(RawRow {
                    number: row.try_get(0)?,
                    previous: row.try_get(1)?,
                    digest: row.try_get(2)?,
                    body: row.try_get(3)?,
                    columns: Columns {
                        repository: row.try_get(4)?,
                        tag: row.try_get(5)?,
                        image: row.try_get(6)?,
                        kind: row.try_get(7)?,
                        outcome: row.try_get(8)?,
                        at_s: row.try_get(9)?,
                        group: row.try_get(10)?,
                        owner: row.try_get(11)?,
                        conditions: row.try_get(12)?,
                    },
                });
            }
            Ok(page)
        })
    }
}

/// A row that is as it was written.
fn read(raw: RawRow) -> Result<Row, LedgerError> {
    let number = raw.number.cast_unsigned();
    Row::try_from(raw).map_err(|why| LedgerError::Row { number, why })
}
