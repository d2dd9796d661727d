//! What packages that moved leave elsewhere.

use super::{check_layers, fake};
use crate::layer::fake::FakeLayer;

fn stanza(name: &str, version: &str) -> String {
    format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
}

/// A layer in whose list `tool` has this version, and another package its own.
fn layer(version: &str) -> FakeLayer {
    let status = stanza("tool", version) + &stanza("other", "1");
    fake().file("var/lib/dpkg/status", status.as_bytes())
}

/// What is said of `path` beside the list.
#[track_caller]
fn check(path: &str, a: FakeLayer, b: FakeLayer, expected: &str) {
    let mut all = vec!["var/lib/dpkg/status package-version".to_owned()];
    all.extend(expected.split("; ").map(|cause| format!("{path}{cause}")));
    all.sort();
    check_layers(a, b, &all.join("; "));
}

const FOLLOWS: &str = " package-version<var/lib/dpkg/status";

#[test]
fn archives() {
    let with = |version: &str, archive: &str, content: &[u8]| {
        layer(version).file(&format!("var/cache/apt/archives/{archive}"), content)
    };
    let deb = b"!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n";
    let check = |one: FakeLayer, other: FakeLayer, cause: &str| {
        let said = |name: &str| format!("var/cache/apt/archives/{name}{cause}");
        let (old, new) = (said("tool_1%3a1.0_amd64.deb"), said("tool_1.1_amd64.deb"));
        check_layers(one, other, &format!("{old}; {new}; var/lib/dpkg/status package-version"));
    };
    let old = with("1:1.0", "tool_1%3a1.0_amd64.deb", deb);
    check(old.clone(), with("1.1", "tool_1.1_amd64.deb", deb), FOLLOWS);
    check(
        with("1:2.0", "tool_1%3a1.0_amd64.deb", deb),
        with("1.2", "tool_1.1_amd64.deb", deb),
        " unexplained",
    );
    check(
        with("1:1.0", "tool_1%3a1.0_amd64.deb", b"x"),
        with("1.1", "tool_1.1_amd64.deb", b"x"),
        " unexplained",
    );
}

#[test]
fn the_list_before_the_last_package() {
    let with = |version: &str, before: &str, more: &str| {
        let old = stanza("tool", before) + &stanza("other", "1") + more;
        layer(version).file("var/lib/dpkg/status-old", old.as_bytes())
    };
    let path = "var/lib/dpkg/status-old";
    check(path, with("1.0", "1.0", ""), with("1.1", "1.1", ""), FOLLOWS);
    check(path, with("1.0", "1.0", ""), with("1.1", "1.2", ""), " unexplained");
    check(path, with("1.0", "1.0", ""), with("1.1", "1.1", "Package: evil\n\n"), " unexplained");
    check(path, with("1.0", "1.0", ""), with("1.1", "1.1", &stanza("new", "1")), " unexplained");
}

#[test]
fn logs_that_name_versions() {
    let with = |version: &str, files: u32, line: &str| {
        let log = format!(
            "(Reading database ... {files} files and directories currently installed.)\n\
             Unpacking tool ({version}) ...\nSetting up tool ({line}) ...\nSetting up other (1) ...\n"
        );
        layer(version).file("var/log/apt/term.log", log.as_bytes())
    };
    let path = "var/log/apt/term.log";
    let follows = " package-log<var/lib/dpkg/status";
    check(path, with("1.0", 7, "1.0"), with("1.1", 12, "1.1"), follows);
    check(path, with("1.0", 7, "1.0"), with("1.1", 12, "1.2"), " unexplained");
    check(path, with("1.0", 7, "1.0"), with("1.1", 12, "1.1-evil"), " unexplained");
}

#[test]
fn what_apt_planned() {
    let with = |version: &str, id: u32, more: &str| {
        let text = format!(
            "Request: EIPP 0.1\nInstall: tool:amd64\n\nPackage: tool\nVersion: {version}\nAPT-ID: {id}\n\n\
             Package: other\nVersion: 1\nAPT-ID: {}\n{more}\n",
            id + 1
        );
        super::gzip(0, 6, text.as_bytes()) // No encoder of xz is at hand; what it is packed by is not asked.
    };
    let path = "var/log/apt/eipp.log.xz";
    let (one, other) = (with("1.0", 5, ""), with("1.1", 9, ""));
    let beside = |version: &str, log: &[u8]| layer(version).file(path, log);
    check(path, beside("1.0", &one), beside("1.1", &other), " package-log<var/lib/dpkg/status");
    let evil = with("1.1", 9, "Depends: evil\n");
    check(path, beside("1.0", &one), beside("1.1", &evil), " unexplained");
    let alone = |log: &[u8]| fake().file(path, log);
    check_layers(alone(&one), alone(&with("1.0", 9, "")), &format!("{path} package-log"));
    check_layers(alone(&one), alone(&other), &format!("{path} unexplained"));
}

