//! Engine and runtime of a build, identified; here those of mode `host`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::BuildrootError;
use crate::{engine::VERSION_MIN, model::Digest, process};

/// Where programs are looked for: a constant, so that the caller's PATH decides nothing.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One program, identified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `buildah`, `runc`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its file, as the cage sees it.
    pub path: PathBuf,
    /// Digest of the file.
    pub digest: Digest,
}

/// What a build is done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// buildah.
    pub engine: Tool,
    /// runc.
    pub runtime: Tool,
    /// The unpacked buildroot image they are in; none: the host's own.
    pub root: Option<PathBuf>,
}

impl Tools {
    /// Finds and identifies the host's engine and runtime.
    ///
    /// # Errors
    /// [`BuildrootError::NoProgram`] with the line that installs it, [`BuildrootError::TooOld`].
    pub async fn find() -> Result<Self, BuildrootError> {
        let engine = probe("buildah", "buildah").await?;
        let runtime = probe("runc", "runc").await?;
        if let Err(required) = new_enough(&engine.version) {
            return Err(BuildrootError::TooOld { program: "buildah", version: engine.version, required });
        }
        Ok(Self { engine, runtime, root: None })
    }
}

/// The oldest version that will do, if `engine` is older.
pub(super) fn new_enough(engine: &str) -> Result<(), String> {
    let mut numbers = engine.split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < VERSION_MIN { Err(format!("{}.{}", VERSION_MIN.0, VERSION_MIN.1)) } else { Ok(()) }
}

/// The number in what a program says to `--version`.
pub(super) fn version(said: &str) -> String {
    let number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    said.split_whitespace().find(number).unwrap_or("unknown").to_owned()
}

/// The file of `program` on [`PATH`].
pub(super) fn which(program: &str) -> Option<PathBuf> {
    PATH.split(':').map(|dir| Path::new(dir).join(program)).find(|path| path.is_file())
}

async fn probe(name: &'static str, package: &'static str) -> Result<Tool, BuildrootError> {
    let path = which(name).ok_or(BuildrootError::NoProgram { program: name, package })?;
    let text = process::capture(&path, ["--version"], Duration::from_secs(20)).await?;
    let file = path.clone();
    let hashing = tokio::task::spawn_blocking(move || fs::File::open(&file).and_then(Digest::of_reader));
    let digest = hashing.await.map_err(std::io::Error::other).and_then(|digest| digest);
    let digest = digest.map_err(BuildrootError::io("read", &path))?;
    Ok(Tool { name: name.to_owned(), version: version(&text), path, digest })
}
