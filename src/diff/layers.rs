//! Layers side by side, opened only where their blobs differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    ops::Range,
};

use bstr::ByteSlice as _;

use super::{
    Change, ChangeKind, DiffError, Field, Kept,
    ahead::Ahead,
    align::align,
    kept::Room,
    lockstep::{self, Compared, Refusal},
    moved, sorted, whiteouts,
};
use crate::{
    layer::{
        self, Archive, BLOB_HEAD_BYTES, Entry, Index, Kind, Layer, LayerError, Reading, Shape, compressed,
    },
    model::{Blobs, Descriptor, DiffId, Digest, Hasher, path::printable},
    oci::Image,
};

/// One layer of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerRef {
    /// Which, lowest is 0.
    pub index: usize,
    /// Its blob.
    pub digest: Digest,
    /// Its uncompressed archive.
    pub diff_id: DiffId,
}

/// Two layers that stand beside each other, or one that stands alone.
#[derive(Debug, Clone)]
pub struct LayerPair {
    /// Which pair, lowest is 0: the layer's index in both images unless one has others between.
    pub index: usize,
    /// The first image's, if one of it stands here.
    pub a: Option<LayerRef>,
    /// The second image's.
    pub b: Option<LayerRef>,
    /// What differs, in order of paths.
    pub changes: Vec<Change>,
    /// What differs of the archive as a whole and its compression: `compression`, `gzip-time`, `gzip-level`,
    /// `gzip-system`, `gzip-name`, `zstd-frame`; `order` (of entries that are the same), `dialect`, `dotted`, `absolute`,
    /// `comment`, `root` (mode, owners, attributes of the root directory), `repeated` (paths that come more than once), `trailing`
    /// (bytes after the end mark), `merged` (a path that differs once all is unpacked, though no entry says so), `padding` (of archives
    /// that end in one place); `links` (which names of files are called links); `layers`
    /// (how many of them were compared as what they come to, where the images have not as many).
    pub whole: Vec<Field>,
    /// Whether the second image has more layers where these lie, so that its instructions say more.
    pub finer_in_b: bool,
}

impl LayerPair {
    /// Whether both hold the same archive (their blobs may still be compressed differently). Equal diffIDs
    /// over different blobs were checked.
    pub fn equal(&self) -> bool {
        self.a.map(|layer| layer.diff_id) == self.b.map(|layer| layer.diff_id)
    }

    /// Whether only one image has a layer here.
    pub fn alone(&self) -> bool {
        self.a.is_none() || self.b.is_none()
    }

    /// Whether both are the same blob.
    pub fn same_blob(&self) -> bool {
        self.a.map(|layer| layer.digest) == self.b.map(|layer| layer.digest)
    }
}

/// One image's layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    name: char,
    descriptors: &'a [Descriptor],
    diff_ids: &'a [DiffId],
}

impl<'a> Side<'a> {
    pub(super) fn new(name: char, image: &'a Image) -> Result<Self, DiffError> {
        let (descriptors, diff_ids) = (image.manifest.layers(), image.config.diff_ids());
        if descriptors.len() != diff_ids.len() {
            let (diff_ids, layers) = (diff_ids.len(), descriptors.len());
            return Err(DiffError::Count { image: name, diff_ids, layers });
        }
        Ok(Self { name, descriptors, diff_ids })
    }

    pub(super) fn layer(&self, index: usize) -> LayerRef {
        LayerRef { index, digest: self.descriptors[index].digest, diff_id: self.diff_ids[index] }
    }

    pub(super) fn size_bytes(&self, layer: LayerRef) -> u64 {
        self.descriptors[layer.index].size
    }

