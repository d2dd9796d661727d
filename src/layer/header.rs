//! Headers of a tar archive (POSIX.1-2017 `pax`, "ustar Interchange Format"; GNU's long names): bytes → entries.

use bstr::{BStr, BString, ByteSlice as _};
use tar::Header;

use super::{Entry, Kind, LayerError, archive::Reading, number, pax, sparse};
use crate::model::{limits::PATH_SIZE_BYTES_MAX, path::printable};

type Records = std::collections::BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) fn refused(path: &[u8], why: &'static str) -> LayerError {
    LayerError::Refused { path: shown(path), why }
}

pub(super) fn shown(path: &[u8]) -> String {
    printable(&BStr::new(path).to_str_lossy())
}

/// The sum of all bytes with the checksum field read as spaces.
pub(super) fn check_sum(header: &Header) -> Result<(), &'static str> {
    // Of 256 bytes in 16 bits, which fit and are added many at once.
    let part = |bytes: &[u8]| bytes.iter().fold(0_u16, |sum, byte| sum + u16::from(*byte));
    let sum = |bytes: &[u8]| bytes.chunks(256).map(|bytes| u32::from(part(bytes))).sum::<u32>();
    let sum = i64::from(sum(header.as_bytes()) - sum(&header.as_old().cksum));
    match number::header(&header.as_old().cksum) {
        Some(claimed) if claimed == sum + 8 * 32 => Ok(()),
        _ => Err("its header checksum is wrong"),
    }
}

/// What stands before a header and changes its meaning.
pub(super) struct Extensions {
    reading: Reading,
    pax: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extensions {
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading, pax: None, name: None, link: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none() && self.link.is_none()
    }

    /// Takes one; gives back a comment for all entries, if it is that.
    pub(super) fn add(&mut self, kind: u8, bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
        let mut records = if matches!(kind, b'x' | b'g') { pax::parse(bytes)? } else { Records::new() };
        let slot = match kind {
            b'g' if records.keys().all(|key| key == b"comment") => {
                return Ok(records.remove(&b"comment"[..]));
            }
            b'g' => return Err("a global PAX header changes the entries after it"),
            b'x' if self.is_empty() => {
                self.pax = Some(records);
                return Ok(None);
            }
            _ if kind == b'x' || self.pax.is_some() => {
                return Err("it has more than one PAX header, or PAX beside a GNU long name");
            }
            b'L' => &mut self.name,
            _ => &mut self.link,
        };
        let text = bytes.strip_suffix(b"\0").unwrap_or(bytes).to_vec();
        match slot.replace(text) {
            Some(_) => Err("it has two GNU long names"),
            None => Ok(None),
        }
    }

    /// The entry `header` describes; that of the root directory has an empty path.
    pub(super) fn entry(self, header: &Header, header_size: u64) -> Result<Entry, LayerError> {
        let (mut pax, strict) = (self.pax.unwrap_or_default(), self.reading == Reading::Strict);
        // An empty value means that the header's counts (POSIX: the record is deleted).
        pax.retain(|key, value| !value.is_empty() || key.starts_with(b"SCHILY.xattr."));
        let long = |text: Option<Vec<u8>>| text.filter(|text| !text.is_empty());
        let flag = header.as_old().linkflag[0];
        let is_sparse = pax.keys().any(|key| key.starts_with(b"GNU.sparse.")) || flag == b'S';
        let sparse = pax.get(&b"GNU.sparse.name"[..]).filter(|_| !strict).cloned();
        let name = pax.remove(&b"path"[..]).or(long(self.name)).unwrap_or_else(|| name(header));
        if is_sparse && strict {
            return Err(LayerError::Sparse(shown(&name)));
        }
        if is_sparse && !sparse::known(flag, &pax) {
            return Err(refused(&name, "its form of a sparse file is not known"));
        }
        let name = sparse.unwrap_or(name);
        let refuse = |why| refused(&name, why);
        let magic = &header.as_bytes()[257..265];
        if magic.starts_with(b"ustar\0") && &magic[6..] != b"00" {
            return Err(refuse("its header is of an unknown version, so where its name ends is a guess"));
        }
        let kind = kind(header.as_old().linkflag[0], &name).map_err(refuse)?;
        if strict && name.starts_with(b"/") {
            return Err(refuse("its path is absolute"));
        }
        let path = clean(&name).map_err(refuse)?;
        if path.is_empty() && kind != Kind::Directory {
            return Err(refuse("it has no name"));
        }
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if matches!(last, b".wh." | b".wh.." | b".wh...") {
            return Err(refuse("it is a whiteout of nothing, which some take for one of its directory"));
        }
        let link = pax.remove(&b"linkpath"[..]).or(long(self.link));
        let link = link.unwrap_or_else(|| until_nul(&header.as_old().linkname).to_vec());
        let mut entry = Entry::new(path, kind, 0, 0);
        entry.link = target(kind, &link, strict).map_err(refuse)?;
        entry.size_bytes = size(&mut pax, header_size).map_err(refuse)?;
        if kind != Kind::File && entry.size_bytes != 0 {
            return Err(refuse("it is no regular file but claims content"));
        }
        fields(&mut entry, header, &mut pax).map_err(refuse)?;
        Ok(entry)
    }
}

pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())]
}

/// The name in the header itself: POSIX archives split long ones in two.
fn name(header: &Header) -> Vec<u8> {
    let name = until_nul(&header.as_old().name);
    match header.as_ustar().map(|ustar| until_nul(&ustar.prefix)) {
        Some(prefix) if !prefix.is_empty() => [prefix, b"/", name].concat(),
        _ => name.to_vec(),
    }
}

fn kind(flag: u8, name: &[u8]) -> Result<Kind, &'static str> {
    match flag {
        b'0' | b'7' | 0 if name.ends_with(b"/") => Err("it is a file whose name ends in `/`"),
        b'0' | b'7' | b'S' | 0 => Ok(Kind::File),
        b'1' => Ok(Kind::Hardlink),
        b'2' => Ok(Kind::Symlink),
        b'3' => Ok(Kind::Char),
        b'4' => Ok(Kind::Block),
        b'5' => Ok(Kind::Directory),
        b'6' => Ok(Kind::Fifo),
        _ => Err("its type is unknown"),
    }
}

/// `name` without `.` and empty components.
fn clean(name: &[u8]) -> Result<BString, &'static str> {
    if name.contains(&0) {
        return Err("its path holds NUL");
    }
    if name.len() > PATH_SIZE_BYTES_MAX {
        return Err("its path is too long");
    }
    let mut path = BString::new(Vec::with_capacity(name.len()));
    for component in name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
        if component == b".." {
            return Err("its path goes up with `..`");
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    Ok(path)
}

fn target(kind: Kind, link: &[u8], strict: bool) -> Result<BString, &'static str> {
    match kind {
        Kind::Hardlink => match clean(link) {
            Ok(path) if !(path.is_empty() || strict && link.starts_with(b"/")) => Ok(path),
            _ => Err("it is a hard link to nowhere, to an absolute path or through `..`"),
        },
        _ if link.contains(&0) => Err("its link target holds NUL"),
        _ if link.len() > PATH_SIZE_BYTES_MAX => Err("its link target is too long"),
        _ => Ok(link.into()),
    }
}

/// PAX wins, but only over a header that says the same, says nothing, or cannot say it (8 GiB and more).
fn size(pax: &mut Records, header: u64) -> Result<u64, &'static str> {
    const HEADER_SAYS_LESS_THAN: u64 = 1 << 33;
    let Some(text) = pax.remove(&b"size"[..]) else { return Ok(header) };
    let size = number::decimal(&text).ok_or("its PAX size is no number")?;
    if size == header || header == 0 || size >= HEADER_SAYS_LESS_THAN {
        Ok(size)
    } else {
        Err("its PAX size contradicts its header")
    }
}

fn fields(entry: &mut Entry, header: &Header, pax: &mut Records) -> Result<(), &'static str> {
    let old = header.as_old();
    let unsigned = |field| number::header(field).and_then(|value| u64::try_from(value).ok());
    let id = |pax: &mut Records, key: &[u8], field| match pax.remove(key) {
        Some(text) => number::decimal(&text),
        None => unsigned(field),
    };
    let mode =
        number::header(&old.mode).and_then(|mode| u32::try_from(mode).ok()).ok_or("its mode is no number")?;
    (entry.mode, entry.raw_mode_type) = (mode & 0o7777, mode & !0o7777);
    entry.uid = id(pax, b"uid", &old.uid).ok_or("its uid is no number")?;
    entry.gid = id(pax, b"gid", &old.gid).ok_or("its gid is no number")?;
    let mtime = match pax.remove(&b"mtime"[..]) {
        Some(text) => number::time(&text),
        None => number::header(&old.mtime).map(|seconds| (seconds, 0)),
    };
    (entry.mtime_s, entry.mtime_rest_ns) = mtime.ok_or("its mtime is no time")?;
    let named = |pax: &mut Records, key: &[u8], field: Option<&[u8]>| {
        pax.remove(key).unwrap_or_else(|| until_nul(field.unwrap_or_default()).to_vec())
    };
    entry.uname = named(pax, b"uname", header.username_bytes()).into();
    entry.gname = named(pax, b"gname", header.groupname_bytes()).into();
    if matches!(entry.kind, Kind::Char | Kind::Block) {
        let bytes = header.as_bytes();
        let number = |range: std::ops::Range<usize>| {
            let value = if header.as_ustar().is_some() || header.as_gnu().is_some() {
                unsigned(&bytes[range])
            } else {
                Some(0)
            };
            value.and_then(|value| u32::try_from(value).ok()).ok_or("its device number is no number")
        };
        entry.device = (number(329..337)?, number(337..345)?);
    }
    for (key, value) in std::mem::take(pax) {
        match key.strip_prefix(b"SCHILY.xattr.") {
            Some(name) => entry.xattrs.insert(name.into(), value),
            None => entry.pax.insert(key.into(), value),
        };
    }
    Ok(())
}
