//! apk: one file says of each package its version and its files with their checksums (apk-package(5), "installed").

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};

use super::{Database, Pair, Said};

pub(super) fn read((a, b): Pair<'_>) -> Option<Database> {
    Some(Database { packages: [packages(a)?, packages(b)?], same_rest: true })
}

fn packages(installed: &[u8]) -> Option<BTreeMap<BString, Said>> {
    let mut packages = BTreeMap::new();
    for stanza in installed.split_str("\n\n").filter(|stanza| !stanza.trim().is_empty()) {
        let (mut name, mut version) = (None, None);
        let (mut files, mut directory) = (BTreeMap::new(), BString::default());
        let mut last = None;
        for line in stanza.lines() {
            match line.split_once_str(":")? {
                (b"P", value) => name = Some(BString::from(value)),
                (b"V", value) => version = Some(BString::from(value)),
                (b"F", value) => directory = value.into(),
                (b"R", value) => {
                    let joint = if directory.is_empty() { &b""[..] } else { b"/" };
                    last = Some(BString::from([&directory[..], joint, value].concat()));
                    files.insert(last.clone()?, Vec::new());
                }
                (b"Z", value) => {
                    files.insert(last.clone()?, value.to_vec());
                }
                _ => {}
            }
        }
        packages.insert(name?, Said { version: version?, whole: stanza.to_vec(), files });
    }
    Some(packages)
}
