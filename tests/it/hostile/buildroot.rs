//! Buildroot images that mean harm while they are unpacked.

use serde_json::json;
use tar::{EntryType, Header};

use crate::support::{Base, Lab, Registry};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Kind, path, content or link target, owner.
pub(super) type Entry<'a> = (EntryType, &'a str, &'a str, u64);

/// The hex digest by which the engine's base store knows the tiny base.
fn tiny() -> String {
    let used = Base::Tiny.used(Registry::shared());
    let (repository, tag) = used.split_once('/').unwrap().1.rsplit_once(':').unwrap();
    Registry::shared().image_at(repository, tag).digest.trim_start_matches("sha256:").to_owned()
}

/// An archive of `entries` and programs (path, bytes).
pub(super) fn archive(entries: &[Entry], programs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in programs {
        let mut header = Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    for (kind, path, text, uid) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_uid(*uid);
        header.set_gid(0);
        header.set_mtime(1);
        let linked = matches!(kind, EntryType::Symlink | EntryType::Link);
        let content = if *kind == EntryType::Regular { text.as_bytes() } else { b"" };
        header.set_size(content.len() as u64);
        if linked {
            header.set_link_name_literal(text).unwrap();
        }
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes()); // `set_path` refuses `..`.
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Puts an image of these layers into the shared registry; its name.
pub(super) fn image(name: &str, layers: &[Vec<u8>]) -> String {
    let registry = Registry::shared();
    let mut descriptors = Vec::new();
    let mut diff_ids = Vec::new();
    for bytes in layers {
        let digest = registry.put_blob(name, bytes);
        descriptors.push(json!({"mediaType": LAYER, "digest": digest, "size": bytes.len()}));
        diff_ids.push(digest);
    }
    let config =
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = config.to_string();
    let digest = registry.put_blob(name, config.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": config.len()},
        "layers": descriptors,
    });
    let image = registry.name(name);
    format!("{}@{}", image.trim_end_matches(":1"), registry.put_manifest(name, &manifest))
}

/// Tries to build in an image of these layers.
#[track_caller]
fn refused(lab: &Lab, name: &str, layers: &[&[Entry]], words: &str) {
    let layers: Vec<_> = layers.iter().map(|entries| archive(entries, &[])).collect();
    let (registry, image) = (Registry::shared(), image(name, &layers));
    let source = lab.source(name, &[("Dockerfile", "FROM base.example/tiny:1\nRUN true\n")]);
    let to = registry.name("never");
    lab.build(registry, &source, &to, &["--buildroot", &image]).exits(3).says(words);
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn nothing_is_written_outside() {
    use EntryType::{Directory, Link, Regular, Symlink};
    for lab in [Lab::new(), Lab::ordinary()] {
        let outside = lab.path("outside");
        std::fs::create_dir(&outside).unwrap();
        let through = [(Symlink, "way", outside.as_str(), 0), (Regular, "way/canary", "x", 0)];
        refused(&lab, "through-link", &[&through], "it cannot be unpacked: layer 1: `way/canary`: ");
        let up = [(Symlink, "up", "../../../../../../..", 0), (Regular, "up/canary", "x", 0)];
        refused(&lab, "up-link", &[&up], "it has no `buildah`");
        refused(&lab, "dots", &[&[(Regular, "../canary", "x", 0)]], "its path goes up with `..`");
        let hard = [(Symlink, "way", "/etc", 0), (Link, "stolen", "way/passwd", 0)];
        refused(&lab, "hard-link", &[&hard], "`stolen`: No such file");
        let both = [(Directory, "a", "", 0), (Regular, "a/.wh...", "x", 0)];
        refused(
            &lab,
            "hides-parent",
            &[&both],
            "`a/.wh...` of the archive is refused: it is a whiteout of nothing",
        );
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert!(!std::path::Path::new("/canary").exists());
    }
}

#[test]
fn owners_and_devices_that_no_cage_has_are_named() {
    use EntryType::{Char, Regular};
    let lab = Lab::new();
    refused(
        &lab,
        "owner",
        &[&[(Regular, "x", "x", 65_536)]],
        "belongs to user 65536, and a buildroot has only the ids 0 to 65535",
    );
    refused(&lab, "device", &[&[(Char, "etc/null", "", 0)]], "`etc/null`: a device or pipe outside dev/");
    refused(&lab, "own-device", &[&[(Char, "dev/null", "", 0)]], "it has no `buildah`");
}

/// Its engine leaves links in place of what is written next, by whoever started the build.
#[test]
fn links_that_an_engine_leaves_are_not_followed() {
    use EntryType::{Directory, Regular, Symlink};
    let lab = Lab::new();
    let canary = lab.path("canary");
    std::fs::write(&canary, "untouched").unwrap();
    let engine = format!(
        "#!/bin/sh\n\
         case \"$*\" in *--version*) echo 'buildah version 1.28.2'; exit 0;; esac\n\
         cd /.reprov/build && rm -f plan profile/steps && ln -s {canary} plan && mkfifo profile/steps\n\
         for name in {names}; do ln -s {canary} /.reprov/bases/$name.loaded; done\n\
         exit 0\n",
        names = tiny(),
    );
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let layer = [
        (Directory, "bin", "", 0),
        (Symlink, "bin/sh", "busybox", 0),
        (Regular, "usr/bin/buildah", engine.as_str(), 0),
        (Regular, "usr/bin/runc", "#!/bin/sh\necho runc version 1.1.5\n", 0),
    ];
    let image = image("leaves-links", &[archive(&layer, &[("bin/busybox", &busybox)])]);
    let source = lab.source("linked", &[("Dockerfile", "FROM base.example/tiny:1\nRUN true\n")]);
    let registry = Registry::shared();
    lab.build(registry, &source, &registry.name("never"), &["--buildroot", &image]).exits(3);
    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "untouched");
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn upper_layers_win() {
    use EntryType::{Directory, Regular, Symlink};
    let lab = Lab::new();
    let lower = [(Regular, "usr/bin/buildah", "not a program", 0), (Regular, "usr/bin/runc", "nor this", 0)];
    refused(&lab, "no-program", &[&lower], "its buildah does not run: ");
    refused(&lab, "hidden", &[&lower, &[(Regular, "usr/bin/.wh.buildah", "", 0)]], "it has no `buildah`");
    let opaque = [(Directory, "usr/bin", "", 0), (Regular, "usr/bin/.wh..wh..opq", "", 0)];
    refused(&lab, "opaque", &[&lower, &opaque], "it has no `buildah`");
    // A link in place of a directory, a directory in place of a file.
    let moved = [(Symlink, "usr", "lib", 0), (Directory, "lib/bin/buildah", "", 0)];
    refused(&lab, "moved", &[&lower, &moved], "it has no `buildah`");
}
