use super::*;
use crate::{
    model::Descriptor,
    verify::{Code, Finding},
};

fn judgement(number: u8, verdict: Verdict, findings: Vec<Finding>) -> Judgement {
    Judgement {
        image: format!("registry.example.org/app@{number}"),
        descriptor: Descriptor::new(crate::model::names::OCI_MANIFEST, Digest::of(&[number]), 1),
        index: false,
        verdict,
        findings,
        attestations: Vec::new(),
        facts: Vec::new(),
        level: 0,
        used: Vec::new(),
        summary: None,
        built: None,
        reproduced_by: 0,
        source_level: 0,
        dependencies: Vec::new(),
    }
}

fn weighed(platform: Option<&str>, judgement: Judgement) -> Weighed {
    Weighed { platform: platform.map(str::to_owned), judgement }
}

fn proposal(images: Vec<Weighed>) -> Proposal {
    Proposal {
        undo: false,
        from: "registry.example.org/staging/app".into(),
        from_tag: Some("1".into()),
        to: "registry.example.org/prod/app".into(),
        tag: "1".into(),
        digest: Digest::of(b"root"),
        index: None,
        images,
        standing: None,
    }
}

fn one(verdict: Verdict) -> Proposal {
    proposal(vec![weighed(None, judgement(1, verdict, Vec::new()))])
}

fn policy(text: &str) -> Policy {
    Policy::parse(&format!("builders = [\"*\"]\n{text}"), &Code::of_policies()).unwrap()
}

fn codes(decision: &Decision) -> Vec<PromotionCode> {
    decision.objections.iter().filter(|one| one.denies()).map(|one| one.code).collect()
}

#[test]
fn only_what_passed_is_promoted() {
    for verdict in [Verdict::Passed, Verdict::Failed, Verdict::Unknown] {
        assert_eq!(decide(&one(verdict), &policy(""), &Gate::default()).verdict, verdict);
    }
}

#[test]
fn places_are_those_that_the_policy_names() {
    let check = |text: &str, expected: &[PromotionCode]| {
        let found = decide(&one(Verdict::Passed), &policy(text), &Gate::default());
        assert_eq!(codes(&found), expected, "{text}");
        assert_eq!(found.verdict == Verdict::Passed, expected.is_empty());
    };
    check(
        "[promote]\nfrom = [\"registry.example.org/staging/*\"]\nto = [\"registry.example.org/prod/*\"]",
        &[],
    );
    check(
        "[promote]\nfrom = [\"registry.example.org/staging/app:1\"]\nto = [\"registry.example.org/prod/app\"]",
        &[],
    );
    check("[promote]\nfrom = [\"registry.example.org/scratch/*\"]", &[PromotionCode::Source]);
    check("[promote]\nto = [\"registry.example.org/prod/app:2\"]", &[PromotionCode::Target]);
    check("[promote]\nfrom = []", &[PromotionCode::Source]);
    let mut back = one(Verdict::Passed);
    back.undo = true;
    let found = decide(&back, &policy("[promote]\nfrom = []\nto = []"), &Gate::default());
    assert_eq!(codes(&found), [PromotionCode::Target]);
}

#[test]
fn all_platforms_or_nothing() {
    let index = |verdicts: &[Verdict]| {
        let images = verdicts.iter().zip(1..).map(|(verdict, number)| {
            weighed(
                Some(["linux/amd64", "linux/arm64"][usize::from(number - 1_u8)]),
                judgement(number, *verdict, Vec::new()),
            )
        });
        let mut proposal = proposal(images.collect());
        proposal.index = Some(judgement(9, Verdict::Failed, vec![Finding::new(Code::NoAttestation, "none")]));
        proposal
    };
    let check = |verdicts: &[Verdict], text: &str| decide(&index(verdicts), &policy(text), &Gate::default());
    assert_eq!(check(&[Verdict::Passed, Verdict::Passed], "").verdict, Verdict::Passed);
    let bad = check(&[Verdict::Passed, Verdict::Failed], "");
    assert_eq!((bad.verdict, codes(&bad)), (Verdict::Failed, vec![PromotionCode::Platform]));
    assert!(bad.objections[0].message.contains("linux/arm64"));
    assert_eq!(check(&[Verdict::Passed, Verdict::Unknown], "").verdict, Verdict::Unknown);
    assert_eq!(check(&[Verdict::Failed, Verdict::Unknown], "").verdict, Verdict::Failed);
    assert_eq!(codes(&check(&[], "")), [PromotionCode::Empty]);
    let wanted = check(&[Verdict::Passed, Verdict::Passed], "[promote]\nindex = true");
    assert_eq!((wanted.verdict, codes(&wanted)), (Verdict::Failed, vec![PromotionCode::Index]));
    let mut unread = index(&[Verdict::Passed]);
    unread.index = Some(judgement(9, Verdict::Unknown, Vec::new()));
    let wanted = decide(&unread, &policy("[promote]\nindex = true"), &Gate::default());
    assert_eq!(wanted.verdict, Verdict::Unknown);
    assert_eq!(decide(&unread, &policy(""), &Gate::default()).verdict, Verdict::Passed);
}

