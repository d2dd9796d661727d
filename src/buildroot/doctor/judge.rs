//! What the facts mean for a build, and what to do. Pure.

use rustix::io::Errno;

use super::{
    super::trial::Step,
    Need,
    facts::{Changer, Disk, Facts, is_hybrid},
    mounts,
};

/// The oldest kernel that mounts an overlay in a user namespace.
const KERNEL_MIN: (u32, u32) = (5, 11);
/// Below this there is no use in trying.
const FREE_BYTES_MIN: u64 = 256 << 20;
/// Below this a build of ordinary size may fail.
const FREE_BYTES_WANTED: u64 = 5 << 30;
/// Below this a build of ordinary size may fail: a Debian root file system has 10,000 files.
const FREE_INODES_WANTED: u64 = 100_000;

/// Everything that is about the kernel and the place we are in.
pub(super) fn kernel(facts: &Facts) -> Vec<Need> {
    vec![
        version(facts),
        root_directory(facts),
        rights(facts),
        user_namespaces(facts),
        apparmor(facts),
        selinux(facts),
        proc(facts),
        cgroups(facts),
    ]
}

fn version(facts: &Facts) -> Need {
    let mut numbers = facts.release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let release = format!("Linux {}", facts.release);
    if found < KERNEL_MIN {
        let fix = "an overlay in a user namespace needs Linux 5.11 or later";
        return Need::unmet("kernel", release, fix);
    }
    Need::met("kernel", release)
}

/// No user namespace can be made in a chroot(2), and `/` of one is often no mount.
fn chrooted(facts: &Facts) -> bool {
    let no_root =
        !facts.mounts.is_empty() && !facts.mounts.iter().any(|mount| mount.point.as_os_str() == "/");
    no_root || facts.outcome(Step::Root) == Some(Errno::PERM.raw_os_error())
}

fn root_directory(facts: &Facts) -> Need {
    if chrooted(facts) {
        return Need::unmet("root directory", "inside a chroot(2)", OUT_OF_CHROOT);
    }
    Need::met("root directory", "not inside a chroot(2)")
}

const OUT_OF_CHROOT: &str = "the kernel makes no user namespace in a chroot(2): enter this root by pivot_root(2), as systemd-nspawn, bubblewrap and containers do; docs/where.md, \"In a chroot\"";

/// By number, as in capabilities(7).
const CAP_CHOWN: u32 = 0;
const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;
const CAP_SYS_ADMIN: u32 = 21;
/// Only the trial needs it, which maps root to itself; who has the others has this too.
const CAP_SETFCAP: u32 = 31;

/// Root of a container is less than root.
fn rights(facts: &Facts) -> Need {
    let name = "rights";
    if !facts.root {
        return Need::met(name, "an ordinary user, who needs none");
    }
    if facts.lacks("CapEff", &[CAP_SYS_ADMIN, CAP_CHOWN, CAP_SETGID, CAP_SETUID, CAP_SETFCAP]) {
        return Need::unmet(
            name,
            "root without CAP_SYS_ADMIN, CAP_CHOWN, CAP_SETUID, CAP_SETGID or CAP_SETFCAP, as in a container",
            "run reprov as an ordinary user with subordinate ids, who needs none of them; or give the container CAP_SYS_ADMIN; docs/where.md, \"Inside Docker and Podman\"",
        );
    }
    Need::met(name, "root, who gives them up in the buildroot")
}

/// The blocks of user and group ids that a buildroot is mapped to: first id and count of each.
pub(super) fn blocks(facts: &Facts, blocks: [(u32, u32); 2]) -> Need {
    let name = "subordinate ids";
    let absent = |(kind, (start, count)): &(usize, (u32, u32))| !facts.has_ids(*kind, *start, *count);
    if let Some((_, (start, count))) = blocks.into_iter().enumerate().find(absent) {
        let last = start.saturating_add(count.saturating_sub(1));
        let fix = "a container with a user namespace of its own needs a larger one: ids up to the end of that block; docs/where.md, \"In a Kubernetes pod\"";
        let found = format!("{start} to {last}, which the user namespace we are in does not have");
        return Need::unmet(name, found, fix);
    }
    let [(users, count), (groups, _)] = blocks;
    let groups = if groups == users { String::new() } else { format!(", groups from {groups}") };
    Need::met(name, format!("{count} from {users}{groups}"))
}

