//! Registries that refuse, lose and lie.

use super::stand::{HEAD, Staged, denials, only, promote};
use crate::support::{ApiRegistry, Fault, Faulty, Lab, Settings, sha256};

#[test]
fn a_target_that_takes_nothing_keeps_its_tag() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let target = ApiRegistry::start();
    Staged::new(&api, "staging/app", "a layer").built(1, 2);
    let old = Staged::new(&target, "prod/app", "old").digest();
    target.set(Settings::default().read_only());
    let ran = promote(&lab, &api.name("staging/app"), &target.name("prod/app"), HEAD, &[]).exits(3);
    let ran = ran.says("403 DENIED");
    assert_eq!(only(&ran)["outcome"], "unknown");
    assert_eq!(target.tag("prod/app", "1"), Some(old.clone()));
    // Half way, with the image there and nothing said of it.
    target.set(Settings::default().manifests_max(3));
    promote(&lab, &api.name("staging/app"), &target.name("prod/app"), HEAD, &[]).exits(3);
    assert_eq!(target.tag("prod/app", "1"), Some(old));
    target.set(Settings::default());
    promote(&lab, &api.name("staging/app"), &target.name("prod/app"), HEAD, &[]).exits(0);
}

#[test]
fn a_source_that_loses_half_of_it_moves_nothing() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let target = ApiRegistry::start();
    let staged = Staged::new(&api, "staging/app", "a layer");
    let referrer = staged.built(1, 2);
    let from = |part: String, after: usize| {
        Faulty::before(&api, move |line, count| {
            if line.contains(&part) && count >= after {
                Fault::Answer("404 Not Found", String::new(), String::new())
            } else {
                Fault::None
            }
        })
    };
    // Its layer is gone; the image is gone once it was judged; its evidence is.
    for (part, after, words) in [
        (format!("/blobs/{}", sha256(b"a layer")), 0, "is not there"),
        (format!("/manifests/{}", staged.digest()), 1, "is not there"),
        (format!("/manifests/{referrer}"), 1, "on which the image was let through"),
    ] {
        let faulty = from(part.clone(), after);
        let ran = promote(&lab, &faulty.name("staging/app"), &target.name("prod/app"), HEAD, &[]).exits(3);
        ran.says(words);
        assert_eq!(target.tag("prod/app", "1"), None, "{part}");
    }
    promote(&lab, &api.name("staging/gone"), &target.name("prod/app"), HEAD, &[])
        .exits(3)
        .says("is not there");
}

/// A target that takes everything and then does not have it: the tag is not written.
#[test]
fn a_target_that_forgets_the_evidence_gets_no_tag() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    Staged::new(&api, "staging/app", "a layer").built(1, 2);
    let empty = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let faulty = Faulty::before(&api, move |line, _| {
        if line.contains("/prod/app/referrers/") {
            let headers = "Content-Type: application/vnd.oci.image.index.v1+json\r\n".to_owned();
            Fault::Answer("200 OK", headers, empty.to_owned())
        } else {
            Fault::None
        }
    });
    let ran = promote(&lab, &faulty.name("staging/app"), &faulty.name("prod/app"), HEAD, &[]).exits(3);
    ran.says("the tag was left where it is");
    assert_eq!(api.tag("prod/app", "1"), None);
}

/// Whether evidence is good that could not be read, nobody can tell: no yes, and no no.
#[test]
fn evidence_that_cannot_be_read_is_no_refusal() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let referrer = Staged::new(&api, "staging/app", "a layer").built(1, 2);
    let faulty = Faulty::before(&api, move |line, _| {
        if line.contains(&referrer) {
            Fault::Answer("503 Service Unavailable", String::new(), String::new())
        } else {
            Fault::None
        }
    });
    let ran = promote(&lab, &faulty.name("staging/app"), &api.name("prod/app"), HEAD, &[]).exits(3);
    assert_eq!(only(&ran)["outcome"], "unknown");
    assert_eq!(api.tag("prod/app", "1"), None);
}

/// What stands at the target may be newer as long as nobody can look.
#[test]
fn a_target_that_cannot_be_looked_at_is_replaced_only_if_that_is_said() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    Staged::new(&api, "staging/app", "older").built(1000, 5);
    let there = Staged::new(&api, "prod/app", "newer");
    let referrer = there.built(2000, 5);
    for part in [there.digest(), referrer] {
        api.set_tag("prod/app", "1", &there.digest());
        let unread = format!("/prod/app/manifests/{part}");
        let faulty = Faulty::before(&api, move |line, _| {
            if line.contains(&unread) {
                Fault::Answer("503 Service Unavailable", String::new(), String::new())
            } else {
                Fault::None
            }
        });
        let (from, to) = (api.name("staging/app"), faulty.name("prod/app"));
        let ran = promote(&lab, &from, &to, HEAD, &[]).exits(3);
        assert_eq!(
            (denials(&ran), &only(&ran)["outcome"]),
            (vec!["promotion-age-unknown".to_owned()], &"unknown".into())
        );
        assert_eq!(api.tag("prod/app", "1"), Some(there.digest()), "{part}");
        let ran = promote(&lab, &from, &to, HEAD, &["--allow-downgrade"]).exits(0);
        assert_eq!(only(&ran)["overridden"][0], "promotion-age-unknown", "{ran}");
    }
}
