//! Machines that we do not have, as what is read and tried there.

use std::path::PathBuf;

use super::{
    super::trial::{Outcome, Step},
    State,
    facts::{Changer, Disk, Facts},
    judge, mounts,
};

const ROOT: &str = "22 1 254:0 / / rw - ext4 /dev/vda rw\n";

/// A machine that can build, asked by an ordinary user.
fn fit() -> Facts {
    let good = [Step::User, Step::Map, Step::Namespaces, Step::Overlay, Step::Proc];
    Facts {
        release: "6.1.0-13-amd64".into(),
        proc: true,
        namespaces_max: "1000".into(),
        status: "Name:\treprov\nNoNewPrivs:\t0\nSeccomp:\t0\n".into(),
        mounts: mounts::read(ROOT),
        tried: good.map(|step| Outcome { step, errno: 0 }).into(),
        ..Facts::default()
    }
}

fn stopped_at(step: Step, errno: i32, facts: Facts) -> Facts {
    let mut tried: Vec<_> = facts.tried.into_iter().take_while(|outcome| outcome.step != step).collect();
    tried.push(Outcome { step, errno });
    Facts { tried, ..facts }
}

#[track_caller]
fn check(facts: &Facts, name: &str, state: State, found: &str, fix: &str) {
    let needs = judge::kernel(facts);
    let need = needs.iter().find(|need| need.name == name).unwrap();
    assert_eq!((need.state, need.ok), (state, state != State::Fail), "{need:?}");
    assert!(need.found.contains(found), "{need:?}");
    assert!(need.fix.as_deref().unwrap_or_default().contains(fix), "{need:?}");
    assert_eq!(need.fix.is_none(), state == State::Ok, "{need:?}");
}

const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;

#[test]
fn a_fit_machine() {
    for need in judge::kernel(&fit()) {
        assert_eq!(need.state, State::Ok, "{need:?}");
    }
}

#[test]
fn an_old_kernel() {
    let old = |release: &str| Facts { release: release.into(), ..fit() };
    check(&old("5.10.0-8-amd64"), "kernel", State::Fail, "5.10.0", "5.11");
    check(&old("5.11-rc1"), "kernel", State::Ok, "5.11", "");
    check(&old("10.0"), "kernel", State::Ok, "10.0", "");
    check(&old("strange"), "kernel", State::Fail, "strange", "5.11");
}

#[test]
fn why_there_is_no_user_namespace() {
    let refused = |errno| stopped_at(Step::User, errno, fit());
    let name = "user namespaces";
    check(
        &Facts { namespaces_max: "0".into(), ..refused(ENOSPC) },
        name,
        State::Fail,
        "limit is 0",
        "sysctl -w user.max",
    );
    check(&refused(ENOSPC), name, State::Fail, "limit is reached", "sysctl -w user.max");
    let forbidden = Facts { unprivileged: "0".into(), ..refused(EPERM) };
    check(&forbidden, name, State::Fail, "forbidden to ordinary users", "unprivileged_userns_clone=1");
    check(&Facts { root: true, ..forbidden }, name, State::Fail, "refused", "docs/where.md");
    check(&refused(EINVAL), name, State::Fail, "not in this kernel", "CONFIG_USER_NS");
    let filtered = Facts { status: "Seccomp:\t2\n".into(), ..refused(EPERM) };
    check(&filtered, name, State::Fail, "seccomp", "Inside Docker and Podman");
    check(
        &Facts { tried: Vec::new(), untried: Some("no room".into()), ..fit() },
        name,
        State::Fail,
        "no room",
        "",
    );
    check(&refused(EPERM), "proc", State::Fail, "not tried", "above");
}

#[test]
fn a_chroot_is_known_by_its_root_that_is_no_mount_or_by_the_way_out() {
    let inside = Facts {
        mounts: mounts::read("23 22 0:20 / /proc rw - proc proc rw\n"),
        ..stopped_at(Step::User, EPERM, fit())
    };
    check(&inside, "root directory", State::Fail, "inside a chroot(2)", "pivot_root");
    check(&inside, "user namespaces", State::Fail, "refused inside a chroot(2)", "pivot_root");
    let mut mounted = stopped_at(Step::User, EPERM, fit());
    check(&mounted, "root directory", State::Ok, "not inside", "");
    mounted.tried.push(Outcome { step: Step::Root, errno: EPERM });
    check(&mounted, "root directory", State::Fail, "inside a chroot(2)", "pivot_root");
}

