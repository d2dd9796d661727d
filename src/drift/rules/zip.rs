//! Times in zip archives (PKWARE APPNOTE 4.3, 4.4.6, 4.5).

const END: &[u8] = b"PK\x05\x06";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// Extra fields that hold times: NTFS, extended timestamp, old Info-ZIP.
const TIMES: [u16; 3] = [0x000a, 0x5455, 0x5855];

/// The archive with every member's times zeroed; nothing if it is none, or is not read safely.
pub(super) fn without_times(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = bytes.starts_with(b"PK").then(|| bytes.to_vec())?;
    let end = (bytes.len().saturating_sub(22 + 0xffff)..bytes.len())
        .rev()
        .find(|at| bytes[*at..].starts_with(END))?;
    let count = short(bytes, end + 10)?;
    let mut at = long(bytes, end + 16)?;
    for _ in 0..count {
        let header = bytes.get(at..at + 46).filter(|header| header.starts_with(CENTRAL))?;
        let (name, extra, comment) = (short(header, 28)?, short(header, 30)?, short(header, 32)?);
        let local = long(header, 42)?;
        out[at + 12..at + 16].fill(0);
        let extra_at = at + 46 + usize::from(name);
        zero_extra(&mut out, extra_at, extra_at + usize::from(extra))?;
        without_local_times(&mut out, local)?;
        at = extra_at + usize::from(extra) + usize::from(comment);
    }
    Some(out)
}

fn without_local_times(out: &mut [u8], at: usize) -> Option<()> {
    let header = out.get(at..at + 30).filter(|header| header.starts_with(LOCAL))?;
    let extra_at = at + 30 + usize::from(short(header, 26)?);
    let end = extra_at + usize::from(short(header, 28)?);
    out[at + 10..at + 14].fill(0);
    zero_extra(out, extra_at, end)
}

fn zero_extra(out: &mut [u8], mut at: usize, end: usize) -> Option<()> {
    out.get(..end)?;
    while at + 4 <= end {
        let (id, size) = (short(out, at)?, usize::from(short(out, at + 2)?));
        at += 4;
        if TIMES.contains(&id) {
            out.get_mut(at..at + size)?.fill(0);
        }
        at += size;
    }
    Some(())
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}
