//! Logs and caches of tools.

use bstr::ByteSlice as _;

use super::{Cause, Finding, only_fields, python::resolve};
use crate::{
    diff::ChangeKind,
    drift::{clock, token, view::View},
    layer::{Entry, Kind, matches},
};

const LOGS: [&str; 6] = [
    "var/log/apt/*",
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/dnf*",
    "var/log/hawkey.log",
];
/// Before a duration in dnf's logs, which ends in `ms`.
const TIMER: &[u8] = b" DDEBUG timer: ";

/// Logs that differ only in times and durations, and in names of build containers they quote.
pub(super) fn package_log(view: &View<'_>) -> Option<Finding> {
    let (a, b) = fits(view, &LOGS).then(|| view.texts())??;
    let (a, b) = clock::mask_both(&without_durations(a), &without_durations(b), view.context)?;
    let containers = || {
        let pairs = token::differing(&a, &b)?;
        Some(pairs.iter().all(|(a, b)| token::kind(a, b) == Some(token::Kind::Container)))
    };
    (a == b || containers() == Some(true)).then(|| Finding::certain(Cause::PackageLog))
}

fn without_durations(text: &[u8]) -> Vec<u8> {
    let number = |line: &[u8]| line.trim_end().strip_suffix(b" ms").and_then(|line| line.rfind_byte(b' '));
    let cut =
        |line: &[u8]| if line.contains_str(TIMER) { number(line).unwrap_or(line.len()) } else { line.len() };
    text.lines_with_terminator().flat_map(|line| line[..cut(line)].to_vec()).collect()
}

/// apt's caches of one size; they are not walked (DRIFT.md §3.1, row 11), so that is likely, not certain.
pub(super) fn apt_cache(view: &View<'_>) -> Option<Finding> {
    magic(view, &["var/cache/apt/*pkgcache.bin"], b"\xdc\x76\xfe\x98")
        .then(|| Finding::likely(Cause::AptCache))
}

/// The dynamic linker's cache: inodes and times of every library.
pub(super) fn ldconfig_cache(view: &View<'_>) -> Option<Finding> {
    magic(view, &["var/cache/ldconfig/aux-cache"], b"glibc-ld.so.auxcache")
        .then(|| Finding::likely(Cause::LdconfigCache))
}

/// fontconfig's caches, if only the directory's time differs.
pub(super) fn fontconfig_cache(view: &View<'_>) -> Option<Finding> {
    let known = magic(view, &["var/cache/fontconfig/*.cache-*"], b"\x04\xfc\x02\xfc");
    let (a, b) = known.then(|| view.contents())??;
    let rest = |bytes: &[u8]| [&bytes[..48.min(bytes.len())], &bytes[56.min(bytes.len())..]].concat();
    (rest(a) == rest(b)).then(|| Finding::certain(Cause::FontconfigCache))
}

/// Caches that only their tool reads: downloads, and work that is done again if it is missing.
const CACHES: [&str; 15] = [
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
        Kind::Symlink | Kind::Hardlink => stays_inside(entry),
        _ => false,
    };
    let known = [&view.change.a, &view.change.b].into_iter().flatten().all(of_cache);
    let kind = view.change.kind != ChangeKind::Type && !view.change.has("mode");
    (known && kind && is_cache(view.path())).then(|| Finding::likely(Cause::ToolCache))
}

/// What librepo remembers of a download, in attributes: checksum and time.
pub(super) fn librepo_attribute(view: &View<'_>) -> Option<Finding> {
    let known = only_fields(view, |name| {
        matches!(name, "mtime" | "mode-type") || name.starts_with("xattr:user.Librepo.checksum.")
    });
    known.then(|| Finding::certain(Cause::ToolCache))
}

fn is_cache(path: &[u8]) -> bool {
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
