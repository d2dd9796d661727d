//! Dates, times and epochs inside bytes.

use std::ops::Range;

use super::view::Context;
use crate::model::time::parse_rfc3339;

/// Shapes of times, longest first. `W` weekday, `B` month's name, `N` in capitals, `Y` `m` `d` `H` `M` `S` digits (`S` with an
/// optional fraction), `e` a day of one or two digits, `z` a zone, `E` seconds since 1970 or thousandths, millionths, billionths of one;
/// anything else stands for itself.
const SHAPES: &[&str] = &[
    "W, d B Y H:M:S z",
    "W, d B Y H:M:S",
    "W B e H:M:S z Y",
    "W B e H:M:S Y",
    "W e B Y H:M:S z",
    "e N Y H:M",
    "Y-m-dTH:M:Sz",
    "Y-m-dTH:M:S",
    "Y-m-dTH_M_S",
    "Y-m-d H:M:S z",
    "Y-m-d  H:M:S",
    "Y-m-d H:M:S",
    "Y-m-d H:Mz",
    "Y/m/d H:M:S",
    "d/B/Y:H:M:S z",
    "W B e Y",
    "Y-m-d",
    "Y/m/d",
    "B e Y",
    "B e, Y",
    "e B Y",
    "YmdHMS",
    "YmdTHMSz",
    "B e H:M:S",
    "B e H:M",
    "H:M:S",
    "E",
];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// What stands in the place of a time in masked bytes.
pub(super) const MASK: u8 = 1;

/// A time in some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) range: Range<usize>,
    /// First and last second it may mean; nothing for a time of any day.
    pub(super) span: Option<(i64, i64)>,
}

/// Every time in `bytes`, in order.
pub(super) fn scan(bytes: &[u8]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let starts = bytes[at].is_ascii_alphanumeric() && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric());
        match if starts { SHAPES.iter().find_map(|shape| read(shape, bytes, at)) } else { None } {
            Some(time) => {
                at = time.range.end;
                found.push(time);
            }
            None => at += 1,
        }
    }
    found
}

/// `bytes` with every time replaced by one [`MASK`].
pub(super) fn masked(bytes: &[u8], times: &[Found]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for time in times {
        out.extend_from_slice(&bytes[from..time.range.start]);
        out.push(MASK);
        from = time.range.end;
    }
    out.extend_from_slice(&bytes[from..]);
    out
}

/// Two texts with times masked, if every time that differs may be one of its own build's.
///
/// Nothing if the texts have a different number of times, or a time no clock of the builds showed.
pub(super) fn mask_both(a: &[u8], b: &[u8], context: &Context) -> Option<(Vec<u8>, Vec<u8>)> {
    let (times_a, times_b) = (scan(a), scan(b));
    let possible = |(one, other): (&Found, &Found)| {
        a[one.range.clone()] == b[other.range.clone()]
            || (one.span.is_none_or(|span| context.touches(0, span))
                && other.span.is_none_or(|span| context.touches(1, span)))
    };
    let all = times_a.len() == times_b.len() && times_a.iter().zip(&times_b).all(possible);
    all.then(|| (masked(a, &times_a), masked(b, &times_b)))
}

#[derive(Default)]
struct Parts {
    date: Option<()>,
    year: i64,
    month: i64,
    day: i64,
    time: Option<()>,
    hour: i64,
    minute: i64,
    second: i64,
    offset_s: i64,
    epoch: Option<i64>,
}

fn read(shape: &str, bytes: &[u8], start: usize) -> Option<Found> {
    let mut parts = Parts::default();
    let mut at = start;
    for element in shape.bytes() {
        at += element_length(element, &bytes[at..], &mut parts)?;
    }
    if bytes.get(at).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let span = match (parts.epoch, parts.date) {
        (Some(epoch), _) => Some((epoch, epoch)),
        (None, Some(())) => Some(parts.span()?),
        (None, None) => None,
    };
    Some(Found { range: start..at, span })
}

/// How many bytes `element` takes, noting what they say.
fn element_length(element: u8, bytes: &[u8], parts: &mut Parts) -> Option<usize> {
    let named = |names: &[&str]| names.iter().position(|name| bytes.starts_with(name.as_bytes()));
    match element {
        b'W' => named(&WEEKDAYS).map(|_| 3),
        b'B' => {
            parts.month = i64::try_from(named(&MONTHS)? + 1).ok()?;
            Some(3)
        }
        b'N' => {
            let upper = bytes.get(..3)?.iter().all(u8::is_ascii_uppercase);
            let names = |name: &str| name.as_bytes().eq_ignore_ascii_case(&bytes[..3]);
            parts.month =
                i64::try_from(MONTHS.iter().position(|name| names(name)).filter(|_| upper)? + 1).ok()?;
            Some(3)
        }
        b'Y' => {
            parts.date = Some(());
            parts.year = number(bytes, 4, 1970..=2199)?;
            Some(4)
        }
        b'm' => number(bytes, 2, 1..=12).map(|month| parts.month = month).map(|()| 2),
        b'd' => number(bytes, 2, 1..=31).map(|day| parts.day = day).map(|()| 2),
        b'e' => day(bytes, parts),
        b'H' => number(bytes, 2, 0..=23).map(|hour| parts.hour = hour).map(|()| 2),
        b'M' => number(bytes, 2, 0..=59).map(|minute| parts.minute = minute).map(|()| 2),
        b'S' => {
            parts.time = Some(());
            parts.second = number(bytes, 2, 0..=60)?.min(59);
            Some(2 + fraction(&bytes[2..]))
        }
        b'z' => zone(bytes, parts),
        b'E' => epoch(bytes, parts),
        literal => (bytes.first() == Some(&literal)).then_some(1),
    }
}

