//! The archive: ustar with one form for each header, members sorted by name, and nothing after the end.

use std::io::{self, Read, Write};

use super::{CONTENTS, Contents, ContentsError, Member, SEAL};
use crate::model::{
    Digest, Hasher,
    limits::{DOSSIER_CONTENTS_SIZE_BYTES_MAX, DOSSIER_SIZE_BYTES_MAX, read_bounded},
    path::printable,
};

const BLOCK: usize = 512;
/// Longest name: what fits into a header without a prefix.
const NAME_SIZE_BYTES_MAX: usize = 99;

/// Why an archive is not evidence, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DossierError {
    /// The disk, or an archive that ends early.
    #[error("the archive cannot be read to its end")]
    Io(#[from] io::Error),
    /// A byte that the one form does not have.
    #[error("{what} is not as reprov writes it; the archive was changed, or made by something else")]
    Form {
        /// Where.
        what: String,
    },
    /// A name that no member has, or names out of order, or one twice.
    #[error("the member `{0}` has no business there")]
    Name(String),
    /// Bytes that are not those of the list.
    #[error("the member `{name}` is not the one that {by} lists: {why}")]
    Member {
        /// Which.
        name: String,
        /// What lists it.
        by: &'static str,
        /// What differs.
        why: &'static str,
    },
    /// More than is ever read.
    #[error("the archive has more than {} MiB", DOSSIER_SIZE_BYTES_MAX >> 20)]
    Size,
    /// The list itself.
    #[error("`{CONTENTS}` cannot be read")]
    Contents(#[from] ContentsError),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Of the archive.
    pub digest: Digest,
    /// Of the archive.
    pub size: u64,
}

/// An archive that is whole.
#[derive(Debug)]
pub struct Opened {
    /// What it holds.
    pub contents: Contents,
    /// Of the archive.
    pub digest: Digest,
}

/// Writes the archive of `contents` to `to`; `open` gives the bytes of each member listed.
///
/// # Errors
/// [`DossierError`]: those of `to` and `open`, and a member whose bytes are not of the digest that is listed.
pub fn write<R: Read>(
    contents: &Contents,
    to: impl Write,
    mut open: impl FnMut(&Member) -> io::Result<R>,
) -> Result<Written, DossierError> {
    let list = contents.to_bytes();
    let seal = Contents::seal(&Digest::of(&list));
    let own = [(CONTENTS, list.as_slice()), (SEAL, seal.as_slice())];
    let mut to = Hashed { to, hasher: Hasher::default() };
    let mut members: Vec<_> = contents.members.iter().collect();
    members.sort_by(|a, b| a.path.cmp(&b.path));
    let mut members = members.into_iter().peekable();
    for (name, bytes) in own {
        while let Some(member) = members.next_if(|member| member.path.as_str() < name) {
            append(&mut to, member, open(member)?)?;
        }
        let member = Member { path: name.to_owned(), size: bytes.len() as u64, digest: Digest::of(bytes) };
        append(&mut to, &member, bytes)?;
    }
    for member in members {
        append(&mut to, member, open(member)?)?;
    }
    to.write_all(&[0; 2 * BLOCK])?;
    to.flush()?;
    Ok(Written { size: to.hasher.size_bytes(), digest: to.hasher.finish() })
}

struct Hashed<W> {
    to: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn append(to: &mut impl Write, member: &Member, bytes: impl Read) -> Result<(), DossierError> {
    let unfit = || DossierError::Name(printable(&member.path));
    to.write_all(&header(&member.path, member.size).ok_or_else(unfit)?)?;
    let mut hasher = Hasher::default();
    let copied = io::copy(&mut bytes.take(member.size + 1), &mut Both { to, hasher: &mut hasher })?;
    let differs = |why| DossierError::Member { name: printable(&member.path), by: CONTENTS, why };
    if copied != member.size {
        return Err(differs("another size"));
    }
    if hasher.finish() != member.digest {
        return Err(differs("another digest"));
    }
    to.write_all(&[0; BLOCK][..padding(member.size)])?;
    Ok(())
}

struct Both<'a, W> {
    to: &'a mut W,
    hasher: &'a mut Hasher,
}

impl<W: Write> Write for Both<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0); // Below 512.
    (BLOCK - over) % BLOCK
}

/// The one header of a file `name` of `size` bytes: ustar, mode 0644, no owner, no time. None: the name cannot be a member's.
fn header(name: &str, size: u64) -> Option<[u8; BLOCK]> {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.');
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    if name.len() > NAME_SIZE_BYTES_MAX || !name.split('/').all(part) || !name.bytes().all(letter) {
        return None;
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes().get(..12)?);
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(header)
}

