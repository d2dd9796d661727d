//! `tar1.gzip1`, the one canonical form of a layer (WIRE.md §6).

use std::{
    collections::BTreeMap,
    io::{self, SeekFrom, Write},
};

use bstr::ByteSlice as _;
use tar::{EntryType, Header};

use super::{Entry, Gzip1, Kind, Layer, LayerError, clamp, pax};
use crate::model::{DiffId, Hasher, ReadSeek, path::printable};

/// Bytes of contents that are read at once.
const READ_SIZE_BYTES: usize = 64 << 10;

/// The archive that was compressed. Whoever takes the compressed bytes hashes them: a store does so anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archived {
    /// Its digest.
    pub diff_id: DiffId,
    /// Its size.
    pub size_bytes: u64,
}

/// Writes `layer` canonically. `content` is the uncompressed archive its entries were indexed from.
///
/// Order, times (`min(mtime, epoch_s)`, also inside timestamp `.pyc` files), header form and compression are
/// those of WIRE.md §6. At most a batch of blocks is in memory.
///
/// # Errors
/// Those of `content` and `out`, of the layer's scratch file, and what the format cannot say (a device number over
/// 2097151).
pub fn write(
    layer: &Layer,
    content: &mut dyn ReadSeek,
    epoch_s: i64,
    out: impl Write,
) -> Result<Archived, LayerError> {
    let mut archive = Tee { inner: Gzip1::new(out), hasher: Hasher::default() };
    let mut buffer = vec![0; READ_SIZE_BYTES];
    for entry in layer.entries()? {
        let entry = entry?;
        archive.write_all(&head(&entry, epoch_s)?).map_err(LayerError::Write)?;
        if entry.kind == Kind::File {
            copy(&entry, content, epoch_s, &mut buffer, &mut archive)?;
        }
    }
    archive.write_all(&[0; 1024]).map_err(LayerError::Write)?;
    let Tee { inner, hasher } = archive;
    inner.finish().map_err(LayerError::Write)?.flush().map_err(LayerError::Write)?;
    let size_bytes = hasher.size_bytes();
    Ok(Archived { diff_id: DiffId(hasher.finish()), size_bytes })
}

