//! `reprov.attest/v1`.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::{
    Named,
    attested::{Evidence, Missing, recipe},
};
use crate::model::{Digest, path::printable};

/// The answer of `attest`.
#[derive(Debug, Default, Serialize)]
pub struct Attest {
    /// `reprov.attest/v1`.
    pub schema: &'static str,
    /// The image, by digest; none if nothing was attested.
    pub image: Option<String>,
    /// What kind of statement.
    pub predicate_type: Option<String>,
    /// What was attested, the index last.
    pub subjects: Vec<Subject>,
    /// The commit that the caller named.
    pub commit: Option<Commit>,
    /// What a rebuild would need and nobody named for any of them; empty for a statement of somebody else's.
    pub missing: Vec<Missing>,
    /// Whether nothing was signed and attached.
    pub dry_run: bool,
    /// The bundle's file, if it was written instead of attached.
    pub out: Option<String>,
    /// The step, with `--link`; its file is `out`.
    pub link: Option<Link>,
    /// Why nothing was attested.
    pub error: Option<String>,
}

/// One manifest that was attested.
#[derive(Debug, Serialize)]
pub struct Subject {
    /// `manifest` or `index`.
    pub kind: &'static str,
    /// `os/arch[/variant]`, if it is known.
    pub platform: Option<String>,
    /// Its digest.
    pub digest: Digest,
    /// The statement.
    pub statement: Named,
    /// The referrer manifest of the signed statement.
    pub attestation: Option<Digest>,
    /// Whether it was there before, so that nothing was attached.
    pub existing: bool,
    /// The referrer manifest of logs and documents.
    pub evidence: Option<Digest>,
    /// Manifest of cosign 2's attachments, if the statement was added there too.
    pub legacy: Option<Digest>,
    /// What it was put together from; empty for a statement of somebody else's.
    pub sources: Vec<Evidence>,
    /// What a rebuild would need and nobody named for it.
    pub missing: Vec<Missing>,
    /// The statement itself, with `--dry-run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// A step, and what went in and came out.
#[derive(Debug, Serialize)]
pub struct Link {
    /// Its name.
    pub step: String,
    /// What was run; empty: nothing.
    pub command: Vec<String>,
    /// Files that went in.
    pub materials: usize,
    /// Files that came out, and the image if one was named.
    pub products: usize,
    /// How the command ended.
    pub return_value: i32,
    /// The id of the key that signed.
    pub key_id: String,
}

/// A commit, and whether it is there.
#[derive(Debug, Serialize)]
pub struct Commit {
    /// Where.
    pub uri: Option<String>,
    /// Its id.
    pub commit: String,
    /// `commit-exists` or `unreachable`.
    pub checked: &'static str,
}

impl Attest {
    /// The answer where nothing was attested.
    #[must_use]
    pub fn failed(reason: String) -> Self {
        Self { schema: "reprov.attest/v1", error: Some(reason), ..Self::default() }
    }

    /// The answer for people; with `--dry-run` the statements, one after the other.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<11} {value}");
        };
        if let Some(link) = &self.link {
            row("step", printable(&link.step));
            row("command", printable(&link.command.join(" ")));
            row("ended with", link.return_value.to_string());
            row("files", format!("{} in, {} out", link.materials, link.products));
            row("key", link.key_id.clone());
            row("link", printable(self.out.as_deref().unwrap_or_default()));
            return out;
        }
        let Some(image) = &self.image else { return out };
        if self.dry_run {
            let bodies = self.subjects.iter().filter_map(|subject| subject.body.as_ref());
            let pretty = bodies.filter_map(|body| serde_json::to_string_pretty(body).ok());
            // JSON escapes control characters; what else could steer a terminal is escaped here.
            return pretty
                .map(|text| text.lines().map(printable).collect::<Vec<_>>().join("\n") + "\n")
                .collect();
        }
        row("attested", printable(image));
        row("type", printable(self.predicate_type.as_deref().unwrap_or_default()));
        if let Some(commit) = &self.commit {
            let looked = match commit.checked {
                "commit-exists" => "found there",
                _ => "NOT CHECKED: its repository could not be reached",
            };
            row("commit", format!("{} ({looked})", printable(&commit.commit)));
        }
        for subject in &self.subjects {
            let platform = subject.platform.as_deref().map(|name| format!(" {}", printable(name)));
            row(subject.kind, format!("{}{}", subject.digest, platform.unwrap_or_default()));
            if let Some(attestation) = subject.attestation {
                let there = if subject.existing { " (was there already)" } else { "" };
                row("  statement", format!("{attestation}{there}"));
            }
            if let Some(evidence) = subject.evidence {
                row("  evidence", evidence.to_string());
            }
            if let Some(legacy) = subject.legacy {
                row("  legacy", legacy.to_string());
            }
            if !subject.sources.is_empty() {
                let kinds: Vec<_> = subject.sources.iter().map(|source| source.kind.as_str()).collect();
                row("  from", printable(&kinds.join(", ")));
                row("  recipe", recipe(&subject.missing));
            }
        }
        if let Some(path) = &self.out {
            row("bundle", printable(path));
        }
        out
    }
}
