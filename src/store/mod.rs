//! The content-addressed cache: blobs by digest under `STORE/blobs/sha256/`. May be deleted at any time.
//!
//! Bytes get their final name only after their digest was checked; a blob that exists is whole. Its modification time
//! is when it was last asked for (most file systems keep no access times), so that [`House`] knows what nobody misses.
#![expect(clippy::disallowed_methods, reason = "an edge: this is where blobs touch the disk")]

mod house;
mod logs;
mod session;

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use crate::model::{Blobs, Digest, Hasher, ImageName, ReadSeek, ReadWriteSeek, Scratch};

pub use house::{Blob, BuildLog, House, Piece, size_of};
pub use logs::{KeptLog, LogDir};
use session::Session;

/// Where it is noted which repository has which blob.
const PLACES: &str = "places";

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Other bytes than promised.
    #[error("expected {expected}, got {actual}")]
    Mismatch {
        /// The digest promised.
        expected: Digest,
        /// The digest of the bytes that came.
        actual: Digest,
    },
    /// More or fewer bytes than promised.
    #[error("expected {expected_bytes} bytes of {digest}, got {actual_bytes}")]
    Size {
        /// Whose size.
        digest: Digest,
        /// Promised.
        expected_bytes: u64,
        /// Came.
        actual_bytes: u64,
    },
}

/// A directory of blobs, shared by any number of processes.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// Held while any process uses the store: what it asked for is not swept away.
    _session: Arc<Session>,
}

/// A blob being written; dropped without [`Writer::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Writer {
    file: tempfile::NamedTempFile,
    hasher: Hasher,
    store: Store,
}

impl Store {
    /// Opens (and makes, if need be) the store at `root`, mode 0700.
    ///
    /// # Errors
    /// If the directories cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        for dir in [root.clone(), root.join("blobs/sha256"), root.join("tmp")] {
            let made = fs::create_dir_all(&dir);
            made.map_err(|source| StoreError::Io { action: "create", path: dir, source })?;
        }
        let private = fs::set_permissions(&root, fs::Permissions::from_mode(0o700));
        private.map_err(|source| StoreError::Io { action: "make private", path: root.clone(), source })?;
        let root = fs::canonicalize(&root).map_err(|source| StoreError::Io {
            action: "open",
            path: root,
            source,
        })?;
        let session = Session::begin(&root)?;
        Ok(Self { root, _session: Arc::new(session) })
    }

    /// Where it lives.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory on the same file system for work in progress.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The file of `digest`, whether it exists or not.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Size in bytes of the blob `digest`, if it is here; from then on it stays while this store is open.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        self.note_use(digest);
        fs::metadata(self.path(digest)).ok().map(|metadata| metadata.len())
    }

    fn note_use(&self, digest: &Digest) {
        let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
        let now = Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) };
        // What is not here cannot be noted; whoever asks finds out.
        let _ = rustix::fs::utimensat(CWD, self.path(digest), &now, AtFlags::empty());
    }

    /// Bytes that are free on its disk; without end if the disk does not say.
    #[must_use]
    pub fn room_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.root).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Starts a blob of yet unknown digest.
    ///
    /// # Errors
    /// If no temporary file can be made.
    pub fn writer(&self) -> Result<Writer, StoreError> {
        let tmp = self.tmp();
        let file = tempfile::NamedTempFile::new_in(&tmp).map_err(|source| StoreError::Io {
            action: "create a file in",
            path: tmp,
            source,
        })?;
        Ok(Writer { file, hasher: Hasher::default(), store: self.clone() })
    }

    /// Stores `bytes`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.size(&digest) == Some(bytes.len() as u64) {
            return Ok(digest);
        }
        let mut writer = self.writer()?;
        writer.write_all(bytes).map_err(|source| self.write_error(source))?;
        Ok(writer.finish()?.0)
    }

    /// Stores what `reader` gives if it is exactly `expected` and `size_bytes` long; stops reading past that.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`], [`StoreError::Size`], or those of reader and disk.
    pub fn put_expected(
        &self,
        expected: Digest,
        size_bytes: u64,
        reader: impl Read,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        io::copy(&mut reader.take(size_bytes.saturating_add(1)), &mut writer)
            .map_err(|source| self.write_error(source))?;
        writer.finish_expected(expected, Some(size_bytes))
    }

    /// Reads the whole blob, at most `size_bytes_max` bytes, checking it against its digest.
    ///
    /// # Errors
    /// `NotFound`, too large, altered on disk ([`StoreError::Mismatch`]).
    pub fn read(&self, digest: &Digest, size_bytes_max: u64) -> Result<Vec<u8>, StoreError> {
        self.note_use(digest);
        let path = self.path(digest);
        let fail = |source| StoreError::Io { action: "read", path: path.clone(), source };
        let file = File::open(&path).map_err(fail)?;
        let bytes = crate::model::limits::read_bounded(file, size_bytes_max, "blob").map_err(fail)?;
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(StoreError::Mismatch { expected: *digest, actual });
        }
        Ok(bytes)
    }

    /// Reads the blob once and says whether it still has its digest.
    ///
    /// # Errors
    /// `NotFound`, or those of the disk, or [`StoreError::Mismatch`].
    pub fn check(&self, digest: &Digest) -> Result<(), StoreError> {
        self.note_use(digest);
        let path = self.path(digest);
        let actual = File::open(&path).and_then(Digest::of_reader).map_err(|source| StoreError::Io {
            action: "read",
            path,
            source,
        })?;
        if actual == *digest { Ok(()) } else { Err(StoreError::Mismatch { expected: *digest, actual }) }
    }

    /// Removes the blob, if it is here.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::Io { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    /// The repository that had the blob `digest` when it was last pushed, if that was noted.
    #[must_use]
    pub fn place(&self, digest: &Digest) -> Option<ImageName> {
        fs::read_to_string(self.root.join(PLACES).join(digest.hex())).ok()?.parse().ok()
    }

    /// Notes that the repository `place` has the blob `digest`: another one may take it over from there.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn note_place(&self, digest: &Digest, place: &ImageName) -> Result<(), StoreError> {
        let dir = self.root.join(PLACES);
        let fail = |source| StoreError::Io { action: "write in", path: dir.clone(), source };
        fs::create_dir_all(&dir).map_err(fail)?;
        let mut file = tempfile::NamedTempFile::new_in(self.tmp()).map_err(fail)?;
        file.write_all(place.repository().as_bytes()).map_err(fail)?;
        file.persist(dir.join(digest.hex())).map_err(|error| fail(error.error)).map(drop)
    }

    fn write_error(&self, source: io::Error) -> StoreError {
        StoreError::Io { action: "write a blob in", path: self.root.clone(), source }
    }
}

