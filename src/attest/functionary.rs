//! Keys of in-toto metadata: their ids, and the schemes they sign by (FORMATS.md §10).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde_json::{Map, Value, json};

use super::{
    key::{Kind, PublicKey, PublicKeyError},
    olpc,
    strict::{self, shown},
};
use crate::model::Digest;

/// What stands before the 32 bytes of an Ed25519 key in its SPKI (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Somebody who signs links or layouts: a key under the id that the metadata calls it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Functionary {
    id: String,
    key: PublicKey,
}

/// Why a key of a layout cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FunctionaryError {
    /// An OpenPGP key.
    #[error("it is an OpenPGP key, which is not supported; use Ed25519, P-256 or RSA")]
    OpenPgp,
    /// A field that is not there or is no such thing.
    #[error("it has no {0}")]
    Field(&'static str),
    /// It calls itself something else than the layout does.
    #[error("it stands under another id than its own")]
    Id,
    /// A scheme that is not checked.
    #[error(
        "it signs by `{0}`, which is not supported; use ed25519, ecdsa-sha2-nistp256 or rsassa-pss-sha256"
    )]
    Scheme(String),
    /// Not the public key its type says.
    #[error("its public key cannot be used")]
    Key(#[from] PublicKeyError),
}

impl Functionary {
    /// The owner of `key`, under the id that in-toto 3 and securesystemslib 1 give it: the SHA-256 of the canonical JSON of its
    /// type, scheme and value.
    ///
    /// # Panics
    /// Never: a key's description holds no floating-point number.
    #[must_use]
    pub fn of(key: PublicKey) -> Self {
        let described = olpc::canonical(&described(&key)).expect("strings can be said");
        Self { id: Digest::of(&described).hex(), key }
    }

    /// Reads the member `id` of a layout's `keys`. Its id is the layout's word: older tools made it in other ways.
    pub(super) fn from_value(id: &str, value: Value) -> Result<Self, FunctionaryError> {
        let Value::Object(mut map) = value else { return Err(FunctionaryError::Field("object")) };
        if map.contains_key("method") || map.contains_key("hashes") {
            return Err(FunctionaryError::OpenPgp);
        }
        if strict::text(&mut map, "keyid").is_none_or(|own| own != id) {
            return Err(FunctionaryError::Id);
        }
        let keytype = strict::text(&mut map, "keytype").ok_or(FunctionaryError::Field("`keytype`"))?;
        let scheme = strict::text(&mut map, "scheme").ok_or(FunctionaryError::Field("`scheme`"))?;
        let public = public(&mut map).ok_or(FunctionaryError::Field("`keyval.public`"))?;
        let expected = match (keytype.as_str(), scheme.as_str()) {
            ("ed25519", "ed25519") => Kind::Ed25519,
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => Kind::P256,
            ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => Kind::P384,
            ("rsa", "rsassa-pss-sha256") => Kind::Rsa,
            _ => return Err(FunctionaryError::Scheme(shown(&format!("{keytype}/{scheme}")))),
        };
        let key = match expected {
            Kind::Ed25519 => edwards(&public)?,
            _ => PublicKey::from_pem(&public)?,
        };
        if key.kind() != expected {
            return Err(FunctionaryError::Key(PublicKeyError::Invalid));
        }
        Ok(Self { id: id.to_owned(), key })
    }

    /// What the metadata calls it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether it made `signature` over `message`, by the one scheme of its kind of key: Ed25519, ECDSA (DER) with SHA-256 or for
    /// P-384 with SHA-384, RSA-PSS with SHA-256 and a salt of 32 bytes.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match self.key.kind() {
            Kind::Ed25519 => &ED25519,
            Kind::P256 => &ECDSA_P256_SHA256_ASN1,
            Kind::P384 => &ECDSA_P384_SHA384_ASN1,
            Kind::Rsa => &RSA_PSS_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, self.key.spki()).verify(message, signature).is_ok()
    }
}

/// The key as layouts hold it, but for its id.
fn described(key: &PublicKey) -> Value {
    let (keytype, scheme, public) = match key.kind() {
        Kind::Ed25519 => ("ed25519", "ed25519", hex(&key.spki()[ED25519_SPKI.len()..])),
        Kind::P256 => ("ecdsa", "ecdsa-sha2-nistp256", key.to_pem()),
        Kind::P384 => ("ecdsa", "ecdsa-sha2-nistp384", key.to_pem()),
        Kind::Rsa => ("rsa", "rsassa-pss-sha256", key.to_pem()),
    };
    json!({"keytype": keytype, "scheme": scheme, "keyval": {"public": public}})
}

fn public(map: &mut Map<String, Value>) -> Option<String> {
    strict::text(&mut strict::object(map, "keyval")?, "public")
}

fn edwards(public: &str) -> Result<PublicKey, FunctionaryError> {
    let raw =
        unhex(public).filter(|raw| raw.len() == 32).ok_or(FunctionaryError::Field("32 bytes in hex"))?;
    Ok(PublicKey::from_spki(&[ED25519_SPKI.as_slice(), &raw].concat())?)
}

/// Bytes in lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that `text` says in hex of either case.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
