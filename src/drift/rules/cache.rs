//! Logs and caches of tools.

use bstr::ByteSlice as _;

use super::{Cause, Finding, only_fields, python::resolve};
use crate::{
    diff::ChangeKind,
    drift::{Context, clock, token, view::View},
    layer::{Entry, Kind, matches},
    model::path::encode,
};

const LOGS: [&str; 8] = [
    "var/log/apt/*",
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/dnf*",
    "**/var/log/dnf*",
    "var/log/hawkey.log",
    "**/var/log/hawkey.log",
];
/// What apt's caches begin with.
pub(super) const APT_MAGIC: &[u8] = b"\xdc\x76\xfe\x98";
/// Before a duration in dnf's logs, which ends in `ms`.
const TIMER: &[u8] = b" DDEBUG timer: ";

/// Logs that differ only in times and durations, and in names of build containers they quote.
pub(super) fn package_log(view: &View<'_>) -> Option<Finding> {
    let (a, b) = fits(view, &LOGS).then(|| view.texts())??;
    let (a, b) = clock::mask_both(&without_durations(a), &without_durations(b), view.context)?;
    let (a, b) = (without_fingerprints(&a), without_fingerprints(&b));
    let containers = || {
        let pairs = token::differing(&a, &b)?;
        Some(pairs.iter().all(|(a, b)| token::kind(a, b) == Some(token::Kind::Container)))
    };
    (a == b || containers() == Some(true)).then(|| Finding::certain(Cause::PackageLog))
}

/// `3072 SHA256:…43 characters… root@host (RSA)`: ssh-keygen says it of a key that it made.
pub(super) fn without_fingerprints(text: &[u8]) -> Vec<u8> {
    const WORD: &[u8] = b" SHA256:";
    let masked = |line: &[u8]| {
        let found = line.find(WORD).filter(|at| line[..*at].iter().all(u8::is_ascii_digit));
        let of_key = [&b"(RSA)"[..], b"(ECDSA)", b"(ED25519)", b"(DSA)"]
            .iter()
            .any(|kind| line.trim_end().ends_with(kind));
        match found.filter(|_| of_key).map(|at| (at, line.get(at + WORD.len()..at + WORD.len() + 43))) {
            Some((at, Some(sum))) if !sum.contains(&b' ') => {
                [&line[..at], &line[at + WORD.len() + 43..]].concat()
            }
            _ => line.to_vec(),
        }
    };
    text.lines_with_terminator().flat_map(masked).collect()
}

fn without_durations(text: &[u8]) -> Vec<u8> {
    let number = |line: &[u8]| line.trim_end().strip_suffix(b" ms").and_then(|line| line.rfind_byte(b' '));
    let cut =
        |line: &[u8]| if line.contains_str(TIMER) { number(line).unwrap_or(line.len()) } else { line.len() };
    text.lines_with_terminator().flat_map(|line| line[..cut(line)].to_vec()).collect()
}

/// apt's caches of one size: hash, checksum, and times of index files. The cache is not walked (DRIFT.md §3.1, row 11), so
/// that is likely, not certain.
pub(super) fn apt_cache(view: &View<'_>) -> Option<Finding> {
    if !magic(view, &["var/cache/apt/*pkgcache.bin"], APT_MAGIC) {
        return None;
    }
    let known = if let Some((a, b)) = view.contents() {
        only_apt_times(words(0, a, b), view.context)
    } else {
        let delta = view.change.delta.as_ref().filter(|delta| delta.complete)?;
        only_apt_times(delta.runs.iter().flat_map(|run| words(run.offset, &run.a, &run.b)), view.context)
    };
    known.then(|| Finding::likely(Cause::AptCache))
}

/// Words of eight bytes, each with its place, the first at `start`.
fn words<'a>(start: u64, a: &'a [u8], b: &'a [u8]) -> impl Iterator<Item = (u64, &'a [u8], &'a [u8])> {
    let pairs = a.chunks(8).zip(b.chunks(8));
    (start..).step_by(8).zip(pairs).map(|(place, (a, b))| (place, a, b))
}

