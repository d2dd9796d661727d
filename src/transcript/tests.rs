use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::Digest;

fn exchange(method: &str, url: &str, body: &[u8]) -> Exchange {
    Exchange {
        method: method.to_owned(),
        url: url.to_owned(),
        request: None,
        vary: BTreeMap::new(),
        status: 200,
        headers: vec![("etag".to_owned(), "\"1\"".to_owned())],
        body: Digest::of(body),
        size: if method == "HEAD" { 0 } else { body.len() as u64 },
        repository: "main".to_owned(),
        via: None,
    }
}

fn transcript(exchanges: impl IntoIterator<Item = Exchange>) -> Transcript {
    let mut transcript = Transcript::default();
    exchanges.into_iter().for_each(|exchange| transcript.insert(exchange).unwrap());
    transcript
}

const URL: &str = "http://mirror.example.org/a";

#[test]
fn lines_are_canonical() {
    let mut posted = exchange("POST", "http://mirror.example.org/a", b"abc");
    posted.request = Some(Digest::of(b"q"));
    posted.via = Some("http://mirror.example.org/r".to_owned());
    posted.vary.insert("accept".to_owned(), "text/html".to_owned());
    let mut transcript = transcript([posted, exchange("GET", URL, b"abc")]);
    transcript.taint(["refused".to_owned(), "failed".to_owned(), "refused".to_owned()]);
    insta::assert_snapshot!(String::from_utf8(transcript.to_jsonl()).unwrap(), @r#"
    {"schema":"reprov.transcript/v1","tainted":["failed","refused"]}
    {"body":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","headers":[["etag","\"1\""]],"method":"GET","repository":"main","size":3,"status":200,"url":"http://mirror.example.org/a"}
    {"body":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","headers":[["etag","\"1\""]],"method":"POST","repository":"main","request":"sha256:8e35c2cd3bf6641bdb0e2050b76932cbb2e6034a0ddacc1d9bea82a6ba57f7cf","size":3,"status":200,"url":"http://mirror.example.org/a","vary":{"accept":"text/html"},"via":"http://mirror.example.org/r"}
    "#);
}

#[track_caller]
fn refuse(text: &str) -> TranscriptError {
    Transcript::parse(text.as_bytes()).expect_err(text)
}

