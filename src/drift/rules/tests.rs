mod certificates;
mod inside;
mod made;
mod moved;
mod numbers;
mod package;
mod trust;

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    diff::tests::compare,
    drift::{Context, Drift, InstructionRef, explain},
    layer::fake::FakeLayer,
    model::Digest,
};

fn drifts(a: FakeLayer, b: FakeLayer, context: &Context) -> Vec<Drift> {
    explain(&compare(&[a], &[b]), context).unwrap().drifts
}

fn fake() -> FakeLayer {
    FakeLayer::default()
}

/// What two contents of one file are explained by.
#[track_caller]
fn check(path: &str, a: impl AsRef<[u8]>, b: impl AsRef<[u8]>, expected: &str) {
    let found =
        drifts(fake().file(path, a.as_ref()).at(1), fake().file(path, b.as_ref()).at(2), &Context::default());
    assert_eq!((found.len(), found[0].cause.code()), (1, expected), "{path}: {}", found[0].evidence);
}

/// What two layers are explained by, path by path.
#[track_caller]
fn check_layers(a: FakeLayer, b: FakeLayer, expected: &str) {
    let found = drifts(a, b, &Context::default());
    let shown: Vec<_> = found
        .iter()
        .map(|drift| {
            let of = drift.consequence_of.as_ref().map(|of| format!("<{of}")).unwrap_or_default();
            let security = if drift.security { "!" } else { "" };
            format!("{} {}{of}{security}", drift.path, drift.cause.code())
        })
        .collect();
    assert_eq!(shown.join("; "), expected);
}

#[test]
fn metadata() {
    let file = || fake().file("a", b"1").at(1_700_000_000);
    check_layers(file(), file().at(1_700_000_100), "a mtime");
    check_layers(file(), file().mode(0o100_644), "a mode-type-bits");
    check_layers(file(), file().pax(&[("mtime", b"1700000000.5")]), "a pax-time");
    check_layers(file(), file().pax(&[("atime", b"5")]), "a pax-time");
    check_layers(file(), file().put(265, b"root"), "a layer-shape");
    check_layers(file(), file().mode(0o755), "a unexplained");
    check_layers(file(), file().mode(0o755).at(1_700_000_100), "a unexplained");
    check_layers(fake().symlink("s", "a"), fake().symlink("s", "b"), "s unexplained");
    check_layers(file(), fake().symlink("a", "b"), "a unexplained");
    check_layers(file().file("d/.wh.x", b""), file(), "d/.wh.x layer-shape");
}

#[test]
fn metadata_by_instruction_and_window() {
    let instructions = vec![Some(InstructionRef { line: Some(3), text: "COPY . /app".into() })];
    let windows = Some([(100, 200), (300, 400)]);
    let copied = Context { instructions, windows, ..Context::default() };
    let first = |a: FakeLayer, b: FakeLayer, context: &Context| {
        let drift = drifts(a, b, context).remove(0);
        let line = drift.instruction.and_then(|instruction| instruction.line);
        (drift.cause.code(), serde_json::to_value(drift.confidence).unwrap(), line)
    };
    let file = || fake().file("a", b"1").at(150);
    assert_eq!(first(file(), file().mode(0o600), &copied), ("context-mode", "likely".into(), Some(3)));
    assert_eq!(first(file(), file().at(5), &copied), ("context-mtime", "certain".into(), Some(3)));
    let run = Context { instructions: vec![], ..copied };
    assert_eq!(first(file(), file().at(350), &run), ("mtime", "certain".into(), None));
    assert_eq!(first(file(), file().at(500), &run), ("mtime", "likely".into(), None));
    let text = |time: &str| fake().file("a", format!("built {time}\n").as_bytes());
    assert_eq!(first(text("1970-01-01T00:02:30Z"), text("1970-01-01T00:05:30Z"), &run).0, "clock-in-text");
    assert_eq!(first(text("1970-01-01T00:02:30Z"), text("1970-01-01T01:05:30Z"), &run).0, "unexplained");
}

