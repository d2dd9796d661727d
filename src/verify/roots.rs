//! Roots of trust: who may say what, and what it is worth (SLSA 1.2, "Verifying artifacts", step 1).

use std::collections::BTreeSet;

use crate::{
    attest::PublicKey,
    model::names::SOURCE_LEVEL_MAX,
    policy::{Allowed, Pattern, Trust},
};

/// Who signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSigner {
    /// Whoever has the private half.
    Key(PublicKey),
    /// Whoever a certificate of a trusted root names so.
    Identity {
        /// Its subject alternative name.
        identity: Pattern,
        /// Who vouched for it, exact.
        issuer: String,
    },
}

/// One signer, and what it may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Who.
    pub signer: RootSigner,
    /// How answers call it.
    pub name: String,
    /// Which builders it may speak for.
    pub builders: Allowed,
    /// The SLSA level it stands for at most.
    pub level: u8,
    /// What kinds of statement it may make; any if not said.
    pub predicates: Option<Vec<Pattern>>,
    /// Which verifiers it may speak for.
    pub verifiers: BTreeSet<String>,
    /// The level of SLSA's source track that its summaries of commits vouch for at most.
    pub source_level: u8,
    /// Which rebuilders it may speak for.
    pub rebuilders: Allowed,
}

impl Root {
    /// The signer `key`, for `builders`, up to `level`.
    #[must_use]
    pub fn key(key: PublicKey, builders: Allowed, level: u8) -> Self {
        let name = format!("key {}", key.fingerprint());
        Self {
            signer: RootSigner::Key(key),
            name,
            builders,
            level,
            predicates: None,
            verifiers: BTreeSet::new(),
            source_level: SOURCE_LEVEL_MAX,
            rebuilders: Allowed::Any,
        }
    }

    /// The `signer` that a policy's `[[trust]]` names, for what that lets it say.
    #[must_use]
    pub fn of(trust: &Trust, signer: RootSigner) -> Self {
        let name = match &signer {
            RootSigner::Key(key) => format!("key {}", key.fingerprint()),
            RootSigner::Identity { identity, issuer } => format!("{identity} ({issuer})"),
        };
        Self {
            signer,
            name,
            builders: trust.builders.clone(),
            level: trust.level,
            predicates: trust.predicates.clone(),
            verifiers: trust.verifiers.clone(),
            source_level: trust.source_level,
            rebuilders: trust.rebuilders.clone(),
        }
    }

    /// Whether it may make statements of this type.
    #[must_use]
    pub fn may_say(&self, predicate_type: &str) -> bool {
        self.predicates
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(|pattern| pattern.matches(predicate_type)))
    }
}

/// All of them. There is no default: the caller says whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots(pub Vec<Root>);

impl Roots {
    /// The keys, each once.
    #[must_use]
    pub fn keys(&self) -> Vec<&PublicKey> {
        let mut keys: Vec<&PublicKey> = Vec::new();
        for root in &self.0 {
            match &root.signer {
                RootSigner::Key(key) if !keys.contains(&key) => keys.push(key),
                _ => {}
            }
        }
        keys
    }

    /// Indices of the roots whose signer is `key`.
    #[must_use]
    pub fn of_key(&self, key: &PublicKey) -> Vec<usize> {
        let is = |root: &Root| matches!(&root.signer, RootSigner::Key(own) if own == key);
        (0..self.0.len()).filter(|index| is(&self.0[*index])).collect()
    }
}
