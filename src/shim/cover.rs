//! Directories of the image that one of the profile's stands in for, in steps whose image has them: no mount point is
//! made, so none is left behind.

use std::{fs, path::Path};

/// In the profile's `gw`, and in the image.
const COVERED: &[(&str, &str)] = &[("yum.repos.d", "etc/yum.repos.d")];

/// Those of them that `source`, the profile's `gw`, has, and the step's `root` too.
pub fn targets(source: &Path, root: &Path) -> impl Iterator<Item = (&'static str, &'static str)> {
    let there = move |(name, target): &(&str, &str)| source.join(name).is_dir() && is_plain(root, target);
    COVERED.iter().copied().filter(there)
}

/// Whether `path` in `root` is a directory, and no link leads there.
fn is_plain(root: &Path, path: &str) -> bool {
    let mut at = root.to_owned();
    path.split('/').all(|part| {
        at.push(part);
        fs::symlink_metadata(&at).is_ok_and(|found| found.is_dir())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_covered_only_where_it_is_one() {
        let covered = |make: &dyn Fn(&Path)| {
            let dir = tempfile::tempdir().unwrap();
            make(dir.path());
            is_plain(dir.path(), "etc/yum.repos.d")
        };
        assert!(covered(&|root| fs::create_dir_all(root.join("etc/yum.repos.d")).unwrap()));
        assert!(!covered(&|_| {}));
        assert!(!covered(&|root| fs::create_dir(root.join("etc")).unwrap()));
        assert!(!covered(&|root| {
            fs::create_dir_all(root.join("x/yum.repos.d")).unwrap();
            std::os::unix::fs::symlink("x", root.join("etc")).unwrap();
        }));
        assert!(!covered(&|root| {
            fs::create_dir(root.join("etc")).unwrap();
            std::os::unix::fs::symlink("/", root.join("etc/yum.repos.d")).unwrap();
        }));
    }
}
