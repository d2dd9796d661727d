//! An image index (OCI image-spec, "Image Index"; Docker manifest list).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{OciError, config::platform_name, descriptor, object, shape};
use crate::model::{
    Descriptor, Digest,
    limits::MANIFEST_SIZE_BYTES_MAX,
    names::{DOCKER_LIST, OCI_INDEX},
};

const WHAT: &str = "index";

/// An index, with the bytes it was read from.
#[derive(Debug, Clone)]
pub struct Index {
    bytes: Vec<u8>,
    raw: Value,
    manifests: Vec<Descriptor>,
}

impl Index {
    /// Reads an index strictly.
    ///
    /// # Errors
    /// Not strict JSON, too large, another media type, a manifest rather than an index, a descriptor without
    /// our kind of digest.
    pub fn parse(bytes: &[u8]) -> Result<Self, OciError> {
        let raw = object(WHAT, bytes, MANIFEST_SIZE_BYTES_MAX)?;
        if raw.get("layers").is_some() || raw.get("config").is_some() {
            return Err(shape(WHAT, "it has `layers` or `config`, so it is a manifest"));
        }
        match raw.get("mediaType").map(Value::as_str) {
            None | Some(Some(OCI_INDEX | DOCKER_LIST)) => {}
            Some(_) => return Err(shape(WHAT, format!("its media type is {}", raw["mediaType"]))),
        }
        let Some(items) = raw.get("manifests").and_then(Value::as_array) else {
            return Err(shape(WHAT, "`manifests` is not a list"));
        };
        let read = |(index, item)| descriptor(WHAT, &format!("manifests[{index}]"), item);
        let manifests = items.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { bytes: bytes.to_vec(), raw, manifests })
    }

    /// Every entry, attestations included.
    pub fn manifests(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// The JSON it was read from.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// The bytes it was read from.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The platforms it has images for, as written (`linux/arm64/v8`), in its order.
    pub fn platforms(&self) -> Vec<String> {
        self.images().filter_map(|(platform, _)| platform).collect()
    }

    /// Images that no platform leads to: of none, or of one that an image before has.
    pub fn others(&self) -> Vec<Digest> {
        let mut seen = BTreeSet::new();
        let images = self.images().filter(|(name, _)| {
            let name = name.as_deref().map(|name| usual(name).to_owned());
            name.is_none_or(|name| !seen.insert(name))
        });
        images.map(|(_, image)| image.digest).collect()
    }

    /// The first image for `platform` (`os/architecture[/variant]`). Without a variant asked for, an entry
    /// with one is taken if it is the only variant there is. An only image that names no platform is taken
    /// too: its config then says what it is. Attestation manifests are never chosen.
    ///
    /// # Errors
    /// [`OciError::Platform`] with the platforms it has.
    pub fn select(&self, platform: &str) -> Result<Descriptor, OciError> {
        let wanted = usual(platform);
        let images: Vec<_> = self.images().collect();
        let exact = images.iter().find(|(name, _)| name.as_deref().map(usual) == Some(wanted));
        let variants = || {
            let prefix = format!("{wanted}/");
            let mut found = images.iter().filter(|(name, _)| {
                name.as_deref()
                    .is_some_and(|name| name.starts_with(&prefix) && wanted.matches('/').count() == 1)
            });
            found.next().filter(|_| found.next().is_none())
        };
        let sole = || images.first().filter(|(name, _)| name.is_none() && images.len() == 1);
        exact
            .or_else(variants)
            .or_else(sole)
            .map(|(_, image)| (*image).clone())
            .ok_or_else(|| OciError::Platform { wanted: platform.to_owned(), has: self.platforms() })
    }

    fn images(&self) -> impl Iterator<Item = (Option<String>, &Descriptor)> {
        let named = self.manifests.iter().map(|entry| (entry.platform.as_ref().map(platform_name), entry));
        named.filter(|(name, entry)| {
            let attestation = entry.annotations.get("vnd.docker.reference.type").map(String::as_str);
            name.as_deref() != Some("unknown/unknown") && attestation != Some("attestation-manifest")
        })
    }
}

/// `linux/arm64/v8` and `linux/arm64` are one platform.
pub fn usual(platform: &str) -> &str {
    if platform == "linux/arm64/v8" { "linux/arm64" } else { platform }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn index(platforms: &[&str]) -> Index {
        let entries: Vec<_> = platforms
            .iter()
            .map(|platform| {
                let mut entry = serde_json::json!({
                    "mediaType": "x/y", "size": 1, "digest": Digest::of(platform.as_bytes()),
                });
                let parts: Vec<&str> = platform.split('/').collect();
                if let [os, architecture, variant @ ..] = &parts[..] {
                    entry["platform"] = serde_json::json!({"os": os, "architecture": architecture});
                    if let [variant] = variant {
                        entry["platform"]["variant"] = (*variant).into();
                    }
                }
                entry
            })
            .collect();
        let text = serde_json::json!({"schemaVersion": 2, "manifests": entries}).to_string();
        Index::parse(text.as_bytes()).unwrap()
    }

    #[track_caller]
    fn check(platforms: &[&str], wanted: &str, expected: Result<&str, &str>) {
        let found = index(platforms).select(wanted);
        match expected {
            Ok(name) => assert_eq!(found.unwrap().digest, Digest::of(name.as_bytes())),
            Err(message) => assert_eq!(found.unwrap_err().to_string(), message),
        }
    }

    #[test]
    fn selects() {
        let all = ["unknown/unknown", "linux/amd64", "linux/arm/v5", "linux/arm/v7", "linux/arm64/v8"];
        check(&all, "linux/amd64", Ok("linux/amd64"));
        check(&all, "linux/arm64", Ok("linux/arm64/v8"));
        check(&all, "linux/arm/v7", Ok("linux/arm/v7"));
        let has = "it has linux/amd64, linux/arm/v5, linux/arm/v7, linux/arm64/v8";
        check(&all, "linux/arm", Err(&format!("the index has no image for `linux/arm`; {has}")));
        check(&["linux/arm/v6"], "linux/arm", Ok("linux/arm/v6"));
        check(&["sole"], "linux/amd64", Ok("sole"));
        check(&[], "linux/amd64", Err("the index has no image for `linux/amd64`; it has none"));
    }

    #[test]
    fn refuses_what_is_a_manifest() {
        assert!(Index::parse(br#"{"manifests":[],"layers":[]}"#).is_err());
        assert!(Index::parse(br#"{"manifests":{}}"#).is_err());
    }
}
