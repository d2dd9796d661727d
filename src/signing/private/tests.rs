//! Keys made here and by other tools. The files under `fixtures/interop/keys` are TEST-ONLY.

use serde_json::json;

use super::*;
use crate::{
    attest::{Envelope, Statement, Subject},
    model::Digest,
    signing::Signer,
};

macro_rules! key_file {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/interop/keys/TEST-ONLY-", $name))
    };
}

const BOTH: [KeyType; 2] = [KeyType::P256, KeyType::Ed25519];

/// The password of each kind of file.
fn passwords(password: &str) -> Passwords {
    Passwords { reprov: Some(Secret::new(password)), cosign: Some(Secret::new(password)) }
}

fn read(pem: &str, password: &str) -> Result<PrivateKey, PrivateKeyError> {
    PrivateKey::from_pem(pem, &passwords(password))
}

fn plain(pem: &str) -> Result<PrivateKey, PrivateKeyError> {
    PrivateKey::from_pem(pem, &Passwords::default())
}

#[test]
fn round_trips_through_pem() {
    for key_type in BOTH {
        let key = PrivateKey::generate(key_type);
        let pem = key.to_pem(None);
        assert!(
            pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && pem.ends_with("-----END PRIVATE KEY-----\n")
        );
        assert_eq!(plain(&pem).unwrap().to_pem(None), pem);
        assert_eq!(PublicKey::from_pem(&key.public_pem()).unwrap(), key.public());
    }
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let key = PrivateKey::generate(KeyType::Ed25519);
    let pem = key.to_pem(Some(&Secret::new("correct horse")));
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert_eq!(read(&pem, "correct horse").unwrap().public(), key.public());
    assert!(matches!(read(&pem, "wrong"), Err(PrivateKeyError::Decrypt("REPROV_PASSWORD"))));
    assert!(matches!(plain(&pem), Err(PrivateKeyError::NoPassword("REPROV_PASSWORD"))));
}

#[test]
fn openssl_keys_are_read() {
    let expected = PublicKey::from_pem(key_file!("p256.pub")).unwrap();
    for pem in [key_file!("p256.pem"), key_file!("p256-sec1.pem"), key_file!("p256-encrypted-pkcs8.pem")] {
        assert_eq!(read(pem, "test-only").unwrap().public(), expected);
    }
    let edwards = plain(key_file!("ed25519.pem")).unwrap();
    assert_eq!(edwards.public_pem(), key_file!("ed25519.pub"));
}

#[test]
fn cosign_keys_of_either_label_are_read() {
    let pem = key_file!("p256-v3.key");
    let older = pem.replace("SIGSTORE", "COSIGN");
    for pem in [pem, &older] {
        assert_eq!(read(pem, "test-only").unwrap().public_pem(), key_file!("p256-v3.pub"));
        assert!(matches!(read(pem, "guess"), Err(PrivateKeyError::Decrypt("COSIGN_PASSWORD"))));
        assert!(matches!(plain(pem), Err(PrivateKeyError::NoPassword("COSIGN_PASSWORD"))));
    }
}

/// cosign's container with `from` in its JSON replaced.
fn container(from: &str, to: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let json = super::cosign::body(key_file!("p256-v3.key")).unwrap().unwrap();
    let json = String::from_utf8(json).unwrap();
    assert!(json.contains(from), "{json}");
    let body = STANDARD.encode(json.replace(from, to));
    format!(
        "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n{body}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
    )
}

#[test]
fn a_cosign_file_cannot_choose_its_cost() {
    for cost in [0_u64, 1, 1 << 14, (1 << 16) + 1, 1 << 18, 1 << 24, 1 << 62] {
        check(&container("\"N\":65536", &format!("\"N\":{cost}")), "more memory or time");
    }
    check(&container("\"r\":8", "\"r\":16"), "more memory or time");
    check(&container("\"p\":1", "\"p\":2"), "more memory or time");
}

#[test]
fn a_broken_cosign_file_says_so() {
    check(&container("scrypt", "argon2"), "container");
    check(&container("nacl/secretbox", "none"), "container");
    check(&container("{\"kdf\"", "{\"x\":1,\"kdf\""), "container");
    check(&container("\"salt\":\"", "\"salt\":\"?"), "salt");
    check(&container("\"nonce\":\"", "\"nonce\":\"AAAA"), "nonce");
    let pem = key_file!("p256-v3.key");
    check(&pem[..pem.len() / 2], "does not end");
    check(&format!("{pem}{pem}"), "does not end");
}

#[test]
fn rsa_signs_and_is_read_back() {
    let key = PrivateKey::generate(KeyType::Rsa);
    let again = plain(&key.to_pem(None)).unwrap();
    assert!(key.public().verify(b"a", &again.sign(b"a")));
    assert!(!key.public().verify(b"b", &again.sign(b"a")));
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let error = read(text, "x").unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn other_files_are_refused_with_a_remedy() {
    check("", "reprov key generate");
    check(key_file!("p256.pub"), "public key");
    check(&format!("{0}{0}", key_file!("p256.pem")), "one private key");
    check(&key_file!("p256.pem").replace("PRIVATE KEY", "CERTIFICATE"), "holds a certificate");
    check(&key_file!("p256.pem").replace("PRIVATE KEY", "THING"), "`THING`");
    check(&key_file!("p256-sec1.pem").replace("EC PRIVATE", "PRIVATE"), "PKCS#8");
    check(&key_file!("ed25519.pem").replace("PRIVATE KEY", "EC PRIVATE KEY"), "not a valid P-256");
    check("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "old way");
    let pem = key_file!("p256.pem");
    check(&pem[..pem.len() / 2], "one private key");
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

#[tokio::test]
async fn signs_envelopes_that_verify() {
    let statement = Statement {
        subject: vec![Subject::new("app", &Digest::of(b"manifest"))],
        predicate_type: "https://example.org/p/v1".into(),
        predicate: json!({"a": 1}),
    };
    for key_type in BOTH {
        let (key, other) = (PrivateKey::generate(key_type), PrivateKey::generate(key_type));
        let public = key.public();
        let signed = Signer::from(key).sign_envelope(&statement).await.unwrap();
        let envelope = Envelope::parse(&signed.to_bytes()).unwrap();
        assert_eq!(envelope.verified_by(&[other.public(), public]), Some(1));
        assert_eq!(envelope.verified_by(&[other.public()]), None);
        assert_eq!(envelope.statement().unwrap(), statement);
    }
}

#[test]
fn debug_shows_no_secret() {
    let key = PrivateKey::generate(KeyType::P256);
    assert_eq!(format!("{key:?}"), format!("PrivateKey(of {})", key.public().fingerprint()));
}
