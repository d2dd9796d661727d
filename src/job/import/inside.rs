//! Looking into a root file system as a program in it would.

use std::collections::HashMap;

use bstr::{BStr, ByteSlice as _};

use crate::layer::{Entry, Kind};

/// The kernel's bound on links in one path.
const LINKS_MAX: usize = 40;

/// Entries by path.
#[derive(Debug)]
pub(super) struct Inside<'a> {
    entries: &'a [Entry],
    by_path: HashMap<&'a BStr, &'a Entry>,
}

impl<'a> Inside<'a> {
    pub(super) fn new(entries: &'a [Entry]) -> Self {
        Self { entries, by_path: entries.iter().map(|entry| (entry.path.as_bstr(), entry)).collect() }
    }

    /// What is at `path`, links followed; `..` and absolute links stay inside.
    pub(super) fn find(&self, path: &[u8]) -> Option<&'a Entry> {
        let mut todo: Vec<&[u8]> = path.rsplit(|byte| *byte == b'/').collect();
        let (mut at, mut links) = (Vec::new(), 0);
        while let Some(part) = todo.pop() {
            let parent = at.len();
            match part {
                b"" | b"." => continue,
                b".." => {
                    at.truncate(at.rfind_byte(b'/').unwrap_or_default());
                    continue;
                }
                name => {
                    at.extend_from_slice(if at.is_empty() { b"" } else { b"/" });
                    at.extend_from_slice(name);
                }
            }
            let entry = *self.by_path.get(at.as_bstr())?;
            if entry.kind == Kind::Symlink {
                links += 1;
                if links > LINKS_MAX {
                    return None;
                }
                at.truncate(if entry.link.starts_with(b"/") { 0 } else { parent });
                todo.extend(entry.link.rsplit(|byte| *byte == b'/'));
            }
        }
        self.file(self.by_path.get(at.as_bstr())?)
    }

    /// The file that a hard link shares.
    fn file(&self, entry: &'a Entry) -> Option<&'a Entry> {
        let next = |entry: &&'a Entry| match entry.kind {
            Kind::Hardlink => self.by_path.get(entry.link.as_bstr()).copied(),
            _ => None,
        };
        std::iter::successors(Some(entry), next).take(LINKS_MAX).find(|entry| entry.kind != Kind::Hardlink)
    }

    /// Files right in the directory `path`, by name.
    pub(super) fn files_in(&self, path: &str) -> Vec<&'a Entry> {
        let in_it = |entry: &&Entry| {
            let name = entry.path.strip_prefix(path.as_bytes()).and_then(|rest| rest.strip_prefix(b"/"));
            entry.kind == Kind::File && name.is_some_and(|name| !name.contains(&b'/'))
        };
        let mut files: Vec<_> = self.entries.iter().filter(in_it).collect();
        files.sort_unstable_by_key(|entry| &entry.path);
        files
    }

    /// The architecture that its programs are for, as OCI (Go) spells it: that of a well-known one, else of the first.
    pub(super) fn architecture(&self) -> Option<&'static str> {
        let known = [&b"bin/sh"[..], b"usr/bin/sh", b"bin/busybox", b"usr/bin/env", b"sbin/init"];
        let known = known.iter().find_map(|path| self.find(path).and_then(architecture));
        known.or_else(|| {
            let programs = self.entries.iter().filter(|entry| entry.mode & 0o111 != 0);
            programs
                .filter_map(|entry| Some((&entry.path, architecture(entry)?)))
                .min()
                .map(|(_, found)| found)
        })
    }
}

/// The architecture of an ELF file (its `e_machine`, class and byte order).
fn architecture(entry: &Entry) -> Option<&'static str> {
    let head = entry.peek.get(..20)?.strip_prefix(b"\x7fELF")?;
    let (class, order) = (head[0], head[1]);
    let machine = [head[14], head[15]];
    let machine = if order == 1 { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
    match (machine, class, order) {
        (62, 2, 1) => Some("amd64"),
        (3, 1, 1) => Some("386"),
        (183, 2, 1) => Some("arm64"),
        (40, 1, 1) => Some("arm"),
        (243, 2, 1) => Some("riscv64"),
        (21, 2, 1) => Some("ppc64le"),
        (21, 2, 2) => Some("ppc64"),
        (22, 2, 2) => Some("s390x"),
        (258, 2, 1) => Some("loong64"),
        (8, 2, 1) => Some("mips64le"),
        (8, 1, 1) => Some("mipsle"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::fake::FakeLayer;

    fn elf(class: u8, order: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut head = b"\x7fELF".to_vec();
        head.extend([class, order]);
        head.resize(18, 0);
        head.extend(machine);
        head
    }

    #[test]
    fn paths_lead_where_they_lead_inside() {
        let entries = FakeLayer::default()
            .dir("usr")
            .dir("usr/bin")
            .file("usr/bin/dash", b"x")
            .hardlink("usr/bin/ash", "usr/bin/dash")
            .symlink("bin", "usr/bin")
            .symlink("usr/bin/sh", "ash")
            .symlink("usr/bin/out", "../../../../usr/./bin//dash")
            .symlink("usr/bin/absolute", "/bin/sh")
            .symlink("loop", "loop")
            .symlink("gone", "/nowhere")
            .index();
        let inside = Inside::new(&entries);
        for path in ["bin/sh", "usr/bin/ash", "bin/out", "bin/absolute", "bin/../bin/dash"] {
            let found = inside.find(path.as_bytes()).map(|entry| entry.path.to_string());
            assert_eq!(found.as_deref(), Some("usr/bin/dash"), "{path}");
        }
        assert_eq!((inside.find(b"loop"), inside.find(b"gone"), inside.find(b"no")), (None, None, None));
        assert_eq!(inside.find(b"bin").map(|entry| entry.kind), Some(Kind::Directory));
    }

    #[test]
    fn programs_tell_the_architecture() {
        let of = |class, order, machine| {
            let layer = FakeLayer::default().dir("bin").file("bin/sh", &elf(class, order, machine));
            Inside::new(&layer.index()).architecture()
        };
        assert_eq!(of(2, 1, [62, 0]), Some("amd64"));
        assert_eq!(of(2, 1, [183, 0]), Some("arm64"));
        assert_eq!(of(1, 1, [40, 0]), Some("arm"));
        assert_eq!(of(2, 2, [0, 22]), Some("s390x"));
        assert_eq!(of(1, 1, [62, 0]), None);
        assert_eq!(of(2, 2, [62, 0]), None);
        let scripts = FakeLayer::default().file("bin", b"#!/bin/sh").mode(0o755);
        assert_eq!(Inside::new(&scripts.index()).architecture(), None);
        let odd = scripts.file("z", &elf(2, 1, [243, 0])).mode(0o755).file("a", &elf(2, 1, [62, 0]));
        assert_eq!(Inside::new(&odd.index()).architecture(), Some("riscv64"), "`a` is no program");
    }
}
