//! As much of `SQLite`'s file format (sqlite.org/fileformat2.html) as it takes to put a database at rest: what its write-ahead
//! log holds is moved into it, and times in a table are clamped. Whatever is not as the format says: nothing is done.

mod table;
mod wal;

pub use table::varint;
pub(super) use table::{Times, clamp};
pub(super) use wal::{is_index, rest};

/// First bytes of a database.
pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";
/// Size of a database's header.
const HEADER_SIZE_BYTES: usize = 100;

/// The page size that the header of a database says, if it is one.
fn page_size(header: &[u8]) -> Option<u32> {
    let size = header.strip_prefix(MAGIC)?.get(..2)?;
    let size = match u32::from(u16::from_be_bytes([size[0], size[1]])) {
        1 => 65_536,
        size => size,
    };
    (size.is_power_of_two() && size >= 512).then_some(size)
}

#[cfg(test)]
mod tests;
