//! What is installed in a root file system, as its package managers noted it.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use serde::Serialize;
use serde_json::json;

use super::inside::Inside;
use crate::{
    layer::{Entry, Kind},
    model::{json::canonical, limits::PACKAGES_SIZE_BYTES_MAX, path::printable},
};

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    /// `deb` or `apk`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// As the package manager calls it; empty if it does not say.
    pub architecture: String,
}

/// All that are installed, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    /// Those that could be read.
    pub list: Vec<Package>,
    /// Databases that are there but were not read.
    pub unread: Vec<String>,
}

/// Databases that take a library to read.
const FOREIGN: [&str; 7] = [
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages",
    "usr/lib/sysimage/rpm/Packages.db",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "var/lib/pacman/local",
];

/// Reads every database; `content` is where the entries' offsets point.
pub(super) fn read(inside: &Inside<'_>, content: &mut File) -> io::Result<Packages> {
    let mut packages = Packages::default();
    let mut databases: Vec<(&Entry, &'static str)> = Vec::new();
    databases.extend(inside.find(b"var/lib/dpkg/status").map(|entry| (entry, "deb")));
    let parts = inside.files_in("var/lib/dpkg/status.d").into_iter();
    databases.extend(parts.filter(|entry| !entry.path.ends_with(b".md5sums")).map(|entry| (entry, "deb")));
    let apk = inside.find(b"lib/apk/db/installed").or_else(|| inside.find(b"usr/lib/apk/db/installed"));
    databases.extend(apk.map(|entry| (entry, "apk")));
    for (entry, kind) in databases.into_iter().filter(|(entry, _)| entry.kind == Kind::File) {
        if entry.size_bytes > PACKAGES_SIZE_BYTES_MAX {
            packages.unread.push(printable(&entry.path.to_string()));
            continue;
        }
        let mut bytes = Vec::new();
        content.seek(SeekFrom::Start(entry.offset))?;
        content.take(entry.size_bytes).read_to_end(&mut bytes)?;
        packages.list.extend(parse(&String::from_utf8_lossy(&bytes), kind));
    }
    let foreign = FOREIGN.iter().filter_map(|path| inside.find(path.as_bytes()));
    packages.unread.extend(foreign.map(|entry| entry.path.to_string()));
    packages.list.sort_unstable();
    packages.list.dedup();
    packages.unread.sort_unstable();
    packages.unread.dedup();
    Ok(packages)
}

/// Paragraphs of `Key: value` (dpkg's status) or `K:value` (apk's installed).
fn parse(text: &str, kind: &'static str) -> Vec<Package> {
    let [name, version, architecture] = match kind {
        "deb" => ["Package:", "Version:", "Architecture:"],
        _ => ["P:", "V:", "A:"],
    };
    let package = |paragraph: &str| {
        let field = |key: &str| {
            let value = paragraph.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
            value.map(printable)
        };
        let removed = field("Status:").is_some_and(|status| !status.ends_with(" installed"));
        let named = field(name).filter(|name| !name.is_empty() && !removed)?;
        let (version, architecture) =
            (field(version).unwrap_or_default(), field(architecture).unwrap_or_default());
        Some(Package { kind, name: named, version, architecture })
    };
    text.split("\n\n").filter_map(package).collect()
}

impl Packages {
    /// Canonical JSON; `attestations/import/v1`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(&json!({"packages": self.list, "unread": self.unread}))
    }

    /// Which ARM the packages are for: programs alone do not tell.
    pub(super) fn arm_variant(&self) -> Option<&'static str> {
        self.list.iter().find_map(|package| match (package.kind, package.architecture.as_str()) {
            ("deb", "armhf") | ("apk", "armv7") => Some("v7"),
            ("apk", "armhf") => Some("v6"),
            ("deb", "armel") => Some("v5"),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::layer::fake::FakeLayer;

    fn packages(files: &[(&str, &str)]) -> Packages {
        let layer =
            files.iter().fold(FakeLayer::default(), |layer, (path, text)| layer.file(path, text.as_bytes()));
        let mut content = tempfile::tempfile().unwrap();
        content.write_all(&layer.tar()).unwrap();
        read(&Inside::new(&with_directories(layer.index())), &mut content).unwrap()
    }

    fn with_directories(mut entries: Vec<Entry>) -> Vec<Entry> {
        let directories: std::collections::BTreeSet<_> = entries
            .iter()
            .flat_map(|entry| {
                (0..entry.path.len()).filter(|at| entry.path[*at] == b'/').map(|at| entry.path[..at].to_vec())
            })
            .collect();
        entries.extend(directories.into_iter().map(|path| Entry::new(path, Kind::Directory, 0o755, 0)));
        entries
    }

    #[test]
    fn dpkg() {
        let status = "Package: zlib1g\nStatus: install ok installed\nArchitecture: armhf\nDescription: a\n Version: no\nVersion: 1:1.2\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: half\nStatus: install ok half-installed\nVersion: 1\n\nPackage: apt\nStatus: hold ok installed\nVersion: 2\u{202e}\n";
        let found = packages(&[
            ("var/lib/dpkg/status", status),
            ("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 3\n"),
            ("var/lib/dpkg/status.d/tzdata.md5sums", "Package: no\n"),
        ]);
        insta::assert_snapshot!(String::from_utf8(found.to_bytes()).unwrap(), @r#"{"packages":[{"architecture":"","kind":"deb","name":"apt","version":"2\\u{202e}"},{"architecture":"","kind":"deb","name":"tzdata","version":"3"},{"architecture":"armhf","kind":"deb","name":"zlib1g","version":"1:1.2"}],"unread":[]}"#);
        assert_eq!(found.arm_variant(), Some("v7"));
    }

    #[test]
    fn apk_and_what_is_not_read() {
        let found = packages(&[
            (
                "lib/apk/db/installed",
                "C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\n\nP:busybox\nV:1.36\nA:x86_64\nF:bin\nR:busybox\n\n",
            ),
            ("var/lib/rpm/rpmdb.sqlite", "SQLite format 3"),
        ]);
        let names: Vec<_> =
            found.list.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect();
        assert_eq!(names, [("busybox", "1.36"), ("musl", "1.2.5-r0")]);
        assert_eq!((found.unread, found.list[0].kind), (vec!["var/lib/rpm/rpmdb.sqlite".to_owned()], "apk"));
        assert_eq!(packages(&[("etc/x", "")]), Packages::default());
    }
}
