//! A manifest and its config as one thing.

use super::{Config, Manifest, OciError, shape};
use crate::model::Digest;

/// An image: the manifest of one platform and the config it names.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of the manifest's bytes.
    pub manifest_digest: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// Its config.
    pub config: Config,
}

impl Image {
    /// Reads both and checks that they belong together: the config's bytes have the digest and size the
    /// manifest names, and there are as many layers as diffIDs.
    ///
    /// # Errors
    /// Those of [`Manifest::parse`] and [`Config::parse`], and [`OciError::Shape`] if they do not.
    pub fn parse(manifest: &[u8], config: &[u8]) -> Result<Self, OciError> {
        let manifest = Manifest::parse(manifest)?;
        let named = manifest.config();
        let actual = Digest::of(config);
        if named.digest != actual || named.size != config.len() as u64 {
            let why = format!("the manifest names {} ({} bytes), this is {actual}", named.digest, named.size);
            return Err(shape("config", why));
        }
        let config = Config::parse(config)?;
        let (layers, diff_ids) = (manifest.layers().len(), config.diff_ids().len());
        if layers != diff_ids {
            let why = format!("it has {diff_ids} diffIDs for the {layers} layers of the manifest");
            return Err(shape("config", why));
        }
        Ok(Self { manifest_digest: manifest.digest(), manifest, config })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        model::{Descriptor, names::OCI_CONFIG},
        oci::manifest_bytes,
    };

    #[test]
    fn both_must_fit() {
        let config = br#"{"rootfs":{"diff_ids":[]}}"#;
        let layer = Descriptor::of("x/y", b"");
        let of = |layers: &[Descriptor]| {
            manifest_bytes(&Descriptor::of(OCI_CONFIG, config), layers, &BTreeMap::new())
        };
        assert!(Image::parse(&of(&[]), config).is_ok());
        assert!(Image::parse(&of(&[]), br#"{"rootfs":{"diff_ids":[] }}"#).is_err());
        let error = Image::parse(&of(&[layer]), config).unwrap_err().to_string();
        assert_eq!(error, "the config is not one: it has 0 diffIDs for the 1 layers of the manifest");
    }
}
