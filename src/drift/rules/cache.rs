//! Logs and caches of tools.

use super::{Cause, Finding};
use crate::{
    diff::ChangeKind,
    drift::{clock, token, view::View},
    layer::{Kind, matches},
};

const LOGS: [&str; 5] = [
    "var/log/apt/*",
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/dnf*",
];

/// Logs that differ only in times, and in names of build containers they quote.
pub(super) fn package_log(view: &View<'_>) -> Option<Finding> {
    let (a, b) = fits(view, &LOGS).then(|| view.texts())??;
    let (a, b) = clock::mask_both(a, b, view.context)?;
    let containers = || {
        let pairs = token::differing(&a, &b)?;
        Some(pairs.iter().all(|(a, b)| token::kind(a, b) == Some(token::Kind::Container)))
    };
    (a == b || containers() == Some(true)).then(|| Finding::certain(Cause::PackageLog))
}

/// apt's caches of one size; they are not walked (DRIFT.md §3.1, row 11).
pub(super) fn apt_cache(view: &View<'_>) -> Option<Finding> {
    magic(view, &["var/cache/apt/*pkgcache.bin"], b"\xdc\x76\xfe\x98")
        .then(|| Finding::certain(Cause::AptCache))
}

/// The dynamic linker's cache: inodes and times of every library.
pub(super) fn ldconfig_cache(view: &View<'_>) -> Option<Finding> {
    magic(view, &["var/cache/ldconfig/aux-cache"], b"glibc-ld.so.auxcache")
        .then(|| Finding::certain(Cause::LdconfigCache))
}

/// fontconfig's caches, if only the directory's time differs.
pub(super) fn fontconfig_cache(view: &View<'_>) -> Option<Finding> {
    let known = magic(view, &["var/cache/fontconfig/*.cache-*"], b"\x04\xfc\x02\xfc");
    let (a, b) = known.then(|| view.contents())??;
    let rest = |bytes: &[u8]| [&bytes[..48.min(bytes.len())], &bytes[56.min(bytes.len())..]].concat();
    (rest(a) == rest(b)).then(|| Finding::certain(Cause::FontconfigCache))
}

/// Caches that only their tool reads, whatever differs in them.
pub(super) fn tool_cache(view: &View<'_>) -> Option<Finding> {
    const CACHES: [&str; 6] = [
        "root/.cache/pip/**",
        "root/.cache/uv/**",
        "root/.npm/_cacache/**",
        "root/.npm/_logs/**",
        "root/.npm/_update-notifier-last-checked",
        "root/.cargo/.global-cache",
    ];
    let plain = view.change.entry().is_some_and(|entry| matches!(entry.kind, Kind::File | Kind::Directory));
    let kind = view.change.kind != ChangeKind::Type && !view.change.has("mode");
    (plain && kind && fits(view, &CACHES)).then(|| Finding::likely(Cause::ToolCache))
}

fn fits(view: &View<'_>, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| matches(pattern.as_bytes(), view.path()))
}

fn magic(view: &View<'_>, patterns: &[&str], magic: &[u8]) -> bool {
    let heads = view.heads().filter(|_| fits(view, patterns));
    heads.is_some_and(|(a, b, same_size)| same_size && a.starts_with(magic) && b.starts_with(magic))
}
