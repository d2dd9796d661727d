//! A commit's files on disk: the bytes of the objects, fixed modes, one time.

use std::{
    fs::{self, File},
    io::Write as _,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use git2::{ObjectType, Odb, Oid, TreeEntry};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, fchmod, futimens, mkdirat, openat, symlinkat, utimensat,
};

use super::{
    Checkout, Ignore, SourceError,
    plan::{Link, Node, Planner, join, refuse, shown},
};
use crate::model::{
    limits::{
        CONTEXT_SIZE_BYTES_MAX, IGNORE_SIZE_BYTES_MAX, PATH_SIZE_BYTES_MAX, SOURCE_FILE_SIZE_BYTES_MAX,
    },
    path::printable,
};

/// How every Git LFS pointer starts (its specification, "The Pointer").
const LFS_START: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Pointers are smaller than this.
const LFS_SIZE_BYTES_MAX: usize = 1024;

impl Checkout {
    /// The bytes of the file at `path` (below the subdirectory, joined by `/`), if the commit has it.
    ///
    /// # Errors
    /// [`SourceError::Path`] if it is no file, [`SourceError::TooLarge`] past `size_bytes_max`, those of git.
    pub fn read(&self, path: &str, size_bytes_max: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(entry) = self.entry(path)? else {
            return Ok(None);
        };
        if entry.filemode_raw() & 0o170_000 != 0o100_000 {
            return Err(self.not_there(path, "a regular file"));
        }
        let odb = self.odb()?;
        check_size(&odb, entry.id(), size_bytes_max)?;
        let blob = odb.read(entry.id()).map_err(SourceError::git("read a file"))?;
        Ok(Some(blob.data().to_vec()))
    }

    /// Writes the build context (`context`, below the subdirectory; `.` for all of it) to `dest`, less what
    /// `.dockerignore` names; `DOCKERFILE.dockerignore` beside the Dockerfile wins over the context's.
    ///
    /// `dest` is made, or must be an empty directory. Bytes are those of the objects: no end-of-line conversion, no
    /// filter, no `export-ignore`; submodules ([`Checkout::fetch_submodules`]) are directories. Modes are 0644, 0755; symbolic links stay as they are and are never followed; all
    /// times are the commit's. The Dockerfile need not be part of it ([`Checkout::read`] gives it).
    ///
    /// # Errors
    /// [`SourceError`]: submodules that were not fetched, LFS pointers, names that lead elsewhere, bounds, the disk.
    pub fn export(&self, dest: &Path, context: &str, dockerfile: &str) -> Result<(), SourceError> {
        let ignore = self.ignore(context, dockerfile)?;
        let mut planner = Planner::new(&self.repository, &ignore);
        let nodes = planner.directory(self.directory(context)?, b"")?;
        self.expect_known(context, &planner.links)?;
        let root = open_empty(dest)?;
        let seconds = Timespec { tv_sec: self.epoch_s, tv_nsec: 0 };
        let times = Timestamps { last_access: seconds, last_modification: seconds };
        let mut writer = Exporter { odb: self.odb()?, dest, times, left_bytes: CONTEXT_SIZE_BYTES_MAX };
        writer.fill(root.as_fd(), &nodes, b"")
    }

    pub(super) fn ignore(&self, context: &str, dockerfile: &str) -> Result<Ignore, SourceError> {
        let beside = format!("{dockerfile}.dockerignore");
        let names: Vec<&str> = components(context).chain([".dockerignore"]).collect();
        for path in [beside, names.join("/")] {
            if let Some(bytes) = self.read(&path, IGNORE_SIZE_BYTES_MAX)? {
                let text = String::from_utf8_lossy(&bytes);
                return Ignore::parse(&text).map_err(|source| SourceError::Ignore { path, source });
            }
        }
        Ok(Ignore::default())
    }

    /// The tree at `path` below the subdirectory.
    pub(super) fn directory(&self, path: &str) -> Result<Oid, SourceError> {
        if components(&self.subdir).chain(components(path)).next().is_none() {
            return Ok(self.tree);
        }
        match self.entry(path)? {
            Some(entry) if entry.kind() == Some(ObjectType::Tree) => Ok(entry.id()),
            Some(entry) if entry.kind() == Some(ObjectType::Commit) => {
                let commit = self.repository.find_commit(entry.id());
                commit
                    .map(|commit| commit.tree_id())
                    .map_err(|_| SourceError::Submodule { path: path.to_owned() })
            }
            _ => Err(self.not_there(path, "a directory")),
        }
    }

    /// The entry at `path` below the subdirectory; nothing if a component is missing or no directory.
    fn entry(&self, path: &str) -> Result<Option<TreeEntry<'static>>, SourceError> {
        self.walk(path).map(|(entry, _)| entry)
    }

    /// Also the gitlinks on the way, the last of which may be where the way ends; their paths are relative to the
    /// repository.
    pub(super) fn walk(&self, path: &str) -> Result<(Option<TreeEntry<'static>>, Vec<Link>), SourceError> {
        let (mut tree, mut passed, mut links) = (self.tree, Vec::new(), Vec::new());
        let mut names = components(&self.subdir).chain(components(path)).peekable();
        while let Some(name) = names.next() {
            let found = self.repository.find_tree(tree).map_err(SourceError::git("read a tree"))?;
            let Some(entry) = found.get_name(name) else {
                return Ok((None, links));
            };
            passed = join(&passed, name.as_bytes());
            let below = match entry.kind() {
                Some(ObjectType::Tree) => Some(entry.id()),
                Some(ObjectType::Commit) => {
                    links.push(Link { path: passed.clone(), commit: entry.id() });
                    self.repository.find_commit(entry.id()).ok().map(|commit| commit.tree_id())
                }
                _ => None,
            };
            match below {
                _ if names.peek().is_none() => return Ok((Some(entry.to_owned()), links)),
                Some(below) => tree = below,
                None => return Ok((None, links)),
            }
        }
        Ok((None, links))
    }

    fn not_there(&self, path: &str, what: &'static str) -> SourceError {
        let path: Vec<&str> = components(&self.subdir).chain(components(path)).collect();
        SourceError::Path { path: path.join("/"), what, commit: self.commit.to_string() }
    }

    fn odb(&self) -> Result<Odb<'_>, SourceError> {
        self.repository.odb().map_err(SourceError::git("open the objects"))
    }
}

