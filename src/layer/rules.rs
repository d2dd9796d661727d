//! Named, versioned rules that drop the noise package tools leave in a layer (BUILDROOT.md §4).
//!
//! A file is dropped only if its path *and* its format are the rule's; setuid bits, owners, devices,
//! whiteouts and directories (but for the engine's own mount points) are never touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader, Read},
};

use bstr::{BStr, BString, ByteSlice as _};

use super::{Entry, Kind, LayerError, Lower, glob, links::Holders, order};
use crate::model::names::PROFILE;

/// A set of rules under a name that stands in the build definition.
#[derive(Debug, Clone)]
pub struct Profile {
    rules: &'static [Rule],
    mount_points: bool,
    drops: Vec<(String, String)>,
}

/// How many entries a rule dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCount {
    /// The rule's stable name; `drop:GLOB` for the user's own.
    pub rule: String,
    /// How many entries.
    pub entries: u64,
}

/// Opens the content of an entry of the layer at hand.
pub type Open<'a> = dyn FnMut(&Entry) -> io::Result<Box<dyn Read>> + 'a;

#[derive(Debug)]
struct Rule {
    name: &'static str,
    paths: &'static [&'static str],
    format: Format,
}

#[derive(Debug)]
enum Format {
    /// The head of the content tells.
    Head(fn(&[u8]) -> bool),
    /// Path and head tell together.
    Named(fn(&[u8], &[u8]) -> bool),
    /// Every line tells.
    Lines(fn(&[u8]) -> bool),
}

const DEFAULT_1: &[Rule] = &[
    Rule {
        name: "apt-log",
        paths: &["var/log/apt/history.log*", "var/log/apt/term.log*", "var/log/apt/eipp.log*"],
        format: Format::Named(apt_log),
    },
    Rule { name: "dpkg-log", paths: &["var/log/dpkg.log"], format: Format::Lines(starts_with_time) },
    Rule {
        name: "alternatives-log",
        paths: &["var/log/alternatives.log"],
        format: Format::Lines(|line| line.starts_with(b"update-alternatives ")),
    },
    Rule {
        name: "apt-cache",
        paths: &["var/cache/apt/*pkgcache.bin"],
        format: Format::Head(|head| head.starts_with(b"\xdc\x76\xfe\x98")),
    },
    Rule {
        name: "ldconfig-cache",
        paths: &["var/cache/ldconfig/aux-cache"],
        format: Format::Head(|head| head.starts_with(b"glibc-ld.so.auxcache")),
    },
    Rule {
        name: "npm-log",
        paths: &["root/.npm/_logs/*"],
        format: Format::Head(|head| head.is_empty() || head.starts_with(b"0 ")),
    },
    Rule { name: "npm-index", paths: &["root/.npm/_cacache/index-v5/**"], format: Format::Head(npm_index) },
    Rule { name: "pip-cache", paths: &["root/.cache/pip/**"], format: Format::Named(pip_cache) },
    Rule { name: "pwd-lock", paths: &["etc/.pwd.lock"], format: Format::Head(<[u8]>::is_empty) },
];

const MOUNT_POINT: &str = "engine-mount-point";

impl Profile {
    /// The profile called `name`: `default-1` or `none`.
    ///
    /// # Errors
    /// [`LayerError::Profile`] for any other.
    pub fn named(name: &str) -> Result<Self, LayerError> {
        match name {
            PROFILE => Ok(Self { rules: DEFAULT_1, mount_points: true, drops: Vec::new() }),
            "none" => Ok(Self { rules: &[], mount_points: false, drops: Vec::new() }),
            _ => Err(LayerError::Profile(name.to_owned())),
        }
    }

    /// Adds the user's own drops, (glob, because): regular files whose path fits, whatever they hold.
    #[must_use]
    pub fn with_drops(mut self, drops: Vec<(String, String)>) -> Self {
        self.drops = drops;
        self
    }

    /// The user's own drops with their reasons.
    pub fn drops(&self) -> &[(String, String)] {
        &self.drops
    }

    /// Drops what the rules name and counts it, by rule in the rules' order.
    ///
    /// `mounts` are the paths the engine mounted something on: an empty file or directory there that `lower`
    /// does not have is the engine's; those of secrets go whatever the profile. If a name that goes held the content of hard links, the next takes it.
    ///
    /// # Errors
    /// Those of `content`.
    pub fn apply(
        &self,
        entries: Vec<Entry>,
        mounts: &BTreeSet<BString>,
        lower: &Lower,
        content: &mut Open<'_>,
    ) -> Result<(Vec<Entry>, Vec<RuleCount>), LayerError> {
        let holders = Holders::new(&entries);
        let mut dropped: BTreeMap<BString, String> = BTreeMap::new();
        for entry in &entries {
            let Some(file) = holders.of(entry).filter(|_| !entry.is_whiteout()) else { continue };
            if let Some(rule) = self.rule(&entry.path, file, content).map_err(LayerError::Read)? {
                dropped.insert(entry.path.clone(), rule);
            }
        }
        drop_mount_points(
            &entries,
            |path| (self.mount_points || of_secret(path)) && mounts.contains(path),
            lower,
            &mut dropped,
        );
        let counts = self.counts(&dropped);
        Ok((without(entries, &dropped), counts))
    }

    fn rule(&self, path: &[u8], file: &Entry, content: &mut Open<'_>) -> io::Result<Option<String>> {
        for rule in self.rules {
            let fits = rule.paths.iter().any(|pattern| glob::matches(pattern.as_bytes(), path));
            if fits && rule.format.holds(path, file, content)? {
                return Ok(Some(rule.name.to_owned()));
            }
        }
        let mut drops = self.drops.iter().map(|(pattern, _)| pattern);
        Ok(drops
            .find(|pattern| glob::matches(pattern.as_bytes(), path))
            .map(|pattern| format!("drop:{pattern}")))
    }

