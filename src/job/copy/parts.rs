//! What a manifest or index names, as far as copying it needs. Pure.

use serde_json::Value;

use crate::model::{
    Descriptor, Digest, json,
    limits::BLOB_SIZE_BYTES_MAX,
    names::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST},
    path::printable,
};
use crate::registry::is_image_layer;

/// What must be where the manifest is.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Manifests and indexes, of an index.
    pub children: Vec<Descriptor>,
    /// Config and layers, of a manifest.
    pub blobs: Vec<Blob>,
    /// What it is about.
    pub subject: Option<Digest>,
    /// Whether a layer is files of a root file system.
    pub of_image: bool,
}

/// A blob that a manifest names.
#[derive(Debug)]
pub(super) struct Blob {
    pub descriptor: Descriptor,
    /// It may be kept at some URL and not in the repository (image-spec, "Non-Distributable Layers").
    pub foreign: bool,
}

/// Reads them.
///
/// # Errors
/// Why it cannot be copied: a type nobody here knows, a descriptor that is none, a digest of another kind than sha256.
pub(super) fn read(media_type: &str, bytes: &[u8]) -> Result<Parts, String> {
    let raw = json::parse(bytes).map_err(|error| format!("not well-formed JSON: {error}"))?;
    let subject = match raw.get("subject") {
        None | Some(Value::Null) => None,
        Some(subject) => Some(descriptor("subject", subject)?.digest),
    };
    let list = |key: &str| match raw.get(key) {
        None | Some(Value::Null) => Ok([].as_slice()),
        Some(Value::Array(items)) => Ok(items.as_slice()),
        Some(_) => Err(format!("`{key}` is not a list")),
    };
    let mut parts = Parts { subject, ..Parts::default() };
    match media_type {
        OCI_INDEX | DOCKER_LIST => {
            for (number, entry) in list("manifests")?.iter().enumerate() {
                let place = format!("manifests[{number}]");
                let child = descriptor(&place, entry)?;
                if ![OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST]
                    .contains(&child.media_type.as_str())
                {
                    let media_type = printable(&child.media_type.chars().take(100).collect::<String>());
                    return Err(format!("`{place}` is of type {media_type}, which is no image"));
                }
                parts.children.push(child);
            }
        }
        OCI_MANIFEST | DOCKER_MANIFEST => {
            let config = raw.get("config").ok_or("it has no config")?;
            parts.blobs.push(Blob { descriptor: descriptor("config", config)?, foreign: false });
            for (number, layer) in list("layers")?.iter().enumerate() {
                let descriptor = descriptor(&format!("layers[{number}]"), layer)?;
                let foreign =
                    layer.get("urls").and_then(Value::as_array).is_some_and(|urls| !urls.is_empty());
                parts.of_image |= is_image_layer(&descriptor.media_type);
                parts.blobs.push(Blob { descriptor, foreign });
            }
        }
        other => {
            let other = printable(&other.chars().take(100).collect::<String>());
            return Err(format!("it is of type {other}, which is neither a manifest nor an index"));
        }
    }
    Ok(parts)
}

fn descriptor(place: &str, value: &Value) -> Result<Descriptor, String> {
    let descriptor: Descriptor = serde_json::from_value(value.clone())
        .map_err(|error| format!("`{place}` is no descriptor that can be copied: {error}"))?;
    if descriptor.size > BLOB_SIZE_BYTES_MAX {
        return Err(format!("`{place}` claims {} bytes", descriptor.size));
    }
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(b"x"), "size": 1})
    }

    #[test]
    fn reads_both_kinds() {
        let mut foreign = one("x/y");
        foreign["urls"] = json!(["https://a.example/b"]);
        let manifest = json!({"config": one("c/d"), "layers": [one("x/y"), foreign], "subject": one("s/t")});
        let parts = read(DOCKER_MANIFEST, manifest.to_string().as_bytes()).unwrap();
        assert_eq!(parts.blobs.iter().map(|blob| blob.foreign).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(parts.subject, Some(Digest::of(b"x")));
        let index = json!({"manifests": [one(OCI_MANIFEST), one(OCI_INDEX)]});
        assert_eq!(read(OCI_INDEX, index.to_string().as_bytes()).unwrap().children.len(), 2);
    }

    #[test]
    fn refuses() {
        let check = |media_type: &str, body: &Value, expected: &str| {
            let error = read(media_type, body.to_string().as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        let with = |key: &str, value: Value| {
            let mut layer = one("x/y");
            layer[key] = value;
            json!({"config": one("c/d"), "layers": [layer]})
        };
        check(OCI_MANIFEST, &with("digest", json!("sha256:../../etc")), "`layers[0]` is no descriptor");
        check(OCI_MANIFEST, &with("digest", json!("sha512:00")), "`layers[0]` is no descriptor");
        check(OCI_MANIFEST, &with("size", json!(-1)), "`layers[0]` is no descriptor");
        check(OCI_MANIFEST, &with("size", json!(1_u64 << 63)), "claims 9223372036854775808 bytes");
        check(OCI_MANIFEST, &json!({"layers": []}), "no config");
        check(OCI_MANIFEST, &json!({"config": one("c/d"), "layers": {}}), "`layers` is not a list");
        check(OCI_INDEX, &json!({"manifests": [one("x/y")]}), "`manifests[0]` is of type x/y");
        check("application/vnd.own", &json!({}), "neither a manifest nor an index");
        check(OCI_INDEX, &json!({"manifests": [], "subject": 7}), "`subject`");
    }
}
