//! How an archive is written and compressed, apart from what its entries say.

use bstr::ByteSlice as _;
use tar::Header;

use super::{Compression, Entry};
use crate::model::{Digest, Hasher, path::printable};

/// Bytes of a blob that [`compressed`] looks at.
pub const BLOB_HEAD_BYTES: usize = 512;
/// Flags of gzip: an extra field, and a name, which comes after it.
const EXTRA: u8 = 4;
const NAME: u8 = 8;
/// Characters of a name or comment that are kept.
const TEXT_CHARS_MAX: usize = 80;

/// How an uncompressed archive is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Digest of its paths, in its order.
    pub order: Digest,
    /// `v7`, `ustar`, `gnu`, or several of them.
    pub dialect: String,
    /// Whether names begin with `./`; that of the root directory counts.
    pub dotted: bool,
    /// The first comment for all entries; of a long one, or of several, with a digest of them all.
    pub comment: Option<String>,
    /// Whether names begin with `/`.
    pub absolute: bool,
    /// Mode, owners and attributes of the root directory, if it has them other than 0755 and 0.
    pub root: Option<String>,
    /// What comes after the end mark that is not zeros: how many bytes, and their digest.
    pub trailing: Option<String>,
    /// Entries of paths that come again, which do not count: how many, the first path, a digest of all; `ambiguous` before it
    /// if other entries, or another kind of entry, hang on them.
    pub repeated: Option<String>,
    /// Where its end mark stands, in bytes from the start.
    pub end: u64,
    /// Bytes from there on.
    pub padding_bytes: u64,
}

/// What comes after an end mark.
#[derive(Debug, Default)]
pub(super) struct Trailing {
    zeros: u64,
    others: u64,
    hasher: Hasher,
}

impl Trailing {
    /// Takes the next of it.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let zeros =
            if self.any() { 0 } else { bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len()) };
        self.zeros += zeros as u64;
        self.others += (bytes.len() - zeros) as u64;
        self.hasher.update(&bytes[zeros..]);
    }

    /// Whether there is anything but zeros.
    pub(super) fn any(&self) -> bool {
        self.others > 0
    }

    /// How many zeros come before that.
    pub(super) fn first(&self) -> u64 {
        self.zeros
    }

    fn shown(self) -> Option<String> {
        self.any().then(|| format!("{} bytes ({})", self.others, self.hasher.finish()))
    }
}

/// Entries that others of the same path come after.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    count: u64,
    first: Option<String>,
    hasher: Hasher,
}

impl Repeated {
    /// Takes the next: `value` is all that is to know about it.
    pub(super) fn add(&mut self, path: &[u8], value: &[u8]) {
        self.count += 1;
        self.first.get_or_insert_with(|| shorten(path));
        for part in [path, value] {
            self.hasher.update(&(part.len() as u64).to_le_bytes());
            self.hasher.update(part);
        }
    }

    pub(super) fn shown(self, ambiguous: bool) -> Option<String> {
        let Self { count, first, hasher } = self;
        let said = if ambiguous { "ambiguous: " } else { "" };
        first.map(|first| format!("{said}{count} entries, first of {first} ({})", hasher.finish()))
    }
}

/// A [`Shape`] in the making.
#[derive(Debug, Default)]
pub(super) struct Shaping {
    order: Hasher,
    dialects: [bool; 3],
    dotted: bool,
    absolute: bool,
    root: Option<String>,
    comment: Option<String>,
    comments: Hasher,
    /// Whether [`Shaping::comment`] is not all that was said.
    more_comments: bool,
}

const DIALECTS: [&str; 3] = ["v7", "ustar", "gnu"];

impl Shaping {
    pub(super) fn header(&mut self, header: &Header) {
        let dialect = if header.as_gnu().is_some() { 2 } else { usize::from(header.as_ustar().is_some()) };
        self.dialects[dialect] = true;
        self.dotted |= header.as_old().name.starts_with(b"./");
        self.absolute |= header.as_old().name.starts_with(b"/");
    }

