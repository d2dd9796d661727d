//! Sizes on the command line.

use crate::model::limits::MAXIMUM_BYTES_MIN;

/// `10G`, `512MiB`, `1000`: K, M, G and T are powers of 1024.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "write a number of bytes, or one with K, M, G or T: 20G".to_owned();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let power = match unit.to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" if !unit.eq_ignore_ascii_case("i") => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << (10 * power)).ok_or_else(wrong)
}

/// A size that a build may use; what is too small for any is a unit forgotten.
pub(super) fn parse_maximum(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        bytes if bytes < MAXIMUM_BYTES_MIN => {
            Err(format!("{bytes} bytes are too few for any build; write 4G for 4 GiB, 512M for 512 MiB"))
        }
        bytes => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1000", Some(1000)),
            ("12B", Some(12)),
            ("2k", Some(2048)),
            ("2KiB", Some(2048)),
            ("3MB", Some(3 << 20)),
            ("20G", Some(20 << 30)),
            ("1T", Some(1 << 40)),
            ("", None),
            ("G", None),
            ("1i", None),
            ("1.5G", None),
            ("-1", None),
            ("1X", None),
            ("99999999T", None),
        ] {
            assert_eq!(parse_size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_forgotten_unit_is_no_maximum() {
        assert_eq!(parse_maximum("512M"), Ok(512 << 20));
        for text in ["0", "4", "1023K", "x"] {
            assert!(parse_maximum(text).unwrap_err().contains('G'), "{text}");
        }
    }
}
