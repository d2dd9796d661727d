//! Entries as bytes, for sorting: a plain file takes about 100 and its peek.

use std::collections::BTreeMap;

use bstr::BString;

use super::{Entry, Kind, LayerError};
use crate::model::Digest;

/// By number, as they are written.
pub(super) const KINDS: [Kind; 7] =
    [Kind::File, Kind::Directory, Kind::Symlink, Kind::Hardlink, Kind::Char, Kind::Block, Kind::Fifo];

/// What an encoded entry is, without reading the rest of it.
pub(super) fn kind(bytes: &[u8]) -> Option<Kind> {
    KINDS.get(usize::from(*bytes.first()?)).copied()
}

/// All of `entry` but its path, into `out`.
pub(super) fn encode(entry: &Entry, out: &mut Vec<u8>) {
    out.clear();
    out.push(entry.kind as u8);
    let zigzag = (entry.mtime_s << 1) ^ (entry.mtime_s >> 63);
    for value in [
        entry.mode.into(),
        entry.raw_mode_type.into(),
        entry.uid,
        entry.gid,
        zigzag.cast_unsigned(),
        entry.mtime_rest_ns.into(),
        entry.size_bytes,
        entry.device.0.into(),
        entry.device.1.into(),
        entry.offset,
    ] {
        number(value, out);
    }
    for value in [&entry.uname[..], &entry.gname, &entry.link, &entry.peek] {
        bytes(value, out);
    }
    for records in [&entry.xattrs, &entry.pax] {
        number(records.len() as u64, out);
        for (key, value) in records {
            bytes(key, out);
            bytes(value, out);
        }
    }
    out.extend_from_slice(entry.content.as_ref().map_or(&[][..], |digest| digest.bytes()));
}

/// The entry at `path` that `bytes` are of.
pub(super) fn decode(path: &[u8], bytes: &[u8]) -> Result<Entry, LayerError> {
    let damaged = || LayerError::Sort(std::io::ErrorKind::InvalidData.into());
    fields(path, bytes).ok_or_else(damaged)
}

fn fields(path: &[u8], bytes: &[u8]) -> Option<Entry> {
    let mut entry = Entry::new(path, kind(bytes)?, 0, 0);
    let mut rest = Rest(&bytes[1..]);
    entry.mode = rest.small()?;
    entry.raw_mode_type = rest.small()?;
    entry.uid = rest.number()?;
    entry.gid = rest.number()?;
    let zigzag = rest.number()?;
    entry.mtime_s = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
    entry.mtime_rest_ns = rest.small()?;
    entry.size_bytes = rest.number()?;
    entry.device = (rest.small()?, rest.small()?);
    entry.offset = rest.number()?;
    entry.uname = rest.bytes()?.into();
    entry.gname = rest.bytes()?.into();
    entry.link = rest.bytes()?.into();
    entry.peek = rest.bytes()?.to_vec();
    entry.xattrs = rest.records()?;
    entry.pax = rest.records()?;
    entry.content = match rest.0 {
        [] => None,
        digest => Some(Digest::from_bytes(digest.try_into().ok()?)),
    };
    Some(entry)
}

/// Seven bits a byte, the least first.
fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    number(value.len() as u64, out);
    out.extend_from_slice(value);
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn number(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
            shift += 7;
        }
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn records(&mut self) -> Option<BTreeMap<BString, Vec<u8>>> {
        let count = self.number()?;
        (0..count).map(|_| Some((self.bytes()?.into(), self.bytes()?.to_vec()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records() -> impl Strategy<Value = BTreeMap<BString, Vec<u8>>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..200);
        prop::collection::btree_map(bytes().prop_map(BString::from), bytes(), 0..3)
    }

    prop_compose! {
        fn entries()(
            kind in prop::sample::select(&KINDS[..]),
            (mode, raw_mode_type, uid, gid, size_bytes) in any::<(u32, u32, u64, u64, u64)>(),
            (mtime_s, mtime_rest_ns, offset, device) in any::<(i64, u32, u64, (u32, u32))>(),
            (uname, gname, link, peek) in any::<(Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)>(),
            (xattrs, pax) in (records(), records()),
            content in prop::option::of(any::<[u8; 32]>()),
        ) -> Entry {
            Entry {
                path: "a/path".into(), kind, mode, raw_mode_type, uid, gid, uname: uname.into(), gname: gname.into(),
                mtime_s, mtime_rest_ns, size_bytes, link: link.into(), device, xattrs, pax,
                content: content.map(Digest::from_bytes), offset, peek,
            }
        }
    }

    proptest! {
        #[test]
        fn round_trips(entry in entries()) {
            let mut bytes = Vec::new();
            encode(&entry, &mut bytes);
            prop_assert_eq!(kind(&bytes), Some(entry.kind));
            prop_assert_eq!(decode(&entry.path, &bytes).unwrap(), entry);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(b"a", &bytes);
        }
    }

    #[test]
    fn an_entry_costs_little() {
        let content = b"exports.number = 12345678\n";
        let mut file = Entry::new(
            "usr/lib/node_modules/123/package-456/file-123456.js",
            Kind::File,
            0o644,
            1_700_000_000,
        );
        file.content = Some(Digest::of(content));
        (file.size_bytes, file.offset, file.peek) = (26, 1 << 33, content.to_vec());
        let mut bytes = Vec::new();
        encode(&file, &mut bytes);
        assert!(bytes.len() < 96, "{} bytes", bytes.len());
        encode(&Entry::new("usr/lib/node_modules", Kind::Directory, 0o755, 1_700_000_000), &mut bytes);
        assert!(bytes.len() < 32, "{} bytes", bytes.len());
    }
}
