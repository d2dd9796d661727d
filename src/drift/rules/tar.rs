//! tar archives (POSIX.1-2017 `pax`, "ustar Interchange Format") without the times of their members.

use std::ops::Range;

use bstr::ByteSlice as _;

const BLOCK: usize = 512;
const SIZE: Range<usize> = 124..136;
const TIME: Range<usize> = 136..148;
const SUM: Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: Range<usize> = 257..262;
/// Records of a PAX header that are times.
const TIMES: [&[u8]; 3] = [b"mtime", b"atime", b"ctime"];

/// The archive with every member's times zeroed, and the checksums that follow from them; nothing if one is wrong.
pub(super) fn without_times(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = out.get_mut(at..at + BLOCK).filter(|header| header[0] != 0) {
        if header[MAGIC] != *b"ustar" || octal(&header[SUM])? != sum(header) {
            return None;
        }
        header[TIME].fill(0);
        header[SUM].fill(0);
        let (size, kind) = (octal(&header[SIZE])?, header[KIND]);
        let content = at.checked_add(BLOCK)?;
        if kind == b'x' {
            zero_times(out.get_mut(content..content.checked_add(size)?)?)?;
        }
        at = content.checked_add(size.checked_next_multiple_of(BLOCK)?)?;
    }
    (at > 0).then_some(out)
}

/// Digits between blanks, ended by a blank or NUL; not GNU's binary form.
fn octal(field: &[u8]) -> Option<usize> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    usize::from_str_radix(field[..end].trim().to_str().ok()?, 8).ok()
}

fn sum(header: &[u8]) -> usize {
    let byte = |(at, byte): (usize, &u8)| usize::from(if SUM.contains(&at) { b' ' } else { *byte });
    header.iter().enumerate().map(byte).sum()
}

/// In `LENGTH KEY=VALUE\n` each.
fn zero_times(mut records: &mut [u8]) -> Option<()> {
    while !records.is_empty() {
        let space = records.find_byte(b' ')?;
        let length: usize = records[..space].to_str().ok()?.parse().ok()?;
        let (record, rest) = records.split_at_mut_checked(length)?;
        let record = record.get_mut(space + 1..)?;
        let equals = record.find_byte(b'=')?;
        if TIMES.contains(&&record[..equals]) {
            record[equals + 1..]
                .iter_mut()
                .filter(|byte| byte.is_ascii_digit())
                .for_each(|byte| *byte = b'0');
        }
        records = rest;
    }
    Some(())
}
