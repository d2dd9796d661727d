//! Reports of a pair that wants to break them.

use serde_json::json;

use super::{
    Compares, Form, LayerId, LayerPair,
    columns::{COLUMNS, columns},
    diff,
    live::InputsCompared,
    page,
    pair::Pair,
    render,
};
use crate::{
    diff::{ChangeKind, Field, Of},
    drift::{
        Accepted, Cause, Confidence, ConfigDrift, Drift, Excerpt, Facts, FromStage, Hunk, InstructionRef,
        Line, Origin, Row, Run, Security, Window,
    },
    model::{DiffId, Digest, Verdict},
};

/// What names of files, instructions and values may be.
const HOSTILE: [&str; 9] = [
    "<script>document.title='pwned'</script>",
    "\"><img src=x onerror=alert(1)>",
    "a\u{202e}gpj.exe\u{2066}\u{200b}",
    "bell\u{7}\u{1b}[2J\u{1b}]0;x\u{7}\nnext line\r",
    "`` ` ```|x|[a](http://evil.example)\\",
    "</style></table>]]>-->&amp;&#x3c;{{ 7*7 }}{% raw %}",
    "\u{fffe}\u{ffff}\u{2028}\u{e0041}",
    "\u{301}\u{301}\u{301}宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽",
    "",
];

/// One of every cause, class, kind of change and confidence.
pub(super) fn drifts() -> Vec<Drift> {
    let changes = [
        ChangeKind::Content,
        ChangeKind::Metadata,
        ChangeKind::OnlyInA,
        ChangeKind::OnlyInB,
        ChangeKind::Type,
    ];
    let drift = |(index, cause): (usize, &Cause)| Drift {
        layer: index,
        instruction: (index > 0)
            .then(|| InstructionRef { line: (index > 1).then_some(7), text: "RUN true".into() }),
        path_encoded: index == 1,
        fields: vec![Field { name: "mode".into(), a: Some("0644".into()), b: None }],
        consequence_of: (index == 2).then(|| "etc/y".into()),
        excerpt: excerpt(index),
        cured_by: (index == 6).then_some("clock=commit"),
        origin: [None, Some(Origin::Inputs), Some(Origin::Build)][index % 3],
        from: (index % 4 < 2).then(|| FromStage {
            stage: index,
            name: (index % 4 == 0).then(|| HOSTILE[index % HOSTILE.len()].into()),
            instruction: InstructionRef { line: Some(3), text: "RUN true".into() },
        }),
        security: index % 2 == 1,
        security_kind: (index % 2 == 1).then(|| Security::ALL[index / 2 % Security::ALL.len()]),
        confidence: if index == 4 { Confidence::Likely } else { Confidence::Certain },
        accepted: (index == 5).then(|| {
            let until = Some("2027-06-30".into());
            Accepted { because: "known".into(), until, owner: None }
        }),
        ..Drift::sample("etc/x", changes[index % changes.len()], *cause)
    };
    Cause::ALL.iter().enumerate().map(drift).collect()
}

/// One of each kind, or none.
fn excerpt(index: usize) -> Option<Excerpt> {
    let line = |number: usize| Some(Line { number, text: format!("line {number}") });
    let row = |a, b, equal| Row { a, b, equal };
    let run = |hex: &str| Run { offset: 16, hex: hex.to_owned() };
    let facts = |entropy| Some(Facts { kind: "ELF", size: 5, entropy });
    match index % 3 {
        0 => Some(Excerpt::Text {
            hunks: vec![Hunk {
                rows: vec![
                    row(line(1), line(1), true),
                    row(line(2), line(3), false),
                    row(None, line(4), false),
                ],
            }],
            more: index > 0,
        }),
        1 => Some(Excerpt::Bytes {
            a: facts(Some(1.5)),
            b: facts(None).filter(|_| index > 1),
            windows: vec![Window { a: run("00ff2041"), b: run("01ff") }],
        }),
        _ => None,
    }
}

