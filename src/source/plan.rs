//! What of a tree goes to disk, decided before anything is written; every name and mode is judged here.

use git2::{Oid, Repository};

use super::{Ignore, SourceError};
use crate::model::{
    limits::{CONTEXT_ENTRIES_MAX, PATH_SIZE_BYTES_MAX, SOURCE_DEPTH_MAX, SUBMODULES_MAX},
    path::{encode, printable},
};

/// An entry to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    File { id: Oid, executable: bool },
    Link { id: Oid },
    Directory(Vec<(Vec<u8>, Node)>),
}

/// A gitlink: a submodule's place, joined by `/`, and the commit it is pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) path: Vec<u8>,
    pub(super) commit: Oid,
}

/// Walks trees, and those of submodules whose commits are there.
pub(super) struct Planner<'a> {
    repository: &'a Repository,
    ignore: &'a Ignore,
    visited: usize,
    /// Every gitlink passed, those of a submodule after its own; paths are relative to the context.
    pub(super) links: Vec<Link>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(repository: &'a Repository, ignore: &'a Ignore) -> Self {
        Self { repository, ignore, visited: 0, links: Vec::new() }
    }

    /// What `tree` holds, less what is ignored; `path` is where it is relative to the context.
    pub(super) fn directory(&mut self, tree: Oid, path: &[u8]) -> Result<Vec<(Vec<u8>, Node)>, SourceError> {
        let tree = self.repository.find_tree(tree).map_err(SourceError::git("read a tree"))?;
        let mut nodes = Vec::new();
        for entry in &tree {
            self.visited += 1;
            if self.visited > CONTEXT_ENTRIES_MAX {
                return Err(SourceError::TooLarge { what: "more entries", max: CONTEXT_ENTRIES_MAX as u64 });
            }
            let name = entry.name_bytes();
            let full = join(path, name);
            check(name, &full)?;
            if let Some(node) = self.node(entry.filemode_raw(), entry.id(), &full)? {
                nodes.push((name.to_vec(), node));
            }
        }
        Ok(nodes)
    }

    fn node(&mut self, mode: i32, id: Oid, path: &[u8]) -> Result<Option<Node>, SourceError> {
        let excluded = self.ignore.excludes(path);
        let is_directory = matches!(mode & 0o170_000, 0o040_000 | 0o160_000);
        if excluded && !(is_directory && self.ignore.takes_back_under(path)) {
            return Ok(None);
        }
        let nodes = match mode & 0o170_000 {
            0o040_000 => self.directory(id, path)?,
            0o160_000 => self.submodule(id, path)?,
            0o100_000 => return Ok(Some(Node::File { id, executable: mode & 0o100 != 0 })),
            0o120_000 => return Ok(Some(Node::Link { id })),
            _ => return Err(refuse(path, "its mode is none of git's")),
        };
        Ok((!excluded || !nodes.is_empty()).then_some(Node::Directory(nodes)))
    }

    fn submodule(&mut self, commit: Oid, path: &[u8]) -> Result<Vec<(Vec<u8>, Node)>, SourceError> {
        if self.links.len() >= SUBMODULES_MAX {
            return Err(SourceError::TooLarge { what: "more submodules", max: SUBMODULES_MAX as u64 });
        }
        self.links.push(Link { path: path.to_vec(), commit });
        match self.repository.find_commit(commit) {
            Ok(commit) => self.directory(commit.tree_id(), path),
            Err(_) => Ok(Vec::new()),
        }
    }
}

/// Refuses names that would leave the directory they are in, or make it a repository.
pub(super) fn check(name: &[u8], path: &[u8]) -> Result<(), SourceError> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0) {
        return Err(refuse(path, "such a name leads elsewhere"));
    }
    if name.eq_ignore_ascii_case(b".git") {
        return Err(refuse(path, "a commit cannot hold a repository"));
    }
    if path.len() > PATH_SIZE_BYTES_MAX || name.len() > 255 {
        return Err(refuse(path, "its path is too long"));
    }
    if path.split(|byte| *byte == b'/').count() > SOURCE_DEPTH_MAX {
        return Err(refuse(path, "it lies too deep"));
    }
    Ok(())
}

/// `path` with `name` under it.
pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

/// The error that an entry is not written.
pub(super) fn refuse(path: &[u8], reason: &'static str) -> SourceError {
    SourceError::Entry { path: shown(path), reason }
}

/// `path` for people.
pub(super) fn shown(path: &[u8]) -> String {
    printable(&encode(&path[..path.len().min(300)]).0)
}
