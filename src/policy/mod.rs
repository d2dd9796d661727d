//! `policy.toml` (CLI.md): as written → as meant. What must be true of an image, and who may say so.
//!
//! Must not know files, keys, registries or the clock: it takes text, it gives values. `docs/verification.md` has every
//! key.

mod error;
mod file;
mod pattern;
mod starter;
mod tables;
#[cfg(test)]
mod tests;
mod when;

use std::collections::{BTreeMap, BTreeSet};

pub use error::PolicyError;
pub use pattern::Pattern;
pub use starter::{STARTERS, starter};

use crate::model::{Digest, Verdict, names::SLSA_PROVENANCE};

/// Names that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// `["*"]`: whatever it is. The answer says so.
    Any,
    /// These and no others, letter by letter.
    These(BTreeSet<String>),
}

impl Allowed {
    /// Whether `name` is allowed.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(names) => names.contains(name),
        }
    }
}

/// A policy as meant. What it does not name is not judged: options are none, lists are empty.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key of its own that somebody writes or does not"
)]
pub struct Policy {
    /// What people call it.
    pub name: String,
    /// Where it can be found; goes into a VSA.
    pub uri: Option<String>,
    /// Of its text; none where no policy was given.
    pub digest: Option<Digest>,
    /// Whom the keys of `--trust` may speak for.
    pub builders: Allowed,
    /// The SLSA level that the keys of `--trust` stand for at most.
    pub level: u8,
    /// The least SLSA level the image must have.
    pub least_level: u8,
    /// Predicate types of which each must be there.
    pub predicates: BTreeSet<String>,
    /// The oldest that each of them, by its own word, may be, in seconds.
    pub max_age_s: Option<i64>,
    /// The file that says whose certificates are believed (`trusted_root.json`), where identities are trusted.
    pub trusted_root: Option<String>,
    /// Signers, beside those of `--trust`.
    pub trust: Vec<Trust>,
    /// Where the source may come from.
    pub sources: Option<Vec<Pattern>>,
    /// Branches and tags it may be.
    pub refs: Option<Vec<Pattern>>,
    /// Whether the source must be a whole commit: no uncommitted changes.
    pub clean_source: bool,
    /// What verifiers must have said of the commit.
    pub source: Option<Source>,
    /// How it may be built.
    pub build_types: Option<BTreeSet<String>>,
    /// What the caller of the build may choose.
    pub parameters: Parameters,
    /// How deep bases and buildroots are verified too; 0: not.
    pub depth: usize,
    /// What it may stand on.
    pub bases: Bases,
    /// What may be fetched from, if that is said.
    pub repositories: Option<Vec<Repository>>,
    /// Inputs that no image may have.
    pub refused: Vec<Refused>,
    /// Whether everything that came in must be on record.
    pub hermetic: bool,
    /// Whether the log must be there, byte for byte.
    pub log: bool,
    /// Whether everything that provenance names must still be there.
    pub evidence: bool,
    /// What rebuilders must have said.
    pub rebuild: Option<Rebuild>,
    /// What a list of contents must be.
    pub sbom: Option<Sbom>,
    /// What tests must have said.
    pub tests: Option<Tests>,
    /// Days on which nothing is released.
    pub closed: Vec<Closed>,
    /// What may be promoted where; asked by `promote` alone.
    pub promote: Option<Promote>,
    /// Where it must have been promoted to.
    pub promoted: Option<Promoted>,
    /// Whose summaries stand in for verifying again.
    pub summaries: Option<Summaries>,
    /// Rules that hold later, or count less.
    pub rules: Vec<Rule>,
    /// Findings that are put up with.
    pub waivers: Vec<Waiver>,
}

/// A signer, and what it may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Who.
    pub signer: Signer,
    /// Which builders it may speak for.
    pub builders: Allowed,
    /// The SLSA level it stands for at most.
    pub level: u8,
    /// What kinds of statement it may make; any if not said.
    pub predicates: Option<Vec<Pattern>>,
    /// Which verifiers it may speak for; none: its summaries are not believed.
    pub verifiers: BTreeSet<String>,
    /// The level of SLSA's source track that its summaries of commits vouch for at most; any if not said.
    pub source_level: u8,
    /// Which rebuilders it may speak for; any if not said.
    pub rebuilders: Allowed,
}

/// Who signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// Whoever has the private half of the key in this file.
    Key(String),
    /// Whoever a certificate of a trusted root names so.
    Identity {
        /// Its subject alternative name, exact or with `*`.
        identity: Pattern,
        /// Who vouched for it, exact.
        issuer: String,
    },
}

/// What verifiers must have said of the commit an image was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The least level of SLSA's source track.
    pub level: u8,
    /// How old it may be, in seconds.
    pub max_age_s: Option<i64>,
    /// Branches and tags of which the commit must have been one; any if not said.
    pub refs: Option<Vec<Pattern>>,
}

/// What the caller of a build may choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Whether a parameter that nobody knows is refused.
    pub strict: bool,
    /// Parameters that are known beside those of our own build types.
    pub known: BTreeSet<String>,
    /// Values some must have: a path of names joined by dots → pattern.
    pub expected: BTreeMap<String, Pattern>,
}

