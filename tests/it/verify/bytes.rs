//! Attacks by bytes: what a stranger can put beside an image, or into a registry's storage.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reprov::attest::pae;
use serde_json::{Value, json};

use crate::support::{Ran, Settings, sha256};

use super::stand::{
    BUILDER, BUNDLE, By, ENVELOPE, INDEX, MANIFEST, PROVENANCE, REPOSITORY, STATEMENT, SUMMARY, Stand,
    bundle_of,
};

/// The order of Ed25519's group, little end first.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
/// Over SHA-1, by the key that is trusted; of the statement in attest's tests.
const SHA1: &str =
    "MEUCID8hbeGvQT0FJk5yjrQkrIsGwWbqin3M8K0wdcW0ovq2AiEA5Hw8Paq4EGsheFR4x0Se5bVlLudDPQbY4yQIAm4mk+Y=";

fn hint() -> String {
    By::Ours.bundle(b"{}")["verificationMaterial"]["publicKey"]["hint"].as_str().unwrap().to_owned()
}

fn payload(stand: &Stand) -> String {
    stand.statement(PROVENANCE, &stand.predicate()).to_string()
}

/// The honest bundle, changed.
fn bundle(change: impl FnOnce(&mut Value)) -> Ran {
    let stand = Stand::new();
    let mut bundle = By::Ours.bundle(payload(&stand).as_bytes());
    change(&mut bundle);
    stand.attach_blob(BUNDLE, bundle.to_string().as_bytes());
    stand.verify(&[])
}

/// The honest bundle with another signature.
fn signature(make: impl FnOnce(&[u8]) -> Vec<u8>) -> Ran {
    let stand = Stand::new();
    let payload = payload(&stand);
    let mut bundle = By::Ours.bundle(payload.as_bytes());
    let signature = make(payload.as_bytes());
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = STANDARD.encode(signature).into();
    stand.attach_blob(BUNDLE, bundle.to_string().as_bytes());
    stand.verify(&[])
}

/// The honest statement's text, changed and rightly signed.
fn text(change: impl FnOnce(&Stand, String) -> Vec<u8>) -> Ran {
    let stand = Stand::new();
    let text = payload(&stand);
    let changed = change(&stand, text);
    stand.attach_bytes(By::Ours, &changed);
    stand.verify(&[])
}

/// The honest statement, changed and rightly signed.
fn statement(change: impl FnOnce(&mut Value)) -> Ran {
    text(|_, text| {
        let mut statement: Value = serde_json::from_str(&text).unwrap();
        change(&mut statement);
        statement.to_string().into_bytes()
    })
}

/// The honest statement by another builder, judged by a policy.
fn builder(id: &str) -> Ran {
    let stand = Stand::new();
    let mut predicate = stand.predicate();
    predicate["runDetails"]["builder"]["id"] = id.into();
    stand.attach(By::Ours, PROVENANCE, &predicate);
    stand.by_policy(&format!("builders = [\"{BUILDER}\"]\n"), &[])
}

pub(super) fn nothing() -> Ran {
    Stand::new().verify(&[])
}

pub(super) fn stranger() -> Ran {
    let stand = Stand::new();
    let envelope = By::Stranger.envelope(payload(&stand).as_bytes());
    stand.attach_blob(BUNDLE, bundle_of(&envelope, "").to_string().as_bytes());
    stand.verify(&[])
}

pub(super) fn stranger_with_our_hint() -> Ran {
    let stand = Stand::new();
    let mut envelope = By::Stranger.envelope(payload(&stand).as_bytes());
    envelope["signatures"][0]["keyid"] = hint().into();
    stand.attach_blob(BUNDLE, bundle_of(&envelope, &hint()).to_string().as_bytes());
    stand.verify(&[])
}

pub(super) fn flipped_signature() -> Ran {
    signature(|payload| {
        let mut signature = By::Ours.sign(&pae(STATEMENT, payload));
        let last = signature.len() - 1;
        signature[last] ^= 1;
        signature
    })
}

pub(super) fn flipped_payload() -> Ran {
    bundle(|bundle| {
        let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
        let other = String::from_utf8(payload).unwrap().replace("\"web\"", "\"wec\"");
        bundle["dsseEnvelope"]["payload"] = STANDARD.encode(other).into();
    })
}

pub(super) fn without_pae() -> Ran {
    signature(|payload| By::Ours.sign(payload))
}

pub(super) fn pae_of_another_type() -> Ran {
    signature(|payload| By::Ours.sign(&pae("text/plain", payload)))
}

