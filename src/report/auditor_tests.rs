//! Answers for auditors follow their schemas too.

use super::{policy, tests::schemas, verify};
use crate::model::Digest;

#[track_caller]
fn follows(answer: &impl serde::Serialize) {
    let answer = serde_json::to_value(answer).unwrap();
    let wrong = schemas::violations(&answer);
    assert!(wrong.is_empty(), "{wrong:#?}\n{answer:#}");
}

fn digest() -> Digest {
    Digest::of(b"any")
}

#[test]
fn evidence_answers() {
    use super::dossier::{Answer, Counts};
    let judged = crate::dossier::Judged {
        role: "image".into(),
        name: "r.example/app@sha256:x".into(),
        digest: digest(),
        verdict: "passed".into(),
        level: 2,
        source_level: 3,
        codes: vec!["no-policy".into(), "waived:stale".into()],
    };
    let contents = crate::dossier::Contents {
        schema: crate::dossier::Contents::SCHEMA.into(),
        image: judged.name.clone(),
        digest: digest(),
        reprov: "0.1.0".into(),
        as_of: crate::model::rfc3339(0),
        policy: None,
        keys: vec![crate::dossier::Key {
            fingerprint: digest(),
            member: "keys/00.pub".into(),
            by: "flag".into(),
        }],
        identities: vec![crate::dossier::Identity {
            identity: "https://ci.example.org/*".into(),
            issuer: "https://ci.example.org".into(),
        }],
        trusted_root: Some(crate::dossier::TrustedRoot {
            digest: digest(),
            member: "roots/trusted_root.json".into(),
        }),
        judged: vec![judged.clone()],
        gaps: Vec::new(),
        members: Vec::new(),
    };
    follows(&Answer::refused("a.tar".into(), "the header of `a` is not as reprov writes it".into()));
    let checked = Answer::checked("a.tar".into(), &contents, (digest(), 1), vec![judged], vec!["x".into()]);
    follows(&checked);
    follows(&Answer { requirements: Some(Counts { met: 1, partly: 2, unmet: 3 }), ..checked });
}

#[test]
fn layout_answers() {
    use crate::verify::layout::{Judged, LayoutCode, LayoutFinding};
    let mut judged = Judged::default();
    judged.functionaries.push(("build".into(), "ab".repeat(32)));
    judged.findings.push(LayoutFinding::new(LayoutCode::StepCommand, "build", "`a` was run, not `b`"));
    let answer = |judged: &Judged| super::verify::Verify {
        schema: "reprov.verify/v1",
        policy: None,
        as_of: crate::model::rfc3339(0),
        images: Vec::new(),
        layout: Some(super::layout::Layout::of("root.layout".into(), judged, vec!["look".into()])),
    };
    follows(&answer(&judged));
    assert!(answer(&judged).text(false).ends_with("layout root.layout: passed\n"));
    judged.findings.push(LayoutFinding::new(LayoutCode::LayoutExpired, "", "it expired"));
    follows(&answer(&judged));
    assert!(answer(&judged).text(false).contains("deny        layout-expired: layout: it expired"));
}

#[test]
fn answers_about_verifying() {
    use crate::{
        model::Descriptor,
        verify::{Code, Fact, Finding, Judgement, Line, Status, Verdict},
    };
    let judgement = |full: bool| Judgement {
        image: format!("registry.example.org/app:1@{}", digest()),
        descriptor: Descriptor::new("application/vnd.oci.image.manifest.v1+json", digest(), 7),
        index: !full,
        verdict: if full { Verdict::Passed } else { Verdict::Failed },
        findings: vec![
            Finding {
                waived_by: full.then(|| "ops".into()),
                ..Finding::new(Code::SbomMissing, "none\u{1b}[2J")
            },
            Finding::new(Code::NoPolicy, "none").at("sha256:1#/predicate"),
        ],
        attestations: vec![Line {
            predicate_type: full.then(|| "https://slsa.dev/provenance/v1".into()),
            digest: digest(),
            statement: full.then(digest),
            signer: full.then(|| "key sha256:1".into()),
            verified: full,
        }],
        facts: vec![Fact { name: "builder", value: "https://x\u{202e}".into(), status: Status::Claimed }],
        level: 2,
        used: vec![digest()],
        summary: full.then(digest),
        built: None,
        reproduced_by: 0,
        source_level: 0,
        dependencies: Vec::new(),
    };
    let below = Judgement { dependencies: vec![("base".into(), judgement(false))], ..judgement(true) };
    let unknown = verify::Image::unknown("registry.example.org/app:1".into(), "no answer".into());
    let answer = verify::Verify {
        schema: "reprov.verify/v1",
        policy: Some(verify::Policy { name: "release".into(), digest: digest() }),
        as_of: "2026-11-30T10:00:00Z".into(),
        layout: None,
        images: vec![(&below).into(), (&judgement(false)).into(), unknown],
    };
    follows(&answer);
    let text = answer.text(false);
    assert!(
        text.contains("(waived by ops)") && text.contains("(claimed)") && text.contains("no answer"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    follows(&verify::Verify { policy: None, images: Vec::new(), ..answer });
    let policy = crate::policy::Policy::none();
    follows(&policy::Checked::of(&policy, 1));
    follows(&policy::Printed { schema: "reprov.policy/v1", name: "release".into(), text: "x".into() });
}
