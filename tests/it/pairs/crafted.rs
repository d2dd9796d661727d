//! Pairs written byte by byte: every blind spot of other tools alone and beside a changed time, and images that are bad.

use std::collections::BTreeSet;

use super::{Pairs, judge, said, shown, words};

/// The instruction whose layer differs.
const INSTRUCTION: &str = "RUN make things";
/// The same of pairs named `context-…`.
const COPIED: &str = "COPY . /";

/// Pair; verdict and drifts; what is more, or other, beside two changed times: `srv/link`'s and the changed entry's own.
pub(super) const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("content", "unexplained; srv/file unexplained", ""),
    ("content-longer", "unexplained; srv/file unexplained", ""),
    ("content-program", "unexplained; srv/tool unexplained!", ""),
    ("mode", "unexplained; srv/file unexplained", ""),
    ("setuid", "unexplained; srv/tool unexplained!", ""),
    ("setgid", "unexplained; srv/tool unexplained!", ""),
    ("sticky", "unexplained; srv/empty unexplained", ""),
    ("uid", "unexplained; srv/file unexplained!", ""),
    ("gid", "unexplained; srv/file unexplained!", ""),
    ("uname", "same-filesystem; srv/file layer-shape", "srv/file mtime"),
    ("gname", "same-filesystem; srv/file layer-shape", "srv/file mtime"),
    ("symlink-target", "unexplained; srv/link unexplained", "srv/link unexplained"),
    ("device-minor", "unexplained; srv/dev unexplained!", ""),
    ("device-major", "unexplained; srv/dev unexplained!", ""),
    ("device-to-fifo", "unexplained; srv/dev unexplained!", ""),
    ("file-to-directory", "unexplained; srv/file unexplained", ""),
    ("file-to-symlink", "unexplained; srv/file unexplained", ""),
    ("mtime", "explained; srv/file mtime", ""),
    ("mtime-fraction", "explained; srv/file pax-time", ""),
    ("pax-atime", "same-filesystem; srv/file pax-time", "srv/file mtime"),
    ("pax-ctime", "same-filesystem; srv/file pax-time", "srv/file mtime"),
    ("pax-comment", "same-filesystem; srv/file layer-shape", "srv/file mtime"),
    ("capability-added", "unexplained; srv/tool unexplained!", ""),
    ("capability-value", "unexplained; srv/tool unexplained!", ""),
    ("capability-flag", "unexplained; srv/tool unexplained!", ""),
    ("capability-beside-mtime", "unexplained; srv/file mtime; srv/tool unexplained!", ""),
    ("xattr-of-user", "unexplained; srv/file unexplained", ""),
    ("xattr-of-libarchive", "unexplained; srv/file unexplained", ""),
    ("whiteout-added", "unexplained; opt/d/.wh.x unexplained", ""),
    ("opaque-added", "unexplained; opt/d/.wh..wh..opq unexplained", ""),
    (
        "whiteout-form",
        "same-filesystem; opt/d/.wh..wh..opq whiteout-form; opt/d/.wh.x whiteout-form; opt/d/.wh.y whiteout-form",
        "srv/file mtime",
    ),
    ("whiteout-of-a-link", "same-filesystem; opt/d/.wh.x whiteout-form", "srv/file mtime"),
    (
        "whiteout-of-fewer",
        "unexplained; opt/d/.wh..wh..opq unexplained; opt/d/.wh.x unexplained",
        "srv/file mtime",
    ),
    (
        "whiteout-of-another",
        "unexplained; opt/d/.wh.x unexplained; opt/d/.wh.y unexplained",
        "srv/file mtime",
    ),
    ("directory-missing", "unexplained; srv/empty unexplained", ""),
    ("file-added", "unexplained; srv/new unexplained", ""),
    ("program-added", "unexplained; usr unexplained; usr/bin unexplained; usr/bin/new unexplained!", ""),
    ("order", "same-filesystem; - layer-shape", "srv/file mtime"),
    ("dialect", "same-filesystem; - layer-shape", "srv/file mtime"),
    ("dialect-of-one", "same-filesystem; - layer-shape", "srv/file mtime"),
    ("dotted", "same-filesystem; - layer-shape", "srv/file mtime"),
    ("comment-of-all", "same-filesystem; - layer-shape", "srv/file mtime"),
    (
        "type-bits",
        "builder-normalised; srv mode-type-bits; srv/dev mode-type-bits; srv/empty mode-type-bits; \
         srv/file mode-type-bits; srv/link mode-type-bits; srv/other mode-type-bits; srv/tool mode-type-bits",
        "srv/file mtime",
    ),
    ("type-bits-of-one", "builder-normalised; srv/file mode-type-bits", "srv/file mtime"),
    ("type-bits-that-lie", "unexplained; srv/file unexplained", ""),
    ("duplicate-wins", "unexplained; - layer-shape; srv/file unexplained", ""),
    ("duplicate-shadowed", "same-filesystem; - layer-shape", "srv/file mtime"),
    ("duplicate-equal", "same-filesystem; - layer-shape", "srv/file mtime"),
    ("duplicate-directory", "same-filesystem; - layer-shape", "srv/file mtime"),
    ("duplicate-directory-mode", "unexplained; - layer-shape; srv/empty unexplained", "srv/file mtime"),
    ("duplicate-setuid", "unexplained; - layer-shape; srv/tool unexplained!", "srv/file mtime"),
    ("hard-link-or-copy", "unexplained; srv/hard unexplained", "srv/file mtime"),
    ("hard-link-elsewhere", "unexplained; srv/hard unexplained; srv/other unexplained", "srv/file mtime"),
    ("hard-link-swapped", "same-filesystem; - layer-shape", "srv/other mtime"),
    ("sparse-or-not", "same-filesystem; srv/sparse layer-shape", "srv/file mtime"),
    ("sparse-content", "unexplained; srv/sparse unexplained", "srv/file mtime"),
    ("sparse-map", "unexplained; srv/sparse unexplained", "srv/file mtime"),
    ("name-not-utf-8", "unexplained; srv/%FF%FE unexplained", "srv/file mtime"),
    (
        "name-long",
        "unexplained; \
         srv/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy unexplained",
        "srv/file mtime",
    ),
    (
        "random-name",
        "explained; srv/tmp.Kl2Nm4Pq6S random-name; srv/tmp.aB3dE5gH7j random-name",
        "srv/file mtime",
    ),
    (
        "random-name-of-directory",
        "explained; srv/tmp.Kl2Nm4Pq6S random-name; srv/tmp.aB3dE5gH7j random-name",
        "srv/file mtime",
    ),
    (
        "random-name-of-another",
        "unexplained; srv/tmp.Kl2Nm4Pq6S unexplained; srv/tmp.aB3dE5gH7j unexplained",
        "srv/file mtime",
    ),
    ("package-list", "explained; var/lib/apt/lists/repo_dists_x_InRelease package-lists", "srv/file mtime"),
    (
        "package-list-gone",
        "explained; var/lib/apt/lists/repo_dists_x_InRelease package-lists",
        "srv/file mtime",
    ),
    ("mount-point", "builder-normalised; run builder-mount-point", "srv/file mtime"),
    ("mount-point-of-file", "builder-normalised; etc/resolv.conf builder-mount-point", "srv/file mtime"),
    ("mount-point-full", "unexplained; etc/hosts unexplained", "srv/file mtime"),
    ("data-after-end", "unexplained; - unexplained", ""),
    ("garbage-after-end", "unexplained; - unexplained", ""),
    ("zero-blocks", "same-filesystem; - layer-shape", ""),
    ("one-zero-block", "same-filesystem; - layer-shape", ""),
    ("no-end", "same-filesystem; - layer-shape", ""),
    ("gzip-level", "compression-only; - compression", ""),
    ("gzip-mtime", "compression-only; - compression", ""),
    ("gzip-name", "compression-only; - compression", ""),
    ("gzip-members", "compression-only; - compression", ""),
    ("uncompressed", "compression-only; - compression", ""),
    (
        "docker-types",
        "explained; manifest:/mediaType layer-shape; manifest:/config/mediaType layer-shape; \
         manifest:/layers/0/mediaType layer-shape; manifest:/layers/1/mediaType layer-shape; \
         manifest:/layers/2/mediaType layer-shape",
        "",
    ),
    ("env-order", "unexplained; config:/config/Env/0 unexplained; config:/config/Env/1 unexplained", ""),
    ("env-value", "unexplained; config:/config/Env/1 unexplained", ""),
    ("cmd", "unexplained; config:/config/Cmd/0 unexplained", ""),
    ("entrypoint-added", "unexplained; config:/config/Entrypoint unexplained", ""),
    ("user-added", "unexplained; config:/config/User unexplained", ""),
    ("healthcheck", "unexplained; config:/config/Healthcheck/Test/1 unexplained", ""),
    ("healthcheck-gone", "unexplained; config:/config/Healthcheck unexplained", ""),
    ("unknown-field", "unexplained; config:/config/Mystery unexplained", ""),
    ("unknown-field-of-all", "unexplained; config:/mystery unexplained", ""),
    ("created", "explained; config:/created clock-in-text", ""),
    ("created-not-a-time", "unexplained; config:/created unexplained", ""),
    ("history-created", "explained; config:/history/3/created clock-in-text", ""),
    ("history-command", "unexplained; config:/history/1/created_by unexplained", ""),
    ("history-gone", "unexplained; config:/history unexplained", ""),
    ("context-mode", "explained; srv/file context-mode", "srv/link context-mtime"),
    ("context-mode-of-directory", "explained; srv/empty context-mode", "srv/link context-mtime"),
    ("context-mtime", "explained; srv/file context-mtime", "srv/link context-mtime"),
    ("context-mtime-of-directory", "explained; srv/empty context-mtime", "srv/link context-mtime"),
    ("context-owner", "unexplained; srv/file unexplained!", "srv/link context-mtime"),
    ("history-comment", "explained; config:/history/3/comment history-consequence", ""),
    ("history-comment-of-names", "unexplained; config:/history/3/comment unexplained", ""),
    ("container-id", "explained; config:/container history-consequence", ""),
    ("architecture", "unexplained; config:/architecture unexplained", ""),
    ("variant", "unexplained; config:/variant unexplained", ""),
    ("label-added", "unexplained; config:/config/Labels/made unexplained", ""),
    ("label-of-time", "explained; config:/config/Labels/made clock-in-text", ""),
    ("label-of-builder", "builder-normalised; config:/config/Labels/io.buildah.version builder-label", ""),
    ("annotation", "unexplained; manifest:/annotations/org.example.note unexplained", ""),
    ("annotation-value", "unexplained; manifest:/annotations/org.example.note unexplained", ""),
    (
        "annotation-of-time",
        "builder-normalised; manifest:/annotations/org.opencontainers.image.created builder-label",
        "",
    ),
    ("artifact-type", "unexplained; manifest:/artifactType unexplained", ""),
];

