//! Processes of this machine, as /proc tells.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// A process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    parent: i32,
    /// Its command line, words joined by spaces.
    pub(crate) words: String,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        // The name before it may hold anything, parentheses included.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some(Self { pid, parent, words: String::from_utf8_lossy(&words).replace('\0', " ") })
    }

    fn all() -> Vec<Self> {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|entry| Self::read(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// What `pid` started, and what that started.
    pub(crate) fn below(pid: i32) -> Vec<Self> {
        let all = Self::all();
        let (mut found, mut parents) = (Vec::new(), BTreeSet::from([pid]));
        loop {
            let new = |process: &&Self| parents.contains(&process.parent) && !parents.contains(&process.pid);
            let next: Vec<Self> = all.iter().filter(new).cloned().collect();
            if next.is_empty() {
                return found;
            }
            parents.extend(next.iter().map(|process| process.pid));
            found.extend(next);
        }
    }

    /// What runs with `path` in its words, its program, its directories or its mounts.
    pub(crate) fn naming(path: &str) -> Vec<String> {
        let names = |process: &Self| {
            let at = PathBuf::from(format!("/proc/{}", process.pid));
            let link =
                |name: &str| fs::read_link(at.join(name)).is_ok_and(|to| to.to_string_lossy().contains(path));
            let mounted = || fs::read_to_string(at.join("mountinfo")).is_ok_and(|text| text.contains(path));
            process.words.contains(path) || ["exe", "cwd", "root"].into_iter().any(link) || mounted()
        };
        let shown = |process: &Self| format!("/proc/{}: {}", process.pid, process.words);
        Self::all().iter().filter(|process| names(process)).map(shown).collect()
    }
}
