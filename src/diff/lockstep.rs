//! Two archives read side by side, in one pass and in little memory.
//!
//! Two runs of one builder write their entries in one order, so entry meets entry, and bytes meet bytes: nothing is hashed that
//! is equal. Where one has an entry more, the order that both have kept tells which. Archives without a common order, or with
//! a path twice, are left to `sorted`.

use std::{
    cmp::Ordering,
    hash::{DefaultHasher, Hasher as _},
    io::BufRead,
};

use bstr::BString;

use super::{
    Change, Delta,
    change::{Contents, change},
    kept::Room,
};
use crate::{
    layer::{Archive, Beside, Entry, Kind, LayerError, PEEK_SIZE_BYTES, Shape, compare_paths, pass_twins},
    model::{
        Digest, Hasher,
        limits::{CAPTURE_FILE_BYTES_MAX, LAYER_CHANGES_MAX},
    },
};

/// What differs of two archives, and how each is written.
pub(super) struct Compared {
    pub(super) changes: Vec<Change>,
    pub(super) shapes: [Option<Shape>; 2],
}

/// Which of the two (0 or 1) is not read, after which entry, and why not.
pub(super) struct Refusal {
    pub(super) side: usize,
    pub(super) after: Option<BString>,
    pub(super) source: LayerError,
}

/// One archive, and the entry it stands at.
struct Walker<R> {
    side: usize,
    archive: Archive<R>,
    entry: Option<Entry>,
    last: BString,
    /// Whether its paths ascend, component by component and byte by byte.
    ascends: [bool; 2],
    /// Whether they did from the last to this.
    rises: [bool; 2],
    /// Instead of an entry: it stands at the other's, of one and the same header, and here its content begins.
    twin: Option<u64>,
}

impl<R: BufRead> Walker<R> {
    fn new(side: usize, archive: Archive<R>) -> Result<Self, Refusal> {
        let (entry, last) = (None, BString::default());
        let (ascends, rises) = ([true; 2], [true; 2]);
        let mut walker = Self { side, archive, entry, last, ascends, rises, twin: None };
        walker.next(None)?;
        Ok(walker)
    }

    /// Goes to the next entry. It may well be the one that `other` stands at, which left the same path before.
    fn next(&mut self, other: Option<&Self>) -> Result<(), Refusal> {
        self.settle();
        self.twin = None;
        let beside = other.and_then(|other| other.entry.as_ref().zip(other.archive.header()));
        let next = self.archive.entry_beside(beside);
        self.rises = [true; 2];
        match next.map_err(|source| refusal(self.side, None, &self.last, source))? {
            Beside::End => {}
            Beside::Twin { offset } => {
                self.twin = Some(offset);
                self.rises = other.map_or([true; 2], |other| other.rises);
            }
            Beside::Own(entry) => {
                self.rises = rises(&self.last, &entry.path);
                self.entry = Some(entry);
            }
        }
        self.ascends = [self.ascends[0] && self.rises[0], self.ascends[1] && self.rises[1]];
        Ok(())
    }

    /// Makes the entry at hand the last.
    fn settle(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.last = entry.path;
        }
    }

    /// The next bytes of the content of the entry at hand; empty at its end.
    fn piece(&mut self) -> Result<&[u8], Refusal> {
        let Self { side, archive, entry, last, .. } = self;
        archive.piece().map_err(|source| refusal(*side, entry.as_ref(), last, source))
    }

    /// The entry at hand, whose content begins with `head`; there is none then until the next.
    fn take(&mut self, head: &Head) -> Option<Entry> {
        let mut entry = self.entry.take()?;
        self.last.clone_from(&entry.path);
        entry.peek = head.bytes().to_vec();
        Some(entry)
    }

    /// The entry at hand with all that can be told of its content alone; goes to the next.
    fn leave(&mut self) -> Result<Option<Entry>, Refusal> {
        let Some(mut entry) = self.entry.take() else { return Ok(None) };
        self.last.clone_from(&entry.path);
        if entry.kind == Kind::File {
            let (mut hasher, mut head) = (Hasher::default(), Head::default());
            loop {
                let piece = self.archive.piece();
                let piece = piece.map_err(|source| refusal(self.side, Some(&entry), &self.last, source))?;
                let count = piece.len();
                if count == 0 {
                    break;
                }
                head.add(piece);
                hasher.update(piece);
                self.archive.take(count);
            }
            entry.content = Some(hasher.finish());
            entry.peek = head.bytes().to_vec();
        }
        self.next(None)?;
        Ok(Some(entry))
    }
}

