//! A statement that somebody else wrote: signed byte for byte, attached to what it names and to nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::support::{Fault, Faulty};

fn statement(subject: &str, more: &str) -> String {
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v0.1","subject":[{{"name":"theirs","digest":{{"sha256":"{}"}}}}],
"predicateType":"https://example.org/scan/v1","predicate":{{"score":1.10,"big":12345678901234567890123{more}}}}}"#,
        hex(subject)
    )
}

/// Bytes by digest.
type Blobs<'a> = &'a dyn Fn(&str) -> Vec<u8>;

#[test]
fn a_statement_is_attached_as_it_is_and_once() {
    let lab = Lab::new();
    let (registry, api) = (Registry::start(&[]), ApiRegistry::start());
    let shelves: [(&dyn Shelf, Blobs<'_>); 2] =
        [(&registry, &|digest| registry.blob(digest)), (&api, &|digest| api.blob(digest).unwrap())];
    for (shelf, read) in shelves {
        let digest = tagged(shelf, "app", &json!({}));
        let text = statement(&digest, "");
        let path = file(&lab, "statement.json", &format!("{text}\n"));
        let answer = attest(&lab, &shelf.name("app"), &["--statement", &path]).exits(0).json();
        let subject = &answer["subjects"][0];
        assert_eq!((&subject["digest"], &subject["existing"]), (&digest.as_str().into(), &false.into()));
        assert_eq!(subject["statement"]["digest"], sha256(text.as_bytes()));
        assert_eq!(answer["predicate_type"], "https://example.org/scan/v1");
        assert_eq!(payloads(shelf, read, "app", &digest), [text.as_bytes()]);
        let again = attest(&lab, &shelf.name("app"), &["--statement", &path]).exits(0).json();
        assert_eq!(again["subjects"][0]["existing"], true, "{again:#}");
        assert_eq!(again["subjects"][0]["attestation"], subject["attestation"]);
        let other = file(&lab, "other.json", &statement(&digest, r#","x":1"#));
        attest(&lab, &shelf.name("app"), &["--statement", &other]).exits(0);
        assert_eq!(payloads(shelf, read, "app", &digest).len(), 2);

        let predicate = file(&lab, "predicate.json", "{\"b\": 1.10, \"a\": 2}");
        let args = ["--statement", &predicate, "--type", "https://example.org/p/v1"];
        attest(&lab, &shelf.name("app"), &args).exits(0);
        let last = payloads(shelf, read, "app", &digest).pop().unwrap();
        assert!(String::from_utf8_lossy(&last).contains(r#""predicate":{"b": 1.10, "a": 2}"#));
        let read: Value = serde_json::from_slice(&last).unwrap();
        assert_eq!(read["subject"][0]["digest"]["sha256"], hex(&digest));
    }
}

#[test]
fn a_foreign_subject_is_refused_unless_the_statement_is_to_choose() {
    for shelf in both() {
        let (lab, shelf) = (Lab::new(), shelf.as_ref());
        let old = tagged(shelf, "app", &json!({"build": "old"}));
        let new = tagged(shelf, "app", &json!({"build": "new"}));
        let path = file(&lab, "statement.json", &statement(&old, ""));
        let ran = attest(&lab, &shelf.name("app"), &["--statement", &path]).exits(1);
        ran.says("is about another image").json();
        assert!(shelf.referrers("app", &new).is_empty() && shelf.referrers("app", &old).is_empty());
        let args = ["--statement", &path, "--subject-from-statement"];
        let answer = attest(&lab, &shelf.name("app"), &args).exits(0).json();
        assert_eq!(answer["subjects"][0]["digest"], old.as_str());
        assert_eq!((shelf.referrers("app", &old).len(), shelf.referrers("app", &new).len()), (1, 0));
        let nowhere = file(&lab, "nowhere.json", &statement(&sha256(b"nowhere"), ""));
        let args = ["--statement", &nowhere, "--subject-from-statement"];
        attest(&lab, &shelf.name("app"), &args).exits(1).says("not about anything in");
        // A commit is no image: what is said of it is attached by others (docs/verification.md, "Sources").
        let commit = statement(&sha256(b""), "").replace("sha256", "gitCommit");
        let commit = file(&lab, "commit.json", &commit);
        for more in [&[][..], &["--subject-from-statement"]] {
            let args = [&["--statement", &commit][..], more].concat();
            attest(&lab, &shelf.name("app"), &args).exits(1).says("it names no image");
        }
    }
}

#[test]
fn what_is_no_statement_is_refused_before_anything_is_asked() {
    let lab = Lab::new();
    let digest = sha256(b"image");
    let check = |name: &str, text: &str, more: &[&str], expected: &str| {
        let path = file(&lab, name, text);
        // Nobody listens there: a file is judged first.
        attest(&lab, "127.0.0.1:1/app:1", &[&["--statement", &path], more].concat()).exits(2).says(expected);
    };
    check("empty", "", &[], "cannot be read");
    check("no-type", "{\"a\":1}", &[], "a bare predicate needs --type");
    check("twice", &statement(&digest, r#","score":2"#), &[], "stands twice");
    check("deep", &"[".repeat(100_000), &[], "recursion limit");
    check("deep-predicate", &"{\"a\":".repeat(100_000), &["--type", "custom"], "recursion limit");
    check("envelope", "{\"payloadType\":\"x\",\"payload\":\"\"}", &[], "signed already");
    check("whole", &statement(&digest, ""), &["--type", "spdx"], "leave --type out");
    check("kind", "{\"a\":1}", &["--type", "no kind"], "neither a URI nor one of");
    check(
        "upper",
        &statement(&digest, "").replace(hex(&digest), &hex(&digest).to_uppercase()),
        &[],
        "lower-case hex",
    );
    check(
        "null",
        &statement(&digest, "").replace("{\"score\":1.10,\"big\":12345678901234567890123}", "null"),
        &[],
        "`predicate` object",
    );
    attest(&lab, "127.0.0.1:1/app:1", &["--statement", &lab.path("gone")]).exits(2).says("No such file");
    attest(&lab, "127.0.0.1:1/app:1", &[]).exits(2).says("nothing to attest");
    let path = file(&lab, "good", &statement(&digest, ""));
    attest(&lab, "127.0.0.1:1/app:1", &["--statement", &path, "--commit", "x@y"]).exits(2);
    attest(&lab, "127.0.0.1:1/app:1", &["--statement", &path]).exits(3);
    let ran = lab.reprov(&["attest", "127.0.0.1:1/app:1", "--statement", &path]);
    ran.exits(2).says("nobody signs");
}

#[test]
fn six_at_once_are_all_found() {
    let (registry, api) = (Registry::start(&[]), ApiRegistry::start());
    let shelves: [(&dyn Shelf, Blobs<'_>); 2] =
        [(&registry, &|digest| registry.blob(digest)), (&api, &|digest| api.blob(digest).unwrap())];
    let lab = Lab::new();
    for (shelf, read) in shelves {
        let digest = tagged(shelf, "app", &json!({}));
        let name = shelf.name("app");
        let texts: Vec<_> = (0..6).map(|number| statement(&digest, &format!(r#","n":{number}"#))).collect();
        std::thread::scope(|scope| {
            for (number, text) in texts.iter().enumerate() {
                let (lab, name) = (&lab, &name);
                scope.spawn(move || {
                    let path = file(lab, &format!("statement-{number}.json"), text);
                    attest(lab, name, &["--statement", &path]).exits(0);
                });
            }
        });
        let mut found = payloads(shelf, read, "app", &digest);
        let mut wanted: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }
}

/// Others who write while we do, as cosign does: once, without a look whether it stayed.
#[test]
fn what_another_writes_while_we_write_is_put_back() {
    let (lab, registry) = (Lab::new(), Arc::new(Registry::start(&[])));
    let digest = tagged(registry.as_ref(), "app", &json!({}));
    let tag = digest.replace(':', "-");
    let (shelf, subject, list) = (Arc::clone(&registry), digest.clone(), tag.clone());
    let looks = AtomicUsize::new(0);
    let proxy = Faulty::before(registry.as_ref(), move |line, before| {
        if line == format!("GET /v2/app/manifests/{list}") {
            looks.fetch_add(1, Ordering::SeqCst);
        } else if line.starts_with("PUT /v2/app/manifests/sha256:") {
            add(shelf.as_ref(), &subject, "before we look");
        } else if line == format!("PUT /v2/app/manifests/{list}") && before == 0 {
            add(shelf.as_ref(), &subject, "while we write");
            // Of three looks by two at least one has its answer.
            let (from, began) = (looks.load(Ordering::SeqCst), Instant::now());
            while looks.load(Ordering::SeqCst) < from + 3 && began.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Fault::None
    });
    let predicate = file(&lab, "predicate.json", "{\"a\":1}");
    let args = ["--statement", &predicate, "--type", "custom"];
    let made = attest(&lab, &proxy.name("app"), &args).exits(0).json();
    let index = registry.tag("app", &tag).unwrap();
    let listed = Shelf::manifest(registry.as_ref(), "app", &index).unwrap();
    let listed = listed["manifests"].as_array().unwrap();
    let digests: Vec<&str> = listed.iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
    assert_eq!(digests.len(), 3, "{digests:?}");
    assert!(digests.contains(&made["subjects"][0]["attestation"].as_str().unwrap()));
}

/// Attaches something with `name` in it and adds it to what the fallback tag lists now.
fn add(shelf: &Registry, subject: &str, name: &str) {
    let config = shelf.put_blob("app", b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/x",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [],
        "subject": {"mediaType": MANIFEST, "digest": subject, "size": 1},
        "annotations": {"name": name},
    });
    let (digest, tag) = (shelf.put_manifest("app", &manifest), subject.replace(':', "-"));
    let mut entries = match shelf.tag("app", &tag) {
        Some(there) => {
            Shelf::manifest(shelf, "app", &there).unwrap()["manifests"].as_array().unwrap().clone()
        }
        None => Vec::new(),
    };
    entries.push(json!({"mediaType": MANIFEST, "digest": digest, "size": manifest.to_string().len()}));
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let index = shelf.put_manifest("app", &index);
    shelf.set_tag("app", &tag, &index);
}
