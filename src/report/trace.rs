//! `reprov.trace/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use super::size;
use crate::model::{Digest, Repository, path::printable};

/// The answer of `trace`: where an image came from.
#[derive(Debug, Serialize)]
pub struct Trace {
    /// `reprov.trace/v1`.
    pub schema: &'static str,
    /// The image, by digest.
    pub image: String,
    /// The referrer that says so.
    pub provenance: Digest,
    /// Whether a trusted key signed it; false: it was read without looking.
    pub verified: bool,
    /// All that can be believed, the one used here first; equal definitions count as one.
    pub provenances: Vec<ProvenanceLine>,
    /// Who built it.
    pub builder: String,
    /// RFC 3339.
    pub started_on: String,
    /// RFC 3339.
    pub finished_on: String,
    /// The source.
    pub source: Source,
    /// What it was built in.
    pub buildroot: String,
    /// Base images, down to the bottom.
    pub bases: Vec<BaseLine>,
    /// What the build was allowed to fetch.
    pub repositories: Vec<Repository>,
    /// How much it fetched.
    pub inputs: InputsLine,
    /// The log's digest.
    pub log: Option<Digest>,
    /// Why the transcript may not be the whole truth.
    pub tainted: Vec<String>,
    /// Digest of the build definition.
    pub definition: Digest,
}

/// One provenance of several.
#[derive(Debug, Serialize)]
pub struct ProvenanceLine {
    /// The referrer.
    pub digest: Digest,
    /// Digest of its build definition.
    pub definition: Digest,
    /// RFC 3339.
    pub finished_on: String,
    /// How many builds of this definition there are.
    pub builds: usize,
}

/// The commit.
#[derive(Debug, Serialize)]
pub struct Source {
    /// Where it was, if a remote has it.
    pub uri: Option<String>,
    /// The commit's id.
    pub commit: String,
    /// Its tree's id.
    pub tree: String,
    /// The Dockerfile in it.
    pub dockerfile: String,
    /// Whether uncommitted changes were part of it.
    pub dirty: bool,
    /// Commits of other repositories in it.
    pub submodules: Vec<Submodule>,
    /// Tags that the build could ask git for.
    pub tags: Vec<String>,
}

/// One submodule.
#[derive(Debug, Serialize)]
pub struct Submodule {
    /// Where in the source.
    pub path: String,
    /// Where it was, if a remote has it.
    pub uri: Option<String>,
    /// Its commit.
    pub commit: String,
}

/// One base image.
#[derive(Debug, Serialize)]
pub struct BaseLine {
    /// As the Dockerfile writes it.
    pub written: String,
    /// What was used instead.
    pub used: String,
    /// Line in the Dockerfile.
    pub line: u64,
    /// Its manifest.
    pub digest: Option<Digest>,
}

/// How much was fetched.
#[derive(Debug, Serialize)]
pub struct InputsLine {
    /// Different answers.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The list, with `--inputs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<Vec<Input>>,
}

/// One input.
#[derive(Debug, Serialize)]
pub struct Input {
    /// Redacted URL.
    pub url: String,
    /// HTTP status.
    pub status: u64,
    /// In bytes.
    pub size: u64,
    /// Under which repository.
    pub repository: String,
    /// Of its body.
    pub digest: Option<Digest>,
}

impl Trace {
    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<11} {value}");
        };
        row("image", printable(&self.image));
        let how = if self.verified { "signature verified" } else { "NOT VERIFIED" };
        row("provenance", format!("{} ({how})", self.provenance));
        for other in self.provenances.iter().skip(1) {
            row("also", format!("{} (another definition, {})", other.digest, printable(&other.finished_on)));
        }
        row("builder", printable(&self.builder));
        row("built", format!("{} to {}", printable(&self.started_on), printable(&self.finished_on)));
        let dirty = if self.source.dirty { ", with uncommitted changes" } else { "" };
        row("commit", format!("{}{dirty}", printable(&self.source.commit)));
        row("source", printable(self.source.uri.as_deref().unwrap_or("on no remote; kept beside the image")));
        for submodule in &self.source.submodules {
            row("submodule", printable(&format!("{} {}", submodule.path, submodule.commit)));
        }
        if !self.source.tags.is_empty() {
            row("tags", printable(&self.source.tags.join(", ")));
        }
        row("dockerfile", printable(&self.source.dockerfile));
        row("buildroot", printable(&self.buildroot));
        for base in &self.bases {
            let digest = base.digest.map(|digest| digest.to_string()).unwrap_or_default();
            let mut text = format!("line {}: {}", base.line, printable(&base.written));
            if base.used != base.written {
                let _ = write!(text, " → {}", printable(&base.used));
            }
            row("base", format!("{text} {digest}"));
        }
        for repository in &self.repositories {
            row("repository", format!("{} {}", printable(&repository.name), printable(&repository.url)));
        }
        row("inputs", format!("{}, {}", self.inputs.count, size(self.inputs.bytes)));
        if let Some(log) = &self.log {
            row("log", format!("{log} (--log prints it)"));
        }
        for reason in &self.tainted {
            row("tainted", printable(reason));
        }
        for input in self.inputs.list.iter().flatten() {
            let digest = input.digest.map(|digest| digest.to_string()).unwrap_or_default();
            row(
                "  input",
                format!("{digest} {:>10} {} {}", size(input.size), input.status, printable(&input.url)),
            );
        }
        out
    }
}
