//! Whether two stacks of different layers are one file system.

use super::{
    DiffError,
    layers::{Read2, Side},
};
use crate::{
    layer::{Lower, Thin},
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
    if read.last().and_then(|pair| pair.thin.as_ref()).is_some_and(contradicting) {
        return Ok(false);
    }
    match exact(blobs, sides, read, first) {
        Err(DiffError::Open { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
        result => result,
    }
}

fn contradicting([a, b]: &[Thin; 2]) -> bool {
    let over_nothing = |layer| {
        let mut lower = Lower::default();
        lower.apply_thin(layer);
        lower
    };
    over_nothing(a).contradicts(&over_nothing(b))
}

fn exact(blobs: &dyn Blobs, sides: &[Side<'_>; 2], read: &[Read2], first: usize) -> Result<bool, DiffError> {
    let thinned = |pair: &Read2| match &pair.thin {
        Some(thin) => Ok(thin.clone()),
        None => sides[0].entries(blobs, pair.pair.index).map(|entries| {
            let thin = Thin::new(&entries);
            [thin.clone(), thin]
        }),
    };
    let upper = read[first..].iter().map(thinned).collect::<Result<Vec<_>, _>>()?;
    let merged = |mut lower: Lower, side: usize| {
        for thin in &upper {
            lower.apply_thin(&thin[side]);
        }
        lower
    };
    if merged(Lower::default(), 0).contradicts(&merged(Lower::default(), 1)) {
        return Ok(false);
    }
    let mut lower = Lower::default();
    for layer in 0..first {
        lower.apply(&sides[0].entries(blobs, layer)?);
    }
    Ok(merged(lower.clone(), 0).same(&merged(lower, 1)))
}
