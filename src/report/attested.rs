//! What `attest` put together, as answers show it: everything in it is claimed, and each line says by whom.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::{
    attest,
    model::{Digest, ResourceDescriptor, path::printable},
};

/// What somebody says of a build that reprov did not see.
#[derive(Debug, Clone, Serialize)]
pub struct Attested {
    /// `manifest` or `index`.
    pub subject: &'static str,
    /// What it was put together from.
    pub evidence: Vec<Evidence>,
    /// The commit.
    pub source: Option<Source>,
    /// The Dockerfile's name.
    pub dockerfile: Option<String>,
    /// Who is said to have run the build.
    pub builder: Option<Builder>,
    /// What that called the run.
    pub invocation: Option<String>,
    /// `os/arch[/variant]`.
    pub platform: Option<String>,
    /// Build arguments.
    pub build_args: BTreeMap<String, String>,
    /// What else the builder was told.
    pub parameters: BTreeMap<String, String>,
    /// Where packages came from.
    pub repositories: Vec<Repository>,
    /// What it was made of, the source too.
    pub dependencies: Vec<Dependency>,
    /// Logs that it names.
    pub logs: Vec<Log>,
    /// What a rebuild would need and nobody named.
    pub missing: Vec<Missing>,
}

/// One piece of evidence.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    /// `caller`, or what wrote it.
    pub kind: String,
    /// Of its bytes, kept beside the image.
    pub digest: Option<Digest>,
    /// What it names itself: `subject`, `index` or `nothing`.
    pub names: &'static str,
}

/// A commit that somebody named.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    /// Where.
    pub uri: Option<String>,
    /// Its id.
    pub commit: Option<String>,
    /// Branch or tag.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Who says so.
    pub by: String,
    /// What reprov looked at: `commit-exists`, `unreachable` or `no`.
    pub checked: String,
}

/// Who is said to have run the build.
#[derive(Debug, Clone, Serialize)]
pub struct Builder {
    /// As it calls itself.
    pub id: String,
    /// Programs and their versions.
    pub version: BTreeMap<String, String>,
}

/// Where packages came from.
#[derive(Debug, Clone, Serialize)]
pub struct Repository {
    /// Its URL.
    pub url: String,
    /// Of its signed list.
    pub digest: Option<Digest>,
}

/// Something that it was made of.
#[derive(Debug, Clone, Serialize)]
pub struct Dependency {
    /// What it was to the build.
    pub role: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub uri: String,
    /// Digests by algorithm.
    pub digest: BTreeMap<String, String>,
    /// Who says so.
    pub by: String,
    /// What reprov looked at.
    pub checked: String,
}

/// A log.
#[derive(Debug, Clone, Serialize)]
pub struct Log {
    /// The file it was.
    pub file: String,
    /// Digests by algorithm.
    pub digest: BTreeMap<String, String>,
    /// Whether its bytes are beside the image.
    pub kept: bool,
}

/// What a rebuild would need and nobody named.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// Which part of the recipe.
    pub name: &'static str,
    /// Why it counts as missing.
    pub why: &'static str,
}

/// What is missing, as answers show it.
#[must_use]
pub fn missing(parts: &[attest::Missing]) -> Vec<Missing> {
    parts.iter().map(|part| Missing { name: part.name(), why: part.why() }).collect()
}

/// `recipe incomplete: buildroot, repositories`, or that nothing is missing.
#[must_use]
pub fn recipe(missing: &[Missing]) -> String {
    let names: Vec<_> = missing.iter().map(|part| part.name).collect();
    match names.as_slice() {
        [] => "recipe complete, as far as its parts are named".to_owned(),
        names => format!("recipe incomplete: {}", names.join(", ")),
    }
}

impl From<&attest::Attested> for Attested {
    fn from(said: &attest::Attested) -> Self {
        let external = &said.external;
        let logs = said.run.byproducts.iter().filter(|byproduct| byproduct.name == "log");
        Self {
            subject: said.internal.subject.name(),
            evidence: said.internal.evidence.iter().map(Evidence::from).collect(),
            source: external.source.as_ref().map(|source| Source {
                uri: source.uri.clone(),
                commit: source.commit.clone(),
                reference: source.reference.clone(),
                by: said.role("source").next().map(|named| annotation(named, "by")).unwrap_or_default(),
                checked: said
                    .role("source")
                    .next()
                    .map(|named| annotation(named, "checked"))
                    .unwrap_or_default(),
            }),
            dockerfile: external.dockerfile.clone(),
            builder: external
                .builder
                .as_ref()
                .map(|builder| Builder { id: builder.id.clone(), version: builder.version.clone() }),
            invocation: said.run.invocation_id.clone(),
            platform: external.platform.clone(),
            build_args: external.build_args.clone(),
            parameters: external.parameters.clone(),
            repositories: external
                .repositories
                .iter()
                .map(|repository| Repository { url: repository.url.clone(), digest: repository.digest })
                .collect(),
            dependencies: said.dependencies.iter().map(dependency).collect(),
            logs: logs.map(log).collect(),
            missing: missing(&said.internal.missing),
        }
    }
}

