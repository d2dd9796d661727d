//! As much of manifests and indexes as moving them needs. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::RegistryError;
use crate::model::{
    Descriptor, Digest, json,
    names::{DOCKER_LIST, DOCKER_MANIFEST, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST},
};

/// Every type of manifest we read; without them registries deny what they have (FORMATS.md §9).
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Reads a manifest or index and tells its media type: its own word, else `content_type`, else its shape.
///
/// # Errors
/// [`RegistryError::Answer`] naming `what`: not strict JSON, not an object, or both manifest and index
/// (CVE-2021-41190).
pub(super) fn read(
    what: &str,
    bytes: &[u8],
    content_type: Option<&str>,
) -> Result<(String, Map<String, Value>), RegistryError> {
    let object = match json::parse(bytes) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err(RegistryError::answer(what, "not a manifest")),
        Err(error) => return Err(RegistryError::answer(what, format!("not a manifest: {error}"))),
    };
    let index = object.contains_key("manifests");
    let manifest = object.contains_key("layers") || object.contains_key("config");
    if index && manifest {
        return Err(RegistryError::answer(what, "both a manifest and an index"));
    }
    let known = content_type.filter(|media_type| is_index(media_type) || is_manifest(media_type));
    if !index && !manifest && !object.contains_key("mediaType") {
        return Err(RegistryError::answer(what, "neither a manifest nor an index"));
    }
    let by_shape = if index { OCI_INDEX } else { OCI_MANIFEST };
    let media_type = object.get("mediaType").and_then(Value::as_str).or(known).unwrap_or(by_shape);
    if is_index(media_type) != index {
        return Err(RegistryError::answer(what, "its media type contradicts its content"));
    }
    Ok((media_type.to_owned(), object))
}

/// Whether `media_type` is that of an index.
pub(super) fn is_index(media_type: &str) -> bool {
    media_type == OCI_INDEX || media_type == DOCKER_LIST
}

/// Whether `media_type` is that of an image or artifact manifest.
pub(super) fn is_manifest(media_type: &str) -> bool {
    media_type == OCI_MANIFEST || media_type == DOCKER_MANIFEST
}