/// Digest and size that an LFS pointer names.
fn lfs_target(pointer: &[u8]) -> String {
    let text = String::from_utf8_lossy(pointer);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("?");
    printable(&format!("{} ({} bytes)", value("oid "), value("size ")))
}

pub(super) fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !matches!(*name, "" | "."))
}

/// Makes sure that blob `id` is at most `max` bytes; its size.
pub(super) fn check_size(odb: &Odb<'_>, id: Oid, max: u64) -> Result<u64, SourceError> {
    let (size, _) = odb.read_header(id).map_err(SourceError::git("read a file"))?;
    if size as u64 > max {
        return Err(SourceError::TooLarge { what: "a file with more bytes", max });
    }
    Ok(size as u64)
}

fn open_empty(dest: &Path) -> Result<OwnedFd, SourceError> {
    match fs::create_dir(dest) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(SourceError::io("create", dest)(error));
        }
        _ => {}
    }
    let root = open_directory(CWD, dest).map_err(SourceError::io("open", dest))?;
    let mut entries = fs::read_dir(dest).map_err(SourceError::io("read", dest))?;
    if entries.next().is_some() {
        let error = std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty);
        return Err(SourceError::io("export to", dest)(error));
    }
    Ok(root)
}

fn open_directory<P: rustix::path::Arg>(parent: BorrowedFd<'_>, name: P) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Writes nodes; every name is used relative to its directory's descriptor, so no link is ever walked through.
struct Exporter<'a> {
    odb: Odb<'a>,
    dest: &'a Path,
    times: Timestamps,
    left_bytes: u64,
}

impl Exporter<'_> {
    /// Fills the directory `fd`, which is at `path`, then sets its own mode and time.
    fn fill(
        &mut self,
        fd: BorrowedFd<'_>,
        nodes: &[(Vec<u8>, Node)],
        path: &[u8],
    ) -> Result<(), SourceError> {
        for (name, node) in nodes {
            let full = join(path, name);
            match node {
                Node::File { id, executable } => self.file(fd, name, *id, *executable, &full)?,
                Node::Link { id } => self.link(fd, name, *id, &full)?,
                Node::Directory(nodes) => {
                    mkdirat(fd, name.as_slice(), Mode::RWXU).map_err(self.failed("create", &full))?;
                    let inner = open_directory(fd, name.as_slice()).map_err(self.failed("open", &full))?;
                    self.fill(inner.as_fd(), nodes, &full)?;
                }
            }
        }
        self.settle(fd, 0o755, path)
    }

    fn file(
        &mut self,
        fd: BorrowedFd<'_>,
        name: &[u8],
        id: Oid,
        executable: bool,
        path: &[u8],
    ) -> Result<(), SourceError> {
        let size_bytes = check_size(&self.odb, id, SOURCE_FILE_SIZE_BYTES_MAX)?;
        self.left_bytes = self.left_bytes.checked_sub(size_bytes).ok_or(SourceError::TooLarge {
            what: "more bytes in its context",
            max: CONTEXT_SIZE_BYTES_MAX,
        })?;
        let blob = self.odb.read(id).map_err(SourceError::git("read a file"))?;
        if blob.len() < LFS_SIZE_BYTES_MAX && blob.data().starts_with(LFS_START) {
            return Err(SourceError::Lfs { path: shown(path), target: lfs_target(blob.data()) });
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(fd, name, flags, Mode::RUSR | Mode::WUSR).map_err(self.failed("create", path))?;
        let mut file = File::from(file);
        file.write_all(blob.data()).map_err(self.failed("write", path))?;
        self.settle(file.as_fd(), if executable { 0o755 } else { 0o644 }, path)
    }

    fn link(&self, fd: BorrowedFd<'_>, name: &[u8], id: Oid, path: &[u8]) -> Result<(), SourceError> {
        check_size(&self.odb, id, PATH_SIZE_BYTES_MAX as u64)?;
        let target = self.odb.read(id).map_err(SourceError::git("read a symbolic link"))?;
        if target.data().is_empty() || target.data().contains(&0) {
            return Err(refuse(path, "a symbolic link to nowhere"));
        }
        symlinkat(target.data(), fd, name).map_err(self.failed("create", path))?;
        utimensat(fd, name, &self.times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(self.failed("set the time of", path))
    }

    fn settle(&self, fd: BorrowedFd<'_>, mode: u32, path: &[u8]) -> Result<(), SourceError> {
        let settled = fchmod(fd, Mode::from_raw_mode(mode)).and_then(|()| futimens(fd, &self.times));
        settled.map_err(self.failed("set mode and time of", path))
    }

    fn failed<E: Into<std::io::Error>>(
        &self,
        action: &'static str,
        path: &[u8],
    ) -> impl FnOnce(E) -> SourceError {
        let full: PathBuf = self.dest.join(shown(path));
        SourceError::io(action, full)
    }
}
