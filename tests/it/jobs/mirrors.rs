//! Images that are read from elsewhere, and short names.

use std::fs;

use crate::support::{Lab, Registry};

const DOCKERFILE: &str = "FROM tiny:1\nRUN echo made > /made\n";

/// A lab with a recipe-less source, and a configuration file made of `text`.
fn configured(text: &str) -> (Lab, std::path::PathBuf, String) {
    let lab = Lab::new();
    let source = lab.source("app", &[("Dockerfile", DOCKERFILE)]);
    let file = lab.path("config.toml");
    fs::write(&file, text).unwrap();
    (lab, source, file)
}

#[test]
fn a_mirror_and_an_alias_make_a_short_name_do() {
    let registry = Registry::shared();
    let rules = format!(
        "[aliases]\ntiny = \"base.example/tiny\"\n[[registry]]\nprefix = \"base.example\"\n\
        [[registry.mirror]]\nlocation = \"127.0.0.1:1/nobody\"\n[[registry.mirror]]\nlocation = \"{}/base\"\n",
        registry.host()
    );
    let (lab, source, file) = configured(&rules);
    let to = registry.name("mirrored");
    let built = lab.build(registry, &source, &to, &["--config", &file]).exits(0);
    assert!(built.err.contains("`tiny:1` is short for `base.example/tiny:1`"), "{built}");
    let traced = lab.reprov(&["trace", &to, "--format", "json", "--trust", &lab.path("signer.pub")]).exits(0);
    assert!(traced.out.contains("\"used\": \"base.example/tiny:1\""), "the name, not the mirror:\n{traced}");
    let verdict = |ran: crate::support::Ran| ran.json()["images"][0]["verdict"].clone();
    assert_eq!(verdict(lab.rebuild(&to, &["--config", &file]).exits(0)), "reproduced");
}

#[test]
fn podmans_file_says_it_too() {
    let registry = Registry::shared();
    let search = format!("unqualified-search-registries = [\"{}\"]\n", registry.host());
    let (lab, _, file) = configured(&search);
    let source = lab.source("base", &[("Dockerfile", "FROM base/tiny:1\nRUN echo made > /made\n")]);
    let mut command = lab.building(registry, &source, &registry.name("searched"), &[]);
    command.env("CONTAINERS_REGISTRIES_CONF", file);
    let built = Lab::run(command).exits(0);
    assert!(built.err.contains("`base/tiny:1` is short for"), "{built}");
}

#[test]
fn what_cannot_be_read_is_said() {
    let registry = Registry::shared();
    let check = |text: &str, exit: i32, expected: &[&str]| {
        let (lab, source, file) = configured(text);
        let built = lab.build(registry, &source, &registry.name("unread"), &["--config", &file]).exits(exit);
        assert!(expected.iter().all(|words| built.err.contains(words)), "{built}");
    };
    check("unqualified-search-registries = []\n", 2, &["line 1", "`tiny:1` names no registry"]);
    check(
        "unqualified-search-registries = [\"a.example\", \"b.example\"]\n",
        2,
        &["line 1", "`tiny:1` could be any of a.example/tiny:1, b.example/tiny:1"],
    );
    let alias = format!("[aliases]\ntiny = \"{}/nobody\"\n", registry.host());
    let blocked = format!("{alias}[[registry]]\nlocation = \"{}\"\nblocked = true\n", registry.host());
    check(&blocked, 3, &["is blocked by registries.conf"]);
    let dead = "[aliases]\ntiny = \"127.0.0.1:2/tiny\"\n[[registry]]\nprefix = \"127.0.0.1:2\"\n\
        [[registry.mirror]]\nlocation = \"127.0.0.1:1\"\n";
    check(dead, 3, &["mirrors failed (127.0.0.1:1/tiny: cannot reach", "cannot reach 127.0.0.1:2"]);
    check("[[registry]]\nprefix = \"h\"\nlocation = \"a b\"\n", 2, &["`a b` is not a place of images"]);
}
