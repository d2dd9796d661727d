//! Whether deletions that are said in different ways come to the same.

use std::{collections::BTreeSet, io};

use bstr::BString;

use super::{ChangeKind, DiffError, Field, LayerPair, layers::Side};
use crate::{layer::Lower, model::Blobs};

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
) -> Result<(), DiffError> {
    let own = |kind: ChangeKind| {
        pair.changes
            .iter()
            .any(|change| change.kind == kind && change.entry().is_some_and(crate::layer::Entry::is_whiteout))
    };
    let (true, Some(one), Some(other)) =
        (own(ChangeKind::OnlyInA) && own(ChangeKind::OnlyInB), pair.a, pair.b)
    else {
        return Ok(());
    };
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
            let known: BTreeSet<&BString> = pair
                .changes
                .iter()
                .filter(|change| matches!(change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB))
                .map(|change| &change.path)
                .collect();
            a.only_in_one(&b, |path| known.contains(path)).map_err(scratch)?
        }
        (Err(DiffError::Open { source, .. }), _) | (_, Err(DiffError::Open { source, .. }))
            if source.kind() == io::ErrorKind::NotFound =>
        {
            Some([Some("the layers below are not at hand".into()), None])
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let Some(gone) = gone else { return Ok(()) };
    let shown =
        gone.map(|path: Option<BString>| path.map(|path| crate::model::path::printable(&path.to_string())));
    for change in &mut pair.changes {
        let only = matches!(change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
        if only && change.entry().is_some_and(crate::layer::Entry::is_whiteout) {
            let [b, a] = shown.clone();
            change.fields.push(Field { name: "deletes".to_owned(), a, b });
        }
    }
    Ok(())
}
