//! Keys made here and by other tools. The files under `fixtures/interop/keys` are TEST-ONLY.

use serde_json::json;

use super::*;
use crate::{attest::Subject, model::Digest};

macro_rules! key_file {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/interop/keys/TEST-ONLY-", $name))
    };
}

const BOTH: [KeyType; 2] = [KeyType::P256, KeyType::Ed25519];

#[test]
fn round_trips_through_pem() {
    for key_type in BOTH {
        let key = PrivateKey::generate(key_type);
        let plain = key.to_pem(None);
        assert!(
            plain.starts_with("-----BEGIN PRIVATE KEY-----\n")
                && plain.ends_with("-----END PRIVATE KEY-----\n")
        );
        assert_eq!(PrivateKey::from_pem(&plain, None).unwrap().to_pem(None), plain);
        assert_eq!(PublicKey::from_pem(&key.public_pem()).unwrap(), key.public());
    }
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let key = PrivateKey::generate(KeyType::Ed25519);
    let pem = key.to_pem(Some("correct horse"));
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert_eq!(PrivateKey::from_pem(&pem, Some("correct horse")).unwrap().public(), key.public());
    assert!(matches!(PrivateKey::from_pem(&pem, Some("wrong")), Err(PrivateKeyError::Decrypt)));
    assert!(matches!(PrivateKey::from_pem(&pem, None), Err(PrivateKeyError::NoPassword)));
}

#[test]
fn openssl_keys_are_read() {
    let expected = PublicKey::from_pem(key_file!("p256.pub")).unwrap();
    for pem in [key_file!("p256.pem"), key_file!("p256-sec1.pem"), key_file!("p256-encrypted-pkcs8.pem")] {
        assert_eq!(PrivateKey::from_pem(pem, Some("test-only")).unwrap().public(), expected);
    }
    let edwards = PrivateKey::from_pem(key_file!("ed25519.pem"), None).unwrap();
    assert_eq!(edwards.public_pem(), key_file!("ed25519.pub"));
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let error = PrivateKey::from_pem(text, Some("x")).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn other_files_are_refused_with_a_remedy() {
    check("", "reprov key generate");
    check(key_file!("p256.pub"), "public key");
    check(key_file!("p256-v3.key"), "cosign");
    check(&format!("{0}{0}", key_file!("p256.pem")), "one private key");
    check(&key_file!("p256.pem").replace("PRIVATE KEY", "CERTIFICATE"), "`CERTIFICATE`");
    check(&key_file!("p256-sec1.pem").replace("EC PRIVATE", "PRIVATE"), "PKCS#8");
    check(&key_file!("ed25519.pem").replace("PRIVATE KEY", "EC PRIVATE KEY"), "not a P-256");
}

#[test]
fn a_key_file_cannot_ask_for_gigabytes() {
    use pkcs8::pkcs5::pbes2;
    let mut parameters = pbes2::Parameters::generate_scrypt(&mut Zeros).unwrap();
    if let Kdf::Scrypt(kdf) = &mut parameters.kdf {
        kdf.cost_parameter = 1 << 30;
    }
    let ciphertext = [0; 32];
    let encrypted = pkcs8::EncryptedPrivateKeyInfo {
        encryption_algorithm: parameters.into(),
        encrypted_data: der::asn1::OctetStringRef::new(&ciphertext).unwrap(),
    };
    let pem = SecretDocument::try_from(encrypted).unwrap().to_pem(ENCRYPTED, LineEnding::LF).unwrap();
    check(&pem, "more memory or time");
}

/// Salt and IV do not matter to a key that is never decrypted.
struct Zeros;
impl pkcs8::rand_core::TryRng for Zeros {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(0);
        Ok(())
    }
}
impl pkcs8::rand_core::TryCryptoRng for Zeros {}

#[test]
fn signs_envelopes_that_verify() {
    let statement = Statement {
        subject: vec![Subject::new("app", &Digest::of(b"manifest"))],
        predicate_type: "https://example.org/p/v1".into(),
        predicate: json!({"a": 1}),
    };
    for key_type in BOTH {
        let (key, other) = (PrivateKey::generate(key_type), PrivateKey::generate(key_type));
        let envelope = Envelope::parse(&key.sign_envelope(&statement).to_bytes()).unwrap();
        assert_eq!(envelope.verified_by(&[other.public(), key.public()]), Some(1));
        assert_eq!(envelope.verified_by(&[other.public()]), None);
        assert_eq!(envelope.statement().unwrap(), statement);
    }
}

#[test]
fn debug_shows_no_secret() {
    let key = PrivateKey::generate(KeyType::P256);
    assert_eq!(format!("{key:?}"), format!("PrivateKey(of {})", key.public().fingerprint()));
}
