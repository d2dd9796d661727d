//! Two contents of one file, explained: the first byte chooses its path, the next say what is other in the second content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reprov::{
    diff::{Change, ChangeKind, Comparison, Field, Kept, LayerPair},
    drift::{Class, Context, explain},
    layer::{Entry, Kind},
    model::Digest,
};

const PATHS: [&str; 19] = [
    "opt/x",
    "x/__pycache__/a.cpython-311.pyc",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "srv/.git/index",
    "etc/passwd",
    "var/cache/ldconfig/aux-cache",
    "var/cache/apt/pkgcache.bin",
    "var/cache/fontconfig/x.cache-8",
    "var/log/apt/term.log",
    "etc/ssl/certs/x.pem",
    "etc/ld.so.cache",
    "var/lib/dpkg/status-old",
    "var/log/apt/eipp.log.xz",
    "app/package-lock.json",
    "var/lib/dnf/history.sqlite",
    "x-1.dist-info/RECORD",
    "srv/sha256sums",
];

/// What stands beside it: a package that moved, and is named in many files.
const STATUS: [&[u8]; 2] = [
    b"Package: tool\nArchitecture: amd64\nVersion: 1.0\n\n",
    b"Package: tool\nArchitecture: amd64\nVersion: 1.1\n\n",
];

fn entry(path: &str, content: &[u8]) -> Option<Entry> {
    let mut entry = Entry::new(path, Kind::File, 0o755, 0);
    entry.size_bytes = content.len() as u64;
    entry.content = Some(Digest::of(content));
    entry.peek = content[..content.len().min(64)].to_vec();
    Some(entry)
}

fn change(path: &str, a: Vec<u8>, b: Vec<u8>) -> Change {
    Change {
        layer: 0,
        path: path.into(),
        kind: ChangeKind::Content,
        fields: vec![Field { name: "content".to_owned(), a: None, b: None }],
        a: entry(path, &a),
        b: entry(path, &b),
        contents: Some(Kept::of(a, b)),
        delta: None,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[path, edits], mut rest)) = bytes.split_first_chunk::<2>() else { return };
    let path = PATHS[usize::from(path) % PATHS.len()];
    let mut places = Vec::new();
    for _ in 0..edits % 8 {
        let Some((&[low, high, value], behind)) = rest.split_first_chunk::<3>() else { return };
        places.push((usize::from(u16::from_le_bytes([low, high])), value));
        rest = behind;
    }
    let (one, mut other) = (rest.to_vec(), rest.to_vec());
    for (at, value) in places {
        match other.get_mut(at) {
            Some(byte) => *byte ^= value,
            None => other.push(value),
        }
    }
    if one == other {
        return;
    }
    let mut changes = vec![change(path, one, other)];
    if path != "var/lib/dpkg/status" {
        changes.push(change("var/lib/dpkg/status", STATUS[0].to_vec(), STATUS[1].to_vec()));
    }
    let layer = LayerPair { index: 0, a: None, b: None, changes, whole: Vec::new(), finer_in_b: false };
    let comparison =
        Comparison { same_manifest: false, layers: vec![layer], config: Vec::new(), same_filesystem: false };
    let explained = explain(&comparison, &Context::default()).expect("nothing lies aside");
    let drift = explained.drifts.iter().find(|drift| drift.path == path).expect("one that differs");
    assert!(drift.class == Class::Unexplained || !drift.security, "what concerns security is never explained");
});