#[test]
fn builders_marks() {
    check_layers(
        fake().dir("run/").file("etc/hosts", b""),
        fake(),
        "etc/hosts builder-mount-point; run builder-mount-point",
    );
    check_layers(fake().file("etc/hosts", b"127.0.0.1 x"), fake(), "etc/hosts unexplained");
    let opaque = fake().file("d/.wh..wh..opq", b"");
    check_layers(opaque, fake().file("d/.wh.x", b""), "d/.wh..wh..opq whiteout-form; d/.wh.x whiteout-form");
    let stale = fake().entry(b'0', "d/.wh.x", "etc/motd", b"");
    check_layers(stale, fake().file("d/.wh.x", b""), "d/.wh.x whiteout-form");
}

#[test]
fn logs_and_caches() {
    let log = |time: &str| format!("Log started: 2026-11-24  {time}\nsetting up\n");
    check("var/log/apt/term.log", log("21:15:12"), log("21:20:00"), "package-log");
    check("var/log/apt/term.log", log("21:15:12"), log("21:20:00") + "evil\n", "unexplained");
    let host = |host: &str| format!("root@{host} (RSA)\nLog ended: 2026-11-24  21:15:12\n");
    check("var/log/apt/term.log", host("3f2a1b9c8d7e"), host("91c0d2e4f6a8"), "package-log");
    check(
        "var/log/dpkg.log",
        "2026-11-24 21:15:12 install a 1\n",
        "2026-11-24 21:15:12 install a 2\n",
        "unexplained",
    );
    let cache = |sum: u8, time: u64, body: u8| {
        let head = [&b"\xdc\x76\xfe\x98"[..], &[0; 17], &[sum], &[0; 654], &[sum; 4], &[0; 120]].concat();
        [&head, &time.to_le_bytes()[..], &[body; 90]].concat()
    };
    let path = "var/cache/apt/pkgcache.bin";
    check(path, cache(0, 1_795_554_912, 0), cache(2, 1_795_554_999, 0), "apt-cache");
    check(path, cache(0, 1_795_554_912, 0), cache(2, 1_795_554_999, 1), "unexplained");
    check(path, cache(0, 1_795_554_912, 0), cache(2, 5, 0), "unexplained");
    check(path, cache(0, 1_795_554_912, 0), [cache(2, 1_795_554_999, 0), vec![0]].concat(), "unexplained");
    let counted = |versions: u32, form: u8| {
        let counts = [10, 20, versions, 40, 50].map(u32::to_le_bytes).concat();
        [&b"\xdc\x76\xfe\x98"[..], &[form; 20], &counts, &vec![0; 700 + 7 * usize::from(form)]].concat()
    };
    let more = |cache: Vec<u8>| [cache, vec![0; 5]].concat();
    check(path, counted(30, 1), more(counted(32, 1)), "apt-cache");
    check(path, counted(30, 1), counted(32, 2), "unexplained");
    check(path, counted(30, 1), more(counted(30, 1)), "unexplained");
    let list = |layer: FakeLayer, date: &str| layer.file("var/lib/apt/lists/x_InRelease", date.as_bytes());
    let listed =
        |size: usize, date: &str| list(fake().file(path, &[cache(0, 1, 0), vec![0; size]].concat()), date);
    check_layers(
        listed(1, "a"),
        listed(9, "b"),
        "var/cache/apt/pkgcache.bin apt-cache<var/lib/apt/lists/x_InRelease; var/lib/apt/lists/x_InRelease package-lists",
    );
    check_layers(listed(1, "a"), listed(9, "a"), "var/cache/apt/pkgcache.bin unexplained");
    check("opt/pkgcache.bin", cache(0, 1_795_554_912, 0), cache(2, 1_795_554_999, 0), "unexplained");
    let aux = |inode: u64, size: u64, name: &str| {
        let id = [inode, 1_795_554_912 + inode, size, 43].map(u64::to_le_bytes).concat();
        let entry = [771_u32, 1, 0, 0x5555_5555].map(u32::to_le_bytes).concat();
        let head = [1_u32, u32::try_from(name.len()).unwrap() + 2].map(u32::to_le_bytes).concat();
        [&b"glibc-ld.so.auxcache-2.0"[..], &head, &id, &entry, b"\0", name.as_bytes(), b"\0"].concat()
    };
    let path = "var/cache/ldconfig/aux-cache";
    check(path, aux(1, 5, "libc.so.6"), aux(2, 5, "libc.so.6"), "ldconfig-cache");
    check(path, aux(1, 5, "libc.so.6"), aux(2, 6, "libc.so.6"), "unexplained");
    check(path, aux(1, 5, "libc.so.6"), aux(2, 5, "libd.so.6"), "unexplained");
    check(path, aux(1, 5, "libc.so.6"), [aux(2, 5, "libc.so.6"), vec![1]].concat(), "unexplained");
    check(
        path,
        b"glibc-ld.so.auxcache-2.0\xff\xff\xff\xff\xff\xff\xff\xff\0a",
        b"glibc-ld.so.auxcache-2.0\xff\xff\xff\xff\xff\xff\xff\xff\0b",
        "unexplained",
    );
    let font = |at: usize| {
        let mut bytes = [&b"\x04\xfc\x02\xfc"[..], &[0; 96]].concat();
        bytes[at] = 1;
        bytes
    };
    check("var/cache/fontconfig/x.cache-8", font(48), font(50), "fontconfig-cache");
    check("var/cache/fontconfig/x.cache-8", font(48), font(57), "fontconfig-cache"); // Nanoseconds.
    check("var/cache/fontconfig/x.cache-8", font(48), font(60), "unexplained");
    check("var/cache/fontconfig/x.cache-8", font(48), font(64), "unexplained");
    let made =
        |host: &str, sum: &str| format!("3072 SHA256:{} root@{host} (RSA)\nusing '{host}'\n", sum.repeat(43));
    let (one, other) = (made("3f2a1b9c8d7e", "a"), made("91c0d2e4f6a8", "B"));
    check("var/log/apt/term.log", &one, &other, "package-log");
    check("var/log/apt/term.log", &one, other.replace("RSA", "XYZ"), "unexplained");
}