/// Whether `path` is above `last` in either order.
fn rises(last: &[u8], path: &[u8]) -> [bool; 2] {
    if last.is_empty() { [true; 2] } else { [compare_paths(last, path).is_lt(), last < path] }
}

/// Goes from a pair to the next entries of both, past all that come as twins.
fn next_pair<R: BufRead>(a: &mut Walker<R>, b: &mut Walker<R>, paths: &mut Vec<u64>) -> Result<(), Refusal> {
    a.settle();
    b.entry = None;
    let passed = pass_twins([&mut a.archive, &mut b.archive], |path| {
        let rises = rises(&a.last, path);
        for ascends in [&mut a.ascends, &mut b.ascends] {
            *ascends = [ascends[0] && rises[0], ascends[1] && rises[1]];
        }
        paths.push(print(path));
        a.last.clear();
        a.last.extend_from_slice(path);
    });
    b.last.clone_from(&a.last);
    passed.map_err(|(side, source)| refusal(side, None, &a.last, source))?;
    a.next(None)?;
    b.next(Some(a))
}

fn refusal(side: usize, at: Option<&Entry>, last: &BString, source: LayerError) -> Refusal {
    let after = at.map_or(last, |entry| &entry.path);
    Refusal { side, after: (!after.is_empty()).then(|| after.clone()), source }
}

/// Compares two archives; none if only `sorted` can. Contents that differ go into `room`.
pub(super) fn compare<R: BufRead>(
    layer: usize,
    [a, b]: [Archive<R>; 2],
    room: &Room<'_>,
) -> Result<Option<Compared>, Refusal> {
    let (mut a, mut b) = (Walker::new(0, a)?, Walker::new(1, b)?);
    let (mut changes, mut paths, mut held) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    // Which order tells who has an entry more, once somebody has.
    let mut order = None;
    loop {
        let turn = match (&a.entry, &b.entry) {
            (Some(_), None) if b.twin.is_some() => Ordering::Equal,
            (None, None) => break,
            (Some(a), Some(b)) if a.path == b.path => Ordering::Equal,
            (one, other) => {
                let common = (0..2).find(|index| a.ascends[*index] && b.ascends[*index]);
                let (Some(known), true) = (common, order.is_none() || order == common) else {
                    return Ok(None);
                };
                order = Some(known);
                match (one, other) {
                    (Some(a), Some(b)) if known == 0 => compare_paths(&a.path, &b.path),
                    (Some(a), Some(b)) => a.path.cmp(&b.path),
                    (Some(_), _) => Ordering::Less,
                    _ => Ordering::Greater,
                }
            }
        };
        match turn {
            Ordering::Equal => {
                paths.extend(a.entry.as_ref().map(|entry| print(&entry.path)));
                changes.extend(both(layer, &mut a, &mut b, room, &mut held)?);
                next_pair(&mut a, &mut b, &mut paths)?;
            }
            Ordering::Less => changes.extend(change(layer, a.leave()?, None, Contents::Equal)),
            Ordering::Greater => changes.extend(change(layer, None, b.leave()?, Contents::Equal)),
        }
        if changes.len() > LAYER_CHANGES_MAX {
            let source = LayerError::TooMany { what: "differences", max: LAYER_CHANGES_MAX as u64 };
            return Err(refusal(1, b.entry.as_ref(), &b.last, source));
        }
        if order.is_some_and(|order| !a.ascends[order] || !b.ascends[order]) {
            return Ok(None);
        }
    }
    let ascended = (0..2).any(|index| a.ascends[index] && b.ascends[index]);
    if !ascended {
        paths.sort_unstable();
        if paths.windows(2).any(|pair| pair[0] == pair[1]) {
            return Ok(None);
        }
    }
    changes.sort_by(|one: &Change, other| compare_paths(&one.path, &other.path));
    Ok(Some(Compared { changes, shapes: [a.archive.shape(), b.archive.shape()] }))
}

/// Two paths of one print are looked at again, so a forged one costs time only.
fn print(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(path);
    hasher.finish()
}

