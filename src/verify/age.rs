//! How old something is, and whether that will do.

use super::{Code, Finding};
use crate::model::rfc3339;

/// Clocks of two machines differ by so much.
const SKEW_S: i64 = 300;

/// Whether `what`, made at `made_s`, is not too old; findings if it is, or if nobody can tell.
pub(super) fn check(what: &str, made_s: Option<i64>, max_age_s: Option<i64>, now_s: i64) -> Option<Finding> {
    let Some(made_s) = made_s else {
        let text = format!("{what} must be fresh, but does not say when it was made");
        return max_age_s.map(|_| Finding::new(Code::TimeMissing, text));
    };
    if made_s > now_s.saturating_add(SKEW_S) {
        let text = format!("{what} says it was made on {}, which is later than now", rfc3339(made_s));
        return Some(Finding::new(Code::FromTheFuture, text));
    }
    let old = max_age_s.filter(|max| now_s.saturating_sub(made_s) > *max);
    old.map(|max| {
        let text = format!("{what} of {} is older than the {} allowed", rfc3339(made_s), shown(max));
        Finding::new(Code::Stale, text)
    })
}

/// `30d`, `12h`, `90m`.
pub(super) fn shown(span_s: i64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let fit = units.into_iter().find(|(unit, _)| span_s % unit == 0);
    fit.map_or_else(|| format!("{span_s}s"), |(unit, name)| format!("{}{name}", span_s / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_old_from_fresh() {
        let code = |made, max| check("it", made, max, 1000).map(|finding| finding.code);
        assert_eq!(code(Some(900), Some(100)), None);
        assert_eq!(code(Some(899), Some(100)), Some(Code::Stale));
        assert_eq!(code(Some(0), None), None);
        assert_eq!(code(None, Some(1)), Some(Code::TimeMissing));
        assert_eq!(code(None, None), None);
        assert_eq!(code(Some(1300), None), None);
        assert_eq!(code(Some(1301), Some(9)), Some(Code::FromTheFuture));
        assert_eq!(code(Some(i64::MIN), Some(9)), Some(Code::Stale));
        assert_eq!([shown(86_400 * 30), shown(5400), shown(61)], ["30d", "90m", "61s"]);
    }
}
