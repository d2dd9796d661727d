//! What packages that moved leave in files that are none of theirs: archives, copies of lists, logs, caches of all packages.

use std::collections::BTreeSet;

use bstr::{BString, ByteSlice as _};

use super::{Cause, Finding, cache};
use crate::{
    diff::{Change, ChangeKind},
    drift::{
        archive::inflated,
        clock,
        packages::Moved,
        token,
        view::{View, lines},
    },
    layer::{Kind, matches},
    model::path::encode,
};

const STATUS: &[u8] = b"var/lib/dpkg/status";

/// A finding that follows from what says that `moved` moved.
fn of_moved(view: &View<'_>, cause: Cause, moved: &Moved) -> Finding {
    let consequence_of = view.siblings.change(&moved.record).map(|change| encode(&change.path).0);
    Finding { consequence_of, ..Finding::likely(cause) }.shown(moved.shown())
}

/// The name of a package of dpkg's, without the architecture.
fn bare(moved: &Moved) -> &[u8] {
    moved.name.split_once_str(":").map_or(&moved.name[..], |(name, _)| name)
}

/// `var/cache/apt/archives/NAME_VERSION_ARCHITECTURE.deb` of a package that moved, in that image's version.
pub(super) fn archive(view: &View<'_>) -> Option<Finding> {
    let side = match view.change.kind {
        ChangeKind::OnlyInA => 0,
        ChangeKind::OnlyInB => 1,
        _ => return None,
    };
    let entry = view.change.entry().filter(|entry| entry.kind == Kind::File)?;
    let known = matches(b"var/cache/apt/archives/*.deb", view.path());
    let form = known && entry.peek.starts_with(b"!<arch>\ndebian-binary") && entry.mode & 0o111 == 0;
    let mut parts = form.then(|| view.name().strip_suffix(b".deb"))??.split_str("_");
    let (name, version, _) = (parts.next()?, parts.next()?.replace("%3a", ":"), parts.next()?);
    let of_this = |moved: &&Moved| {
        bare(moved) == name && moved.versions[side].as_ref().is_some_and(|own| own[..] == version[..])
    };
    let moved = view.siblings.packages.of_dpkg().find(of_this).filter(|_| parts.next().is_none())?;
    Some(of_moved(view, Cause::PackageVersion, moved))
}

/// `status-old`: dpkg's list as it was before the last package.
pub(super) fn status_old(view: &View<'_>) -> Option<Finding> {
    let (a, b) = (view.path() == b"var/lib/dpkg/status-old").then(|| view.texts())??;
    let moved = view.siblings.packages.of_dpkg().next()?;
    view.siblings.packages.of_status(a, b).then(|| of_moved(view, Cause::PackageVersion, moved))
}

/// apt's caches of all packages, made from lists that differ: beside them, or by how many packages they count. What else is in
/// them is not walked.
pub(super) fn apt_cache(view: &View<'_>) -> Option<Finding> {
    let (a, b, _) = view.heads().filter(|_| matches(b"var/cache/apt/*pkgcache.bin", view.path()))?;
    let form = a.starts_with(cache::APT_MAGIC) && b.starts_with(cache::APT_MAGIC);
    let lists = form.then(|| view.siblings.first_below(b"var/lib/apt/lists/"))?;
    let of_status = || view.siblings.packages.all(STATUS).map(|_| STATUS.as_bstr());
    if let Some(beside) = lists.or_else(of_status) {
        let consequence_of = Some(encode(beside).0);
        return Some(Finding { consequence_of, ..Finding::likely(Cause::AptCache) });
    }
    let (one, other) = (Counted::of(a)?, Counted::of(b)?);
    let shown = || format!("made from other lists: of {} versions → of {}", one.versions(), other.versions());
    (one.form == other.form && one.counts != other.counts)
        .then(|| Finding::likely(Cause::AptCache).shown(shown()))
}

/// How a cache of apt's begins (its `pkgcache.h`, `Header`): versions of the format and sizes of records, then how many
/// there are of groups, packages, versions, descriptions, and dependencies.
struct Counted<'a> {
    form: &'a [u8],
    counts: Vec<u32>,
}

