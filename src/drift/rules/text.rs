//! Texts that differ only in times, names of containers, random tokens or the order of lines.

use super::{Cause, Finding, checksum};
use crate::drift::{
    clock, token,
    view::{View, lines},
};

/// Only dates, times and epochs, each possible in its own build.
pub(super) fn clock(view: &View<'_>) -> Option<Finding> {
    let (a, b) = masked(view)?;
    (a == b).then(|| Finding::certain(Cause::ClockInText))
}

/// Only one token of twelve hex digits on each side (and times), the same wherever it stands.
pub(super) fn hostname(view: &View<'_>) -> Option<Finding> {
    let (a, b) = masked(view)?;
    let pairs = token::differing(&a, &b)?;
    let first = *pairs.first()?;
    let one_name = pairs.iter().all(|pair| *pair == first)
        && token::kind(first.0, first.1) == Some(token::Kind::Container);
    one_name.then(|| Finding::likely(Cause::Hostname))
}

/// Only tokens that look random (and times): UUIDs, hex, base64 of equal length.
pub(super) fn random_token(view: &View<'_>) -> Option<Finding> {
    if checksum::is_checksums(view) {
        return None; // What it is of has changed.
    }
    let (a, b) = masked(view)?;
    let pairs = token::differing(&a, &b)?;
    let random = !pairs.is_empty() && pairs.iter().all(|(a, b)| token::kind(a, b).is_some());
    random.then(|| Finding::likely(Cause::RandomToken))
}

/// The same lines in another order; not in programs, where order is meaning.
pub(super) fn line_order(view: &View<'_>) -> Option<Finding> {
    let (a, b) = view.texts()?;
    let program = a.starts_with(b"#!") || view.change.entry().is_some_and(|entry| entry.mode & 0o111 != 0);
    (!program && sorted_lines(a) == sorted_lines(b)).then(|| Finding::likely(Cause::LineOrder))
}

fn sorted_lines(text: &[u8]) -> Vec<&[u8]> {
    let mut sorted: Vec<&[u8]> = lines(text).collect();
    sorted.sort_unstable();
    sorted
}

fn masked(view: &View<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (a, b) = view.texts()?;
    clock::mask_both(a, b, view.context)
}
