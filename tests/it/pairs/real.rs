//! Pairs of images that plain buildah built twice with real tools: what drifts is named, and where it came from.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use reprov::layer::matches;
use serde_json::Value;

use super::said;
use crate::support::{Lab, Ran, fixtures, must, root};

/// buildah alone, with a store of its own; pairs are pushed to one layout, tagged `NAME-a` and `NAME-b`.
struct Plain {
    lab: Lab,
    driver: &'static str,
}

impl Plain {
    fn new(driver: &'static str) -> Self {
        Self::on("debian", driver)
    }

    fn on(base: &str, driver: &'static str) -> Self {
        let plain = Self { lab: Lab::new(), driver };
        let base = must(Command::new(fixtures("base/make")).arg(base));
        let id = plain.buildah(&["pull", "--quiet", &format!("oci:{}:latest", base.trim())]);
        plain.buildah(&["tag", id.trim(), "localhost/base"]);
        plain
    }

    fn buildah(&self, args: &[&str]) -> String {
        let (images, run) = (self.lab.path("plain-root"), self.lab.path("plain-run"));
        let storage = ["--root", &images, "--runroot", &run, "--storage-driver", self.driver];
        must(Command::new("buildah").args(storage).args(args))
    }

    /// Builds `fixtures/pairs/NAME/Dockerfile`.
    fn build(&self, name: &str, tag: &str, more: &[&str]) {
        let dockerfile = fixtures("pairs").join(name).join("Dockerfile");
        let context = self.lab.path("context");
        let mut args = vec!["bud", "--quiet", "--layers", "--no-cache", "--network", "host", "--tag", tag];
        args.extend(["--file", dockerfile.to_str().unwrap()]);
        args.extend(more);
        args.push(&context);
        self.buildah(&args);
    }

    /// Builds it twice, one after the other; `more` is said of the first build and of the second.
    fn pair(&self, name: &str, more: [&[&str]; 2]) {
        for (side, more) in ["a", "b"].into_iter().zip(more) {
            self.context(side == "b");
            self.mounted(side);
            let mnt = format!("{}:/mnt:ro", self.lab.path(side));
            let tag = format!("localhost/{name}:{side}");
            self.build(name, &tag, &[&["--volume", mnt.as_str()], more].concat());
            self.push(&tag, &format!("{name}-{side}"), &[]);
        }
    }

