//! What a step finds instead of files that the engine makes of the host's, and in a varied replay instead of the kernel's.

use std::path::{Path, PathBuf};

/// Files the engine makes of the host's or of random ids, and the constants a step finds instead. Only loopback
/// exists: names of hosts are the gateway's to resolve.
pub fn constants(hostname: &str) -> [(&'static str, String); 4] {
    [
        ("/etc/hostname", format!("{hostname}\n")),
        ("/etc/hosts", format!("127.0.0.1\tlocalhost {hostname}\n")),
        ("/etc/resolv.conf", "nameserver 127.0.0.1\n".to_owned()),
        ("/run/.containerenv", String::new()),
    ]
}

/// In the profile's `views`, and over which of the kernel's files.
const VIEWS: [(&str, &str); 5] = [
    ("cpuinfo", "/proc/cpuinfo"),
    ("stat", "/proc/stat"),
    ("cpus", "/sys/devices/system/cpu/online"),
    ("cpus", "/sys/devices/system/cpu/possible"),
    ("cpus", "/sys/devices/system/cpu/present"),
];

/// Those that `profile` has; a file that this kernel does not have is left out, since nothing can be mounted there.
pub fn views(profile: &Path) -> impl Iterator<Item = (PathBuf, &'static str)> {
    let views = profile.join("views");
    let there = move |(name, target): (&str, &'static str)| {
        let source = views.join(name);
        (source.is_file() && Path::new(target).is_file()).then_some((source, target))
    };
    VIEWS.into_iter().filter_map(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_profile_has_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(views(dir.path()).count(), 0);
        std::fs::create_dir(dir.path().join("views")).unwrap();
        std::fs::write(dir.path().join("views/cpuinfo"), "x").unwrap();
        let shown: Vec<_> = views(dir.path()).map(|(_, target)| target).collect();
        assert_eq!(shown, ["/proc/cpuinfo"]);
    }
}
