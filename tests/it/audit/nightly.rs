//! docs/nightly.md is followed as it is written, and the files beside it are what they claim to be.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::support::{Lab, Registry};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(docs(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_page_works_as_written() {
    let page = text("nightly.md");
    let (_, rest) = page.split_once("```sh\n").unwrap();
    let (script, _) = rest.split_once("```").unwrap();
    let (lab, registry) = (Lab::new(), Registry::shared());
    let image = registry.name("nightly-page");
    let source = lab.source("page", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo x > /x\n")]);
    lab.build(registry, &source, &image, &[]).exits(0);
    let bin = lab.path("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(lab.program(), format!("{bin}/reprov")).unwrap();
    let mut shell = lab.command("sh");
    shell.args(["-c", script]).env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()));
    shell.env("IMAGE", &image).env("TRUST", lab.path("signer.pub")).env("REPROV_STORE", lab.path("store"));
    let ran = Lab::run(shell).exits(0);
    for words in ["2 to do", "replay       reproduced", "1 image is well and not due"] {
        assert!(ran.out.contains(words), "`{words}`: {ran}");
    }
}

/// Every flag that a file gives to `reprov audit` is one of its flags.
#[test]
fn files_give_flags_that_there_are() {
    let lab = Lab::new();
    let help = lab.reprov(&["audit", "--help"]).exits(0).out;
    let files =
        ["reprov-audit.service", "crontab", "cronjob.yaml", "github.yml", "gitlab-ci.yml", "tekton.yaml"];
    for file in files {
        let text = text(&format!("nightly/{file}"));
        let line = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let audit: Vec<_> =
            line.filter(|line| line.contains("reprov audit") || line.trim().starts_with("- --")).collect();
        assert!(!audit.is_empty(), "{file} audits nothing");
        for line in audit {
            let after = line.split_once("reprov audit").map_or(line, |(_, after)| after);
            for word in after.split_whitespace().filter(|word| word.starts_with("--")) {
                let flag = word.split('=').next().unwrap();
                assert!(
                    help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                    "{file}: {flag}"
                );
            }
        }
        for name in text
            .split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
            .filter(|name| name.starts_with("REPROV_"))
        {
            assert!(
                help.contains(&format!("{name}=")) || help.contains(&format!("[env: {name}")),
                "{file}: {name}"
            );
        }
    }
}

#[test]
fn what_is_yaml_can_be_read_and_says_what_it_must() {
    let cron = yaml("nightly/cronjob.yaml");
    assert_eq!((&cron["apiVersion"], &cron["kind"]), (&"batch/v1".into(), &"CronJob".into()));
    assert_eq!(cron["spec"]["concurrencyPolicy"], "Forbid");
    let pod = &cron["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["args"][0], "audit");
    let names = |list: &Value| -> Vec<Value> {
        list.as_array().unwrap().iter().map(|one| one["name"].clone()).collect()
    };
    assert_eq!(names(&container["volumeMounts"]), names(&pod["volumes"]), "each volume is mounted");
    let github = yaml("nightly/github.yml");
    assert_eq!(github["on"]["schedule"][0]["cron"], cron["spec"]["schedule"]);
    let step = |index: usize| github["jobs"]["audit"]["steps"][index].clone();
    assert!(step(2)["run"].as_str().unwrap().starts_with("reprov audit "));
    let gitlab = yaml("nightly/gitlab-ci.yml");
    assert!(
        gitlab["audit"]["script"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line.as_str().unwrap().starts_with("reprov audit "))
    );
    let tekton = yaml("nightly/tekton.yaml");
    assert_eq!(tekton["kind"], "Task");
    assert!(tekton["spec"]["steps"][0]["script"].as_str().unwrap().contains("reprov audit "));
    for (place, script) in
        [("github", step(2)["run"].clone()), ("tekton", tekton["spec"]["steps"][0]["script"].clone())]
    {
        let ran = Command::new("sh").args(["-n", "-c", script.as_str().unwrap()]).status().unwrap();
        assert!(ran.success(), "{place}");
    }
}

#[test]
fn the_line_for_cron_has_five_fields_and_a_command() {
    let text = text("nightly/crontab");
    let line = text.lines().find(|line| line.contains("reprov audit")).unwrap();
    let fields: Vec<_> = line.split_whitespace().take(6).collect();
    assert_eq!(fields, ["0", "1", "*", "*", "*", "reprov"]);
    assert!(!line.contains('%'), "cron makes a line end of it");
    let (_, command) = line.split_once("* * * ").unwrap();
    assert!(Command::new("sh").args(["-n", "-c", command]).status().unwrap().success());
}

/// Debian's own judge of units; the program they start is the one under test.
#[test]
fn systemd_takes_the_units() {
    let lab = Lab::new();
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: no systemd-analyze here");
        return;
    }
    let units = lab.path("units");
    fs::create_dir(&units).unwrap();
    for name in ["reprov-audit.service", "reprov-audit.timer"] {
        let unit = text(&format!("nightly/{name}")).replace("/usr/local/bin/reprov", lab.program());
        fs::write(format!("{units}/{name}"), unit).unwrap();
    }
    let verify = |name: &str| {
        let mut command = lab.command("systemd-analyze");
        command.args(["verify", "--man=no", &format!("{units}/{name}")]);
        Lab::run(command)
    };
    for name in ["reprov-audit.service", "reprov-audit.timer"] {
        let ran = verify(name).exits(0);
        let about: Vec<_> = ran.err.lines().filter(|line| line.contains("reprov-audit")).collect();
        assert!(about.is_empty(), "{about:#?}");
    }
    let wrong = text("nightly/reprov-audit.service").replace("Type=oneshot", "Typ=oneshot");
    fs::write(format!("{units}/reprov-audit.service"), wrong.replace("/usr/local/bin/reprov", lab.program()))
        .unwrap();
    assert!(verify("reprov-audit.service").err.contains("Typ"), "it finds what is wrong");
}
