//! Each violation of a policy by itself, and its own word.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    By, Stand, sources,
    stand::{PROMOTION, PROVENANCE, REBUILD, REPOSITORY, denials},
};
use crate::support::sha256;

/// The head of every policy here.
const HEAD: &str = "builders = [\"https://ci.example.org/reprov@v1\"]\n";

type Change = fn(&mut Value);

/// A policy, how the honest provenance is spoilt, and the one word that comes of it.
const OF_PROVENANCE: &[(&str, &str, Change)] = &[
    ("builder-not-allowed", "", |it| {
        it["runDetails"]["builder"]["id"] = "https://ci.example.org/reprov@v1/x".into();
    }),
    ("builder-missing", "", |it| it["runDetails"]["builder"]["id"] = "".into()),
    ("provenance-malformed", "", |it| it["buildDefinition"]["buildType"] = Value::Null),
    ("level-low", "least-level = 2", |_| {}),
    ("build-type-not-allowed", "build-types = [\"https://reprov.example/build/v1\"]", |it| {
        it["buildDefinition"]["buildType"] = "https://x.example/v1".into();
    }),
    ("source-missing", "clean-source = true", |it| {
        it["buildDefinition"]["resolvedDependencies"]
            .as_array_mut()
            .unwrap()
            .retain(|one| one["digest"]["gitCommit"].is_null());
    }),
    ("source-not-allowed", "sources = [\"git+https://git.example.org/other/*\"]", |_| {}),
    ("ref-not-allowed", "refs = [\"refs/heads/main\"]", |_| {}),
    ("source-dirty", "clean-source = true", |it| {
        it["buildDefinition"]["externalParameters"]["source"]["dirty"] = true.into();
    }),
    ("parameter-unknown", "external-parameters = \"strict\"", |it| {
        it["buildDefinition"]["externalParameters"]["runner"] = "mine".into();
    }),
    ("parameter-unexpected", "[parameters]\nexpected = { clock = \"commit\" }", |_| {}),
    ("stale", "max-age = \"1h\"", |_| {}),
    ("from-the-future", "", |it| it["runDetails"]["metadata"]["finishedOn"] = "2099-01-01T00:00:00Z".into()),
    ("time-missing", "max-age = \"30d\"", |it| {
        it["runDetails"]["metadata"] = json!({});
    }),
    ("base-not-allowed", "[bases]\nregistries = [\"registry.example.org/vetted/*\"]", |_| {}),
    ("base-unpinned", "[bases]\npinned = true", |it| {
        it["buildDefinition"]["resolvedDependencies"][2]["annotations"]["used"] = "python:3.13".into();
    }),
    ("buildroot-missing", "[bases]\nbuildroot = true", |it| {
        it["buildDefinition"]["resolvedDependencies"]
            .as_array_mut()
            .unwrap()
            .retain(|one| one["annotations"]["role"] != "buildroot");
    }),
    ("repository-not-allowed", "[[repository]]\nurl = \"http://mirror.example.org/*\"", |_| {}),
    (
        "repository-key-not-allowed",
        "[[repository]]\nurl = \"*\"\nkeys = [\"sha256:e1d8e552330911f9f779f85b6f2c00a15e790dcc3fbb3b28f5da1d660a30c5b8\"]",
        |_| {},
    ),
    ("repositories-unknown", "[[repository]]\nurl = \"*\"", |it| {
        it["buildDefinition"]["buildType"] = "https://x.example/v1".into();
    }),
    (
        "input-refused",
        "[inputs]\nrefuse = [{ url = \"https://pypi.example.org/*\", because = \"not vetted\" }]",
        |_| {},
    ),
    ("package-refused", "[inputs]\nrefuse = [{ package = \"curl@7.88.*\", because = \"old\" }]", |_| {}),
    ("inputs-unknown", "[inputs]\nrefuse = [{ package = \"none\", because = \"x\" }]", |it| {
        it["buildDefinition"]["buildType"] = "https://x.example/v1".into();
        it["runDetails"]["byproducts"] = json!([]);
    }),
    ("not-hermetic", "hermetic = true", |it| {
        it["buildDefinition"]["buildType"] = "https://x.example/v1".into();
    }),
    ("learned", "hermetic = true", |it| it["buildDefinition"]["externalParameters"]["learn"] = true.into()),
    ("tainted", "hermetic = true", |it| it["runDetails"]["reprov_tainted"] = json!(["refused"])),
    ("transcript-missing", "hermetic = true", |it| {
        it["runDetails"]["byproducts"].as_array_mut().unwrap().retain(|one| one["name"] != "transcript");
    }),
    ("log-missing", "log = true", |it| {
        it["runDetails"]["byproducts"].as_array_mut().unwrap().retain(|one| one["name"] != "log");
    }),
    ("log-gone", "log = true", |it| {
        it["runDetails"]["byproducts"][0]["digest"]["sha256"] = "0".repeat(64).into();
    }),
    ("evidence-gone", "evidence = true", |it| {
        it["runDetails"]["byproducts"][1]["digest"]["sha256"] = "0".repeat(64).into();
    }),
];

