//! What is read and tried on this machine, before anybody judges it. Nothing here fails: what cannot be found out is
//! empty.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Access, StatVfsMountFlags};

use super::{
    super::{tools::which, trial},
    mounts::{self, Mount},
};
use crate::process;

/// How long the trial may take; it takes milliseconds.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// What was found.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Whether root asks.
    pub(super) root: bool,
    /// `uname -r`.
    pub(super) release: String,
    /// Whether /proc is there.
    pub(super) proc: bool,
    /// `user.max_user_namespaces`.
    pub(super) namespaces_max: String,
    /// `kernel.unprivileged_userns_clone` (Debian's and Arch's kernels have it).
    pub(super) unprivileged: String,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu's kernels have it).
    pub(super) apparmor: String,
    /// Whether `AppArmor` is on at all: `Y`.
    pub(super) apparmor_enabled: String,
    /// `1` if `SELinux` enforces, empty without it.
    pub(super) selinux: String,
    /// `/proc/self/uid_map` and `gid_map`.
    pub(super) id_maps: [String; 2],
    /// /proc/self/status.
    pub(super) status: String,
    /// Everything mounted.
    pub(super) mounts: Vec<Mount>,
    /// Whether this process may write to its own cgroup (v2, else that of `memory`).
    pub(super) cgroup_writable: bool,
    /// The trial's word.
    pub(super) tried: Vec<trial::Outcome>,
    /// Why there was no trial.
    pub(super) untried: Option<String>,
}

/// The file system the store is on.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    /// Its kind.
    pub(super) kind: String,
    /// For whoever is not root.
    pub(super) free_bytes: u64,
    /// None where inodes are not counted (btrfs).
    pub(super) free_inodes: Option<u64>,
    /// Nothing there may be run.
    pub(super) noexec: bool,
    /// No program there changes its user.
    pub(super) nosuid: bool,
    /// Nothing can be written.
    pub(super) readonly: bool,
}

/// A program that must change its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changer {
    /// Its file.
    pub(super) path: PathBuf,
    /// Whether it is root's, with the setuid bit.
    pub(super) setuid: bool,
    /// Whether it has capabilities of its own instead.
    pub(super) capable: bool,
    /// Whether its file system lets it.
    pub(super) nosuid: bool,
}

impl Facts {
    /// Finds out; `tmp` is a directory on the store's file system, if it can be written to.
    pub(super) async fn gather(tmp: Option<&Path>) -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let mounts = mounts::read(&text("/proc/self/mountinfo"));
        let cgroup = text("/proc/self/cgroup");
        let (tried, untried) = match tried(tmp).await {
            Ok(tried) => (tried, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        Self {
            root: rustix::process::geteuid().is_root(),
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            proc: Path::new("/proc/self/exe").exists(),
            namespaces_max: text("/proc/sys/user/max_user_namespaces"),
            unprivileged: text("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor: text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            apparmor_enabled: text("/sys/module/apparmor/parameters/enabled"),
            selinux: text("/sys/fs/selinux/enforce"),
            id_maps: ["/proc/self/uid_map", "/proc/self/gid_map"].map(text),
            status: text("/proc/self/status"),
            cgroup_writable: own_cgroup(&mounts, &cgroup).is_some_and(|dir| writable(&dir)),
            mounts,
            tried,
            untried,
        }
    }

    /// How `step` went, if it was tried.
    pub(super) fn outcome(&self, step: trial::Step) -> Option<i32> {
        self.tried.iter().find(|outcome| outcome.step == step).map(|outcome| outcome.errno)
    }

    /// Whether the set of capabilities `name` (`CapEff`, `CapBnd`) lacks any of `wanted`, by number; unknown sets lack none.
    pub(super) fn lacks(&self, name: &str, wanted: &[u32]) -> bool {
        let set = self.status(name).and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(u64::MAX);
        wanted.iter().any(|capability| set >> capability & 1 == 0)
    }

    /// Whether the map `kind` (0: users, 1: groups) of the user namespace we are in has ids `start` to `start + count`;
    /// an unknown map has all.
    pub(super) fn has_ids(&self, kind: usize, start: u32, count: u32) -> bool {
        let (start, end) = (u64::from(start), u64::from(start) + u64::from(count));
        let within = |line: &str| {
            let mut numbers = line.split_whitespace().map(str::parse::<u64>);
            match (numbers.next(), numbers.nth(1)) {
                (Some(Ok(first)), Some(Ok(length))) => first <= start && end <= first.saturating_add(length),
                _ => true,
            }
        };
        let map = &self.id_maps[kind];
        map.is_empty() || map.lines().any(within)
    }

    /// What /proc/self/status says of `name`.
    pub(super) fn status(&self, name: &str) -> Option<&str> {
        let mut fields = self.status.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(own, _)| *own == name).map(|(_, value)| value.trim())
    }
}

async fn tried(tmp: Option<&Path>) -> Result<Vec<trial::Outcome>, String> {
    let base = tmp.ok_or("the store cannot be written to")?;
    let dir = tempfile::Builder::new().prefix("try-").tempdir_in(base).map_err(|error| error.to_string())?;
    let args = [trial::STAGE.as_ref(), dir.path().as_os_str()];
    let said = process::capture("/proc/self/exe", args, TRIAL_TIMEOUT).await;
    let said = said.map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })?;
    Ok(said.lines().filter_map(|line| line.parse().ok()).collect())
}

