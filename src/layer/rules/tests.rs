use std::io::Cursor;

use bstr::BStr;

use super::*;
use crate::{
    layer::{
        Index,
        fake::{FakeLayer, Heap},
        sqlite, write,
    },
    model::names,
};

const EPOCH_S: i64 = 100;

/// What is left of `layer`, and what was counted.
struct Left {
    entries: Vec<Entry>,
    counts: String,
    dropped: Vec<BString>,
    /// The layer as it is written, unpacked again.
    written: BTreeMap<BString, Vec<u8>>,
}

impl Left {
    fn paths(&self) -> String {
        let shown = self.entries.iter().map(|entry| format!("{}:{}", entry.path, entry.kind.name()));
        shown.collect::<Vec<_>>().join(" ")
    }
}

fn left(profile: &Profile, layer: &FakeLayer, mounts: &[&str], lower: &Lower, reached: &[&str]) -> Left {
    let tar = layer.tar();
    let set = |paths: &[&str]| paths.iter().map(|path| BString::from(*path)).collect::<BTreeSet<_>>();
    let mut open = |entry: &Entry| -> io::Result<Box<dyn Read>> {
        let start = usize::try_from(entry.offset).unwrap();
        Ok(Box::new(Cursor::new(tar[start..start + usize::try_from(entry.size_bytes).unwrap()].to_vec())))
    };
    let (mounts, reached) = (set(mounts), set(reached));
    let around = Around { lower, mounts: &mounts, reached: &reached, epoch_s: EPOCH_S };
    let mut applied = profile.apply(layer.layer(), &around, &mut open, &Heap::default()).unwrap();
    let entries = applied.layer.entries().unwrap().map(Result::unwrap).collect();
    let mut archive = Vec::new();
    let mut content = Cursor::new(tar.clone());
    write(&applied.layer, &mut applied.patches.over(&mut content), EPOCH_S, &mut archive).unwrap();
    let mut written = BTreeMap::new();
    Index::read(flate2::read::GzDecoder::new(&archive[..]), &Heap::default(), |entry, chunk| {
        written.entry(entry.path.clone()).or_insert_with(Vec::new).extend_from_slice(chunk);
    })
    .unwrap();
    let counts = applied.counts.iter().map(|count| format!("{}={}", count.rule, count.entries));
    Left { entries, counts: counts.collect::<Vec<_>>().join(" "), dropped: applied.dropped, written }
}

fn apply(profile: &Profile, layer: &FakeLayer, mounts: &[&str], lower: &Lower) -> (String, String) {
    let left = left(profile, layer, mounts, lower, &[]);
    (left.paths(), left.counts)
}

/// What `profile` does to one layer on nothing.
fn alone(profile: &str, layer: &FakeLayer) -> Left {
    left(&Profile::named(profile).unwrap(), layer, &[], &Lower::default(), &[])
}

/// What becomes of one file under `default-1`, and so under what is newer.
#[track_caller]
fn check(path: &str, content: &[u8], expected: &str) {
    for profile in ["default-1", "default-2"] {
        let counts = alone(profile, &FakeLayer::default().file(path, content)).counts;
        let expected = if expected.is_empty() { String::new() } else { format!("{expected}=1") };
        assert_eq!(counts, expected, "{profile}: {path}");
    }
}

/// What becomes of one file under `default-2` alone.
#[track_caller]
fn check_2(path: &str, content: &[u8], expected: &str) {
    let layer = FakeLayer::default().file(path, content);
    assert_eq!(alone("default-1", &layer).counts, "", "{path}");
    let expected = if expected.is_empty() { String::new() } else { format!("{expected}=1") };
    assert_eq!(alone("default-2", &layer).counts, expected, "{path}");
}

