//! What other tools wrote is read, and their signatures verify (FORMATS.md §11).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::attest::key::Checked;
use crate::model::Digest;

const TINY: &str = "sha256:0e1425798d5a78e0ce805056a90a154dbe33566dbc8ff4fdfb231f3443a8b9d4";

fn key(pem: &str) -> PublicKey {
    PublicKey::from_pem(pem).unwrap()
}

/// `envelope` is signed by `by` and by no other key, and about the tiny image.
#[track_caller]
fn check(envelope: &Envelope, by: &str) {
    assert_eq!(envelope.verified_by(&[ours(), key(by)]), Some(1));
    assert_eq!(envelope.verified_by(&[ours(), edwards()]), None);
    let statement = envelope.statement().unwrap();
    assert!(statement.names_subject(&TINY.parse::<Digest>().unwrap()));
    assert!(!statement.names_subject(&Digest::of(b"another")));
    assert_eq!(builder_id(&statement), Some("https://reprov.example/builder/v1"));
}

#[test]
fn cosign_3_bundle() {
    let bundle = Bundle::parse(fixture!("cosign3-bundle.json").as_bytes()).unwrap();
    check(&bundle.envelope, fixture!("keys/TEST-ONLY-p256-v3.pub"));
    assert_eq!(bundle.hint, key(fixture!("keys/TEST-ONLY-p256-v3.pub")).hint());
}

#[test]
fn cosign_3_bundle_by_rsa() {
    let bundle = Bundle::parse(fixture!("cosign3-bundle-rsa.json").as_bytes()).unwrap();
    check(&bundle.envelope, fixture!("keys/TEST-ONLY-rsa.pub"));
}

#[test]
fn cosign_2_envelope() {
    let envelope = Envelope::parse(fixture!("cosign2-envelope.json").as_bytes()).unwrap();
    check(&envelope, fixture!("keys/TEST-ONLY-p256-v2.pub"));
}

#[test]
fn ed25519ph_verifies_though_cosign_does_not_read_its_own() {
    let bundle = Bundle::parse(fixture!("cosign3-bundle-ed25519ph.json").as_bytes()).unwrap();
    assert_eq!(bundle.envelope.verified_by(&[edwards()]), Some(0));
    let message = pae(&bundle.envelope.payload_type, &bundle.envelope.payload);
    let checked = edwards().check(&message, &bundle.envelope.signatures[0]);
    assert!(matches!(checked, Checked::Unportable("Ed25519ph", _)), "{checked:?}");
    assert_eq!(edwards().check(b"another", &bundle.envelope.signatures[0]), Checked::No);
}

#[test]
fn a_bundle_is_written_with_cosigns_fields_only() {
    let mut bundle = Bundle::parse(fixture!("cosign3-bundle.json").as_bytes()).unwrap();
    bundle.envelope.payload = b"{}".to_vec();
    bundle.envelope.signatures = vec![b"sig".to_vec()];
    let text = String::from_utf8(bundle.to_bytes()).unwrap();
    insta::assert_snapshot!(text, @r#"{"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"c2ln"}]},"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"S2oP6ePS/fFzOsjQEznSSeayPnKbKSZ4aginGwAJa4M="}}}"#);
    assert_eq!(Bundle::parse(text.as_bytes()).unwrap(), bundle);
}

const P384: &str = "-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEUX27u+InLd7unuV+YG7cqHoqNobpEqHc\ny5CwH6EgXqIhKwMZ2T1XkRZ0F4Ay1XrGvYQuFEf5hcGlFNASkaUzjVdfZ8t4Ro7h\nSxuvMrc2/1Q3BeFaoTwdSOCd8mJT8Byq\n-----END PUBLIC KEY-----\n";

#[test]
fn p384_signs_with_either_hash() {
    let message = pae("application/vnd.in-toto+json", super::hostile::STATEMENT.as_bytes());
    for signature in [
        "MGUCMGUQ8SVET02G5s0n3mQq1K0gNchIHTOhjo+Pd3YAc/pl8ZkBM5dOmzW9nY1qL0zWsQIxAI7jFHcg5coAETDGyLRy/WDybXHZvXdqCIAmynM5mTCTElGFe6q7aSne8z2nWoPIew==",
        "MGUCMQCbWmjlrtwlkvfnzclWRgFF5gT/PT3b+DpWy/ub4NAqWSN29lrSxnJ9WYIQ1xulX6wCMFlwnv4pNwKAbVP/bYTPuve3gAFUH6uL2dTd1aucc1xS9Ui6yiHzAhUZgSmMBQ3HpQ==",
    ] {
        let signature = STANDARD.decode(signature).unwrap();
        assert!(key(P384).verify(&message, &signature));
        assert!(!key(P384).verify(b"another", &signature));
    }
}

#[test]
fn public_keys_round_trip() {
    for pem in [fixture!("keys/TEST-ONLY-p256.pub"), fixture!("keys/TEST-ONLY-rsa.pub"), P384] {
        assert_eq!(key(pem).to_pem(), pem);
    }
}

#[track_caller]
fn refused(pem: &str, expected: &str) {
    let error = PublicKey::from_pem(pem).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn other_keys_are_refused() {
    let ours = fixture!("keys/TEST-ONLY-p256.pub");
    refused("", "PEM");
    refused(&format!("{ours}{ours}"), "PEM");
    refused(&ours.replace("PUBLIC KEY", "CERTIFICATE"), "a certificate, not a key");
    refused(&ours.replace("PUBLIC KEY", "PGP KEY"), "`PGP KEY`");
    refused(fixture!("keys/TEST-ONLY-p256.pem"), "private key");
    refused(&ours.replacen("==", "AA", 1), "PEM");
    refused(
        "-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCxIyNxyYqSmr/zcL2kwIvumZSC\nkNKObXJcZAt0PCHx5ADhEzsVe/6NlQvijzOnqSVJNat5dDbBsp3u6Z2pQ7bXx0pn\n+YhCwnRgZMnr2+gOUsFKSS+vJcmNf6V7hJp5nPUy6IQEWbf9w7bhcRwl+JwvNT2c\n4N6nxc0nKYsedqxW+QIDAQAB\n-----END PUBLIC KEY-----\n",
        "2048",
    );
    refused(
        "-----BEGIN PUBLIC KEY-----\nMFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEQoTVkPZ5LnNVBz1cRC3k3QpOeKvEmrR5\noUwF1TwG3dpbzd23g4JZ7wAhqf0bKRUuVUAIPUGyQIaq2dlP/NPgAg==\n-----END PUBLIC KEY-----\n",
        "curve 1.3.132.0.10",
    );
    let (_, spki) = pkcs8::Document::from_pem(ours).unwrap();
    let mut off_curve = spki.as_bytes().to_vec();
    *off_curve.last_mut().unwrap() ^= 1;
    assert!(matches!(PublicKey::from_spki(&off_curve), Err(PublicKeyError::Invalid)));
    assert!(matches!(PublicKey::from_spki(b"0"), Err(PublicKeyError::Spki(_))));
}
