//! `reprov test` and `build --test`: what is said of an image is tried in it, and nothing gets out.

use std::{fs, path::Path, time::Instant};

use serde_json::{Value, json};

use crate::support::{Lab, Ran, Registry, bomb, fixtures};

const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// Builds a Dockerfile and pushes it; the image's name.
fn image(lab: &Lab, name: &str, files: &[(&str, &str)]) -> String {
    let (registry, source) = (Registry::shared(), lab.source(name, files));
    let to = registry.name(name);
    lab.build(registry, &source, &to, &[]).exits(0);
    to
}

fn test(lab: &Lab, image: &str, more: &[&str]) -> Ran {
    let store = lab.path("store");
    let format: &[&str] = if more.contains(&"--format") { &[] } else { &["--format", "json"] };
    lab.reprov(&[&["test", image, "--store", &store], format, more].concat())
}

/// Tries the tests of this text in an image.
fn tried(lab: &Lab, image: &str, recipe: &str, more: &[&str]) -> Ran {
    let path = lab.path("tests.toml");
    fs::write(&path, recipe).unwrap();
    test(lab, image, &[&["--config", &path], more].concat())
}

/// The misses of the test `name`, as `of: expected / seen`.
#[track_caller]
fn misses(answer: &Value, name: &str) -> Vec<String> {
    let tests = answer["tests"].as_array().unwrap();
    let test = tests.iter().find(|test| test["name"] == name).unwrap_or_else(|| panic!("{answer:#}"));
    let said = |miss: &Value| {
        let text = |key: &str| miss[key].as_str().unwrap().to_owned();
        format!("{}: {} / {}", text("of"), text("expected"), text("seen"))
    };
    test["misses"].as_array().unwrap().iter().map(said).collect()
}

#[track_caller]
fn misses_one(answer: &Value, name: &str, words: &str) {
    let all = misses(answer, name);
    assert!(all.iter().any(|miss| miss.contains(words)), "{name}: no `{words}` in {all:#?}");
}

/// The statements of test results beside an image.
fn results(repository: &str, digest: &str) -> Vec<Value> {
    let registry = Registry::shared();
    let bundles = registry.referrers(repository, digest).into_iter();
    let statement = |(_, digest): (String, String)| -> Value {
        let layer = registry.blob_json(&digest)["layers"][0]["digest"].as_str().unwrap().to_owned();
        let payload = registry.blob_json(&layer)["dsseEnvelope"]["payload"].as_str().unwrap().to_owned();
        let payload = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, payload).unwrap();
        serde_json::from_slice(&payload).unwrap()
    };
    let bundles = bundles.filter(|(kind, _)| kind.contains("sigstore.bundle"));
    bundles.map(statement).filter(|statement| statement["predicateType"] == TEST_RESULT).collect()
}

const TINY: &str = "FROM base.example/tiny:1\n";

