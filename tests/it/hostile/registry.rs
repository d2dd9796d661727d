//! A registry that is slow, busy, broken or a liar: the real one behind a proxy that spoils its answers.

use std::time::Duration;

use crate::support::{Fault, Faulty, Lab, Ran, Registry};

/// The layer of the tiny base image, larger than a socket's buffers.
fn layer() -> String {
    Registry::shared().image_at("base/tiny", "1").layer_digests().remove(0)
}

/// Builds on a base that comes through `faulty`, with an empty store; nothing is pushed unless it succeeds.
#[track_caller]
fn pull(faulty: &Faulty, repository: &str, code: i32) -> Ran {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = format!("FROM {}/base/tiny:1\nRUN true\n", faulty.host);
    let source = lab.source("app", &[("Dockerfile", &dockerfile)]);
    let ran = lab.build(registry, &source, &registry.name(repository), &[]).exits(code);
    assert_eq!(registry.tag(repository, "1").is_some(), code == 0, "{ran}");
    assert_eq!(lab.leftovers(), [""; 0]);
    ran
}

/// Pushes an image of `word` through `faulty`.
#[track_caller]
fn push(faulty: &Faulty, repository: &str, word: &str, code: i32) -> Ran {
    let lab = Lab::new();
    let dockerfile = format!("FROM base.example/tiny:1\nRUN echo {word} > /word\n");
    let source = lab.source("app", &[("Dockerfile", &dockerfile)]);
    let ran = lab.build(Registry::shared(), &source, &faulty.name(repository), &[]).exits(code);
    if code != 0 {
        assert!(ran.json()["error"].is_null() || ran.json()["image"].is_null(), "{ran}");
    }
    assert_eq!(lab.leftovers(), [""; 0]);
    ran
}

fn slow_down(after: &str) -> Fault {
    let text = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    Fault::Answer("429 Too Many Requests", format!("Retry-After: {after}\r\n"), text.to_owned())
}

fn broken() -> Fault {
    Fault::Answer("503 Service Unavailable", String::new(), "try later".to_owned())
}

fn denied(code: &str) -> Fault {
    Fault::Answer(
        "400 Bad Request",
        String::new(),
        format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#),
    )
}

#[test]
fn a_slow_registry_is_waited_for() {
    let faulty = Faulty::before(Registry::shared(), |line, _| {
        if line.starts_with("GET") { Fault::Slow(4, Duration::from_millis(700)) } else { Fault::None }
    });
    pull(&faulty, "faults-slow", 0);
}

#[test]
fn a_registry_that_says_nothing_is_given_up() {
    let faulty = Faulty::before(Registry::shared(), |_, _| Fault::Silence);
    pull(&faulty, "faults-silent", 3).says("did not answer in time");
    assert_eq!(faulty.seen("GET", "").len(), 1, "silence was waited for; another try would wait again");
}

#[test]
fn a_wait_that_a_registry_asks_for_is_kept() {
    let wanted = layer();
    let faulty = Faulty::before(Registry::shared(), move |line, before| {
        let busy = before == 0
            && (line.starts_with("GET") && line.contains(&wanted)
                || line.starts_with("POST")
                || line.ends_with("/manifests/1"));
        if busy { slow_down("1") } else { Fault::None }
    });
    pull(&faulty, "faults-wait-pull", 0);
    push(&faulty, "faults-wait-push", "wait", 0);
    for (method, path) in [("GET", layer().as_str()), ("POST", "faults-wait-push"), ("PUT", "manifests/1")] {
        let seen = faulty.seen(method, path);
        // Several blobs are on their way at once; the one that was put off comes last.
        let waited = seen[seen.len() - 1].at - seen[0].at;
        assert!(waited >= Duration::from_secs(1), "{method} {path}: {waited:?}");
    }
}

#[test]
fn a_wait_that_is_too_long_is_said() {
    let faulty = Faulty::before(Registry::shared(), |_, _| slow_down("3600"));
    let ran = pull(&faulty, "faults-long", 3);
    ran.says("answered 429 TOOMANYREQUESTS: slow down (it asks to come back after 3600 s)");
    assert_eq!(faulty.seen("GET", "").len(), 1);
}

#[test]
fn a_registry_that_stumbles_is_asked_again() {
    let faulty = Faulty::before(Registry::shared(), |line, before| {
        // Each upload of a blob has a place of its own, so each would be the first.
        let upload = line.starts_with("PUT") && line.contains("/blobs/");
        if before < 2 && !line.starts_with("HEAD") && !upload { broken() } else { Fault::None }
    });
    pull(&faulty, "faults-stumbles-pull", 0);
    push(&faulty, "faults-stumbles-push", "stumbles", 0);
}

#[test]
fn a_registry_that_stays_broken_is_said() {
    let faulty = Faulty::before(Registry::shared(), |_, _| broken());
    pull(&faulty, "faults-broken", 3).says("the registry answered 503 try later");
    assert_eq!(faulty.seen("GET", "").len(), 3);
}

