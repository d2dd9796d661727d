//! Manifests written canonically (RFC 8785), so that equal content has one digest.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::{
    Descriptor,
    json::canonical,
    names::{OCI_EMPTY, OCI_EMPTY_BYTES, OCI_MANIFEST},
};

/// The bytes of an OCI image manifest.
#[must_use]
pub fn manifest_bytes(
    config: &Descriptor,
    layers: &[Descriptor],
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": layers,
    });
    if !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
    canonical(&manifest)
}

/// The bytes of an OCI artifact manifest with the empty config (WIRE.md §4, FORMATS.md §4), referring to
/// `subject` by media type, digest and size alone.
#[must_use]
pub fn artifact_bytes(
    artifact_type: &str,
    layers: &[Descriptor],
    subject: Option<&Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": Descriptor::of(OCI_EMPTY, OCI_EMPTY_BYTES),
        "layers": layers,
    });
    if let Some(subject) = subject {
        manifest["subject"] = bare(subject);
    }
    if !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
    canonical(&manifest)
}

fn bare(descriptor: &Descriptor) -> Value {
    json!({"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Manifest;

    #[test]
    fn artifact() {
        let mut subject = Descriptor::of(OCI_MANIFEST, b"{}");
        subject.platform = Some(json!({"os": "linux"}));
        let annotations =
            BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
        let bytes = artifact_bytes("x/y", &[Descriptor::of("x/y", b"abc")], Some(&subject), &annotations);
        insta::assert_snapshot!(String::from_utf8(bytes.clone()).unwrap(), @r#"{"annotations":{"a":"1","b":"2"},"artifactType":"x/y","config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","mediaType":"application/vnd.oci.empty.v1+json","size":2},"layers":[{"digest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","mediaType":"x/y","size":3}],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2,"subject":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","mediaType":"application/vnd.oci.image.manifest.v1+json","size":2}}"#);
        let read = Manifest::parse(&bytes).unwrap();
        assert_eq!((read.artifact_type(), read.subject().unwrap().digest), (Some("x/y"), subject.digest));
    }
}
