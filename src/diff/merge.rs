//! Whether two stacks of different layers are one file system.

use super::{
    DiffError,
    layers::{Read2, Side},
};
use crate::{
    layer::{Layer, LayerError, Lower},
    model::Blobs,
};

/// Compares what the layers merge to, opening equal layers only if nothing less can tell.
///
/// # Errors
/// Those of reading a layer; an equal layer that is not at hand gives `false` instead.
pub(super) fn same_filesystem(
    blobs: &dyn Blobs,
    sides: &[Side<'_>; 2],
    read: &[Read2],
) -> Result<bool, DiffError> {
    let Some(first) = read.iter().position(|pair| !pair.pair.equal()) else { return Ok(true) };
    // Nothing lies over the last layers: a path in both that differs stays so.
    if let Some(Read2 { pair, layers: Some([a, b]) }) = read.last()
        && contradicting(blobs, [&[a], &[b]]).map_err(|source| sides[0].refuses(pair.index, source))?
    {
        return Ok(false);
    }
    match exact(blobs, sides, read, first) {
        Err(DiffError::Open { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
        result => result,
    }
}

fn merged(blobs: &dyn Blobs, mut lower: Lower, layers: &[&Layer]) -> Result<Lower, LayerError> {
    layers.iter().try_for_each(|layer| lower.apply(layer, blobs))?;
    Ok(lower)
}

fn contradicting(blobs: &dyn Blobs, [a, b]: [&[&Layer]; 2]) -> Result<bool, LayerError> {
    merged(blobs, Lower::default(), a)?.contradicts(&merged(blobs, Lower::default(), b)?)
}

fn exact(blobs: &dyn Blobs, sides: &[Side<'_>; 2], read: &[Read2], first: usize) -> Result<bool, DiffError> {
    let layers = |pair: &Read2| match &pair.layers {
        Some(layers) => Ok(layers.clone()),
        None => sides[0].layer_of(blobs, pair.pair.index).map(|layer| [layer.clone(), layer]),
    };
    let upper = read[first..].iter().map(layers).collect::<Result<Vec<_>, _>>()?;
    let [a, b] = [0, 1].map(|side| upper.iter().map(|layers| &layers[side]).collect::<Vec<_>>());
    let refuses = |source| sides[0].refuses(first, source);
    if contradicting(blobs, [&a, &b]).map_err(refuses)? {
        return Ok(false);
    }
    let mut lower = Lower::default();
    for layer in 0..first {
        lower.apply(&sides[0].layer_of(blobs, layer)?, blobs).map_err(refuses)?;
    }
    let both = merged(blobs, lower.clone(), &a).and_then(|one| one.same(&merged(blobs, lower, &b)?));
    both.map_err(refuses)
}
