//! Archives and compressed files inside the image.

use std::{
    io::{BufReader, Read},
    ops::Range,
};

use super::{Cause, Finding, tar, zip};
use crate::{
    drift::{clock, evidence, view::View},
    model::limits::{INFLATE_FREE_BYTES, XZ_MEMORY_KIB_MAX},
};

/// gzip whose header's time alone differs (RFC 1952, MTIME).
pub(super) fn gzip_timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let gzip = is_gzip(a) && is_gzip(b) && a.len() == b.len() && a.len() > 18;
    (gzip && a[..4] == b[..4] && a[8..] == b[8..]).then(|| Finding::certain(Cause::GzipTimestamp))
}

/// zip, jar, wheel: members' times alone differ.
pub(super) fn zip_timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let (one, other) = (zip::without_times(a)?, zip::without_times(b)?);
    (one == other).then(|| Finding::certain(Cause::ZipTimestamp))
}

/// tar: members' times (and so their headers' checksums) alone differ.
pub(super) fn tar_timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    (tar::without_times(a)? == tar::without_times(b)?).then(|| Finding::certain(Cause::TarTimestamp))
}

/// ar: members' times alone differ.
pub(super) fn ar_timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    (ar_without_times(a)? == ar_without_times(b)?).then(|| Finding::certain(Cause::ArTimestamp))
}

/// cpio: members' times, inodes and devices alone differ.
pub(super) fn cpio_timestamp(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    (cpio_without_times(a)? == cpio_without_times(b)?).then(|| Finding::certain(Cause::CpioTimestamp))
}

/// An archive without its times; nothing if it is none.
type Masked = fn(&[u8]) -> Option<Vec<u8>>;

/// gzip, xz and zstd whose contents are equal, or differ as an archive or a text may.
pub(super) fn compressed(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let (a, b) = (inflated(a)?, inflated(b)?);
    if a == b {
        return Some(Finding::certain(Cause::CompressedMember));
    }
    let inner: [(Masked, Cause); 4] = [
        (tar::without_times, Cause::TarTimestamp),
        (cpio_without_times, Cause::CpioTimestamp),
        (ar_without_times, Cause::ArTimestamp),
        (zip::without_times, Cause::ZipTimestamp),
    ];
    let same = |masked: Masked| masked(&a).is_some_and(|one| Some(one) == masked(&b));
    let archive = inner.into_iter().find(|(masked, _)| same(*masked)).map(|(_, cause)| cause);
    let text = || {
        let texts = !a.contains(&0) && !b.contains(&0);
        let (one, other) = texts.then(|| clock::mask_both(&a, &b, view.context))??;
        (one == other).then_some(Cause::ClockInText)
    };
    let shown =
        if a.contains(&0) || b.contains(&0) { evidence::bytes(&a, &b) } else { evidence::lines(&a, &b) };
    Some(Finding::certain(archive.or_else(text)?).shown(format!("decompressed: {shown}")))
}

/// What a compressed file holds, if it is not too much.
fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    const XZ: &[u8] = b"\xfd7zXZ\0";
    if is_gzip(bytes) {
        whole(flate2::read::MultiGzDecoder::new(bytes))
    } else if bytes.starts_with(ZSTD) {
        whole(zstd::stream::read::Decoder::with_buffer(BufReader::new(bytes)).ok()?)
    } else if bytes.starts_with(XZ) {
        whole(lzma_rust2::XzReader::new_mem_limit(bytes, true, XZ_MEMORY_KIB_MAX))
    } else {
        None
    }
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8])
}

/// All of `reader`, if it is not too much.
fn whole(reader: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    reader.take(INFLATE_FREE_BYTES + 1).read_to_end(&mut out).ok()?;
    (out.len() as u64 <= INFLATE_FREE_BYTES).then_some(out)
}

/// newc and its twin with checksums (`070701`, `070702`), the old portable form (`070707`) and the old binary one, as in
/// cpio(5).
fn cpio_without_times(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.starts_with(&BINARY) {
        return cpio_binary_without_times(bytes);
    }
    let mut out = bytes.to_vec();
    let mut at = 0;
    loop {
        let header = out.get(at..)?;
        let form = match header.get(..6)? {
            b"070701" | b"070702" => &NEWC,
            b"070707" => &ODC,
            _ => return None,
        };
        let number = |range: &Range<usize>| {
            usize::from_str_radix(str::from_utf8(header.get(range.clone())?).ok()?, form.radix).ok()
        };
        let (name, size) = (number(&form.name_size)?, number(&form.size)?);
        let name_at = at.checked_add(form.length)?;
        let name_end = name_at.checked_add(name)?;
        let last = out.get(name_at..name_end)? == b"TRAILER!!!\0";
        for volatile in form.volatile {
            out.get_mut(at + volatile.start..at + volatile.end)?.fill(b'0');
        }
        let aligned = |end: usize| end.checked_next_multiple_of(form.aligned);
        at = aligned(aligned(name_end)?.checked_add(size)?)?;
        if last {
            return Some(out);
        }
    }
}

/// Magic number of the old binary form, whose numbers are 16 bits each, here of a machine with the low byte first.
const BINARY: [u8; 2] = 0o070_707_u16.to_le_bytes();

fn cpio_binary_without_times(bytes: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 26;
    let mut out = bytes.to_vec();
    let mut at = 0_usize;
    loop {
        let header = out.get_mut(at..at.checked_add(HEADER)?).filter(|header| header.starts_with(&BINARY))?;
        let number = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
        let (name, size) = (number(20), number(22) << 16 | number(24)); // Of two, the higher comes first.
        header[2..6].fill(0); // Device and inode.
        header[16..20].fill(0);
        let name_at = at + HEADER;
        let last = out.get(name_at..name_at.checked_add(name)?)? == b"TRAILER!!!\0";
        let content = name_at.checked_add(name.checked_next_multiple_of(2)?)?;
        at = content.checked_add(size.checked_next_multiple_of(2)?)?;
        if last {
            return Some(out);
        }
    }
}

/// Where the header of a cpio member has what.
struct Cpio {
    length: usize,
    radix: u32,
    /// Names and contents begin at multiples of this.
    aligned: usize,
    size: Range<usize>,
    name_size: Range<usize>,
    /// Device, inode, time.
    volatile: &'static [Range<usize>],
}

const NEWC: Cpio = Cpio {
    length: 110,
    radix: 16,
    aligned: 4,
    size: 54..62,
    name_size: 94..102,
    volatile: &[6..14, 46..54, 62..70, 70..78],
};
const ODC: Cpio = Cpio {
    length: 76,
    radix: 8,
    aligned: 1,
    size: 65..76,
    name_size: 59..65,
    volatile: &[6..12, 12..18, 48..59],
};

fn ar_without_times(bytes: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 60;
    let mut out = bytes.to_vec();
    let mut at = bytes.starts_with(b"!<arch>\n").then_some(8)?;
    while let Some(header) = out.get_mut(at..at + HEADER) {
        if header[58..60] != *b"`\n" {
            return None;
        }
        header[16..28].fill(b' ');
        let size: usize = str::from_utf8(&header[48..58]).ok()?.trim_end().parse().ok()?;
        at = at.checked_add(HEADER)?.checked_add(size.checked_next_multiple_of(2)?)?;
    }
    Some(out)
}
