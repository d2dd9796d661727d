//! Why a policy cannot be used.

use crate::model::syntax::Syntax;

/// Why a text is not a policy; lines count from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Past [`crate::model::limits::POLICY_SIZE_BYTES_MAX`].
    #[error("policy of {size_bytes} bytes is larger than the {max_bytes} allowed")]
    Size {
        /// How large it is.
        size_bytes: u64,
        /// How large it may be.
        max_bytes: u64,
    },
    /// Not TOML, or a value of another type.
    #[error("line {line}: {message}")]
    Syntax {
        /// Where.
        line: usize,
        /// What the TOML reader says.
        message: String,
    },
    /// A key that no release knows.
    #[error("line {line}: unknown key `{key}`; did you mean `{nearest}`?")]
    UnknownKey {
        /// Where.
        line: usize,
        /// As written.
        key: String,
        /// The known key of that table with the fewest letters different.
        nearest: String,
    },
    /// A value that means nothing here.
    #[error("line {line}: `{key} = \"{value}\"`: {reason}")]
    Value {
        /// Where.
        line: usize,
        /// Whose value.
        key: &'static str,
        /// As written.
        value: String,
        /// What is wrong, what to write instead.
        reason: String,
    },
    /// Nobody may have built.
    #[error(
        "policy names no builder; write `builders = [\"https://...\"]`, or `builders = [\"*\"]` to allow any"
    )]
    NoBuilder,
    /// A `[[trust]]` of nobody, or of two.
    #[error("[[trust]] {number}: name its signer by `key`, or by `identity` and `issuer`")]
    Signer {
        /// Which one, from 1.
        number: usize,
    },
    /// An identity, and nobody to vouch for it.
    #[error(
        "[[trust]] {number} is an identity; say with `trusted-root = \"FILE\"` whose certificates to believe"
    )]
    NoTrustedRoot {
        /// Which one, from 1.
        number: usize,
    },
    /// A waiver nobody answers for, or that never ends.
    #[error("[[waiver]] {number} has no `{key}`; a waiver names code, owner, reason and until")]
    Waiver {
        /// Which one, from 1.
        number: usize,
        /// What it lacks.
        key: &'static str,
    },
}

impl From<Syntax> for PolicyError {
    fn from(found: Syntax) -> Self {
        match found {
            Syntax::UnknownKey { line, key, nearest } => Self::UnknownKey { line, key, nearest },
            Syntax::Other { line, message } => Self::Syntax { line, message },
        }
    }
}
