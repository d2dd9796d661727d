//! Private keys: P-256 and Ed25519, in PKCS#8 (plain or encrypted) or SEC 1.

use std::fmt;

use aws_lc_rs::{
    encoding::AsDer as _,
    error::Unspecified,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use pkcs8::{
    EncryptedPrivateKeyInfoRef, LineEnding, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument, der,
    pkcs5::{EncryptionScheme, pbes2::Kdf},
};

use crate::{
    attest::{Envelope, PublicKey, Statement, pae},
    model::{names::IN_TOTO_JSON, path::printable},
};

const EDWARDS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
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
}

/// A key that signs. Never printed: `Debug` shows its public half's fingerprint.
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a text is not a private key we can sign with.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// Not one PEM block.
    #[error("not a PEM file with one private key; `reprov key generate` makes one")]
    Pem(#[source] der::Error),
    /// PEM of something else.
    #[error("it holds a `{0}`, not a `{PLAIN}`")]
    Label(String),
    /// A public key.
    #[error("it holds a public key; give the private one (`.key`)")]
    Public,
    /// cosign's own container.
    #[error(
        "it is cosign's encrypted key file, which this release does not read; use a PKCS#8 key (`reprov key generate`)"
    )]
    Cosign,
    /// Encrypted, and no password was given.
    #[error("it is encrypted; set REPROV_PASSWORD")]
    NoPassword,
    /// The password does not open it.
    #[error("it cannot be decrypted; is REPROV_PASSWORD right?")]
    Decrypt,
    /// Encrypted in a way that costs too much to open.
    #[error(
        "its encryption takes more memory or time than allowed; encrypt it again with OpenSSL's defaults"
    )]
    Cost,
    /// Not PKCS#8.
    #[error("not a private key in PKCS#8 form")]
    Pkcs8(#[source] pkcs8::Error),
    /// Another algorithm, or not a key of its algorithm.
    #[error("not a P-256 or Ed25519 key")]
    Unusable,
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
        };
        let key = pair.map_err(|Unspecified| PrivateKeyError::Unusable).and_then(Self::new);
        key.expect("aws-lc makes keys it accepts; without randomness it aborts")
    }

    /// Reads PEM: `PRIVATE KEY`, `ENCRYPTED PRIVATE KEY` (PBES2; needs `password`) or `EC PRIVATE KEY`. A
    /// password given for a plain key is not used.
    ///
    /// # Errors
    /// If it is something else, a key of another algorithm, or the password does not open it.
    pub fn from_pem(text: &str, password: Option<&str>) -> Result<Self, PrivateKeyError> {
        let text = text.trim_start();
        if text.starts_with("-----BEGIN ENCRYPTED SIGSTORE")
            || text.starts_with("-----BEGIN ENCRYPTED COSIGN")
        {
            return Err(PrivateKeyError::Cosign); // Its body is JSON, not DER.
        }
        let (label, document) = SecretDocument::from_pem(text).map_err(PrivateKeyError::Pem)?;
        match label {
            PLAIN => Self::from_pkcs8(&document),
            ENCRYPTED => Self::from_pkcs8(&decrypt(&document, password)?),
            SEC1 => EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_bytes())
                .map_err(|_| PrivateKeyError::Unusable)
                .and_then(|pair| Self::new(Pair::P256(pair))),
            "PUBLIC KEY" => Err(PrivateKeyError::Public),
            label => Err(PrivateKeyError::Label(printable(label))),
        }
    }

    /// The key as PKCS#8 PEM: encrypted (PBES2: scrypt, AES-256-CBC; OpenSSL reads it) if there is a password.
    ///
    /// # Panics
    /// Never: a key in memory can be written.
    #[must_use]
    pub fn to_pem(&self, password: Option<&str>) -> String {
        let plain = self.pkcs8();
        let (label, document) = match password {
            None => (PLAIN, plain),
            Some(password) => (ENCRYPTED, encrypt(&plain, password)),
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

    /// Signs `message`: ECDSA with SHA-256 in DER, or pure Ed25519 (64 bytes).
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
        }
    }

    /// Signs `statement` into an envelope with this one signature.
    #[must_use]
    pub fn sign_envelope(&self, statement: &Statement) -> Envelope {
        let payload = statement.to_bytes();
        let signatures = vec![self.sign(&pae(IN_TOTO_JSON, &payload))];
        Envelope { payload, payload_type: IN_TOTO_JSON.to_owned(), signatures }
    }

    fn from_pkcs8(document: &SecretDocument) -> Result<Self, PrivateKeyError> {
        let der = document.as_bytes();
        let key = PrivateKeyInfoRef::try_from(der).map_err(PrivateKeyError::Pkcs8)?;
        let pair = if key.algorithm.oid == EDWARDS {
            Ed25519KeyPair::from_pkcs8(der).map(Pair::Ed25519)
        } else {
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).map(Pair::P256)
        };
        Self::new(pair.map_err(|_| PrivateKeyError::Unusable)?)
    }

    fn new(pair: Pair) -> Result<Self, PrivateKeyError> {
        let spki = match &pair {
            Pair::P256(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
        };
        let spki = spki.map_err(|Unspecified| PrivateKeyError::Unusable)?;
        let public = PublicKey::from_spki(spki.as_ref()).map_err(|_| PrivateKeyError::Unusable)?;
        Ok(Self { pair, public })
    }

    /// PKCS#8 v1, which every tool reads.
    fn pkcs8(&self) -> SecretDocument {
        let document = match &self.pair {
            Pair::P256(pair) => pair.to_pkcs8v1(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1(),
        };
        let document = document.expect("a key in memory can be written");
        SecretDocument::try_from(document.as_ref()).expect("aws-lc writes DER")
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public.fingerprint())
    }
}

fn encrypt(plain: &SecretDocument, password: &str) -> SecretDocument {
    let key = PrivateKeyInfoRef::try_from(plain.as_bytes());
    key.and_then(|key| key.encrypt(password)).expect("our own PKCS#8 can be read and encrypted")
}

fn decrypt(document: &SecretDocument, password: Option<&str>) -> Result<SecretDocument, PrivateKeyError> {
    let password = password.ok_or(PrivateKeyError::NoPassword)?;
    let encrypted =
        EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| PrivateKeyError::Decrypt)?;
    let EncryptionScheme::Pbes2(parameters) = &encrypted.encryption_algorithm else {
        return Err(PrivateKeyError::Decrypt);
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
    encrypted.decrypt(password).map_err(|_| PrivateKeyError::Decrypt)
}

#[cfg(test)]
mod tests;
