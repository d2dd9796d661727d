//! `/proc/self/mountinfo` (proc(5)). Pure.

use std::path::{Path, PathBuf};

/// One mount as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where.
    pub(super) point: PathBuf,
    /// Kind of file system: `ext4`, `overlay`.
    pub(super) kind: String,
}

/// All mounts, in the order they were made; lines that make no sense are left out.
pub(super) fn read(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let point = PathBuf::from(unescaped(left.split(' ').nth(4)?));
    Some(Mount { point, kind: right.split(' ').next()?.to_owned() })
}

/// Blanks and the like stand as `\040`.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let byte = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(byte.map_or('\\', char::from));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    out + rest
}

/// The mount that `path` (absolute, without links) lies on.
pub(super) fn of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    above.max_by_key(|mount| mount.point.components().count()) // Of equals the last: it covers the others.
}

/// What is mounted over parts of /proc, as containers do to hide them; not what every host has there.
pub(super) fn masks(mounts: &[Mount]) -> Vec<&Path> {
    let below = mounts.iter().filter(|mount| {
        mount.point.starts_with("/proc")
            && mount.point != Path::new("/proc")
            && mount.kind != "binfmt_misc"
            && mount.kind != "autofs"
    });
    below.map(|mount| mount.point.as_path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        23 22 0:20 / /proc rw,nosuid,nodev,noexec - proc proc rw\n\
        24 23 0:21 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n\
        25 23 0:5 /null /proc/kcore rw,nosuid - devtmpfs udev rw\n\
        26 22 0:22 / /srv/a\\040b rw,noexec - tmpfs tmpfs rw\n\
        27 22 0:23 / /srv/a\\040b ro - xfs /dev/x rw\n\
        nonsense\n";

    #[test]
    fn finds_the_mount_of_a_path() {
        let mounts = read(TEXT);
        let kind = |path: &str| of(&mounts, Path::new(path)).map(|mount| mount.kind.as_str());
        assert_eq!(kind("/home/x"), Some("ext4"));
        assert_eq!(kind("/srv/a b/store"), Some("xfs"));
        assert_eq!(kind("/srv/ab"), Some("ext4"));
        assert_eq!(kind("/proc/1"), Some("proc"));
        assert_eq!(of(&[], Path::new("/")), None);
    }

    #[test]
    fn masks_are_what_covers_parts_of_proc() {
        assert_eq!(masks(&read(TEXT)), [Path::new("/proc/kcore")]);
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescaped("a\\134b\\x\\04"), "a\\b\\x\\04");
    }
}
