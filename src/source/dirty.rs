//! Uncommitted changes: refused, or made a commit that nobody else has.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use git2::{
    ObjectType, Oid, Repository, RepositoryInitOptions, Signature, Status, StatusOptions, Time, Tree,
};

use super::SourceError;
use crate::model::path::{encode, printable};

/// How many paths a refusal lists.
const LISTED_MAX: usize = 10;

const DIRECTORY: i32 = 0o040_000;
const FILE: i32 = 0o100_644;
const EXECUTABLE: i32 = 0o100_755;
const LINK: i32 = 0o120_000;

/// A path, relative to the work tree, that is not as in HEAD.
#[derive(Debug)]
pub(super) struct Change {
    path: Vec<u8>,
    gone: bool,
}

impl Change {
    /// Its path, for people.
    pub(super) fn shown(&self) -> String {
        printable(&encode(&self.path).0)
    }
}

/// What differs from HEAD under `subdir`: staged, modified, and new files that are not ignored. What lies in another
/// repository inside this one is not this one's.
pub(super) fn changes(repository: &Repository, subdir: &str) -> Result<Vec<Change>, SourceError> {
    let mut options = StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .include_ignored(false)
        .exclude_submodules(true);
    if !subdir.is_empty() {
        options.pathspec(subdir).disable_pathspec_match(true);
    }
    let statuses = repository
        .statuses(Some(&mut options))
        .map_err(SourceError::git("read the state of the work tree"))?;
    let change = |entry: git2::StatusEntry<'_>| {
        let status = entry.status();
        let absent = status.is_index_deleted() && !status.contains(Status::WT_NEW);
        Change { path: entry.path_bytes().to_vec(), gone: status.is_wt_deleted() || absent }
    };
    let ours = statuses.iter().filter(|entry| !entry.path_bytes().ends_with(b"/"));
    Ok(ours.map(change).collect())
}

/// The error that lists `changes`.
pub(super) fn refuse(changes: &[Change]) -> SourceError {
    let shown = changes.iter().take(LISTED_MAX).map(|change| format!("`{}`", change.shown()));
    SourceError::Dirty { paths: shown.collect(), more: changes.len().saturating_sub(LISTED_MAX) }
}

/// A repository at `scratch` that sees the objects of `base`, and whose new objects go to `scratch` alone.
pub(super) fn overlay_repository(base: &Repository, scratch: &Path) -> Result<Repository, SourceError> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false).initial_head("main");
    Repository::init_opts(scratch, &options).map_err(SourceError::git("make a temporary repository"))?;
    let alternates = scratch.join("objects/info/alternates");
    let objects = base.commondir().join("objects");
    let written = fs::create_dir_all(scratch.join("objects/info"))
        .and_then(|()| fs::write(&alternates, [objects.as_os_str().as_bytes(), b"\n"].concat()));
    written.map_err(SourceError::io("write", &alternates))?;
    Repository::open_bare(scratch).map_err(SourceError::git("open a temporary repository"))
}

/// Commits `changes` of `work_tree` on top of `head`, at `head`'s committer time: equal files give an equal commit.
pub(super) fn commit(
    repository: &Repository,
    head: Oid,
    work_tree: &Path,
    changes: &[Change],
) -> Result<Oid, SourceError> {
    let failed = SourceError::git;
    let mut root = Node::default();
    for change in changes {
        let content = if change.gone {
            absent(work_tree, &change.path)?
        } else {
            store(repository, work_tree, &change.path)?
        };
        root.place(&change.path, content);
    }
    let parent = repository.find_commit(head).map_err(failed("read HEAD"))?;
    let tree = parent.tree().map_err(failed("read HEAD"))?;
    let tree = match root.write(repository, Some(&tree)).map_err(failed("write the changed files"))? {
        Some(tree) => tree,
        None => repository
            .treebuilder(None)
            .and_then(|empty| empty.write())
            .map_err(failed("write an empty tree"))?,
    };
    let write = || {
        let when = Time::new(parent.committer().when().seconds(), 0);
        let author = Signature::new("reprov", "reprov@localhost", &when)?;
        let message = format!("Uncommitted changes on {head}\n");
        repository.commit(None, &author, &author, &message, &repository.find_tree(tree)?, &[&parent])
    };
    write().map_err(failed("commit the changes"))
}

