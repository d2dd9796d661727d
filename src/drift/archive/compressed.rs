//! gzip (RFC 1952), xz (the .xz file format, 1.2) and zstd (RFC 8878).

use std::io::BufReader;

use bstr::ByteSlice as _;

use super::Budget;
use crate::model::limits::XZ_MEMORY_KIB_MAX;

const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const XZ: &[u8] = b"\xfd7zXZ\0";
const GZIP: &[u8] = &[0x1f, 0x8b, 8];
/// Most blocks of one xz stream that are looked at.
const BLOCKS_MAX: u64 = 1 << 16;

/// What a compressed file holds; nothing if it is none, is not whole, or holds too much.
pub(in crate::drift) fn inflated(bytes: &[u8], budget: &Budget) -> Option<Vec<u8>> {
    if bytes.starts_with(GZIP) {
        budget.read(flate2::read::MultiGzDecoder::new(bytes))
    } else if bytes.starts_with(ZSTD) {
        budget.read(zstd::stream::read::Decoder::with_buffer(BufReader::new(bytes)).ok()?)
    } else if bytes.starts_with(XZ) {
        budget.read(lzma_rust2::XzReader::new_mem_limit(bytes, true, XZ_MEMORY_KIB_MAX))
    } else {
        None
    }
}

/// Whether two gzip files differ in nothing but the time and the name in their headers.
pub(in crate::drift) fn same_but_header(a: &[u8], b: &[u8]) -> bool {
    let (Some(a), Some(b)) = (without_header(a), without_header(b)) else { return false };
    a == b
}

/// Flags, what is behind the time, extra fields, and what is behind the name.
fn without_header(bytes: &[u8]) -> Option<[&[u8]; 4]> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    let flags = *bytes.get(3).filter(|_| bytes.starts_with(GZIP))?;
    let mut at = 10;
    if flags & EXTRA != 0 {
        at += 2 + usize::from(u16::from_le_bytes(bytes.get(10..12)?.try_into().ok()?));
    }
    let extra = bytes.get(10..at)?;
    if flags & NAME != 0 {
        at += bytes.get(at..)?.find_byte(0)? + 1;
    }
    // Header and trailer at least, and something between.
    (bytes.len() > at + 8).then(|| [&bytes[3..4], &bytes[8..10], extra, &bytes[at..]])
}

/// How an xz file is cut into blocks.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::drift) struct Xz {
    pub(in crate::drift) blocks: u64,
    /// Whether headers of blocks hold their sizes, as those do that are written by several threads.
    pub(in crate::drift) sized: bool,
    /// The filters with their properties: the level, so to say.
    pub(in crate::drift) filters: Vec<u8>,
}

impl Xz {
    /// Reads the index of a file of one stream, and the header of its first block.
    pub(in crate::drift) fn of(bytes: &[u8]) -> Option<Self> {
        let footer = bytes.get(bytes.len().checked_sub(12)?..)?;
        let backward = usize::try_from(u32::from_le_bytes(footer[4..8].try_into().ok()?)).ok()?;
        let size = backward.checked_add(1)?.checked_mul(4)?;
        let index = bytes.get(bytes.len().checked_sub(12)?.checked_sub(size)?..)?;
        if !bytes.starts_with(XZ) || !footer.ends_with(b"YZ") || index.first() != Some(&0) {
            return None;
        }
        let blocks = number(&index[1..])?.0;
        let header = bytes.get(12..)?;
        let size = (usize::from(*header.first()?) + 1) * 4;
        let header = header.get(..size.max(8))?;
        let flags = header[1];
        let mut at = 2;
        for flag in [0x40, 0x80] {
            if flags & flag != 0 {
                at += number(header.get(at..)?)?.1;
            }
        }
        let filters = header.get(at..header.len() - 4)?.trim_end_with(|byte| byte == '\0').to_vec();
        (blocks <= BLOCKS_MAX && blocks > 0).then_some(Self { blocks, sized: flags & 0xc0 == 0xc0, filters })
    }
}

/// A number of seven bits a byte, the least first, and its length.
fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}
