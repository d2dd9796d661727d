//! What compilers and linkers leave in ELF files: dates, directories, build ids.

use std::{borrow::Cow, collections::BTreeSet};

use bstr::ByteSlice as _;

use super::{
    Cause, Finding,
    build_path::{self, Walked},
};
use crate::drift::{
    elf::{self, Elf, Section},
    view::View,
};
use crate::model::limits::PATH_SIZE_BYTES_MAX;

/// `namesz` 4, `descsz` 20, type 3 (`NT_GNU_BUILD_ID`), owner `GNU`.
const BUILD_ID: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
const DEBUG_LINK: &[u8] = b".gnu_debuglink";

/// Only dates and directories differ that were compiled in, and the build id (and the link to debug information) that follows
/// from them; or that alone.
pub(super) fn elf(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    if !a.starts_with(b"\x7fELF") || !b.starts_with(b"\x7fELF") {
        return None;
    }
    let walked = match (Elf::of(a), Elf::of(b)) {
        (Some(one), Some(other)) => {
            // Between sections is what aligns them, and moves with their sizes.
            let gaps = one.gaps == other.gaps || (is_zero(&one.gaps) && is_zero(&other.gaps));
            let alike = gaps && one.head == other.head && one.sections.len() == other.sections.len();
            alike.then(|| sections(view, &one, &other, elf::is_big(a)))??
        }
        (None, None) if a.len() == b.len() => {
            build_path::walk(&without_build_id(a), &without_build_id(b), view.context)?
        }
        _ => return None,
    };
    walked.finding().or_else(|| (a != b).then(|| Finding::certain(Cause::BuildId)))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// What differs in all sections.
fn sections(view: &View<'_>, a: &Elf<'_>, b: &Elf<'_>, big: bool) -> Option<Walked> {
    let mut all = Walked::default();
    let mut moved = Vec::new();
    for (one, other) in a.sections.iter().zip(&b.sections) {
        if !one.same_header(other) {
            return None;
        }
        if one.content == other.content {
            continue;
        }
        if one.is_note() {
            if elf::without_build_ids(one.content, big)? != elf::without_build_ids(other.content, big)? {
                return None;
            }
        } else if one.name == DEBUG_LINK {
            same_link(one, other)?;
        } else if one.runs() {
            return None;
        } else {
            let (old, new) = (one.inflated(view.budget)?, other.inflated(view.budget)?);
            match build_path::walk(&old, &new, view.context) {
                Some(walked) => all.add(walked),
                None if one.is_debug() => moved.push((one.name, old, new)),
                None => return None,
            }
        }
    }
    if !moved.is_empty() {
        all.add(directories(&moved)?);
    }
    Some(all)
}

/// The name of the file with debug information may be its build id; its checksum follows from what is in it.
fn same_link(a: &Section<'_>, b: &Section<'_>) -> Option<()> {
    let name = |section: &Section<'_>| {
        let name = &section.content[..section.content.find_byte(0)?];
        let id =
            name.strip_suffix(b".debug").filter(|id| id.len() == 38 && id.iter().all(u8::is_ascii_hexdigit));
        Some(id.map_or_else(|| name.to_vec(), |_| b"BUILD-ID.debug".to_vec()))
    };
    (name(a)? == name(b)? && a.content.len() == b.content.len()).then_some(())
}

/// A section's name, and its content on both sides.
type Inflated<'a> = (&'a [u8], Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Sections of debug information, by name, of which the texts differ in one directory, and the rest in where texts are.
fn directories(moved: &[Inflated<'_>]) -> Option<Walked> {
    let texts = |name: &[u8]| name.ends_with(b"_str");
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for (name, a, b) in moved {
        if texts(name) {
            one.extend(a.split_str("\0"));
            other.extend(b.split_str("\0"));
        } else if a.len() != b.len() {
            return None;
        }
    }
    let (only_a, only_b) = (only(&one, &other), only(&other, &one));
    let shortest =
        |only: &BTreeSet<&[u8]>| only.iter().min_by_key(|path| path.len()).map(|path| path.to_vec());
    let (root_a, root_b) = (shortest(&only_a)?, shortest(&only_b)?);
    if !root_a.starts_with(b"/") || !root_b.starts_with(b"/") {
        return None;
    }
    let below = |texts: &BTreeSet<&[u8]>, root: &[u8]| -> Option<BTreeSet<Vec<u8>>> {
        let inside = |rest: &&[u8]| rest.is_empty() || rest.starts_with(b"/");
        texts.iter().map(|text| text.strip_prefix(root).filter(inside).map(<[u8]>::to_vec)).collect()
    };
    let same = below(&only_a, &root_a)? == below(&only_b, &root_b)?;
    let tables: Vec<_> = moved.iter().filter(|(name, ..)| texts(name)).collect();
    let mapped = |one: &[u8], other: &[u8]| {
        one == other
            || one.strip_prefix(&root_a[..]).is_some_and(|rest| Some(rest) == other.strip_prefix(&root_b[..]))
    };
    let at = |table: &[u8], offset: u32| {
        let text = table.get(usize::try_from(offset).ok()?..)?;
        let text = &text[..text.len().min(PATH_SIZE_BYTES_MAX)];
        Some(text[..text.find_byte(0)?].to_vec())
    };
    // Four bytes that say where a text is, which is the same one on both sides.
    let is_offset = |one: u32, other: u32| {
        tables.iter().any(|(_, a, b)| matches!((at(a, one), at(b, other)), (Some(one), Some(other)) if mapped(&one, &other)))
    };
    let rest = moved.iter().filter(|(name, ..)| !texts(name));
    let offsets = rest.into_iter().all(|(_, a, b)| only_words(a, b, is_offset));
    (same && offsets).then(|| Walked::moved(&root_a, &root_b))
}

/// Whether two contents of one size differ in nothing but words of four bytes, low byte first, that pass `like`.
fn only_words(a: &[u8], b: &[u8], like: impl Fn(u32, u32) -> bool) -> bool {
    let mut at = 0;
    while let Some(next) = a[at..].iter().zip(&b[at..]).position(|(one, other)| one != other) {
        let first = at + next;
        let word =
            |bytes: &[u8], start: usize| bytes.get(start..start + 4)?.try_into().ok().map(u32::from_le_bytes);
        let starts = first.saturating_sub(3).max(at)..=first;
        let found = starts.rev().find(|start| {
            matches!((word(a, *start), word(b, *start)), (Some(one), Some(other)) if like(one, other))
        });
        let Some(start) = found else { return false };
        at = start + 4;
    }
    true
}

fn only<'a>(these: &[&'a [u8]], others: &[&[u8]]) -> BTreeSet<&'a [u8]> {
    let others: BTreeSet<_> = others.iter().collect();
    these.iter().filter(|text| !others.contains(text)).copied().collect()
}

/// `bytes` of a file without sections, with the first build id zeroed that is where notes are; anywhere, if that is not said.
fn without_build_id(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let found = match Elf::notes(bytes) {
        Some(places) => places.into_iter().find_map(|place| Some(place.start + bytes[place].find(BUILD_ID)?)),
        None => bytes.find(BUILD_ID),
    };
    if let Some(at) = found {
        let start = at + BUILD_ID.len();
        let end = (start + 20).min(out.len());
        out[start..end].fill(0);
    }
    out
}
