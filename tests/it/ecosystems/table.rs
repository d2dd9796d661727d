//! The fixtures: what each does, what it needs, what must come of it.

use super::served::Serve;

/// A directory of files, built and rebuilt under both clocks.
#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) name: &'static str,
    /// Where its files are.
    pub(super) files: Files,
    pub(super) what: &'static str,
    /// Kinds of this machine's package repositories; none: the sources of the base image.
    pub(super) needs: &'static [&'static str],
    /// What the test serves it.
    pub(super) serves: &'static [Serve],
    /// More arguments of the build.
    pub(super) more: &'static [&'static str],
    /// With the machine's clock.
    pub(super) real: Outcome,
    /// With the commit's clock.
    pub(super) commit: Outcome,
    /// For the document.
    pub(super) needed: &'static str,
}

/// Where a Dockerfile comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Files {
    /// A directory under `fixtures/`.
    Ours(&'static str),
    /// A file of an npm package, changed by `fixtures/ecosystems/real/NAME.sed`: package and version, file, its SHA-256.
    Npm(&'static str, &'static str, &'static str),
}

/// What a rebuild must find.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Reproduced,
    /// Drift of these causes, each at such a path, and no other.
    Explained(&'static [(&'static str, &'static str)]),
}

use Outcome::{Explained, Reproduced};

const PLAIN: Fixture = Fixture {
    name: "",
    files: Files::Ours(""),
    what: "",
    needs: &[],
    serves: &[],
    more: &[],
    real: Reproduced,
    commit: Reproduced,
    needed: "nothing",
};

const KEYSTORE: (&str, &str) = ("keystore-timestamp", "etc/ssl/certs/java/cacerts");

const ENTROPY: &[(&str, &str)] = &[
    ("certificate", "etc/ssl/certs/ssl-cert-snakeoil.pem"),
    ("key-material", "etc/ssh/ssh_host_ed25519_key"),
    ("key-material", "srv/key.pem"),
    ("machine-id", "var/lib/dbus/machine-id"),
    ("password-salt", "etc/shadow"),
    ("random-name", "srv/tmp."),
    ("random-token", "srv/token"),
    ("random-token", "srv/uuid"),
];

/// Longest first, so that no core waits at the end.
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture {
        name: "java",
        files: Files::Ours("ecosystems/java"),
        what: "javac, Maven with Debian's own repository, jar, keytool",
        real: Explained(&[KEYSTORE, ("zip-timestamp", "srv/hello.jar")]),
        needed: "`mvn -o`: nothing is fetched; `project.build.outputTimestamp` of Maven, which no clock reaches",
        ..PLAIN
    },
    Fixture {
        name: "apt",
        files: Files::Ours("ecosystems/apt"),
        what: "apt, 44 packages: Python, nginx, fontconfig, locales, man-db, ca-certificates, a JRE; users, caches",
        real: Explained(&[KEYSTORE]),
        needed: "with the real clock: nothing cures a JRE's keystore",
        ..PLAIN
    },
    Fixture {
        name: "mysql",
        files: Files::Npm(
            "dockerfilelint@1.8.0",
            "test/examples/Dockerfile.mysql",
            "288f05631367e60cfb3b5853b6f0b7db0cc13a9ba2f32718be2ad8739ae296dc",
        ),
        what: "docker-library's mysql of 2016",
        ..PLAIN
    },
    Fixture {
        name: "redis",
        files: Files::Npm(
            "dockerfilelint@1.8.0",
            "test/examples/Dockerfile.redis",
            "c4744db9163c25d63c9dab7e5471f7aac96ad50791b5f52c7722bcfb416d79f8",
        ),
        what: "docker-library's redis of 2016; compiles it",
        needed: "nothing; it heeds `SOURCE_DATE_EPOCH` for the build id that it compiles in",
        ..PLAIN
    },
    Fixture {
        name: "cargo",
        files: Files::Ours("ecosystems/cargo"),
        what: "cargo build with crates from the registry, index and target kept",
        more: &["--learn"],
        needed: "Debian's `cargo-web` (sparse index); `--learn`, since cargo has its hosts built in",
        ..PLAIN
    },
    Fixture {
        name: "npm",
        files: Files::Ours("ecosystems/npm"),
        what: "npm install, npm ci; its cache stays",
        needs: &["apt", "npm"],
        ..PLAIN
    },
    Fixture {
        name: "go",
        files: Files::Ours("ecosystems/go"),
        what: "go build with a module through a proxy; its caches stay",
        needs: &["apt"],
        serves: &[Serve::Modules],
        needed: "a module proxy made by the test, since no public one is reached from here",
        ..PLAIN
    },
    Fixture {
        name: "gem",
        files: Files::Ours("ecosystems/gem"),
        what: "gem build, gem install with an extension in C",
        needed: "a gem made in the step, since no public repository is reached from here; `--no-document`, since what `ri` writes differs \
            and nobody knows why",
        ..PLAIN
    },
    Fixture {
        name: "pip",
        files: Files::Ours("ecosystems/pip"),
        what: "pip: wheels, a source distribution with C; its cache stays",
        needed: "`CFLAGS=-g0` for the C, since pip compiles in a directory of a random name",
        needs: &["apt", "pypi"],
        ..PLAIN
    },
    Fixture {
        name: "uv",
        files: Files::Ours("ecosystems/uv"),
        what: "uv: lock, sync, venv, pip install; its cache stays",
        needs: &["apt", "pypi"],
        ..PLAIN
    },
    Fixture {
        name: "dnf",
        files: Files::Ours("ecosystems/dnf"),
        what: "dnf --installroot, dnf install and remove; rpm's and dnf's databases stay",
        needs: &["apt"],
        serves: &[Serve::Packages],
        needed: "a repository made by the test with createrepo-c, in Debian's dnf: no mirror of rpms is reached from here",
        ..PLAIN
    },
    Fixture {
        name: "python",
        files: Files::Npm(
            "validate-dockerfile@1.8.1",
            "test/Dockerfiles/Dockerfile-12",
            "708751194c86be6e7af89cdd621f484eb3efbd2c6015639722e1fea93f63496f",
        ),
        what: "an application of Django's",
        needs: &["apt", "pypi"],
        ..PLAIN
    },
    Fixture {
        name: "c",
        files: Files::Ours("ecosystems/c"),
        what: "gcc and cmake: `__DATE__`, debug information, a static library, in parallel",
        needed: "cmake's own directory removed: its log has random names",
        ..PLAIN
    },
    Fixture {
        name: "entropy",
        files: Files::Ours("ecosystems/entropy"),
        what: "host keys, a machine id, a salt, a certificate, random numbers and names",
        real: Explained(ENTROPY),
        commit: Explained(ENTROPY),
        needed: "must never be `reproduced`",
        ..PLAIN
    },
    Fixture {
        name: "shapes",
        files: Files::Ours("ecosystems/shapes"),
        what: "stages, heredocs, build args, a cache mount, modes, links, holes, attributes, capabilities, owners, odd names, \
            whiteouts, users, USER, WORKDIR, all of the config",
        more: &["--build-arg", "VERSION=2.0", "--build-arg", "WORD=moon"],
        ..PLAIN
    },
    Fixture {
        name: "git",
        files: Files::Ours("ecosystems/git"),
        what: "git clone over smart HTTP, shallow and whole; `.git` stays",
        needed: "`ENV EMAIL`, since git writes the host's name into its logs where nobody says who is at work; with the name that every \
            build has (`reprov`) it is the same without",
        needs: &["apt"],
        serves: &[Serve::Git],
        ..PLAIN
    },
    Fixture {
        name: "node",
        files: Files::Npm(
            "dockerfilelint@1.8.0",
            "test/examples/Dockerfile.node",
            "01d808eb8ce7f175232afb497995dc2cfa80d00f9f6f84e062230f0fad49553a",
        ),
        what: "docker-library's node of 2016",
        ..PLAIN
    },
    Fixture {
        name: "nginx",
        files: Files::Npm(
            "dockerfilelint@1.8.0",
            "test/examples/Dockerfile.nginx",
            "a0c0ecc99b85f4715f6a04fba43f012ba7e48f459ff4576f4302547c57c2d8b3",
        ),
        what: "docker-library's nginx of 2016",
        ..PLAIN
    },
    Fixture {
        name: "fetch",
        files: Files::Ours("ecosystems/fetch"),
        what: "`ADD https://`, with and without `--checksum`, curl, wget",
        needed: "nothing; buildah 1.28 has no `--checksum`, so the gateway holds to it",
        needs: &["apt"],
        serves: &[Serve::Files],
        ..PLAIN
    },
    Fixture {
        name: "archives",
        files: Files::Ours("clock"),
        what: "date, tar, gzip, zip, cpio, Python's zipfile, and a checksum of them in the same step",
        needed: "tar and zip with sorted names, `cpio --reproducible`: the order of a directory and inodes are no clock's",
        real: Explained(&[
            ("clock-in-text", "made/date"),
            ("cpio-timestamp", "made/archive.cpio"),
            ("gzip-timestamp", "made/one.gz"),
            ("tar-timestamp", "made/archive.tar"),
            ("zip-timestamp", "made/archive.zip"),
            ("zip-timestamp", "made/python.zip"),
        ]),
        ..PLAIN
    },
    Fixture {
        name: "onbuild",
        files: Files::Ours("ecosystems/onbuild"),
        what: "triggers of a base: its COPY and RUN, then one of our own",
        serves: &[Serve::Parent],
        ..PLAIN
    },
    Fixture {
        name: "secret",
        files: Files::Ours("ecosystems/secret"),
        what: "`--mount=type=secret`: not in image, log, transcript, statement",
        serves: &[Serve::Secret],
        ..PLAIN
    },
    Fixture {
        name: "arrived",
        files: Files::Ours("ecosystems/arrived"),
        what: "prints what varies to the log; the two logs differ in each",
        ..PLAIN
    },
];

/// What cannot run here, and why.
pub(super) const ABSENT: &[(&str, &str)] = &[
    (
        "apk",
        "no mirror of Alpine is reached from here, and Debian 12 has no apk-tools to make a root and a repository with",
    ),
    (
        "gems, Go modules, rpms and jars from their public repositories",
        "none is reached from here; see `gem`, `go`, `dnf`, `java` for what stands in",
    ),
    (
        "Gradle",
        "Debian 12 has 4.4.1, which ended in a step with `Could not create service of type MemoryManager` under Debian's Java 17; \
            no other is reached from here",
    ),
    (
        "several platforms in an index",
        "a build has one platform; and steps of another architecture need qemu-user registered in binfmt_misc, which is the \
            whole machine's and not a test's to change",
    ),
    (
        "docker-library's python and postgres",
        "no package of a registry that is reached from here carries these files; an application on Python and the same authors' mysql stand in",
    ),
];
