//! Layers paired by index, opened only where their blobs differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use rayon::prelude::*;

use super::{Change, ChangeKind, DiffError, Field, change};
use crate::{
    layer::{self, BLOB_HEAD_BYTES, Entry, Index, Kind, Layer, LayerError, Shape, compressed},
    model::{
        Blobs, Descriptor, DiffId, Digest, Hasher,
        limits::{CAPTURE_FILE_BYTES_MAX, CAPTURE_SIZE_BYTES_MAX},
    },
    oci::Image,
};

/// One layer of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerRef {
    /// Its blob.
    pub digest: Digest,
    /// Its uncompressed archive.
    pub diff_id: DiffId,
}

/// Two layers of one index.
#[derive(Debug, Clone)]
pub struct LayerPair {
    /// Lowest is 0.
    pub index: usize,
    /// The first image's, if it has so many.
    pub a: Option<LayerRef>,
    /// The second image's.
    pub b: Option<LayerRef>,
    /// What differs, in order of paths.
    pub changes: Vec<Change>,
    /// What differs of the archive as a whole and its compression: `compression`, `gzip-time`, `gzip-level`,
    /// `gzip-system`, `gzip-name`, `zstd-frame`; `order` (of entries that are the same), `dialect`, `dotted`, `comment`,
    /// `padding` (of archives that end in one place).
    pub whole: Vec<Field>,
}

impl LayerPair {
    /// Whether both hold the same archive (their blobs may still be compressed differently). Equal diffIDs
    /// over different blobs were checked.
    pub fn equal(&self) -> bool {
        self.a.map(|layer| layer.diff_id) == self.b.map(|layer| layer.diff_id)
    }

    /// Whether both are the same blob.
    pub fn same_blob(&self) -> bool {
        self.a.map(|layer| layer.digest) == self.b.map(|layer| layer.digest)
    }
}

/// One image's layers.
#[derive(Debug)]
pub(super) struct Side<'a> {
    name: char,
    descriptors: &'a [Descriptor],
    diff_ids: &'a [DiffId],
}

/// A pair, and what merging needs of it if it was opened.
#[derive(Debug)]
pub(super) struct Read2 {
    pub(super) pair: LayerPair,
    pub(super) layers: Option<[Layer; 2]>,
}

impl<'a> Side<'a> {
    fn new(name: char, image: &'a Image) -> Result<Self, DiffError> {
        let (descriptors, diff_ids) = (image.manifest.layers(), image.config.diff_ids());
        if descriptors.len() != diff_ids.len() {
            let (diff_ids, layers) = (diff_ids.len(), descriptors.len());
            return Err(DiffError::Count { image: name, diff_ids, layers });
        }
        Ok(Self { name, descriptors, diff_ids })
    }

    pub(super) fn len(&self) -> usize {
        self.descriptors.len()
    }

    fn layer(&self, index: usize) -> Option<LayerRef> {
        let digest = self.descriptors.get(index)?.digest;
        Some(LayerRef { digest, diff_id: self.diff_ids[index] })
    }

