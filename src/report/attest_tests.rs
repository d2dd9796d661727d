//! Answers of `attest`, and of `trace` about what was attested, against their schemas.

use super::*;
use crate::report::{attest, attested};

/// With everything in it.
pub(super) fn attested() -> attested::Attested {
    let map = || BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    attested::Attested {
        subject: "manifest",
        evidence: vec![evidence(Some(digest())), evidence(None)],
        source: Some(attested::Source {
            uri: Some("git+https://git.example.org/x".into()),
            commit: Some("0".repeat(40)),
            reference: None,
            by: "caller".into(),
            checked: "commit-exists".into(),
        }),
        dockerfile: Some("Dockerfile".into()),
        builder: Some(attested::Builder { id: "https://ci.example.org".into(), version: map() }),
        invocation: Some("run 1".into()),
        platform: Some("linux/amd64".into()),
        build_args: map(),
        parameters: map(),
        repositories: vec![attested::Repository {
            url: "https://repos.example.org".into(),
            digest: Some(digest()),
        }],
        dependencies: vec![attested::Dependency {
            role: "base".into(),
            name: String::new(),
            uri: "docker://registry.example.org/base".into(),
            digest: BTreeMap::from([("sha256".into(), digest().hex())]),
            by: "buildkit-v1".into(),
            checked: "no".into(),
        }],
        logs: vec![attested::Log {
            file: "build\u{1b}.log".into(),
            digest: BTreeMap::from([("sha256".into(), digest().hex())]),
            kept: true,
        }],
        missing: attested::missing(&crate::attest::Missing::ALL),
    }
}

fn evidence(digest: Option<Digest>) -> attested::Evidence {
    attested::Evidence { kind: "buildkit-v1".into(), digest, names: "subject" }
}

fn answer(full: bool) -> attest::Attest {
    let subject = |kind| attest::Subject {
        kind,
        platform: full.then(|| "linux/amd64".into()),
        digest: digest(),
        statement: Named { digest: digest() },
        attestation: full.then(digest),
        existing: full,
        evidence: full.then(digest),
        legacy: full.then(digest),
        sources: vec![evidence(full.then(digest))],
        missing: attested::missing(&crate::attest::Missing::ALL),
        body: (!full).then(|| json!({"_type": "x", "odd": "\u{202e}"})),
    };
    attest::Attest {
        schema: "reprov.attest/v1",
        image: Some("registry.example.org/app@sha256:x".into()),
        predicate_type: Some("https://slsa.dev/provenance/v1".into()),
        subjects: vec![subject("manifest"), subject("index")],
        commit: full.then(|| attest::Commit {
            uri: Some("git+https://git.example.org/x".into()),
            commit: "0".repeat(40),
            checked: "unreachable",
        }),
        missing: attested::missing(&[crate::attest::Missing::Inputs]),
        dry_run: !full,
        out: None,
        link: full.then(|| attest::Link {
            step: "make".into(),
            command: vec!["make".into(), "all".into()],
            materials: 1,
            products: 2,
            return_value: 0,
            key_id: "00".into(),
        }),
        error: None,
    }
}

#[test]
fn attest_answers() {
    follows(&attest::Attest::failed("refused".into()));
    follows(&answer(true));
    follows(&answer(false));
    let step = answer(true);
    assert!(step.text().contains("make all") && step.text().contains("1 in, 2 out"), "{}", step.text());
    let text = attest::Attest { link: None, ..step }.text();
    let recipe = "recipe incomplete: source, dockerfile, parameters, bases, buildroot, repositories, inputs";
    assert!(text.contains(recipe) && text.contains("NOT CHECKED"), "{text}");
    let text = answer(false).text();
    assert!(text.starts_with("{\n") && !text.contains('\u{202e}'), "{text}");
}

#[test]
fn what_was_attested_is_marked_as_claimed() {
    let text = trace_answer(false).text();
    for line in [
        "attested    after the fact, from buildkit-v1, buildkit-v1 (claimed; reprov did not see the build)",
        "built by    https://ci.example.org (claimed; it did not sign this)",
        "(claimed; reprov found this commit there)",
        "(claimed by buildkit-v1)",
        "repository  https://repos.example.org",
        "recipe      recipe incomplete: source, dockerfile",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    assert!(text.contains("build\\u{1b}.log"), "{text}");
    assert_eq!(attested::recipe(&[]), "recipe complete, as far as its parts are named");
}

#[test]
fn copy_answers() {
    follows(&copy::Copy::failed("a".into(), "the registry answered 403 DENIED".into()));
    follows(&copy::Copy {
        schema: "reprov.copy/v1",
        from: "registry.example.org/app:1".into(),
        image: Some("oci:dir:1@sha256:x".into()),
        digest: Some(digest()),
        media_type: Some(crate::model::names::OCI_INDEX.into()),
        manifests: 2,
        referrers: vec![copy::Referrer { digest: digest(), subject: digest() }],
        tags: vec!["sha256-x.att".into()],
        blobs: copy::Blobs { count: 3, existing: 1, mounted: 1, sent: 1, sent_bytes: 2 },
        left: vec![copy::Left { what: "x".into(), why: "it is not there".into() }],
        replaced: Some(digest()),
        error: None,
        seconds: 1,
    });
}
