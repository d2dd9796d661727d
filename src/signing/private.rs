//! Private keys: P-256, Ed25519 and RSA, in PKCS#8 (plain or encrypted), SEC 1, PKCS#1 or cosign's container.

use std::fmt;

use aws_lc_rs::{
    encoding::AsDer as _,
    error::Unspecified,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use pkcs8::{
    EncryptedPrivateKeyInfoRef, LineEnding, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument, der,
    pkcs5::{EncryptionScheme, pbes2::Kdf},
};

use super::cosign;
use crate::{
    attest::{PublicKey, PublicKeyError},
    model::{Secret, path::printable},
};

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
const EDWARDS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
const PKCS1: &str = "RSA PRIVATE KEY";
/// Largest cost of opening an encrypted key file (FORMATS.md §7): its memory and time are its writer's choice.
const SCRYPT_COST_MAX: u64 = 1 << 17;
const PBKDF2_ITERATIONS_MAX: u32 = 10_000_000;

/// What kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA on P-256 with SHA-256; what cosign makes.
    P256,
    /// Pure Ed25519.
    Ed25519,
    /// RSA of 3072 bits with PKCS#1 v1.5 and SHA-256; for those who must.
    Rsa,
}

/// What opens encrypted key files, each kind by its own. An empty password is one, too.
#[derive(Debug, Clone, Default)]
pub struct Passwords {
    /// `REPROV_PASSWORD`: encrypted PKCS#8.
    pub reprov: Option<Secret>,
    /// `COSIGN_PASSWORD`: cosign's files.
    pub cosign: Option<Secret>,
}

