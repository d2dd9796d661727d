//! What differs between two images, exactly and completely, without saying why.
//!
//! Layers whose blobs are equal are not opened, but for the one question whether different layers merge to
//! one file system. Config and manifest are compared as raw JSON, so no field goes unseen. Knows no cause,
//! file or registry: bytes come from [`crate::model::Blobs`].

mod change;
mod json;
mod layers;
mod merge;

pub use change::{Change, ChangeKind, Field};
pub use json::{ConfigChange, Of};
pub use layers::{LayerPair, LayerRef};

use std::io;

use crate::{
    layer::LayerError,
    model::{Blobs, DiffId, Digest},
    oci::Image,
};

/// Why two images cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// A layer is missing or unreadable.
    #[error("cannot open layer {layer} ({digest}) of image {image}")]
    Open {
        /// `a` or `b`.
        image: char,
        /// Which layer, lowest is 0.
        layer: usize,
        /// Its blob.
        digest: Digest,
        /// Why not.
        source: io::Error,
    },
    /// A layer holds what is not read.
    #[error("cannot read layer {layer} of image {image}")]
    Layer {
        /// `a` or `b`.
        image: char,
        /// Which layer, lowest is 0.
        layer: usize,
        /// Why not.
        source: LayerError,
    },
    /// The config lies about a layer.
    #[error("layer {layer} of image {image} is not the {claimed} its config claims but {actual}")]
    DiffId {
        /// `a` or `b`.
        image: char,
        /// Which layer, lowest is 0.
        layer: usize,
        /// What the config says.
        claimed: DiffId,
        /// What the blob holds.
        actual: DiffId,
    },
    /// A manifest and config that do not belong together.
    #[error("image {image} has {diff_ids} diffIDs for {layers} layers")]
    Count {
        /// `a` or `b`.
        image: char,
        /// In the config.
        diff_ids: usize,
        /// In the manifest.
        layers: usize,
    },
}

/// Everything that differs.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Whether both manifests are the same bytes.
    pub same_manifest: bool,
    /// The layers, paired by index.
    pub layers: Vec<LayerPair>,
    /// What differs in config and manifest, but for digests and sizes of layers and config.
    pub config: Vec<ConfigChange>,
    /// Whether both images, layers merged, are one file system in every field. `false` also if equal layers
    /// below would have to be opened to tell and are not at hand.
    pub same_filesystem: bool,
}

/// Compares two images, layer by layer and field by field.
///
/// 1. Layers are paired by index; equal blobs are equal. Others are inflated, held against their diffIDs
///    and indexed, each pair on its own core.
/// 2. Entries are paired by path. Contents that differ are captured in a second pass, up to
///    `CAPTURE_FILE_BYTES_MAX` a file and `CAPTURE_SIZE_BYTES_MAX` in all, in order of layer and path.
/// 3. Where layers differ, the merged file systems are compared.
///
/// # Errors
/// A layer that cannot be opened or is refused by [`crate::layer::walk`], or whose diffID is not the
/// config's.
pub fn images(blobs: &dyn Blobs, a: &Image, b: &Image) -> Result<Comparison, DiffError> {
    let config = json::compare(a, b);
    let same_manifest = a.manifest_digest == b.manifest_digest;
    let (sides, mut read) = layers::read(blobs, a, b)?;
    layers::capture(blobs, &sides, &mut read)?;
    let same_filesystem = merge::same_filesystem(blobs, &sides, &read)?;
    let layers = read.into_iter().map(|pair| pair.pair).collect();
    Ok(Comparison { same_manifest, layers, config, same_filesystem })
}

#[cfg(test)]
pub(crate) mod tests;
