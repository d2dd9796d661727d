//! Databases, accounts, and what the kernel says.

use super::*;

const ROWS: &[u8] = include_bytes!("../../../../fixtures/sqlite/rows.sqlite");
const ORDERED: &[u8] = include_bytes!("../../../../fixtures/sqlite/ordered.sqlite");
const VACUUMED: &[u8] = include_bytes!("../../../../fixtures/sqlite/vacuumed.sqlite");
const GROWN_LOG: &[u8] = include_bytes!("../../../../fixtures/sqlite/grown.sqlite-wal");
const GROWN: &[u8] = include_bytes!("../../../../fixtures/sqlite/grown-rest.sqlite");
const RPM: &[u8] = include_bytes!("../../../../fixtures/sqlite/rpmdb-a.sqlite");
const RPM_TIME: &[u8] = include_bytes!("../../../../fixtures/sqlite/rpmdb-time.sqlite");
const RPM_MOVED: &[u8] = include_bytes!("../../../../fixtures/sqlite/rpmdb-moved.sqlite");
const RPM_SAME: &[u8] = include_bytes!("../../../../fixtures/sqlite/rpmdb-same.sqlite");

/// `bytes` with every `from` replaced by `to`, of one length.
fn with(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let changed = bstr::ByteSlice::replace(bytes, from, to);
    assert_ne!(changed, bytes);
    changed
}

#[test]
fn databases() {
    let database = "var/lib/app/x.db";
    check(database, ROWS, VACUUMED, "sqlite-pages");
    check(database, ROWS, ORDERED, "sqlite-pages");
    let time = |time: u32| with(ROWS, &1_795_554_912_u32.to_be_bytes(), &time.to_be_bytes());
    check(database, ROWS, time(1_795_555_912), "sqlite-pages");
    check(database, ROWS, time(5), "unexplained");
    let day = |day: f64| with(ROWS, &2_461_365.5_f64.to_be_bytes(), &day.to_be_bytes());
    check(database, ROWS, day(2_461_366.25), "sqlite-pages");
    check(database, ROWS, day(1.25), "unexplained");
    check(database, ROWS, with(ROWS, b"2026-11-24 21:15:12", b"2026-11-24 21:20:00"), "sqlite-pages");
    check(database, ROWS, with(ROWS, b"2026-11-24 21:15:12", b"2026-11-24 21:20:xx"), "unexplained");
    check(database, ROWS, with(VACUUMED, b"n7", b"m7"), "unexplained");
    check(database, ROWS, with(VACUUMED, b"said TEXT", b"sand TEXT"), "unexplained");
    check(database, ROWS, with(VACUUMED, b"k7", b"k8"), "unexplained"); // Without numbers of rows.
    check(database, ROWS, &VACUUMED[..VACUUMED.len() - 1], "unexplained");
    let ended = with(GROWN, &1_795_952_150_u32.to_be_bytes(), &1_795_952_199_u32.to_be_bytes());
    check("var/lib/dnf/history.sqlite", GROWN, ended, "dnf-history");
    let mut salted = with(GROWN_LOG, &1_795_952_150_u32.to_be_bytes(), &1_795_952_199_u32.to_be_bytes());
    salted[12..32].fill(7);
    check("var/lib/dnf/history.sqlite-wal", GROWN_LOG, &salted, "dnf-history");
    check("var/lib/dnf/history.sqlite-wal", GROWN_LOG, with(&salted, b"install", b"instill"), "unexplained");
    check("var/lib/dnf/history.sqlite-wal", GROWN_LOG, &salted[..salted.len() - 1], "unexplained");
    let index = |salt: u8| [&3_007_000_u32.to_le_bytes()[..], &[0; 20], &[salt; 100]].concat();
    check("srv/app.db-shm", index(1), index(2), "sqlite-pages");
    check("srv/app.db-shm", b"other", b"thing", "unexplained");
}

#[test]
fn times_of_databases_are_of_the_builds() {
    let other = with(ROWS, &1_795_554_912_u32.to_be_bytes(), &1_795_555_912_u32.to_be_bytes());
    let cause = |windows| {
        let context = Context { windows: Some(windows), ..Context::default() };
        drifts(fake().file("x.db", ROWS), fake().file("x.db", &other), &context)[0].cause.code()
    };
    assert_eq!(cause([(1_795_554_900, 1_795_554_950), (1_795_555_900, 1_795_555_950)]), "sqlite-pages");
    assert_eq!(cause([(1_795_554_900, 1_795_554_950), (1_795_556_900, 1_795_556_950)]), "unexplained");
}

#[test]
fn databases_of_rpm() {
    let path = "var/lib/rpm/rpmdb.sqlite";
    check(path, RPM, RPM_TIME, "rpmdb-time");
    check(path, RPM, with(RPM_TIME, b"liby", b"libz"), "unexplained");
    let layer = |database: &[u8], content: &[u8]| fake().file("usr/lib/libx", content).file(path, database);
    check_layers(
        layer(RPM, b"a"),
        layer(RPM_MOVED, b"b"),
        "usr/lib/libx package-version<var/lib/rpm/rpmdb.sqlite; var/lib/rpm/rpmdb.sqlite package-version",
    );
    let shown = drifts(layer(RPM, b"a"), layer(RPM_MOVED, b"b"), &Context::default()).remove(0).evidence;
    assert_eq!(shown, "package x.noarch 1.0-1 → 1.1-1");
    // What a package of the same version says of its files is another.
    check_layers(
        layer(RPM, b"a"),
        layer(RPM_SAME, b"b"),
        "usr/lib/libx unexplained!; var/lib/rpm/rpmdb.sqlite unexplained",
    );
}

