//! No trace: what the buildroot adds is invisible in the image, and documented inside a step.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::{Map, Value, json};

use crate::support::{Base, Entry, Image, Lab, Registry, must, root};

/// Environment variables of a step that plain buildah does not set (DESIGN.md, BUILDROOT.md §2).
const ENVIRONMENT: [&str; 17] = [
    "APT_CONFIG",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SOURCE_DATE_EPOCH",
    "SSL_CERT_FILE",
    "TZ",
    "WGETRC",
    "http_proxy",
    "https_proxy",
    "npm_config_cafile",
];

/// Mount points that plain buildah leaves in a layer.
const ENGINE_FILES: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];
/// Mounted, and not by plain buildah without a network: the gateway's directory, names that are the same in every build,
/// and devices, which nobody can make in a user namespace.
const MOUNTS: [&str; 9] = [
    "/dev/.gw",
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
    "/etc/hosts",
    "/etc/resolv.conf",
];

#[test]
fn the_same_dockerfile_through_plain_buildah_gives_the_same_files() {
    let lab = Lab::new();
    let dockerfile = "FROM base.example/tiny:1\n\
        RUN mkdir -p /srv/a/b && echo hello > /srv/a/b/c && chmod 0751 /srv/a && chown 7:8 /srv/a/b/c\n\
        RUN rm /bin/wget && ln -s b /srv/a/link && ln /srv/a/b/c /srv/a/hard && mkfifo /srv/fifo\n\
        WORKDIR /srv/work\n\
        COPY word /etc/word\n\
        ENV MODE=x\n\
        CMD [\"sh\"]\n";
    let source = lab.source("plain", &[("Dockerfile", dockerfile), ("word", "word\n")]);
    let Some((ours, plain)) = both_ways(&lab, &source, "plain") else { return };
    let (ours_files, mut plain_files) = (files(&ours), files(&plain));
    for path in ENGINE_FILES {
        assert!(!ours_files.contains_key(path), "{path}");
        plain_files.remove(path);
    }
    assert_eq!(ours_files, plain_files);
    let mut config = said(&plain);
    config.remove("Labels"); // buildah signs its work.
    assert_eq!(said(&ours), config);
    let texts: Vec<_> = ours.layers.iter().flatten().map(|(_, entry)| &entry.bytes).collect();
    for trace in ["/dev/.gw", "127.0.0.1:3128"] {
        assert!(
            !texts.iter().any(|bytes| bytes.windows(trace.len()).any(|window| window == trace.as_bytes()))
        );
        assert!(!ours.config.to_string().contains(trace));
    }
}

#[test]
fn a_step_makes_accounts() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/debian:bookworm\n\
        RUN groupadd --gid 101 crew && useradd --create-home --gid crew worker && su worker -c id\n\
        RUN adduser --system --group daemon2 2>&1 || test ! -x /usr/sbin/adduser\n";
    let source = lab.source("accounts", &[("Dockerfile", dockerfile)]);
    let to = registry.name("accounts");
    lab.build(registry, &source, &to, &[]).exits(0);
    assert!(registry.image("accounts").text("etc/passwd").contains("worker:x:1000:101:"));
    assert_eq!(lab.rebuild(&to, &[]).exits(0).json()["images"][0]["verdict"], "reproduced");
}

#[test]
fn a_step_sees_only_documented_constants_more() {
    let lab = Lab::new();
    let Some((ours, plain)) = both_ways(&lab, &lab.fixture("trace"), "seen") else { return };
    let names = |image: &Image, path: &str, end: char| -> BTreeSet<String> {
        image.text(path).lines().map(|line| line.split(end).next().unwrap().to_owned()).collect()
    };
    let (env, plain_env) = (names(&ours, "env", '='), names(&plain, "env", '='));
    let more: Vec<_> = env.difference(&plain_env).map(String::as_str).collect();
    assert!(more.iter().all(|name| ENVIRONMENT.contains(name)), "{more:?}\n{}", ours.text("env"));
    assert!(more.contains(&"http_proxy") && more.contains(&"SOURCE_DATE_EPOCH"), "{more:?}");
    let fewer: Vec<_> = plain_env.difference(&env).collect();
    assert!(fewer.is_empty(), "{fewer:?}");

    let mounts: Vec<_> =
        names(&ours, "mounts", '\n').difference(&names(&plain, "mounts", '\n')).cloned().collect();
    // `/sys` is the kernel's, with what this machine has mounted below.
    let own = fs::read_to_string("/proc/self/mounts").unwrap();
    let of_sys = |mount: &str| mount.starts_with("/sys/") && own.split(' ').any(|word| word == mount);
    assert!(mounts.iter().all(|mount| MOUNTS.contains(&mount.as_str()) || of_sys(mount)), "{mounts:?}");
    assert!(mounts.contains(&"/dev/.gw".to_owned()), "{mounts:?}");
    let devices: Vec<_> =
        names(&ours, "devices", '\n').difference(&names(&plain, "devices", '\n')).cloned().collect();
    assert_eq!(devices, [".gw", "/dev/.gw:", "apt.conf", "ca.pem", "wgetrc"]);

    assert_eq!((ours.text("name").trim(), ours.text("umask").trim()), ("reprov", "0022"));
    assert_eq!(ours.text("who"), plain.text("who"));
}

