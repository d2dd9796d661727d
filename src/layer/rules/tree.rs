//! Caches that go as a whole: files, links and directories, since their very names are drawn at random.

use bstr::{BStr, BString, ByteSlice as _};

use crate::layer::{Entry, Kind, order::is_below};

/// Drops what a cache holds.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) name: &'static str,
    /// How much of the path of something in it is the cache's directory, which itself stays.
    pub(super) directory: fn(path: &[u8]) -> Option<usize>,
    /// Whether an entry, by its path below the root, is the cache's.
    pub(super) owns: fn(below: &[u8], entry: &Entry) -> bool,
}

impl Tree {
    /// The cache's directory and the path below it, if `path` is in it.
    pub(super) fn below<'a>(&self, path: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let length = (self.directory)(path)?;
        let below = path.get(length..)?.strip_prefix(b"/")?;
        (!below.is_empty()).then(|| (&path[..length], below))
    }
}

/// How much of `path` one of `directories` is, in which `*` stands for one component.
fn one_of(directories: &[&str], path: &[u8]) -> Option<usize> {
    directories.iter().find_map(|directory| {
        let (mut rest, mut length) = (path, 0);
        for wanted in directory.split('/') {
            let slash = rest.find_byte(b'/')?;
            if wanted != "*" && rest[..slash] != *wanted.as_bytes() {
                return None;
            }
            (rest, length) = (&rest[slash + 1..], length + slash + 1);
        }
        Some(length - 1)
    })
}

/// Where a symbolic link at `path` leads, by its text alone.
pub(super) fn target(path: &[u8], link: &[u8]) -> BString {
    let mut parts: Vec<&[u8]> = Vec::new();
    if !link.starts_with(b"/") {
        parts.extend(path.split(|byte| *byte == b'/'));
        parts.pop();
    }
    for part in link.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    bstr::join(b"/", parts).into()
}

/// Directories of caches: which of them hold something that stays is known when what comes after them comes.
#[derive(Debug, Default)]
pub(super) struct Open(Vec<Directory>);

#[derive(Debug)]
struct Directory {
    path: BString,
    ordinal: usize,
    rule: &'static str,
    full: bool,
}

