//! Files that lie in other layers of the two images, where these have not as many.

use std::{collections::BTreeMap, mem::take};

use bstr::BString;

use super::{Change, ChangeKind, Field, LayerPair, sorted};
use crate::layer::Entry;

/// Takes together, in each run of differing pairs in which some layer stands alone, what the two images have of one path in
/// different layers. What is the same is no change any more; a layer without any says so in its `whole`.
pub(super) fn fold(pairs: &mut [LayerPair]) {
    let mut from = 0;
    while from < pairs.len() {
        let length = pairs[from..].iter().take_while(|pair| !pair.equal()).count();
        let run = &mut pairs[from..from + length];
        let alone = |pair: &LayerPair| pair.a.is_none() || pair.b.is_none();
        if run.len() > 1 && run.iter().any(alone) {
            fold_run(run);
        }
        from += length.max(1);
    }
}

/// What one image has of a path that the other has in another layer, and in which pair.
#[derive(Default)]
struct Both {
    a: Option<(usize, Entry)>,
    b: Option<(usize, Entry)>,
}

fn fold_run(run: &mut [LayerPair]) {
    let mut ends: BTreeMap<BString, Both> = BTreeMap::new();
    for pair in &mut *run {
        for change in take(&mut pair.changes) {
            let ends = ends.entry(change.path.clone()).or_default();
            match change.kind {
                ChangeKind::OnlyInA => ends.a = change.a.map(|entry| (pair.index, entry)),
                ChangeKind::OnlyInB => ends.b = change.b.map(|entry| (pair.index, entry)),
                _ => pair.changes.push(change),
            }
        }
    }
    let mut moved = 0;
    for both in ends.into_values() {
        let at = [&both.a, &both.b].into_iter().flatten().map(|(index, _)| *index).max();
        let (two, a, b) = (both.a.is_some() && both.b.is_some(), both.a, both.b);
        let found =
            at.and_then(|at| sorted::by_digest(at, a.map(|(_, entry)| entry), b.map(|(_, entry)| entry)));
        moved += usize::from(two);
        if let Some(change) = found
            && let Some(pair) = run.iter_mut().find(|pair| pair.index == change.layer)
        {
            pair.changes.push(change);
        }
    }
    let counts = [run.iter().filter_map(|pair| pair.a).count(), run.iter().filter_map(|pair| pair.b).count()]
        .map(|count| Some(count.to_string()));
    for pair in run {
        pair.changes.sort_by(|one: &Change, other| crate::layer::compare_paths(&one.path, &other.path));
        if moved > 0 {
            let [a, b] = counts.clone();
            pair.whole.push(Field { name: "layers".to_owned(), a, b });
        }
    }
}
