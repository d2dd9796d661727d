//! A directory as a root file system, read without following a link.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use bstr::{BString, ByteSlice as _};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use tokio_util::sync::CancellationToken;

use super::{
    ImportError,
    take::{Form, Taken},
};
use crate::{
    layer::{Entry, Kind, LayerError, PEEK_SIZE_BYTES, bounds},
    model::{
        limits::{PATH_SIZE_BYTES_MAX, ROOTFS_DEPTH_MAX},
        path::printable,
    },
};

const CHANGED: &str = "changed while it was read; import what nobody writes to";

/// Takes the directory `path`; the contents of its files go to `content`, one after the other.
pub(super) fn directory(
    path: &Path,
    content: File,
    cancel: &CancellationToken,
) -> Result<Taken, ImportError> {
    let failed = |source: Errno| ImportError::Read { path: path.to_owned(), source: source.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&top).map_err(failed)?;
    let mut walk = Walk {
        top: path,
        cancel,
        device: stat.st_dev,
        content: io::BufWriter::with_capacity(1 << 20, content),
        at_bytes: 0,
        entries: Vec::new(),
        names_bytes: 0,
        names: HashMap::new(),
        sockets: 0,
    };
    walk.children(&top, &BString::default(), 0)?;
    let flushed = walk.content.into_inner().map_err(io::IntoInnerError::into_error);
    let content = flushed.map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
    let (entries, sockets) = (walk.entries, walk.sockets);
    Ok(Taken { form: Form::Directory, entries, content, file: None, sockets, owner: Some(stat.st_uid) })
}

struct Walk<'a> {
    top: &'a Path,
    cancel: &'a CancellationToken,
    /// The file system that all of it must be on.
    device: u64,
    content: io::BufWriter<File>,
    at_bytes: u64,
    entries: Vec<Entry>,
    names_bytes: u64,
    /// Files that have other names, by inode.
    names: HashMap<u64, BString>,
    sockets: u64,
}

impl Walk<'_> {
    fn failed(&self, path: &BString, source: impl Into<io::Error>) -> ImportError {
        ImportError::Read { path: self.top.join(path.to_path_lossy()), source: source.into() }
    }

    fn wrong(&self, path: &BString, why: &'static str) -> ImportError {
        let entry = printable(&path.to_str_lossy());
        ImportError::Entry { path: self.top.to_owned(), entry, why }
    }

    /// In the order of names, so that the first name of a file is the same every time.
    fn children(&mut self, dir: &OwnedFd, at: &BString, depth: usize) -> Result<(), ImportError> {
        if depth > ROOTFS_DEPTH_MAX {
            return Err(self.wrong(at, "is nested deeper than 256 directories"));
        }
        let read = Dir::read_from(dir).and_then(|names| {
            let name = |entry: rustix::io::Result<rustix::fs::DirEntry>| {
                entry.map(|entry| entry.file_name().to_bytes().to_vec())
            };
            names.map(name).collect::<Result<Vec<_>, _>>()
        });
        let mut names = read.map_err(|error| self.failed(at, error))?;
        names.retain(|name| name != b"." && name != b"..");
        names.sort_unstable();
        for name in names {
            if self.cancel.is_cancelled() {
                return Err(ImportError::Cancelled);
            }
            let path = if at.is_empty() { name.clone() } else { [at.as_slice(), b"/", &name].concat() };
            self.entry(dir, &name, &path.into(), depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, dir: &OwnedFd, name: &[u8], path: &BString, depth: usize) -> Result<(), ImportError> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|error| self.failed(path, error))?;
        if path.len() > PATH_SIZE_BYTES_MAX {
            return Err(self.wrong(path, "has too long a path"));
        }
        if stat.st_dev != self.device {
            return Err(self.wrong(path, "is another file system that is mounted there; unmount it"));
        }
        let mut entry = described(path, &stat);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let below = self.open(dir, name, path, &stat, OFlags::DIRECTORY)?;
                entry.xattrs = attributes(&below).map_err(|error| self.failed(path, error))?;
                self.push(entry)?;
                return self.children(&below, path, depth + 1);
            }
            FileType::RegularFile => match self.names.get(&stat.st_ino).filter(|_| stat.st_nlink > 1) {
                Some(first) => (entry.kind, entry.link) = (Kind::Hardlink, first.clone()),
                None => self.file(dir, name, &mut entry, &stat)?,
            },
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(dir, name, Vec::new());
                entry.link = link.map_err(|error| self.failed(path, error))?.into_bytes().into();
            }
            FileType::Socket => {
                self.sockets += 1;
                return Ok(());
            }
            _ => {}
        }
        self.push(entry)
    }

    fn push(&mut self, entry: Entry) -> Result<(), ImportError> {
        self.names_bytes += entry.held_bytes();
        self.entries.push(entry);
        let bounds = bounds(self.entries.len() as u64, self.names_bytes);
        bounds.map_err(|source: LayerError| ImportError::Refused { path: self.top.to_owned(), source })
    }

    /// Opens what `stat` was of, and nothing else that is there now.
    fn open(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        path: &BString,
        stat: &Stat,
        flags: OFlags,
    ) -> Result<OwnedFd, ImportError> {
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(dir, name, flags, Mode::empty());
        let opened = opened.map_err(|error| self.failed(path, error))?;
        let now = rustix::fs::fstat(&opened).map_err(|error| self.failed(path, error))?;
        let same = (now.st_dev, now.st_ino, now.st_mode) == (stat.st_dev, stat.st_ino, stat.st_mode);
        if same { Ok(opened) } else { Err(self.wrong(path, CHANGED)) }
    }

    /// Copies a file's content and notes where it went.
    fn file(
        &mut self,
        dir: &OwnedFd,
        name: &[u8],
        entry: &mut Entry,
        stat: &Stat,
    ) -> Result<(), ImportError> {
        let path = entry.path.clone();
        let mut file = File::from(self.open(dir, name, &path, stat, OFlags::empty())?);
        entry.xattrs = attributes(&file).map_err(|error| self.failed(&path, error))?;
        entry.offset = self.at_bytes;
        let mut size_bytes = 0;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = file.read(&mut buffer).map_err(|error| self.failed(&path, error))?;
            if count == 0 {
                break;
            }
            let chunk = &buffer[..count];
            if size_bytes == 0 {
                entry.peek = chunk[..count.min(PEEK_SIZE_BYTES)].to_vec();
            }
            size_bytes += count as u64;
            self.content.write_all(chunk).map_err(|error| self.failed(&path, error))?;
        }
        if size_bytes != entry.size_bytes {
            return Err(self.wrong(&path, CHANGED));
        }
        self.at_bytes += entry.size_bytes;
        if stat.st_nlink > 1 {
            self.names.insert(stat.st_ino, path);
        }
        Ok(())
    }
}

