//! Files as real tools made them twice, whose causes are named; with one more byte changed, none is.

use std::collections::{BTreeMap, BTreeSet};

use super::{Pairs, judge, said};

/// Case of `fixtures/pairs/near_misses`, and its cause. A consequence of what lies beside it is named all the same.
pub(super) const CASES: &[(&str, &str)] = &[
    ("pyc", "pyc-timestamp"),
    ("gzipped", "gzip-timestamp"),
    ("zipped", "zip-timestamp"),
    ("tar", "tar-timestamp"),
    ("tar-gzip", "tar-timestamp"),
    ("tar-xz", "tar-timestamp"),
    ("ar", "ar-timestamp"),
    ("elf-date", "compile-date"),
    ("elf-path", "build-path"),
    ("xz", "cpu-dependent"),
    ("shadow-date", "shadow-date"),
    ("shadow-salt", "password-salt"),
    ("private-key", "key-material"),
    ("certificate", "certificate"),
    ("host-key", "key-material"),
    ("machine-id", "machine-id"),
    ("git-index", "git-metadata"),
    ("date", "clock-in-text"),
    ("date-in-json", "clock-in-text"),
    ("random-uuid", "random-token"),
    ("random-hex", "random-token"),
    ("line-order", "line-order"),
    ("dpkg-log", "package-log"),
    ("apt-cache", "apt-cache"),
    ("ldconfig-cache", "ldconfig-cache"),
    ("keystore", "keystore-timestamp"),
    ("database", "sqlite-pages"),
    ("account-backup", "account-backup"),
    ("account-backup-of-before", "account-backup"),
    ("account-ids", "account-ids"),
    ("build-id", "build-id"),
    ("build-id-of-library", "build-id"),
    ("checksums", "record-consequence"),
    ("checksums-of-md5", "record-consequence"),
    ("pyc-refs", "pyc-refs"),
    ("pyc-refs-of-class", "pyc-refs"),
    ("proc-status", "proc-capture"),
    ("proc-stat", "proc-capture"),
    ("cpio", "cpio-timestamp"),
    ("fontconfig-cache", "fontconfig-cache"),
    ("dnf-history", "dnf-history"),
    ("package-version", "package-version"),
    ("package-version-before", "package-version"),
    ("package-version-of-libraries", "package-version"),
    ("package-version-in-a-lock", "package-version"),
    ("package-log-of-versions", "package-log"),
    ("hash-order-in-json", "random-token"),
    ("hash-order-in-lines", "random-token"),
    ("password-salt", "password-salt"),
    ("pyc-optimised", "pyc-timestamp"),
    ("gzipped-under-another-name", "gzip-timestamp"),
    ("zipped-program", "zip-timestamp"),
    ("ar-of-package", "ar-timestamp"),
    ("cpio-gzip", "cpio-timestamp"),
    ("elf-date-of-library", "compile-date"),
    ("pyc-path", "build-path"),
    ("xz-of-tar", "cpu-dependent"),
    ("shadow-date-of-new-user", "shadow-date"),
    ("certificate-request", "certificate"),
    ("machine-id-of-dbus", "machine-id"),
    ("git-log", "git-metadata"),
    ("line-order-of-set", "line-order"),
    ("apt-cache-of-sources", "apt-cache"),
    ("ldconfig-cache-of-more", "ldconfig-cache"),
    ("keystore-of-others", "keystore-timestamp"),
    ("database-of-text", "sqlite-pages"),
    ("dnf-history-in-log", "dnf-history"),
    ("rpm-install-time", "rpmdb-time"),
    ("rpm-install-times", "rpmdb-time"),
    ("fontconfig-cache-of-before", "fontconfig-cache"),
    ("account-ids-of-groups", "account-ids"),
    ("compressed-at-another-level", "compressed-member"),
    ("zipped-at-another-level", "compressed-member"),
    ("hostname", "hostname"),
    ("hostname-in-a-text", "hostname"),
    ("tool-cache-of-npm", "tool-cache"),
    ("tool-cache-of-pip", "tool-cache"),
];
/// How many near misses there are at least.
const MISSES_MIN: usize = 130;

#[test]
fn the_right_signature_and_one_more_byte_is_unexplained() {
    let (pairs, paths) = made();
    let cases: BTreeSet<&str> = CASES.iter().map(|case| case.0).collect();
    let of = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    assert_eq!(
        cases,
        paths.keys().map(|name| of(name)).collect::<BTreeSet<_>>().iter().map(String::as_str).collect()
    );
    assert!(paths.len() - CASES.len() >= MISSES_MIN, "{} near misses", paths.len() - CASES.len());
    let rows: Vec<_> = paths.iter().collect();
    judge(&rows, |(name, path)| {
        let case = of(name);
        let expected = if case == **name {
            CASES.iter().find(|row| row.0 == case).map_or("", |row| row.1)
        } else {
            "unexplained"
        };
        let answer = pairs.diff(name).exits(1).json();
        let said = said(&answer);
        let drift =
            answer["drifts"].as_array().into_iter().flatten().find(|drift| drift["path"] == path.as_str());
        let cause = drift.and_then(|drift| drift["cause"].as_str()).unwrap_or("nothing");
        let instruction = drift.map_or("", |drift| drift["instruction"]["text"].as_str().unwrap_or_default());
        let right = cause == expected && instruction == "RUN make files";
        (!right)
            .then(|| format!("{name}: {path} is {cause}, not {expected}, of `{instruction}`: {said:?}"))
            .into_iter()
            .collect()
    });
}

/// The pairs, and the path that is judged in each.
fn made() -> (Pairs, BTreeMap<String, String>) {
    let mut pairs = Pairs::made_by("near_misses");
    let paths: BTreeMap<_, _> = pairs
        .names
        .iter()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, path)| (name.to_owned(), path.to_owned()))
        .collect();
    pairs.names = paths.keys().cloned().collect();
    (pairs, paths)
}
