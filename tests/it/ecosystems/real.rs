//! Dockerfiles that nobody here wrote: files of npm packages, fetched from where this machine's npm has them from, and
//! changed only where FROM is another, or something is fetched from outside the package registries.

use std::{fs, path::Path, process::Command};

use crate::support::{fixtures, must, sha256};

/// Puts the changed file into `dir` as its Dockerfile, and beside it what it copies.
pub(super) fn adapt(name: &str, package: &str, path: &str, digest: &str, dir: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let mut pack = Command::new("npm");
    let packed = must(pack.args(["pack", "--silent", package]).current_dir(scratch.path()));
    let mut unpack = Command::new("tar");
    must(unpack.arg("-xzf").arg(scratch.path().join(packed.trim())).arg("-C").arg(scratch.path()));
    let file = scratch.path().join("package").join(path);
    assert_eq!(sha256(&fs::read(&file).unwrap()), format!("sha256:{digest}"), "{package} {path}");
    must(Command::new("cp").arg("-rT").arg(fixtures("ecosystems/real/context")).arg(dir));
    let changed = must(Command::new("sed").arg("-f").arg(script(name)).arg(file));
    fs::write(dir.join("Dockerfile"), changed).unwrap();
}

fn script(name: &str) -> std::path::PathBuf {
    fixtures(&format!("ecosystems/real/{name}.sed"))
}

/// What is changed, in words.
pub(super) fn changes(name: &str) -> Vec<String> {
    let script = fs::read_to_string(script(name)).unwrap();
    script.lines().filter_map(|line| line.strip_prefix("# ")).map(str::to_owned).collect()
}
