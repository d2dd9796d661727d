//! `reprov report`.

use std::path::PathBuf;

use super::{
    Context,
    failure::{Exit, Failure},
    global::Format,
    ledger::LedgerArgs,
    rebuild::parse_verdict,
    report::file,
    verify::parse_time,
};
use crate::{
    inventory::Span,
    job::night::{gather, since, until},
    model::Verdict,
    report::night::{NightForm, Report, Rules, Standing},
};

/// How long an image may not be judged before it is overdue, where nobody says otherwise.
const OVERDUE: &str = "8d";

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// What was known then is old (RFC 3339) [default: the begin of the last audit, else a day ago]
    #[arg(long, value_name = "TIME", value_parser = parse_time, env = "REPROV_REPORT_SINCE")]
    since: Option<i64>,
    /// As of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_time, env = "REPROV_REPORT_UNTIL")]
    until: Option<i64>,
    /// Only images of this group
    #[arg(long, env = "REPROV_REPORT_GROUP")]
    group: Option<String>,
    /// Only images of this owner
    #[arg(long, env = "REPROV_REPORT_OWNER")]
    owner: Option<String>,
    /// How long an image may not be judged before it is overdue
    #[arg(long, value_name = "SPAN", default_value = OVERDUE, env = "REPROV_REPORT_OVERDUE")]
    overdue: Span,
    /// Take this verdict for a yes too
    #[arg(long, value_name = "VERDICT", value_parser = parse_verdict)]
    accept: Vec<Verdict>,
    /// Write the report to this file instead
    #[arg(long, value_name = "FILE", env = "REPROV_REPORT_OUT")]
    out: Option<PathBuf>,
}

fn form(format: Format) -> NightForm {
    match format {
        Format::Json => NightForm::Json,
        Format::Html => NightForm::Html,
        Format::Markdown => NightForm::Markdown,
        Format::Junit => NightForm::Junit,
        Format::Sarif => NightForm::Sarif,
        Format::Text | Format::Dot | Format::Svg | Format::Koji => NightForm::Text, // The last three were refused before.
    }
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            return Err(Failure::usage_text("--since is later than --until".to_owned()));
        }
        let ledger = self.ledger.open_existing(context).await?;
        let until = until(&ledger, self.until).await?;
        let since = since(&ledger, self.since, until).await?;
        let report = gather(&ledger, since, until, &self.rules()).await?;
        ledger.close().await;
        self.known(&report)?;
        let form = form(context.global.format);
        match &self.out {
            Some(path) => file("--out", path, &report.render(form))?,
            None => context.console.answer(&report, &report.render(form)),
        }
        Ok(exit(&report))
    }

    fn rules(&self) -> Rules {
        Rules {
            overdue_s: Some(self.overdue.as_s()),
            accept: self.accept.iter().copied().collect(),
            group: self.group.clone(),
            owner: self.owner.clone(),
            ..Rules::default()
        }
    }

    /// A name that no image has would look as if all were well.
    fn known(&self, report: &Report) -> Result<(), Failure> {
        if !report.images.is_empty() || report.whole.retired > 0 {
            return Ok(());
        }
        let asked = [("group", &self.group), ("owner", &self.owner)];
        match asked.into_iter().find_map(|(what, name)| Some((what, name.as_deref()?))) {
            Some((what, name)) => {
                Err(Failure::usage_text(format!("the ledger has no image of the {what} `{name}`")))
            }
            None => Ok(()),
        }
    }
}

fn exit(report: &Report) -> Exit {
    match report.worst() {
        Some(Standing::Wrong) => Exit::Findings,
        Some(Standing::Good) if report.whole.overdue == 0 => Exit::Ok,
        Some(Standing::Good | Standing::Unknown) | None => Exit::Unavailable,
    }
}