/// The `manifests` of an index, raw; none if it is not one.
pub(super) fn entries(index: &Map<String, Value>) -> &[Value] {
    index.get("manifests").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The digest an entry names, if it is one of ours.
pub(super) fn digest_of(entry: &Value) -> Option<Digest> {
    entry.get("digest")?.as_str()?.parse().ok()
}

/// What `manifest` is about, if it is about something.
pub(super) fn subject(manifest: &Map<String, Value>) -> Option<Digest> {
    manifest.get("subject").and_then(digest_of)
}

/// The descriptor by which `bytes`, a manifest about something, is listed (distribution-spec, "Listing Referrers").
pub(super) fn listed(media_type: &str, bytes: &[u8], manifest: &Map<String, Value>) -> Descriptor {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(ToOwned::to_owned);
    let config = manifest.get("config").and_then(|config| text(config.get("mediaType")));
    let artifact_type = text(manifest.get("artifactType")).or(config).filter(|name| name != OCI_EMPTY);
    let annotations = manifest.get("annotations").and_then(Value::as_object);
    let annotations: BTreeMap<_, _> = annotations
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    Descriptor { artifact_type, annotations, ..Descriptor::of(media_type, bytes) }
}

/// The one entry of `index` for `wanted` (`os/architecture[/variant]`).
///
/// Equal platforms win, the first of them; without a variant in `wanted`, a sole entry of that architecture will do.
///
/// # Errors
/// [`RegistryError::Platform`] listing what `image` has.
pub(super) fn select(
    image: &str,
    index: &Map<String, Value>,
    wanted: &str,
) -> Result<Descriptor, RegistryError> {
    let wanted = normal(wanted);
    let entries: Vec<(String, &Value)> =
        entries(index).iter().filter_map(|entry| Some((platform(entry)?, entry))).collect();
    let exact = entries.iter().find(|(platform, _)| *platform == wanted);
    let near: Vec<_> = entries
        .iter()
        .filter(|(platform, _)| {
            wanted.matches('/').count() == 1 && platform.starts_with(&format!("{wanted}/"))
        })
        .collect();
    let chosen = match (exact, near.as_slice()) {
        (Some(exact), _) => exact,
        (None, [only]) => only,
        _ => {
            let names: Vec<_> = entries.iter().map(|(platform, _)| platform.as_str()).collect();
            let available = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let available = crate::model::path::printable(&available.chars().take(1000).collect::<String>());
            return Err(RegistryError::Platform { image: image.to_owned(), wanted, available });
        }
    };
    let malformed = |error| RegistryError::answer(image, format!("bad entry for {wanted}: {error}"));
    serde_json::from_value(chosen.1.clone()).map_err(malformed)
}

fn platform(entry: &Value) -> Option<String> {
    let platform = entry.get("platform")?;
    let part = |key: &str| platform.get(key).and_then(Value::as_str).filter(|part| !part.is_empty());
    let parts = [part("os")?, part("architecture")?, part("variant").unwrap_or_default()];
    Some(normal(parts.join("/").trim_end_matches('/')))
}

/// Without the variant that goes without saying.
fn normal(platform: &str) -> String {
    platform.strip_suffix("/v8").filter(|rest| rest.ends_with("/arm64")).unwrap_or(platform).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_the_media_type() {
        let check = |body: &str, content_type: Option<&str>, expected: &str| {
            assert_eq!(read("x", body.as_bytes(), content_type).unwrap().0, expected, "{body}");
        };
        check(r#"{"layers":[]}"#, None, OCI_MANIFEST);
        check(r#"{"manifests":[]}"#, Some("application/json"), OCI_INDEX);
        check(r#"{"manifests":[]}"#, Some(DOCKER_LIST), DOCKER_LIST);
        check(&format!(r#"{{"mediaType":"{DOCKER_MANIFEST}"}}"#), Some("text/html"), DOCKER_MANIFEST);
    }

    #[test]
    fn refuses_two_faces() {
        let check = |body: &str, expected: &str| {
            let error = read("x", body.as_bytes(), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(r#"{"manifests":[],"layers":[]}"#, "both");
        check(&format!(r#"{{"mediaType":"{OCI_INDEX}","layers":[]}}"#), "contradicts");
        check(r#"{"mediaType":"a","mediaType":"b"}"#, "twice");
        check("<html>", "not a manifest");
        check("[]", "not a manifest");
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, "neither");
    }

    #[test]
    fn selects_a_platform() {
        let entry = |os: &str, architecture: &str, variant: &str| {
            json!({"mediaType": OCI_MANIFEST, "digest": Digest::of(format!("{os}{architecture}{variant}").as_bytes()),
                "size": 2, "platform": {"os": os, "architecture": architecture, "variant": variant}})
        };
        let index = json!({"manifests": [entry("linux", "amd64", ""), entry("linux", "arm64", "v8"),
            entry("linux", "arm", "v6"), entry("linux", "arm", "v7"), entry("linux", "riscv64", "x"),
            entry("unknown", "unknown", ""), {"digest": "junk"}]});
        let index = index.as_object().unwrap();
        let check = |wanted: &str, expected: Option<&str>| {
            let digest = select("image", index, wanted).ok().map(|entry| entry.digest);
            assert_eq!(digest, expected.map(|text| Digest::of(text.as_bytes())), "{wanted}");
        };
        check("linux/amd64", Some("linuxamd64"));
        check("linux/arm64", Some("linuxarm64v8"));
        check("linux/arm64/v8", Some("linuxarm64v8"));
        check("linux/arm/v7", Some("linuxarmv7"));
        check("linux/riscv64", Some("linuxriscv64x"));
        check("linux/arm", None);
        check("linux/s390x", None);
        let error = select("image", index, "linux/s390x").unwrap_err();
        insta::assert_snapshot!(error, @"image has no single manifest for linux/s390x; it has linux/amd64, linux/arm64, linux/arm/v6, linux/arm/v7, linux/riscv64/x, unknown/unknown");
    }
}
