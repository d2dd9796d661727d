//! `reprov.store/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use super::size;
use crate::model::path::printable;

/// The answer of `store`.
#[derive(Debug, Serialize)]
pub struct Store {
    /// `reprov.store/v1`.
    pub schema: &'static str,
    /// `du`, `gc`, `prune` or `rm`.
    pub command: &'static str,
    /// Where the store is.
    pub store: String,
    /// Whether nothing was removed: all numbers say what would be.
    pub dry_run: bool,
    /// Other processes that have the store open.
    pub others: usize,
    /// Builds that run.
    pub builds: usize,
    /// What lies there, by kind.
    pub kinds: Vec<Kind>,
    /// Bytes there are now.
    pub bytes: u64,
    /// Bytes that were removed.
    pub freed_bytes: u64,
}

/// What lies there of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Kind {
    /// `blobs`, `bases`, `git`, `builds`, `tmp`, `shim` or `logs`.
    pub kind: &'static str,
    /// How many there are now.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many were removed.
    pub freed_count: usize,
    /// Their bytes.
    pub freed_bytes: u64,
    /// How many would have been removed if no other process might need them.
    pub in_use_count: usize,
}

impl Store {
    /// The answer of `command` about `kinds`.
    #[must_use]
    pub fn new(command: &'static str, store: String, dry_run: bool, kinds: Vec<Kind>) -> Self {
        Self {
            schema: "reprov.store/v1",
            command,
            store,
            dry_run,
            others: 0,
            builds: 0,
            bytes: kinds.iter().map(|kind| kind.bytes).sum(),
            freed_bytes: kinds.iter().map(|kind| kind.freed_bytes).sum(),
            kinds,
        }
    }

    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        if self.command == "du" {
            for kind in &self.kinds {
                let _ = writeln!(out, "{:<10} {:>6}  {:>10}", kind.kind, kind.count, size(kind.bytes));
            }
            let _ = writeln!(
                out,
                "{:<10} {:>6}  {:>10}  {}",
                "total",
                "",
                size(self.bytes),
                printable(&self.store)
            );
            return out;
        }
        let word = if self.dry_run { "would free" } else { "freed" };
        for kind in self.kinds.iter().filter(|kind| kind.freed_count > 0) {
            let _ = writeln!(
                out,
                "{word} {:<6} {:>6}  {:>10}",
                kind.kind,
                kind.freed_count,
                size(kind.freed_bytes)
            );
        }
        for kind in self.kinds.iter().filter(|kind| kind.in_use_count > 0) {
            let _ = writeln!(out, "kept {:<6} {:>6}  may be in use", kind.kind, kind.in_use_count);
        }
        let _ = writeln!(out, "{word} {}, {} left", size(self.freed_bytes), size(self.bytes));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(kind: &'static str, bytes: u64, freed_bytes: u64, in_use_count: usize) -> Kind {
        Kind { kind, count: 2, bytes, freed_count: usize::from(freed_bytes > 0), freed_bytes, in_use_count }
    }

    #[test]
    fn texts() {
        let kinds = || vec![kind("blobs", 3 << 20, 2048, 0), kind("bases", 1024, 0, 1)];
        let text = |command, dry_run| Store::new(command, "/cache".into(), dry_run, kinds()).text();
        insta::assert_snapshot!(text("du", false), @r"
        blobs           2     3.0 MiB
        bases           2     1.0 KiB
        total                 3.0 MiB  /cache
        ");
        insta::assert_snapshot!(text("gc", true), @r"
        would free blobs       1     2.0 KiB
        kept bases       1  may be in use
        would free 2.0 KiB, 3.0 MiB left
        ");
    }
}
