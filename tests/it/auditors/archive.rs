//! `evidence`: an archive is made, the registry is switched off, and the archive says the same without a network.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    jobs::report::{chromium, screenshot},
    support::{Base, Lab, Ran, Registry, root},
};

const AS_OF: &str = "2040-01-01T00:00:00Z";
const POLICY: &str = "
builders = [\"https://reprov.example/builder/local-unverified/v1\"]
log = true
evidence = true
";

/// An image with a verdict beside it, on a base without a provenance.
fn built(lab: &Lab, registry: &Registry, repository: &str) -> String {
    let to = registry.name(repository);
    let files = [("Dockerfile", "FROM base.example/tiny:1\nRUN echo '<script>' > /one && echo said\n")];
    let source = lab.source(repository, &files);
    lab.build(registry, &source, &to, &["--check", "--keep-source"]).exits(0);
    to
}

fn make(lab: &Lab, image: &str, out: &str, more: &[&str]) -> Ran {
    let (trust, store, out) = (lab.path("signer.pub"), lab.path("auditor"), lab.path(out));
    let args = ["evidence", image, "--out", &out, "--trust", &trust, "--store", &store, "--format", "json"];
    lab.reprov(&[&args[..], &["--as-of", AS_OF], more].concat())
}

/// Judges the archive; as root without any network.
pub(super) fn verify(lab: &Lab, file: &str, more: &[&str]) -> Ran {
    let mut command = lab.command(if root() { "unshare" } else { lab.program() });
    if root() {
        command.args(["--net", lab.program()]);
    }
    let nowhere = lab.path("no-store");
    command.args(["evidence", "verify", &lab.path(file), "--store", &nowhere, "--format", "json"]).args(more);
    Lab::run(command)
}

pub(super) fn read(lab: &Lab, file: &str, member: &str) -> Value {
    let mut archive = tar::Archive::new(fs::File::open(lab.path(file)).unwrap());
    let found = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find(|entry| entry.path().unwrap().to_str() == Some(member));
    serde_json::from_reader(found.unwrap()).unwrap()
}

#[test]
fn it_stands_alone() {
    let (lab, registry) = (Lab::new(), Registry::start(&[Base::Tiny]));
    let image = built(&lab, &registry, "evidence");
    fs::write(lab.path("policy.toml"), POLICY).unwrap();
    let policy = lab.path("policy.toml");
    let made = make(&lab, &image, "one.tar", &["--policy", &policy]).exits(0).json();
    assert_eq!((&made["verdict"], &made["judged"][0]["role"]), (&"passed".into(), &"image".into()));
    assert_eq!(
        (&made["judged"][1]["role"], &made["judged"][1]["verdict"]),
        (&"base".into(), &"failed".into())
    );
    make(&lab, &image, "two.tar", &["--policy", &policy]).exits(0);
    let bytes = fs::read(lab.path("one.tar")).unwrap();
    assert!(bytes == fs::read(lab.path("two.tar")).unwrap(), "the same evidence is the same archive");
    drop(registry); // From here on there is nobody to ask.

    let checked = verify(&lab, "one.tar", &[]).exits(0).json();
    assert_eq!((&checked["digest"], &checked["verdict"]), (&made["digest"], &"passed".into()));
    assert_eq!(checked["judged"], made["judged"]);
    assert!(!std::path::Path::new(&lab.path("no-store")).exists(), "it needs nothing else");
    verify(&lab, "one.tar", &["--trust", &lab.path("signer.pub")]).exits(0);
    lab.reprov(&["key", "generate", "--out", &lab.path("other")]).exits(0);
    let ran = verify(&lab, "one.tar", &["--trust", &lab.path("other.pub")]).exits(1);
    assert!(ran.json()["differs"][0].as_str().unwrap().contains("--trust"));

    let index = read(&lab, "one.tar", "index.json");
    let of = |id: &str| {
        let all = index["requirements"].as_array().unwrap();
        all.iter().find(|one| one["id"] == id).unwrap()["met"].as_str().unwrap().to_owned()
    };
    assert_eq!(of("L2 provenance is authentic"), "met");
    assert_eq!(of("L1 version controlled"), "met", "the kept source holds the commit");
    assert_eq!(of("2(c)"), "met", "log, inputs and a rebuild");
    assert_eq!(
        (of("L4 two-party review"), of("6"), of("PW.4.1")),
        ("unmet".into(), "unmet".into(), "unmet".into())
    );
    assert_eq!(index["rebuilt"][0]["verdict"], "reproduced");
    let gaps = index["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["why"].as_str().unwrap().starts_with("source")), "{index:#}");
    let listed = read(&lab, "one.tar", "evidence.json");
    let members: Vec<_> =
        listed["members"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    for member in ["findings.json", "index.html", "index.json", "keys/00.pub", "policy.toml", "trace.json"] {
        assert!(members.contains(&member), "{members:?}");
    }
    flipped(&lab, &bytes);
}

/// The unit tests flip every byte of a small archive; this flips some of a real one, of every kind.
pub(super) fn flipped(lab: &Lab, bytes: &[u8]) {
    let mut places: Vec<usize> = (0..bytes.len()).step_by(bytes.len() / 40).collect();
    places.extend([
        0,
        100,
        148,
        156,
        257,
        300,
        511,
        512,
        bytes.len() - 1,
        bytes.len() - 512,
        bytes.len() - 1024,
    ]);
    for at in places {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        fs::write(lab.path("changed.tar"), &changed).unwrap();
        let ran = verify(lab, "changed.tar", &[]).exits(1);
        assert!(ran.json()["error"].is_string(), "byte {at}: {ran}");
    }
    for changed in
        [&bytes[..bytes.len() - 1], &bytes[..bytes.len() / 2], &[bytes, b"\0"].concat(), b"", b"junk"]
    {
        fs::write(lab.path("changed.tar"), changed).unwrap();
        verify(lab, "changed.tar", &[]).exits(1);
    }
}

#[test]
fn an_image_that_fails_has_evidence_of_that() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let to = registry.name("evidence-fails");
    let source = lab.source("fails", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo one > /one\n")]);
    lab.build(registry, &source, &to, &[]).exits(0);
    fs::write(lab.path("policy.toml"), "builders = [\"https://another.example\"]\n").unwrap();
    let made = make(&lab, &to, "bad.tar", &["--policy", &lab.path("policy.toml")]).exits(1).json();
    assert_eq!(made["verdict"], "failed");
    assert!(
        made["judged"][0]["codes"].as_array().unwrap().contains(&"builder-not-allowed".into()),
        "{made:#}"
    );
    let checked = verify(&lab, "bad.tar", &[]).exits(1).json();
    assert_eq!((&checked["judged"], &checked["error"]), (&made["judged"], &Value::Null));
    let other = verify(&lab, "bad.tar", &["--policy", "slsa-l1"]).exits(1).json();
    assert!(other["differs"][0].as_str().unwrap().contains("not judged by the policy"), "{other:#}");
    let same = verify(&lab, "bad.tar", &["--policy", &lab.path("policy.toml")]).exits(1).json();
    assert_eq!(same["differs"], serde_json::json!([]));
    let args = ["evidence", &to, "--out", &lab.path("x.tar"), "--store", &lab.path("store")];
    lab.reprov(&args).exits(2).says("nobody is trusted");
    lab.reprov(&["evidence", &to]).exits(2);
    lab.reprov(&["evidence", "verify", &lab.path("none.tar")]).exits(2);
}

#[test]
fn the_page_for_auditors_is_followed_as_written() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let image = built(&lab, registry, "auditor");
    fs::copy(lab.path("signer.pub"), lab.path("owner.pub")).unwrap();
    fs::write(lab.path("policy.toml"), POLICY).unwrap();
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit.md");
    let page = fs::read_to_string(page).unwrap();
    let lines: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("    reprov ")).collect();
    assert!(lines.len() >= 5, "{lines:?}");
    for line in lines {
        let line = line.replace("registry.example.org/app:1.2", &image);
        let store = lab.path("auditor");
        let words: Vec<_> = line.split_whitespace().chain(["--store", &store]).collect();
        lab.reprov(&words).exits(0);
    }
}

#[test]
#[ignore = "needs chromium: make acceptance"]
fn the_pages_in_a_browser() {
    let (lab, registry) = (Lab::new(), Registry::start(&[Base::Tiny]));
    let image = built(&lab, &registry, "pages");
    fs::write(lab.path("policy.toml"), POLICY).unwrap();
    make(&lab, &image, "one.tar", &["--policy", &lab.path("policy.toml")]).exits(0);
    crate::support::must(Command::new("tar").args(["-C", &lab.path(""), "-xf", &lab.path("one.tar")]));
    let (page, trust) = (lab.path("index.html"), lab.path("signer.pub"));
    let trace = lab.path("trace.html");
    let args = ["trace", &image, "--trust", &trust, "--store", &lab.path("auditor"), "--format", "html"];
    fs::write(&trace, lab.reprov(&args).exits(0).out).unwrap();
    for (page, words) in [
        (&page, &["Evidence: ", "SLSA 1.2 Build", "unmet", "CRA Annex VII", "Gaps", "PS.3.2"][..]),
        (&trace, &["commit", "verified", "CLAIMED: ", "transcript"][..2]),
    ] {
        let dom = chromium(&lab, &["--dump-dom"], page).exits(0).out;
        for word in words {
            assert!(dom.contains(word), "{word}");
        }
        assert!(!dom.contains("<script"));
        let shot = screenshot(&lab, page, "1200,2600");
        assert!(shot.len() > 40_000, "{} bytes: little is shown", shot.len());
        if let Some(dir) = std::env::var_os("REPROV_SCREENSHOTS") {
            let name = std::path::Path::new(page).with_extension("png");
            fs::write(std::path::Path::new(&dir).join(name.file_name().unwrap()), shot).unwrap();
        }
    }
}