pub(super) fn another_payload_type() -> Ran {
    let stand = Stand::new();
    let payload = payload(&stand);
    let mut envelope = By::Ours.envelope(payload.as_bytes());
    envelope["payloadType"] = "text/plain".into();
    let signature = By::Ours.sign(&pae("text/plain", payload.as_bytes()));
    envelope["signatures"][0]["sig"] = STANDARD.encode(signature).into();
    stand.attach_blob(BUNDLE, bundle_of(&envelope, &hint()).to_string().as_bytes());
    stand.verify(&[])
}

pub(super) fn no_signatures() -> Ran {
    bundle(|bundle| bundle["dsseEnvelope"]["signatures"] = json!([]))
}

pub(super) fn null_signatures() -> Ran {
    bundle(|bundle| bundle["dsseEnvelope"]["signatures"] = Value::Null)
}

pub(super) fn empty_signature() -> Ran {
    bundle(|bundle| bundle["dsseEnvelope"]["signatures"][0]["sig"] = "".into())
}

pub(super) fn zero_signature() -> Ran {
    signature(|_| b"\x30\x06\x02\x01\x00\x02\x01\x00".to_vec())
}

pub(super) fn der_and_more() -> Ran {
    signature(|payload| [By::Ours.sign(&pae(STATEMENT, payload)).as_slice(), b"\x00"].concat())
}

pub(super) fn malleable() -> Ran {
    let stand = Stand::new();
    let payload = payload(&stand);
    let mut envelope = By::Other.envelope(payload.as_bytes());
    let mut signature = By::Other.sign(&pae(STATEMENT, payload.as_bytes()));
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    envelope["signatures"][0]["sig"] = STANDARD.encode(signature).into();
    let text = std::fs::read_to_string(By::Other.public()).unwrap();
    let hint = reprov::attest::PublicKey::from_pem(&text).unwrap().hint();
    stand.attach_blob(BUNDLE, bundle_of(&envelope, &hint).to_string().as_bytes());
    stand.verify(&["--trust", &By::Other.public()])
}

pub(super) fn sha1() -> Ran {
    signature(|_| STANDARD.decode(SHA1).unwrap())
}

pub(super) fn own_certificate() -> Ran {
    let stand = Stand::new();
    let mut bundle = bundle_of(&By::Stranger.envelope(payload(&stand).as_bytes()), "");
    bundle["verificationMaterial"] =
        json!({"certificate": {"rawBytes": STANDARD.encode(b"0")}, "tlogEntries": []});
    stand.attach_blob(BUNDLE, bundle.to_string().as_bytes());
    stand.verify(&[])
}

pub(super) fn own_key() -> Ran {
    let stand = Stand::new();
    let mut bundle = bundle_of(&By::Stranger.envelope(payload(&stand).as_bytes()), "");
    let pair = Ed25519KeyPair::generate().unwrap();
    let raw = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec();
    bundle["verificationMaterial"]["publicKey"]["rawBytes"] = STANDARD.encode(raw).into();
    stand.attach_blob(BUNDLE, bundle.to_string().as_bytes());
    stand.verify(&[])
}

pub(super) fn message_signature() -> Ran {
    bundle(|bundle| {
        bundle.as_object_mut().unwrap().remove("dsseEnvelope");
        bundle["messageSignature"] = json!({"signature": "AAAA"});
    })
}

pub(super) fn both_contents() -> Ran {
    bundle(|bundle| bundle["messageSignature"] = json!({"signature": "AAAA"}))
}

pub(super) fn many_signatures() -> Ran {
    bundle(|bundle| bundle["dsseEnvelope"]["signatures"] = vec![json!({"sig": "AAAA"}); 5000].into())
}

pub(super) fn foreign_base64() -> Ran {
    bundle(|bundle| {
        let text = format!("{}!", bundle["dsseEnvelope"]["payload"].as_str().unwrap());
        bundle["dsseEnvelope"]["payload"] = text.into();
    })
}

pub(super) fn object_payload() -> Ran {
    bundle(|bundle| bundle["dsseEnvelope"]["payload"] = json!({"a": 1}))
}

pub(super) fn another_image() -> Ran {
    statement(|it| it["subject"] = json!([{"name": "other", "digest": {"sha256": "7".repeat(64)}}]))
}

pub(super) fn right_name() -> Ran {
    statement(|it| it["subject"][0]["digest"]["sha256"] = "7".repeat(64).into())
}

pub(super) fn config_digest() -> Ran {
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    statement(|it| {
        it["subject"][0]["digest"]["sha256"] = sha256(config).strip_prefix("sha256:").unwrap().into();
    })
}

pub(super) fn no_subject() -> Ran {
    statement(|it| it["subject"] = json!([]))
}

