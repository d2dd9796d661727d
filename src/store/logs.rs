//! Logs of builds that run, and of those that left no image: `STORE/logs/BUILD/`.
//!
//! Such a directory holds `about.json` (which build; locked as long as it runs), `log` and `events` as they grow, and
//! of a build that ended without an image `outcome.json`, with a statement beside it where one was made. Without an
//! outcome and a lock the build was killed.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;
use serde_json::json;

use super::{Store, StoreError, Writer};
use crate::model::{json::canonical, limits};

/// The directory of all.
pub(super) const LOGS: &str = "logs";
const ABOUT: &str = "about.json";
const OUTCOME: &str = "outcome.json";
/// Largest `about.json` and `outcome.json` read.
const NOTE_SIZE_BYTES_MAX: u64 = 1 << 20;

fn fail(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

/// The log directory of a build that runs. Dropped without [`LogDir::keep`] or [`LogDir::discard`], it looks as if the
/// build was killed.
#[derive(Debug)]
pub struct LogDir {
    path: PathBuf,
    build: String,
    /// On `about.json`.
    _lock: File,
}

/// The log directory of any build.
#[derive(Debug)]
pub struct KeptLog {
    /// Names the build.
    pub build: String,
    /// Where it is.
    pub path: PathBuf,
    /// `about.json`, whose lock says whether the build runs.
    about: File,
}

impl Store {
    /// Makes the log directory of the build named `build`; `about` says to people which it is (JSON).
    ///
    /// # Errors
    /// Those of the disk.
    pub fn begin_log(&self, build: &str, about: &[u8]) -> Result<LogDir, StoreError> {
        let logs = self.root.join(LOGS);
        let (path, new) = (logs.join(build), logs.join(format!(".{build}")));
        fs::create_dir_all(&logs).map_err(fail("create", &logs))?;
        let made = fs::DirBuilder::new().mode(0o700).create(&new).and_then(|()| {
            let mut file = File::create_new(new.join(ABOUT))?;
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            file.write_all(about)?;
            fs::rename(&new, &path)?; // Whoever looks sees it locked.
            Ok(file)
        });
        let lock = made.map_err(fail("create", &path))?;
        Ok(LogDir { path, build: build.to_owned(), _lock: lock })
    }

    /// All log directories, the oldest build first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn logs(&self) -> Result<Vec<KeptLog>, StoreError> {
        let begun = |log: &KeptLog| !log.build.starts_with('.'); // Not locked yet.
        Ok(all(&self.root)?.into_iter().filter(begun).collect())
    }
}

/// All log directories in the store at `root`, the oldest first; those that are being made too.
pub(super) fn all(root: &Path) -> Result<Vec<KeptLog>, StoreError> {
    let logs = root.join(LOGS);
    let entries = match fs::read_dir(&logs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fail("read", &logs))?,
    };
    let open = |entry: fs::DirEntry| {
        let about = File::open(entry.path().join(ABOUT)).ok()?; // It may be gone by now.
        let changed = about.metadata().ok()?;
        let at = (changed.mtime(), changed.mtime_nsec());
        Some((at, KeptLog { build: entry.file_name().into_string().ok()?, path: entry.path(), about }))
    };
    let mut found: Vec<_> = entries.flatten().filter_map(open).collect();
    found.sort_by(|(a, left), (b, right)| (a, &left.build).cmp(&(b, &right.build)));
    Ok(found.into_iter().map(|(_, log)| log).collect())
}

impl LogDir {
    /// The engine's output.
    pub const LOG: &str = "log";
    /// All that happened.
    pub const EVENTS: &str = "events";
    /// What is said about a failure, signed.
    pub const STATEMENT: &str = "statement.json";
    /// The same, not signed.
    pub const UNSIGNED: &str = "statement.unsigned.json";

    /// Names the build.
    #[must_use]
    pub fn build(&self) -> &str {
        &self.build
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the blob that `writer` writes be read here as `name`, from now on.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn grow(&self, writer: &Writer, name: &str) -> Result<(), StoreError> {
        let path = self.path.join(name);
        fs::hard_link(writer.file.path(), &path).map_err(fail("create", &path))
    }

    /// Writes the file `name`, whole or not at all.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        write_whole(&self.path.join(name), |file| file.write_all(bytes))
    }

