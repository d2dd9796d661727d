//! Images that go while they are audited, registries that go down, files that cannot be written.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::stand::{Night, bare, came, forget, image};
use crate::support::{Fault, Faulty, Registry};

const PLAIN: &str = "rebuild = \"none\"\n";

#[test]
fn what_is_gone_is_a_no_and_what_does_not_answer_is_none() {
    let (night, registry) = (Night::new(), Registry::shared());
    bare(registry, "bad-there", "1", "there");
    let back = Arc::new(AtomicBool::new(false));
    let is_back = Arc::clone(&back);
    let faulty = Faulty::before(registry, move |line, _| match line {
        _ if is_back.load(Ordering::Relaxed) => Fault::None,
        line if line.contains("/bad-goes/manifests/sha256:") => {
            let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone"}]}"#;
            Fault::Answer("404 Not Found", "Content-Type: application/json\r\n".to_owned(), body.to_owned())
        }
        line if line.contains("/bad-down/") => {
            Fault::Answer("503 Service Unavailable", String::new(), "down".to_owned())
        }
        _ => Fault::None,
    });
    bare(registry, "bad-goes", "1", "goes");
    let down = bare(registry, "bad-down", "1", "down");
    let [there, goes, absent] =
        ["bad-there:1", "bad-goes:1", "bad-there:nowhere"].map(|name| format!("{}/{name}", faulty.host));
    let down = format!("{}/bad-down@{down}", faulty.host);
    night.inventory(&format!(
        "[[group]]\nname = \"a\"\nimages = [\"{there}\", \"{goes}\", \"{absent}\", \"{down}\"]\n{PLAIN}"
    ));
    let ran = night.audit(&[]).exits(1);
    let answer = ran.json();
    assert_eq!(came(&answer, &there, "verify"), "done failed", "{ran}");
    assert_eq!(image(&answer, &goes)["missed"], "gone", "{ran}");
    assert_eq!(image(&answer, &absent)["missed"], "gone", "{ran}");
    assert_eq!(came(&answer, &down, "verify"), "untold -", "{ran}");
    let step = &image(&answer, &down)["steps"][0];
    assert_eq!(step["tries"], 3, "{ran}");
    assert!(step["error"].as_str().unwrap().contains("503"), "{ran}");
    assert_eq!(
        night.outcomes(),
        [
            "bad-down missed unreachable",
            "bad-goes missed gone",
            "bad-there missed gone",
            "bad-there verified failed"
        ]
    );

    // The registry is back: what nobody could tell is done, and nothing else.
    back.store(true, Ordering::Relaxed);
    let ran = night.audit(&[]).exits(1);
    let answer = ran.json();
    assert_eq!(came(&answer, &there, "verify"), "not-due failed", "{ran}");
    assert_eq!(came(&answer, &down, "verify"), "done failed", "{ran}");
    let step = &image(&answer, &down)["steps"][0];
    assert!(step["why"].as_str().unwrap().starts_with("nobody could tell on 2"), "{ran}");
    assert_eq!(night.entries().len(), 6);
}

