//! Runs of layers of which the two images have not as many, or in which files lie in other layers: compared as what they come
//! to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use bstr::{BStr, BString, ByteSlice as _};

use super::{
    Change, ChangeKind, DiffError, Field, Kept, LayerPair, LayerRef,
    kept::{Content, Room},
    layers::{Hashed, Side, misleading},
    sorted, whiteouts,
};
use crate::{
    layer::{Kind, Lower, Placed, Shape, Union},
    model::{Blobs, path::printable},
};

/// Whether both images have some file of the layers of `run`, and in different ones.
pub(super) fn any(run: &[LayerPair]) -> bool {
    let in_a: BTreeMap<_, _> =
        only(run, ChangeKind::OnlyInA).map(|change| (change.path.as_slice(), change.layer)).collect();
    only(run, ChangeKind::OnlyInB)
        .any(|change| in_a.get(change.path.as_slice()).is_some_and(|layer| *layer != change.layer))
}

/// Files that only one image has in its layer.
fn only(run: &[LayerPair], kind: ChangeKind) -> impl Iterator<Item = &Change> {
    let of = move |change: &&Change| {
        change.kind == kind && change.entry().is_some_and(|entry| entry.kind == Kind::File)
    };
    run.iter().flat_map(|pair| &pair.changes).filter(of)
}