impl<'a> Counted<'a> {
    fn of(head: &'a [u8]) -> Option<Self> {
        let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
        let counts = head.get(24..44)?.chunks_exact(4).map(number).collect::<Option<Vec<_>>>()?;
        Some(Self { form: head.get(..21)?, counts })
    }

    fn versions(&self) -> u32 {
        self.counts[2]
    }
}

/// A compiled module whose source is of a package that moved: the package's scripts compile it.
pub(super) fn compiled(view: &View<'_>) -> Option<Finding> {
    let (directory, name) = view.path().rsplit_once_str("/__pycache__/")?;
    let module = name.strip_suffix(b".pyc").and_then(|name| name.split_once_str("."))?.0;
    let source = BString::from([directory, b"/", module, b".py"].concat());
    let moved = view.siblings.packages.owner(&source)?;
    let changed: &Change = view.siblings.change(&source)?;
    let same = changed.kind == view.change.kind && changed.kind != ChangeKind::Metadata;
    let plain = view.content_alone() || view.change.kind != ChangeKind::Content;
    let compiled = [&view.change.a, &view.change.b].into_iter().flatten();
    let compiled =
        compiled.into_iter().all(|entry| entry.kind == Kind::File && entry.peek.get(2..4) == Some(b"\r\n"));
    (same && plain && compiled).then(|| of_moved(view, Cause::PackageVersion, moved))
}

/// dpkg's and apt's logs, which name versions: each its own image's.
pub(super) fn log(view: &View<'_>) -> Option<Finding> {
    const LOGS: [&str; 2] = ["var/log/apt/*.log", "var/log/dpkg.log"];
    let known = LOGS.iter().any(|log| matches(log.as_bytes(), view.path()));
    let (a, b) = known.then(|| view.texts())??;
    let moved: Vec<_> = view.siblings.packages.of_dpkg().collect();
    let first = *moved.first()?;
    let (a, b) =
        clock::mask_both(&cache::without_fingerprints(a), &cache::without_fingerprints(b), view.context)?;
    let both = [(a, 0), (b, 1)].map(|(text, side)| {
        let masked: Vec<_> = lines(&text).map(|line| without_versions(line, &moved, side)).collect();
        masked.join(&b'\n')
    });
    let containers = |pairs: &[(&[u8], &[u8])]| {
        pairs.iter().all(|(a, b)| token::kind(a, b) == Some(token::Kind::Container))
    };
    let alike =
        both[0] == both[1] || token::differing(&both[0], &both[1]).is_some_and(|pairs| containers(&pairs));
    alike.then(|| of_moved(view, Cause::PackageLog, first))
}

/// A line of a log without the versions of packages that it names, and without the number of files that dpkg knows of.
fn without_versions(line: &[u8], moved: &[&Moved], side: usize) -> Vec<u8> {
    const COUNT: &[u8] = b"(Reading database ... ";
    let mut line = line.to_vec();
    if let Some(rest) = line.strip_prefix(COUNT) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        line.drain(COUNT.len()..COUNT.len() + digits);
    }
    for one in moved {
        let Some(version) = one.versions[side].as_ref().filter(|_| line.contains_str(bare(one))) else {
            continue;
        };
        for spelled in [version.to_vec(), version.replace(":", "%3a")] {
            line = without_word(&line, &spelled);
        }
    }
    line
}

/// `line` with each `word` of it replaced by one mark, where it is no part of a longer version.
fn without_word(line: &[u8], word: &[u8]) -> Vec<u8> {
    let of_version = |byte: &u8| byte.is_ascii_alphanumeric() || b"+.~-:%".contains(byte);
    let mut out = Vec::with_capacity(line.len());
    let mut from = 0;
    while let Some(at) = (!word.is_empty()).then(|| line[from..].find(word)).flatten().map(|at| from + at) {
        let end = at + word.len();
        let whole = !line[..at].last().is_some_and(of_version) && !line.get(end).is_some_and(of_version);
        out.extend_from_slice(&line[from..at]);
        out.extend_from_slice(if whole { &[clock::MASK] } else { word });
        from = end;
    }
    out.extend_from_slice(&line[from..]);
    out
}

