//! `reprov store`.

use super::{
    Context,
    failure::{Exit, Failure},
    size::parse_size,
};
use crate::job::clean::{Keep, Verb, clean};

/// How long blobs are kept if nothing is said.
const KEEP_DAYS: u32 = 30;

/// `store` has four commands.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Says how large the store is, by kind
    Du,
    /// Removes least recently used blobs and old logs of failed builds; builds may run
    ///
    /// A blob's age counts from when reprov last asked for it (its file's modification time). What a running reprov
    /// may need stays.
    Gc {
        /// Remove what was not used for so many days [default: 30, unless --max-size is given]
        #[arg(long, value_name = "N", env = "REPROV_STORE_KEEP_DAYS")]
        keep_days: Option<u32>,
        /// Remove the least recently used until the blobs take no more (bytes, or with K, M, G, T)
        #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "REPROV_STORE_MAX_SIZE")]
        max_size: Option<u64>,
        /// Remove the stores of base images too, unless a build runs
        #[arg(long)]
        bases: bool,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
    /// Removes what killed builds left, and temporary files older than a day
    Prune {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
    /// Removes the whole store; refused while another reprov uses it
    Rm {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

impl Command {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let (verb, dry_run) = match *self {
            Self::Du => (Verb::Du, false),
            Self::Gc { keep_days, max_size, bases, dry_run } => {
                let days = keep_days.or(max_size.is_none().then_some(KEEP_DAYS));
                (Verb::Gc(Keep { days, size_bytes: max_size, bases: !bases }), dry_run)
            }
            Self::Prune { dry_run } => (Verb::Prune, dry_run),
            Self::Rm { dry_run } => (Verb::Rm, dry_run),
        };
        let answer =
            clean(&context.global.store_dir()?, verb, dry_run).await.map_err(Failure::unavailable)?;
        context.console.answer(&answer, &answer.text());
        Ok(Exit::Ok)
    }
}
