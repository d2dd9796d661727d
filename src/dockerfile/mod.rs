//! The lossless Dockerfile reader: BuildKit's grammar, text to instructions with byte spans, and back by splices.
//!
//! It answers what a build of a target needs (`references`), what the engine must be given (`lower`), and what each
//! instruction is in the image's history (`steps`). It must not know registries, engines' command lines or the
//! build context: base images come in as plain configuration, pins as plain text.

mod error;
mod expand;
mod heredoc;
mod history;
mod keyword;
mod lex;
mod lower;
mod parse;
mod references;
mod scope;
mod splice;
mod walk;
mod words;

#[cfg(test)]
mod tests;

pub use error::{DockerfileError, Fault};
pub use expand::ExpandError;
pub use heredoc::Heredoc;
pub use history::{Layer, StageSteps, Step};
pub use keyword::Keyword;
pub use lex::Directive;
pub use lower::{Checksum, HEREDOC_CONTEXT, Lowered, LoweredFile, RUN_FILES_DIR};
pub use parse::{Dockerfile, Instruction, Stage};
pub use references::{Base, ImageReference};
pub use scope::{BaseConfig, BuildArgs, Scope};
pub use splice::{Edit, EditKind, Pin};
pub use words::Flag;
