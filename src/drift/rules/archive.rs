//! Archives and compressed files inside the image, and what is in these again.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};

use super::{Cause, Finding, RULES};
use crate::{
    diff::{Change, ChangeKind, Field, Kept},
    drift::{
        Class, Confidence,
        archive::{Archive, DEPTH_MAX, Member, Xz, inflated, same_but_header},
        evidence, security,
        view::{Siblings, View},
    },
    layer::{Entry, Kind, PEEK_SIZE_BYTES},
    model::{Digest, path::printable},
};

/// gzip whose header's time or name alone differs (RFC 1952, MTIME and FNAME).
pub(super) fn gzip_timestamp(view: &View<'_>) -> Option<Finding> {
    if view.held.is_none() {
        let gzip = |head: &[u8]| head.starts_with(&[0x1f, 0x8b, 8]);
        let (a, b, _) = view.heads().filter(|_| view.differs_only_in(4..8))?;
        return (gzip(a) && gzip(b)).then(|| Finding::certain(Cause::GzipTimestamp));
    }
    let (a, b) = view.contents()?;
    let time = a.get(4..8)? != b.get(4..8)?;
    (time && same_but_header(a, b)).then(|| Finding::certain(Cause::GzipTimestamp))
}

/// gzip, xz and zstd whose contents are equal, or differ for a known cause.
pub(super) fn compressed(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let (a, b) = (inflated(a, view.budget)?, inflated(b, view.budget)?);
    if a == b {
        return Some(threads(view).unwrap_or_else(|| Finding::certain(Cause::CompressedMember)));
    }
    let name = view.name();
    let name = [&b".gz"[..], b".xz", b".zst"].iter().find_map(|end| name.strip_suffix(*end)).unwrap_or(name);
    let change = changed(name, a, b);
    let (finding, shown) = nested(view, &[change])?.pop()?;
    let finding = Finding { consequence_of: None, ..finding };
    Some(finding.shown(format!("decompressed: {shown}")))
}

/// xz files of equal contents, one of several threads and one of one, or of others.
fn threads(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let (a, b) = (Xz::of(a)?, Xz::of(b)?);
    let same_level = a.filters == b.filters && (a.sized != b.sized || a.blocks != b.blocks);
    let blocks = |xz: &Xz| match (xz.blocks, xz.sized) {
        (1, false) => "1 block without its size".to_owned(),
        (1, true) => "1 block with its size".to_owned(),
        (blocks, _) => format!("{blocks} blocks"),
    };
    same_level.then(|| Finding::likely(Cause::CpuDependent).shown(format!("{} → {}", blocks(&a), blocks(&b))))
}

/// tar, zip, ar, cpio: each difference is of members' times, their order or packing, or of a member with a known cause.
pub(super) fn archive(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.contents()?;
    let (a, b) = (Archive::of(a)?, Archive::of(b)?);
    let alike = a.kind == b.kind && a.rest == b.rest && a.members.len() == b.members.len();
    if !alike || !a.same_end(&b) {
        return None;
    }
    let mut parts = Vec::new();
    let pairs = paired(&a.members, &b.members, &mut parts)?;
    let mut changes = Vec::new();
    for (one, other) in pairs {
        if !one.same_header(other) {
            return None;
        }
        let named = |cause: Cause| (Finding::certain(cause), printable(&one.name.to_str_lossy()));
        if !one.same_times(other) {
            parts.push(named(a.kind.of_times()));
        }
        if one.same_packed(other) {
            continue;
        }
        let (old, new) = (one.content(view.budget)?, other.content(view.budget)?);
        if old == new {
            parts.push(named(Cause::CompressedMember));
        } else {
            changes.push(changed(&one.name, old, new));
        }
    }
    let of_members = nested(view, &changes)?.into_iter().zip(&changes).map(|((finding, shown), change)| {
        (finding, format!("{}: {shown}", printable(&change.path.to_str_lossy())))
    });
    parts.extend(of_members);
    together(&parts, a.kind.of_times())
}

type Part = (Finding, String);

