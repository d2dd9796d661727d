//! Why there is no source.

use std::{io, path::PathBuf};

use super::IgnoreError;

/// A source that cannot be had, or cannot be built from.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither a directory nor a URL that can be fetched.
    #[error("cannot use `{spec}` as source: {reason}")]
    Spec {
        /// As written, without credentials.
        spec: String,
        /// What is wrong, what to write instead.
        reason: &'static str,
    },
    /// No repository here or above.
    #[error("no git repository at `{}` or above it; sources are git commits: `git init` and commit", path.display())]
    NoRepository {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Object ids that this release does not read.
    #[error("`{place}` uses another object format than sha1, which is not supported in this release")]
    ObjectFormat {
        /// Which repository.
        place: String,
    },
    /// The revision names no commit there.
    #[error("`{rev}` names no commit in `{place}`; name a branch, a tag or a commit that is there")]
    Rev {
        /// As written.
        rev: String,
        /// Which repository.
        place: String,
        /// What git says.
        source: git2::Error,
    },
    /// Uncommitted changes.
    #[error(
        "uncommitted changes in {}{}; commit them, or build them with `--allow-dirty`",
        paths.join(", "), if *more == 0 { String::new() } else { format!(" and {more} more") }
    )]
    Dirty {
        /// The first of the paths.
        paths: Vec<String>,
        /// How many there are besides.
        more: usize,
    },
    /// The commit's time cannot be the build's.
    #[error("commit {commit} was made at {time}, {reason}; amend its committer date")]
    Epoch {
        /// The commit.
        commit: String,
        /// Its committer time.
        time: String,
        /// Why that cannot be.
        reason: &'static str,
    },
    /// No such file or directory in the commit.
    #[error("`{path}` is not {what} in commit {commit}")]
    Path {
        /// Relative to the repository.
        path: String,
        /// `a file`, `a directory`.
        what: &'static str,
        /// The commit.
        commit: String,
    },
    /// An entry of a tree that must not be written to disk.
    #[error("refusing `{path}` of the commit: {reason}")]
    Entry {
        /// Relative to the context.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A gitlink whose commit was not asked for ([`super::Checkout::fetch_submodules`]).
    #[error("`{path}` is a submodule that was not fetched; exclude it in .dockerignore, or vendor it")]
    Submodule {
        /// Relative to the repository.
        path: String,
    },
    /// A submodule that cannot be used.
    #[error("refusing submodule `{path}` at commit {commit}: {reason}")]
    SubmoduleRefused {
        /// Relative to the repository.
        path: String,
        /// What its superproject pins.
        commit: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A submodule that cannot be had.
    #[error("cannot get submodule `{path}` at commit {commit} from `{url}`")]
    SubmoduleFetch {
        /// Relative to the repository.
        path: String,
        /// What its superproject pins.
        commit: String,
        /// Without credentials.
        url: String,
        /// Why not.
        source: Box<Self>,
    },
    /// A submodule whose work tree is not what would be built.
    #[error(
        "submodule `{path}` {what}, which `--allow-dirty` does not take along; commit in it, then record it with `git add {path}` and commit"
    )]
    SubmoduleDirty {
        /// Relative to the repository.
        path: String,
        /// What is different.
        what: String,
    },
    /// `.gitmodules` cannot be read.
    #[error("bad `{path}`, line {line}: {reason}")]
    Gitmodules {
        /// Relative to the repository.
        path: String,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A tag that was asked for and is not there as it was.
    #[error("tag `{name}` cannot be had: {reason}")]
    Tag {
        /// Without `refs/tags/`.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// `git = "minimal"` makes no sense here.
    #[error("`git = \"minimal\"` cannot be done: {reason}")]
    GitDirectory {
        /// Why not, what to do.
        reason: &'static str,
    },
    /// A pointer instead of a file.
    #[error(
        "`{path}` is a Git LFS pointer to {target}, which is not part of the commit, so nobody could rebuild from it; commit the file itself (`git lfs migrate export --include={path}`), or exclude it in .dockerignore and let the build fetch it"
    )]
    Lfs {
        /// Relative to the context.
        path: String,
        /// Digest and size of the file, as far as the pointer says.
        target: String,
    },
    /// A bound was passed.
    #[error("the commit has {what}, more than the {max} allowed")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// `.dockerignore` cannot be read.
    #[error("bad `{path}`")]
    Ignore {
        /// The file.
        path: String,
        /// Why.
        source: IgnoreError,
    },
    /// The repository is damaged, incomplete (a partial clone) or strange.
    #[error("cannot {action}; if objects are missing, fetch them (`git fetch --refetch`)")]
    Git {
        /// What was tried.
        action: &'static str,
        /// What git says.
        source: git2::Error,
    },
    /// The disk said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The `git` program cannot be started.
    #[error("cannot run `git`, which fetches sources; install it")]
    NoGit(#[source] io::Error),
    /// The `git` program failed.
    #[error("`git fetch` of `{url}` ended with {status}: {stderr}")]
    Fetch {
        /// Without credentials.
        url: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        stderr: String,
    },
    /// An ssh host that this machine does not know.
    #[error(
        "the ssh host of `{url}` is not the one that is known, or not known; compare its key and add it to known_hosts (`ssh-keyscan`): {stderr}"
    )]
    HostKey {
        /// Without credentials.
        url: String,
        /// The end of what was said.
        stderr: String,
    },
    /// The time for fetching is up.
    #[error("fetching `{url}` took longer than {seconds} s")]
    Timeout {
        /// Without credentials.
        url: String,
        /// How long it was given.
        seconds: u64,
    },
    /// The caller does not want it any more.
    #[error("fetching `{url}` was cancelled")]
    Cancelled {
        /// Without credentials.
        url: String,
    },
    /// Other files than those of the statement.
    #[error(
        "expected tree {expected}, found {actual}; give the repository that has commit {commit} with `--source`"
    )]
    TreeDiffers {
        /// The commit that is looked for.
        commit: String,
        /// Its tree, says the statement.
        expected: String,
        /// The tree that is there.
        actual: String,
    },
    /// Nowhere to look.
    #[error("commit {commit} is on no known remote; give its repository with `--source DIR`")]
    Nowhere {
        /// The commit.
        commit: String,
    },
}

impl SourceError {
    /// For `map_err` on git2.
    pub(super) fn git(action: &'static str) -> impl FnOnce(git2::Error) -> Self {
        move |source| Self::Git { action, source }
    }

    /// For `map_err` on the disk.
    pub(super) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// Whether looking failed (exit 3), rather than what was found is wrong.
    #[must_use]
    pub fn unavailable(&self) -> bool {
        if let Self::SubmoduleFetch { source, .. } = self {
            return source.unavailable();
        }
        matches!(
            self,
            Self::NoGit(_)
                | Self::Fetch { .. }
                | Self::HostKey { .. }
                | Self::Tag { .. }
                | Self::Timeout { .. }
                | Self::Cancelled { .. }
                | Self::Nowhere { .. }
                | Self::Git { .. }
                | Self::Io { .. }
        )
    }
}
