//! Engine and runtime of a build, identified; here those of mode `host`.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
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
    #[serde(skip)]
    pub root: Option<PathBuf>,
}

impl Tools {
    /// Finds and identifies the host's engine and runtime; again only if a file of theirs is another than the last time.
    ///
    /// # Errors
    /// [`BuildrootError::NoProgram`] with the line that installs it, [`BuildrootError::TooOld`].
    pub async fn find() -> Result<Self, BuildrootError> {
        find().await
    }
}

async fn find() -> Result<Tools, BuildrootError> {
    let files = [File::of("buildah", "buildah")?, File::of("runc", "runc")?];
    let mut known = KNOWN.lock().await;
    if let Some((of, tools)) = &*known
        && *of == files
    {
        return Ok(tools.clone());
    }
    let (engine, runtime) = tokio::try_join!(usable(&files[0]), probe(&files[1]))?;
    let tools = Tools { engine, runtime, root: None };
    *known = Some((files, tools.clone()));
    Ok(tools)
}

/// What was found last, and in which files.
static KNOWN: tokio::sync::Mutex<Option<([File; 2], Tools)>> = tokio::sync::Mutex::const_new(None);

/// A program's file in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    name: &'static str,
    path: PathBuf,
    /// Device, inode, size, and time of the last change in nanoseconds.
    state: (u64, u64, u64, i64, i64),
}

impl File {
    fn of(name: &'static str, package: &'static str) -> Result<Self, BuildrootError> {
        let path = which(name).ok_or(BuildrootError::NoProgram { program: name, package })?;
        let found = fs::metadata(&path).map_err(BuildrootError::io("read", &path))?;
        let state = (found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec());
        Ok(Self { name, path, state })
    }
}

/// buildah, if it is new enough.
pub(super) async fn engine() -> Result<Tool, BuildrootError> {
    usable(&File::of("buildah", "buildah")?).await
}

/// runc.
pub(super) async fn runtime() -> Result<Tool, BuildrootError> {
    probe(&File::of("runc", "runc")?).await
}

async fn usable(file: &File) -> Result<Tool, BuildrootError> {
    let engine = probe(file).await?;
    match new_enough(&engine.version) {
        Ok(()) => Ok(engine),
        Err(required) => {
            Err(BuildrootError::TooOld { program: "buildah", version: engine.version, required })
        }
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

async fn probe(File { name, path, .. }: &File) -> Result<Tool, BuildrootError> {
    let (name, path, file) = (*name, path.clone(), path.clone());
    let hashing = tokio::task::spawn_blocking(move || fs::File::open(&file).and_then(Digest::of_reader));
    let text = process::capture(&path, ["--version"], Duration::from_secs(20)).await?;
    let digest = hashing.await.map_err(std::io::Error::other).and_then(|digest| digest);
    let digest = digest.map_err(BuildrootError::io("read", &path))?;
    Ok(Tool { name: name.to_owned(), version: version(&text), path, digest })
}
