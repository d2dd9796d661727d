//! A sigstore bundle from anywhere: judged by a key and under the public trusted root, and not believed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use reprov::{
    attest::{PublicKey, SigstoreBundle},
    signing::keyless::{Identity, Pattern, Signed, TrustedRoot},
};

/// The public instance's, a copy of what `sigstore-trust-root` has.
static ROOT: LazyLock<TrustedRoot> =
    LazyLock::new(|| TrustedRoot::parse(include_str!("../seeds/trusted_root.json")).expect("it is one"));
static KEY: LazyLock<PublicKey> =
    LazyLock::new(|| PublicKey::from_pem(include_str!("../../fixtures/interop/keys/TEST-ONLY-p256.pub")).expect("it is one"));

fuzz_target!(|bytes: &[u8]| {
    if SigstoreBundle::parse(bytes).is_err() {
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    let nobody = Pattern::Exact("nobody@example.org".to_owned());
    let identity = Identity { subject: nobody.clone(), issuer: nobody };
    let signed = Signed::Digest("sha256", &[0; 32]);
    assert!(ROOT.verify(&text, &signed, &identity).is_err());
    assert!(ROOT.verify_key(&text, &signed, &KEY).is_err());
});