#[test]
fn caches_of_tools() {
    check("root/.npm/_cacache/index-v5/a", "x", "y", "tool-cache");
    check_layers(fake(), fake().file("root/.npm/_logs/x", b"0 x"), "root/.npm/_logs/x tool-cache");
    check_layers(fake(), fake().symlink("root/.npm/_logs/x", "/etc"), "root/.npm/_logs/x unexplained");
    // What uv unpacked, and installed as names of the same files.
    let installed = |content: &[u8]| fake().file("app/m.py", content);
    let unpacked = |layer: FakeLayer, name: &str| {
        let directory = format!("root/.cache/uv/archive-v0/{name}");
        let metadata = format!("{directory}/m-1.dist-info/METADATA");
        layer.hardlink(&format!("{directory}/m.py"), "app/m.py").file(&metadata, b"Name: m\n")
    };
    let all = |name: &str, of: &str| {
        let directory = format!("root/.cache/uv/archive-v0/{name}");
        format!("{directory}/m-1.dist-info/METADATA tool-cache; {directory}/m.py tool-cache{of}")
    };
    check_layers(
        unpacked(installed(b"1"), "a"),
        unpacked(installed(b"1"), "b"),
        &format!("{}; {}", all("a", ""), all("b", "")),
    );
    check_layers(
        unpacked(installed(b"1"), "a"),
        unpacked(installed(b"2"), "b"),
        &format!("app/m.py unexplained; {}; {}", all("a", "<app/m.py"), all("b", "<app/m.py")),
    );
}

