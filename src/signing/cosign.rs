//! cosign's encrypted key files: PEM around JSON around a secretbox (FORMATS.md §7; sigstore's `encrypted` package).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305, aead::Aead as _};
use pkcs8::SecretDocument;
use serde::Deserialize;

use super::private::{COSIGN_PASSWORD, PrivateKeyError};

/// Today's label, and the one before.
const LABELS: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];
/// Costs of scrypt that cosign takes, as powers of two: what is more is memory of the attacker's choice.
const COSTS: std::ops::RangeInclusive<u8> = 15..=17;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Container {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cipher {
    name: String,
    nonce: String,
}

/// The JSON in the PEM `text`, if it is one of cosign's.
pub(super) fn body(text: &str) -> Option<Result<Vec<u8>, PrivateKeyError>> {
    let label = LABELS.into_iter().find(|label| text.starts_with(&format!("-----BEGIN {label}-----")))?;
    let rest = &text[format!("-----BEGIN {label}-----").len()..];
    let whole = rest.split_once(&format!("-----END {label}-----"));
    Some(match whole {
        Some((body, after)) if after.trim().is_empty() => {
            let body: String = body.split_ascii_whitespace().collect();
            STANDARD.decode(body).map_err(|_| PrivateKeyError::Cosign("its body is not base64"))
        }
        _ => Err(PrivateKeyError::Cosign("it does not end where it should")),
    })
}

/// Opens the container `json`: the PKCS#8 in it.
pub(super) fn decrypt(json: &[u8], password: &[u8]) -> Result<SecretDocument, PrivateKeyError> {
    let container: Container = serde_json::from_slice(json)
        .map_err(|_| PrivateKeyError::Cosign("its body is not the JSON of one"))?;
    if container.kdf.name != "scrypt" || container.cipher.name != "nacl/secretbox" {
        return Err(PrivateKeyError::Cosign("it is not made with scrypt and nacl/secretbox"));
    }
    let Params { n, r, p } = container.kdf.params;
    let cost = COSTS.into_iter().find(|cost| 1_u64 << cost == n);
    let (Some(cost), 8, 1) = (cost, r, p) else { return Err(PrivateKeyError::Cost) };
    let raw = |text: &str, what| STANDARD.decode(text).map_err(|_| PrivateKeyError::Cosign(what));
    let salt = raw(&container.kdf.salt, "its salt is not base64")?;
    let nonce = raw(&container.cipher.nonce, "its nonce is not base64")?;
    let nonce: [u8; 24] =
        nonce.try_into().map_err(|_| PrivateKeyError::Cosign("its nonce does not have 24 bytes"))?;
    let sealed = raw(&container.ciphertext, "its ciphertext is not base64")?;
    let parameters = scrypt::Params::new(cost, r, p).map_err(|_| PrivateKeyError::Cost)?;
    let mut key = [0; 32];
    scrypt::scrypt(password, &salt, &parameters, &mut key).map_err(|_| PrivateKeyError::Cost)?;
    let opened = XSalsa20Poly1305::new(&key.into()).decrypt(&nonce.into(), sealed.as_slice());
    let opened = opened.map_err(|_| PrivateKeyError::Decrypt(COSIGN_PASSWORD))?;
    SecretDocument::try_from(opened).map_err(|error| PrivateKeyError::Pkcs8(error.into()))
}
