//! Three images over some nights: one good, one that drifts, one whose evidence was deleted.

use std::fs;

use serde_json::Value;

use super::stand::{Night, bare, came, image, says, step};
use crate::support::Registry;

/// Time to verify in, and less than a rebuild of the good image can take.
const SHORT: &str = "5s";

/// The bundles and provenance beside an image are taken away: the list of what refers to it is empty.
fn lose_evidence(registry: &Registry, repository: &str) {
    let image = registry.tag(repository, "1").unwrap();
    super::stand::forget(registry, repository, &format!("_manifests/tags/{}", image.replace(':', "-")));
}

#[test]
#[expect(clippy::too_many_lines, reason = "the story of some nights, each on what the last one left")]
fn three_images_over_some_nights() {
    let (night, registry) = (Night::new(), Registry::shared());
    let lab = &night.lab;
    let [good, drifts, lost] = ["night-good", "night-drifts", "night-lost"].map(|name| registry.name(name));
    // It sleeps, so that no machine is fast enough to rebuild it within `SHORT`.
    let slow = "FROM base.example/tiny:1\nRUN sleep 6 && echo good > /good\n";
    let source = lab.source("good", &[("Dockerfile", slow)]);
    lab.build(registry, &source, &good, &[]).exits(0);
    lab.build(registry, &source, &lost, &[]).exits(0);
    lab.build(registry, &lab.fixture("drift"), &drifts, &[]).exits(0);
    lose_evidence(registry, "night-lost");
    let group = |policy: &str| {
        night.inventory(&format!(
            "[[group]]\nname = \"web\"\nimages = [\"{good}\", \"{drifts}\", \"{lost}\"]\n{policy}rebuild = \"replay\"\nevery = \"7d\"\n"
        ));
    };
    group("");

    let listed = night.audit(&["--list"]).exits(0).json();
    assert_eq!((&listed["listed"], &listed["overdue"]), (&true.into(), &6.into()));
    assert_eq!(step(&listed, &good, "verify")["due"], "never-judged");
    assert!(!fs::exists(&night.ledger).unwrap(), "a list writes nothing");

    // The first night: everything.
    let (metrics, kept, key) = (lab.path("reprov.prom"), lab.path("kept"), lab.path("signer.key"));
    let first = night.audit(&["--metrics", &metrics, "--keep", &kept, "--key", &key, "--jobs", "2"]).exits(1);
    let answer = first.json();
    assert_eq!(came(&answer, &good, "verify"), "done passed", "{first}");
    assert_eq!(came(&answer, &good, "replay"), "done reproduced", "{first}");
    assert_eq!(came(&answer, &drifts, "verify"), "done passed", "{first}");
    assert_eq!(came(&answer, &drifts, "replay"), "done explained", "{first}");
    assert_eq!(came(&answer, &lost, "verify"), "done failed", "{first}");
    assert_eq!(came(&answer, &lost, "replay"), "done unverifiable", "{first}");
    assert_eq!(step(&answer, &drifts, "replay")["codes"]["clock-in-text"], 1);
    let attested = step(&answer, &good, "replay")["attestation"].as_str().expect("it is signed").to_owned();
    assert!(registry.has_manifest("night-good", &attested));
    let report = step(&answer, &drifts, "replay")["report"].as_str().unwrap().to_owned();
    assert!(report.starts_with(&kept) && says(&report, "clock-in-text"), "{report}");
    assert_eq!(step(&answer, &good, "replay")["report"], Value::Null);
    assert!(says(&metrics, "reprov_audit_outcomes{group=\"web\",step=\"replay\",outcome=\"explained\"} 1\n"));
    assert!(says(&metrics, "# EOF\n"));
    let entries = night.entries();
    assert_eq!(entries.len(), 6);
    let replayed = entries.iter().find(|entry| entry["evidence"] == attested.as_str()).unwrap();
    assert_eq!((&replayed["kind"], &replayed["group"]), (&"rebuilt".into(), &"web".into()));
    assert_eq!((&replayed["tag"], &replayed["owner"]), (&"1".into(), &"team@example.org".into()));
    assert!(replayed["took_ms"].as_u64().unwrap() > 0 && replayed["conditions"].is_string(), "{replayed:#}");

    // The second: nothing is due; what was found holds, and so does the exit code.
    let second = night.audit(&[]).exits(1);
    let answer = second.json();
    for (name, what, outcome) in
        [(&good, "verify", "passed"), (&drifts, "replay", "explained"), (&lost, "verify", "failed")]
    {
        assert_eq!(came(&answer, name, what), format!("not-due {outcome}"), "{second}");
    }
    assert_eq!(night.entries().len(), 6, "nothing was done");
    let text = night.audit(&["--format", "text"]).exits(1);
    assert!(text.out.contains("not due until") && text.out.contains("1 image is well and not due"), "{text}");

    // Another policy: verified again, and said why; not rebuilt again.
    fs::write(lab.path("policy.toml"), "builders = [\"*\"]\n").unwrap();
    group("policy = \"policy.toml\"\n");
    let listed = night.audit(&["--list"]).exits(0).json();
    let due = step(&listed, &good, "verify");
    assert_eq!(due["due"], "conditions-changed", "{due:#}");
    assert!(due["why"].as_str().unwrap().starts_with("the policy changed since"), "{due:#}");
    assert_eq!(step(&listed, &good, "replay")["due"], "not-due");
    let third = night.audit(&["--key", &key, "--attach", "on-change"]).exits(1);
    let answer = third.json();
    assert_eq!(came(&answer, &good, "verify"), "done passed", "{third}");
    assert_eq!(came(&answer, &good, "replay"), "not-due reproduced", "{third}");
    let summary = step(&answer, &good, "verify")["attestation"].clone();
    assert!(summary.is_string(), "a summary was signed: {third}");
    assert_eq!(night.entries().len(), 9);

    // Forced, without a rebuild; on change only, nothing is attached anew.
    group("policy = \"policy.toml\"\n");
    let inventory = fs::read_to_string(lab.path("inventory.toml")).unwrap();
    fs::write(lab.path("inventory.toml"), inventory.replace("rebuild = \"replay\"", "rebuild = \"none\""))
        .unwrap();
    let fourth = night.audit(&["--force", "--key", &key, "--attach", "on-change"]).exits(1);
    let answer = fourth.json();
    assert_eq!(step(&answer, &good, "verify")["due"], "forced", "{fourth}");
    assert_eq!(step(&answer, &good, "verify")["attestation"], summary, "{fourth}");
    assert_eq!(night.entries().len(), 12);
    night.chain_holds();

    // What took longer than there is time is not begun; what takes less is.
    group("policy = \"policy.toml\"\n");
    let short = night.audit(&["--force", "--for", SHORT]).exits(1);
    let answer = short.json();
    assert_eq!(answer["ended"], "out-of-time", "{short}");
    assert_eq!(came(&answer, &good, "verify"), "done passed", "{short}");
    assert_eq!(came(&answer, &good, "replay"), "no-time reproduced", "{short}");

    // A tag that moves is another image.
    let other = bare(registry, "night-good", "1", "another");
    let inventory = fs::read_to_string(lab.path("inventory.toml")).unwrap();
    fs::write(lab.path("inventory.toml"), inventory.replace("rebuild = \"replay\"", "rebuild = \"none\""))
        .unwrap();
    let fifth = night.audit(&[]).exits(1);
    let answer = fifth.json();
    assert!(image(&answer, &good)["image"].as_str().unwrap().ends_with(&other), "{fifth}");
    assert_eq!(came(&answer, &good, "verify"), "done failed", "{fifth}");
}
