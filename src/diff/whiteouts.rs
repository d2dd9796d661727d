//! Whether deletions that are said in different ways come to the same.

use std::{collections::BTreeSet, io};

use bstr::{BStr, BString, ByteSlice as _};

use super::{ChangeKind, DiffError, Field, LayerPair, layers::Side};
use crate::{
    layer::{Entry, Lower},
    model::{Blobs, path::printable},
};

/// For how many layers those below are read.
const LOOKS_BELOW_MAX: usize = 8;

/// Adds to each whiteout that only one image has in this pair a field `deletes`, with a path that is gone in one image only,
/// if there is one on the layers `below`. They are opened only where both images have whiteouts of their own; what is not at
/// hand is not looked at, and the field then says so.
///
/// # Errors
/// Those of reading layers.
pub(super) fn tell(
    blobs: &dyn Blobs,
    sides: &[Side<'_>; 2],
    below: &[LayerPair],
    pair: &mut LayerPair,
    looked_below: &mut usize,
) -> Result<(), DiffError> {
    let own = |kind: ChangeKind| {
        pair.changes
            .iter()
            .any(|change| change.kind == kind && change.entry().is_some_and(Entry::is_whiteout))
    };
    let (true, Some(one), Some(other)) =
        (own(ChangeKind::OnlyInA) && own(ChangeKind::OnlyInB), pair.a, pair.b)
    else {
        return Ok(());
    };
    *looked_below += 1;
    if *looked_below > LOOKS_BELOW_MAX {
        say(pair, &[Some("nobody looked, since too many layers delete something".into()), None]);
        return Ok(());
    }
    let scratch = |source| DiffError::Scratch { layer: pair.index, source };
    let lowers = [0, 1].map(|side| -> Result<Lower, DiffError> {
        let own = if side == 0 { one } else { other };
        let under = below.iter().filter_map(|pair| if side == 0 { pair.a } else { pair.b });
        let mut lower = Lower::default();
        for layer in under.chain([own]) {
            lower.apply(&sides[side].layer_of(blobs, layer)?, blobs).map_err(scratch)?;
        }
        Ok(lower)
    });
    let [a, b] = lowers;
    let gone = match (a, b) {
        (Ok(a), Ok(b)) => {
            let known: BTreeSet<&BStr> = pair
                .changes
                .iter()
                .filter(|change| matches!(change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB))
                .map(|change| change.path.as_bstr())
                .collect();
            let mut first = None;
            let each = |path: &[u8], [in_a, in_b]: [bool; 2]| {
                if in_a != in_b && first.is_none() && !known.contains(BStr::new(path)) {
                    let path = Some(BString::from(path));
                    first = Some(if in_a { [path, None] } else { [None, path] });
                }
            };
            a.differences(&b, each).map_err(scratch)?;
            first
        }
        (Err(DiffError::Open { source, .. }), _) | (_, Err(DiffError::Open { source, .. }))
            if source.kind() == io::ErrorKind::NotFound =>
        {
            Some([Some("the layers below are not at hand".into()), None])
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    if let Some(gone) = gone {
        say(pair, &gone);
    }
    Ok(())
}

/// Adds the field to the whiteouts of `pair`; `left` is what each image has that the other deletes.
pub(super) fn say(pair: &mut LayerPair, left: &[Option<BString>; 2]) {
    let shown = |side: usize| left[side].as_ref().map(|path| printable(&path.to_str_lossy()));
    for change in &mut pair.changes {
        let only = matches!(change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
        if only && change.entry().is_some_and(Entry::is_whiteout) {
            change.fields.push(Field { name: "deletes".to_owned(), a: shown(1), b: shown(0) });
        }
    }
}
