//! Unpacks a buildroot image. Runs in the cage, so that owners are those of its ids, and in a root of its own, so that
//! no name and no link in the image leads anywhere else.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, PermissionsExt, lchown, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use rustix::fs::StatVfs;
use serde::{Deserialize, Serialize};

use super::{ids::IDS, with_causes};
use crate::{
    layer::{Entry, Kind, index, inflate},
    model::{
        limits::{DISK_RESERVE_BYTES, RESERVE_SHARE},
        path::printable,
    },
};

/// Layers, lowest first, and the empty directory they go to; both as seen in the cage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Unpack {
    /// File and media type of each.
    pub layers: Vec<(PathBuf, String)>,
    /// An existing, empty directory.
    pub into: PathBuf,
}

/// Unpacks, unless it is `cancelled`; afterwards this process's root is the result. Set-id bits, extended attributes and
/// device nodes below `dev` are left out: programs of a buildroot get nothing by them.
pub(super) fn unpack(task: &Unpack, cancelled: &dyn Fn() -> bool) -> Result<(), String> {
    let mut layers = Vec::new();
    for (path, media_type) in &task.layers {
        let file = File::open(path).map_err(|error| format!("cannot open `{}`: {error}", path.display()))?;
        layers.push((file, media_type));
    }
    let entered = rustix::process::chroot(&task.into).and_then(|()| rustix::process::chdir("/"));
    entered.map_err(|error| format!("cannot enter `{}`: {error}", task.into.display()))?;
    for (number, (file, media_type)) in layers.iter_mut().enumerate() {
        layer(file, media_type, cancelled).map_err(|why| format!("layer {}: {why}", number + 1))?;
    }
    Ok(())
}

fn layer(file: &mut File, media_type: &str, cancelled: &dyn Fn() -> bool) -> Result<(), String> {
    let tar = inflate(media_type, BufReader::with_capacity(1 << 20, &*file));
    let entries = tar.and_then(index).map_err(|error| with_causes(&error))?;
    // What a layer hides lies in those below it, whatever the order of its entries.
    for entry in entries.iter().filter(|entry| entry.is_whiteout()) {
        hide(entry).map_err(|error| refused(entry, &error))?;
    }
    file.rewind().map_err(|error| error.to_string())?;
    let tar = inflate(media_type, BufReader::with_capacity(1 << 20, &*file));
    let mut tar = tar.map_err(|error| with_causes(&error))?;
    let mut position = 0;
    for entry in entries.iter().filter(|entry| !entry.is_whiteout()) {
        if cancelled() {
            return Err("cancelled".to_owned());
        }
        if rustix::fs::statvfs("/").is_ok_and(|disk| full(&disk)) {
            return Err("no space left on device: the disk of the store is all but full".to_owned());
        }
        let gap = if entry.kind == Kind::File { entry.offset.saturating_sub(position) } else { 0 };
        io::copy(&mut (&mut tar).take(gap), &mut io::sink()).map_err(|error| refused(entry, &error))?;
        let mut content = (&mut tar).take(entry.size_bytes);
        put(entry, &mut content).map_err(|error| refused(entry, &error))?;
        if entry.kind == Kind::File {
            position = entry.offset + entry.size_bytes;
        }
    }
    Ok(())
}

/// Whether no more than the reserve of every build is free.
fn full(disk: &StatVfs) -> bool {
    let reserve = DISK_RESERVE_BYTES.min(disk.f_blocks.saturating_mul(disk.f_frsize) / RESERVE_SHARE);
    disk.f_bavail.saturating_mul(disk.f_frsize) < reserve
}

fn refused(entry: &Entry, error: &io::Error) -> String {
    format!("`{}`: {error}", printable(&entry.path.to_string()))
}

fn place(path: &[u8]) -> PathBuf {
    Path::new("/").join(std::ffi::OsStr::from_bytes(path))
}

/// Removes what a whiteout hides (OCI image-spec, "Whiteouts").
fn hide(entry: &Entry) -> io::Result<()> {
    let path = place(&entry.path);
    let directory = path.parent().unwrap_or(Path::new("/"));
    match entry.name() {
        b".wh..wh..opq" => match fs::read_dir(directory) {
            Ok(hidden) => hidden.into_iter().try_for_each(|hidden| remove(&hidden?.path())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        },
        name => match name.strip_prefix(b".wh.") {
            Some(b"" | b"." | b"..") | None => Err(io::Error::other("hides nothing that could be there")),
            Some(hidden) => remove(&directory.join(std::ffi::OsStr::from_bytes(hidden))),
        },
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn put(entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
    let path = place(&entry.path);
    let [uid, gid] = [entry.uid, entry.gid].map(|id| u32::try_from(id).ok().filter(|id| *id < IDS));
    let (Some(uid), Some(gid)) = (uid, gid) else {
        return Err(io::Error::other("its owner is 65,536 or more, which no cage has"));
    };
    if matches!(entry.kind, Kind::Char | Kind::Block | Kind::Fifo) {
        // The cage has a /dev of its own.
        let ours = entry.path.starts_with(b"dev/");
        return if ours { Ok(()) } else { Err(io::Error::other("a device or pipe outside dev/")) };
    }
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    let directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
    if !(directory && entry.kind == Kind::Directory) {
        remove(&path)?;
    }
    match entry.kind {
        Kind::Directory if directory => {}
        Kind::Directory => fs::create_dir(&path)?,
        Kind::Symlink => symlink(std::ffi::OsStr::from_bytes(&entry.link), &path)?,
        Kind::Hardlink => return fs::hard_link(place(&entry.link), &path),
        _ => {
            let mut file = File::create_new(&path)?;
            if io::copy(content, &mut file)? != entry.size_bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.set_modified(UNIX_EPOCH + Duration::from_secs(entry.mtime_s.max(0).unsigned_abs()))?;
        }
    }
    lchown(&path, Some(uid), Some(gid))?;
    if entry.kind == Kind::Symlink {
        return Ok(());
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode & 0o1777))
}
