//! What the layers of two stacks have at each path, the last of each stack, as where they are unpacked one over the other.

use std::{collections::BTreeMap, io::Read};

use bstr::{BStr, BString, ByteSlice as _};

use super::{
    Entry, Kind, LayerError, Reading, code,
    lower::{Whiteout, whiteout},
    order::is_below,
    read::walk,
    records::Sorter,
};
use crate::model::Scratch;

/// An entry, and which layer of its stack it is of.
pub type Placed = (usize, Entry);

/// Two stacks in the making; more entries than a sort holds in memory go through a scratch file, whiteouts are held.
#[derive(Debug)]
pub struct Union<'a> {
    sorter: Sorter<'a>,
    number: u64,
    deleted: [Deleted; 2],
}

/// Which layer deletes what of those below it: a path with all that lies below, or only that.
#[derive(Debug, Default)]
struct Deleted {
    whole: BTreeMap<BString, usize>,
    below: BTreeMap<BString, usize>,
}

impl Deleted {
    fn add(&mut self, layer: usize, whiteout: &Whiteout<'_>) {
        let (all, path) = match whiteout {
            Whiteout::Hides(path) => (&mut self.whole, BString::from(path.as_slice())),
            Whiteout::Opaque(directory) => (&mut self.below, BString::from(*directory)),
        };
        let last = all.entry(path).or_insert(layer);
        *last = layer.max(*last);
    }

    /// Whether what layer `layer` has at `path` is deleted by a layer above it.
    fn of(&self, path: &BStr, layer: usize) -> bool {
        let later = |found: Option<&usize>| found.is_some_and(|found| *found > layer);
        let at = |length: usize| BStr::new(&path[..length]);
        let above = path.find_iter("/").map(at).chain([BStr::new("")]);
        if self.whole.is_empty() && self.below.is_empty() {
            return false;
        }
        later(self.whole.get(path))
            || above.into_iter().any(|above| later(self.whole.get(above)) || later(self.below.get(above)))
    }
}

impl<'a> Union<'a> {
    /// Two empty stacks.
    pub fn new(scratch: &'a dyn Scratch) -> Self {
        Self { sorter: Sorter::new(scratch), number: 0, deleted: Default::default() }
    }

    /// Puts an uncompressed archive on stack `side` (0 or 1), as its layer `layer`; read as [`Reading::Lenient`].
    ///
    /// # Errors
    /// Those of [`walk`], and of the scratch file.
    pub fn add(&mut self, side: usize, layer: usize, tar: impl Read) -> Result<(), LayerError> {
        let (mut value, mut bytes) = (Vec::new(), Vec::new());
        walk(
            tar,
            Reading::Lenient,
            |_, _| {},
            |entry| {
                if let Some(whiteout) = whiteout(&entry.path) {
                    self.deleted[side].add(layer, &whiteout);
                }
                code::encode(&entry, &mut bytes);
                value.clear();
                value.push(u8::try_from(side).unwrap_or_default());
                value.extend_from_slice(&(layer as u64).to_le_bytes());
                value.extend_from_slice(&self.number.to_le_bytes());
                value.extend_from_slice(&bytes);
                self.number += 1;
                self.sorter.push(&entry.path, &value)
            },
        )?;
        Ok(())
    }

    /// All paths that whiteouts delete, of both stacks.
    pub fn deleted(&self) -> impl Iterator<Item = &BString> {
        self.deleted.iter().flat_map(|deleted| deleted.whole.keys().chain(deleted.below.keys()))
    }

    /// Gives `each` what both stacks have at each path where either has something that none of its later layers deletes or
    /// covers, in order of paths. A whiteout is given if `matters` says so of what it deletes.
    ///
    /// # Errors
    /// Those of the scratch file.
    pub fn finish(
        self,
        matters: impl Fn(&BStr) -> bool,
        mut each: impl FnMut([Option<Placed>; 2]),
    ) -> Result<(), LayerError> {
        let all = self.sorter.finish()?;
        let mut all = all.read()?;
        let mut group = Group::default();
        let mut covered: [Option<(BString, usize)>; 2] = [None, None];
        loop {
            let next = all.next()?;
            if next.as_ref().is_none_or(|record| *record.key != *group.path) {
                let done = std::mem::take(&mut group);
                let both = done.both(&self.deleted, &mut covered, &matters)?;
                if both.iter().any(Option::is_some) {
                    each(both);
                }
            }
            let Some(record) = next else { return Ok(()) };
            group.add(record.key, record.value);
        }
    }
}