    pub(super) fn open<'b>(
        &self,
        blobs: &'b dyn Blobs,
        layer: LayerRef,
    ) -> Result<Box<dyn Read + Send + 'b>, DiffError> {
        let blob = self.blob(blobs, layer)?;
        let media_type = &self.descriptors[layer.index].media_type;
        layer::inflate(media_type, blob).map_err(|source| self.refuses(layer, source))
    }

    fn blob<'b>(
        &self,
        blobs: &'b dyn Blobs,
        layer: LayerRef,
    ) -> Result<Box<dyn Read + Send + 'b>, DiffError> {
        let LayerRef { index, digest, .. } = layer;
        let open = |source| DiffError::Open { image: self.name, layer: index, digest, source };
        Ok(Box::new(blobs.open(&digest).map_err(open)?))
    }

    /// How the blob is compressed, by name.
    fn compressed(
        &self,
        blobs: &dyn Blobs,
        layer: LayerRef,
    ) -> Result<BTreeMap<&'static str, String>, DiffError> {
        let mut head = Vec::new();
        let read = self.blob(blobs, layer)?.take(BLOB_HEAD_BYTES as u64).read_to_end(&mut head);
        read.map_err(|source| self.refuses(layer, LayerError::Read(source)))?;
        Ok(compressed(&head).into_iter().collect())
    }

    pub(super) fn refuses(&self, layer: LayerRef, source: LayerError) -> DiffError {
        self.refuses_after(layer, None, source)
    }

    fn refuses_after(&self, layer: LayerRef, after: Option<String>, source: LayerError) -> DiffError {
        if matches!(source, LayerError::Keep(_)) {
            return DiffError::Scratch { layer: layer.index, source }; // No fault of the layer's.
        }
        let after = after.map(|path| format!(", after entry `{path}`")).unwrap_or_default();
        DiffError::Layer { image: self.name, layer: layer.index, after, source }
    }

    /// The entries of one layer (none if there is no such layer), its archive held against its diffID.
    pub(super) fn index(&self, blobs: &dyn Blobs, layer: Option<LayerRef>) -> Result<Index, DiffError> {
        let Some(layer) = layer else {
            let none = Index::of([] as [Entry; 0], blobs);
            return none.map_err(|source| DiffError::Scratch { layer: 0, source });
        };
        let mut hashed = Hashed::new(self.open(blobs, layer)?);
        let index = Index::lenient(&mut hashed, blobs).map_err(|source| self.refuses(layer, source))?;
        self.claim(layer, hashed.finish())?;
        Ok(index)
    }

    /// The layer of these entries.
    pub(super) fn layer_of(&self, blobs: &dyn Blobs, layer: LayerRef) -> Result<Layer, DiffError> {
        let index = self.index(blobs, Some(layer))?;
        index.canonical(blobs).map_err(|source| self.refuses(layer, source))
    }

    fn check(&self, blobs: &dyn Blobs, layer: Option<LayerRef>) -> Result<(), DiffError> {
        let Some(layer) = layer else { return Ok(()) };
        let actual = Digest::of_reader(self.open(blobs, layer)?);
        self.claim(layer, actual.map_err(|source| self.refuses(layer, LayerError::Read(source)))?)
    }

    pub(super) fn claim(&self, layer: LayerRef, actual: Digest) -> Result<(), DiffError> {
        let LayerRef { index, diff_id: claimed, .. } = layer;
        if claimed.0 == actual {
            return Ok(());
        }
        Err(DiffError::DiffId { image: self.name, layer: index, claimed, actual: DiffId(actual) })
    }
}

