//! Users and groups whose numbers are others in the second image (passwd(5), group(5), subuid(5)).

use std::collections::BTreeMap;

use bstr::{BStr, ByteSlice as _};

use super::rules::is_free_record;
use crate::{
    diff::{Change, ChangeKind, LayerPair},
    layer::Kind,
};

const PASSWD: &[u8] = b"etc/passwd";
const GROUP: &[u8] = b"etc/group";
const SET_ID_BITS: u32 = 0o6000;

/// Which number in the first image is which in the second, for names that both have.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: BTreeMap<u64, u64>,
    groups: BTreeMap<u64, u64>,
}

impl Accounts {
    /// As the last layers say that differ in them; nothing of a file in which more differs than numbers other than root's.
    pub(super) fn of(layers: &[LayerPair]) -> Self {
        let last = |path: &[u8]| {
            let changes = layers.iter().rev().flat_map(|pair| &pair.changes);
            changes.filter(|change| change.path == path).find_map(Change::read)
        };
        let map = |path: &[u8]| {
            let (a, b) = last(path)?;
            // What else differs in the file is for its own rule.
            numbers(&a, &b, 2)
        };
        Self { users: map(PASSWD).unwrap_or_default(), groups: map(GROUP).unwrap_or_default() }
    }

    /// Whether all that differs of `change` is that its owners have other numbers.
    pub(super) fn own(&self, change: &Change) -> bool {
        let owners = |name: &str| {
            matches!(name, "uid" | "gid" | "uname" | "gname" | "mtime" | "mode-type") || is_free_record(name)
        };
        let (Some(a), Some(b)) = (&change.a, &change.b) else { return false };
        let moved = |map: &BTreeMap<u64, u64>, one: u64, other: u64| {
            one == other || (one != 0 && other != 0 && map.get(&one) == Some(&other))
        };
        let plain = a.mode & SET_ID_BITS == 0 || a.kind == Kind::Directory;
        change.kind == ChangeKind::Metadata
            && plain
            && change.fields.iter().all(|field| owners(&field.name))
            && (a.uid != b.uid || a.gid != b.gid)
            && moved(&self.users, a.uid, b.uid)
            && moved(&self.groups, a.gid, b.gid)
    }

    /// Whether two files of accounts differ in nothing but numbers of names that both have, none of them root's; which.
    pub(super) fn renumbered(&self, path: &[u8], a: &[u8], b: &[u8]) -> Option<String> {
        let (fields, group) = match path.strip_suffix(b"-").unwrap_or(path) {
            PASSWD => (&[2, 3][..], Some(3)),
            GROUP => (&[2][..], None),
            b"etc/subuid" | b"etc/subgid" => (&[1][..], None),
            _ => return None,
        };
        let (one, other) = (named(a)?, named(b)?);
        if !one.keys().eq(other.keys()) {
            return None;
        }
        let mut shown = Vec::new();
        for (name, one) in &one {
            let other = other.get(name).filter(|other| other.len() == one.len())?;
            for (at, (old, new)) in one.iter().zip(other).enumerate().filter(|(_, (old, new))| old != new) {
                let (from, to) = (number(old)?, number(new)?);
                let known = group != Some(at) || self.groups.get(&from) == Some(&to);
                if !fields.contains(&at) || from == 0 || to == 0 || !known {
                    return None;
                }
                shown.push(format!("{} {from} → {to}", name.to_str_lossy()));
            }
        }
        let more = shown.len().saturating_sub(3);
        shown.truncate(3);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!shown.is_empty()).then(|| shown.join(", ") + &more)
    }
}

/// By the number in the field `at` of the first file, that of the same name in the second; nothing if one number stands for
/// several, or a name is not in both.
fn numbers(a: &[u8], b: &[u8], at: usize) -> Option<BTreeMap<u64, u64>> {
    let (one, other) = (named(a)?, named(b)?);
    let mut map = BTreeMap::new();
    for (name, fields) in &one {
        let Some(theirs) = other.get(name) else { continue };
        let (from, to) = (number(fields.get(at)?)?, number(theirs.get(at)?)?);
        if map.insert(from, to).is_some_and(|before| before != to) {
            return None;
        }
    }
    Some(map)
}

/// The lines of a file by their first field; nothing if one name has several, or a line is none.
fn named(text: &[u8]) -> Option<BTreeMap<&BStr, Vec<&[u8]>>> {
    let mut lines = BTreeMap::new();
    for line in text.strip_suffix(b"\n")?.split_str("\n") {
        let fields: Vec<_> = line.split_str(":").collect();
        if fields.len() < 3 || lines.insert(fields[0].as_bstr(), fields).is_some() {
            return None;
        }
    }
    Some(lines)
}

fn number(field: &[u8]) -> Option<u64> {
    let plain = field.iter().all(u8::is_ascii_digit) && (field.len() == 1 || field.first() != Some(&b'0'));
    field.to_str().ok().filter(|_| plain)?.parse().ok()
}