/// The records of one path: the last of each side.
#[derive(Default)]
struct Group {
    path: BString,
    last: [Option<(u64, u64, Vec<u8>)>; 2],
}

impl Group {
    fn add(&mut self, path: &[u8], value: &[u8]) {
        self.path = path.into();
        let parts = || {
            let (side, rest) = value.split_first()?;
            let (layer, rest) = rest.split_first_chunk()?;
            let (number, entry) = rest.split_first_chunk()?;
            Some((usize::from(*side), u64::from_le_bytes(*layer), u64::from_le_bytes(*number), entry))
        };
        let Some((side, layer, number, entry)) = parts() else { return };
        let Some(last) = self.last.get_mut(side) else { return };
        if last.as_ref().is_none_or(|(known, before, _)| (*known, *before) < (layer, number)) {
            *last = Some((layer, number, entry.to_vec()));
        }
    }

    fn both(
        self,
        deleted: &[Deleted; 2],
        covered: &mut [Option<(BString, usize)>; 2],
        matters: &impl Fn(&BStr) -> bool,
    ) -> Result<[Option<Placed>; 2], LayerError> {
        let mut both = [None, None];
        for (side, last) in self.last.into_iter().enumerate() {
            let Some((layer, _, bytes)) = last else { continue };
            let layer = usize::try_from(layer).unwrap_or_default();
            let over = |(path, above): &(BString, usize)| is_below(&self.path, path) && *above > layer;
            if deleted[side].of(self.path.as_bstr(), layer) || covered[side].as_ref().is_some_and(over) {
                continue;
            }
            let entry = code::decode(&self.path, &bytes)?;
            let needless = match whiteout(&entry.path) {
                Some(Whiteout::Hides(path)) => !matters(BStr::new(&path)),
                Some(Whiteout::Opaque(directory)) => !matters(BStr::new(directory)),
                None => false,
            };
            if needless {
                continue;
            }
            if entry.kind != Kind::Directory {
                covered[side] = Some((self.path.clone(), layer));
            }
            both[side] = Some((layer, entry));
        }
        Ok(both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::fake::{FakeLayer, Heap};

    #[track_caller]
    fn check(a: &[FakeLayer], b: &[FakeLayer], matters: bool, expected: &str) {
        let heap = Heap::default();
        let mut union = Union::new(&heap);
        for (side, stack) in [a, b].into_iter().enumerate() {
            for (layer, archive) in stack.iter().enumerate() {
                union.add(side, layer, &archive.tar()[..]).unwrap();
            }
        }
        let mut shown = Vec::new();
        let text =
            |placed: &Option<Placed>| placed.as_ref().map_or("-".into(), |(layer, _)| layer.to_string());
        let each = |both: [Option<Placed>; 2]| {
            let path = both.iter().flatten().next().unwrap().1.path.to_string();
            shown.push(format!("{path} {}{}", text(&both[0]), text(&both[1])));
        };
        union.finish(|_| matters, each).unwrap();
        assert_eq!(shown.join(", "), expected);
    }

    #[test]
    fn the_last_layer_counts() {
        let fake = FakeLayer::default;
        let files =
            || [fake().dir("d/").file("d/a", b"1"), fake().dir("d/").file("d/b", b"2").file("d/a", b"3")];
        check(
            &files(),
            &[fake().dir("d/").file("d/a", b"3").file("d/b", b"2")],
            false,
            "d 10, d/a 10, d/b 10",
        );
        let deleting = [files()[0].clone(), fake().file("d/.wh.a", b"")];
        check(&deleting, &[fake().dir("d/")], false, "d 00");
        check(&deleting, &[fake().dir("d/")], true, "d 00, d/.wh.a 1-");
        let opaque = [files()[0].clone(), fake().file("d/.wh..wh..opq", b"").file("d/c", b"")];
        check(&opaque, &[], false, "d 0-, d/c 1-");
        check(&[files()[0].clone(), fake().file("d", b"")], &[], false, "d 1-");
        check(&[fake().file(".wh.d", b""), files()[0].clone()], &[], false, "d 1-, d/a 1-");
    }
}