fn number(bytes: &[u8], digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let digits = bytes.get(..digits)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok().filter(|value| range.contains(value))
}

fn day(bytes: &[u8], parts: &mut Parts) -> Option<usize> {
    let padded = usize::from(bytes.first() == Some(&b' '));
    let digits = bytes[padded..].iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
    parts.day = number(&bytes[padded..], digits, 1..=31)?;
    Some(padded + digits)
}

fn fraction(bytes: &[u8]) -> usize {
    let digits = || bytes[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    match bytes.first() {
        Some(b'.' | b',') if digits() > 0 => 1 + digits(),
        _ => 0,
    }
}

fn zone(bytes: &[u8], parts: &mut Parts) -> Option<usize> {
    for name in ["UTC", "GMT", "Z"] {
        if bytes.starts_with(name.as_bytes()) {
            return Some(name.len());
        }
    }
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let colon = usize::from(bytes.get(3) == Some(&b':'));
    let (hours, minutes) = (number(&bytes[1..], 2, 0..=14)?, number(bytes.get(3 + colon..)?, 2, 0..=59)?);
    parts.offset_s = sign * (hours * 3600 + minutes * 60);
    Some(5 + colon)
}

fn epoch(bytes: &[u8], parts: &mut Parts) -> Option<usize> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = number(bytes, digits, 0..=i64::MAX)?;
    let seconds = match digits {
        10 => value,
        13 => value / 1000,
        16 => value / 1_000_000,
        19 => value / 1_000_000_000,
        _ => return None,
    };
    // 2000 to 2100, else any long number would be a time.
    (946_684_800..4_102_444_800).contains(&seconds).then(|| {
        parts.epoch = Some(seconds);
        digits + fraction(&bytes[digits..])
    })
}

impl Parts {
    fn span(&self) -> Option<(i64, i64)> {
        let Self { year, month, day, hour, minute, second, .. } = self;
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        let start = parse_rfc3339(&text)? - self.offset_s;
        Some((start, if self.time.is_some() { start } else { start + 86_399 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<_> = scan(text.as_bytes()).into_iter().map(|found| &text[found.range]).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn finds_times() {
        check("Start-Date: 2026-11-24  21:15:12\n", &["2026-11-24  21:15:12"]);
        check("[2026-11-24T21:15:12.123456Z] x", &["2026-11-24T21:15:12.123456Z"]);
        check("at 2026-11-24T22:15:12+01:00,", &["2026-11-24T22:15:12+01:00"]);
        check("Tue Nov 24 21:15:12 UTC 2026", &["Tue Nov 24 21:15:12 UTC 2026"]);
        check("Tue, 24 Nov 2026 21:15:12 +0000", &["Tue, 24 Nov 2026 21:15:12 +0000"]);
        check("Dec  1 2026 / 09:05:00", &["Dec  1 2026", "09:05:00"]);
        check("(INITEX)  29 NOV 2026 11:20", &["29 NOV 2026 11:20"]);
        check("t=1795554912 ms=1795554912123", &["1795554912", "1795554912123"]);
        check("2026-11-24, 20261124211512", &["2026-11-24", "20261124211512"]);
        check("4096 Nov 30 03:11 a, Nov  3 03:11:59 b", &["Nov 30 03:11", "Nov  3 03:11:59"]);
        check("2026-11-30 03:35+0000 1796009735960448747", &["2026-11-30 03:35+0000", "1796009735960448747"]);
        check("1:2:3 99:99:99 2026-13-40 v1.2.3 12345 9999999999 x2026-11-24 2026-11-24x", &[]);
    }

    #[test]
    fn spans() {
        let span = |text: &str| scan(text.as_bytes())[0].span;
        assert_eq!(span("2023-11-14 22:13:20"), Some((1_700_000_000, 1_700_000_000)));
        assert_eq!(span("2023-11-14T23:13:20+01:00"), Some((1_700_000_000, 1_700_000_000)));
        assert_eq!(span("2023-11-14"), Some((1_699_920_000, 1_700_006_399)));
        assert_eq!(span("22:13:20"), None);
    }

    #[test]
    fn only_times_of_the_builds() {
        let windows = [(1_700_000_000, 1_700_000_100), (1_710_000_000, 1_710_000_100)];
        let context = Context { windows: Some(windows), ..Context::default() };
        let same =
            |a: &str, b: &str| mask_both(a.as_bytes(), b.as_bytes(), &context).is_some_and(|(a, b)| a == b);
        assert!(same("at 1700000001, since 1600000000", "at 1710000001, since 1600000000"));
        assert!(!same("at 1700000001", "at 1700000002"));
        assert!(!same("at 1700000001", "at 1710000001 1710000002"));
        assert!(!same("at 1700000001", "by 1710000001"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[0-9 :TZMonNovE.,+-]{0,60}") {
            let _ = scan(text.as_bytes());
        }
    }
}
