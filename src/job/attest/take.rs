//! Evidence from files: each is read once, and must be afterwards what it was before.
#![expect(clippy::disallowed_methods, reason = "reads the files that flags name")]

use std::{
    fs::{File, Metadata},
    io::{self, Read, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::AttestError;
use crate::{
    model::{Digest, Hasher, limits::Bounded},
    store::{Store, Writer},
};

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    /// Its name, without the directories that lead to it.
    pub name: String,
    /// Of its bytes.
    pub digest: Digest,
    /// In bytes.
    pub size_bytes: u64,
}

/// Reads `path` into the store.
///
/// # Errors
/// [`AttestError::File`]; [`AttestError::Changed`] if it vanished or changed meanwhile; those of the store.
pub(super) fn keep(store: &Store, path: &Path, size_bytes_max: u64) -> Result<Taken, AttestError> {
    let mut writer = store.writer()?;
    let taken = read(path, size_bytes_max, Some(&mut writer))?;
    writer.finish_expected(taken.digest, Some(taken.size_bytes))?;
    Ok(taken)
}

/// Reads `path` for its digest alone.
///
/// # Errors
/// As [`keep`].
pub(super) fn digest(path: &Path, size_bytes_max: u64) -> Result<Taken, AttestError> {
    read(path, size_bytes_max, None)
}

fn read(path: &Path, size_bytes_max: u64, mut into: Option<&mut Writer>) -> Result<Taken, AttestError> {
    let failed = |source| AttestError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    if before.is_dir() {
        return Err(failed(io::Error::other("it is a directory")));
    }
    let mut hasher = Hasher::default();
    let mut reader = Bounded::new(&file, size_bytes_max, "it");
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        hasher.update(&buffer[..count]);
        if let Some(writer) = &mut into {
            writer.write_all(&buffer[..count]).map_err(|source| AttestError::Store(writer.failed(source)))?;
        }
    }
    let size_bytes = hasher.size_bytes();
    if before.is_file() {
        // A pipe has no size and no name that lasts.
        let same = file.metadata().is_ok_and(|after| is_same(&before, &after) && after.len() == size_bytes)
            && std::fs::metadata(path).is_ok_and(|named| is_same(&before, &named));
        if !same {
            return Err(AttestError::Changed(path.to_owned()));
        }
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Taken { name, digest: hasher.finish(), size_bytes })
}

/// Whether both are one file that nobody wrote to between.
fn is_same(before: &Metadata, after: &Metadata) -> bool {
    let of = |one: &Metadata| (one.dev(), one.ino(), one.len(), one.mtime(), one.mtime_nsec());
    of(before) == of(after)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, thread, time::Duration};

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        (dir, store)
    }

    #[test]
    fn a_file_is_kept_as_it_is() {
        let (dir, store) = store();
        let path = dir.path().join("build.log");
        fs::write(&path, "made\n").unwrap();
        let taken = keep(&store, &path, 5).unwrap();
        assert_eq!(
            (taken.name.as_str(), taken.digest, taken.size_bytes),
            ("build.log", Digest::of(b"made\n"), 5)
        );
        assert_eq!(store.read(&taken.digest, 5).unwrap(), b"made\n");
        assert_eq!(digest(&path, 5).unwrap(), taken);
    }

    #[test]
    fn what_is_no_file_to_read_is_said() {
        let (dir, store) = store();
        let check = |path: &Path, expected: &str| {
            let error = crate::job::evidence::chain(&keep(&store, path, 4).unwrap_err());
            assert!(error.contains(expected), "{error}");
        };
        check(&dir.path().join("gone"), "No such file");
        check(dir.path(), "directory");
        let long = dir.path().join("long");
        fs::write(&long, "12345").unwrap();
        check(&long, "larger than allowed");
        check(Path::new("/dev/zero"), "larger than allowed");
    }

    #[test]
    fn a_file_that_changes_or_vanishes_meanwhile_is_refused() {
        let (dir, store) = store();
        for vanishes in [false, true] {
            // Large enough that reading takes longer than the first change.
            let path = dir.path().join(format!("growing-{vanishes}"));
            fs::write(&path, vec![b'x'; 256 << 20]).unwrap();
            let other = path.clone();
            let changing = thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                if vanishes {
                    fs::remove_file(other).unwrap();
                } else {
                    let mut file = fs::OpenOptions::new().append(true).mode(0o600).open(other).unwrap();
                    file.write_all(b"more").unwrap();
                }
            });
            let read = keep(&store, &path, 1 << 30);
            changing.join().unwrap();
            assert!(matches!(read, Err(AttestError::Changed(_))), "{vanishes}: {read:?}");
        }
    }
}
