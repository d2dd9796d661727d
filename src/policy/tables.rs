//! A policy as it is written: tables and keys, nothing meant yet.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::Spanned;

/// A value, and where it stands.
pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) name: Option<String>,
    pub(super) uri: Option<String>,
    pub(super) builders: Option<Vec<String>>,
    pub(super) level: Option<Spanned<i64>>,
    pub(super) least_level: Option<Spanned<i64>>,
    pub(super) predicates: Option<Vec<String>>,
    pub(super) max_age: Option<Text>,
    pub(super) trusted_root: Option<String>,
    #[serde(default)]
    pub(super) trust: Vec<TrustTable>,
    pub(super) sources: Option<Vec<Text>>,
    pub(super) refs: Option<Vec<Text>>,
    pub(super) clean_source: Option<bool>,
    pub(super) source: Option<SourceTable>,
    pub(super) build_types: Option<Vec<String>>,
    pub(super) external_parameters: Option<Text>,
    pub(super) parameters: Option<ParametersTable>,
    pub(super) depth: Option<Spanned<i64>>,
    pub(super) bases: Option<BasesTable>,
    pub(super) repository: Option<Vec<RepositoryTable>>,
    pub(super) inputs: Option<InputsTable>,
    pub(super) hermetic: Option<bool>,
    pub(super) log: Option<bool>,
    pub(super) evidence: Option<bool>,
    pub(super) rebuild: Option<RebuildTable>,
    pub(super) sbom: Option<SbomTable>,
    pub(super) tests: Option<TestsTable>,
    pub(super) closed: Option<Vec<Text>>,
    pub(super) promote: Option<PromoteTable>,
    pub(super) promoted: Option<PromotedTable>,
    pub(super) summaries: Option<SummariesTable>,
    #[serde(default)]
    pub(super) rule: Vec<RuleTable>,
    #[serde(default)]
    pub(super) waiver: Vec<WaiverTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TrustTable {
    pub(super) key: Option<String>,
    pub(super) identity: Option<Text>,
    pub(super) issuer: Option<String>,
    pub(super) builders: Option<Vec<String>>,
    pub(super) level: Option<Spanned<i64>>,
    pub(super) predicates: Option<Vec<Text>>,
    #[serde(default)]
    pub(super) verifiers: BTreeSet<String>,
    pub(super) source_level: Option<Spanned<i64>>,
    pub(super) rebuilders: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SourceTable {
    pub(super) level: Option<Spanned<i64>>,
    pub(super) max_age: Option<Text>,
    pub(super) refs: Option<Vec<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ParametersTable {
    #[serde(default)]
    pub(super) known: BTreeSet<String>,
    #[serde(default)]
    pub(super) expected: BTreeMap<String, Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BasesTable {
    pub(super) registries: Option<Vec<Text>>,
    pub(super) pinned: Option<bool>,
    pub(super) buildroot: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RepositoryTable {
    pub(super) url: Text,
    pub(super) keys: Option<Vec<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct InputsTable {
    pub(super) refuse: Vec<RefusedTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RefusedTable {
    pub(super) url: Option<Text>,
    pub(super) package: Option<Text>,
    pub(super) because: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RebuildTable {
    pub(super) verdicts: Option<Vec<Text>>,
    pub(super) max_age: Option<Text>,
    pub(super) by: Option<BTreeSet<String>>,
    pub(super) quorum: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SbomTable {
    pub(super) max_age: Option<Text>,
    pub(super) packages_min: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TestsTable {
    pub(super) max_age: Option<Text>,
    pub(super) strict: Option<bool>,
    #[serde(default)]
    pub(super) required: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PromoteTable {
    pub(super) from: Option<Vec<Text>>,
    pub(super) to: Option<Vec<Text>>,
    pub(super) index: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PromotedTable {
    pub(super) to: Vec<Text>,
    pub(super) max_age: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SummariesTable {
    pub(super) max_age: Text,
    pub(super) resource: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RuleTable {
    pub(super) code: Text,
    pub(super) severity: Option<Text>,
    pub(super) effective_on: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WaiverTable {
    pub(super) code: Option<Text>,
    pub(super) image: Option<Text>,
    pub(super) about: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) from: Option<Text>,
    pub(super) until: Option<Text>,
}