#[test]
fn root_of_a_container_is_less_than_root() {
    let with = |root, set: &str| Facts { root, status: format!("CapEff:\t{set}\nCapBnd:\t{set}\n"), ..fit() };
    check(&with(true, "00000000a80425fb"), "rights", State::Fail, "without CAP_SYS_ADMIN", "ordinary user");
    check(&with(true, "00000000a82425fb"), "rights", State::Ok, "root", "");
    check(&with(false, "0000000000000000"), "rights", State::Ok, "ordinary", "");
    check(&Facts { root: true, ..fit() }, "rights", State::Ok, "root", "");
    let program =
        Changer { path: PathBuf::from("/usr/bin/newuidmap"), setuid: true, capable: false, nosuid: false };
    let judged = |set: &str, program: &Changer| judge::changer("newuidmap", &with(false, set), Some(program));
    let fix = |need: super::Need| need.fix.unwrap_or_default();
    assert!(fix(judged("00000000a80425fb", &program)).contains("setcap cap_setuid=ep"));
    assert!(judged("00000000a82425fb", &program).ok);
    let capable = Changer { setuid: false, capable: true, ..program };
    assert!(judged("00000000a80425fb", &capable).ok);
    assert!(fix(judged("0000000000000000", &capable)).contains("CAP_SETUID"));
}

#[test]
fn a_block_must_be_in_the_user_namespace_we_are_in() {
    let with = |map: &str| Facts { id_maps: [map.to_owned(), "0 0 700000".to_owned()], ..fit() };
    let block = (524_288, 65_536);
    let ok = |map: &str| judge::blocks(&with(map), [block, block]).ok;
    assert!(ok("         0          0 4294967295") && ok("") && ok("0 1 2\n524288 0 65536"));
    assert!(!ok("0 1000000 65536") && !ok("0 1000000 589823") && ok("0 1000000 589824"));
    let need = judge::blocks(&with("0 1000000 65536"), [(100_000, 65_535); 2]);
    assert!(
        need.found.contains("100000 to 165534") && need.fix.unwrap().contains("Kubernetes"),
        "{}",
        need.found
    );
    assert!(!judge::blocks(&with("0 0 65536"), [(u32::MAX - 5, 65_535); 2]).ok);
    let need = judge::blocks(&with(""), [block, (700_000, 65_536)]);
    assert!(!need.ok && need.found.contains("700000"), "{}", need.found);
    assert_eq!(
        judge::blocks(&fit(), [block, (700_000, 65_536)]).found,
        "65536 from 524288, groups from 700000"
    );
}

#[test]
fn apparmor_is_tried_not_only_read() {
    let restricted = Facts { apparmor: "1".into(), ..fit() };
    check(&restricted, "AppArmor", State::Ok, "not ours", "");
    let refused = stopped_at(Step::Namespaces, EACCES, restricted);
    check(&refused, "AppArmor", State::Fail, "restricts", "apparmor_restrict_unprivileged_userns=0");
    check(&refused, "user namespaces", State::Fail, "without rights", "AppArmor");
    check(&Facts { root: true, ..refused }, "AppArmor", State::Ok, "not root's", "");
    check(&Facts { apparmor_enabled: "Y".into(), ..fit() }, "AppArmor", State::Ok, "on", "");
}

#[test]
fn selinux_is_said() {
    let selinux = |text: &str| Facts { selinux: text.into(), ..fit() };
    check(&selinux("1"), "SELinux", State::Warn, "enforcing", "ausearch");
    check(&selinux("0"), "SELinux", State::Ok, "permissive", "");
}

#[test]
fn a_masked_proc_names_the_masks() {
    let masked = format!("{ROOT}25 22 0:5 /null /proc/kcore rw - devtmpfs udev rw\n");
    let facts = Facts { mounts: mounts::read(&masked), ..stopped_at(Step::Proc, EPERM, fit()) };
    check(&facts, "proc", State::Fail, "/proc/kcore", "procMount: Unmasked");
    check(&Facts { proc: false, ..fit() }, "proc", State::Fail, "not mounted", "mount -t proc");
}

