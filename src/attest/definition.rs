//! The spine: everything known about a build before it runs (WIRE.md §2).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, json};

use super::strict::to_value;
use crate::model::{Digest, Repository, ResourceDescriptor, json, names::BUILD_TYPE};

/// Roles of the dependencies that belong to the definition; all others are found out by the run.
const ROLES: [&str; 4] = ["source", "submodule", "base", "buildroot"];

/// All that a build is told. Made from a commit and a recipe by `build`, from a verified provenance by
/// `rebuild`; one function runs it. Definition → provenance → definition is the identity.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildDefinition {
    /// What the caller chose, from flag or file.
    pub external: ExternalParameters,
    /// What this program and machine added.
    pub internal: InternalParameters,
    /// Inputs named before the run: roles `source`, `submodule`, `base`, `buildroot`; in any order.
    pub dependencies: Vec<ResourceDescriptor>,
}

/// What the caller chose; nothing else (tags, keys, `--jobs`, `--store` are no part of it).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalParameters {
    /// The commit.
    pub source: Source,
    /// Path of the Dockerfile in the source, `/`-separated.
    pub dockerfile: String,
    /// Path of the build context in the source.
    pub context: String,
    /// The stage to build; the last one if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `--build-arg`, public.
    pub build_args: BTreeMap<String, String>,
    /// `os/arch[/variant]`.
    pub platform: String,
    /// What the build may fetch.
    pub repositories: Vec<Repository>,
    /// Base images swapped: as written → used instead.
    pub from: BTreeMap<String, String>,
    /// How layers are normalised.
    pub normalize: Normalize,
    /// What time RUN steps see.
    pub clock: Clock,
    /// What a refused request does.
    pub on_refused: OnRefused,
    /// Whether everything was let through, to find out what is needed.
    pub learn: bool,
    /// Longest run, as written (`1h`).
    pub timeout: String,
    /// Ids of the secrets given; never their values.
    pub secrets: Vec<String>,
    /// The `.git` in the context, if the recipe asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitDirectory>,
    /// The recipe file, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<RecipeFile>,
}

/// The source as the caller named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// `git+https://…`; none for a directory on no remote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Branch, tag or commit, as asked for.
    pub rev: String,
    /// Subdirectory that is the root of the build; empty for the top.
    pub subdir: String,
    /// Whether uncommitted changes were part of it.
    pub dirty: bool,
}

/// How layers are normalised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Normalize {
    /// Named, versioned set of rules; `none` is allowed.
    pub profile: String,
    /// Paths the recipe drops besides.
    pub drop: Vec<Dropped>,
}

/// A path dropped from layers, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dropped {
    /// Path in the image, without leading slash.
    pub path: String,
    /// The reason the recipe gives.
    pub because: String,
}

/// What time RUN steps see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The machine's.
    Real,
    /// The commit's.
    Commit,
}

/// What a refused request does to the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRefused {
    /// It fails.
    Fail,
    /// It goes on; the provenance says so.
    Record,
}

/// A deterministic `.git` of one commit, for tools that ask it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitDirectory {
    /// Tags at the commit; recorded, since tags move.
    pub tags: Vec<GitTag>,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitTag {
    /// Without `refs/tags/`.
    pub name: String,
    /// Id of the commit or of the annotated tag.
    pub id: String,
}

/// A recipe file in the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecipeFile {
    /// Its path in the source.
    pub path: String,
    /// Digest of its bytes.
    pub digest: Digest,
}

/// What this program and machine added. Unknown fields are ignored when read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternalParameters {
    /// Version of this program.
    pub reprov: String,
    /// Format of the layers ([`crate::model::names::WRITER`]).
    pub writer: String,
    /// `SOURCE_DATE_EPOCH`: the commit's time, seconds since 1970.
    pub epoch: i64,
    /// Where the engine came from.
    pub mode: BuildrootMode,
    /// What ran the Dockerfile.
    pub engine: Tool,
    /// What ran the containers of its steps.
    pub runtime: Tool,
    /// What the build could use at most.
    pub limits: Limits,
    /// Environment added to every RUN step.
    pub env: BTreeMap<String, String>,
    /// Host name inside.
    pub hostname: String,
    /// Options of the engine's overlay mounts (they decide how whiteouts look).
    pub mount_options: Vec<String>,
}

/// Where the engine came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildrootMode {
    /// The machine's own tools.
    Host,
    /// An image, named by digest among the dependencies.
    Image,
}

/// A program, and which one exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Its name (`buildah`).
    pub name: String,
    /// What it says its version is.
    pub version: String,
    /// Digest of the executable, in JSON bare hex.
    #[serde(serialize_with = "bare_hex", deserialize_with = "from_bare_hex")]
    pub sha256: Digest,
}

/// What a build could use at most, as its caller chose; absent: the builder's own default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Who saw to it (`cgroup`, `watch`, `none`).
    pub enforced_by: String,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Files and directories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Bytes fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_bytes: Option<u64>,
}

