//! What the provenance beside an image is worth: of a buildroot, and of bases.

use super::{
    Ports,
    evidence::{Evidence, EvidenceError, Found, NO_PROVENANCE, Trust},
};
use crate::{
    attest::Origin,
    model::{Digest, ImageName},
};

/// Whether somebody who is trusted says how an image was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A trusted key signed its provenance.
    Verified,
    /// There is provenance, and nobody verified it; why not, if somebody tried.
    Unverified(String),
    /// There is none.
    None,
}

impl Standing {
    /// Looks at what stands beside the image `digest` at `name`, and verifies it with `trust`.
    ///
    /// # Errors
    /// [`EvidenceError`] if nobody can tell.
    pub async fn of(
        ports: &Ports,
        name: &ImageName,
        digest: Digest,
        trust: Option<&Trust>,
    ) -> Result<Self, EvidenceError> {
        let evidence = Evidence::gather(ports, name, digest).await?;
        let found: Found<Origin> =
            evidence.provenance(ports, trust.unwrap_or(&Trust::AnyoneUnsafe), None).await?;
        Ok(match (found, trust) {
            (Found::Believed(_), Some(_)) => Self::Verified,
            (Found::Believed(_), None) => Self::Unverified(String::new()),
            (Found::Refused(reasons), Some(_)) if reasons != [NO_PROVENANCE] => {
                Self::Unverified(reasons.join("; "))
            }
            (Found::Refused(_), _) => Self::None,
        })
    }

    /// The word in the annotation `provenance` of a dependency.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified(_) => "unverified",
            Self::None => "none",
        }
    }

    /// Why it is not believed.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Verified => "",
            Self::Unverified(why) if why.is_empty() => "no --trust says whose provenance to believe",
            Self::Unverified(why) => why,
            Self::None => NO_PROVENANCE,
        }
    }
}
