//! Watches what the cage uses of memory, processes and disk, and says when it is too much.
//!
//! Pid 1 sees every process of the build, so this works alike for root and for ordinary users, who on most hosts may
//! set no cgroup's limits. It looks four times a second at what is cheap to know (twenty times at how many processes
//! there are), and adds up exactly only when that is suspicious. What it cannot see (memory of the kernel's own, other
//! programs on the disk) the reserves are for.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    fs,
    os::{
        raw::{c_char, c_int, c_long},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(250);
/// Processes are counted this often: they double faster than what each has is read.
const COUNT: Duration = Duration::from_millis(50);
/// The tree is measured this often even if the disk does not fill: somebody else may free what the build takes.
const MEASURE: Duration = Duration::from_secs(30);

/// What the build may use; in bytes, but for processes (threads count too) and files.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    memory: u64,
    processes: u64,
    disk: Option<u64>,
    files: Option<u64>,
    memory_reserve: u64,
    disk_reserve: u64,
    files_reserve: u64,
}

impl Bounds {
    /// Reads `MEMORY,PROCESSES,DISK,FILES,MEMORY_RESERVE,DISK_RESERVE,FILES_RESERVE`; DISK and FILES may be `-`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(',').map(|field| field.parse().ok());
        let bounds = Self {
            memory: fields.next()??,
            processes: fields.next()??,
            disk: fields.next()?,
            files: fields.next()?,
            memory_reserve: fields.next()??,
            disk_reserve: fields.next()??,
            files_reserve: fields.next()??,
        };
        fields.next().is_none().then_some(bounds)
    }
}

/// Which bound was passed: its name, what is allowed, what was found.
pub type Over = (&'static str, u64, u64);

/// Watches from threads of its own, since a large tree, or what many processes have, takes a while; `end` must end the
/// cage. `dir` is the build's directory.
pub fn start(bounds: Bounds, dir: PathBuf, end: fn(Over)) {
    let (of_disk, processes) = (bounds.clone(), bounds.processes);
    thread::spawn(move || {
        loop {
            let found = pids().len() as u64;
            if found > processes {
                end(("processes", processes, found));
            }
            thread::sleep(COUNT);
        }
    });
    thread::spawn(move || {
        let hosts = Memory::of_host();
        loop {
            if let Some(over) = hosts.check(&bounds) {
                end(over);
            }
            thread::sleep(POLL);
        }
    });
    thread::spawn(move || {
        let mut disk = Disk::new(dir);
        loop {
            if let Some(over) = disk.check(&of_disk) {
                end(over);
            }
            thread::sleep(POLL);
        }
    });
}

/// What there was before the build.
struct Memory {
    shared: u64,
    /// File systems in memory that are the host's.
    systems: BTreeSet<String>,
}

impl Memory {
    fn of_host() -> Self {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let systems = tmpfs(&table).filter(|(_, point)| *point != "/").map(|(device, _)| device.to_owned());
        Self { shared: kilobytes("/proc/meminfo", "Shmem:").unwrap_or(0), systems: systems.collect() }
    }

    fn check(&self, bounds: &Bounds) -> Option<Over> {
        let (mut threads, mut own) = (0, BTreeMap::new());
        for pid in pids() {
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            threads += number(&status, "Threads:").unwrap_or(1);
            own.insert(pid, number(&status, "RssAnon:").unwrap_or(0) << 10);
        }
        if threads > bounds.processes {
            return Some(("processes", bounds.processes, threads));
        }
        let shared = kilobytes("/proc/meminfo", "Shmem:")?.saturating_sub(self.shared);
        if own.values().sum::<u64>() + shared > bounds.memory {
            let found = self.measure(&own);
            if found > bounds.memory {
                return Some(("memory", bounds.memory, found));
            }
        }
        let available = kilobytes("/proc/meminfo", "MemAvailable:")?;
        (available < bounds.memory_reserve).then_some(("memory-reserve", bounds.memory_reserve, available))
    }

    /// Every page once: what processes share is divided among them (Pss). Files in memory may be mapped too, so of
    /// the two counts the larger is taken.
    fn measure(&self, own: &BTreeMap<u32, u64>) -> u64 {
        let (mut anonymous, mut mapped) = (0, 0);
        for (pid, resident) in own {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            anonymous += number(&rollup, "Pss_Anon:").map_or(*resident, |kilobytes| kilobytes << 10);
            mapped += number(&rollup, "Pss_Shmem:").unwrap_or(0) << 10;
        }
        anonymous + mapped.max(self.files(own.keys()) + unlinked(own.keys()).memory)
    }

    /// What lies in the file systems in memory that the build's processes see.
    fn files<'a>(&self, pids: impl Iterator<Item = &'a u32>) -> u64 {
        let (mut namespaces, mut systems, mut bytes) = (BTreeSet::new(), self.systems.clone(), 0);
        for pid in pids {
            let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/mnt")) else { continue };
            if namespaces.contains(&namespace) {
                continue;
            }
            let Ok(table) = fs::read_to_string(format!("/proc/{pid}/mountinfo")) else { continue };
            namespaces.insert(namespace);
            for (device, point) in tmpfs(&table) {
                let path = PathBuf::from(format!("/proc/{pid}/root{point}"));
                if let Some(space) = Space::of(&path).filter(|_| !systems.contains(device)) {
                    systems.insert(device.to_owned());
                    bytes += space.used;
                }
            }
        }
        bytes
    }
}