#[test]
fn what_container_structure_test_documents_runs_as_it_is() {
    for (lab, name) in [(Lab::new(), "structure"), (Lab::ordinary(), "structure-user")] {
        let dockerfile = fs::read_to_string(fixtures("structure/Dockerfile")).unwrap();
        let to = image(&lab, name, &[("Dockerfile", &dockerfile)]);
        let config = lab.path("documented.yaml");
        fs::copy(fixtures("structure/documented.yaml"), &config).unwrap();
        let junit = lab.path("junit.xml");
        let (key, report) = (lab.path("signer.key"), ["--report", &junit]);
        let ran = test(&lab, &to, &[&["--config", &config, "--key", &key][..], &report].concat()).exits(0);
        let answer = ran.json();
        assert_eq!(answer["result"], "passed", "{ran}");
        assert_eq!(answer["tests"].as_array().unwrap().len(), 15, "{ran}");
        let xml = fs::read_to_string(&junit).unwrap();
        assert!(xml.contains("tests=\"15\" failures=\"0\" errors=\"0\""), "{xml}");
        let all = results(name, answer["manifest"].as_str().unwrap());
        let [result] = &all[..] else { panic!("not one result: {all:#?}") };
        let predicate = &result["predicate"];
        assert_eq!((&predicate["result"], &predicate["failedTests"]), (&json!("PASSED"), &json!([])));
        assert_eq!(predicate["passedTests"].as_array().unwrap().len(), 15);
        let text = fs::read(&config).unwrap();
        let digest = reprov::model::Digest::of(&text).hex();
        let expected = json!([{"name": "documented.yaml", "digest": {"sha256": digest}}]);
        assert_eq!(predicate["configuration"], expected);
        assert_eq!(lab.leftovers(), [""; 0]);

        // The same as JSON, and what fails by container-structure-test's own words.
        let json = lab.path("failing.json");
        let failing = json!({"schemaVersion": "2.0.0",
            "commandTests": [{"name": "c", "command": "sh", "args": ["-c", "echo out; exit 3"], "expectedOutput": ["in"]},
                {"name": "s", "setup": [["/no/such"]], "command": "true"},
                {"name": "n", "command": "no-such-program"}],
            "fileExistenceTests": [{"name": "e", "path": "/etc/app.conf", "shouldExist": false}],
            "metadataTest": {"user": "root"}});
        fs::write(&json, failing.to_string()).unwrap();
        let answer = test(&lab, &to, &["--config", &json]).exits(1).json();
        misses_one(&answer, "Command Test: c", "exit code: 0 / 3");
        misses_one(&answer, "Command Test: c", "stdout: matches `in` / out");
        misses_one(&answer, "Command Test: s", "setup `/no/such`");
        misses_one(&answer, "Command Test: n", "it begins / it could not");
        misses_one(&answer, "File Existence Test: e", "nothing is there / a file");
        misses_one(&answer, "Metadata Test", "user: root / 1000:100");
    }
}

const HOSTILE: &str = r#"
[[test]]
name = "fork bomb"
run = "b() { b | b & }; b; exec sleep 1"
timeout = "60s"
expect = { stderr = "(?i)fork|resource" }

[[test]]
name = "endless"
run = "echo began; while true; do sleep 1; done"
timeout = "3s"
expect = { stdout = "began" }

[[test]]
name = "flood, and nobody needs it"
run = "yes | head -c 50000000"
timeout = "60s"

[[test]]
name = "flood, and somebody does"
run = "yes | head -c 50000000; echo end"
timeout = "60s"
expect = { stdout = "end" }

[[test]]
name = "a daemon left behind"
run = "(setsid sh -c 'sleep 1000; touch /late' >/dev/null 2>&1 &) ; (setsid sleep 1000 &); echo gone"
timeout = "60s"
expect = { stdout = "gone", files = [{ path = "/late", exists = false }] }

[[test]]
name = "no network"
run = "wget -q -T 5 -O - http://192.0.2.1/ && exit 0; wget -q -T 5 -O - http://127.0.0.1:3128/ && exit 0; exit 9"
timeout = "60s"
expect = { exit = 9 }

[[test]]
name = "no terminal"
run = "test -t 0 || test -t 1 || test -t 2 || exit 4"
expect = { exit = 4 }

[[test]]
name = "nothing to read"
run = "read x; exit 5"
expect = { exit = 5 }

[[test]]
name = "memory"
run = "tail /dev/zero"
memory = "192M"
timeout = "60s"

[[test]]
name = "killed"
run = "sh -c 'kill -9 $$'; exit $?"

[[test]]
name = "nobody is there"
run = "true"
user = "nobody-at-all"

[[test]]
name = "no such program"
run = ["/no/such"]
"#;

