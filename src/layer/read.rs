//! One strict streaming pass over an uncompressed tar archive.
//!
//! Whatever two readers could understand differently is refused, never guessed.

use std::io::{self, Read};

use bstr::{BStr, BString, ByteSlice as _};
use tar::Header;

use super::{
    Entry, Kind, LayerError, number, pax,
    shape::{Shape, Shaping},
};
use crate::model::{
    Hasher,
    limits::{
        LAYER_ENTRIES_MAX, LAYER_NAMES_SIZE_BYTES_MAX, PATH_SIZE_BYTES_MAX, TAR_EXTENSION_SIZE_BYTES_MAX,
    },
    path::printable,
};

type Records = std::collections::BTreeMap<Vec<u8>, Vec<u8>>;

const BLOCK: usize = 512;
/// Bytes at the start of a file that its entry keeps.
pub const PEEK_SIZE_BYTES: usize = 64;

/// Lists the entries of an uncompressed archive in its order, reading it to the physical end. They are held in memory,
/// and have no digest of their content.
///
/// # Errors
/// Those of [`walk`], and one path twice.
pub fn index(tar: impl Read) -> Result<Vec<Entry>, LayerError> {
    let mut entries = Vec::new();
    let each = |entry| {
        entries.push(entry);
        Ok(())
    };
    pass(tar, Contents::Located, |_, _| {}, each)?;
    let mut paths: Vec<&BString> = entries.iter().map(|entry| &entry.path).collect();
    paths.sort_unstable();
    paths.windows(2).try_for_each(|pair| refuse_twice(pair[0], pair[1]))?;
    Ok(entries)
}

/// Gives `each` the entries of an uncompressed archive in its order, reading it to the physical end; `each_chunk` sees
/// the content of every file before that, piece by piece. Returns how the archive is written.
///
/// # Errors
/// Those of `each`. Refused are: absolute paths, `..`, NUL, paths over `PATH_SIZE_BYTES_MAX`, sparse files,
/// PAX beside GNU long names, a PAX key twice, sizes that contradict each other, links and devices with
/// content, unknown types, a bad checksum, more entries than `LAYER_ENTRIES_MAX`, a missing end mark, and
/// anything but zeros after it.
pub fn walk(
    tar: impl Read,
    each_chunk: impl FnMut(&Entry, &[u8]),
    each: impl FnMut(Entry) -> Result<(), LayerError>,
) -> Result<Shape, LayerError> {
    pass(tar, Contents::Digested, each_chunk, each)
}

/// What an entry knows of its content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// Where it is.
    Located,
    /// Its digest too.
    Digested,
}

fn pass(
    tar: impl Read,
    contents: Contents,
    mut each_chunk: impl FnMut(&Entry, &[u8]),
    mut each: impl FnMut(Entry) -> Result<(), LayerError>,
) -> Result<Shape, LayerError> {
    let mut blocks = Blocks { inner: io::BufReader::with_capacity(256 << 10, tar), position: 0 };
    let (mut count, mut names_bytes) = (0, 0);
    let (mut extensions, mut shape) = (Extensions::default(), Shaping::default());
    loop {
        let header = blocks.header()?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            break;
        }
        let name = header.path_bytes().into_owned();
        let refuse = |why| refused(&name, why);
        check_sum(&header).map_err(refuse)?;
        let size = number::header(&header.as_old().size).and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| refuse("its size is no number"))?;
        let flag = header.as_old().linkflag[0];
        if matches!(flag, b'x' | b'g' | b'L' | b'K') {
            let bytes = blocks.extension(size);
            let bytes =
                bytes.map_err(|error| error.unwrap_or_else(|| refuse("its extension is too large")))?;
            if let Some(comment) = extensions.add(flag, &bytes).map_err(refuse)? {
                shape.comment(&comment);
            }
            continue;
        }
        shape.header(&header);
        let Some(mut entry) = std::mem::take(&mut extensions).entry(&header, size)? else { continue };
        shape.entry(&entry);
        blocks.content(&mut entry, contents, &mut each_chunk)?;
        names_bytes += entry.held_bytes();
        count += 1;
        bounds(count, names_bytes)?;
        each(entry)?;
    }
    if !extensions.is_empty() {
        return Err(LayerError::Truncated("an extension header stands before the end mark"));
    }
    let end = blocks.position - BLOCK as u64;
    blocks.end()?;
    Ok(shape.end(end, blocks.position - end))
}

