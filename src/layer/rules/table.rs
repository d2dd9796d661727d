//! The rules, by profile. docs/normalization.md has each with its evidence and its argument; a test holds both together.

use super::{
    database::Database,
    format::{self, Format},
    git,
    tree::{self, Tree},
};
use crate::{
    layer::{glob, sqlite},
    model::names::PROFILE,
};

/// Drops a file whose path and format are these.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) paths: &'static [&'static str],
    pub(super) format: Format,
}

impl Rule {
    pub(super) fn fits(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|pattern| glob::matches(pattern.as_bytes(), path))
    }
}

/// All that a profile does to a layer.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) name: &'static str,
    /// Files that go.
    pub(super) files: &'static [&'static [Rule]],
    /// Caches that go as a whole.
    pub(super) trees: &'static [Tree],
    /// Databases that are put in order.
    pub(super) databases: &'static [Database],
    /// Files in which times are clamped.
    pub(super) times: &'static [Times],
    /// Extended attributes that go, by their beginning.
    pub(super) attributes: &'static [Attribute],
    /// Whether mount points of the engine's go.
    pub(super) mount_points: bool,
    /// Whether what has a privilege (set-id bits, security attributes) stays whatever it holds.
    pub(super) careful: bool,
}

/// The file at a path, its times no later than this many seconds since 1970.
pub(super) type Clamped = fn(path: &[u8], file: &[u8], epoch_s: i64) -> Option<Vec<u8>>;

/// Clamps the times in a file of this path, if its format is known.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) name: &'static str,
    pub(super) paths: &'static [&'static str],
    pub(super) size_bytes_max: u64,
    /// The file with its times clamped to seconds since 1970; nothing if it is no such file.
    pub(super) clamped: Clamped,
}

/// Drops extended attributes whose name begins so.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    /// Of entries whose path fits this.
    pub(super) paths: &'static str,
    pub(super) begins: &'static [u8],
}

/// The rule behind [`Rules::mount_points`].
pub(super) const MOUNT_POINT: &str = "engine-mount-point";

/// Every profile there is, the newest first.
pub(super) const PROFILES: &[Rules] = &[
    Rules {
        name: PROFILE,
        files: &[DEFAULT_1, ADDED_IN_2],
        trees: TREES_2,
        databases: DATABASES_2,
        times: TIMES_2,
        attributes: ATTRIBUTES_2,
        mount_points: true,
        careful: true,
    },
    Rules {
        name: "default-1",
        files: &[DEFAULT_1],
        trees: &[],
        databases: &[],
        times: &[],
        attributes: &[],
        mount_points: true,
        careful: false,
    },
    Rules {
        name: "none",
        files: &[],
        trees: &[],
        databases: &[],
        times: &[],
        attributes: &[],
        mount_points: false,
        careful: false,
    },
];

/// What images attested with `default-1` were made with: never changed.
const DEFAULT_1: &[Rule] = &[
    Rule {
        name: "apt-log",
        paths: &["var/log/apt/history.log*", "var/log/apt/term.log*", "var/log/apt/eipp.log*"],
        format: Format::Named(format::apt_log),
    },
    Rule { name: "dpkg-log", paths: &["var/log/dpkg.log"], format: Format::Lines(format::starts_with_time) },
    Rule {
        name: "alternatives-log",
        paths: &["var/log/alternatives.log"],
        format: Format::Lines(|line| line.starts_with(b"update-alternatives ")),
    },
    Rule {
        name: "apt-cache",
        paths: &["var/cache/apt/*pkgcache.bin"],
        format: Format::Head(|head| head.starts_with(b"\xdc\x76\xfe\x98")),
    },
    Rule {
        name: "ldconfig-cache",
        paths: &["var/cache/ldconfig/aux-cache"],
        format: Format::Head(|head| head.starts_with(b"glibc-ld.so.auxcache")),
    },
    Rule { name: "npm-log", paths: &["root/.npm/_logs/*"], format: Format::Head(format::npm_log) },
    Rule {
        name: "npm-index",
        paths: &["root/.npm/_cacache/index-v5/**"],
        format: Format::Head(format::npm_index),
    },
    Rule { name: "pip-cache", paths: &["root/.cache/pip/**"], format: Format::Named(format::pip_cache) },
    Rule { name: "pwd-lock", paths: &["etc/.pwd.lock"], format: Format::Head(<[u8]>::is_empty) },
];

