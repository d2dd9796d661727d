//! Whether two stacks of different layers are one file system.

use super::{Change, ChangeKind, DiffError, Field, LayerPair, layers::Side};
use crate::{
    layer::{Kind, Layer, LayerError, Lower, is_attribute_record},
    model::{Blobs, limits::MERGE_FREE_BYTES},
};

/// Compares what the layers merge to. Equal layers are opened only if nothing less can tell: those above the lowest that
/// differ, if they are small beside those that differ or below `MERGE_FREE_BYTES`; those below, if nothing above contradicts.
///
/// # Errors
/// Those of reading a layer; equal layers that are too large, or not at hand, give `false` instead.
pub(super) fn same_filesystem(
    blobs: &dyn Blobs,
    sides: &[Side<'_>; 2],
    pairs: &[LayerPair],
) -> Result<bool, DiffError> {
    let Some(first) = pairs.iter().position(|pair| !pair.equal()) else { return Ok(true) };
    if pairs.iter().any(|pair| pair.whole.iter().any(Field::misleads)) {
        return Ok(false);
    }
    // Nothing lies over the last layers: what differs there stays so.
    if pairs.last().is_some_and(|pair| pair.a.is_some() && pair.b.is_some() && pair.changes.iter().any(stays))
    {
        return Ok(false);
    }
    let bytes = |equal: bool| -> u64 {
        let pairs = pairs[first..].iter().filter(|pair| pair.equal() == equal);
        pairs.filter_map(|pair| pair.a).map(|layer| sides[0].size_bytes(layer)).sum()
    };
    if bytes(true) > MERGE_FREE_BYTES.max(bytes(false) / 4) {
        return Ok(false);
    }
    match exact(blobs, sides, pairs, first) {
        Err(DiffError::Open { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
        result => result,
    }
}

/// Whether `change` is one of the merged file system too, whatever lies below and if nothing lies above.
fn stays(change: &Change) -> bool {
    let (Some(a), Some(b)) = (&change.a, &change.b) else { return false };
    let kept = |name: &str| {
        let attribute = |record: &str| is_attribute_record(record.as_bytes());
        matches!(name, "mode" | "uid" | "gid" | "mtime" | "device" | "content")
            || name.starts_with("xattr:")
            || name.strip_prefix("pax:").is_some_and(attribute)
            || (name == "link" && a.kind == Kind::Symlink)
    };
    let plain = ![a, b].into_iter().any(|entry| entry.is_whiteout() || entry.kind == Kind::Hardlink);
    plain && (change.kind == ChangeKind::Type || change.fields.iter().any(|field| kept(&field.name)))
}

fn merged(blobs: &dyn Blobs, mut lower: Lower, layers: &[Layer]) -> Result<Lower, LayerError> {
    layers.iter().try_for_each(|layer| lower.apply(layer, blobs))?;
    Ok(lower)
}

fn exact(
    blobs: &dyn Blobs,
    sides: &[Side<'_>; 2],
    pairs: &[LayerPair],
    first: usize,
) -> Result<bool, DiffError> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for pair in &pairs[first..] {
        let one = pair.a.map(|layer| sides[0].layer_of(blobs, layer)).transpose()?;
        let other = match pair.b {
            Some(_) if pair.same_blob() => one.clone(),
            layer => layer.map(|layer| sides[1].layer_of(blobs, layer)).transpose()?,
        };
        a.extend(one);
        b.extend(other);
    }
    let refuses = |source| DiffError::Scratch { layer: first, source };
    let alone = |layers: &[Layer]| merged(blobs, Lower::default(), layers);
    let contradicts = alone(&a).and_then(|one| one.contradicts(&alone(&b)?));
    if contradicts.map_err(refuses)? {
        return Ok(false);
    }
    let mut lower = Lower::default();
    for layer in pairs[..first].iter().filter_map(|pair| pair.a) {
        lower.apply(&sides[0].layer_of(blobs, layer)?, blobs).map_err(refuses)?;
    }
    let both = merged(blobs, lower.clone(), &a).and_then(|one| one.same(&merged(blobs, lower, &b)?));
    both.map_err(refuses)
}
