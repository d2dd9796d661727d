//! What lets an image through, and what does not.

use serde_json::{Value, json};

use super::stand::{HEAD, INDEX, Staged, denials, only, promote, statement};
use crate::{
    jobs::copy::{Shelf, manifest},
    support::{ApiRegistry, Lab, Registry, sha256},
    verify::stand::{By, PROMOTION},
};

const FULL: &str = "name = \"release\"\n\
    sources = [\"git+https://git.example.org/shop/*\"]\n\
    [rebuild]\nquorum = 2\n\
    [tests]\n\
    [sbom]\n\
    [promote]\nfrom = [\"*/staging/*\", \"*/promote-staging\"]\nto = [\"*/prod/*\", \"*/promote-prod:1\"]\n";

fn full() -> String {
    format!("{HEAD}{FULL}[[trust]]\nkey = \"{}\"\n", By::Other.public())
}

/// Everything that [`FULL`] asks for.
fn whole(staged: &Staged<'_>) -> Vec<String> {
    let sbom = json!({"spdxVersion": "SPDX-2.3", "packages": [{"name": "a", "versionInfo": "1"}]});
    let mut evidence = vec![
        staged.built(1000, 2),
        staged.tested("PASSED"),
        staged.attach(By::Ours, "https://spdx.dev/Document", &sbom),
        staged.rebuilt(By::Ours, "https://a.example", "reproduced"),
        staged.rebuilt(By::Other, "https://b.example", "reproduced"),
    ];
    evidence.sort();
    evidence
}

/// On a registry with the API, and on one with fallback tags.
#[test]
fn what_has_all_its_evidence_is_promoted_with_it() {
    let api = ApiRegistry::start();
    for (shelf, from, to) in [
        (&api as &dyn Shelf, "staging/app", "prod/app"),
        (Registry::shared(), "promote-staging", "promote-prod"),
    ] {
        let lab = Lab::new();
        let staged = Staged::new(shelf, from, "a layer");
        let evidence = whole(&staged);
        let ran =
            promote(&lab, &shelf.name(from), &shelf.name(to), &full(), &["--promoter", "https://r.example"]);
        let ran = ran.exits(0);
        let promotion = only(&ran);
        assert_eq!((&promotion["outcome"], &promotion["before"]), (&"promoted".into(), &Value::Null));
        assert_eq!(shelf.tag(to, "1"), Some(staged.digest()));
        // Within one registry, nothing of the image is sent.
        assert_eq!(promotion["blobs"]["sent"], 0, "{promotion:#}");
        assert_eq!(promotion["blobs"]["mounted"], promotion["blobs"]["count"]);
        assert_eq!(promotion["not_asked"], json!([]));

        let referrer = promotion["attestation"].as_str().unwrap();
        assert!(shelf.referrers(to, &staged.digest()).contains(&referrer.to_owned()));
        let said = statement(shelf, to, referrer);
        assert_eq!(said["predicateType"], PROMOTION);
        assert_eq!(said["subject"].as_array().unwrap().len(), 1);
        let predicate = &said["predicate"];
        assert_eq!(predicate["images"][0]["evidence"], json!(evidence));
        assert_eq!(predicate["from"], shelf.name(from));
        assert_eq!(format!("{}:1", predicate["to"].as_str().unwrap()), shelf.name(to));
        assert_eq!((&predicate["tag"], &predicate["action"]), (&"1".into(), &"promote".into()));
        assert_eq!(predicate["policy"]["digest"], sha256(full().as_bytes()));
        assert_eq!(predicate["decision"], promotion["decision"]);
        assert_eq!(predicate["promoter"]["id"], "https://r.example");
        assert!(predicate.get("before").is_none());

        required_by_verify(&lab, &shelf.name(to), &shelf.name(from));
    }
}

/// `verify` can ask for the promotion, and one to elsewhere does not count.
fn required_by_verify(lab: &Lab, there: &str, elsewhere: &str) {
    let path = lab.path("verify.toml");
    let store = lab.path("store");
    let verify = |image: &str, text: &str| {
        std::fs::write(&path, format!("{HEAD}{text}")).unwrap();
        let (ours, signer) = (By::Ours.public(), lab.path("signer.pub"));
        let args = ["verify", image, "--trust", &ours, "--trust", &signer, "--policy", &path];
        lab.reprov(&[&args[..], &["--store", &store, "--format", "json"]].concat())
    };
    let repository = there.rsplit_once(':').unwrap().0;
    let promoted =
        format!("predicates = [\"{PROMOTION}\"]\nmax-age = \"1h\"\n[promoted]\nto = [\"{repository}\"]\n");
    verify(there, &promoted).exits(0);
    verify(elsewhere, &promoted).exits(1);
    let ran = verify(there, "[promoted]\nto = [\"registry.example.org/*\"]\n").exits(1);
    assert_eq!(ran.json()["images"][0]["findings"][0]["code"], "promotion-missing");
}

