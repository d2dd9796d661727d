//! The programs of mode `host`: which engine and runtime are here.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::BuildrootError;
use crate::{engine::VERSION_MIN, model::Digest, process};

/// Where programs are looked for: a constant, so that the caller's PATH decides nothing.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One program, identified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// `buildah`, `runc`.
    pub name: &'static str,
    /// Its version.
    pub version: String,
    /// Its file.
    pub path: PathBuf,
    /// Digest of the file.
    pub digest: Digest,
}

/// What mode `host` builds with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// buildah.
    pub engine: Tool,
    /// runc.
    pub runtime: Tool,
}

impl Tools {
    /// Finds and identifies engine and runtime.
    ///
    /// # Errors
    /// [`BuildrootError::NoProgram`] with the line that installs it, [`BuildrootError::TooOld`].
    pub async fn find() -> Result<Self, BuildrootError> {
        let (engine, runtime) = tokio::try_join!(probe("buildah", "buildah"), probe("runc", "runc"))?;
        let mut numbers = engine.version.split('.').map_while(|part| part.parse::<u32>().ok());
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if found < VERSION_MIN {
            let required = format!("{}.{}", VERSION_MIN.0, VERSION_MIN.1);
            return Err(BuildrootError::TooOld { program: "buildah", version: engine.version, required });
        }
        Ok(Self { engine, runtime })
    }
}

/// The file of `program` on [`PATH`].
pub(super) fn which(program: &str) -> Option<PathBuf> {
    PATH.split(':').map(|dir| Path::new(dir).join(program)).find(|path| path.is_file())
}

/// What tells one state of a file from another: device, inode, size, and time of the last change in nanoseconds.
type Sign = (u64, u64, u64, i64, i64);

/// Programs that were identified before: as long as their files are the same, they are.
static KNOWN: Mutex<Vec<(Sign, Tool)>> = Mutex::new(Vec::new());

async fn probe(name: &'static str, package: &'static str) -> Result<Tool, BuildrootError> {
    let path = which(name).ok_or(BuildrootError::NoProgram { program: name, package })?;
    let sign = sign(&path).map_err(BuildrootError::io("read", &path))?;
    let known = |all: &[(Sign, Tool)]| all.iter().find(|(of, tool)| *of == sign && tool.path == path).cloned();
    if let Some((_, tool)) = known(&KNOWN.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(tool);
    }
    let file = path.clone();
    let hashing = tokio::task::spawn_blocking(move || fs::File::open(&file).and_then(Digest::of_reader));
    let text = process::capture(&path, ["--version"], Duration::from_secs(20)).await?;
    let number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let version = text.split_whitespace().find(number).unwrap_or("unknown").to_owned();
    let digest = hashing.await.map_err(std::io::Error::other).and_then(|digest| digest);
    let digest = digest.map_err(BuildrootError::io("read", &path))?;
    let tool = Tool { name, version, path, digest };
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).push((sign, tool.clone()));
    Ok(tool)
}

fn sign(path: &Path) -> std::io::Result<Sign> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}