/// This process's cgroup in the hierarchy that limits memory.
fn own_cgroup(mounts: &[Mount], text: &str) -> Option<PathBuf> {
    let (mount, path) = if is_hybrid(mounts) {
        let memory = mounts.iter().find(|mount| mount.kind == "cgroup" && mount.point.ends_with("memory"))?;
        (memory, text.lines().find_map(|line| line.split_once(":memory:"))?.1)
    } else {
        let unified = mounts.iter().find(|mount| mount.kind == "cgroup2")?;
        (unified, text.lines().find_map(|line| line.strip_prefix("0::"))?)
    };
    Some(mount.point.join(path.trim_start_matches('/')))
}

/// Whether cgroups v1 hold the controllers.
pub(super) fn is_hybrid(mounts: &[Mount]) -> bool {
    mounts.iter().any(|mount| mount.kind == "cgroup" && !mount.point.ends_with("systemd"))
}

fn writable(path: &Path) -> bool {
    rustix::fs::access(path, Access::WRITE_OK).is_ok()
}

impl Disk {
    /// Looks at the file system of `path`, or of the nearest directory above it that exists.
    pub(super) fn of(path: &Path, mounts: &[Mount]) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let Some(existing) = path.ancestors().find_map(|dir| fs::canonicalize(dir).ok()) else {
            return Self::default();
        };
        let kind = mounts::of(mounts, &existing).map(|mount| mount.kind.clone()).unwrap_or_default();
        let Ok(found) = rustix::fs::statvfs(&existing) else { return Self { kind, ..Self::default() } };
        let has = |flag: StatVfsMountFlags| found.f_flag.contains(flag);
        Self {
            kind,
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            free_inodes: (found.f_files > 0).then_some(found.f_favail),
            noexec: has(StatVfsMountFlags::NOEXEC),
            nosuid: has(StatVfsMountFlags::NOSUID),
            readonly: has(StatVfsMountFlags::RDONLY),
        }
    }
}

impl Changer {
    /// Looks for `program`.
    pub(super) fn find(program: &str) -> Option<Self> {
        let path = which(program)?;
        let found = fs::metadata(&path).ok()?;
        let owner = std::os::unix::fs::MetadataExt::uid(&found);
        let mut value = [0_u8; 64];
        let capability = rustix::fs::getxattr(&path, "security.capability", &mut value);
        let nosuid =
            rustix::fs::statvfs(&path).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOSUID));
        Some(Self {
            setuid: found.permissions().mode() & 0o4000 != 0 && owner == 0,
            capable: capability.is_ok_and(|length| length > 0),
            nosuid,
            path,
        })
    }
}
