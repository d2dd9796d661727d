//! Numbers as tar headers and PAX records write them.

/// Reads a numeric header field: octal digits framed by spaces and NULs, or base-256 with its mark bit; an
/// empty field is 0. Nothing else.
pub(super) fn header(field: &[u8]) -> Option<i64> {
    match field.first()? {
        0x80 => base256(0, &field[1..]),
        0xff => base256(-1, &field[1..]),
        _ => octal(field),
    }
}

fn base256(sign: i64, bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(sign, |value, byte| value.checked_mul(256)?.checked_add(i64::from(*byte)))
}

fn octal(field: &[u8]) -> Option<i64> {
    let mut rest = field.iter().skip_while(|byte| **byte == b' ');
    let mut value = 0_i64;
    for byte in rest.by_ref() {
        match byte {
            b'0'..=b'7' => value = value.checked_mul(8)?.checked_add(i64::from(byte - b'0'))?,
            b' ' | 0 => break,
            _ => return None,
        }
    }
    rest.all(|byte| matches!(byte, b' ' | 0)).then_some(value)
}

/// Reads decimal digits, nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a PAX time (`-1.5`): whole seconds, floored, and the nanoseconds above them.
pub(super) fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    let whole = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    match (negative, nanos) {
        (false, _) => Some((whole, nanos)),
        (true, 0) => Some((-whole, 0)),
        (true, _) => Some((-whole - 1, 1_000_000_000 - nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        assert_eq!(header(b"0000644\0"), Some(0o644));
        assert_eq!(header(b"  644 \0\0"), Some(0o644));
        assert_eq!(header(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(header(b"\x80\0\0\0\0\x20\0\0"), Some(1 << 21));
        assert_eq!(header(b"\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        for bad in
            [&b"0000648\0"[..], b"-000644\0", b"64 4\0\0\0\0", b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(header(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(time(b"12"), Some((12, 0)));
        assert_eq!(time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(time(b"-1.5"), Some((-2, 500_000_000)));
        assert_eq!(time(b"12.0000000009"), Some((12, 0)));
        for bad in [&b""[..], b"+1", b"1e3", b"1.x", b"--1", b".5", b"99999999999999999999"] {
            assert_eq!(time(bad), None, "{bad:?}");
        }
    }
}
