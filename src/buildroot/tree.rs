//! The file system the cage sees: a root of its own with the programs of the host or of a buildroot image, and
//! [`ROOT`] with what the build needs.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, OFlags, StatVfsMountFlags},
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
        mount_remount, unmount,
    },
};

use super::cage::{Bind, Spec};

/// Where everything of the build is, inside. No image has it, and no step mounts there: an engine that removes a
/// step's mount targets afterwards (buildah 1.28 does, by path) must never meet a directory of ours. A varied replay has
/// [`super::vary::ROOT`] instead.
pub(super) const ROOT: &str = "/.reprov";

/// What the programs of mode `host` are made of; of the host's other directories nothing is seen.
const PROGRAMS: [&str; 9] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt"];
/// What the cage has of its own, whatever a buildroot image holds there.
const OWN: [&str; 8] = ["proc", "sys", "dev", "tmp", "run", "var", ".reprov", ".reprov-elsewhere"];
/// Device nodes that engine and runtime use.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Makes the tree and makes it this process's root; the host's is gone from sight.
pub(super) fn enter(spec: &Spec) -> Result<(), String> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    step("make mounts private", mount_change("/", private).map_err(Into::into))?;
    // Opened before anything is covered, and in this mount namespace: the kernel binds from no other.
    let sources = spec.binds.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let programs = rustix::fs::open(&spec.programs, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let programs = step("open the programs", programs.map_err(Into::into))?;
    let root = &spec.mount;
    let own = mount("tmpfs", root, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755");
    step("mount the cage's root", own.map_err(Into::into))?;
    let own = root.join(spec.place.root.trim_start_matches('/'));
    let populated = populate(root, &programs, spec.programs != Path::new("/"));
    step("make the cage's root", populated.and_then(|()| fs::create_dir(&own)))?;
    for (bind, source) in spec.binds.iter().zip(&sources) {
        let target = own.join(&bind.target);
        bind_fd(source, &target, bind.readonly)
            .map_err(|error| format!("cannot bind `{}` into the cage: {error}", bind.source.display()))?;
    }
    step("enter the cage's root", pivot(root))
}

fn step<T>(what: &str, outcome: io::Result<T>) -> Result<T, String> {
    outcome.map_err(|error| format!("cannot {what}: {error}"))
}

fn open(bind: &Bind) -> Result<OwnedFd, String> {
    let opened = rustix::fs::open(&bind.source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|error| format!("cannot open `{}`: {error}", bind.source.display()))
}

/// Programs read-only, kernel interfaces, and empty places to write.
fn populate(root: &Path, programs: &OwnedFd, image: bool) -> io::Result<()> {
    let programs = PathBuf::from(format!("/proc/self/fd/{}", programs.as_raw_fd()));
    for name in if image { tops(&programs)? } else { PROGRAMS.map(OsString::from).to_vec() } {
        let (there, inside) = (programs.join(&name), root.join(&name));
        match fs::symlink_metadata(&there) {
            Ok(found) if found.is_symlink() => symlink(fs::read_link(&there)?, &inside)?,
            Ok(found) if found.is_dir() => {
                let source = rustix::fs::open(&there, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                bind_fd(&source, &inside, true)?;
            }
            _ => {}
        }
    }
    // What the programs' owner wants in containers (mounts, hooks, filters, registries) is no input of a build.
    let wishes = root.join("etc/containers");
    let linked = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    if image && (linked(&root.join("etc")) || linked(&wishes)) {
        return Err(io::Error::other("/etc or /etc/containers of the buildroot image is a link"));
    }
    if wishes.is_dir() {
        mount("tmpfs", &wishes, "tmpfs", MountFlags::RDONLY, c"mode=0755")?;
    }
    for name in ["proc", "sys"] {
        fs::create_dir(root.join(name))?;
        mount_bind_recursive(Path::new("/").join(name), root.join(name))?;
    }
    fs::create_dir(root.join("dev"))?;
    for name in DEVICES {
        fs::File::create(root.join("dev").join(name))?;
        mount_bind_recursive(Path::new("/dev").join(name), root.join("dev").join(name))?;
    }
    for (name, target) in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
    {
        symlink(target, root.join("dev").join(name))?;
    }
    let empty = [
        ("tmp", 0o1777),
        ("run", 0o755),
        ("run/lock", 0o1777), // buildah 1.39 locks there, though it makes no network.
        ("var", 0o755),
        ("var/tmp", 0o1777),
        ("dev/shm", 0o1777),
    ];
    for (name, mode) in empty {
        fs::create_dir(root.join(name))?;
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Names of a buildroot image's directories that may hold programs.
fn tops(programs: &Path) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(programs)?.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    Ok(names.into_iter().filter(|name| !OWN.iter().any(|own| name == own)).collect())
}

fn bind_fd(source: &OwnedFd, target: &Path, readonly: bool) -> io::Result<()> {
    let kind = rustix::fs::fstat(source)?;
    if FileType::from_raw_mode(kind.st_mode).is_dir() {
        fs::create_dir(target)?;
    } else {
        fs::File::create(target)?;
    }
    mount_bind_recursive(format!("/proc/self/fd/{}", source.as_raw_fd()).as_str(), target)?;
    if readonly {
        // Flags that an outer namespace locked must be given again, else the kernel says EPERM.
        let flags = rustix::fs::fstatvfs(source)?.f_flag;
        let mut keep = MountFlags::BIND | MountFlags::RDONLY;
        for (has, flag) in [
            (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
            (StatVfsMountFlags::NODEV, MountFlags::NODEV),
            (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
            (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
            (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
            (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
        ] {
            keep |= if flags.contains(has) { flag } else { MountFlags::empty() };
        }
        mount_remount(target, keep, c"")?;
    }
    Ok(())
}

/// `pivot_root(2)`, "`new_root` and `put_old` may be the same directory": the old root ends up above the new and is let go.
fn pivot(root: &Path) -> io::Result<()> {
    rustix::process::chdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}