    fn open<'b>(&self, blobs: &'b dyn Blobs, layer: usize) -> Result<Box<dyn Read + Send + 'b>, DiffError> {
        let blob = self.blob(blobs, layer)?;
        let media_type = &self.descriptors[layer].media_type;
        layer::inflate(media_type, blob).map_err(|source| self.refuses(layer, source))
    }

    fn blob<'b>(&self, blobs: &'b dyn Blobs, layer: usize) -> Result<Box<dyn Read + Send + 'b>, DiffError> {
        let digest = self.descriptors[layer].digest;
        let open = |source| DiffError::Open { image: self.name, layer, digest, source };
        Ok(Box::new(blobs.open(&digest).map_err(open)?))
    }

    /// How the blob is compressed, by name.
    fn compressed(
        &self,
        blobs: &dyn Blobs,
        layer: usize,
    ) -> Result<BTreeMap<&'static str, String>, DiffError> {
        let mut head = Vec::new();
        let read = self.blob(blobs, layer)?.take(BLOB_HEAD_BYTES as u64).read_to_end(&mut head);
        read.map_err(|source| self.refuses(layer, LayerError::Read(source)))?;
        Ok(compressed(&head).into_iter().collect())
    }

    pub(super) fn refuses(&self, layer: usize, source: LayerError) -> DiffError {
        DiffError::Layer { image: self.name, layer, source }
    }

    /// The entries of one layer (none if there is no such layer), its archive held against its diffID.
    fn index(&self, blobs: &dyn Blobs, layer: usize) -> Result<Index, DiffError> {
        let refuses = |source| self.refuses(layer, source);
        let Some(LayerRef { diff_id: claimed, .. }) = self.layer(layer) else {
            return Index::of([] as [Entry; 0], blobs).map_err(refuses);
        };
        let mut hashed = Hashed { inner: self.open(blobs, layer)?, hasher: Hasher::default() };
        let index = Index::read(&mut hashed, blobs, |_, _| {}).map_err(refuses)?;
        self.claim(layer, claimed, hashed.hasher.finish())?;
        Ok(index)
    }

    /// The layer of these entries.
    pub(super) fn layer_of(&self, blobs: &dyn Blobs, layer: usize) -> Result<Layer, DiffError> {
        self.canonical(blobs, layer, self.index(blobs, layer)?)
    }

    fn canonical(&self, blobs: &dyn Blobs, layer: usize, index: Index) -> Result<Layer, DiffError> {
        index.canonical(blobs).map_err(|source| self.refuses(layer, source))
    }

    fn check(&self, blobs: &dyn Blobs, layer: usize) -> Result<(), DiffError> {
        let Some(LayerRef { diff_id: claimed, .. }) = self.layer(layer) else { return Ok(()) };
        let actual = Digest::of_reader(self.open(blobs, layer)?);
        self.claim(layer, claimed, actual.map_err(|source| self.refuses(layer, LayerError::Read(source)))?)
    }

    fn claim(&self, layer: usize, claimed: DiffId, actual: Digest) -> Result<(), DiffError> {
        if claimed.0 == actual {
            return Ok(());
        }
        Err(DiffError::DiffId { image: self.name, layer, claimed, actual: DiffId(actual) })
    }
}

