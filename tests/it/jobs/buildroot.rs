//! The buildroot image: made by this program, from the recipe in this repository, and then used.

use std::{path::PathBuf, process::Command, sync::OnceLock};

use crate::support::{Lab, Registry, fixtures, must, root};

const REPOSITORY: &str = "buildroot";
/// What two releases of an engine write down differently.
const ELSEWHERE: &str = "FROM base.example/tiny:1
WORKDIR /srv/app
COPY word .
RUN mkdir -p a/b && echo one > a/b/c && rm /bin/wget && ln -s b a/link
RUN true
ENV MODE=x
";

/// The repository's own recipe, as a commit.
fn recipe(lab: &Lab) -> PathBuf {
    let ours = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("buildroot");
    lab.commit("buildroot", |dir| drop(must(Command::new("cp").arg("-rT").arg(ours).arg(dir))))
}

/// A buildroot in the shared registry, by digest; built with the machine's own programs, and by whom.
pub(crate) fn shared() -> &'static (String, Lab) {
    static SHARED: OnceLock<(String, Lab)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let (lab, registry) = (Lab::new(), Registry::shared());
        let to = registry.name(REPOSITORY);
        let built = lab.build(registry, &recipe(&lab), &to, &[]).exits(0).json();
        (built["image"].as_str().unwrap().to_owned(), lab)
    })
}

fn digest(image: &str) -> &str {
    image.split_once('@').unwrap().1
}

#[test]
#[ignore = "slow: make acceptance"]
fn built_in_itself_it_is_the_same() {
    let ((image, lab), registry) = (shared(), Registry::shared());
    let (to, trust) = (registry.name("buildroot-again"), lab.path("signer.pub"));
    let source = lab.path("buildroot");
    let built = lab.build(registry, source.as_ref(), &to, &["--buildroot", image, "--trust", &trust]);
    assert_eq!(built.exits(0).json()["manifest"], digest(image));
    let answer = lab.rebuild(&to, &[]).exits(0).json();
    let rebuilt = &answer["images"][0];
    assert_eq!(
        (&rebuilt["verdict"], &rebuilt["builder_changed"]),
        (&"reproduced".into(), &None::<&str>.into())
    );
    let traced =
        lab.reprov(&["trace", &to, "--trust", &trust, "--store", &lab.path("reader"), "--format", "json"]);
    let traced = traced.exits(0).json();
    assert!(traced["buildroot"].as_str().unwrap().contains(digest(image)), "{traced:#}");
    let subject = registry.image("buildroot-again").digest;
    let bundles = registry.referrers("buildroot-again", &subject);
    assert!(!bundles.is_empty());
}

#[test]
fn an_image_built_in_it_is_the_one_built_with_the_same_programs_of_the_host() {
    let (image, registry) = (&shared().0, Registry::shared());
    for (lab, name) in [(Lab::new(), "inside-caller"), (Lab::ordinary(), "inside-ordinary")] {
        let source = lab.source(
            name,
            &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo word > /srv-word && ls / > /seen\n")],
        );
        let (inside, outside) = (registry.name(name), registry.name(&format!("{name}-host")));
        let built = lab.build(registry, &source, &inside, &["--buildroot", image]).exits(0).json();
        let host = lab.build(registry, &source, &outside, &[]).exits(0).json();
        assert_eq!(built["manifest"], host["manifest"]);
        assert_ne!(built["definition"], host["definition"]);
        let answer = lab.rebuild(&inside, &["--buildroot", "host"]).exits(0).json();
        let rebuilt = &answer["images"][0];
        assert_eq!(rebuilt["verdict"], "reproduced");
        let changed = rebuilt["builder_changed"].as_str().unwrap();
        assert!(changed.contains(digest(image)) && changed.contains("the host's programs now"), "{changed}");
        assert_eq!(lab.leftovers(), [""; 0]);
    }
}

