//! What differs between two images, exactly and completely, without saying why.
//!
//! Layers whose blobs are equal are not opened, but for the one question whether different layers merge to
//! one file system. Config and manifest are compared as raw JSON, so no field goes unseen. Knows no cause,
//! file or registry: bytes come from [`crate::model::Blobs`].

mod ahead;
mod align;
mod change;
mod delta;
mod json;
mod kept;
mod layers;
mod lockstep;
mod merge;
mod moved;
mod sorted;
mod whiteouts;

pub use change::{Change, ChangeKind, Field};
pub use delta::{Delta, Run};
pub use json::{ConfigChange, Of};
pub use kept::{Both, Kept};
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
    #[error("cannot read layer {layer} of image {image}{after}")]
    Layer {
        /// `a` or `b`.
        image: char,
        /// Which layer, lowest is 0.
        layer: usize,
        /// Empty, or a comma and the entry that was read last.
        after: String,
        /// Why not.
        source: LayerError,
    },
    /// A temporary file failed.
    #[error("cannot compare the layers at {layer}")]
    Scratch {
        /// Which pair, lowest is 0.
        layer: usize,
        /// Why not.
        source: LayerError,
    },
    /// A temporary file failed later on.
    #[error("cannot read back what differs")]
    ReadBack(#[source] io::Error),
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
    /// The layers, paired.
    pub layers: Vec<LayerPair>,
    /// What differs in config and manifest, but for digests and sizes of layers and config.
    pub config: Vec<ConfigChange>,
    /// Whether both images, layers merged, are one file system in every field. `false` also if equal layers
    /// below would have to be opened to tell and are not at hand.
    pub same_filesystem: bool,
}

impl Comparison {
    /// Whether all contents that were asked for ([`Kept::read`]) could be read back.
    ///
    /// # Errors
    /// Those of the medium.
    pub fn read_back(&self) -> Result<(), DiffError> {
        let all = self.layers.iter().flat_map(|pair| &pair.changes);
        let failure = all.filter_map(|change| change.contents.as_ref()).find_map(Kept::failure);
        failure.map_or(Ok(()), |error| Err(DiffError::ReadBack(error)))
    }

    /// For each pair of layers what `a` or else `b` has for its layer in that image; first `b`, where that image has more
    /// layers for the same.
    pub fn by_pair<T: Clone>(&self, a: &[Option<T>], b: &[Option<T>]) -> Vec<Option<T>> {
        let of = |all: &[Option<T>], layer: Option<LayerRef>| all.get(layer?.index).cloned().flatten();
        let one = |pair: &LayerPair| {
            if pair.finer_in_b {
                of(b, pair.b).or_else(|| of(a, pair.a))
            } else {
                of(a, pair.a).or_else(|| of(b, pair.b))
            }
        };
        self.layers.iter().map(one).collect()
    }
}

/// Compares two images, layer by layer and field by field.
///
/// 1. Layers that have one diffID in both images are paired, in order; what lies between, one by one. Equal blobs are
///    equal. Others are inflated and held against their diffIDs, both at once.
/// 2. Entries are paired by path: in one pass while both archives have one order (`lockstep`), else sorted (`sorted`).
///    Contents that differ are held up to `CAPTURE_FILE_BYTES_MAX` a file and `CAPTURE_SIZE_BYTES_MAX` in all, few in memory.
/// 3. Of a run of differing layers of which the images have not as many, what they merge to is compared.
/// 4. Where layers differ, the merged file systems are compared.
///
/// # Errors
/// A layer that cannot be opened or is refused by [`crate::layer::walk`] though it is read leniently, or whose diffID is
/// not the config's.
pub fn images(blobs: &dyn Blobs, a: &Image, b: &Image) -> Result<Comparison, DiffError> {
    let config = json::compare(a, b);
    let same_manifest = a.manifest_digest == b.manifest_digest;
    let sides = [layers::Side::new('a', a)?, layers::Side::new('b', b)?];
    let layers = layers::read(blobs, &sides)?;
    let same_filesystem = merge::same_filesystem(blobs, &sides, &layers)?;
    Ok(Comparison { same_manifest, layers, config, same_filesystem })
}

#[cfg(test)]
pub(crate) mod tests;
