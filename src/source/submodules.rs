//! Submodules: each gitlink's pinned commit, found on this machine or fetched; `git submodule` never runs.
//!
//! Their objects are read as if they were the source's own: an id says what it is, wherever it lies.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use git2::{ErrorCode, Oid, Repository};
use url::Url;

use super::{
    Checkout, Options, SourceError,
    checkout::on_origin,
    dirty, export, git,
    gitmodules::{self, Entry},
    locate,
    plan::{Link, Planner, join, shown},
    spec::{self, Remote, Spec, submodule_url},
};
use crate::model::{
    limits::{GITMODULES_SIZE_BYTES_MAX, SUBMODULE_DEPTH_MAX, SUBMODULES_MAX},
    path::{encode, printable},
};

/// A commit of another repository that is part of the build context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submodule {
    /// Its place, relative to the top of the source's repository, joined by `/`.
    pub path: String,
    /// Where others find it (`git+https://…`, no credentials); none if it is on no remote.
    pub uri: Option<String>,
    /// The commit, 40 hex digits.
    pub commit: String,
}

/// A repository that has gitlinks: the source, or a submodule of it.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    /// Where `.gitmodules` is.
    pub(super) tree: Oid,
    /// What relative URLs start from, credentials included: a URL or a path.
    pub(super) base: Option<String>,
    /// Its git directory on this machine, not one of the store.
    pub(super) git_dir: Option<PathBuf>,
    /// Its work tree.
    pub(super) work_tree: Option<PathBuf>,
    /// Whether the work tree stands at the commit, so that changes in it matter.
    pub(super) checked_out: bool,
}

/// A submodule, and what its own submodules need.
#[derive(Debug, Clone)]
pub(super) struct Known {
    submodule: Submodule,
    parent: Parent,
}

impl Checkout {
    /// Gets the commit of every submodule that is part of the build context (`context` and `dockerfile` as in
    /// [`Checkout::export`]), recursively: from the source itself, from clones of it beside a local source, else from
    /// the URL in `.gitmodules`. To be called before the Dockerfile is read, [`Checkout::export`] and
    /// [`Checkout::pack`].
    ///
    /// Relative URLs count from where the source comes from. A source that is not of this machine cannot name
    /// submodules that are.
    ///
    /// # Errors
    /// [`SourceError`], with path and URL: not named in `.gitmodules`, not to be had, changed in the work tree, bounds.
    pub fn fetch_submodules(
        &mut self,
        context: &str,
        dockerfile: &str,
        options: &Options<'_>,
    ) -> Result<(), SourceError> {
        for path in [context, dockerfile] {
            self.know_all(options, |checkout| checkout.walk(path).map(|(_, links)| links))?;
        }
        let ignore = self.ignore(context, dockerfile)?;
        self.know_all(options, |checkout| {
            let mut planner = Planner::new(&checkout.repository, &ignore);
            planner.directory(checkout.directory(context)?, b"")?;
            Ok(checkout.relative_to_top(context, planner.links))
        })
    }

    /// The submodules that were fetched, sorted by path.
    #[must_use]
    pub fn submodules(&self) -> Vec<Submodule> {
        self.submodules.values().map(|known| known.submodule.clone()).collect()
    }

    /// Fails if one of `links` (relative to `context`) was not fetched.
    pub(super) fn expect_known(&self, context: &str, links: &[Link]) -> Result<(), SourceError> {
        let known =
            |link: &Link| str::from_utf8(&link.path).is_ok_and(|path| self.submodules.contains_key(path));
        match self.relative_to_top(context, links.to_vec()).iter().find(|link| !known(link)) {
            Some(link) => Err(SourceError::Submodule { path: shown(&link.path) }),
            None => Ok(()),
        }
    }

    /// Makes their paths relative to the repository.
    fn relative_to_top(&self, context: &str, mut links: Vec<Link>) -> Vec<Link> {
        let top: Vec<&str> = export::components(&self.subdir).chain(export::components(context)).collect();
        let top = top.join("/");
        for link in &mut links {
            link.path = join(top.as_bytes(), &link.path);
        }
        links
    }

