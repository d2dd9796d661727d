//! `promote`: gather what there is on an image and on what the target's tag names → judge (`crate::verify::promotion`) →
//! commit: the image with all that refers to it, a signed statement that it was let through, a look whether all of this
//! is there, the tag, last.

mod commit;
mod entry;
mod look;
mod many;
mod parts;
mod weigh;

pub use commit::{Committed, Outcome, commit};
pub use entry::entry;
pub use many::{Planned, Template, planned};
pub use weigh::{Already, Weighing, weigh};

use super::{audit::AuditError, copy::CopyError, publish::PublishError, verify};
use crate::{
    attest::PublicKey,
    model::{Descriptor, Digest, ImageName},
    registry::RegistryError,
    signing::SignError,
    store::StoreError,
    verify::promotion::Gate,
};

/// What to promote.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whom to believe, by which policy, as of when.
    pub verify: verify::Request,
    /// The image; none: go back to what the target's tag named before.
    pub from: Option<ImageName>,
    /// Where it goes; its tag is moved (`latest` if it names none).
    pub to: ImageName,
    /// What is let pass, and expected.
    pub gate: Gate,
    /// The key that signs, whose own promotions are believed; none: nothing is written.
    pub key: Option<PublicKey>,
}

/// Why nothing was promoted, though nobody said no.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// The image, or what is beside it, could not be looked at.
    #[error(transparent)]
    Verify(#[from] verify::VerifyError),
    /// Something else could not be read.
    #[error("cannot read {what}")]
    Read {
        /// What.
        what: String,
        /// Why not.
        source: RegistryError,
    },
    /// The index is none.
    #[error("`{image}` cannot be promoted: {problem}")]
    Index {
        /// Which.
        image: String,
        /// Why not.
        problem: String,
    },
    /// It could not be brought to the target; the tag is where it was.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The statement could not be signed.
    #[error("cannot sign the promotion")]
    Sign(#[from] SignError),
    /// The statement could not be attached; the tag is where it was.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What the image was let through on is not at the target.
    #[error(
        "the tag was left where it is: {digest}, on which the image was let through, is not found at `{at}`"
    )]
    Lost {
        /// The attestation.
        digest: Digest,
        /// Where it should be.
        at: String,
    },
    /// A file that an inventory names.
    #[error(transparent)]
    List(#[from] AuditError),
    /// Which images an inventory's tags are.
    #[error("nobody can tell which images there are: {0}")]
    Unclear(String),
    /// An inventory that says nothing of what is to be promoted, or says it twice.
    #[error("{0}")]
    Inventory(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tag of `name` that is moved.
#[must_use]
pub fn tag_of(name: &ImageName) -> String {
    name.selector.tag.clone().unwrap_or_else(|| "latest".to_owned())
}

/// An image or index, and what is in it.
#[derive(Debug, Clone)]
struct Parts {
    /// Itself.
    root: Descriptor,
    /// Whether it is an index.
    index: bool,
    /// The image, or each image of the index, with its platform.
    images: Vec<(Option<String>, Digest)>,
}
