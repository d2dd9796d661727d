//! One table an adapter: what is read of a document of its shape (`fixtures/provenance`), and what it lacks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::attest::{
    Missing, Names, SubjectKind,
    assemble::{Frame, Piece, assemble},
};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/provenance/", $name, ".json"))
    };
}

const COMMIT: &str = "4b220de5058abfd01ff619c9d2ff6b09a049bea0";

fn filled(text: &str) -> String {
    text.replace("SUBJECT", &Digest::of(b"image").hex())
}

fn one(text: &str) -> Claims {
    let mut claims = read(filled(text).as_bytes()).unwrap();
    assert_eq!(claims.len(), 1);
    claims.remove(0)
}

/// What it lacks for a rebuild.
fn missing(claims: &Claims) -> Vec<&'static str> {
    let pieces = [Piece { claims: claims.clone(), digest: None, names: Names::Subject }];
    let frame = Frame {
        subject: SubjectKind::Manifest,
        platform: None,
        platforms: BTreeMap::new(),
        builder_id: "https://ci.example.org/attester".into(),
        builder_version: BTreeMap::new(),
        byproducts: Vec::new(),
    };
    let made = assemble(&pieces, frame).unwrap().attested;
    // What is made of it is a statement that is read back as it is.
    let statement = made.statement(crate::attest::Subject::new("app", &Digest::of(b"image")));
    let back = Statement::parse(&statement.to_bytes()).unwrap();
    assert_eq!(crate::attest::Attested::read(&back).unwrap(), made);
    made.internal.missing.into_iter().map(Missing::name).collect()
}

struct Expected<'a> {
    kind: &'a str,
    builder: Option<&'a str>,
    source: (Option<&'a str>, Option<&'a str>, Option<&'a str>),
    dockerfile: Option<&'a str>,
    invocation: Option<&'a str>,
    started: Option<i64>,
    /// Role and URI, in the document's order.
    dependencies: &'a [(&'a str, &'a str)],
    missing: &'a [&'a str],
}

#[track_caller]
fn check(text: &str, expected: &Expected<'_>) -> Claims {
    let claims = one(text);
    assert_eq!(claims.kind, expected.kind);
    assert!(claims.subjects.contains(&Digest::of(b"image")), "{:?}", claims.subjects);
    assert_eq!(claims.builder.as_ref().map(|builder| builder.id.as_str()), expected.builder);
    let source = claims.source.clone().unwrap_or_default();
    let (uri, commit, reference) =
        (source.uri.as_deref(), source.commit.as_deref(), source.reference.as_deref());
    assert_eq!((uri, commit, reference), expected.source);
    assert_eq!(claims.dockerfile.as_deref(), expected.dockerfile);
    assert_eq!(claims.invocation_id.as_deref(), expected.invocation);
    assert_eq!(claims.started_on_s, expected.started);
    let named: Vec<_> = claims.dependencies.iter().map(|named| (named.role(), named.uri.as_str())).collect();
    assert_eq!(named, expected.dependencies);
    assert!(claims.dependencies.iter().all(|named| named.annotations["checked"] == "no"));
    assert_eq!(missing(&claims), expected.missing);
    claims
}

const GOLANG: &str = "docker://docker.io/library/golang@sha256:8914eb54f968791faf6a8638949e480fef81e697984fba772b3976835194c6d4";
const ALPINE: &str = "docker://docker.io/library/alpine@sha256:8914eb54f968791faf6a8638949e480fef81e697984fba772b3976835194c6d4";
const BASE: &str = "docker://registry.example.org/base@sha256:8914eb54f968791faf6a8638949e480fef81e697984fba772b3976835194c6d4";