#[test]
fn drops_what_it_names() {
    check("var/log/apt/history.log", b"\nStart-Date: 2026-11-24  21:15:12\n", "apt-log");
    check("var/log/apt/term.log", b"Log started: 2026-11-24  21:15:12\n", "apt-log");
    check("var/log/apt/term.log.1.gz", b"\x1f\x8b\x08", "apt-log");
    check("var/log/apt/eipp.log.xz", b"\xfd7zXZ\0", "apt-log");
    check("var/log/dpkg.log", b"2026-11-24 21:15:12 startup\n2026-11-24 21:15:13 done\n", "dpkg-log");
    check("var/log/alternatives.log", b"update-alternatives 2026-11-24 21:15:12: run\n", "alternatives-log");
    check("var/cache/apt/srcpkgcache.bin", b"\xdc\x76\xfe\x98..", "apt-cache");
    check("var/cache/ldconfig/aux-cache", b"glibc-ld.so.auxcache-1.0\0", "ldconfig-cache");
    check("root/.npm/_logs/2026-debug-0.log", b"0 verbose cli\n", "npm-log");
    let index = b"\n0123456789abcdef0123456789abcdef01234567\t{\"key\":1}";
    check("root/.npm/_cacache/index-v5/ab/cd/x", index, "npm-index");
    check("root/.cache/pip/selfcheck/x", b"{}", "pip-cache");
    check(&format!("root/.cache/pip/http-v2/a/{}.body", "0".repeat(56)), b"any", "pip-cache");
    check("etc/.pwd.lock", b"", "pwd-lock");
}

#[test]
fn keeps_what_only_looks_alike() {
    check("var/log/apt/history.log", b"my own notes", "");
    check("var/log/dpkg.log", b"2026-11-24 21:15:12 startup\nmy own notes\n", "");
    check("var/log/dpkg.log", &vec![b'x'; 70_000], "");
    check("var/log/alternatives.log", b"x", "");
    check("var/cache/apt/pkgcache.bin", b"not a cache", "");
    check("srv/var/cache/apt/pkgcache.bin", b"\xdc\x76\xfe\x98", "");
    check("var/cache/ldconfig/aux-cache", b"", "");
    check("root/.npm/_cacache/index-v5/x", b"{}", "");
    check("root/.npm/_cacache/content-v2/x", b"", "");
    check("root/.cache/pip/notes.txt", b"{}", "");
    check("etc/.pwd.lock", b"x", "");
    check("var/log/.wh.dpkg.log", b"", "");
    let none = Profile::named("none").unwrap();
    let lock = FakeLayer::default().file("etc/.pwd.lock", b"");
    assert_eq!(apply(&none, &lock, &["etc/.pwd.lock"], &Lower::default()).1, "");
    assert!(matches!(Profile::named("default-0"), Err(LayerError::Profile(_))));
}

#[test]
fn never_drops_what_is_no_file() {
    let layer = FakeLayer::default().symlink("etc/.pwd.lock", "x").dir("root/.cache/pip/selfcheck/x/");
    let profile = Profile::named("default-1").unwrap();
    assert_eq!(apply(&profile, &layer, &[], &Lower::default()).1, "");
}

#[test]
fn drops_mount_points_the_engine_made() {
    let layer = FakeLayer::default()
        .dir("run/")
        .dir("run/secrets/")
        .file("etc/hosts", b"")
        .file("etc/resolv.conf", b"user's")
        .dir("etc/")
        .dir("proc/")
        .file("proc/x", b"")
        .dir("sys/");
    let mut lower = Lower::default();
    lower.apply(&FakeLayer::default().dir("sys/").layer(), &Heap::default()).unwrap();
    let mounts = ["run", "run/secrets", "etc/hosts", "etc/resolv.conf", "proc", "sys"];
    let (left, counts) = apply(&Profile::named("default-1").unwrap(), &layer, &mounts, &lower);
    assert_eq!(left, "etc:directory etc/resolv.conf:file proc:directory proc/x:file sys:directory");
    assert_eq!(counts, "engine-mount-point=3");
    let (left, counts) = apply(&Profile::named("none").unwrap(), &layer, &mounts, &lower);
    assert!(!left.contains("run/secrets"), "{left}");
    assert_eq!(counts, "engine-mount-point=1");
}

#[test]
fn the_next_name_takes_the_bytes() {
    let layer = FakeLayer::default()
        .file("etc/.pwd.lock", b"")
        .hardlink("z", "b")
        .hardlink("b", "etc/.pwd.lock")
        .hardlink("c", "etc/.pwd.lock");
    let (left, counts) = apply(&Profile::named("default-1").unwrap(), &layer, &[], &Lower::default());
    assert_eq!((left.as_str(), counts.as_str()), ("b:file c:hardlink z:hardlink", "pwd-lock=1"));
}