impl Open {
    /// Takes the entry at `path` into account, which stays or not; `goes` gets the directories that went before it.
    pub(super) fn pass(&mut self, path: &BStr, stays: bool, mut goes: impl FnMut(usize, &'static str)) {
        while self.0.last().is_some_and(|directory| !is_below(path, &directory.path)) {
            self.close(&mut goes);
        }
        if let Some(above) = self.0.last_mut().filter(|_| stays) {
            above.full = true;
        }
    }

    /// Notes a directory that goes if nothing in it stays.
    pub(super) fn push(&mut self, path: BString, ordinal: usize, rule: &'static str) {
        self.0.push(Directory { path, ordinal, rule, full: false });
    }

    /// The end.
    pub(super) fn finish(mut self, mut goes: impl FnMut(usize, &'static str)) {
        while !self.0.is_empty() {
            self.close(&mut goes);
        }
    }

    fn close(&mut self, goes: &mut impl FnMut(usize, &'static str)) {
        let Some(last) = self.0.pop() else { return };
        match (last.full, self.0.last_mut()) {
            (false, _) => goes(last.ordinal, last.rule),
            (true, Some(above)) => above.full = true,
            (true, None) => {}
        }
    }
}

pub(super) fn uv_directory(path: &[u8]) -> Option<usize> {
    one_of(&["root/.cache/uv", "home/*/.cache/uv"], path)
}

/// uv's cache: buckets with their versions, and what marks the directory as a cache.
pub(super) fn uv(below: &[u8], entry: &Entry) -> bool {
    let first = below.split(|byte| *byte == b'/').next().unwrap_or_default();
    if first.len() < below.len() || entry.kind == Kind::Directory {
        return is_bucket(first);
    }
    let file = entry.kind == Kind::File;
    match below {
        b"CACHEDIR.TAG" => file && entry.peek.starts_with(b"Signature: 8a477f597d28d172789f06886806bc55"),
        b".gitignore" => file && entry.peek == b"*",
        b".lock" => file && entry.size_bytes == 0,
        _ => false,
    }
}

/// `archive-v0`, `flat-index-v2`
fn is_bucket(name: &[u8]) -> bool {
    let Some((word, version)) = name.rsplit_once_str("-v") else { return false };
    let lower = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'-';
    !word.is_empty()
        && word.iter().all(lower)
        && !version.is_empty()
        && version.iter().all(u8::is_ascii_digit)
}

/// `…/target/…/incremental/CRATE-HASH`
pub(super) fn incremental_directory(path: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"/incremental/";
    let at = path.find(NAME)?;
    let in_target = path[..at].split(|byte| *byte == b'/').any(|part| part == b"target");
    let from = at + NAME.len();
    let length = path[from..].find_byte(b'/')?;
    let (_, hash) = path[from..from + length].rsplit_once_str("-")?;
    (in_target && (11..=14).contains(&hash.len()) && is_base_36(hash)).then_some(from + length)
}

/// Sessions of rustc, `s-TIME-RANDOM-HASH` or `s-TIME-RANDOM-working`, and their locks.
pub(super) fn incremental(below: &[u8], _: &Entry) -> bool {
    let first = below.split(|byte| *byte == b'/').next().unwrap_or_default();
    let parts: Vec<&[u8]> =
        first.strip_suffix(b".lock").unwrap_or(first).split(|byte| *byte == b'-').collect();
    let session = parts.len() >= 3 && parts[0] == b"s" && parts[1..].iter().all(|part| is_base_36(part));
    session && parts.len() == if first.ends_with(b".lock") { 3 } else { 4 }
}

fn is_base_36(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_links_lead() {
        assert_eq!(target(b"v/lib/x.py", b"/root/.cache/uv/a"), "root/.cache/uv/a");
        assert_eq!(target(b"root/.cache/here", b"uv/a/../b"), "root/.cache/uv/b");
        assert_eq!(target(b"v/x", b"../../../root/./y"), "root/y");
    }

    #[test]
    fn directories() {
        let of_uv = |path: &str| uv_directory(path.as_bytes()).map(|length| path[length..].to_owned());
        assert_eq!(of_uv("root/.cache/uv/a-v1/b").as_deref(), Some("/a-v1/b"));
        assert_eq!(of_uv("home/app/.cache/uv/.lock").as_deref(), Some("/.lock"));
        assert_eq!(of_uv("root/.cache/uv"), None);
        assert_eq!(of_uv("home/a/b/.cache/uv/x"), None);
        assert_eq!(of_uv("srv/root/.cache/uv/x"), None);
        let of_rustc =
            |path: &str| incremental_directory(path.as_bytes()).map(|length| path[length..].to_owned());
        let session = "/s-hom1p7ydsi-0jnko40-5zdjgi35ckcbfnixby4vuop2r";
        let crate_dir = "c/target/debug/incremental/c-3n1ou1ev1z1og";
        assert_eq!(
            of_rustc(&format!("{crate_dir}{session}/dep-graph.bin")),
            Some(format!("{session}/dep-graph.bin"))
        );
        assert_eq!(of_rustc("c/debug/incremental/c-3n1ou1ev1z1og/s-1-2-3"), None);
        assert_eq!(of_rustc("c/target/incremental/mine/s-1-2-3"), None);
    }

    #[test]
    fn sessions() {
        let entry = Entry::new("", Kind::File, 0, 0);
        let check = |below: &str| incremental(below.as_bytes(), &entry);
        assert!(check("s-hom1p7ydsi-0jnko40-5zdjgi35ckcbfnixby4vuop2r/query-cache.bin"));
        assert!(check("s-hom1p7ydsi-0jnko40-working"));
        assert!(check("s-hom1p7ydsi-0jnko40.lock"));
        assert!(!check("s-hom1p7ydsi.lock") && !check("mine/x") && !check("s-A-b-c"));
    }

    #[test]
    fn buckets() {
        assert!(is_bucket(b"archive-v0") && is_bucket(b"flat-index-v12"));
        assert!(!is_bucket(b"archive") && !is_bucket(b"-v1") && !is_bucket(b"a-v") && !is_bucket(b"My-v1"));
    }
}