fn user_namespaces(facts: &Facts) -> Need {
    let name = "user namespaces";
    let first = [Step::User, Step::Map, Step::Namespaces]
        .into_iter()
        .find_map(|step| Some((step, facts.outcome(step)?)).filter(|(_, errno)| *errno != 0));
    let Some((step, errno)) = first else {
        if facts.outcome(Step::Namespaces).is_some() {
            return Need::met(name, "made, with all others in one");
        }
        let why = facts.untried.clone().unwrap_or_else(|| "the trial ended early".to_owned());
        return Need::unmet(name, format!("not tried: {why}"), "docs/where.md says what a build needs");
    };
    let is = |errors: &[Errno]| errors.iter().any(|error| error.raw_os_error() == errno);
    let (found, fix) = match step {
        _ if facts.namespaces_max == "0" => ("the limit is 0", "sysctl -w user.max_user_namespaces=65536"),
        _ if !facts.root && facts.unprivileged == "0" => {
            ("forbidden to ordinary users", "sysctl -w kernel.unprivileged_userns_clone=1")
        }
        Step::User if is(&[Errno::NOSPC, Errno::USERS]) => (
            "the limit is reached",
            "sysctl -w user.max_user_namespaces=65536; they also nest 32 deep at most",
        ),
        Step::User if is(&[Errno::INVAL]) => ("not in this kernel", "a kernel built with CONFIG_USER_NS"),
        _ if chrooted(facts) => ("refused inside a chroot(2)", OUT_OF_CHROOT),
        Step::User if facts.status("Seccomp") == Some("2") => (
            "refused, probably by the seccomp filter of the container we are in",
            "let the container make user namespaces; docs/where.md, \"Inside Docker and Podman\"",
        ),
        Step::User => {
            ("refused", "a chroot(2), a seccomp filter or a security module may be the reason; docs/where.md")
        }
        _ if facts.apparmor == "1" => ("made, but without rights in it", "see AppArmor below"),
        _ => ("made, but without rights in it", "a security module may be the reason; docs/where.md"),
    };
    Need::unmet(name, format!("{found} ({})", words(errno)), fix)
}

