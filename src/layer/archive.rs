//! A tar archive, entry by entry: each with its content, in the archive's order.

use std::io::{self, BufRead};

use tar::Header;

use super::{
    Entry, Kind, LayerError,
    header::{Extensions, check_sum, refused},
    number,
    read::bounds,
    shape::{Shape, Shaping, Trailing},
    sparse::{self, Segments},
};
use crate::model::limits::{SPARSE_SIZE_BYTES_MAX, TAR_EXTENSION_SIZE_BYTES_MAX};

const BLOCK: usize = 512;
/// What a hole of a sparse file is read from.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What is made of an archive that not every program reads alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It is refused.
    Strict,
    /// It is read as those do that unpack images, and its [`Shape`] says so: a leading slash is dropped, a sparse file is what it
    /// is when unpacked, bytes after the end mark are passed over, and that mark may be missing.
    Lenient,
}

/// What an archive comes to that is read beside another.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most are entries, and a box for each costs more than moving it"
)]
pub enum Beside {
    /// An entry.
    Own(Entry),
    /// The other's entry, whose content begins at `offset` here.
    Twin {
        /// In bytes from the start of the uncompressed archive.
        offset: u64,
    },
    /// Its physical end.
    End,
}

/// An uncompressed archive that is being read.
#[derive(Debug)]
pub struct Archive<R> {
    pub(super) inner: R,
    reading: Reading,
    pub(super) position: u64,
    pub(super) shaping: Shaping,
    content: Content,
    /// How many entries there were, and the bytes of their names.
    pub(super) counts: (u64, u64),
    /// Bytes of holes in sparse files so far.
    holes_bytes: u64,
    /// The header that was read last, and whether it is all that says what the entry at hand is.
    header: Box<Header>,
    alone: bool,
    shape: Option<Shape>,
}

/// What is left of the content of the entry at hand.
#[derive(Debug, Default)]
struct Content {
    /// Where in the file, and where its end is.
    at: u64,
    size_bytes: u64,
    /// Where in the file the archive has bytes of it; only of a sparse file, for another all of it.
    segments: Option<Segments>,
    /// Bytes in the archive that are not read yet, and those that fill the block after them.
    stored_bytes: u64,
    padding: usize,
}

/// Where the next piece of a content comes from, and the most that may be taken.
enum Source {
    Archive(u64),
    Hole(u64),
}

impl<R: BufRead> Archive<R> {
    /// An archive that begins where `inner` stands.
    pub fn new(inner: R, reading: Reading) -> Self {
        let (shaping, content, counts) = (Shaping::default(), Content::default(), (0, 0));
        let (header, alone) = (Box::new(Header::new_old()), false);
        let (position, holes_bytes, shape) = (0, 0, None);
        Self { inner, reading, position, shaping, content, counts, holes_bytes, header, alone, shape }
    }

    /// The next entry, without digest and [`Entry::peek`] of its content; what was not taken of the content before is passed
    /// over. None at the archive's physical end.
    ///
    /// # Errors
    /// [`LayerError::Read`], and what is refused (see [`super::walk`]).
    pub fn entry(&mut self) -> Result<Option<Entry>, LayerError> {
        match self.entry_beside(None)? {
            Beside::Own(entry) => Ok(Some(entry)),
            Beside::End | Beside::Twin { .. } => Ok(None), // There is no twin of none.
        }
    }

    /// The header of the entry at hand, if nothing else says what it is.
    pub fn header(&self) -> Option<&Header> {
        self.alone.then_some(&*self.header)
    }

