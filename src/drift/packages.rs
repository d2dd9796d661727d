//! Packages of dpkg that are in two layers in different versions, and the files that are theirs.

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice as _};

/// Where dpkg says what is installed.
pub(super) const STATUS: &[u8] = b"var/lib/dpkg/status";
/// Where it keeps what it knows of each package.
pub(super) const INFO: &[u8] = b"var/lib/dpkg/info/";

/// Both contents of a file that differs.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// A package of two versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    name: BString,
    versions: [BString; 2],
}

impl Moved {
    /// For people.
    pub(super) fn shown(&self) -> String {
        format!("package {} {} → {}", self.name, self.versions[0], self.versions[1])
    }
}

/// All of one pair of layers.
#[derive(Debug, Default)]
pub(super) struct Packages {
    moved: Vec<Moved>,
    /// Which package a file is of, by its list of checksums.
    owners: BTreeMap<BString, usize>,
    /// Whether nothing else differs in what is installed.
    only_moved: bool,
}

impl Packages {
    /// Reads them from what differs; `content` gives both contents of a path.
    pub(super) fn of<'a>(content: impl Fn(&[u8]) -> Option<Pair<'a>>) -> Self {
        let Some((a, b)) = content(STATUS) else { return Self::default() };
        let (a, b) = (stanzas(a), stanzas(b));
        let mut packages = Self { only_moved: true, ..Self::default() };
        for (name, one) in &a {
            let Some(other) = b.get(name).filter(|other| *other != one) else { continue };
            match (version(one), version(other)) {
                (Some(one), Some(other)) if one != other => packages.add(name, [one, other], &content),
                _ => packages.only_moved = false,
            }
        }
        packages.only_moved &= a.keys().eq(b.keys());
        packages
    }

    fn add<'a>(
        &mut self,
        name: &BString,
        versions: [&[u8]; 2],
        content: &impl Fn(&[u8]) -> Option<Pair<'a>>,
    ) {
        let sums = content(&[INFO, name, b".md5sums"].concat()).unwrap_or_default();
        let (a, b) = (checksums(sums.0), checksums(sums.1));
        // What the package says is the same is not its doing.
        let changed = a.keys().chain(b.keys()).filter(|path| a.get(*path) != b.get(*path));
        self.owners.extend(changed.map(|path| (BString::from(*path), self.moved.len())));
        self.moved.push(Moved { name: name.clone(), versions: versions.map(BString::from) });
    }

    /// The package of other versions that `path` is of: one of its files, or what dpkg knows of it.
    pub(super) fn owner(&self, path: &[u8]) -> Option<&Moved> {
        let of_info = || {
            let name = path.strip_prefix(INFO)?.rsplit_once_str(".")?.0;
            self.moved.iter().find(|moved| moved.name == name)
        };
        self.owners.get(path.as_bstr()).map(|index| &self.moved[*index]).or_else(of_info)
    }

    /// The packages, if these are all that differs in what is installed.
    pub(super) fn all(&self) -> Option<&[Moved]> {
        Some(&*self.moved).filter(|moved| self.only_moved && !moved.is_empty())
    }
}

/// The paragraphs of a status file, by the name that a package's files in [`INFO`] have.
fn stanzas(status: &[u8]) -> BTreeMap<BString, &[u8]> {
    let named = |stanza: &[u8]| {
        let name = field(stanza, b"Package: ")?;
        Some(match (field(stanza, b"Multi-Arch: "), field(stanza, b"Architecture: ")) {
            (Some(b"same"), Some(architecture)) => BString::from([name, b":", architecture].concat()),
            _ => name.into(),
        })
    };
    status.split_str("\n\n").filter_map(|stanza| Some((named(stanza)?, stanza.trim()))).collect()
}

/// `SUM  PATH` lines, by path.
fn checksums(list: &[u8]) -> BTreeMap<&BStr, &[u8]> {
    let lines = list.lines().filter_map(|line| line.split_once_str("  "));
    lines.map(|(sum, path)| (path.as_bstr(), sum)).collect()
}

fn version(stanza: &[u8]) -> Option<&[u8]> {
    field(stanza, b"Version: ")
}

fn field<'a>(stanza: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    stanza.lines().find_map(|line| line.strip_prefix(name)).map(bstr::ByteSlice::trim)
}
