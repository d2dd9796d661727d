//! Hard links of a layer: where they lead, and the names of one file.

use bstr::BString;

use super::{
    Entry, Kind, LayerError, code,
    listing::{Entering, Listing},
    order,
    records::{Records, Sorter, join},
};
use crate::model::Scratch;

/// Longest chain of links to links followed; writers make chains of one.
pub(super) const CHAIN_MAX: usize = 64;

/// Where the hard links lead in the end, and their names, in the order of both. A circle leads to any of it.
pub(super) fn ends(layer: &Listing, scratch: &dyn Scratch) -> Result<Records, LayerError> {
    let mut open = Sorter::new(scratch);
    let mut all = layer.read()?;
    while let Some(record) = all.next()? {
        if code::kind(record.value) == Some(Kind::Hardlink) {
            open.push(&code::decode(record.key, record.value)?.link, record.key)?;
        }
    }
    let mut ends = Sorter::new(scratch);
    for _ in 1..CHAIN_MAX {
        if open.is_empty() {
            break;
        }
        let mut next = Sorter::new(scratch);
        join(open.finish()?.read()?, layer.read()?, |link, found| {
            match found.filter(|found| code::kind(found.value) == Some(Kind::Hardlink)) {
                Some(found) => next.push(&code::decode(found.key, found.value)?.link, link.value),
                None => ends.push(link.key, link.value),
            }
        })?;
        open = next;
    }
    let circles = open.finish()?;
    let mut circles = circles.read()?;
    while let Some(link) = circles.next()? {
        ends.push(link.key, link.value)?;
    }
    ends.finish()
}

/// `index` with every group of hard links turned so that its first name holds the content.
pub(super) fn turned(index: Listing, scratch: &dyn Scratch) -> Result<Listing, LayerError> {
    let ends = ends(&index, scratch)?;
    if ends.is_empty() {
        return Ok(index);
    }
    let mut turned = Entering::new(scratch);
    let mut group: Option<(Entry, BString)> = None;
    join(ends.read()?, index.read()?, |link, found| {
        let Some(found) = found.filter(|found| code::kind(found.value) == Some(Kind::File)) else {
            return Ok(());
        };
        let known = group.take().filter(|(file, _)| file.path == found.key);
        let (file, first) = if let Some(group) = known {
            group
        } else {
            let file = code::decode(found.key, found.value)?;
            let first = if order::compare(found.key, link.value).is_lt() { found.key } else { link.value };
            turned.push(&named(&file, found.key, first))?;
            (file, BString::from(first))
        };
        turned.push(&named(&file, link.value, &first))?;
        group = Some((file, first));
        Ok(())
    })?;
    replaced(&index, &turned.listing()?, scratch)
}

/// `layer` with the entries of `others` in the places of those of the same paths.
pub(super) fn replaced(
    layer: &Listing,
    others: &Listing,
    scratch: &dyn Scratch,
) -> Result<Listing, LayerError> {
    let mut sorter = Sorter::new(scratch);
    join(layer.read()?, others.read()?, |record, other| {
        sorter.push(record.key, other.unwrap_or(record).value)
    })?;
    Ok(Listing::of(sorter.finish()?))
}

/// `file` under the name `path`: itself if that is the first of its names, else a link to the first.
pub(super) fn named(file: &Entry, path: &[u8], first: &[u8]) -> Entry {
    let mut entry = Entry { path: path.into(), ..file.clone() };
    if path != first {
        entry.kind = Kind::Hardlink;
        entry.link = first.into();
    }
    entry
}

/// Gives `each` the ordinals of the names of each file that has several, the file's first. A group is in memory.
pub(super) fn groups(
    layer: &Listing,
    scratch: &dyn Scratch,
    mut each: impl FnMut(&[usize]),
) -> Result<(), LayerError> {
    let mut links = Sorter::new(scratch);
    let mut all = layer.read()?;
    while let Some(record) = all.next()? {
        if code::kind(record.value) == Some(Kind::Hardlink) {
            links.push(&code::decode(record.key, record.value)?.link, &record.ordinal.to_le_bytes())?;
        }
    }
    let mut group: Vec<usize> = Vec::new();
    join(links.finish()?.read()?, layer.read()?, |link, found| {
        let Some(file) = found.filter(|found| code::kind(found.value) == Some(Kind::File)) else {
            return Ok(());
        };
        if group.first() != Some(&file.ordinal) {
            if !group.is_empty() {
                each(&group);
            }
            group.clear();
            group.push(file.ordinal);
        }
        group.extend(link.value.try_into().map(usize::from_le_bytes));
        Ok(())
    })?;
    if !group.is_empty() {
        each(&group);
    }
    Ok(())
}
