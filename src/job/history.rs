//! `history`: the rows of an image, and of its tag.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    entry::Row,
    ledger::{Filter, Ledger, LedgerError},
    model::{Digest, limits::HISTORY_ROWS_MAX},
};

/// Whose life.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The repository.
    pub repository: String,
    /// The tag, if it was named by one.
    pub tag: Option<String>,
    /// The image, if it was named by its digest.
    pub image: Option<Digest>,
    /// Nothing older, seconds since 1970.
    pub since_s: Option<i64>,
}

/// Rows of `asked`, by number. By digest: of that image, in whatever repository. By tag: of the tag, and of each image it
/// named, in its repository. By both: of the image alone. By neither: of the repository.
///
/// # Errors
/// [`LedgerError`]; also if they are more than [`HISTORY_ROWS_MAX`].
pub async fn history(ledger: &Ledger, asked: &Asked) -> Result<Vec<Row>, LedgerError> {
    let mut found = BTreeMap::new();
    if let Some(image) = asked.image {
        let filter = Filter { image: Some(image), since_s: asked.since_s, ..Filter::default() };
        gather(ledger, &filter, &mut found).await?;
        return Ok(found.into_values().collect());
    }
    let filter = Filter {
        repository: Some(asked.repository.clone()),
        tag: asked.tag.clone(),
        since_s: asked.since_s,
        ..Filter::default()
    };
    gather(ledger, &filter, &mut found).await?;
    if asked.tag.is_some() {
        // What the tag named before --since lives on after it.
        let (ever, mut images) = (Filter { since_s: None, ..filter.clone() }, BTreeSet::new());
        ledger
            .rows(&ever, |row| images.extend([row.entry.digest, row.entry.before].into_iter().flatten()))
            .await?;
        for image in images {
            // Another tag of the same image has a life of its own.
            let filter = Filter { tag: Some(String::new()), image: Some(image), ..filter.clone() };
            gather(ledger, &filter, &mut found).await?;
        }
    }
    Ok(found.into_values().collect())
}

async fn gather(ledger: &Ledger, filter: &Filter, found: &mut BTreeMap<u64, Row>) -> Result<(), LedgerError> {
    let mut more = 0_usize;
    ledger
        .rows(filter, |row| {
            if found.len() < HISTORY_ROWS_MAX {
                found.insert(row.number, row);
            } else {
                more += 1;
            }
        })
        .await?;
    if more == 0 {
        return Ok(());
    }
    let why = format!("more than {HISTORY_ROWS_MAX} rows; ask for less with --since");
    Err(LedgerError::Refused(why))
}