#[test]
fn a_registry_that_never_answers_is_could_not_tell() {
    let (night, registry) = (Night::new(), Registry::shared());
    let images: Vec<_> = (0..40).map(|index| format!("\"127.0.0.1:1/bad-x:{index}\"")).collect();
    bare(registry, "bad-fine", "1", "fine");
    night.inventory(&format!("[[group]]\nname = \"a\"\nimages = [{}]\n{PLAIN}", images.join(", ")));
    // Its rests are waited for, but only as long as there is time.
    let began = Instant::now();
    let ran = night.audit(&["--for", "20s"]).exits(3);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let answer = ran.json();
    assert_eq!(answer["summary"], serde_json::json!({"unreachable": 40}), "{ran}");
    assert_eq!(night.entries().len(), 40);
    // Who only wants a list waits for nobody.
    let began = Instant::now();
    night.audit(&["--list"]).exits(0);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// Audits eight images of a registry that does not answer for the first seconds, so that it is left alone.
fn rests(repository: &str, named: impl Fn(&str, &str) -> String) {
    let (night, registry) = (Night::new(), Registry::shared());
    let began: Arc<OnceLock<Instant>> = Arc::default();
    let faulty = Faulty::before(registry, move |_, _| {
        if began.get_or_init(Instant::now).elapsed() > Duration::from_secs(10) {
            return Fault::None;
        }
        Fault::Answer("503 Service Unavailable", String::new(), "down".to_owned())
    });
    let images: Vec<String> = (0..8)
        .map(|index| {
            let repository = format!("{repository}-{index}");
            let digest = bare(registry, &repository, "1", "x");
            format!("\"{}\"", named(&format!("{}/{repository}", faulty.host), &digest))
        })
        .collect();
    let images = images.join(", ");
    night.inventory(&format!("[[group]]\nname = \"a\"\nimages = [{images}]\n{PLAIN}"));
    let ran = night.audit(&[]).exits(1); // Nobody attested them.
    let came: Vec<_> = night.entries().iter().map(|entry| entry["kind"].clone()).collect();
    assert_eq!(came, ["verified"; 8], "{ran}");
}

#[test]
fn images_wait_for_a_registry_that_rests() {
    rests("bad-rests", |repository, digest| format!("{repository}@{digest}"));
}

#[test]
fn tags_wait_for_a_registry_that_rests() {
    rests("bad-rests-tagged", |repository, _| format!("{repository}:1"));
}

#[test]
fn a_tag_that_moves_while_it_is_judged_is_said() {
    let (night, registry) = (Night::new(), Registry::shared());
    let first = bare(registry, "bad-moves", "1", "first");
    let second = bare(registry, "bad-moves", "2", "second");
    let to = second.clone();
    let faulty = Faulty::before(registry, move |line, _| {
        if line.contains("/bad-moves/manifests/sha256:") {
            Registry::shared().set_tag("bad-moves", "1", &to);
        }
        Fault::None
    });
    let name = format!("{}/bad-moves:1", faulty.host);
    night.inventory(&format!("[[group]]\nname = \"a\"\nimages = [\"{name}\"]\n{PLAIN}"));
    let ran = night.audit(&[]).exits(1);
    let answer = ran.json();
    assert!(image(&answer, &name)["image"].as_str().unwrap().ends_with(&first), "{ran}");
    let notice = &answer["notices"][0];
    assert_eq!(notice["kind"], "moved", "{ran}");
    assert!(notice["message"].as_str().unwrap().contains(&second), "{ran}");
}

#[test]
fn what_hangs_ends_at_its_time_limit() {
    let (night, registry) = (Night::new(), Registry::shared());
    let hangs = bare(registry, "bad-hangs", "1", "hangs");
    let asked = Arc::new(Mutex::new(0));
    let faulty = Faulty::before(registry, {
        let asked = Arc::clone(&asked);
        move |line, _| {
            if line.contains("/bad-hangs/") {
                *asked.lock().unwrap() += 1;
                return Fault::Silence;
            }
            Fault::None
        }
    });
    let name = format!("{}/bad-hangs@{hangs}", faulty.host);
    night.inventory(&format!("[[group]]\nname = \"a\"\nimages = [\"{name}\"]\n{PLAIN}timeout = \"2s\"\n"));
    let ran = night.audit(&[]).exits(3);
    let answer = ran.json();
    let step = &image(&answer, &name)["steps"][0];
    assert!(step["error"].as_str().unwrap().contains("no end within 2s"), "{ran}");
    assert_eq!((step["tries"].as_u64(), *asked.lock().unwrap() > 0), (Some(1), true), "{ran}");
}

#[test]
fn metrics_that_cannot_be_written_are_said() {
    let (night, registry) = (Night::new(), Registry::shared());
    bare(registry, "bad-metrics", "1", "x");
    night.inventory(&format!(
        "[[group]]\nname = \"a\"\nimages = [\"{}\"]\n{PLAIN}",
        registry.name("bad-metrics")
    ));
    let nowhere = night.lab.path("nowhere/reprov.prom");
    let ran = night.audit(&["--metrics", &nowhere]).exits(1);
    assert!(ran.err.contains("could not be written"), "{ran}");
    assert_eq!(ran.json()["schema"], "reprov.audit/v1");
}

#[test]
fn a_tag_that_is_deleted_is_written_down_once() {
    let (night, registry) = (Night::new(), Registry::shared());
    bare(registry, "bad-deleted", "1", "x");
    let name = registry.name("bad-deleted");
    night.inventory(&format!("[[group]]\nname = \"a\"\nimages = [\"{name}\"]\n{PLAIN}"));
    night.audit(&[]).exits(1);
    forget(registry, "bad-deleted", "_manifests/tags/1");
    for _ in 0..2 {
        let answer = night.audit(&[]).exits(1).json();
        assert_eq!(answer["images"][0]["missed"], "gone", "{answer:#}");
    }
    assert_eq!(night.outcomes(), ["bad-deleted missed gone", "bad-deleted verified failed"]);
}