#[test]
fn what_means_harm_is_ended_and_said() {
    let (lab, _bomb) = (Lab::new(), bomb());
    let to = image(&lab, "test-hostile", &[("Dockerfile", &format!("{TINY}RUN true\n"))]);
    let began = Instant::now();
    let ran = tried(&lab, &to, HOSTILE, &[]).exits(1);
    let answer = ran.json();
    assert!(began.elapsed().as_secs() < 240, "{ran}");
    for good in [
        "fork bomb",
        "flood, and nobody needs it",
        "a daemon left behind",
        "no network",
        "no terminal",
        "nothing to read",
    ] {
        assert_eq!(misses(&answer, good), [""; 0], "{good}: {ran}");
    }
    assert_eq!(misses(&answer, "endless"), ["time: done within 3 s / still running, and ended"]);
    misses_one(&answer, "flood, and somebody does", "of 50000004 bytes, the rest is lost");
    misses_one(&answer, "memory", "limits: kept");
    misses_one(&answer, "killed", "exit code: 0 / 137");
    misses_one(&answer, "nobody is there", "nobody-at-all");
    misses_one(&answer, "no such program", "/no/such");
    assert_eq!(lab.leftovers(), [""; 0]);
}

const FILES: &str = r#"
[[test]]
name = "as it is"
[test.expect]
files = [
    { path = "/outside", contains-not = "root:" },
    { path = "/up/passwd", exists = true, contains = "^inside\n$" },
    { path = "/loop", mode = "0777" },
    { path = "/pipe", type = "fifo" },
]

[[test]]
name = "after a command"
run = "echo new > /new && chmod 600 /new && chown 7:8 /new && ln -s ../../../new /link && mkfifo /p && ln -s /etc/shadow /host"
[test.expect]
files = [
    { path = "/new", contains = "^new\n$", mode = "0600", owner = "7:8", type = "file" },
    { path = "/link", contains = "new" },
    { path = "/p", type = "fifo" },
    { path = "/host", type = "symlink", link = "/etc/shadow" },
]

[[test]]
name = "another root"
expect = { files = [{ path = "/new", exists = false }] }
run = "test ! -e /new"
"#;

#[test]
fn links_of_an_image_lead_nowhere_else() {
    let lab = Lab::new();
    let dockerfile = format!(
        "{TINY}RUN ln -s ../../../../../../etc/hostname-of-nobody /outside && mkdir /d && echo inside > /d/passwd \
         && ln -s ../../../../d /up && ln -s loop /loop && mkfifo /pipe\n"
    );
    let to = image(&lab, "test-files", &[("Dockerfile", &dockerfile)]);
    let ran = tried(&lab, &to, FILES, &[]).exits(1);
    let answer = ran.json();
    let expected = ["/outside: a file / a link that leads nowhere"];
    assert_eq!(misses(&answer, "as it is"), expected, "{ran}");
    for name in ["after a command", "another root"] {
        assert_eq!(misses(&answer, name), [""; 0], "{ran}");
    }
}

#[test]
fn ports_are_seen_while_the_command_runs() {
    let lab = Lab::new();
    let to = image(&lab, "test-ports", &[("Dockerfile", &format!("{TINY}RUN true\n"))]);
    let recipe = r#"
[[test]]
name = "listens"
run = "nc -l -p 8080"
timeout = "30s"
expect = { ports = [8080] }
[[test]]
name = "does not"
run = "sleep 1"
expect = { ports = [8080] }
[[test]]
name = "listens, and ends by itself"
run = "timeout 2 nc -l -p 8080; exit 3"
expect = { ports = [8080], exit = 3 }
"#;
    let ran = tried(&lab, &to, recipe, &["--format", "text"]).exits(1);
    let ran = ran.says("ok      listens (").says("FAILED  does not (").says("2 of 3 tests passed");
    ran.says("expected somebody listens on 8080").says("saw the command ended with exit code 0 before");
}