#[test]
fn a_cut_download_is_resumed() {
    let wanted = layer();
    let faulty = Faulty::before(Registry::shared(), move |line, before| {
        if before == 0 && line.starts_with("GET") && line.contains(&wanted) {
            Fault::Cut(100_000)
        } else {
            Fault::None
        }
    });
    pull(&faulty, "faults-cut", 0);
    let ranges: Vec<_> = faulty.seen("GET", &layer()).into_iter().map(|seen| seen.range).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned())]);
}

#[test]
fn a_download_that_is_cut_each_time_is_said() {
    let wanted = layer();
    let faulty = Faulty::before(Registry::shared(), move |line, _| {
        if line.starts_with("GET") && line.contains(&wanted) { Fault::Cut(1000) } else { Fault::None }
    });
    pull(&faulty, "faults-cut-often", 3).says("cannot fetch image").says("cannot reach 127.0.0.1");
    assert_eq!(faulty.seen("GET", &layer()).len(), 3);
}

/// A tag that was there stays where it was.
#[track_caller]
fn refuses_halfway(repository: &'static str, refused: fn(&str) -> bool, words: &str) {
    let registry = Registry::shared();
    push(&Faulty::before(registry, |_, _| Fault::None), repository, "old", 0);
    let old = registry.tag(repository, "1").unwrap();
    let faulty = Faulty::before(registry, move |line, _| {
        if line.starts_with("PUT") && refused(line) { denied("MANIFEST_INVALID") } else { Fault::None }
    });
    push(&faulty, repository, "new", 3).says("MANIFEST_INVALID: no").says(words);
    assert_eq!(registry.tag(repository, "1"), Some(old));
}

#[test]
fn a_refused_manifest_leaves_the_tag() {
    refuses_halfway(
        "faults-manifest",
        |line| line.contains("/manifests/sha256:"),
        "cannot push the manifest",
    );
}

#[test]
fn a_refused_attachment_leaves_the_tag() {
    refuses_halfway(
        "faults-attach",
        |line| line.contains("/manifests/sha256-"),
        "run the same command again",
    );
}

#[test]
fn a_refused_tag_stays_where_it_was() {
    refuses_halfway("faults-tag", |line| line.ends_with("/manifests/1"), "cannot push the tag");
}

#[test]
fn a_refused_blob_leaves_the_tag() {
    let registry = Registry::shared();
    let faulty = Faulty::before(registry, |line, _| {
        if line.starts_with("PUT") && line.contains("/blobs/") { denied("SIZE_INVALID") } else { Fault::None }
    });
    push(&faulty, "faults-blob", "x", 3).says("cannot push blob sha256:").says("SIZE_INVALID: no");
    assert_eq!(registry.tag("faults-blob", "1"), None);
}

#[test]
fn a_blob_of_other_bytes_is_not_believed() {
    let wanted = layer();
    let faulty = Faulty::before(Registry::shared(), move |line, _| {
        if line.starts_with("GET") && line.contains(&wanted) { Fault::Spoiled } else { Fault::None }
    });
    pull(&faulty, "faults-lies-blob", 3).says(&format!("expected {}, got sha256:", layer()));
}

#[test]
fn a_manifest_of_another_digest_is_not_believed() {
    let other = format!("sha256:{}", "0".repeat(64));
    let said = format!("expected {other}, got sha256:");
    let faulty = Faulty::before(Registry::shared(), move |line, _| {
        if line.contains("/manifests/") {
            Fault::Header("Docker-Content-Digest", other.clone())
        } else {
            Fault::None
        }
    });
    pull(&faulty, "faults-lies-header", 3).says(&said);
}

#[test]
fn a_push_that_was_taken_for_another_is_said() {
    let other = format!("sha256:{}", "0".repeat(64));
    let said = format!("expected {other}, got sha256:");
    let faulty = Faulty::before(Registry::shared(), move |line, _| {
        if line.starts_with("PUT") && line.contains("/manifests/sha256:") {
            Fault::Header("Docker-Content-Digest", other.clone())
        } else {
            Fault::None
        }
    });
    push(&faulty, "faults-lies-push", "x", 3).says(&said);
    assert_eq!(Registry::shared().tag("faults-lies-push", "1"), None);
}

#[test]
fn an_error_without_end_is_cut_off() {
    let endless = |method: &'static str| {
        Faulty::before(Registry::shared(), move |line, _| {
            if line.starts_with(method) { Fault::Endless("400 Bad Request") } else { Fault::None }
        })
    };
    pull(&endless("GET"), "faults-endless-pull", 3).says("answered 400 0000");
    for method in ["POST", "PUT"] {
        push(&endless(method), "faults-endless-push", "x", 3).says("answered 400 0000");
    }
    assert_eq!(Registry::shared().tag("faults-endless-push", "1"), None);
}

#[test]
fn a_rebuild_resumes_too() {
    let registry = Registry::shared();
    let lab = Lab::new();
    let source = lab.source("app", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo resumed > /word\n")]);
    lab.build(registry, &source, &registry.name("faults-rebuild"), &[]).exits(0);
    let faulty = Faulty::before(registry, |line, before| {
        if before == 0 && line.contains("/blobs/") { Fault::Cut(10) } else { Fault::None }
    });
    let rebuilt = lab.rebuild(&faulty.name("faults-rebuild"), &[]).exits(0).json();
    assert_eq!(rebuilt["images"][0]["verdict"], "reproduced", "{rebuilt:#}");
}