#[test]
fn accounts() {
    let shadow =
        |hash: &str, day: &str| format!("root:*:19000:0:99999:7:::\napp:{hash}:{day}:0:99999:7:::\n");
    check("etc/shadow", shadow("!", "20781"), shadow("!", "20782"), "shadow-date");
    check("etc/shadow", shadow("$y$j9T$a$b", "20781"), shadow("$y$j9T$c$d", "20781"), "password-salt");
    check("etc/shadow", shadow("$y$j9T$a$b", "20781"), shadow("$y$j9T$c$d", "20782"), "password-salt");
    check("etc/shadow", shadow("!", "20781"), shadow("", "20781"), "unexplained");
    check("etc/shadow", shadow("$y$a$b", "20781"), shadow("$1$a$b", "20781"), "unexplained");
    check("etc/shadow", shadow("!", "20781"), shadow("!", "20781") + "evil::::::::\n", "unexplained");
    check("etc/shadow-", shadow("!", "20781"), shadow("!", "20782"), "account-backup");
    check("etc/passwd-", "root:x:0:0\n", "root:x:0:1\n", "unexplained");
    let files = |order: [&str; 2], backup: &str| {
        let line = |(number, name): (usize, &&str)| format!("{name}:x:{}:\n", 1000 + number);
        let text: String = order.iter().enumerate().map(line).collect();
        fake().file("etc/group", text.as_bytes()).file("etc/group-", backup.as_bytes())
    };
    check_layers(
        files(["one", "two"], "one:x:1000:\n"),
        files(["two", "one"], "two:x:1000:\n"),
        "etc/group account-ids; etc/group- account-backup<etc/group",
    );
    check_layers(
        files(["one", "two"], "one:x:1000:\n"),
        files(["two", "one"], "evil:x:1000:\n"),
        "etc/group account-ids; etc/group- unexplained",
    );
    let hash = |salt: &str, last: &str| format!("app:$6${salt}${}{last}:x\n", "a".repeat(85));
    check("srv/users", hash("one", "b"), hash("two", "c"), "password-salt");
    check("srv/users", hash("one", "b"), hash("two", "c") + "evil:x\n", "unexplained");
    check("srv/users", hash("one", "b"), hash("two", "c").replace("$6$", "$5$"), "unexplained");
    check("srv/users", hash("one", "b"), hash("two", "c").replace("aaa", ""), "unexplained");
    let bcrypt = |cost: &str, drawn: &str| format!("app:$2y${cost}${}\n", drawn.repeat(53));
    check("srv/users", bcrypt("10", "a"), bcrypt("10", "b"), "password-salt");
    check("srv/users", bcrypt("10", "a"), bcrypt("04", "b"), "unexplained");
    let salted = drifts(
        fake().file("etc/shadow", shadow("$6$abc$defgh", "1").as_bytes()),
        fake().file("etc/shadow", shadow("$6$xyz$uvwxy", "1").as_bytes()),
        &Context::default(),
    );
    assert_eq!(salted[0].evidence, "the hash of app");
}

