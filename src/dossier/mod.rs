//! Evidence that stands alone (`reprov evidence`): one archive with everything an image was judged by, as a format.
//!
//! The archive is a function of its members: there is one way to write it, and what is written otherwise, in any byte, is
//! refused. `seal.json` has the digest of `evidence.json`, which has those of all other members. Knows no file, registry or
//! clock: it takes and gives readers and writers.

mod contents;
mod tar;
#[cfg(test)]
mod tests;

pub use contents::{Contents, ContentsError, Gap, Identity, Judged, Key, Member, Policy, TrustedRoot};
pub use tar::{DossierError, Opened, Written, read, write};

/// What lists all other members.
pub const CONTENTS: &str = "evidence.json";
/// What has the digest of [`CONTENTS`].
pub const SEAL: &str = "seal.json";
/// The OCI layout with images' manifests, statements, logs.
pub const LAYOUT: &str = "image";
