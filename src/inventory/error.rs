//! Why an inventory cannot be used.

use crate::model::syntax::Syntax;

/// Why a text is not an inventory, or what it names not a list; lines count from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// Past [`crate::model::limits::INVENTORY_SIZE_BYTES_MAX`].
    #[error("inventory of {size_bytes} bytes is larger than the {max_bytes} allowed")]
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
    /// Nothing to audit.
    #[error("there is no [[group]]; write one with `name` and `images`")]
    NoGroup,
    /// A group of nothing.
    #[error("group `{0}` names no image; give it `images`, `repository` with `tags`, `file` or `pods`")]
    NoImage(String),
    /// A group with which nothing is done.
    #[error("group `{0}` asks for nothing: `verify = false` and `rebuild = \"none\"`")]
    Nothing(String),
    /// Tags of nothing, or a repository without them.
    #[error("group `{group}` has `{has}` without `{lacks}`; tags are those of a repository")]
    Tags {
        /// Which.
        group: String,
        /// What it has.
        has: &'static str,
        /// What it lacks.
        lacks: &'static str,
    },
    /// Variations of what is not replayed.
    #[error(
        "group `{0}` has `vary`, which changes replays, and replays nothing; write `rebuild = \"replay\"`"
    )]
    Vary(String),
    /// A line that names no image.
    #[error("line {line}: `{text}`: {reason}")]
    Line {
        /// Where.
        line: usize,
        /// As written.
        text: String,
        /// Why not.
        reason: String,
    },
    /// More lines than an inventory may have images.
    #[error("more than {0} images")]
    TooMany(usize),
    /// Not what `kubectl get pods -A -o json` prints.
    #[error("this is not what `kubectl get pods -A -o json` prints: {0}")]
    Pods(String),
}

impl From<Syntax> for InventoryError {
    fn from(found: Syntax) -> Self {
        match found {
            Syntax::UnknownKey { line, key, nearest } => Self::UnknownKey { line, key, nearest },
            Syntax::Other { line, message } => Self::Syntax { line, message },
        }
    }
}
