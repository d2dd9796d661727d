//! ar: static libraries and Debian's packages.

use std::borrow::Cow;

use bstr::ByteSlice as _;

use super::{Archive, Kind, Member};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;
/// The member that says which symbols are in which member.
const SYMBOLS: &[u8] = b"/";

pub(super) fn read(bytes: &[u8]) -> Option<Archive<'_>> {
    let mut archive = Archive::new(Kind::Ar, bytes.len());
    let mut starts = Vec::new();
    let mut at = bytes.starts_with(MAGIC).then_some(MAGIC.len())?;
    while at < bytes.len() {
        let header = bytes.get(at..at.checked_add(HEADER)?).filter(|header| header.ends_with(b"`\n"))?;
        let number = |field: &[u8]| field.trim_end().to_str().ok()?.parse::<usize>().ok();
        if !header[16..28].iter().all(|byte| byte.is_ascii_digit() || *byte == b' ') {
            return None;
        }
        let from = at + HEADER;
        let to = from.checked_add(number(&header[48..58])?)?;
        let content = bytes.get(from..to)?;
        let mut masked = header.to_vec();
        masked[16..28].fill(b' ');
        masked[48..58].fill(b' ');
        if content.len() % 2 == 1 {
            // The last one's may be missing.
            masked.extend(bytes.get(to).filter(|padding| **padding != b'\n'));
        }
        starts.push(at);
        let name = header[..16].trim_end().strip_suffix(b"/").filter(|name| !name.is_empty());
        archive.add(Member {
            name: name.unwrap_or(header[..16].trim_end()).into(),
            header: masked,
            times: header[16..28].to_vec(),
            packed: Cow::Borrowed(content),
            packing: Vec::new(), claim: None,
        })?;
        at = to.checked_next_multiple_of(2)?;
    }
    for member in archive.members.iter_mut().filter(|member| member.name == SYMBOLS) {
        if let Some(numbered) = by_number(&member.packed, &starts) {
            member.packed = Cow::Owned(numbered);
        }
    }
    Some(archive)
}

/// The table of symbols with the number of each member in place of where it lies.
fn by_number(table: &[u8], starts: &[usize]) -> Option<Vec<u8>> {
    let (count, rest) = table.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_be_bytes(*count)).ok()?.checked_mul(4)?;
    let (offsets, names) = rest.split_at_checked(size)?;
    let mut out = count.to_vec();
    for offset in offsets.chunks_exact(4) {
        let offset = u32::from_be_bytes(offset.try_into().ok()?);
        let number = starts.binary_search(&usize::try_from(offset).ok()?).ok()?;
        out.extend_from_slice(&u32::try_from(number).ok()?.to_be_bytes());
    }
    out.extend_from_slice(names);
    Some(out)
}