type Attach = fn(&Staged<'_>);
/// What of the evidence is there, the policy, and the only words that come of it.
const REFUSED: &[(&[&str], &str, Attach)] = &[
    (&["no-attestation"], "", |_| {}),
    (
        &["predicate-missing"],
        "predicates = [\"https://slsa.dev/provenance/v1\", \"https://x.example/v1\"]",
        |it| {
            it.built(1, 2);
        },
    ),
    (&["signature-invalid", "predicate-missing"], "", |it| {
        it.attach(By::Stranger, "https://slsa.dev/provenance/v1", &json!({"buildDefinition": {}}));
    }),
    (&["source-not-allowed"], "sources = [\"git+https://git.example.org/other/*\"]", |it| {
        drop(it.built(1, 2));
    }),
    (&["stale"], "max-age = \"30d\"", |it| drop(it.built(1, 2))),
    (&["rebuild-missing"], "[rebuild]", |it| drop(it.built(1, 2))),
    (&["rebuild-verdict"], "[rebuild]", |it| {
        it.built(1, 2);
        it.rebuilt(By::Ours, "https://a.example", "unexplained");
    }),
    (&["stale"], "[rebuild]\nmax-age = \"7d\"", |it| {
        it.built(1, 2);
        it.rebuilt(By::Ours, "https://a.example", "reproduced");
    }),
    (&["rebuild-quorum"], "[rebuild]\nquorum = 2", |it| {
        it.built(1, 2);
        it.rebuilt(By::Ours, "https://a.example", "reproduced");
    }),
    (&["tests-missing"], "[tests]", |it| drop(it.built(1, 2))),
    (&["tests-failed"], "[tests]", |it| {
        it.built(1, 2);
        it.tested("FAILED");
    }),
    (&["sbom-missing"], "[sbom]", |it| drop(it.built(1, 2))),
    (&["closed"], "closed = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]", |it| {
        drop(it.built(1, 2));
    }),
    (&["promotion-source"], "[promote]\nfrom = [\"registry.example.org/*\"]", |it| drop(it.built(1, 2))),
    (&["promotion-target"], "[promote]\nto = [\"registry.example.org/*\"]", |it| drop(it.built(1, 2))),
];

#[test]
fn each_missing_piece_refuses_with_its_own_word_and_writes_nothing() {
    for (codes, policy, attach) in REFUSED {
        let (lab, api) = (Lab::new(), ApiRegistry::start());
        let staged = Staged::new(&api, "staging/app", "a layer");
        attach(&staged);
        let policy = format!("{HEAD}{policy}\n");
        let ran = promote(&lab, &api.name("staging/app"), &api.name("prod/app"), &policy, &[]).exits(1);
        let mut found = denials(&ran);
        found.sort();
        let mut expected: Vec<&str> = codes.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{policy}: {ran}");
        assert_eq!(only(&ran)["outcome"], "refused");
        assert_eq!(api.tag("prod/app", "1"), None);
        let written: Vec<String> =
            api.requests("prod/app").into_iter().filter(|line| !line.starts_with("GET ")).collect();
        assert_eq!(written, Vec::<String>::new(), "{policy}");
        for code in *codes {
            lab.reprov(&["explain", code]).exits(0);
        }
    }
}

#[test]
fn a_waiver_that_was_used_is_recorded() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    Staged::new(&api, "staging/app", "a layer").built(1, 2);
    let policy = format!(
        "{HEAD}[sbom]\n[[waiver]]\ncode = \"sbom-missing\"\nowner = \"ops@example.org\"\nreason = \"soon\"\nuntil = \"2099-06-30\"\n"
    );
    let ran = promote(&lab, &api.name("staging/app"), &api.name("prod/app"), &policy, &[]).exits(0);
    let promotion = only(&ran);
    assert_eq!(promotion["waived"][0]["code"], "sbom-missing");
    assert_eq!(promotion["not_asked"], json!(["rebuild", "tests", "sources", "promote.from", "promote.to"]));
    let said = statement(&api, "prod/app", promotion["attestation"].as_str().unwrap());
    let waived = &said["predicate"]["waived"][0];
    assert_eq!((&waived["owner"], &waived["until"]), (&"ops@example.org".into(), &"2099-06-30".into()));
    promote(&lab, &api.name("staging/app"), &api.name("prod/other"), &policy, &["--format", "text"])
        .exits(0)
        .says("waived      sbom-missing by ops@example.org until 2099-06-30")
        .says("not asked   rebuild, tests, sources");
}