#[test]
fn every_violation_of_provenance_has_its_word() {
    for (code, policy, change) in OF_PROVENANCE {
        let stand = Stand::new();
        stand.artifact("application/vnd.reprov.inputs.v1", b"inputs");
        let mut predicate = stand.predicate();
        change(&mut predicate);
        stand.attach(By::Ours, PROVENANCE, &predicate);
        let ran = stand.by_policy(&format!("{HEAD}{policy}"), &[]).exits(1);
        let found = denials(&ran);
        let own: Vec<&String> = found.iter().filter(|one| *one != "predicate-missing").collect();
        assert_eq!(own, [code], "{policy}: {ran}");
    }
}

#[test]
fn the_honest_one_passes_each_of_these_policies_but_its_own_limits() {
    let stand = Stand::new();
    stand.honest();
    let refusing = [
        "level-low",
        "source-not-allowed",
        "ref-not-allowed",
        "parameter-unexpected",
        "stale",
        "base-not-allowed",
        "repository-not-allowed",
        "repository-key-not-allowed",
        "input-refused",
        "package-refused",
    ];
    for (code, policy, _) in OF_PROVENANCE.iter().filter(|(code, ..)| !refusing.contains(code)) {
        let ran = stand.by_policy(&format!("{HEAD}{policy}"), &[]);
        assert_eq!(ran.code, Some(0), "{code}: {ran}");
    }
    let right = "sources = [\"git+https://git.example.org/shop/*\"]\nrefs = [\"refs/tags/v*\"]\nmax-age = \"30d\"\n\
        [parameters]\nexpected = { clock = \"real\", \"source.rev\" = \"refs/tags/*\" }\n[bases]\nregistries = [\"registry.example.org\"]\n\
        [[repository]]\nurl = \"http://mirror.example.org/*\"\n[[repository]]\nurl = \"https://pypi.example.org/simple\"\n\
        [inputs]\nrefuse = [{ package = \"curl@8.*\", because = \"new\" }, { url = \"ftp://x.example/*\", because = \"old\" }]";
    stand.by_policy(&format!("{HEAD}{right}"), &[]).exits(0);
}

fn rebuilt(rebuilder: &str, verdict: &str) -> Value {
    let text =
        std::fs::read_to_string(crate::support::fixtures("../attestations/rebuild/v1/example.json")).unwrap();
    let mut predicate = serde_json::from_str::<Value>(&text).unwrap()["predicate"].take();
    predicate["rebuilder"]["id"] = rebuilder.into();
    predicate["verdict"] = verdict.into();
    predicate["startedOn"] = "2026-01-02T05:00:00Z".into();
    predicate["finishedOn"] = "2026-01-02T06:00:00Z".into();
    predicate
}

fn promoted() -> Value {
    let text = std::fs::read_to_string(crate::support::fixtures("../attestations/promotion/v1/example.json"))
        .unwrap();
    let mut predicate = serde_json::from_str::<Value>(&text).unwrap()["predicate"].take();
    predicate["promotedOn"] = "2026-01-02T06:00:00Z".into();
    predicate
}

