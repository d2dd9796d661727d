//! Keys and signatures as gpg makes them, judged by the library alone.

use std::fs;

use reprov::pin::Signers;

use crate::support::{must, repositories::Signer};

const TEXT: &str = "Suite: stable\n- dashed\ntrailing  \nSHA256:\n 00 1 x\n";

fn signers(signer: &Signer) -> Signers {
    Signers::parse(signer.public().as_bytes()).unwrap()
}

#[track_caller]
fn says(result: Result<impl std::fmt::Debug, reprov::pin::PinError>, words: &str) {
    let said = result.unwrap_err().to_string();
    assert!(said.contains(words), "{said}");
}

#[test]
fn what_gpg_signs_is_read_as_it_was_signed() {
    let signer = Signer::generate();
    let read = signers(&signer).clear_signed(signer.signed(TEXT, &[]).as_bytes()).unwrap();
    let lines: Vec<_> = read.lines().collect();
    assert_eq!(lines, ["Suite: stable", "- dashed", "trailing", "SHA256:", " 00 1 x"]);
    assert_eq!(signers(&signer).fingerprints(), signer.fingerprint());
}

#[test]
fn one_of_several_keys_and_of_several_signatures_is_enough() {
    let (one, other) = (Signer::generate(), Signer::generate());
    let both = format!("{}{}", other.public(), one.public());
    let both = Signers::parse(both.as_bytes()).unwrap();
    both.clear_signed(one.signed(TEXT, &[]).as_bytes()).unwrap();
    both.clear_signed(other.signed(TEXT, &[]).as_bytes()).unwrap();
    must(one.gpg().args(["--quick-gen-key", "second <second@example.org>", "ed25519", "sign", "never"]));
    let twice = one.signed(TEXT, &["--local-user", "tests", "--local-user", "second"]);
    let binary = one.file("second.gpg");
    must(one.gpg().arg("--output").arg(&binary).args(["--export", "second"]));
    Signers::parse(&fs::read(binary).unwrap()).unwrap().clear_signed(twice.as_bytes()).unwrap();
    says(signers(&other).clear_signed(twice.as_bytes()), "no signature on it is by a pinned key (signed by ");
}

#[test]
fn a_subkey_speaks_for_its_primary_key_until_it_is_revoked() {
    let signer = Signer::generate();
    must(signer.gpg().args(["--quick-add-key", &signer.fingerprint(), "rsa2048", "sign", "never"]));
    let signed = signer.signed(TEXT, &[]);
    let pinned = signers(&signer);
    pinned.clear_signed(signed.as_bytes()).unwrap();
    let mut revoke = signer.gpg();
    revoke
        .args(["--command-fd", "0", "--edit-key", &signer.fingerprint()])
        .stdin(std::process::Stdio::piped());
    let mut child =
        revoke.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"key 1\nrevkey\ny\n0\n\ny\nsave\n").unwrap();
    assert!(child.wait().unwrap().success());
    says(signers(&signer).clear_signed(signed.as_bytes()), "no signature on it is by a pinned key");
}

#[test]
fn a_revoked_key_pins_nothing() {
    let signer = Signer::generate();
    let revocation = signer.file(&format!("openpgp-revocs.d/{}.rev", signer.fingerprint()));
    let text = fs::read_to_string(&revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    fs::write(&revocation, text).unwrap();
    must(signer.gpg().arg("--import").arg(&revocation));
    says(Signers::parse(signer.public().as_bytes()), "cannot sign: it is revoked");
}

#[test]
fn a_key_for_other_things_pins_nothing() {
    let signer = Signer::generate();
    must(signer.gpg().args(["--quick-gen-key", "certifies <c@example.org>", "rsa2048", "cert", "never"]));
    let key = must(signer.gpg().args(["--armor", "--export", "certifies"]));
    says(Signers::parse(key.as_bytes()), "cannot sign");
}

#[test]
fn a_weak_hash_is_no_signature() {
    let signer = Signer::generate();
    let weak = signer.signed(TEXT, &["--digest-algo", "SHA1", "--allow-weak-digest-algos"]);
    says(signers(&signer).clear_signed(weak.as_bytes()), "is bad: its hash is weaker than SHA-256");
}

#[test]
fn what_is_no_key_is_said() {
    for bytes in
        ["", "text", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"]
    {
        says(Signers::parse(bytes.as_bytes()), "not an OpenPGP public key");
    }
    let signer = Signer::generate();
    let secret = must(signer.gpg().args(["--armor", "--export-secret-keys"]));
    says(Signers::parse(secret.as_bytes()), "not an OpenPGP public key");
}
