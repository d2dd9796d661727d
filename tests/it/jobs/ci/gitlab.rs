//! The page about GitLab CI, by the rules of its documents and the shell that its runner writes.

use std::{collections::BTreeMap, fs, process::Command};

use regex::{Captures, Regex};
use serde_json::Value;

use super::{Project, REPOSITORY, known, list, page, texts, yaml};
use crate::support::{Lab, Ran, Registry, fixtures};

/// A CI/CD variable of the project's settings.
#[derive(Debug, Clone)]
struct Setting {
    name: &'static str,
    value: String,
    /// A file with the value, whose path the variable is.
    file: bool,
    /// In logs `[MASKED]`; only such a variable can be hidden.
    masked: bool,
}

impl Setting {
    fn new(name: &'static str, value: &str, file: bool, masked: bool) -> Self {
        assert!(!masked || maskable(value), "GitLab does not mask such a value");
        Self { name, value: value.to_owned(), file, masked }
    }
}

/// GitLab masks eight characters or more, without white space.
fn maskable(value: &str) -> bool {
    value.len() >= 8 && !value.contains(char::is_whitespace)
}

/// `value` with every variable in it opened, and those in them, in whatever order they are written.
fn opened(value: &str, all: &BTreeMap<String, String>, depth: usize) -> String {
    assert!(depth < all.len(), "`{value}` names itself");
    let reference = Regex::new(r"\$\$|\$(\w+)|\$\{(\w+)\}").unwrap();
    let open = |found: &Captures<'_>| {
        let Some(name) = found.get(1).or_else(|| found.get(2)) else { return "$".to_owned() };
        let inner = all.get(name.as_str()).unwrap_or_else(|| panic!("GitLab has no ${}", name.as_str()));
        opened(inner, all, depth + 1)
    };
    reference.replace_all(value, open).into_owned()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Runs `job` as a runner does for the tag, if a rule says that it is run.
fn run(project: &Project, job: &Value, tag: Option<&str>, settings: &[Setting]) -> Option<Ran> {
    known(job, &["image", "rules", "variables", "script"]);
    let lab = &project.lab;
    let dir = project.checkout("builds/app");
    let host = project.registry.host();
    let predefined = [
        ("CI", "true"),
        ("CI_COMMIT_SHA", project.commit.as_str()),
        ("CI_PROJECT_DIR", dir.to_str().unwrap()),
        ("CI_PROJECT_URL", &format!("file://{}", lab.path(REPOSITORY))),
        ("CI_REGISTRY", host),
        ("CI_REGISTRY_IMAGE", &format!("{host}/{REPOSITORY}")),
        ("CI_REGISTRY_USER", Registry::LOGIN.0),
        ("CI_REGISTRY_PASSWORD", Registry::LOGIN.1),
    ];
    let predefined = predefined.into_iter().chain(tag.map(|tag| ("CI_COMMIT_TAG", tag)));
    let mut variables: BTreeMap<_, _> =
        predefined.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let asked = |rule: &Value| {
        known(rule, &["if"]);
        let name = rule["if"].as_str().unwrap().strip_prefix('$').unwrap();
        variables.get(name).is_some_and(|value| !value.is_empty())
    };
    if !list(&job["rules"]).iter().any(asked) {
        return None;
    }
    variables.extend(texts(&job["variables"]));
    let mut body = String::new();
    for (name, value) in &variables {
        body += &format!("export {name}={}\n", quoted(&opened(value, &variables, 0)));
    }
    let files = format!("{}.tmp", dir.display());
    for Setting { name, value, file, .. } in settings {
        let (value, path) = (quoted(value), format!("{files}/{name}"));
        body += &if *file {
            format!("mkdir -p {files}\nprintf '%s' {value} > {path}\nexport {name}={path}\n")
        } else {
            format!("export {name}={value}\n")
        };
    }
    body += &format!("cd {}\n", dir.display());
    for line in list(&job["script"]) {
        let line = line.as_str().unwrap();
        body += &format!("echo {}\n{line}\n", quoted(&format!("$ {line}")));
    }
    let script = format!(
        "if set -o | grep pipefail > /dev/null; then set -o pipefail; fi; set -o errexit\n\
         set +o noclobber\n: | eval {}\nexit 0\n",
        quoted(&body)
    );
    fs::write(lab.path("script"), script).unwrap();
    let mut bash = lab.command("bash");
    bash.arg(lab.path("script")).env("PATH", project.path(&[])).env_remove("CONTAINERS_REGISTRIES_CONF");
    bash.env("CONTAINERS_STORAGE_CONF", lab.path("storage.conf")).env("BUILDAH_ISOLATION", "chroot");
    bash.env("TMPDIR", lab.path(""));
    let mut ran = Lab::run(bash);
    let masked = settings.iter().filter(|setting| setting.masked).map(|setting| setting.value.as_str());
    for secret in masked.chain([Registry::LOGIN.1]) {
        (ran.out, ran.err) = (ran.out.replace(secret, "[MASKED]"), ran.err.replace(secret, "[MASKED]"));
    }
    Some(ran)
}

