//! Packages that moved.

use super::{check_layers, drifts, fake};
use crate::{drift::Context, layer::fake::FakeLayer};

fn stanza(name: &str, version: &str, more: &str) -> String {
    format!(
        "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n{more}Version: {version}\n\n"
    )
}

/// A layer with two packages: one of `version` with a file of `content`, and one that stands still.
fn layer(version: &str, content: &str, sum: &str, rest: &str) -> FakeLayer {
    let status = stanza("libx", version, "Multi-Arch: same\n") + &stanza("other", "1", rest);
    fake()
        .file("usr/lib/libx.so", content.as_bytes())
        .file("var/lib/dpkg/status", status.as_bytes())
        .file("var/lib/dpkg/info/libx:amd64.md5sums", format!("{sum}  usr/lib/libx.so\n").as_bytes())
}

#[test]
fn a_file_of_a_package_that_moved() {
    check_layers(
        layer("1.0", "a", "11", ""),
        layer("1.1", "b", "22", ""),
        "usr/lib/libx.so package-version<var/lib/dpkg/status; \
         var/lib/dpkg/info/libx:amd64.md5sums package-version<var/lib/dpkg/status; \
         var/lib/dpkg/status package-version",
    );
    // The package says that this file is the same.
    check_layers(
        layer("1.0", "a", "11", "").file("usr/y", b"1"),
        layer("1.1", "b", "11", "").file("usr/y", b"2"),
        "usr/lib/libx.so unexplained; usr/y unexplained; var/lib/dpkg/status package-version",
    );
    // Checksums say nothing of modes (the last entry is the list), and one status file nothing of another.
    check_layers(
        layer("1.0", "a", "11", "").mode(0o600).file("var/lib/dpkg/status-old", b"a"),
        layer("1.1", "b", "22", "").mode(0o640).file("var/lib/dpkg/status-old", b"b"),
        "usr/lib/libx.so package-version<var/lib/dpkg/status; \
         var/lib/dpkg/info/libx:amd64.md5sums unexplained; \
         var/lib/dpkg/status package-version; var/lib/dpkg/status-old unexplained",
    );
    // No version moved.
    check_layers(
        layer("1.0", "a", "11", ""),
        layer("1.0", "b", "22", "Extra: x\n"),
        "usr/lib/libx.so unexplained!; var/lib/dpkg/info/libx:amd64.md5sums unexplained!; var/lib/dpkg/status unexplained",
    );
    // Something else moved too.
    check_layers(
        layer("1.0", "a", "11", ""),
        layer("1.1", "b", "22", "Extra: x\n"),
        "usr/lib/libx.so package-version<var/lib/dpkg/status; \
         var/lib/dpkg/info/libx:amd64.md5sums package-version<var/lib/dpkg/status; \
         var/lib/dpkg/status unexplained",
    );
}

#[test]
fn lists_of_repositories() {
    let list =
        |day: &str| fake().file("var/lib/apt/lists/mirror_InRelease", format!("Date: {day}\n").as_bytes());
    check_layers(list("a"), list("b"), "var/lib/apt/lists/mirror_InRelease package-lists");
    check_layers(list("a"), list("b").owner(5), "var/lib/apt/lists/mirror_InRelease unexplained!");
}

#[test]
fn a_package_that_one_image_has() {
    let status = |more: &str| {
        let text = stanza("other", "1", "") + more;
        fake().file("var/lib/dpkg/info/new.list", b"/.\n").file("var/lib/dpkg/status", text.as_bytes())
    };
    let a = fake().file("var/lib/dpkg/status", stanza("other", "1", "").as_bytes());
    let b = status(&stanza("new", "3", ""));
    check_layers(
        a.clone(),
        b.clone(),
        "var/lib/dpkg/info/new.list package-version<var/lib/dpkg/status; var/lib/dpkg/status package-version",
    );
    let shown = drifts(a, b, &Context::default()).remove(1).evidence;
    assert_eq!(shown, "package new 3 only in the second image");
}

#[test]
fn packages_of_apk() {
    let installed = |version: &str, sum: &str, more: &str| {
        format!("P:libx\nV:{version}\nF:usr/lib\nR:libx.so\nZ:Q1{sum}=\n\nP:other\nV:1\n{more}\n")
    };
    let layer = |version: &str, content: &[u8], sum: &str, more: &str| {
        fake().file("usr/lib/libx.so", content).file("lib/apk/db/installed", installed(version, sum, more).as_bytes())
    };
    check_layers(
        layer("1.0", b"a", "11", ""),
        layer("1.1", b"b", "22", ""),
        "lib/apk/db/installed package-version; usr/lib/libx.so package-version<lib/apk/db/installed",
    );
    check_layers(
        layer("1.0", b"a", "11", ""),
        layer("1.0", b"b", "22", ""),
        "lib/apk/db/installed unexplained; usr/lib/libx.so unexplained!",
    );
    check_layers(
        layer("1.0", b"a", "11", ""),
        layer("1.1", b"b", "11", "x:y\n"),
        "lib/apk/db/installed unexplained; usr/lib/libx.so unexplained",
    );
}

#[test]
fn packages_of_npm_and_pip() {
    let npm = |version: &str, content: &[u8]| {
        let at = "app/node_modules/express";
        fake()
            .file(&format!("{at}/index.js"), content)
            .file(&format!("{at}/node_modules/other/index.js"), content)
            .file(&format!("{at}/package.json"), format!("{{\"name\":\"express\",\"version\":\"{version}\"}}").as_bytes())
    };
    let at = "app/node_modules/express";
    check_layers(
        npm("4.18.1", b"a"),
        npm("4.18.2", b"b"),
        &format!(
            "{at}/index.js package-version<{at}/package.json; {at}/node_modules/other/index.js unexplained; \
             {at}/package.json package-version"
        ),
    );
    check_layers(
        npm("4.18.1", b"a"),
        npm("4.18.1", b"b"),
        &format!("{at}/index.js unexplained; {at}/node_modules/other/index.js unexplained"),
    );
    let pip = |version: &str, content: &[u8]| {
        fake()
            .file(&format!("v/lib/Flask_App-{version}.dist-info/METADATA"), b"Name: Flask-App\n")
            .file(&format!("v/lib/Flask_App-{version}.dist-info/RECORD"), b"x\n")
            .file("v/lib/flask_app/x.py", content)
            .file("v/lib/flask_other/x.py", content)
    };
    check_layers(
        pip("1.0", b"a"),
        pip("1.1", b"b"),
        "v/lib/Flask_App-1.0.dist-info/METADATA package-version<v/lib/Flask_App-1.1.dist-info/METADATA; \
         v/lib/Flask_App-1.0.dist-info/RECORD package-version<v/lib/Flask_App-1.1.dist-info/METADATA; \
         v/lib/Flask_App-1.1.dist-info/METADATA package-version; \
         v/lib/Flask_App-1.1.dist-info/RECORD package-version<v/lib/Flask_App-1.1.dist-info/METADATA; \
         v/lib/flask_app/x.py package-version<v/lib/Flask_App-1.1.dist-info/METADATA; \
         v/lib/flask_other/x.py unexplained",
    );
}
