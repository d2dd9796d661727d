//! The page about GitHub Actions, by the rules of its documents, with a real Docker. It needs root and a machine of its
//! own (`fixtures/ghcr`), where ghcr.io is a registry of ours.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use regex::{Captures, Regex};
use serde_json::{Value, json};

use super::{Project, REPOSITORY, known, list, statements, texts, yaml};
use crate::support::{Lab, Ran, Registry, fixtures, must, root};

/// The contexts of an expression, by their full names.
type Contexts = BTreeMap<String, String>;

/// `value` with what its `${{ … }}` name; only names are known, no operators or functions.
fn evaluated(value: &str, contexts: &Contexts) -> String {
    let expression = Regex::new(r"\$\{\{\s*(.*?)\s*\}\}").unwrap();
    let evaluate = |found: &Captures<'_>| {
        contexts.get(&found[1]).unwrap_or_else(|| panic!("no expression known here: {}", &found[0])).clone()
    };
    expression.replace_all(value, evaluate).into_owned()
}

/// What happened in a job: the steps that were run, the last of which may have failed.
struct Done(Vec<Ran>);

impl Done {
    #[track_caller]
    fn failed_at(&self, step: usize, words: &str) {
        let last = self.0.last().unwrap();
        assert!(self.0.len() == step && last.code != Some(0), "{self}");
        assert!(last.to_string().contains(words), "{self}");
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|ran| write!(to, "{ran}\n--\n"))
    }
}

/// Runs the only job for a pushed tag: each `run` in a bash of its own, until one fails.
fn run(project: &Project, workflow: &Value, tag: &str, secrets: &[(&str, &str)]) -> Done {
    known(workflow, &["name", "on", "permissions", "jobs"]);
    assert_eq!(list(&workflow["on"]["push"]["tags"]), ["v*"]);
    assert!(tag.starts_with('v'));
    let job = &workflow["jobs"]["release"];
    known(job, &["runs-on", "env", "steps"]);
    let lab = &project.lab;
    let reference = format!("refs/tags/{tag}");
    let github = [
        ("actor", Registry::LOGIN.0),
        ("ref", &reference),
        ("ref_name", tag),
        ("repository", REPOSITORY),
        ("server_url", "https://github.com"),
        ("sha", &project.commit),
        ("workflow_ref", &format!("{REPOSITORY}/.github/workflows/release.yml@{reference}")),
    ];
    let contexts: Contexts = github
        .iter()
        .map(|(name, value)| (format!("github.{name}"), (*value).to_owned()))
        .chain(secrets.iter().map(|(name, value)| (format!("secrets.{name}"), (*value).to_owned())))
        .collect();
    let workspace = lab.path("work");
    let mut done = Vec::new();
    for step in list(&job["steps"]) {
        known(step, &["name", "uses", "env", "run"]);
        if let Some(action) = step["uses"].as_str() {
            assert!(action.starts_with("actions/checkout@"), "{action} is not known here");
            project.checkout("work");
            continue;
        }
        let script = evaluated(step["run"].as_str().unwrap(), &contexts);
        fs::write(lab.path("step.sh"), script).unwrap();
        let mut bash = Command::new("nsenter");
        bash.args(["--target", &project.registry.pid().to_string(), "--mount", "--net"]);
        bash.arg(format!("--wd={workspace}")).args(["bash", "-e"]).arg(lab.path("step.sh"));
        bash.env_clear().env("PATH", project.path(&[&lab.path("machine/bin")])).env("HOME", lab.path("home"));
        bash.env("SSL_CERT_FILE", lab.path("machine/ca.pem"))
            .env("CI", "true")
            .env("RUNNER_TEMP", lab.path("temp"));
        bash.envs(github.map(|(name, value)| (format!("GITHUB_{}", name.to_uppercase()), value)));
        for (name, value) in texts(&job["env"]).chain(texts(&step["env"])) {
            bash.env(name, evaluated(&value, &contexts));
        }
        let ran = Lab::run(bash);
        let failed = ran.code != Some(0);
        done.push(ran);
        if failed {
            break;
        }
    }
    Done(done)
}

fn machine(lab: &Lab, docker: &str, settings: &Value) -> Registry {
    for dir in ["home", "temp", "machine"] {
        fs::create_dir(lab.path(dir)).unwrap();
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net"]).arg(fixtures("ghcr"));
    command.args([&lab.path("machine"), docker, &settings.to_string()]);
    Registry::private(command)
}

/// The page, with Docker's older store of images, or its newer one: that is what Docker 29 comes with, and it pushes an
/// index where the older one pushes an image.
fn follow(newer: bool) {
    assert!(root(), "dockerd needs root");
    let docker = must(&mut Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/docker")));
    let settings = json!({"features": {"containerd-snapshotter": newer}});
    let project = Project::new(None, |lab| machine(lab, docker.trim(), &settings));
    let workflow = yaml("GitHub Actions");
    let key = project.key();
    let run = |tag: &str, token: &str, key: &str| {
        run(&project, &workflow, tag, &[("GITHUB_TOKEN", token), ("SIGNING_KEY", key)])
    };

    let done = run("v1", "something-else", &key);
    done.failed_at(1, "401 Unauthorized");
    assert_eq!(project.said("v1"), None, "{done}");

    // What a secret is that nobody has set.
    let done = run("v2", Registry::LOGIN.1, "");
    done.failed_at(3, "SIGNING_KEY");
    assert_eq!(project.said("v2"), Some(0), "{done}");

    let done = run("v3", Registry::LOGIN.1, &key);
    let [.., last] = &done.0[..] else { panic!("nothing was run") };
    assert!(done.0.len() == 3 && last.code == Some(0) && last.out.contains("passed"), "{done}");
    assert_eq!(project.said("v3"), Some(1), "{done}");
    let pushed = project.registry.blob_json(&project.registry.tag(REPOSITORY, "v3").unwrap());
    assert_eq!(pushed.get("manifests").is_some(), newer, "{pushed:#}");
    if newer {
        let image = pushed["manifests"][0]["digest"].as_str().unwrap();
        assert_eq!(statements(&project.registry, REPOSITORY, image), 1, "{done}");
    } else {
        project.holds_the_commit("v3");
    }
    let said = |ran: &Ran| ran.out.contains(Registry::LOGIN.1) || ran.err.contains(Registry::LOGIN.1);
    assert!(!done.0.iter().any(said), "{done}");
}

#[test]
#[ignore = "installs Docker and runs it as root; make acceptance"]
fn the_page_works_as_written() {
    follow(false);
}

#[test]
#[ignore = "installs Docker and runs it as root; make acceptance"]
fn the_page_works_as_written_with_the_newer_store() {
    follow(true);
}
