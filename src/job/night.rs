//! What reports are made of: the ledger's rows at both ends of a span, and what was counted in between.

use crate::{
    host,
    ledger::{Ledger, LedgerError, Run},
    report::night::{Known, Report, Rules, Span, Tally, report},
};

/// Runs that are looked through for the end of the last one that ended.
const RUNS_MAX: u32 = 100;
/// Without a run, and without a time: the last day.
const DAY_S: i64 = 24 * 3600;

/// A moment of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Rows with larger numbers came later.
    pub number: u64,
    /// When that was, seconds since 1970.
    pub at_s: i64,
}

/// What was known at `moment`.
///
/// # Errors
/// [`LedgerError`].
pub async fn known(ledger: &Ledger, moment: Moment) -> Result<Vec<Known>, LedgerError> {
    let rows = ledger.as_of(moment.number).await?;
    Ok(rows.into_iter().map(|(number, entry)| Known { number, entry }).collect())
}

/// The moment of a time; without one, now.
///
/// # Errors
/// [`LedgerError`].
pub async fn until(ledger: &Ledger, time_s: Option<i64>) -> Result<Moment, LedgerError> {
    Ok(match time_s {
        Some(at_s) => Moment { number: ledger.number_at(at_s).await?, at_s },
        None => Moment { number: ledger.head().await?.0, at_s: host::now_s() },
    })
}

/// The moment that a report begins at: that of a time, else the begin of the last run before `until`, with the runs that
/// were killed before it, else a day before `until`.
///
/// # Errors
/// [`LedgerError`].
pub async fn since(ledger: &Ledger, time_s: Option<i64>, until: Moment) -> Result<Moment, LedgerError> {
    if let Some(at_s) = time_s {
        return Ok(Moment { number: ledger.number_at(at_s).await?, at_s });
    }
    let runs = ledger.runs(None, RUNS_MAX).await?;
    let mut earlier = runs.into_iter().filter(|run| run.began_s <= until.at_s && run.before <= until.number);
    let begin = |run: &Run| Moment { number: run.before, at_s: run.began_s };
    let Some(mut moment) = earlier.next().map(|run| begin(&run)) else {
        let at_s = until.at_s - DAY_S;
        return Ok(Moment { number: ledger.number_at(at_s).await?, at_s });
    };
    for run in earlier {
        // What had ended before that began was in an earlier report.
        if run.last.is_some_and(|last| last <= moment.number) {
            break;
        }
        moment = begin(&run);
    }
    Ok(moment)
}

/// The report of what happened from `since` to `until`.
///
/// # Errors
/// [`LedgerError`].
pub async fn gather(
    ledger: &Ledger,
    since: Moment,
    until: Moment,
    rules: &Rules,
) -> Result<Report, LedgerError> {
    let (group, owner) = (rules.group.as_deref(), rules.owner.as_deref());
    let (before, now, counted) = tokio::try_join!(
        known(ledger, since),
        known(ledger, until),
        ledger.counted(until.number, until.at_s, group, owner),
    )?;
    let tallies: Vec<Tally> = counted
        .into_iter()
        .map(|counted| Tally {
            night: counted.night,
            kind: counted.kind,
            outcome: counted.outcome,
            images: counted.images,
        })
        .collect();
    let span = Span { since_s: since.at_s, until_s: until.at_s };
    Ok(report(&before, &now, &tallies, span, rules))
}