/// Members by name; that they come in another order is a part too.
fn paired<'a, 'b>(
    a: &'b [Member<'a>],
    b: &'b [Member<'a>],
    parts: &mut Vec<Part>,
) -> Option<Vec<(&'b Member<'a>, &'b Member<'a>)>> {
    if a.iter().zip(b).all(|(one, other)| one.name == other.name) {
        return Some(a.iter().zip(b).collect());
    }
    let named: BTreeMap<_, _> = b.iter().map(|member| (&member.name, member)).collect();
    if named.len() != b.len() {
        return None; // Which of two of one name is meant depends on their order.
    }
    let moved = a.iter().zip(b).find(|(one, other)| one.name != other.name)?;
    let shown = |member: &Member<'_>| printable(&member.name.to_str_lossy());
    let order = format!("another order of members, from {} → {} on", shown(moved.0), shown(moved.1));
    parts.push((Finding::likely(Cause::LineOrder), order));
    a.iter().map(|one| Some((one, *named.get(&one.name)?))).collect::<Option<Vec<_>>>().filter(|pairs| {
        pairs.iter().map(|(one, _)| &one.name).collect::<std::collections::BTreeSet<_>>().len() == pairs.len()
    })
}

/// A file inside another that differs.
fn changed(name: &[u8], a: Vec<u8>, b: Vec<u8>) -> Change {
    let path: BString = name.strip_prefix(b"./").unwrap_or(name).trim_start_with(|c| c == '/').into();
    let entry = |content: &[u8]| {
        let mut entry = Entry::new(path.clone(), Kind::File, 0o644, 0);
        entry.size_bytes = content.len() as u64;
        entry.content = Some(Digest::of(content));
        entry.peek = content[..content.len().min(PEEK_SIZE_BYTES)].to_vec();
        Some(entry)
    };
    let (one, other) = (entry(&a), entry(&b));
    let fields = vec![Field { name: "content".to_owned(), a: None, b: None }];
    Change {
        layer: 0,
        path: path.clone(),
        kind: ChangeKind::Content,
        fields,
        a: one,
        b: other,
        contents: Some(Kept::of(a, b)),
        delta: None,
    }
}

/// Each of `changes`, files in the file at hand, by the rules there are; nothing unless all are explained.
fn nested(view: &View<'_>, changes: &[Change]) -> Option<Vec<Part>> {
    let depth = view.depth + 1;
    if depth > DEPTH_MAX {
        return None;
    }
    let siblings = Siblings::new(changes, None);
    let explained = changes.iter().map(|change| {
        let held = change.read();
        let held = held.as_ref().map(|(a, b)| (&**a, &**b));
        let view = View { change, held, siblings: &siblings, depth, ..*view };
        if security::of(&view).is_some() {
            return None;
        }
        let finding = RULES.iter().find_map(|rule| rule(&view))?;
        let shown = finding.evidence.clone().unwrap_or_else(|| evidence::show(&view));
        Some((finding, shown))
    });
    explained.collect()
}

/// The cause that says most, if there is any: of a member that was drawn or is another's, then the archive's own times, then
/// what else members differ in; none that only follows from another.
fn together(parts: &[Part], of_times: Cause) -> Option<Finding> {
    let rank = |(finding, _): &Part| {
        let rank = match (finding.cause, finding.cause.class()) {
            (_, Class::Unexplained | Class::Package) => 0,
            (_, Class::Entropy) => 1,
            (cause, _) if cause == of_times => 2,
            (Cause::CompressedMember | Cause::CpuDependent, _) => 4,
            (Cause::LineOrder, _) => 5,
            _ => 3,
        };
        (finding.consequence_of.is_some(), rank)
    };
    let first = parts.iter().enumerate().min_by_key(|(at, part)| (rank(part), *at))?.0;
    let certain = parts.iter().all(|(finding, _)| finding.confidence == Confidence::Certain);
    let (finding, shown) = &parts[first];
    let mut others: Vec<_> = parts.iter().map(|(other, _)| other.cause.code()).collect();
    others.retain(|code| *code != finding.cause.code());
    others.sort_unstable();
    others.dedup();
    let more = parts.iter().filter(|(other, _)| other.cause == finding.cause).count() - 1;
    let mut shown = shown.clone();
    if more > 0 {
        shown += &format!(", and {more} more");
    }
    if !others.is_empty() {
        shown += &format!("; also {}", others.join(", "));
    }
    let confidence = if certain { Confidence::Certain } else { Confidence::Likely };
    Some(Finding { cause: finding.cause, confidence, consequence_of: None, evidence: Some(shown) })
}
