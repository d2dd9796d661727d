//! Contexts and bases with what most people never meet.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink, net::UnixListener},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Lab, Registry, must, root, sha256};

const DOCKERFILE: &str = "FROM base.example/tiny:1\nCOPY . /context\nRUN find /context | wc -l > /count\n";

/// Instructions that follow links: `link` leads to `/etc/os-release`, `etc` and `up` to `/etc`.
const LINKS: [(&str, &str); 12] = [
    ("copy", "COPY link /a"),
    ("copy-beyond", "COPY up/os-release /a"),
    ("copy-directory", "COPY etc /a"),
    ("copy-through", "COPY etc/os-release /a"),
    ("add", "ADD link /a"),
    ("bind", "RUN --mount=type=bind,source=link,target=/a cat /a >/b"),
    ("bind-directory", "RUN --mount=type=bind,source=etc,target=/a cat /a/os-release >/b"),
    ("stage", "RUN ln -s /etc/os-release /l\nFROM base.example/tiny:1\nCOPY --from=0 /l /a"),
    ("stage-directory", "RUN ln -s /etc /l\nFROM base.example/tiny:1\nCOPY --from=0 /l/os-release /a"),
    (
        "stage-bind",
        "RUN ln -s / /l\nFROM base.example/tiny:1\n\
            RUN --mount=type=bind,from=0,source=/l,target=/a cat /a/etc/os-release >/b",
    ),
    ("onto", "RUN ln -s /etc /l\nCOPY word /l/canary-of-reprov"),
    ("onto-workdir", "RUN ln -s /etc /l\nWORKDIR /l/canary-of-reprov\nCOPY word ."),
];

/// Pipes, sockets and, for root, devices in `dir`.
fn odd_files(dir: &Path) {
    must(Command::new("mkfifo").arg(dir.join("pipe")));
    drop(UnixListener::bind(dir.join("socket")).unwrap());
    if root() {
        must(Command::new("mknod").arg(dir.join("device")).args(["c", "1", "3"]));
    }
}

#[test]
fn names_of_any_bytes_and_length_go_there_and_back() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let long = "n".repeat(200);
    let names: [&[u8]; 6] = [
        long.as_bytes(),
        b"\xff\xfe not UTF-8",
        b" spaces ",
        b"-rf",
        "\u{202e}right to left \u{1f600}".as_bytes(),
        b"back\\slash \"quoted\" *?[x]",
    ];
    let source = lab.commit("names", |dir| {
        fs::write(dir.join("Dockerfile"), DOCKERFILE).unwrap();
        let deep = dir.join(&long).join("d".repeat(200));
        fs::create_dir_all(&deep).unwrap();
        // Not so deep: the tests' own reader takes the end of a line for that of a PAX record.
        fs::write(dir.join("line\nfeed"), "odd\n").unwrap();
        for name in names {
            fs::write(deep.join(OsStr::from_bytes(name)), "odd\n").unwrap();
        }
    });
    let to = registry.name("contexts-names");
    lab.build(registry, &source, &to, &[]).exits(0);
    let image = registry.image("contexts-names");
    assert_eq!(image.entry("context/line\\nfeed").bytes, b"odd\n");
    for name in names {
        let path = format!("context/{long}/{}/{}", "d".repeat(200), name.escape_ascii());
        assert_eq!(image.entry(&path).bytes, b"odd\n");
    }
    assert_eq!(lab.rebuild(&to, &[]).exits(0).json()["images"][0]["verdict"], "reproduced");
}

#[test]
fn what_git_does_not_have_never_comes_along() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("odd", &[("Dockerfile", DOCKERFILE), ("word", "word\n")]);
    odd_files(&source);
    lab.build(registry, &source, &registry.name("contexts-odd"), &[]).exits(0);
    fs::write(source.join("word"), "other\n").unwrap();
    lab.build(registry, &source, &registry.name("contexts-odd"), &["--allow-dirty"]).exits(0);
    let image = registry.image("contexts-odd");
    assert_eq!(image.text("context/word"), "other\n");
    // The directory, Dockerfile and word.
    assert_eq!(image.text("count").trim(), "3");
}

