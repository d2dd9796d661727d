//! `rebuild --try`: a remedy is shown by replays that have it, or not at all.

use serde_json::{Value, json};

use crate::support::{Lab, Registry};

#[test]
fn what_a_standing_clock_cures_is_shown_and_nothing_else() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/debian:bookworm
RUN date > /date
RUN mkdir /names && touch /names/$(date +%s)
RUN od -An -N16 -tx8 /dev/urandom > /token
RUN cat /proc/uptime > /uptime
";
    let to = registry.name("remedy");
    let source = lab.source("remedy", &[("Dockerfile", dockerfile)]);
    lab.build(registry, &source, &to, &[]).exits(0);

    let plain = lab.rebuild(&to, &[]).exits(1).json()["images"][0].clone();
    assert_eq!(plain["tried"], Value::Null);
    let hints: Vec<_> = plain["hints"].as_array().unwrap().iter().map(|hint| hint["code"].clone()).collect();
    assert_eq!(hints, ["try-clock"], "{plain:#}");
    assert!(plain["drifts"].as_array().unwrap().iter().all(|drift| drift["cured_by"].is_null()), "{plain:#}");

    let tried = lab.rebuild(&to, &["--try", "clock=commit"]).exits(1).json()["images"][0].clone();
    let told = json!({"remedy": "clock=commit", "replays": 2, "cured": 3, "left": 2, "error": null});
    assert_eq!(tried["tried"], told, "{tried:#}");
    assert_eq!((&tried["verdict"], &tried["hints"]), (&plain["verdict"], &json!([])), "{tried:#}");
    for drift in tried["drifts"].as_array().unwrap() {
        let path = drift["path"].as_str().unwrap();
        let cures = path == "date" || path.starts_with("names/");
        assert_eq!(drift["cured_by"] == "clock=commit", cures, "{drift:#}");
        let remedy = drift["remedy"].as_str().unwrap();
        assert_eq!(remedy.contains("two replays with it are alike"), cures, "{drift:#}");
    }
    let text = lab.rebuild(&to, &["--try", "clock=commit", "--format", "text"]).exits(1);
    text.says("  tried     clock=commit, 2 replays: 3 of 5 drift(s) cured");

    lab.build(registry, &source, &to, &["--clock", "commit"]).exits(0);
    let stands = lab.rebuild(&to, &["--try", "clock=commit"]).exits(1).json()["images"][0].clone();
    let told = json!({"remedy": "clock=commit", "replays": 0, "cured": 0, "left": 2, "error": "the image was built so already"});
    assert_eq!((&stands["tried"], &stands["hints"]), (&told, &json!([])), "{stands:#}");
    lab.rebuild(&to, &["--try", "clock=commit", "--vary", "all"]).exits(2).says("cannot be used with");
    assert_eq!(lab.leftovers(), [""; 0]);
}
