//! Named, versioned rules that take the noise of package tools out of a layer (docs/normalization.md).
//!
//! Something is dropped or changed only if its path *and* its format are the rule's. Owners and devices are never touched,
//! nor, from `default-2` on, whatever has set-id bits or security attributes.

mod database;
mod format;
mod git;
mod mounts;
mod patches;
mod table;
mod tree;

pub use patches::{Patched, Patches};

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use bstr::{BString, ByteSlice as _};

use self::{
    database::Databases,
    mounts::{MountPoints, is_empty, of_secret},
    table::{Attribute, MOUNT_POINT, PROFILES, Rules, Times},
    tree::Tree,
};
use super::{
    Entry, Kind, Layer, LayerError, Lower, glob,
    links::{groups, named, replaced},
    listing::{Entering, Listing},
};
use crate::model::{Scratch, limits::DROPPED_PATHS_MAX};

/// A set of rules under a name that stands in the build definition.
#[derive(Debug, Clone)]
pub struct Profile {
    rules: &'static Rules,
    drops: Vec<(String, String)>,
}

/// How many entries a rule dropped or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCount {
    /// The rule's stable name; `drop:GLOB` for the user's own.
    pub rule: String,
    /// How many entries.
    pub entries: u64,
}

/// Opens the content of an entry of the layer at hand.
pub type Open<'a> = dyn FnMut(&Entry) -> io::Result<Box<dyn Read>> + 'a;

/// What rules may know beside the layer.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// What the layers below hold.
    pub lower: &'a Lower,
    /// The paths the engine mounted something on.
    pub mounts: &'a BTreeSet<BString>,
    /// Directories of caches that links lead into, from anywhere in the image ([`Profile::reached`]).
    pub reached: &'a BTreeSet<BString>,
    /// Times later than this are of the build.
    pub epoch_s: i64,
}

/// A layer after the rules.
#[derive(Debug)]
pub struct Applied {
    /// What is left.
    pub layer: Layer,
    /// The contents that were changed.
    pub patches: Patches,
    /// By rule, in the rules' order.
    pub counts: Vec<RuleCount>,
    /// Paths that the user's own drops took, the first [`DROPPED_PATHS_MAX`] of them.
    pub dropped: Vec<BString>,
}

impl Profile {
    /// The profile called `name`: one of [`Profile::names`].
    ///
    /// # Errors
    /// [`LayerError::Profile`] for any other.
    pub fn named(name: &str) -> Result<Self, LayerError> {
        let known = PROFILES.iter().find(|rules| rules.name == name);
        known
            .map(|rules| Self { rules, drops: Vec::new() })
            .ok_or_else(|| LayerError::Profile(name.to_owned()))
    }

    /// Every profile there is, the newest first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().map(|rules| rules.name)
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

