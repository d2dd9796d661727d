//! zip, jar, wheel, pyz (PKWARE APPNOTE 4.3, 4.4, 4.5), without zip64, encryption or volumes.

use std::{borrow::Cow, collections::BTreeMap};

use super::{Archive, Budget, Kind, Member};

const END: &[u8] = b"PK\x05\x06";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";
/// Extra fields that hold times: NTFS, extended timestamp, old Info-ZIP.
const TIMES: [usize; 3] = [0x000a, 0x5455, 0x5855];
const ENCRYPTED: usize = 1;
const DESCRIBED: usize = 8;

pub(super) fn read(bytes: &[u8]) -> Option<Archive<'_>> {
    if !bytes.starts_with(b"PK") && !bytes.starts_with(b"#!") {
        return None;
    }
    let last = bytes.len().checked_sub(22)?;
    let ends = (last.saturating_sub(0xffff)..=last).rev();
    let end =
        ends.filter(|at| bytes[*at..].starts_with(END)).find(|at| end_of(bytes, *at) == Some(bytes.len()))?;
    let (count, size, start) = (short(bytes, end + 10)?, long(bytes, end + 12)?, long(bytes, end + 16)?);
    let whole = start.checked_add(size) == Some(end)
        && bytes[end + 4..end + 8] == [0; 4]
        && short(bytes, end + 8)? == count;
    if !whole {
        return None;
    }
    let mut archive = Archive::new(Kind::Zip, bytes.len());
    archive.rest.extend_from_slice(&bytes[end + 20..]);
    let (mut at, mut places) = (start, BTreeMap::new());
    for _ in 0..count {
        let (member, local, next) = member(bytes, at)?;
        places.insert(local, (archive.members.len(), at + 16));
        archive.add(member)?;
        at = next;
    }
    // Local headers lie one after the other, from the first to the central directory.
    let mut next = *places.keys().next()?;
    archive.rest.extend_from_slice(&bytes[..next]);
    for (local, (index, sums)) in &places {
        (*local == next).then_some(())?;
        next = fill(&mut archive.members[*index], bytes, *local, &bytes[*sums..*sums + 12])?;
    }
    (at == end && next == start && places.len() == count).then_some(archive)
}

/// Where the record that ends an archive ends itself.
fn end_of(bytes: &[u8], at: usize) -> Option<usize> {
    Some(at + 22 + short(bytes, at + 20)?)
}

/// A member by its central header at `at`, where its local header is, and where the next central one.
fn member(bytes: &[u8], at: usize) -> Option<(Member<'_>, usize, usize)> {
    let header = bytes.get(at..at.checked_add(46)?).filter(|header| header.starts_with(CENTRAL))?;
    let (flags, method) = (short(header, 8)?, short(header, 10)?);
    if flags & ENCRYPTED != 0 || !matches!(method, 0 | 8) || short(header, 34)? != 0 {
        return None;
    }
    let name_at = at + 46;
    let extra_at = name_at + short(header, 28)?;
    let comment_at = extra_at + short(header, 30)?;
    let next = comment_at + short(header, 32)?;
    let name = bytes.get(name_at..extra_at)?;
    let mut member = Member {
        name: name.into(),
        header: [&header[..6], &header[28..30], &header[32..42], name, bytes.get(comment_at..next)?].concat(),
        times: header[12..16].to_vec(),
        packing: header[6..12].to_vec(),
        packed: Cow::Borrowed(&[]),
        claim: Some(Claim { deflated: method == 8, size: long(header, 24)?, sum: word(header, 16)? }),
    };
    extra(bytes.get(extra_at..comment_at)?, &mut member);
    Some((member, long(header, 42)?, next))
}

/// Adds what the local header at `at` says, and the content behind it, given CRC and sizes of the central header; where
/// that ends.
fn fill<'a>(member: &mut Member<'a>, bytes: &'a [u8], at: usize, central: &[u8]) -> Option<usize> {
    let header = bytes.get(at..at.checked_add(30)?).filter(|header| header.starts_with(LOCAL))?;
    let described = short(header, 6)? & DESCRIBED != 0;
    let sizes = &header[14..26];
    // Before a size is known, or where it could be one of eight bytes.
    let unknown = sizes == [0; 12] || (sizes[..4] == [0; 4] && sizes[4..] == [0xff; 8]);
    if sizes != central && !(described && unknown) {
        return None;
    }
    let name_at = at + 30;
    let extra_at = name_at + short(header, 26)?;
    let from = extra_at + short(header, 28)?;
    let to = from.checked_add(long(central, 4)?)?;
    // Version needed, flags (levels of compression among them) and method.
    member.packing.extend_from_slice(&header[4..10]);
    member.packing.push(u8::from(sizes == central));
    member.header.push(header[7]); // Among the flags: how names are encoded.
    member.header.extend_from_slice(bytes.get(name_at..extra_at)?);
    member.times.extend_from_slice(&header[10..14]);
    extra(bytes.get(extra_at..from)?, member);
    member.packed = Cow::Borrowed(bytes.get(from..to)?);
    let rest = bytes.get(to..)?;
    if !described {
        return Some(to);
    }
    let (sum, sizes) = central.split_at(4);
    let wide = [sum, &sizes[..4], &[0; 4], &sizes[4..], &[0; 4]].concat();
    let (behind, signed) = rest.strip_prefix(DESCRIPTOR).map_or((rest, 0), |behind| (behind, 4));
    // Sizes of eight bytes first: one of four could not be told from their beginning.
    let forms = [&wide[..], central];
    forms.iter().find(|form| behind.starts_with(form)).map(|form| to + signed + form.len())
}

/// Extra fields: times apart from the rest.
fn extra(mut fields: &[u8], member: &mut Member<'_>) {
    while let (Some(id), Some(size)) = (short(fields, 0), short(fields, 2)) {
        let Some(value) = fields.get(4..4 + size) else { break };
        member.header.extend_from_slice(&fields[..4]);
        let into = if TIMES.contains(&id) { &mut member.times } else { &mut member.header };
        into.extend_from_slice(value);
        fields = &fields[4 + size..];
    }
    member.header.extend_from_slice(fields);
}

/// What headers say of a content: how it is packed, its size and its CRC-32.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    deflated: bool,
    size: usize,
    sum: u32,
}

impl Claim {
    /// What `packed` holds, if that has this size and checksum and nothing is left.
    pub(super) fn content(&self, packed: &[u8], budget: &Budget) -> Option<Vec<u8>> {
        let out = if self.deflated {
            let mut decoder = flate2::bufread::DeflateDecoder::new(packed);
            let out = budget.read(&mut decoder)?;
            (decoder.total_in() == packed.len() as u64).then_some(out)?
        } else {
            packed.to_vec()
        };
        let mut crc = flate2::Crc::new();
        crc.update(&out);
        (out.len() == self.size && crc.sum() == self.sum).then_some(out)
    }
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?).into())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(word(bytes, at)?).ok()
}
