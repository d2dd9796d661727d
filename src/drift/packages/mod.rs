//! Packages that are in two layers in different versions, or in one of them only, and the files that are theirs: as dpkg, rpm,
//! apk, pip and npm keep account of them.

mod apk;
mod dpkg;
mod npm;
mod python;
mod rpm;

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice as _};

use crate::{
    diff::{Both, Change, ChangeKind},
    drift::view::Pair,
    model::path::printable,
};

/// Gives both contents of the file at a path, if it differs.
type Beside<'a> = &'a dyn Fn(&[u8]) -> Option<Both<'a>>;
/// Reads a database of packages.
type Read = fn(Pair<'_>) -> Option<Database>;

/// Where else packages are kept account of in one file.
const DATABASES: &[(&[u8], Read)] = &[
    (b"lib/apk/db/installed", apk::read),
    (b"usr/lib/apk/db/installed", apk::read),
    (b"var/lib/rpm/rpmdb.sqlite", rpm::read),
    (b"usr/lib/sysimage/rpm/rpmdb.sqlite", rpm::read),
];

/// A package of two versions, or one that only one image has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    /// As the files of its manager have it: dpkg's may end in `:amd64`.
    pub(super) name: BString,
    pub(super) versions: [Option<BString>; 2],
    /// The file that says so.
    pub(super) record: BString,
}

impl Moved {
    /// For people.
    pub(super) fn shown(&self) -> String {
        let name = &self.name;
        let shown = match &self.versions {
            [Some(one), Some(other)] => format!("package {name} {one} → {other}"),
            [Some(one), None] => format!("package {name} {one} only in the first image"),
            [None, Some(other)] => format!("package {name} {other} only in the second image"),
            [None, None] => format!("package {name}"),
        };
        printable(&shown)
    }
}

/// What one file says of packages, for both images.
struct Database {
    /// By name: version, and all that is said.
    packages: [BTreeMap<BString, Said>; 2],
    /// Whether both say the same of what is no package.
    same_rest: bool,
}

/// What is said of one package.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    version: BString,
    /// All of it, but what follows from when it was installed.
    whole: Vec<u8>,
    /// Its files, with what it says of their contents; directories and links with nothing.
    files: BTreeMap<BString, Vec<u8>>,
}

/// Paths of which two lists say something else.
fn differing<'a>(
    a: &'a BTreeMap<BString, Vec<u8>>,
    b: &'a BTreeMap<BString, Vec<u8>>,
) -> impl Iterator<Item = &'a BString> {
    a.keys().chain(b.keys()).filter(|path| a.get(*path) != b.get(*path))
}

/// All of one pair of layers.
#[derive(Debug, Default)]
pub(super) struct Packages {
    moved: Vec<Moved>,
    /// Which package a path is of, by what the package says of its content.
    owners: BTreeMap<BString, usize>,
    /// Which package a directory is of, with all that is in it.
    directories: BTreeMap<BString, usize>,
    /// Files in which packages differ, and nothing else: which packages.
    databases: BTreeMap<BString, Vec<usize>>,
    /// Files of which a package of one version says that they are others.
    same_version: BTreeSet<BString>,
}

impl Packages {
    /// Reads them from what differs.
    pub(super) fn of(changes: &[Change]) -> Self {
        let by_path: BTreeMap<&BStr, &Change> =
            changes.iter().map(|change| (change.path.as_bstr(), change)).collect();
        let content = |path: &[u8]| {
            by_path.get(path.as_bstr()).filter(|change| change.kind == ChangeKind::Content)?.read()
        };
        let mut packages = Self::default();
        if let Some((a, b)) = content(dpkg::STATUS) {
            packages.add(dpkg::STATUS, &dpkg::read((&a, &b), &content));
        }
        for (path, read) in DATABASES {
            if let Some(database) = content(path).and_then(|(a, b)| read((&a, &b))) {
                packages.add(path, &database);
            }
        }
        for change in changes {
            packages.add_sums(change);
        }
        python::add(changes, &mut packages);
        npm::add(changes, &mut packages);
        packages
    }