#[test]
fn the_users_own_drops() {
    let drops = vec![("opt/**.log".to_owned(), "noise".to_owned())];
    let profile = Profile::named("none").unwrap().with_drops(drops);
    let layer = FakeLayer::default().file("opt/a/x.log", b"1").dir("opt/b.log/").file("opt/x.txt", b"2");
    let (left, counts) = apply(&profile, &layer, &[], &Lower::default());
    assert_eq!((left.as_str(), counts.as_str()), ("opt/b.log:directory opt/x.txt:file", "drop:opt/**.log=1"));
}

#[test]
fn every_profile_has_its_name() {
    assert_eq!(Profile::names().collect::<Vec<_>>(), names::PROFILES);
    let rules = |name| Profile::named(name).unwrap().rules();
    assert!(rules("none").is_empty());
    assert!(rules("default-1").iter().all(|rule| rules("default-2").contains(rule)));
}

/// docs/normalization.md has one row a rule, under the profile that brought it, and no other rows.
#[test]
fn the_document_names_every_rule() {
    let text = include_str!("../../../docs/normalization.md");
    let mut documented: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut profile = "";
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            profile = heading.trim_matches('`');
        }
        if let Some((name, _)) = line.strip_prefix("| `").and_then(|row| row.split_once('`')) {
            documented.entry(profile).or_default().push(name);
        }
    }
    let one = Profile::named("default-1").unwrap().rules();
    let mut two = Profile::named("default-2").unwrap().rules();
    two.retain(|rule| !one.contains(rule));
    assert_eq!(documented.get("default-1"), Some(&one));
    assert_eq!(documented.get("default-2"), Some(&two));
}

#[test]
fn what_is_new_in_default_2() {
    let database = |made: &str| [sqlite::MAGIC, &[0; 200], made.as_bytes()].concat();
    let last_use = database("CREATE TABLE registry_index (x) CREATE TABLE global_data (y)");
    check_2("home/app/.npm/_logs/2026-debug-0.log", b"0 verbose cli\n", "user-npm-log");
    let index = b"\n0123456789abcdef0123456789abcdef01234567\t{\"key\":1}";
    check_2("home/app/.npm/_cacache/index-v5/ab/cd/x", index, "user-npm-index");
    check_2("home/app/.cache/pip/wheels/a/b/x.whl", b"PK\x03\x04", "user-pip-cache");
    check_2("home/app/.cache/pip/notes.txt", b"mine", "");
    for home in ["root/.cargo", "home/app/.cargo", "usr/local/cargo"] {
        check_2(&format!("{home}/.global-cache"), &last_use, "cargo-last-use");
    }
    check_2("root/.cargo/.global-cache", &database("CREATE TABLE mine (x)"), "");
    check_2("srv/.cargo/.global-cache", &last_use, "");
    check_2("rc/target/.rustc_info.json", b"{\"rustc_fingerprint\":1,", "rustc-info");
    check_2("rc/target/.rustc_info.json", b"{}", "");
    let extension = "var/lib/gems/3.1.0/extensions/x86_64-linux/3.1.0/greeting-1.0.0";
    check_2(&format!("{extension}/gem_make.out"), b"current directory: /x\n", "gem-log");
    check_2(&format!("{extension}/gem.build_complete"), b"", "");
    let makefile = b"\nSHELL = /bin/sh\n\nsitearchdir = $(DESTDIR)./.gem.20261129-8-76fthw\n";
    check_2("var/lib/gems/3.1.0/gems/greeting-1.0.0/ext/greeting/Makefile", makefile, "gem-makefile");
    check_2("var/lib/gems/3.1.0/gems/greeting-1.0.0/ext/Makefile", b"all:\n", "");
    check_2("c/build/CMakeFiles/CMakeOutput.log", b"The system is: Linux\n", "cmake-log");
    check_2("c/build/CMakeFiles/CMakeOutput.log", b"mine\n", "");
    check_2("tmp/uv-setuptools-350f7af8b17272ef.lock", b"", "uv-lock");
    check_2("tmp/uv-setuptools-350f7af8b17272ef.lock", b"x", "");
    check_2("tmp/uv-mine.lock", b"", "");
    let line = b"2026-11-29T11:55:32+0000 INFO --- logging initialized ---\n";
    check_2("var/log/dnf.log", line, "dnf-log");
    check_2("var/log/hawkey.log", line, "dnf-log");
    check_2("var/log/dnf.log", b"my own notes", "");
    check_2("var/cache/dnf/expired_repos.json", b"[\"local\"]", "dnf-expired");
    check_2("var/cache/dnf/expired_repos.json", b"{}", "");
    check_2("var/log/mine.log", line, "");
}