fn hostile_config(text: &str) -> ConfigDrift {
    ConfigDrift {
        of: Of::Config,
        pointer: format!("/config/Labels/{text}"),
        a: Some(json!({"<b>": text})),
        b: None,
        cause: Cause::Unexplained,
        class: Cause::Unexplained.class(),
    }
}

fn hostile_layer(index: usize, text: &str) -> LayerPair {
    let id =
        |text: String| LayerId { digest: Digest::of(text.as_bytes()), diff_id: DiffId(Digest::of(b"x")) };
    let rebuilt = if index > 4 { index } else { index + 100 };
    LayerPair {
        index,
        instruction: (index % 2 == 1).then(|| InstructionRef { line: Some(9), text: text.to_owned() }),
        original: Some(id(index.to_string())),
        rebuilt: Some(id(rebuilt.to_string())),
        equal: index > 4,
    }
}

fn hostile() -> diff::Diff {
    let mut names: Vec<String> = HOSTILE.map(str::to_owned).into();
    names.push("n".repeat(4_096));
    names.push("deep/".repeat(800) + "end");
    names.push("\u{301}".repeat(2_000));
    let changes = [
        ChangeKind::Content,
        ChangeKind::Metadata,
        ChangeKind::OnlyInA,
        ChangeKind::OnlyInB,
        ChangeKind::Type,
    ];
    let drift = |(index, cause): (usize, &Cause)| {
        let text = names[index % names.len()].clone();
        let line = |number| Some(Line { number, text: text.clone() });
        let run = |hex: &str| Run { offset: 16, hex: hex.repeat(32) };
        let facts = || Some(Facts { kind: "ELF", size: 1 << 40, entropy: Some(7.9) });
        Drift {
            layer: index % 5,
            instruction: (index % 5 > 0).then(|| InstructionRef {
                line: (index % 5 > 1).then_some(7),
                text: format!("RUN echo {text}"),
            }),
            fields: vec![Field { name: format!("xattr:{text}"), a: Some(text.clone()), b: None }],
            consequence_of: (index % 7 == 3).then(|| text.clone()),
            evidence: format!("{text} → {text}"),
            excerpt: Some(if index % 2 == 0 {
                let row = |a, b, equal| Row { a, b, equal };
                let rows = vec![
                    row(line(1), line(1), true),
                    row(line(2), None, false),
                    row(line(3), line(2), false),
                ];
                Excerpt::Text { hunks: vec![Hunk { rows }], more: true }
            } else {
                let windows = vec![Window { a: run("ff"), b: run("00") }];
                Excerpt::Bytes { a: facts(), b: None, windows }
            }),
            security: index % 6 == 1,
            security_kind: (index % 6 == 1).then_some(Security::ALL[index % Security::ALL.len()]),
            accepted: (index % 11 == 5).then(|| Accepted {
                because: text.clone(),
                until: Some(text.clone()),
                owner: Some(text.clone()),
            }),
            ..Drift::sample(&text, changes[index % changes.len()], *cause)
        }
    };
    let compared = diff::Compared {
        platform: Some(names.concat()),
        images: diff::Images { a: names[0].clone(), b: names.concat() },
        verdict: Verdict::Unexplained,
        inherited: diff::Inherited { a: None, b: None },
        layers: (0..9).map(|index| hostile_layer(index, &names[index])).collect(),
        config: names.iter().map(|name| hostile_config(name)).collect(),
        drifts: Cause::ALL.iter().enumerate().map(drift).collect(),
    };
    let names = diff::Images { a: names[0].clone(), b: names.concat() };
    diff::Diff::new(vec![compared], Vec::new(), names)
}

#[test]
fn the_same_bytes_each_time_and_nothing_that_steers() {
    let answer = hostile();
    for form in Form::ALL {
        let report = render(form, &answer);
        assert_eq!(report, render(form, &hostile()));
        let steers = |c: char| {
            (c.is_control() && c != '\n') || matches!(c, '\u{200b}' | '\u{202e}' | '\u{2028}' | '\u{e0041}')
        };
        if form == Form::Json {
            assert!(!report.contains(|c: char| c.is_control() && c != '\n'));
        } else {
            assert_eq!(report.find(steers).map(|at| &report[at.saturating_sub(20)..]), None, "{form:?}");
        }
        assert!(report.contains("unexplained") && report.len() > 1_000, "{form:?}");
    }
}