#[test]
fn an_older_build_needs_a_flag() {
    let built = |commit_s| Some(Built { source: Some("s".into()), commit: None, commit_s, finished_s: None });
    let mut older = one(Verdict::Passed);
    older.images[0].judgement.built = built(Some(1));
    older.standing =
        Some(Standing { digest: Digest::of(b"old"), built: vec![(None, built(Some(2)))], unread: None });
    let refused = decide(&older, &policy(""), &Gate::default());
    assert_eq!((refused.verdict, codes(&refused)), (Verdict::Failed, vec![PromotionCode::Downgrade]));
    let allowed = decide(&older, &policy(""), &Gate { allow_downgrade: true, expected: None });
    assert_eq!(
        (allowed.verdict, allowed.overridden),
        (Verdict::Passed, vec!["promotion-downgrade".to_owned()])
    );
    older.undo = true;
    assert_eq!(decide(&older, &policy(""), &Gate::default()).verdict, Verdict::Passed);
    older.undo = false;
    older.standing = Some(Standing { digest: Digest::of(b"old"), built: vec![(None, None)], unread: None });
    let unknown = decide(&older, &policy(""), &Gate::default());
    assert_eq!((unknown.verdict, unknown.objections[0].code), (Verdict::Passed, PromotionCode::AgeUnknown));
    // The same image is not older than itself.
    older.standing = Some(Standing { digest: older.digest, built: Vec::new(), unread: None });
    assert_eq!(decide(&older, &policy(""), &Gate::default()).objections, []);
}

#[test]
fn what_cannot_be_read_may_be_newer_and_needs_a_flag() {
    let built = Some(Built { source: None, commit: None, commit_s: None, finished_s: Some(1) });
    let standing = |built, unread: Option<&str>| {
        Some(Standing {
            digest: Digest::of(b"old"),
            built: vec![(None, built)],
            unread: unread.map(str::to_owned),
        })
    };
    let mut there = one(Verdict::Passed);
    there.images[0].judgement.built.clone_from(&built);
    there.standing = standing(None, Some("no answer"));
    let unread = Finding::new(Code::EvidenceUnread, "503");
    let mut here = proposal(vec![weighed(None, judgement(1, Verdict::Passed, vec![unread]))]);
    here.standing = standing(built, None);
    for mut proposal in [there, here.clone()] {
        let told = decide(&proposal, &policy(""), &Gate::default());
        assert_eq!((told.verdict, codes(&told)), (Verdict::Unknown, vec![PromotionCode::AgeUnknown]));
        let allowed = decide(&proposal, &policy(""), &Gate { allow_downgrade: true, expected: None });
        assert_eq!((allowed.verdict, codes(&allowed)), (Verdict::Passed, Vec::new()));
        assert_eq!(allowed.overridden, ["promotion-age-unknown"]);
        proposal.undo = true;
        assert_eq!(decide(&proposal, &policy(""), &Gate::default()).verdict, Verdict::Passed);
        proposal.undo = false;
        // A no is a no all the same.
        proposal.images[0].judgement.verdict = Verdict::Failed;
        assert_eq!(decide(&proposal, &policy(""), &Gate::default()).verdict, Verdict::Failed);
    }
    // What is known to be newer is, whatever another platform's may say; and who replaces none of that does not mind it.
    let at =
        |finished_s| Some(Built { source: None, commit: None, commit_s: None, finished_s: Some(finished_s) });
    for (new_s, expected) in [(1, vec![PromotionCode::Downgrade]), (9, Vec::new())] {
        let mut new = proposal(vec![weighed(Some("linux/amd64"), judgement(1, Verdict::Passed, Vec::new()))]);
        new.images[0].judgement.built = at(new_s);
        let built = vec![(Some("linux/amd64".to_owned()), at(5)), (Some("linux/arm64".to_owned()), None)];
        new.standing = Some(Standing { digest: Digest::of(b"old"), built, unread: Some("404".to_owned()) });
        assert_eq!(codes(&decide(&new, &policy(""), &Gate::default())), expected);
    }
    // Where nothing there says a time, what could not be read here would not help.
    here.standing = standing(None, None);
    assert_eq!(decide(&here, &policy(""), &Gate::default()).verdict, Verdict::Passed);
}