#[test]
fn the_tests_of_the_recipe_hold_up_the_tag() {
    let (lab, registry, name) = (Lab::new(), Registry::shared(), "test-build");
    let recipe = |word: &str| {
        format!("[[test]]\nname = \"says\"\nrun = \"cat /word\"\nexpect = {{ stdout = \"{word}\" }}\n")
    };
    let dockerfile = format!("{TINY}RUN echo good > /word\n");
    let source =
        |dir: &str, recipe: &str| lab.source(dir, &[("Dockerfile", &dockerfile), ("reprov.toml", recipe)]);
    let to = registry.name(name);
    let ran = lab.build(registry, &source("good", &recipe("good")), &to, &["--test"]).exits(0);
    let answer = ran.json();
    assert_eq!(answer["tests"]["result"], "passed", "{ran}");
    let good = answer["manifest"].as_str().unwrap().to_owned();
    assert_eq!(registry.tag(name, "1").as_deref(), Some(good.as_str()));
    assert_eq!(results(name, &good)[0]["predicate"]["result"], "PASSED");

    let ran = lab.build(registry, &source("bad", &recipe("better")), &to, &["--test"]).exits(1);
    let ran = ran.says("tests failed in the image");
    let answer = ran.json();
    let bad = answer["manifest"].as_str().unwrap().to_owned();
    assert_ne!(bad, good);
    assert_eq!(registry.tag(name, "1").as_deref(), Some(good.as_str()), "the tag is where it was: {ran}");
    let predicate = &results(name, &bad)[0]["predicate"];
    assert_eq!((&predicate["result"], &predicate["failedTests"]), (&json!("FAILED"), &json!(["says"])));
    assert_eq!(answer["tests"]["tests"][0]["passed"], json!(false), "{ran}");

    // A policy hears of both.
    let policy = lab.path("policy.toml");
    fs::write(&policy, "builders = [\"*\"]\n[tests]\nrequired = [\"says\"]\nmax-age = \"1d\"\n").unwrap();
    let key = lab.path("signer.pub");
    let verify = |image: &str| {
        lab.reprov(&["verify", image, "--trust", &key, "--policy", &policy, "--format", "json"])
    };
    verify(&to).exits(0);
    verify(&format!("{}@{bad}", to.trim_end_matches(":1"))).exits(1).says("test failed: says");

    // The recipe at the image's commit, by its provenance; nobody else's word.
    let ledger = lab.path("ledger.sqlite");
    let ran = test(&lab, &to, &["--trust", &key, "--ledger", &ledger]).exits(0);
    lab.reprov(&["history", &to, "--ledger", &ledger]).exits(0).says("tested");
    assert_eq!(ran.json()["configuration"][0]["name"], "reprov.toml", "{ran}");
    lab.reprov(&["key", "generate", "--out", &lab.path("other")]).exits(0);
    test(&lab, &to, &["--trust", &lab.path("other.pub")]).exits(1).says("which commit");
    test(&lab, &to, &[]).exits(2);

    let none = lab.source("none", &[("Dockerfile", &dockerfile)]);
    lab.build(registry, &none, &registry.name("test-none"), &["--test"]).exits(2).says("no [[test]]");
    assert_eq!(registry.tag("test-none", "1"), None);
}

#[test]
fn what_cannot_be_told_is_said() {
    let lab = Lab::new();
    let registry = Registry::shared();
    let config = lab.path("tests.toml");
    fs::write(&config, "[[test]]\nname = \"a\"\nrun = \"true\"\n").unwrap();
    let ran = test(&lab, &registry.name("test-nobody"), &["--config", &config]).exits(3);
    assert_eq!(ran.json()["result"], Value::Null);
    for (name, text, words) in [
        ("a.yaml", "schemaVersion: 2.0.0\nlicenseTests: [{debian: true}]", "licenseTests"),
        ("b.yaml", "schemaVersion: 2.0.0", "no [[test]]"),
        ("c.toml", "[[test]]\nname = \"a\"\n", "says nothing"),
        ("d.toml", "", "no [[test]]"),
    ] {
        let path = lab.path(name);
        fs::write(Path::new(&path), text).unwrap();
        test(&lab, &registry.name("x"), &["--config", &path]).exits(2).says(words);
    }
    let ran = lab.reprov(&["test", &registry.name("x"), "--config", &lab.path("gone.toml")]).exits(2);
    ran.says("gone.toml");
    lab.reprov(&["test", "x", "--config", &config, "--report", "x.pdf"]).exits(2).says(".xml");
}