/// Reads the content of some entries in one pass: `wanted` are (offset, size) pairs in ascending order.
///
/// # Errors
/// Those of the reader, and `UnexpectedEof` if it is shorter than a wanted range.
pub fn capture(mut tar: impl Read, wanted: &[(u64, u64)]) -> io::Result<Vec<Vec<u8>>> {
    let mut position = 0;
    let mut all = Vec::with_capacity(wanted.len());
    for &(offset, size_bytes) in wanted {
        let gap = offset.checked_sub(position).ok_or(io::ErrorKind::InvalidInput)?;
        let skipped = io::copy(&mut tar.by_ref().take(gap), &mut io::sink())?;
        let mut bytes = Vec::new();
        tar.by_ref().take(size_bytes).read_to_end(&mut bytes)?;
        if skipped != gap || bytes.len() as u64 != size_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        position = offset + size_bytes;
        all.push(bytes);
    }
    Ok(all)
}

fn refused(path: &[u8], why: &'static str) -> LayerError {
    LayerError::Refused { path: shown(path), why }
}

fn shown(path: &[u8]) -> String {
    printable(&BStr::new(path).to_str_lossy())
}

/// Whether a layer may have so many entries, and so many bytes of names in them.
///
/// # Errors
/// [`LayerError::TooMany`].
pub fn bounds(entries: u64, names_bytes: u64) -> Result<(), LayerError> {
    let bound = |what, actual, max| {
        if actual > max { Err(LayerError::TooMany { what, max }) } else { Ok(()) }
    };
    bound("entries", entries, LAYER_ENTRIES_MAX)?;
    bound("bytes of names", names_bytes, LAYER_NAMES_SIZE_BYTES_MAX)
}

/// Holds two paths against each other that follow each other in order.
pub(super) fn refuse_twice(path: &[u8], next: &[u8]) -> Result<(), LayerError> {
    if path == next { Err(LayerError::Duplicate(shown(path))) } else { Ok(()) }
}

/// The sum of all bytes with the checksum field read as spaces.
fn check_sum(header: &Header) -> Result<(), &'static str> {
    let bytes = header.as_bytes();
    let sum: i64 = bytes[..148].iter().chain(&bytes[156..]).map(|byte| i64::from(*byte)).sum();
    match number::header(&header.as_old().cksum) {
        Some(claimed) if claimed == sum + 8 * 32 => Ok(()),
        _ => Err("its header checksum is wrong"),
    }
}

struct Blocks<R> {
    inner: R,
    position: u64,
}