#[test]
fn a_decision_is_of_image_target_policy_and_findings() {
    let digest = |proposal: &Proposal, text: &str| decide(proposal, &policy(text), &Gate::default()).digest;
    let base = one(Verdict::Passed);
    let own = digest(&base, "");
    assert_eq!(own, digest(&base, ""));
    assert_ne!(own, digest(&base, "# another policy"));
    let with = |code, message: &str| {
        proposal(vec![weighed(None, judgement(1, Verdict::Failed, vec![Finding::new(code, message)]))])
    };
    let closed = digest(&with(Code::Closed, "on Monday"), "");
    assert_eq!(closed, digest(&with(Code::Closed, "on Tuesday"), ""), "words do not count");
    assert_ne!(closed, own);
    assert_eq!(digest(&with(Code::Unsigned, "a stranger"), ""), own, "nor what decides nothing");
    let elsewhere = Proposal { tag: "2".into(), ..base.clone() };
    assert_ne!(digest(&elsewhere, ""), own);

    let expecting = |expected: Expected, text: &str| {
        let gate = Gate { allow_downgrade: false, expected: Some(expected) };
        let decision = decide(&base, &policy(text), &gate);
        (decision.verdict, decision.objections.first().map(|one| one.message.clone()).unwrap_or_default())
    };
    let bare = Expected { decision: own, image: None, policy: None };
    assert_eq!(expecting(bare.clone(), "").0, Verdict::Passed);
    let (verdict, words) = expecting(bare.clone(), "# another");
    assert_eq!(verdict, Verdict::Failed);
    assert!(words.ends_with("image, target, policy or findings changed"), "{words}");
    let whole = Expected { image: Some(base.digest), policy: policy("").digest, ..bare };
    assert!(expecting(whole, "# another").1.ends_with(": the policy changed"));
}

#[test]
fn waivers_and_what_is_not_asked_are_told() {
    let mut finding = Finding::new(Code::SbomMissing, "none");
    (finding.waived_by, finding.waived_until) = (Some("ops".into()), Some("2027-06-30".into()));
    let found = decide(
        &proposal(vec![weighed(None, judgement(1, Verdict::Passed, vec![finding]))]),
        &policy("[rebuild]\n[tests]\n[promote]\nto = [\"*\"]"),
        &Gate::default(),
    );
    assert_eq!(
        (found.waived[0].code.as_str(), found.waived[0].until.as_str()),
        ("sbom-missing", "2027-06-30")
    );
    assert_eq!(found.not_asked, ["sbom", "sources", "promote.from"]);
}

#[test]
fn one_image_in_place_of_several_replaces_all_of_them_and_a_variant_may_be_left_out() {
    let built = |finished_s| {
        Some(Built { source: Some("a".into()), commit: None, commit_s: None, finished_s: Some(finished_s) })
    };
    let there = |platforms: &[&str]| Standing {
        digest: Digest::of(b"there"),
        built: platforms.iter().map(|name| (Some((*name).to_owned()), built(9))).collect(),
        unread: None,
    };
    let found = |platforms: &[Option<&str>], standing: &[&str]| {
        let image = |platform: Option<&str>| {
            let built = built(1); // Older than what is there.
            weighed(platform, Judgement { built, ..judgement(1, Verdict::Passed, Vec::new()) })
        };
        let mut proposal = proposal(platforms.iter().copied().map(image).collect());
        proposal.standing = Some(there(standing));
        decide(&proposal, &policy(""), &Gate::default())
    };
    let both = ["linux/amd64", "linux/arm64/v8"];
    let single = found(&[None], &both);
    assert_eq!(codes(&single), [PromotionCode::Downgrade]);
    assert!(single.objections.iter().any(|one| one.code == PromotionCode::PlatformDropped), "it is said");
    let index = found(&[Some("linux/arm64"), Some("linux/s390x")], &both);
    assert_eq!(codes(&index), [PromotionCode::Downgrade], "arm64 is arm64/v8");
    assert_eq!(codes(&found(&[Some("linux/s390x")], &both)), []);
}
