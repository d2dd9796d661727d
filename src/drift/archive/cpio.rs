//! cpio: newc and its twin with checksums (`070701`, `070702`), the old portable form (`070707`) and the old binary one.

use std::{borrow::Cow, ops::Range};

use super::{Archive, Kind, Member};

const TRAILER: &[u8] = b"TRAILER!!!\0";
/// Magic number of the old binary form, whose numbers are 16 bits each, here of a machine with the low byte first.
const BINARY: [u8; 2] = 0o070_707_u16.to_le_bytes();

/// How one form writes a header.
struct Form {
    length: usize,
    /// Names and contents begin at multiples of this.
    aligned: usize,
    size: Range<usize>,
    name_size: Range<usize>,
    /// Device, inode, time.
    volatile: &'static [Range<usize>],
}

const NEWC: Form = Form {
    length: 110,
    aligned: 4,
    size: 54..62,
    name_size: 94..102,
    volatile: &[6..14, 46..54, 62..70, 70..78],
};
const ODC: Form =
    Form { length: 76, aligned: 1, size: 65..76, name_size: 59..65, volatile: &[6..12, 12..18, 48..59] };
const OLD: Form = Form { length: 26, aligned: 2, size: 22..26, name_size: 20..22, volatile: &[2..6, 16..20] };

pub(super) fn read(bytes: &[u8]) -> Option<Archive<'_>> {
    let mut archive = Archive::new(Kind::Cpio, bytes.len());
    let mut at = 0_usize;
    loop {
        let start = bytes.get(at..)?;
        let (form, radix) = match start.get(..6)? {
            b"070701" | b"070702" => (&NEWC, Some(16)),
            b"070707" => (&ODC, Some(8)),
            magic if magic.starts_with(&BINARY) => (&OLD, None),
            _ => return None,
        };
        let header = start.get(..form.length)?;
        let number = |range: &Range<usize>| match radix {
            Some(radix) => usize::from_str_radix(str::from_utf8(&header[range.clone()]).ok()?, radix).ok(),
            None => Some(words(&header[range.clone()])),
        };
        for volatile in form.volatile {
            number(volatile)?;
        }
        let name_at = at + form.length;
        let name_end = name_at.checked_add(number(&form.name_size)?)?;
        let name = bytes.get(name_at..name_end)?;
        let from = name_end.checked_next_multiple_of(form.aligned)?;
        let to = from.checked_add(number(&form.size)?)?;
        let end = to.checked_next_multiple_of(form.aligned)?;
        let content = bytes.get(from..to)?;
        let mut masked = header.to_vec();
        let mut times = Vec::new();
        for volatile in form.volatile {
            times.extend_from_slice(&header[volatile.clone()]);
            masked[volatile.clone()].fill(b'0');
        }
        masked[form.size.clone()].fill(b'0');
        masked.extend_from_slice(name);
        masked.extend_from_slice(bytes.get(name_end..from)?);
        masked.extend_from_slice(bytes.get(to..end.min(bytes.len()))?);
        let last = name == TRAILER;
        let plain = name.strip_suffix(b"\0").unwrap_or(name);
        let packed = Cow::Borrowed(content);
        archive.add(Member { name: plain.into(), header: masked, times, packed, packing: Vec::new(), claim: None })?;
        at = end;
        if last {
            break;
        }
    }
    // What follows in an initial RAM disk: the next archive, compressed or not.
    let tail = bytes.get(at.min(bytes.len())..)?;
    let zeros = tail.iter().take_while(|byte| **byte == 0).count();
    if zeros < tail.len() {
        archive.rest.extend_from_slice(&zeros.to_be_bytes());
        archive.add(Member {
            name: "what follows".into(),
            header: Vec::new(),
            times: Vec::new(),
            packed: Cow::Borrowed(&tail[zeros..]),
            packing: Vec::new(), claim: None,
        })?;
    } else {
        archive.end(tail);
    }
    Some(archive)
}

/// A number of 16-bit words, the higher first.
fn words(bytes: &[u8]) -> usize {
    bytes.chunks_exact(2).fold(0, |value, word| value << 16 | usize::from(word[1]) << 8 | usize::from(word[0]))
}
