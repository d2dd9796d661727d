//! Sparse files: GNU's old form (`tar(5)`, typeflag `S`), and PAX 0.1 and 1.0 (GNU tar's manual, "Storing Sparse Files").

use std::collections::BTreeMap;

use bstr::BString;
use tar::Header;

use super::{Entry, number};
use crate::model::limits::{SPARSE_SEGMENTS_MAX, SPARSE_SIZE_BYTES_MAX};

const BLOCK: usize = 512;
/// Under which record an entry keeps where its bytes are: `offset,length,…`, whatever form the archive has.
const MAP: &str = "GNU.sparse.map";
const ENDS: &str = "its sparse map ends early";
const WRONG: &str = "its sparse map is malformed";

/// Where in a file there are bytes: start and end, ascending.
#[derive(Debug, Clone, Default)]
pub(super) struct Segments(Vec<(u64, u64)>);

/// What is to know of a sparse file.
pub(super) struct Sparse {
    pub(super) segments: Segments,
    /// With its holes.
    pub(super) size_bytes: u64,
    /// Whether the map was part of what the header calls the content.
    pub(super) map_in_content: bool,
}

impl Segments {
    /// Whether there are bytes at `at`, and how far it goes on like this.
    pub(super) fn at(&self, at: u64) -> (bool, u64) {
        let next = self.0.partition_point(|(_, end)| *end <= at);
        match self.0.get(next) {
            Some((start, end)) if *start <= at => (true, end - at),
            Some((start, _)) => (false, start - at),
            None => (false, u64::MAX),
        }
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    fn push(&mut self, start: u64, length: u64) -> Result<(), &'static str> {
        let end = start.checked_add(length).ok_or(WRONG)?;
        if self.0.last().is_some_and(|(_, last)| start < *last) {
            return Err(WRONG);
        }
        if self.0.len() >= SPARSE_SEGMENTS_MAX {
            return Err("its sparse map has too many parts");
        }
        if length > 0 {
            self.0.push((start, end));
        }
        Ok(())
    }

    fn shown(&self) -> Vec<u8> {
        let parts = self.0.iter().map(|(start, end)| format!("{start},{}", end - start));
        parts.collect::<Vec<_>>().join(",").into_bytes()
    }
}

/// Whether the records of an entry with typeflag `flag` are those of one form, and of nothing else.
pub(super) fn known(flag: u8, pax: &BTreeMap<Vec<u8>, Vec<u8>>) -> bool {
    let of = |name: &str| pax.get(format!("GNU.sparse.{name}").as_bytes()).map(Vec::as_slice);
    let others = pax.keys().filter_map(|key| key.strip_prefix(b"GNU.sparse."));
    let mut names: Vec<&[u8]> = others.filter(|name| !matches!(*name, b"name" | b"numblocks")).collect();
    names.sort_unstable();
    match (flag, names.as_slice()) {
        (b'S', []) => of("name").is_none(),
        (0 | b'0' | b'7', [b"major", b"minor", b"realsize"]) => {
            (of("major"), of("minor")) == (Some(b"1"), Some(b"0"))
        }
        (0 | b'0' | b'7', [b"map", b"size"]) => true,
        (0 | b'0' | b'7', [b"major", b"map", b"minor", b"size"]) => {
            of("major") == Some(b"0") && matches!(of("minor"), Some(b"0" | b"1"))
        }
        _ => false,
    }
}

/// Looks whether `entry`, whose content comes next, is sparse; takes what says so from its records. `block` gives the next block
/// of the archive, and false if there is none.
///
/// # Errors
/// A sentence for people.
pub(super) fn read(
    entry: &mut Entry,
    header: &Header,
    block: &mut dyn FnMut(&mut [u8; BLOCK]) -> bool,
) -> Result<Option<Sparse>, &'static str> {
    let old = header.as_old().linkflag[0] == b'S';
    if !old && entry.pax.is_empty() {
        return Ok(None);
    }
    let mut take = |name: &str| entry.pax.remove(&BString::from(format!("GNU.sparse.{name}")));
    let (major, minor) = (take("major"), take("minor"));
    let size = take("realsize").or(take("size"));
    let (map, _) = (take("map"), (take("name"), take("numblocks")));
    let (segments, size_bytes, map_in_content) = if old {
        let (segments, size) = old_form(header, block)?;
        (segments, size, false)
    } else if let Some(size) = size {
        let size = number::decimal(&size).ok_or("its sparse size is no number")?;
        match (major.as_deref(), minor.as_deref(), map) {
            (Some(b"1"), Some(b"0"), None) => (form_1(block)?, size, true),
            (None | Some(b"0"), _, Some(map)) => (form_0(&map)?, size, false),
            _ => return Err("its form of a sparse file is not known"),
        }
    } else {
        return Ok(None);
    };
    if size_bytes > SPARSE_SIZE_BYTES_MAX || segments.0.last().is_some_and(|(_, end)| *end > size_bytes) {
        return Err("it is a sparse file that is too large, or smaller than its parts");
    }
    entry.pax.insert(MAP.into(), segments.shown());
    Ok(Some(Sparse { segments, size_bytes, map_in_content }))
}

