//! `reprov explain`.

use std::collections::BTreeSet;

use clap::builder::PossibleValuesParser;

use super::{
    Context,
    failure::{Exit, Failure},
};
use crate::report::explain::Explain;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A code, as answers have it; without it, all are listed
    #[arg(hide_possible_values = true, value_parser = codes())]
    code: Option<String>,
}

fn codes() -> PossibleValuesParser {
    // A word of two kinds is one value.
    let codes: BTreeSet<_> = Explain::all().map(|entry| entry.code).collect();
    codes.into_iter().collect::<Vec<_>>().into()
}

impl Args {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let answer = Explain::of(self.code.as_deref());
        let answer = answer.ok_or_else(|| Failure::usage_text("nothing has this code".to_owned()))?;
        context.console.answer(&answer, &answer.text());
        Ok(Exit::Ok)
    }
}