#[test]
fn refuses_other_forms() {
    let good =
        String::from_utf8(transcript([exchange("GET", URL, b"a"), exchange("HEAD", URL, b"")]).to_jsonl())
            .unwrap();
    assert!(Transcript::parse(good.as_bytes()).is_ok());
    let lines: Vec<_> = good.lines().collect();
    refuse("");
    refuse(good.trim_end());
    refuse(&format!("{good}\n"));
    refuse(&good.replace('\n', "\r\n"));
    refuse(&good.replacen(':', ": ", 1));
    refuse(&format!("{}\n{}\n{}\n", lines[0], lines[2], lines[1]));
    refuse(&format!("{}\n{}\n{}\n", lines[0], lines[1], lines[1]));
    assert!(matches!(refuse(&good.replace("/v1", "/v2")), TranscriptError::Schema(_)));
    assert!(matches!(
        refuse(&good.replace("\"size\":1", "\"size\":1,\"zero\":0")),
        TranscriptError::Json { .. }
    ));
    refuse(&good.replace("\"tainted\":[]", "\"tainted\":[\"b\",\"a\"]"));
    for (from, to) in [
        ("\"GET\"", "\"PUT\""),
        ("\"status\":200", "\"status\":100"),
        ("\"size\":1", "\"size\":17179869185"),
        ("\"size\":1", "\"size\":1.0"),
        ("\"etag\"", "\"Etag\""),
        ("\"etag\"", "\"set-cookie\""),
        ("\"etag\"", "\"transfer-encoding\""),
        ("\\\"1\\\"", "1\\r\\nx: y"),
        ("example.org/a", "EXAMPLE.org/a"),
        ("example.org/a", "example.org/a?token=x"),
        ("example.org/a", "example.org/b/../a"),
        ("sha256:", "sha512:"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        refuse(&bad);
    }
}

#[test]
fn finds_by_method_accept_and_body() {
    let mut html = exchange("GET", URL, b"html");
    html.vary.insert("accept".to_owned(), "text/html".to_owned());
    let mut posted = exchange("POST", URL, b"posted");
    posted.request = Some(Digest::of(b"q"));
    let transcript = transcript([html.clone(), exchange("GET", URL, b"any"), posted.clone()]);
    assert_eq!(transcript.find("GET", URL, None, "text/html"), Some(&html));
    assert_eq!(transcript.find("GET", URL, None, "").map(|found| found.body), Some(Digest::of(b"any")));
    assert_eq!(transcript.find("HEAD", URL, None, "text/html"), Some(&html));
    assert_eq!(transcript.find("POST", URL, posted.request, ""), Some(&posted));
    assert_eq!(transcript.find("POST", URL, None, ""), None);
    assert_eq!(transcript.find("GET", "http://mirror.example.org/b", None, ""), None);
}

#[test]
fn a_head_prefers_its_own_answer_and_is_no_get() {
    let head = exchange("HEAD", URL, b"");
    let transcript = transcript([head.clone()]);
    assert_eq!(transcript.find("HEAD", URL, None, ""), Some(&head));
    assert_eq!(transcript.find("GET", URL, None, ""), None);
}

#[test]
fn names_its_inputs() {
    let transcript = transcript([exchange("GET", URL, b"abc")]);
    let inputs = transcript.inputs();
    assert_eq!(inputs[0].sha256(), Some(Digest::of(b"abc")));
    insta::assert_snapshot!(serde_json::to_string(&inputs[0].annotations).unwrap(), @r#"{"kept":"registry","method":"GET","repository":"main","role":"input","size":3,"status":200}"#);
    assert_eq!(transcript.bodies(), [(Digest::of(b"abc"), 3)].into());
}

#[test]
fn events_leave_out_what_is_not_known() {
    let event = Event {
        time: "2026-11-24T00:00:00Z".to_owned(),
        kind: "refused".to_owned(),
        line: Some(3),
        ..Event::default()
    };
    let text = String::from_utf8(event.to_line()).unwrap();
    insta::assert_snapshot!(text, @r#"{"kind":"refused","line":3,"time":"2026-11-24T00:00:00Z"}"#);
    assert_eq!(Event::parse(text.as_bytes()).unwrap(), event);
    let newer = r#"{"kind":"refused","line":3,"time":"2026-11-24T00:00:00Z","mood":"bad"}"#;
    assert_eq!(Event::parse(newer.as_bytes()).unwrap(), event);
}

prop_compose! {
    fn any_exchange()(
        method in prop_oneof![Just("GET"), Just("HEAD"), Just("POST")],
        path in "[a-z0-9%_~@+]{0,12}",
        request in proptest::option::of("[a-c]"),
        accept in proptest::option::of("[ -~]{0,8}"),
        status in 200..600_u16,
        headers in proptest::collection::vec(("[a-z][a-z0-9]{0,8}", "[ -~]{0,12}"), 0..4),
        body in proptest::collection::vec(any::<u8>(), 0..8),
        via in proptest::option::of("[a-z]{1,4}"),
    ) -> Exchange {
        Exchange {
            request: request.map(|text| Digest::of(text.as_bytes())),
            vary: accept.map(|accept| ("accept".to_owned(), accept)).into_iter().collect(),
            status,
            headers: headers.into_iter().filter(|(name, _)| name != "trailer" && name != "upgrade").collect(),
            via: via.map(|path| format!("http://mirror.example.org/{path}")),
            ..exchange(method, &format!("http://mirror.example.org/x{path}"), &body)
        }
    }
}

proptest! {
    #[test]
    fn round_trips(exchanges in proptest::collection::vec(any_exchange(), 0..20), taint in proptest::collection::vec("[a-z]{1,5}", 0..3)) {
        let mut transcript = Transcript::default();
        transcript.taint(taint);
        for exchange in exchanges {
            let _ = transcript.insert(exchange);
        }
        prop_assert_eq!(Transcript::parse(&transcript.to_jsonl()).unwrap(), transcript);
    }

    #[test]
    fn parse_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Transcript::parse(&bytes);
    }
}
