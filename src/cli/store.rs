//! `reprov store`.

use super::{
    Context,
    failure::{Exit, Failure},
};
use crate::job::clean::{Keep, Verb, clean};

/// How long blobs are kept if nothing is said.
const KEEP_DAYS: u32 = 30;

/// `store` has four commands.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Says how large the store is, by kind
    Du,
    /// Removes the blobs that were used least recently, and no others; builds may run meanwhile
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

/// `10G`, `512MiB`, `1000`: K, M, G and T are powers of 1024.
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "write a number of bytes, or one with K, M, G or T: 20G".to_owned();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let power = match unit.to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" if !unit.eq_ignore_ascii_case("i") => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << (10 * power)).ok_or_else(wrong)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1000", Some(1000)),
            ("12B", Some(12)),
            ("2k", Some(2048)),
            ("2KiB", Some(2048)),
            ("3MB", Some(3 << 20)),
            ("20G", Some(20 << 30)),
            ("1T", Some(1 << 40)),
            ("", None),
            ("G", None),
            ("1i", None),
            ("1.5G", None),
            ("-1", None),
            ("1X", None),
            ("99999999T", None),
        ] {
            assert_eq!(parse_size(text).ok(), expected, "{text}");
        }
    }
}
