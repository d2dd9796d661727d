//! `reprov.trace/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{attested::Attested, import::Rootfs, size, tree::Node};
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
    /// RFC 3339; none where nobody says.
    pub started_on: Option<String>,
    /// RFC 3339; none where nobody says.
    pub finished_on: Option<String>,
    /// The source; none of an imported or attested image.
    pub source: Option<Source>,
    /// What it was built in.
    pub buildroot: Option<String>,
    /// What it was imported from, if it was not built.
    pub imported: Option<Imported>,
    /// What is claimed of it, if reprov neither built nor imported it.
    pub attested: Option<Attested>,
    /// Its layers, own and inherited.
    pub layers: Layers,
    /// Base images, down to the bottom.
    pub bases: Vec<BaseLine>,
    /// What the build was allowed to fetch.
    pub repositories: Vec<Repository>,
    /// How much it fetched.
    pub inputs: Option<InputsLine>,
    /// The log's digest.
    pub log: Option<Digest>,
    /// The digest of the events.
    pub events: Option<Digest>,
    /// Why the transcript may not be the whole truth.
    pub tainted: Vec<String>,
    /// Digest of the build definition.
    pub definition: Digest,
    /// All of it, and what each part is worth.
    pub tree: Option<Node>,
}

/// One provenance of several.
#[derive(Debug, Serialize)]
pub struct ProvenanceLine {
    /// The referrer.
    pub digest: Digest,
    /// Digest of its build definition.
    pub definition: Digest,
    /// RFC 3339; none where nobody says.
    pub finished_on: Option<String>,
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

/// What a base image was imported from.
#[derive(Debug, Serialize)]
pub struct Imported {
    /// The root file system.
    pub rootfs: Rootfs,
    /// `os/arch[/variant]`.
    pub platform: String,
    /// The image's time, RFC 3339.
    pub created: String,
    /// How many packages are listed beside the image.
    pub packages: Option<u64>,
    /// Package databases that were not read.
    pub unread: Vec<String>,
}

/// Layers of an image. Those of a base are told by their digests.
#[derive(Debug, Serialize)]
pub struct Layers {
    /// On top of the base.
    pub own: usize,
    /// Those of the base, lowest first.
    pub inherited: usize,
}

/// Where a base image came from.
#[derive(Debug, Serialize)]
pub struct Origin {
    /// The referrer that says so.
    pub digest: Digest,
    /// Whether trusted keys signed everything from the image down to it.
    pub verified: bool,
    /// Who built or imported it.
    pub builder: String,
    /// RFC 3339; none where nobody says.
    pub finished_on: Option<String>,
    /// The commit, if it was built.
    pub commit: Option<String>,
    /// Where that was.
    pub source: Option<String>,
    /// Whether it was attested after the fact: then commit and source are claims.
    pub claimed: bool,
    /// What it was imported from, if it was not built.
    pub imported: Option<Imported>,
    /// Its own bases.
    pub bases: Vec<BaseLine>,
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
    /// How many of the image's layers are this base's: all that it has, or none; null if they cannot be known.
    pub layers: Option<usize>,
    /// Where it came from itself.
    pub origin: Option<Origin>,
    /// Why that is not known.
    pub unknown: Option<String>,
}

type Row<'a> = dyn FnMut(&str, String) + 'a;

impl Source {
    fn rows(&self, row: &mut Row<'_>) {
        let dirty = if self.dirty { ", with uncommitted changes" } else { "" };
        row("commit", format!("{}{dirty}", printable(&self.commit)));
        row("source", printable(self.uri.as_deref().unwrap_or("on no remote; kept beside the image")));
        for submodule in &self.submodules {
            row("submodule", printable(&format!("{} {}", submodule.path, submodule.commit)));
        }
        if !self.tags.is_empty() {
            row("tags", printable(&self.tags.join(", ")));
        }
        row("dockerfile", printable(&self.dockerfile));
    }
}

impl Imported {
    fn rows(&self, indent: &str, row: &mut Row<'_>) {
        let mut row = |name: &str, value: String| row(&format!("{indent}{name}"), value);
        row("rootfs", self.rootfs.shown());
        row("origin", self.rootfs.origin());
        row("platform", printable(&self.platform));
        row("created", printable(&self.created));
        row("packages", self.packages.map_or_else(|| "not listed".to_owned(), |count| count.to_string()));
        for unread in &self.unread {
            row("not read", printable(unread));
        }
    }
}

impl BaseLine {
    /// Itself and all below it; `depth` bases stand above it.
    fn rows(&self, depth: usize, row: &mut Row<'_>) {
        let indent = "  ".repeat(depth);
        let mut text = format!("line {}: {}", self.line, printable(&self.written));
        if self.used != self.written {
            let _ = write!(text, " → {}", printable(&self.used)); // Writing to a String cannot fail.
        }
        if let Some(digest) = &self.digest {
            let _ = write!(text, " {digest}");
        }
        row(&format!("{indent}base"), text);
        let indent = format!("{indent}  ");
        if let Some(why) = &self.unknown {
            row(&format!("{indent}unknown"), printable(why));
        }
        let Some(origin) = &self.origin else { return };
        row(&format!("{indent}statement"), provenance(origin.digest, origin.verified));
        if let Some(commit) = &origin.commit {
            let claimed = if origin.claimed { " (claimed)" } else { "" };
            row(&format!("{indent}commit"), format!("{}{claimed}", printable(commit)));
            row(&format!("{indent}source"), printable(origin.source.as_deref().unwrap_or("on no remote")));
        }
        if let Some(imported) = &origin.imported {
            imported.rows(&indent, row);
        }
        for base in &origin.bases {
            base.rows(depth + 1, row);
        }
    }
}

fn provenance(digest: Digest, verified: bool) -> String {
    format!("{digest} ({})", if verified { "signature verified" } else { "NOT VERIFIED" })
}

impl Layers {
    fn shown(&self) -> String {
        match self.inherited {
            0 => format!("{} own", self.own),
            inherited => format!("{} own on {inherited} of the base (the same by digest)", self.own),
        }
    }
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
        row("provenance", provenance(self.provenance, self.verified));
        for other in self.provenances.iter().skip(1) {
            let when = other.finished_on.as_deref().unwrap_or("nobody says when");
            row("also", format!("{} (another definition, {})", other.digest, printable(when)));
        }
        row("builder", printable(&self.builder));
        let verb = if self.imported.is_some() { "imported" } else { "built" };
        let when = |time: &Option<String>| printable(time.as_deref().unwrap_or("?"));
        if self.started_on.is_some() || self.finished_on.is_some() {
            let claimed = if self.attested.is_some() { " (claimed)" } else { "" };
            row(verb, format!("{} to {}{claimed}", when(&self.started_on), when(&self.finished_on)));
        }
        if let Some(attested) = &self.attested {
            attested.rows(&mut row);
        }
        if let Some(imported) = &self.imported {
            imported.rows("", &mut row);
        }
        if let Some(source) = &self.source {
            source.rows(&mut row);
        }
        if let Some(buildroot) = &self.buildroot {
            row("buildroot", printable(buildroot));
        }
        row("layers", self.layers.shown());
        for base in &self.bases {
            base.rows(0, &mut row);
        }
        for repository in &self.repositories {
            let key = repository.key.as_ref().map(|key| format!(" (pinned to {})", printable(&key.path)));
            let (name, url) = (printable(&repository.name), printable(&repository.url));
            row("repository", format!("{name} {url}{}", key.unwrap_or_default()));
        }
        if let Some(inputs) = &self.inputs {
            row("inputs", format!("{}, {}", inputs.count, size(inputs.bytes)));
        }
        if let Some(log) = self.log.as_ref().filter(|_| self.attested.is_none()) {
            row("log", format!("{log} (--log prints it)"));
        }
        if let Some(events) = &self.events {
            row("events", format!("{events} (--events prints them)"));
        }
        for reason in &self.tainted {
            row("tainted", printable(reason));
        }
        for input in self.inputs.iter().flat_map(|inputs| inputs.list.iter().flatten()) {
            let digest = input.digest.map(|digest| digest.to_string()).unwrap_or_default();
            row(
                "  input",
                format!("{digest} {:>10} {} {}", size(input.size), input.status, printable(&input.url)),
            );
        }
        if let Some(tree) = &self.tree {
            let _ = write!(out, "\n{}", tree.text()); // Writing to a String cannot fail.
        }
        out
    }
}
