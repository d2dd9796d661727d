//! `reprov.ledger/v1`: what `ledger check` and `ledger rebuild` came to.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    entry::chain::Fault,
    model::{Digest, path::printable},
};

/// The answer of `ledger`.
#[derive(Debug, Serialize)]
pub struct Ledger {
    /// `reprov.ledger/v1`.
    pub schema: &'static str,
    /// `check` or `rebuild`.
    pub command: &'static str,
    /// Where it is, without a password.
    pub ledger: String,
    /// How many rows it has.
    pub rows: u64,
    /// Its last row.
    pub head: Head,
    /// How many faults it has.
    pub faults_count: u64,
    /// They, by number; not all if they are very many.
    pub faults: Vec<Line>,
    /// Images whose attestations were read.
    pub images: Vec<String>,
}

/// The last row: to be noted elsewhere, for `--head`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Head {
    /// Its number; 0 of an empty ledger.
    pub number: u64,
    /// Its digest.
    pub digest: Digest,
}

/// One fault.
#[derive(Debug, Serialize)]
pub struct Line {
    /// `reprov explain CODE`.
    pub code: &'static str,
    /// The row, if it is about one.
    pub number: Option<u64>,
    /// What exactly.
    pub message: String,
}

impl From<&Fault> for Line {
    fn from(fault: &Fault) -> Self {
        Self { code: fault.code(), number: fault.number(), message: fault.to_string() }
    }
}

impl Ledger {
    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        for fault in &self.faults {
            let _ = writeln!(out, "{}: {}", fault.code, printable(&fault.message));
        }
        if self.faults_count > self.faults.len() as u64 {
            let _ = writeln!(out, "and {} more", self.faults_count - self.faults.len() as u64);
        }
        let rows = if self.rows == 1 { "1 row".to_owned() } else { format!("{} rows", self.rows) };
        let state = match (self.command, self.faults_count) {
            ("rebuild", _) => format!("written from the attestations of {} image(s)", self.images.len()),
            (_, 0) => "the chain is whole".to_owned(),
            (_, 1) => "1 fault".to_owned(),
            (_, count) => format!("{count} faults"),
        };
        let _ = writeln!(out, "{}: {rows}, {state}", printable(&self.ledger));
        let _ = writeln!(out, "head {}:{}", self.head.number, self.head.digest);
        out
    }
}
