//! Databases of package tools that a step left open: put at rest, as closing them would have.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use bstr::{BStr, BString, ByteSlice as _};

use super::{Open, patches::Patches};
use crate::{
    layer::{Entry, Kind, LayerError, Lower, glob, sqlite},
    model::Scratch,
};

/// Moves the write-ahead log of a database into it, drops log and index, and clamps times.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) name: &'static str,
    pub(super) paths: &'static [&'static str],
    /// What in it is the time of the build.
    pub(super) times: Option<sqlite::Times>,
}

const LOG: &[u8] = b"-wal";
const INDEX: &[u8] = b"-shm";

/// What a layer holds of one database.
#[derive(Debug, Default)]
struct Files {
    /// Database, log, index, each with its ordinal.
    database: Option<(usize, Entry)>,
    log: Option<(usize, Entry)>,
    index: Option<(usize, Entry)>,
    /// Whether anything of it is not a plain file of one name.
    odd: bool,
}

/// The databases of one layer.
#[derive(Debug)]
pub(super) struct Databases {
    rules: &'static [Database],
    found: BTreeMap<BString, (usize, Files)>,
}

/// What becomes of one.
pub(super) struct Settled {
    pub(super) rule: &'static str,
    /// Entries that go.
    pub(super) drop: Vec<usize>,
    /// The database as it will be, if it will be another.
    pub(super) changed: Option<Entry>,
}

impl Databases {
    pub(super) fn new(rules: &'static [Database]) -> Self {
        Self { rules, found: BTreeMap::new() }
    }

    /// Takes note of an entry that is of a database.
    pub(super) fn note(&mut self, entry: &Entry, ordinal: usize) {
        if self.rules.is_empty() {
            return;
        }
        for path in [&entry.path, &entry.link].into_iter().filter(|path| !path.is_empty()) {
            let Some((rule, of, suffix)) = self.known(path.as_bstr()) else { continue };
            let files = &mut self.found.entry(of.to_owned()).or_insert_with(|| (rule, Files::default())).1;
            let plain = entry.kind == Kind::File && *path == entry.path && !super::is_privileged(entry);
            let place = match suffix {
                b"" => &mut files.database,
                LOG => &mut files.log,
                _ => &mut files.index,
            };
            if plain {
                *place = Some((ordinal, entry.clone()));
            } else {
                files.odd = true;
            }
        }
    }

    /// The rule of the database that `path` is of, that database's path, and what `path` has after it.
    fn known<'a>(&self, path: &'a BStr) -> Option<(usize, &'a BStr, &'static [u8])> {
        path.contains_str(".sqlite").then_some(())?; // Most are none.
        let suffix = [LOG, INDEX].into_iter().find(|suffix| path.ends_with(suffix)).unwrap_or_default();
        let database = &path[..path.len() - suffix.len()];
        let fits =
            |rule: &Database| rule.paths.iter().any(|pattern| glob::matches(pattern.as_bytes(), database));
        self.rules.iter().position(fits).map(|rule| (rule, database, suffix))
    }

    /// What becomes of them. One whose log may lie below, or that is in any way not as expected, stays as it is.
    ///
    /// # Errors
    /// Those of `content` and the scratch files.
    pub(super) fn settle(
        self,
        lower: &Lower,
        epoch_s: i64,
        content: &mut Open<'_>,
        patches: &mut Patches,
        scratch: &dyn Scratch,
    ) -> Result<Vec<Settled>, LayerError> {
        let logs: BTreeSet<BString> =
            self.found.keys().map(|path| [path.as_slice(), LOG].concat().into()).collect();
        let below = lower.kinds(logs.iter().map(|path| path.as_slice()))?;
        let mut settled = Vec::new();
        for (path, (rule, files)) in self.found {
            let has_log_below = below.contains_key([path.as_bytes(), LOG].concat().as_bstr());
            if files.odd || has_log_below {
                continue;
            }
            let rule = &self.rules[rule];
            if let Some((drop, changed)) = one(rule, &files, epoch_s, content, (patches, scratch))? {
                settled.push(Settled { rule: rule.name, drop, changed });
            }
        }
        Ok(settled)
    }
}

type One = (Vec<usize>, Option<Entry>);

fn one(
    rule: &Database,
    files: &Files,
    epoch_s: i64,
    content: &mut Open<'_>,
    (patches, scratch): (&mut Patches, &dyn Scratch),
) -> Result<Option<One>, LayerError> {
    if files.index.as_ref().is_some_and(|(_, index)| !sqlite::is_index(&index.peek)) {
        return Ok(None);
    }
    let drop: Vec<usize> =
        [&files.log, &files.index].into_iter().flatten().map(|(ordinal, _)| *ordinal).collect();
    let log = files.log.as_ref().map(|(_, log)| log);
    let Some((_, database)) = &files.database else {
        // Nothing was written to the one below.
        let empty = log.is_none_or(|log| log.size_bytes == 0);
        return Ok((empty && !drop.is_empty()).then_some((drop, None)));
    };
    let bytes = content(database).map_err(LayerError::Read)?;
    let mut open_log = || log.map_or_else(|| Ok(Box::new(io::empty()) as Box<dyn Read>), &mut *content);
    let (file, start) = patches.next(scratch)?;
    let Some(rest) = sqlite::rest(bytes, &mut open_log, file, start).map_err(LayerError::Read)? else {
        return Ok(None);
    };
    let clamped = match &rule.times {
        Some(times) => {
            sqlite::clamp(file, (start, rest.size_bytes), times, epoch_s).map_err(LayerError::Sort)?
        }
        None => None,
    };
    let written = rest.frames > 0 || clamped.is_some_and(|count| count > 0);
    let changed = written.then(|| patches.take(database, rest.size_bytes)).transpose()?;
    let changed = changed.filter(|changed| changed.content != database.content);
    Ok((!drop.is_empty() || changed.is_some()).then_some((drop, changed)))
}
