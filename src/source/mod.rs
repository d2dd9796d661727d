//! Git commit → directory: git2 reads objects, a `git` child fetches.
//!
//! Must not know recipes, images or builds. Everything here blocks; callers use `spawn_blocking`.
//! Of a repository only objects, refs, the index and ignore rules are read: no hook, filter, fsmonitor, credential
//! program or `git submodule` ever runs, and nothing in it is written.
#![expect(
    clippy::disallowed_methods,
    reason = "an edge: work trees, the git child and exported files are here"
)]

mod checkout;
mod dirty;
mod error;
mod export;
mod git;
mod gitdir;
mod gitmodules;
mod ignore;
mod index;
mod locate;
mod pack;
mod plan;
mod spec;
mod submodules;
mod tags;

pub use checkout::{Checkout, Options, Wanted};
pub use error::SourceError;
pub use ignore::{Ignore, IgnoreError};
pub use spec::uri as remote_uri;
pub use submodules::Submodule;
pub use tags::Tag;

#[cfg(test)]
mod tests;
