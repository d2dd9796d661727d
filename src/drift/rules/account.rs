//! Account files.

use bstr::ByteSlice as _;

use super::{Cause, Finding};
use crate::{
    drift::{clock, view::View},
    model::path::encode,
};

const BACKUPS: [&[u8]; 6] =
    [b"etc/passwd-", b"etc/shadow-", b"etc/group-", b"etc/gshadow-", b"etc/subuid-", b"etc/subgid-"];

/// The backup of an account file that differs in what the file itself may: dates and salts, numbers; or that is the file
/// before its last lines came, where the file differs in these or in the order of lines.
pub(super) fn backup(view: &View<'_>) -> Option<Finding> {
    let (a, b) = BACKUPS.contains(&view.path()).then(|| view.texts())??;
    let path = &view.path()[..view.path().len() - 1];
    if known(view, view.path(), a, b) {
        return Some(Finding::certain(Cause::AccountBackup));
    }
    let (one, other) = view.siblings.content(path)?.read()?;
    let (one, other) = (&*one, &*other);
    let ordered = lines_of(one).len() == lines_of(other).len() && lines_of(one) == lines_of(other);
    let earlier = |backup: &[u8], file: &[u8]| {
        let (backup, file) = (lines_of(backup), lines_of(file));
        backup.iter().all(|line| file.binary_search(line).is_ok())
            && backup.windows(2).all(|pair| pair[0] != pair[1])
    };
    let before = (ordered || known(view, path, one, other)) && earlier(a, one) && earlier(b, other);
    before.then(|| Finding {
        consequence_of: Some(encode(path.as_bstr()).0),
        ..Finding::likely(Cause::AccountBackup)
    })
}

/// Whether two account files differ in nothing but dates and salts, or numbers.
fn known(view: &View<'_>, path: &[u8], a: &[u8], b: &[u8]) -> bool {
    let renumbered =
        || view.siblings.accounts.is_some_and(|accounts| accounts.renumbered(path, a, b).is_some());
    fields(view, a, b).is_some() || renumbered()
}

/// Lines, sorted.
fn lines_of(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = split(text, b'\n');
    lines.sort_unstable();
    lines
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

/// Hashes of passwords elsewhere: each line that differs does so in the salt of a hash, and in what follows from it.
pub(super) fn salted(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.texts().filter(|(a, b)| a.contains(&b'$') && b.contains(&b'$'))?;
    let (a, b) = clock::mask_both(a, b, view.context)?;
    let (one, other) = (without_hashes(&a), without_hashes(&b));
    let alike = a != b && one.text == other.text && one.methods == other.methods;
    let shown =
        alike.then(|| one.methods.first().map(|method| format!("a hash of a password, `${method}$`")))??;
    Some(Finding::likely(Cause::PasswordSalt).shown(shown))
}

#[derive(Default)]
struct Hashes {
    /// Without salts and hashes.
    text: Vec<u8>,
    methods: Vec<String>,
}

/// A text with every hash cut to its method and parameters (crypt(5), PHC's string format).
fn without_hashes(text: &[u8]) -> Hashes {
    let of_hash = |byte: &u8| byte.is_ascii_alphanumeric() || b"$./=,+-".contains(byte);
    let mut found = Hashes::default();
    let mut at = 0;
    while at < text.len() {
        let length =
            if text[at] == b'$' { text[at..].iter().take_while(|byte| of_hash(byte)).count() } else { 0 };
        if let Some((method, fixed)) = fixed_part(&text[at..at + length]) {
            found.text.extend_from_slice(fixed);
            found.text.push(clock::MASK);
            found.methods.push(method);
            at += length;
        } else {
            found.text.push(text[at]);
            at += 1;
        }
    }
    found
}

/// Method, and all of a hash that is not drawn and does not follow from what is.
fn fixed_part(hash: &[u8]) -> Option<(String, &[u8])> {
    let parts: Vec<&[u8]> = hash.strip_prefix(b"$")?.split(|byte| *byte == b'$').collect();
    let method = str::from_utf8(parts.first()?).ok()?;
    let last = parts.last()?;
    let (size, count, drawn) = match method {
        "1" | "apr1" => (22, 3..=3, 2),
        "5" => (43, 3..=4, 2),
        "6" => (86, 3..=4, 2),
        "y" | "gy" | "7" => (43, 4..=4, 2),
        "2a" | "2b" | "2y" => (53, 3..=3, 1),
        "argon2i" | "argon2d" | "argon2id" => (43, 5..=5, 2),
        _ => return None,
    };
    let plain =
        parts.iter().all(|part| !part.is_empty()) && last.len() == size && count.contains(&parts.len());
    let drawn = plain.then(|| parts.iter().rev().take(drawn).map(|part| part.len() + 1).sum::<usize>())?;
    Some((method.to_owned(), &hash[..hash.len() - drawn]))
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
