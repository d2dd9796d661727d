//! `reprov.failed/v1`: a build that made no image.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Instruction, trace::Source};
use crate::model::{Digest, path::printable};

/// The answer of `trace` about a failed build.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// `reprov.failed/v1`.
    pub schema: &'static str,
    /// Where it was found.
    pub place: String,
    /// Names the build.
    pub build: String,
    /// What the image would have been called.
    pub to: String,
    /// The statement that says so.
    pub statement: Digest,
    /// Whether it is signed, by whomever.
    pub signed: bool,
    /// Whether a trusted key signed it; false: it was read without looking.
    pub verified: bool,
    /// Who built.
    pub builder: String,
    /// RFC 3339.
    pub started_on: String,
    /// RFC 3339.
    pub finished_on: String,
    /// The commit.
    pub source: Source,
    /// What it was built in.
    pub buildroot: String,
    /// Why there is no image.
    pub reason: String,
    /// Where.
    pub instruction: Option<Instruction>,
    /// Exit code of the engine, if it ended by itself.
    pub exit_code: Option<u8>,
    /// The limit that was passed, if one was.
    pub limit: Option<Passed>,
    /// How many requests were refused.
    pub refused: u64,
    /// The log's digest.
    pub log: Digest,
    /// The digest of the events.
    pub events: Digest,
    /// Why the transcript may not be the whole truth.
    pub tainted: Vec<String>,
    /// Digest of the build definition.
    pub definition: Digest,
}

/// A limit that was passed.
#[derive(Debug, Serialize)]
pub struct Passed {
    /// Its name.
    pub limit: String,
    /// Its value.
    pub allowed: u64,
    /// What was found.
    pub found: u64,
}

impl Failed {
    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let signed = match (self.verified, self.signed) {
            (true, _) => "verified",
            (false, true) => "signed; NOT verified, --trust KEY.pub does that",
            (false, false) => "NOT SIGNED",
        };
        let mut row = |name: &str, text: &str| {
            let _ = writeln!(out, "{name:<11} {}", printable(text)); // Writing to a String cannot fail.
        };
        row("failed", &self.to);
        row("build", &self.build);
        row("statement", &format!("{} ({signed})", self.statement));
        if let Some(instruction) = &self.instruction {
            row("at", &instruction.shown());
        }
        row("because", &self.reason);
        if let Some(code) = self.exit_code {
            row("exit code", &code.to_string());
        }
        if let Some(Passed { limit, allowed, found }) = &self.limit {
            row("limit", &format!("{limit}: {allowed} allowed, {found} found"));
        }
        if self.refused > 0 {
            row("refused", &format!("{} request(s)", self.refused));
        }
        row("builder", &self.builder);
        row("when", &format!("{} to {}", self.started_on, self.finished_on));
        let dirty = if self.source.dirty { ", with uncommitted changes" } else { "" };
        let uri = self.source.uri.as_deref().unwrap_or("a source that no remote has");
        row("source", &format!("{uri} at {}{dirty}", self.source.commit));
        row("buildroot", &self.buildroot);
        row("log", &format!("{} (--log prints it)", self.log));
        row("events", &format!("{} (--events prints them)", self.events));
        out
    }
}
