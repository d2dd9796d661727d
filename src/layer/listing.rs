//! The entries of one layer in the order of paths, however many.

use std::{borrow::Borrow, io::Read, sync::Arc};

use bstr::BString;

use super::{
    Entry, Kind, LayerError, Reading, Shape, code,
    links::turned,
    read::{refuse_twice, walk},
    records::{Reader, Records, Sorter},
    shape::Repeated,
};
use crate::model::Scratch;

/// The entries of an archive as it has them, each path once.
#[derive(Debug, Clone)]
pub struct Index {
    listing: Listing,
    shape: Option<Shape>,
}

/// The entries of a layer in canonical form: of the names of a file, the first in order is the file, the others are
/// hard links to it and hold otherwise what the file holds. What links elsewhere is as it was.
#[derive(Debug, Clone)]
pub struct Layer(pub(super) Listing);

/// Entries in the order of paths, and which of them are left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Listing {
    records: Arc<Records>,
    kept: Option<Arc<Vec<bool>>>,
}

impl Index {
    /// Reads an uncompressed archive to its physical end; `each_chunk` sees the content of every file as it passes, piece
    /// by piece. More entries than a sort holds in memory go through `scratch`.
    ///
    /// # Errors
    /// Those of [`super::index`], and of `scratch`.
    pub fn read(
        tar: impl Read,
        scratch: &dyn Scratch,
        each_chunk: impl FnMut(&Entry, &[u8]),
    ) -> Result<Self, LayerError> {
        let mut entries = Entering::new(scratch);
        let shape = walk(tar, Reading::Strict, each_chunk, |entry| entries.push(&entry))?;
        Ok(Self { shape: Some(shape), ..entries.index()? })
    }

    /// Reads an archive of anybody's ([`Reading::Lenient`]). Of a path that it has more than once the last entry counts, as where
    /// it is unpacked.
    ///
    /// # Errors
    /// Those of [`super::walk`], and of `scratch`.
    pub fn lenient(tar: impl Read, scratch: &dyn Scratch) -> Result<Self, LayerError> {
        let mut sorter = Sorter::new(scratch);
        let (mut number, mut value, mut bytes) = (0_u64, Vec::new(), Vec::new());
        let mut links = false;
        let shape = walk(
            tar,
            Reading::Lenient,
            |_, _| {},
            |entry| {
                links |= entry.kind == Kind::Hardlink;
                code::encode(&entry, &mut bytes);
                value.clear();
                value.extend_from_slice(&number.to_le_bytes());
                value.extend_from_slice(&bytes);
                number += 1;
                sorter.push(&entry.path, &value)
            },
        )?;
        let (listing, repeated, other_kind) = last_of_each(&sorter.finish()?, scratch)?;
        // Which entry a link is to, and what became of what lay below, is not told by the last one.
        let repeated = repeated.shown(links || other_kind);
        Ok(Self { listing, shape: Some(Shape { repeated, ..shape }) })
    }

    /// Takes entries that somebody holds.
    ///
    /// # Errors
    /// [`LayerError::Duplicate`], those of `scratch`.
    pub fn of(
        entries: impl IntoIterator<Item = impl Borrow<Entry>>,
        scratch: &dyn Scratch,
    ) -> Result<Self, LayerError> {
        let mut entering = Entering::new(scratch);
        entries.into_iter().try_for_each(|entry| entering.push(entry.borrow()))?;
        entering.index()
    }

    /// The entries, in order.
    ///
    /// # Errors
    /// Those of the scratch file.
    pub fn entries(&self) -> Result<Entries<'_>, LayerError> {
        self.listing.entries()
    }

    /// How the archive was written, if there was one.
    pub fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// The layer of these entries.
    ///
    /// # Errors
    /// Those of `scratch`.
    pub fn canonical(self, scratch: &dyn Scratch) -> Result<Layer, LayerError> {
        turned(self.listing, scratch).map(Layer)
    }
}

impl Layer {
    /// [`Index::read`], and [`Index::canonical`] of it.
    ///
    /// # Errors
    /// Those of both.
    pub fn read(tar: impl Read, scratch: &dyn Scratch) -> Result<Self, LayerError> {
        Index::read(tar, scratch, |_, _| {})?.canonical(scratch)
    }

