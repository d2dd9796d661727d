//! The pages of docs/ci.md, followed as they are written. Plain shell is run by a shell; the others by interpreters that
//! do what the CI system documents with as much of its YAML as the page has, and fail at what they do not know.

mod github;
mod gitlab;
mod tekton;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::copy::{Shelf, manifest};
use crate::support::{Lab, Registry, must};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap()
}

/// The block of `language` under the heading `title`.
fn block(title: &str, language: &str) -> String {
    let page = page();
    let (_, section) = page.split_once(&format!("\n## {title}\n")).unwrap();
    let (_, rest) = section.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

fn yaml(title: &str) -> Value {
    serde_saphyr::from_str(&block(title, "yaml")).unwrap_or_else(|error| panic!("{title}: {error}"))
}

/// Fails at a key that would not be followed.
#[track_caller]
fn known(table: &Value, keys: &[&str]) {
    let unknown: Vec<_> =
        table.as_object().unwrap().keys().filter(|key| !keys.contains(&key.as_str())).collect();
    assert!(unknown.is_empty(), "the interpreter does not know {unknown:?}");
}

/// The entries of a list; none if it is left out.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The entries of a table of texts; none if it is left out.
fn texts(value: &Value) -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (&String, &Value)| (name.clone(), value.as_str().unwrap().to_owned());
    value.as_object().into_iter().flatten().map(text)
}

/// A project with a Dockerfile that copies all it is given, its key, and a registry that asks for a password.
struct Project {
    registry: Registry, // Before the lab that it may work in, when both end.
    lab: Lab,
    source: PathBuf,
    commit: String,
}

const REPOSITORY: &str = "group/app";
const FILES: [&str; 3] = ["Dockerfile", "app", "ci.pub"];

impl Project {
    /// With a key as the page makes it, encrypted if there is a `password`.
    fn new(password: Option<&str>, registry: impl FnOnce(&Lab) -> Registry) -> Self {
        let lab = Lab::new();
        let mut generate = lab.command(lab.program());
        generate.args(["key", "generate", "--out", "ci"]);
        generate.envs(password.map(|password| ("REPROV_PASSWORD", password)));
        Lab::run(generate).exits(0);
        fs::create_dir(lab.path("group")).unwrap();
        let public = fs::read_to_string(lab.path("ci.pub")).unwrap();
        let files = FILES.into_iter().zip(["FROM scratch\nCOPY . /\n", "hello\n", &public]);
        let source = lab.source("group/app.git", &files.collect::<Vec<_>>());
        let commit = must(Command::new("git").arg("-C").arg(&source).args(["rev-parse", "HEAD"]));
        Self { registry: registry(&lab), lab, source, commit: commit.trim().to_owned() }
    }

    fn key(&self) -> String {
        fs::read_to_string(self.lab.path("ci.key")).unwrap()
    }

    /// A checkout of the commit; what was there before is gone.
    fn checkout(&self, to: &str) -> PathBuf {
        let to = PathBuf::from(self.lab.path(to));
        let _ = fs::remove_dir_all(&to);
        let from = format!("file://{}", self.source.display());
        must(Command::new("git").args(["clone", "--quiet", "--depth=1", &from]).arg(&to));
        let head = must(Command::new("git").arg("-C").arg(&to).args(["rev-parse", "HEAD"]));
        assert_eq!(head.trim(), self.commit);
        to
    }

    /// `PATH` with the program in front, and other directories before it.
    fn path(&self, more: &[&str]) -> String {
        let bin = Path::new(self.lab.program()).parent().unwrap().to_str().unwrap();
        let all = std::env::var("PATH").unwrap();
        [more, &[bin, all.as_str()]].concat().join(":")
    }

    /// How many statements are beside the image that `tag` means; none if it means none.
    fn said(&self, tag: &str) -> Option<usize> {
        Some(statements(&self.registry, REPOSITORY, &self.registry.tag(REPOSITORY, tag)?))
    }

    /// Nothing got into the image but what is in the commit: no log, no password, no key.
    #[track_caller]
    fn holds_the_commit(&self, tag: &str) {
        let image = self.registry.image_at(REPOSITORY, tag);
        let files = image.layers.iter().flat_map(|layer| layer.keys());
        let files: Vec<_> = files.filter(|path| !path.starts_with(".git")).collect();
        assert_eq!(files, FILES);
    }
}

/// How many signed statements refer to an image.
fn statements(registry: &Registry, repository: &str, image: &str) -> usize {
    let all = Shelf::referrers(registry, repository, image);
    let kind = |digest: &String| registry.blob_json(digest)["artifactType"].to_string();
    all.iter().filter(|digest| kind(digest).contains("sigstore.bundle")).count()
}

#[test]
fn the_page_about_plain_shell_works_as_written() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let image = manifest(registry, "ci-shell", &[b"built elsewhere"]);
    Shelf::set_tag(registry, "ci-shell", "1", image["digest"].as_str().unwrap());
    let source = lab.source("source", &[("Dockerfile", "FROM scratch\n")]);
    let commit = must(Command::new("git").arg("-C").arg(&source).args(["rev-parse", "HEAD"]));
    fs::copy(lab.path("signer.pub"), lab.path("ci.pub")).unwrap();
    fs::write(lab.path("build.log"), "STEP 1/1: FROM scratch\n").unwrap();
    let bin = Path::new(lab.program()).parent().unwrap().to_owned();
    let shell = || {
        let mut shell = lab.command("sh");
        shell.args(["-c", &block("Plain shell", "sh")]);
        shell.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
        shell.env("IMAGE", Shelf::name(registry, "ci-shell")).env("SKOPEO_FLAGS", "--tls-verify=false");
        shell.env("SOURCE", format!("git+file://{}", source.display())).env("COMMIT", commit.trim());
        shell.env("LOG", lab.path("build.log"));
        shell
    };
    let said = || statements(registry, "ci-shell", image["digest"].as_str().unwrap());
    let keyless = Lab::run(shell()).exits(2).says("SIGNING_KEY");
    assert!(!keyless.out.contains("passed") && said() == 0, "{keyless}");
    let mut shell = shell();
    shell.env("SIGNING_KEY", fs::read_to_string(lab.path("signer.key")).unwrap());
    Lab::run(shell).exits(0).says("passed");
    assert_eq!(said(), 1);
}
