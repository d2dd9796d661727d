//! Whose statements are believed.

use std::sync::Arc;

use super::verify::keyless;
use crate::{
    attest::{Bundle, PublicKey},
    model::{Digest, names::SLSA_PROVENANCE},
    signing::keyless::TrustedRoot,
    verify::{Root, RootSigner, Roots},
};

/// Whose provenance is believed. There is no default: the caller says it.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Signed by one of these.
    Keys(Vec<PublicKey>),
    /// Signed by a key or an identity of these, the latter under this root.
    Signers(Arc<Roots>, Arc<TrustedRoot>),
    /// Anybody's, signed or not: `--insecure-skip-verify`.
    AnyoneUnsafe,
}

/// By whose word something is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A key that is trusted.
    Key,
    /// An identity that is trusted, by its certificate.
    Identity,
    /// Nobody was asked for.
    Anybody,
}

impl Trust {
    /// Those of `roots` who may say how an image was built.
    #[must_use]
    pub fn of(roots: &[Root], trusted_root: Option<&Arc<TrustedRoot>>) -> Self {
        let roots = Roots(roots.iter().filter(|root| root.may_say(SLSA_PROVENANCE)).cloned().collect());
        let certified = roots.0.iter().any(|root| matches!(root.signer, RootSigner::Identity { .. }));
        match trusted_root.filter(|_| certified) {
            Some(trusted_root) => Self::Signers(Arc::new(roots), Arc::clone(trusted_root)),
            None => Self::Keys(roots.keys().into_iter().cloned().collect()),
        }
    }

    /// Whether it is somebody's in particular, and not just anybody's.
    #[must_use]
    pub fn is_particular(&self) -> bool {
        !matches!(self, Self::AnyoneUnsafe)
    }

    /// The keys that are believed; none: anybody is.
    #[must_use]
    pub fn keys(&self) -> Option<Vec<PublicKey>> {
        match self {
            Self::Keys(keys) => Some(keys.clone()),
            Self::Signers(roots, _) => Some(roots.keys().into_iter().cloned().collect()),
            Self::AnyoneUnsafe => None,
        }
    }

    /// By whose word `bundle`, whose bytes these are, is believed of `subject`; none: by nobody's.
    #[must_use]
    pub fn believes(&self, bundle: &Bundle, bytes: &[u8], subject: &Digest) -> Option<By> {
        let Some(keys) = self.keys() else { return Some(By::Anybody) };
        if bundle.envelope.verified_by(&keys).is_some() {
            return Some(By::Key);
        }
        match self {
            Self::Signers(roots, trusted_root) => {
                let (vouched, _) = keyless::vouching(bytes, roots, trusted_root, subject);
                (!vouched.is_empty()).then_some(By::Identity)
            }
            Self::Keys(_) | Self::AnyoneUnsafe => None,
        }
    }
}
