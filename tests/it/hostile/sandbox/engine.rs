//! The same program as the engine of a buildroot image. It has root's rights in the cage, since containers are made of
//! mounts and namespaces; beyond those it must reach nothing either.

use std::{fs, path::Path};

use tar::EntryType;

use super::{
    guard::Guard,
    rows,
    table::{Outcome, Row},
};
use crate::{
    hostile::buildroot::{archive, image},
    support::{Lab, Registry},
};

/// What an engine needs, or has of its own cage: network, mounts, namespaces, processes, its directory. Three are no more
/// than they seem: a socket of the kernel's audit that root of a user namespace may not use, the search for a disk whose
/// quotas it may not set, and the names (not the contents) of its own user's keys.
const RIGHTS: &[&str] = &[
    "any-proc",
    "any-sysctl",
    "any-sysfs",
    "key-listed",
    "netlink-audit",
    "quota",
    "cage",
    "capabilities",
    "cgroup",
    "cgroup-procs",
    "engine",
    "foreign-namespace",
    "host-name",
    "icmp",
    "mount-bind",
    "mount-cgroup",
    "mount-namespace",
    "mount-overlay",
    "mount-proc",
    "mount-shared",
    "mount-sysfs",
    "mount-tmpfs",
    "net-namespace",
    "netlink-route",
    "new-mounts",
    "pivot-root",
    "raw",
    "raw6",
    "release-agent",
    "remount",
    "restart",
    "unmount",
];

/// It says its version, finds nothing to do where bases are loaded, and tries where images are built.
const ENGINE: &str = "#!/bin/sh\n\
    case \"$*\" in *--version*) echo 'buildah version 1.28.2'; exit 0;; esac\n\
    touch /.reprov/bases/x 2>/dev/null && exit 0\n\
    mkdir -p /tmp/scratch && /hostile/probe try /hostile/canaries NAME\nexit 1\n";

/// What the engine said.
pub(super) fn attempts(lab: &Lab, probe: &Path, guard: &Guard, name: &str) -> Vec<Row> {
    use EntryType::{Directory, Regular, Symlink};
    let own = [
        ("walk", ""),
        ("scratch", "/tmp/scratch"),
        ("own", "/dev/.gw"),
        ("cage", "/.reprov"),
        ("proxy", "3128"),
    ];
    let canaries = fs::read_to_string(guard.write(&format!("{name}-engine"), &own)).unwrap();
    let engine = ENGINE.replace("NAME", &format!("{name}-engine"));
    let entries = [
        (Directory, "bin", "", 0),
        (Symlink, "bin/sh", "busybox", 0),
        (Regular, "usr/bin/buildah", engine.as_str(), 0),
        (Regular, "usr/bin/runc", "#!/bin/sh\necho runc version 1.1.5\n", 0),
        (Regular, "hostile/canaries", canaries.as_str(), 0),
    ];
    let programs = ["/bin/busybox", probe.to_str().unwrap()].map(|path| fs::read(path).unwrap());
    let layer = archive(&entries, &[("bin/busybox", &programs[0]), ("hostile/probe", &programs[1])]);
    let image = image(&format!("sandbox-{name}-engine"), &[layer]);
    let source =
        lab.source(&format!("{name}-engine"), &[("Dockerfile", "FROM base.example/tiny:1\nRUN true\n")]);
    let (registry, allow) =
        (Registry::shared(), format!("local=http://127.0.0.1:{}/ok/", guard.canary("mirror")));
    let more = ["--buildroot", &image, "--allow", &allow];
    let ran = lab.build(registry, &source, &registry.name("never"), &more).exits(1);
    let log = ran.json()["log"]["digest"].as_str().unwrap().replace(':', "/");
    let log = fs::read(lab.path(&format!("store/blobs/{log}"))).unwrap();
    rows(&String::from_utf8(log).unwrap())
}

/// None of them is beyond what an engine may.
#[track_caller]
pub(super) fn are_within(rows: &[Row]) {
    let beyond = |row: &&Row| row.outcome == Outcome::Reached && !RIGHTS.contains(&row.name());
    let out: Vec<_> = rows.iter().filter(beyond).collect();
    assert!(out.is_empty(), "reached by an engine: {out:#?}");
}