/// An index of two images, of which the second has a rebuilder's word or not.
fn index(api: &ApiRegistry, good: bool) -> (String, Vec<Staged<'_>>) {
    let images: Vec<Staged<'_>> = ["amd64", "arm64"]
        .map(|architecture| {
            let mut image = manifest(api, "staging/app", &[architecture.as_bytes()]);
            image["platform"] = json!({"os": "linux", "architecture": architecture});
            let staged = Staged::of(api, "staging/app", image);
            staged.built(1, 2);
            staged
        })
        .into();
    images[0].rebuilt(By::Ours, "https://a.example", "reproduced");
    images[1].rebuilt(By::Ours, "https://a.example", if good { "reproduced" } else { "unexplained" });
    let entries: Vec<&Value> = images.iter().map(|one| &one.image).collect();
    let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let digest = api.put_manifest("staging/app", &text);
    api.set_tag("staging/app", "1", &digest);
    (digest, images)
}

#[test]
fn all_platforms_or_nothing() {
    let policy = format!("{HEAD}[rebuild]\n");
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    index(&api, false);
    let ran = promote(&lab, &api.name("staging/app"), &api.name("prod/app"), &policy, &[]).exits(1);
    assert_eq!(denials(&ran), ["promotion-platform", "rebuild-verdict"]);
    assert!(only(&ran)["findings"][0]["message"].as_str().unwrap().contains("linux/arm64"));
    assert_eq!(api.tag("prod/app", "1"), None);

    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let (digest, images) = index(&api, true);
    let ran = promote(&lab, &api.name("staging/app"), &api.name("prod/app"), &policy, &[]).exits(0);
    let promotion = only(&ran);
    assert_eq!(api.tag("prod/app", "1"), Some(digest.clone()));
    assert_eq!(promotion["images"][1]["platform"], "linux/arm64");
    // Whoever pulls one platform by its digest finds the promotion too.
    for subject in images.iter().map(Staged::digest).chain([digest]) {
        let kinds: Vec<Value> = api
            .referrers("prod/app", &subject)
            .into_iter()
            .map(|(_, referrer)| statement(&api, "prod/app", &referrer)["predicateType"].clone())
            .collect();
        assert!(kinds.contains(&PROMOTION.into()), "{subject}: {kinds:?}");
    }
    // It is one promotion, though it stands beside three manifests.
    let (ledger, store) = (lab.path("again.sqlite"), lab.path("store"));
    let (ours, signer, to) = (By::Ours.public(), lab.path("signer.pub"), api.name("prod/app"));
    let args = ["ledger", "rebuild", &to, "--ledger", &ledger, "--trust", &ours, "--trust", &signer];
    lab.reprov(&[&args[..], &["--store", &store]].concat()).exits(0);
    let history = lab.reprov(&["history", &to, "--ledger", &ledger, "--format", "json"]).exits(0).json();
    let entries = history["entries"].as_array().unwrap().iter();
    assert_eq!(entries.filter(|entry| entry["kind"] == "promoted").count(), 1, "{history:#}");
    // A policy may want the index itself attested.
    let strict = format!("{policy}[promote]\nindex = true\n");
    let ran = promote(&lab, &api.name("staging/app"), &api.name("prod/other"), &strict, &[]).exits(1);
    assert_eq!(denials(&ran), ["promotion-index"]);
}