fn bare_hex<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&digest.hex())
}

fn from_bare_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let hex = String::deserialize(deserializer)?;
    Digest::from_hex(&hex).ok_or_else(|| de::Error::custom("`sha256` is not 64 lower-case hex digits"))
}

impl ExternalParameters {
    /// Every parameter there is.
    pub const NAMES: &[&str] = &[
        "source",
        "dockerfile",
        "context",
        "target",
        "buildArgs",
        "platform",
        "repositories",
        "from",
        "normalize",
        "clock",
        "onRefused",
        "learn",
        "timeout",
        "secrets",
        "git",
        "recipe",
    ];
}

impl BuildDefinition {
    /// The build's identity: sha256 of the canonical form of build type, parameters and dependencies, the
    /// latter sorted by (role, uri, digest), so that their order does not matter (WIRE.md §2).
    #[must_use]
    pub fn digest(&self) -> Digest {
        let named = self.dependencies.iter().filter(|dependency| is_defining(dependency)).map(defining);
        let mut dependencies: Vec<(String, String, Vec<u8>, Value)> = named
            .map(|named| {
                let digest = json::canonical(&to_value(&named.digest));
                (named.role().to_owned(), named.uri.clone(), digest, to_value(&named))
            })
            .collect();
        dependencies.sort_by_cached_key(|(role, uri, digest, whole)| {
            (role.clone(), uri.clone(), digest.clone(), json::canonical(whole))
        });
        Digest::of(&json::canonical(&json!({
            "buildType": BUILD_TYPE,
            "externalParameters": to_value(&self.external),
            "internalParameters": to_value(&self.internal),
            "resolvedDependencies": dependencies.into_iter().map(|(.., whole)| whole).collect::<Vec<_>>(),
        })))
    }

    /// The dependencies of one role.
    pub fn role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a ResourceDescriptor> {
        self.dependencies.iter().filter(move |dependency| dependency.role() == role)
    }
}

/// A dependency without what was found out about it.
fn defining(dependency: &ResourceDescriptor) -> ResourceDescriptor {
    let mut defining = dependency.clone();
    if matches!(defining.role(), "buildroot" | "base") {
        defining.annotations.remove("provenance");
    }
    defining
}

/// Whether a dependency belongs to the definition rather than to the run.
pub(super) fn is_defining(dependency: &ResourceDescriptor) -> bool {
    ROLES.contains(&dependency.role())
}

/// The dependency on a commit; `uri` as SLSA writes it (`git+https://…@refs/heads/main`).
#[must_use]
pub fn source(uri: Option<&str>, commit: &str, tree: &str) -> ResourceDescriptor {
    ResourceDescriptor {
        uri: uri.unwrap_or_default().to_owned(),
        digest: digests([("gitCommit", commit.to_owned()), ("gitTree", tree.to_owned())]),
        annotations: annotations("source", json!({})),
        ..ResourceDescriptor::default()
    }
}

/// The dependency on a submodule's commit, checked out at `path`.
#[must_use]
pub fn submodule(path: &str, uri: &str, commit: &str) -> ResourceDescriptor {
    ResourceDescriptor {
        name: path.to_owned(),
        uri: uri.to_owned(),
        digest: digests([("gitCommit", commit.to_owned())]),
        annotations: annotations("submodule", json!({})),
        ..ResourceDescriptor::default()
    }
}

/// The dependency on a base image: named `written` by the FROM on `line` (from 1) of stage `stage` (from 0),
/// `used` after ARG expansion and `[from]`, found at `uri` with the manifest `digest`.
#[must_use]
pub fn base(
    written: &str,
    used: &str,
    stage: usize,
    line: u32,
    uri: &str,
    digest: &Digest,
) -> ResourceDescriptor {
    ResourceDescriptor {
        uri: uri.to_owned(),
        digest: digests([("sha256", digest.hex())]),
        annotations: annotations(
            "base",
            json!({"written": written, "used": used, "stage": stage, "line": line}),
        ),
        ..ResourceDescriptor::default()
    }
}

/// The dependency on the image the build ran in.
#[must_use]
pub fn buildroot(uri: &str, digest: &Digest) -> ResourceDescriptor {
    ResourceDescriptor {
        uri: uri.to_owned(),
        digest: digests([("sha256", digest.hex())]),
        annotations: annotations("buildroot", json!({})),
        ..ResourceDescriptor::default()
    }
}

fn digests<const N: usize>(entries: [(&str, String); N]) -> BTreeMap<String, String> {
    entries.into_iter().map(|(algorithm, hex)| (algorithm.to_owned(), hex)).collect()
}

fn annotations(role: &str, more: Value) -> Map<String, Value> {
    let mut map = Map::from_iter([("role".to_owned(), Value::from(role))]);
    if let Value::Object(more) = more {
        map.extend(more);
    }
    map
}