/// The header blocks of one entry.
fn head(entry: &Entry, epoch_s: i64) -> Result<Vec<u8>, LayerError> {
    let mut records = BTreeMap::new();
    let mut header = Header::new_ustar();
    let mut path = entry.path.to_vec();
    if entry.kind == Kind::Directory {
        path.push(b'/');
    }
    if !put_path(&mut header, &path) {
        records.insert(b"path".to_vec(), path);
    }
    if matches!(entry.kind, Kind::Symlink | Kind::Hardlink)
        && !put(&mut header.as_old_mut().linkname, &entry.link)
    {
        records.insert(b"linkpath".to_vec(), entry.link.to_vec());
    }
    let mtime_s = clamp::mtime(entry, epoch_s);
    let size_bytes = if entry.kind == Kind::File { entry.size_bytes } else { 0 };
    let old = header.as_old_mut();
    octal(&mut old.mode, entry.mode.into());
    for (key, field, value) in [
        (&b"uid"[..], &mut old.uid[..], i64::try_from(entry.uid).ok()),
        (b"gid", &mut old.gid, i64::try_from(entry.gid).ok()),
        (b"size", &mut old.size, i64::try_from(size_bytes).ok()),
        (b"mtime", &mut old.mtime, Some(mtime_s)),
    ] {
        let value = value.ok_or_else(|| refused(entry, "a number of it is too large for an archive"))?;
        if !octal(field, value) {
            octal(field, 0);
            records.insert(key.to_vec(), value.to_string().into_bytes());
        }
    }
    put_device(&mut header, entry)?;
    for (name, value) in entry.xattrs.iter().filter(|_| !entry.is_other_name()) {
        records.insert([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone());
    }
    header.set_entry_type(entry_type(entry.kind));
    header.set_cksum();
    let mut blocks = if records.is_empty() { Vec::new() } else { pax_blocks(&records) };
    blocks.extend_from_slice(header.as_bytes());
    Ok(blocks)
}

fn refused(entry: &Entry, why: &'static str) -> LayerError {
    LayerError::Refused { path: printable(&entry.path.to_str_lossy()), why }
}

fn entry_type(kind: Kind) -> EntryType {
    match kind {
        Kind::File => EntryType::Regular,
        Kind::Directory => EntryType::Directory,
        Kind::Symlink => EntryType::Symlink,
        Kind::Hardlink => EntryType::Link,
        Kind::Char => EntryType::Char,
        Kind::Block => EntryType::Block,
        Kind::Fifo => EntryType::Fifo,
    }
}

fn put_device(header: &mut Header, entry: &Entry) -> Result<(), LayerError> {
    let (major, minor) = match entry.kind {
        Kind::Char | Kind::Block => entry.device,
        _ => (0, 0),
    };
    let bytes = header.as_mut_bytes();
    if octal(&mut bytes[329..337], major.into()) && octal(&mut bytes[337..345], minor.into()) {
        Ok(())
    } else {
        Err(refused(entry, "its device number is too large for an archive"))
    }
}

fn pax_blocks(records: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
    let body = pax::write(records);
    let mut header = Header::new_ustar();
    put(&mut header.as_old_mut().name, b"././@PaxHeader");
    let old = header.as_old_mut();
    let fields = [&mut old.mode[..], &mut old.uid, &mut old.gid, &mut old.mtime];
    for field in fields {
        octal(field, 0);
    }
    header.set_size(body.len() as u64);
    header.set_entry_type(EntryType::XHeader);
    header.set_cksum();
    let mut blocks = header.as_bytes().to_vec();
    blocks.extend_from_slice(&body);
    blocks.resize(blocks.len().next_multiple_of(512), 0);
    blocks
}

/// Fits `path` into name, or prefix and name; else leaves its beginning and says no.
fn put_path(header: &mut Header, path: &[u8]) -> bool {
    if path.len() <= 100 {
        return put(&mut header.as_old_mut().name, path);
    }
    let slash = path[..path.len() - 1].iter().take(156).rposition(|byte| *byte == b'/').filter(|at| *at > 0);
    match (slash.filter(|at| path.len() - at - 1 <= 100), header.as_ustar_mut()) {
        (Some(at), Some(ustar)) => {
            put(&mut ustar.prefix, &path[..at]) && put(&mut ustar.name, &path[at + 1..])
        }
        _ => put(&mut header.as_old_mut().name, path),
    }
}

fn put(field: &mut [u8], value: &[u8]) -> bool {
    let count = value.len().min(field.len());
    field[..count].copy_from_slice(&value[..count]);
    count == value.len()
}

/// Octal digits and a NUL, if `value` fits.
fn octal(field: &mut [u8], value: i64) -> bool {
    let width = field.len() - 1;
    let text = format!("{value:0width$o}");
    let fits = value >= 0 && text.len() == width;
    if fits {
        field[..width].copy_from_slice(text.as_bytes());
        field[width] = 0;
    }
    fits
}

fn copy(
    entry: &Entry,
    content: &mut dyn ReadSeek,
    epoch_s: i64,
    buffer: &mut [u8],
    archive: &mut impl Write,
) -> Result<(), LayerError> {
    let head = clamp::pyc_head(entry, epoch_s);
    let head = head.as_ref().map_or(&[][..], |head| &head[..]);
    archive.write_all(head).map_err(LayerError::Write)?;
    content.seek(SeekFrom::Start(entry.offset + head.len() as u64)).map_err(LayerError::Read)?;
    let mut left = entry.size_bytes - head.len() as u64;
    while left > 0 {
        let chunk = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        content.read_exact(&mut buffer[..chunk]).map_err(LayerError::Read)?;
        archive.write_all(&buffer[..chunk]).map_err(LayerError::Write)?;
        left -= chunk as u64;
    }
    let padding = entry.size_bytes.next_multiple_of(512) - entry.size_bytes;
    let zeros = [0; 512];
    archive.write_all(&zeros[..usize::try_from(padding).unwrap_or_default()]).map_err(LayerError::Write)
}

/// Hashes what passes.
struct Tee<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
