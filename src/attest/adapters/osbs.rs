//! Labels of an image's config, as OSBS and others set them (atomic-reactor, `add_labels_in_df`; OCI image-spec,
//! "Annotations").
//!
//! Labels are hints: whoever wrote the Dockerfile could write them, and an image has its base's unless it sets its own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{claims::Claims, uri};
use crate::attest::ClaimedSource;

/// Labels that are kept as parameters.
const KEPT: [&str; 8] = [
    "com.redhat.component",
    "name",
    "version",
    "release",
    "architecture",
    "build-date",
    "com.redhat.build-host",
    "org.opencontainers.image.version",
];

/// What labels say; nothing if none of them is about a build.
#[must_use]
pub fn labels(labels: &BTreeMap<String, String>) -> Option<Claims> {
    let label = |names: &[&str]| {
        names.iter().find_map(|name| labels.get(*name)).filter(|text| !text.is_empty()).cloned()
    };
    let git = label(&["vcs-type", "org.label-schema.vcs-type"]).is_none_or(|kind| kind == "git");
    let commit = label(&["vcs-ref", "org.opencontainers.image.revision", "org.label-schema.vcs-ref"]);
    let place = label(&["vcs-url", "org.opencontainers.image.source", "org.label-schema.vcs-url"]);
    let mut claims = Claims::of("osbs-labels");
    for name in KEPT {
        claims.parameter(name, labels.get(name).cloned().map(Value::from).as_ref());
    }
    if git && (commit.is_some() || place.is_some()) {
        let place = place.map(|place| {
            let plain = place.contains("://") && !place.starts_with("git");
            if plain { format!("git+{place}") } else { place }
        });
        let found = place.and_then(|place| uri::git(&place, &BTreeMap::new())).map(|(source, _)| source);
        let found = found.unwrap_or_default();
        let whole = commit.clone().filter(|commit| uri::is_commit(commit));
        if whole.is_none() {
            claims.parameter("vcs-ref", commit.map(Value::from).as_ref());
        }
        let source = ClaimedSource { commit: whole.or(found.commit), ..found };
        if source != ClaimedSource::default() {
            claims.built_from(source, "no");
        }
    }
    let said =
        claims.source.is_some() || claims.parameters.keys().any(|name| name.starts_with("com.redhat."));
    said.then_some(claims)
}