/// A key that signs. Never printed: `Debug` shows its public half's fingerprint.
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// Why a text is not a private key we can sign with.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// No PEM at all.
    #[error("not a PEM file with one private key; `reprov key generate` makes one")]
    NoPem,
    /// Not one whole PEM block.
    #[error("not a PEM file with one private key; `reprov key generate` makes one")]
    Pem(#[source] der::Error),
    /// PEM of something else.
    #[error("it holds a `{0}`, not a `{PLAIN}`")]
    Label(String),
    /// A public key.
    #[error("it holds a public key; give the private one (`.key`)")]
    Public,
    /// A certificate.
    #[error("it holds a certificate; give the private key that belongs to it")]
    Certificate,
    /// Encrypted, and no password was given.
    #[error("it is encrypted; set {0}")]
    NoPassword(&'static str),
    /// The password does not open it.
    #[error("it cannot be decrypted; is {0} right?")]
    Decrypt(&'static str),
    /// OpenSSL's old way (`Proc-Type: 4,ENCRYPTED`), whose key is one MD5.
    #[error(
        "it is encrypted in OpenSSL's old way; `openssl pkcs8 -topk8 -in FILE -out NEW` writes one that is read"
    )]
    OldEncryption,
    /// cosign's container, with something else in it.
    #[error("its container is not one that cosign writes: {0}")]
    Cosign(&'static str),
    /// Encrypted in a way that costs too much to open.
    #[error(
        "its encryption takes more memory or time than allowed; encrypt it again with OpenSSL's defaults"
    )]
    Cost,
    /// Not PKCS#8.
    #[error("not a private key in PKCS#8 form")]
    Pkcs8(#[source] pkcs8::Error),
    /// An algorithm that nothing here signs with.
    #[error("it is a {0} key, which does not sign here; use P-256, Ed25519 or RSA{1}")]
    Algorithm(String, &'static str),
    /// RSA of a length that is not taken, or a public half that is no key.
    #[error("its public half is not usable")]
    PublicHalf(#[source] PublicKeyError),
    /// Not a key of its algorithm.
    #[error("not a valid {0} key")]
    Unusable(&'static str),
}

/// Whether `text` begins as a private key does, whatever comes of it.
pub(super) fn is_private(text: &str) -> Result<(), PrivateKeyError> {
    let label = text.trim_start().strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once("-----"));
    match label {
        Some((label, _)) if label.ends_with("PRIVATE KEY") => Ok(()),
        Some(("PUBLIC KEY" | "RSA PUBLIC KEY", _)) => Err(PrivateKeyError::Public),
        Some(("CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE", _)) => {
            Err(PrivateKeyError::Certificate)
        }
        Some((label, _)) => {
            Err(PrivateKeyError::Label(printable(&label.chars().take(100).collect::<String>())))
        }
        None => Err(PrivateKeyError::NoPem),
    }
}

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Panics
    /// Never: aws-lc accepts the keys it makes, and without randomness it aborts.
    #[must_use]
    pub fn generate(key_type: KeyType) -> Self {
        let pair = match key_type {
            KeyType::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Pair::P256),
            KeyType::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
            KeyType::Rsa => RsaKeyPair::generate(KeySize::Rsa3072).map(Pair::Rsa),
        };
        let key = pair.map_err(|Unspecified| PrivateKeyError::Unusable("new")).and_then(Self::new);
        key.expect("aws-lc makes keys it accepts; without randomness it aborts")
    }

    /// Reads PEM: `PRIVATE KEY`, `ENCRYPTED PRIVATE KEY` (PBES2), `EC PRIVATE KEY`, `RSA PRIVATE KEY`, or cosign's
    /// `ENCRYPTED SIGSTORE PRIVATE KEY` (formerly `COSIGN`). A password given for a plain key is not used.
    ///
    /// # Errors
    /// If it is something else, a key of another algorithm, or the password does not open it.
    pub fn from_pem(text: &str, passwords: &Passwords) -> Result<Self, PrivateKeyError> {
        is_private(text)?;
        let text = text.trim_start();
        if let Some(body) = cosign::body(text) {
            let password = passwords.cosign.as_ref().ok_or(PrivateKeyError::NoPassword(COSIGN_PASSWORD))?;
            return Self::from_pkcs8(&cosign::decrypt(&body?, password.expose())?);
        }
        if text.lines().take(3).any(|line| line.starts_with("Proc-Type:")) {
            return Err(PrivateKeyError::OldEncryption);
        }
        let (label, document) = SecretDocument::from_pem(text).map_err(PrivateKeyError::Pem)?;
        match label {
            PLAIN => Self::from_pkcs8(&document),
            ENCRYPTED => {
                let password =
                    passwords.reprov.as_ref().ok_or(PrivateKeyError::NoPassword(REPROV_PASSWORD))?;
                Self::from_pkcs8(&decrypt(&document, password.expose())?)
            }
            SEC1 => Self::from_sec1(document.as_bytes()),
            PKCS1 => RsaKeyPair::from_der(document.as_bytes())
                .map_err(|_| PrivateKeyError::Unusable("RSA"))
                .and_then(|pair| Self::new(Pair::Rsa(pair))),
            "DSA PRIVATE KEY" => Err(PrivateKeyError::Algorithm("DSA".to_owned(), "")),
            label => Err(PrivateKeyError::Label(printable(label))),
        }
    }

    /// The key as PKCS#8 PEM: encrypted (PBES2: scrypt, AES-256-CBC; OpenSSL reads it) if there is a password.
    ///
    /// # Panics
    /// Never: a key in memory can be written.
    #[must_use]
    pub fn to_pem(&self, password: Option<&Secret>) -> String {
        let plain = self.pkcs8();
        let (label, document) = match password {
            None => (PLAIN, plain),
            Some(password) => (ENCRYPTED, encrypt(&plain, password.expose())),
        };
        let pem = document.to_pem(label, LineEnding::LF).expect("DER can be written as PEM");
        String::clone(&pem)
    }

    /// Its public half as PEM.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.public.to_pem()
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public.clone()
    }

    /// Signs `message`: ECDSA with SHA-256 in DER, pure Ed25519 (64 bytes), or RSA PKCS#1 v1.5 with SHA-256.
    ///
    /// # Panics
    /// Never: aws-lc signs with any key it has accepted.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                signature.expect("aws-lc signs with keys it has accepted").as_ref().to_owned()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_owned(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
                signed.expect("aws-lc signs with keys it has accepted");
                signature
            }
        }
    }

    fn from_pkcs8(document: &SecretDocument) -> Result<Self, PrivateKeyError> {
        let der = document.as_bytes();
        let key = PrivateKeyInfoRef::try_from(der).map_err(PrivateKeyError::Pkcs8)?;
        let curve = key.algorithm.parameters_oid().ok();
        let pair = match key.algorithm.oid {
            EDWARDS => Ed25519KeyPair::from_pkcs8(der).map(Pair::Ed25519).map_err(|_| "Ed25519"),
            EC if curve == Some(P256) => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
                .map(Pair::P256)
                .map_err(|_| "P-256"),
            RSA => RsaKeyPair::from_pkcs8(der).map(Pair::Rsa).map_err(|_| "RSA (2048 to 8192 bits)"),
            other => return Err(unsupported(other, curve)),
        };
        Self::new(pair.map_err(PrivateKeyError::Unusable)?)
    }

    /// SEC 1 names its curve inside; what is no P-256 key is looked at again to say what it is.
    fn from_sec1(der: &[u8]) -> Result<Self, PrivateKeyError> {
        match EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der) {
            Ok(pair) => Self::new(Pair::P256(pair)),
            Err(_) => match sec1_curve(der) {
                Some(curve) if curve != P256 => Err(unsupported(EC, Some(curve))),
                _ => Err(PrivateKeyError::Unusable("P-256")),
            },
        }
    }

    fn new(pair: Pair) -> Result<Self, PrivateKeyError> {
        let spki = match &pair {
            Pair::P256(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
        };
        let spki = spki.map_err(|Unspecified| PrivateKeyError::Unusable("whole"))?;
        let public = PublicKey::from_spki(spki.as_ref()).map_err(PrivateKeyError::PublicHalf)?;
        Ok(Self { pair, public })
    }

    /// PKCS#8 v1, which every tool reads.
    fn pkcs8(&self) -> SecretDocument {
        let whole = "a key in memory can be written";
        let document = match &self.pair {
            Pair::P256(pair) => SecretDocument::try_from(pair.to_pkcs8v1().expect(whole).as_ref()),
            Pair::Ed25519(pair) => SecretDocument::try_from(pair.to_pkcs8v1().expect(whole).as_ref()),
            Pair::Rsa(pair) => {
                let document: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect(whole);
                SecretDocument::try_from(document.as_ref())
            }
        };
        document.expect("aws-lc writes DER")
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public.fingerprint())
    }
}

