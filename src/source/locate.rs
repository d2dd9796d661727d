//! Where a directory's repository is, and opening it without believing it.

use std::{
    fs,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use git2::Repository;

use super::SourceError;

/// Longest `.git` or `commondir` file.
const POINTER_SIZE_BYTES_MAX: u64 = 8192;

/// A repository on this machine.
pub(super) struct Place {
    pub(super) repository: Repository,
    /// Its work tree; none if bare.
    pub(super) work_tree: Option<PathBuf>,
    /// The directory asked for, relative to the work tree, joined by `/`; empty for the top.
    pub(super) subdir: String,
}

/// Finds the repository of `directory`: a work tree (here or above; linked ones too), or a bare repository.
pub(super) fn locate(directory: &Path) -> Result<Place, SourceError> {
    let real = fs::canonicalize(directory).map_err(SourceError::io("open", directory))?;
    if !real.is_dir() {
        let spec = directory.display().to_string();
        return Err(SourceError::Spec { spec, reason: "it is a file; name a directory" });
    }
    for above in real.ancestors() {
        let dot_git = above.join(".git");
        if fs::symlink_metadata(&dot_git).is_ok() {
            let repository = open(&git_dir(dot_git)?)?;
            // From here, not from `core.worktree`: a repository does not choose which files are read.
            repository.set_workdir(above, false).map_err(SourceError::git("use the work tree"))?;
            let subdir = real.strip_prefix(above).unwrap_or(Path::new(""));
            let subdir = subdir.to_str().ok_or_else(|| not_utf8(directory))?.to_owned();
            return Ok(Place { repository, work_tree: Some(above.to_owned()), subdir });
        }
        if is_git_dir(above) {
            return Ok(Place { repository: open(above)?, work_tree: None, subdir: String::new() });
        }
    }
    Err(SourceError::NoRepository { path: directory.to_owned() })
}

/// Opens a git directory for reading.
///
/// `open_bare` does not ask who owns it. git refuses foreign repositories because their configuration can name
/// programs (hooks, filters, fsmonitor, pagers); libgit2 has no code that starts one when it reads objects, refs and
/// status, so there is nothing to be protected from.
pub(super) fn open(git_dir: &Path) -> Result<Repository, SourceError> {
    let common = match read_pointer(&git_dir.join("commondir"))? {
        Some(path) => git_dir.join(path),
        None => git_dir.to_owned(),
    };
    let format = git2::Config::open(&common.join("config"))
        .and_then(|config| config.get_string("extensions.objectformat"))
        .unwrap_or_else(|_| "sha1".to_owned());
    if !format.eq_ignore_ascii_case("sha1") {
        return Err(SourceError::ObjectFormat { place: git_dir.display().to_string() });
    }
    Repository::open_bare(git_dir).map_err(SourceError::git("open the repository"))
}

/// Follows a `.git` file (`gitdir: PATH`) of a linked work tree or submodule.
pub(super) fn git_dir(dot_git: PathBuf) -> Result<PathBuf, SourceError> {
    if dot_git.is_dir() {
        return Ok(dot_git);
    }
    let missing = || SourceError::NoRepository { path: dot_git.clone() };
    let target = read_pointer(&dot_git)?.ok_or_else(missing)?;
    let target = target.strip_prefix("gitdir:").ok_or_else(missing)?.trim_start();
    Ok(dot_git.parent().unwrap_or(Path::new("/")).join(target))
}

fn read_pointer(path: &Path) -> Result<Option<String>, SourceError> {
    let Ok(file) = fs::File::open(path) else {
        return Ok(None);
    };
    let mut text = String::new();
    file.take(POINTER_SIZE_BYTES_MAX).read_to_string(&mut text).map_err(SourceError::io("read", path))?;
    Ok(Some(text.trim_end().to_owned()))
}

fn is_git_dir(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir() && path.join("refs").is_dir()
}

fn not_utf8(path: &Path) -> SourceError {
    let (spec, _) = crate::model::path::encode(path.as_os_str().as_bytes());
    SourceError::Spec { spec, reason: "its path is not UTF-8" }
}