#[test]
fn the_machine_needs_no_engine() {
    if !root() {
        return; // Only root can hide the machine's.
    }
    let (image, registry) = (&shared().0, Registry::shared());
    let lab = Lab::new();
    let source = lab.source("bare", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo word > /word\n")]);
    let bare = |more: &[&str]| {
        let command = lab.building(registry, &source, &registry.name("bare"), more);
        let script =
            "for name in buildah runc; do mount --bind /dev/null \"$(command -v $name)\"; done; exec \"$@\"";
        let mut hidden = Command::new("unshare");
        hidden
            .args(["--mount", "sh", "-ec", script, "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        Lab::run(hidden)
    };
    bare(&[]).exits(3).says("`buildah` is not installed");
    bare(&["--buildroot", image]).exits(0);
}

#[test]
fn whom_nobody_vouches_for_is_refused() {
    let (image, registry) = (&shared().0, Registry::shared());
    let lab = Lab::new();
    let source = lab.source("plain", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo word > /word\n")]);
    let to = registry.name("unvouched");
    let trust = lab.path("signer.pub"); // Not the key that signed the buildroot.
    lab.build(registry, &source, &to, &["--buildroot", image, "--trust", &trust])
        .exits(1)
        .says("is not believed: ");
    assert_eq!(registry.tag("unvouched", "1"), None);
}

#[test]
fn keys_without_an_image_to_judge_are_noticed() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("keys", &[("Dockerfile", "FROM base.example/tiny:1\nRUN true\n")]);
    let trust = lab.path("signer.pub");
    lab.build(registry, &source, &registry.name("keys"), &["--trust", &trust])
        .exits(0)
        .says("--trust: there is no buildroot image to judge");
}

#[test]
fn a_recipe_alone_does_not_choose_it() {
    let ((image, lab), registry) = (shared(), Registry::shared());
    let recipe = format!("repository = []\n[build]\nbuildroot = \"{image}\"\n");
    let dockerfile = "FROM base.example/tiny:1\nRUN echo word > /word\n";
    let source = lab.source("asks", &[("Dockerfile", dockerfile), ("reprov.toml", &recipe)]);
    let (to, trust) = (registry.name("asks"), lab.path("signer.pub"));
    let build = |more: &[&str]| lab.build(registry, &source, &to, more);
    build(&[]).exits(2).says("the recipe asks to build in");
    assert_eq!(registry.tag("asks", "1"), None);
    let trusted = build(&["--trust", &trust]).exits(0).json();
    let named = build(&["--buildroot", image]).exits(0).json();
    assert_eq!(trusted["definition"], named["definition"], "what was found out about it is no part of it");
}

#[test]
fn what_is_no_buildroot_is_refused() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("plain", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo word > /word\n")]);
    let to = registry.name("no-buildroot");
    let refused = |buildroot: &str, code, words: &str| {
        lab.build(registry, &source, &to, &["--buildroot", buildroot]).exits(code).says(words);
    };
    let tiny = crate::support::Base::Tiny.used(registry);
    refused(&tiny, 2, "a buildroot is named by digest; write `host` or IMAGE@sha256:DIGEST");
    let (repository, tag) = tiny.split_once('/').unwrap().1.rsplit_once(':').unwrap();
    let known = registry.image_at(repository, tag);
    let named = format!("{tiny}@{}", known.digest);
    refused(&named, 3, "it has no `buildah` on the path");
    refused(&format!("{tiny}@sha256:{}", "0".repeat(64)), 3, "cannot use buildroot");
    let mut config = known.config.clone();
    config["architecture"] = "riscv64".into();
    let config = config.to_string();
    let mut manifest = registry.blob_json(&known.digest);
    manifest["config"]["digest"] = registry.put_blob(repository, config.as_bytes()).into();
    manifest["config"]["size"] = config.len().into();
    let foreign = registry.put_manifest(repository, &manifest);
    let (base, _) = tiny.rsplit_once(':').unwrap();
    refused(&format!("{base}@{foreign}"), 3, "is for linux/riscv64, this machine is linux/");
}

/// Another Debian release around it, with another buildah.
#[test]
#[ignore = "slow: make acceptance"]
fn on_another_host_it_makes_the_same_image() {
    if !root() {
        println!("skipped: only root enters another root");
        return;
    }
    let ((image, lab), registry) = (shared(), Registry::shared());
    let source = lab.source("elsewhere", &[("Dockerfile", ELSEWHERE), ("word", "word\n")]);
    let (here, there) = (registry.name("elsewhere"), registry.name("elsewhere-trixie"));
    let built = lab.build(registry, &source, &here, &["--buildroot", image]).exits(0).json();
    let trixie = |args: &[&str]| {
        let mut command = Command::new(fixtures("elsewhere"));
        command.args(["trixie", "buildah,runc,netavark,git,ca-certificates", lab.program()]).args(args);
        Lab::run(command)
    };
    let building = lab.building(registry, &source, &there, &["--buildroot", image]);
    let args: Vec<_> = building.get_args().map(|word| word.to_str().unwrap()).collect();
    assert_eq!(trixie(&args).exits(0).json()["manifest"], built["manifest"]);

    let (trust, store) = (lab.path("signer.pub"), lab.path("trixie-store"));
    let rebuild = |more: &[&str]| {
        let words = ["rebuild", &here, "--trust", &trust, "--store", &store, "--format", "json"];
        trixie(&[&words[..], more].concat())
    };
    assert_eq!(rebuild(&[]).exits(0).json()["images"][0]["verdict"], "reproduced");
    let answer = rebuild(&["--buildroot", "host"]);
    let rebuilt = answer.json()["images"][0].clone();
    assert_eq!(rebuilt["verdict"], "builder-changed", "{rebuilt:#}");
    assert!(rebuilt["builder_changed"].as_str().unwrap().contains("the host's programs now"), "{rebuilt:#}");
}