#[test]
fn python() {
    let pyc = |flags: u8, time: u8, body: u8| {
        [&[0xa7, 0x0d, 13, 10, flags, 0, 0, 0, time, 0, 0, 0][..], &[body; 9]].concat()
    };
    check("a.pyc", pyc(0, 1, 7), pyc(0, 2, 7), "pyc-timestamp");
    check("a.pyc", pyc(0, 1, 7), pyc(0, 2, 8), "unexplained");
    check("a.pyc", pyc(1, 1, 7), pyc(1, 2, 7), "unexplained");
    let listed = |so: &[u8], hash_of: &[u8], other: &str, end: &str| {
        let hash = URL_SAFE_NO_PAD.encode(Digest::of(hash_of).bytes());
        let size = so.len();
        let record = format!("pkg/x.so,sha256={hash},{size}{end}\npkg/y.py,{other},1\n../../bin/x,,\n");
        fake().file("lib/pkg/x.so", so).file("lib/pkg-1.dist-info/RECORD", record.as_bytes())
    };
    let wheel = |so: &[u8], other: &str| listed(so, so, other, "");
    check_layers(
        wheel(b"\0a", "x"),
        wheel(b"\x01b", "x"),
        "lib/pkg/x.so unexplained; lib/pkg-1.dist-info/RECORD record-consequence<lib/pkg/x.so",
    );
    let not = "lib/pkg/x.so unexplained; lib/pkg-1.dist-info/RECORD unexplained";
    check_layers(wheel(b"\0a", "x"), wheel(b"\x01b", "z"), not);
    check_layers(wheel(b"\0a", "x"), listed(b"\x01b", b"\x01c", "x", ""), not);
    check_layers(wheel(b"\0a", "x"), listed(b"\x01b", b"\x01b", "x", "\r"), not);
}