    /// The entries, in order.
    ///
    /// # Errors
    /// Those of the scratch file.
    pub fn entries(&self) -> Result<Entries<'_>, LayerError> {
        self.0.entries()
    }

    /// Leaves out what is not to be kept; how many that was.
    ///
    /// # Errors
    /// Those of the scratch file.
    pub fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) -> Result<u64, LayerError> {
        let flags = self.entries()?.map(|entry| Ok(keep(&entry?))).collect::<Result<Vec<_>, LayerError>>()?;
        let dropped = flags.iter().filter(|kept| !**kept).count() as u64;
        self.0 = std::mem::take(&mut self.0).only(&flags);
        Ok(dropped)
    }
}

impl Listing {
    /// Records of encoded entries by path, no path twice.
    pub(super) fn of(records: Records) -> Self {
        Self { records: Arc::new(records), kept: None }
    }

    pub(super) fn read(&self) -> Result<Reader<'_>, LayerError> {
        Ok(self.records.read()?.only(self.kept.as_ref().map(|kept| kept.as_slice())))
    }

    pub(super) fn entries(&self) -> Result<Entries<'_>, LayerError> {
        self.read().map(Entries)
    }

    /// Those whose flag is set; one flag for each of [`Listing::read`].
    pub(super) fn only(mut self, flags: &[bool]) -> Self {
        if flags.contains(&false) {
            let kept = self.kept.get_or_insert_with(|| Arc::new(vec![true; self.records.count()]));
            let all = Arc::make_mut(kept).iter_mut().filter(|kept| **kept);
            all.zip(flags).for_each(|(kept, flag)| *kept = *flag);
        }
        self
    }
}

/// Entries in order.
#[derive(Debug)]
pub struct Entries<'a>(Reader<'a>);

impl Iterator for Entries<'_> {
    type Item = Result<Entry, LayerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.0.next().transpose()?;
        Some(next.and_then(|record| code::decode(record.key, record.value)))
    }
}

/// A listing in the making.
pub(super) struct Entering<'a> {
    sorter: Sorter<'a>,
    bytes: Vec<u8>,
}

impl<'a> Entering<'a> {
    pub(super) fn new(scratch: &'a dyn Scratch) -> Self {
        Self { sorter: Sorter::new(scratch), bytes: Vec::new() }
    }

    pub(super) fn push(&mut self, entry: &Entry) -> Result<(), LayerError> {
        code::encode(entry, &mut self.bytes);
        self.sorter.push(&entry.path, &self.bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sorter.is_empty()
    }

    /// Entries whose paths are known to differ.
    pub(super) fn listing(self) -> Result<Listing, LayerError> {
        self.sorter.finish().map(Listing::of)
    }

    fn index(self) -> Result<Index, LayerError> {
        let listing = self.listing()?;
        let (mut records, mut last) = (listing.read()?, Vec::new());
        while let Some(record) = records.next()? {
            refuse_twice(&last, record.key)?;
            record.key.clone_into(&mut last);
        }
        drop(records);
        Ok(Index { listing, shape: None })
    }
}

/// Of records whose values begin with a number: the one of each path with the greatest; the others, and whether one of them
/// is of another kind.
fn last_of_each(all: &Records, scratch: &dyn Scratch) -> Result<(Listing, Repeated, bool), LayerError> {
    let (mut all, mut once) = (all.read()?, Sorter::new(scratch));
    let mut held: Option<(BString, u64, Vec<u8>)> = None;
    let (mut repeated, mut other_kind) = (Repeated::default(), false);
    while let Some(record) = all.next()? {
        let Some((number, value)) = record.value.split_first_chunk() else { continue };
        let number = u64::from_le_bytes(*number);
        match &mut held {
            Some((path, known, bytes)) if *path == record.key => {
                other_kind |= code::kind(bytes) != code::kind(value);
                let older = if number > *known {
                    *known = number;
                    std::mem::replace(bytes, value.to_vec())
                } else {
                    value.to_vec()
                };
                repeated.add(path, &older);
            }
            _ => {
                let next = (record.key.into(), number, value.to_vec());
                if let Some((path, _, bytes)) = held.replace(next) {
                    once.push(&path, &bytes)?;
                }
            }
        }
    }
    if let Some((path, _, bytes)) = held {
        once.push(&path, &bytes)?;
    }
    Ok((Listing::of(once.finish()?), repeated, other_kind))
}

impl Entry {
    /// Whether it is, in a [`Layer`], another name of a file of the layer.
    pub(super) fn is_other_name(&self) -> bool {
        self.kind == Kind::Hardlink && self.content.is_some()
    }
}