    /// The context; for the second build with other modes and times, as another checkout would have it.
    fn context(&self, other: bool) {
        let to = self.lab.path("context");
        let _ = fs::remove_dir_all(&to);
        must(Command::new("cp").arg("-r").arg(fixtures("pairs/context")).arg(&to));
        let mode = |path: &str, mode| {
            fs::set_permissions(Path::new(&to).join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        mode("conf", if other { 0o600 } else { 0o644 });
        mode("tree/sub", if other { 0o700 } else { 0o755 });
    }

    /// What is mounted on /mnt in one of the builds.
    fn mounted(&self, side: &str) {
        let values = [
            ("threads", "1", "2"),
            ("when", "0 days", "40 days"),
            ("locale", "C", "en_US.UTF-8"),
            ("users", "u1 u2", "u2 u1"),
            ("click", "8.1.6", "8.1.7"),
            ("suites", " bookworm main$", "^deb "),
        ];
        fs::create_dir_all(self.lab.path(side)).unwrap();
        for (name, a, b) in values {
            fs::write(format!("{}/{name}", self.lab.path(side)), if side == "a" { a } else { b }).unwrap();
        }
    }

    fn push(&self, image: &str, tag: &str, more: &[&str]) {
        let to = format!("oci:{}:{tag}", self.lab.path("pairs"));
        self.buildah(&[&["push", "--quiet"], more, &[image, &to]].concat());
    }

    fn diff(&self, a: &str, b: &str) -> Ran {
        let side = |tag: &str| format!("oci:{}:{tag}", self.lab.path("pairs"));
        let store = self.lab.path("store");
        self.lab.reprov(&["diff", &side(a), &side(b), "--store", &store, "--format", "json"])
    }
}
/// Words of the instruction, path, cause; besides, times alone may differ anywhere.
pub(super) type Row = (&'static str, &'static str, &'static str);

pub(super) const STEPS: &[Row] = &[
    ("COPY file:", "etc/conf", "context-mode"),
    ("COPY file:", "etc", "context-mtime"),
    ("COPY dir:", "srv/tree/sub", "context-mode"),
    ("COPY dir:", "srv", "context-mtime"),
    ("COPY dir:", "srv/tree", "context-mtime"),
    ("COPY dir:", "srv/tree/**", "context-mtime"),
    ("mkdir /date", "date/*", "clock-in-text"),
    ("mkdir /py", "py/__pycache__/*.pyc", "pyc-timestamp"),
    ("flask", "usr/local/lib/python3*/dist-packages/**.pyc", "pyc-timestamp"),
    ("venv /venv", "venv/**.pyc", "pyc-timestamp"),
    ("markupsafe", "usr/local/lib/python3*/dist-packages/markupsafe/*.so", "build-path"),
    ("mkdir /cc", "cc/*", "compile-date"),
    ("mkdir /path", "path/*", "build-path"),
    ("mkdir /ar", "ar/libf.a", "ar-timestamp"),
    ("mkdir /zip", "zip/*.gz", "gzip-timestamp"),
    ("mkdir /zip", "zip/*.zip", "zip-timestamp"),
    ("mkdir /zip", "zip/n.jar", "zip-timestamp"),
    ("mkdir /zip", "zip/p.pyz", "zip-timestamp"),
    ("mkdir -p /tar", "tar/*.t*", "tar-timestamp"),
    ("mkdir -p /tar", "tar/a.cpio*", "cpio-timestamp"),
    ("mkdir /xz", "xz/n.xz", "cpu-dependent"),
    ("mkdir /xz", "xz/n.zst", "compressed-member"),
    ("mkdir /xz", "xz/n.gz", "compressed-member"),
    ("mkdir /git", "git/.git/**", "git-metadata"),
    ("mkdir /git", "clone/.git/**", "git-metadata"),
    ("mkdir /keys", "keys/*.key", "key-material"),
    ("mkdir /keys", "keys/*.pem", "key-material"),
    ("mkdir /keys", "keys/id", "key-material"),
    ("mkdir /keys", "keys/id.pub", "key-material"),
    ("mkdir /keys", "keys/rsa.crt", "certificate"),
    ("mkdir /keys", "keys/y.csr", "certificate"),
    ("faketime", "etc/shadow", "shadow-date"),
    ("chpasswd", "etc/shadow", "password-salt"),
    ("keytool", "ca.jks", "keystore-timestamp"),
    ("mkdir /host", "host/*", "hostname"),
    ("mkdir /names", "names/tmp.**", "random-name"),
    ("mkdir /random", "random/*", "random-token"),
    ("mkdir /proc.d", "proc.d/*", "proc-capture"),
    ("mkdir /order", "order/*", "line-order"),
    ("mkdir /sql", "sql/*.db", "sqlite-pages"),
    ("rpm --root", "rpm/root/.rpmdb/rpmdb.sqlite*", "rpmdb-time"),
    ("--installroot", "dnf/root/.rpmdb/rpmdb.sqlite*", "rpmdb-time"),
    ("--installroot", "dnf/var/lib/dnf/history.sqlite*", "dnf-history"),
    ("--installroot", "dnf/var/cache/dnf/**", "tool-cache"),
    ("--installroot", "dnf/var/log/dnf*.log", "package-log"),
    ("--installroot", "dnf/var/log/hawkey.log", "package-log"),
    ("dpkg-deb", "deb.d/p.deb", "ar-timestamp"),
    ("javadoc", "doc/doc/*.html", "clock-in-text"),
    ("npm install", "root/.npm/**", "tool-cache"),
    ("cargo build", "hello/target/**", "tool-cache"),
    ("gpg --batch", "gpg/**", "key-material"),
    ("click==", "usr/local/lib/python3*/dist-packages/click**", "package-version"),
];

pub(super) const APT: &[Row] = &[
    ("", "var/cache/apt/*pkgcache.bin", "apt-cache"),
    ("", "var/cache/ldconfig/aux-cache", "ldconfig-cache"),
    ("", "var/log/apt/*.log", "package-log"),
    ("", "var/log/dpkg.log", "package-log"),
    ("default-jre-headless", "var/log/alternatives.log", "package-log"),
    ("fontconfig", "var/cache/fontconfig/*.cache-8", "fontconfig-cache"),
    ("openssh-server", "etc/ssh/ssh_host_*", "key-material"),
    ("ssl-cert", "etc/ssl/private/ssl-cert-snakeoil.key", "key-material"),
    ("ssl-cert", "etc/ssl/certs/????????.0", "key-material"),
    ("ssl-cert", "etc/ssl/certs/ssl-cert-snakeoil.pem", "certificate"),
    ("dbus", "**/machine-id", "machine-id"),
    ("default-jre-headless", "etc/ssl/certs/java/cacerts", "keystore-timestamp"),
    ("exim4-base", "etc/exim4/update-exim4.conf.conf", "hostname"),
    ("exim4-base", "etc/mailname", "hostname"),
    ("exim4-base", "var/**", "hostname"),
    ("useradd", "home/**", "account-ids"),
    ("useradd", "etc/*", "account-ids"),
    ("useradd", "etc/*shadow", "line-order"),
    ("useradd", "etc/*-", "account-backup"),
];
/// What packages that moved leave, their own files and others.
pub(super) const MOVED: &[Row] = &[
    ("", "usr/**", "package-version"),
    ("", "usr/lib/python3*/**.pyc", "pyc-timestamp"),
    ("", "var/lib/dpkg/**", "package-version"),
    ("", "var/cache/apt/archives/*.deb", "package-version"),
    ("", "var/lib/apt/lists/**", "package-lists"),
    ("", "var/cache/apt/*pkgcache.bin", "apt-cache"),
    ("", "var/cache/ldconfig/aux-cache", "ldconfig-cache"),
    ("", "var/log/apt/*.log", "package-log"),
    ("", "var/log/apt/eipp.log.xz", "package-log"),
    ("", "var/log/dpkg.log", "package-log"),
];
/// What busybox leaves, without the network.
pub(super) const SMALL: &[Row] = &[
    ("date", "t/date", "clock-in-text"),
    ("hostname", "t/host", "hostname"),
    ("mktemp", "t/tmp.*", "random-name"),
    ("uuid", "t/uuid", "random-token"),
    ("status", "t/status", "proc-capture"),
    ("tar", "t/n.tar", "tar-timestamp"),
    ("mkdir", "t", "mtime"),
];
/// The same Dockerfile by two storage drivers.
pub(super) const DRIVERS: &[Row] = &[
    ("COPY", "opt/out/id", "random-token"),
    ("rm -rf", "opt/d/.wh.*", "whiteout-form"),
    ("RUN", "run", "builder-mount-point"),
    ("date", "etc/stamp", "clock-in-text"),
];
/// What image configs and manifests of two builds differ in.
const OF_IMAGES: [&str; 3] = ["clock-in-text", "history-consequence", "builder-label"];

#[test]
fn a_small_image_built_twice() {
    if !root() {
        println!("skipped: only root can");
        return;
    }
    let plain = Plain::on("tiny", "overlay");
    // As another version of the builder would: with another label of its own.
    plain.pair("small", [&[], &["--identity-label=false"]]);
    let ran = plain.diff("small-a", "small-b");
    judge(&ran, SMALL);
    let answer = ran.json();
    let causes: BTreeSet<_> =
        answer["config"].as_array().unwrap().iter().filter_map(|one| one["cause"].as_str()).collect();
    assert_eq!(causes, OF_IMAGES.into());
}

#[test]
#[ignore = "slow: make acceptance"]
fn each_tool_leaves_what_is_named() {
    if !root() {
        println!("skipped: only root can");
        return;
    }
    let plain = Plain::new("overlay");
    plain.context(false);
    plain.build("tools", "localhost/tools", &[]);
    // Trusted here, so by pip, npm and cargo there.
    let certificates = ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"];
    plain.pair("steps", [&certificates, &certificates]);
    judge(&plain.diff("steps-a", "steps-b"), STEPS);
    one_more_byte(&plain, "steps");
}

#[test]
#[ignore = "slow: make acceptance"]
fn each_package_leaves_what_is_named() {
    if !root() {
        println!("skipped: only root can");
        return;
    }
    let plain = Plain::new("overlay");
    plain.pair("apt", [&[], &[]]);
    judge(&plain.diff("apt-a", "apt-b"), APT);
    one_more_byte(&plain, "apt");
}

#[test]
#[ignore = "slow: make acceptance"]
fn packages_that_moved_are_named_with_what_they_leave() {
    if !root() {
        println!("skipped: only root can");
        return;
    }
    let plain = Plain::new("overlay");
    plain.pair("moved", [&[], &[]]);
    let ran = plain.diff("moved-a", "moved-b");
    let drifts = ran.json()["drifts"].as_array().unwrap().clone();
    if !drifts.iter().any(|drift| drift["cause"] == "package-version") {
        println!("skipped: today the mirror has one version of each, with security fixes and without");
        return;
    }
    judge(&ran, MOVED);
}

/// Every drift is of a row or a time alone, every row is there, and nothing is unexplained.
#[track_caller]
fn judge(ran: &Ran, rows: &[Row]) {
    let answer = ran.json();
    drifts(&answer, rows);
    let config = answer["config"].as_array().unwrap().iter();
    let others = config.filter(|one| !OF_IMAGES.contains(&one["cause"].as_str().unwrap_or_default()));
    assert_eq!(others.collect::<Vec<_>>(), [] as [&Value; 0]);
    assert_eq!((answer["verdict"].as_str(), ran.code), (Some("explained"), Some(1)));
}

/// The drifts alone.
#[track_caller]
fn drifts(answer: &Value, rows: &[Row]) {
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for drift in answer["drifts"].as_array().unwrap() {
        let word = |name: &str| drift[name].as_str().unwrap_or_default();
        let text = drift["instruction"]["text"].as_str().unwrap_or_default();
        let fits = |row: &&Row| {
            text.contains(row.0)
                && matches(row.1.as_bytes(), word("path").as_bytes())
                && word("cause") == row.2
        };
        match rows.iter().find(fits) {
            Some(row) => drop(seen.insert(row)),
            None if word("cause") == "mtime" && word("change") == "metadata" => {}
            None => {
                wrong.push(format!("{} {} of `{text}`: {}", word("path"), word("cause"), word("evidence")));
            }
        }
    }
    wrong.extend(rows.iter().filter(|row| !seen.contains(row)).map(|row| format!("nothing fits {row:?}")));
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

const EPOCH: [&str; 2] = ["--timestamp", "1700000000"];
const DRIFT: [Row; 2] = [("", "etc/stamp", "clock-in-text"), ("", "opt/out/id", "random-token")];
const SHAPE: [Row; 1] = [("", "", "layer-shape")];
pub(super) const SQUASHED: [Row; 2] = [SHAPE[0], ("", "**", "mode-type-bits")];

#[test]
#[ignore = "slow: make acceptance"]
fn the_same_image_in_other_forms() {
    if !root() {
        println!("skipped: only root can");
        return;
    }
    let plain = Plain::new("overlay");
    plain.context(false);
    plain.build("forms", "localhost/forms", &EPOCH);
    plain.push("localhost/forms", "gzip", &[]);
    plain.push("localhost/forms", "zstd", &["--compression-format", "zstd"]);
    let answer = plain.diff("gzip", "zstd").exits(1).json();
    assert_eq!(said(&answer), ["- compression".to_owned(), "compression-only".to_owned()].into());
}

#[test]
#[ignore = "slow: make acceptance"]
fn two_drivers_delete_in_two_forms() {
    if !root() {
        println!("skipped: only root can");
        return;
    }
    let [overlay, vfs] = ["overlay", "vfs"].map(Plain::new);
    for (plain, tag) in [(&overlay, "a"), (&vfs, "b")] {
        plain.context(false);
        plain.build("forms", "localhost/forms", &EPOCH);
        let to = format!("oci:{}:{tag}", overlay.lab.path("pairs"));
        plain.buildah(&["push", "--quiet", "localhost/forms", &to]);
    }
    judge(&overlay.diff("a", "b"), DRIVERS);
}

#[test]
#[ignore = "slow: make acceptance"]
fn one_layer_of_many_instructions() {
    if !root() {
        println!("skipped: only root can");
        return;
    }
    let plain = Plain::new("overlay");
    for (tag, more) in [("a", "--layers=false"), ("b", "--layers=false"), ("squashed", "--squash")] {
        plain.context(false);
        let tag_of = format!("localhost/forms:{tag}");
        plain.build("forms", &tag_of, &[EPOCH[0], EPOCH[1], more]);
        plain.push(&tag_of, tag, &[]);
    }
    let [one, squashed] = [plain.diff("a", "b"), plain.diff("a", "squashed")];
    judge(&one, &DRIFT);
    drifts(&squashed.exits(1).json(), &[&DRIFT[..], &SQUASHED].concat());
    // CMD is the last instruction of such a layer, and makes no file.
    for drift in one.json()["drifts"].as_array().unwrap() {
        let text = drift["instruction"]["text"].as_str().unwrap_or_default();
        assert!(!text.starts_with("CMD"), "{drift}");
    }
}

/// Files of the images that `each_…` build, with one more place changed.
#[track_caller]
fn one_more_byte(plain: &Plain, name: &str) {
    let (images, out) = (plain.lab.path("pairs"), plain.lab.path("misses"));
    let script = fixtures("pairs/real_misses");
    let made = must(Command::new(script).args([images.as_str(), name, &out]));
    let mut wrong = Vec::new();
    for (tag, path) in made.lines().filter_map(|line| line.split_once('\t')) {
        let side = |side: &str| format!("oci:{out}:{tag}-{side}");
        let store = plain.lab.path("store");
        let ran = plain.lab.reprov(&["diff", &side("a"), &side("b"), "--store", &store, "--format", "json"]);
        let answer = ran.exits(1).json();
        let drift = answer["drifts"].as_array().unwrap().iter().find(|drift| drift["path"] == path).unwrap();
        if (drift["cause"] == "unexplained") != tag.contains('.') {
            wrong.push(format!("{tag}: {}", drift["cause"]));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}
