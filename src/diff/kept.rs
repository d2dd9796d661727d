//! Contents that differ, held until they are explained: small ones in memory while there is room, the others in a nameless
//! file, from which they are read back when they are asked for.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    layer::LayerError,
    model::{
        ReadWriteSeek, Scratch,
        limits::{CAPTURE_SIZE_BYTES_MAX, KEPT_FILE_BYTES_MAX, KEPT_SIZE_BYTES_MAX},
    },
};

/// Both contents of a file, at hand.
pub type Both<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Both contents of a file.
#[derive(Debug, Clone)]
pub struct Kept {
    a: Content,
    b: Content,
}

impl Kept {
    /// In memory.
    pub fn of(a: Vec<u8>, b: Vec<u8>) -> Self {
        Self { a: Content::Here(a.into()), b: Content::Here(b.into()) }
    }

    pub(super) fn new(a: Content, b: Content) -> Self {
        Self { a, b }
    }

    /// Both; none if they cannot be read back, which [`super::Comparison::read_back`] then says.
    pub fn read(&self) -> Option<Both<'_>> {
        Some((self.a.read()?, self.b.read()?))
    }

    /// Bytes of memory that [`Self::read`] takes.
    pub fn aside_bytes(&self) -> u64 {
        self.a.aside_bytes() + self.b.aside_bytes()
    }

    /// Why one of those that lie in the same file could not be read back; told once.
    pub(super) fn failure(&self) -> Option<io::Error> {
        let failure = |content: &Content| match content {
            Content::Here(_) => None,
            Content::Aside { file, .. } => file.lock().failure.take(),
        };
        failure(&self.a).or_else(|| failure(&self.b))
    }
}

/// One content.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// In memory.
    Here(Box<[u8]>),
    /// In a file.
    Aside { file: Arc<Aside>, offset: u64, size_bytes: u64 },
}

impl Content {
    fn read(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Here(bytes) => Some(Cow::Borrowed(&**bytes)),
            Self::Aside { file, offset, size_bytes } => {
                let mut medium = file.lock();
                let read = medium.read(*offset, *size_bytes);
                read.map_err(|error| medium.failure = Some(error)).ok().map(Cow::Owned)
            }
        }
    }

    fn aside_bytes(&self) -> u64 {
        match self {
            Self::Here(_) => 0,
            Self::Aside { size_bytes, .. } => *size_bytes,
        }
    }
}

/// A file of contents.
pub(super) struct Aside(Mutex<Medium>);

struct Medium {
    file: Box<dyn ReadWriteSeek>,
    /// Why the last read failed that did.
    failure: Option<io::Error>,
}

impl Aside {
    fn lock(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Aside {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Aside").finish_non_exhaustive()
    }
}

impl Medium {
    fn read(&mut self, offset: u64, size_bytes: u64) -> io::Result<Vec<u8>> {
        let size = usize::try_from(size_bytes).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)
    }
}

/// Where one comparison keeps contents. Which lie in memory is chance where both images are read at once; what is read back is
/// not.
#[derive(Debug)]
pub(super) struct Room<'a> {
    scratch: &'a dyn Scratch,
    taken: Mutex<Taken>,
}

/// What of a room is taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken {
    bytes: u64,
    in_memory_bytes: u64,
    aside: Option<Arc<Aside>>,
    aside_bytes: u64,
}

impl<'a> Room<'a> {
    pub(super) fn new(scratch: &'a dyn Scratch) -> Self {
        Self { scratch, taken: Mutex::default() }
    }

    /// How many bytes may still be kept.
    pub(super) fn left_bytes(&self) -> u64 {
        CAPTURE_SIZE_BYTES_MAX.saturating_sub(self.lock().bytes)
    }

    /// What is taken now.
    pub(super) fn taken(&self) -> Taken {
        self.lock().clone()
    }

    /// Forgets what was kept since `before`.
    pub(super) fn back_to(&self, before: Taken) {
        *self.lock() = before;
    }

    /// Keeps both contents of a file.
    pub(super) fn keep_both(&self, [a, b]: &[Vec<u8>; 2]) -> Result<Kept, LayerError> {
        Ok(Kept { a: self.keep(a)?, b: self.keep(b)? })
    }

    /// Keeps a content.
    pub(super) fn keep(&self, bytes: &[u8]) -> Result<Content, LayerError> {
        self.put(bytes).map_err(LayerError::Keep)
    }

    fn put(&self, bytes: &[u8]) -> io::Result<Content> {
        let size_bytes = bytes.len() as u64;
        let mut taken = self.lock();
        taken.bytes += size_bytes;
        if size_bytes <= KEPT_FILE_BYTES_MAX && taken.in_memory_bytes + size_bytes <= KEPT_SIZE_BYTES_MAX {
            taken.in_memory_bytes += size_bytes;
            return Ok(Content::Here(bytes.into()));
        }
        let file = if let Some(file) = &taken.aside {
            Arc::clone(file)
        } else {
            let medium = Medium { file: self.scratch.file()?, failure: None };
            Arc::clone(taken.aside.insert(Arc::new(Aside(Mutex::new(medium)))))
        };
        let offset = taken.aside_bytes;
        file.lock().write(offset, bytes)?;
        taken.aside_bytes += size_bytes;
        Ok(Content::Aside { file, offset, size_bytes })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::fake::{Heap, Lossy};

    fn aside(content: &Content) -> bool {
        content.aside_bytes() > 0
    }

    #[test]
    fn small_contents_lie_in_memory_while_there_is_room() {
        let scratch = Heap::default();
        let room = Room::new(&scratch);
        let sized = |size_bytes: u64| vec![7; usize::try_from(size_bytes).unwrap()];
        let large = room.keep(&sized(KEPT_FILE_BYTES_MAX + 1)).unwrap();
        let small = room.keep(b"small").unwrap();
        assert_eq!((aside(&large), aside(&small)), (true, false));
        let before = room.taken();
        let most = sized(KEPT_FILE_BYTES_MAX);
        let kept: Vec<_> =
            (0..KEPT_SIZE_BYTES_MAX / KEPT_FILE_BYTES_MAX).map(|_| room.keep(&most).unwrap()).collect();
        assert_eq!(kept.iter().position(aside), Some(kept.len() - 1), "some bytes were taken");
        assert_eq!(kept[kept.len() - 1].read().unwrap(), most);
        assert_eq!(large.read().unwrap(), sized(KEPT_FILE_BYTES_MAX + 1));
        room.back_to(before);
        let again = room.keep(b"again").unwrap();
        assert_eq!((&*again.read().unwrap(), &*small.read().unwrap()), (&b"again"[..], &b"small"[..]));
        assert_eq!(room.left_bytes(), CAPTURE_SIZE_BYTES_MAX - KEPT_FILE_BYTES_MAX - 1 - 10);
    }

    #[test]
    fn what_cannot_be_read_back_says_so_once() {
        let room = Room::new(&Lossy);
        let large = vec![7; usize::try_from(KEPT_FILE_BYTES_MAX).unwrap() + 1];
        let kept = room.keep_both(&[b"small".to_vec(), large]).unwrap();
        assert!(kept.failure().is_none());
        assert!(kept.read().is_none());
        assert_eq!((kept.failure().is_some(), kept.failure().is_some()), (true, false));
    }
}
