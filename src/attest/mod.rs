//! Statements about images: in-toto statements, DSSE envelopes, sigstore bundles, SLSA provenance, in-toto links and layouts, and
//! our predicates about rebuilds and failures, as bytes and as types (FORMATS.md §1-4, 8, 10; WIRE.md §2, 5).
//!
//! [`BuildDefinition`] is the spine of the whole program. This module checks signatures against keys it is
//! given; it does not know where keys, bytes or registries are, holds no private key and has no clock.

pub mod adapters;
pub mod assemble;
pub mod attested;
pub mod bundle;
pub mod definition;
pub mod envelope;
pub mod failed;
pub mod foreign;
pub mod functionary;
pub mod imported;
pub mod key;
pub mod layout;
pub mod link;
pub mod metadata;
mod olpc;
pub mod promoted;
pub mod provenance;
pub mod rebuilt;
pub mod sigstore;
pub mod stages;
pub mod statement;
mod strict;
pub mod summary;
pub mod test_result;
#[cfg(test)]
mod tests;
pub mod view;

pub use attested::{
    Attested, AttestedInternals, AttestedParameters, AttestedRun, ClaimedBuilder, ClaimedRepository,
    ClaimedSource, EvidenceRef, Missing, Names, SubjectKind,
};
pub use bundle::{Bundle, BundleError};
pub use definition::{
    BuildDefinition, BuildrootMode, Clock, Dropped, ExternalParameters, GitDirectory, GitTag,
    InternalParameters, Limits, Normalize, OnRefused, RecipeFile, Source, Tool,
};
pub use envelope::{Envelope, EnvelopeError, pae};
pub use failed::{Failed, FailedError, FailedStep, PassedLimit};
pub use foreign::{Foreign, ForeignError};
pub use functionary::{Functionary, FunctionaryError};
pub use imported::{ImportInternals, ImportParameters, Imported};
pub use key::{Checked, PublicKey, PublicKeyError};
pub use layout::{Inspection, Layout, Match, Rule, Step};
pub use link::{Artifacts, Link};
pub use metadata::{Body, Form, Metadata, MetadataError};
pub use promoted::{ByPolicy, Moved, Promoted, PromotedError, PromotedImage, Promoter, WaivedFinding};
pub use provenance::{Origin, Provenance, ProvenanceError, RunDetails, builder_id, provenance};
pub use rebuilt::{Rebuilt, RebuiltError};
pub use sigstore::{SigstoreBundle, SigstoreError};
pub use stages::{StageLayer, StageLayers, StageStack};
pub use statement::{Statement, StatementError, Subject};
pub use strict::JsonError;
pub use summary::{Summary, SummaryError, Verifier};
pub use test_result::TestResult;
pub use view::{View, ViewError, commit};
