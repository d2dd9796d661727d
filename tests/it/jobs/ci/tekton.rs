//! The page about Tekton: its step in a container, with what Tekton puts into it.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use regex::{Captures, Regex};
use serde_json::{Value, json};

use super::{Project, REPOSITORY, Shelf, known, list, manifest, yaml};
use crate::support::{Base, Lab, Ran, Registry, fixtures, root};

/// `value` with what a task run was given in the place of `$(params.NAME)` and `$(workspaces.NAME.path)`.
fn replaced(value: &str, given: &BTreeMap<String, String>) -> String {
    let variable = Regex::new(r"\$\(([^)]*)\)").unwrap();
    let replace = |found: &Captures<'_>| {
        given.get(&found[1]).unwrap_or_else(|| panic!("Tekton was not given {}", &found[1])).clone()
    };
    variable.replace_all(value, replace).into_owned()
}

/// Runs the task's only step in a container of Debian's base image with the program in it. Parameters and secrets are as a
/// task run has them; the workspace is a directory of the lab.
fn run(
    project: &Project,
    task: &Value,
    params: &[(&str, &str)],
    secrets: &BTreeMap<(&str, &str), String>,
    workspace: &str,
) -> Ran {
    known(task, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = &task["spec"];
    known(spec, &["params", "workspaces", "steps"]);
    let declared: Vec<_> =
        list(&spec["params"]).iter().map(|param| param["name"].as_str().unwrap()).collect();
    assert_eq!(declared, params.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let mut given: BTreeMap<_, _> =
        params.iter().map(|(name, value)| (format!("params.{name}"), (*value).to_owned())).collect();
    let lab = &project.lab;
    let mut words = vec!["run".to_owned(), "--isolation=chroot".to_owned()];
    let mut mount = |from: &str, to: &str| words.push(format!("--volume={from}:{to}:ro"));
    for volume in list(&spec["workspaces"]) {
        let name = volume["name"].as_str().unwrap();
        mount(&lab.path(workspace), &format!("/workspace/{name}"));
        given.insert(format!("workspaces.{name}.path"), format!("/workspace/{name}"));
    }
    let [step] = list(&spec["steps"]) else { panic!("not one step") };
    known(step, &["name", "image", "env", "script"]);
    let script = step["script"].as_str().unwrap();
    // Tekton would replace it there too; the page says why there is none.
    assert!(script.starts_with("#!") && !script.contains("$(params.") && !script.contains("$(workspaces."));
    fs::write(lab.path("script-0"), script).unwrap();
    fs::set_permissions(lab.path("script-0"), fs::Permissions::from_mode(0o755)).unwrap();
    mount(&lab.path("script-0"), "/tekton/scripts/script-0");
    mount(lab.program(), "/usr/bin/reprov");
    for variable in list(&step["env"]) {
        known(variable, &["name", "value", "valueFrom"]);
        let value = variable["value"].as_str().map_or_else(
            || {
                let of = &variable["valueFrom"]["secretKeyRef"];
                secrets[&(of["name"].as_str().unwrap(), of["key"].as_str().unwrap())].clone()
            },
            |value| replaced(value, &given),
        );
        words.push(format!("--env={}={value}", variable["name"].as_str().unwrap()));
    }
    let buildah = |words: &[String]| {
        // Overlays are mounted where nothing of them stays, however the test ends.
        let (apart, driver): (&[_], _) =
            if root() { (&["unshare", "--mount", "buildah"], "overlay") } else { (&["buildah"], "vfs") };
        let mut buildah = lab.command(apart[0]);
        let [images, run] = ["images", "run"].map(|name| lab.path(name));
        buildah.args(&apart[1..]).env("TMPDIR", lab.path(""));
        buildah.args(["--root", &images, "--runroot", &run, "--storage-driver", driver]).args(words);
        Lab::run(buildah)
    };
    let from = ["from".to_owned(), format!("oci:{}:latest", Base::Debian.layout())];
    let container = buildah(&from).exits(0).out.trim().to_owned();
    words.extend(["--".to_owned(), container.clone(), "/tekton/scripts/script-0".to_owned()]);
    let ran = buildah(&words);
    buildah(&["rm".to_owned(), container]).exits(0);
    ran
}

/// A `config.json` in a directory of its own.
fn login(project: &Project, to: &str, password: &str) {
    let auth = STANDARD.encode(format!("{}:{password}", Registry::LOGIN.0));
    let config = json!({"auths": {project.registry.host(): {"auth": auth}}});
    fs::create_dir(project.lab.path(to)).unwrap();
    fs::write(project.lab.path(&format!("{to}/config.json")), config.to_string()).unwrap();
}

#[test]
fn the_page_works_as_written() {
    let project = Project::new(None, |_| Registry::private(Command::new(fixtures("registry"))));
    let task = yaml("Tekton");
    let pushed = manifest(&project.registry, REPOSITORY, &[b"built by another step"]);
    let digest = pushed["digest"].as_str().unwrap();
    Shelf::set_tag(&project.registry, REPOSITORY, "1", digest);
    let image = format!("{}/{REPOSITORY}", project.registry.host());
    let params = [
        ("image", image.as_str()),
        ("digest", digest),
        ("url", "https://git.example.org/group/app.git"),
        ("commit", &project.commit),
    ];
    let secrets = BTreeMap::from([(("signing", "ci.key"), project.key())]);
    login(&project, "right", Registry::LOGIN.1);
    login(&project, "wrong", "something-else");

    let ran = run(&project, &task, &params, &secrets, "wrong").says("wants a login");
    assert!(ran.code != Some(0) && project.said("1") == Some(0), "{ran}");
    let other = BTreeMap::from([(("signing", "ci.key"), "no key".to_owned())]);
    let ran = run(&project, &task, &params, &other, "right");
    assert!(ran.code != Some(0) && project.said("1") == Some(0), "{ran}");

    run(&project, &task, &params, &secrets, "right").exits(0).says("attested").says("NOT CHECKED");
    assert_eq!(project.said("1"), Some(1));
    let mut verify = project.lab.command(project.lab.program());
    verify.args(["verify", &format!("{image}@{digest}"), "--trust", "ci.pub"]);
    verify.env("DOCKER_CONFIG", project.lab.path("right"));
    Lab::run(verify).exits(0).says("passed");
}