#[test]
fn a_step_that_prints_all_it_sees_still_reproduces() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let to = registry.name("prints");
    // Mount options and device numbers are the kernel's; the rest is the same every time.
    lab.build(registry, &lab.fixture("trace"), &to, &[]).exits(0);
    let answer = lab.rebuild(&to, &[]).exits(0).json();
    assert_eq!(answer["images"][0]["verdict"], "reproduced");
}

#[test]
fn a_layer_that_the_engine_has_in_a_base_already() {
    if !root() {
        return;
    }
    let (lab, registry) = (Lab::new(), Registry::shared());
    let base = registry.name("has-it");
    let dockerfile = format!("FROM {base}\nCOPY word /word\nCOPY other /other\n");
    let files = [("Dockerfile", dockerfile.as_str()), ("word", "word\n"), ("other", "other\n")];
    let above = lab.source("above", &files);
    // The same file with the same time, and no directory touched: byte for byte the layer that the engine makes.
    let dockerfile = format!("FROM {}\nCOPY word /word\n", Base::Tiny.used(registry));
    let below = lab.source("below", &[("Dockerfile", &dockerfile), ("word", "word\n")]);
    let time = must(Command::new("git").arg("-C").arg(&above).args(["log", "-1", "--format=@%ct"]));
    must(Command::new("touch").args(["-d", time.trim()]).arg(below.join("word")));
    let buildah = plain_buildah(&lab);
    buildah(&["bud", "--quiet", "--tls-verify=false", "--tag", "has-it", below.to_str().unwrap()]);
    buildah(&["push", "--quiet", "--tls-verify=false", "has-it", &format!("docker://{base}")]);
    buildah(&["rmi", "--all", "--force"]);
    let to = registry.name("again");
    lab.build(registry, &above, &to, &[]).exits(0);
    let image = registry.image("again");
    assert_eq!((image.text("word"), image.text("other")), ("word\n".to_owned(), "other\n".to_owned()));
    assert_eq!(lab.rebuild(&to, &[]).exits(0).json()["images"][0]["verdict"], "reproduced");
}

/// Runs buildah alone, with a store of its own.
fn plain_buildah(lab: &Lab) -> impl Fn(&[&str]) -> String {
    let storage = ["--root", &lab.path("plain-root"), "--runroot", &lab.path("plain-run")].map(str::to_owned);
    move |args| must(Command::new("buildah").args(&storage).args(args).env("STORAGE_DRIVER", "overlay"))
}

/// The image by this program and by buildah alone; only root can run the latter here.
fn both_ways(lab: &Lab, source: &Path, name: &str) -> Option<(Image, Image)> {
    if !root() {
        return None;
    }
    let registry = Registry::shared();
    lab.build(registry, source, &registry.name(name), &[]).exits(0);
    let text = std::fs::read_to_string(source.join("Dockerfile")).unwrap();
    let dockerfile = lab.path(&format!("{name}.Dockerfile"));
    std::fs::write(&dockerfile, text.replace(Base::Tiny.written(), &Base::Tiny.used(registry))).unwrap();
    let buildah = plain_buildah(lab);
    buildah(&[
        "bud",
        "--quiet",
        "--isolation",
        "oci",
        "--runtime",
        "runc",
        "--network",
        "none",
        "--tls-verify=false",
        "--layers",
        "--format",
        "docker",
        "--tag",
        "localhost/plain:1",
        "--file",
        &dockerfile,
        source.to_str().unwrap(),
    ]);
    let layout = lab.path(&format!("{name}-layout"));
    buildah(&["push", "--quiet", "--format", "oci", "localhost/plain:1", &format!("oci:{layout}:1")]);
    buildah(&["rmi", "--all", "--force"]);
    Some((registry.image(name), Image::in_layout(Path::new(&layout))))
}

/// What the config says; an empty value says nothing.
fn said(image: &Image) -> Map<String, Value> {
    let empty = [json!([]), json!({}), json!(""), json!(null)];
    let config = image.config["config"].as_object().unwrap().clone();
    config.into_iter().filter(|(_, value)| !empty.contains(value)).collect()
}

/// Every file of the layers above the base, the topmost of each path; times are left out, and so are directories of the
/// base, which are in a layer only for their times.
fn files(image: &Image) -> BTreeMap<String, Entry> {
    let base = &image.layers[0];
    let above = image.layers.iter().skip(1).flatten();
    let changed = above.filter(|(path, entry)| !(entry.kind.is_dir() && base.get(*path) == Some(entry)));
    changed.map(|(path, entry)| (path.clone(), entry.clone())).collect()
}
