use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::{
    diff::{
        self,
        tests::{Shelf, compare},
    },
    layer::fake::FakeLayer,
};

fn fake() -> FakeLayer {
    FakeLayer::default()
}

#[track_caller]
fn check(a: &[FakeLayer], b: &[FakeLayer], expected: Verdict) {
    assert_eq!(explain(&compare(a, b), &Context::default()).unwrap().verdict, expected);
}

#[test]
fn the_ladder() {
    let one = fake().file("a", b"1").at(1_700_000_000);
    let same = std::slice::from_ref(&one);
    check(same, same, Verdict::Reproduced);
    check(same, &[one.clone().mode(0o100_644)], Verdict::BuilderNormalised);
    check(&[one.clone(), fake().file("b", b"")], &[one.clone().file("b", b"")], Verdict::SameFilesystem);
    check(
        &[one.clone().dir("d/")],
        &[fake().dir("d/").file("a", b"1").at(1_700_000_000)],
        Verdict::SameFilesystem,
    );
    check(same, &[one.clone().at(1_700_000_001)], Verdict::Explained);
    check(same, &[fake().file("a", b"2").at(1_700_000_001)], Verdict::Unexplained);
    check(same, &[one.clone().owner(1)], Verdict::Unexplained);
    check(same, &[one.clone(), fake()], Verdict::SameFilesystem);
}

#[test]
fn what_lies_on_disk_is_explained_like_what_does_not() {
    let text = |number: usize, time: &str| {
        let lines: String = (0..9_000).map(|line| format!("line {number} {line:024}\n")).collect();
        format!("built 2026-09-21T{time}Z\n{lines}").into_bytes()
    };
    let file = |layer: FakeLayer, number: usize, time: &str| {
        layer.file(&format!("file{number}"), &text(number, time))
    };
    let all = |numbers: &[usize], time: &str| {
        numbers.iter().fold(fake(), |layer, number| file(layer, *number, time))
    };
    let ordered = [all(&[1, 2, 3], "21:15:12"), all(&[1, 2, 3], "21:20:00")];
    let shuffled = [ordered[0].clone(), all(&[3, 1, 2], "21:20:00")];
    let merged = [all(&[1, 2], "21:20:00"), all(&[3], "21:20:00")];
    let explained = |a: &[FakeLayer], b: &[FakeLayer]| {
        let comparison = compare(a, b);
        let all = comparison.layers.iter().flat_map(|pair| &pair.changes);
        let aside = all.filter_map(|change| change.contents.as_ref()).map(Kept::aside_bytes);
        assert!(
            aside.clone().count() == 3 && aside.clone().all(|bytes| bytes > 0),
            "{:?}",
            aside.collect::<Vec<_>>()
        );
        let drifts = explain(&comparison, &Context::default()).unwrap().drifts;
        let shown = drifts.iter().filter(|drift| !drift.path.is_empty());
        shown
            .map(|drift| format!("{} {} {}", drift.path, drift.cause.code(), drift.evidence))
            .collect::<Vec<_>>()
    };
    let first = explained(&ordered[..1], &ordered[1..]);
    assert_eq!(first[2], "file3 clock-in-text built 2026-09-21T21:15:12Z → built 2026-09-21T21:20:00Z");
    assert_eq!(explained(&shuffled[..1], &shuffled[1..]), first);
    assert_eq!(explained(&ordered[..1], &merged), first);
}

#[test]
fn what_cannot_be_read_back_is_an_error() {
    let mut shelf = Shelf::lossy();
    let large = |last: u8| fake().file("a", &[vec![0; 300 << 10], vec![last]].concat());
    let [a, b] = [large(1), large(2)].map(|layer| shelf.image(&[layer], &json!({})));
    let comparison = diff::images(&shelf, &a, &b).unwrap();
    assert!(matches!(explain(&comparison, &Context::default()), Err(DiffError::ReadBack(_))));
}

#[test]
fn config_counts_too() {
    let mut shelf = Shelf::default();
    let layers = [fake().file("a", b"1")];
    let a = shelf.image(&layers, &json!({"created": "2026-11-24T21:15:12Z"}));
    let mut verdict = |extra| {
        let b = shelf.image(&layers, &extra);
        let comparison = diff::images(&shelf, &a, &b).unwrap();
        explain(&comparison, &Context::default()).unwrap().verdict
    };
    assert_eq!(verdict(json!({"created": "2026-11-24T22:00:00Z"})), Verdict::Explained);
    assert_eq!(verdict(json!({"created": "2026-11-24T21:15:12Z", "x": 1})), Verdict::Unexplained);
}

#[test]
fn a_drift_as_json() {
    let instructions = vec![Some(InstructionRef { line: Some(3), text: "RUN date > /built".into() })];
    let context = Context { instructions, ..Context::default() };
    let at = |time: &str| fake().file("built", format!("at {time}\n").as_bytes());
    let explained = explain(&compare(&[at("21:15:12")], &[at("21:20:00")]), &context).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&explained.drifts).unwrap(), @r#"
        [
          {
            "layer": 0,
            "instruction": {
              "line": 3,
              "text": "RUN date > /built"
            },
            "path": "built",
            "change": "content",
            "fields": [
              {
                "name": "content",
                "a": "sha256:37bfcb9ccf820606205990ae18a429d4c6183195a042c58cd98ac6be23064bda",
                "b": "sha256:5bdc9d1ddd954b6f3f42afa745c8dba39bde98f33c7d0448a8ac57389fae912b"
              }
            ],
            "cause": "clock-in-text",
            "class": "known",
            "consequence_of": null,
            "remedy": "Write SOURCE_DATE_EPOCH instead of the present time, or remove the file.",
            "evidence": "at 21:15:12 → at 21:20:00",
            "excerpt": {
              "kind": "text",
              "hunks": [
                {
                  "rows": [
                    {
                      "a": {
                        "number": 1,
                        "text": "at 21:15:12"
                      },
                      "b": {
                        "number": 1,
                        "text": "at 21:20:00"
                      },
                      "equal": false
                    }
                  ]
                }
              ],
              "more": false
            },
            "security": false,
            "confidence": "certain",
            "accepted": null
          }
        ]
        "#);
}

#[test]
fn names_that_are_not_utf8_and_values_that_steer_terminals() {
    let layer = |content: &[u8]| fake().file("x", content).pax(&[("path", b"a\xff")]);
    let explained = explain(&compare(&[layer(b"a\x1b[2J")], &[layer(b"b")]), &Context::default()).unwrap();
    let drift = &explained.drifts[0];
    assert_eq!((drift.path.as_str(), drift.path_encoded), ("a%FF", true));
    assert_eq!(drift.evidence, "a\\u{1b}[2J → b");
}

#[test]
fn consequences_do_not_count() {
    let wheel = |byte: u8| {
        let pyc = [&[0xa7, 0x0d, 13, 10, 0, 0, 0, 0, byte, 0, 0, 0][..], &[7; 9]].concat();
        let hash = URL_SAFE_NO_PAD.encode(crate::model::Digest::of(&pyc).bytes());
        let record = format!("pkg/x.pyc,sha256={hash},{}\n", pyc.len());
        fake().file("lib/pkg/x.pyc", &pyc).file("lib/pkg-1.dist-info/RECORD", record.as_bytes())
    };
    check(&[wheel(1)], &[wheel(2)], Verdict::Explained);
}
