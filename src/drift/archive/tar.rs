//! tar: ustar, pax, GNU's, and the seventh edition's.

use std::{borrow::Cow, ops::Range};

use bstr::{BString, ByteSlice as _};

use super::{Archive, Kind, Member};

const BLOCK: usize = 512;
const NAME: Range<usize> = 0..100;
const SIZE: Range<usize> = 124..136;
const TIME: Range<usize> = 136..148;
const SUM: Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: Range<usize> = 257..262;
const PREFIX: Range<usize> = 345..500;
/// Records of a PAX header that are times.
const TIMES: [&[u8]; 3] = [b"mtime", b"atime", b"ctime"];

/// What extension headers say of the member that follows.
#[derive(Default)]
struct Extended {
    name: Option<BString>,
    header: Vec<u8>,
    times: Vec<u8>,
}

pub(super) fn read(bytes: &[u8]) -> Option<Archive<'_>> {
    let mut archive = Archive::new(Kind::Tar, bytes.len());
    let (mut at, mut extended) = (0_usize, Extended::default());
    while let Some(header) = bytes.get(at..at.checked_add(BLOCK)?).filter(|header| header[0] != 0) {
        let known = header[MAGIC] == *b"ustar"
            || [257..265, 345..512].map(|part| &header[part]).concat().iter().all(|byte| *byte == 0);
        if !known || octal(&header[SUM])? != sum(header) {
            return None;
        }
        octal(&header[TIME])?;
        let size = octal(&header[SIZE])?;
        let from = at + BLOCK;
        let to = from.checked_add(size)?;
        let end = to.checked_next_multiple_of(BLOCK)?;
        let content = bytes.get(from..to)?;
        if !bytes.get(to..end)?.iter().all(|byte| *byte == 0) {
            return None;
        }
        at = end;
        let mut masked = header.to_vec();
        for volatile in [SIZE, TIME, SUM] {
            masked[volatile].fill(0);
        }
        extended.times.extend_from_slice(&header[TIME]);
        match header[KIND] {
            kind @ (b'x' | b'g') => {
                mask_process(&mut masked);
                extended.header.extend_from_slice(&masked);
                records(content, kind, &mut extended)?;
            }
            b'L' | b'K' => {
                extended.header.extend_from_slice(&masked);
                extended.header.extend_from_slice(content);
                if header[KIND] == b'L' {
                    extended.name = Some(content.trim_end_with(|letter| letter == '\0').into());
                }
            }
            _ => {
                let Extended { name, header: mut whole, times } = std::mem::take(&mut extended);
                whole.extend_from_slice(&masked);
                let name = name.unwrap_or_else(|| name_of(header));
                let packed = Cow::Borrowed(content);
                archive.add(Member {
                    name,
                    header: whole,
                    times,
                    packed,
                    packing: Vec::new(),
                    claim: None,
                })?;
            }
        }
    }
    archive.rest.extend_from_slice(&extended.header);
    archive.end(bytes.get(at..)?);
    (at > 0).then_some(archive)
}

fn name_of(header: &[u8]) -> BString {
    let text = |range: Range<usize>| {
        let field = &header[range];
        field[..field.find_byte(0).unwrap_or(field.len())].to_vec()
    };
    let prefix = if header[MAGIC.start..=MAGIC.end] == *b"ustar\0" { text(PREFIX) } else { Vec::new() };
    let joint = if prefix.is_empty() { &b""[..] } else { b"/" };
    [&prefix[..], joint, &text(NAME)].concat().into()
}

/// Digits, ended by blanks or NULs, before nothing else; not GNU's binary form.
fn octal(field: &[u8]) -> Option<usize> {
    let text = field.trim_with(|letter| matches!(letter, ' ' | '\0'));
    usize::from_str_radix(if text.is_empty() { "0" } else { text.to_str().ok()? }, 8).ok()
}

fn sum(header: &[u8]) -> usize {
    let byte = |(at, byte): (usize, &u8)| usize::from(if SUM.contains(&at) { b' ' } else { *byte });
    header.iter().enumerate().map(byte).sum()
}

/// GNU tar of old names an extension header after its own process: `./PaxHeaders.1234/name`.
fn mask_process(header: &mut [u8]) {
    const WORD: &[u8] = b"PaxHeaders.";
    if let Some(found) = header[NAME].find(WORD) {
        let digits =
            header[found + WORD.len()..NAME.end].iter().take_while(|byte| byte.is_ascii_digit()).count();
        // The rest of a name moves with the length of the number.
        let name = header[NAME].to_vec();
        let (kept, after) = (found + WORD.len(), found + WORD.len() + digits);
        header[NAME].fill(0);
        header[..kept].copy_from_slice(&name[..kept]);
        let rest = &name[after..];
        header[kept..kept + rest.len()].copy_from_slice(rest);
    }
}

/// `LENGTH KEY=VALUE\n` each: times apart from the rest.
fn records(mut records: &[u8], kind: u8, into: &mut Extended) -> Option<()> {
    while !records.is_empty() {
        let space = records.find_byte(b' ')?;
        let length: usize = records[..space].to_str().ok()?.parse().ok()?;
        let (record, rest) = records.split_at_checked(length)?;
        let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
        let (key, value) = record.split_once_str("=")?;
        into.header.extend_from_slice(key);
        if TIMES.contains(&key) {
            let number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
            value.iter().all(number).then_some(())?;
            into.times.extend_from_slice(value);
            into.times.push(b'\n');
        } else {
            into.header.extend_from_slice(&[b"=", value].concat());
        }
        into.header.push(b'\n');
        if key == b"path" && kind == b'x' {
            into.name = Some(value.into());
        }
        if key == b"size" {
            return None; // The header's own would have to be passed over.
        }
        records = rest;
    }
    Some(())
}
