//! Pieces of evidence → one statement about a build: who is believed first, what nobody said, where they disagree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    Attested, AttestedInternals, AttestedParameters, AttestedRun, ClaimedSource, EvidenceRef, Missing, Names,
    SubjectKind,
    adapters::Claims,
    strict::{shown, to_value},
};
use crate::model::{Digest, ResourceDescriptor, json, limits::ATTESTED_DEPENDENCIES_MAX, names::JSON};

/// What labels are called: a hint, so they never contradict.
const LABELS: &str = "osbs-labels";
/// The dependency on the list of the buildroot's packages.
pub const PACKAGES: &str = "buildroot-packages";

/// One piece of evidence.
#[derive(Debug, Clone)]
pub struct Piece {
    /// What it says.
    pub claims: Claims,
    /// Digest of the document; none of the caller's word and of labels.
    pub digest: Option<Digest>,
    /// Whether it names the subject.
    pub names: Names,
}

/// What is known without any evidence.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Whether it is about an image or an index.
    pub subject: SubjectKind,
    /// Platform of the image.
    pub platform: Option<String>,
    /// Images of the index.
    pub platforms: BTreeMap<String, Digest>,
    /// `builder.id`.
    pub builder_id: String,
    /// `--builder-version`.
    pub builder_version: BTreeMap<String, String>,
    /// What is kept beside the image: logs and documents.
    pub byproducts: Vec<ResourceDescriptor>,
}

/// A statement in the making, and what belongs to it.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// What is said.
    pub attested: Attested,
    /// Bytes of the list of the buildroot's packages, to be kept beside the image.
    pub packages: Option<Vec<u8>>,
    /// What was passed over, to be told.
    pub passed_over: Vec<String>,
}

/// Why pieces make no statement.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// Two of them name different commits.
    #[error("the evidence disagrees about the commit: {one_by} says {one}, {other_by} says {other}")]
    Commit {
        /// The first.
        one: String,
        /// Who says so.
        one_by: String,
        /// The second.
        other: String,
        /// Who says so.
        other_by: String,
    },
    /// More than is ever written.
    #[error("the evidence names more than {ATTESTED_DEPENDENCIES_MAX} dependencies")]
    TooMany,
}

/// Puts `pieces` together: of two that say something, the first counts; lists are joined. The same pieces in whatever
/// order of their lists make the same statement.
///
/// # Errors
/// [`AssembleError`]: two pieces that are no labels name different commits.
pub fn assemble(pieces: &[Piece], frame: Frame) -> Result<Assembled, AssembleError> {
    let mut passed_over = Vec::new();
    let source = source(pieces, &mut passed_over)?;
    let first =
        |get: fn(&Claims) -> Option<&String>| pieces.iter().find_map(|piece| get(&piece.claims)).cloned();
    let mut external = AttestedParameters {
        dockerfile: first(|claims| claims.dockerfile.as_ref()),
        context: first(|claims| claims.context.as_ref()),
        target: first(|claims| claims.target.as_ref()),
        platform: frame.platform,
        builder: pieces.iter().find_map(|piece| piece.claims.builder.clone()),
        source: source.clone(),
        ..AttestedParameters::default()
    };
    let mut dependencies = Vec::new();
    for Piece { claims, .. } in pieces {
        for (into, from) in
            [(&mut external.build_args, &claims.build_args), (&mut external.parameters, &claims.parameters)]
        {
            for (name, text) in from {
                into.entry(name.clone()).or_insert_with(|| text.clone());
            }
        }
        external.repositories.extend(claims.repositories.iter().cloned());
        dependencies
            .extend(claims.dependencies.iter().filter(|named| is_kept(named, source.as_ref())).cloned());
    }
    external.repositories.sort_by_key(|repository| (repository.url.clone(), repository.digest));
    external.repositories.dedup();
    let packages = packages(pieces);
    dependencies.extend(packages.as_ref().map(|(bytes, count)| packages_named(pieces, bytes, *count)));
    sort(&mut dependencies);
    let mut byproducts = frame.byproducts;
    byproducts.extend(pieces.iter().flat_map(|piece| piece.claims.byproducts.iter().cloned()));
    if dependencies.len() + byproducts.len() > ATTESTED_DEPENDENCIES_MAX {
        return Err(AssembleError::TooMany);
    }
    let attested = Attested {
        internal: AttestedInternals {
            reprov: env!("CARGO_PKG_VERSION").to_owned(),
            subject: frame.subject,
            platforms: frame.platforms,
            evidence: pieces.iter().map(named).collect(),
            missing: missing(pieces, &external, &dependencies),
        },
        external,
        dependencies,
        run: AttestedRun {
            builder_id: frame.builder_id,
            builder_version: frame.builder_version,
            invocation_id: first(|claims| claims.invocation_id.as_ref()),
            started_on_s: pieces.iter().find_map(|piece| piece.claims.started_on_s),
            finished_on_s: pieces.iter().find_map(|piece| piece.claims.finished_on_s),
            byproducts,
        },
    };
    Ok(Assembled { attested, packages: packages.map(|(bytes, _)| bytes), passed_over })
}