/// What else is attached, and by which policy that is too little.
type Attach = fn(&Stand);
const BESIDE: &[(&str, &str, Attach)] = &[
    (
        "predicate-missing",
        "predicates = [\"https://slsa.dev/provenance/v1\", \"https://x.example/v1\"]",
        |_| {},
    ),
    ("rebuild-missing", "[rebuild]", |_| {}),
    ("rebuild-missing", "[rebuild]\nby = [\"https://a.example\"]", |stand| {
        stand.attach(By::Ours, REBUILD, &rebuilt("https://b.example", "reproduced"));
    }),
    ("rebuild-verdict", "[rebuild]", |stand| {
        stand.attach(By::Ours, REBUILD, &rebuilt("https://a.example", "unexplained"));
    }),
    ("stale", "[rebuild]\nmax-age = \"1h\"", |stand| {
        stand.attach(By::Ours, REBUILD, &rebuilt("https://a.example", "reproduced"));
    }),
    ("rebuild-quorum", "[rebuild]\nquorum = 2", |stand| {
        stand.attach(By::Ours, REBUILD, &rebuilt("https://a.example", "reproduced"));
        stand.attach(By::Ours, REBUILD, &rebuilt("https://b.example", "reproduced"));
    }),
    ("sbom-missing", "[sbom]", |stand| {
        stand.attach(By::Stranger, "https://spdx.dev/Document", &json!({"spdxVersion": "SPDX-2.3"}));
    }),
    ("sbom-malformed", "[sbom]", |stand| {
        stand.attach(By::Ours, "https://spdx.dev/Document", &json!({"packages": [{"name": "a"}]}));
    }),
    ("sbom-empty", "[sbom]\npackages-min = 2", |stand| {
        stand.attach(
            By::Ours,
            "https://cyclonedx.org/bom",
            &json!({"bomFormat": "CycloneDX", "components": [{"name": "a"}]}),
        );
    }),
    (
        "package-refused",
        "[inputs]\nrefuse = [{ package = \"event-stream\", because = \"stole\" }]",
        |stand| {
            stand.attach(By::Ours, "https://cyclonedx.org/bom", &json!({"bomFormat": "CycloneDX", "components": [{"name": "event-stream", "version": "3.3.6"}]}));
        },
    ),
    ("package-refused", "[inputs]\nrefuse = [{ package = \"inner\", because = \"old\" }]", |stand| {
        let inner = json!([{"name": "outer", "components": [{"name": "inner", "version": "1"}]}]);
        stand.attach(
            By::Ours,
            "https://cyclonedx.org/bom",
            &json!({"bomFormat": "CycloneDX", "components": inner}),
        );
    }),
    ("tests-missing", "[tests]", |_| {}),
    ("tests-failed", "[tests]", |stand| {
        let result = json!({"result": "FAILED", "configuration": [], "failedTests": ["starts"]});
        stand.attach(By::Ours, "https://in-toto.io/attestation/test-result/v0.1", &result);
    }),
    ("tests-warned", "[tests]\nstrict = true", |stand| {
        let result = json!({"result": "WARNED", "configuration": [], "warnedTests": ["size"]});
        stand.attach(By::Ours, "https://in-toto.io/attestation/test-result/v0.1", &result);
    }),
    ("test-absent", "[tests]\nrequired = [\"starts\"]", |stand| {
        let result = json!({"result": "PASSED", "configuration": [], "passedTests": ["stops"]});
        stand.attach(By::Ours, "https://in-toto.io/attestation/test-result/v0.1", &result);
    }),
    ("promotion-missing", "[promoted]\nto = [\"registry.example.org/shop/*\"]", |_| {}),
    ("promotion-missing", "[promoted]\nto = [\"registry.example.org/other/*\"]", |stand| {
        stand.attach(By::Ours, PROMOTION, &promoted());
    }),
    ("stale", "[promoted]\nto = [\"registry.example.org/shop/*\"]\nmax-age = \"1h\"", |stand| {
        stand.attach(By::Ours, PROMOTION, &promoted());
    }),
    ("source-unattested", "[source]", |_| {}),
    ("source-unattested", "[source]", |stand| {
        sources::attach(stand, By::Other, |it| {
            it["subject"][0]["digest"]["gitCommit"] = "7".repeat(40).into();
        });
    }),
    ("source-failed", "[source]", |stand| {
        sources::attach(stand, By::Other, |it| it["predicate"]["verificationResult"] = "FAILED".into());
    }),
    ("source-level-low", "[source]\nlevel = 4", |stand| {
        sources::attach(stand, By::Other, |_| {});
    }),
    ("source-ref-not-allowed", "[source]\nrefs = [\"refs/heads/main\"]", |stand| {
        sources::attach(stand, By::Other, |_| {});
    }),
    ("source-stale", "[source]\nmax-age = \"1h\"", |stand| {
        sources::attach(stand, By::Other, |_| {});
    }),
    ("closed", "closed = [\"sat\"]", |_| {}),
    ("closed", "closed = [\"2026-01-01..2026-01-06\"]", |_| {}),
];

#[test]
fn every_violation_beside_provenance_has_its_word() {
    for (code, policy, attach) in BESIDE {
        let stand = Stand::new();
        stand.honest();
        attach(&stand);
        let trust = if code.starts_with("source-") { sources::trust("") } else { String::new() };
        let ran = stand.by_policy(&format!("{HEAD}{trust}{policy}"), &[]).exits(1);
        let found = denials(&ran);
        let lacking = *code == "predicate-missing" || *code == "sbom-missing";
        let own: Vec<&String> = found.iter().filter(|one| !lacking || *one != "signer-untrusted").collect();
        assert_eq!(own, [code], "{policy}: {ran}");
    }
}