/// Pairs of other layers; verdict, and what must be said of paths where the merged file systems differ, or of all.
pub(super) const SHAPES: &[(&str, &str, &str)] = &[
    ("two-layers", "same-filesystem", "layer-shape"),
    ("two-layers-one-replaces", "same-filesystem", "layer-shape"),
    ("layers-exchanged", "same-filesystem", "layer-shape"),
    ("layer-empty-added", "same-filesystem", "layer-shape"),
    ("two-layers.mtime", "explained", "layer-shape; srv/link mtime"),
    ("two-layers-one-replaces.mtime", "explained", "layer-shape; srv/link mtime"),
    ("layers-exchanged.mtime", "explained", "layer-shape; srv/link mtime"),
    ("layer-empty-added.mtime", "explained", "layer-shape; srv/link mtime"),
    (
        "base-moved",
        "explained",
        "opt/d/x mtime; manifest:/annotations/org.opencontainers.image.base.digest base-moved",
    ),
    (
        "base-moved-label",
        "explained",
        "opt/d/x mtime; config:/config/Labels/org.opencontainers.image.base.digest base-moved",
    ),
    (
        "base-moved.mtime",
        "explained",
        "opt/d/x mtime; srv/link mtime; manifest:/annotations/org.opencontainers.image.base.digest base-moved",
    ),
    (
        "base-moved-label.mtime",
        "explained",
        "opt/d/x mtime; srv/link mtime; config:/config/Labels/org.opencontainers.image.base.digest base-moved",
    ),
    ("two-layers-and-more", "unexplained", "layer-shape; srv/evil unexplained"),
    ("two-layers-and-more.mtime", "unexplained", "layer-shape; srv/evil unexplained; srv/link mtime"),
];

