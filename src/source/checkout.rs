//! One commit, resolved and believed.

use std::{collections::BTreeMap, fmt, io::Read, path::Path, time::Duration};

use git2::{Oid, Repository};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{
    SourceError, dirty, git,
    locate::{Place, locate},
    pack,
    spec::{Remote, Spec, uri},
    submodules::{Known, Parent},
};
use crate::{model::rfc3339, store::Store};

/// 1980-01-01: what zip files and older tools can say.
const EPOCH_MIN_S: i64 = 315_532_800;

/// What the caller decides besides which source.
#[derive(Debug)]
pub struct Options<'a> {
    /// Where fetched repositories and temporary files go.
    pub store: &'a Store,
    /// Seconds since 1970, now: a commit from the future is refused.
    pub now_s: i64,
    /// Take uncommitted changes along, instead of refusing them.
    pub allow_dirty: bool,
    /// The caller's environment; of it, `git` gets the path, CA and proxy variables, and for ssh those of the agent.
    pub env: Vec<(String, String)>,
    /// Longest wait for `git`.
    pub timeout: Duration,
    /// Ends a running `git`.
    pub cancel: CancellationToken,
}

/// The commit of a statement, to be found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// `git+https://…`, if it is on a remote.
    pub uri: Option<String>,
    /// Its id: 40 hex digits.
    pub commit: String,
    /// The id of its tree.
    pub tree: String,
    /// Root of the build in it; empty for the top.
    pub subdir: String,
}

/// A commit whose objects can be read.
pub struct Checkout {
    pub(super) repository: Repository,
    pub(super) commit: Oid,
    pub(super) tree: Oid,
    pub(super) subdir: String,
    pub(super) epoch_s: i64,
    /// The source, as what submodules are found by.
    pub(super) parent: Parent,
    /// By path; empty until fetched.
    pub(super) submodules: BTreeMap<String, Known>,
    /// By name; empty until taken.
    pub(super) tags: BTreeMap<String, Oid>,
    uri: Option<String>,
    dirty: bool,
    /// Objects that are nowhere else; dropped after `repository`.
    _scratch: Option<TempDir>,
}

impl fmt::Debug for Checkout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkout")
            .field("uri", &self.uri)
            .field("commit", &self.commit)
            .field("tree", &self.tree)
            .field("subdir", &self.subdir)
            .field("epoch_s", &self.epoch_s)
            .field("dirty", &self.dirty)
            .field("submodules", &self.submodules())
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}

impl Checkout {
    /// Resolves `rev` in SOURCE: a directory (of a work tree, or a bare repository) or a URL, which is fetched.
    ///
    /// If `rev` is what the work tree stands at, uncommitted changes under the directory are refused, or become a
    /// commit of their own ([`Checkout::dirty`]).
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(source: &str, rev: &str, options: &Options<'_>) -> Result<Self, SourceError> {
        match Spec::parse(source)? {
            Spec::Remote(remote) => Self::fetch(&remote, rev, options),
            Spec::Directory(path) => Self::local(&path, rev, options),
        }
    }

    /// Finds the commit of a statement again: in `source` if given, else at its own URI.
    ///
    /// # Errors
    /// [`SourceError::TreeDiffers`] if other files are there, [`SourceError::Nowhere`] if there is no place to look.
    pub fn find(wanted: &Wanted, source: Option<&str>, options: &Options<'_>) -> Result<Self, SourceError> {
        let place = source.or(wanted.uri.as_deref());
        let place = place.ok_or_else(|| SourceError::Nowhere { commit: wanted.commit.clone() })?;
        let checkout = match Spec::parse(place)? {
            Spec::Remote(remote) => Self::fetch(&remote, &wanted.commit, options)?,
            Spec::Directory(path) => {
                let found = locate(&path)?;
                let (base, git_dir) = (Some(base(&found)), Some(found.repository.path().to_owned()));
                let commit = resolve(&found.repository, &wanted.commit, place)
                    .map_err(|error| differs(&found.repository, wanted).unwrap_or(error))?;
                let checkout = Self::new(found.repository, commit, String::new(), options)?;
                let work_tree = found.work_tree;
                Self { parent: Parent { base, git_dir, work_tree, ..checkout.parent }, ..checkout }
            }
        };
        checkout.expect(wanted)
    }

