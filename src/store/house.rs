//! What lies in the store, and removing of it what nobody needs. Knows `blobs`, `tmp` and `git`; the directories of
//! builds are `buildroot`'s.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    PLACES, StoreError,
    logs::{self, KeptLog},
    session::{Others, lock_file},
};
use crate::model::Digest;

/// The store as a whole; no other process opens it while this lives.
#[derive(Debug)]
pub struct House {
    root: PathBuf,
    others: Others,
}

/// A file or directory of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it is.
    pub path: PathBuf,
    /// Its files' sizes.
    pub size_bytes: u64,
}

/// The log of a build that runs, or that made no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildLog {
    /// Its directory.
    pub piece: Piece,
    /// When that last changed, seconds since 1970.
    pub changed_s: i64,
    /// Whether the build runs.
    pub running: bool,
    /// Whether it was killed.
    pub killed: bool,
}

/// A blob of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its file.
    pub piece: Piece,
    /// When it was last asked for, seconds since 1970.
    pub used_s: i64,
}

fn fail(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

impl House {
    /// Closes the store at `root` to processes that do not have it open yet; none if there is no store.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn enter(root: &Path) -> Result<Option<Self>, StoreError> {
        if !lock_file(root).is_file() {
            return Ok(None);
        }
        let root = fs::canonicalize(root).map_err(fail("open", root))?;
        let others = Others::find(&root)?;
        Ok(Some(Self { root, others }))
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How many other processes have the store open.
    #[must_use]
    pub fn others(&self) -> usize {
        self.others.count
    }

    /// Whether another process may need what was used or made at that time (seconds since 1970).
    #[must_use]
    pub fn may_be_in_use(&self, at_s: i64) -> bool {
        self.others.since_s.is_some_and(|since_s| at_s >= since_s)
    }

    /// Every blob, least recently used first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn blobs(&self) -> Result<Vec<Blob>, StoreError> {
        let dir = self.root.join("blobs/sha256");
        let blob = |(path, metadata): (PathBuf, fs::Metadata)| Blob {
            piece: Piece { path, size_bytes: metadata.len() },
            used_s: metadata.mtime(),
        };
        let mut blobs: Vec<Blob> = entries(&dir, is_hex)?.into_iter().map(blob).collect();
        blobs.sort_by(|a, b| (a.used_s, &a.piece.path).cmp(&(b.used_s, &b.piece.path)));
        Ok(blobs)
    }

    /// Work in progress, and since when (seconds since 1970).
    ///
    /// # Errors
    /// Those of the disk.
    pub fn temporaries(&self) -> Result<Vec<(Piece, i64)>, StoreError> {
        let all = entries(&self.root.join("tmp"), |name| name.starts_with(TEMPORARY))?;
        // The change time: nobody can set it back.
        all.into_iter().map(|(path, metadata)| Ok((measure(path)?, metadata.ctime()))).collect()
    }

    /// Logs of builds: each, when it last changed (seconds since 1970), and what became of the build.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn logs(&self) -> Result<Vec<BuildLog>, StoreError> {
        let read = |log: KeptLog| {
            let (running, killed) = (log.is_running(), log.was_killed());
            let changed_s = fs::metadata(&log.path).ok()?.mtime(); // What vanished meanwhile is not listed.
            Some(measure(log.path).map(|piece| BuildLog { piece, changed_s, running, killed }))
        };
        logs::all(&self.root)?.into_iter().filter_map(read).collect()
    }

    /// Mirrors of git repositories.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn mirrors(&self) -> Result<Vec<Piece>, StoreError> {
        let all = entries(&self.root.join("git"), is_hex)?;
        all.into_iter().map(|(path, _)| measure(path)).collect()
    }

    /// Removes a piece; of a blob, also the note where else it is.
    ///
    /// # Errors
    /// Those of the disk; that it is gone already is none.
    pub fn remove(&self, piece: &Piece) -> Result<(), StoreError> {
        if let Some(name) = piece.path.file_name() {
            remove(&self.root.join(PLACES).join(name))?;
        }
        remove(&piece.path)
    }

    /// Removes what killed processes left to say that they used the store.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn bury_sessions(&self) -> Result<(), StoreError> {
        self.others.bury()
    }

    /// Removes the directories once their pieces are gone. What is not the store's own stays, and so does then the
    /// directory it lies in.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn remove_rest(self) -> Result<(), StoreError> {
        for (path, _) in entries(&self.root.join("git"), |name| name.strip_suffix(".lock").is_some())? {
            remove(&path)?;
        }
        for (path, _) in entries(&self.root.join(PLACES), is_hex)? {
            remove(&path)?; // Of a blob that vanished before.
        }
        for dir in ["blobs/sha256", "blobs", PLACES, "tmp", "git", logs::LOGS] {
            let _ = fs::remove_dir(self.root.join(dir)); // Not empty: there is something in it that is not ours.
        }
        self.others.remove(&self.root)?;
        let _ = fs::remove_dir(&self.root); // Likewise.
        Ok(())
    }
}

