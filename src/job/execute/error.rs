//! Why there is no execution at all.

use std::io;

use crate::{
    buildroot::BuildrootError,
    gateway::GatewayError,
    job::{
        assemble::AssembleError, bases::BaseError, check::DefinitionError, configured::SignerError,
        plan::PlanError,
    },
    layer,
    model::Exceeded,
    store::StoreError,
};

/// Why a build could not be tried, or its result not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The definition.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// Dockerfile and definition.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The source.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// A key in the source.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The cage.
    #[error(transparent)]
    Buildroot(#[from] BuildrootError),
    /// A base.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine's result.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The rules profile.
    #[error(transparent)]
    Layer(#[from] layer::LayerError),
    /// No random bytes.
    #[error("cannot name the build")]
    Random(#[source] io::Error),
    /// The disk.
    #[error("cannot prepare the build in `{}`", path.display())]
    Io {
        /// Where.
        path: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A limit, passed when the engine wrote its result.
    #[error("{0}")]
    Exceeded(Exceeded),
    /// Engine or step ran out of room, which says nothing of the build itself.
    #[error("no space left on device: the disk of the store `{}` was full", path.display())]
    Full {
        /// The store.
        path: std::path::PathBuf,
    },
    /// The user's ctrl-c.
    #[error("cancelled")]
    Cancelled,
}

impl ExecuteError {
    /// Whether definition and source are at fault: no other try with the same ones goes better.
    #[must_use]
    pub fn of_definition(&self) -> bool {
        match self {
            Self::Source(error)
            | Self::Plan(PlanError::Source(error))
            | Self::Signer(SignerError::Source(error)) => !error.unavailable(),
            Self::Definition(_) | Self::Layer(_) | Self::Plan(_) | Self::Signer(_) => true,
            _ => false,
        }
    }
}
