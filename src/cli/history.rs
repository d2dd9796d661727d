//! `reprov history`.

use super::{
    Context,
    failure::{Exit, Failure},
    global::image_name,
    ledger::LedgerArgs,
    verify::parse_time,
};
use crate::{
    job::history::{Asked, history},
    report::history::History,
};

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image, by tag or digest; nothing is fetched
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Leave out what was finished before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = parse_time, env = "REPROV_HISTORY_SINCE")]
    since: Option<i64>,
    #[command(flatten)]
    ledger: LedgerArgs,
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let name = image_name("", &self.image)?;
        let ledger = self.ledger.open_existing(context).await?;
        let asked = Asked {
            repository: name.repository(),
            tag: name.selector.tag.clone(),
            image: name.selector.digest,
            since_s: self.since,
        };
        let rows = history(&ledger, &asked).await?;
        ledger.close().await;
        let answer = History::new(name.to_string(), asked.tag.as_deref(), rows);
        context.console.answer(&answer, &answer.text());
        Ok(Exit::Ok)
    }
}
