//! SQLite databases and the logs beside them (sqlite.org/fileformat2.html).

use super::{Cause, Finding};
use crate::{
    drift::{Context, view::View},
    layer::matches,
};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Counters of changes in a database's header.
const COUNTERS: [std::ops::Range<usize>; 2] = [24..28, 92..96];
/// Salts and checksums in a log's header, and in the header of each frame.
const LOG_HEADER: usize = 32;
const LOG_SALTS: std::ops::Range<usize> = 12..32;
const FRAME_HEADER: usize = 24;
const FRAME_SALTS: std::ops::Range<usize> = 8..24;

/// A database, or the log of one, in which only times of the builds differ; or the index of a log.
pub(super) fn database(view: &View<'_>) -> Option<Finding> {
    let cause = if matches(b"**rpmdb.sqlite*", view.path()) {
        Cause::RpmdbTime
    } else if matches(b"var/lib/dnf/history.sqlite*", view.path()) {
        Cause::DnfHistory
    } else {
        Cause::SqlitePages
    };
    if view.name().ends_with(b"-shm") {
        let (a, b, _) = view.heads()?;
        let index = |head: &[u8]| head.starts_with(&3_007_000_u32.to_ne_bytes());
        return (index(a) && index(b)).then(|| Finding::certain(cause));
    }
    let (a, b) = view.contents()?;
    let masked = if a.starts_with(MAGIC) { without_counters } else { without_salts };
    let (a, b) = (masked(a)?, masked(b)?);
    (a.len() == b.len() && only_times(&a, &b, view.context)).then(|| Finding::likely(cause))
}

fn without_counters(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = bytes.starts_with(MAGIC).then(|| bytes.to_vec())?;
    for counter in COUNTERS {
        out.get_mut(counter)?.fill(0);
    }
    Some(out)
}

fn without_salts(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = bytes.get(..LOG_HEADER)?;
    let word = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
    if word(0)? & !1 != 0x377f_0682 || word(4)? != 3_007_000 {
        return None;
    }
    let page = usize::try_from(word(8)?).ok().filter(|page| (512..=65_536).contains(page))?;
    let mut out = bytes.to_vec();
    out[LOG_SALTS].fill(0);
    for frame in out[LOG_HEADER..].chunks_mut(FRAME_HEADER + page) {
        frame.get_mut(FRAME_SALTS)?.fill(0);
    }
    Some(out)
}

/// Whether every byte that differs is of an integer that is a time of its own build; whose windows must be known, since any
/// four bytes are a time of some build.
fn only_times(a: &[u8], b: &[u8], context: &Context) -> bool {
    let mut at = 0;
    while let Some(next) = a[at..].iter().zip(&b[at..]).position(|(one, other)| one != other) {
        match time(a, b, at, at + next, context) {
            Some(end) => at = end,
            None => return false,
        }
    }
    context.windows.is_some()
}

/// The end of the integer around byte `at`, and not before `from`, that is a time on both sides.
fn time(a: &[u8], b: &[u8], from: usize, at: usize, context: &Context) -> Option<usize> {
    const UNITS: [i64; 4] = [1, 1000, 1_000_000, 1_000_000_000];
    for width in [4, 6, 8] {
        for start in at.saturating_sub(width - 1).max(from)..=at {
            let (Some(one), Some(other)) = (a.get(start..start + width), b.get(start..start + width)) else {
                continue;
            };
            for big in [true, false] {
                let value = |bytes: &[u8]| -> i64 {
                    let add = |value: i64, byte: &u8| value << 8 | i64::from(*byte);
                    if big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
                };
                let (one, other) = (value(one), value(other));
                let is_time = |unit: &i64| {
                    context.touches(0, (one / unit, one / unit))
                        && context.touches(1, (other / unit, other / unit))
                };
                if UNITS.iter().any(is_time) {
                    return Some(start + width);
                }
            }
        }
    }
    None
}
