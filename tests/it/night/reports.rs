//! `reprov report`.

use std::fs;

use reprov::entry::{Entry, Kind};
use serde_json::Value;

use super::{DAY_S, HOUR_S, Nights, found, rebuilt};
use crate::{
    jobs::report::{chromium, screenshot},
    support::{Lab, schemas},
};

/// Three images over three nights: one good, one that begins to drift, one whose evidence is deleted.
fn three_nights() -> Nights {
    let nights = Nights::new();
    let good = [
        rebuilt("good", "reproduced", &[]),
        rebuilt("drifts", "reproduced", &[]),
        rebuilt("lost", "reproduced", &[]),
        found("lost", Kind::Verified, "passed", &[]),
    ];
    nights.run(0, &good);
    nights.run(1, &good);
    let drifts = Entry {
        report: Some(nights.lab.path("drifts.html")),
        owner: Some("app-team".into()),
        ..rebuilt("drifts", "explained", &["clock-in-text", "random-token"])
    };
    let lost = found("lost", Kind::Verified, "failed", &["no-attestation"]);
    nights.run(2, &[good[0].clone(), drifts, lost, rebuilt("lost", "unverifiable", &[])]);
    nights
}

fn codes(report: &Value) -> Vec<(String, String)> {
    let changes = report["changes"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    changes.iter().map(|change| (text(&change["code"]), text(&change["image"]))).collect()
}

#[test]
fn what_changed_is_said_first_and_once() {
    let nights = three_nights();
    let report = nights.reprov(&["report", "--format", "json"]).exits(1).json();
    let app = |tag: &str| format!("registry.example.org/app:{tag}");
    let expected = [("evidence-lost".to_owned(), app("lost")), ("drift".to_owned(), app("drifts"))];
    assert_eq!(codes(&report), expected, "since the last run");
    assert_eq!(report["whole"]["standing"]["wrong"], 2);
    assert_eq!(report["whole"]["trend"].as_array().unwrap().len(), 3, "{:#}", report["whole"]["trend"]);
    // The run before changed nothing, and the first one was all new.
    let at = |day: i64, hours: i64| reprov::model::rfc3339(nights.begin_s + day * DAY_S + hours * HOUR_S);
    let of = |until: &str| nights.reprov(&["report", "--format", "json", "--until", until]);
    assert_eq!(codes(&of(&at(1, 2)).exits(0).json()), []);
    assert_eq!(codes(&of(&at(0, 2)).exits(0).json()).len(), 3);
    let all = nights.reprov(&["report", "--format", "json", "--since", &at(0, 2)]).exits(1).json();
    assert_eq!(codes(&all), expected);
    // Of one owner; of nobody.
    let owned = nights.reprov(&["report", "--format", "json", "--owner", "app-team"]).exits(1).json();
    assert_eq!(codes(&owned), [("drift".to_owned(), app("drifts"))]);
    assert_eq!(owned["whole"]["images"], 1);
    nights.reprov(&["report", "--owner", "ap-team"]).exits(2).says("no image of the owner `ap-team`");
    nights.reprov(&["report", "--group", "base", "--accept", "explained"]).exits(1);
    nights
        .reprov(&["report", "--since", &at(1, 0), "--until", &at(0, 0)])
        .exits(2)
        .says("later than --until");
    // Nobody looked since.
    let later = reprov::model::rfc3339(nights.begin_s + 40 * DAY_S);
    let overdue = of(&later).exits(1).json();
    assert_eq!(overdue["whole"]["overdue"], 3);
}

#[test]
fn one_ledger_in_every_form() {
    let nights = three_nights();
    let until = reprov::model::rfc3339(nights.begin_s + 3 * DAY_S);
    for form in ["text", "json", "markdown", "junit", "html", "sarif"] {
        let out = nights.lab.path(&format!("report.{form}"));
        let report = |more: &[&str]| {
            let args = [&["report", "--until", &until, "--format", form], more].concat();
            nights.reprov(&args).exits(1).out
        };
        let printed = report(&[]);
        assert_eq!(printed, report(&[]), "{form}: the same bytes");
        assert_eq!(report(&["--out", &out]), "");
        assert_eq!(fs::read_to_string(&out).unwrap(), printed, "{form}");
        assert!(printed.contains("clock-in-text"), "{form}: {printed}");
    }
    let xml = "import sys, xml.dom.minidom as x; d = x.parse(sys.argv[1]).documentElement; \
               s = d.getElementsByTagName('testsuite')[0]; print(s.getAttribute('tests'), s.getAttribute('failures'))";
    let mut python = nights.lab.command("python3");
    python.args(["-c", xml, &nights.lab.path("report.junit")]);
    assert_eq!(Lab::run(python).exits(0).out, "4 3\n");
    let sarif = fs::read_to_string(nights.lab.path("report.sarif")).unwrap();
    assert_eq!(schemas::sarif_violations(&serde_json::from_str(&sarif).unwrap()), [""; 0]);
    nights.reprov(&["report", "--out", &nights.lab.path("no/where")]).exits(3).says("--out");
    nights.lab.reprov(&["doctor", "--format", "sarif"]).exits(2).says("are for the answer of `report`");
}

#[test]
fn a_ledger_that_says_nothing_is_no_yes() {
    let nights = Nights::new();
    let ran = nights.reprov(&["report"]);
    assert!([2, 3].contains(&ran.code.unwrap()), "{ran}");
    nights.with(async |_| ());
    nights.reprov(&["report"]).exits(3).says("0 images");
    nights.run(0, &[found("1", Kind::Missed, "unreachable", &[])]);
    nights.reprov(&["report"]).exits(3);
    nights.run(1, &[found("1", Kind::Verified, "passed", &[])]);
    nights.reprov(&["report"]).exits(0).says("back");
}

#[test]
fn a_run_that_was_killed_belongs_to_the_next() {
    let nights = Nights::new();
    nights.run(0, &[rebuilt("1", "reproduced", &[]), rebuilt("2", "reproduced", &[])]);
    nights.with(async |ledger| {
        let at_s = nights.begin_s + DAY_S;
        ledger.begin_run("inventory.toml", at_s).await.unwrap();
        let entry = rebuilt("1", "explained", &["mtime"]);
        ledger.append(&Entry { at_s: at_s + 60, ..entry }).await.unwrap();
    });
    nights.run(2, &[rebuilt("2", "explained", &["mtime"])]);
    let report = nights.reprov(&["report", "--format", "json"]).exits(1).json();
    assert_eq!(codes(&report).len(), 2, "{report:#}");
}

#[test]
#[ignore = "needs chromium: make acceptance"]
fn a_browser_shows_the_nights_and_runs_nothing() {
    let nights = three_nights();
    let hostile = "<script>document.title='pwned'</script>";
    let entry = Entry {
        repository: "registry.example.org/\"><img src=x onerror=document.title='pwned'>".into(),
        error: Some(hostile.into()),
        ..rebuilt("1", "unbuildable", &[hostile])
    };
    nights.run(3, &[entry]);
    let page = nights.lab.path("night.html");
    let since = reprov::model::rfc3339(nights.begin_s + DAY_S);
    nights.reprov(&["report", "--format", "html", "--out", &page, "--since", &since]).exits(1);
    let dom = chromium(&nights.lab, &["--dump-dom"], &page).exits(0).out;
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap();
    assert_eq!(title, "4 images, 2 wrong, 1 unknown · reprov");
    for element in ["<script", "<img", "<iframe", "onerror=\""] {
        assert!(!dom.contains(element), "{element}");
    }
    let link = format!("href=\"{}\"", nights.lab.path("drifts.html"));
    for shown in
        [link.as_str(), "<svg", "evidence is missing: no-attestation", "clock-in-text", "&lt;script&gt;"]
    {
        assert!(dom.contains(shown), "{shown}");
    }
    let shot = screenshot(&nights.lab, &page, "1280,1600");
    assert!((30_000..500_000).contains(&shot.len()), "{} bytes", shot.len());
    if let Some(to) = std::env::var_os("REPROV_NIGHT_SCREENSHOT") {
        fs::write(to, shot).unwrap();
    }
}
