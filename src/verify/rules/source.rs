//! What it was built from.

use serde_json::Value;

use super::super::{
    Code, Finding,
    judge::{Case, Told},
};
use crate::attest::{View, commit};

/// Repository, branch or tag, commit, and whether it was a whole one.
pub(super) fn source(case: &Case<'_>, told: &Told<'_>) -> Vec<Finding> {
    let policy = case.policy;
    // What is said of a commit holds for a build from that commit, with nothing added.
    let whole = policy.clean_source || policy.source.is_some();
    if policy.sources.is_none() && policy.refs.is_none() && !whole {
        return Vec::new();
    }
    let place = || told.place("buildDefinition/resolvedDependencies");
    let mut findings = Vec::new();
    let source = told.view.source();
    if source.and_then(commit).is_none() {
        let text = "no dependency is a git commit, so nobody can look at what was built";
        findings.push(Finding::new(Code::SourceMissing, text).at(place()));
    }
    let (repository, named_ref) = split(source.map(|source| source.uri.as_str()).unwrap_or_default());
    if let Some(allowed) = &policy.sources
        && !allowed.iter().any(|pattern| pattern.matches(repository))
    {
        let shown = if repository.is_empty() { "none is named" } else { repository };
        findings.push(
            Finding::new(Code::SourceNotAllowed, format!("source `{shown}` is not allowed")).at(place()),
        );
    }
    if let Some(allowed) = &policy.refs {
        let found = named_ref.map(str::to_owned).or_else(|| asked_for(told));
        let fits = |name: &String| allowed.iter().any(|pattern| pattern.matches(name));
        if !found.as_ref().is_some_and(fits) {
            let shown = found.map_or_else(|| "no ref is named".to_owned(), |name| format!("ref `{name}`"));
            findings.push(Finding::new(Code::RefNotAllowed, format!("{shown} is not allowed")).at(place()));
        }
    }
    if whole && is_dirty(told.view) {
        let text = "it was built from a source with changes that no commit has";
        findings.push(
            Finding::new(Code::SourceDirty, text)
                .at(told.place("buildDefinition/externalParameters/source/dirty")),
        );
    }
    findings
}

/// Whether the builder says that it was built with changes that no commit has.
pub(super) fn is_dirty(view: &View) -> bool {
    view.external.get("source").and_then(|source| source.get("dirty")) == Some(&Value::Bool(true))
}

/// A repository's URI and the ref after `@`, which is none of its user's name.
pub(super) fn split(uri: &str) -> (&str, Option<&str>) {
    match uri.rsplit_once('@') {
        Some((repository, name))
            if !name.contains("://")
                && repository.contains("://")
                && repository.rsplit_once("://").is_some_and(|(_, rest)| rest.contains('/')) =>
        {
            (repository, Some(name))
        }
        _ => (uri, None),
    }
}

/// What the caller asked for, if that was a whole ref.
fn asked_for(told: &Told<'_>) -> Option<String> {
    let text = |pointer: &str| {
        let external = Value::Object(told.view.external.clone());
        external.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    };
    text("/source/rev")
        .or_else(|| text("/workflow/ref"))
        .or_else(|| text("/source/ref"))
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_refs_from_repositories() {
        let check = |uri, expected| assert_eq!(split(uri), expected, "{uri}");
        check("git+https://h/r@refs/heads/main", ("git+https://h/r", Some("refs/heads/main")));
        check("git+https://user@h/r", ("git+https://user@h/r", None));
        check("git+ssh://git@h/r@v1", ("git+ssh://git@h/r", Some("v1")));
        check("git+https://h/r", ("git+https://h/r", None));
        check("", ("", None));
    }
}
