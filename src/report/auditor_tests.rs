//! Answers for auditors follow their schemas too.

use super::tests::schemas;
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
