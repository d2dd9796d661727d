//! Tests of the module as a whole. The keys under `fixtures/interop/keys` are TEST-ONLY.

mod examples;
mod hostile;
mod interop;
mod round_trip;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use pkcs8::SecretDocument;

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/interop/", $name))
    };
}
use fixture;

/// The key that is trusted in these tests.
fn ours() -> PublicKey {
    PublicKey::from_pem(fixture!("keys/TEST-ONLY-p256.pub")).unwrap()
}

fn edwards() -> PublicKey {
    PublicKey::from_pem(fixture!("keys/TEST-ONLY-ed25519.pub")).unwrap()
}

/// A signature by the key of [`ours`].
fn sign(message: &[u8]) -> Vec<u8> {
    let (_, der) = SecretDocument::from_pem(fixture!("keys/TEST-ONLY-p256.pem")).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.as_bytes()).unwrap();
    pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_owned()
}

/// A signature by the key of [`edwards`].
fn sign_edwards(message: &[u8]) -> Vec<u8> {
    let (_, der) = SecretDocument::from_pem(fixture!("keys/TEST-ONLY-ed25519.pem")).unwrap();
    Ed25519KeyPair::from_pkcs8(der.as_bytes()).unwrap().sign(message).as_ref().to_owned()
}
