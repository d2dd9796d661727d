//! How long a build may run.

use std::{fmt, str::FromStr, time::Duration};

use crate::model::limits::BUILD_TIMEOUT_S_MAX;

/// A positive number of whole seconds, written `90s`, `30m`, `1h` or a sum such as `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout(u64);

/// Why a text is not a timeout.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeoutError {
    /// Not numbers with units.
    #[error("`{0}` is not a time; write `90s`, `30m` or `1h`")]
    Syntax(String),
    /// Zero, or past [`BUILD_TIMEOUT_S_MAX`].
    #[error("`{0}` is not between 1s and 168h")]
    Range(String),
}

impl Timeout {
    /// One hour.
    pub const DEFAULT: Self = Self(3600);

    /// The time as a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Timeout {
    type Err = TimeoutError;
    fn from_str(text: &str) -> Result<Self, TimeoutError> {
        let shown = || text.chars().take(100).collect::<String>();
        let syntax = || TimeoutError::Syntax(shown());
        let mut total_s = 0_u64;
        let mut rest = text;
        while !rest.is_empty() || text.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let unit_s = match rest.as_bytes().get(digits) {
                Some(b's') => 1,
                Some(b'm') => 60,
                Some(b'h') => 3600,
                _ => return Err(syntax()),
            };
            if digits == 0 {
                return Err(syntax());
            }
            let count = rest[..digits].parse::<u64>().map_err(|_| TimeoutError::Range(shown()))?;
            total_s = total_s.saturating_add(count.saturating_mul(unit_s));
            rest = &rest[digits + 1..];
        }
        if (1..=BUILD_TIMEOUT_S_MAX).contains(&total_s) {
            Ok(Self(total_s))
        } else {
            Err(TimeoutError::Range(shown()))
        }
    }
}

impl fmt::Display for Timeout {
    /// Writes the largest unit that divides it; reads back as the same time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s.is_multiple_of(3600) => write!(f, "{}h", s / 3600),
            s if s.is_multiple_of(60) => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        let check = |text: &str, expected: &str| {
            let timeout: Timeout = text.parse().unwrap();
            assert_eq!(timeout.to_string(), expected);
            assert_eq!(expected.parse(), Ok(timeout));
        };
        check("90s", "90s");
        check("30m", "30m");
        check("1h", "1h");
        check("60m", "1h");
        check("1h30m", "90m");
        check("168h", "168h");
    }

    #[test]
    fn refuses() {
        for text in ["", "1", "h", "1d", "-1s", "1.5h", "1h ", " 1h", "1h30", "１h"] {
            assert!(matches!(text.parse::<Timeout>(), Err(TimeoutError::Syntax(_))), "{text}");
        }
        for text in ["0s", "169h", "99999999999999999999999s", "18446744073709551615h"] {
            assert!(matches!(text.parse::<Timeout>(), Err(TimeoutError::Range(_))), "{text}");
        }
    }
}