    /// The stable names of its rules, in order, without the user's own.
    pub fn rules(&self) -> Vec<&'static str> {
        let rules = self.rules;
        let mut names: Vec<_> = rules.files.iter().copied().flatten().map(|rule| rule.name).collect();
        names.extend(rules.trees.iter().map(|tree| tree.name));
        names.extend(rules.databases.iter().map(|database| database.name));
        names.extend(rules.times.iter().map(|times| times.name));
        names.extend(rules.attributes.iter().map(|attribute| attribute.name));
        names.extend(rules.mount_points.then_some(MOUNT_POINT));
        names
    }

    /// Whether `layer` has anything of a cache that would go as a whole.
    ///
    /// # Errors
    /// Those of the scratch file.
    pub fn has_cache(&self, layer: &Layer) -> Result<bool, LayerError> {
        let mut records = layer.0.read()?;
        while let Some(record) = records.next()? {
            if self.tree(record.key).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The cache directory that `entry`, if it is a symbolic link from elsewhere, leads into.
    #[must_use]
    pub fn reached(&self, entry: &Entry) -> Option<BString> {
        let link = Some(entry).filter(|entry| entry.kind == Kind::Symlink)?;
        let target = tree::target(&link.path, &link.link);
        let (_, from, _) = self.tree(&target)?;
        let own = self.tree(&link.path).map(|(_, root, _)| root);
        (own != Some(from)).then(|| from.into())
    }

    /// Drops and changes what the rules name and counts it.
    ///
    /// An empty file or directory at a mount of the engine's that `lower` does not have is the engine's; those of secrets
    /// go whatever the profile. If a name that goes held the content of hard links, the next takes it.
    ///
    /// # Errors
    /// Those of `content` and `scratch`.
    pub fn apply(
        &self,
        layer: Layer,
        around: &Around<'_>,
        content: &mut Open<'_>,
        scratch: &dyn Scratch,
    ) -> Result<Applied, LayerError> {
        let judge = self.judge(&layer, around, scratch)?;
        let mut out = Outcome::default();
        let (mut points, mut directories) = (MountPoints::default(), tree::Open::default());
        let mut databases = Databases::new(self.rules.databases);
        let (mut changed, mut patches) = (Entering::new(scratch), Patches::default());
        for (ordinal, entry) in layer.entries()?.enumerate() {
            let mut entry = entry?;
            let fate = judge.fate(&entry, content).map_err(LayerError::Read)?;
            out.gone.push(false);
            directories
                .pass(entry.path.as_bstr(), fate == Fate::Stays, |ordinal, rule| out.goes(ordinal, rule));
            match fate {
                Fate::Goes(rule) => out.goes(ordinal, rule),
                Fate::Dropped(pattern) => out.drops(ordinal, pattern, entry.path),
                Fate::Directory(rule) => directories.push(entry.path, ordinal, rule),
                Fate::Point => points.note(entry.path, ordinal),
                Fate::Stays => {
                    points.note_inside(&entry.path);
                    databases.note(&entry, ordinal);
                    let clamped = if judge.linked.get(ordinal) == Some(&true) {
                        None
                    } else {
                        self.clamped(&entry, around.epoch_s, content)?
                    };
                    let bare = self.without_attributes(&mut entry);
                    if let Some((rule, bytes)) = &clamped {
                        out.count(rule);
                        entry = patches.put(&entry, bytes, scratch)?;
                    }
                    if let Some(rule) = bare {
                        out.count(rule);
                    }
                    if bare.is_some() || clamped.is_some() {
                        changed.push(&entry)?;
                    }
                }
            }
        }
        directories.finish(|ordinal, rule| out.goes(ordinal, rule));
        points.empty().into_iter().for_each(|ordinal| out.goes(ordinal, MOUNT_POINT));
        for settled in databases.settle(around.lower, around.epoch_s, content, &mut patches, scratch)? {
            settled.drop.iter().for_each(|ordinal| out.goes(*ordinal, settled.rule));
            if let Some(database) = settled.changed {
                out.count(settled.rule);
                changed.push(&database)?;
            }
        }
        let counts = self.counts(&out.counts);
        let listing =
            if changed.is_empty() { layer.0 } else { replaced(&layer.0, &changed.listing()?, scratch)? };
        let layer = Layer(without(listing, &out.gone, scratch)?);
        Ok(Applied { layer, patches, counts, dropped: out.dropped })
    }

    fn judge<'a>(
        &'a self,
        layer: &Layer,
        around: &'a Around<'a>,
        scratch: &dyn Scratch,
    ) -> Result<Judge<'a>, LayerError> {
        let known = around.lower.kinds(around.mounts.iter().map(|path| path.as_slice()))?;
        let is_new =
            |path: &&BString| (self.rules.mount_points || of_secret(path)) && !known.contains_key(*path);
        let points = around.mounts.iter().filter(is_new).collect();
        let mut whiteouts = BTreeMap::new();
        let mut records = layer.0.read()?;
        while let Some(record) = records.next()?.filter(|_| !self.rules.trees.is_empty()) {
            if let Some(hidden) = hidden(record.key).filter(|_| self.tree(record.key).is_some()) {
                whiteouts.insert(hidden, BString::from(record.key));
            }
        }
        let below = around.lower.kinds(whiteouts.keys().map(|path| path.as_slice()))?;
        whiteouts.retain(|path, _| !below.contains_key(path));
        let mut linked = Vec::new();
        if !self.rules.times.is_empty() {
            groups(&layer.0, scratch, |names| {
                linked.resize(linked.len().max(names[0] + 1), false);
                linked[names[0]] = true;
            })?;
        }
        Ok(Judge { profile: self, points, around, linked, of_nothing: whiteouts.into_values().collect() })
    }

    /// The cache that `path` is in, that cache's directory, and the path below it.
    fn tree<'a>(&self, path: &'a [u8]) -> Option<(&'static Tree, &'a [u8], &'a [u8])> {
        self.rules.trees.iter().find_map(|tree| tree.below(path).map(|(root, below)| (tree, root, below)))
    }

    /// `entry`'s content with its times clamped, if a rule knows it and they are later.
    fn clamped(
        &self,
        entry: &Entry,
        epoch_s: i64,
        content: &mut Open<'_>,
    ) -> Result<Option<(&'static str, Vec<u8>)>, LayerError> {
        let fits = |rule: &&Times| rule.paths.iter().any(|path| glob::matches(path.as_bytes(), &entry.path));
        let plain = |rule: &&Times| {
            entry.kind == Kind::File && entry.size_bytes <= rule.size_bytes_max && !is_privileged(entry)
        };
        let rule = self.rules.times.iter().find(fits).filter(plain);
        let Some(rule) = rule else { return Ok(None) };
        let mut bytes = Vec::new();
        content(entry).and_then(|mut reader| reader.read_to_end(&mut bytes)).map_err(LayerError::Read)?;
        let clamped = (rule.clamped)(&entry.path, &bytes, epoch_s).filter(|clamped| *clamped != bytes);
        Ok(clamped.map(|clamped| (rule.name, clamped)))
    }

    /// Takes attributes that are the build's from `entry`; the rule, if there were any.
    fn without_attributes(&self, entry: &mut Entry) -> Option<&'static str> {
        let fits = |rule: &&Attribute| {
            glob::matches(rule.paths.as_bytes(), &entry.path)
                && entry.xattrs.keys().any(|name| name.starts_with(rule.begins))
        };
        let rule = self.rules.attributes.iter().find(fits)?;
        entry.xattrs.retain(|name, _| !name.starts_with(rule.begins));
        Some(rule.name)
    }

    fn counts(&self, counts: &BTreeMap<String, u64>) -> Vec<RuleCount> {
        let own = self.drops.iter().map(|(pattern, _)| drop_rule(pattern));
        let secrets = (!self.rules.mount_points).then_some(MOUNT_POINT); // Those go under any profile.
        let names = self.rules().into_iter().chain(secrets).map(str::to_owned).chain(own);
        let mut counts: Vec<_> = names
            .filter_map(|rule| counts.get(&rule).map(|entries| RuleCount { rule, entries: *entries }))
            .collect();
        counts.dedup(); // The same drop given twice.
        counts
    }
}