#[test]
fn buildkit() {
    let claims = check(
        fixture!("buildkit-v0.2"),
        &Expected {
            kind: "buildkit-v0.2",
            builder: Some("https://ci.example.org/runs/3709599520"),
            source: (Some("git+https://git.example.org/app.git"), Some(COMMIT), Some("refs/tags/v1.2")),
            dockerfile: Some("build/Dockerfile"),
            invocation: Some("rpv7a389uzil5lqmrgwhijwjz"),
            started: Some(1_794_927_600),
            dependencies: &[
                ("source", "git+https://git.example.org/app.git@refs/tags/v1.2"),
                (
                    "frontend",
                    "docker://docker.io/docker/dockerfile@sha256:9ba7531bd80fb0a858632727cf7a112fbfd19b17e94c4e84ced81e24ef1a0dbc",
                ),
                ("base", GOLANG),
                ("material", "https://files.example.org/tool.tar.gz"),
            ],
            missing: &["buildroot"],
        },
    );
    assert_eq!((claims.build_args["VERSION"].as_str(), claims.target.as_deref()), ("1.2", Some("release")));
    assert_eq!(claims.parameters["label:FOO"], "bar");
    assert_eq!(claims.parameters["secrets"], "GIT_AUTH_HEADER");
    assert_eq!(
        claims.dependencies[2].annotations["written"],
        "pkg:docker/golang@1.20-alpine?platform=linux%2Famd64"
    );
    assert!(claims.hermetic && claims.parameters_complete);
    let claims = check(
        fixture!("buildkit-v1"),
        &Expected {
            kind: "buildkit-v1",
            builder: None,
            source: (Some("git+https://git.example.org/app.git"), Some(COMMIT), None),
            dockerfile: Some("Dockerfile"),
            invocation: Some("nxx4vl6nqkwvbcnsdvz8u2h4k"),
            started: Some(1_794_927_600),
            dependencies: &[("source", "git+https://git.example.org/app.git"), ("base", ALPINE)],
            missing: &["buildroot", "repositories", "inputs"],
        },
    );
    assert_eq!(
        (claims.build_args["DEBUG"].as_str(), claims.parameters["locals"].as_str()),
        ("", "context, dockerfile")
    );
}

#[test]
fn a_changed_work_tree_is_no_commit() {
    let dirty = fixture!("buildkit-v1").replace(COMMIT, &format!("{COMMIT}-dirty"));
    let claims = one(&dirty);
    assert_eq!(claims.source.as_ref().unwrap().commit, None);
    assert_eq!(claims.parameters["vcs:revision"], format!("{COMMIT}-dirty"));
    assert_eq!(missing(&claims)[0], "source");
}