fn words(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

/// Ubuntu's restriction: a user namespace can be made, but gives no rights to programs without a profile.
fn apparmor(facts: &Facts) -> Need {
    let name = "AppArmor";
    let refused = [Step::User, Step::Map, Step::Namespaces, Step::Overlay, Step::Proc]
        .into_iter()
        .any(|step| facts.outcome(step).is_some_and(|errno| errno != 0));
    match (facts.apparmor.as_str(), facts.apparmor_enabled.as_str()) {
        ("1", _) if facts.root => {
            Need::met(name, "restricts the user namespaces of ordinary users, not root's")
        }
        ("1", _) if refused => Need::unmet(name, "restricts user namespaces of ordinary users", APPARMOR),
        ("1", _) => Need::met(name, "restricts user namespaces, but not ours"),
        (_, "Y") => Need::met(name, "on, does not restrict user namespaces"),
        _ => Need::met(name, "not in force"),
    }
}

const APPARMOR: &str = "a profile for reprov (docs/where.md, \"AppArmor\"), or for everybody: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";

fn selinux(facts: &Facts) -> Need {
    let name = "SELinux";
    match facts.selinux.as_str() {
        "1" => Need::doubtful(
            name,
            "enforcing; reprov was not tried with it",
            "if the buildroot below is refused: ausearch -m avc -ts recent says what to allow",
        ),
        "0" => Need::met(name, "permissive"),
        _ => Need::met(name, "not in force"),
    }
}

fn proc(facts: &Facts) -> Need {
    let name = "proc";
    if !facts.proc {
        let fix = "mount -t proc proc /proc";
        return Need::unmet(name, "/proc is not mounted, so nothing else can be told", fix);
    }
    match facts.outcome(Step::Proc) {
        Some(0) => Need::met(name, "mounted in a new pid namespace"),
        Some(errno) => {
            let masks = mounts::masks(&facts.mounts);
            let shown: Vec<_> = masks.iter().take(3).map(|path| path.display().to_string()).collect();
            let masked = if shown.is_empty() {
                String::new()
            } else {
                format!("; /proc is masked ({}, …)", shown.join(", "))
            };
            Need::unmet(
                name,
                format!("cannot be mounted in a new pid namespace ({}){masked}", words(errno)),
                UNMASK,
            )
        }
        None => Need::untried(name),
    }
}

const UNMASK: &str = "a container needs an unmasked /proc: --security-opt systempaths=unconfined (Docker), --security-opt unmask=ALL (Podman), procMount: Unmasked (Kubernetes); docs/where.md";

fn cgroups(facts: &Facts) -> Need {
    let name = "cgroups";
    let has = |kind: &str| facts.mounts.iter().any(|mount| mount.kind == kind);
    let found = match (has("cgroup2"), is_hybrid(&facts.mounts)) {
        (true, false) => "v2",
        (true, true) => "v1, with v2 beside it",
        (false, true) => "v1",
        (false, false) => "none",
    };
    let writable = if facts.cgroup_writable { "ours can be written to" } else { "ours cannot be written to" };
    let found = if found == "none" { "none mounted".to_owned() } else { format!("{found}; {writable}") };
    Need::met(name, format!("{found}; a build needs none"))
}

/// Whether an overlay can be mounted on the store's file system, and whether there is room.
pub(super) fn store(facts: &Facts, disk: &Disk) -> Vec<Need> {
    vec![overlay(facts, disk), space(disk), flags(disk)]
}

fn overlay(facts: &Facts, disk: &Disk) -> Need {
    let (name, kind) = ("overlay", if disk.kind.is_empty() { "this file system" } else { &disk.kind });
    match facts.outcome(Step::Overlay) {
        Some(0) => Need::met(name, format!("mounted on {kind}, the store's file system")),
        Some(errno) => {
            let fix = "put the store on ext4, xfs or btrfs (--store DIR): an overlay needs a file system below it that is none itself and keeps extended attributes of users";
            Need::unmet(name, format!("{kind}, the store's file system, takes none ({})", words(errno)), fix)
        }
        None => Need::untried(name),
    }
}

fn space(disk: &Disk) -> Need {
    let name = "disk";
    let inodes = disk.free_inodes.map(|free| format!(", {free} inodes")).unwrap_or_default();
    let found = format!("{} MiB{inodes} free on the store's file system", disk.free_bytes >> 20);
    let fix = "reprov store gc, or another place: --store DIR";
    let few_inodes = disk.free_inodes.is_some_and(|free| free < FREE_INODES_WANTED);
    if disk.readonly {
        Need::unmet(name, "the store's file system is read-only", "another place: --store DIR")
    } else if disk.free_bytes < FREE_BYTES_MIN || disk.free_inodes.is_some_and(|free| free < 1000) {
        Need::unmet(name, found, fix)
    } else if disk.free_bytes < FREE_BYTES_WANTED || few_inodes {
        Need::doubtful(name, found, fix)
    } else {
        Need::met(name, found)
    }
}

fn flags(disk: &Disk) -> Need {
    let name = "mount options";
    if disk.noexec {
        return Need::unmet(
            name,
            "the store's file system is mounted noexec",
            "the shim and the steps of a build run from it: mount -o remount,exec, or another place: --store DIR",
        );
    }
    let found = if disk.nosuid { "nosuid, which does no harm" } else { "programs in the store may run" };
    Need::met(name, found)
}

/// newuidmap or newgidmap, which write an ordinary user's id maps.
pub(super) fn changer(name: &'static str, facts: &Facts, found: Option<&Changer>) -> Need {
    let Some(found) = found else {
        return Need::unmet(name, "not installed", "apt-get install uidmap");
    };
    let path = found.path.display();
    if !found.setuid && !found.capable {
        let fix = format!("chmod 4755 {path}, or apt-get install --reinstall uidmap");
        return Need::unmet(name, format!("{path} is neither setuid root nor has capabilities"), fix);
    }
    if found.nosuid {
        let fix = "mount -o remount,suid that file system";
        return Need::unmet(name, format!("{path} lies on a file system mounted nosuid"), fix);
    }
    if facts.status("NoNewPrivs") == Some("1") {
        let fix = "no_new_privs is set: allowPrivilegeEscalation: true (Kubernetes), no --security-opt no-new-privileges (Docker)";
        return Need::unmet(name, format!("{path} cannot change its user here"), fix);
    }
    let own = if name == "newgidmap" { CAP_SETGID } else { CAP_SETUID };
    if found.setuid && !found.capable && facts.lacks("CapBnd", &[CAP_SYS_ADMIN, own]) {
        let fix = "in the image, give it capabilities in place of setuid: chmod 755 and setcap cap_setuid=ep newuidmap, cap_setgid=ep newgidmap; docs/where.md";
        let found =
            format!("{path} is setuid root, which needs CAP_SYS_ADMIN, and this container has none to give");
        return Need::unmet(name, found, fix);
    }
    if facts.lacks("CapBnd", &[own]) {
        let fix = "let the container have CAP_SETUID and CAP_SETGID (no user needs to hold them)";
        return Need::unmet(name, format!("{path} cannot get its capability in this container"), fix);
    }
    let how = if found.setuid { "setuid root" } else { "with capabilities" };
    Need::met(name, format!("{path}, {how}"))
}
