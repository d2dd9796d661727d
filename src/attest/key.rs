//! Public keys and the signatures they check (FORMATS.md §1, 7).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use pkcs8::{
    Document, LineEnding, ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{self, Decode as _},
};

use super::strict::shown;
use crate::model::Digest;

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const EDWARDS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SIZE_BYTES_MIN: usize = 256;
const PEM_LABEL: &str = "PUBLIC KEY";

/// What a key may have signed with.
type Algorithms = &'static [&'static dyn VerificationAlgorithm];

/// Kinds of keys we check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

impl Kind {
    fn algorithms(self) -> Algorithms {
        match self {
            Self::P256 => &[&ECDSA_P256_SHA256_ASN1],
            Self::P384 => &[&ECDSA_P384_SHA256_ASN1, &ECDSA_P384_SHA384_ASN1],
            Self::Ed25519 => &[&ED25519],
            Self::Rsa => &[&RSA_PKCS1_2048_8192_SHA256],
        }
    }
}

/// A key somebody's signatures are checked with: P-256, P-384, Ed25519, or RSA of 2048 bits and more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    spki: Vec<u8>,
}

/// Why something is not a public key we can use.
#[derive(Debug, thiserror::Error)]
pub enum PublicKeyError {
    /// Not one PEM block.
    #[error("not a PEM file with one public key")]
    Pem(#[source] der::Error),
    /// PEM of something else.
    #[error("it holds a `{0}`, not a `{PEM_LABEL}`")]
    Label(String),
    /// A private key where a public one was asked for.
    #[error("it holds a private key; give the public one (`reprov key public` prints it)")]
    Private,
    /// Not `SubjectPublicKeyInfo`.
    #[error("not a public key in SPKI form")]
    Spki(#[source] der::Error),
    /// An algorithm we do not check.
    #[error("key algorithm {0} is not supported; use P-256, Ed25519, P-384 or RSA")]
    Algorithm(String),
    /// A modulus below 2048 bits.
    #[error("RSA key is too short; 2048 bits are the least")]
    RsaSize,
    /// Well-formed, but not a key of its algorithm.
    #[error("public key is not valid")]
    Invalid,
}

impl PublicKey {
    /// Reads a PEM `PUBLIC KEY`.
    ///
    /// # Errors
    /// If it is something else, or a key we cannot check signatures with.
    pub fn from_pem(text: &str) -> Result<Self, PublicKeyError> {
        let (label, document) = Document::from_pem(text.trim_start()).map_err(PublicKeyError::Pem)?;
        match label {
            PEM_LABEL => Self::from_spki(document.as_bytes()),
            label if label.ends_with("PRIVATE KEY") => Err(PublicKeyError::Private),
            label => Err(PublicKeyError::Label(shown(label))),
        }
    }

    /// Reads the DER of a `SubjectPublicKeyInfo` (RFC 5280).
    ///
    /// # Errors
    /// If it is something else, or a key we cannot check signatures with.
    pub fn from_spki(der: &[u8]) -> Result<Self, PublicKeyError> {
        let algorithms = kind(der)?.algorithms();
        ParsedPublicKey::new(algorithms[0], der).map_err(|_| PublicKeyError::Invalid)?;
        Ok(Self { spki: der.to_owned() })
    }

    /// The key as PEM, with a final newline.
    ///
    /// # Panics
    /// Never: the bytes were read as DER when the key was made.
    #[must_use]
    pub fn to_pem(&self) -> String {
        Document::try_from(self.spki.as_slice())
            .and_then(|document| document.to_pem(PEM_LABEL, LineEnding::LF))
            .expect("the bytes were read as DER before")
    }

    /// The DER it was read from.
    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// What kind of key it is.
    pub(super) fn kind(&self) -> Kind {
        kind(&self.spki).expect("the bytes were read as a key before")
    }

    /// SHA-256 of its SPKI.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.spki)
    }

    /// [`PublicKey::fingerprint`] in base64, as bundles hint at it.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(self.fingerprint().bytes())
    }

    /// Whether this key made `signature` over `message`: ECDSA (DER) with SHA-256, or for P-384 also SHA-384;
    /// pure Ed25519; RSA PKCS#1 v1.5 with SHA-256.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithms = self.kind().algorithms();
        let good =
            |&algorithm| UnparsedPublicKey::new(algorithm, &self.spki).verify(message, signature).is_ok();
        algorithms.iter().any(good)
    }
}

fn kind(spki: &[u8]) -> Result<Kind, PublicKeyError> {
    let key = SubjectPublicKeyInfoRef::from_der(spki).map_err(PublicKeyError::Spki)?;
    let curve = key.algorithm.parameters_oid();
    match key.algorithm.oid {
        EC if curve == Ok(P256) => Ok(Kind::P256),
        EC if curve == Ok(P384) => Ok(Kind::P384),
        EDWARDS => Ok(Kind::Ed25519),
        RSA if key.subject_public_key.raw_bytes().len() < RSA_SIZE_BYTES_MIN => Err(PublicKeyError::RsaSize),
        RSA => Ok(Kind::Rsa),
        EC => Err(PublicKeyError::Algorithm(format!(
            "EC on curve {}",
            curve.map_or_else(|_| "unknown".into(), |oid| oid.to_string())
        ))),
        other => Err(PublicKeyError::Algorithm(other.to_string())),
    }
}
