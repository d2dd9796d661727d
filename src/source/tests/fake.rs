//! Repositories made by code, in temporary directories, without anybody's configuration.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use git2::{ObjectType, Oid, Repository, RepositoryInitOptions, Signature, Time};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    source::{Checkout, Options, SourceError},
    store::Store,
};

pub(super) const EPOCH_S: i64 = 1_700_000_000;
pub(super) const NOW_S: i64 = 1_800_000_000;

/// A repository with a work tree, and a store beside it.
pub(super) struct Fake {
    pub(super) dir: TempDir,
    pub(super) repo: Repository,
    pub(super) store: Store,
}

impl Fake {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = RepositoryInitOptions::new();
        options.external_template(false).initial_head("main");
        let repo = Repository::init_opts(dir.path().join("repo"), &options).unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        Self { dir, repo, store }
    }

    /// A repository with one commit of `files`.
    pub(super) fn with(files: &[(&str, &str)]) -> Self {
        let fake = Self::new();
        for (path, text) in files {
            fake.file(path, text);
        }
        fake.commit();
        fake
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    pub(super) fn source(&self) -> String {
        self.root().to_str().unwrap().to_owned()
    }

    pub(super) fn url(&self) -> String {
        format!("file://{}", self.source())
    }

    pub(super) fn file(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn executable(&self, path: &str) {
        fs::set_permissions(self.root().join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn link(&self, path: &str, target: &str) {
        symlink(target, self.root().join(path)).unwrap();
    }

    pub(super) fn commit(&self) -> Oid {
        self.commit_at(EPOCH_S)
    }

    /// Commits the work tree, bytes as they are.
    pub(super) fn commit_at(&self, epoch_s: i64) -> Oid {
        let tree = self.tree(&self.root());
        let mut index = self.repo.index().unwrap();
        index.read_tree(&self.repo.find_tree(tree).unwrap()).unwrap();
        index.write().unwrap();
        self.commit_tree(tree, epoch_s)
    }

    fn tree(&self, dir: &Path) -> Oid {
        let mut builder = self.repo.treebuilder(None).unwrap();
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            let (id, mode) = if entry.file_name() == ".git" || entry.file_name() == "ignored" {
                continue;
            } else if metadata.is_dir() {
                (self.tree(&entry.path()), 0o040_000)
            } else if metadata.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap();
                (self.repo.blob(target.as_os_str().as_encoded_bytes()).unwrap(), 0o120_000)
            } else {
                let mode = if metadata.mode() & 0o100 == 0 { 0o100_644 } else { 0o100_755 };
                (self.repo.blob(&fs::read(entry.path()).unwrap()).unwrap(), mode)
            };
            builder.insert(entry.file_name().as_encoded_bytes(), id, mode).unwrap();
        }
        builder.write().unwrap()
    }

    pub(super) fn commit_tree(&self, tree: Oid, epoch_s: i64) -> Oid {
        let signature = Signature::new("t", "t@example.org", &Time::new(epoch_s, 60)).unwrap();
        let tree = self.repo.find_tree(tree).unwrap();
        let parent = self.repo.head().ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        self.repo.commit(Some("HEAD"), &signature, &signature, "m", &tree, &parents).unwrap()
    }

    /// A tree object of exactly these entries, whatever git thinks of them.
    pub(super) fn raw_tree(&self, entries: &[(&str, &[u8], Oid)]) -> Oid {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(id.as_bytes());
        }
        self.repo.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap()
    }

    pub(super) fn options(&self) -> Options<'_> {
        Options {
            store: &self.store,
            now_s: NOW_S,
            allow_dirty: false,
            env: Vec::new(),
            timeout: Duration::from_mins(1),
            cancel: CancellationToken::new(),
        }
    }

    pub(super) fn open(&self) -> Result<Checkout, SourceError> {
        Checkout::open(&self.source(), "HEAD", &self.options())
    }

    /// HEAD, without a look at the work tree.
    pub(super) fn open_bare(&self) -> Result<Checkout, SourceError> {
        Checkout::open(&format!("{}/.git", self.source()), "HEAD", &self.options())
    }

    /// What an export of HEAD writes.
    pub(super) fn export(&self) -> Result<BTreeMap<String, String>, SourceError> {
        let checkout = self.open_bare()?;
        self.export_of(&checkout)
    }

    pub(super) fn export_of(&self, checkout: &Checkout) -> Result<BTreeMap<String, String>, SourceError> {
        let out = tempfile::tempdir_in(self.dir.path()).unwrap();
        checkout.export(out.path(), ".", "Dockerfile")?;
        Ok(listing(out.path()))
    }
}

/// Every path under `dir` with its mode, and text or target.
pub(super) fn listing(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let what = if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                open.push(path.clone());
                format!("{:o} /", metadata.mode() & 0o7777)
            } else {
                format!("{:o} {}", metadata.mode() & 0o7777, fs::read(&path).unwrap().escape_ascii())
            };
            found.insert(path.strip_prefix(dir).unwrap().to_string_lossy().into_owned(), what);
        }
    }
    found
}

/// `path: what` lines.
pub(super) fn lines(listing: &BTreeMap<String, String>) -> String {
    let line = |(path, what): (&String, &String)| format!("{path}: {what}").trim_end().to_owned() + "\n";
    listing.iter().map(line).collect()
}