/// The variables that passwords are in.
const REPROV_PASSWORD: &str = "REPROV_PASSWORD";
pub(super) const COSIGN_PASSWORD: &str = "COSIGN_PASSWORD";

fn unsupported(algorithm: ObjectIdentifier, curve: Option<ObjectIdentifier>) -> PrivateKeyError {
    let (name, more) = match (algorithm, curve) {
        (EC, Some(P384)) => (
            "P-384".to_owned(),
            "; a P-384 key signs through --signer-command 'openssl dgst -sha256 -sign FILE' with its public key as --key",
        ),
        (EC, Some(curve)) => (format!("EC (curve {curve})"), ""),
        (DSA, _) => ("DSA".to_owned(), ""),
        (other, _) => (format!("{other}"), ""),
    };
    PrivateKeyError::Algorithm(name, more)
}

/// The curve that an `ECPrivateKey` names (RFC 5915).
fn sec1_curve(der: &[u8]) -> Option<ObjectIdentifier> {
    use der::{
        Decode as _, Reader as _, SliceReader,
        asn1::{AnyRef, ContextSpecific, OctetStringRef},
    };
    let curve = SliceReader::new(der).ok()?.sequence(|reader| {
        u8::decode(reader)?;
        <&OctetStringRef>::decode(reader)?;
        let curve = ContextSpecific::<ObjectIdentifier>::decode_explicit(reader, der::TagNumber(0))?;
        while !reader.is_finished() {
            AnyRef::decode(reader)?;
        }
        Ok::<_, der::Error>(curve)
    });
    curve.ok()?.map(|curve| curve.value)
}

fn encrypt(plain: &SecretDocument, password: &[u8]) -> SecretDocument {
    let key = PrivateKeyInfoRef::try_from(plain.as_bytes());
    key.and_then(|key| key.encrypt(password)).expect("our own PKCS#8 can be read and encrypted")
}

fn decrypt(document: &SecretDocument, password: &[u8]) -> Result<SecretDocument, PrivateKeyError> {
    let wrong = || PrivateKeyError::Decrypt(REPROV_PASSWORD);
    let encrypted =
        EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(PrivateKeyError::Pkcs8)?;
    let EncryptionScheme::Pbes2(parameters) = &encrypted.encryption_algorithm else {
        return Err(PrivateKeyError::OldEncryption);
    };
    let affordable = match &parameters.kdf {
        Kdf::Pbkdf2(kdf) => kdf.iteration_count <= PBKDF2_ITERATIONS_MAX,
        Kdf::Scrypt(kdf) => {
            kdf.cost_parameter <= SCRYPT_COST_MAX && kdf.block_size <= 8 && kdf.parallelization <= 1
        }
        _ => false,
    };
    if !affordable {
        return Err(PrivateKeyError::Cost);
    }
    encrypted.decrypt(password).map_err(|_| wrong())
}

#[cfg(test)]
mod tests;
