//! The page about plain shell in docs/ci.md, followed as it is written.

use std::{fs, path::Path, process::Command};

use super::copy::{Shelf, manifest};
use crate::support::{Lab, Registry, must};

#[test]
fn the_page_about_plain_shell_works_as_written() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap();
    let (_, rest) = page.split_once("```sh\n").unwrap();
    let (script, _) = rest.split_once("```").unwrap();
    let (lab, registry) = (Lab::new(), Registry::shared());
    let image = manifest(registry, "ci-shell", &[b"built elsewhere"]);
    Shelf::set_tag(registry, "ci-shell", "1", image["digest"].as_str().unwrap());
    let source = lab.source("source", &[("Dockerfile", "FROM scratch\n")]);
    let commit = must(Command::new("git").arg("-C").arg(&source).args(["rev-parse", "HEAD"]));
    fs::copy(lab.path("signer.pub"), lab.path("ci.pub")).unwrap();
    fs::write(lab.path("build.log"), "STEP 1/1: FROM scratch\n").unwrap();
    let bin = Path::new(lab.program()).parent().unwrap().to_owned();
    let mut shell = lab.command("sh");
    shell.args(["-c", script]);
    shell.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    shell.env("IMAGE", Shelf::name(registry, "ci-shell")).env("SKOPEO_FLAGS", "--tls-verify=false");
    shell.env("SIGNING_KEY", fs::read_to_string(lab.path("signer.key")).unwrap());
    shell.env("SOURCE", format!("git+file://{}", source.display())).env("COMMIT", commit.trim());
    shell.env("LOG", lab.path("build.log"));
    let ran = Lab::run(shell).exits(0);
    assert!(ran.out.contains("passed"), "{ran}");
    let found = Shelf::referrers(registry, "ci-shell", image["digest"].as_str().unwrap());
    assert!(!found.is_empty());
}