/// Device and mount point of each file system in memory (proc_pid_mountinfo(5)).
fn tmpfs(table: &str) -> impl Iterator<Item = (&str, &str)> {
    table.lines().filter_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let (device, _root, point) = (fields.next()?, fields.next()?, fields.next()?);
        system.starts_with("tmpfs ").then_some((device, point))
    })
}

/// Of a disk: bytes, and files with directories.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Use {
    bytes: u64,
    files: u64,
}

impl Use {
    /// Never less than nothing.
    fn less(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(other.bytes), files: self.files.saturating_sub(other.files) }
    }
}

struct Disk {
    dir: PathBuf,
    /// Free at the start.
    before: Use,
    /// As long as no less is free, the build cannot have passed its bounds.
    until: Use,
    measured: Instant,
}

impl Disk {
    fn new(dir: PathBuf) -> Self {
        let before = Space::of(&dir).map_or(Use::default(), |space| space.free);
        let until = Use { bytes: u64::MAX, files: u64::MAX };
        Self { dir, before, until, measured: Instant::now() }
    }

    fn check(&mut self, bounds: &Bounds) -> Option<Over> {
        let free = Space::of(&self.dir)?.free;
        if free.bytes < bounds.disk_reserve {
            return Some(("disk-reserve", bounds.disk_reserve, free.bytes));
        }
        if free.files < bounds.files_reserve {
            return Some(("files-reserve", bounds.files_reserve, free.files));
        }
        if bounds.disk.is_none() && bounds.files.is_none() {
            return None;
        }
        let lost = free.bytes < self.until.bytes || free.files < self.until.files;
        if !lost && self.measured.elapsed() < MEASURE {
            return None;
        }
        // A tree that cannot be measured is a strange one: then all that is gone counts as the build's.
        let found = measure(&self.dir).map_or(self.before.less(free), |tree| {
            let nameless = unlinked(&pids()).disk;
            Use { bytes: tree.bytes + nameless.bytes, files: tree.files + nameless.files }
        });
        let most = Use { bytes: bounds.disk.unwrap_or(u64::MAX), files: bounds.files.unwrap_or(u64::MAX) };
        self.until = free.less(most.less(found));
        self.measured = Instant::now();
        if found.bytes > most.bytes {
            return Some(("disk", most.bytes, found.bytes));
        }
        (found.files > most.files).then_some(("files", most.files, found.files))
    }
}

/// Bytes on disk of everything in `dir`, on its file system; none if something cannot be looked at.
fn measure(dir: &Path) -> Option<Use> {
    let device = fs::symlink_metadata(dir).ok()?.dev();
    let (mut todo, mut linked, mut used) = (vec![dir.to_owned()], BTreeSet::new(), Use::default());
    while let Some(dir) = todo.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.ok()?,
        };
        for entry in entries.flatten() {
            let found = match entry.metadata() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                found => found.ok()?,
            };
            if found.dev() != device || (found.nlink() > 1 && !found.is_dir() && !linked.insert(found.ino()))
            {
                continue;
            }
            used.bytes += found.blocks() * 512;
            used.files += 1;
            if found.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    Some(used)
}

/// Open files that have no name any more.
#[derive(Default)]
struct Unlinked {
    /// Bytes.
    memory: u64,
    disk: Use,
}

fn unlinked<'a>(pids: impl IntoIterator<Item = &'a u32>) -> Unlinked {
    let (mut seen, mut bytes) = (BTreeSet::new(), Unlinked::default());
    for pid in pids {
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for file in open.flatten() {
            let Ok(found) = fs::metadata(file.path()) else { continue };
            if !found.is_file() || found.nlink() > 0 || !seen.insert((found.dev(), found.ino())) {
                continue;
            }
            let name = fs::read_link(file.path()).unwrap_or_default();
            let in_memory = ["/memfd:", "/dev/zero", "/SYSV", "/dev/shm/"];
            if in_memory.iter().any(|prefix| name.as_os_str().as_bytes().starts_with(prefix.as_bytes())) {
                bytes.memory += found.blocks() * 512;
            } else {
                bytes.disk.bytes += found.blocks() * 512;
                bytes.disk.files += 1;
            }
        }
    }
    bytes
}

fn pids() -> Vec<u32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn kilobytes(path: &str, field: &str) -> Option<u64> {
    number(&fs::read_to_string(path).ok()?, field).map(|kilobytes| kilobytes << 10)
}

