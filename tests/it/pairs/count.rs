//! How often each cause is named: by pairs that are made with every run of the tests, and by pairs that real tools made.

use std::collections::{BTreeMap, BTreeSet};

use reprov::drift::Cause;

use super::{crafted, near_misses, real};

/// Causes that no pair of images has twice, and why.
const OTHERWISE: [(&str, &str); 4] = [
    ("expired-repository", "the build fails: there is no second image"),
    ("unexplained", "no cause"),
    ("pyc-stale", "said beside pyc-timestamp, never of a byte"),
    ("input-changed", "needs two transcripts: jobs::live"),
];

/// Causes that were observed in two runs of a real tool when this was designed, but for `expired-repository`.
const OBSERVED: [&str; 38] = [
    "mtime",
    "mode-type-bits",
    "builder-mount-point",
    "whiteout-form",
    "compression",
    "history-consequence",
    "builder-label",
    "package-log",
    "apt-cache",
    "ldconfig-cache",
    "account-backup",
    "shadow-date",
    "password-salt",
    "machine-id",
    "key-material",
    "hostname",
    "random-name",
    "random-token",
    "proc-capture",
    "pyc-timestamp",
    "gzip-timestamp",
    "zip-timestamp",
    "tar-timestamp",
    "ar-timestamp",
    "compile-date",
    "build-path",
    "record-consequence",
    "tool-cache",
    "git-metadata",
    "keystore-timestamp",
    "fontconfig-cache",
    "certificate",
    "rpmdb-time",
    "sqlite-pages",
    "context-mode",
    "cpu-dependent",
    "package-version",
    "package-lists",
];

/// Of these, what is not in a table of `real`: the test that has the pair.
const IN_A_TEST: [(&str, &str); 4] = [
    ("compression", "real::the_same_image_in_other_forms"),
    ("history-consequence", "real::a_small_image_built_twice"),
    ("builder-label", "real::a_small_image_built_twice"),
    ("record-consequence", "near_misses: sha256sum and md5sum of a file that date wrote"),
];

/// The causes of a row's words.
fn causes(said: &'static str) -> BTreeSet<&'static str> {
    let words = said.split("; ").map(|word| word.trim_end_matches('!'));
    words.map(|word| word.rsplit(' ').next().unwrap_or_default()).collect()
}

/// A pair that comes again as NAME.mtime counts once.
#[test]
fn each_cause_is_named_by_two_pairs_that_are_made_here() {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    let alone = crafted::DIFFERENCES.iter().map(|row| causes(row.1));
    let shapes = crafted::SHAPES.iter().filter(|row| !row.0.ends_with(".mtime")).map(|row| causes(row.2));
    let near = near_misses::CASES.iter().map(|row| row.1);
    for cause in alone.chain(shapes).flatten().chain(near) {
        *named.entry(cause).or_default() += 1;
    }
    let counted = |cause: &Cause| (cause.code(), named.get(cause.code()).copied().unwrap_or_default());
    let otherwise = |code: &str| OTHERWISE.iter().any(|(other, _)| *other == code);
    let few: Vec<_> =
        Cause::ALL.iter().map(counted).filter(|(code, count)| *count < 2 && !otherwise(code)).collect();
    assert!(few.is_empty(), "{few:?}");
    let live = include_str!("../jobs/live.rs").matches("\"input-changed\"").count();
    assert!(live >= 2, "input-changed: {live}");
}

#[test]
fn each_observed_cause_has_a_pair_that_real_tools_made() {
    let tables = [real::SMALL, real::STEPS, real::APT, real::MOVED, real::DRIVERS, &real::SQUASHED];
    let real: BTreeSet<_> = tables.into_iter().flatten().map(|row| row.2).collect();
    let known: BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.code()).collect();
    assert!(OBSERVED.iter().all(|code| known.contains(code)));
    let in_a_test = |code: &str| IN_A_TEST.iter().any(|(other, _)| *other == code);
    let none: Vec<_> = OBSERVED.iter().filter(|code| !real.contains(**code) && !in_a_test(code)).collect();
    assert!(none.is_empty(), "{none:?}");
    assert!(IN_A_TEST.iter().all(|(code, _)| OBSERVED.contains(code) && !real.contains(code)));
}