/// The name under which a drop of the recipe is counted.
#[must_use]
pub fn drop_rule(pattern: &str) -> String {
    format!("drop:{pattern}")
}

/// What becomes of an entry.
#[derive(Debug, PartialEq, Eq)]
enum Fate<'a> {
    Stays,
    /// By a rule of the profile.
    Goes(&'static str),
    /// By a pattern of the recipe.
    Dropped(&'a str),
    /// By a rule, if nothing in it stays.
    Directory(&'static str),
    /// If nothing in it stays that is not a mount point too.
    Point,
}

/// Decides about entries one at a time.
struct Judge<'a> {
    profile: &'a Profile,
    around: &'a Around<'a>,
    /// Where the engine may have made a mount point.
    points: BTreeSet<&'a BString>,
    /// By ordinal, which file has several names.
    linked: Vec<bool>,
    /// Whiteouts in caches that hide nothing, since what they hid has gone from the layers below.
    of_nothing: BTreeSet<BString>,
}

impl<'a> Judge<'a> {
    fn fate(&self, entry: &Entry, content: &mut Open<'_>) -> io::Result<Fate<'a>> {
        let Self { profile, around, .. } = *self;
        let Rules { files, careful, .. } = profile.rules;
        let cache = profile.tree(&entry.path).filter(|(_, root, _)| !around.reached.contains(root.as_bstr()));
        if entry.is_whiteout() {
            let rule = cache.filter(|_| self.of_nothing.contains(&entry.path));
            return Ok(rule.map_or(Fate::Stays, |(tree, ..)| Fate::Goes(tree.name)));
        }
        if is_empty(entry) && self.points.contains(&entry.path) {
            return Ok(Fate::Point);
        }
        let touchable = !(*careful && is_privileged(entry));
        if let Some((tree, _, below)) = cache.filter(|_| touchable)
            && (tree.owns)(below, entry)
        {
            match entry.kind {
                Kind::Directory => return Ok(Fate::Directory(tree.name)),
                Kind::File | Kind::Symlink | Kind::Hardlink => return Ok(Fate::Goes(tree.name)),
                _ => {}
            }
        }
        if entry.content.is_none() {
            return Ok(Fate::Stays);
        }
        for rule in files.iter().copied().flatten().filter(|rule| touchable && rule.fits(&entry.path)) {
            if rule.format.holds(&entry.path, entry, content)? {
                return Ok(Fate::Goes(rule.name));
            }
        }
        let mut drops = profile.drops.iter().map(|(pattern, _)| pattern);
        let drop = drops.find(|pattern| glob::matches(pattern.as_bytes(), &entry.path));
        Ok(drop.map_or(Fate::Stays, |pattern| Fate::Dropped(pattern)))
    }
}

/// Whether an entry has set-id bits, a capability or another attribute that grants something.
fn is_privileged(entry: &Entry) -> bool {
    const SET_ID_BITS: u32 = 0o6000;
    const GRANTING: [&[u8]; 3] = [b"security.", b"system.", b"trusted."];
    entry.mode & SET_ID_BITS != 0
        || entry.xattrs.keys().any(|name| GRANTING.iter().any(|begins| name.starts_with(begins)))
}

/// What the whiteout `path` hides: a path, or for an opaque one the directory.
fn hidden(path: &[u8]) -> Option<BString> {
    let slash = path.rfind_byte(b'/')?;
    let name = path[slash + 1..].strip_prefix(b".wh.")?;
    let opaque = name == b".wh..opq";
    Some(if opaque { path[..slash].into() } else { [&path[..=slash], name].concat().into() })
}

/// What a profile has done so far.
#[derive(Default)]
struct Outcome {
    /// By ordinal.
    gone: Vec<bool>,
    counts: BTreeMap<String, u64>,
    dropped: Vec<BString>,
}

impl Outcome {
    fn goes(&mut self, ordinal: usize, rule: &str) {
        self.gone[ordinal] = true;
        self.count(rule);
    }

    fn drops(&mut self, ordinal: usize, pattern: &str, path: BString) {
        self.goes(ordinal, &drop_rule(pattern));
        if self.dropped.len() < DROPPED_PATHS_MAX {
            self.dropped.push(path);
        }
    }

    fn count(&mut self, rule: &str) {
        *self.counts.entry(rule.to_owned()).or_default() += 1;
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
mod tests;