/// What an image may stand on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bases {
    /// Registries or repositories they may come from.
    pub registries: Option<Vec<Pattern>>,
    /// Whether each must be written by digest.
    pub pinned: bool,
    /// Whether the buildroot must be an image, named by digest.
    pub buildroot: bool,
}

/// A place that may be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its URL.
    pub url: Pattern,
    /// Digests of the key files that may pin it; any or none if not said.
    pub keys: Option<BTreeSet<Digest>>,
}

/// An input that no image may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub what: RefusedInput,
    /// Why not.
    pub because: String,
}

/// Which input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusedInput {
    /// By where it came from.
    Url(Pattern),
    /// By its name, and version if one is said: `name`, `name@version`.
    Package {
        /// Its name, exact or with `*`.
        name: Pattern,
        /// Its version, likewise.
        version: Option<Pattern>,
    },
}

/// What rebuilders must have said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    /// Verdicts that are a yes.
    pub verdicts: Vec<Verdict>,
    /// How old it may be, in seconds.
    pub max_age_s: Option<i64>,
    /// Who must have rebuilt it; anybody who is trusted if not said.
    pub by: Option<BTreeSet<String>>,
    /// How many independent ones: other rebuilder and other signer.
    pub quorum: usize,
}

/// What a list of contents must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom {
    /// How old it may be, in seconds.
    pub max_age_s: Option<i64>,
    /// How many packages it must have at least.
    pub packages_min: usize,
}

/// What tests must have said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tests {
    /// How old they may be, in seconds.
    pub max_age_s: Option<i64>,
    /// Whether a warning is a no.
    pub strict: bool,
    /// Tests that must be among those that passed.
    pub required: BTreeSet<String>,
}

/// What may be promoted where. A pattern is held against `HOST/NAME` and `HOST/NAME:TAG`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promote {
    /// Where it may come from; from anywhere if not said.
    pub from: Option<Vec<Pattern>>,
    /// Where it may go; anywhere if not said.
    pub to: Option<Vec<Pattern>>,
    /// Whether an index must be attested itself, beside its images.
    pub index: bool,
}

/// Where an image must have been promoted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promoted {
    /// One of these: `HOST/NAME`, or with a tag.
    pub to: Vec<Pattern>,
    /// How long ago at most, in seconds.
    pub max_age_s: Option<i64>,
}

/// A time on which nothing is released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// 1 is Monday.
    Weekday(i8),
    /// From the first second of one to the last of another, seconds since 1970.
    Days {
        /// First second.
        from_s: i64,
        /// Last second.
        to_s: i64,
    },
}

/// Whose summaries stand in for verifying again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summaries {
    /// How old one may be, in seconds.
    pub max_age_s: i64,
    /// The name the image must have in it; any if not said.
    pub resource: Option<Pattern>,
}

/// How much a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warn,
    /// The image is refused.
    Deny,
}

impl Severity {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}

/// A change of how much a finding counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its code.
    pub code: String,
    /// How much it counts; its own if not said.
    pub severity: Option<Severity>,
    /// Before this it is a warning at most; seconds since 1970.
    pub effective_s: Option<i64>,
}

/// A finding that is put up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// Its code.
    pub code: String,
    /// Of which images (name or digest); all if not said.
    pub image: Option<Pattern>,
    /// What its message must have in it; any if not said.
    pub about: Option<String>,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// First second; seconds since 1970.
    pub from_s: Option<i64>,
    /// Last second; seconds since 1970.
    pub until_s: i64,
    /// As written.
    pub until: String,
}

impl Policy {
    /// What holds without a policy: one provenance, by a signer who is trusted, whoever the builder is.
    #[must_use]
    pub fn none() -> Self {
        Self {
            name: String::new(),
            uri: None,
            digest: None,
            builders: Allowed::Any,
            level: 1,
            least_level: 0,
            predicates: BTreeSet::from([SLSA_PROVENANCE.to_owned()]),
            max_age_s: None,
            trusted_root: None,
            trust: Vec::new(),
            sources: None,
            refs: None,
            clean_source: false,
            source: None,
            build_types: None,
            parameters: Parameters::default(),
            depth: 0,
            bases: Bases::default(),
            repositories: None,
            refused: Vec::new(),
            hermetic: false,
            log: false,
            evidence: false,
            rebuild: None,
            sbom: None,
            tests: None,
            closed: Vec::new(),
            promote: None,
            promoted: None,
            summaries: None,
            rules: Vec::new(),
            waivers: Vec::new(),
        }
    }

    /// What holds for the images that one stands on, which are verified `depth` deep: the same signers and waivers;
    /// where they come from and what is in them is their own affair.
    #[must_use]
    pub fn below(&self, depth: usize) -> Self {
        Self {
            name: self.name.clone(),
            uri: self.uri.clone(),
            digest: self.digest,
            builders: self.builders.clone(),
            level: self.level,
            trusted_root: self.trusted_root.clone(),
            trust: self.trust.clone(),
            depth,
            summaries: self.summaries.clone(),
            rules: self.rules.clone(),
            waivers: self.waivers.clone(),
            ..Self::none()
        }
    }

    /// Whether a policy was given.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        self.digest.is_some()
    }
}
