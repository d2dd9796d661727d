//! Account files.

use super::{Cause, Finding};
use crate::drift::view::View;

const BACKUPS: [&[u8]; 6] =
    [b"etc/passwd-", b"etc/shadow-", b"etc/group-", b"etc/gshadow-", b"etc/subuid-", b"etc/subgid-"];

/// The backup of an account file that differs in what the file itself may: dates and salts, numbers.
pub(super) fn backup(view: &View<'_>) -> Option<Finding> {
    let (a, b) = BACKUPS.contains(&view.path()).then(|| view.texts())??;
    let known = fields(view, a, b).is_some() || renumbered(view, a, b).is_some();
    known.then(|| Finding::certain(Cause::AccountBackup))
}

/// Users and groups of the same names with other numbers, and files whose owners these are; never root's.
pub(super) fn ids(view: &View<'_>) -> Option<Finding> {
    if view.siblings.accounts?.own(view.change) {
        return Some(Finding::likely(Cause::AccountIds));
    }
    let (a, b) = view.texts()?;
    renumbered(view, a, b).map(|shown| Finding::likely(Cause::AccountIds).shown(shown))
}

fn renumbered(view: &View<'_>, a: &[u8], b: &[u8]) -> Option<String> {
    let shown = view.siblings.accounts?.renumbered(view.path(), a, b)?;
    Some(crate::model::path::printable(&shown))
}

/// `etc/shadow`: the day of a change, or a hash of one kind with another salt.
pub(super) fn shadow(view: &View<'_>) -> Option<Finding> {
    let (a, b) = (view.path() == b"etc/shadow").then(|| view.texts())??;
    let cause = fields(view, a, b)?;
    let finding = Finding::certain(cause);
    // A hash is a secret of sorts: the account's name says enough.
    Some(if cause == Cause::PasswordSalt { finding.shown(accounts(a, b)) } else { finding })
}

/// What two shadow files differ in, if in nothing but salts and days of change.
fn fields(view: &View<'_>, a: &[u8], b: &[u8]) -> Option<Cause> {
    let (lines_a, lines_b): (Vec<_>, Vec<_>) = (split(a, b'\n'), split(b, b'\n'));
    if lines_a.len() != lines_b.len() {
        return None;
    }
    let mut cause = None;
    for (one, other) in lines_a.into_iter().zip(lines_b).filter(|(one, other)| one != other) {
        let (one, other) = (split(one, b':'), split(other, b':'));
        if one.len() != other.len() {
            return None;
        }
        for (at, (one, other)) in one.into_iter().zip(other).enumerate().filter(|(_, (a, b))| a != b) {
            cause = match at {
                1 if same_hash_kind(one, other) => Some(Cause::PasswordSalt),
                2 if is_day(view, 0, one) && is_day(view, 1, other) => cause.or(Some(Cause::ShadowDate)),
                _ => return None,
            };
        }
    }
    cause
}

fn split(bytes: &[u8], separator: u8) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == separator).collect()
}

/// `$y$…`, `$6$…`: the same method on both sides.
fn same_hash_kind(a: &[u8], b: &[u8]) -> bool {
    let method = |hash: &[u8]| {
        let end = hash.strip_prefix(b"$")?.iter().position(|byte| *byte == b'$')?;
        Some(hash[..end + 2].to_vec())
    };
    method(a).is_some() && method(a) == method(b)
}

fn is_day(view: &View<'_>, side: usize, text: &[u8]) -> bool {
    let day = str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    day.filter(|day| (0..100_000).contains(day))
        .is_some_and(|day| view.context.touches(side, (day * 86_400, day * 86_400 + 86_399)))
}

fn accounts(a: &[u8], b: &[u8]) -> String {
    let pairs = split(a, b'\n').into_iter().zip(split(b, b'\n')).filter(|(one, other)| one != other);
    let names: Vec<_> =
        pairs.map(|(line, _)| String::from_utf8_lossy(split(line, b':')[0]).into_owned()).take(5).collect();
    crate::model::path::printable(&format!("the hash of {}", names.join(", ")))
}