fn named(piece: &Piece) -> EvidenceRef {
    EvidenceRef { kind: piece.claims.kind.clone(), digest: piece.digest, names: piece.names }
}

/// The commit that counts, with what the pieces after the first add to it.
fn source(pieces: &[Piece], passed_over: &mut Vec<String>) -> Result<Option<ClaimedSource>, AssembleError> {
    let mut taken: Option<(ClaimedSource, &str)> = None;
    for Piece { claims, .. } in pieces {
        let Some(found) = &claims.source else { continue };
        let Some((source, by)) = &mut taken else {
            taken = Some((found.clone(), &claims.kind));
            continue;
        };
        match (&source.commit, &found.commit) {
            (Some(one), Some(other)) if one != other => {
                if claims.kind != LABELS {
                    return Err(AssembleError::Commit {
                        one: shown(one),
                        one_by: (*by).to_owned(),
                        other: shown(other),
                        other_by: claims.kind.clone(),
                    });
                }
                passed_over.push(format!(
                    "labels of the image name another commit ({}); they may be its base's",
                    shown(other)
                ));
            }
            (None, None) => {}
            // Of one place one names the commit: together they say more.
            _ if same_place(source.uri.as_deref(), found.uri.as_deref()) => {
                source.commit = source.commit.take().or_else(|| found.commit.clone());
                source.uri = source.uri.take().or_else(|| found.uri.clone());
            }
            _ => {}
        }
    }
    Ok(taken.map(|(source, _)| source))
}

/// Whether two URIs may name one repository.
fn same_place(one: Option<&str>, other: Option<&str>) -> bool {
    let bare = |uri: &str| {
        let uri = uri.strip_prefix("git+").unwrap_or(uri).trim_end_matches('/').trim_end_matches(".git");
        uri.split_once("://").map_or(uri, |(_, rest)| rest).to_ascii_lowercase()
    };
    one.zip(other).is_none_or(|(one, other)| bare(one) == bare(other))
}

/// Whether a dependency stays: of sources, those that name the commit that counts, or none beside it.
fn is_kept(named: &ResourceDescriptor, source: Option<&ClaimedSource>) -> bool {
    named.role() != "source"
        || source.is_none_or(|source| match (named.digest.get("gitCommit"), &source.commit) {
            (Some(one), Some(other)) => one == other,
            (None, Some(_)) => false,
            (_, None) => true,
        })
}

/// By role, place, name and digest; one that says nothing that another does not is left out.
fn sort(dependencies: &mut Vec<ResourceDescriptor>) {
    let key = |named: &ResourceDescriptor| {
        let unchecked = named.annotations.get("checked").and_then(Value::as_str) == Some("no");
        let digest = json::canonical(&to_value(&named.digest));
        let identity = (named.role().to_owned(), named.uri.clone(), named.name.clone(), digest);
        (identity, unchecked, json::canonical(&to_value(named)))
    };
    dependencies.sort_by_cached_key(key);
    let mut seen = BTreeSet::new();
    dependencies.retain(|named| {
        // One commit has one line, whatever its place is called: the one that was looked at, else the first.
        let place = if named.role() == "source" { String::new() } else { named.uri.clone() };
        seen.insert((named.role().to_owned(), place, named.name.clone(), named.digest.clone()))
    });
}

/// The packages of all buildroots as canonical JSON, sorted, each once.
fn packages(pieces: &[Piece]) -> Option<(Vec<u8>, usize)> {
    let all: BTreeMap<Vec<u8>, &Value> = pieces
        .iter()
        .flat_map(|piece| &piece.claims.packages)
        .map(|one| (json::canonical(one), one))
        .collect();
    let list: Vec<_> = all.into_values().collect();
    (!list.is_empty()).then(|| (json::canonical(&json!({"packages": list})), list.len()))
}

fn packages_named(pieces: &[Piece], bytes: &[u8], count: usize) -> ResourceDescriptor {
    let by = pieces.iter().find(|piece| !piece.claims.packages.is_empty());
    let annotations = json!({
        "role": "packages",
        "by": by.map(|piece| piece.claims.kind.as_str()).unwrap_or_default(),
        "checked": "no",
        "count": count,
    });
    ResourceDescriptor {
        name: PACKAGES.to_owned(),
        digest: BTreeMap::from([("sha256".to_owned(), Digest::of(bytes).hex())]),
        media_type: JSON.to_owned(),
        annotations: annotations.as_object().cloned().unwrap_or_default(),
        ..ResourceDescriptor::default()
    }
}

