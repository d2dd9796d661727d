//! Entries `dsse` 0.0.2, which an early Rekor 2 wrote and `sigstore-verify` does not read: taken out of the bundle, and judged here.
//!
//! Such an entry proves no time; the bundle has a timestamp for that, or is refused.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sigstore_verify::{
    crypto::Keyring,
    types::{Checkpoint, DsseEnvelope, Sha256Hash},
};

use super::{Fault, Refused};
use crate::{
    host,
    model::{Digest, rfc3339},
};

/// Who made a signature, as an entry must name it: the DER of a certificate or of a public key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verifier<'a> {
    /// A certificate.
    Certificate(&'a [u8]),
    /// A key.
    Key(&'a [u8]),
}

/// Takes such entries out of `bundle`.
pub(super) fn take(bundle: &mut Value) -> Vec<Value> {
    let entries = bundle.pointer_mut("/verificationMaterial/tlogEntries").and_then(Value::as_array_mut);
    let Some(entries) = entries else { return Vec::new() };
    let ours =
        |entry: &Value| entry["kindVersion"]["kind"] == "dsse" && entry["kindVersion"]["version"] == "0.0.2";
    let (taken, left) = std::mem::take(entries).into_iter().partition(ours);
    *entries = left;
    taken
}

/// Judges `entry`: that a log of `keys` has it, and that it is about this envelope and by this `verifier`.
pub(super) fn judge(
    entry: &Value,
    envelope: &DsseEnvelope,
    verifier: Verifier<'_>,
    keys: &Keyring,
) -> Result<(), Refused> {
    let body = bytes(&entry["canonicalizedBody"], "log entry has no body")?;
    included(entry, &body, keys)?;
    let body: Value =
        serde_json::from_slice(&body).map_err(|_| refused("body of the log entry is not JSON"))?;
    if body["kind"] != "dsse" || body["apiVersion"] != "0.0.2" {
        return Err(refused("body of the log entry is of another kind than the entry"));
    }
    let spec = &body["spec"]["dsseV002"];
    let hash = bytes(&spec["payloadHash"]["digest"], "log entry has no payload hash")?;
    if spec["payloadHash"]["algorithm"] != "SHA2_256"
        || hash != Digest::of(envelope.payload.as_bytes()).bytes()
    {
        return Err(refused("log entry is about another payload"));
    }
    let Some([signature]) = spec["signatures"].as_array().map(Vec::as_slice) else {
        return Err(refused("log entry does not have one signature"));
    };
    if bytes(&signature["content"], "log entry has no signature")? != envelope.signature.sig.as_bytes() {
        return Err(refused("log entry is about another signature"));
    }
    let (field, other, der) = match verifier {
        Verifier::Certificate(der) => ("x509Certificate", "publicKey", der),
        Verifier::Key(der) => ("publicKey", "x509Certificate", der),
    };
    let named = &signature["verifier"];
    if !named[other].is_null() || bytes(&named[field]["rawBytes"], "log entry names no verifier")? != der {
        return Err(refused("log entry is by another certificate or key"));
    }
    Ok(())
}

/// Whether the checkpoint of `entry` is signed by a log that is trusted, and covers `body` (RFC 6962, 2.1.1; C2SP tlog-checkpoint).
/// What an entry says beside its checkpoint about root and size is not signed, and not read.
fn included(entry: &Value, body: &[u8], keys: &Keyring) -> Result<(), Refused> {
    let proof = &entry["inclusionProof"];
    let text =
        proof["checkpoint"]["envelope"].as_str().ok_or_else(|| refused("log entry has no checkpoint"))?;
    let checkpoint = Checkpoint::from_text(text).map_err(|error| refused(error.to_string()))?;
    let now = rfc3339(host::now_s()); // The crates have a clock type of an older release.
    let now = now.parse().unwrap_or_default();
    let signed = checkpoint.signatures().iter().any(|signature| {
        let mut known = keys.keys_by_hint(&signature.key_id, now);
        known.any(|key| key.verify(checkpoint.signed_data(), &signature.signature).is_ok())
    });
    if !signed {
        return Err(refused("no trusted log signed the checkpoint"));
    }
    let index = match &entry["logIndex"] {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    };
    let index: u64 = index.ok_or_else(|| refused("log entry has no index"))?;
    let hashes = proof["hashes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let hash = |value: &Value| {
        let raw = bytes(value, "a hash of the proof is no hash")?;
        raw.try_into().map(Sha256Hash::new).map_err(|_| refused("a hash of the proof is no hash"))
    };
    let hashes = hashes.iter().map(hash).collect::<Result<Vec<Sha256Hash>, _>>()?;
    let leaf = sigstore_merkle::hash_leaf(body);
    sigstore_merkle::verify_inclusion_proof(
        &leaf,
        index,
        checkpoint.tree_size(),
        &hashes,
        checkpoint.root_hash(),
    )
    .map_err(|error| refused(format!("invalid inclusion proof: {error}")))
}

fn bytes(value: &Value, what: &'static str) -> Result<Vec<u8>, Refused> {
    let raw = value.as_str().and_then(|text| STANDARD.decode(text).ok()).filter(|raw| !raw.is_empty());
    raw.ok_or_else(|| refused(what))
}

fn refused(message: impl Into<String>) -> Refused {
    Refused { fault: Fault::Log, message: message.into() }
}