pub(super) fn subject_without_digest() -> Ran {
    statement(|it| it["subject"] = json!([{"name": "web"}]))
}

pub(super) fn short_digest() -> Ran {
    statement(|it| {
        let short = it["subject"][0]["digest"]["sha256"].as_str().unwrap()[..63].to_owned();
        it["subject"][0]["digest"]["sha256"] = short.into();
    })
}

pub(super) fn made_up_algorithm() -> Ran {
    statement(|it| it["subject"][0]["digest"] = json!({"sha257": "7".repeat(64)}))
}

pub(super) fn subject_twice_last() -> Ran {
    text(|stand, text| {
        let other =
            format!("\"subject\":[{{\"digest\":{{\"sha256\":\"{}\"}}}}],\"subject\":", "7".repeat(64));
        assert!(text.contains(&stand.subject().to_string()));
        text.replacen("\"subject\":", &other, 1).into_bytes()
    })
}

pub(super) fn subject_twice_first() -> Ran {
    text(|_, text| {
        let other = format!(",\"subject\":[{{\"digest\":{{\"sha256\":\"{}\"}}}}]}}", "7".repeat(64));
        format!("{}{other}", text.strip_suffix('}').unwrap()).into_bytes()
    })
}

pub(super) fn payload_twice() -> Ran {
    let stand = Stand::new();
    let text = By::Ours.bundle(payload(&stand).as_bytes()).to_string();
    let twice = text.replacen("\"payload\":", "\"payload\":\"AAAA\",\"payload\":", 1);
    stand.attach_blob(BUNDLE, twice.as_bytes());
    stand.verify(&[])
}

pub(super) fn builder_twice() -> Ran {
    text(|_, text| {
        text.replacen("\"builder\":", "\"builder\":{\"id\":\"https://x\"},\"builder\":", 1).into_bytes()
    })
}

pub(super) fn subject_in_another_case() -> Ran {
    text(|_, text| text.replacen("\"subject\":", "\"Subject\":", 1).into_bytes())
}

pub(super) fn type_in_another_case() -> Ran {
    text(|_, text| text.replacen("\"predicateType\":", "\"PredicateType\":", 1).into_bytes())
}

pub(super) fn byte_order_mark() -> Ran {
    text(|_, text| format!("\u{feff}{text}").into_bytes())
}

pub(super) fn bytes_after() -> Ran {
    text(|_, text| format!("{text} {{}}").into_bytes())
}

pub(super) fn bad_utf8() -> Ran {
    text(|_, text| {
        let mut bytes = text.into_bytes();
        let at = bytes.windows(5).position(|window| window == b"\"web\"").unwrap();
        bytes[at + 1] = 0xff;
        bytes
    })
}

pub(super) fn array() -> Ran {
    text(|_, text| format!("[{text}]").into_bytes())
}

pub(super) fn unknown_type() -> Ran {
    statement(|it| it["_type"] = "https://in-toto.io/Statement/v2".into())
}

pub(super) fn no_type() -> Ran {
    statement(|it| drop(it.as_object_mut().unwrap().remove("_type")))
}

pub(super) fn null_predicate() -> Ran {
    statement(|it| it["predicate"] = Value::Null)
}

pub(super) fn lying_annotation() -> Ran {
    let stand = Stand::new();
    let statement = stand.statement("https://x.example/v1", &json!({"a": 1})).to_string();
    let bytes = By::Ours.bundle(statement.as_bytes()).to_string().into_bytes();
    let digest = stand.registry.put_blob(REPOSITORY, &bytes);
    let layers = json!([{"mediaType": BUNDLE, "digest": digest, "size": bytes.len()}]);
    stand.attach_layers(BUNDLE, &layers, &json!({"dev.sigstore.bundle.predicateType": PROVENANCE}));
    stand.verify(&[])
}

pub(super) fn another_builder() -> Ran {
    builder("https://evil.example/builder")
}

pub(super) fn builder_and_more() -> Ran {
    builder(&format!("{BUILDER}.1"))
}

pub(super) fn builder_and_nul() -> Ran {
    builder(&format!("{BUILDER}\0"))
}

pub(super) fn steering_builder() -> Ran {
    let stand = Stand::new();
    let mut predicate = stand.predicate();
    predicate["runDetails"]["builder"]["id"] = "https://x\u{1b}]0;owned\u{7}\u{202e}".into();
    stand.attach(By::Ours, PROVENANCE, &predicate);
    let policy = format!("builders = [\"{BUILDER}\"]\n");
    let shown = stand.by_policy(&policy, &["--format", "text"]);
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!shown.out.contains(steers) && !shown.err.contains(steers), "{shown:?}");
    stand.by_policy(&policy, &[])
}

