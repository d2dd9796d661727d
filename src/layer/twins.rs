//! What two archives have in common, byte for byte, is passed over without being read twice, or even copied once.

use std::io::BufRead;

use tar::Header;

use super::{
    Archive, LayerError,
    header::{check_sum, until_nul},
    number,
    read::bounds,
};

const BLOCK: usize = 512;

/// An entry that its header alone describes, of a kind and with a name that nobody reads otherwise.
struct Plain<'a> {
    header: &'a Header,
    path: &'a [u8],
    /// Bytes of its names.
    names_bytes: u64,
    /// Bytes of it in the archive, header and padding included.
    stored_bytes: usize,
}

impl<'a> Plain<'a> {
    /// The entry whose header `bytes` begin with; none if it may need a closer look, or is none.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let header = Header::from_byte_slice(bytes.get(..BLOCK)?);
        let old = header.as_old();
        match header.as_ustar() {
            Some(ustar) if ustar.version == *b"00" && ustar.prefix[0] == 0 => {}
            None if header.as_gnu().is_some() => {}
            _ => return None,
        }
        let (name, link) = (until_nul(&old.name), old.linkname[0]);
        let size = usize::try_from(number::header(&old.size)?).ok()?;
        let path = match old.linkflag[0] {
            b'0' | 0 => name,
            b'5' if size == 0 => name.strip_suffix(b"/").unwrap_or(name),
            _ => return None,
        };
        let plain = |part: &[u8]| !matches!(part.first(), None | Some(b'.'));
        let numbers = [&old.mode, &old.uid, &old.gid].map(|field| number::header(field));
        let counts = numbers.iter().all(|number| number.is_some_and(|number| u32::try_from(number).is_ok()));
        let is = link == 0
            && path.split(|byte| *byte == b'/').all(plain)
            && counts
            && number::header(&old.mtime).is_some()
            && check_sum(header).is_ok();
        let names = [header.username_bytes(), header.groupname_bytes()].map(Option::unwrap_or_default);
        let names_bytes = (path.len() + names.map(|name| until_nul(name).len()).iter().sum::<usize>()) as u64;
        let stored_bytes = size.checked_next_multiple_of(BLOCK)?.checked_add(BLOCK)?;
        is.then_some(Self { header, path, names_bytes, stored_bytes })
    }
}

/// Passes over entries that come next in both archives and are the same, content included, as long as each is a plain one that
/// lies as a whole in what both have at hand. `each` sees their paths. What was left of the entries before is passed over.
///
/// # Errors
/// Which of the two cannot be read on (0 or 1), and why not.
pub fn pass_twins<R: BufRead>(
    archives: [&mut Archive<R>; 2],
    mut each: impl FnMut(&[u8]),
) -> Result<(), (usize, LayerError)> {
    let [a, b] = archives;
    a.leave().map_err(|error| (0, error))?;
    b.leave().map_err(|error| (1, error))?;
    loop {
        let one = a.inner.fill_buf().map_err(|error| (0, LayerError::Read(error)))?;
        let other = b.inner.fill_buf().map_err(|error| (1, LayerError::Read(error)))?;
        let Some(plain) = Plain::of(one) else { return Ok(()) };
        let stored = plain.stored_bytes;
        let both = one.get(..stored).zip(other.get(..stored));
        if both.is_none_or(|(one, other)| one != other) {
            return Ok(());
        }
        each(plain.path);
        for (side, shaping, counts) in
            [(0, &mut a.shaping, &mut a.counts), (1, &mut b.shaping, &mut b.counts)]
        {
            shaping.header(plain.header);
            shaping.path(plain.path);
            counts.0 += 1;
            counts.1 += plain.names_bytes;
            bounds(counts.0, counts.1).map_err(|error| (side, error))?;
        }
        for (inner, position) in [(&mut a.inner, &mut a.position), (&mut b.inner, &mut b.position)] {
            inner.consume(stored);
            *position += stored as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Entry, Reading, fake::FakeLayer};

    fn summed(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    /// The entry of a header, as either way of reading has it.
    fn read(block: &[u8; BLOCK]) -> Option<Entry> {
        let mut entries = [Reading::Strict, Reading::Lenient].map(|reading| {
            let entry = Archive::new(&block[..], reading).entry();
            entry.ok().flatten().map(|entry| Entry { offset: 0, ..entry })
        });
        let [strict, lenient] = &mut entries;
        strict.take().filter(|strict| lenient.as_ref() == Some(strict))
    }

    #[test]
    fn what_is_plain_is_read_alike_by_whoever_reads_it_whole() {
        let headers = [
            FakeLayer::default().file("usr/lib/a", b"hi").put(265, b"root"),
            FakeLayer::default().dir("usr/lib/"),
            FakeLayer::default().file("b", b"").put(257, b"ustar  \0"),
        ];
        let (mut plain, mut others) = (0, 0);
        for header in headers {
            let header: [u8; BLOCK] = header.tar()[..BLOCK].try_into().unwrap();
            for at in (0..BLOCK).filter(|at| !(148..156).contains(at)) {
                for value in [0, 1, b' ', b'.', b'/', b'0', b'2', b'5', b'7', b'8', b'S', b'x', 0x80, 0xff] {
                    let mut block = header;
                    block[at] = value;
                    let block = summed(block);
                    let Some(found) = Plain::of(&block) else {
                        others += 1;
                        continue;
                    };
                    plain += 1;
                    let entry = read(&block).unwrap();
                    let names_bytes = found.names_bytes;
                    assert_eq!((entry.path.as_slice(), entry.held_bytes()), (found.path, names_bytes));
                    let stored = entry.size_bytes.next_multiple_of(512) + 512;
                    assert_eq!(stored, found.stored_bytes as u64, "{at} {value}");
                }
            }
        }
        assert!(plain > 5000 && others > 1000, "{plain} {others}");
    }

    #[test]
    fn a_wrong_sum_is_looked_at_closely() {
        let mut block: [u8; BLOCK] = FakeLayer::default().file("a", b"").tar()[..BLOCK].try_into().unwrap();
        assert!(Plain::of(&block).is_some());
        block[150] ^= 1;
        assert!(Plain::of(&block).is_none() && Plain::of(&block[1..]).is_none());
    }
}
