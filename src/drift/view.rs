//! What a rule may look at.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use bstr::{BStr, BString, ByteSlice as _};
use serde::Serialize;

use super::{
    accounts::Accounts,
    archive::Budget,
    packages::Packages,
    rules::{is_free_record, is_renewed_key},
    token,
};
use crate::{
    diff::{Change, ChangeKind},
    model::Digest,
};

/// An instruction of the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstructionRef {
    /// Its first line, from 1; none where only the image's history tells of it.
    pub line: Option<u32>,
    /// As written, or as the history has it.
    pub text: String,
}

/// What is known of the two builds.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// By pair of layers, the instruction that made it, if known.
    pub instructions: Vec<Option<InstructionRef>>,
    /// Start and end of each build, seconds since 1970; without, any time from 2000 to 2100 may be a build's.
    pub windows: Option<[(i64, i64); 2]>,
    /// By how many seconds the clock of the second build's steps was another than the one of its window.
    pub shifted_s: i64,
    /// The time both builds were told to use.
    pub epoch_s: Option<i64>,
    /// What only one of them fetched.
    pub inputs: InputBodies,
}

/// Bodies that only one of two builds fetched, with a URL of each: the first's, the second's.
pub type InputBodies = [BTreeMap<Digest, String>; 2];

const ANY_TIME: (i64, i64) = (946_684_800, 4_102_444_800);

impl Context {
    /// Whether the span from `start` to `end` touches the window of build `side` (0 or 1), or the told time.
    pub(super) fn touches(&self, side: usize, (start, end): (i64, i64)) -> bool {
        let (from, to) = self.windows.map_or(ANY_TIME, |windows| windows[side]);
        let at_epoch = self.epoch_s.is_some_and(|epoch| (start..=end).contains(&epoch));
        let in_window = |by_s: i64| start <= to.saturating_add(by_s) && end >= from.saturating_add(by_s);
        at_epoch || in_window(0) || (side == 1 && in_window(self.shifted_s))
    }

    pub(super) fn instruction(&self, layer: usize) -> Option<&InstructionRef> {
        self.instructions.get(layer)?.as_ref()
    }
}

/// Both contents of a file that differs.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);

/// One change, its neighbours in the layer, and what is known of the builds.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) change: &'a Change,
    /// Both its contents, read back, if they are held.
    pub(super) held: Option<Pair<'a>>,
    pub(super) siblings: &'a Siblings<'a>,
    pub(super) context: &'a Context,
    /// How many archives and compressed files it is in.
    pub(super) depth: u8,
    pub(super) budget: &'a Budget,
}

impl<'a> View<'a> {
    /// Both contents, if that is what differs and nothing does that a rule on contents must not speak for.
    pub(super) fn contents(&self) -> Option<Pair<'a>> {
        self.held.filter(|_| self.content_alone())
    }

    /// Whether the content differs, and besides only what follows from that or no file system keeps.
    pub(super) fn content_alone(&self) -> bool {
        let harmless = |name: &str| {
            matches!(name, "content" | "size" | "mtime" | "mode-type" | "uname" | "gname")
                || is_free_record(name)
        };
        self.change.kind == ChangeKind::Content
            && self.change.fields.iter().all(|field| harmless(&field.name))
    }

    /// Both contents as text: without NUL.
    pub(super) fn texts(&self) -> Option<Pair<'a>> {
        self.contents().filter(|(a, b)| !a.contains(&0) && !b.contains(&0))
    }

    /// The first bytes of both contents and whether they are of one size, captured or not.
    pub(super) fn heads(&self) -> Option<(&'a [u8], &'a [u8], bool)> {
        let (a, b) = (self.change.a.as_ref()?, self.change.b.as_ref()?);
        self.content_alone().then(|| (&a.peek[..], &b.peek[..], a.size_bytes == b.size_bytes))
    }

    /// Whether contents that were not held are of one size and differ, and only within `range`.
    pub(super) fn differs_only_in(&self, range: std::ops::Range<u64>) -> bool {
        let Some(delta) = self.change.delta.as_ref().filter(|delta| delta.complete && !delta.runs.is_empty())
        else {
            return false;
        };
        let inside = |run: &crate::diff::Run| {
            let differing = run.differing();
            run.offset + differing.start as u64 >= range.start
                && run.offset + differing.end as u64 <= range.end
        };
        self.heads().is_some_and(|(_, _, same_size)| same_size) && delta.runs.iter().all(inside)
    }

    pub(super) fn path(&self) -> &'a [u8] {
        &self.change.path
    }

    pub(super) fn name(&self) -> &'a [u8] {
        self.change.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// For a path only one image has: those that the other has under other random names.
    pub(super) fn partners(&self) -> Option<&'a [&'a Change]> {
        let masked = token::mask_random_name(self.path())?;
        let other = match self.change.kind {
            ChangeKind::OnlyInA => &self.siblings.only_b,
            ChangeKind::OnlyInB => &self.siblings.only_a,
            _ => return None,
        };
        other.get(&masked).map(Vec::as_slice)
    }
}

