//! dpkg: `status`, and beside it for each package a list of files and one of their checksums.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};

use super::{Database, Pair, Said};

/// Where dpkg says what is installed.
pub(in crate::drift) const STATUS: &[u8] = b"var/lib/dpkg/status";
/// Where it keeps what it knows of each package.
pub(in crate::drift) const INFO: &[u8] = b"var/lib/dpkg/info/";

/// Both sides of a file at a path, if they differ.
type Beside<'a> = &'a dyn Fn(&[u8]) -> Option<(Vec<u8>, Vec<u8>)>;

pub(super) fn read((a, b): Pair<'_>, beside: Beside<'_>) -> Option<Database> {
    let (mut a, mut b) = (packages(a), packages(b));
    for name in a.keys().chain(b.keys()).cloned().collect::<std::collections::BTreeSet<_>>() {
        if a.get(&name).map(|said| &said.version) == b.get(&name).map(|said| &said.version) {
            continue;
        }
        let lists = beside(&[INFO, &name, b".list"].concat()).unwrap_or_default();
        let sums = beside(&[INFO, &name, b".md5sums"].concat()).unwrap_or_default();
        for (side, list, sums) in [(&mut a, &lists.0, &sums.0), (&mut b, &lists.1, &sums.1)] {
            if let Some(said) = side.get_mut(&name) {
                said.files = files(list, sums);
            }
        }
    }
    Some(Database { packages: [a, b] })
}

/// The paragraphs of a status file, by the name that a package's files in [`INFO`] have.
fn packages(status: &[u8]) -> BTreeMap<BString, Said> {
    let said = |stanza: &[u8]| {
        let name = field(stanza, b"Package: ")?;
        let name = match (field(stanza, b"Multi-Arch: "), field(stanza, b"Architecture: ")) {
            (Some(b"same"), Some(architecture)) => BString::from([name, b":", architecture].concat()),
            _ => name.into(),
        };
        let version = field(stanza, b"Version: ")?.into();
        Some((name, Said { version, whole: stanza.trim().to_vec(), files: BTreeMap::new() }))
    };
    status.split_str("\n\n").filter_map(said).collect()
}

/// Paths of a list, with the checksums of those that have one.
pub(super) fn files(list: &[u8], sums: &[u8]) -> BTreeMap<BString, Vec<u8>> {
    let path = |line: &[u8]| Some((BString::from(line.strip_prefix(b"/")?), Vec::new()));
    let mut files: BTreeMap<_, _> = list.lines().filter_map(path).collect();
    let lines = sums.lines().filter_map(|line| line.split_once_str("  "));
    files.extend(lines.map(|(sum, path)| (path.into(), sum.to_vec())));
    files
}

fn field<'a>(stanza: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    stanza.lines().find_map(|line| line.strip_prefix(name)).map(bstr::ByteSlice::trim)
}