#[test]
fn eighty_columns() {
    let answer = hostile();
    for verbose in [false, true] {
        let text = answer.text(verbose);
        let long: Vec<_> = text.lines().filter(|line| columns(line) > COLUMNS).collect();
        assert!(long.is_empty(), "{long:#?}");
        assert_eq!(text.contains("-v and --report list all"), !verbose, "{text}");
        assert_eq!(text.contains("    hence"), verbose, "{text}");
        let security = text.find("security  ").unwrap();
        assert!(
            text.find("SECURITY").unwrap() < security && security < text.find("remedy  ").unwrap(),
            "{text}"
        );
    }
}

/// Names of the elements that `text` opens or closes.
fn elements(text: &str) -> std::collections::BTreeSet<String> {
    let name =
        |part: &str| part.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
    text.split('<').skip(1).map(name).collect()
}

#[test]
fn a_page_has_only_its_own_elements() {
    let page = render(Form::Html, &hostile());
    let expected = "a article b bdi body col colgroup details dl dt dd fieldset footer code h1 h2 head header html i input label \
                    legend li mark meta ol p section small span style summary table tbody td th thead title tr ul";
    let expected: std::collections::BTreeSet<_> = expected.split_whitespace().map(str::to_owned).collect();
    let mut found = elements(&page);
    found.remove(""); // <!doctype
    assert_eq!(found.difference(&expected).collect::<Vec<_>>(), Vec::<&String>::new());
    for forbidden in ["<script", "<img", "javascript:", "http://", "@import", "url("] {
        let at = page.find(forbidden).filter(|at| !page[*at..].starts_with("http://evil.example"));
        assert_eq!(at.map(|at| &page[at..at + 60]), None, "{forbidden}");
    }
    assert!(page.contains("&#60;script&#62;document.title="), "shown, not run");
    assert!(page.contains("default-src 'none'"));
    for name in found.iter().filter(|name| !["meta", "input", "col"].contains(&name.as_str())) {
        let opened = page.matches(&format!("<{name}>")).count() + page.matches(&format!("<{name} ")).count();
        assert_eq!(opened, page.matches(&format!("</{name}>")).count(), "{name}");
    }
    assert!(page.len() < 4 << 20, "{}", page.len());
}

#[test]
fn a_page_shows_what_the_repositories_answered_otherwise() {
    let compared = InputsCompared::sample(true);
    let facts = vec![("moved", "said in a table".to_owned()), ("engine", "said here".to_owned())];
    let page = page::render(&[Pair { inputs: Some(&compared), facts, ..Pair::empty() }]);
    let rows = [
        "<th><bdi>x</bdi> <span class=\"change\">deb</span></th><td><bdi>1</bdi></td><td><bdi>2\\u{1b}</bdi></td>",
        "<summary>Asked for then alone <small>12</small></summary>",
        "<bdi>http://m.example/InRelease</bdi> <span class=\"change\">Date</span></th><td><bdi>x</bdi></td><td><bdi>y</bdi>",
    ];
    for row in rows {
        assert!(page.contains(row), "{row}\n{page}");
    }
    assert_eq!((page.contains("said in a table"), page.contains("said here")), (false, true));
    assert!(!page::render(&[Pair::empty()]).contains("aria-label=\"Inputs\""));
}

#[test]
fn xml_is_well_formed() {
    let xml = render(Form::Junit, &hostile());
    let expected = ["", "failure", "skipped", "testcase", "testsuite", "testsuites"];
    let found = elements(&xml);
    assert!(found.iter().all(|name| expected.contains(&name.as_str())), "{found:?}");
    for name in ["failure", "testcase", "testsuite"] {
        let (open, closed) = (format!("<{name} "), format!("</{name}>"));
        let alone = xml.lines().filter(|line| line.contains(&open) && line.ends_with("/>")).count();
        assert_eq!(xml.matches(&open).count(), xml.matches(&closed).count() + alone, "{name}");
    }
    assert!(!xml.contains(['\u{fffe}', '\u{ffff}']), "XML has no such characters");
    assert!(xml.contains("tests=\"10\" failures=\"6\" errors=\"0\" skipped=\"0\""), "{}", &xml[..400]);
}

