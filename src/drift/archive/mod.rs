//! Archives inside an image, taken apart: what of them is members' contents, what times, and what neither. Every byte of an
//! archive is one of these, or follows from them (a checksum, a size, an offset), or it is not read.

mod ar;
mod compressed;
mod cpio;
mod tar;
mod zip;

use std::{borrow::Cow, cell::Cell};

use bstr::BString;

pub(super) use compressed::{Xz, inflated, same_but_header};

use super::Cause;

/// Most bytes that are inflated to explain one change, both sides together, archives in archives included.
const INFLATED_BYTES_MAX: u64 = 128 << 20;
/// Most members of one archive.
const MEMBERS_MAX: usize = 100_000;
/// Deepest nesting: two archives in each other, each compressed, and a compressed file in the inner one.
pub(super) const DEPTH_MAX: u8 = 5;

/// What may still be inflated.
#[derive(Debug)]
pub(super) struct Budget(Cell<u64>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(INFLATED_BYTES_MAX))
    }
}

impl Budget {
    /// All of `reader`, if there is that much left.
    pub(super) fn read(&self, reader: impl std::io::Read) -> Option<Vec<u8>> {
        let left = self.0.get();
        let mut out = Vec::new();
        std::io::Read::read_to_end(&mut reader.take(left + 1), &mut out).ok()?;
        self.0.set(left.saturating_sub(out.len() as u64));
        (out.len() as u64 <= left).then_some(out)
    }
}

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// POSIX.1-2017 `pax`, "ustar Interchange Format", and GNU's.
    Tar,
    /// PKWARE APPNOTE.
    Zip,
    /// ar(5), which static libraries and Debian's packages are.
    Ar,
    /// cpio(5).
    Cpio,
}

impl Kind {
    /// The cause if times alone differ.
    pub(super) fn of_times(self) -> Cause {
        match self {
            Self::Tar => Cause::TarTimestamp,
            Self::Zip => Cause::ZipTimestamp,
            Self::Ar => Cause::ArTimestamp,
            Self::Cpio => Cause::CpioTimestamp,
        }
    }
}

/// One member.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) name: BString,
    /// Its header without times, and without what follows from its content.
    header: Vec<u8>,
    /// Its times; of cpio also inode and device.
    times: Vec<u8>,
    /// What its header says of how it is packed.
    packing: Vec<u8>,
    /// Its content as it lies in the archive.
    packed: Cow<'a, [u8]>,
    /// What the archive claims of the content of a zip's member.
    claim: Option<zip::Claim>,
}

impl Member<'_> {
    /// Whether the headers are the same but for times.
    pub(super) fn same_header(&self, other: &Self) -> bool {
        self.header == other.header
    }

    pub(super) fn same_times(&self, other: &Self) -> bool {
        self.times == other.times
    }

    pub(super) fn same_packed(&self, other: &Self) -> bool {
        self.packing == other.packing && self.packed == other.packed && self.claim == other.claim
    }

    /// Its content; nothing if it is not what the archive says.
    pub(super) fn content(&self, budget: &Budget) -> Option<Vec<u8>> {
        match &self.claim {
            None => Some(self.packed.to_vec()),
            Some(claim) => claim.content(&self.packed, budget),
        }
    }
}

/// An archive taken apart.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    pub(super) kind: Kind,
    pub(super) members: Vec<Member<'a>>,
    /// What is before, between and behind members, and is neither zero nor follows from them.
    pub(super) rest: Vec<u8>,
    /// Zeros behind the last member.
    tail_bytes: usize,
    size_bytes: usize,
}

impl<'a> Archive<'a> {
    /// Takes `bytes` apart, if it is one of the kinds, and whole.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        tar::read(bytes).or_else(|| zip::read(bytes)).or_else(|| ar::read(bytes)).or_else(|| cpio::read(bytes))
    }

    fn new(kind: Kind, size_bytes: usize) -> Self {
        Self { kind, members: Vec::new(), rest: Vec::new(), tail_bytes: 0, size_bytes }
    }

    fn add(&mut self, member: Member<'a>) -> Option<()> {
        self.members.push(member);
        (self.members.len() <= MEMBERS_MAX).then_some(())
    }

    /// Notes what is behind the last member: zeros up to a whole number of records, or something.
    fn end(&mut self, tail: &[u8]) {
        if tail.iter().all(|byte| *byte == 0) {
            self.tail_bytes = tail.len();
        } else {
            self.rest.extend_from_slice(tail);
        }
    }

    /// Whether both end alike: with as many zeros, or in records of one size if their contents are of several.
    pub(super) fn same_end(&self, other: &Self) -> bool {
        const RECORDS: [usize; 3] = [10_240, 1024, 512];
        let in_records = |size: usize| RECORDS.iter().position(|record| size.is_multiple_of(*record));
        let contents = |archive: &Self| archive.size_bytes - archive.tail_bytes;
        self.tail_bytes == other.tail_bytes
            || (contents(self) != contents(other) && in_records(self.size_bytes) == in_records(other.size_bytes))
    }
}