impl From<&attest::EvidenceRef> for Evidence {
    fn from(named: &attest::EvidenceRef) -> Self {
        let names = match named.names {
            attest::Names::Subject => "subject",
            attest::Names::Index => "index",
            attest::Names::Nothing => "nothing",
        };
        Self { kind: named.kind.clone(), digest: named.digest, names }
    }
}

fn annotation(named: &ResourceDescriptor, key: &str) -> String {
    named.annotations.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn dependency(named: &ResourceDescriptor) -> Dependency {
    Dependency {
        role: named.role().to_owned(),
        name: named.name.clone(),
        uri: named.uri.clone(),
        digest: named.digest.clone(),
        by: annotation(named, "by"),
        checked: annotation(named, "checked"),
    }
}

fn log(named: &ResourceDescriptor) -> Log {
    let kept = annotation(named, "kept") != "no";
    Log { file: annotation(named, "file"), digest: named.digest.clone(), kept }
}

/// Roles that have a line of their own each; the others are counted.
const SHOWN: [&str; 4] = ["base", "buildroot", "frontend", "dockerfile"];

impl Attested {
    /// Its lines for people.
    pub(super) fn rows(&self, row: &mut dyn FnMut(&str, String)) {
        let kinds: Vec<_> = self.evidence.iter().map(|evidence| evidence.kind.as_str()).collect();
        row(
            "attested",
            format!(
                "after the fact, from {} (claimed; reprov did not see the build)",
                printable(&kinds.join(", "))
            ),
        );
        if self.subject == "index" {
            row("subject", "an index of several images".to_owned());
        }
        if let Some(builder) = &self.builder {
            row("built by", format!("{} (claimed; it did not sign this)", printable(&builder.id)));
        }
        if let Some(invocation) = &self.invocation {
            row("run", format!("{} (claimed)", printable(invocation)));
        }
        if let Some(source) = &self.source {
            let commit = source.commit.as_deref().unwrap_or("no commit named");
            row("commit", format!("{} ({})", printable(commit), source.believed()));
            row("source", printable(source.uri.as_deref().unwrap_or("not said where")));
        }
        if let Some(dockerfile) = &self.dockerfile {
            row("dockerfile", format!("{} (claimed)", printable(dockerfile)));
        }
        let shown = |named: &&Dependency| SHOWN.contains(&named.role.as_str());
        for named in self.dependencies.iter().filter(shown) {
            row(&named.role, named.shown());
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for named in self.dependencies.iter().filter(|named| !shown(named) && named.role != "source") {
            *counts.entry(&named.role).or_default() += 1;
        }
        for (role, count) in counts {
            row(&printable(role), format!("{count} named (claimed)"));
        }
        for repository in &self.repositories {
            let digest = repository.digest.map(|digest| format!(" {digest}")).unwrap_or_default();
            row("repository", format!("{}{digest} (claimed)", printable(&repository.url)));
        }
        for log in &self.logs {
            let digest = log.digest.iter().map(|(algorithm, hex)| format!("{algorithm}:{hex}")).next();
            let kept =
                if log.kept { "kept beside the image; --log prints the first" } else { "not kept here" };
            row("log", printable(&format!("{} {} ({kept})", log.file, digest.unwrap_or_default())));
        }
        row("recipe", recipe(&self.missing));
    }
}

impl Source {
    fn believed(&self) -> String {
        match self.checked.as_str() {
            "commit-exists" => "claimed; reprov found this commit there".to_owned(),
            "unreachable" => "claimed; not checked: its repository could not be reached".to_owned(),
            _ => format!("claimed by {}; nobody looked", printable(&self.by)),
        }
    }
}

impl Dependency {
    fn shown(&self) -> String {
        let name = if self.uri.is_empty() { &self.name } else { &self.uri };
        let digest = self.digest.iter().next().map(|(algorithm, hex)| format!(" {algorithm}:{hex}"));
        let digest = digest.filter(|digest| !name.contains(digest.trim())).unwrap_or_default();
        let checked = if self.checked == "bytes" { "; reprov read these bytes" } else { "" };
        printable(&format!("{name}{digest} (claimed by {}{checked})", self.by))
    }
}
