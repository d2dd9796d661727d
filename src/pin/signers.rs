//! Keys that pin, and signatures by them (RFC 9580).

use std::{fmt, io::Read};

use pgp::{
    composed::{
        ArmorOptions, CleartextSignedMessage, Deserializable as _, DetachedSignature, SignedPublicKey,
        SignedPublicSubKey,
    },
    crypto::hash::HashAlgorithm,
    packet::{Signature, SignatureType},
    types::{KeyDetails as _, Tag, VerifyingKey},
};

use super::PinError;
use crate::model::limits::{SIGNED_INDEX_SIZE_BYTES_MAX, SIGNER_KEYS_MAX};

const BLOCK: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// One key or several, of one repository.
#[derive(Clone)]
pub struct Signers {
    keys: Vec<SignedPublicKey>,
}

impl fmt::Debug for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signers").field(&self.fingerprints()).finish()
    }
}

impl Signers {
    /// Reads a file of public keys, armored (one block or several) or not.
    ///
    /// # Errors
    /// [`PinError::Key`]; [`PinError::CannotSign`] if one of them could sign nothing, so that nobody relies on it.
    pub fn parse(bytes: &[u8]) -> Result<Self, PinError> {
        let broken = |error: pgp::errors::Error| PinError::Key(error.to_string());
        let mut keys = Vec::new();
        for block in blocks(bytes) {
            let (found, _) = SignedPublicKey::from_reader_many(block).map_err(broken)?;
            for key in found.take(SIGNER_KEYS_MAX + 1) {
                keys.push(key.map_err(broken)?);
            }
        }
        if keys.is_empty() || keys.len() > SIGNER_KEYS_MAX {
            return Err(PinError::Key(format!("{} keys in it; 1 to {SIGNER_KEYS_MAX} can be", keys.len())));
        }
        match keys.iter().find(|key| !can_sign(key)) {
            Some(key) => Err(PinError::CannotSign(fingerprint(key))),
            None => Ok(Self { keys }),
        }
    }

    /// The primary keys' fingerprints, for people.
    #[must_use]
    pub fn fingerprints(&self) -> String {
        self.keys.iter().map(fingerprint).collect::<Vec<_>>().join(", ")
    }

    /// The keys as rpm takes them: one armored block each.
    ///
    /// # Errors
    /// [`PinError::Key`] if one cannot be written.
    pub fn armored(&self) -> Result<String, PinError> {
        let write = |key: &SignedPublicKey| key.to_armored_string(ArmorOptions::default());
        self.keys
            .iter()
            .map(write)
            .collect::<Result<_, _>>()
            .map_err(|error| PinError::Key(error.to_string()))
    }

    /// The text of a clear-signed message (RFC 9580 §7) if a pinned key signed it. Nothing may stand around it: a client
    /// could read that for signed.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn clear_signed(&self, bytes: &[u8]) -> Result<String, PinError> {
        const FORM: PinError = PinError::Form("one clear-signed message and nothing else");
        if bytes.len() as u64 > SIGNED_INDEX_SIZE_BYTES_MAX {
            return Err(PinError::Size("the signed index"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| FORM)?;
        let count = |mark: &str| text.lines().filter(|line| line.trim_end() == mark).count();
        let marks = ["-----BEGIN PGP SIGNED MESSAGE-----", "-----END PGP SIGNATURE-----"];
        let whole = text.starts_with(marks[0]) && text.trim_end().ends_with(marks[1]);
        if !whole || marks.iter().any(|mark| count(mark) != 1) || text.contains('\0') {
            return Err(FORM);
        }
        let (message, _) = CleartextSignedMessage::from_string(text).map_err(|_| FORM)?;
        let signed = message.signed_text();
        self.any(message.signatures(), signed.as_bytes())?;
        Ok(signed)
    }

    /// Whether one of `signatures` (packets, not armored) of `content` is by a pinned key.
    ///
    /// # Errors
    /// [`PinError`].
    pub(super) fn detached(&self, signatures: &[Vec<u8>], content: &[u8]) -> Result<(), PinError> {
        let read = |bytes: &Vec<u8>| DetachedSignature::from_bytes(bytes.as_slice()).ok();
        let signatures: Vec<_> =
            signatures.iter().filter_map(read).map(|detached| detached.signature).collect();
        self.any(&signatures, content)
    }

    fn any(&self, signatures: &[Signature], content: &[u8]) -> Result<(), PinError> {
        if signatures.is_empty() {
            return Err(PinError::Form("signed"));
        }
        let mut bad = None;
        for signature in signatures {
            for key in &self.keys {
                match signed_by(signature, key, content) {
                    Some(Ok(())) => return Ok(()),
                    Some(Err(why)) => bad = Some(PinError::Bad(fingerprint(key), why)),
                    None => {}
                }
            }
        }
        Err(bad.unwrap_or_else(|| PinError::Stranger(issuers(signatures))))
    }
}

/// Each armored block, or all of what is none.
fn blocks(bytes: &[u8]) -> Vec<&[u8]> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains(BLOCK) => {
            let starts: Vec<_> = text.match_indices(BLOCK).map(|(start, _)| start).collect();
            let ends = starts.iter().skip(1).copied().chain([text.len()]);
            starts.iter().zip(ends).map(|(start, end)| &bytes[*start..end]).collect()
        }
        _ => vec![bytes],
    }
}

