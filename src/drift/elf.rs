//! ELF (System V ABI, chapter 4), as far as it takes to say in which section bytes lie. Every byte of a file that is read is
//! of a header, of one section, or between these.

use std::{borrow::Cow, ops::Range};

use bstr::ByteSlice as _;

use super::archive::Budget;

/// Contents that are in no file.
const NOBITS: u32 = 8;
const NOTE: u32 = 7;
const NULL: u32 = 0;
/// Program headers of notes.
const PT_NOTE: u64 = 4;
/// Flags of sections: loaded, run, compressed.
const ALLOC: u64 = 2;
const EXECUTABLE: u64 = 4;
const COMPRESSED: u64 = 0x800;

/// One section.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) name: &'a [u8],
    kind: u32,
    flags: u64,
    /// Address, link, info, alignment, size of entries: what does not follow from the content.
    rest: [u64; 5],
    pub(super) content: &'a [u8],
}

impl<'a> Section<'a> {
    /// Whether the headers say the same but for place and size.
    pub(super) fn same_header(&self, other: &Self) -> bool {
        (self.name, self.kind, self.flags, self.rest) == (other.name, other.kind, other.flags, other.rest)
    }

    pub(super) fn is_note(&self) -> bool {
        self.kind == NOTE
    }

    pub(super) fn runs(&self) -> bool {
        self.flags & EXECUTABLE != 0
    }

    /// Whether it is for debuggers, and nothing of it is loaded.
    pub(super) fn is_debug(&self) -> bool {
        // Those of relocations say where texts of the others are, in a file that is not linked yet.
        let named = [&b".debug_"[..], b".zdebug_", b".rela.debug_", b".rel.debug_"]
            .iter()
            .any(|start| self.name.starts_with(start));
        self.flags & ALLOC == 0 && named
    }

    /// Its content, inflated if it is compressed (gABI, "Section compression", `ELFCOMPRESS_ZLIB`).
    pub(super) fn inflated(&self, budget: &Budget) -> Option<Cow<'a, [u8]>> {
        if self.flags & COMPRESSED == 0 {
            return Some(Cow::Borrowed(self.content));
        }
        let packed = self.content.get(24..).filter(|_| self.content[..4] == [1, 0, 0, 0])?;
        budget.read(flate2::read::ZlibDecoder::new(packed)).map(Cow::Owned)
    }
}

/// A file taken apart.
#[derive(Debug)]
pub(super) struct Elf<'a> {
    pub(super) sections: Vec<Section<'a>>,
    /// The file's header without where the sections' headers are, and the program headers.
    pub(super) head: Vec<u8>,
    /// What is between all of these.
    pub(super) gaps: Vec<u8>,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy)]
struct Form {
    wide: bool,
    big: bool,
}

impl Form {
    fn of(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"\x7fELF")?;
        let form = Self { wide: *rest.first()? == 2, big: *rest.get(1)? == 2 };
        (matches!(rest[0], 1 | 2) && matches!(rest[1], 1 | 2)).then_some(form)
    }

    fn number(self, bytes: &[u8], at: usize, size: usize) -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(size)?)?;
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    fn size(self, bytes: &[u8], at: usize, size: usize) -> Option<usize> {
        usize::try_from(self.number(bytes, at, size)?).ok()
    }

    /// Bytes of an address.
    fn word(self) -> usize {
        if self.wide { 8 } else { 4 }
    }
}

fn range(start: usize, size: usize, within: usize) -> Option<Range<usize>> {
    let end = start.checked_add(size)?;
    (end <= within).then_some(start..end)
}

