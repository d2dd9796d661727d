//! The words everything else is said in. Knows no file, network, clock or process.

pub mod allowance;
pub mod blobs;
mod chain;
pub mod digest;
pub mod json;
pub mod limits;
pub mod names;
pub mod nearest;
pub mod network;
pub mod path;
pub mod reason;
pub mod reference;
pub mod repository;
pub mod resource;
pub mod secret;
pub mod syntax;
pub mod time;
pub mod turn;
pub mod vary;
pub mod verdict;

pub use allowance::{Allowance, Exceeded, Limit, Maxima};
pub use blobs::{Blobs, ReadSeek, ReadWriteSeek, Scratch};
pub use chain::chain;
pub use digest::{DiffId, Digest, DigestError, Hasher};
pub use network::{Network, Proxies};
pub use reason::{Reason, Taint};
pub use reference::{ImageName, Location, ReferenceError, Selector};
pub use repository::{Repository, RepositoryKind, SignerFile};
pub use resource::{Descriptor, ResourceDescriptor};
pub use secret::Secret;
pub use time::rfc3339;
pub use turn::Turn;
pub use vary::{Variation, Variations};
pub use verdict::Verdict;
