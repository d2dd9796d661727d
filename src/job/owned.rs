//! Which package owns a file that a recipe drops: dpkg's own lists, in any layer of an image.
#![expect(clippy::disallowed_methods, reason = "opens layers of the store")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::BufReader,
};

use bstr::{BString, ByteSlice as _};

use crate::{
    layer::{LayerError, Reading, inflate, walk},
    model::{Descriptor, limits::PATH_SIZE_BYTES_MAX},
    store::Store,
};

const LISTS: &[u8] = b"var/lib/dpkg/info/";
/// Directories that a merged `/usr` has as links; packages name their files by either.
const MERGED: [&str; 5] = ["bin/", "sbin/", "lib/", "lib32/", "lib64/"];

/// Of `paths`, those that a package owns by a list in one of `layers`, and which does.
///
/// # Errors
/// A layer that cannot be read.
pub(super) fn owned(
    store: &Store,
    layers: &[Descriptor],
    paths: &[BString],
) -> Result<BTreeMap<BString, String>, LayerError> {
    let wanted: BTreeSet<&BString> = paths.iter().collect();
    let mut owned = BTreeMap::new();
    for layer in layers {
        let file = File::open(store.path(&layer.digest)).map_err(LayerError::Read)?;
        let archive = inflate(&layer.media_type, BufReader::with_capacity(1 << 20, file))?;
        // The end of a list has no entry of its own: each list begins with a line of its own.
        let (mut list, mut line) = (BString::default(), Vec::new());
        let each_chunk = |entry: &crate::layer::Entry, chunk: &[u8]| {
            let Some(package) = package(&entry.path) else { return };
            if list != entry.path {
                (list, line) = (entry.path.clone(), Vec::new());
            }
            for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
                if line.len() + piece.len() <= PATH_SIZE_BYTES_MAX {
                    line.extend_from_slice(piece);
                }
                if piece.ends_with(b"\n") {
                    let path = BString::from(line.trim_end().strip_prefix(b"/").unwrap_or_default());
                    let other = other_name(&path);
                    for found in
                        [Some(path), other].into_iter().flatten().filter(|path| wanted.contains(path))
                    {
                        owned.insert(found, package.to_owned());
                    }
                    line.clear();
                }
            }
        };
        walk(archive, Reading::Strict, each_chunk, |_| Ok(()))?;
    }
    Ok(owned)
}

/// The package whose list lies at `path`: `libc6:amd64` has `var/lib/dpkg/info/libc6:amd64.list`.
fn package(path: &[u8]) -> Option<&str> {
    let name = path.strip_prefix(LISTS)?.strip_suffix(b".list")?;
    str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.contains('/'))
}

/// The same path by its other name where `/usr` is merged.
fn other_name(path: &BString) -> Option<BString> {
    let merged = |path: &[u8]| MERGED.iter().any(|directory| path.starts_with(directory.as_bytes()));
    match path.strip_prefix(b"usr/") {
        Some(rest) => merged(rest).then(|| rest.into()),
        None => merged(path).then(|| [b"usr/", path.as_slice()].concat().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layer::fake::FakeLayer, model::names};

    #[test]
    fn by_dpkgs_lists() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let long = "/x".repeat(5000);
        let below = FakeLayer::default()
            .file("var/lib/dpkg/info/tool.list", format!("/.\n{long}\n/usr\n/lib/tool.so\n").as_bytes())
            .file("var/lib/dpkg/info/notes.txt", b"/etc/mine\n");
        let own = FakeLayer::default().file("var/lib/dpkg/info/libc6:amd64.list", b"/etc/ld.so.conf\n");
        let layers = [below, own].map(|layer| {
            let tar = layer.tar();
            let digest = store.put(&tar).unwrap();
            Descriptor::new(names::OCI_LAYER, digest, tar.len() as u64)
        });
        let paths = ["usr/lib/tool.so", "etc/ld.so.conf", "etc/mine"].map(BString::from);
        let found = owned(&store, &layers, &paths).unwrap();
        let shown: Vec<_> = found.iter().map(|(path, package)| format!("{path} {package}")).collect();
        assert_eq!(shown, ["etc/ld.so.conf libc6:amd64", "usr/lib/tool.so tool"]);
    }
}