fn passwd(app: u32, db: u32, shell: &str) -> String {
    format!("root:x:0:0:root:/root:/bin/sh\napp:x:{app}:{app}::/:{shell}\ndb:x:{db}:{db}::/:/bin/false\n")
}

fn group(app: u32, db: u32) -> String {
    format!("root:x:0:\napp:x:{app}:\ndb:x:{db}:app\n")
}

fn installed(app: u32, db: u32, owner: u32) -> FakeLayer {
    let accounts = fake().file("etc/group", group(app, db).as_bytes());
    accounts.file("etc/passwd", passwd(app, db, "/bin/sh").as_bytes()).file("srv/x", b"1").owner(owner)
}

#[test]
fn numbers_of_accounts() {
    let all = "etc/group account-ids; etc/passwd account-ids; srv/x account-ids";
    check_layers(installed(101, 102, 101), installed(102, 101, 102), all);
    // Another account's, root's, and one with privileges.
    let not = "etc/group account-ids; etc/passwd account-ids; srv/x unexplained!";
    check_layers(installed(101, 102, 101), installed(102, 103, 103), not);
    check_layers(installed(101, 102, 101), installed(102, 101, 0), not);
    check_layers(installed(101, 102, 101).mode(0o4755), installed(102, 101, 102).mode(0o4755), not);
    check_layers(installed(101, 102, 101).mode(0o644), installed(102, 101, 102).mode(0o600), not);
    let accounts = |text: String| fake().file("etc/passwd", text.as_bytes());
    let alone = accounts(passwd(101, 102, "/bin/sh"));
    // Groups that nobody renumbered, root's number, and something else.
    check_layers(alone.clone(), accounts(passwd(102, 101, "/bin/sh")), "etc/passwd unexplained!");
    check_layers(alone.clone(), accounts(passwd(0, 102, "/bin/sh")), "etc/passwd unexplained!");
    check_layers(alone.clone(), accounts(passwd(101, 102, "/bin/ash")), "etc/passwd unexplained!");
    check_layers(alone, accounts(passwd(101, 102, "/bin/sh") + "evil:x:0:0::/:/bin/sh\n"), "etc/passwd unexplained!");
    check("etc/subuid", "a:100000:65536\nb:165536:65536\n", "a:165536:65536\nb:100000:65536\n", "account-ids");
    check("etc/subuid", "a:100000:65536\n", "a:100000:65537\n", "unexplained");
    check("etc/group-", group(101, 102), group(102, 101), "account-backup");
    check("etc/group-", group(101, 102), group(102, 101) + "x", "unexplained");
}

#[test]
fn what_the_kernel_said() {
    let memory = |free: &str| format!("MemTotal:       16384 kB\nMemFree:        {free} kB\nHugePages_Free:  0\n");
    check("o/memory", memory("1024"), memory("  99"), "proc-capture");
    check("o/memory", memory("1024"), memory("many"), "unexplained");
    check("o/memory", memory("1024"), memory("1025").replace("HugePages_Free", "HugePages_2"), "unexplained");
    let status = |pid: u32| format!("Name:\tcat\nPid:\t{pid}\nPPid:\t1\nVmRSS:\t 1{pid} kB\n");
    check("o/status", status(5), status(12), "proc-capture");
    check("o/status", status(5), status(12).replace("cat", "dog"), "unexplained");
    let mount = |id: u32, layer: &str| {
        format!("{id} 530 0:61 / / rw - overlay overlay rw,lowerdir=/v/l/{}:/v/l/B,workdir=/v/{}/work\n", layer.repeat(26), "ab".repeat(32))
    };
    check("o/mounts", mount(616, "U"), mount(480, "L"), "proc-capture");
    check("o/mounts", mount(616, "U"), mount(480, "L").replace(" rw ", " ro "), "unexplained");
    let load = |load: &str| format!("{load} 4.02 1.93 4/175 11\n");
    check("o/load", load("5.36"), load("19.11"), "proc-capture");
    check("o/up", "578.60 226.88\n", "706.95 227.22\n", "proc-capture");
    check("o/numbers", "578 226\n", "706 227\n", "unexplained");
    let group = |id: u64| format!("1:cpu:/buildah-buildah{id}\n0::/buildah-buildah{id}\n");
    check("o/group", group(713_031_379), group(1_519_113_819), "proc-capture");
    let inodes = |first: u32| format!("{first} ar\n 974992 bin\n      1 dev\n");
    check("o/inodes", inodes(1_065_105), inodes(1_679_984), "proc-capture");
    check("o/inodes", inodes(1_065_105), inodes(1_679_984).replace("bin", "bim"), "unexplained");
    check("o/sizes", "3 a\n4 b\n5 c\n", "3 a\n4 b\n6 c\n", "unexplained");
    let map = |at: &str| format!("{at}000-{at}200 r-xp 00002000 00:3d 975499  /usr/bin/cat\n");
    check("o/maps", map("55b6a036b"), map("5608c3d11"), "proc-capture");
    check("o/maps", map("55b6a036b"), map("5608c3d11").replace("cat", "dog"), "unexplained");
    let environment = |depth: u32, version: &str| format!("PATH=/bin\nHOME=/root\nSHLVL={depth}\nAPP_VERSION={version}\n");
    check("o/env", environment(1, "1.2"), environment(2, "1.2"), "proc-capture");
    check("o/env", environment(1, "1.2"), environment(2, "1.3"), "unexplained");
    check("run/app.pid", "17\n", "23\n", "proc-capture");
    check("run/app.port", "17\n", "23\n", "unexplained");
}
