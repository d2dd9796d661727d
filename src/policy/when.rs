//! Times and spans as policies write them.

use crate::model::time::parse_rfc3339;

const DAY_S: i64 = 24 * 3600;

/// A day (`2027-06-30`) or a time (RFC 3339): its first second, since 1970.
pub(super) fn first_s(text: &str) -> Option<i64> {
    if text.len() == 10 { parse_rfc3339(&format!("{text}T00:00:00Z")) } else { parse_rfc3339(text) }
}

/// The last second of a day, or a time itself.
pub(super) fn last_s(text: &str) -> Option<i64> {
    let first = first_s(text)?;
    Some(if text.len() == 10 { first + DAY_S - 1 } else { first })
}

/// `30d`, `12h`, `4w`, `90m`: in seconds.
pub(super) fn span_s(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_s = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => DAY_S,
        "w" => 7 * DAY_S,
        _ => return None,
    };
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<i64>().ok().filter(|number| plain && *number > 0)?.checked_mul(unit_s)
}

/// 1 for `mon` to 7 for `sun`.
pub(super) fn weekday(text: &str) -> Option<i8> {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let at = days.iter().position(|day| *day == text)?;
    i8::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_days_and_times() {
        assert_eq!(first_s("1970-01-02"), Some(DAY_S));
        assert_eq!(last_s("1970-01-02"), Some(2 * DAY_S - 1));
        assert_eq!(last_s("1970-01-01T00:01:00Z"), Some(60));
        for text in ["", "tomorrow", "1970-13-01", "1970-01-01T00:00", "01.02.1970"] {
            assert_eq!(first_s(text), None, "{text}");
        }
    }

    #[test]
    fn reads_spans() {
        assert_eq!(
            [span_s("30d"), span_s("12h"), span_s("2w")],
            [Some(30 * DAY_S), Some(43_200), Some(14 * DAY_S)]
        );
        for text in
            ["", "d", "0d", "-1d", "1y", "1", "99999999999999999999d", "999999999999999999w", "+1d", "1é"]
        {
            assert_eq!(span_s(text), None, "{text}");
        }
        assert_eq!((weekday("mon"), weekday("sun"), weekday("Mon")), (Some(1), Some(7), None));
    }
}
