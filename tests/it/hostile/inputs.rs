//! What is wrong before anything runs.

use crate::support::{Lab, Ran, Registry};

/// Builds a source of one Dockerfile into `repository`; nothing is pushed if it fails.
#[track_caller]
fn build(lab: &Lab, repository: &str, dockerfile: &str, more: &[&str], code: i32) -> Ran {
    let registry = Registry::shared();
    let source = lab.source(repository, &[("Dockerfile", dockerfile)]);
    let ran = lab.build(registry, &source, &registry.name(repository), more).exits(code);
    assert_eq!(registry.tag(repository, "1"), None, "an image was pushed");
    assert_eq!(lab.leftovers(), [""; 0]);
    ran
}

#[test]
fn no_dockerfile() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("empty", &[("README", "x")]);
    lab.build(registry, &source, &registry.name("empty"), &[]).exits(2).says("Dockerfile");
}

#[test]
fn no_source() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let missing = lab.path("missing");
    lab.build(registry, missing.as_ref(), &registry.name("missing"), &[]).exits(2).says(&missing);
    std::fs::create_dir(&missing).unwrap();
    lab.build(registry, missing.as_ref(), &registry.name("missing"), &[]).exits(2).says(&missing);
}

#[test]
fn a_revision_that_is_not_there() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("rev", &[("Dockerfile", "FROM base.example/tiny:1\n")]);
    lab.build(registry, &source, &registry.name("rev"), &["--rev", "v9.9"]).exits(2).says("v9.9");
}

#[test]
fn a_syntax_error_has_its_line() {
    build(&Lab::new(), "syntax", "FROM base.example/tiny:1\n\nFLY away\n", &[], 2).says("3").says("FLY");
}

#[test]
fn an_unknown_stage() {
    build(&Lab::new(), "stage", "FROM base.example/tiny:1\n", &["--target", "nowhere"], 2).says("nowhere");
}

#[test]
fn an_unknown_key_in_the_recipe_names_the_nearest() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let files =
        [("Dockerfile", "FROM base.example/tiny:1\n"), ("reprov.toml", "[image]\n\ndockerfil = \"x\"\n")];
    let source = lab.source("recipe", &files);
    let ran = lab.build(registry, &source, &registry.name("recipe"), &[]).exits(2);
    ran.says("dockerfil").says("dockerfile").says("3");
}

#[test]
fn a_base_that_is_not_there() {
    let absent = Registry::shared().name("nobody/has/this");
    build(&Lab::new(), "absent-base", &format!("FROM {absent}\n"), &[], 3).says(&absent);
}

#[test]
fn a_base_without_a_registry() {
    let ran = build(&Lab::new(), "short", "FROM debian:bookworm\n", &[], 2);
    ran.says("debian:bookworm").says("--from");
}

#[test]
fn a_registry_that_is_down() {
    // Bound and dropped: nobody answers there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dead = format!("127.0.0.1:{port}");
    build(&Lab::new(), "down", &format!("FROM {dead}/base:1\n"), &[], 3).says(&dead);
    let lab = Lab::new();
    let source = lab.source("down-too", &[("Dockerfile", "FROM base.example/tiny:1\n")]);
    lab.build(Registry::shared(), &source, &format!("{dead}/app:1"), &[]).exits(3).says(&dead);
    lab.rebuild(&format!("{dead}/app:1"), &[]).exits(3).says(&dead);
}

#[test]
fn a_dirty_tree_is_refused_unless_allowed_and_then_said() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source(
        "dirty",
        &[("Dockerfile", "FROM base.example/tiny:1\nCOPY word /word\n"), ("word", "clean\n")],
    );
    std::fs::write(source.join("word"), "dirty\n").unwrap();
    let to = registry.name("dirty");
    lab.build(registry, &source, &to, &[]).exits(2).says("--allow-dirty");
    assert_eq!(registry.tag("dirty", "1"), None);
    lab.build(registry, &source, &to, &["--allow-dirty"]).exits(0);
    let traced = lab.reprov(&["trace", &to, "--store", &lab.path("fresh"), "--format", "json"]).exits(0);
    assert_eq!(traced.json()["source"]["dirty"], true, "{traced}");
    // The source was kept beside the image: the working tree is no longer needed.
    std::fs::remove_dir_all(&source).unwrap();
    let answer = lab.rebuild(&to, &[]).exits(0).json();
    assert_eq!(answer["images"][0]["verdict"], "reproduced");
}

#[test]
fn a_secret_looking_build_argument() {
    build(&Lab::new(), "secret", "FROM base.example/tiny:1\n", &["--build-arg", "API_TOKEN=x"], 2)
        .says("API_TOKEN")
        .says("--public-arg");
}

#[test]
fn a_commit_from_the_future() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("future", &[("Dockerfile", "FROM base.example/tiny:1\n")]);
    let mut amend = lab.command("git");
    amend.args(["-C", source.to_str().unwrap(), "-c", "user.name=a", "-c", "user.email=a@example.org"]);
    amend
        .args(["commit", "--quiet", "--amend", "--message", "later"])
        .env("GIT_COMMITTER_DATE", "@4102444800 +0000");
    Lab::run(amend).exits(0);
    lab.build(registry, &source, &registry.name("future"), &[]).exits(2);
}