/// The linker's notes of libraries, of which some are of packages that moved: each has the size that its file has there.
pub(super) fn linker_notes(view: &View<'_>) -> Option<Finding> {
    let (a, b) = (view.path() == b"var/cache/ldconfig/aux-cache").then(|| view.contents())??;
    let (one, other) = (cache::libraries(a)?, cache::libraries(b)?);
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    let mut first = None;
    while let Some(order) = match (left.peek(), right.peek()) {
        (Some(one), Some(other)) => Some(one.cmp(other)),
        (Some(_), None) => Some(std::cmp::Ordering::Less),
        (None, Some(_)) => Some(std::cmp::Ordering::Greater),
        (None, None) => None,
    } {
        let (side, library) = match order {
            std::cmp::Ordering::Equal => {
                left.next();
                right.next();
                continue;
            }
            std::cmp::Ordering::Less => (0, left.next()?),
            std::cmp::Ordering::Greater => (1, right.next()?),
        };
        first = first.or(Some(of_library(view, side, library)?));
    }
    first.map(|moved| of_moved(view, Cause::LdconfigCache, moved))
}

/// The package that moved of which a library is, by its name and size.
fn of_library<'a>(view: &View<'a>, side: usize, [size, _, name, _]: &[&[u8]; 4]) -> Option<&'a Moved> {
    let size = u64::from_le_bytes((*size).try_into().ok()?);
    let is = |change: &&Change| {
        let file = change.path.rsplit_str("/").next().is_some_and(|file| file.starts_with(name));
        let entry = if side == 0 { &change.a } else { &change.b };
        file && entry.as_ref().is_some_and(|entry| entry.kind == Kind::File && entry.size_bytes == size)
    };
    let mut changes = view.siblings.all().filter(is);
    changes.find_map(|change| view.siblings.packages.owner(&change.path))
}

/// `eipp.log.xz`: what apt asked its planner, a paragraph a package, numbered in an order of its own.
pub(super) fn planned(view: &View<'_>) -> Option<Finding> {
    let (a, b) = (view.path() == b"var/log/apt/eipp.log.xz").then(|| view.contents())??;
    let moved: Vec<_> = view.siblings.packages.of_dpkg().collect();
    let rest = |packed: &[u8], side: usize| {
        let text = inflated(packed, view.budget)?;
        let stanzas = text.split_str("\n\n").filter(|stanza| !is_planned(stanza, &moved, side));
        let numbered = |line: &&[u8]| {
            !line.strip_prefix(b"APT-ID: ").is_some_and(|id| id.iter().all(u8::is_ascii_digit))
        };
        let mut stanzas: Vec<Vec<u8>> = stanzas
            .map(|stanza| stanza.lines().filter(numbered).flat_map(|line| [line, b"\n"].concat()).collect())
            .collect();
        stanzas.sort_unstable();
        Some(stanzas)
    };
    let alike = rest(a, 0)? == rest(b, 1)?;
    alike.then(|| match moved.first() {
        Some(moved) => of_moved(view, Cause::PackageLog, moved),
        None => Finding::likely(Cause::PackageLog).shown("the same packages, numbered as lists had them"),
    })
}

/// Whether a paragraph is of a package that moved, in that image's version.
fn is_planned(stanza: &[u8], moved: &[&Moved], side: usize) -> bool {
    let field = |name: &[u8]| stanza.lines().find_map(|line| line.strip_prefix(name)).map(<[u8]>::trim);
    let (name, version) = (field(b"Package: "), field(b"Version: "));
    moved.iter().any(|one| {
        name == Some(bare(one))
            && version.is_some()
            && version == one.versions[side].as_ref().map(|own| &own[..])
    })
}

