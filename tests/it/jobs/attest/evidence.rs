//! A statement put together from evidence, and read back by `trace`.

use std::process::Command;

use super::*;
use crate::support::must;

/// An image that plain buildah made and pushed; its digest.
fn plain(lab: &Lab, registry: &Registry, repository: &str) -> String {
    file(lab, "motd", "hello\n");
    let name = registry.name(repository);
    let script = "set -e; buildah=\"buildah --root $PWD/vfs --runroot $PWD/run --storage-driver vfs\"
        made=$($buildah from scratch); $buildah copy --quiet $made motd /etc/motd
        $buildah config --label maintainer=somebody $made
        image=$($buildah commit --quiet $made)
        $buildah push --quiet --tls-verify=false --digestfile digest $image docker://\"$0\"
        $buildah rm $made";
    let mut shell = lab.command("sh");
    must(shell.args(["-c", script, &name]));
    fs::read_to_string(lab.path("digest")).unwrap().trim().to_owned()
}

fn head(source: &std::path::Path) -> String {
    must(Command::new("git").arg("-C").arg(source).args(["rev-parse", "HEAD"])).trim().to_owned()
}

fn trace(lab: &Lab, image: &str, more: &[&str]) -> Ran {
    let store = lab.path("elsewhere");
    lab.reprov(&[&["trace", image, "--store", &store], more].concat())
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, in its order")]
fn from_a_plain_image_to_a_trace() {
    let (lab, registry) = (Lab::new(), Registry::start(&[]));
    let digest = plain(&lab, &registry, "plain");
    let source = lab.source("source", &[("Dockerfile", "FROM scratch\nCOPY motd /etc/motd\n")]);
    let commit = format!("file://{}@{}", source.display(), head(&source));
    let log = file(&lab, "build.log", "STEP 1: FROM scratch\n");
    let (dockerfile, material) = (source.join("Dockerfile"), lab.path("motd"));
    let buildroot = format!("registry.example.org/buildroot@{}", sha256(b"buildroot"));
    let repo = format!("https://repos.example.org/debian={}", sha256(b"InRelease"));
    let named = format!("https://files.example.org/x.tar={}", sha256(b"x"));
    let args = [
        "--commit",
        &commit,
        "--log",
        &log,
        "--dockerfile",
        dockerfile.to_str().unwrap(),
        "--buildroot",
        &buildroot,
        "--repo",
        &repo,
        "--material",
        &material,
        "--material",
        &named,
        "--build-arg",
        "V=1",
        "--builder-id",
        "https://ci.example.org/attester",
        "--builder-version",
        "ci=7",
        "--finished",
        "2026-11-17T15:01:00Z",
    ];
    let name = registry.name("plain");
    let answer = attest(&lab, &name, &args).exits(0).json();
    assert_eq!(
        (&answer["commit"]["checked"], &answer["commit"]["commit"]),
        (&"commit-exists".into(), &head(&source).into())
    );
    assert_eq!(names(&answer["missing"]), ["parameters", "bases", "inputs"]);
    let subject = &answer["subjects"][0];
    assert_eq!((&subject["digest"], &subject["kind"]), (&digest.as_str().into(), &"manifest".into()));

    // In another order: the same statement, attached once.
    let turned = [&args[4..], &args[..4]].concat();
    let again = attest(&lab, &name, &turned).exits(0).json();
    assert_eq!(again["subjects"][0]["statement"], subject["statement"]);
    assert_eq!(
        (&again["subjects"][0]["existing"], &again["subjects"][0]["attestation"]),
        (&true.into(), &subject["attestation"])
    );
    assert_eq!(Shelf::referrers(&registry, "plain", &digest).len(), 2);

    let key = lab.path("signer.pub");
    let traced = trace(&lab, &name, &["--trust", &key, "--format", "json"]).exits(0).json();
    let said = &traced["attested"];
    assert_eq!(
        (&traced["verified"], &traced["source"], &traced["builder"]),
        (&true.into(), &Value::Null, &"https://ci.example.org/attester".into())
    );
    assert_eq!(
        (&said["source"]["commit"], &said["source"]["checked"]),
        (&head(&source).into(), &"commit-exists".into())
    );
    assert_eq!(
        (&traced["started_on"], &traced["finished_on"]),
        (&Value::Null, &"2026-11-17T15:01:00Z".into())
    );
    let dependency = |role: &str, checked: &str| {
        said["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["role"] == role && one["checked"] == checked)
    };
    assert!(
        dependency("dockerfile", "bytes") && dependency("material", "bytes") && dependency("material", "no")
    );
    assert!(dependency("buildroot", "no") && said["logs"][0]["kept"] == true, "{said:#}");
    trace(&lab, &name, &[])
        .exits(0)
        .says("(claimed; reprov did not see the build)")
        .says("(claimed; reprov found this commit there)")
        .says("recipe incomplete: parameters, bases, inputs")
        .says("NOT VERIFIED");
    let printed = trace(&lab, &name, &["--log"]).exits(0);
    assert_eq!(printed.out, "STEP 1: FROM scratch\n");
    trace(&lab, &name, &["--inputs"]).exits(2).says("was not recorded");
    lab.rebuild(&name, &[]).exits(1).says("attested after the fact");
}

#[test]
fn a_commit_is_looked_for() {
    let (lab, registry) = (Lab::new(), Registry::start(&[]));
    tagged(&registry, "app", &json!({}));
    let source = lab.source("source", &[("a", "b")]);
    let name = registry.name("app");
    let gone = format!("file://{}@{COMMIT}", source.display());
    attest(&lab, &name, &["--commit", &gone])
        .exits(1)
        .says(&format!("commit {COMMIT} does not exist"))
        .json();
    attest(&lab, &name, &["--commit", &format!("{}@main", source.display())])
        .exits(2)
        .says("not a whole commit id");
    attest(&lab, &name, &["--commit", COMMIT]).exits(2).says("write URL@ID");
    attest(&lab, &name, &["--commit", &format!("{}@{COMMIT}", lab.path("nowhere"))]).exits(2);
    assert!(Shelf::referrers(&registry, "app", &registry.tag("app", "1").unwrap()).is_empty());
    let unreachable = format!("http://someone:secret@127.0.0.1:1/x@{COMMIT}");
    let ran = attest(&lab, &name, &["--commit", &unreachable]).exits(0).says("was NOT checked");
    assert!(!ran.out.contains("secret") && !ran.err.contains("secret"), "{ran}");
    assert_eq!(ran.json()["commit"]["checked"], "unreachable");
    let said = trace(&lab, &name, &["--format", "json"]).exits(0).json()["attested"].clone();
    assert_eq!(
        (&said["source"]["checked"], &said["source"]["uri"]),
        (&"unreachable".into(), &"git+http://127.0.0.1:1/x".into())
    );
}

#[test]
fn evidence_that_cannot_be_read_is_said() {
    let lab = Lab::new();
    let check = |args: &[&str], code: i32, expected: &str| {
        attest(&lab, "127.0.0.1:1/app:1", args).exits(code).says(expected);
    };
    check(&["--log", &lab.path("gone")], 2, "No such file");
    check(&["--material", &lab.path("gone")], 2, "No such file");
    check(&["--log", "/"], 2, "it is a directory");
    check(&["--dockerfile", "/dev/zero"], 2, "larger than allowed");
    check(&["--koji", &file(&lab, "no.json", "{\"a\":1}")], 2, "no provenance that is known");
    check(&["--from-provenance", &file(&lab, "deep.json", &"[".repeat(100_000))], 2, "recursion limit");
    check(&["--buildroot", "registry.example.org/b:1"], 2, "a tag moves");
    check(&["--buildroot", &format!("oci:x@{}", sha256(b""))], 2, "means nothing to others");
    check(&["--repo", "https://u:p@repos.example.org/x"], 2, "has a login in it");
    check(&["--repo", "https://repos.example.org/x=sha256:12"], 2, "not a sha256 digest");
    check(&["--build-arg", "x"], 2, "not NAME=VALUE");
    check(&["--commit", "x@y", "--started", "yesterday"], 2, "RFC 3339");
}

#[test]
fn an_index_is_attested_whole_or_by_platform() {
    for shelf in both() {
        let (lab, shelf) = (Lab::new(), shelf.as_ref());
        let entries = ["amd64", "arm64"].map(|arch| image(shelf, "app", arch, &json!({})));
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        let root = shelf.put_manifest("app", &index);
        shelf.set_tag("app", "1", &root);
        let name = shelf.name("app");
        let log = file(&lab, "build.log", "made\n");
        attest(&lab, &name, &["--log", &log]).exits(2).says("say --all-platforms or --platform");
        let one = attest(&lab, &name, &["--log", &log, "--platform", "linux/arm64"]).exits(0).json();
        assert_eq!(
            (&one["subjects"][0]["digest"], one["subjects"].as_array().unwrap().len()),
            (&entries[1]["digest"], 1)
        );
        attest(&lab, &name, &["--log", &log, "--platform", "linux/s390x"]).exits(3).says("linux/s390x");
        let all = attest(&lab, &name, &["--log", &log, "--all-platforms"]).exits(0).json();
        let found: Vec<_> = all["subjects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (&one["kind"], &one["digest"], &one["existing"]))
            .collect();
        let (image, index) = (json!("manifest"), json!("index"));
        let root_digest = json!(root);
        assert_eq!(
            found,
            [
                (&image, &entries[0]["digest"], &json!(false)),
                (&image, &entries[1]["digest"], &json!(true)),
                (&index, &root_digest, &json!(false)),
            ]
        );
        let dry = attest(&lab, &name, &["--log", &log, "--all-platforms", "--dry-run"]).exits(0).json();
        let internal = &dry["subjects"][2]["body"]["predicate"]["buildDefinition"]["internalParameters"];
        assert_eq!(internal["subject"], "index");
        assert_eq!(
            internal["platforms"],
            json!({"linux/amd64": entries[0]["digest"], "linux/arm64": entries[1]["digest"]})
        );
        assert_eq!(dry["subjects"][2]["attestation"], Value::Null);
    }
}

#[test]
fn directories_and_archives() {
    let (lab, registry) = (Lab::new(), Registry::start(&[]));
    let digest = plain(&lab, &registry, "plain");
    let layout = format!("oci:{}:1", lab.path("layout"));
    let archive = format!("oci-archive:{}:1", lab.path("archive.tar"));
    for to in [&layout, &archive] {
        let from = format!("docker://{}", registry.name("plain"));
        must(Command::new("skopeo").args(["copy", "--quiet", "--src-tls-verify=false", &from, to]));
    }
    let log = file(&lab, "build.log", "made\n");
    let answer = attest(&lab, &layout, &["--log", &log]).exits(0).json();
    assert_eq!(answer["subjects"][0]["digest"], digest.as_str());
    assert_eq!(attest(&lab, &layout, &["--log", &log]).exits(0).json()["subjects"][0]["existing"], true);
    trace(&lab, &layout, &[]).exits(0).says("after the fact, from caller");
    assert_eq!(trace(&lab, &layout, &["--log"]).exits(0).out, "made\n");
    attest(&lab, &archive, &["--log", &log]).exits(2).says("can only be read");
    let out = lab.path("bundle.json");
    let answer = attest(&lab, &archive, &["--log", &log, "--out", &out]).exits(0).json();
    assert_eq!(
        (&answer["subjects"][0]["digest"], &answer["out"]),
        (&digest.as_str().into(), &out.as_str().into())
    );
    let bundle: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    assert_eq!(answer["subjects"][0]["statement"]["digest"], sha256(&payload));
}