/// Whether primary key or a subkey of `key` made `signature` of `content`; nothing if it is by another key.
fn signed_by(signature: &Signature, key: &SignedPublicKey, content: &[u8]) -> Option<Result<(), String>> {
    let primary = own_signature(key).filter(|own| may_sign(own)).and_then(|own| {
        is_issuer(signature, &key.primary_key).then(|| verify(signature, &key.primary_key, own, content))
    });
    primary.or_else(|| {
        let mut subkeys = key.public_subkeys.iter().filter(|subkey| is_issuer(signature, &subkey.key));
        subkeys.find_map(|subkey| {
            let binding = binding(key, subkey)?;
            Some(verify(signature, &subkey.key, binding, content))
        })
    })
}

fn verify(
    signature: &Signature,
    key: &impl VerifyingKey,
    binding: &Signature,
    content: &[u8],
) -> Result<(), String> {
    if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
        return Err("it is no signature of a document".to_owned());
    }
    let strong = [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
        HashAlgorithm::Sha3_256,
        HashAlgorithm::Sha3_512,
    ];
    if !signature.hash_alg().is_some_and(|used| strong.contains(&used)) {
        return Err("its hash is weaker than SHA-256".to_owned());
    }
    let made = signature.created().ok_or("it does not say when it was made")?.as_secs();
    let begun = key.created_at().as_secs();
    let lasts = binding.key_expiration_time().map(std::time::Duration::from);
    let ended = lasts.filter(|lasts| !lasts.is_zero()).map(|lasts| u64::from(begun) + lasts.as_secs());
    if made < begun || ended.is_some_and(|ended| u64::from(made) > ended) {
        return Err("it was made when the key was not valid".to_owned());
    }
    signature.verify(key, content).map_err(|_| "it is of other content".to_owned())
}

/// The newest signature by which the primary key speaks for itself; none if it is revoked.
fn own_signature(key: &SignedPublicKey) -> Option<&Signature> {
    let (details, primary) = (&key.details, &key.primary_key);
    if details.revocation_signatures.iter().any(|revoked| revoked.verify_key(primary).is_ok()) {
        return None;
    }
    let of_users = details.users.iter().flat_map(|user| {
        let own = |signature: &&Signature| {
            signature.typ() != Some(SignatureType::CertRevocation)
                && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        };
        user.signatures.iter().filter(own)
    });
    let direct = details.direct_signatures.iter().filter(|signature| signature.verify_key(primary).is_ok());
    of_users.chain(direct).max_by_key(|signature| made(signature))
}

/// The newest signature by which the primary key vouches for a signing subkey, and that key for the primary one.
fn binding<'key>(key: &SignedPublicKey, subkey: &'key SignedPublicSubKey) -> Option<&'key Signature> {
    own_signature(key)?;
    let primary = &key.primary_key;
    let good = subkey
        .signatures
        .iter()
        .filter(|signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok());
    let (revoked, bound): (Vec<_>, Vec<_>) =
        good.partition(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation));
    let newest = bound.into_iter().max_by_key(|signature| made(signature))?;
    let back = newest.embedded_signature()?.verify_primary_key_binding(&subkey.key, primary);
    (revoked.is_empty() && may_sign(newest) && back.is_ok()).then_some(newest)
}

fn can_sign(key: &SignedPublicKey) -> bool {
    own_signature(key).is_some_and(|own| {
        may_sign(own) || key.public_subkeys.iter().any(|subkey| binding(key, subkey).is_some())
    })
}

fn may_sign(binding: &Signature) -> bool {
    binding.key_flags().sign()
}

fn made(signature: &Signature) -> u32 {
    signature.created().map_or(0, pgp::types::Timestamp::as_secs)
}

fn is_issuer(signature: &Signature, key: &impl VerifyingKey) -> bool {
    let (ids, fingerprints) = (signature.issuer_key_id(), signature.issuer_fingerprint());
    ids.iter().any(|id| **id == key.legacy_key_id())
        || fingerprints.iter().any(|fingerprint| **fingerprint == key.fingerprint())
}

fn issuers(signatures: &[Signature]) -> String {
    let ids: Vec<_> = signatures
        .iter()
        .flat_map(Signature::issuer_key_id)
        .take(8)
        .map(|id| id.to_string().to_uppercase())
        .collect();
    if ids.is_empty() { "an unnamed key".to_owned() } else { ids.join(", ") }
}

fn fingerprint(key: &SignedPublicKey) -> String {
    key.fingerprint().to_string().to_uppercase()
}

/// At most `size_bytes_max` bytes of `reader`.
pub(super) fn bounded(
    reader: &mut impl Read,
    size_bytes_max: u64,
    what: &'static str,
) -> Result<Vec<u8>, PinError> {
    let mut bytes = Vec::new();
    reader.take(size_bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > size_bytes_max { Err(PinError::Size(what)) } else { Ok(bytes) }
}
