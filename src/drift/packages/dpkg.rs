//! dpkg: `status`, and beside it for each package a list of files and one of their checksums.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};

use super::{Beside, Database, Pair, Said};

/// Where dpkg says what is installed.
pub(in crate::drift) const STATUS: &[u8] = b"var/lib/dpkg/status";
/// Where it keeps what it knows of each package.
pub(in crate::drift) const INFO: &[u8] = b"var/lib/dpkg/info/";

pub(super) fn read((a, b): Pair<'_>, beside: Beside<'_>) -> Database {
    let ((mut a, rest_a), (mut b, rest_b)) = (packages(a), packages(b));
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
    Database { packages: [a, b], same_rest: rest_a == rest_b }
}

/// The paragraphs of a status file, by the name that a package's files in [`INFO`] have; and those that are of no package, or
/// of one that was there before.
fn packages(status: &[u8]) -> (BTreeMap<BString, Said>, Vec<&[u8]>) {
    let said = |stanza: &[u8]| {
        let name = field(stanza, b"Package: ")?;
        let name = match (field(stanza, b"Multi-Arch: "), field(stanza, b"Architecture: ")) {
            (Some(b"same"), Some(architecture)) => BString::from([name, b":", architecture].concat()),
            _ => name.into(),
        };
        let version = field(stanza, b"Version: ")?.into();
        Some((name, Said { version, whole: stanza.trim().to_vec(), files: BTreeMap::new() }))
    };
    let (mut packages, mut rest) = (BTreeMap::new(), Vec::new());
    for stanza in status.split_str("\n\n") {
        match said(stanza) {
            Some((name, said)) if !packages.contains_key(&name) => drop(packages.insert(name, said)),
            _ => rest.push(stanza),
        }
    }
    (packages, rest)
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
