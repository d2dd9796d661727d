//! Who has the store open: a locked file for each process, under `STORE/sessions/`.
//!
//! Beginning a session takes `STORE/sessions.lock` for a moment, so none begins while somebody cleans.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;
use tempfile::{NamedTempFile, TempPath};

use super::StoreError;

/// This process's claim, gone when dropped. A killed process leaves its file unlocked.
#[derive(Debug)]
pub(super) struct Session {
    _path: TempPath,
    _lock: File,
}

/// The sessions of other processes, none of which begins while this lives.
#[derive(Debug)]
pub(super) struct Others {
    _all: File,
    pub(super) count: usize,
    /// When the oldest began, seconds since 1970.
    pub(super) since_s: Option<i64>,
    /// Files of processes that are gone.
    pub(super) dead: Vec<PathBuf>,
}

fn fail(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

fn dir(root: &Path) -> PathBuf {
    root.join("sessions")
}

pub(super) fn lock_file(root: &Path) -> PathBuf {
    root.join("sessions.lock")
}

/// Takes the lock of all sessions. Whoever waited for one that removed the store starts over.
fn lock_all(root: &Path) -> Result<File, StoreError> {
    let path = lock_file(root);
    loop {
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(fail("open", &path))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| fail("lock", &path)(error.into()))?;
        let inode = file.metadata().map_err(fail("read", &path))?.ino();
        if fs::metadata(&path).is_ok_and(|there| there.ino() == inode) {
            return Ok(file);
        }
    }
}

impl Session {
    /// Begins one in the store at `root`, and removes what killed processes left.
    pub(super) fn begin(root: &Path) -> Result<Self, StoreError> {
        let others = Others::find(root)?;
        let dir = dir(root);
        // Whoever had the lock before may have removed everything.
        for dir in [root.join("blobs/sha256"), root.join("tmp"), dir.clone()] {
            fs::create_dir_all(&dir).map_err(fail("create", &dir))?;
        }
        // What cannot be removed harms nobody, and `store prune` says why it stays.
        let _ = others.bury();
        if others.count == 0 {
            let _ = super::house::sweep(root);
        }
        let file = NamedTempFile::new_in(&dir).map_err(fail("create a file in", &dir))?;
        let (lock, path) = file.into_parts();
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| fail("lock", &path)(error.into()))?;
        Ok(Self { _path: path, _lock: lock })
    }
}

impl Others {
    pub(super) fn find(root: &Path) -> Result<Self, StoreError> {
        let mut others = Self { _all: lock_all(root)?, count: 0, since_s: None, dead: Vec::new() };
        let dir = dir(root);
        for path in fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let Ok(file) = File::open(&path) else { continue };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                others.dead.push(path);
                continue;
            }
            others.count += 1;
            let began_s = file.metadata().map_err(fail("read", &path))?.mtime();
            others.since_s = Some(others.since_s.map_or(began_s, |since_s| since_s.min(began_s)));
        }
        Ok(others)
    }

    /// Removes what processes left that are gone.
    pub(super) fn bury(&self) -> Result<(), StoreError> {
        self.dead.iter().try_for_each(|path| fs::remove_file(path).map_err(fail("remove", path)))
    }

    pub(super) fn remove(&self, root: &Path) -> Result<(), StoreError> {
        self.bury()?;
        let _ = fs::remove_dir(dir(root)); // Not empty: there is something in it that is not ours.
        let lock = lock_file(root);
        fs::remove_file(&lock).map_err(fail("remove", &lock))
    }
}
