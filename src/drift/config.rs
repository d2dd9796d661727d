//! Causes of what differs in config and manifest.

use serde::Serialize;
use serde_json::Value;

use super::{Cause, Class, clock, token, view::Context};
use crate::{
    diff::{ConfigChange, Of},
    model::names,
};

/// One place of config or manifest that differs, explained (CLI.md, diff).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigDrift {
    /// Which document.
    pub of: Of,
    /// Where (RFC 6901).
    pub pointer: String,
    /// In the first image.
    pub a: Option<Value>,
    /// In the second.
    pub b: Option<Value>,
    /// Why.
    pub cause: Cause,
    /// What that means for the verdict.
    pub class: Class,
}

/// Names the cause of one place, given whether the lowest layers are equal.
pub(super) fn explain(change: &ConfigChange, same_base: bool, context: &Context) -> ConfigDrift {
    let cause = match cause(change, context) {
        // What is named so is the image of the step before.
        Some(Cause::BaseMoved) if same_base => Cause::HistoryConsequence,
        cause => cause.unwrap_or(Cause::Unexplained),
    };
    let ConfigChange { of, pointer, a, b } = change.clone();
    ConfigDrift { of, pointer, a, b, cause, class: cause.class() }
}

fn cause(change: &ConfigChange, context: &Context) -> Option<Cause> {
    let parts: Vec<&str> = change.pointer.split('/').skip(1).collect();
    match (change.of, &parts[..]) {
        (Of::Config, ["created"] | ["history", _, "created"]) => times(change, context),
        (Of::Config, ["history", _, "comment"]) => quoted_hashes(change),
        (Of::Config, ["history", _, "created_by"]) => {
            quoted_hashes(change).or_else(|| times(change, context))
        }
        (Of::Config, ["config" | "container_config", "Hostname"]) => {
            let (a, b) = strings(change)?;
            (token::kind(a.as_bytes(), b.as_bytes()) == Some(token::Kind::Container))
                .then_some(Cause::Hostname)
        }
        (Of::Config, ["container" | "parent"] | ["config" | "container_config", "Image"]) => {
            Some(Cause::HistoryConsequence)
        }
        (Of::Manifest, ["mediaType"] | ["config", "mediaType"] | ["layers", _, "mediaType"]) => {
            (kind_of_blob(change.a.as_ref())? == kind_of_blob(change.b.as_ref())?)
                .then_some(Cause::LayerShape)
        }
        (Of::Config, ["docker_version"]) => Some(Cause::BuilderLabel),
        (Of::Config, ["config" | "container_config", "Labels", name])
        | (Of::Manifest, ["annotations", name]) => {
            label(&name.replace("~1", "/").replace("~0", "~"), change, context)
        }
        _ => None,
    }
}

/// What a media type is of, the same for Docker's names and OCI's; a manifest may leave its own out (image-spec,
/// manifest.md).
fn kind_of_blob(media_type: Option<&Value>) -> Option<&'static str> {
    match media_type {
        None => Some("manifest"),
        Some(Value::String(name)) => match name.as_str() {
            names::OCI_MANIFEST | names::DOCKER_MANIFEST => Some("manifest"),
            names::OCI_CONFIG | names::DOCKER_CONFIG => Some("config"),
            names::OCI_LAYER
            | names::OCI_LAYER_GZIP
            | names::OCI_LAYER_ZSTD
            | names::DOCKER_LAYER
            | names::DOCKER_LAYER_GZIP => Some("layer"),
            _ => None,
        },
        Some(_) => None,
    }
}

fn label(name: &str, change: &ConfigChange, context: &Context) -> Option<Cause> {
    match name {
        "io.buildah.version" => Some(Cause::BuilderLabel),
        // Which builders write these differs, and forms of manifests have no room for them.
        "org.opencontainers.image.base.digest" | "org.opencontainers.image.base.name"
            if change.a.is_none() || change.b.is_none() =>
        {
            Some(Cause::BuilderLabel)
        }
        "org.opencontainers.image.created" if change.a.is_none() || change.b.is_none() => {
            let only = change.a.as_ref().or(change.b.as_ref())?.as_str()?;
            let times = clock::scan(only.as_bytes());
            (clock::masked(only.as_bytes(), &times) == [clock::MASK]).then_some(Cause::BuilderLabel)
        }
        "org.opencontainers.image.created" => times(change, context).map(|_| Cause::BuilderLabel),
        "org.opencontainers.image.base.digest" => Some(Cause::BaseMoved),
        _ if name.starts_with("moby.buildkit.") => Some(Cause::BuilderLabel),
        _ => times(change, context),
    }
}