#[test]
fn privileges_stay() {
    let lock = || FakeLayer::default().file("etc/.pwd.lock", b"");
    assert_eq!(alone("default-2", &lock()).counts, "pwd-lock=1");
    assert_eq!(alone("default-2", &lock().mode(0o4644)).counts, "");
    assert_eq!(alone("default-2", &lock().pax(&[("SCHILY.xattr.security.capability", b"x")])).counts, "");
    assert_eq!(alone("default-1", &lock().mode(0o4644)).counts, "pwd-lock=1", "as it was");
    let tool = FakeLayer::default().file("root/.cache/uv/archive-v0/x/bin", b"").mode(0o4755);
    assert_eq!(alone("default-2", &tool).counts, "");
}

fn uv() -> FakeLayer {
    FakeLayer::default()
        .dir("root/.cache/")
        .dir("root/.cache/uv/")
        .file("root/.cache/uv/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55")
        .file("root/.cache/uv/.gitignore", b"*")
        .file("root/.cache/uv/.lock", b"")
        .dir("root/.cache/uv/archive-v0/")
        .dir("root/.cache/uv/archive-v0/hVTLoBErU8Fp4ghJ/")
        .file("root/.cache/uv/archive-v0/hVTLoBErU8Fp4ghJ/six.py", b"code")
        .dir("root/.cache/uv/wheels-v8/")
        .symlink("root/.cache/uv/wheels-v8/six", "../archive-v0/hVTLoBErU8Fp4ghJ")
}

#[test]
fn uvs_cache_goes_as_a_whole() {
    let installed = uv().hardlink("v/six.py", "root/.cache/uv/archive-v0/hVTLoBErU8Fp4ghJ/six.py");
    let left = alone("default-2", &installed);
    assert_eq!(left.paths(), "root/.cache:directory root/.cache/uv:directory v/six.py:file");
    assert_eq!(
        (left.counts.as_str(), left.written[BStr::new("v/six.py")].as_slice()),
        ("uv-cache=8", &b"code"[..])
    );
    assert_eq!(alone("default-1", &installed).counts, "");
}

#[test]
fn rustcs_sessions_go() {
    let session = "c/target/debug/incremental/c-3n1ou1ev1z1og/s-hom1p7ydsi-0jnko40";
    let layer = FakeLayer::default()
        .dir("c/target/debug/incremental/c-3n1ou1ev1z1og/")
        .dir(&format!("{session}-5zdjgi35ckcbfnixby4vuop2r/"))
        .file(&format!("{session}-5zdjgi35ckcbfnixby4vuop2r/dep-graph.bin"), b"x")
        .file(&format!("{session}.lock"), b"")
        .file("c/target/debug/incremental/c-3n1ou1ev1z1og/mine", b"");
    let left = alone("default-2", &layer);
    let crate_dir = "c/target/debug/incremental/c-3n1ou1ev1z1og";
    assert_eq!(left.paths(), format!("{crate_dir}:directory {crate_dir}/mine:file"));
    assert_eq!(left.counts, "rustc-incremental=3");
}

#[test]
fn what_lies_in_uvs_cache_and_is_not_its_own_stays() {
    let mine = uv()
        .file("root/.cache/uv/notes.txt", b"mine")
        .file("root/.cache/uv/archive-v0/hVTLoBErU8Fp4ghJ/tool", b"x")
        .mode(0o4755)
        .dir("root/.cache/uv/mine/");
    let left = alone("default-2", &mine);
    let kept = [
        "root/.cache:directory",
        "root/.cache/uv:directory",
        "root/.cache/uv/archive-v0:directory",
        "root/.cache/uv/archive-v0/hVTLoBErU8Fp4ghJ:directory",
        "root/.cache/uv/archive-v0/hVTLoBErU8Fp4ghJ/tool:file",
        "root/.cache/uv/mine:directory",
        "root/.cache/uv/notes.txt:file",
    ];
    assert_eq!(left.paths(), kept.join(" "));
}