/// Cached checksums of files with the times they were taken at.
const ATTRIBUTES_2: &[Attribute] =
    &[Attribute { name: "librepo-attribute", paths: "var/cache/dnf/**", begins: b"user.Librepo.checksum." }];

const TREES_2: &[Tree] = &[
    Tree { name: "uv-cache", directory: tree::uv_directory, owns: tree::uv },
    Tree { name: "rustc-incremental", directory: tree::incremental_directory, owns: tree::incremental },
];

const DATABASES_2: &[Database] = &[
    Database {
        name: "rpm-database",
        // Also in a root made by `--installroot`.
        paths: &[
            "var/lib/rpm/rpmdb.sqlite",
            "**/var/lib/rpm/rpmdb.sqlite",
            "usr/lib/sysimage/rpm/rpmdb.sqlite",
            "**/usr/lib/sysimage/rpm/rpmdb.sqlite",
            "**/.rpmdb/rpmdb.sqlite",
        ],
        times: None,
    },
    Database {
        name: "dnf-history",
        paths: &["var/lib/dnf/history.sqlite", "**/var/lib/dnf/history.sqlite"],
        times: Some(sqlite::Times {
            table: "trans",
            made_by: "CREATE TABLE trans ( id INTEGER PRIMARY KEY AUTOINCREMENT, dt_begin INTEGER NOT NULL, dt_end INTEGER, ",
            columns: &[1, 2],
        }),
    },
];

const ADDED_IN_2: &[Rule] = &[
    Rule { name: "user-npm-log", paths: &["home/*/.npm/_logs/*"], format: Format::Head(format::npm_log) },
    Rule {
        name: "user-npm-index",
        paths: &["home/*/.npm/_cacache/index-v5/**"],
        format: Format::Head(format::npm_index),
    },
    Rule {
        name: "user-pip-cache",
        paths: &["home/*/.cache/pip/**"],
        format: Format::Named(format::pip_cache),
    },
    Rule {
        name: "cargo-last-use",
        paths: &[
            "root/.cargo/.global-cache*",
            "home/*/.cargo/.global-cache*",
            "usr/local/cargo/.global-cache*",
        ],
        format: Format::Page(format::cargo_last_use),
    },
    Rule {
        name: "rustc-info",
        paths: &["**/target/.rustc_info.json"],
        format: Format::Head(|head| head.starts_with(b"{\"rustc_fingerprint\":")),
    },
    Rule {
        name: "gem-log",
        paths: &["**/extensions/*/*/*/gem_make.out"],
        format: Format::Head(|head| head.starts_with(b"current directory: ")),
    },
    Rule {
        name: "gem-makefile",
        paths: &["**/gems/*/ext/**Makefile"],
        format: Format::Page(format::gem_makefile),
    },
    Rule {
        name: "cmake-log",
        paths: &["**/CMakeFiles/CMakeOutput.log"],
        format: Format::Head(|head| head.starts_with(b"The system is: ")),
    },
    Rule { name: "uv-lock", paths: &["tmp/uv-*.lock"], format: Format::Named(format::uv_lock) },
    Rule {
        name: "dnf-log",
        paths: &["var/log/dnf.log", "var/log/dnf.librepo.log", "var/log/dnf.rpm.log", "var/log/hawkey.log"],
        format: Format::Head(format::starts_with_iso_time),
    },
    Rule {
        name: "dnf-expired",
        paths: &["var/cache/dnf/expired_repos.json"],
        format: Format::Head(|head| head.starts_with(b"[")),
    },
];

const TIMES_2: &[Times] = &[
    Times {
        name: "go-build-time",
        paths: &["root/.cache/go-build/**", "home/*/.cache/go-build/**"],
        size_bytes_max: 4096,
        clamped: format::go_build_clamped,
    },
    Times {
        name: "git-index",
        paths: &["**/.git/index", "**/.git/modules/**/index"],
        size_bytes_max: git::INDEX_SIZE_BYTES_MAX,
        clamped: git::index_clamped,
    },
    Times {
        name: "git-reflog",
        paths: &["**/.git/logs/**", "**/.git/modules/**/logs/**"],
        size_bytes_max: 1 << 20,
        clamped: git::reflog_clamped,
    },
];