    /// Copies the files `names` to `dir`, which is made if need be: each pair is the name here and there. Each is there
    /// whole or not at all, and the last one only if all are.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn copy_to(&self, dir: &Path, names: &[(&str, String)]) -> Result<(), StoreError> {
        fs::create_dir_all(dir).map_err(fail("create", dir))?;
        names.iter().try_for_each(|(here, there)| {
            let from = self.path.join(here);
            let mut source = File::open(&from).map_err(fail("read", &from))?;
            write_whole(&dir.join(there), |file| io::copy(&mut source, file).map(drop))
        })
    }

    /// The build is over and its log stays: what came of it, why, and when.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn keep(self, outcome: &str, reason: &str, ended_on: &str) -> Result<(), StoreError> {
        let note = json!({"outcome": outcome, "reason": reason, "ended_on": ended_on});
        self.write(OUTCOME, &canonical(&note))
    }

    /// The build is over, and its log is kept elsewhere.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn discard(self) -> Result<(), StoreError> {
        fs::remove_dir_all(&self.path).map_err(fail("remove", &self.path))
    }
}

fn write_whole(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), StoreError> {
    let dir = path.parent().unwrap_or(path);
    let written = tempfile::NamedTempFile::new_in(dir).and_then(|mut file| {
        fill(file.as_file_mut())?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    });
    written.map_err(fail("write", path))
}

impl KeptLog {
    /// Whether the build runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let held = rustix::fs::flock(&self.about, FlockOperation::NonBlockingLockShared);
        let _ = rustix::fs::flock(&self.about, FlockOperation::Unlock); // Dropping the file would do it too.
        held.is_err()
    }

    /// Whether it ended without a word. One whose log is gone ended with an image.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        self.path.exists() && !self.path.join(OUTCOME).exists() && !self.is_running()
    }

    /// Which build it is, as [`Store::begin_log`] was told.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn about(&self) -> Result<Vec<u8>, StoreError> {
        self.read(ABOUT, NOTE_SIZE_BYTES_MAX)
    }

    /// The file `name`, at most `size_bytes_max` long.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(&self, name: &str, size_bytes_max: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path.join(name);
        let read = File::open(&path).and_then(|file| limits::read_bounded(file, size_bytes_max, "note"));
        read.map_err(fail("read", &path))
    }

    /// Opens the file `name`, which may still grow.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open(&self, name: &str) -> Result<File, StoreError> {
        let path = self.path.join(name);
        File::open(&path).map_err(fail("read", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_runs_ends_or_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.logs().unwrap().is_empty());
        let states = || -> Vec<(String, bool, bool)> {
            let logs = store.logs().unwrap();
            logs.iter().map(|log| (log.build.clone(), log.is_running(), log.was_killed())).collect()
        };
        let mut begun = ["a0", "b1", "c2"].map(|build| Some(store.begin_log(build, b"{}").unwrap()));
        assert_eq!(states(), ["a0", "b1", "c2"].map(|build| (build.to_owned(), true, false)));
        begun[0].take().unwrap().keep("failed", "so it is", "2026-11-25T00:00:00Z").unwrap();
        begun[1].take().unwrap().discard().unwrap();
        drop(begun);
        assert_eq!(states(), [("a0".to_owned(), false, false), ("c2".to_owned(), false, true)]);
    }

    #[test]
    fn what_grows_is_read_and_outlives_the_blob() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let live = store.begin_log("a0", br#"{"image":"x"}"#).unwrap();
        let mut writer = store.writer().unwrap();
        live.grow(&writer, LogDir::LOG).unwrap();
        writer.write_all(b"one").unwrap();
        let log = &store.logs().unwrap()[0];
        assert_eq!(log.read(LogDir::LOG, 10).unwrap(), b"one");
        writer.write_all(b" two").unwrap();
        let digest = writer.finish().unwrap().0;
        store.remove(&digest).unwrap();
        assert_eq!(log.read(LogDir::LOG, 10).unwrap(), b"one two");
        assert_eq!(log.about().unwrap(), br#"{"image":"x"}"#);
        let to = dir.path().join("to");
        live.copy_to(&to, &[(LogDir::LOG, "a.log".to_owned())]).unwrap();
        assert!(live.copy_to(&to, &[("none", "b".to_owned())]).is_err());
        let there: Vec<_> = fs::read_dir(to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(there, ["a.log"]);
    }
}
