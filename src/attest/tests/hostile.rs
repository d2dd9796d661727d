//! The attack checklist, as far as bytes go (FORMATS.md §12, rows 2-20, 23-25): each input is refused, and
//! at the step that should refuse it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::*;
use crate::model::{
    Digest,
    limits::{ENVELOPE_SIGNATURES_MAX, STATEMENT_SIZE_BYTES_MAX, STATEMENT_SUBJECTS_MAX},
    names::{BUNDLE, IN_TOTO_JSON},
};

pub(super) const STATEMENT: &str = r#"{"_type":"https://in-toto.io/Statement/v1","predicate":{"a":1},"predicateType":"https://slsa.dev/provenance/v1","subject":[{"digest":{"sha256":"0e1425798d5a78e0ce805056a90a154dbe33566dbc8ff4fdfb231f3443a8b9d4"},"name":"tiny"}]}"#;
const TINY: &str = "sha256:0e1425798d5a78e0ce805056a90a154dbe33566dbc8ff4fdfb231f3443a8b9d4";
const HEX: &str = "0e1425798d5a78e0ce805056a90a154dbe33566dbc8ff4fdfb231f3443a8b9d4";
/// The order of Ed25519's group, little end first.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// What verify does with a bundle; the step that says no.
fn judge(bundle: &[u8]) -> Result<(), &'static str> {
    let bundle = Bundle::parse(bundle).map_err(|error| match error {
        BundleError::Envelope(_) => "envelope",
        _ => "bundle",
    })?;
    bundle.envelope.verified_by(&[ours(), edwards()]).ok_or("signature")?;
    let statement = bundle.envelope.statement().map_err(|_| "statement")?;
    statement.names_subject(&TINY.parse::<Digest>().unwrap()).then_some(()).ok_or("subject")
}