    /// Gets what `links` finds, until it finds nothing new: a submodule shows its own only when it is there.
    fn know_all(
        &mut self,
        options: &Options<'_>,
        links: impl Fn(&Self) -> Result<Vec<Link>, SourceError>,
    ) -> Result<(), SourceError> {
        for _ in 0..=SUBMODULE_DEPTH_MAX {
            let before = self.submodules.len();
            for link in links(self)? {
                self.know(link, options)?;
            }
            if self.submodules.len() == before {
                return Ok(());
            }
        }
        Err(SourceError::TooLarge { what: "deeper submodules", max: SUBMODULE_DEPTH_MAX as u64 })
    }

    fn know(&mut self, link: Link, options: &Options<'_>) -> Result<(), SourceError> {
        let path = String::from_utf8(link.path).map_err(|error| SourceError::SubmoduleRefused {
            path: encode(error.as_bytes()).0,
            commit: link.commit.to_string(),
            reason: "its path is not UTF-8",
        })?;
        if self.submodules.contains_key(&path) {
            return Ok(());
        }
        if self.submodules.len() >= SUBMODULES_MAX {
            return Err(SourceError::TooLarge { what: "more submodules", max: SUBMODULES_MAX as u64 });
        }
        let known = self.find_submodule(&path, link.commit, options)?;
        self.submodules.insert(path, known);
        Ok(())
    }

    fn find_submodule(&self, path: &str, commit: Oid, options: &Options<'_>) -> Result<Known, SourceError> {
        let (above, parent) = self.parent_of(path);
        let inner = path.strip_prefix(above).unwrap_or(path).trim_start_matches('/');
        let entry = gitmodules(&self.repository, parent, above)?.remove(inner);
        let url = match &entry {
            Some(Entry { url: Some(url), .. }) if !url.is_empty() => {
                submodule_url(parent.base.as_deref(), url)
            }
            Some(_) => Err("`.gitmodules` gives it no URL"),
            None => Err("`.gitmodules` does not name it"),
        };
        let work_tree = parent.work_tree.as_deref().and_then(|above| checked_out(above, inner));
        if let Some(dir) = work_tree.as_deref().filter(|_| parent.checked_out) {
            expect_clean(path, dir, commit)?;
        }
        let local = clone_of(parent, entry.as_ref(), work_tree.as_deref(), commit);
        let here = self.repository.find_commit(commit).is_ok();
        let refused = |reason| SourceError::SubmoduleRefused {
            path: printable(path),
            commit: commit.to_string(),
            reason,
        };
        let public = match (&local, here) {
            (Some(local), _) => {
                self.see_objects_of(local)?;
                on_origin(local, commit)
            }
            (None, true) => parent.git_dir.is_none(),
            (None, false) => {
                let url = url.as_ref().map_err(|reason| refused(*reason))?;
                let fetched = fetch(url, commit, options).map_err(|source| SourceError::SubmoduleFetch {
                    path: printable(path),
                    commit: commit.to_string(),
                    url: spec::shown(url),
                    source: Box::new(source),
                })?;
                self.see_objects_of(&fetched)?;
                true
            }
        };
        let url = url.ok();
        let uri = url.as_deref().filter(|_| public).and_then(spec::uri);
        let found = self.repository.find_commit(commit).map_err(SourceError::git("read a submodule"))?;
        let checked_out = parent.checked_out && work_tree.is_some();
        let git_dir = local.map(|local| local.path().to_owned());
        Ok(Known {
            submodule: Submodule { path: path.to_owned(), uri, commit: commit.to_string() },
            parent: Parent { tree: found.tree_id(), base: url, git_dir, work_tree, checked_out },
        })
    }

    /// The innermost submodule that `path` is in, or the source itself; and its path.
    fn parent_of<'a>(&'a self, path: &'a str) -> (&'a str, &'a Parent) {
        let above = path.rmatch_indices('/').map(|(at, _)| &path[..at]);
        let mut known = above.filter_map(|above| Some((above, &self.submodules.get(above)?.parent)));
        known.next().unwrap_or(("", &self.parent))
    }

    /// Makes the objects of `other` readable here.
    pub(super) fn see_objects_of(&self, other: &Repository) -> Result<(), SourceError> {
        let objects = other.commondir().join("objects");
        let failed = SourceError::git("read the objects of a submodule");
        let text = objects.to_str().ok_or_else(|| git2::Error::from_str("a path that is not UTF-8"));
        text.and_then(|objects| self.repository.odb()?.add_disk_alternate(objects)).map_err(failed)
    }
}