    /// An entry of the root directory, which is none of a path.
    pub(super) fn root(&mut self, entry: &Entry) {
        let plain = (entry.mode, entry.uid, entry.gid) == (0o755, 0, 0) && entry.xattrs.is_empty();
        let names: Vec<_> = entry.xattrs.keys().map(|name| shorten(name)).collect();
        let Entry { mode, uid, gid, .. } = entry;
        let mut hasher = Hasher::default();
        for (name, value) in &entry.xattrs {
            for part in [&name[..], &[0], &value[..], &[0]] {
                hasher.update(part);
            }
        }
        let attributes = if names.is_empty() {
            String::new()
        } else {
            format!(" {} ({})", names.join(" "), hasher.finish())
        };
        self.root = (!plain).then(|| format!("{mode:04o} {uid}:{gid}{attributes}"));
    }

    pub(super) fn comment(&mut self, text: &[u8]) {
        self.comments.update(text);
        self.comments.update(&[0]);
        let shown = shorten(text);
        self.more_comments |= self.comment.is_some() || shown.len() < text.len();
        self.comment.get_or_insert(shown);
    }

    pub(super) fn path(&mut self, path: &[u8]) {
        self.order.update(path);
        self.order.update(&[0]);
    }

    pub(super) fn end(self, end: u64, padding_bytes: u64, trailing: Trailing) -> Shape {
        let known = DIALECTS.iter().zip(self.dialects).filter(|(_, there)| *there);
        let dialect = known.map(|(name, _)| *name).collect::<Vec<_>>().join("+");
        let Self { order, dotted, absolute, root, comments, more_comments, .. } = self;
        let trailing = trailing.shown();
        let all = more_comments.then(|| format!("… ({})", comments.finish().short()));
        let comment = self.comment.map(|text| text + &all.unwrap_or_default());
        let (order, repeated) = (order.finish(), None);
        Shape { order, dialect, dotted, comment, absolute, root, trailing, repeated, end, padding_bytes }
    }
}

/// What the first bytes of a blob say of its compression, by name (RFC 1952, RFC 8878); of gzip's only the first member.
#[must_use]
pub fn compressed(head: &[u8]) -> Vec<(&'static str, String)> {
    let compression = Compression::of_magic(head);
    let mut facts = vec![("compression", compression.name().to_owned())];
    if let ([_, _, _, flags, t0, t1, t2, t3, extra, system, rest @ ..], Compression::Gzip) =
        (head, compression)
    {
        facts.push(("gzip-time", u32::from_le_bytes([*t0, *t1, *t2, *t3]).to_string()));
        facts.push(("gzip-level", extra.to_string()));
        facts.push(("gzip-system", system.to_string()));
        if flags & NAME != 0 && flags & EXTRA == 0 {
            facts.push(("gzip-name", shorten(rest.split(|byte| *byte == 0).next().unwrap_or_default())));
        }
    }
    if let ([_, _, _, _, descriptor, ..], Compression::Zstd) = (head, compression) {
        facts.push(("zstd-frame", format!("{descriptor:02x}")));
    }
    facts
}

fn shorten(text: &[u8]) -> String {
    printable(&text.to_str_lossy()).chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_says_how_it_was_compressed() {
        let shown = |head: &[u8]| {
            let facts = compressed(head);
            facts.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        let gzip = |flags: u8| [&[0x1f, 0x8b, 8, flags, 1, 0, 0, 0, 2, 3][..], b"a.tar\0rest"].concat();
        assert_eq!(shown(&gzip(0)), "compression=gzip gzip-time=1 gzip-level=2 gzip-system=3");
        assert!(shown(&gzip(8)).ends_with(" gzip-name=a.tar"));
        assert_eq!(shown(&[0x28, 0xb5, 0x2f, 0xfd, 0x64]), "compression=zstd zstd-frame=64");
        assert_eq!(shown(&gzip(8)[..5]), "compression=gzip");
        assert_eq!((shown(b"").as_str(), shown(b"a\0").as_str()), ("compression=none", "compression=none"));
    }
}