#[test]
fn a_cache_that_links_lead_into_stays() {
    let profile = Profile::named("default-2").unwrap();
    let link = |path: &str, target: &str| {
        let layer = FakeLayer::default().symlink(path, target);
        profile.reached(&layer.index()[0]).map(|path| path.to_string())
    };
    let root = Some("root/.cache/uv".to_owned());
    assert_eq!(link("v/six.py", "/root/.cache/uv/archive-v0/x/six.py"), root);
    assert_eq!(link("v/six.py", "../root/.cache/uv/archive-v0/x/six.py"), root);
    assert_eq!(link("root/.cache/uv/wheels-v8/six", "../archive-v0/x"), None);
    assert_eq!(link("v/python", "/usr/bin/python3"), None);
    let kept = left(&profile, &uv(), &[], &Lower::default(), &["root/.cache/uv"]);
    assert_eq!((kept.counts.as_str(), kept.entries.len()), ("", 10));
    assert!(profile.has_cache(&uv().layer()).unwrap());
    assert!(!profile.has_cache(&FakeLayer::default().dir("root/.cache/uv/").layer()).unwrap());
}

#[test]
fn whiteouts_of_what_never_was_go_too() {
    let mut lower = Lower::default();
    let below =
        FakeLayer::default().file("root/.cache/uv/mine/x", b"").file("root/.cache/uv/archive-v0/kept", b"");
    lower.apply(&below.layer(), &Heap::default()).unwrap();
    let layer = FakeLayer::default()
        .dir("root/.cache/uv/archive-v0/")
        .file("root/.cache/uv/archive-v0/.wh.hVTLoBErU8Fp4ghJ", b"")
        .file("root/.cache/uv/archive-v0/.wh.kept", b"")
        .dir("root/.cache/uv/new-v0/")
        .file("root/.cache/uv/new-v0/.wh..wh..opq", b"")
        .file("root/.cache/uv/mine/.wh.x", b"");
    let (left, counts) = apply(&Profile::named("default-2").unwrap(), &layer, &[], &lower);
    let kept = [
        "root/.cache/uv/archive-v0:directory",
        "root/.cache/uv/archive-v0/.wh.kept:file",
        "root/.cache/uv/mine/.wh.x:file",
    ];
    assert_eq!((left, counts.as_str()), (kept.join(" "), "uv-cache=3"));
}

const DATABASE: &str = "var/lib/rpm/rpmdb.sqlite";

fn open_database() -> FakeLayer {
    FakeLayer::default()
        .file(DATABASE, include_bytes!("../../../fixtures/sqlite/grown.sqlite"))
        .file(&format!("{DATABASE}-wal"), include_bytes!("../../../fixtures/sqlite/grown.sqlite-wal"))
        .file(&format!("{DATABASE}-shm"), b"\x18\xe2\x2d\0 and more")
}

#[test]
fn a_database_is_put_at_rest() {
    let left = alone("default-2", &open_database());
    assert_eq!(
        (left.paths().as_str(), left.counts.as_str()),
        ("var/lib/rpm/rpmdb.sqlite:file", "rpm-database=3")
    );
    let rest = include_bytes!("../../../fixtures/sqlite/grown-rest.sqlite");
    assert!(left.written[BStr::new(DATABASE)] == rest);
    assert_eq!(left.entries[0].content, Some(crate::model::Digest::of(rest)));
    assert_eq!(left.entries[0].peek, rest[..64]);
    let sysroot = open_database().file("sysroot/var/lib/rpm/rpmdb.sqlite-wal", b"");
    assert_eq!(alone("default-2", &sysroot).counts, "rpm-database=4", "each by itself");
    let empty =
        FakeLayer::default().file(&format!("{DATABASE}-wal"), b"").file(&format!("{DATABASE}-shm"), &[0; 9]);
    assert_eq!(alone("default-2", &empty).counts, "rpm-database=2", "nothing was written");
    assert_eq!(alone("default-1", &open_database()).entries.len(), 3);
}