/// Bad images; the exit code, and words of the error or the finding.
const BAD: &[(&str, i32, &[&str])] = &[
    ("gzip-corrupt", 3, &["layer 2 of image b"]),
    ("gzip-crc", 3, &["layer 2 of image b", "checksum"]),
    ("gzip-size", 3, &["layer 2 of image b"]),
    ("gzip-truncated", 3, &["layer 2 of image b"]),
    ("gzip-empty", 3, &["layer 2 of image b"]),
    ("gzip-not", 3, &["layer 2 of image b", "gzip header"]),
    ("gzip-garbage-after", 3, &["layer 2 of image b"]),
    ("gzip-zeros-after", 3, &["layer 2 of image b", "gzip header"]),
    ("tar-truncated", 3, &["layer 2 of image b", "cut off"]),
    ("tar-truncated-header", 3, &["layer 2 of image b", "cut off"]),
    ("checksum", 3, &["layer 2 of image b", "`srv/file`", "checksum"]),
    ("size-not-octal", 3, &["layer 2 of image b", "`srv/file`"]),
    ("size-too-large", 3, &["layer 2 of image b", "cut off"]),
    ("size-negative", 3, &["layer 2 of image b", "`srv/neg`"]),
    ("escape-up", 3, &["layer 2 of image b", "`../../etc/passwd`", "`..`"]),
    ("escape-inside", 3, &["layer 2 of image b", "`srv/../../etc/passwd`", "`..`"]),
    ("escape-absolute", 1, &["etc/passwd", "absolute", "unexplained"]),
    ("escape-hard-link", 3, &["layer 2 of image b", "`srv/h`"]),
    ("hard-link-loop", 1, &["srv/p", "srv/q", "unexplained"]),
    ("hard-link-self", 1, &["srv/p", "unexplained"]),
    ("hard-link-absent", 1, &["srv/p", "unexplained"]),
    ("hard-link-directory", 1, &["srv/p", "unexplained"]),
    ("name-empty", 3, &["layer 2 of image b", "no name"]),
    ("name-nul", 3, &["layer 2 of image b", "NUL"]),
    ("name-of-directory-for-file", 1, &["srv/file/below", "unexplained"]),
    ("pax-lies", 3, &["layer 2 of image b", "cut off"]),
    ("pax-size-not-number", 3, &["layer 2 of image b", "`srv/x`", "size"]),
    ("pax-time-huge", 3, &["layer 2 of image b", "`srv/x`", "mtime"]),
    ("pax-length", 3, &["layer 2 of image b", "PAX"]),
    ("pax-no-newline", 3, &["layer 2 of image b", "PAX"]),
    ("pax-twice", 3, &["layer 2 of image b", "PAX"]),
    ("pax-last", 3, &["layer 2 of image b", "extension header"]),
    ("gnu-and-pax", 3, &["layer 2 of image b", "GNU"]),
    ("gnu-long-last", 3, &["layer 2 of image b", "extension header"]),
    ("gnu-sparse", 3, &["layer 2 of image b", "sparse"]),
    ("sparse-lies", 3, &["layer 2 of image b", "sparse"]),
    ("sparse-overlaps", 3, &["layer 2 of image b", "sparse"]),
    ("type-unknown", 3, &["layer 2 of image b", "`srv/x`", "type"]),
    ("type-contiguous", 1, &["srv/x", "unexplained"]),
    ("whiteout-with-bytes", 1, &["srv/.wh.first", "unexplained"]),
    ("whiteout-of-itself", 3, &["layer 2 of image b", "`srv/.wh.`"]),
    ("diff-id", 3, &["layer 2 of image b", "its config claims"]),
    ("diff-id-equal", 3, &["layer 2 of image b", "its config claims"]),
    ("layer-absent", 3, &["-b", "is not there"]),
    ("digest", 3, &["bad-digest-b", "expected sha256:"]),
    ("config-key-twice", 3, &["bad-config-key-twice-b", "\\\"Cmd\\\" stands twice"]),
    ("config-deep", 3, &["bad-config-deep-b", "recursion"]),
    ("config-not-json", 3, &["bad-config-not-json-b", "EOF"]),
    ("layers-no-history", 1, &["/history/0", "unexplained"]),
    ("media-type", 1, &["/layers/2/mediaType", "unexplained"]),
    ("media-type-squashfs", 3, &["layer 2 of image b", "layer.v1.squashfs"]),
    ("media-type-lies", 3, &["layer 2 of image b"]),
    ("two-platforms", 1, &["linux/arm64"]),
    ("other-platform", 1, &["linux/arm64", "linux/amd64", "unexplained"]),
    ("index-absent", 3, &["bad-index-absent-b", "is not there"]),
    ("manifest-absent", 3, &["bad-manifest-absent-b", "is not there"]),
    ("manifest-deep", 3, &["bad-manifest-deep-b", "recursion"]),
];