impl Blobs for Store {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn ReadSeek>> {
        self.note_use(digest);
        Ok(Box::new(File::open(self.path(digest))?))
    }
}

impl Scratch for Store {
    fn file(&self) -> io::Result<Box<dyn ReadWriteSeek>> {
        Ok(Box::new(tempfile::tempfile_in(self.tmp())?))
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Writer {
    /// Bytes written so far.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.hasher.size_bytes()
    }

    /// What a failure of writing to it is.
    #[must_use]
    pub fn failed(&self, source: io::Error) -> StoreError {
        self.store.write_error(source)
    }

    /// Gives the blob its name; its digest and size in bytes.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(mut self) -> Result<(Digest, u64), StoreError> {
        let size_bytes = self.hasher.size_bytes();
        let digest = self.hasher.finish();
        let path = self.store.path(&digest);
        let fail = |source| StoreError::Io { action: "write", path: path.clone(), source };
        self.file.as_file_mut().flush().map_err(fail)?;
        // The store's directory is private (0700); inside the cage another uid reads blobs through a bind mount.
        self.file.as_file().set_permissions(fs::Permissions::from_mode(0o444)).map_err(fail)?;
        self.file.persist(&path).map_err(|error| fail(error.error))?;
        Ok((digest, size_bytes))
    }

    /// [`Writer::finish`] if the bytes are those of `expected`, else nothing is kept.
    ///
    /// # Errors
    /// [`StoreError::Size`], [`StoreError::Mismatch`], those of the disk.
    pub fn finish_expected(self, expected: Digest, size_bytes: Option<u64>) -> Result<(), StoreError> {
        let actual_bytes = self.size_bytes();
        if let Some(expected_bytes) = size_bytes.filter(|bytes| *bytes != actual_bytes) {
            return Err(StoreError::Size { digest: expected, expected_bytes, actual_bytes });
        }
        let actual = self.hasher.clone().finish();
        if actual != expected {
            return Err(StoreError::Mismatch { expected, actual });
        }
        self.finish().map(|_| ())
    }

    /// Reads back what was written so far, from the start.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn reopen(&mut self) -> io::Result<File> {
        self.file.flush()?;
        let mut file = self.file.reopen()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("s")).unwrap();
        (dir, store)
    }

    #[test]
    fn keeps_what_was_promised_and_nothing_else() {
        let (_dir, store) = store();
        let digest = Digest::of(b"abc");
        store.put_expected(digest, 3, &b"abc"[..]).unwrap();
        assert_eq!(store.read(&digest, 10).unwrap(), b"abc");
        let other = Digest::of(b"abcd");
        let refused = store.put_expected(other, 3, &b"abcd"[..]);
        assert!(matches!(refused, Err(StoreError::Size { actual_bytes: 4, .. })), "{refused:?}");
        let refused = store.put_expected(other, 3, &b"abc"[..]);
        assert!(matches!(refused, Err(StoreError::Mismatch { .. })), "{refused:?}");
        assert_eq!(store.size(&other), None);
        assert_eq!(fs::read_dir(store.tmp()).unwrap().count(), 0);
    }

    #[test]
    fn scratch_files_have_no_name() {
        let (_dir, store) = store();
        let mut scratch = store.file().unwrap();
        scratch.write_all(b"abc").unwrap();
        scratch.rewind().unwrap();
        let mut text = String::new();
        scratch.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), fs::read_dir(store.tmp()).unwrap().count()), ("abc", 0));
    }

    #[test]
    fn remembers_one_place_of_a_blob() {
        let (_dir, store) = store();
        let digest = store.put(b"abc").unwrap();
        assert_eq!(store.place(&digest), None);
        for name in ["registry.example.org/a:1", "127.0.0.1:5000/b"] {
            store.note_place(&digest, &name.parse().unwrap()).unwrap();
        }
        assert_eq!(store.place(&digest), Some("127.0.0.1:5000/b".parse().unwrap()));
    }

    #[test]
    fn notices_a_blob_altered_on_disk() {
        let (_dir, store) = store();
        let digest = store.put(b"abc").unwrap();
        store.remove(&digest).unwrap();
        fs::write(store.path(&digest), b"abd").unwrap();
        assert!(matches!(store.read(&digest, 10), Err(StoreError::Mismatch { .. })));
        assert!(store.check(&digest).is_err());
    }
}