    fn counts(&self, dropped: &BTreeMap<BString, String>) -> Vec<RuleCount> {
        let own = self.drops.iter().map(|(pattern, _)| format!("drop:{pattern}"));
        let names =
            self.rules.iter().map(|rule| rule.name.to_owned()).chain([MOUNT_POINT.to_owned()]).chain(own);
        let count = |rule: String| {
            let entries = dropped.values().filter(|name| **name == rule).count() as u64;
            RuleCount { rule, entries }
        };
        let mut counts: Vec<_> = names.map(count).filter(|count| count.entries > 0).collect();
        counts.dedup(); // The same drop given twice.
        counts
    }
}

impl Format {
    fn holds(&self, path: &[u8], file: &Entry, content: &mut Open<'_>) -> io::Result<bool> {
        match self {
            Self::Head(check) => Ok(check(&file.peek)),
            Self::Named(check) => Ok(check(path, &file.peek)),
            Self::Lines(check) => every_line(content(file)?, *check),
        }
    }
}

/// Whether every line passes; a line too long for a log does not.
fn every_line(reader: impl Read, check: fn(&[u8]) -> bool) -> io::Result<bool> {
    const LINE_BYTES_MAX: u64 = 64 << 10;
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(true);
        }
        if count as u64 == LINE_BYTES_MAX || !check(&line) {
            return Ok(false);
        }
    }
}

fn starts_with_time(line: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00 ";
    let digit = |byte: &u8| if byte.is_ascii_digit() { b'0' } else { *byte };
    line.len() > SHAPE.len() && line.iter().map(digit).take(SHAPE.len()).eq(SHAPE.iter().copied())
}

fn apt_log(path: &[u8], head: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let text = head.trim_start();
    let rotated = head.starts_with(b"\x1f\x8b") || head.starts_with(b"\xfd7zXZ\0");
    let opening: &[u8] = match name {
        name if name.starts_with(b"history") => b"Start-Date: ",
        name if name.starts_with(b"term") => b"Log started: ",
        _ => b"Request: EIPP ",
    };
    text.is_empty()
        || text.starts_with(opening)
        || (rotated && (name.ends_with(b".gz") || name.ends_with(b".xz")))
}

fn npm_index(head: &[u8]) -> bool {
    let record = head.strip_prefix(b"\n").unwrap_or(head);
    record.len() > 42 && record[..40].iter().all(u8::is_ascii_hexdigit) && record[40..42] == *b"\t{"
}

/// HTTP answers by hashed name, wheels with their origin, and the note of the last look for updates.
fn pip_cache(path: &[u8], head: &[u8]) -> bool {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let [_, _, _, kind, .., name] = parts[..] else { return false };
    match kind {
        b"http" | b"http-v2" => {
            let hashed = name.strip_suffix(b".body").unwrap_or(name);
            hashed.len() == 56 && hashed.iter().all(u8::is_ascii_hexdigit)
        }
        b"wheels" => (name.ends_with(b".whl") && head.starts_with(b"PK\x03\x04")) || name == b"origin.json",
        b"selfcheck" => head.starts_with(b"{"),
        _ => false,
    }
}

/// Where the engine puts secrets that name no target.
fn of_secret(path: &BString) -> bool {
    path.strip_prefix(b"run/secrets").is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Deepest first, so that a mount point that held only mount points is empty too.
fn drop_mount_points(
    entries: &[Entry],
    is_mount: impl Fn(&BString) -> bool,
    lower: &Lower,
    dropped: &mut BTreeMap<BString, String>,
) {
    let mut candidates: Vec<&Entry> = entries
        .iter()
        .filter(|entry| is_mount(&entry.path) && !lower.contains(&entry.path) && !entry.is_whiteout())
        .filter(|entry| match entry.kind {
            Kind::File => entry.size_bytes == 0,
            kind => kind == Kind::Directory,
        })
        .collect();
    candidates.sort_by(|a, b| order::compare(&b.path, &a.path));
    for entry in candidates {
        let inside = |other: &&Entry| {
            other.path.strip_prefix(entry.path.as_slice()).is_some_and(|rest| rest.starts_with(b"/"))
        };
        let full = entries.iter().filter(inside).any(|other| !dropped.contains_key(&other.path));
        if !full {
            dropped.insert(entry.path.clone(), MOUNT_POINT.to_owned());
        }
    }
}

/// `entries` without the dropped; a link whose file goes becomes the file, first in order of those that stay.
fn without(mut entries: Vec<Entry>, dropped: &BTreeMap<BString, String>) -> Vec<Entry> {
    let holders = Holders::new(&entries);
    let mut heirs: BTreeMap<&BStr, &BString> = BTreeMap::new();
    let mut changes: BTreeMap<BString, Entry> = BTreeMap::new();
    let mut links: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Hardlink && !dropped.contains_key(&entry.path))
        .collect();
    links.sort_by(|a, b| order::compare(&a.path, &b.path));
    for link in links {
        let Some(file) = holders.of(link) else { continue };
        let holder = if dropped.contains_key(&file.path) {
            *heirs.entry(file.path.as_bstr()).or_insert(&link.path)
        } else {
            &file.path // The link may have named one that goes.
        };
        let changed = if *holder == link.path {
            Entry { path: link.path.clone(), ..file.clone() }
        } else {
            Entry { link: holder.clone(), ..link.clone() }
        };
        changes.insert(link.path.clone(), changed);
    }
    entries.retain(|entry| !dropped.contains_key(&entry.path));
    for entry in &mut entries {
        if let Some(changed) = changes.remove(&entry.path) {
            *entry = changed;
        }
    }
    entries
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