/// What a rebuild would need and none of them named.
fn missing(
    pieces: &[Piece],
    external: &AttestedParameters,
    dependencies: &[ResourceDescriptor],
) -> Vec<Missing> {
    let of = |role: &'static str| dependencies.iter().filter(move |named| named.role() == role);
    let by_digest = |named: &ResourceDescriptor| named.sha256().is_some();
    let hermetic = pieces.iter().any(|piece| piece.claims.hermetic);
    let there = |part: &Missing| match part {
        Missing::Source => {
            external.source.as_ref().is_some_and(|source| source.uri.is_some() && source.commit.is_some())
        }
        Missing::Dockerfile => external.dockerfile.is_some() || of("dockerfile").next().is_some(),
        Missing::Parameters => pieces.iter().any(|piece| piece.claims.parameters_complete),
        Missing::Bases => of("base").next().is_some() && of("base").all(by_digest),
        Missing::Buildroot => of("buildroot").any(by_digest) || of("packages").next().is_some(),
        Missing::Repositories => {
            hermetic || !external.repositories.is_empty() || of("repository").next().is_some()
        }
        Missing::Inputs => hermetic,
    };
    Missing::ALL.into_iter().filter(|part| !there(part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "4b220de5058abfd01ff619c9d2ff6b09a049bea0";
    const TWO: &str = "15bf79ea9c89fffbf5dd02c6b5b686b291bfcbd2";

    fn frame() -> Frame {
        Frame {
            subject: SubjectKind::Manifest,
            platform: Some("linux/amd64".into()),
            platforms: BTreeMap::new(),
            builder_id: "https://ci.example.org/attester".into(),
            builder_version: BTreeMap::new(),
            byproducts: Vec::new(),
        }
    }

    fn piece(kind: &str, uri: Option<&str>, commit: Option<&str>, checked: &str) -> Piece {
        let mut claims = Claims::of(kind);
        let text = |text: Option<&str>| text.map(str::to_owned);
        claims.built_from(ClaimedSource { uri: text(uri), commit: text(commit), reference: None }, checked);
        Piece { claims, digest: None, names: Names::Nothing }
    }

    #[test]
    fn the_first_counts_and_documents_must_not_contradict() {
        let (uri, other) = (Some("git+https://git.example.org/a"), Some("git+https://git.example.org/a.git"));
        let caller = piece("caller", uri, Some(ONE), "commit-exists");
        let agreed =
            assemble(&[caller.clone(), piece("buildkit-v1", other, Some(ONE), "no")], frame()).unwrap();
        let sources: Vec<_> = agreed.attested.role("source").collect();
        assert_eq!((sources.len(), &sources[0].annotations["checked"]), (1, &"commit-exists".into()));
        let error =
            assemble(&[caller.clone(), piece("buildkit-v1", uri, Some(TWO), "no")], frame()).unwrap_err();
        assert!(
            error.to_string().contains("caller says 4b22")
                && error.to_string().contains("buildkit-v1 says 15bf")
        );
        let hinted = assemble(&[caller, piece(LABELS, uri, Some(TWO), "no")], frame()).unwrap();
        assert_eq!((hinted.passed_over.len(), hinted.attested.role("source").count()), (1, 1));
        let joined =
            assemble(&[piece("slsa-v1", uri, None, "no"), piece(LABELS, None, Some(TWO), "no")], frame());
        let source = joined.unwrap().attested.external.source.unwrap();
        assert_eq!((source.uri.as_deref(), source.commit.as_deref()), (uri, Some(TWO)));
    }

    #[test]
    fn the_order_of_lists_does_not_matter() {
        let piece = |names: [&str; 2]| {
            let mut claims = Claims::of("caller");
            for name in names {
                let uri = format!("https://files.example.org/{name}");
                claims.depend(
                    "material",
                    "no",
                    ResourceDescriptor { uri: uri.clone(), ..ResourceDescriptor::default() },
                );
                claims.repositories.push(super::super::ClaimedRepository { url: uri, digest: None });
                claims.packages.push(json!({"kind": "rpm", "name": name}));
            }
            Piece { claims, digest: None, names: Names::Nothing }
        };
        let [one, two] = [["a", "b"], ["b", "a"]].map(|names| assemble(&[piece(names)], frame()).unwrap());
        assert_eq!(one.attested, two.attested);
        assert_eq!(one.packages, two.packages);
        assert_eq!(
            one.attested.role("packages").next().unwrap().sha256(),
            one.packages.as_deref().map(Digest::of)
        );
    }

    #[test]
    fn what_nobody_names_is_missing() {
        let names = |pieces: &[Piece]| -> Vec<&str> {
            let made = assemble(pieces, frame()).unwrap();
            made.attested.internal.missing.iter().map(|part| part.name()).collect()
        };
        assert_eq!(
            names(&[]),
            ["source", "dockerfile", "parameters", "bases", "buildroot", "repositories", "inputs"]
        );
        let mut all = piece("caller", Some("git+https://git.example.org/a"), Some(ONE), "no");
        all.claims.dockerfile = Some("Dockerfile".into());
        all.claims.parameters_complete = true;
        let digest = BTreeMap::from([("sha256".to_owned(), Digest::of(b"image").hex())]);
        all.claims.image("base", "docker://registry.example.org/base", &digest);
        assert_eq!(names(&[all.clone()]), ["buildroot", "repositories", "inputs"]);
        all.claims.image("base", "docker://registry.example.org/moving:1", &BTreeMap::new());
        assert_eq!(names(&[all.clone()])[0], "bases");
        all.claims.image("buildroot", "docker://registry.example.org/buildroot", &digest);
        all.claims.hermetic = true;
        assert_eq!(names(&[all]), ["bases"]);
    }
}