#[test]
fn modules_compiled_from_another_version() {
    let with = |version: &str, source: &str, sum: &str, code: &[u8]| {
        layer(version)
            .file("usr/lib/python3/m/a.py", source.as_bytes())
            .file("usr/lib/python3/m/__pycache__/a.cpython-311.pyc", &[&b"\xa7\x0d\r\n"[..], code].concat())
            .file("var/lib/dpkg/info/tool.md5sums", format!("{sum}  usr/lib/python3/m/a.py\n").as_bytes())
    };
    check_layers(
        with("1.0", "a", "11", b"one"),
        with("1.1", "b", "22", b"other"),
        "usr/lib/python3/m/__pycache__/a.cpython-311.pyc package-version<var/lib/dpkg/status; \
         usr/lib/python3/m/a.py package-version<var/lib/dpkg/status; \
         var/lib/dpkg/info/tool.md5sums package-version<var/lib/dpkg/status; var/lib/dpkg/status package-version",
    );
    // Its source is the same.
    check_layers(
        with("1.0", "a", "11", b"one"),
        with("1.1", "a", "11", b"other"),
        "usr/lib/python3/m/__pycache__/a.cpython-311.pyc unexplained; var/lib/dpkg/status package-version",
    );
}

/// A cache of the dynamic linker's, of one library, by a program of this name.
fn linked(path: &str, writer: &str) -> Vec<u8> {
    let name = "libtool.so.1";
    let words = |words: &[u32]| words.iter().copied().flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    let size = |text: &str| u32::try_from(text.len()).unwrap();
    let strings = size(name) + size(path) + 2;
    let extension = (72 + strings).next_multiple_of(4);
    let mut out = b"glibc-ld.so.cache1.1".to_vec();
    out.extend(words(&[1, strings, 2, extension, 0, 0, 0]));
    out.extend(words(&[0x303, 72, 72 + size(name) + 1, 0, 0, 0]));
    out.extend([name, "\0", path, "\0"].concat().as_bytes());
    out.resize(usize::try_from(extension).unwrap(), 0);
    out.extend(words(&[0xeaa4_2174, 1, 0, 0, extension + 24, size(writer)]));
    out.extend(writer.as_bytes());
    out
}

#[test]
fn the_linkers_cache() {
    let with = |version: &str, cache: Vec<u8>| {
        let list = format!("/.\n/usr/lib/libtool.so.{version}\n");
        layer(version).file("etc/ld.so.cache", &cache).file("var/lib/dpkg/info/tool.list", list.as_bytes())
    };
    let one = || with("1.0", linked("/lib/libtool.so.1.0", "ldconfig"));
    let check = |other: Vec<u8>, cause: &str| {
        let rest = "; var/lib/dpkg/info/tool.list package-version<var/lib/dpkg/status; var/lib/dpkg/status package-version";
        check_layers(one(), with("1.1", other), &format!("etc/ld.so.cache{cause}{rest}"));
    };
    check(linked("/lib/libtool.so.1.1", "ldconfig"), FOLLOWS);
    check(linked("/lib/libevil.so.1.1", "ldconfig"), " unexplained");
    check(linked("/lib/libtool.so.1.1", "ldconfig 2"), " unexplained");
    check([linked("/lib/libtool.so.1.1", "ldconfig"), vec![0]].concat(), " unexplained");
    let mut flags = linked("/lib/libtool.so.1.1", "ldconfig");
    flags[28] = 0;
    check(flags, " unexplained");
    let mut wants = linked("/lib/libtool.so.1.1", "ldconfig");
    wants[48] = 1;
    check(wants, " unexplained");
}

#[test]
fn lock_files_of_npm() {
    let lock = |version: &str, sum: &str, wants: &str| {
        format!(
            "{{\"lockfileVersion\":3,\"packages\":{{\"\":{{\"dependencies\":{{\"x\":\"{wants}\"}}}},\
             \"node_modules/x\":{{\"version\":\"{version}\",\"integrity\":\"{sum}\"}},\
             \"node_modules/y\":{{\"version\":\"5\",\"integrity\":\"same\"}}}}}}"
        )
    };
    let with = |version: &str, lock: String, wants: &str| {
        let package = format!("{{\"name\":\"x\",\"version\":\"{version}\"}}");
        fake()
            .file("app/node_modules/x/package.json", package.as_bytes())
            .file("app/package-lock.json", lock.as_bytes())
            .file("app/package.json", format!("{{\"dependencies\":{{\"x\":\"{wants}\"}}}}").as_bytes())
    };
    let one = || with("1", lock("1", "a", "^1"), "^1");
    let package = "app/node_modules/x/package.json package-version; ";
    check_layers(
        one(),
        with("2", lock("2", "b", "^2"), "^2"),
        &format!("{package}app/package-lock.json package-version; app/package.json package-version"),
    );
    // A place instead of a version; another package's checksum; a version that is not there.
    check_layers(
        one(),
        with("2", lock("2", "b", "^2"), "http://evil"),
        &format!("{package}app/package-lock.json package-version; app/package.json unexplained"),
    );
    let evil = lock("2", "b", "^1").replace("same", "evil");
    check_layers(one(), with("2", evil, "^1"), &format!("{package}app/package-lock.json unexplained"));
    let other = lock("3", "b", "^1");
    check_layers(one(), with("2", other, "^1"), &format!("{package}app/package-lock.json unexplained"));
    // A package that only the second has, by the list of what is installed.
    let listed = |more: &str| {
        format!("{{\"packages\":{{\"node_modules/y\":{{\"version\":\"5\"}}{more}}}}}").into_bytes()
    };
    let path = "app/node_modules/.package-lock.json";
    check_layers(
        fake().file(path, &listed("")),
        fake()
            .file(path, &listed(",\"node_modules/z\":{\"version\":\"1\"}"))
            .file("app/node_modules/z/index.js", b"z"),
        &format!("{path} package-version; app/node_modules/z/index.js package-version<{path}"),
    );
}