    /// [`Archive::entry`] beside another archive that came to an entry, and its [`Archive::header`]: the same header, byte for
    /// byte, is the same entry, and is not read again.
    ///
    /// # Errors
    /// Those of [`Archive::entry`].
    pub fn entry_beside(&mut self, other: Option<(&Entry, &Header)>) -> Result<Beside, LayerError> {
        self.leave()?;
        self.alone = false;
        let mut extensions = Extensions::new(self.reading);
        loop {
            if self.reading == Reading::Lenient && extensions.is_empty() && self.at_end()? {
                self.shaped(self.position, Trailing::default());
                return Ok(Beside::End);
            }
            if extensions.is_empty()
                && let Some((entry, header)) = other
                && self.comes(header)?
            {
                self.shaping.header(header);
                self.content = Content::plain(entry.size_bytes);
                self.count(entry)?;
                return Ok(Beside::Twin { offset: self.position });
            }
            fill(&mut self.inner, &mut self.position, self.header.as_mut_bytes())?;
            let header = &*self.header;
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                if !extensions.is_empty() {
                    return Err(LayerError::Truncated("an extension header stands before the end mark"));
                }
                self.end()?;
                return Ok(Beside::End);
            }
            let refuse = |why| refused(&header.path_bytes(), why);
            check_sum(header).map_err(refuse)?;
            let size = number::header(&header.as_old().size).and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| refuse("its size is no number"))?;
            let flag = header.as_old().linkflag[0];
            if matches!(flag, b'x' | b'g' | b'L' | b'K') {
                let bytes = extension(&mut self.inner, &mut self.position, size)?;
                let bytes = bytes.ok_or_else(|| refuse("its extension is too large"))?;
                if let Some(comment) = extensions.add(flag, &bytes).map_err(refuse)? {
                    self.shaping.comment(&comment);
                }
                continue;
            }
            self.shaping.header(header);
            let known = std::mem::replace(&mut extensions, Extensions::new(self.reading));
            let alone = known.is_empty() && flag != b'S';
            let mut entry = known.entry(header, size)?;
            if entry.path.is_empty() {
                self.shaping.root(&entry);
                continue;
            }
            self.alone = alone;
            self.begin(&mut entry)?;
            return Ok(Beside::Own(entry));
        }
    }

    /// The next bytes of the content of the entry at hand, as they lie; empty at its end.
    ///
    /// # Errors
    /// [`LayerError::Read`], [`LayerError::Truncated`].
    pub fn piece(&mut self) -> Result<&[u8], LayerError> {
        let piece = match self.content.source() {
            Source::Hole(left) => &ZEROS[..clamp(left, ZEROS.len())],
            Source::Archive(0) => &[],
            Source::Archive(left) => {
                let bytes = self.inner.fill_buf().map_err(LayerError::Read)?;
                if bytes.is_empty() {
                    return Err(cut_off());
                }
                &bytes[..clamp(left, bytes.len())]
            }
        };
        Ok(piece)
    }

    /// Takes `count` bytes of what [`Archive::piece`] gave.
    pub fn take(&mut self, count: usize) {
        if let Source::Archive(_) = self.content.source() {
            self.inner.consume(count);
            self.position += count as u64;
            self.content.stored_bytes -= count as u64;
        }
        self.content.at += count as u64;
    }

    /// How the archive is written; none before its end.
    pub fn shape(self) -> Option<Shape> {
        self.shape
    }

    /// Takes note of `entry`, whose content comes next.
    fn begin(&mut self, entry: &mut Entry) -> Result<(), LayerError> {
        self.content = Content::plain(entry.size_bytes);
        if entry.kind == Kind::File {
            if self.reading == Reading::Lenient {
                self.sparse(entry)?;
            }
            entry.offset = self.position;
        }
        self.count(entry)
    }

    /// Counts an entry.
    fn count(&mut self, entry: &Entry) -> Result<(), LayerError> {
        self.shaping.path(&entry.path);
        self.counts.0 += 1;
        self.counts.1 += entry.held_bytes();
        bounds(self.counts.0, self.counts.1)
    }

    /// Reads where the holes are, if it is a sparse file.
    fn sparse(&mut self, entry: &mut Entry) -> Result<(), LayerError> {
        let (mut read_bytes, mut pending) = (0, None);
        let Self { inner, position, header, .. } = self;
        let found = sparse::read(entry, header, &mut |block| match fill(inner, position, block) {
            Ok(()) => {
                read_bytes += BLOCK as u64;
                true
            }
            Err(error) => {
                pending = Some(error);
                false
            }
        });
        if let Some(error) = pending {
            return Err(error);
        }
        let Some(sparse) = found.map_err(|why| refused(&entry.path, why))? else { return Ok(()) };
        // Of GNU's old form the map comes before the content and counts for nothing, of PAX 1.0 it is part of it.
        if sparse.map_in_content {
            self.content.stored_bytes = self
                .content
                .stored_bytes
                .checked_sub(read_bytes)
                .ok_or_else(|| refused(&entry.path, "its sparse map is longer than its content"))?;
        }
        if sparse.segments.stored_bytes() != self.content.stored_bytes {
            return Err(refused(&entry.path, "its sparse map contradicts its size"));
        }
        let holes = sparse.size_bytes - sparse.segments.stored_bytes();
        self.holes_bytes = self.holes_bytes.saturating_add(holes);
        if self.holes_bytes > SPARSE_SIZE_BYTES_MAX {
            return Err(refused(&entry.path, "it and the sparse files before it have too large holes"));
        }
        entry.size_bytes = sparse.size_bytes;
        self.content.size_bytes = sparse.size_bytes;
        self.content.segments = Some(sparse.segments);
        Ok(())
    }

    /// Whether `header` comes next, and as a whole is at hand; takes it then.
    fn comes(&mut self, header: &Header) -> Result<bool, LayerError> {
        let comes = self.inner.fill_buf().map_err(LayerError::Read)?.starts_with(header.as_bytes());
        if comes {
            self.inner.consume(BLOCK);
            self.position += BLOCK as u64;
        }
        Ok(comes)
    }

    /// Passes over what is left of the content at hand, and over what fills its block.
    pub(super) fn leave(&mut self) -> Result<(), LayerError> {
        let Content { stored_bytes, padding, .. } = std::mem::take(&mut self.content);
        let mut left = stored_bytes.saturating_add(padding as u64);
        while left > 0 {
            let count = self.inner.fill_buf().map_err(LayerError::Read)?.len();
            if count == 0 {
                return Err(cut_off());
            }
            let count = clamp(left, count);
            self.inner.consume(count);
            self.position += count as u64;
            left -= count as u64;
        }
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, LayerError> {
        self.inner.fill_buf().map(<[u8]>::is_empty).map_err(LayerError::Read)
    }

    /// After the first zero block: one more, then zeros to the physical end.
    fn end(&mut self) -> Result<(), LayerError> {
        let end = self.position - BLOCK as u64;
        let mut trailing = Trailing::default();
        if self.reading == Reading::Strict {
            let mut block = [0; BLOCK];
            fill(&mut self.inner, &mut self.position, &mut block)?;
            trailing.bytes(&block);
        }
        loop {
            let bytes = self.inner.fill_buf().map_err(LayerError::Read)?;
            if bytes.is_empty() {
                break;
            }
            trailing.bytes(bytes);
            let count = bytes.len();
            self.position += count as u64;
            self.inner.consume(count);
        }
        if self.reading == Reading::Strict && trailing.any() {
            return Err(LayerError::Trailing(end + BLOCK as u64 + trailing.first()));
        }
        self.shaped(end, trailing);
        Ok(())
    }

    fn shaped(&mut self, end: u64, trailing: Trailing) {
        let shaping = std::mem::take(&mut self.shaping);
        self.shape = Some(shaping.end(end, self.position - end, trailing));
    }
}