/// What `.gitmodules` of `parent`, which is at `above`, names.
fn gitmodules(
    repository: &Repository,
    parent: &Parent,
    above: &str,
) -> Result<BTreeMap<String, Entry>, SourceError> {
    let path = [above, ".gitmodules"].join("/").trim_start_matches('/').to_owned();
    let refuse = |line, reason| SourceError::Gitmodules { path: path.clone(), line, reason };
    let tree = repository.find_tree(parent.tree).map_err(SourceError::git("read a tree"))?;
    let Some(entry) = tree.get_name(".gitmodules") else {
        return Ok(BTreeMap::new());
    };
    if entry.filemode_raw() & 0o170_000 != 0o100_000 {
        return Err(refuse(1, "it is not a regular file"));
    }
    let odb = repository.odb().map_err(SourceError::git("open the objects"))?;
    export::check_size(&odb, entry.id(), GITMODULES_SIZE_BYTES_MAX)?;
    let blob = odb.read(entry.id()).map_err(SourceError::git("read a file"))?;
    let text = str::from_utf8(blob.data()).map_err(|_| refuse(1, "it is not UTF-8"))?;
    gitmodules::parse(text).map_err(|(line, reason)| refuse(line, reason))
}

/// The work tree of a submodule, if it has one; never through a symbolic link.
fn checked_out(above: &Path, inner: &str) -> Option<PathBuf> {
    let dir = above.join(inner);
    let is_there = dir.join(".git").exists() && std::fs::canonicalize(&dir).is_ok_and(|real| real == dir);
    is_there.then_some(dir)
}

/// A clone on this machine that has `commit`: where `git submodule` puts them, or the submodule's work tree.
fn clone_of(
    parent: &Parent,
    entry: Option<&Entry>,
    work_tree: Option<&Path>,
    commit: Oid,
) -> Option<Repository> {
    let clean = |name: &str| name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let name = entry.map(|entry| entry.name.as_str()).filter(|name| clean(name));
    let module = parent.git_dir.as_ref().zip(name).map(|(dir, name)| dir.join("modules").join(name));
    let own = work_tree.and_then(|dir| locate::git_dir(dir.join(".git")).ok());
    let open = |dir: PathBuf| locate::open(&dir).ok();
    module.into_iter().chain(own).filter_map(open).find(|found| found.find_commit(commit).is_ok())
}

/// Refuses the work tree `dir` of the submodule at `path` if it is not what `commit` says.
fn expect_clean(path: &str, dir: &Path, commit: Oid) -> Result<(), SourceError> {
    let refuse = |what: String| SourceError::SubmoduleDirty { path: printable(path), what };
    let repository = locate::open(&locate::git_dir(dir.join(".git"))?)?;
    repository.set_workdir(dir, false).map_err(SourceError::git("use the work tree"))?;
    match repository.refname_to_id("HEAD") {
        Ok(head) if head == commit => {}
        Ok(head) => return Err(refuse(format!("is at commit {head}, not at the recorded {commit}"))),
        Err(error) if error.code() == ErrorCode::NotFound => {
            return Err(refuse(format!("has no commit, the recorded one is {commit}")));
        }
        Err(error) => return Err(SourceError::git("read HEAD of a submodule")(error)),
    }
    match dirty::changes(&repository, "")?.first() {
        Some(change) => Err(refuse(format!("has uncommitted changes (`{}`)", change.shown()))),
        None => Ok(()),
    }
}

fn fetch(url: &str, commit: Oid, options: &Options<'_>) -> Result<Repository, SourceError> {
    let remote = match Spec::parse(url)? {
        Spec::Remote(remote) => remote,
        Spec::Directory(path) => {
            let public = Url::from_file_path(&path).map_err(|()| SourceError::Spec {
                spec: spec::shown(url),
                reason: "its URL is neither absolute nor relative (`../`)",
            })?;
            Remote { secret: public.to_string(), public }
        }
    };
    let (repository, found) = git::fetch(&remote, &commit.to_string(), options)?;
    let is_commit = found == commit && repository.find_commit(commit).is_ok();
    if is_commit {
        return Ok(repository);
    }
    let source = git2::Error::from_str("another object was found");
    Err(SourceError::Rev { rev: commit.to_string(), place: remote.public.to_string(), source })
}
