//! Takes a root file system off the disk: read once, its contents copied, so that what changes meanwhile changes nothing.
#![expect(clippy::disallowed_methods, reason = "reads the file or directory that the caller named")]

use std::{
    fs::File,
    io::{self, Cursor, Read, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use tokio_util::sync::CancellationToken;

use super::{ImportError, walk};
use crate::{
    layer::{Compression, Entry, LayerError, index},
    model::{Digest, Hasher},
};

/// What was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Tar(Compression),
    Directory,
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tar(_) => "tar",
            Self::Directory => "directory",
        }
    }

    pub(super) fn compression(self) -> &'static str {
        match self {
            Self::Tar(compression) => compression.name(),
            Self::Directory => Compression::None.name(),
        }
    }
}

/// Entries, and where their contents are.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) form: Form,
    /// Offsets are those in `content`.
    pub(super) entries: Vec<Entry>,
    /// A nameless file.
    pub(super) content: File,
    /// Digest and size of the file that was named, if it was one.
    pub(super) file: Option<(Digest, u64)>,
    /// Sockets left out.
    pub(super) sockets: u64,
    /// Owner of a directory's top.
    pub(super) owner: Option<u32>,
}

/// Takes what is at `path`; contents go to a nameless file in `tmp`.
pub(super) fn take(path: &Path, tmp: &Path, cancel: &CancellationToken) -> Result<Taken, ImportError> {
    let failed = |source| ImportError::Read { path: path.to_owned(), source };
    let content = tempfile::tempfile_in(tmp).map_err(failed)?;
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        return walk::directory(path, content, cancel);
    }
    let file = File::open(path).map_err(failed)?;
    archive(file, content, cancel).map_err(|error| ImportError::of(path, error))
}

/// Reading and hashing the file, inflating it, and indexing what comes out each have a thread of their own.
fn archive(
    file: impl Read + Send + 'static,
    content: File,
    cancel: &CancellationToken,
) -> Result<Taken, LayerError> {
    let hasher = Arc::new(Mutex::new(Hasher::default()));
    let hashed = Hashed { inner: file, hasher: Arc::clone(&hasher) };
    let mut raw = Ahead::of(hashed, cancel).map_err(LayerError::Read)?;
    let mut head = Vec::new();
    (&mut raw).take(6).read_to_end(&mut head).map_err(LayerError::Read)?;
    let compression = Compression::of_magic(&head);
    let plain = compression.open(Cursor::new(head).chain(raw))?;
    let plain: Box<dyn Read> = match compression {
        Compression::None => plain,
        _ => Box::new(Ahead::of(plain, cancel).map_err(LayerError::Read)?),
    };
    let entries = index(Copied { inner: plain, to: &content })?; // Reads to the physical end.
    let hasher = hasher.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let size_bytes = hasher.size_bytes();
    let file = Some((hasher.finish(), size_bytes));
    Ok(Taken { form: Form::Tar(compression), entries, content, file, sockets: 0, owner: None })
}

struct Hashed<R> {
    inner: R,
    hasher: Arc<Mutex<Hasher>>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer[..count]);
        Ok(count)
    }
}

/// Writes down what passes.
struct Copied<'a, R> {
    inner: R,
    to: &'a File,
}

impl<R: Read> Read for Copied<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.to.write_all(&buffer[..count])?;
        Ok(count)
    }
}

const CHUNK: usize = 1 << 20;
const CHUNKS_AHEAD: usize = 4;

/// Reads on in a thread of its own, a few chunks ahead.
struct Ahead {
    /// An empty chunk is the end; silence is none.
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: Cursor<Vec<u8>>,
    ended: bool,
    cancel: CancellationToken,
}

impl Ahead {
    fn of(mut reader: impl Read + Send + 'static, cancel: &CancellationToken) -> io::Result<Self> {
        let (send, chunks) = mpsc::sync_channel(CHUNKS_AHEAD);
        let read = move || {
            loop {
                let mut chunk = Vec::with_capacity(CHUNK);
                let read = (&mut reader).take(CHUNK as u64).read_to_end(&mut chunk).map(|_| chunk);
                let last = !matches!(&read, Ok(chunk) if !chunk.is_empty());
                if send.send(read).is_err() || last {
                    return; // Nobody listens any more, or there is no more.
                }
            }
        };
        std::thread::Builder::new().name("read-ahead".to_owned()).spawn(read)?;
        Ok(Self { chunks, chunk: Cursor::default(), ended: false, cancel: cancel.clone() })
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.chunk.read(buffer)?;
            if count > 0 || self.ended || buffer.is_empty() {
                return Ok(count);
            }
            if self.cancel.is_cancelled() {
                return Err(io::Error::other("cancelled"));
            }
            let chunk =
                self.chunks.recv().map_err(|_| io::Error::other("the reading thread ended early"))??;
            self.ended = chunk.is_empty();
            self.chunk = Cursor::new(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::fake::FakeLayer;

    fn taken(bytes: Vec<u8>) -> Result<Taken, LayerError> {
        archive(Cursor::new(bytes), tempfile::tempfile().unwrap(), &CancellationToken::new())
    }

    #[test]
    fn contents_are_copied_and_the_file_is_hashed_whole() {
        let big = vec![7; 3 * CHUNK];
        let tar = FakeLayer::default().file("a", b"hi").file("b", &big).tar();
        for (compression, bytes) in
            [(Compression::None, tar.clone()), (Compression::Zstd, zstd::encode_all(&tar[..], 1).unwrap())]
        {
            let mut taken = taken(bytes.clone()).unwrap();
            assert_eq!(taken.form, Form::Tar(compression));
            assert_eq!(taken.file, Some((Digest::of(&bytes), bytes.len() as u64)));
            let mut copy = Vec::new();
            io::Seek::rewind(&mut taken.content).unwrap();
            taken.content.read_to_end(&mut copy).unwrap();
            assert!(copy == tar, "{compression:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_archive_is_refused() {
        let tar = FakeLayer::default().file("a", b"hi").tar();
        let zstd = zstd::encode_all(&tar[..], 1).unwrap();
        for bad in [&b""[..], b"\x1f\x8b", &tar[..700], &zstd[..zstd.len() - 1], b"PK\x03\x04 no archive"] {
            assert!(taken(bad.to_vec()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_reader_that_dies_is_no_end() {
        struct Dies;
        impl Read for Dies {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                std::panic::resume_unwind(Box::new("without a message")) // Not `panic!`: the test's output stays clean.
            }
        }
        let mut ahead = Ahead::of(Dies, &CancellationToken::new()).unwrap();
        assert!(ahead.read(&mut [0; 8]).unwrap_err().to_string().contains("ended early"));
    }

    #[test]
    fn a_stop_is_heard() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert!(archive(io::repeat(0), tempfile::tempfile().unwrap(), &cancel).is_err());
    }
}
