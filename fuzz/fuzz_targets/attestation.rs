//! An attestation from anywhere, and a statement that a trusted key really signed: opened and judged, never a panic. The
//! first byte says which of them the rest is, and whether it lies beside a provenance that is believed.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use reprov::{
    attest::{Bundle, Envelope, pae},
    model::{Descriptor, Digest, names},
    policy::{Allowed, Policy},
    signing::{KeyType, PrivateKey},
    verify::{Candidate, Code, Evidence, Form, Judged, Place, Root, Roots, judge, open},
};

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(KeyType::Ed25519));
static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let text = include_str!("../seeds/policy/everything.toml");
    Policy::parse(text, &Code::of_policies()).expect("the seed is a policy")
});

/// A statement that the key signed, in a bundle.
fn signed(payload: &[u8]) -> Vec<u8> {
    let signature = KEY.sign(&pae(names::IN_TOTO_JSON, payload));
    let payload_type = names::IN_TOTO_JSON.to_owned();
    let envelope = Envelope { payload: payload.to_vec(), payload_type, signatures: vec![signature] };
    Bundle { hint: String::new(), envelope }.to_bytes()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let (form, bytes) = match kind % 3 {
        0 => (Form::Bundle, rest.to_vec()),
        1 => (Form::Envelope, rest.to_vec()),
        _ => (Form::Bundle, signed(rest)),
    };
    let digest = Digest::from_hex("0e1425798d5a78e0ce805056a90a154dbe33566dbc8ff4fdfb231f3443a8b9d4").expect("hex");
    let mut root = Root::key(KEY.public(), Allowed::Any, 3);
    root.verifiers.insert("https://verify.example.org/v1".to_owned());
    let roots = Arc::new(Roots(vec![root]));
    let descriptor = Descriptor::new(names::OCI_MANIFEST, digest, 1);
    let judged = Judged { image: "app".to_owned(), descriptor, sha512: String::new(), index: false };
    let candidate = Candidate::new(Place::File(digest), form, bytes, None);
    let mut evidence = Evidence::new(judged.clone(), Arc::clone(&roots));
    evidence.opened.push(open(candidate, &roots, &judged));
    if kind & 0x80 != 0 {
        let provenance = signed(&include_bytes!("../seeds/attestation/build")[1..]);
        let candidate = Candidate::new(Place::File(Digest::of(&provenance)), Form::Bundle, provenance, None);
        evidence.opened.push(open(candidate, &roots, &judged));
    }
    for finding in judge(&evidence, &POLICY, 1_800_000_000).findings {
        assert!(!finding.message.chars().any(char::is_control), "{finding:?}");
    }
});