impl<R: Read> Blocks<R> {
    fn header(&mut self) -> Result<Header, LayerError> {
        let mut header = Header::new_old();
        self.fill(header.as_mut_bytes())?;
        Ok(header)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), LayerError> {
        self.inner.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => LayerError::Truncated("it ends before its end mark"),
            _ => LayerError::Read(error),
        })?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    /// The bytes of a PAX or GNU header; `Err(None)` if there are too many.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Option<LayerError>> {
        let size = usize::try_from(size).ok().filter(|size| *size as u64 <= TAR_EXTENSION_SIZE_BYTES_MAX);
        let mut bytes = vec![0; size.ok_or(None)?];
        self.fill(&mut bytes).map_err(Some)?;
        self.padding(bytes.len() as u64).map_err(Some)?;
        Ok(bytes)
    }

    fn padding(&mut self, size: u64) -> Result<(), LayerError> {
        let rest = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        if rest == 0 { Ok(()) } else { self.fill(&mut [0; BLOCK][rest..]) }
    }

    /// Passes over the content that follows and notes where it is.
    fn content(
        &mut self,
        entry: &mut Entry,
        contents: Contents,
        each_chunk: &mut impl FnMut(&Entry, &[u8]),
    ) -> Result<(), LayerError> {
        if entry.kind != Kind::File {
            return Ok(());
        }
        entry.offset = self.position;
        let mut hasher = (contents == Contents::Digested).then(Hasher::default);
        let mut buffer = [0; 16 << 10];
        let mut left = entry.size_bytes;
        while left > 0 {
            let chunk = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let chunk = &mut buffer[..chunk];
            self.fill(chunk)?;
            if left == entry.size_bytes {
                entry.peek = chunk[..chunk.len().min(PEEK_SIZE_BYTES)].to_vec();
            }
            if let Some(hasher) = &mut hasher {
                hasher.update(chunk);
            }
            each_chunk(entry, chunk);
            left -= chunk.len() as u64;
        }
        entry.content = hasher.map(Hasher::finish);
        self.padding(entry.size_bytes)
    }

    /// After the first zero block: one more, then zeros to the physical end.
    fn end(&mut self) -> Result<(), LayerError> {
        let mut buffer = [0; BLOCK];
        self.fill(&mut buffer)?;
        loop {
            if buffer.iter().any(|byte| *byte != 0) {
                return Err(LayerError::Trailing(self.position));
            }
            let count = self.inner.read(&mut buffer).map_err(LayerError::Read)?;
            if count == 0 {
                return Ok(());
            }
            buffer[count..].fill(0);
            self.position += count as u64;
        }
    }
}

/// What stands before a header and changes its meaning.
#[derive(Default)]
struct Extensions {
    pax: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none() && self.link.is_none()
    }

    /// Takes one; gives back a comment for all entries, if it is that.
    fn add(&mut self, kind: u8, bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
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

    /// The entry `header` describes; nothing for the root directory.
    fn entry(self, header: &Header, header_size: u64) -> Result<Option<Entry>, LayerError> {
        let mut pax = self.pax.unwrap_or_default();
        let name = pax.remove(&b"path"[..]).or(self.name).unwrap_or_else(|| name(header));
        let refuse = |why| refused(&name, why);
        if pax.keys().any(|key| key.starts_with(b"GNU.sparse.")) || header.as_old().linkflag[0] == b'S' {
            return Err(LayerError::Sparse(shown(&name)));
        }
        let kind = kind(header.as_old().linkflag[0], &name).map_err(refuse)?;
        let path = clean(&name).map_err(refuse)?;
        if path.is_empty() {
            return if kind == Kind::Directory { Ok(None) } else { Err(refuse("it has no name")) };
        }
        let link = pax.remove(&b"linkpath"[..]).or(self.link);
        let link = link.unwrap_or_else(|| until_nul(&header.as_old().linkname).to_vec());
        let mut entry = Entry::new(path, kind, 0, 0);
        entry.link = target(kind, &link).map_err(refuse)?;
        entry.size_bytes = size(&mut pax, header_size).map_err(refuse)?;
        if kind != Kind::File && entry.size_bytes != 0 {
            return Err(refuse("it is no regular file but claims content"));
        }
        fields(&mut entry, header, &mut pax).map_err(refuse)?;
        Ok(Some(entry))
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
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
        b'0' | b'7' | 0 => Ok(Kind::File),
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
    if name.starts_with(b"/") {
        return Err("its path is absolute");
    }
    if name.contains(&0) {
        return Err("its path holds NUL");
    }
    if name.len() > PATH_SIZE_BYTES_MAX {
        return Err("its path is too long");
    }
    let mut path = BString::default();
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

fn target(kind: Kind, link: &[u8]) -> Result<BString, &'static str> {
    match kind {
        Kind::Hardlink => match clean(link) {
            Ok(path) if !path.is_empty() => Ok(path),
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

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
