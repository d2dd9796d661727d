//! How far an audit is, and how long the rest may take.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use super::due::StepKind;

/// Counts of one kind of step.
#[derive(Debug, Default, Clone)]
struct Count {
    /// Left, with a duration known from before, and their sum.
    known: u64,
    known_ms: u64,
    /// Left, never done before.
    unknown: u64,
    /// Done in this run, and their sum.
    done: u64,
    done_ms: u64,
    /// So many run at a time.
    beside: u64,
}

/// What is left.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<(BTreeMap<StepKind, Count>, u64)>);

impl Tally {
    /// Nothing yet; so many of each kind run at a time.
    pub(super) fn new(beside: impl Fn(StepKind) -> usize) -> Self {
        let kinds = [StepKind::Verify, StepKind::Replay, StepKind::Live];
        let count = |kind| {
            let beside = u64::try_from(beside(kind)).unwrap_or(u64::MAX).max(1);
            (kind, Count { beside, ..Count::default() })
        };
        Self(Mutex::new((kinds.map(count).into(), 0)))
    }

    /// One more to do, which took `expected_ms` the last time.
    pub(super) fn add(&self, kind: StepKind, expected_ms: Option<u64>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.1 += 1;
        let count = all.0.entry(kind).or_default();
        match expected_ms {
            Some(ms) => {
                count.known += 1;
                count.known_ms = count.known_ms.saturating_add(ms);
            }
            None => count.unknown += 1,
        }
    }

    /// One is done, or will not be; `took_ms` if it says something about the others.
    pub(super) fn done(&self, kind: StepKind, expected_ms: Option<u64>, took_ms: Option<u64>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.0.entry(kind).or_default();
        match expected_ms {
            Some(ms) => {
                count.known = count.known.saturating_sub(1);
                count.known_ms = count.known_ms.saturating_sub(ms);
            }
            None => count.unknown = count.unknown.saturating_sub(1),
        }
        if let Some(ms) = took_ms {
            count.done += 1;
            count.done_ms = count.done_ms.saturating_add(ms);
        }
    }

    /// How long a step may take, in milliseconds: as the last time, else as the mean of this run's.
    pub(super) fn expected_ms(&self, kind: StepKind, last_ms: Option<u64>) -> Option<u64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last_ms.or_else(|| all.0.get(&kind).and_then(Count::mean_ms))
    }

    /// `12 of 40, about 3 min left`; without a guess where nothing tells.
    pub(super) fn shown(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left: u64 = all.0.values().map(|count| count.known + count.unknown).sum();
        let mut text = format!("{} of {}", all.1.saturating_sub(left), all.1);
        if left == 0 {
            return text;
        }
        let spans: Option<Vec<u64>> = all.0.values().map(Count::left_ms).collect();
        let _ = match spans.map(|spans| spans.iter().sum::<u64>().div_ceil(1000)) {
            None => write!(text, ", no telling how long the rest takes"),
            Some(s) if s < 90 => write!(text, ", about {s} s left"),
            Some(s) if s < 90 * 60 => write!(text, ", about {} min left", s.div_ceil(60)),
            Some(s) => write!(text, ", about {} h left", s.div_ceil(3600)),
        };
        text
    }
}

impl Count {
    fn mean_ms(&self) -> Option<u64> {
        self.done_ms.checked_div(self.done)
    }

    /// What the rest takes; none if nothing tells.
    fn left_ms(&self) -> Option<u64> {
        let mean = self.mean_ms().or_else(|| self.known_ms.checked_div(self.known));
        let unknown = if self.unknown == 0 { 0 } else { mean?.saturating_mul(self.unknown) };
        Some(self.known_ms.saturating_add(unknown) / self.beside.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_only_what_something_tells() {
        let tally = Tally::new(|kind| if kind == StepKind::Verify { 16 } else { 2 });
        assert_eq!(tally.shown(), "0 of 0");
        tally.add(StepKind::Verify, None);
        tally.add(StepKind::Replay, Some(60_000));
        tally.add(StepKind::Replay, Some(180_000));
        assert_eq!(tally.shown(), "0 of 3, no telling how long the rest takes");
        assert_eq!(tally.expected_ms(StepKind::Verify, None), None);
        tally.done(StepKind::Verify, None, Some(500));
        assert_eq!(tally.expected_ms(StepKind::Verify, None), Some(500));
        assert_eq!(tally.shown(), "1 of 3, about 2 min left");
        tally.done(StepKind::Replay, Some(180_000), None);
        assert_eq!(tally.shown(), "2 of 3, about 30 s left");
        tally.done(StepKind::Replay, Some(60_000), Some(50_000));
        assert_eq!(tally.shown(), "3 of 3");
    }
}
