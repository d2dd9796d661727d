//! What the commands answer: one object each, as JSON (CLI.md, "JSON") and as text; of those that compare images also
//! reports in other forms. Pure; the jobs fill them in.

pub mod attest;
pub mod attested;
pub mod audit;
#[cfg(test)]
mod auditor_tests;
pub mod build;
pub mod causes;
mod columns;
mod config;
pub mod copy;
pub mod diff;
pub mod dossier;
pub mod events;
pub mod explain;
pub mod failed;
mod form;
pub mod history;
pub mod import;
mod junit;
pub mod koji;
pub mod layout;
pub mod learned;
pub mod ledger;
mod limits;
pub mod live;
mod markdown;
pub mod metrics;
pub mod night;
pub mod notify;
mod page;
mod pages;
mod pair;
pub mod policy;
pub mod promote;
pub mod rebuild;
#[cfg(test)]
mod report_tests;
mod sarif;
pub mod store;
mod svg;
pub mod test;
#[cfg(test)]
mod tests;
mod text;
pub mod trace;
pub mod tree;
pub mod verify;

pub use form::{Compares, Form, json, render};
pub use limits::{Hit, Limits};
pub use pair::Pair;

use serde::Serialize;

pub use crate::model::allowance::size;
use crate::{
    drift::InstructionRef,
    model::{DiffId, Digest, Reason, path::printable},
};

/// An instruction of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instruction {
    /// Its first line.
    pub line: u32,
    /// Its text, one line.
    pub text: String,
}

impl Instruction {
    /// `line 7: RUN …`, fit for a terminal.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("line {}: {}", self.line, printable(&self.text))
    }
}

/// A layer by both of its digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LayerId {
    /// Of the blob.
    pub digest: Digest,
    /// Of what is in it.
    pub diff_id: DiffId,
}

/// Two layers side by side.
#[derive(Debug, Clone, Serialize)]
pub struct LayerPair {
    /// Lowest is 0.
    pub index: usize,
    /// What made it; none for the base's, or where nothing tells.
    pub instruction: Option<InstructionRef>,
    /// In the first image.
    pub original: Option<LayerId>,
    /// In the second.
    pub rebuilt: Option<LayerId>,
    /// Whether both digests agree.
    pub equal: bool,
}

/// A request that was not let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// HTTP method.
    pub method: String,
    /// Redacted URL.
    pub url: String,
    /// Why.
    pub reason: String,
    /// The sentence that the build read, where the code does not say all.
    pub because: Option<String>,
    /// Line of the instruction that asked.
    pub line: Option<u32>,
}

impl Refused {
    /// A sentence for people.
    #[must_use]
    pub fn shown(&self) -> String {
        let line = self.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        if let Some(because) = &self.because {
            return format!("{line}{}", printable(because));
        }
        format!("{line}refused {} {}: {}", self.method, printable(&self.url), printable(self.sentence()))
    }

    fn sentence(&self) -> &str {
        let known = Reason::ALL.iter().find(|reason| reason.code() == self.reason);
        known.map_or(&self.reason, |reason| explain::sentence(*reason))
    }
}

/// A digest by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The digest.
    pub digest: Digest,
}