/// The engine sees the host's `/etc`; nothing in a source or a stage may make it look there.
#[test]
fn links_lead_to_nothing_of_the_host() {
    let canary = fs::read("/etc/os-release").unwrap();
    let (lab, registry) = (Lab::new(), Registry::shared());
    for (name, instructions) in LINKS {
        let repository = format!("contexts-link-{name}");
        let source = lab.commit(name, |dir| {
            fs::write(dir.join("Dockerfile"), format!("FROM base.example/tiny:1\n{instructions}\n")).unwrap();
            fs::write(dir.join("word"), "word\n").unwrap();
            for (link, target) in
                [("link", "/etc/os-release"), ("etc", "/etc"), ("up", "../../../../../../../etc")]
            {
                symlink(target, dir.join(link)).unwrap();
            }
            assert_eq!(fs::read(dir.join("link")).unwrap(), canary);
        });
        let ran = lab.build(registry, &source, &registry.name(&repository), &[]);
        println!("{name}: {:?}", ran.code);
        if ran.code == Some(0) {
            let image = registry.image(&repository);
            assert!(image.layers.iter().flatten().all(|(_, entry)| entry.bytes != canary), "{name}: {ran}");
        } else {
            ran.exits(1).says("line ");
        }
    }
    assert!(!Path::new("/etc/canary-of-reprov").exists());
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn a_file_that_became_a_pipe_is_refused() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("pipe", &[("Dockerfile", DOCKERFILE), ("word", "word\n")]);
    fs::remove_file(source.join("word")).unwrap();
    must(Command::new("mkfifo").arg(source.join("word")));
    let ran = lab.build(registry, &source, &registry.name("contexts-pipe"), &["--allow-dirty"]).exits(2);
    ran.says("`word`").says("neither a file nor a symbolic link");
    assert_eq!(registry.tag("contexts-pipe", "1"), None);
}

#[test]
fn a_base_with_ids_that_no_buildroot_has_is_named() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let mut builder = tar::Builder::new(Vec::new());
    for (path, id) in [("etc/fine", 65_535), ("etc/far", 65_536)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(id);
        builder.append_data(&mut header, path, &b""[..]).unwrap();
    }
    let layer = builder.into_inner().unwrap();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]}})
    .to_string();
    let blob = |media_type: &str, bytes: &[u8]| {
        let digest = registry.put_blob("contexts-ids-base", bytes);
        json!({"mediaType": format!("application/vnd.oci.image.{media_type}"), "digest": digest, "size": bytes.len()})
    };
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", config.as_bytes()), "layers": [blob("layer.v1.tar", &layer)]});
    let digest = registry.put_manifest("contexts-ids-base", &manifest);
    let base = format!("{}/contexts-ids-base@{digest}", registry.host());
    let source = lab.source("ids", &[("Dockerfile", &format!("FROM {base}\nCOPY . /x\n"))]);
    let ran = lab.build(registry, &source, &registry.name("contexts-ids"), &[]).exits(3);
    ran.says(&base).says("`etc/far`").says("belongs to group 65536").says("only the ids 0 to 65535");
    assert_eq!(lab.leftovers(), [""; 0]);
}

/// Says how long it takes and what reprov itself needs.
#[test]
#[ignore = "slow: make acceptance"]
fn a_hundred_thousand_files() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.commit("many", |dir| {
        fs::write(dir.join("Dockerfile"), DOCKERFILE).unwrap();
        for number in 0..100_000 {
            let inner = dir.join(format!("d{:03}", number / 200));
            fs::create_dir_all(&inner).unwrap();
            fs::write(inner.join(format!("file-{number}")), number.to_string()).unwrap();
        }
    });
    for more in [&[][..], &["--allow-dirty"]] {
        if !more.is_empty() {
            for number in 0..1000 {
                fs::write(source.join(format!("new-{number}")), "new").unwrap();
            }
        }
        let began = Instant::now();
        let mut command = lab.building(registry, &source, &registry.name("contexts-many"), more);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let mut peak = String::new();
        let status = loop {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            if let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
                line.trim().clone_into(&mut peak);
            }
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(50)),
            }
        };
        println!("100,000 files {more:?}: {:?}, {peak} in reprov", began.elapsed());
        assert!(status.success(), "{status}");
    }
    let image = registry.image("contexts-many");
    let files = image.layers.iter().flat_map(|layer| layer.keys()).filter(|path| path.contains("/file-"));
    assert_eq!(files.count(), 100_000);
}
