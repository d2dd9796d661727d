//! Days on which nothing is released.

use super::super::{Code, Finding, judge::Case};
use crate::{model::rfc3339, policy::Closed};

/// Whether now is such a day, in UTC.
pub(in crate::verify) fn closed(case: &Case<'_>) -> Vec<Finding> {
    let weekday = weekday(case.now_s);
    let holds = |closed: &&Closed| match closed {
        Closed::Weekday(day) => *day == weekday,
        Closed::Days { from_s, to_s } => (*from_s..=*to_s).contains(&case.now_s),
    };
    let found = case.policy.closed.iter().find(holds);
    let text = || format!("nothing is released on {}", rfc3339(case.now_s));
    found.map(|_| Finding::new(Code::Closed, text())).into_iter().collect()
}

/// 1 is Monday; the first day of 1970 was a Thursday.
fn weekday(epoch_s: i64) -> i8 {
    let days = epoch_s.div_euclid(24 * 3600);
    i8::try_from((days + 3).rem_euclid(7) + 1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_days() {
        // 2026-11-30 is a Monday.
        assert_eq!([weekday(0), weekday(-1), weekday(1_796_000_000)], [4, 3, 1]);
    }
}