    fn add(&mut self, record: &[u8], Database { packages: [a, b], same_rest }: &Database) {
        let (mut only, mut all) = (*same_rest, Vec::new());
        for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
            let (one, other) = (a.get(name), b.get(name));
            let version = |said: Option<&Said>| said.map(|said| said.version.clone());
            if version(one) == version(other) {
                only &= one.map(|said| &said.whole) == other.map(|said| &said.whole);
                if let (Some(one), Some(other)) = (one, other) {
                    self.same_version.extend(differing(&one.files, &other.files).cloned());
                }
                continue;
            }
            let empty = BTreeMap::new();
            let files = |said: Option<&Said>| said.map_or_else(|| empty.clone(), |said| said.files.clone());
            let (files_a, files_b) = (files(one), files(other));
            // What the package says is the same is not its doing.
            self.owners.extend(differing(&files_a, &files_b).map(|path| (path.clone(), self.moved.len())));
            all.push(self.moved.len());
            let versions = [version(one), version(other)];
            self.moved.push(Moved { name: name.clone(), versions, record: record.into() });
        }
        if only && !all.is_empty() {
            self.databases.insert(record.into(), all);
        }
    }

    /// dpkg's checksums of a package that did not move.
    fn add_sums(&mut self, change: &Change) {
        let name = change.path.strip_prefix(dpkg::INFO).and_then(|name| name.strip_suffix(b".md5sums"));
        let Some((name, (a, b))) = name.and_then(|name| Some((name, change.read()?))) else { return };
        if !self.moved.iter().any(|moved| moved.name == name && moved.record == dpkg::STATUS) {
            self.same_version.insert(change.path.clone());
            self.same_version.extend(differing(&dpkg::files(b"", &a), &dpkg::files(b"", &b)).cloned());
        }
    }

    /// Whether a package says that the file at `path` is another, and has the same version on both sides.
    pub(super) fn is_of_same_version(&self, path: &[u8]) -> bool {
        let merged =
            path.strip_prefix(b"usr/").is_some_and(|path| self.same_version.contains(path.as_bstr()));
        merged || self.same_version.contains(path.as_bstr())
    }

    /// The package of other versions that `path` is of: one of its files, or in a directory of its own.
    pub(super) fn owner(&self, path: &[u8]) -> Option<&Moved> {
        let of_info = || {
            let name = path.strip_prefix(dpkg::INFO)?.rsplit_once_str(".")?.0;
            self.moved.iter().find(|moved| moved.name == name && moved.record == dpkg::STATUS)
        };
        let of_directory = || {
            let mut above = path;
            loop {
                if let Some(index) = self.directories.get(above.as_bstr()) {
                    return Some(&self.moved[*index]);
                }
                let (directory, name) = above.rsplit_once_str("/")?;
                if name == b"node_modules" {
                    return None; // What is in it are others.
                }
                above = directory;
            }
        };
        // What lists call `/lib/…` lies in `usr/lib` since these are one.
        let listed = || self.owners.get(path.strip_prefix(b"usr/")?.as_bstr());
        self.owners
            .get(path.as_bstr())
            .or_else(listed)
            .map(|index| &self.moved[*index])
            .or_else(of_info)
            .or_else(of_directory)
    }

    /// dpkg's packages of other versions, and those that only one image has.
    pub(super) fn of_dpkg(&self) -> impl Iterator<Item = &Moved> {
        self.moved.iter().filter(|moved| moved.record == dpkg::STATUS)
    }

    /// Whether two lists of dpkg's differ in nothing but packages that moved, each in its own image's version.
    pub(super) fn of_status(&self, a: &[u8], b: &[u8]) -> bool {
        let Database { packages: [one, other], same_rest } = dpkg::read((a, b), &|_| None);
        let moved: BTreeMap<_, _> = self.of_dpkg().map(|moved| (&moved.name, moved)).collect();
        let mut names = one.keys().chain(other.keys());
        same_rest
            && names.all(|name| {
                let said = [one.get(name), other.get(name)];
                let versions = |moved: &&Moved| {
                    let mut sides = said.iter().zip(&moved.versions);
                    sides.all(|(said, version)| {
                        said.is_none_or(|said| version.as_ref() == Some(&said.version))
                    })
                };
                said[0] == said[1] || moved.get(name).is_some_and(versions)
            })
    }

    /// The packages, if these are all that differs in what the file at `path` says.
    pub(super) fn all(&self, path: &[u8]) -> Option<Vec<&Moved>> {
        let indexes = self.databases.get(path.as_bstr())?;
        Some(indexes.iter().map(|index| &self.moved[*index]).collect())
    }
}
