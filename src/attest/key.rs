//! Public keys and the signatures they check (FORMATS.md §1, 7).

use aws_lc_rs::{
    digest,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    },
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
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
const RSA_SIZE_BITS_MIN: usize = 2048;
const RSA_SIZE_BITS_MAX: usize = 8192;
const PEM_LABEL: &str = "PUBLIC KEY";

/// Kinds of keys we check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

impl Kind {
    /// What it signs with so that every tool reads it.
    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1,
            Self::P384 => &ECDSA_P384_SHA256_ASN1,
            Self::Ed25519 => &ED25519,
            Self::Rsa => &RSA_PKCS1_2048_8192_SHA256,
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
    /// A certificate: its name, its issuer and its dates would not be looked at.
    #[error(
        "it holds a certificate, not a key; `openssl x509 -in FILE -noout -pubkey` prints the public key in it"
    )]
    Certificate,
    /// DSA.
    #[error("it is a DSA key, which is not supported; use P-256, Ed25519, P-384 or RSA")]
    Dsa,
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
    /// A modulus below 2048 bits, or above 8192.
    #[error("RSA key has {0} bits; {RSA_SIZE_BITS_MIN} to {RSA_SIZE_BITS_MAX} are allowed")]
    RsaSize(usize),
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
        let text = text.trim_start();
        if text.starts_with("-----BEGIN ENCRYPTED SIGSTORE")
            || text.starts_with("-----BEGIN ENCRYPTED COSIGN")
        {
            return Err(PublicKeyError::Private); // Its body is JSON, not DER.
        }
        let (label, document) = Document::from_pem(text).map_err(PublicKeyError::Pem)?;
        match label {
            PEM_LABEL => Self::from_spki(document.as_bytes()),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => Err(PublicKeyError::Certificate),
            label if label.ends_with("PRIVATE KEY") => Err(PublicKeyError::Private),
            label => Err(PublicKeyError::Label(shown(label))),
        }
    }

    /// Reads the DER of a `SubjectPublicKeyInfo` (RFC 5280).
    ///
    /// # Errors
    /// If it is something else, or a key we cannot check signatures with.
    pub fn from_spki(der: &[u8]) -> Result<Self, PublicKeyError> {
        ParsedPublicKey::new(kind(der)?.algorithm(), der).map_err(|_| PublicKeyError::Invalid)?;
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

    /// The DER of its `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether this key made `signature` over `message`, in any of the ways of [`PublicKey::check`].
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.check(message, signature) != Checked::No
    }

    /// Whether this key made `signature` over `message`, and whether others see it too. They do: ECDSA (strict DER) with
    /// SHA-256, pure Ed25519, RSA PKCS#1 v1.5 with SHA-256. cosign 3 writes but does not read: P-384 with SHA-384, and
    /// Ed25519ph (RFC 8032; SHA-512 before, empty context).
    #[must_use]
    pub fn check(&self, message: &[u8], signature: &[u8]) -> Checked {
        let kind = self.kind();
        let by = |algorithm| UnparsedPublicKey::new(algorithm, &self.spki).verify(message, signature).is_ok();
        if by(kind.algorithm()) {
            return Checked::Portable;
        }
        match kind {
            Kind::Ed25519 if self.prehashed(message, signature) => {
                Checked::Unportable("Ed25519ph", "sign with pure Ed25519")
            }
            Kind::P384 if by(&ECDSA_P384_SHA384_ASN1) => {
                Checked::Unportable("P-384 and SHA-384", "sign with SHA-256")
            }
            _ => Checked::No,
        }
    }

    /// Whether this key made `signature` over bytes that have the SHA-256 `digest`; none for a key that signs bytes
    /// themselves (Ed25519).
    #[must_use]
    pub fn verify_digest(&self, digest: &Digest, signature: &[u8]) -> Option<bool> {
        let kind = self.kind();
        if kind == Kind::Ed25519 {
            return None;
        }
        let digest = digest::Digest::import_less_safe(digest.bytes(), &digest::SHA256).ok()?;
        Some(UnparsedPublicKey::new(kind.algorithm(), &self.spki).verify_digest(&digest, signature).is_ok())
    }

    /// Whether `signature` is Ed25519ph; strict, as cosign's own library is not.
    fn prehashed(&self, message: &[u8], signature: &[u8]) -> bool {
        use ed25519_dalek::{Digest as _, Sha512, Signature, VerifyingKey};
        let raw = SubjectPublicKeyInfoRef::from_der(&self.spki).ok();
        let raw = raw.and_then(|key| key.subject_public_key.raw_bytes().try_into().ok());
        let key = raw.and_then(|raw| VerifyingKey::from_bytes(raw).ok());
        let (Some(key), Ok(signature)) = (key, Signature::from_slice(signature)) else { return false };
        key.verify_prehashed_strict(Sha512::new_with_prefix(message), None, &signature).is_ok()
    }
}

/// What came of checking a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// It is none of this key's over these bytes.
    No,
    /// It is, and every tool reads it.
    Portable,
    /// It is, by a way that other tools do not read: which, and what to do instead.
    Unportable(&'static str, &'static str),
}

fn kind(spki: &[u8]) -> Result<Kind, PublicKeyError> {
    let key = SubjectPublicKeyInfoRef::from_der(spki).map_err(PublicKeyError::Spki)?;
    let curve = key.algorithm.parameters_oid();
    match key.algorithm.oid {
        EC if curve == Ok(P256) => Ok(Kind::P256),
        EC if curve == Ok(P384) => Ok(Kind::P384),
        EDWARDS => Ok(Kind::Ed25519),
        RSA => match rsa_bits(key.subject_public_key.raw_bytes()) {
            Some(RSA_SIZE_BITS_MIN..=RSA_SIZE_BITS_MAX) => Ok(Kind::Rsa),
            bits => Err(bits.map_or(PublicKeyError::Invalid, PublicKeyError::RsaSize)),
        },
        DSA => Err(PublicKeyError::Dsa),
        EC => Err(PublicKeyError::Algorithm(format!(
            "EC on curve {}",
            curve.map_or_else(|_| "unknown".into(), |oid| oid.to_string())
        ))),
        other => Err(PublicKeyError::Algorithm(other.to_string())),
    }
}

/// Bits of the modulus of an `RSAPublicKey` (RFC 8017, A.1.1).
fn rsa_bits(der: &[u8]) -> Option<usize> {
    use der::{Reader as _, SliceReader, asn1::UintRef};
    let modulus = SliceReader::new(der).ok()?.sequence(|reader| {
        let modulus = UintRef::decode(reader)?;
        UintRef::decode(reader)?;
        Ok::<_, der::Error>(modulus)
    });
    let bytes = modulus.ok()?.as_bytes();
    let first = bytes.first()?;
    Some(bytes.len() * 8 - first.leading_zeros() as usize)
}