#[test]
fn what_the_policy_asks_for_passes_when_it_is_there() {
    let stand = Stand::new();
    stand.honest();
    let result =
        json!({"result": "PASSED", "configuration": [], "passedTests": ["starts"], "failedTests": []});
    stand.attach(By::Ours, "https://in-toto.io/attestation/test-result/v0.1", &result);
    stand.attach(
        By::Ours,
        "https://spdx.dev/Document",
        &json!({"spdxVersion": "SPDX-2.3", "packages": [{"name": "a", "versionInfo": "1"}]}),
    );
    stand.attach(By::Ours, PROMOTION, &promoted());
    stand.attach(By::Ours, REBUILD, &rebuilt("https://a.example", "reproduced"));
    stand.attach(By::Other, REBUILD, &rebuilt("https://b.example", "reproduced"));
    let other = format!("[[trust]]\nkey = \"{}\"\n", By::Other.public());
    let policy = format!(
        "{HEAD}{other}[rebuild]\nquorum = 2\nmax-age = \"1d\"\n[tests]\nrequired = [\"starts\"]\n[sbom]\n\
         [promoted]\nto = [\"registry.example.org/shop/*\"]\n"
    );
    stand.by_policy(&policy, &[]).exits(0);
    // One signer for two rebuilders is one voice.
    let one = Stand::new();
    one.honest();
    one.attach(By::Other, REBUILD, &rebuilt("https://a.example", "reproduced"));
    one.attach(By::Other, REBUILD, &rebuilt("https://b.example", "reproduced"));
    let ran = one.by_policy(&format!("{HEAD}{other}[rebuild]\nquorum = 2\n"), &[]).exits(1);
    assert_eq!(denials(&ran), ["rebuild-quorum"]);
}

#[test]
fn a_signer_says_only_what_it_may() {
    let stand = Stand::new();
    stand.attach(By::Other, REBUILD, &rebuilt("https://a.example", "reproduced"));
    stand.honest();
    let trust =
        |rest: &str| format!("{HEAD}[[trust]]\nkey = \"{}\"\n{rest}\n[rebuild]\n", By::Other.public());
    let check = |rest: &str, expected: &str| {
        let ran = stand.by_policy(&trust(rest), &[]).exits(1);
        assert!(super::stand::all_codes(&ran).contains(&expected.to_owned()), "{ran}");
    };
    check("predicates = [\"https://spdx.dev/*\"]", "predicate-not-allowed");
    check("rebuilders = [\"https://b.example\"]", "rebuilder-not-allowed");
    stand.by_policy(&trust("rebuilders = [\"https://a.example\"]"), &[]).exits(0);
}

#[test]
fn altered_evidence_is_told_from_lost_evidence() {
    let stand = Stand::new();
    stand.artifact("application/vnd.reprov.inputs.v1", b"inputs");
    let mut predicate = stand.predicate();
    predicate["runDetails"]["byproducts"].as_array_mut().unwrap().remove(1);
    predicate["runDetails"]["byproducts"][0]["digest"]["sha256"] =
        sha256(b"what was signed").strip_prefix("sha256:").unwrap().into();
    stand.attach(By::Ours, PROVENANCE, &predicate);
    stand.registry.put_blob_as(REPOSITORY, &sha256(b"what was signed"), b"what is there");
    let ran = stand.by_policy(&format!("{HEAD}log = true"), &[]).exits(1);
    assert_eq!(denials(&ran), ["log-altered"]);
    let ran = stand.by_policy(&format!("{HEAD}evidence = true"), &[]).exits(0);
    drop(ran); // A look whether it is there does not read it.
    let gone = Stand::new();
    gone.attach(By::Ours, PROVENANCE, &gone.predicate());
    let ran = gone.by_policy(&format!("{HEAD}evidence = true"), &[]).exits(1);
    assert_eq!(denials(&ran), ["inputs-gone"]);
}

#[test]
fn there_are_forty_words_or_more_and_each_is_explained() {
    let words: BTreeSet<&str> =
        OF_PROVENANCE.iter().map(|(code, ..)| *code).chain(BESIDE.iter().map(|(code, ..)| *code)).collect();
    assert!(words.len() >= 40, "{}", words.len());
    let explained: BTreeSet<&str> = reprov::verify::Code::ALL.iter().map(|code| code.name()).collect();
    assert!(words.is_subset(&explained), "{words:?}");
}