#[test]
fn cgroups_are_told_apart() {
    let with = |lines: &str| Facts { mounts: mounts::read(&format!("{ROOT}{lines}")), ..fit() };
    let v1 = "30 22 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    let v2 = "31 22 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    check(&with(""), "cgroups", State::Ok, "none mounted", "");
    check(&with(v1), "cgroups", State::Ok, "v1; ours cannot", "");
    check(&with(v2), "cgroups", State::Ok, "v2; ours cannot", "");
    check(&with(&format!("{v1}{v2}")), "cgroups", State::Ok, "v1, with v2 beside it", "");
    check(&Facts { cgroup_writable: true, ..with(v2) }, "cgroups", State::Ok, "ours can be", "");
}

#[track_caller]
fn check_store(facts: &Facts, disk: &Disk, name: &str, state: State, found: &str) {
    let needs = judge::store(facts, disk);
    let need = needs.iter().find(|need| need.name == name).unwrap();
    assert!(need.state == state && need.found.contains(found), "{need:?}");
}

#[test]
fn the_store_s_file_system() {
    let disk =
        Disk { kind: "ext4".into(), free_bytes: 100 << 30, free_inodes: Some(1 << 20), ..Disk::default() };
    let facts = fit();
    check_store(&facts, &disk, "overlay", State::Ok, "ext4");
    check_store(&facts, &disk, "disk", State::Ok, "102400 MiB, 1048576 inodes");
    check_store(&facts, &disk, "mount options", State::Ok, "may run");
    let no_overlay = stopped_at(Step::Overlay, EINVAL, facts.clone());
    check_store(
        &no_overlay,
        &Disk { kind: "overlay".into(), ..disk.clone() },
        "overlay",
        State::Fail,
        "overlay, the store",
    );
    check_store(&facts, &Disk { free_bytes: 1 << 30, ..disk.clone() }, "disk", State::Warn, "1024 MiB");
    check_store(&facts, &Disk { free_bytes: 1 << 20, ..disk.clone() }, "disk", State::Fail, "1 MiB");
    check_store(
        &facts,
        &Disk { free_inodes: Some(10_000), ..disk.clone() },
        "disk",
        State::Warn,
        "10000 inodes",
    );
    check_store(&facts, &Disk { free_inodes: Some(9), ..disk.clone() }, "disk", State::Fail, "9 inodes");
    check_store(&facts, &Disk { free_inodes: None, ..disk.clone() }, "disk", State::Ok, "MiB free");
    check_store(&facts, &Disk { readonly: true, ..disk.clone() }, "disk", State::Fail, "read-only");
    check_store(&facts, &Disk { noexec: true, ..disk.clone() }, "mount options", State::Fail, "noexec");
    check_store(&facts, &Disk { nosuid: true, ..disk }, "mount options", State::Ok, "no harm");
}

#[test]
fn programs_that_must_change_their_user() {
    let good =
        Changer { path: PathBuf::from("/usr/bin/newuidmap"), setuid: true, capable: false, nosuid: false };
    let state = |facts: &Facts, found: Option<&Changer>| judge::changer("newuidmap", facts, found);
    let facts = fit();
    assert_eq!(state(&facts, Some(&good)).state, State::Ok);
    assert_eq!(
        state(&facts, Some(&Changer { setuid: false, capable: true, ..good.clone() })).state,
        State::Ok
    );
    let check = |need: super::Need, fix: &str| {
        assert!(need.state == State::Fail && need.fix.as_deref().unwrap().contains(fix), "{need:?}");
    };
    check(state(&facts, None), "apt-get install uidmap");
    check(state(&facts, Some(&Changer { setuid: false, ..good.clone() })), "chmod 4755");
    check(state(&facts, Some(&Changer { nosuid: true, ..good.clone() })), "remount,suid");
    let fixed = Facts { status: "NoNewPrivs:\t1\n".into(), ..facts };
    check(state(&fixed, Some(&good)), "allowPrivilegeEscalation");
}
