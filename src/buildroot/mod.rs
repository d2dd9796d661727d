//! The unprivileged container a build happens in. The only part of reprov, beside `source`, that starts programs of
//! the build. Knows nothing of images, statements or registries.
#![expect(clippy::disallowed_methods, reason = "an edge: namespaces, files and programs are its job")]

mod allowance;
pub mod cage;
mod clock;
mod doctor;
mod enter;
mod exam;
mod gate;
mod ids;
mod keep;
mod profile;
mod roots;
/// The shim is a program of its own; its tests run here.
#[cfg(test)]
#[path = "../shim"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    missing_docs,
    unsafe_code,
    reason = "compiled by the build script, without our lints"
)]
mod shim {
    mod answer;
    mod cover;
    mod exam;
    mod filter;
    mod json;
    mod reach;
    mod runtime;
    mod seccomp;
    mod strays;
    mod vary;
    mod view;
    pub(super) mod watch;
}
mod steps;
mod sys;
mod tools;
mod tree;
pub mod trial;
mod unpack;
mod vary;
mod workspace;

use std::{io, path::PathBuf};

pub use allowance::allowance;
pub use cage::{Bind, GATEWAY_PORT, HOSTNAME};
pub use clock::Clock;
pub use doctor::{Need, State, examine};
pub use enter::{Cage, Ended, enter};
pub use exam::{Exam, Examined};
pub use gate::{Gate, Waiting};
pub use ids::{IDS, Ids};
pub use keep::Quarters;
pub use profile::Profile;
pub use roots::RootImage;
pub use steps::{Announced, Announcements, Strays};
pub use tools::{Tool, Tools};
pub use vary::possible;
pub use workspace::Workspace;

/// Why a build could not happen (not: why it failed).
#[derive(Debug, thiserror::Error)]
pub enum BuildrootError {
    /// No subordinate ids for this user.
    #[error(
        "user `{user}` has no 65,536 subordinate ids; add them: usermod --add-subuids {free} --add-subgids {free} {user}"
    )]
    NoSubids {
        /// Who.
        user: String,
        /// A block nobody has, `FIRST-LAST`.
        free: String,
    },
    /// No second block of subordinate ids for this user.
    #[error(
        "this user has one block of 65,536 subordinate ids; give it another: usermod --add-subuids {free} --add-subgids {free} USER"
    )]
    OneBlock {
        /// A block nobody has, `FIRST-LAST`.
        free: String,
    },
    /// A program is missing.
    #[error("`{program}` is not installed; install it: apt-get install {package}")]
    NoProgram {
        /// Which.
        program: &'static str,
        /// Debian's package.
        package: &'static str,
    },
    /// The engine is too old.
    #[error(
        "{program} {version} is too old; {required} or later is needed, as in Debian 12: apt-get install {program}"
    )]
    TooOld {
        /// Which program.
        program: &'static str,
        /// What is here.
        version: String,
        /// What is needed.
        required: String,
    },
    /// A buildroot image that nothing can be built in.
    #[error("cannot build in `{image}`: {why}")]
    Image {
        /// Which.
        image: String,
        /// What it lacks.
        why: String,
    },
    /// The user's ctrl-c.
    #[error("cancelled")]
    Cancelled,
    /// A namespace, mount or id map was refused.
    #[error("cannot enter the buildroot: {0}; `reprov doctor` says what this machine lacks")]
    Cage(String),
    /// Something that the build needs was killed from outside.
    #[error("the buildroot was cut off: {0}; was it killed, or did the machine run out of memory? Run again")]
    Killed(String),
    /// A program said no.
    #[error(transparent)]
    Process(#[from] crate::process::ProcessError),
    /// The disk said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl BuildrootError {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// An error and its causes in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