/// What a runner's machine has: where buildah stores, and that the registry speaks plain HTTP.
fn machine(project: &Project) {
    let (lab, host) = (&project.lab, project.registry.host());
    let (images, run) = (lab.path("images"), lab.path("run"));
    let storage = format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{images}\"\nrunroot = \"{run}\"\n");
    fs::write(lab.path("storage.conf"), storage).unwrap();
    fs::create_dir_all(lab.path(".config/containers")).unwrap();
    let registries = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    fs::write(lab.path(".config/containers/registries.conf"), registries).unwrap();
}

#[test]
fn the_page_works_as_written() {
    const PASSWORD: &str = "canary-of-the-key";
    let project = Project::new(Some(PASSWORD), |_| Registry::private(Command::new(fixtures("registry"))));
    machine(&project);
    let page_yaml = yaml("GitLab CI");
    let job = &page_yaml["release"];
    let key = project.key();
    assert!(key.contains("ENCRYPTED") && !maskable(&key), "what the page says of the key");
    let mut settings = vec![
        Setting::new("SIGNING_KEY", &key, false, false),
        Setting::new("REPROV_PASSWORD", PASSWORD, false, true),
    ];

    assert!(run(&project, job, None, &settings).is_none(), "run without a tag");

    let wrong = Setting::new("CI_REGISTRY_PASSWORD", "something-else", false, true);
    let ran = run(&project, job, Some("login"), &[settings.clone(), vec![wrong]].concat()).unwrap();
    assert!(ran.code != Some(0) && !ran.out.contains("$ buildah build"), "{ran}");
    assert_eq!(project.said("login"), None, "{ran}");

    let ran = run(&project, job, Some("keyless"), &settings[1..]).unwrap().says("SIGNING_KEY is not set");
    assert!(ran.code != Some(0) && !ran.out.contains("$ reprov verify"), "{ran}");
    assert_eq!(project.said("keyless"), Some(0), "{ran}");

    let ran = run(&project, job, Some("v1"), &settings).unwrap().exits(0).says("passed");
    assert_eq!(project.said("v1"), Some(1), "{ran}");
    project.holds_the_commit("v1");
    assert!(!ran.to_string().contains("NOT CHECKED"), "the commit is there: {ran}");
    let [out, err] = [&ran.out, &ran.err];
    assert!(
        ![PASSWORD, Registry::LOGIN.1].iter().any(|word| out.contains(word) || err.contains(word)),
        "{ran}"
    );

    // A variable of type File, as the page says it.
    let (words, instead, first) =
        ("--key env:SIGNING_KEY", "--key \"$SIGNING_KEY\"", "chmod 600 \"$SIGNING_KEY\"");
    assert!([instead, first].iter().all(|words| page().contains(&format!("`{words}`"))));
    settings[0].file = true;
    let lines = list(&job["script"]).iter().map(|line| line.as_str().unwrap().replace(words, instead));
    let mut job = job.clone();
    job["script"] = [first.to_owned()].into_iter().chain(lines).collect();
    assert!(job["script"].to_string().contains("--key \\\"$SIGNING_KEY"), "{job:#}");
    let ran = run(&project, &job, Some("v2"), &settings).unwrap().exits(0).says("passed");
    assert_eq!(project.said("v2"), Some(1), "{ran}");
    project.holds_the_commit("v2");
}