#[test]
fn every_blind_spot_alone_and_beside_a_time() {
    let pairs = Pairs::made_by("crafted");
    let judged = DIFFERENCES.iter().map(|row| row.0).chain(SHAPES.iter().map(|row| row.0));
    let judged: BTreeSet<_> = judged.map(|name| name.trim_end_matches(".mtime").to_owned()).collect();
    let made = pairs.names.iter().filter(|name| !name.starts_with("bad-"));
    let made: BTreeSet<_> = made.map(|name| name.trim_end_matches(".mtime").to_owned()).collect();
    assert_eq!(judged, made);
    judge(DIFFERENCES, |(name, alone, more)| {
        let expected = words(alone);
        let beside = beside(&expected, more);
        [(name.to_string(), expected), (format!("{name}.mtime"), beside)]
            .into_iter()
            .filter(|(name, _)| *name != "gzip-members.mtime") // What else differs hides where one member ends.
            .filter_map(|(name, expected)| wrong(&pairs, &name, &expected))
            .collect()
    });
    judge(SHAPES, |(name, verdict, more)| {
        let answer = pairs.diff(name).exits(1).json();
        let mut found = said(&answer);
        let shape = found.extract_if(.., |word| word.ends_with(" layer-shape")).count() > 0;
        if shape {
            found.insert("layer-shape".to_owned());
        }
        let mut expected = words(more);
        expected.insert((*verdict).to_owned());
        differing(name, &expected, &found).into_iter().collect()
    });
}