/// Whether what differs of `words` of eight bytes, each with its place, is where hash and checksum are, or few numbers that
/// are times on both sides.
fn only_apt_times<'a>(words: impl Iterator<Item = (u64, &'a [u8], &'a [u8])>, context: &Context) -> bool {
    const SUMS: [std::ops::Range<u64>; 2] = [16..24, 676..680];
    const TIMES_MAX: usize = 64;
    let mut times = 0;
    for (place, a, b) in words.filter(|(_, a, b)| a != b) {
        let sum = |(at, _): (u64, _)| SUMS.iter().any(|sums| sums.contains(&at));
        if (place..).zip(a.iter().zip(b)).filter(|(_, (a, b))| a != b).all(sum) {
            continue;
        }
        let time = |word: &[u8]| word.try_into().ok().map(i64::from_le_bytes);
        let (Some(one), Some(other)) = (time(a), time(b)) else { return false };
        times += 1;
        if !context.touches(0, (one, one)) || !context.touches(1, (other, other)) || times > TIMES_MAX {
            return false;
        }
    }
    true
}

/// The dynamic linker's cache: inodes and times of every library, which are the same libraries.
pub(super) fn ldconfig_cache(view: &View<'_>) -> Option<Finding> {
    let (a, b) = (view.path() == b"var/cache/ldconfig/aux-cache").then(|| view.contents())??;
    (libraries(a)? == libraries(b)?).then(|| Finding::certain(Cause::LdconfigCache))
}