impl<'a> Elf<'a> {
    /// Reads the headers of `bytes`; nothing if they overlap or lead out of it, or there are no sections.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let form = Form::of(bytes)?;
        let word = form.word();
        // e_phoff and e_shoff follow the entry point, then flags and six short numbers.
        let places = 24 + word;
        let shorts = places + 2 * word + 4;
        let short = |index: usize| form.size(bytes, shorts + 2 * index, 2);
        let header = range(0, short(0)?, bytes.len()).filter(|header| header.end >= shorts + 12)?;
        let programs = range(form.size(bytes, places, word)?, short(1)? * short(2)?, bytes.len())?;
        let (size, count) = (short(3)?, short(4)?);
        let start = form.size(bytes, places + word, word)?;
        let headers = range(start, size.checked_mul(count)?, bytes.len())?;
        if count == 0 || size < 16 + 6 * word {
            return None;
        }
        let raw: Vec<_> = bytes[headers.clone()]
            .chunks_exact(size)
            .map(|header| raw(form, header, bytes.len()))
            .collect::<Option<_>>()?;
        let names = raw.get(short(5)?)?;
        let names = bytes.get(names.place.clone())?;
        let mut sections = Vec::with_capacity(raw.len());
        let mut taken = vec![header.clone(), programs.clone(), headers];
        for raw in raw {
            let name = names.get(raw.name..)?;
            let name = &name[..name.find_byte(0)?];
            taken.push(raw.place.clone());
            sections.push(Section {
                name,
                kind: raw.kind,
                flags: raw.flags,
                rest: raw.rest,
                content: &bytes[raw.place],
            });
        }
        let mut head = bytes[header].to_vec();
        head[places + word..places + 2 * word].fill(0);
        head.extend_from_slice(&bytes[programs]);
        Some(Self { sections, head, gaps: gaps(bytes, taken)? })
    }

    /// Where in `bytes` notes are that the program headers name; nothing if these are not read.
    pub(super) fn notes(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
        let form = Form::of(bytes)?;
        let word = form.word();
        let places = 24 + word;
        let shorts = places + 2 * word + 4;
        let short = |index: usize| form.size(bytes, shorts + 2 * index, 2);
        let size = short(1)?;
        let programs = range(form.size(bytes, places, word)?, size.checked_mul(short(2)?)?, bytes.len())?;
        let (offset, length) = if form.wide { (8, 32) } else { (4, 16) };
        let mut notes = Vec::new();
        for program in bytes[programs].chunks_exact(size.max(1)) {
            if form.number(program, 0, 4)? == PT_NOTE {
                let (start, size) = (form.size(program, offset, word)?, form.size(program, length, word)?);
                notes.push(range(start, size, bytes.len())?);
            }
        }
        Some(notes)
    }
}

/// A section's header.
struct Raw {
    name: usize,
    kind: u32,
    flags: u64,
    place: Range<usize>,
    rest: [u64; 5],
}

fn raw(form: Form, header: &[u8], within: usize) -> Option<Raw> {
    let word = form.word();
    let [flags, address, offset, size] = [0, 1, 2, 3].map(|index| 8 + index * word);
    let link = size + word;
    let kind = u32::try_from(form.number(header, 4, 4)?).ok()?;
    let none = matches!(kind, NOBITS | NULL);
    let length = form.number(header, size, word)?;
    let place = if none {
        0..0
    } else {
        range(form.size(header, offset, word)?, usize::try_from(length).ok()?, within)?
    };
    Some(Raw {
        name: form.size(header, 0, 4)?,
        kind,
        flags: form.number(header, flags, word)?,
        place,
        rest: [
            form.number(header, address, word)?,
            form.number(header, link, 4)?,
            form.number(header, link + 4, 4)?,
            form.number(header, link + 8, word)?,
            // The size of what is in no file follows from nothing.
            form.number(header, link + 8 + word, word)? ^ if none { length.rotate_left(32) } else { 0 },
        ],
    })
}

/// The bytes in none of `taken`; nothing if two of these overlap.
fn gaps(bytes: &[u8], mut taken: Vec<Range<usize>>) -> Option<Vec<u8>> {
    taken.retain(|range| !range.is_empty());
    taken.sort_unstable_by_key(|range| range.start);
    let (mut at, mut gaps) = (0, Vec::new());
    for range in taken {
        gaps.extend_from_slice(bytes.get(at..range.start)?);
        at = range.end;
    }
    gaps.extend_from_slice(bytes.get(at..)?);
    Some(gaps)
}

/// `notes` with every build id zeroed: the linker's (`NT_GNU_BUILD_ID`) and Go's. Nothing if they are no notes.
pub(super) fn without_build_ids(notes: &[u8], big: bool) -> Option<Vec<u8>> {
    const IDS: [(&[u8], usize); 2] = [(b"GNU\0", 3), (b"Go\0\0", 4)];
    let form = Form { wide: true, big };
    let mut out = notes.to_vec();
    let mut at = 0_usize;
    while at < notes.len() {
        let (name, size, kind) =
            (form.size(notes, at, 4)?, form.size(notes, at + 4, 4)?, form.size(notes, at + 8, 4)?);
        let name_at = at + 12;
        let from = name_at.checked_add(name.checked_next_multiple_of(4)?)?;
        let to = from.checked_add(size)?;
        let id = out.get_mut(from..to)?;
        if IDS.contains(&(notes.get(name_at..name_at.checked_add(name)?)?, kind)) {
            id.fill(0);
        }
        at = to.checked_next_multiple_of(4)?;
    }
    Some(out)
}

/// Whether numbers are written with the high byte first.
pub(super) fn is_big(bytes: &[u8]) -> bool {
    Form::of(bytes).is_some_and(|form| form.big)
}
