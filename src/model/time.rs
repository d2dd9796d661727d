//! Times as text.

/// `epoch_s` seconds since 1970 as RFC 3339 in UTC, whole seconds (`2026-11-24T21:15:12Z`).
///
/// A value outside what RFC 3339 can say (years 1 to 9999) is clamped to that range.
#[must_use]
pub fn rfc3339(epoch_s: i64) -> String {
    let clamped = epoch_s.clamp(-62_135_596_800, 253_402_207_200);
    jiff::Timestamp::from_second(clamped)
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default() // Unreachable: the clamp above keeps it in range.
}

/// Reads RFC 3339; seconds since 1970.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        assert_eq!(rfc3339(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(parse_rfc3339("2023-11-14T22:13:20Z"), Some(1_700_000_000));
        assert_eq!(parse_rfc3339("yesterday"), None);
        assert_eq!(rfc3339(i64::MAX).len(), 20);
    }
}
