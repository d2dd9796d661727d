//! Our failure predicate: a build that made no image, what it was to build, and why it did not. It is about the build's
//! log, since there is no image. The shape is that of our provenance with `failure` beside it.

use serde::{Deserialize, Serialize};

use super::{
    provenance::{Provenance, ProvenanceError, provenance},
    rebuilt::Instruction,
    statement::{Statement, Subject},
    strict::{shown, to_value, without_nulls},
};
use crate::model::{
    Digest, ResourceDescriptor,
    names::{FAILURE_PREDICATE, SLSA_PROVENANCE},
};

/// The predicate `failure/v1`. Its statement's subjects are the byproducts `log` and `events`.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// What was to be built, and how that went.
    pub build: Provenance,
    /// Why there is no image.
    pub failure: FailedStep,
}

/// Why there is no image, and where that showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedStep {
    /// In a sentence.
    pub reason: String,
    /// What the image would have been called.
    pub to: String,
    /// The instruction that failed, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<Instruction>,
    /// Exit code of the engine, if it ended by itself: that of the step that failed, else its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The limit that was passed, if the build was ended for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<PassedLimit>,
    /// How many requests were refused; the events have them.
    pub refused: u64,
}

/// A limit, and what there was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedLimit {
    /// Its name.
    pub name: String,
    /// Its value.
    pub allowed: u64,
    /// What was found.
    pub found: u64,
}

/// Why a statement is not about a failed build of ours.
#[derive(Debug, thiserror::Error)]
pub enum FailedError {
    /// It says something else.
    #[error("predicate type is `{0}`, not `{FAILURE_PREDICATE}`")]
    PredicateType(String),
    /// What was to be built cannot be read.
    #[error(transparent)]
    Build(#[from] ProvenanceError),
    /// `failure` is missing or of another shape.
    #[error("`failure` is not of the shape of this predicate")]
    Shape(#[from] serde_json::Error),
    /// A log that is not what the statement is about.
    #[error("`{0}` is not among the byproducts and the subjects")]
    Subject(&'static str),
}

impl Failed {
    /// Says so about the byproducts `log` and `events`.
    #[must_use]
    pub fn statement(&self) -> Statement {
        let digest = |name: &'static str| {
            let byproduct = self.build.run.byproduct(name).and_then(ResourceDescriptor::sha256);
            byproduct.map(|digest| Subject::new(name, &digest))
        };
        let subject: Vec<Subject> = ["log", "events"].into_iter().filter_map(digest).collect();
        let mut statement = provenance(&self.build.definition, &self.build.run, &subject);
        FAILURE_PREDICATE.clone_into(&mut statement.predicate_type);
        statement.predicate["failure"] = to_value(&self.failure);
        statement
    }

    /// Reads such a statement; unknown fields are ignored.
    ///
    /// # Errors
    /// If it is another predicate, or not of its shape.
    pub fn read(statement: &Statement) -> Result<Self, FailedError> {
        if statement.predicate_type != FAILURE_PREDICATE {
            return Err(FailedError::PredicateType(shown(&statement.predicate_type)));
        }
        let failure = statement.predicate.get("failure").unwrap_or(&serde_json::Value::Null);
        let failure = Deserialize::deserialize(&*without_nulls(failure))?;
        let inner = Statement { predicate_type: SLSA_PROVENANCE.to_owned(), ..statement.clone() };
        let failed = Self { build: Provenance::read(&inner)?, failure };
        for name in ["log", "events"] {
            failed.digest(statement, name)?;
        }
        Ok(failed)
    }

    /// The digest of the byproduct `name`, which `statement` must be about.
    ///
    /// # Errors
    /// [`FailedError::Subject`].
    pub fn digest(&self, statement: &Statement, name: &'static str) -> Result<Digest, FailedError> {
        let digest = self.build.run.byproduct(name).and_then(ResourceDescriptor::sha256);
        digest.filter(|digest| statement.names_subject(digest)).ok_or(FailedError::Subject(name))
    }
}
