//! What one piece of evidence says, in the words of `attested/v1`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    attest::{ClaimedBuilder, ClaimedRepository, ClaimedSource},
    model::{Digest, ResourceDescriptor, json::canonical},
};

/// What one piece of evidence says. Empty where it says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims {
    /// What wrote it: `buildkit-v1`, `koji-v0`, `osbs-labels`, `caller`, …
    pub kind: String,
    /// The images that it names; none if it does not say what it is about.
    pub subjects: Vec<Digest>,
    /// Who ran the build.
    pub builder: Option<ClaimedBuilder>,
    /// The commit.
    pub source: Option<ClaimedSource>,
    /// The Dockerfile, by name.
    pub dockerfile: Option<String>,
    /// The context in the source.
    pub context: Option<String>,
    /// The stage.
    pub target: Option<String>,
    /// Build arguments.
    pub build_args: BTreeMap<String, String>,
    /// What else the builder was told.
    pub parameters: BTreeMap<String, String>,
    /// Where packages came from.
    pub repositories: Vec<ClaimedRepository>,
    /// What it was made of: roles `source`, `base`, `buildroot`, `frontend`, `dockerfile`, `pipeline`, `material`.
    pub dependencies: Vec<ResourceDescriptor>,
    /// Packages of the buildroot, as objects with `kind` and `name`.
    pub packages: Vec<Value>,
    /// Files that came of it, such as logs; they are where the builder keeps them.
    pub byproducts: Vec<ResourceDescriptor>,
    /// What the builder called the run.
    pub invocation_id: Option<String>,
    /// Seconds since 1970.
    pub started_on_s: Option<i64>,
    /// Seconds since 1970.
    pub finished_on_s: Option<i64>,
    /// Whether it says that all build arguments are named.
    pub parameters_complete: bool,
    /// Whether it says that nothing was fetched that it does not name.
    pub hermetic: bool,
}

impl Claims {
    /// Nothing yet, said by `kind`.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::default() }
    }

    /// Adds a dependency. `checked` says what reprov itself looked at; `no` for what is only claimed.
    pub fn depend(&mut self, role: &str, checked: &str, found: ResourceDescriptor) {
        let mut annotations = found.annotations;
        annotations.insert("role".to_owned(), role.into());
        annotations.insert("by".to_owned(), self.kind.clone().into());
        annotations.insert("checked".to_owned(), checked.into());
        let digest = found.digest.into_iter().filter(|(name, hex)| is_digest(name, hex)).collect();
        self.dependencies.push(ResourceDescriptor { digest, annotations, ..found });
    }

    /// Adds a parameter: text as it is, anything else as JSON; nothing for null and empty text.
    pub fn parameter(&mut self, name: &str, value: Option<&Value>) {
        match value {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) => drop(self.parameters.insert(name.to_owned(), text.clone())),
            Some(other) => {
                let text = String::from_utf8_lossy(&canonical(other)).into_owned();
                self.parameters.insert(name.to_owned(), text);
            }
        }
    }

    /// Takes `source` for the commit, and names it as a dependency.
    pub fn built_from(&mut self, source: ClaimedSource, checked: &str) {
        let mut uri = source.uri.clone().unwrap_or_default();
        if let Some(reference) = source.reference.as_ref().filter(|_| !uri.is_empty()) {
            uri = format!("{uri}@{reference}");
        }
        let digest = source.commit.iter().map(|commit| ("gitCommit".to_owned(), commit.clone())).collect();
        self.depend("source", checked, ResourceDescriptor { uri, digest, ..ResourceDescriptor::default() });
        self.source = Some(source);
    }

    /// Adds the image that `uri` names, under its usual name, with what `uri` was.
    pub fn image(&mut self, role: &str, uri: &str, digest: &BTreeMap<String, String>) {
        let sha256 = digest.get("sha256").and_then(|hex| Digest::from_hex(hex));
        let (used, inner) = super::uri::image(uri, sha256);
        let digest = match (sha256.or(inner), digest.is_empty()) {
            (Some(sha256), _) => BTreeMap::from([("sha256".to_owned(), sha256.hex())]),
            (None, _) => digest.clone(),
        };
        let annotations =
            if used == uri { Map::new() } else { Map::from_iter([("written".to_owned(), uri.into())]) };
        self.depend(
            role,
            "no",
            ResourceDescriptor { uri: used, digest, annotations, ..ResourceDescriptor::default() },
        );
    }
}

/// Whether `hex` can be a digest by `algorithm`: anything in hex, of the right length where that is known.
fn is_digest(algorithm: &str, hex: &str) -> bool {
    let fits = match algorithm {
        "sha256" => hex.len() == 64,
        "sha512" => hex.len() == 128,
        _ => (7..=128).contains(&hex.len()),
    };
    fits && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