/// The lines of a text, with whatever carriage returns they end in: one less is a difference.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_str("\n")
}

/// The changes of one layer, by what rules ask for.
#[derive(Debug, Default)]
pub(super) struct Siblings<'a> {
    pub(super) paths: BTreeSet<&'a BStr>,
    changes: BTreeMap<&'a BStr, &'a Change>,
    contents: BTreeMap<&'a BStr, &'a Change>,
    all_only_a: BTreeSet<&'a BStr>,
    all_only_b: BTreeSet<&'a BStr>,
    only_a: BTreeMap<BString, Vec<&'a Change>>,
    only_b: BTreeMap<BString, Vec<&'a Change>>,
    /// Packages of other versions.
    pub(super) packages: Packages,
    /// Numbers of users and groups; nothing inside an archive.
    pub(super) accounts: Option<&'a Accounts>,
    /// Whether a private key was made anew; known once somebody asked.
    new_key: OnceLock<bool>,
}

impl<'a> Siblings<'a> {
    pub(super) fn new(changes: &'a [Change], accounts: Option<&'a Accounts>) -> Self {
        let mut siblings = Self { accounts, ..Self::default() };
        for change in changes {
            siblings.paths.insert(change.path.as_bstr());
            siblings.changes.insert(change.path.as_bstr(), change);
            if change.kind == ChangeKind::Content {
                siblings.contents.insert(change.path.as_bstr(), change);
            }
            let masked = || token::mask_random_name(&change.path);
            let (side, all, masked) = match change.kind {
                ChangeKind::OnlyInA => (&mut siblings.only_a, &mut siblings.all_only_a, masked()),
                ChangeKind::OnlyInB => (&mut siblings.only_b, &mut siblings.all_only_b, masked()),
                _ => continue,
            };
            all.insert(change.path.as_bstr());
            if let Some(masked) = masked {
                side.entry(masked).or_default().push(change);
            }
        }
        siblings.packages = Packages::of(changes);
        siblings
    }

    /// The first path below `prefix`, which ends in a slash, that differs.
    pub(super) fn first_below(&self, prefix: &[u8]) -> Option<&'a BStr> {
        let from = (std::ops::Bound::Included(prefix.as_bstr()), std::ops::Bound::Unbounded);
        self.paths.range::<BStr, _>(from).next().filter(|path| path.starts_with(prefix)).copied()
    }

    /// Whether, below `directory`, a path that passes `like` is in the other image only than one of `kind`.
    pub(super) fn only_other(
        &self,
        kind: ChangeKind,
        directory: &[u8],
        like: impl Fn(&[u8]) -> bool,
    ) -> bool {
        let other = match kind {
            ChangeKind::OnlyInA => &self.all_only_b,
            _ => &self.all_only_a,
        };
        let prefix = BString::from([directory, b"/"].concat());
        let from = (std::ops::Bound::Included(prefix.as_bstr()), std::ops::Bound::Unbounded);
        other.range::<BStr, _>(from).take_while(|path| path.starts_with(&prefix)).any(|path| like(path))
    }

    /// The changes of files in `directory` itself, which ends in a slash, whose content differs.
    pub(super) fn contents_in(&self, directory: &'a [u8]) -> impl Iterator<Item = &'a Change> {
        let from = (std::ops::Bound::Included(directory.as_bstr()), std::ops::Bound::Unbounded);
        let below =
            self.contents.range::<BStr, _>(from).take_while(move |(path, _)| path.starts_with(directory));
        below.map(|(_, change)| *change).filter(move |change| !change.path[directory.len()..].contains(&b'/'))
    }

    /// Every change.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Change> {
        self.changes.values().copied()
    }

    /// The change at `path`, whatever differs of it.
    pub(super) fn change(&self, path: &[u8]) -> Option<&'a Change> {
        self.changes.get(path.as_bstr()).copied()
    }

    /// Whether a file is a private key that was made anew. All contents are read for that, once.
    pub(super) fn has_new_key(&self) -> bool {
        let contents = || self.contents.values().filter_map(|change| change.read());
        *self.new_key.get_or_init(|| contents().any(|(a, b)| is_renewed_key(&a, &b)))
    }

    /// The change of the file at `path`, if its content differs.
    pub(super) fn content(&self, path: &[u8]) -> Option<&'a Change> {
        self.contents.get(path.as_bstr()).copied()
    }
}
