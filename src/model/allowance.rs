//! What a build may use of the machine, and what is said when it used more.

use std::fmt;

/// Bytes for people: `17 B`, `3.2 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut whole = bytes;
    let mut unit = 0;
    while whole >= 1024 * 1024 && unit + 1 < UNITS.len() {
        whole /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", whole / 1024, whole % 1024 * 10 / 1024, UNITS[unit])
}

/// What the caller chose (`--max-memory`, `--max-disk`, `--max-inputs` in bytes, `--max-files`); none: the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maxima {
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Disk, of the build's own directory.
    pub disk_bytes: Option<u64>,
    /// Files and directories, of the build's own directory.
    pub files: Option<u64>,
    /// What the gateway takes in.
    pub inputs_bytes: Option<u64>,
}

/// The limits in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Memory of all processes, and of their files in memory.
    pub memory_bytes: u64,
    /// Memory of the machine that stays free.
    pub memory_reserve_bytes: u64,
    /// Size of the build's directory; none: as much as the disk has.
    pub disk_bytes: Option<u64>,
    /// Disk that stays free.
    pub disk_reserve_bytes: u64,
    /// Files and directories of the build's directory; none: as many as the disk has room for.
    pub files: Option<u64>,
    /// Files that the disk can still take.
    pub files_reserve: u64,
    /// Bytes that the gateway takes in.
    pub inputs_bytes: u64,
    /// Processes and threads at once.
    pub processes: u64,
}

impl Allowance {
    /// All of them by name, in the order of [`Limit::ALL`].
    #[must_use]
    pub fn in_force(&self) -> Vec<(&'static str, u64)> {
        let value = |limit: &Limit| match limit {
            Limit::Memory => Some(self.memory_bytes),
            Limit::MemoryReserve => Some(self.memory_reserve_bytes),
            Limit::Disk => self.disk_bytes,
            Limit::DiskReserve => Some(self.disk_reserve_bytes),
            Limit::Files => self.files,
            Limit::FilesReserve => Some(self.files_reserve),
            Limit::Inputs => Some(self.inputs_bytes),
            Limit::Answers => Some(super::limits::EXCHANGES_MAX as u64),
            Limit::Processes => Some(self.processes),
            Limit::Time => None, // The recipe's, not the machine's.
        };
        Limit::ALL.iter().filter_map(|limit| Some((limit.name(), value(limit)?))).collect()
    }
}

/// What can be used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Memory.
    Memory,
    /// Memory of the machine.
    MemoryReserve,
    /// The build's directory.
    Disk,
    /// The disk that it lies on.
    DiskReserve,
    /// Files and directories of the build's directory.
    Files,
    /// Files that the disk can still take.
    FilesReserve,
    /// Bytes of inputs.
    Inputs,
    /// Number of inputs.
    Answers,
    /// Processes and threads.
    Processes,
    /// Seconds.
    Time,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 10] = [
        Self::Memory,
        Self::MemoryReserve,
        Self::Disk,
        Self::DiskReserve,
        Self::Files,
        Self::FilesReserve,
        Self::Inputs,
        Self::Answers,
        Self::Processes,
        Self::Time,
    ];

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::MemoryReserve => "memory-reserve",
            Self::Disk => "disk",
            Self::DiskReserve => "disk-reserve",
            Self::Files => "files",
            Self::FilesReserve => "files-reserve",
            Self::Inputs => "inputs",
            Self::Answers => "answers",
            Self::Processes => "processes",
            Self::Time => "time",
        }
    }

    /// Whether the machine's disk is short of it, which says nothing of the build itself.
    #[must_use]
    pub fn is_of_disk(self) -> bool {
        matches!(self, Self::DiskReserve | Self::FilesReserve)
    }

    /// The flag that raises it; none: it is fixed.
    #[must_use]
    pub fn flag(self) -> Option<&'static str> {
        match self {
            Self::Memory => Some("--max-memory"),
            Self::Disk => Some("--max-disk"),
            Self::Files => Some("--max-files"),
            Self::Inputs => Some("--max-inputs"),
            Self::Time => Some("--timeout"),
            Self::MemoryReserve
            | Self::DiskReserve
            | Self::FilesReserve
            | Self::Answers
            | Self::Processes => None,
        }
    }
}

/// What helps against a full disk.
const ELSEWHERE: &str = "free some, or use a store elsewhere (--store)";

/// A limit that a build passed, and was ended for; bytes, files, processes, answers or seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Which.
    pub limit: Limit,
    /// Its value.
    pub allowed: u64,
    /// What there was.
    pub found: u64,
}

impl fmt::Display for Exceeded {
    /// In a sentence, with the way out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, allowed, found } = *self;
        let (most, used) = (size(allowed), size(found));
        match limit {
            Limit::Memory => write!(f, "it used {used} of memory, and the limit is {most}")?,
            Limit::Disk => write!(f, "it used {used} of disk, and the limit is {most}")?,
            Limit::Files => write!(f, "it had {found} files and directories, and {allowed} are the limit")?,
            Limit::Inputs => write!(f, "it fetched {used}, and the limit is {most}")?,
            Limit::Answers => write!(f, "it fetched {found} answers, and {allowed} are the limit")?,
            Limit::Processes => {
                write!(f, "it ran {found} processes and threads at once, and {allowed} are the limit")?;
            }
            Limit::Time => write!(f, "it was not finished after {allowed} s, the limit")?,
            Limit::MemoryReserve => {
                let out = "give the build less (--max-memory), or the machine more";
                return write!(f, "the machine had {used} of memory left, and {most} must stay; {out}");
            }
            Limit::DiskReserve => {
                return write!(f, "the store's disk had {used} left, and {most} must stay; {ELSEWHERE}");
            }
            Limit::FilesReserve => {
                return write!(
                    f,
                    "the store's disk could take {found} more files, and {allowed} must stay; {ELSEWHERE}"
                );
            }
        }
        match limit.flag() {
            Some(flag) if limit == Limit::Time => {
                write!(f, "; `timeout` in the recipe or {flag} of build raises it")
            }
            Some(flag) => write!(f, "; {flag} raises it"),
            None => write!(f, "; it is fixed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size(17), "17 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 20), "3.0 MiB");
        assert_eq!(size(5 << 40), "5.0 TiB");
    }

    #[test]
    fn says_limit_value_and_way_out() {
        let said = |limit| Exceeded { limit, allowed: 64 << 20, found: 70 << 20 }.to_string();
        assert_eq!(
            said(Limit::Memory),
            "it used 70.0 MiB of memory, and the limit is 64.0 MiB; --max-memory raises it"
        );
        assert_eq!(
            said(Limit::DiskReserve),
            "the store's disk had 70.0 MiB left, and 64.0 MiB must stay; free some, or use a store elsewhere (--store)"
        );
        for limit in Limit::ALL {
            assert!(limit.flag().is_none_or(|flag| said(limit).contains(flag)), "{}", limit.name());
        }
    }
}
