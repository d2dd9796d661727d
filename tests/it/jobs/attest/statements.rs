//! A statement that somebody else wrote: signed byte for byte, attached to what it names and to nothing else.

use super::*;

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