fn gzip(time: u32, level: u32, content: &[u8]) -> Vec<u8> {
    let builder = flate2::GzBuilder::new().mtime(time);
    let mut encoder = builder.write(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// One stored member with an extended timestamp.
fn zip(time: u8, content: &[u8]) -> Vec<u8> {
    let extra = [0x55, 0x54, 5, 0, 1, time, 0, 0, 0];
    let size = u32::try_from(content.len()).unwrap().to_le_bytes();
    let common =
        [&[10, 0, 0, 0, 0, 0, time, 0, time, 0, 9, 9, 9, 9][..], &size, &size, &[1, 0, 9, 0]].concat();
    let local = [b"PK\x03\x04", &common[..], b"f", &extra, content].concat();
    let central = [b"PK\x01\x02\x14\0", &common[..], &[0; 14], b"f", &extra].concat();
    let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let end =
        [b"PK\x05\x06", &[0, 0, 0, 0, 1, 0, 1, 0][..], &number(central.len()), &number(local.len()), &[0, 0]];
    [local, central, end.concat()].concat()
}

#[test]
fn archives() {
    check("a.gz", gzip(1, 6, b"hello"), gzip(2, 6, b"hello"), "gzip-timestamp");
    check("a.gz", gzip(1, 6, &[b'x'; 900]), gzip(1, 0, &[b'x'; 900]), "compressed-member");
    check("a.gz", gzip(1, 6, b"hello"), gzip(2, 6, b"hullo"), "unexplained");
    let zstd = |level| zstd::encode_all(&b"hello hello hello hello hello hello"[..], level).unwrap();
    check("a.zst", zstd(1), [zstd(1), zstd::encode_all(&b""[..], 1).unwrap()].concat(), "compressed-member");
    check("a.zip", zip(1, b"hello"), zip(2, b"hello"), "zip-timestamp");
    check("a.zip", zip(1, b"hello"), zip(2, b"hullo"), "unexplained");
    check("a.zip", zip(1, b"hello"), &zip(2, b"hello")[1..], "unexplained");
    let keystore = |time: u64, kind: u32, certificate: &[u8], digest: u8| {
        let size = u32::try_from(certificate.len()).unwrap();
        let head = [&[0xfe, 0xed, 0xfe, 0xed][..], &2_u32.to_be_bytes(), &1_u32.to_be_bytes()].concat();
        let entry = [&kind.to_be_bytes()[..], b"\0\x01a", &time.to_be_bytes(), b"\0\x05X.509"].concat();
        [&head[..], &entry, &size.to_be_bytes(), certificate, &[digest; 20]].concat()
    };
    check("cacerts", keystore(1, 2, b"c", 1), keystore(2, 2, b"c", 2), "keystore-timestamp");
    check("cacerts", keystore(1, 2, b"c", 1), keystore(2, 2, b"d", 2), "unexplained");
    check("cacerts", keystore(1, 1, b"c", 1), keystore(2, 1, b"c", 2), "unexplained");
    check("cacerts", keystore(1, 2, b"c", 1), &keystore(2, 2, b"c", 2)[1..], "unexplained");
    let tar = |time: u64, content: &[u8]| fake().file("a", content).at(time).tar();
    check("a.tar", tar(1, b"x"), tar(2, b"x"), "tar-timestamp");
    check("a.tar", tar(1, b"x"), tar(2, b"y"), "unexplained");
    let with = |time: u64, record: &[u8]| {
        fake().file("a", b"x").at(time).pax(&[("mtime", record), ("comment", b"c")]).tar()
    };
    check("a.tar", with(1, b"1.25"), with(2, b"2.50"), "tar-timestamp");
    check("a.tar", with(1, b"1.25"), with(2, b"2.5"), "tar-timestamp");
    check("a.tar", with(1, b"1.25"), with(2, b"x"), "unexplained");
    let mut wrong = tar(2, b"x");
    wrong[150] ^= 1;
    check("a.tar", tar(1, b"x"), wrong, "unexplained");
    let ar = |time: &str, body: &str| {
        format!("!<arch>\n{:<16}{time:<12}{:<12}{:<8}{:<10}`\n{body}", "a.o/", "0 0", "644", body.len())
    };
    check("a.a", ar("1700000000", "\0x"), ar("1700000001", "\0x"), "ar-timestamp");
    check("a.a", ar("1700000000", "\0x"), ar("1700000001", "\0y"), "unexplained");
}

#[test]
fn elf() {
    let elf = |date: &str, id: u8, body: u8| {
        let note = [b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0", &[id; 20][..]].concat();
        [b"\x7fELF\0\0", &note[..], b"\0", date.as_bytes(), b"\0", &[body; 8]].concat()
    };
    check("t", elf("Nov 24 2026\x0021:15:12", 1, 0), elf("Nov 24 2026\x0021:20:00", 2, 0), "compile-date");
    check("t", elf("Nov 24 2026\x0021:15:12", 1, 0), elf("Nov 24 2026\x0021:15:12", 2, 0), "build-id");
    check("t", elf("Nov 24 2026\x0021:15:12", 1, 0), elf("Nov 24 2026\x0021:20:00", 2, 9), "unexplained");
}

#[test]
fn texts() {
    check(
        "etc/built",
        "on Tue Nov 24 21:15:12 UTC 2026\n",
        "on Wed Nov 25 01:15:12 UTC 2026\n",
        "clock-in-text",
    );
    check("etc/built", "at 1795554912\n", "at 1795554999\n", "clock-in-text");
    check("etc/built", "at 1795554912 by a\n", "at 1795554999 by b\n", "unexplained");
    check("etc/h", "h=3f2a1b9c8d7e\nh=3f2a1b9c8d7e\n", "h=91c0d2e4f6a8\nh=91c0d2e4f6a8\n", "hostname");
    check("etc/h", "3f2a1b9c8d7e 0a1b2c3d4e5f\n", "91c0d2e4f6a8 f5e4d3c2b1a0\n", "random-token");
    let uuids = ("6f1d3c52-9a0e-4b58-8c1d-2f7e6a5b4c3d", "0b9e8d7c-1f2a-4c3b-9e5d-7a6f8b9c0d1e");
    check("etc/id", uuids.0, uuids.1, "random-token");
    check(
        "etc/id",
        "0454056a-ec6c-11f1-a039-02fc00000001",
        "50af2552-ec6c-11f1-aa0c-02fc00000001",
        "random-token",
    );
    check(
        "etc/id",
        "0454056a-ec6c-11f1-a039-02fc00000001",
        "0454056a-ec6c-11f1-a039-02fc00000002",
        "unexplained",
    );
    check("etc/id", "5509442685d8355cbed0cb47504b7032", "E0097034FB7E3112CEF6D186C71A56EE", "unexplained");
    check("etc/set", "x {'beta', 'gamma', 'alpha'}\n", "x {'gamma', 'beta', 'alpha'}\n", "random-token");
    check("etc/set", "x {'beta', 'gamma', 'alpha'}\n", "x {'gamma', 'beta', 'alpho'}\n", "unexplained");
    check("etc/set", "{'a': 1, 'b': 2}\n", "{'b': 2, 'a': 1}\n", "unexplained");
    check("etc/ls", "-rw-r--r-- 1 a Nov 30 03:11 x\n", "-rw-r--r-- 1 a Nov 30 03:14 x\n", "clock-in-text");
    check("etc/id", "n 2026-11-24 q8Zr5LkPw2Xv7TnB", "n 2026-11-25 Jd4HsYc9GfUe3MaR", "random-token");
    let make = |name: &str, more: &str| format!("ruby -r ./siteconf{name}.rb extconf.rb{more}\n");
    check("a/gem_make.out", make("20261130-8-ggqrd", ""), make("20261130-17-em1ufq", ""), "random-token");
    check("a/gem_make.out", make("20261130-8-ggqrd", ""), make("20261130-17-em1ufq", " -x"), "unexplained");
    check("a/gem_make.out", make("20261130-8-ggqrd", ""), make("20261130-17-EM1UFQ", ""), "unexplained");
    check("a/gem_make.out", make("20261130-8-ggqrd", ""), make("evil-17-em1ufq", ""), "unexplained");
    check("app/lock", "sha256:0123abcd4567ef89", "sha256:f9e8d7c6b5a41230", "unexplained");
    check("srv/a.json", "{\"a\":1,\"b\":[2]}", "{\"b\":[2],\"a\":1}", "random-token");
    check("srv/a.json", "{\"a\":1,\"b\":[2,3]}", "{\"b\":[3,2],\"a\":1}", "unexplained");
    check("srv/a.json", "{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}", "unexplained");
    check("srv/a.json", "{\"a\":1, \"a\":2}", "{\"a\":2, \"a\":1}", "unexplained");
    let dumped = |lines: &str| format!("$VAR1 = {{\n{lines}        }};\n");
    check("srv/a", dumped("  'a' => 1,\n  'b' => 2\n"), dumped("  'b' => 2,\n  'a' => 1\n"), "random-token");
    check("srv/a", dumped("  'a' => 1,\n  'b' => 2\n"), dumped("  'b' => 1,\n  'a' => 2\n"), "unexplained");
    check("etc/list", "a\nb\nc\n", "c\na\nb\n", "line-order");
    check("etc/list", "a\nb\nc\n", "c\na\nb\r\n", "unexplained");
    check("etc/list", "a\nb\nc\n", "c\na\nb", "unexplained");
    check("etc/run", "#!/bin/sh\na\nb\n", "#!/bin/sh\nb\na\n", "unexplained");
    check("app/x.js", "console.log(1)", "console.log(2)", "unexplained");
    check("bin", "\x00at 1795554912", "\x00at 1795554999", "unexplained");
    check("etc/v", "1.2.3\n", "1.2.4\n", "unexplained");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Whatever files hold, every rule says something or nothing.
    #[test]
    fn never_panics(
        magic in 0_usize..7,
        a in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        b in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
    ) {
        const MAGICS: [&[u8]; 7] = [b"", b"PK\x03\x04", b"!<arch>\n", b"\x1f\x8b\x08", b"\x7fELF", b"\xa7\x0d\r\n\0\0\0\0", b"PK\x05\x06"];
        let of = |bytes: &[u8]| {
            let content = [MAGICS[magic], bytes].concat();
            ["etc/shadow", "a-1.dist-info/RECORD", "x"].iter().fold(fake(), |layer, path| layer.file(path, &content))
        };
        drifts(of(&a), of(&b), &Context::default());
    }
}