/// Pairs the layers and reads those that differ.
pub(super) fn read<'a>(
    blobs: &dyn Blobs,
    a: &'a Image,
    b: &'a Image,
) -> Result<([Side<'a>; 2], Vec<Read2>), DiffError> {
    let sides = [Side::new('a', a)?, Side::new('b', b)?];
    let count = sides[0].len().max(sides[1].len());
    let read = (0..count).into_par_iter().map(|index| read_pair(blobs, &sides, index)).collect::<Vec<_>>();
    let read = read.into_iter().collect::<Result<_, _>>()?;
    Ok((sides, read))
}

fn read_pair(blobs: &dyn Blobs, [a, b]: &[Side<'_>; 2], index: usize) -> Result<Read2, DiffError> {
    let mut pair =
        LayerPair { index, a: a.layer(index), b: b.layer(index), changes: Vec::new(), whole: Vec::new() };
    if pair.same_blob() {
        // One blob under two claims: at most one of them is true.
        if !pair.equal() {
            a.check(blobs, index)?;
            b.check(blobs, index)?;
        }
        return Ok(Read2 { pair, layers: None });
    }
    pair.whole = compression(blobs, [a, b], index)?;
    if pair.equal() {
        let (one, other) = rayon::join(|| a.check(blobs, index), || b.check(blobs, index));
        one.and(other)?;
        return Ok(Read2 { pair, layers: None });
    }
    let (one, other) = rayon::join(|| a.index(blobs, index), || b.index(blobs, index));
    let (one, other) = (one?, other?);
    pair.changes = change::changes(index, &one, &other).map_err(|source| a.refuses(index, source))?;
    if let (Some(one), Some(other)) = (one.shape(), other.shape()) {
        pair.whole.extend(shapes(one, other, &pair.changes));
    }
    let layers = Some([a.canonical(blobs, index, one)?, b.canonical(blobs, index, other)?]);
    Ok(Read2 { pair, layers })
}

/// What differs of how two blobs are compressed.
fn compression(blobs: &dyn Blobs, sides: [&Side<'_>; 2], index: usize) -> Result<Vec<Field>, DiffError> {
    if sides.iter().any(|side| side.layer(index).is_none()) {
        return Ok(Vec::new());
    }
    let [a, b] = [sides[0].compressed(blobs, index)?, sides[1].compressed(blobs, index)?];
    let of = |facts: &BTreeMap<&str, String>, name: &str| facts.get(name).cloned();
    let names = a.keys().chain(b.keys()).collect::<BTreeSet<_>>();
    Ok(names.into_iter().filter_map(|name| field(name, of(&a, name), of(&b, name))).collect())
}

/// What differs of how two archives are written whose entries differ in `changes`.
fn shapes(a: &Shape, b: &Shape, changes: &[Change]) -> Vec<Field> {
    let only = |change: &Change| matches!(change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
    if a.dialect.is_empty() || b.dialect.is_empty() {
        return Vec::new(); // One holds nothing.
    }
    let (same_paths, same_end) = (!changes.iter().any(only), a.end == b.end);
    let both = |name, of: fn(&Shape) -> Option<String>| field(name, of(a), of(b));
    [
        both("order", |shape| Some(shape.order.short())).filter(|_| same_paths),
        both("dialect", |shape| Some(shape.dialect.clone())),
        both("dotted", |shape| Some(shape.dotted.to_string())),
        both("comment", |shape| shape.comment.clone()),
        both("padding", |shape| Some(shape.padding_bytes.to_string())).filter(|_| same_end),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn field(name: &str, a: Option<String>, b: Option<String>) -> Option<Field> {
    (a != b).then(|| Field { name: name.to_owned(), a, b })
}

/// Fetches the contents that differ, first come first served in order of layer and path.
pub(super) fn capture(blobs: &dyn Blobs, sides: &[Side<'_>; 2], read: &mut [Read2]) -> Result<(), DiffError> {
    let mut left = CAPTURE_SIZE_BYTES_MAX;
    let mut wanted: Vec<Vec<usize>> = Vec::new();
    for pair in &*read {
        let mut chosen = Vec::new();
        for (at, change) in pair.pair.changes.iter().enumerate() {
            if let Some(rest) = capturable(change).and_then(|bytes| left.checked_sub(bytes)) {
                left = rest;
                chosen.push(at);
            }
        }
        wanted.push(chosen);
    }
    let done: Vec<_> = read
        .par_iter_mut()
        .zip(wanted)
        .filter(|(_, chosen)| !chosen.is_empty())
        .map(|(pair, chosen)| capture_pair(blobs, sides, &mut pair.pair, &chosen))
        .collect();
    done.into_iter().collect()
}

/// Size of both contents, if they are to be held.
fn capturable(change: &Change) -> Option<u64> {
    let (a, b) = (change.a.as_ref()?, change.b.as_ref()?);
    let small = |entry: &Entry| entry.kind == Kind::File && entry.size_bytes <= CAPTURE_FILE_BYTES_MAX;
    (change.kind == ChangeKind::Content && small(a) && small(b)).then_some(a.size_bytes + b.size_bytes)
}

fn capture_pair(
    blobs: &dyn Blobs,
    [a, b]: &[Side<'_>; 2],
    pair: &mut LayerPair,
    chosen: &[usize],
) -> Result<(), DiffError> {
    let fetch = |side: &Side<'_>, entry: fn(&Change) -> Option<&Entry>| {
        let range = |at: &usize| entry(&pair.changes[*at]).map(|entry| (entry.offset, entry.size_bytes, *at));
        let mut ranges: Vec<_> = chosen.iter().filter_map(range).collect();
        ranges.sort_unstable();
        let plain: Vec<_> = ranges.iter().map(|(offset, size, _)| (*offset, *size)).collect();
        let bytes = layer::capture(side.open(blobs, pair.index)?, &plain)
            .map_err(|source| side.refuses(pair.index, LayerError::Read(source)))?;
        Ok(ranges.into_iter().map(|(_, _, at)| at).zip(bytes).collect::<BTreeMap<_, _>>())
    };
    let (one, other) =
        rayon::join(|| fetch(a, |change| change.a.as_ref()), || fetch(b, |change| change.b.as_ref()));
    for ((at, one), (_, other)) in one?.into_iter().zip(other?) {
        pair.changes[at].contents = Some((one, other));
    }
    Ok(())
}

struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
