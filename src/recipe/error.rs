//! Why a recipe cannot be used.

use super::RepositoryError;
use crate::model::syntax::Syntax;

/// Why a text is not a recipe; lines count from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// Past [`crate::model::limits::RECIPE_SIZE_BYTES_MAX`].
    #[error("recipe of {size_bytes} bytes is larger than the {max_bytes} allowed")]
    Size {
        /// How large it is.
        size_bytes: u64,
        /// How large it may be.
        max_bytes: u64,
    },
    /// Not TOML.
    #[error("line {line}: not TOML: {message}")]
    Syntax {
        /// Where.
        line: usize,
        /// What the TOML reader says.
        message: String,
    },
    /// A key that no release knows.
    #[error("line {line}: unknown key `{key}` in {table}; did you mean `{nearest}`?")]
    UnknownKey {
        /// Where.
        line: usize,
        /// As written.
        key: String,
        /// The table it stands in.
        table: &'static str,
        /// The known key of that table with the fewest letters different.
        nearest: &'static str,
    },
    /// A key without which its table means nothing.
    #[error("line {line}: {table} has no `{key}`")]
    Missing {
        /// Where the table starts.
        line: usize,
        /// The key.
        key: &'static str,
        /// The table.
        table: &'static str,
    },
    /// A value of another type.
    #[error("line {line}: `{key}` is {found}; write {expected}")]
    Type {
        /// Where.
        line: usize,
        /// Whose value.
        key: String,
        /// What would be right.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A value that means nothing here.
    #[error("line {line}: `{key} = \"{value}\"`: {reason}")]
    Value {
        /// Where.
        line: usize,
        /// Whose value.
        key: String,
        /// As written.
        value: String,
        /// What is wrong, what to write instead.
        reason: String,
    },
    /// A repository that cannot be allowed.
    #[error("line {line}: bad [[repository]]")]
    Repository {
        /// Where the table starts.
        line: usize,
        /// Why.
        source: RepositoryError,
    },
    /// Two keys of `[from]` that mean one image.
    #[error("line {line}: `{image}` is mapped twice in [from]; keep one")]
    MappedTwice {
        /// Where the second one is.
        line: usize,
        /// The image, normalised.
        image: String,
    },
}

impl From<Syntax> for RecipeError {
    fn from(found: Syntax) -> Self {
        match found {
            Syntax::Other { line, message } => Self::Syntax { line, message },
            // Keys are looked at later: a table as written takes any.
            Syntax::UnknownKey { line, key, nearest } => {
                Self::Syntax { line, message: format!("unknown key `{key}`; did you mean `{nearest}`?") }
            }
        }
    }
}