/// The index's word that an entry is no image does not hide one from judgement.
#[test]
fn what_an_index_calls_an_attestation_is_looked_at() {
    let policy = format!("{HEAD}[rebuild]\n");
    for (layer, code) in [("application/vnd.in-toto+json", 0), ("application/vnd.oci.image.layer.v1.tar", 1)]
    {
        let (lab, api) = (Lab::new(), ApiRegistry::start());
        let (digest, _) = index(&api, true);
        let mut text = Shelf::manifest(&api, "staging/app", &digest).unwrap();
        let mut hidden = manifest(&api, "staging/app", &[b"hidden"]);
        let mut own = Shelf::manifest(&api, "staging/app", hidden["digest"].as_str().unwrap()).unwrap();
        own["layers"][0]["mediaType"] = layer.into();
        hidden["digest"] = api.put_manifest("staging/app", &own).into();
        hidden["size"] = own.to_string().len().into();
        hidden["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        hidden["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        text["manifests"].as_array_mut().unwrap().push(hidden);
        api.set_tag("staging/app", "1", &api.put_manifest("staging/app", &text));
        let ran = promote(&lab, &api.name("staging/app"), &api.name("prod/app"), &policy, &[]);
        assert_eq!(ran.code, Some(code), "{layer}: {ran}");
    }
}

#[test]
fn a_dry_run_writes_nothing_and_its_decision_can_be_held_to() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    Staged::new(&api, "staging/app", "a layer").built(1, 2);
    let (from, to) = (api.name("staging/app"), api.name("prod/app"));
    let dry = promote(&lab, &from, &to, HEAD, &["--dry-run"]).exits(0);
    assert_eq!(only(&dry)["outcome"], "allowed");
    assert!(api.requests("prod/app").iter().all(|line| line.starts_with("GET ")));
    let file = lab.path("decision.json");
    std::fs::write(&file, &dry.out).unwrap();
    let decision = only(&dry)["decision"].as_str().unwrap().to_owned();

    // The policy changed since, though it says the same.
    let changed = format!("{HEAD}# looked at again\n");
    let ran = promote(&lab, &from, &to, &changed, &["--expect", &decision]).exits(1);
    assert_eq!(denials(&ran), ["promotion-decision-changed"]);
    promote(&lab, &from, &to, &changed, &["--expect", &file]).exits(1).says(": the policy changed");
    assert_eq!(api.tag("prod/app", "1"), None);
    promote(&lab, &from, &to, HEAD, &["--expect", &file]).exits(0);
    // What is there now is not what was decided on.
    let ran = promote(&lab, &from, &to, HEAD, &["--expect", &decision]).exits(1);
    assert_eq!(denials(&ran), ["promotion-decision-changed"]);

    promote(&lab, &from, &to, HEAD, &["--expect", "x"]).exits(2).says("--expect x");
    promote(&lab, &from, &to, HEAD, &["--no-key"]).exits(2).says("give --key");
    promote(&lab, &from, &to, HEAD, &["--as-of", "2026-01-01T00:00:00Z"]).exits(2);
    promote(&lab, &from, &format!("{to}@{decision}"), HEAD, &[]).exits(2).says("has a digest");
    promote(&lab, &from, &to, "builder = []", &[]).exits(2).says("did you mean `builders`?");
}

#[test]
fn an_inventory_is_promoted_image_by_image() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let [web, job] = ["staging/web", "staging/job"].map(|name| Staged::new(&api, name, name));
    web.built(1, 2);
    api.set_tag("staging/web", "2", &web.digest());
    api.set_tag("staging/web", "sha256-1", &web.digest());
    let inventory = lab.path("inventory.toml");
    let host = api.name("x").replace("/x:1", "");
    std::fs::write(lab.path("list.txt"), format!("# more\n{host}/staging/job:1\n")).unwrap();
    let text = format!(
        "[defaults]\ntrust = [\"signer.pub\"]\n[[group]]\nname = \"web\"\nrepository = \"{host}/staging/web\"\ntags = [\"?\"]\nowner = \"shop\"\n\
         [[group]]\nname = \"jobs\"\nfile = \"list.txt\"\n"
    );
    std::fs::write(&inventory, text).unwrap();
    let template = format!("{host}/prod/{{name}}:{{tag}}");
    let many = |template: &str, more: &[&str]| {
        let args = [&["--from-inventory", inventory.as_str()][..], more].concat();
        super::stand::many(&lab, template, HEAD, &args)
    };
    let ledger = lab.path("ledger.sqlite");
    let ran = many(&template, &["--ledger", &ledger]).exits(1);
    let outcomes: Vec<Value> =
        ran.json()["promotions"].as_array().unwrap().iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(outcomes, ["promoted", "promoted", "refused"]);
    assert_eq!(
        (api.tag("prod/web", "1"), api.tag("prod/web", "2")),
        (Some(web.digest()), Some(web.digest()))
    );
    assert_eq!(api.tag("prod/job", "1"), None);
    let to = format!("{host}/prod/web:1");
    let history = lab.reprov(&["history", &to, "--ledger", &ledger, "--format", "json"]).exits(0).json();
    assert_eq!(
        (&history["entries"][0]["group"], &history["entries"][0]["owner"]),
        (&"web".into(), &"shop".into())
    );

    job.built(1, 2);
    let ran = many(&template, &["--group", "jobs"]).exits(0);
    assert_eq!(ran.json()["promotions"].as_array().unwrap().len(), 1);
    many(&template, &["--group", "web"]).exits(0).says("unchanged");
    many(&format!("{host}/prod/{{name}}"), &[]).exits(2).says("would both go to");
    many(&format!("{host}/prod"), &[]).exits(2).says("{name}");
    many(&template, &["--group", "none"]).exits(2).says("no group `none`");
    // Tags that cannot be listed, as `audit` and `ledger rebuild` say it: nobody can tell which images are meant.
    let nowhere = "[defaults]\ntrust = [\"signer.pub\"]\n[[group]]\nname = \"web\"\nrepository = \"127.0.0.1:1/nowhere\"\ntags = [\"?\"]\n";
    std::fs::write(&inventory, nowhere).unwrap();
    many(&template, &[]).exits(3).says("nobody can tell which images there are");
}