/// Compares what the layers of `run` merge to, and puts each change where the layer stands that it is of in the image that has more
/// of them, else in the other. `below` are the pairs under it. Contents that differ go into `room`.
///
/// # Errors
/// Those of reading layers.
pub(super) fn read(
    blobs: &dyn Blobs,
    sides: &[Side<'_>; 2],
    below: &[LayerPair],
    run: &mut [LayerPair],
    room: &Room<'_>,
) -> Result<(), DiffError> {
    let first = run.first().map_or(0, |pair| pair.index);
    let scratch = |source| DiffError::Scratch { layer: first, source };
    let mut union = Union::new(blobs);
    // By stack and number in it: where the layer stands, and which it is.
    let mut places: [Vec<(usize, LayerRef)>; 2] = [Vec::new(), Vec::new()];
    for (at, pair) in run.iter().enumerate() {
        for (side, layer) in [pair.a, pair.b].into_iter().enumerate() {
            let Some(layer) = layer else { continue };
            let mut hashed = Hashed::new(sides[side].open(blobs, layer)?);
            let added = union.add(side, places[side].len(), &mut hashed);
            added.map_err(|source| sides[side].refuses(layer, source))?;
            sides[side].claim(layer, hashed.finish())?;
            places[side].push((at, layer));
        }
    }
    let finer_in_b = places[1].len() > places[0].len();
    let lower = lower(blobs, sides, below, &union)?;
    let mut changes: Vec<(Change, [Option<LayerRef>; 2])> = Vec::new();
    let mut links: BTreeMap<BString, BString> = BTreeMap::new();
    let each = |both: [Option<Placed>; 2]| {
        for (_, entry) in both.iter().flatten().filter(|(_, entry)| entry.kind == Kind::Hardlink) {
            links.insert(entry.path.clone(), entry.link.clone());
        }
        let place =
            |side: usize| both[side].as_ref().and_then(|(layer, _)| places[side].get(*layer).copied());
        let placed = [place(0), place(1)];
        let [one, other] = if finer_in_b { [placed[1], placed[0]] } else { placed };
        let at = one.or(other).map_or(0, |(at, _)| at);
        let [a, b] = both.map(|placed| placed.map(|(_, entry)| entry));
        let found = sorted::by_digest(first + at, a, b);
        changes.extend(found.map(|change| (change, placed.map(|place| place.map(|(_, layer)| layer)))));
    };
    union.finish(|path| lower.contains(path), each).map_err(scratch)?;
    hold(blobs, sides, &mut changes, room)?;
    let counts = places.map(|layers| Some(layers.len().to_string()));
    for pair in &mut *run {
        pair.changes.clear();
        if pair.equal() {
            continue;
        }
        pair.whole.retain(|field| field.name != "layers");
        let [a, b] = counts.clone();
        pair.whole.push(Field { name: "layers".to_owned(), a, b });
        pair.finer_in_b = finer_in_b;
    }
    for (change, _) in changes {
        if let Some(pair) = run.iter_mut().find(|pair| pair.index == change.layer) {
            pair.changes.push(change);
        }
    }
    hold_against_all(blobs, sides, below, run, &links)
}

/// Holds what was found of `run` against what all its layers, on those below, come to. What differs there and in no change (for
/// which names of one file, `links`, stand for each other) is said of the last pair; where it is a deletion, of the whiteouts.
fn hold_against_all(
    blobs: &dyn Blobs,
    sides: &[Side<'_>; 2],
    below: &[LayerPair],
    run: &mut [LayerPair],
    links: &BTreeMap<BString, BString>,
) -> Result<(), DiffError> {
    let first = run.first().map_or(0, |pair| pair.index);
    let scratch = |source| DiffError::Scratch { layer: first, source };
    let mut shapes: Vec<[Option<Shape>; 2]> = run.iter().map(|_| [None, None]).collect();
    let mut lowers = [Lower::default(), Lower::default()];
    for (side, lower) in lowers.iter_mut().enumerate() {
        let of = |pair: &LayerPair| if side == 0 { pair.a } else { pair.b };
        for layer in below.iter().filter_map(of) {
            match sides[side].layer_of(blobs, layer) {
                Ok(layer) => lower.apply(&layer, blobs).map_err(scratch)?,
                // One that both have.
                Err(DiffError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        for (pair, shapes) in run.iter().zip(&mut shapes) {
            if let Some(layer) = of(pair) {
                let index = sides[side].index(blobs, Some(layer))?;
                shapes[side] = index.shape().cloned();
                lower.apply(&index.canonical(blobs).map_err(scratch)?, blobs).map_err(scratch)?;
            }
        }
    }
    for (pair, [one, other]) in run.iter_mut().zip(&shapes).filter(|(pair, _)| !pair.equal()) {
        pair.whole.retain(|field| !field.misleads());
        pair.whole.extend(misleading([one.as_ref(), other.as_ref()]));
    }
    let [a, b] = lowers;
    let changed: BTreeSet<&BStr> =
        run.iter().flat_map(|pair| &pair.changes).map(|change| change.path.as_bstr()).collect();
    let known = |path: &BStr| {
        changed.contains(path)
            || std::iter::successors(links.get(path), |target| links.get(*target))
                .take(LINKS_FOLLOWED_MAX)
                .any(|target| changed.contains(target.as_bstr()))
    };
    let (mut unsaid, mut left): (Option<BString>, Option<[Option<BString>; 2]>) = (None, None);
    let each = |path: &[u8], [in_a, in_b]: [bool; 2]| {
        let path = BStr::new(path);
        if known(path) {
        } else if in_a != in_b && is_deleted(path, &changed) {
            let found = Some(BString::from(path));
            left.get_or_insert(if in_a { [found, None] } else { [None, found] });
        } else {
            unsaid.get_or_insert_with(|| path.into());
        }
    };
    a.differences(&b, each).map_err(scratch)?;
    if let Some(left) = left {
        for pair in &mut *run {
            whiteouts::say(pair, &left);
        }
    }
    if let (Some(path), Some(last)) = (unsaid, run.iter_mut().rfind(|pair| !pair.equal())) {
        let path = Some(printable(&path.to_str_lossy()));
        last.whole.push(Field { name: "merged".to_owned(), a: path, b: None });
    }
    Ok(())
}

/// Whether one of the whiteouts in `changed` deletes `path`.
fn is_deleted(path: &BStr, changed: &BTreeSet<&BStr>) -> bool {
    let ends = path.find_iter("/").chain([path.len()]);
    let mut start = 0;
    ends.into_iter().any(|end| {
        let (directory, name) = (&path[..start], &path[start..end]);
        start = end + 1;
        let of = |mark: &[u8]| changed.contains(BStr::new(&[directory, mark].concat()));
        of(&[&b".wh."[..], name].concat()) || of(b".wh..wh..opq")
    })
}

/// How many hard links to hard links are followed.
const LINKS_FOLLOWED_MAX: usize = 64;

/// What the layers below have of what `union` deletes. They are opened only if it deletes something; what is not at hand is
/// taken for something that is there.
fn lower(
    blobs: &dyn Blobs,
    sides: &[Side<'_>; 2],
    below: &[LayerPair],
    union: &Union<'_>,
) -> Result<BTreeSet<bstr::BString>, DiffError> {
    let deleted: Vec<_> = union.deleted().cloned().collect();
    if deleted.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut lower = Lower::default();
    for layer in below.iter().filter_map(|pair| pair.a) {
        let refuses = |source| sides[0].refuses(layer, source);
        match sides[0].layer_of(blobs, layer) {
            Ok(layer) => lower.apply(&layer, blobs).map_err(refuses)?,
            Err(DiffError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(deleted.into_iter().collect());
            }
            Err(error) => return Err(error),
        }
    }
    let kinds = lower.kinds(deleted.iter().map(|path| path.as_slice()));
    let kinds = kinds.map_err(|source| DiffError::Scratch { layer: 0, source })?;
    Ok(kinds.into_keys().collect())
}

/// Reads the contents that differ.
fn hold(
    blobs: &dyn Blobs,
    sides: &[Side<'_>; 2],
    changes: &mut [(Change, [Option<LayerRef>; 2])],
    room: &Room<'_>,
) -> Result<(), DiffError> {
    let chosen = sorted::wanted(changes.iter().map(|(change, _)| change), room);
    let mut contents: [BTreeMap<usize, Content>; 2] = [BTreeMap::new(), BTreeMap::new()];
    for side in 0..2 {
        let mut wanted: BTreeMap<usize, (LayerRef, sorted::Wanted)> = BTreeMap::new();
        for at in &chosen {
            let (change, layers) = &changes[*at];
            let entry = if side == 0 { &change.a } else { &change.b };
            if let (Some(layer), Some(entry)) = (layers[side], entry) {
                let (_, offsets) = wanted.entry(layer.index).or_insert_with(|| (layer, BTreeMap::new()));
                offsets.entry(entry.offset).or_default().push(*at);
            }
        }
        for (layer, offsets) in wanted.into_values() {
            let captured = sorted::capture(sides[side].open(blobs, layer)?, &offsets, room);
            contents[side].extend(captured.map_err(|source| sides[side].refuses(layer, source))?);
        }
    }
    let [mut a, mut b] = contents;
    for at in chosen {
        changes[at].0.contents = a.remove(&at).zip(b.remove(&at)).map(|(a, b)| Kept::new(a, b));
    }
    Ok(())
}
