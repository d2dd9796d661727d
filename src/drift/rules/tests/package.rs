//! Packages that moved.

use super::{check_layers, fake};
use crate::layer::fake::FakeLayer;

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
        "usr/lib/libx.so unexplained; var/lib/dpkg/info/libx:amd64.md5sums unexplained; var/lib/dpkg/status unexplained",
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
