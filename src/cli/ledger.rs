//! `--ledger`, and `reprov ledger`.

use super::{Context, failure::Failure};
use crate::ledger::{Ledger, LedgerError, Place, PlaceError};

/// The ledger's name beside the store.
const FILE_NAME: &str = "ledger.sqlite";

/// Where the ledger is.
#[derive(Debug, clap::Args)]
pub(super) struct LedgerArgs {
    /// The ledger: a file, or postgres://USER@HOST/DATABASE [default: ledger.sqlite beside the store]
    #[arg(long, value_name = "PATH|URL", value_parser = place, env = "REPROV_LEDGER", hide_env_values = true)]
    pub(super) ledger: Option<Place>,
}

/// Reads a place; a URL that cannot be one is not shown, since it may hold a password.
pub(super) fn place(text: &str) -> Result<Place, PlaceError> {
    text.parse()
}

impl LedgerArgs {
    /// Where it is.
    pub(super) fn place(&self, context: &Context<'_>) -> Result<Place, Failure> {
        if let Some(place) = &self.ledger {
            return Ok(place.clone());
        }
        let store = context.global.store_dir()?;
        let beside = store.parent().unwrap_or(&store);
        Ok(Place::File(beside.join(FILE_NAME)))
    }

    /// Opens it, and makes it if need be.
    pub(super) async fn open(&self, context: &Context<'_>) -> Result<Ledger, Failure> {
        let place = self.place(context)?;
        if let Place::File(path) = &place
            && self.ledger.is_none()
            && let Some(dir) = path.parent()
        {
            std::fs::create_dir_all(dir).map_err(Failure::unavailable)?;
        }
        Ok(Ledger::open(&place).await?)
    }

    /// Opens it if it is there: for those who only read.
    pub(super) async fn open_existing(&self, context: &Context<'_>) -> Result<Ledger, Failure> {
        Ok(Ledger::open_existing(&self.place(context)?).await?)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let hint = match &error {
            LedgerError::Newer { .. } => Some("use the reprov that made it, or a newer one"),
            LedgerError::Absent(_) => Some("name it with --ledger PATH|URL, or REPROV_LEDGER"),
            LedgerError::Damaged { .. } => {
                Some("bring back a copy, or make it again with `reprov ledger rebuild` from the registries")
            }
            LedgerError::Row { .. } => {
                Some("`reprov ledger check` says which rows are not as they were written")
            }
            _ => None,
        };
        let failure = if error.is_usage() { Self::usage(error) } else { Self::unavailable(error) };
        hint.into_iter().fold(failure, |failure, hint| failure.hint(hint.to_owned()))
    }
}