#[test]
fn bad_images_are_refused_or_unexplained() {
    let pairs = Pairs::made_by("crafted");
    let judged: BTreeSet<_> = BAD.iter().map(|row| format!("bad-{}", row.0)).collect();
    let made: BTreeSet<_> = pairs.names.iter().filter(|name| name.starts_with("bad-")).cloned().collect();
    assert_eq!(judged, made);
    judge(BAD, |(name, code, says)| {
        let ran = pairs.diff(&format!("bad-{name}"));
        let absent = says.iter().filter(|words| !ran.out.contains(**words)).map(|words| format!("`{words}`"));
        let mut wrong: Vec<_> = absent.collect();
        if ran.code != Some(*code) || ran.err.contains("panicked") {
            wrong.push(format!("exit {code}, but {:?}", ran.code));
        }
        let answer = ran.json();
        let shown = answer["message"].as_str().map_or_else(|| shown(&said(&answer)), str::to_owned);
        wrong.into_iter().map(|wrong| format!("{name}: no {wrong}: {shown}; {}", ran.err)).collect()
    });
}

/// What is said of a pair with two changed times beside its difference.
fn beside(alone: &BTreeSet<String>, more: &str) -> BTreeSet<String> {
    let path = |word: &str| word.split(' ').next().unwrap_or_default().to_owned();
    let more = words(more);
    let replaced: BTreeSet<_> = more.iter().map(|word| path(word)).filter(|path| path != "-").collect();
    let mut all: BTreeSet<_> =
        alone.iter().filter(|word| word.contains(' ') && !replaced.contains(&path(word))).cloned().collect();
    all.extend(more);
    if !all.iter().any(|word| path(word) == "srv/link" && !word.contains("mode-type-bits")) {
        all.insert("srv/link mtime".to_owned());
    }
    all.remove("srv/link mode-type-bits");
    let unexplained = all.iter().any(|word| word.trim_end_matches('!').ends_with(" unexplained"));
    all.insert(if unexplained { "unexplained" } else { "explained" }.to_owned());
    all
}

fn wrong(pairs: &Pairs, name: &str, expected: &BTreeSet<String>) -> Option<String> {
    let ran = pairs.diff(name);
    if ran.code != Some(1) {
        return Some(format!("{name}: exit {:?}: {}{}", ran.code, ran.out, ran.err));
    }
    let answer = ran.json();
    let instruction = if name.starts_with("context-") { COPIED } else { INSTRUCTION };
    let elsewhere = answer["drifts"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|drift| drift["layer"] != 2 || drift["instruction"]["text"] != instruction);
    if let Some(drift) = elsewhere {
        return Some(format!("{name}: not of layer 2, `{instruction}`: {drift}"));
    }
    differing(name, expected, &said(&answer))
}

fn differing(name: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>) -> Option<String> {
    (expected != found).then(|| format!("{name}: says `{}`, not `{}`", shown(found), shown(expected)))
}
