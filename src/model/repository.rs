//! What a build may fetch.

use serde::{Deserialize, Serialize};

use super::Digest;

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
    /// Whether RUN steps find `url` set as their tool's index.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub configure: bool,
    /// Who must have signed what comes from there; absent: nobody is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SignerFile>,
}

impl Repository {
    /// One that is only let through.
    #[must_use]
    pub fn plain(name: String, kind: RepositoryKind, url: String) -> Self {
        Self { name, kind, url, replace: Vec::new(), configure: false, key: None }
    }
}

/// A file of OpenPGP public keys in the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerFile {
    /// Its path in the source.
    pub path: String,
    /// Digest of its bytes.
    pub digest: Digest,
}

/// The protocol of a repository; decides what a key of it signs, how steps are set up for it, and whether yum's mirror
/// lists are cut.
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
    /// Every one.
    pub const ALL: [Self; 7] =
        [Self::Apt, Self::Yum, Self::Pypi, Self::Npm, Self::Crates, Self::Go, Self::Generic];

    /// How it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Yum => "yum",
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Crates => "crates",
            Self::Go => "go",
            Self::Generic => "generic",
        }
    }
}
