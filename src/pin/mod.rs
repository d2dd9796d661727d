//! What a repository's pinned signer vouches for: OpenPGP keys and signatures, apt's indexes, rpm packages.
//!
//! Bytes in, yes or no out. Knows no gateway, file or clock: whether a key has expired since is not asked, so that a
//! build which was let through once would be let through again.

mod deb;
mod rpm;
mod signers;

pub use deb::{Listed, files, release};
pub use rpm::package;
pub use signers::Signers;

/// Why a key cannot pin, or something is not what its owner signed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// No OpenPGP key, or a broken one.
    #[error("not an OpenPGP public key: {0}")]
    Key(String),
    /// None that could sign.
    #[error("key {0} cannot sign: it is revoked, or holds no key for signing that it vouches for")]
    CannotSign(String),
    /// Not signed at all, or in a form that two programs could read differently.
    #[error("it is not {0}")]
    Form(&'static str),
    /// Signed, but by nobody who is pinned.
    #[error("no signature on it is by a pinned key (signed by {0})")]
    Stranger(String),
    /// The signature is by a pinned key, but of something else.
    #[error("the signature by key {0} is bad: {1}")]
    Bad(String, String),
    /// What is signed does not name this content.
    #[error("its content is not what its signed header names")]
    Content,
    /// Larger than is ever looked at.
    #[error("{0} is larger than any")]
    Size(&'static str),
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] std::io::Error),
    /// Nor inflated.
    #[error("it cannot be inflated")]
    Inflate(#[from] crate::layer::LayerError),
}