/// What stands at a changed path: blob and mode.
type Content = (Oid, i32);

/// Writes the file at `path` as it is (no filter, no end-of-line conversion); nothing if it is gone by now.
fn store(repository: &Repository, work_tree: &Path, path: &[u8]) -> Result<Option<Content>, SourceError> {
    let full = work_tree.join(OsStr::from_bytes(path));
    let metadata = match fs::symlink_metadata(&full) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(SourceError::io("read", &full))?,
    };
    let odb = repository.odb().map_err(SourceError::git("open the objects"))?;
    let written = SourceError::git("write a changed file");
    if metadata.is_symlink() {
        let target = fs::read_link(&full).map_err(SourceError::io("read", &full))?;
        let id = odb.write(ObjectType::Blob, target.as_os_str().as_bytes()).map_err(written)?;
        return Ok(Some((id, LINK)));
    }
    if !metadata.is_file() {
        return Err(special(path));
    }
    let size = usize::try_from(metadata.len()).map_err(|_| too_large())?;
    let mut file = File::open(&full).map_err(SourceError::io("read", &full))?;
    let mut writer = odb.writer(size, ObjectType::Blob).map_err(SourceError::git("write a changed file"))?;
    io::copy(&mut file, &mut writer).map_err(SourceError::io("read", &full))?;
    let mode = if metadata.mode() & 0o100 == 0 { FILE } else { EXECUTABLE };
    Ok(Some((writer.finalize().map_err(written)?, mode)))
}

/// Nothing, for a path that git says is gone; git also says so of what became a pipe, socket or device.
fn absent(work_tree: &Path, path: &[u8]) -> Result<Option<Content>, SourceError> {
    match fs::symlink_metadata(work_tree.join(OsStr::from_bytes(path))) {
        Ok(metadata) if !(metadata.is_dir() || metadata.is_file() || metadata.is_symlink()) => {
            Err(special(path))
        }
        _ => Ok(None),
    }
}

fn special(path: &[u8]) -> SourceError {
    SourceError::Entry { path: printable(&encode(path).0), reason: "neither a file nor a symbolic link" }
}

fn too_large() -> SourceError {
    SourceError::TooLarge { what: "a larger file", max: crate::model::limits::SOURCE_FILE_SIZE_BYTES_MAX }
}

/// Changes by path component.
#[derive(Default)]
struct Node {
    /// What is at this very path now, if it is a file or link.
    here: Option<Content>,
    below: BTreeMap<Vec<u8>, Node>,
}

impl Node {
    fn place(&mut self, path: &[u8], content: Option<Content>) {
        let node = path
            .split(|byte| *byte == b'/')
            .fold(self, |node, name| node.below.entry(name.to_vec()).or_default());
        node.here = content;
    }

    /// Writes `base` with the changes below; nothing if nothing is left.
    fn write(&self, repository: &Repository, base: Option<&Tree<'_>>) -> Result<Option<Oid>, git2::Error> {
        let mut builder = repository.treebuilder(base)?;
        for (name, node) in &self.below {
            let before =
                base.and_then(|base| base.get_name_bytes(name)).filter(|entry| entry.filemode() == DIRECTORY);
            let before = before.map(|entry| repository.find_tree(entry.id())).transpose()?;
            let now = match node.here {
                Some(content) => Some(content),
                None if node.below.is_empty() => None,
                None => node.write(repository, before.as_ref())?.map(|tree| (tree, DIRECTORY)),
            };
            match now {
                Some((id, mode)) => {
                    builder.insert(name.as_slice(), id, mode)?;
                }
                None if builder.get(name.as_slice())?.is_some() => builder.remove(name.as_slice())?,
                None => {}
            }
        }
        Ok(if builder.is_empty() { None } else { Some(builder.write()?) })
    }
}
