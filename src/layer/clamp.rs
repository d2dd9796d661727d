//! Times no later than the epoch: of entries, and inside `.pyc` files (`pyc-clamp`, WIRE.md §6).

use super::{Entry, Kind};

/// Where a timestamp `.pyc` keeps the time of its source (PEP 552).
const SOURCE_TIME: std::ops::Range<usize> = 8..12;
const HEADER: u64 = 16;

/// The entry's time as the writer writes it.
pub(super) fn mtime(entry: &Entry, epoch_s: i64) -> i64 {
    entry.mtime_s.min(epoch_s)
}

/// The first 12 bytes of the content as they must be, if it is a timestamp `.pyc` with a later source time.
pub(super) fn pyc_head(entry: &Entry, epoch_s: i64) -> Option<[u8; 12]> {
    let head: [u8; 12] = entry.peek.get(..12)?.try_into().ok()?;
    let is_pyc = entry.kind == Kind::File
        && entry.path.ends_with(b".pyc")
        && entry.size_bytes >= HEADER
        && head[2..4] == *b"\r\n"
        && head[4..8] == [0; 4];
    let time = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    let epoch = u32::try_from(epoch_s).ok()?;
    (is_pyc && time > epoch).then(|| {
        let mut clamped = head;
        clamped[SOURCE_TIME].copy_from_slice(&epoch.to_le_bytes());
        clamped
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::fake::FakeLayer;

    fn head(path: &str, content: &[u8]) -> Option<[u8; 12]> {
        pyc_head(&FakeLayer::default().file(path, content).index()[0], 100)
    }

    #[test]
    fn only_timestamp_pycs_of_later_source() {
        let pyc = |flags: u8, time: u8| {
            [&[0xa7, 0x0d, 13, 10, flags, 0, 0, 0, time, 0, 0, 0][..], &[7; 9]].concat()
        };
        assert_eq!(head("a.pyc", &pyc(0, 200)).unwrap()[8..], [100, 0, 0, 0]);
        assert_eq!(head("a.pyc", &pyc(0, 99)), None);
        assert_eq!(head("a.pyc", &pyc(1, 200)), None);
        assert_eq!(head("a.py", &pyc(0, 200)), None);
        assert_eq!(head("a.pyc", &pyc(0, 200)[..14]), None);
        assert_eq!(head("a.pyc", b""), None);
    }
}