/// Two entries of one path; their contents are taken.
fn both<R: BufRead>(
    layer: usize,
    a: &mut Walker<R>,
    b: &mut Walker<R>,
    room: &Room<'_>,
    held: &mut [Vec<u8>; 2],
) -> Result<Option<Change>, Refusal> {
    let mut twin = false;
    if let Some(offset) = b.twin.take() {
        if same(a, b)? {
            return Ok(None);
        }
        b.entry = a.entry.as_ref().map(|entry| Entry { offset, ..entry.clone() });
        twin = true;
    }
    let files = [&a.entry, &b.entry].into_iter().flatten().all(|entry| entry.kind == Kind::File);
    let sizes = [&a.entry, &b.entry].map(|entry| entry.as_ref().map_or(0, |entry| entry.size_bytes));
    let hold =
        sizes.iter().all(|size| *size <= CAPTURE_FILE_BYTES_MAX) && sizes[0] + sizes[1] <= room.left_bytes();
    let mut heads = [Head::default(), Head::default()];
    let delta = if files { contents(a, b, &mut heads, hold.then_some(&mut *held))? } else { None };
    let mut found = None;
    if delta.is_some() || !twin {
        let mut outcome = delta.map_or(Contents::Equal, |delta| Contents::Differ(Some(delta)));
        let (mut one, mut other) = (a.take(&heads[0]), b.take(&heads[1]));
        if hold && matches!(outcome, Contents::Differ(_)) {
            for (entry, bytes) in [&mut one, &mut other].into_iter().zip(&*held) {
                if let Some(entry) = entry {
                    entry.content = Some(Digest::of(bytes));
                }
            }
            let kept = room.keep_both(held);
            outcome = Contents::Held(kept.map_err(|source| refusal(0, one.as_ref(), &a.last, source))?);
        }
        found = change(layer, one, other, outcome);
    }
    Ok(found)
}

/// Whether twins, whose contents are both at hand as a whole, have the same; takes them then.
fn same<R: BufRead>(a: &mut Walker<R>, b: &mut Walker<R>) -> Result<bool, Refusal> {
    let at = a.entry.as_ref();
    let one = a.archive.piece().map_err(|source| refusal(a.side, at, &a.last, source))?;
    let other = b.archive.piece().map_err(|source| refusal(b.side, at, &b.last, source))?;
    let count = one.len();
    if at.is_none_or(|entry| entry.size_bytes != count as u64) || one != other {
        return Ok(false);
    }
    a.archive.take(count);
    b.archive.take(count);
    Ok(true)
}

/// Where the contents of two files differ, if they do; the first bytes of each into `heads`, and both of them into `held`,
/// which is cleared first.
fn contents<R: BufRead>(
    a: &mut Walker<R>,
    b: &mut Walker<R>,
    heads: &mut [Head; 2],
    held: Option<&mut [Vec<u8>; 2]>,
) -> Result<Option<Delta>, Refusal> {
    let mut pair = held.map(Held::new);
    let (mut delta, mut at) = (Delta::new(), 0);
    let mut differ = false;
    loop {
        let (one, other) = (a.piece()?, b.piece()?);
        let count = one.len().min(other.len());
        let ended = count == 0;
        let (one, other) = if ended { (one, other) } else { (&one[..count], &other[..count]) };
        if one.is_empty() && other.is_empty() {
            break;
        }
        if ended {
            differ = true;
            delta.rest((one.len() + other.len()) as u64);
        } else if one != other {
            differ = true;
            delta.add(at, one, other);
        }
        if let Some(pair) = &mut pair {
            pair.add(one, other);
        }
        heads[0].add(one);
        heads[1].add(other);
        let counts = (one.len(), other.len());
        a.archive.take(counts.0);
        b.archive.take(counts.1);
        at += count as u64;
    }
    Ok(differ.then_some(delta))
}

/// Two contents; one while they are equal.
struct Held<'a> {
    contents: &'a mut [Vec<u8>; 2],
    two: bool,
}

impl<'a> Held<'a> {
    fn new(contents: &'a mut [Vec<u8>; 2]) -> Self {
        contents.iter_mut().for_each(Vec::clear);
        Self { contents, two: false }
    }

    fn add(&mut self, one: &[u8], other: &[u8]) {
        let [a, b] = &mut *self.contents;
        if !self.two && one != other {
            self.two = true;
            b.extend_from_slice(a);
        }
        a.extend_from_slice(one);
        if self.two {
            b.extend_from_slice(other);
        }
    }
}

/// The first bytes of a content.
struct Head {
    bytes: [u8; PEEK_SIZE_BYTES],
    length: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self { bytes: [0; PEEK_SIZE_BYTES], length: 0 }
    }
}

impl Head {
    fn add(&mut self, piece: &[u8]) {
        let count = piece.len().min(PEEK_SIZE_BYTES - self.length);
        self.bytes[self.length..self.length + count].copy_from_slice(&piece[..count]);
        self.length += count;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
#[path = "lockstep_tests.rs"]
mod tests;