fn strings(change: &ConfigChange) -> Option<(&str, &str)> {
    Some((change.a.as_ref()?.as_str()?, change.b.as_ref()?.as_str()?))
}

fn times(change: &ConfigChange, context: &Context) -> Option<Cause> {
    let (a, b) = strings(change)?;
    let (a, b) = clock::mask_both(a.as_bytes(), b.as_bytes(), context)?;
    (a == b).then_some(Cause::ClockInText)
}

/// Texts that differ only in hashes of what the engine made: `FROM 0123456789ab`, `COPY dir:<hash>`.
fn quoted_hashes(change: &ConfigChange) -> Option<Cause> {
    let (a, b) = strings(change)?;
    let pairs = token::differing(a.as_bytes(), b.as_bytes()).unwrap_or_default();
    let hash = |token: &[u8]| matches!(token.len(), 12 | 64) && token.iter().all(u8::is_ascii_hexdigit);
    (!pairs.is_empty() && pairs.iter().all(|(a, b)| hash(a) && hash(b) && a.len() == b.len()))
        .then_some(Cause::HistoryConsequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(of: Of, pointer: &str, a: &str, b: &str, expected: &str) {
        let change = ConfigChange { of, pointer: pointer.into(), a: Some(a.into()), b: Some(b.into()) };
        assert_eq!(explain(&change, false, &Context::default()).cause.code(), expected, "{pointer}");
    }

    #[test]
    fn causes() {
        let (one, other) = ("2026-11-24T21:15:12Z", "2026-11-24T22:00:01.5Z");
        check(Of::Config, "/created", one, other, "clock-in-text");
        check(Of::Config, "/history/3/created", one, other, "clock-in-text");
        check(Of::Config, "/created", one, "never", "unexplained");
        check(
            Of::Config,
            "/history/3/comment",
            "FROM 0123456789ab",
            "FROM ba9876543210",
            "history-consequence",
        );
        check(Of::Config, "/history/3/comment", "FROM a", "FROM b", "unexplained");
        let copy = |hash: &str| format!("/bin/sh -c #(nop) COPY dir:{} in /app", hash.repeat(32));
        check(Of::Config, "/history/3/created_by", &copy("a1"), &copy("b2"), "history-consequence");
        check(Of::Config, "/history/3/created_by", "RUN true", "RUN evil", "unexplained");
        check(Of::Config, "/config/Hostname", "0123456789ab", "ba9876543210", "hostname");
        check(Of::Config, "/config/Labels/io.buildah.version", "1.28.2", "1.43.2", "builder-label");
        check(Of::Manifest, "/annotations/org.opencontainers.image.created", one, other, "builder-label");
        check(Of::Manifest, "/annotations/org.opencontainers.image.base.digest", "a", "b", "base-moved");
        check(Of::Manifest, "/mediaType", names::OCI_MANIFEST, names::DOCKER_MANIFEST, "layer-shape");
        check(Of::Manifest, "/config/mediaType", names::DOCKER_CONFIG, names::OCI_CONFIG, "layer-shape");
        check(Of::Manifest, "/layers/0/mediaType", names::DOCKER_LAYER_GZIP, names::OCI_LAYER, "layer-shape");
        check(Of::Manifest, "/layers/0/mediaType", names::OCI_LAYER, "text/plain", "unexplained");
        check(Of::Config, "/config/Env/0", "A=1", "A=2", "unexplained");
        check(Of::Config, "/config/User", "root", "app", "unexplained");
        check(Of::Config, "/config/Labels/built", one, other, "clock-in-text");
        check(Of::Config, "/config/Labels/built", one, "by me", "unexplained");
    }
}
