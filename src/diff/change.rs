//! One path that differs.

use std::collections::BTreeSet;

use bstr::{BString, ByteSlice as _};
use serde::Serialize;

use super::{Both, Delta, Kept, delta::Run};
use crate::{
    layer::{Entry, Kind, capability},
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
    /// `content` (its digest; of a large file the first bytes that differ), `xattr:NAME` or `pax:NAME`.
    pub name: String,
    /// In the first image.
    pub a: Option<String>,
    /// In the second.
    pub b: Option<String>,
}

impl Field {
    /// Whether a field of a layer as a whole is one that some programs take for something else than others do: no form of one
    /// thing, but perhaps another thing.
    pub fn misleads(&self) -> bool {
        let ambiguous =
            |text: &Option<String>| text.as_ref().is_some_and(|text| text.starts_with("ambiguous"));
        matches!(self.name.as_str(), "trailing" | "root" | "merged")
            || (self.name == "repeated" && (ambiguous(&self.a) || ambiguous(&self.b)))
    }
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
    pub contents: Option<Kept>,
    /// Where they differ, if they are too large to be held and it is known.
    pub delta: Option<Delta>,
}

impl Change {
    /// Whether the field `name` differs.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// Both contents, if they are held.
    pub fn read(&self) -> Option<Both<'_>> {
        self.contents.as_ref()?.read()
    }

    /// The entry there is, the first image's if there are two.
    pub fn entry(&self) -> Option<&Entry> {
        self.a.as_ref().or(self.b.as_ref())
    }
}

/// What is known of two contents of one path.
pub(super) enum Contents {
    /// They are the same, or there are no two.
    Equal,
    /// They are not; and where, if that is known.
    Differ(Option<Delta>),
    /// They are not, and here they are.
    Held(Kept),
}

/// What differs of the entries of one path, if anything does.
pub(super) fn change(layer: usize, a: Option<Entry>, b: Option<Entry>, contents: Contents) -> Option<Change> {
    let mut fields = match (&a, &b) {
        (Some(a), Some(b)) => fields(a, b),
        _ => Vec::new(),
    };
    let differ = !matches!(contents, Contents::Equal);
    if let (Some(a), Some(b), true) = (&a, &b, differ) {
        fields.push(content(a, b, &contents));
    }
    let kind = match (&a, &b) {
        (Some(_), None) => ChangeKind::OnlyInA,
        (None, Some(_)) => ChangeKind::OnlyInB,
        (Some(a), Some(b)) if a.kind != b.kind => ChangeKind::Type,
        _ if fields.is_empty() => return None,
        _ if differ => ChangeKind::Content,
        _ => ChangeKind::Metadata,
    };
    let path = a.as_ref().or(b.as_ref())?.path.clone();
    let (delta, contents) = match contents {
        Contents::Equal => (None, None),
        Contents::Differ(delta) => (delta, None),
        Contents::Held(kept) => (None, Some(kept)),
    };
    Some(Change { layer, path, kind, fields, a, b, contents, delta })
}

/// The digests of both, or where they begin to differ.
fn content(a: &Entry, b: &Entry, contents: &Contents) -> Field {
    let first = match contents {
        Contents::Differ(Some(delta)) => delta.runs.first(),
        _ => None,
    };
    let of = |entry: &Entry, bytes: fn(&Run) -> &[u8]| {
        let place = |run: &Run| {
            let shown = bytes(run)[run.differing()].iter();
            let hex = shown.map(|byte| format!("{byte:02x}")).collect::<String>();
            format!("{hex} from byte {}", run.offset + run.first() as u64)
        };
        entry.content.map(|digest| digest.to_string()).or_else(|| first.map(place))
    };
    Field { name: "content".to_owned(), a: of(a, |run| &run.a), b: of(b, |run| &run.b) }
}

/// Whether nothing differs but perhaps the contents, which most entries of most layers are.
fn alike(a: &Entry, b: &Entry) -> bool {
    let numbers = |entry: &Entry| {
        let Entry { kind, mode, raw_mode_type, uid, gid, mtime_s, mtime_rest_ns, size_bytes, device, .. } =
            *entry;
        (kind, mode, raw_mode_type, uid, gid, mtime_s, mtime_rest_ns, size_bytes, device)
    };
    numbers(a) == numbers(b)
        && (&a.link, &a.uname, &a.gname) == (&b.link, &b.uname, &b.gname)
        && (&a.xattrs, &a.pax) == (&b.xattrs, &b.pax)
}

fn fields(a: &Entry, b: &Entry) -> Vec<Field> {
    let mut fields = Vec::new();
    if alike(a, b) {
        return fields;
    }
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
    for (prefix, a, b) in [("xattr", &a.xattrs, &b.xattrs), ("pax", &a.pax, &b.pax)] {
        for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            if a.get(key) != b.get(key) {
                let name = format!("{prefix}:{}", printable(&key.to_str_lossy()));
                let raw = |value: Option<&Vec<u8>>| value.map(|value| value.escape_ascii().to_string());
                let said = |value: Option<&Vec<u8>>| match value {
                    Some(value) if prefix == "xattr" && *key == "security.capability" => {
                        capability(value).or_else(|| raw(Some(value)))
                    }
                    value => raw(value),
                };
                let (mut one, mut other) = (said(a.get(key)), said(b.get(key)));
                if one == other {
                    // Said in two forms.
                    (one, other) = (raw(a.get(key)), raw(b.get(key)));
                }
                fields.push(Field { name, a: one, b: other });
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