/// Pairs the layers and reads those that differ.
pub(super) fn read(blobs: &dyn Blobs, sides: &[Side<'_>; 2]) -> Result<Vec<LayerPair>, DiffError> {
    let [a, b] = [0, 1].map(|side: usize| sides[side].diff_ids.iter().map(|id| id.0).collect::<Vec<_>>());
    let mut pairs: Vec<LayerPair> = align(&a, &b)
        .into_iter()
        .enumerate()
        .map(|(index, [one, other])| LayerPair {
            index,
            a: one.map(|at| sides[0].layer(at)),
            b: other.map(|at| sides[1].layer(at)),
            changes: Vec::new(),
            whole: Vec::new(),
            finer_in_b: false,
        })
        .collect();
    let runs = runs(&pairs);
    let uneven = |run: &&Range<usize>| pairs[(*run).clone()].iter().any(LayerPair::alone);
    let merged: Vec<_> = runs.iter().filter(uneven).cloned().collect();
    // One after the other, each on several threads: what may be held is for who comes first, however fast.
    let room = Room::new(blobs);
    let mut looked_below = 0;
    for at in 0..pairs.len() {
        let (below, rest) = pairs.split_at_mut(at);
        let pair = &mut rest[0];
        if !merged.iter().any(|run| run.contains(&at)) {
            pair.read(blobs, sides, &room)?;
            whiteouts::tell(blobs, sides, below, pair, &mut looked_below)?;
        }
    }
    let alone = |pair: &LayerPair| pair.alone() && !merged.iter().any(|run| run.contains(&pair.index));
    let apart = pairs.iter().position(alone).zip(pairs.iter().rposition(alone));
    let apart = apart.map(|(first, last)| first..last + 1);
    let even = runs.into_iter().filter(|run| !merged.contains(run)).chain(apart);
    let moved: Vec<_> = even.filter(|run| moved::any(&pairs[run.clone()])).collect();
    let runs = merged.into_iter().map(|run| (run, false)).chain(moved.into_iter().map(|run| (run, true)));
    for (run, is_read) in runs {
        let (below, rest) = pairs.split_at_mut(run.start);
        let run = &mut rest[..run.len()];
        match moved::read(blobs, sides, below, run, &room) {
            // Layers that both have may not be at hand; then it stays with what each pair says.
            Err(DiffError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound && is_read => {}
            read => read?,
        }
    }
    Ok(pairs)
}

/// Runs of several pairs that differ.
fn runs(pairs: &[LayerPair]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut from = 0;
    while from < pairs.len() {
        let length = pairs[from..].iter().take_while(|pair| !pair.equal()).count();
        if length > 1 {
            runs.push(from..from + length);
        }
        from += length.max(1);
    }
    runs
}

impl LayerPair {
    fn read(&mut self, blobs: &dyn Blobs, [a, b]: &[Side<'_>; 2], room: &Room<'_>) -> Result<(), DiffError> {
        if self.same_blob() {
            // One blob under two claims: at most one of them is true.
            return if self.equal() { Ok(()) } else { a.check(blobs, self.a).and(b.check(blobs, self.b)) };
        }
        self.whole = compression(blobs, [a, b], [self.a, self.b])?;
        if self.equal() {
            let (one, other) = rayon::join(|| a.check(blobs, self.a), || b.check(blobs, self.b));
            return one.and(other);
        }
        let before = room.taken();
        let compared = match (self.a, self.b) {
            (Some(one), Some(other)) => side_by_side(blobs, [a, b], [one, other], self.index, room)?,
            _ => None,
        };
        // Which name of a file is called a link is no difference of files.
        let Some(Compared { changes, shapes }) = compared.filter(|found| !found.changes.iter().any(of_links))
        else {
            room.back_to(before);
            return self.read_sorted(blobs, [a, b], room);
        };
        self.changes = changes;
        let [one, other] = &shapes;
        self.whole.extend(self::shapes([one.as_ref(), other.as_ref()], &self.changes));
        Ok(())
    }

    fn read_sorted(
        &mut self,
        blobs: &dyn Blobs,
        [a, b]: [&Side<'_>; 2],
        room: &Room<'_>,
    ) -> Result<(), DiffError> {
        let (one, other) = rayon::join(|| a.index(blobs, self.a), || b.index(blobs, self.b));
        let (one, other) = (one?, other?);
        let scratch = |source| DiffError::Scratch { layer: self.index, source };
        let known = [one.shape().cloned(), other.shape().cloned()];
        let links = [&one, &other].map(|index| links(index).map_err(scratch));
        let [one, other] = [one, other].map(|index| index.canonical(blobs).map_err(scratch));
        self.changes = sorted::changes(self.index, &one?, &other?).map_err(scratch)?;
        self.whole.extend(shapes(known.each_ref().map(Option::as_ref), &self.changes));
        let [one, other] = links;
        // A link that only one has, or that leads elsewhere, is said already.
        let said = |change: &Change| {
            of_links(change)
                || change.entry().is_some_and(|entry| only(change) && entry.kind == Kind::Hardlink)
        };
        self.whole.extend(field("links", one?, other?).filter(|_| !self.changes.iter().any(said)));
        let (Some(layer_a), Some(layer_b)) = (self.a, self.b) else { return Ok(()) };
        let chosen = sorted::wanted(self.changes.iter(), room);
        if chosen.is_empty() {
            return Ok(());
        }
        let fetch = |side: &Side<'_>, layer: LayerRef, entry: fn(&Change) -> Option<&Entry>| {
            let mut wanted = sorted::Wanted::new();
            for at in &chosen {
                if let Some(entry) = entry(&self.changes[*at]) {
                    wanted.entry(entry.offset).or_default().push(*at);
                }
            }
            let captured = sorted::capture(side.open(blobs, layer)?, &wanted, room);
            captured.map_err(|source| side.refuses(layer, source))
        };
        let (one, other) = rayon::join(
            || fetch(a, layer_a, |change| change.a.as_ref()),
            || fetch(b, layer_b, |change| change.b.as_ref()),
        );
        let (mut one, mut other) = (one?, other?);
        for at in chosen {
            self.changes[at].contents = one.remove(&at).zip(other.remove(&at)).map(|(a, b)| Kept::new(a, b));
        }
        Ok(())
    }
}

/// Whether only one of the layers has the path.
fn only(change: &Change) -> bool {
    matches!(change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB)
}

/// Whether a change may be one of which name of a file is called a link.
fn of_links(change: &Change) -> bool {
    let link = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.kind == Kind::Hardlink);
    (link(&change.a) || link(&change.b)) && (change.kind == ChangeKind::Type || change.has("link"))
}

/// The archive's hard links, as it has them: how many, and the digest of names and targets.
fn links(index: &Index) -> Result<Option<String>, LayerError> {
    let (mut count, mut hasher) = (0_u64, Hasher::default());
    for entry in index.entries()? {
        let entry = entry?;
        if entry.kind == Kind::Hardlink {
            count += 1;
            for part in [&entry.path[..], &[0], &entry.link[..], &[0]] {
                hasher.update(part);
            }
        }
    }
    Ok((count > 0).then(|| format!("{count} ({})", hasher.finish().short())))
}

/// Reads two archives in one pass, and holds each against its diffID; none if it takes more than one.
fn side_by_side(
    blobs: &dyn Blobs,
    sides: [&Side<'_>; 2],
    layers: [LayerRef; 2],
    index: usize,
    room: &Room<'_>,
) -> Result<Option<Compared>, DiffError> {
    let [one, other] = [sides[0].open(blobs, layers[0])?, sides[1].open(blobs, layers[1])?];
    std::thread::scope(|scope| {
        let ((one, hashing_a), (other, hashing_b)) = (Ahead::of(scope, one), Ahead::of(scope, other));
        let archives = [one, other].map(|ahead| Archive::new(ahead, Reading::Lenient));
        let compared = lockstep::compare(index, archives, room).map_err(|refusal| {
            let Refusal { side, after, source } = refusal;
            let after = after.map(|path| printable(&path.to_str_lossy()));
            sides[side].refuses_after(layers[side], after, source)
        })?;
        if compared.is_some() {
            for (side, hashing) in [hashing_a, hashing_b].into_iter().enumerate() {
                let actual = hashing.join().ok().flatten();
                let lost = || LayerError::Read(io::Error::other("its archive was not read to the end"));
                sides[side]
                    .claim(layers[side], actual.ok_or_else(|| sides[side].refuses(layers[side], lost()))?)?;
            }
        }
        Ok(compared)
    })
}

/// What differs of how two blobs are compressed.
fn compression(
    blobs: &dyn Blobs,
    sides: [&Side<'_>; 2],
    layers: [Option<LayerRef>; 2],
) -> Result<Vec<Field>, DiffError> {
    let [Some(one), Some(other)] = layers else { return Ok(Vec::new()) };
    let [a, b] = [sides[0].compressed(blobs, one)?, sides[1].compressed(blobs, other)?];
    let of = |facts: &BTreeMap<&str, String>, name: &str| facts.get(name).cloned();
    let names = a.keys().chain(b.keys()).collect::<BTreeSet<_>>();
    Ok(names.into_iter().filter_map(|name| field(name, of(&a, name), of(&b, name))).collect())
}

/// What differs of how two archives are written whose entries differ in `changes`.
fn shapes([a, b]: [Option<&Shape>; 2], changes: &[Change]) -> Vec<Field> {
    let always = misleading([a, b]);
    let holds_something = |shape: &&Shape| !shape.dialect.is_empty();
    let (Some(a), Some(b)) = (a.filter(holds_something), b.filter(holds_something)) else { return always };
    let (same_paths, same_end) = (!changes.iter().any(only), a.end == b.end);
    let both = |name, of: fn(&Shape) -> Option<String>| field(name, of(a), of(b));
    let forms = [
        both("order", |shape| Some(shape.order.short())).filter(|_| same_paths),
        both("dialect", |shape| Some(shape.dialect.clone())),
        both("dotted", |shape| Some(shape.dotted.to_string())),
        both("absolute", |shape| Some(shape.absolute.to_string())),
        both("comment", |shape| shape.comment.clone()),
        both("padding", |shape| Some(shape.padding_bytes.to_string())).filter(|_| same_end),
    ];
    always.into_iter().chain(forms.into_iter().flatten()).collect()
}

/// What of two archives, or of one, some programs take for something else.
pub(super) fn misleading([a, b]: [Option<&Shape>; 2]) -> Vec<Field> {
    let both = |name, of: fn(&Shape) -> Option<String>| field(name, a.and_then(of), b.and_then(of));
    [
        both("root", |shape| shape.root.clone()),
        both("repeated", |shape| shape.repeated.clone()),
        both("trailing", |shape| shape.trailing.clone()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn field(name: &str, a: Option<String>, b: Option<String>) -> Option<Field> {
    (a != b).then(|| Field { name: name.to_owned(), a, b })
}

/// A reader that hashes what it gives.
pub(super) struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R> Hashed<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    pub(super) fn finish(self) -> Digest {
        self.hasher.finish()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