/// Four parts in the header, and 21 in each block after it.
fn old_form(
    header: &Header,
    block: &mut dyn FnMut(&mut [u8; BLOCK]) -> bool,
) -> Result<(Segments, u64), &'static str> {
    const PART: usize = 24;
    let bytes = header.as_bytes();
    let unsigned =
        |field: &[u8]| number::header(field).and_then(|value| u64::try_from(value).ok()).ok_or(WRONG);
    let mut segments = Segments::default();
    let mut add = |parts: &[u8]| -> Result<(), &'static str> {
        for part in parts.chunks_exact(PART) {
            // An empty part is none, and none comes after it.
            if part[0] == 0 {
                break;
            }
            segments.push(unsigned(&part[..PART / 2])?, unsigned(&part[PART / 2..])?)?;
        }
        Ok(())
    };
    add(&bytes[386..482])?;
    let mut more = bytes[482] != 0;
    while more {
        let mut next = [0; BLOCK];
        if !block(&mut next) {
            return Err(ENDS);
        }
        add(&next[..504])?;
        more = next[504] != 0;
    }
    Ok((segments, unsigned(&bytes[483..495])?))
}

/// `offset,length,…` in one record.
fn form_0(map: &[u8]) -> Result<Segments, &'static str> {
    let mut segments = Segments::default();
    let mut numbers = map.split(|byte| *byte == b',').filter(|text| !text.is_empty());
    while let Some(start) = numbers.next() {
        let length = numbers.next().ok_or(ENDS)?;
        segments.push(number::decimal(start).ok_or(WRONG)?, number::decimal(length).ok_or(WRONG)?)?;
    }
    Ok(segments)
}

/// Lines at the start of the content, which fill whole blocks: how many parts, then start and length of each.
fn form_1(block: &mut dyn FnMut(&mut [u8; BLOCK]) -> bool) -> Result<Segments, &'static str> {
    let (mut buffer, mut at) = ([0; BLOCK], BLOCK);
    let mut number = || -> Result<u64, &'static str> {
        let mut digits = Vec::new();
        loop {
            if at == BLOCK {
                if !block(&mut buffer) {
                    return Err(ENDS);
                }
                at = 0;
            }
            let byte = buffer[at];
            at += 1;
            match byte {
                b'\n' => return number::decimal(&digits).ok_or(WRONG),
                _ if digits.len() < 20 => digits.push(byte),
                _ => return Err(WRONG),
            }
        }
    };
    let mut segments = Segments::default();
    for _ in 0..number()? {
        segments.push(number()?, number()?)?;
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_order_and_bounded() {
        let segments = form_0(b"0,5,10,2").unwrap();
        assert_eq!(
            [0, 4, 5, 9, 10, 11].map(|at| segments.at(at)),
            [(true, 5), (true, 1), (false, 5), (false, 1), (true, 2), (true, 1)]
        );
        assert_eq!((segments.at(12).0, segments.stored_bytes()), (false, 7));
        for bad in [&b"5,5,0,1"[..], b"0,5,4,1", b"0", b"x,1", b"18446744073709551615,1"] {
            assert!(form_0(bad).is_err(), "{bad:?}");
        }
        let many: Vec<_> = (0..=SPARSE_SEGMENTS_MAX).map(|at| format!("{},1", at * 2)).collect();
        assert!(form_0(many.join(",").as_bytes()).is_err());
        assert!(form_1(&mut |_| false).is_err());
        let endless = form_1(&mut |block| {
            block.fill(b'1');
            true
        });
        assert!(endless.is_err());
    }
}