fn bundle(envelope: &Value) -> Value {
    let material = json!({"publicKey": {"hint": ours().hint()}});
    json!({"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope})
}

fn envelope(payload: &[u8], signature: &[u8]) -> Value {
    json!({
        "payload": STANDARD.encode(payload),
        "payloadType": IN_TOTO_JSON,
        "signatures": [{"sig": STANDARD.encode(signature)}],
    })
}

/// A bundle of `payload`, rightly signed.
fn signed(payload: &[u8]) -> Value {
    bundle(&envelope(payload, &sign(&pae(IN_TOTO_JSON, payload))))
}

#[track_caller]
fn check(bundle: &Value, expected: Result<(), &str>) {
    assert_eq!(judge(bundle.to_string().as_bytes()), expected);
}

/// The rightly signed payload `text` is refused at `expected`.
#[track_caller]
fn check_payload(text: &str, expected: &str) {
    check(&signed(text.as_bytes()), Err(expected));
}

#[track_caller]
fn check_signature(signature: &[u8]) {
    check(&bundle(&envelope(STATEMENT.as_bytes(), signature)), Err("signature"));
}

#[test]
fn the_good_ones_pass() {
    check(&signed(STATEMENT.as_bytes()), Ok(()));
    check(&signed(STATEMENT.replace("Statement/v1", "Statement/v0.1").as_bytes()), Ok(()));
    let message = pae(IN_TOTO_JSON, STATEMENT.as_bytes());
    check(&bundle(&envelope(STATEMENT.as_bytes(), &sign_edwards(&message))), Ok(()));
    let mut several = envelope(STATEMENT.as_bytes(), b"a stranger's");
    let ours = json!({"sig": STANDARD.encode(sign(&message)), "keyid": "any", "x": null});
    several["signatures"].as_array_mut().unwrap().push(ours);
    check(&bundle(&several), Ok(()));
    let subjects = STATEMENT.replace("[{", r#"[{"name":"other","uri":"u","digest":{"gitCommit":"00"}},{"#);
    check(&signed(subjects.as_bytes()), Ok(()));
}

#[test]
fn row_2_a_strangers_signature_with_our_hints() {
    let message = pae(IN_TOTO_JSON, STATEMENT.as_bytes());
    let stranger = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let mut envelope = envelope(STATEMENT.as_bytes(), stranger.sign(&message).as_ref());
    envelope["signatures"][0]["keyid"] = ours().hint().into();
    check(&bundle(&envelope), Err("signature"));
}

#[test]
fn row_3_a_flipped_bit() {
    let good = sign(&pae(IN_TOTO_JSON, STATEMENT.as_bytes()));
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        check_signature(&flipped);
    }
    let other = STATEMENT.replace("tiny", "tinz");
    check(&bundle(&envelope(other.as_bytes(), &good)), Err("signature"));
}

#[test]
fn rows_4_5_signed_otherwise() {
    check_signature(&sign(STATEMENT.as_bytes()));
    check_signature(&sign(&pae("text/plain", STATEMENT.as_bytes())));
    check_signature(&sign(&pae(IN_TOTO_JSON, STANDARD.encode(STATEMENT).as_bytes())));
    for other in ["text/plain", "application/vnd.in-toto.provenance+json", ""] {
        let mut envelope = envelope(STATEMENT.as_bytes(), &sign(&pae(other, STATEMENT.as_bytes())));
        envelope["payloadType"] = other.into();
        check(&bundle(&envelope), Err("envelope"));
    }
}

#[test]
fn rows_6_7_no_signatures() {
    let mut envelope = envelope(STATEMENT.as_bytes(), b"x");
    for signatures in
        [json!([]), json!(null), json!([{"sig": ""}]), json!([{"sig": null}]), json!([null]), json!("")]
    {
        envelope["signatures"] = signatures;
        check(&bundle(&envelope), Err("envelope"));
    }
    let message = pae(IN_TOTO_JSON, STATEMENT.as_bytes());
    check_signature(b"\x30\x06\x02\x01\x00\x02\x01\x00");
    check_signature(&[sign(&message).as_slice(), b"\x00"].concat());
    check_signature(&STANDARD.decode("MEUCID8hbeGvQT0FJk5yjrQkrIsGwWbqin3M8K0wdcW0ovq2AiEA5Hw8Paq4EGsheFR4x0Se5bVlLudDPQbY4yQIAm4mk+Y=").unwrap());

    let mut malleable = sign_edwards(&message);
    let mut carry = 0;
    for (byte, order) in malleable[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    check_signature(&malleable);
}

#[test]
fn rows_8_9_25_other_bundles() {
    let stranger = envelope(STATEMENT.as_bytes(), &[7; 64]);
    for material in [
        json!({"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}),
        json!({"publicKey": {"hint": "", "rawBytes": "AAAA"}}),
        json!({"x509CertificateChain": {"certificates": []}}),
    ] {
        let mut bundle = bundle(&stranger);
        bundle["verificationMaterial"] = material;
        check(&bundle, Err("signature"));
    }
    let good = signed(STATEMENT.as_bytes());
    let with = |field: &str, value: Value| {
        let mut other = good.clone();
        other[field] = value;
        other
    };
    check(&with("messageSignature", json!({"signature": "AAAA"})), Err("bundle"));
    check(&with("surprise", json!(1)), Err("bundle"));
    check(&with("dsseEnvelope", json!(null)), Err("envelope"));
    check(&with("verificationMaterial", json!(null)), Err("bundle"));
    for version in [
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle.v0.4+json",
    ] {
        check(&with("mediaType", version.into()), Err("bundle"));
    }
    let mut only_message = with("messageSignature", json!({"signature": "AAAA"}));
    only_message.as_object_mut().unwrap().remove("dsseEnvelope");
    check(&only_message, Err("bundle"));
}

#[test]
fn row_10_too_many_signatures() {
    for count in [ENVELOPE_SIGNATURES_MAX + 1, 5000] {
        let mut envelope = envelope(STATEMENT.as_bytes(), b"x");
        envelope["signatures"] = vec![json!({"sig": "AAAA"}); count].into();
        check(&bundle(&envelope), Err("envelope"));
    }
}

#[test]
fn row_11_payloads_that_are_no_base64() {
    let good = STANDARD.encode(STATEMENT);
    for payload in
        [json!(format!("{good}!")), json!(format!("\n{good}")), json!(""), json!({"a": 1}), json!(null)]
    {
        let mut envelope = envelope(STATEMENT.as_bytes(), b"x");
        envelope["payload"] = payload;
        check(&bundle(&envelope), Err("envelope"));
    }
}

#[test]
fn rows_12_13_another_image() {
    let other = Digest::of(b"config of the same image").hex();
    check_payload(&STATEMENT.replace(HEX, &other), "subject");
    check_payload(&STATEMENT.replace("tiny", TINY).replace(HEX, &other), "subject");
}

#[test]
fn row_14_subjects_that_name_nothing() {
    let full = format!(r#"[{{"digest":{{"sha256":"{HEX}"}},"name":"tiny"}}]"#);
    let check = |subject: &str| check_payload(&STATEMENT.replace(&full, subject), "statement");
    for subject in ["[]", "null", "{}", "[null]", r#"[{"name":"tiny"}]"#, r#"[{"name":"tiny","digest":{}}]"#]
    {
        check(subject);
    }
    check(&full.replace(HEX, &HEX[..63]));
    check(&full.replace(HEX, &HEX.to_uppercase()));
    check(&full.replace("sha256", "sha257"));
    check(&full.replace("sha256", "SHA256"));
    check(&full.replace(&format!("\"{HEX}\""), "1"));
    check(&full.replace("\"tiny\"", "7"));
    check(&full.replace("\"sha256\"", "\"sha512\":\"00\",\"sha256\""));
}

#[test]
fn rows_15_16_keys_twice_or_in_another_case() {
    let twice = |field: &str, value: &str| STATEMENT.replacen('{', &format!("{{\"{field}\":{value},"), 1);
    for (field, value) in [("subject", "[]"), ("predicate", "{}"), ("_type", "1"), ("predicateType", "\"x\"")]
    {
        check_payload(&twice(field, value), "statement");
        check_payload(&STATEMENT.replacen("}]}", &format!("}}],\"{field}\":{value}}}"), 1), "statement");
    }
    check_payload(&STATEMENT.replace(r#""a":1"#, r#""builder":{"id":"x","id":"y"}"#), "statement");
    for (field, other) in
        [("subject", "Subject"), ("predicateType", "PredicateType"), ("predicate\"", "Predicate\"")]
    {
        check_payload(&STATEMENT.replace(&format!("\"{field}"), &format!("\"{other}")), "statement");
    }
    let text = signed(STATEMENT.as_bytes()).to_string();
    let again = text.replacen("\"payload\":", "\"payload\":\"e30=\",\"payload\":", 1);
    assert_eq!(judge(again.as_bytes()), Err("bundle"));
}

#[test]
fn row_17_bytes_around_the_json() {
    for payload in
        [format!("\u{feff}{STATEMENT}"), format!("{STATEMENT}x"), format!("[{STATEMENT}]"), String::from("7")]
    {
        check_payload(&payload, "statement");
    }
    let broken = [&STATEMENT.as_bytes()[..1], b"\"\xff\":1,", &STATEMENT.as_bytes()[1..]].concat();
    check(&signed(&broken), Err("statement"));
    let bundle = signed(STATEMENT.as_bytes()).to_string();
    for text in
        [format!("\u{feff}{bundle}"), format!("{bundle}{bundle}"), format!("[{bundle}]"), String::new()]
    {
        assert_eq!(judge(text.as_bytes()), Err("bundle"));
    }
}

#[test]
fn rows_18_19_no_statement() {
    for kind in ["https://in-toto.io/Statement/v2", "link", "layout", "https://in-toto.io/Statement/v1 ", ""]
    {
        check_payload(&STATEMENT.replace("https://in-toto.io/Statement/v1", kind), "statement");
    }
    check_payload(&STATEMENT.replace("_type", "type"), "statement");
    for predicate in ["null", "[]", "\"x\"", "7"] {
        check_payload(&STATEMENT.replace(r#"{"a":1}"#, predicate), "statement");
    }
    check_payload(&STATEMENT.replace("\"https://slsa.dev/provenance/v1\"", "\"\""), "statement");
}

#[test]
fn row_20_the_statement_decides_what_it_is() {
    let text = STATEMENT.replace("slsa.dev/provenance/v1", "spdx.dev/Document");
    let statement = Statement::parse(text.as_bytes()).unwrap();
    assert!(matches!(Provenance::read(&statement), Err(ProvenanceError::PredicateType(_))));
    assert!(matches!(Rebuilt::read(&statement), Err(RebuiltError::PredicateType(_))));
    assert_eq!(builder_id(&statement), None);
}

#[test]
fn rows_23_24_too_much() {
    let subjects = |count: usize| {
        let one = format!(r#"{{"digest":{{"sha256":"{HEX}"}}}}"#);
        STATEMENT.replace("[{", &format!("[{}{{", format!("{one},").repeat(count)))
    };
    check(&signed(subjects(STATEMENT_SUBJECTS_MAX - 1).as_bytes()), Ok(()));
    check_payload(&subjects(STATEMENT_SUBJECTS_MAX), "statement");
    check_payload(&STATEMENT.replace(r#""a":1"#, &format!(r#""a":{}"#, "[".repeat(200_000))), "statement");
    let many = STATEMENT.replace("[{", &format!("[{}{{", "{},".repeat(2_000_000)));
    assert!(matches!(Statement::parse(many.as_bytes()), Err(StatementError::Json(JsonError::Values))));
    let long = vec![b' '; usize::try_from(STATEMENT_SIZE_BYTES_MAX).unwrap() + 1];
    assert!(matches!(Statement::parse(&long), Err(StatementError::Json(JsonError::Size { .. }))));
}

#[test]
fn errors_show_no_control_characters() {
    let text = STATEMENT.replace("https://in-toto.io/Statement/v1", r"\u001b]0;owned\u0007\u202e");
    let error = Statement::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(!error.contains(char::is_control) && !error.contains('\u{202e}'), "{error}");
}
