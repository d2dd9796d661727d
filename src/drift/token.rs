//! Random-looking tokens in texts and names.

use bstr::{BString, ByteSlice as _};

/// What two tokens in one place look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Twelve hex digits each: how engines name containers.
    Container,
    /// Drawn at random.
    Random,
}

/// The pairs of tokens in which two texts differ, if they differ in nothing else.
pub(super) fn differing<'a>(a: &'a [u8], b: &'a [u8]) -> Option<Vec<(&'a [u8], &'a [u8])>> {
    let (lines_a, lines_b): (Vec<_>, Vec<_>) =
        (a.lines_with_terminator().collect(), b.lines_with_terminator().collect());
    if lines_a.len() != lines_b.len() {
        return None;
    }
    let mut pairs = Vec::new();
    for (one, other) in lines_a.into_iter().zip(lines_b).filter(|(one, other)| one != other) {
        if names_a_digest(one) || names_a_digest(other) {
            return None;
        }
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        pairs.extend(aligned(one, other, plain).or_else(|| aligned(one, other, base64))?);
    }
    Some(pairs)
}

/// Whether two texts differ in nothing but ids of git's (40 or 64 hex digits) and names of containers.
pub(super) fn differing_ids(a: &[u8], b: &[u8]) -> bool {
    let id = |text: &[u8]| matches!(text.len(), 40 | 64) && text.iter().all(u8::is_ascii_hexdigit);
    let known = |(a, b): &(&[u8], &[u8])| {
        let (one, other) = (a.strip_prefix(b"pack-").unwrap_or(a), b.strip_prefix(b"pack-").unwrap_or(b));
        (id(one) && id(other) && one.len() == other.len()) || kind(a, b) == Some(Kind::Container)
    };
    differing(a, b).is_some_and(|pairs| pairs.iter().all(known))
}

/// A digest of something else is no random token: what it is of has changed.
fn names_a_digest(line: &[u8]) -> bool {
    const WORDS: [&str; 8] = ["sha1", "sha256", "sha384", "sha512", "md5", "integrity", "checksum", "digest"];
    let line = line.to_ascii_lowercase();
    WORDS.iter().any(|word| line.contains_str(word))
}

fn aligned<'a>(a: &'a [u8], b: &'a [u8], part: fn(&u8) -> bool) -> Option<Vec<(&'a [u8], &'a [u8])>> {
    let (mut rest_a, mut rest_b) = (a, b);
    let mut pairs = Vec::new();
    while !rest_a.is_empty() || !rest_b.is_empty() {
        let length = |rest: &[u8]| rest.iter().take_while(|byte| part(byte)).count();
        let (token_a, after_a) = rest_a.split_at(length(rest_a));
        let (token_b, after_b) = rest_b.split_at(length(rest_b));
        if after_a.first() != after_b.first() {
            return None;
        }
        if token_a != token_b {
            let whole = is_uuid(token_a) && is_uuid(token_b);
            pairs.push(if whole { (token_a, token_b) } else { trimmed(token_a, token_b) });
        }
        (rest_a, rest_b) = (after_a.get(1..).unwrap_or_default(), after_b.get(1..).unwrap_or_default());
    }
    Some(pairs)
}

/// Two tokens without the words joined to them by `-` or `_` that they share.
fn trimmed<'a>(a: &'a [u8], b: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let joint = |byte: &u8| matches!(byte, b'-' | b'_');
    let common = a.iter().zip(b).take_while(|(one, other)| one == other).count();
    let start = a[..common].iter().rposition(joint).map_or(0, |at| at + 1);
    let (a, b) = (&a[start..], &b[start..]);
    let common = a.iter().rev().zip(b.iter().rev()).take_while(|(one, other)| one == other).count();
    let tail = a[a.len() - common..].iter().position(joint).map_or(0, |at| common - at);
    (&a[..a.len() - tail], &b[..b.len() - tail])
}

/// What a pair of tokens looks like, if it looks random.
pub(super) fn kind(a: &[u8], b: &[u8]) -> Option<Kind> {
    let differing = a.iter().zip(b).filter(|(one, other)| one != other).count();
    if is_uuid(a) && is_uuid(b) && differing >= UUID_DIFFERING_MIN {
        return Some(Kind::Random); // Those of a time and a machine have parts in common.
    }
    if a.len() != b.len() || differing * 2 < a.len() {
        return None;
    }
    let case = |token: &[u8]| {
        [u8::is_ascii_uppercase, u8::is_ascii_lowercase].map(|is: fn(&u8) -> bool| token.iter().any(is))
    };
    if is_hex_text(a) && is_hex_text(b) && case(a) != case(b) {
        return None; // Nothing writes one in capitals and the other not.
    }
    let hex = |token: &[u8]| {
        token.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
            && token.iter().any(u8::is_ascii_alphabetic)
            && token.iter().any(u8::is_ascii_digit)
    };
    let mixed = |token: &[u8]| {
        token.iter().any(u8::is_ascii_uppercase)
            && token.iter().any(u8::is_ascii_lowercase)
            && token.iter().any(|byte| byte.is_ascii_digit() || token.len() < 16)
    };
    match a.len() {
        12 if hex(a) && hex(b) && !a.contains(&b'-') => Some(Kind::Container),
        8.. if hex(a) && hex(b) => Some(Kind::Random),
        10.. if mixed(a) && mixed(b) => Some(Kind::Random),
        _ => None,
    }
}