#[test]
fn tekton() {
    let buildah = |hex: &str| format!("docker://registry.example.org/tools/buildah@sha256:{hex}");
    let one = buildah("bad5d84ded24307d12cacc9ef37fc38bce90ea5d00501f43b27d0c926be26f19");
    let claims = check(
        fixture!("tekton-v0.2"),
        &Expected {
            kind: "tekton-v0.2",
            builder: Some("https://tekton.dev/chains/v2"),
            source: (Some("git+https://git.example.org/app.git"), Some(COMMIT), None),
            dockerfile: Some("build/Dockerfile"),
            invocation: None,
            started: Some(1_794_927_600),
            dependencies: &[
                ("pipeline", "git+https://git.example.org/pipelines.git"),
                ("buildroot", &one),
                ("source", "git+https://git.example.org/app.git"),
            ],
            missing: &["parameters", "bases", "repositories", "inputs"],
        },
    );
    assert_eq!(claims.parameters["platforms"], r#"["linux/amd64"]"#);
    let two = buildah("4d6dd704ef58cb214dd826519929e92a978a57cdee43693006139c0080fd6fac");
    check(
        fixture!("tekton-v1"),
        &Expected {
            kind: "tekton-v1",
            builder: Some("https://tekton.dev/chains/v2"),
            source: (Some("git+https://git.example.org/app.git"), Some(COMMIT), None),
            dockerfile: Some("Dockerfile"),
            invocation: Some("abhhf-12354-asjsdbjs23-3435353n"),
            started: Some(1_794_927_600),
            dependencies: &[
                ("pipeline", "git+https://git.example.org/pipelines.git"),
                ("pipeline", "git+https://git.example.org/tasks.git"),
                (
                    "buildroot",
                    "docker://registry.example.org/tools/git@sha256:d4b63d3e24d6eef04a6dc0795cf8a73470688803d97c52cffa3c8d4efd3397b6",
                ),
                ("buildroot", &two),
                ("source", "git+https://git.example.org/app.git"),
                ("base", BASE),
            ],
            missing: &["parameters", "repositories", "inputs"],
        },
    );
}

#[test]
fn github() {
    let repo = Some("git+https://github.com/owner/repo");
    let rest = ["dockerfile", "parameters", "bases", "buildroot", "repositories", "inputs"];
    let claims = check(
        fixture!("github-actions-v1"),
        &Expected {
            kind: "github-actions-v1",
            builder: Some("https://github.com/owner/shared/.github/workflows/build.yml@main"),
            source: (repo, Some(COMMIT), Some("refs/heads/main")),
            dockerfile: None,
            invocation: Some("https://github.com/owner/repo/actions/runs/1/attempts/1"),
            started: None,
            dependencies: &[("source", "git+https://github.com/owner/repo@refs/heads/main")],
            missing: &rest,
        },
    );
    assert_eq!(claims.parameters["workflow.path"], ".github/workflows/main.yml");
    assert_eq!(claims.parameters["github.runner_environment"], "github-hosted");
    let claims = check(
        fixture!("slsa-github-generator-v0.2"),
        &Expected {
            kind: "slsa-github-generator-v0.2",
            builder: Some(
                "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.0.0",
            ),
            source: (repo, Some(COMMIT), Some("refs/heads/main")),
            dockerfile: None,
            invocation: Some("2387611653-1"),
            started: None,
            dependencies: &[
                ("source", "git+https://github.com/owner/repo@refs/heads/main"),
                (
                    "material",
                    "https://github.com/actions/virtual-environments/releases/tag/ubuntu20/20220515.1",
                ),
            ],
            missing: &rest,
        },
    );
    assert_eq!(claims.parameters["github_run_id"], "2387611653");
}

#[test]
fn obs() {
    let source =
        (Some("https://obs.example.org/source/project/app?rev=f157738ddea737a2b7479996175a6cec"), None, None);
    let file = "https://obs.example.org/source/project/app/Dockerfile?rev=f157738ddea737a2b7479996175a6cec";
    let claims = check(
        fixture!("obs-v0.2"),
        &Expected {
            kind: "obs-v0.2",
            builder: Some("https://obs.example.org"),
            source,
            dockerfile: Some("Dockerfile"),
            invocation: None,
            started: None,
            dependencies: &[("source", source.0.unwrap()), ("material", file)],
            missing: &["source", "bases"],
        },
    );
    assert_eq!(claims.packages[0]["name"], "filesystem");
    let claims = check(
        fixture!("obs-v1"),
        &Expected {
            kind: "obs-v1",
            builder: Some("https://obs.example.org"),
            source,
            dockerfile: Some("Dockerfile"),
            invocation: None,
            started: None,
            dependencies: &[("source", source.0.unwrap()), ("material", file), ("base", BASE)],
            missing: &["source", "parameters", "repositories", "inputs"],
        },
    );
    assert_eq!(
        claims.packages,
        [
            json!({"kind": "rpm", "name": "aaa_base", "sha256": "acf63da2befc85cee24689330ddf62629681e59b5007fa3ffca09ff789f7cb28"})
        ]
    );
}

#[test]
fn koji() {
    let claims = check(
        fixture!("koji-v0"),
        &Expected {
            kind: "koji-v0",
            builder: Some("koji:content-generator/osbs"),
            source: (Some("git+https://git.example.org/containers/app"), Some(COMMIT), None),
            dockerfile: None,
            invocation: Some("koji task 23188768"),
            started: Some(1_763_391_600),
            dependencies: &[
                ("source", "git+https://git.example.org/containers/app"),
                ("base", "docker://registry.example.org/base:9"),
                ("material", "https://cachito.example.org/api/v1/requests/1"),
                ("buildroot", ""),
                ("material", ""),
            ],
            missing: &["dockerfile", "parameters", "bases", "inputs"],
        },
    );
    assert_eq!(claims.subjects.len(), 2, "the image's and the index's");
    assert_eq!(claims.parameters["koji.release"], "4");
    assert_eq!(
        claims.builder.unwrap().version,
        BTreeMap::from([("osbs".into(), "3.2".into()), ("podman".into(), "4.3.1".into())])
    );
    assert_eq!(claims.repositories[0].url, "https://repos.example.org/signed.repo");
    assert_eq!(claims.dependencies[1].annotations["kojiBuild"], "base-container-9-1");
    assert_eq!(
        claims.dependencies[4].digest,
        BTreeMap::from([("md5".into(), "5ec2f29c4e1c2e2aa6552836e236a158".into())])
    );
    assert_eq!((&claims.packages[0]["name"], &claims.packages[0]["epoch"]), (&"glibc".into(), &Value::Null));
    assert_eq!(
        (claims.byproducts[0].name.as_str(), &claims.byproducts[0].annotations["kept"]),
        ("log", &"no".into())
    );
    let other = filled(fixture!("koji-v0")).replace("\"metadata_version\": 0", "\"metadata_version\": 1");
    assert!(read(other.as_bytes()).unwrap_err().to_string().contains("`metadata_version` is not 0"));
}

#[test]
fn labels_are_hints() {
    let read = |pairs: &[(&str, &str)]| {
        labels(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    };
    let osbs = read(&[
        ("vcs-type", "git"),
        ("vcs-ref", COMMIT),
        ("com.redhat.component", "app-container"),
        ("build-date", "2018-11-26T19:32:31.327477"),
        ("release", "4"),
    ])
    .unwrap();
    let source = osbs.source.clone().unwrap();
    assert_eq!((source.uri, source.commit.as_deref()), (None, Some(COMMIT)));
    assert_eq!(osbs.parameters["build-date"], "2018-11-26T19:32:31.327477");
    assert_eq!(missing(&osbs)[0], "source", "no place is named");
    let oci = read(&[
        ("org.opencontainers.image.source", "https://git.example.org/app"),
        ("org.opencontainers.image.revision", COMMIT),
    ])
    .unwrap();
    assert_eq!(oci.source.as_ref().unwrap().uri.as_deref(), Some("git+https://git.example.org/app"));
    assert_eq!(missing(&oci)[0], "dockerfile");
    let short = read(&[("vcs-ref", "4b220de"), ("vcs-url", "https://git.example.org/app")]).unwrap();
    assert_eq!((short.source.unwrap().commit, short.parameters["vcs-ref"].as_str()), (None, "4b220de"));
    assert_eq!(read(&[("maintainer", "me"), ("version", "1")]), None);
    assert_eq!(read(&[("vcs-type", "svn"), ("vcs-ref", COMMIT)]), None);
}

#[test]
fn frames_are_opened() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = filled(fixture!("github-actions-v1"));
    let predicate = serde_json::from_str::<Value>(&text).unwrap()["predicate"].clone();
    let envelope = json!({
        "payload": STANDARD.encode(&text),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": "AA=="}],
    });
    let bundle =
        json!({"mediaType": "x", "verificationMaterial": {"certificate": {}}, "dsseEnvelope": envelope});
    let sbom = text.replace("https://slsa.dev/provenance/v1", "https://spdx.dev/Document");
    let count = |text: String| read(text.as_bytes()).map(|claims| claims.len());
    for document in [
        envelope.to_string(),
        bundle.to_string(),
        json!({"attestations": [{"bundle": bundle}]}).to_string(),
        format!("{bundle}\n{}\n", sbom.replace('\n', " ")),
        predicate.to_string(),
        json!({"buildx.build.provenance": predicate, "containerimage.digest": "sha256:x"}).to_string(),
        json!({"linux/amd64": {"SLSA": predicate}, "linux/arm64": {"SBOM": {}}}).to_string(),
    ] {
        assert_eq!(count(document.clone()).unwrap(), 1, "{document}");
    }
    assert_eq!(count(format!("{bundle}\n{bundle}\n")).unwrap(), 2);
    assert!(read(sbom.as_bytes()).unwrap_err().to_string().contains("but https://spdx.dev/Document"));
}

#[test]
fn what_is_no_evidence_says_why() {
    let check = |text: &str, expected: &str| {
        let error = read(text.as_bytes()).unwrap_err();
        let text = format!(
            "{error}: {}",
            std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()
        );
        assert!(text.contains(expected), "{text}");
    };
    check("", "cannot be read");
    check("[]", "no object");
    check(r#"{"a": 1, "a": 1}"#, "cannot be read");
    check(r#"{"a": 1}"#, "it has `a`");
    check("{}", "no keys");
    check(&format!("{}{}", r#"{"bundle":"#.repeat(9), "}".repeat(9)), "cannot be read");
    check(&"[".repeat(100_000), "cannot be read");
    check(r#"{"bundle":{"bundle":{"bundle":{"bundle":{"bundle":{}}}}}}"#, "it has `bundle`");
    check(r#"{"_type": "https://in-toto.io/Statement/v1"}"#, "bad statement");
    let many: Vec<_> = (0..2000).map(|number| (format!("p{number}"), Value::from("x"))).collect();
    let many = Value::Object(many.into_iter().collect());
    let text = filled(fixture!("tekton-v0.2"));
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["predicate"]["invocation"]["parameters"] = many;
    check(&document.to_string(), "more than 1000 parameters");
    document["predicate"]["invocation"]["parameters"] = json!({"p": "x".repeat(70_000)});
    check(&document.to_string(), "bytes in one parameter");
}

#[test]
fn an_unknown_build_type_is_read_for_what_it_names() {
    let text =
        fixture!("tekton-v0.2").replace("tekton.dev/v1beta1/PipelineRun", "https://ci.example.org/other");
    let claims = one(&text);
    assert_eq!(
        (claims.kind.as_str(), claims.source.as_ref()),
        ("slsa-v0.2", None),
        "two commits: nobody knows which"
    );
    assert_eq!(claims.parameters["buildType"], "https://ci.example.org/other");
    assert_eq!(claims.dependencies.iter().filter(|named| named.role() == "base").count(), 1);
}
