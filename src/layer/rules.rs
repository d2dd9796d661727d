//! Named, versioned rules that drop the noise package tools leave in a layer (BUILDROOT.md §4).
//!
//! A file is dropped only if its path *and* its format are the rule's; setuid bits, owners, devices,
//! whiteouts and directories (but for the engine's own mount points) are never touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader, Read},
};

use bstr::{BString, ByteSlice as _};

use super::{
    Entry, Kind, Layer, LayerError, Lower, glob,
    links::{groups, named},
    listing::{Entering, Listing},
    order,
};
use crate::model::{Scratch, names::PROFILE};

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
    /// Those of `content` and `scratch`.
    pub fn apply(
        &self,
        layer: Layer,
        mounts: &BTreeSet<BString>,
        lower: &Lower,
        content: &mut Open<'_>,
        scratch: &dyn Scratch,
    ) -> Result<(Layer, Vec<RuleCount>), LayerError> {
        let known = lower.kinds(mounts.iter().map(|path| path.as_slice()))?;
        let may_go = |path: &BString| {
            (self.mount_points || of_secret(path)) && mounts.contains(path) && !known.contains_key(path)
        };
        let mut points = MountPoints::default();
        let mut dropped = Vec::new();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (ordinal, entry) in layer.entries()?.enumerate() {
            let entry = entry?;
            let is_point = may_go(&entry.path) && is_empty(&entry) && !entry.is_whiteout();
            let rule = if is_point || entry.is_whiteout() || entry.content.is_none() {
                None
            } else {
                self.rule(&entry.path, &entry, content).map_err(LayerError::Read)?
            };
            dropped.push(rule.is_some());
            match rule {
                Some(rule) => *counts.entry(rule).or_default() += 1,
                None if is_point => drop(points.0.insert(entry.path, (ordinal, false))),
                None => points.note_inside(&entry.path),
            }
        }
        for ordinal in points.empty() {
            dropped[ordinal] = true;
            *counts.entry(MOUNT_POINT.to_owned()).or_default() += 1;
        }
        Ok((Layer(without(layer.0, &dropped, scratch)?), self.counts(&counts)))
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

    fn counts(&self, counts: &BTreeMap<String, u64>) -> Vec<RuleCount> {
        let own = self.drops.iter().map(|(pattern, _)| format!("drop:{pattern}"));
        let names =
            self.rules.iter().map(|rule| rule.name.to_owned()).chain([MOUNT_POINT.to_owned()]).chain(own);
        let mut counts: Vec<_> = names
            .filter_map(|rule| counts.get(&rule).map(|entries| RuleCount { rule, entries: *entries }))
            .collect();
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

/// Whether the engine may have made it to mount something there.
fn is_empty(entry: &Entry) -> bool {
    match entry.kind {
        Kind::File => entry.size_bytes == 0,
        kind => kind == Kind::Directory,
    }
}

/// Empty files and directories that the engine may have made: ordinal, and whether something lies in it that stays.
#[derive(Default)]
struct MountPoints(BTreeMap<BString, (usize, bool)>);

impl MountPoints {
    /// Notes that something stays at `path`.
    fn note_inside(&mut self, path: &BString) {
        if self.0.is_empty() {
            return;
        }
        for above in path.find_iter("/").map(|slash| path[..slash].as_bstr()) {
            if let Some((_, full)) = self.0.get_mut(above) {
                *full = true;
            }
        }
    }

    /// Those that go; the deepest are judged first, so that what held only mount points is empty too.
    fn empty(mut self) -> Vec<usize> {
        let mut paths: Vec<BString> = self.0.keys().cloned().collect();
        paths.sort_by(|a, b| order::compare(b, a));
        for path in &paths {
            if self.0.get(path).is_some_and(|(_, full)| *full) {
                self.note_inside(path);
            }
        }
        self.0.into_values().filter(|(_, full)| !full).map(|(ordinal, _)| ordinal).collect()
    }
}

/// `layer` without the dropped; a link whose file goes becomes the file, first in order of those that stay.
fn without(layer: Listing, dropped: &[bool], scratch: &dyn Scratch) -> Result<Listing, LayerError> {
    let mut heirs: BTreeMap<usize, usize> = BTreeMap::new(); // Of the names of files that go only.
    groups(&layer, scratch, |names| {
        let left: Vec<usize> = names.iter().copied().filter(|name| !dropped[*name]).collect();
        if let Some(heir) = left.iter().min().filter(|_| dropped[names[0]]) {
            heirs.extend(left.iter().map(|name| (*name, *heir)));
        }
    })?;
    let kept: Vec<bool> = dropped.iter().map(|dropped| !dropped).collect();
    if heirs.is_empty() {
        return Ok(layer.only(&kept));
    }
    let (mut turned, mut first_names) = (Entering::new(scratch), BTreeMap::new());
    for (ordinal, entry) in layer.entries()?.enumerate().filter(|(ordinal, _)| kept[*ordinal]) {
        let mut entry = entry?;
        if let Some(heir) = heirs.get(&ordinal) {
            let first = first_names.entry(*heir).or_insert_with(|| entry.path.clone());
            entry.kind = Kind::File;
            entry = named(&entry, &entry.path, first);
        }
        turned.push(&entry)?;
    }
    turned.listing()
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