/// Reads an archive: every byte of it is held against the one form and the lists in it. `keep` is given each member but
/// `evidence.json` and `seal.json`, before it is known whether the archive is whole; it takes what it can use.
///
/// # Errors
/// [`DossierError`] if any byte is other than it was written, or one is missing or too many.
pub fn read(
    from: impl Read,
    mut keep: impl FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<Opened, DossierError> {
    let mut from = Counted { from, hasher: Hasher::default() };
    let mut found: Vec<Member> = Vec::new();
    let (mut list, mut seal): (Option<Vec<u8>>, Option<Vec<u8>>) = (None, None);
    while let Some((name, size)) = next(&mut from)? {
        if found.last().is_some_and(|last| last.path >= name) {
            return Err(DossierError::Name(name));
        }
        if from.hasher.size_bytes().saturating_add(size) > DOSSIER_SIZE_BYTES_MAX {
            return Err(DossierError::Size);
        }
        let mut body = Body { from: &mut from, left: size, hasher: Hasher::default() };
        let mut member = Member { path: name, size, digest: Digest::of(b"") };
        match member.path.as_str() {
            CONTENTS => list = Some(read_bounded(&mut body, DOSSIER_CONTENTS_SIZE_BYTES_MAX, CONTENTS)?),
            SEAL => seal = Some(read_bounded(&mut body, DOSSIER_CONTENTS_SIZE_BYTES_MAX, SEAL)?),
            _ => keep(&member, &mut body)?,
        }
        io::copy(&mut body, &mut io::sink())?;
        member.digest = body.hasher.finish();
        let mut pad = [0; BLOCK];
        let pad = &mut pad[..padding(size)];
        from.read_exact(pad)?;
        if pad.iter().any(|byte| *byte != 0) {
            return Err(form(format!("what pads `{}`", member.path)));
        }
        found.push(member);
    }
    let mut more = [0];
    if from.from.read(&mut more)? != 0 {
        return Err(form("what follows the end".to_owned()));
    }
    let missing = |name: &str| DossierError::Name(format!("{name}, which is missing,"));
    let (list, seal) = (list.ok_or_else(|| missing(CONTENTS))?, seal.ok_or_else(|| missing(SEAL))?);
    if seal != Contents::seal(&Digest::of(&list)) {
        return Err(DossierError::Member { name: CONTENTS.to_owned(), by: SEAL, why: "another digest" });
    }
    let contents = Contents::parse(&list)?;
    same(&contents, &found)?;
    Ok(Opened { contents, digest: from.hasher.finish() })
}

fn form(what: String) -> DossierError {
    DossierError::Form { what }
}

/// The next member's name and size; none at the end.
fn next(from: &mut impl Read) -> Result<Option<(String, u64)>, DossierError> {
    let mut block = [0; BLOCK];
    from.read_exact(&mut block)?;
    if block == [0; BLOCK] {
        from.read_exact(&mut block)?;
        return if block == [0; BLOCK] { Ok(None) } else { Err(form("its end".to_owned())) };
    }
    let name = block[..=NAME_SIZE_BYTES_MAX].split(|byte| *byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    let digits = std::str::from_utf8(&block[124..135]).ok();
    let size = digits.and_then(|digits| u64::from_str_radix(digits, 8).ok());
    let wrong = || form(format!("the header of `{}`", printable(&name)));
    let size = size.ok_or_else(wrong)?;
    if header(&name, size).is_none_or(|expected| expected != block) {
        return Err(wrong());
    }
    Ok(Some((name, size)))
}

/// Whether what was found is what is listed, no less and no more.
fn same(contents: &Contents, found: &[Member]) -> Result<(), DossierError> {
    let mut listed: Vec<_> = contents.members.iter().collect();
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    let mut listed = listed.into_iter();
    for member in found.iter().filter(|member| ![CONTENTS, SEAL].contains(&member.path.as_str())) {
        let Some(expected) = listed.next().filter(|expected| expected.path == member.path) else {
            return Err(DossierError::Name(printable(&member.path)));
        };
        let why = match (expected.size == member.size, expected.digest == member.digest) {
            (true, true) => continue,
            (false, _) => "another size",
            (true, false) => "another digest",
        };
        return Err(DossierError::Member { name: printable(&member.path), by: CONTENTS, why });
    }
    match listed.next() {
        None => Ok(()),
        Some(missing) => {
            Err(DossierError::Member { name: printable(&missing.path), by: CONTENTS, why: "it is not there" })
        }
    }
}

struct Counted<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// The bytes of one member; an archive that ends within it is an error, never an end.
struct Body<'a, R> {
    from: &'a mut R,
    left: u64,
    hasher: Hasher,
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.from.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// A header alone, for tests of what follows one.
#[cfg(test)]
pub(super) fn tests_header(name: &str, size: u64) -> Vec<u8> {
    header(name, size).unwrap().to_vec()
}
