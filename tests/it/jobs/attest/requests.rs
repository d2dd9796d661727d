//! What attaching costs, and what a registry that refuses half way leaves.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::support::{Fault, Faulty};

#[test]
fn few_requests_cold() {
    let lab = Lab::new();
    for (shelf, most) in both().iter().zip([12, 8]) {
        let shelf = shelf.as_ref();
        tagged(shelf, "app", &json!({}));
        let predicate = file(&lab, "predicate.json", "{\"a\":1}");
        let before = shelf.requests("app").len();
        attest(&lab, &shelf.name("app"), &["--statement", &predicate, "--type", "custom"]).exits(0);
        let asked = shelf.requests("app").split_off(before);
        assert!(asked.len() <= most, "{} instead of {most}: {asked:#?}", asked.len());
        let writes = asked.iter().filter(|request| !request.starts_with("GET")).count();
        let before = shelf.requests("app").len();
        attest(&lab, &shelf.name("app"), &["--statement", &predicate, "--type", "custom"]).exits(0);
        let again = shelf.requests("app").split_off(before);
        assert!(writes > 0 && again.iter().all(|request| request.starts_with("GET")), "{again:#?}");
    }
}

#[test]
fn a_registry_that_refuses_half_way_leaves_nothing_listed_and_the_next_run_completes_it() {
    let parts = ["POST|/blobs/uploads/", "PUT|/manifests/sha256:", "PUT|/manifests/sha256-"];
    for (number, part) in parts.into_iter().enumerate() {
        let (lab, registry) = (Lab::new(), Registry::start(&[]));
        let digest = tagged(&registry, "app", &json!({}));
        let broken = Arc::new(AtomicBool::new(true));
        let (still, (method, path)) = (Arc::clone(&broken), part.split_once('|').unwrap());
        let proxy = Faulty::before(&registry, move |line, _| {
            if still.load(Ordering::SeqCst) && line.starts_with(method) && line.contains(path) {
                let body = r#"{"errors":[{"code":"DENIED","message":"full"}]}"#;
                return Fault::Answer("507 Insufficient Storage", String::new(), body.to_owned());
            }
            Fault::None
        });
        let log = file(&lab, "build.log", "made\n");
        let args = ["--log", log.as_str(), "--commit", &format!("http://127.0.0.1:1/x@{COMMIT}")];
        let failed = attest(&lab, &proxy.name("app"), &args).exits(3).json();
        assert!(failed["error"].as_str().unwrap().contains("cannot attach"), "{failed:#}");
        assert_eq!(Shelf::referrers(&registry, "app", &digest), Vec::<String>::new(), "{part}");
        broken.store(false, Ordering::SeqCst);
        let answer = attest(&lab, &proxy.name("app"), &args).exits(0).json();
        let listed = Shelf::referrers(&registry, "app", &digest);
        assert_eq!(listed.len(), 2, "{number}: {listed:?}");
        for referrer in &listed {
            let manifest = Shelf::manifest(&registry, "app", referrer).unwrap();
            let layers = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
            for blob in layers {
                assert!(registry.has_blob("app", blob["digest"].as_str().unwrap()), "{blob}");
            }
        }
        assert!(listed.iter().any(|referrer| answer["subjects"][0]["attestation"] == referrer.as_str()));
        assert!(listed.iter().any(|referrer| answer["subjects"][0]["evidence"] == referrer.as_str()));
    }
}

#[test]
fn the_first_bundle_beside_cosign_2s_attachment_warns_and_legacy_adds_to_it() {
    for shelf in both() {
        let (lab, shelf) = (Lab::new(), shelf.as_ref());
        let digest = tagged(shelf, "app", &json!({}));
        let att = digest.replace(':', "-") + ".att";
        let predicate = file(&lab, "predicate.json", "{\"a\":1}");
        let args = ["--statement", predicate.as_str(), "--type", "custom"];
        let made = attest(&lab, &shelf.name("app"), &[&args[..], &["--legacy"]].concat()).exits(0).json();
        assert_eq!(made["subjects"][0]["legacy"], shelf.tag("app", &att).unwrap().as_str());
        let attached = shelf.manifest("app", &shelf.tag("app", &att).unwrap()).unwrap();
        assert_eq!(attached["layers"][0]["mediaType"], "application/vnd.dsse.envelope.v1+json");
        attest(&lab, &shelf.name("app"), &[&args[..], &["--legacy"]].concat()).exits(0);
        let attached = shelf.manifest("app", &shelf.tag("app", &att).unwrap()).unwrap();
        assert_eq!(attached["layers"].as_array().unwrap().len(), 1, "the same is added once");

        // Another image that has only the attachment.
        let other = tagged(shelf, "app", &json!({"other": "1"}));
        shelf.set_tag("app", &(other.replace(':', "-") + ".att"), &shelf.tag("app", &att).unwrap());
        let ran = attest(&lab, &shelf.name("app"), &args).exits(0);
        ran.says("cosign 3 no longer reads");
        let ran = attest(&lab, &shelf.name("app"), &args).exits(0);
        assert!(!ran.err.contains("no longer reads"), "a bundle is there now: {ran}");
    }
}
