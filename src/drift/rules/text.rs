//! Texts that differ only in times, names of containers, random tokens or the order of lines.

use bstr::ByteSlice as _;

use super::{Cause, Finding, checksum};
use crate::{
    drift::{
        clock, evidence, token,
        view::{View, lines},
    },
    model::json,
};

/// Only dates, times and epochs, each possible in its own build.
pub(super) fn clock(view: &View<'_>) -> Option<Finding> {
    let (a, b) = masked(view)?;
    (a == b).then(|| Finding::certain(Cause::ClockInText))
}

/// Only one token of twelve hex digits on each side (and times), the same wherever it stands.
pub(super) fn hostname(view: &View<'_>) -> Option<Finding> {
    let (a, b) = masked(view)?;
    let pairs = token::differing(&a, &b)?;
    let first = *pairs.first()?;
    let one_name = pairs.iter().all(|pair| *pair == first)
        && token::kind(first.0, first.1) == Some(token::Kind::Container);
    one_name.then(|| Finding::likely(Cause::Hostname))
}

/// Only tokens that look random (and times): UUIDs, hex, base64 of equal length.
pub(super) fn random_token(view: &View<'_>) -> Option<Finding> {
    // What a checksum is of has changed; what is one id within a build is two.
    if checksum::is_checksums(view) || view.name() == b"machine-id" {
        return None;
    }
    let (a, b) = masked(view)?;
    // Somebody else's key looks as random as one's own.
    if holds_key(&a) || holds_key(&b) {
        return None;
    }
    let pairs = token::differing(&a, &b)?;
    let random = !pairs.is_empty() && pairs.iter().all(|(a, b)| token::kind(a, b).is_some());
    random.then(|| Finding::likely(Cause::RandomToken))
}

/// Whether a text holds a key or a certificate in a usual form: PEM, OpenSSH's, minisign's.
fn holds_key(text: &[u8]) -> bool {
    const FORMS: [&str; 5] =
        ["-----BEGIN ", "ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-", "untrusted comment: "];
    FORMS.iter().any(|form| text.contains_str(form))
}

/// Sets that a program printed, `{'b', 'a'}`: the same members, in an order that a hash drew (PYTHONHASHSEED).
pub(super) fn set_order(view: &View<'_>) -> Option<Finding> {
    let (a, b) = masked(view)?;
    let (one, other): (Vec<_>, Vec<_>) = (lines(&a).collect(), lines(&b).collect());
    let program = a.starts_with(b"#!") || view.change.entry().is_some_and(|entry| entry.mode & 0o111 != 0);
    if a == b || program || one.len() != other.len() {
        return None;
    }
    let same = |(one, other): (&&[u8], &&[u8])| {
        one == other || sorted_sets(one).is_some_and(|set| Some(set) == sorted_sets(other))
    };
    let all = one.iter().zip(&other).all(same);
    all.then(|| {
        Finding::likely(Cause::RandomToken)
            .shown(format!("a set in another order: {}", evidence::lines(&a, &b)))
    })
}

/// A line with the members of its one pair of braces sorted: quoted texts and numbers, no keys.
fn sorted_sets(line: &[u8]) -> Option<Vec<&[u8]>> {
    let (before, rest) = line.split_once_str("{")?;
    let (inner, after) = rest.rsplit_once_str("}")?;
    let mut members: Vec<_> = inner.split_str(", ").collect();
    let plain = |member: &&[u8]| !member.is_empty() && !member.iter().any(|byte| b"{}:=[]()".contains(byte));
    if members.len() < 2 || !members.iter().all(plain) {
        return None;
    }
    members.sort_unstable();
    members.extend([before, after]);
    Some(members)
}

/// Only names that Ruby's `Tempfile` and `Dir.mktmpdir` drew (and times): a date, a process, a random number to base 36.
pub(super) fn drawn_names(view: &View<'_>) -> Option<Finding> {
    let (a, b) = masked(view)?;
    let (one, other) = (without_drawn_names(&a), without_drawn_names(&b));
    (a != b && one == other).then(|| Finding::likely(Cause::RandomToken))
}

/// A text with each `20261130-8-1pj3xq` replaced by one mark.
fn without_drawn_names(text: &[u8]) -> Vec<u8> {
    let count = |text: &[u8], is: fn(&u8) -> bool| text.iter().take_while(|byte| is(byte)).count();
    let number = |text: &[u8]| str::from_utf8(text).ok().and_then(|text| text.parse::<u32>().ok());
    let drawn = |text: &[u8]| {
        let date = text.get(..8).filter(|_| count(text, u8::is_ascii_digit) == 8)?;
        let (month, day) = (number(&date[4..6])?, number(&date[6..])?);
        let process = text[8..].strip_prefix(b"-")?;
        let digits = count(process, u8::is_ascii_digit);
        let random = process[digits..].strip_prefix(b"-")?;
        let letters = count(random, u8::is_ascii_alphanumeric);
        let small = random[..letters].iter().all(|byte| !byte.is_ascii_uppercase());
        let known = date.starts_with(b"20") && (1..=12).contains(&month) && (1..=31).contains(&day);
        (known && small && (1..=7).contains(&digits) && (1..=8).contains(&letters))
            .then_some(10 + digits + letters)
    };
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        let starts = at == 0 || !text[at - 1].is_ascii_digit();
        if let Some(length) = drawn(&text[at..]).filter(|_| starts) {
            out.push(clock::MASK);
            at += length;
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}

/// A hash table that was printed: JSON of the same values, or members `key => value` a line, in an order that a hash drew
/// (`PERL_HASH_SEED`).
pub(super) fn key_order(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.texts()?;
    let program = a.starts_with(b"#!") || view.change.entry().is_some_and(|entry| entry.mode & 0o111 != 0);
    // Nothing but the order: spaces and spellings of numbers say the same too.
    if program || counted(a) != counted(b) {
        return None;
    }
    let of_json = || Some(json::parse(a).ok()? == json::parse(b).ok()?);
    let alike = of_json().unwrap_or_else(|| members(a) == members(b) && a.contains_str(" => "));
    alike.then(|| {
        let shown = format!("members in another order: {}", evidence::lines(a, b));
        Finding::likely(Cause::RandomToken).shown(shown)
    })
}

/// How often each byte is there.
fn counted(text: &[u8]) -> [usize; 256] {
    let mut counts = [0; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    counts
}

/// Lines, neighbours of the form `key => value` sorted, without the commas between these.
fn members(text: &[u8]) -> Vec<&[u8]> {
    let mut all: Vec<&[u8]> = lines(text).collect();
    let member = |line: &&[u8]| line.starts_with(b" ") && line.contains_str(" => ") && !line.ends_with(b"{");
    for group in all.chunk_by_mut(|one, other| member(one) && member(other)) {
        if group.len() > 1 {
            for line in group.iter_mut() {
                *line = line.strip_suffix(b",").unwrap_or(line);
            }
            group.sort_unstable();
        }
    }
    all
}

/// The same lines in another order; not in programs, where order is meaning.
pub(super) fn line_order(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.texts()?;
    let program = a.starts_with(b"#!") || view.change.entry().is_some_and(|entry| entry.mode & 0o111 != 0);
    (!program && sorted_lines(a) == sorted_lines(b)).then(|| Finding::likely(Cause::LineOrder))
}

fn sorted_lines(text: &[u8]) -> Vec<&[u8]> {
    let mut sorted: Vec<&[u8]> = lines(text).collect();
    sorted.sort_unstable();
    sorted
}

fn masked(view: &View<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (a, b) = view.texts()?;
    clock::mask_both(a, b, view.context)
}
