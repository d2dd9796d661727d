//! The limits of a build in an answer: what was in force, and what was passed.

use serde::Serialize;

use crate::model::{Allowance, Exceeded, allowance::size, limits::LOG_SIZE_BYTES_MAX, names};

/// The limits in force.
#[derive(Debug, Serialize)]
pub struct Limits {
    /// Who saw to them.
    pub enforced_by: &'static str,
    /// Memory of all processes and of their files in memory.
    pub memory_bytes: u64,
    /// Memory of the machine that stays free.
    pub memory_reserve_bytes: u64,
    /// The build's directory; none: all but the reserve.
    pub disk_bytes: Option<u64>,
    /// Disk that stays free.
    pub disk_reserve_bytes: u64,
    /// Files and directories of the build's directory; none: all but the reserve.
    pub files: Option<u64>,
    /// Files that the disk can still take.
    pub files_reserve: u64,
    /// What the gateway takes in from repositories; none: nothing, it is a replay.
    pub inputs_bytes: Option<u64>,
    /// Processes and threads at once.
    pub processes: u64,
    /// The log; what comes after is not kept.
    pub log_bytes: u64,
    /// The longest run.
    pub timeout_seconds: u64,
    /// The limit that the build was ended for.
    pub hit: Option<Hit>,
}

/// A limit that was passed.
#[derive(Debug, Serialize)]
pub struct Hit {
    /// Its name.
    pub limit: &'static str,
    /// Its value: bytes, files, processes, answers or seconds.
    pub allowed: u64,
    /// What there was.
    pub found: u64,
    /// The flag that raises it; none: it is fixed.
    pub flag: Option<&'static str>,
}

impl Limits {
    /// The limits of a run; `fetches` if its gateway records.
    #[must_use]
    pub fn new(allowance: &Allowance, timeout_seconds: u64, fetches: bool, hit: Option<&Exceeded>) -> Self {
        Self {
            enforced_by: names::ENFORCED_BY,
            memory_bytes: allowance.memory_bytes,
            memory_reserve_bytes: allowance.memory_reserve_bytes,
            disk_bytes: allowance.disk_bytes,
            disk_reserve_bytes: allowance.disk_reserve_bytes,
            files: allowance.files,
            files_reserve: allowance.files_reserve,
            inputs_bytes: fetches.then_some(allowance.inputs_bytes),
            processes: allowance.processes,
            log_bytes: LOG_SIZE_BYTES_MAX,
            timeout_seconds,
            hit: hit.map(|exceeded| Hit {
                limit: exceeded.limit.name(),
                allowed: exceeded.allowed,
                found: exceeded.found,
                flag: exceeded.limit.flag(),
            }),
        }
    }

    /// One line for people.
    #[must_use]
    pub fn text(&self) -> String {
        let disk = self.disk_bytes.map_or_else(
            || format!("all disk but {}", size(self.disk_reserve_bytes)),
            |bytes| format!("{} of disk", size(bytes)),
        );
        let files = self.files.map(|files| format!(", {files} files"));
        let inputs = self.inputs_bytes.map(|bytes| format!(", {} of inputs", size(bytes)));
        format!(
            "{} of memory, {disk}{}{}, {} processes (enforced by {})",
            size(self.memory_bytes),
            files.unwrap_or_default(),
            inputs.unwrap_or_default(),
            self.processes,
            self.enforced_by
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::limits;
    use crate::model::Limit;

    #[test]
    fn limits_for_people() {
        assert_eq!(
            limits(None).text(),
            "1.0 GiB of memory, all disk but 4 B, 5 B of inputs, 6 processes (enforced by watch)"
        );
        assert_eq!(
            limits(Some(Limit::Disk)).text(),
            "1.0 GiB of memory, 3 B of disk, 10 files, 6 processes (enforced by watch)"
        );
    }
}