/// The dynamic linker's cache: libraries of packages that moved, and the name of the program that wrote it.
pub(super) fn linker_cache(view: &View<'_>) -> Option<Finding> {
    let (a, b) = (view.path() == b"etc/ld.so.cache").then(|| view.contents())??;
    let (one, other) = (Linked::of(a)?, Linked::of(b)?);
    let packages = &view.siblings.packages;
    let mut first = None;
    for library in one.libraries.symmetric_difference(&other.libraries) {
        let beside = if one.libraries.contains(library) { &other.libraries } else { &one.libraries };
        beside.iter().any(|other| other.wants == library.wants).then_some(())?;
        let path = library.path.strip_prefix(b"/")?;
        let merged = [&b"usr/"[..], path].concat();
        first = first.or(Some(packages.owner(path).or_else(|| packages.owner(&merged))?));
    }
    if one.writer != other.writer {
        let writer = packages.of_dpkg().find(|moved| matches!(bare(moved), b"libc-bin" | b"libc6"))?;
        let without = |text: &[u8], side: usize| Some(without_word(text, writer.versions[side].as_ref()?));
        (without(one.writer, 0)? == without(other.writer, 1)?).then_some(())?;
        first = first.or(Some(writer));
    }
    let same = one.rest == other.rest;
    first.filter(|_| same).map(|moved| of_moved(view, Cause::PackageVersion, moved))
}

/// `ld.so.cache` in the form that glibc has written alone since 2.33 (its `dl-cache.h`), taken apart.
struct Linked<'a> {
    libraries: BTreeSet<Library<'a>>,
    /// Who wrote it.
    writer: &'a [u8],
    /// What is neither, nor an offset or a size.
    rest: Vec<&'a [u8]>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Library<'a> {
    name: &'a [u8],
    path: &'a [u8],
    /// Flags, and what kernel and processor it wants.
    wants: [&'a [u8]; 2],
}

impl<'a> Linked<'a> {
    fn of(cache: &'a [u8]) -> Option<Self> {
        const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
        const EXTENSION: u32 = 0xeaa4_2174;
        const HEADER: usize = 48;
        const ENTRY: usize = 24;
        let number =
            |at: usize| Some(u32::from_le_bytes(cache.get(at..at.checked_add(4)?)?.try_into().ok()?));
        let size = |at: usize| usize::try_from(number(at)?).ok();
        let part = |from: usize, to: usize| cache.get(from..to);
        let (count, strings) = (size(20).filter(|_| cache.starts_with(MAGIC))?, size(24)?);
        let names = HEADER.checked_add(count.checked_mul(ENTRY)?)?;
        let end = names.checked_add(strings)?;
        let table = part(names, end)?;
        let text = |at: usize| {
            let text = table.get(at.checked_sub(names)?..)?;
            Some(&text[..text.find_byte(0)?])
        };
        let mut libraries = BTreeSet::new();
        for at in (HEADER..names).step_by(ENTRY) {
            let wants = [part(at, at + 4)?, part(at + 12, at + 24)?];
            libraries.insert(Library { name: text(size(at + 4)?)?, path: text(size(at + 8)?)?, wants });
        }
        // One text may stand in another's end; else each is a library's.
        let used: BTreeSet<_> = libraries.iter().flat_map(|library| [library.name, library.path]).collect();
        let all_used = table.strip_suffix(b"\0")?.split_str("\0").all(|text| used.contains(text));
        let extension = size(32)?;
        let (mut writer, mut rest) = (&b""[..], vec![part(28, 32)?, part(36, HEADER)?]);
        let padding = part(end, extension)?;
        let plain = all_used
            && libraries.len() == count
            && padding.len() < 4
            && padding.iter().all(|byte| *byte == 0);
        (plain && number(extension)? == EXTENSION).then_some(())?;
        let sections = size(extension + 4)?;
        let mut from = extension.checked_add(8)?.checked_add(sections.checked_mul(16)?)?;
        for at in (extension + 8..from).step_by(16) {
            let (tag, start, length) = (number(at)?, size(at + 8)?, size(at + 12)?);
            let data = part(start, start.checked_add(length)?)?;
            (part(from, start)?.iter().all(|byte| *byte == 0) && start - from < 8).then_some(())?;
            from = start + length;
            rest.push(part(at, at + 8)?);
            if tag == 0 { writer = data } else { rest.push(data) }
        }
        (from == cache.len()).then_some(Self { libraries, writer, rest })
    }
}