pub(super) fn brackets() -> Ran {
    text(|_, _| "[".repeat(200_000).into_bytes())
}

pub(super) fn many_subjects() -> Ran {
    text(|_, text| {
        let subjects = "{},".repeat(2_000_000);
        text.replacen("\"subject\":[", &format!("\"subject\":[{subjects}"), 1).into_bytes()
    })
}

pub(super) fn large_statement() -> Ran {
    text(|_, text| {
        text.replacen("\"name\":\"web\"", &format!("\"name\":\"{}\"", "x".repeat(33 << 20)), 1).into_bytes()
    })
}

pub(super) fn unknown_bundle() -> Ran {
    bundle(|bundle| bundle["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.4+json".into())
}

pub(super) fn referrer_is_index() -> Ran {
    let stand = Stand::new();
    stand.registry.put_manifest(
        REPOSITORY,
        &json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": [], "artifactType": BUNDLE,
            "subject": {"mediaType": MANIFEST, "digest": stand.image, "size": stand.size},
        }),
    );
    stand.verify(&[])
}

/// An index cannot hold its own digest, so the registry's storage gives one for it.
pub(super) fn fallback_names_itself() -> Ran {
    let stand = Stand::of(Settings::default().apiless());
    let itself = sha256(b"itself");
    let entries = json!([{"mediaType": MANIFEST, "digest": itself, "size": 100}]);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let digest = stand.registry.put_manifest(REPOSITORY, &index);
    let outer = json!({"schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{"mediaType": MANIFEST, "digest": digest, "size": index.to_string().len()}]});
    let outer = stand.registry.put_manifest(REPOSITORY, &outer);
    stand.registry.set_tag(REPOSITORY, &stand.image.replace(':', "-"), &outer);
    stand.verify(&[])
}

/// The honest bundle under a descriptor that is changed.
fn descriptor(change: impl FnOnce(&mut Value)) -> Ran {
    let stand = Stand::new();
    let bytes = By::Ours.bundle(payload(&stand).as_bytes()).to_string().into_bytes();
    let digest = stand.registry.put_blob(REPOSITORY, &bytes);
    let mut layer = json!({"mediaType": BUNDLE, "digest": digest, "size": bytes.len()});
    change(&mut layer);
    stand.attach_layers(BUNDLE, &json!([layer]), &json!({}));
    stand.verify(&[])
}

pub(super) fn path_digest() -> Ran {
    descriptor(|layer| layer["digest"] = "sha256:../../../../etc/passwd".into())
}

pub(super) fn negative_size() -> Ran {
    descriptor(|layer| layer["size"] = (-1).into())
}

pub(super) fn absurd_size() -> Ran {
    descriptor(|layer| layer["size"] = (1u64 << 63).into())
}

pub(super) fn size_off() -> Ran {
    descriptor(|layer| layer["size"] = (layer["size"].as_u64().unwrap() + 1).into())
}

pub(super) fn many_layers() -> Ran {
    let stand = Stand::new();
    let layer = json!({"mediaType": BUNDLE, "digest": sha256(b"x"), "size": 1});
    stand.attach_layers(BUNDLE, &vec![layer; 100_000].into(), &json!({}));
    stand.verify(&[])
}

pub(super) fn many_envelopes() -> Ran {
    let stand = Stand::new();
    let layer = json!({"mediaType": ENVELOPE, "digest": sha256(b"x"), "size": 1});
    stand.set_legacy(&vec![layer; 20_000]);
    stand.verify(&[])
}

pub(super) fn embedded_data() -> Ran {
    descriptor(|layer| layer["data"] = STANDARD.encode(b"something else").into())
}

/// What would pass, beside the digest of a blob of the same size that would not.
pub(super) fn embedded_in_place_of() -> Ran {
    let stand = Stand::new();
    let bytes = By::Ours.bundle(payload(&stand).as_bytes()).to_string().into_bytes();
    let digest = stand.registry.put_blob(REPOSITORY, &vec![b' '; bytes.len()]);
    let layer =
        json!({"mediaType": BUNDLE, "digest": digest, "size": bytes.len(), "data": STANDARD.encode(&bytes)});
    stand.attach_layers(BUNDLE, &json!([layer]), &json!({}));
    stand.verify(&[])
}

pub(super) fn child_of_index() -> Ran {
    let stand = Stand::new();
    stand.honest();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": MANIFEST, "digest": stand.image,
        "size": stand.size, "platform": {"os": "linux", "architecture": "amd64"}}]});
    let digest = stand.registry.put_manifest(REPOSITORY, &index);
    stand.registry.set_tag(REPOSITORY, "all", &digest);
    let name = format!("{}all", stand.name().strip_suffix('1').unwrap());
    let one = stand.verify_name(&name, &["--platform", "linux/amd64"]);
    assert_eq!(one.code, Some(0), "{one}");
    let ran = stand.verify_name(&name, &[]);
    assert_eq!(ran.json()["images"][0]["judged"], "index");
    ran
}

