//! What the tests stand on.

mod api;
mod faulty;
mod http;
mod image;
mod lab;
mod mirror;
mod postgres;
mod process;
mod proxy;
mod ran;
mod registry;
pub(crate) mod repositories;
pub(crate) mod schemas;
mod sigstore;
mod user;

pub(crate) use api::{ApiRegistry, Settings};
pub(crate) use faulty::{Fault, Faulty};
pub(crate) use http::{Answer, Asked};
pub(crate) use image::{Entry, Image, sha256};
pub(crate) use lab::Lab;
pub(crate) use mirror::Mirror;
pub(crate) use postgres::Postgres;
pub(crate) use process::Process;
pub(crate) use proxy::Proxy;
pub(crate) use ran::Ran;
pub(crate) use registry::{Base, Registry};
pub(crate) use sigstore::Sigstore;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What speaks HTTP somewhere.
pub(crate) trait Serves {
    /// `HOST:PORT`
    fn host(&self) -> &str;
}

/// A file or directory under `fixtures/`.
pub(crate) fn fixtures(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// Runs a command that must succeed; its standard output.
#[track_caller]
pub(crate) fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// Whether the tests run as root.
pub(crate) fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Held by a test whose step forks without end: two at once would reach the user's limit of processes before their own.
pub(crate) fn bomb() -> MutexGuard<'static, ()> {
    static BOMB: Mutex<()> = Mutex::new(());
    BOMB.lock().unwrap_or_else(PoisonError::into_inner)
}