    /// Reads back a commit that [`Checkout::pack`] wrote.
    ///
    /// # Errors
    /// [`SourceError`]: damaged, incomplete, or another commit or tree than `wanted`.
    pub fn from_pack(pack: impl Read, wanted: &Wanted, options: &Options<'_>) -> Result<Self, SourceError> {
        let scratch = scratch(options.store)?;
        let repository = pack::unpack(pack, scratch.path())?;
        let commit = resolve(&repository, &wanted.commit, "the kept source")?;
        pack::check(&repository, commit)?;
        let checkout = Self::new(repository, commit, String::new(), options)?;
        let base = wanted.uri.as_deref().map(|uri| uri.strip_prefix("git+").unwrap_or(uri).to_owned());
        let parent = Parent { base, ..checkout.parent };
        Self { parent, _scratch: Some(scratch), ..checkout }.expect(wanted)
    }

    /// The commit's id, 40 hex digits.
    #[must_use]
    pub fn commit(&self) -> String {
        self.commit.to_string()
    }

    /// The id of its tree.
    #[must_use]
    pub fn tree(&self) -> String {
        self.tree.to_string()
    }

    /// Its committer time, seconds since 1970: the time of everything built from it.
    #[must_use]
    pub fn epoch_s(&self) -> i64 {
        self.epoch_s
    }

    /// The directory that is the root of the build, joined by `/`; empty for the top.
    #[must_use]
    pub fn subdir(&self) -> &str {
        &self.subdir
    }

    /// Where others find the commit (`git+https://…`, no credentials); none if it is on no remote.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        self.uri.as_deref()
    }

    /// Whether uncommitted changes are part of it: then the commit is one that only [`Checkout::pack`] can hand on.
    #[must_use]
    pub fn dirty(&self) -> bool {
        self.dirty
    }

    fn fetch(remote: &Remote, rev: &str, options: &Options<'_>) -> Result<Self, SourceError> {
        let (repository, id) = git::fetch(remote, rev, options)?;
        let commit = resolve(&repository, &id.to_string(), remote.public.as_str())?;
        let uri = Some(format!("git+{}", remote.public));
        let checkout = Self::new(repository, commit, String::new(), options)?;
        let parent = Parent { base: Some(remote.secret.clone()), ..checkout.parent };
        Ok(Self { parent, uri, ..checkout })
    }

    fn local(path: &Path, rev: &str, options: &Options<'_>) -> Result<Self, SourceError> {
        let place = locate(path)?;
        let commit = resolve(&place.repository, rev, &path.display().to_string())?;
        let checked_out = place.work_tree.is_some()
            && place.repository.refname_to_id("HEAD").is_ok_and(|head| head == commit);
        let (base, git_dir) = (Some(base(&place)), Some(place.repository.path().to_owned()));
        let work_tree = place.work_tree.clone();
        let parent = |parent: Parent| Parent { base, git_dir, work_tree, checked_out, ..parent };
        if let Some(work_tree) = place.work_tree.as_ref().filter(|_| checked_out) {
            let changes = dirty::changes(&place.repository, &place.subdir)?;
            if !changes.is_empty() && !options.allow_dirty {
                return Err(dirty::refuse(&changes));
            }
            if !changes.is_empty() {
                let scratch = scratch(options.store)?;
                let repository = dirty::overlay_repository(&place.repository, scratch.path())?;
                let commit = dirty::commit(&repository, commit, work_tree, &changes)?;
                let checkout = Self::new(repository, commit, place.subdir, options)?;
                let parent = parent(checkout.parent);
                return Ok(Self { parent, dirty: true, _scratch: Some(scratch), ..checkout });
            }
        }
        let uri = origin(&place.repository, commit);
        let checkout = Self::new(place.repository, commit, place.subdir, options)?;
        Ok(Self { parent: parent(checkout.parent), uri, ..checkout })
    }

    fn new(
        repository: Repository,
        commit: Oid,
        subdir: String,
        options: &Options<'_>,
    ) -> Result<Self, SourceError> {
        let (tree, epoch_s) = {
            let found = repository.find_commit(commit).map_err(SourceError::git("read the commit"))?;
            (found.tree_id(), found.committer().when().seconds())
        };
        let refused =
            |reason| SourceError::Epoch { commit: commit.to_string(), time: rfc3339(epoch_s), reason };
        if epoch_s > options.now_s {
            return Err(refused("which is in the future"));
        }
        if epoch_s < EPOCH_MIN_S {
            return Err(refused("which is before 1980"));
        }
        let parent = Parent { tree, base: None, git_dir: None, work_tree: None, checked_out: false };
        let checkout = Self {
            repository,
            commit,
            tree,
            subdir,
            epoch_s,
            parent,
            submodules: BTreeMap::new(),
            tags: BTreeMap::new(),
            uri: None,
            dirty: false,
            _scratch: None,
        };
        checkout.directory("")?;
        Ok(checkout)
    }

    fn expect(self, wanted: &Wanted) -> Result<Self, SourceError> {
        if self.tree.to_string() != wanted.tree {
            return Err(SourceError::TreeDiffers {
                commit: wanted.commit.clone(),
                expected: wanted.tree.clone(),
                actual: self.tree.to_string(),
            });
        }
        let found = Self { subdir: wanted.subdir.clone(), uri: wanted.uri.clone(), ..self };
        found.directory("")?;
        Ok(found)
    }
}