/// The number in the line that begins with `field`.
fn number(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A file system's space.
struct Space {
    free: Use,
    /// Bytes.
    used: u64,
}

/// `struct statfs` of 64-bit Linux (statfs(2)), as far as it is of use, and room for the rest of its 120 bytes.
#[repr(C)]
#[derive(Default)]
struct StatFs {
    kind: c_long,
    block_size: c_long,
    blocks: u64,
    free: u64,
    available: u64,
    files: u64,
    files_free: u64,
    _rest: [u64; 14],
}

unsafe extern "C" {
    fn statfs(path: *const c_char, found: *mut StatFs) -> c_int;
}

impl Space {
    fn of(path: &Path) -> Option<Self> {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        let mut found = StatFs::default();
        // SAFETY: the path ends with NUL, and `found` is at least as large as what the call writes.
        let failed = unsafe { statfs(path.as_ptr(), &mut found) } != 0;
        let size = u64::try_from(found.block_size).ok()?;
        let used = found.blocks.saturating_sub(found.free).saturating_mul(size);
        let free = Use { bytes: found.available.saturating_mul(size), files: found.files_free };
        (!failed).then_some(Self { free, used })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: u64 = u64::MAX;

    fn bounds() -> Bounds {
        Bounds::parse(&format!("{ANY},{ANY},-,-,0,0,0")).unwrap()
    }

    #[test]
    fn bounds_are_read_whole_or_not_at_all() {
        let read = Bounds {
            memory: 1,
            processes: 2,
            disk: Some(3),
            files: Some(4),
            memory_reserve: 5,
            disk_reserve: 6,
            files_reserve: 7,
        };
        assert_eq!(Bounds::parse("1,2,3,4,5,6,7"), Some(read.clone()));
        assert_eq!(Bounds::parse("1,2,-,-,5,6,7"), Some(Bounds { disk: None, files: None, ..read }));
        for text in ["", "1,2,3,4,5,6", "1,2,3,4,5,6,7,8", "-,2,3,4,5,6,7", "1,2,3,4,5,6,x"] {
            assert_eq!(Bounds::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_host_is_within_no_bounds_and_over_small_ones() {
        let memory = Memory { shared: 0, systems: BTreeSet::new() };
        assert_eq!(memory.check(&bounds()), None);
        let named = |bounds: &Bounds| memory.check(bounds).map(|(name, ..)| name);
        assert_eq!(named(&Bounds { processes: 1, ..bounds() }), Some("processes"));
        assert_eq!(named(&Bounds { memory: 1, ..bounds() }), Some("memory"));
        assert_eq!(named(&Bounds { memory_reserve: ANY, ..bounds() }), Some("memory-reserve"));
    }

    #[test]
    fn a_tree_is_measured_with_what_was_unlinked() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let mebibyte = vec![1; 1 << 20];
        fs::create_dir(dir.path().join("deep")).unwrap();
        fs::write(dir.path().join("deep/one"), &mebibyte).unwrap();
        fs::hard_link(dir.path().join("deep/one"), dir.path().join("two")).unwrap();
        let size = measure(dir.path()).unwrap();
        assert!((1 << 20..2 << 20).contains(&size.bytes) && size.files == 2, "{size:?}");

        let mut disk = Disk::new(dir.path().to_owned());
        let bound = |disk| Bounds { disk: Some(disk), ..bounds() };
        assert_eq!(disk.check(&bound(512 << 20)), None);
        let mut disk = Disk::new(dir.path().to_owned());
        assert!(matches!(disk.check(&bound(1 << 19)), Some(("disk", _, found)) if found >= 1 << 20));
        let mut disk = Disk::new(dir.path().to_owned());
        assert!(matches!(disk.check(&Bounds { disk_reserve: ANY, ..bounds() }), Some(("disk-reserve", ..))));
        assert!(matches!(
            disk.check(&Bounds { files_reserve: ANY, ..bounds() }),
            Some(("files-reserve", ..))
        ));
        assert_eq!(disk.check(&Bounds { files: Some(1 << 40), ..bounds() }), None);
        let mut disk = Disk::new(dir.path().to_owned());
        assert!(
            matches!(disk.check(&Bounds { files: Some(1), ..bounds() }), Some(("files", 1, found)) if found >= 2)
        );

        let open = fs::File::create(dir.path().join("gone")).unwrap();
        fs::write(dir.path().join("gone"), vec![1; 3 << 20]).unwrap();
        fs::remove_file(dir.path().join("gone")).unwrap();
        let found = unlinked(&[std::process::id()]).disk;
        assert!(found.bytes >= 3 << 20 && found.files >= 1, "{found:?}");
        drop(open);
    }

    #[test]
    fn file_systems_in_memory_are_found() {
        let table = "1 0 0:9 / / rw - tmpfs tmpfs rw\n2 1 8:1 /usr /usr ro - ext4 /dev/a rw\n\
            3 1 0:40 / /dev/shm rw shared:1 - tmpfs shm rw\n";
        assert_eq!(tmpfs(table).collect::<Vec<_>>(), [("0:9", "/"), ("0:40", "/dev/shm")]);
    }
}
