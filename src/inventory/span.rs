//! Spans of time as inventories and `audit --for` write them.

use std::{fmt, str::FromStr, time::Duration};

/// A positive number of whole seconds, written `90m`, `6h`, `7d`, `2w` or a sum such as `1d12h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

/// Longest span: ten years.
const SPAN_S_MAX: u64 = 3650 * DAY_S;
const DAY_S: u64 = 24 * 3600;
const UNITS: [(char, u64); 5] = [('w', 7 * DAY_S), ('d', DAY_S), ('h', 3600), ('m', 60), ('s', 1)];

/// Why a text is not a span.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Not numbers with units.
    #[error("`{0}` is not a span of time; write a number with s, m, h, d or w: `90m`, `6h`, `7d`")]
    Syntax(String),
    /// Zero, or past ten years.
    #[error("`{0}` is not between 1s and 3650d")]
    Range(String),
}

impl Span {
    /// So many seconds, at least one, at most ten years.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(if seconds == 0 {
            1
        } else if seconds > SPAN_S_MAX {
            SPAN_S_MAX
        } else {
            seconds
        })
    }

    /// As seconds.
    #[must_use]
    pub fn as_s(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX) // Ten years fit.
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Span {
    type Err = SpanError;
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let shown = || text.chars().take(100).collect::<String>();
        let (mut total_s, mut rest) = (0_u64, text);
        loop {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let unit = rest[digits..].chars().next();
            let unit_s = UNITS.iter().find(|(letter, _)| Some(*letter) == unit).map(|(_, unit_s)| *unit_s);
            let (true, Some(unit_s)) = (digits > 0, unit_s) else { return Err(SpanError::Syntax(shown())) };
            let count = rest[..digits].parse::<u64>().map_err(|_| SpanError::Range(shown()))?;
            total_s = total_s.saturating_add(count.saturating_mul(unit_s));
            rest = &rest[digits + 1..];
            if rest.is_empty() {
                break;
            }
        }
        if (1..=SPAN_S_MAX).contains(&total_s) { Ok(Self(total_s)) } else { Err(SpanError::Range(shown())) }
    }
}

impl fmt::Display for Span {
    /// Writes the largest unit that divides it, weeks aside; reads back as the same span.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit_s): &&(char, u64)| self.0.is_multiple_of(*unit_s);
        let (letter, unit_s) = UNITS[1..].iter().find(fits).unwrap_or(&('s', 1));
        write!(f, "{}{letter}", self.0 / unit_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, expected) in [
            ("90m", "90m"),
            ("6h", "6h"),
            ("7d", "7d"),
            ("2w", "14d"),
            ("1d12h", "36h"),
            ("24h", "1d"),
            ("5s", "5s"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string(), expected);
            assert_eq!(expected.parse(), Ok(span));
        }
    }

    #[test]
    fn refuses() {
        for text in ["", "7", "d", "-1d", "1.5h", "7 d", "1y", "1d12", "１d", "1é"] {
            assert!(matches!(text.parse::<Span>(), Err(SpanError::Syntax(_))), "{text}");
        }
        for text in ["0s", "3651d", "99999999999999999999w", "18446744073709551615w"] {
            assert!(matches!(text.parse::<Span>(), Err(SpanError::Range(_))), "{text}");
        }
    }
}
