//! An image or artifact manifest (OCI image-spec, "Image Manifest"; Docker v2 schema 2).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{OciError, descriptor, object, shape, string_or_nothing};
use crate::model::{
    Descriptor, Digest,
    limits::{LAYERS_MAX, MANIFEST_SIZE_BYTES_MAX},
    names::{DOCKER_CONFIG, DOCKER_MANIFEST, OCI_MANIFEST},
};

const WHAT: &str = "manifest";

/// A manifest, with the bytes it was read from.
#[derive(Debug, Clone)]
pub struct Manifest {
    bytes: Vec<u8>,
    raw: Value,
    media_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
    subject: Option<Descriptor>,
    annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a manifest strictly.
    ///
    /// # Errors
    /// Not strict JSON; over `MANIFEST_SIZE_BYTES_MAX` or [`LAYERS_MAX`]; another schema version or media
    /// type; an index, or something that could pass for both (`manifests` beside `layers`); a descriptor
    /// without our kind of digest or with a negative or absurd size.
    pub fn parse(bytes: &[u8]) -> Result<Self, OciError> {
        let raw = object(WHAT, bytes, MANIFEST_SIZE_BYTES_MAX)?;
        if raw.get("manifests").is_some() {
            return Err(shape(WHAT, "it lists `manifests`, so it is an index; choose one of its images"));
        }
        if raw.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
            return Err(shape(WHAT, "`schemaVersion` is not 2"));
        }
        string_or_nothing(WHAT, "artifactType", raw.get("artifactType"))?;
        let config = descriptor(WHAT, "config", raw.get("config").unwrap_or(&Value::Null))?;
        let layers = layers(&raw)?;
        let subject = raw.get("subject").map(|value| descriptor(WHAT, "subject", value)).transpose()?;
        let media_type = media_type(&raw, &config)?;
        let annotations = annotations(&raw)?;
        Ok(Self { bytes: bytes.to_vec(), raw, media_type, config, layers, subject, annotations })
    }

    /// Its media type; where the manifest does not say, what its config implies.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The config's descriptor.
    pub fn config(&self) -> &Descriptor {
        &self.config
    }

    /// The layers' descriptors, lowest first.
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// Its annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// What it refers to.
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// What artifact it says it is.
    pub fn artifact_type(&self) -> Option<&str> {
        self.raw.get("artifactType").and_then(Value::as_str)
    }

    /// The JSON it was read from, no field lost.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// The bytes it was read from.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of those bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

fn media_type(raw: &Value, config: &Descriptor) -> Result<String, OciError> {
    match raw.get("mediaType") {
        None if config.media_type == DOCKER_CONFIG => Ok(DOCKER_MANIFEST.to_owned()),
        None => Ok(OCI_MANIFEST.to_owned()),
        Some(Value::String(name)) if name == OCI_MANIFEST || name == DOCKER_MANIFEST => Ok(name.clone()),
        Some(other) => Err(shape(WHAT, format!("its media type is {other}"))),
    }
}

fn layers(raw: &Value) -> Result<Vec<Descriptor>, OciError> {
    let Some(items) = raw.get("layers").and_then(Value::as_array) else {
        return Err(shape(WHAT, "`layers` is not a list"));
    };
    if items.len() > LAYERS_MAX {
        let actual = items.len() as u64;
        return Err(OciError::TooMuch { what: "manifest's layer list", actual, max: LAYERS_MAX as u64 });
    }
    items
        .iter()
        .enumerate()
        .map(|(index, item)| descriptor(WHAT, &format!("layers[{index}]"), item))
        .collect()
}

fn annotations(raw: &Value) -> Result<BTreeMap<String, String>, OciError> {
    match raw.get("annotations") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|_| shape(WHAT, "`annotations` does not map strings to strings")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn manifest(config_type: &str, size: &str, rest: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config_type}","digest":"{DIGEST}","size":{size}}},"layers":[]{rest}}}"#
        )
    }

    #[test]
    fn reads_what_both_families_write() {
        let docker = Manifest::parse(manifest(DOCKER_CONFIG, "2", "").as_bytes()).unwrap();
        assert_eq!(docker.media_type(), DOCKER_MANIFEST);
        let text = manifest("x/y", "2", r#","artifactType":"a/b","annotations":{"k":"v"},"x-unknown":[1]"#);
        let oci = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!((oci.media_type(), oci.artifact_type()), (OCI_MANIFEST, Some("a/b")));
        assert_eq!(oci.annotations()["k"], "v");
        assert_eq!(oci.raw()["x-unknown"][0], 1);
        assert_eq!(oci.digest(), Digest::of(text.as_bytes()));
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = Manifest::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn refuses() {
        check("[]", "not a JSON object");
        check(r#"{"schemaVersion":2,"schemaVersion":2}"#, "not well-formed");
        check(&manifest("x/y", "-1", ""), "`config` is no descriptor");
        check(&manifest("x/y", "9007199254740993", ""), "claims 9007199254740993 bytes");
        check(&manifest("x/y", "2", "").replace("sha256:44", "sha256:ZZ"), "no descriptor of ours");
        check(&manifest("x/y", "2", r#","manifests":[]"#), "it is an index");
        check(&manifest("x/y", "2", r#","mediaType":"text/plain""#), "media type");
        check(&manifest("x/y", "2", "").replace(":2,\"config", ":1,\"config"), "schemaVersion");
        check(&manifest("x/y", "2", r#","annotations":{"a":1}"#), "annotations");
        let layer = format!(r#"{{"mediaType":"x/y","digest":"{DIGEST}","size":1}}"#);
        let many = vec![layer; LAYERS_MAX + 1].join(",");
        check(&manifest("x/y", "2", "").replace("[]", &format!("[{many}]")), "513, more than the 512");
    }
}