pub(super) fn failed_summary() -> Ran {
    let stand = Stand::new();
    let summary = json!({"verifier": {"id": "https://verify.example.org"}, "timeVerified": "2026-01-02T00:00:00Z",
        "resourceUri": "x", "policy": {"uri": "y", "digest": {"sha256": "7".repeat(64)}},
        "verificationResult": "FAILED", "verifiedLevels": ["FAILED"]});
    stand.attach(By::Ours, SUMMARY, &summary);
    stand.verify(&[])
}

pub(super) fn legacy_of_another() -> Ran {
    let stand = Stand::new();
    let text = payload(&stand).replace(stand.image.strip_prefix("sha256:").unwrap(), &"7".repeat(64));
    stand.legacy(&[By::Ours.envelope(text.as_bytes()).to_string().into_bytes()]);
    stand.verify(&[])
}

pub(super) fn legacy_lying() -> Ran {
    let stand = Stand::new();
    let statement = stand.statement("https://x.example/v1", &json!({"a": 1})).to_string();
    stand.legacy(&[By::Ours.envelope(statement.as_bytes()).to_string().into_bytes()]);
    stand.verify(&[])
}

pub(super) fn legacy_signature_annotated() -> Ran {
    let stand = Stand::new();
    let payload = payload(&stand);
    let bytes = By::Stranger.envelope(payload.as_bytes()).to_string().into_bytes();
    let digest = stand.registry.put_blob(REPOSITORY, &bytes);
    let signature = STANDARD.encode(By::Ours.sign(&pae(STATEMENT, payload.as_bytes())));
    let annotations = json!({"dev.cosignproject.cosign/signature": signature, "predicateType": PROVENANCE});
    stand.set_legacy(&[
        json!({"mediaType": ENVELOPE, "digest": digest, "size": bytes.len(), "annotations": annotations}),
    ]);
    stand.verify(&[])
}

pub(super) fn altered_blob() -> Ran {
    let stand = Stand::new();
    let bytes = By::Ours.bundle(payload(&stand).as_bytes()).to_string().into_bytes();
    let digest = sha256(b"another");
    stand.registry.put_blob_as(REPOSITORY, &digest, &bytes);
    let layers = json!([{"mediaType": BUNDLE, "digest": digest, "size": bytes.len()}]);
    stand.attach_layers(BUNDLE, &layers, &json!({}));
    stand.verify(&[])
}

pub(super) fn altered_manifest() -> Ran {
    let stand = Stand::new();
    let bytes = By::Ours.bundle(payload(&stand).as_bytes()).to_string().into_bytes();
    let digest = stand.registry.put_blob(REPOSITORY, &bytes);
    let layers = json!([{"mediaType": BUNDLE, "digest": digest, "size": bytes.len()}]);
    let manifest = stand.referrer(BUNDLE, &layers, &json!({})).to_string();
    stand.registry.put_manifest_as(REPOSITORY, &sha256(b"another"), MANIFEST, manifest.as_bytes());
    stand.verify(&[])
}

pub(super) fn altered_image() -> Ran {
    let stand = Stand::new();
    stand.honest();
    let own = stand.registry.manifest(REPOSITORY, &stand.image).unwrap().1;
    let other = Stand::new();
    let digest = sha256(b"what was asked for");
    other.registry.put_manifest_as(REPOSITORY, &digest, MANIFEST, &own);
    let name = format!("{}@{digest}", other.name());
    other.verify_name(&name, &[])
}

pub(super) fn nested_indexes() -> Ran {
    let stand = Stand::new();
    stand.honest();
    let (mut digest, mut size) = (stand.image.clone(), stand.size);
    for level in 0..10 {
        let kind = if level == 0 { MANIFEST } else { INDEX };
        let entry = |at: usize| json!({"mediaType": kind, "digest": digest, "size": size, "annotations": {"at": at.to_string()}});
        let entries: Vec<Value> = (0..20).map(entry).collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        size = index.to_string().len();
        digest = stand.registry.put_manifest(REPOSITORY, &index);
    }
    stand.registry.set_tag(REPOSITORY, "deep", &digest);
    let name = format!("{}deep", stand.name().strip_suffix('1').unwrap());
    stand.verify_name(&name, &[])
}