/// Digits in which two UUIDs of one machine differ at least, drawn a while apart.
const UUID_DIFFERING_MIN: usize = 4;

fn is_hex_text(token: &[u8]) -> bool {
    token.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

/// `path` with every component that `mktemp` or its like named replaced, if there is one.
pub(super) fn mask_random_name(path: &[u8]) -> Option<BString> {
    let mut masked = BString::default();
    let mut any = false;
    for (index, component) in path.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            masked.push(b'/');
        }
        let random = random_part(component);
        any |= random.is_some();
        masked.extend_from_slice(random.unwrap_or(component));
        masked.extend(random.map(|_| b'\0'));
    }
    any.then_some(masked)
}

/// The fixed beginning of a name that ends in random characters: `tmp.XXXXXXXXXX` (mktemp), `tmpxxxxxxxx`
/// (Python), `name-<uuid>`.
fn random_part(name: &[u8]) -> Option<&[u8]> {
    let alphanumeric = |part: &[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if let Some(rest) = name.strip_prefix(b"tmp.") {
        return ((6..=12).contains(&rest.len()) && alphanumeric(rest)).then_some(b"tmp.");
    }
    if let Some(rest) = name.strip_prefix(b"tmp") {
        // Python's may have an end: `tmpab_d1fgh.txt`.
        let stem = rest.find_byte(b'.').map_or(rest, |at| &rest[..at]);
        return (stem.len() == 8 && alphanumeric(stem)).then_some(b"tmp");
    }
    // `mktemp NAME.XXXXXX`: some capital, some small letter, some digit or a length that none has by chance.
    let (fixed, tail) = name.split_at(name.rfind_byte(b'.').map_or(0, |at| at + 1));
    if fixed.len() > 1 && (6..=12).contains(&tail.len()) && looks_drawn(tail) {
        return Some(fixed);
    }
    let (fixed, tail) = name.split_at(name.len().checked_sub(36)?);
    is_uuid(tail).then_some(fixed)
}

/// Letters of both cases and digits, or two kinds of these so mixed that it is no word.
fn looks_drawn(text: &[u8]) -> bool {
    let kinds = [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit];
    let there = kinds.map(|is: fn(&u8) -> bool| text.iter().any(is));
    let turns =
        text.windows(2).filter(|pair| kinds.map(|is| is(&pair[0])) != kinds.map(|is| is(&pair[1]))).count();
    text.iter().all(u8::is_ascii_alphanumeric) && there.iter().filter(|is| **is).count() >= 2 && turns >= 3
}

pub(super) fn is_uuid(token: &[u8]) -> bool {
    token.len() == 36
        && token.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, expected: Option<&[Option<Kind>]>) {
        let pairs = differing(a.as_bytes(), b.as_bytes());
        let kinds = pairs.map(|pairs| pairs.iter().map(|(a, b)| kind(a, b)).collect::<Vec<_>>());
        assert_eq!(kinds.as_deref(), expected, "{a} {b}");
    }

    #[test]
    fn tokens() {
        let random = Some(&[Some(Kind::Random)][..]);
        let uuids = ("6f1d3c52-9a0e-4b58-8c1d-2f7e6a5b4c3d", "0b9e8d7c-1f2a-4c3b-9e5d-7a6f8b9c0d1e");
        check(&format!("id={}\n", uuids.0), &format!("id={}\n", uuids.1), random);
        check("k=0123abcd4567ef89", "k=f9e8d7c6b5a41230", random);
        check("Zm9vYmFy+k1/Qw==", "cXV4L3Rlc3Q9MTI=", random);
        check("x-3f2a1b9c8d7e.log", "x-91c0d2e4f6a8.log", Some(&[Some(Kind::Container)]));
        check("port 8080", "port 9090", Some(&[None]));
        check("12345678", "87654321", Some(&[None]));
        check("v1.2.3", "v1.2.4", Some(&[None]));
        check("abcdef0123456789", "abcdef0123456780", Some(&[None]));
        check("sha256:0123abcd4567ef89", "sha256:f9e8d7c6b5a41230", None);
        check("a\nb", "a", None);
        check("a b", "a,b", None);
    }

    #[test]
    fn names() {
        let masked = |path: &str| mask_random_name(path.as_bytes()).map(|path| path.to_string());
        assert_eq!(masked("tmp/tmp.Ab3dE6gH9j/x").as_deref(), Some("tmp/tmp.\0/x"));
        assert_eq!(masked("tmp/tmpab_d1fgh").as_deref(), Some("tmp/tmp\0"));
        assert_eq!(masked("tmp/template.txt"), None);
        assert_eq!(masked("etc/passwd"), None);
    }
}