/// Size, flags, name and level of each library (glibc's `elf/cache.c`, `aux_cache_file`), in an order of their own: where one
/// stands follows from its inode. What is behind an entry up to a multiple of eight was never written.
pub(super) fn libraries(cache: &[u8]) -> Option<Vec<[&[u8]; 4]>> {
    const HEAD: usize = 32;
    let number = |at: usize| Some(u32::from_le_bytes(cache.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let size = |at: usize| usize::try_from(number(at)?).ok();
    let (count, strings) = (size(24)?, size(28)?);
    let entries = cache.len().checked_sub(HEAD)?.checked_sub(strings)?;
    let known =
        cache.starts_with(b"glibc-ld.so.auxcache-") && count > 0 && entries == count.checked_mul(48)?;
    let names = known.then(|| &cache[HEAD + entries..])?;
    let mut libraries = Vec::with_capacity(count + 1);
    for entry in cache[HEAD..HEAD + entries].chunks_exact(48) {
        let at = usize::try_from(u32::from_le_bytes(entry[36..40].try_into().ok()?)).ok()?;
        let name = names.get(at..)?;
        libraries.push([&entry[16..24], &entry[32..36], &name[..name.find_byte(0)?], &entry[40..44]]);
    }
    // All names, some of which stand in each other's ends.
    let mut all: Vec<_> = names.split_str("\0").map(|name| [&b""[..], b"", name, b""]).collect();
    all.push([&cache[..24], b"", b"", b""]);
    libraries.append(&mut all);
    libraries.sort_unstable();
    Some(libraries)
}

/// fontconfig's caches, if only the directory's time differs: seconds, and nanoseconds behind them (`fcint.h`, `FcCache`).
pub(super) fn fontconfig_cache(view: &View<'_>) -> Option<Finding> {
    let known = magic(view, &["var/cache/fontconfig/*.cache-*"], b"\x04\xfc\x02\xfc");
    let (a, b) = known.then(|| view.contents())??;
    let rest = |bytes: &[u8]| {
        let nanoseconds = i64::from_le_bytes(bytes.get(56..64)?.try_into().ok()?);
        let part = (0..1_000_000_000).contains(&nanoseconds);
        // Older ones have no nanoseconds, and something else there.
        Some([&bytes[..48], &bytes[if part { 64 } else { 56 }..]].concat())
    };
    (rest(a)? == rest(b)?).then(|| Finding::certain(Cause::FontconfigCache))
}

/// Caches that only their tool reads: downloads, and work that is done again if it is missing.
const CACHES: [&str; 16] = [
    "root/.cache/pip/**",
    "root/.cache/uv/**",
    "root/.cache/go-build/**",
    "root/.npm/_cacache/**",
    "root/.npm/_logs/**",
    "root/.npm/_update-notifier-last-checked",
    "root/.cargo/.global-cache",
    "home/*/.cache/pip/**",
    "home/*/.cache/uv/**",
    "home/*/.cache/go-build/**",
    "home/*/.npm/_cacache/**",
    "home/*/.cargo/.global-cache",
    "usr/local/cargo/.global-cache",
    "**/target/**/incremental/**",
    "tmp/uv-*.lock",
    "**/target/.rustc_info.json",
];

/// What lies in a cache, whatever differs in it; and names elsewhere of files that lie there under random names.
pub(super) fn tool_cache(view: &View<'_>) -> Option<Finding> {
    let entry = view.change.entry()?;
    if only_fields(view, |name| name == "link") && entry.kind == Kind::Hardlink {
        let in_cache = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| is_cache(&entry.link));
        let same = view.change.a.as_ref()?.content == view.change.b.as_ref()?.content;
        let both = same && in_cache(&view.change.a) && in_cache(&view.change.b);
        return both.then(|| Finding::likely(Cause::ToolCache));
    }
    let of_cache = |entry: &Entry| match entry.kind {
        Kind::File | Kind::Directory => true,
        Kind::Symlink => stays_inside(entry),
        // Another name of a file elsewhere, which is judged there.
        Kind::Hardlink => stays_inside(entry) || entry.mode & 0o7000 == 0,
        _ => false,
    };
    let known = [&view.change.a, &view.change.b].into_iter().flatten().all(of_cache);
    let kind = view.change.kind != ChangeKind::Type && !view.change.has("mode");
    (known && kind && is_cache(view.path())).then(|| {
        let elsewhere = entry.kind == Kind::Hardlink && !stays_inside(entry);
        let target = elsewhere.then(|| view.siblings.change(&entry.link)).flatten();
        let consequence_of = target.map(|change| encode(&change.path).0);
        Finding { consequence_of, ..Finding::likely(Cause::ToolCache) }
    })
}

/// What librepo remembers of a download, in attributes: checksum and time.
pub(super) fn librepo_attribute(view: &View<'_>) -> Option<Finding> {
    let known = only_fields(view, |name| {
        matches!(name, "mtime" | "mode-type") || name.starts_with("xattr:user.Librepo.checksum.")
    });
    known.then(|| Finding::certain(Cause::ToolCache))
}

/// Whether `path` lies in a cache that only its tool reads.
pub(in crate::drift) fn is_cache(path: &[u8]) -> bool {
    CACHES.iter().any(|pattern| matches(pattern.as_bytes(), path))
}

/// Whether a link in a cache leads into a cache.
fn stays_inside(link: &Entry) -> bool {
    if link.kind == Kind::Hardlink || link.link.starts_with(b"/") {
        return is_cache(link.link.strip_prefix(b"/").unwrap_or(&link.link));
    }
    let directory = link.path.rsplit_once_str("/").map_or(&b""[..], |(directory, _)| directory);
    resolve(directory, &link.link).is_some_and(|target| is_cache(&target))
}

fn fits(view: &View<'_>, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| matches(pattern.as_bytes(), view.path()))
}

fn magic(view: &View<'_>, patterns: &[&str], magic: &[u8]) -> bool {
    let heads = view.heads().filter(|_| fits(view, patterns));
    heads.is_some_and(|(a, b, same_size)| same_size && a.starts_with(magic) && b.starts_with(magic))
}
