//! `reprov.toml` (CLI.md): as written → as meant, and the repositories of a build without one.
//!
//! Must not know files, git, the command line or the network: it takes text, it gives values.

mod error;
pub mod exam;
mod parse;
mod repositories;
mod system;
mod timeout;
mod written;

pub use error::RecipeError;
pub use repositories::{RepositoryError, check_repositories, parse_allow, parse_from};
pub use system::system_repositories;
pub use timeout::{Timeout, TimeoutError};

use std::collections::BTreeMap;

use crate::model::{ImageName, Repository, names};

/// A recipe as meant: every default is filled in, every URL and name checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The build context, relative to the source's directory: `.` or clean components.
    pub context: String,
    /// The Dockerfile, relative to the source's directory.
    pub dockerfile: String,
    /// The stage to build; the last one if none.
    pub target: Option<String>,
    /// What of git's own files is in the build context.
    pub git: GitDirectory,
    /// Public build arguments.
    pub build_args: BTreeMap<String, String>,
    /// What the build may fetch.
    pub repositories: Repositories,
    /// What is special about fetching from a repository, by its name; most are not here.
    pub access: BTreeMap<String, Access>,
    /// Swapped bases: OLD as [`crate::model::reference::normalised`] writes it → NEW.
    pub from: BTreeMap<String, ImageName>,
    /// The set of normalisation rules: `none` or [`names::PROFILE`].
    pub profile: String,
    /// Paths dropped from layers besides.
    pub drop: Vec<Dropped>,
    /// Longest run of the build.
    pub timeout: Timeout,
    /// What a refused request does.
    pub on_refused: OnRefused,
    /// What it is built with.
    pub buildroot: Buildroot,
    /// What time RUN steps see.
    pub clock: Clock,
    /// Drift that is put up with.
    pub accept: Vec<Acceptance>,
    /// What is tried in the image once it is made.
    pub tests: Vec<exam::Test>,
}

/// What time RUN steps see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's.
    #[default]
    Real,
    /// The commit's, standing still.
    Commit,
}

impl std::str::FromStr for Clock {
    type Err = UnknownClock;

    /// Reads `real` or `commit`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "real" => Ok(Self::Real),
            "commit" => Ok(Self::Commit),
            _ => Err(UnknownClock),
        }
    }
}

/// No clock has such a name.
#[derive(Debug, thiserror::Error)]
#[error("write `real` or `commit`")]
pub struct UnknownClock;

/// Where engine and runtime come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Buildroot {
    /// The machine's own.
    #[default]
    Host,
    /// An image, named by digest.
    Image(ImageName),
}

impl std::str::FromStr for Buildroot {
    type Err = BuildrootNameError;

    /// Reads `host` or the name of an image with its digest.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "host" {
            return Ok(Self::Host);
        }
        let name: ImageName = text.parse()?;
        let named = name.selector.digest.is_some();
        if named { Ok(Self::Image(name)) } else { Err(BuildrootNameError::NoDigest) }
    }
}

/// Why a buildroot's name is refused.
#[derive(Debug, thiserror::Error)]
pub enum BuildrootNameError {
    /// It is no image's name.
    #[error(transparent)]
    Name(#[from] crate::model::ReferenceError),
    /// A tag may be another image tomorrow.
    #[error("a buildroot is named by digest; write `host` or IMAGE@sha256:DIGEST")]
    NoDigest,
}

/// What a build may fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repositories {
    /// No table was written: those of the base image ([`system_repositories`]).
    OfBase,
    /// These and no others; `repository = []` allows nothing.
    Only(Vec<Repository>),
}

/// How a repository is fetched from, and what becomes of its answers; not part of the build definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Where the credential is that the gateway adds to requests.
    pub auth: Option<Auth>,
    /// Whether answers fetched with credentials may be kept beside the image.
    pub keep: bool,
    /// The file in the source whose keys must have signed what comes from there.
    pub key: Option<String>,
}

/// Where a credential is; never the credential itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// In an environment variable of this name: `user:password` or `Bearer TOKEN`.
    Env(String),
    /// In the caller's `.netrc`, by host.
    Netrc,
}

/// Drift that is put up with: of this cause, at this path, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// Code of the cause; any if none.
    pub cause: Option<String>,
    /// Pattern over paths without a leading slash (`?`, `*`, `**`); any if none.
    pub path: Option<String>,
    /// Why that is acceptable.
    pub because: String,
    /// The last day it holds, `YYYY-MM-DD`.
    pub until: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Where it stands, from 1.
    pub line: usize,
}

/// A path dropped from layers, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Pattern over paths without a leading slash (`?`, `*`, `**`).
    pub path: String,
    /// Why that is harmless.
    pub because: String,
}

/// What of git's own files is in the build context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitDirectory {
    /// Nothing.
    None,
    /// A deterministic `.git`: one commit and the tags that point at it.
    Minimal,
}

/// What a refused request does to the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRefused {
    /// The build fails.
    Fail,
    /// The refusal stands in the transcript.
    Record,
}

impl Default for Recipe {
    /// A build without a recipe file.
    fn default() -> Self {
        Self {
            context: ".".to_owned(),
            dockerfile: "Dockerfile".to_owned(),
            target: None,
            git: GitDirectory::None,
            build_args: BTreeMap::new(),
            repositories: Repositories::OfBase,
            access: BTreeMap::new(),
            from: BTreeMap::new(),
            profile: names::PROFILE.to_owned(),
            drop: Vec::new(),
            timeout: Timeout::DEFAULT,
            on_refused: OnRefused::Fail,
            buildroot: Buildroot::Host,
            clock: Clock::Real,
            accept: Vec::new(),
            tests: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