#[test]
fn in_doubt_a_database_stays_as_it_is() {
    let stays = |layer: FakeLayer, lower: &Lower| {
        let profile = Profile::named("default-2").unwrap();
        assert_eq!(apply(&profile, &layer, &[], lower).1, "");
    };
    let nothing = Lower::default();
    stays(FakeLayer::default().file(&format!("{DATABASE}-wal"), b"not empty"), &nothing);
    stays(open_database().hardlink("opt/copy", DATABASE), &nothing);
    stays(open_database().hardlink("opt/copy", &format!("{DATABASE}-wal")), &nothing);
    stays(open_database().mode(0o4644), &nothing);
    let odd_index =
        FakeLayer::default().file(DATABASE, b"SQLite format 3\0").file(&format!("{DATABASE}-shm"), b"other");
    stays(odd_index, &nothing);
    let mut lower = Lower::default();
    let log_below = FakeLayer::default().file(&format!("{DATABASE}-wal"), b"older");
    lower.apply(&log_below.layer(), &Heap::default()).unwrap();
    stays(open_database(), &lower);
    let elsewhere = FakeLayer::default().file("opt/rpmdb.sqlite-wal", b"");
    stays(elsewhere, &nothing);
}

#[test]
fn times_of_gos_cache_are_clamped() {
    let (id, path) = ("fe".repeat(32), format!("root/.cache/go-build/fe/{}-a", "fe".repeat(32)));
    let line = |time: &str| format!("v1 {id} {} {:>20} {time:>20}\n", "88".repeat(32), 1817);
    let layer = |line: &str| FakeLayer::default().file(&path, line.as_bytes());
    let left = alone("default-2", &layer(&line("1795953720852166315")));
    assert_eq!(left.counts, "go-build-time=1");
    assert_eq!(left.written[BStr::new(&path)], line("100000000000").as_bytes());
    for other in
        [line("99000000000"), line("1795953720852166315").replace("v1", "v2"), line("x"), String::new()]
    {
        assert_eq!(alone("default-2", &layer(&other)).counts, "", "{other}");
    }
    let trim = |text: &[u8]| FakeLayer::default().file("home/app/.cache/go-build/trim.txt", text);
    let left = alone("default-2", &trim(b"1795953720"));
    assert_eq!(left.written[BStr::new("home/app/.cache/go-build/trim.txt")], b"       100");
    assert_eq!(alone("default-2", &trim(b"mine")).counts, "");
    let linked = layer(&line("1795953720852166315")).hardlink("z", &path);
    assert_eq!(alone("default-2", &linked).counts, "", "also known as another file");
}

#[test]
fn attributes_of_downloads_go() {
    let path = "var/cache/dnf/r/repodata/primary.xml.gz";
    let file = |path: &str| {
        FakeLayer::default().file(path, b"x").pax(&[
            ("SCHILY.xattr.user.Librepo.checksum.mtime", b"1795953333029402790"),
            ("SCHILY.xattr.user.Librepo.checksum.sha256", b"ab"),
            ("SCHILY.xattr.user.mine", b"1"),
        ])
    };
    let left = alone("default-2", &file(path));
    assert_eq!(left.counts, "librepo-attribute=1");
    assert_eq!(left.entries[0].xattrs.keys().collect::<Vec<_>>(), ["user.mine"]);
    assert_eq!(left.written[BStr::new(path)], b"x");
    assert_eq!(alone("default-2", &file("opt/primary.xml.gz")).counts, "");
}

#[test]
fn what_the_recipe_dropped_is_told() {
    let drops = vec![("opt/*.log".to_owned(), "noise".to_owned())];
    let profile = Profile::named("default-2").unwrap().with_drops(drops);
    let layer = FakeLayer::default().file("opt/a.log", b"").file("opt/b.log", b"").file("opt/c", b"");
    let left = left(&profile, &layer, &[], &Lower::default(), &[]);
    assert_eq!(left.dropped, ["opt/a.log", "opt/b.log"]);
}