/// What `stat` says, as an archive's header would.
fn described(path: &BString, stat: &Stat) -> Entry {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::Char,
        FileType::BlockDevice => Kind::Block,
        FileType::Fifo => Kind::Fifo,
        _ => Kind::File,
    };
    let mut entry = Entry::new(path.clone(), kind, stat.st_mode & 0o7777, stat.st_mtime);
    (entry.uid, entry.gid) = (stat.st_uid.into(), stat.st_gid.into());
    entry.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    entry.size_bytes = if kind == Kind::File { u64::try_from(stat.st_size).unwrap_or_default() } else { 0 };
    entry
}

/// Extended attributes; none where the file system knows of none.
fn attributes(file: impl AsFd) -> io::Result<std::collections::BTreeMap<BString, Vec<u8>>> {
    const LIST_SIZE_BYTES_MAX: usize = 64 << 10; // The kernel's own bounds.
    let mut list = vec![0; LIST_SIZE_BYTES_MAX];
    let size = match rustix::fs::flistxattr(&file, &mut list[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        size => size?,
    };
    let names = list[..size].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut value = vec![0; LIST_SIZE_BYTES_MAX];
    let read = |name: &[u8]| {
        let size = rustix::fs::fgetxattr(&file, name, &mut value[..])?;
        Ok((BString::from(name), value[..size].to_vec()))
    };
    names.map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    };

    use super::*;

    fn taken(dir: &Path) -> Result<Taken, ImportError> {
        directory(dir, tempfile::tempfile().unwrap(), &CancellationToken::new())
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "lays out a directory")]
    fn everything_is_as_an_archive_would_say_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir(at("bin")).unwrap();
        std::fs::write(at("bin/b"), "content").unwrap();
        std::fs::set_permissions(at("bin/b"), std::fs::Permissions::from_mode(0o4751)).unwrap();
        std::fs::hard_link(at("bin/b"), at("bin/a")).unwrap();
        std::fs::write(at("x"), "").unwrap();
        symlink("/nowhere", at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let mut taken = taken(dir.path()).unwrap();
        let shown =
            |entry: &Entry| format!("{} {} [{}] {:o}", entry.kind.name(), entry.path, entry.link, entry.mode);
        let shown: Vec<_> =
            taken.entries.iter().filter(|entry| entry.kind != Kind::Directory).map(shown).collect();
        let expected = ["file bin/a [] 4751", "hardlink bin/b [bin/a] 4751", "symlink link [/nowhere] 777"];
        assert_eq!(shown[..3], expected);
        assert_eq!((taken.entries.len(), taken.sockets, taken.entries[4].kind), (6, 1, Kind::Fifo));
        let file = &taken.entries[1];
        assert_eq!((file.size_bytes, file.peek.as_slice(), file.offset), (7, &b"content"[..], 0));
        let mut content = String::new();
        io::Seek::rewind(&mut taken.content).unwrap();
        taken.content.read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
    }

    #[test]
    fn another_file_system_is_not_entered() {
        let refused = taken(Path::new("/")).unwrap_err().to_string();
        assert!(refused.contains("mounted there"), "{refused}");
    }
}