impl Content {
    /// That of a file whose `size_bytes` all stand in the archive.
    fn plain(size_bytes: u64) -> Self {
        let padding = (BLOCK - clamp(size_bytes % BLOCK as u64, BLOCK)) % BLOCK;
        Self { at: 0, size_bytes, segments: None, stored_bytes: size_bytes, padding }
    }

    fn source(&self) -> Source {
        match &self.segments {
            None => Source::Archive(self.size_bytes - self.at),
            Some(segments) => match segments.at(self.at) {
                (true, left) => Source::Archive(left),
                (false, left) => Source::Hole(left.min(self.size_bytes - self.at)),
            },
        }
    }
}

/// The next bytes of an archive that is read up to `position`.
fn fill(inner: &mut impl BufRead, position: &mut u64, buffer: &mut [u8]) -> Result<(), LayerError> {
    inner.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => cut_off(),
        _ => LayerError::Read(error),
    })?;
    *position += buffer.len() as u64;
    Ok(())
}

/// The bytes of a PAX or GNU header; none if there are too many.
fn extension(inner: &mut impl BufRead, position: &mut u64, size: u64) -> Result<Option<Vec<u8>>, LayerError> {
    let size = usize::try_from(size).ok().filter(|size| *size as u64 <= TAR_EXTENSION_SIZE_BYTES_MAX);
    let Some(size) = size else { return Ok(None) };
    let mut bytes = vec![0; size.next_multiple_of(BLOCK)];
    fill(inner, position, &mut bytes)?;
    bytes.truncate(size);
    Ok(Some(bytes))
}

fn clamp(left: u64, most: usize) -> usize {
    usize::try_from(left).map_or(most, |left| left.min(most))
}

fn cut_off() -> LayerError {
    LayerError::Truncated("it ends before its end mark")
}
