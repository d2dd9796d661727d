//! Contents that a rule wrote anew, and how they are read in place of those of the archive.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
};

use crate::{
    layer::{Entry, LayerError, PEEK_SIZE_BYTES},
    model::{Hasher, ReadSeek, ReadWriteSeek, Scratch},
};

/// Offsets from here on are those of new contents; no archive is that long.
const FROM: u64 = 1 << 62;

/// New contents of entries of one layer.
#[derive(Default)]
pub struct Patches {
    file: Option<Box<dyn ReadWriteSeek>>,
    end: u64,
}

impl fmt::Debug for Patches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patches").field("end", &self.end).finish_non_exhaustive()
    }
}

impl Patches {
    /// Where the next content may be written, and from what offset on.
    pub(super) fn next(
        &mut self,
        scratch: &dyn Scratch,
    ) -> Result<(&mut dyn ReadWriteSeek, u64), LayerError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => scratch.file().map_err(LayerError::Sort)?,
        };
        Ok((self.file.insert(file), self.end))
    }

    /// `entry` with the `size_bytes` that were written there as its content.
    pub(super) fn take(&mut self, entry: &Entry, size_bytes: u64) -> Result<Entry, LayerError> {
        let Some(file) = &mut self.file else { return Ok(entry.clone()) };
        let (mut hasher, mut peek) = (Hasher::default(), Vec::new());
        let mut buffer = [0; 16 << 10];
        let reader = file;
        reader.seek(SeekFrom::Start(self.end)).map_err(LayerError::Sort)?;
        let mut left = size_bytes;
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            reader.read_exact(&mut buffer[..most]).map_err(LayerError::Sort)?;
            hasher.update(&buffer[..most]);
            let wanted = PEEK_SIZE_BYTES.saturating_sub(peek.len()).min(most);
            peek.extend_from_slice(&buffer[..wanted]);
            left -= most as u64;
        }
        let content = Some(hasher.finish());
        let offset = FROM + self.end;
        self.end += size_bytes;
        Ok(Entry { content, offset, size_bytes, peek, ..entry.clone() })
    }

    /// `entry` with `bytes` as its content.
    pub(super) fn put(
        &mut self,
        entry: &Entry,
        bytes: &[u8],
        scratch: &dyn Scratch,
    ) -> Result<Entry, LayerError> {
        let (file, end) = self.next(scratch)?;
        file.seek(SeekFrom::Start(end)).and_then(|_| file.write_all(bytes)).map_err(LayerError::Sort)?;
        self.take(entry, bytes.len() as u64)
    }

    /// The archive `content` with these in it, each at its entry's offset.
    pub fn over<'a>(&'a mut self, content: &'a mut dyn ReadSeek) -> Patched<'a> {
        Patched { patches: self, content, patched: false }
    }
}

/// An archive and new contents.
pub struct Patched<'a> {
    patches: &'a mut Patches,
    content: &'a mut dyn ReadSeek,
    patched: bool,
}

impl fmt::Debug for Patched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patched").field("patches", &self.patches).finish_non_exhaustive()
    }
}

impl Read for Patched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.patches.file {
            Some(file) if self.patched => file.read(buffer),
            _ => self.content.read(buffer),
        }
    }
}

impl Seek for Patched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.patched = at >= FROM;
        match &mut self.patches.file {
            Some(file) if self.patched => Ok(FROM + file.seek(SeekFrom::Start(at - FROM))?),
            _ => self.content.seek(to),
        }
    }
}