/// The commit that `rev` names, tags peeled.
fn resolve(repository: &Repository, rev: &str, place: &str) -> Result<Oid, SourceError> {
    let commit = repository.revparse_single(rev).and_then(|object| object.peel_to_commit());
    commit.map(|commit| commit.id()).map_err(|source| SourceError::Rev {
        rev: rev.to_owned(),
        place: place.to_owned(),
        source,
    })
}

/// That HEAD has other files than `wanted`, if so.
fn differs(repository: &Repository, wanted: &Wanted) -> Option<SourceError> {
    let actual = repository.revparse_single("HEAD^{tree}").ok()?.id().to_string();
    let (commit, expected) = (wanted.commit.clone(), wanted.tree.clone());
    (actual != expected).then_some(SourceError::TreeDiffers { commit, expected, actual })
}

/// The URI of `origin` if it has `commit`.
fn origin(repository: &Repository, commit: Oid) -> Option<String> {
    let uri = uri(repository.find_remote("origin").ok()?.url().ok()?)?;
    on_origin(repository, commit).then_some(uri)
}

/// Whether one of the branches of `origin`, as far as known here, has `commit`.
///
/// What cannot be told (a shallow clone's missing history) counts as no: then the source is kept beside the image.
pub(super) fn on_origin(repository: &Repository, commit: Oid) -> bool {
    let has = || {
        let branches = repository.references_glob("refs/remotes/origin/*")?;
        let tips: Vec<Oid> =
            branches.filter_map(|branch| Some(branch.ok()?.peel_to_commit().ok()?.id())).collect();
        if tips.contains(&commit) {
            return Ok(true);
        }
        let mut walk = repository.revwalk()?;
        walk.push(commit)?;
        tips.iter().try_for_each(|tip| walk.hide(*tip))?;
        Ok::<_, git2::Error>(walk.next().is_none())
    };
    has().unwrap_or(false)
}

/// What relative URLs of submodules count from: the URL of `origin`, else the repository itself.
fn base(place: &Place) -> String {
    let top = place.work_tree.as_deref().unwrap_or(place.repository.path());
    let origin = place.repository.find_remote("origin");
    match origin.as_ref().ok().and_then(|origin| origin.url().ok()) {
        Some(url) => match Spec::parse(url) {
            Ok(Spec::Directory(path)) => top.join(path).display().to_string(),
            _ => url.to_owned(),
        },
        None => top.display().to_string(),
    }
}

fn scratch(store: &Store) -> Result<TempDir, SourceError> {
    TempDir::new_in(store.tmp()).map_err(SourceError::io("create a directory in", store.tmp()))
}