#[test]
fn findings_have_levels_lines_and_reasons() {
    let answer = hostile();
    let sarif: serde_json::Value = serde_json::from_str(&render(Form::Sarif, &answer)).unwrap();
    let run = &sarif["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), answer.compared.drifts.len() + answer.compared.config.len());
    for (result, drift) in results.iter().zip(&answer.compared.drifts) {
        let level = match drift.class {
            _ if drift.consequence_of.is_some() => "note",
            _ if drift.security => "error",
            crate::drift::Class::Unexplained => "error",
            crate::drift::Class::Known => "note",
            _ => "warning",
        };
        assert_eq!(result["level"], level, "{result:#}");
        let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][rule]["id"], drift.cause.code());
        let location = &result["locations"][0]["physicalLocation"];
        let line = drift.instruction.as_ref().and_then(|instruction| instruction.line);
        assert_eq!(location["region"]["startLine"].as_u64(), line.map(u64::from), "{result:#}");
        assert_eq!(result["suppressions"].is_array(), drift.accepted.is_some());
    }
}

#[test]
fn findings_follow_the_schema_of_their_standard() {
    let follows = |answer: &diff::Diff| -> serde_json::Value {
        let sarif = serde_json::from_str(&render(Form::Sarif, answer)).unwrap();
        let wrong = super::tests::schemas::sarif_violations(&sarif);
        assert!(wrong.is_empty(), "{wrong:#?}");
        sarif
    };
    let mut all = follows(&hostile());
    // The schema would say so.
    for (pointer, value) in [
        ("/runs/0/results/0/level", json!("fatal")),
        ("/runs/0/results/0/ruleIndex", json!(null)),
        ("/runs/0/results/0/message", json!({})),
        ("/runs/0/tool/driver", json!({})),
        ("/version", json!("2.0.0")),
    ] {
        let before = std::mem::replace(all.pointer_mut(pointer).unwrap(), value);
        assert_ne!(super::tests::schemas::sarif_violations(&all), [""; 0], "{pointer}");
        *all.pointer_mut(pointer).unwrap() = before;
    }
}

#[test]
fn markdown_keeps_what_is_not_its_own_in_spans() {
    let markdown = render(Form::Markdown, &hostile());
    assert!(markdown.len() < 65_000, "{}", markdown.len());
    // Without code spans, which end as they begin.
    let mut outside = String::new();
    let mut rest = markdown.as_str();
    while let Some(at) = rest.find('`') {
        outside.push_str(&rest[..at]);
        let fence = rest[at..].chars().take_while(|c| *c == '`').count();
        let body = &rest[at + fence..];
        let ticks = "`".repeat(fence);
        let mut ticks = body.match_indices(&ticks).map(|(at, _)| at);
        let exact = |at: &usize| !body[..*at].ends_with('`') && !body[at + fence..].starts_with('`');
        let end = ticks.find(exact).unwrap_or_else(|| panic!("a span that never ends: {body:.80}"));
        assert!(!body[..end].contains('\n'), "{body:.80}");
        rest = &body[end + fence..];
    }
    outside.push_str(rest);
    assert_eq!(elements(&outside).into_iter().collect::<Vec<_>>(), ["details", "summary"], "{outside}");
    assert!(!outside.contains("evil.example") && !outside.contains("pwned"), "{outside}");
}

#[test]
fn endings() {
    let forms: Vec<_> = ["a.html", "b.md", "c.json", "d.xml", "e.sarif", "f.txt"].map(Form::of).into();
    assert_eq!(forms, Form::ALL.map(Some));
    for name in ["a.pdf", "html", "", "a.HTML"] {
        assert_eq!(Form::of(name), None);
    }
}
