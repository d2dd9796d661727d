//! One path that differs.

use std::{cmp::Ordering, collections::BTreeSet, mem::replace};

use bstr::{BString, ByteSlice as _};
use serde::Serialize;

use crate::{
    layer::{Entry, Index, Kind, LayerError, compare_paths},
    model::{path::printable, rfc3339},
};

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Other bytes (and perhaps other metadata).
    Content,
    /// Other metadata, the same bytes.
    Metadata,
    /// Only the first image's layer has it.
    OnlyInA,
    /// Only the second image's layer has it.
    OnlyInB,
    /// One is a file, the other something else.
    Type,
}

/// One field that differs; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// `mode`, `mode-type`, `uid`, `gid`, `uname`, `gname`, `mtime`, `size`, `link`, `device`, `type`,
    /// `content`, `xattr:NAME` or `pax:NAME`.
    pub name: String,
    /// In the first image.
    pub a: Option<String>,
    /// In the second.
    pub b: Option<String>,
}

/// One path of one layer that differs.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which layer, lowest is 0.
    pub layer: usize,
    /// Where.
    pub path: BString,
    /// How.
    pub kind: ChangeKind,
    /// What exactly, by name.
    pub fields: Vec<Field>,
    /// The entry in the first image.
    pub a: Option<Entry>,
    /// The entry in the second.
    pub b: Option<Entry>,
    /// Both contents, if they differ and are small enough to hold.
    pub contents: Option<(Vec<u8>, Vec<u8>)>,
}

impl Change {
    /// Whether the field `name` differs.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// The entry there is, the first image's if there are two.
    pub fn entry(&self) -> Option<&Entry> {
        self.a.as_ref().or(self.b.as_ref())
    }
}

/// Pairs the entries of two layers by path; what differs, in order of paths.
pub(super) fn changes(layer: usize, a: &Index, b: &Index) -> Result<Vec<Change>, LayerError> {
    let (mut all_a, mut all_b) = (a.entries()?, b.entries()?);
    let (mut a, mut b) = (all_a.next().transpose()?, all_b.next().transpose()?);
    let mut found = Vec::new();
    loop {
        let order = match (&a, &b) {
            (None, None) => return Ok(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => compare_paths(&a.path, &b.path),
        };
        let one = if order.is_gt() { None } else { replace(&mut a, all_a.next().transpose()?) };
        let other = if order.is_lt() { None } else { replace(&mut b, all_b.next().transpose()?) };
        found.extend(change(layer, one, other));
    }
}

fn change(layer: usize, a: Option<Entry>, b: Option<Entry>) -> Option<Change> {
    let fields = match (&a, &b) {
        (Some(a), Some(b)) => fields(a, b),
        _ => Vec::new(),
    };
    let kind = match (&a, &b) {
        (Some(_), None) => ChangeKind::OnlyInA,
        (None, Some(_)) => ChangeKind::OnlyInB,
        (Some(a), Some(b)) if a.kind != b.kind => ChangeKind::Type,
        _ if fields.is_empty() => return None,
        _ if fields.iter().any(|field| field.name == "content") => ChangeKind::Content,
        _ => ChangeKind::Metadata,
    };
    let path = a.as_ref().or(b.as_ref())?.path.clone();
    Some(Change { layer, path, kind, fields, a, b, contents: None })
}

fn fields(a: &Entry, b: &Entry) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut field = |name: &str, a: Option<String>, b: Option<String>| {
        if a != b {
            fields.push(Field { name: name.to_owned(), a, b });
        }
    };
    let mut both = |name: &str, of: fn(&Entry) -> Option<String>| field(name, of(a), of(b));
    both("type", |entry| Some(entry.kind.name().to_owned()));
    both("mode", |entry| Some(format!("{:04o}", entry.mode)));
    both("mode-type", |entry| Some(format!("{:07o}", entry.raw_mode_type)));
    both("uid", |entry| Some(entry.uid.to_string()));
    both("gid", |entry| Some(entry.gid.to_string()));
    both("uname", |entry| text(&entry.uname));
    both("gname", |entry| text(&entry.gname));
    both("mtime", |entry| Some(mtime(entry)));
    both("size", |entry| (entry.kind == Kind::File).then(|| entry.size_bytes.to_string()));
    both("link", |entry| text(&entry.link));
    both("device", |entry| {
        let device = matches!(entry.kind, Kind::Char | Kind::Block);
        device.then(|| format!("{}:{}", entry.device.0, entry.device.1))
    });
    both("content", |entry| entry.content.map(|digest| digest.to_string()));
    for (prefix, a, b) in [("xattr", &a.xattrs, &b.xattrs), ("pax", &a.pax, &b.pax)] {
        for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            if a.get(key) != b.get(key) {
                let name = format!("{prefix}:{}", printable(&key.to_str_lossy()));
                let shown = |value: Option<&Vec<u8>>| value.map(|value| value.escape_ascii().to_string());
                fields.push(Field { name, a: shown(a.get(key)), b: shown(b.get(key)) });
            }
        }
    }
    fields
}

fn text(bytes: &BString) -> Option<String> {
    (!bytes.is_empty()).then(|| printable(&bytes.to_str_lossy()))
}

fn mtime(entry: &Entry) -> String {
    let whole = rfc3339(entry.mtime_s);
    match entry.mtime_rest_ns {
        0 => whole,
        rest => whole.replace('Z', &format!(".{rest:09}Z")),
    }
}
