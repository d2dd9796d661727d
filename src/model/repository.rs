//! What a build may fetch.

use serde::{Deserialize, Serialize};

/// A package repository a build may fetch from: requests under `url` are let through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// What events and provenance call it.
    pub name: String,
    /// What speaks there.
    pub kind: RepositoryKind,
    /// Absolute `http` or `https` URL without userinfo, query, fragment or trailing slash; the prefix that is allowed.
    pub url: String,
    /// Prefixes whose requests are answered from `url`.
    pub replace: Vec<String>,
}

/// The protocol of a repository; decides what is said about it, and whether yum's mirror lists are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum RepositoryKind {
    Apt,
    Yum,
    Pypi,
    Npm,
    Crates,
    Go,
    Generic,
}

impl RepositoryKind {
    /// Its names, for error messages.
    pub const NAMES: [&str; 7] = ["apt", "yum", "pypi", "npm", "crates", "go", "generic"];
}