/// How the names of temporary files and directories begin.
const TEMPORARY: &str = ".tmp";

/// Removes all work in progress; nobody has the store open.
pub(super) fn sweep(root: &Path) -> Result<(), StoreError> {
    let all = entries(&root.join("tmp"), |name| name.starts_with(TEMPORARY))?;
    all.iter().try_for_each(|(path, _)| remove(path))
}

/// Whether a file is named by a digest.
fn is_hex(name: &str) -> bool {
    Digest::from_hex(name).is_some()
}

fn remove(path: &Path) -> Result<(), StoreError> {
    let is_dir = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(fail("remove", path)),
    }
}

/// What in `dir` has a name that is wanted; nothing if there is no such directory.
fn entries(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<(PathBuf, fs::Metadata)>, StoreError> {
    let all = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        all => all.map_err(fail("read", dir))?,
    };
    let named = all.flatten().filter(|entry| entry.file_name().to_str().is_some_and(&wanted));
    // What vanished meanwhile is not listed.
    Ok(named.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).collect())
}

fn measure(path: PathBuf) -> Result<Piece, StoreError> {
    let size_bytes = size_of(&path).map_err(fail("measure", &path))?;
    Ok(Piece { path, size_bytes })
}

/// Sum of the sizes of files under `path`, a file of several names once; what vanishes meanwhile has none.
///
/// # Errors
/// If a directory cannot be read.
pub fn size_of(path: &Path) -> io::Result<u64> {
    let (mut pending, mut seen, mut sum) = (vec![path.to_owned()], BTreeSet::new(), 0);
    while let Some(path) = pending.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            match fs::read_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                entries => pending.extend(entries?.flatten().map(|entry| entry.path())),
            }
        } else if metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())) {
            sum += metadata.len();
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    fn age(path: &Path, used_s: u64) {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(used_s);
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn what_is_asked_for_while_the_store_is_open_may_be_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (asked, other) = (store.put(b"asked").unwrap(), store.put(b"other").unwrap());
        for digest in [asked, other] {
            age(&store.path(&digest), 1000);
        }
        assert_eq!(store.size(&asked), Some(5));
        let house = House::enter(dir.path()).unwrap().unwrap();
        assert_eq!(house.others(), 1);
        let shown = |blob: &Blob| (blob.piece.path.clone(), house.may_be_in_use(blob.used_s));
        let blobs: Vec<_> = house.blobs().unwrap().iter().map(shown).collect();
        let store_path = |digest| house.root().join("blobs/sha256").join(Digest::hex(digest));
        assert_eq!(blobs, [(store_path(&other), false), (store_path(&asked), true)]);
    }

    #[test]
    fn a_closed_store_is_used_by_nobody_and_can_go_but_for_what_is_not_its_own() {
        let dir = tempfile::tempdir().unwrap();
        assert!(House::enter(dir.path()).unwrap().is_none());
        let store = Store::open(dir.path()).unwrap();
        let digest = store.put(b"blob").unwrap();
        store.note_place(&digest, &"registry.example.org/a".parse().unwrap()).unwrap();
        store.note_place(&Digest::of(b"gone"), &"registry.example.org/a".parse().unwrap()).unwrap();
        let writer = store.writer().unwrap();
        fs::write(store.tmp().join("mine"), "").unwrap();
        drop(store.clone());
        assert_eq!(House::enter(dir.path()).unwrap().unwrap().others(), 1);
        std::mem::forget(writer);
        drop(store);
        let house = House::enter(dir.path()).unwrap().unwrap();
        // The writer that was never dropped has the store open still.
        assert_eq!((house.others(), house.temporaries().unwrap().len()), (1, 1));
        for blob in house.blobs().unwrap() {
            house.remove(&blob.piece).unwrap();
        }
        house.remove(&house.temporaries().unwrap()[0].0).unwrap();
        house.remove_rest().unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.contains(&"tmp".into()), "{left:?}");
        assert!(!["blobs", PLACES].iter().any(|gone| left.contains(&gone.into())), "{left:?}");
        let again = Store::open(dir.path()).unwrap();
        assert_eq!(again.put(b"blob").unwrap(), digest);
    }

    #[test]
    fn a_file_of_two_names_is_measured_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/one"), "12345").unwrap();
        fs::hard_link(dir.path().join("a/b/one"), dir.path().join("two")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("a/link")).unwrap();
        assert_eq!(size_of(dir.path()).unwrap(), 5 + 1);
        assert_eq!(size_of(&dir.path().join("none")).unwrap(), 0);
    }
}
